"""Answer bytes in: a fast reader for what discovery needs (RFC 1035, 4.1; RFC 2782; RFC 6891).

Reads A, AAAA, SRV, CNAME, SOA and NS of class IN, in any order, and steps over all else: other types and classes, EDNS
options. A run of address records of one owner, which is what a headless service answers, is read in bulk. SRV records
and their glue are read one by one, but what an earlier answer had is known by its octets.

Whoever wrote the message, reading it takes a few milliseconds at most: nothing here loops on pointers or reads past
the end, and what one message may cost has a bound. What no query is answered with is `Unusual`: it may be legal, and
dnspython reads it (fallback.py).
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from itertools import chain

from .message import AAAA, CNAME, NS, OPT, SOA, SRV, A, Message, RRset, Srv, Value, WireError

_HEADER = struct.Struct("!6H")
_FIXED = struct.Struct("!HHIH")  # type, class, TTL, length of the data
_TTL_LENGTH = struct.Struct("!IH")
_SRV = struct.Struct("!3H")
_SOA_TAIL = struct.Struct("!5I")
_DOT = ord(".")
_LEAST = 11  # octets of a record: the root's, without data
_OTHER = -1  # the type of a record that is stepped over
_BULK = 32  # records from which columns are compared, not rows
_POINTERS = 16  # a name may lead through
# What stands for itself in the text of a name; all else is escaped (RFC 1035, 5.1), as dnspython does it.
_SPECIAL = b'"().;\\@$'
_PLAIN = bytes(octet for octet in range(0x21, 0x7F) if octet not in _SPECIAL)
_ESCAPED = [
    chr(o) if o in _PLAIN else "\\" + chr(o) if o in _SPECIAL else f"\\{o:03}" for o in range(256)
]  # fmt: skip

# What one message may cost, in steps of about a quarter of a microsecond; what is read in bulk or known by its octets
# costs none. Of what fits into 64 KiB, 4,092 A records take under 50, 1,650 SRV records with names never seen 13,200,
# and 950 SRV records with glue of both families 14,000. Should an answer have more, its names are known when it comes
# again.
_STEPS = 15_000
_RUN = 24  # a run of records in the answer section, a record in the authority section
_RECORD = 2  # one in the additional section
_NEW = 8  # an SRV record that was not seen before
_OWNER = 8  # and the owner of its glue
_NAME = 12  # a name that is read label by label; a label is one
_ODD = 24  # a label with escapes, and a name that has one
_MISSES = 4  # runs that turn out shorter than their section, before bulk is given up
_TOO_MUCH = "more names and records to read than any answer has"


# SRV targets are not compressed (RFC 2782) and come again with every answer: names, and SRV data, by their octets.
# A name that ends in a pointer, by its one label and the name pointed to.
_seen: dict[bytes | tuple[bytes, str | None], str] = {}
_seen_srv: dict[bytes, Srv] = {}
_SEEN_MAX = 16_384
_NOBODY = "", False
_new = tuple.__new__


class Unusual(Exception):
    """Nothing that a query is answered with, but it may be legal."""


class _TooMuch(WireError):
    """It would take longer to read than any answer does."""


def read(data: bytes) -> Message:
    """Raises `WireError` for what is broken, and `Unusual`.

    With TC set, what stands before the first octet that cannot be read is read: some servers cut where the datagram
    ends, in the middle of a record, and leave the counts as they were.
    """
    if len(data) < 12:
        raise WireError("shorter than a header")
    try:
        return _Reader(data).message()
    except (struct.error, IndexError):
        raise WireError("it ends in the middle of a record") from None


class _Reader:
    __slots__ = ("data", "left", "misses", "names", "octets")

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.names: dict[int, str] = {}  # by offset
        self.octets: dict[str, int] = {}  # of names that have escapes: their length on the wire
        self.left = _STEPS
        self.misses = 0

    def message(self) -> Message:
        data = self.data
        _, flags, questions, answers, authorities, additionals = _HEADER.unpack_from(data)
        if questions > 1 or flags & 0x7800:
            raise Unusual("several questions, or another opcode than QUERY")
        at = 12
        if questions:
            _, at = self.name(at)
            at += 4
            if at > len(data):
                raise WireError("it ends in the middle of the question")
        message = Message(flags & 0xF, bool(flags & 0x0400), bool(flags & 0x0200), bool(flags & 0x0080), len(data))
        try:
            at = self.answers(at, answers, message)
            at = self.authorities(at, authorities, message)
            at = self.additionals(at, additionals, message)
            if at != len(data):
                raise WireError("octets behind the last record")
        except _TooMuch:
            raise
        except (struct.error, IndexError, WireError):
            if not message.truncated:
                raise
        return message

    def spend(self, steps: int) -> None:
        self.left -= steps
        if self.left < 0:
            raise _TooMuch(_TOO_MUCH)

    def answers(self, at: int, count: int, message: Message) -> int:
        data, names, found = self.data, self.names, message.answer
        values: list[Value]
        while count:
            self.left -= _RUN
            name, fixed = None, at + 2
            if data[at] >= 0xC0:
                name = names.get((data[at] & 0x3F) << 8 | data[at + 1])
            if name is None:
                name, fixed = self.name(at)
            rdtype, ttl, start, end = self.fixed(fixed)
            run, broken = 1, None
            if rdtype in (A, AAAA):
                values, ttl, run = self.addresses(at, fixed, end, ttl, count)
                end = at + run * (end - at)
            elif rdtype == SRV:
                values, ttl, run, end, broken = self.services(at, fixed, count)
            elif rdtype == CNAME:
                values = [self.whole_name(start, end)]
            else:
                values = []
            if values:
                rrset = found.get((name, rdtype))
                if rrset is None:
                    found[name, rdtype] = RRset(ttl, values)
                else:  # a name has one CNAME (RFC 2181, 10.1); of several, the first is followed
                    rrset.values += values
                    rrset.ttl = min(rrset.ttl, ttl)
            if broken is not None:
                raise broken
            if self.left < 0:
                raise _TooMuch(_TOO_MUCH)
            count -= run
            at = end
        return at

    def authorities(self, at: int, count: int, message: Message) -> int:
        for _ in range(count):
            self.spend(_RUN)
            _, fixed = self.name(at)
            rdtype, ttl, start, at = self.fixed(fixed)
            if rdtype == SOA:
                _, second = self.name(start)
                _, numbers = self.name(second)
                if numbers + 20 != at:
                    raise WireError("an SOA record that ends elsewhere than it says")
                minimum = _SOA_TAIL.unpack_from(self.data, numbers)[4]
                minimum = 0 if minimum & 0x8000_0000 else minimum
                if message.soa is not None:  # there is one (RFC 2308, 3); of several, the lowest times
                    ttl, minimum = min(ttl, message.soa[0]), min(minimum, message.soa[1])
                message.soa = (ttl, minimum)
            elif rdtype == NS:
                self.whole_name(start, at)
                message.has_ns = True
        return at

    def additionals(self, at: int, count: int, message: Message) -> int:
        data, names, seen, glue = self.data, self.names, _seen, message.glue
        size, unpack, opts = len(data), _FIXED.unpack_from, 0
        if count > 1:
            _make_room()
            self.spend(_RECORD * min(count, (size - at) // _LEAST))
        for _ in range(count):
            first = data[at]
            # The owner is an SRV target: a pointer to it, its label and a pointer to the rest, or as it was there.
            name, fixed = None, at + 1 + first
            if first >= 0xC0:
                name, fixed = names.get((first & 0x3F) << 8 | data[at + 1]), at + 2
            elif first == 0:
                name = ""
            elif data[fixed] >= 0xC0:
                parent = names.get((data[fixed] & 0x3F) << 8 | data[fixed + 1])
                key = data[at:fixed], parent
                fixed += 2
                name = seen.get(key)
                if name is None and parent:
                    label = data[at + 1 : at + 1 + first]
                    if first < 64 and len(parent) < 190 and "\\" not in parent and not label.translate(None, _PLAIN):
                        name = seen[key] = f"{label.decode('ascii').lower()}.{parent}"
                        names[at] = name
                        self.spend(_OWNER)
            else:
                fixed = data.find(0, fixed, fixed + 255) + 1
                name = seen.get(data[at:fixed])
                if name is None:
                    name, fixed = self.name(at)
                    if _is_everywhere(data[at:fixed], name):
                        seen[data[at:fixed]] = name
            if name is None:
                name, fixed = self.name(at)
            rdtype, rdclass, ttl, length = unpack(data, fixed)
            start = fixed + 10
            at = start + length
            if rdclass != 1 or length != (4 if rdtype == A else 16 if rdtype == AAAA else -1) or at > size:
                if at > size:
                    raise WireError("it ends in the middle of a record")
                if rdtype == OPT:
                    if name or opts:
                        raise WireError("several OPT records, or one with an owner")  # RFC 6891, 6.1.1 and 6.1.2
                    opts += 1
                    message.rcode |= ttl >> 24 << 4  # RFC 6891, 6.1.3
                elif rdclass == 1 and rdtype in (A, AAAA):
                    raise WireError("an address of the wrong size")
                continue
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
        if end > len(self.data):
            raise WireError("it ends in the middle of a record")
        if rdclass != 1 or rdtype == OPT:
            if rdtype == OPT:
                raise WireError("an OPT record outside of the additional section")  # RFC 6891, 6.1.1
            rdtype = _OTHER
        return rdtype, 0 if ttl & 0x8000_0000 else ttl, start, end

    def addresses(self, at: int, fixed: int, end: int, ttl: int, count: int) -> tuple[list[Value], int, int]:
        """Addresses, their lowest TTL and how many records they are: all in one go where they are alike."""
        data, size, stride = self.data, end - fixed - 10, end - at
        if size != (4 if data[fixed + 1] == A else 16):
            raise WireError("an address of the wrong size")
        constant = stride - size - 6  # owner, type, class; then TTL and length
        if count * stride > len(data) - at:
            count = (len(data) - at) // stride
        if count == 1 or self.misses > _MISSES or not data.startswith(data[at : at + constant], end):
            return [data[end - size : end]], ttl, 1
        stop = at + count * stride
        if count < _BULK:
            rows = struct.iter_unpack(f"!{constant}sIH{size}s", data[at:stop])
            beginnings, lifetimes, lengths, addresses = zip(*rows, strict=True)
            if beginnings.count(beginnings[0]) == count == lengths.count(size):
                return list(addresses), _lowest(lifetimes), count
        # Alike in all columns but TTL and address: compared column by column, each compared in one step.
        alike = (*range(constant), constant + 4, constant + 5)
        if any(data[at + column : stop : stride].count(data[at + column]) != count for column in alike):
            self.misses += 1
            columns = (data[at + column : stop : stride] for column in alike)
            count = min(len(column) - len(column.lstrip(column[:1])) for column in columns)
            stop = at + count * stride
        ttls = [data[at + constant + byte : stop : stride] for byte in range(4)]
        if any(column.count(column[0]) != count for column in ttls):
            ttl = _lowest([int.from_bytes(octets, "big") for octets in zip(*ttls, strict=True)])
        pairs = struct.iter_unpack(f"{stride - size}x{size}s", data[at:stop])
        return list(chain.from_iterable(pairs)), ttl, count

    def services(self, at: int, fixed: int, count: int) -> tuple[list[Value], int, int, int, Exception | None]:
        """SRV records that begin with the same octets up to their class; their lowest TTL, how many, and the end.

        And what is wrong with the one behind these, if it is broken.
        """
        data, names, seen, values = self.data, self.names, _seen, list[Value]()
        size, beginning = len(data), data[at : fixed + 4]
        ttl_at, lowest = len(beginning), 0xFFFF_FFFF
        # A service's names differ in their first label. What is behind it, by its octets: its text, and whether they
        # are that everywhere, as no pointer is in them.
        parents: dict[bytes, tuple[str, bool]] = {}
        _make_room()
        try:
            while len(values) < count and data.startswith(beginning, at):
                ttl, length = _TTL_LENGTH.unpack_from(data, at + ttl_at)
                start = at + ttl_at + 6
                end = start + length
                if end > size:
                    raise WireError("it ends in the middle of a record")
                raw = data[start:end]
                srv = _seen_srv.get(raw)
                if srv is None:
                    self.left -= _NEW
                    if self.left < 0:
                        raise _TooMuch(_TOO_MUCH)
                    target = raw[6:]
                    name = seen.get(target)
                    if name is not None:
                        everywhere = True
                        names[start + 6] = name
                    else:
                        first = target[0]
                        label, rest = target[1 : first + 1], target[first + 1 :]
                        parent, everywhere = parents.get(rest, _NOBODY)
                        if parent and 0 < first < 64 and not label.translate(None, _PLAIN):
                            name = f"{label.decode('ascii').lower()}.{parent}"
                            names[start + 6] = name
                            if everywhere:
                                seen[target] = name
                        else:
                            name, after = self.name(start + 6)
                            if after != end:
                                raise WireError("a name that ends elsewhere than its record")
                            if everywhere := _is_everywhere(target, name):
                                seen[target] = name
                            if first < 64 and "\\" not in name and first < len(name) < first + 190:
                                parents[rest] = name[first + 1 :], everywhere
                    srv = _new(Srv, (*_SRV.unpack_from(raw), name))
                    if everywhere:
                        _seen_srv[raw] = srv
                else:
                    names[start + 6] = srv.target
                values.append(srv)
                at = end
                if ttl < lowest or ttl & 0x8000_0000:
                    lowest = 0 if ttl & 0x8000_0000 else ttl
        except _TooMuch:
            raise
        except (struct.error, IndexError, WireError) as error:
            return values, lowest, len(values), at, error
        return values, lowest, len(values), at, None

    def whole_name(self, start: int, end: int) -> str:
        """The name that is these octets, and no others."""
        raw = self.data[start:end]
        name = _seen.get(raw)
        if name is not None:
            self.names[start] = name
            return name
        name, after = self.name(start)
        if after != end:
            raise WireError("a name that ends elsewhere than its record")
        if _is_everywhere(raw, name):
            _seen[raw] = name
        return name

    def name(self, start: int, depth: int = 0) -> tuple[str, int]:
        """The name at an offset, as text in lower case without final dot, and where it ends."""
        data, names, at = self.data, self.names, start
        limit = start + 255  # octets (RFC 1035, 2.3.4)
        suffix, ends = "", list[int]()  # of the labels
        while 0 < (size := data[at]) < 64:
            at += size + 1
            if at >= limit:
                raise WireError("a name that is longer than DNS allows")
            ends.append(at)
        if size >= 0xC0:  # a pointer (RFC 1035, 4.1.4): backwards only, so that this ends
            pointer = (size & 0x3F) << 8 | data[at + 1]
            if pointer >= start:
                raise WireError("a pointer that leads forward")
            known = names.get(pointer)
            if known is None:
                if depth >= _POINTERS:
                    raise WireError("a name that leads through too many pointers")
                suffix, after = self.name(pointer, depth + 1)
                if after > start:
                    raise WireError("a name that points into itself")
            else:
                suffix = known
            if not ends:
                self.spend(_NAME)
                names[start] = suffix
                return suffix, at + 2
        elif size:
            raise WireError("a label of a kind that is not used")
        elif not ends:
            self.spend(_NAME)
            return "", at + 1
        self.left -= _NAME + len(ends)
        if self.left < 0:
            raise _TooMuch(_TOO_MUCH)
        text = bytearray(data[start + 1 : at])
        for end in ends[:-1]:
            text[end - start - 1] = _DOT
        if len(text.translate(None, _PLAIN)) < len(ends):  # dots between labels, and nothing else that is odd
            name = text.decode("ascii").lower()
            odd = suffix in self.octets
        else:
            name, odd = self.escaped(start + 1, ends), True
        octets = at - start + 1
        if suffix:
            name = f"{name}.{suffix}"
            octets += self.octets.get(suffix, len(suffix) + 2) - 1
            if octets > 255:
                raise WireError("a name that is longer than DNS allows")
        if odd:
            self.octets[name] = octets
            self.left -= _ODD
        at += 2 if size else 1
        names[start] = name
        return name, at

    def escaped(self, start: int, ends: list[int]) -> str:
        """Labels, the first of which begins at `start`, with what is no plain text as RFC 1035, 5.1 writes it."""
        labels = []
        for end in ends:
            self.spend(_ODD)
            labels.append("".join([_ESCAPED[octet] for octet in self.data[start:end]]))
            start = end + 1
        return ".".join(labels).lower()


def _is_everywhere(octets: bytes, name: str) -> bool:
    """These octets are this name in any message: no pointer is in them. Names with escapes are not looked at."""
    return len(octets) == len(name) + 2 and bool(name) and "\\" not in name


def _make_room() -> None:
    """Of one of them at a time: to forget takes long, too. What a message has more than there is room for is little."""
    if len(_seen) >= _SEEN_MAX:
        _seen.clear()
    elif len(_seen_srv) >= _SEEN_MAX:
        _seen_srv.clear()


def _lowest(ttls: Sequence[int]) -> int:
    return 0 if max(ttls) & 0x8000_0000 else min(ttls)
