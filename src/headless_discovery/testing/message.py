"""DNS messages as bytes: read a question, write an answer the way CoreDNS (miekg/dns) writes it.

Deliberately independent of the library's own reader, so that a mistake in one is seen by the other.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import NamedTuple

A, NS, CNAME, SOA, PTR, MX, TXT, AAAA, SRV, OPT, ANY = 1, 2, 5, 6, 12, 15, 16, 28, 33, 41, 255
NOERROR, FORMERR, SERVFAIL, NXDOMAIN, NOTIMP, REFUSED, BADVERS = 0, 1, 2, 3, 4, 5, 16
QR, OPCODE, AA, TC, RD, RA = 0x8000, 0x7800, 0x0400, 0x0200, 0x0100, 0x0080

TYPES = {"A": A, "NS": NS, "CNAME": CNAME, "SOA": SOA, "PTR": PTR, "MX": MX, "TXT": TXT, "AAAA": AAAA, "SRV": SRV}
_TYPE_TEXT = {number: text for text, number in TYPES.items()} | {OPT: "OPT", ANY: "ANY"}

MAX_TCP = 65535
_POINTABLE = 0x4000  # RFC 1035, 4.1.4: a pointer has 14 bits of offset
_HEADER = struct.Struct("!6H")
_FIXED = struct.Struct("!HHIH")  # type, class, TTL, RDLENGTH


class BadMessage(ValueError):
    """The bytes are not a query that can be answered; `reply_id` is None where nothing may be sent back."""

    def __init__(self, text: str, reply_id: int | None) -> None:
        super().__init__(text)
        self.reply_id = reply_id


class Record(NamedTuple):
    """One resource record: `owner` and names inside `rdata` uncompressed wire format, `ttl` in seconds."""

    owner: bytes
    rtype: int
    ttl: int
    rdata: bytes


@dataclass(frozen=True, slots=True)
class Question:
    """A query as it came in. `owner` is the name's wire form as spelled, `edns` the advertised size or None."""

    id: int
    flags: int
    owner: bytes
    qtype: int
    qclass: int
    edns: int | None
    edns_version: int
    wire: bytes

    @property
    def name(self) -> str:
        """The name in lower case, without the final dot."""
        return to_text(self.owner).lower()

    @property
    def key(self) -> bytes:
        """The name's wire form in lower case (RFC 4343). Length bytes are below 64, so below "A"."""
        return self.owner.lower()

    @property
    def question_bytes(self) -> bytes:
        return self.owner + struct.pack("!HH", self.qtype, self.qclass)


def type_number(qtype: str | int) -> int:
    """33 for "SRV" or "TYPE33". Raises `ValueError`."""
    if isinstance(qtype, int):
        return qtype
    text = qtype.upper()
    if text in TYPES:
        return TYPES[text]
    import dns.rdatatype

    try:
        return int(dns.rdatatype.from_text(text))
    except dns.rdatatype.UnknownRdatatype:
        raise ValueError(f"not a DNS record type: {qtype!r}") from None


def type_text(number: int) -> str:
    """ "SRV" for 33; "TYPE65400" for what has no name here (RFC 3597, 5)."""
    return _TYPE_TEXT.get(number) or f"TYPE{number}"


# --- names ---------------------------------------------------------------------------------------------------------


def to_wire(name: str) -> bytes:
    """Wire form of a name, with or without its final dot. Raises `ValueError` where RFC 1035 (2.3.4) forbids it."""
    wire = bytearray()
    for label in name.removesuffix(".").split(".") if name.strip(".") else ():
        data = label.encode("utf-8")
        if not 0 < len(data) < 64:
            raise ValueError(f"not a DNS name: {name!r}")
        wire.append(len(data))
        wire += data
    wire.append(0)
    if len(wire) > 255:
        raise ValueError(f"name longer than 255 bytes: {name!r}")
    return bytes(wire)


def labels_of(wire: bytes) -> tuple[bytes, ...]:
    labels = []
    pos = 0
    while length := wire[pos]:
        labels.append(wire[pos + 1 : pos + 1 + length])
        pos += 1 + length
    return tuple(labels)


def to_text(wire: bytes) -> str:
    """Text without the final dot; a byte that would be ambiguous is written as backslash and three digits."""
    return ".".join(
        "".join(chr(c) if 33 <= c <= 126 and c not in b".\\" else f"\\{c:03}" for c in label)
        for label in labels_of(wire)
    )


def join(*labels: bytes, suffix: bytes) -> bytes:
    """The wire name `labels` + `suffix` (already wire)."""
    return b"".join([bytes([len(label)]) + label for label in labels]) + suffix


# --- queries -------------------------------------------------------------------------------------------------------


def parse(data: bytes) -> Question:
    """Read a query. Raises `BadMessage`."""
    if len(data) < 12:
        raise BadMessage("shorter than a header", None)
    mid, flags, questions, *counts = _HEADER.unpack_from(data)
    if flags & QR:
        raise BadMessage("a response, not a query", None)
    if questions != 1:
        raise BadMessage(f"{questions} questions", mid)
    try:
        end = 12
        while length := data[end]:
            if length > 63:
                raise BadMessage("compressed or unknown label in the question", mid)
            end += 1 + length
        end += 1
        owner = data[12:end]
        if len(owner) > 255:
            raise BadMessage("name longer than 255 bytes", mid)
        qtype, qclass = struct.unpack_from("!HH", data, end)
        edns, version = _find_opt(data, end + 4, sum(counts))
    except (IndexError, struct.error):
        raise BadMessage("cut short", mid) from None
    return Question(mid, flags, owner, qtype, qclass, edns, version, data)


def _find_opt(data: bytes, pos: int, count: int) -> tuple[int | None, int]:
    for _ in range(count):
        at_root = data[pos] == 0
        while length := data[pos]:
            if length >= 0xC0:
                pos += 1
                break
            pos += 1 + length
        rtype, rclass, ttl, size = _FIXED.unpack_from(data, pos + 1)
        if rtype == OPT and at_root:
            return rclass, ttl >> 16 & 0xFF
        pos += 11 + size
    return None, 0


# --- answers -------------------------------------------------------------------------------------------------------


def address(owner: bytes, ttl: int, packed: bytes) -> Record:
    return Record(owner, A if len(packed) == 4 else AAAA, ttl, packed)


def srv(owner: bytes, ttl: int, priority: int, weight: int, port: int, target: bytes) -> Record:
    return Record(owner, SRV, ttl, struct.pack("!HHH", priority, weight, port) + target)


def soa(zone: bytes, ttl: int, minimum: int, serial: int) -> Record:
    """The SOA that CoreDNS's kubernetes plugin writes (plugin/backend_lookup.go, SOA)."""
    rdata = join(b"ns", b"dns", suffix=zone) + join(b"hostmaster", suffix=zone)
    return Record(zone, SOA, ttl, rdata + struct.pack("!5I", serial, 7200, 1800, 86400, minimum))


def record(name: str, rtype: str | int, ttl: int, value: str) -> Record:
    """A record from its text, as in a zone file: `record("a.example", "SRV", 5, "0 100 80 b.example.")`.

    Names in `value` are absolute, with or without a final dot. Any type that dnspython knows, and
    `\\# 4 0a000001` (RFC 3597) for any other. `ttl` 0..2**32-1. Raises `ValueError`.
    """
    if not 0 <= ttl < 2**32:
        raise ValueError(f"not a TTL: {ttl!r}")
    number = type_number(rtype)
    if number == A:
        return Record(to_wire(name), A, ttl, IPv4Address(value).packed)
    if number == AAAA:
        return Record(to_wire(name), AAAA, ttl, IPv6Address(value).packed)
    import dns.exception
    import dns.name
    import dns.rdata
    import dns.rdataclass
    import dns.rdatatype

    try:
        rdata = dns.rdata.from_text(
            dns.rdataclass.IN, dns.rdatatype.RdataType.make(number), value, origin=dns.name.root, relativize=False
        )
    except (dns.exception.DNSException, ValueError) as error:
        raise ValueError(f"not a {type_text(number)} value: {value!r} ({error})") from None
    return Record(to_wire(name), number, ttl, rdata.to_wire() or b"")


def extended_error(code: int, text: str = "") -> bytes:
    """The EDNS option of an extended DNS error (RFC 8914, 2): `extended_error(3, "stale answer")`."""
    data = struct.pack("!H", code) + text.encode()
    return struct.pack("!HH", 15, len(data)) + data


def _names_in(rtype: int, rdata: bytes) -> Iterator[tuple[int, int, bool]]:
    """(start, end, compressible) of each name in `rdata`. SRV targets are not compressed: RFC 2782, "Target"."""
    start, count = {NS: (0, 1), CNAME: (0, 1), PTR: (0, 1), MX: (2, 1), SRV: (6, 1), SOA: (0, 2)}.get(rtype, (0, 0))
    for _ in range(count):
        end = start
        while rdata[end]:
            end += 1 + rdata[end]
        yield start, end + 1, rtype != SRV
        start = end + 1


class _Writer:
    """Compresses as miekg/dns does, so that as many records fit as in a real CoreDNS answer."""

    def __init__(self, offset: int) -> None:
        self.names: dict[bytes, int] = {}
        self.offset = offset

    def name(self, wire: bytes, offset: int, compress: bool = True) -> bytes:
        pos = 0
        while wire[pos]:
            suffix = wire[pos:]
            known = self.names.get(suffix)
            if known is not None:
                return wire[:pos] + struct.pack("!H", 0xC000 | known) if compress else wire
            if offset + pos < _POINTABLE:
                self.names[suffix] = offset + pos
            pos += 1 + wire[pos]
        return wire

    def record(self, rr: Record) -> bytes:
        known = self.names.get(rr.owner)
        owner = self.name(rr.owner, self.offset) if known is None else struct.pack("!H", 0xC000 | known)
        rdata = rr.rdata
        if rr.rtype != A and rr.rtype != AAAA:
            start = self.offset + len(owner) + 10
            parts = []
            done = 0
            for begin, end, compress in _names_in(rr.rtype, rdata):
                parts.append(rdata[done:begin])
                done = end
                parts.append(self.name(rdata[begin:end], start + sum(map(len, parts)), compress))
            rdata = b"".join([*parts, rdata[done:]])
        return b"".join([owner, _FIXED.pack(rr.rtype, 1, rr.ttl, len(rdata)), rdata])

    def fill(self, records: Iterable[Record], limit: int) -> tuple[list[bytes], bool]:
        """As many records as fit below `limit`, and whether one did not."""
        out: list[bytes] = []
        for rr in records:
            data = self.record(rr)
            if self.offset + len(data) > limit:
                self.offset = limit  # miekg/dns Truncate: after the first that does not fit, none is added
                return out, True
            out.append(data)
            self.offset += len(data)
        return out, False


def write(
    query: Question,
    *,
    rcode: int = NOERROR,
    answer: Sequence[Record] = (),
    authority: Sequence[Record] = (),
    additional: Sequence[Record] = (),
    flags: int = AA,
    limit: int = MAX_TCP,
    edns_options: bytes = b"",
) -> bytes:
    """A response to `query` of at most `limit` bytes: compressed only if it must be, cut (TC) if that falls short.

    QR, opcode and RD are set as RFC 1035 wants; `flags` has the others. OPT is there if the query had one (RFC 6891,
    6.1.1), with `edns_options` in it.
    """
    opt = b""
    if query.edns is not None:
        opt = b"\0" + _FIXED.pack(OPT, query.edns, rcode >> 4 << 24, len(edns_options)) + edns_options
    flags |= QR | query.flags & (OPCODE | RD) | rcode & 0xF
    lower = query.key
    if lower != query.owner:  # the owner as the question spells it, as CoreDNS does
        answer = [rr._replace(owner=query.owner) if rr.owner == lower else rr for rr in answer]
    sections = (answer, authority, additional)
    head = 12 + len(query.owner) + 4
    size = head + len(opt)
    for section in sections:
        for rr in section:
            size += len(rr[0]) + 10 + len(rr[3])
    if size <= limit:
        pack = _FIXED.pack
        body = [[b"".join((o, pack(t, 1, ttl, len(d)), d)) for o, t, ttl, d in section] for section in sections]
    else:
        limit -= len(opt)
        writer = _Writer(12)
        writer.name(query.owner, 12)
        writer.offset = head
        body = []
        for section in sections:
            if section and writer.offset >= limit:
                body.append([])
                flags |= TC
                continue
            written, cut = writer.fill(section, limit)
            body.append(written)
            flags |= TC if cut else 0
    counts = [len(section) for section in body]
    counts[2] += bool(opt)
    header = _HEADER.pack(query.id, flags, 1, *counts)
    return b"".join([header, query.question_bytes, *body[0], *body[1], *body[2], opt])
