"""Answer bytes in: a strict, fast reader for what discovery needs (RFC 1035, 4.1; RFC 2782; RFC 6891).

Reads A, AAAA, SRV, CNAME, SOA, NS and OPT of class IN, in any order; a run of address records of one owner, which is
what a headless service answers, is read in bulk. What is not exactly that, or might be broken, raises `Unusual`, and
dnspython reads it instead (fallback.py). Nothing here loops on pointers or reads past the end.
"""

from __future__ import annotations

import struct
from itertools import chain

from .message import AAAA, CNAME, NS, OPT, SOA, SRV, A, Message, RRset, Srv, Value

_HEADER = struct.Struct("!6H")
_FIXED = struct.Struct("!HHIH")  # type, class, TTL, length of the data
_SRV = struct.Struct("!3H")
_SOA_TAIL = struct.Struct("!5I")
_BULK = 8  # records from which a run is worth a look
_POINTERS = 16  # a name may lead through
# What the names of hosts and services are made of; others (escapes, IDNA by hand) are dnspython's.
_PLAIN = bytes(sorted(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_"))


# SRV targets are not compressed (RFC 2782) and come again with every answer.
_seen: dict[bytes, str] = {}
_SEEN_MAX = 16_384


class Unusual(Exception):
    """Not the plain answer this reader is for. It may be fine, or garbage."""


def read(data: bytes) -> Message:
    """Raises `Unusual`."""
    try:
        return _Reader(data).message()
    except (struct.error, IndexError):  # past the end
        raise Unusual from None


class _Reader:
    def __init__(self, data: bytes) -> None:
        self.data = data
        self.names: dict[int, tuple[str, int]] = {}  # name and end, by offset

    def message(self) -> Message:
        data = self.data
        _, flags, questions, answers, authorities, additionals = _HEADER.unpack_from(data)
        if questions > 1:
            raise Unusual
        at = 12
        if questions:
            _, at = self.name(at)
            at += 4
        message = Message(flags & 0xF, bool(flags & 0x0400), bool(flags & 0x0200), bool(flags & 0x0080), len(data))
        at = self.answers(at, answers, message)
        at = self.authorities(at, authorities, message)
        at = self.additionals(at, additionals, message)
        if at != len(data):
            raise Unusual
        return message

    def answers(self, at: int, count: int, message: Message) -> int:
        found: dict[tuple[str, int], RRset] = {}
        values: list[Value]
        while count:
            name, fixed = self.name(at)
            rdtype, ttl, start, end = self.fixed(fixed)
            run = 1
            if rdtype in (A, AAAA):
                values, ttl, run = self.addresses(at, fixed, end, ttl, count)
                end = at + run * (end - at)
            elif rdtype == SRV:
                values = [self.srv(start, end)]
            elif rdtype == CNAME:
                values = [self.whole_name(start, end)]
            else:
                raise Unusual
            rrset = found.get((name, rdtype))
            if rrset is None:
                found[name, rdtype] = RRset(ttl, values)
            elif rdtype == CNAME:
                raise Unusual  # a name has one (RFC 2181, 10.1)
            else:
                rrset.values += values
                rrset.ttl = min(rrset.ttl, ttl)
            count -= run
            at = end
        message.answer = found
        return at

    def authorities(self, at: int, count: int, message: Message) -> int:
        for _ in range(count):
            _, fixed = self.name(at)
            rdtype, ttl, start, at = self.fixed(fixed)
            if rdtype == SOA:
                _, second = self.name(start)
                _, numbers = self.name(second)
                if numbers + 20 != at or message.soa is not None:
                    raise Unusual
                minimum = _SOA_TAIL.unpack_from(self.data, numbers)[4]
                message.soa = (ttl, 0 if minimum & 0x8000_0000 else minimum)
            elif rdtype == NS:
                self.whole_name(start, at)
                message.has_ns = True
            else:
                raise Unusual
        return at

    def additionals(self, at: int, count: int, message: Message) -> int:
        data, glue = self.data, message.glue
        opts = 0
        for _ in range(count):
            if data[at] == 0:  # the root owns OPT, and nothing else here
                rdtype, _, high, length = _FIXED.unpack_from(data, at + 1)
                if rdtype != OPT or length or opts:
                    raise Unusual
                opts += 1
                message.rcode |= high >> 24 << 4  # RFC 6891, 6.1.3
                at += 11
                continue
            name, fixed = self.name(at)
            rdtype, _, start, at = self.fixed(fixed)
            if not (rdtype == A and at - start == 4) and not (rdtype == AAAA and at - start == 16):
                raise Unusual
            addresses = glue.get(name)
            if addresses is None:
                glue[name] = [data[start:at]]
            else:
                addresses.append(data[start:at])
        return at

    def fixed(self, at: int) -> tuple[int, int, int, int]:
        """Type, TTL (0 with the top bit set, RFC 2181, 8), start and end of the data."""
        rdtype, rdclass, ttl, length = _FIXED.unpack_from(self.data, at)
        start = at + 10
        end = start + length
        if rdclass != 1 or end > len(self.data):
            raise Unusual
        return rdtype, 0 if ttl & 0x8000_0000 else ttl, start, end

    def addresses(self, at: int, fixed: int, end: int, ttl: int, count: int) -> tuple[list[Value], int, int]:
        """Addresses, their lowest TTL and how many records they are: all in one go where they are alike."""
        data, size, stride = self.data, end - fixed - 10, end - at
        if size != (4 if data[fixed + 1] == A else 16):
            raise Unusual
        one: list[Value] = [data[end - size : end]]
        last = at + (count - 1) * stride
        constant = stride - size - 6  # owner, type, class; then TTL and length
        if count < _BULK or last + stride > len(data) or data[last : last + constant] != data[at : at + constant]:
            return one, ttl, 1
        # Alike in all columns but TTL and address: compared column by column, each compared in one step.
        stop = last + stride
        alike = (*range(constant), constant + 4, constant + 5)
        if any(data[at + column : stop : stride].count(data[at + column]) != count for column in alike):
            return one, ttl, 1
        ttls = [data[at + constant + byte : stop : stride] for byte in range(4)]
        if any(column.count(column[0]) != count for column in ttls):
            ttl = min(0 if t & 0x8000_0000 else t for t in map(_ttl, zip(*ttls, strict=True)))
        pairs = struct.iter_unpack(f"{stride - size}x{size}s", data[at:stop])
        return list(chain.from_iterable(pairs)), ttl, count

    def srv(self, start: int, end: int) -> Srv:
        priority, weight, port = _SRV.unpack_from(self.data, start)
        return Srv(priority, weight, port, self.whole_name(start + 6, end))

    def whole_name(self, start: int, end: int) -> str:
        raw = self.data[start:end]
        name = _seen.get(raw)
        if name is None:
            name, after = self.name(start)
            if after != end:
                raise Unusual
            if name and len(raw) == len(name) + 2:  # no pointer in it, so these bytes are this name everywhere
                if len(_seen) >= _SEEN_MAX:
                    _seen.clear()
                _seen[raw] = name
        else:
            self.names[start] = name, end
        return name

    def name(self, start: int, depth: int = 0) -> tuple[str, int]:
        """The name at an offset, lower case without final dot, and where it ends."""
        data, names, at = self.data, self.names, start
        labels: list[str] = []
        while size := data[at]:
            if size >= 0xC0:  # a pointer (RFC 1035, 4.1.4): backwards only, so that this ends
                pointer = (size & 0x3F) << 8 | data[at + 1]
                if pointer >= start or depth >= _POINTERS:
                    raise Unusual
                known = names.get(pointer)
                suffix = self.name(pointer, depth + 1)[0] if known is None else known[0]
                at += 2
                if not labels:
                    return suffix, at
                if suffix:
                    labels.append(suffix)
                break
            end = at + 1 + size
            label = data[at + 1 : end]
            if size > 63 or len(label) != size or label.translate(None, _PLAIN):
                raise Unusual
            labels.append(label.decode("ascii"))
            at = end
        else:
            at += 1
        name = ".".join(labels).lower()
        if len(name) > 253:
            raise Unusual
        names[start] = name, at
        return name, at


def _ttl(octets: tuple[int, ...]) -> int:
    return int.from_bytes(octets, "big")
