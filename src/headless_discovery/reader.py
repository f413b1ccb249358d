"""Answer bytes in: a strict, fast reader for what discovery needs (RFC 1035, 4.1; RFC 2782; RFC 6891).

Reads A, AAAA, SRV, CNAME, SOA, NS and OPT of class IN, in any order; a run of address records of one owner, which is
what a headless service answers, is read in bulk. What is not exactly that, or might be broken, raises `Unusual`, and
dnspython reads it instead (fallback.py). Nothing here loops on pointers or reads past the end.

SRV records and their glue are read one by one, but what an earlier answer had is known by its octets.
"""

from __future__ import annotations

import struct
from itertools import chain

from .message import AAAA, CNAME, NS, OPT, SOA, SRV, A, Message, RRset, Srv, Value

_HEADER = struct.Struct("!6H")
_FIXED = struct.Struct("!HHIH")  # type, class, TTL, length of the data
_TTL_LENGTH = struct.Struct("!IH")
_SRV = struct.Struct("!3H")
_SOA_TAIL = struct.Struct("!5I")
_BULK = 32  # records from which columns are compared, not rows
_POINTERS = 16  # a name may lead through
# What the names of hosts and services are made of; others (escapes, IDNA by hand) are dnspython's.
_PLAIN = bytes(sorted(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_"))


# SRV targets are not compressed (RFC 2782) and come again with every answer: names, and SRV data, by their octets.
# A name that ends in a pointer, by its one label and the name pointed to.
_seen: dict[bytes | tuple[bytes, str | None], str] = {}
_seen_srv: dict[bytes, Srv] = {}
_SEEN_MAX = 16_384
_UNKNOWN = None, 0


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
                values, ttl, run, end = self.services(at, fixed, count)
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
        data, names, seen, glue = self.data, self.names, _seen, message.glue
        size, opts, unpack = len(data), 0, _FIXED.unpack_from
        for _ in range(count):
            first = data[at]
            if first == 0:  # the root owns OPT, and nothing else here
                rdtype, _, high, length = _FIXED.unpack_from(data, at + 1)
                if rdtype != OPT or length or opts:
                    raise Unusual
                opts += 1
                message.rcode |= high >> 24 << 4  # RFC 6891, 6.1.3
                at += 11
                continue
            # The owner is an SRV target: a pointer to it, its label and a pointer to the rest, or as it was there.
            name, fixed = None, at + 1 + first
            if first >= 0xC0:
                name, fixed = names.get((first & 0x3F) << 8 | data[at + 1], _UNKNOWN)[0], at + 2
            elif data[fixed] >= 0xC0:
                parent = names.get((data[fixed] & 0x3F) << 8 | data[fixed + 1], _UNKNOWN)[0]
                key = data[at:fixed], parent
                fixed += 2
                name = seen.get(key)
                if name is None and parent is not None:
                    name, fixed = self.name(at)
                    _remember(key, name)
            else:
                fixed = data.find(0, fixed) + 1
                name = seen.get(data[at:fixed])
            if name is None:
                name, fixed = self.name(at)
            rdtype, rdclass, _, length = unpack(data, fixed)
            start = fixed + 10
            at = start + length
            if rdclass != 1 or length != (4 if rdtype == A else 16 if rdtype == AAAA else -1) or at > size:
                raise Unusual
            if name in glue:
                glue[name].append(data[start:at])
            else:
                glue[name] = [data[start:at]]
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
        if count == 1 or last + stride > len(data) or data[last : last + constant] != data[at : at + constant]:
            return one, ttl, 1
        stop = last + stride
        if count < _BULK:
            rows = struct.iter_unpack(f"!{constant}sIH{size}s", data[at:stop])
            beginnings, lifetimes, lengths, addresses = zip(*rows, strict=True)
            if beginnings.count(beginnings[0]) != count or lengths.count(size) != count:
                return one, ttl, 1
            return list(addresses), min(0 if t & 0x8000_0000 else t for t in lifetimes), count
        # Alike in all columns but TTL and address: compared column by column, each compared in one step.
        alike = (*range(constant), constant + 4, constant + 5)
        if any(data[at + column : stop : stride].count(data[at + column]) != count for column in alike):
            return one, ttl, 1
        ttls = [data[at + constant + byte : stop : stride] for byte in range(4)]
        if any(column.count(column[0]) != count for column in ttls):
            ttl = min(0 if t & 0x8000_0000 else t for t in map(_ttl, zip(*ttls, strict=True)))
        pairs = struct.iter_unpack(f"{stride - size}x{size}s", data[at:stop])
        return list(chain.from_iterable(pairs)), ttl, count

    def services(self, at: int, fixed: int, count: int) -> tuple[list[Value], int, int, int]:
        """SRV records that begin with the same octets up to their class; their lowest TTL, how many, and the end."""
        data, names, values = self.data, self.names, list[Value]()
        size, beginning = len(data), data[at : fixed + 4]
        ttl_at, lowest = len(beginning), 0xFFFF_FFFF
        while len(values) < count and data.startswith(beginning, at):
            ttl, length = _TTL_LENGTH.unpack_from(data, at + ttl_at)
            start = at + ttl_at + 6
            at = start + length
            if at > size:
                raise Unusual
            if ttl < lowest or ttl & 0x8000_0000:
                lowest = 0 if ttl & 0x8000_0000 else ttl
            raw = data[start:at]
            srv = _seen_srv.get(raw)
            if srv is None:
                priority, weight, port = _SRV.unpack_from(data, start)
                srv = Srv(priority, weight, port, self.whole_name(start + 6, at))
                if raw[6:] in _seen:
                    if len(_seen_srv) >= _SEEN_MAX:
                        _seen_srv.clear()
                    _seen_srv[raw] = srv
            else:
                names[start + 6] = srv.target, at
            values.append(srv)
        return values, lowest, len(values), at

    def whole_name(self, start: int, end: int) -> str:
        raw = self.data[start:end]
        name = _seen.get(raw)
        if name is None:
            name, after = self.name(start)
            if after != end:
                raise Unusual
            if name and len(raw) == len(name) + 2:  # no pointer in it, so these bytes are this name everywhere
                _remember(raw, name)
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


def _remember(octets: bytes | tuple[bytes, str | None], name: str) -> None:
    if len(_seen) >= _SEEN_MAX:
        _seen.clear()
    _seen[octets] = name


def _ttl(octets: tuple[int, ...]) -> int:
    return int.from_bytes(octets, "big")
