"""DNS messages (RFC 1035, 4; RFC 6891): question bytes out, answer bytes in. Knows bytes, not what they mean."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple, TypeAlias

import dns.exception
import dns.message
import dns.name
import dns.rdatatype
import dns.rdtypes.ANY.CNAME
import dns.rdtypes.ANY.SOA
import dns.rdtypes.IN.A
import dns.rdtypes.IN.AAAA
import dns.rdtypes.IN.SRV

from .model import normal_name, packed_address

A, NS, CNAME, SOA, AAAA, SRV = 1, 2, 5, 6, 28, 33
TYPE_NAMES = {A: "A", AAAA: "AAAA", SRV: "SRV"}
NOERROR, FORMERR, SERVFAIL, NXDOMAIN, NOTIMP, REFUSED, BADVERS = 0, 1, 2, 3, 4, 5, 16
RCODE_NAMES = {0: "NOERROR", 1: "FORMERR", 2: "SERVFAIL", 3: "NXDOMAIN", 4: "NOTIMP", 5: "REFUSED", 16: "BADVERS"}
EDNS_SIZE = 1232  # what passes any path unfragmented (DNS Flag Day 2020)

_HEADER = struct.Struct("!HHHHHH")
_QR, _OPCODE, _AA, _TC, _RA = 0x8000, 0x7800, 0x0400, 0x0200, 0x0080
_RD = 0x0100
# Root owner, type OPT, our UDP size, no extended rcode, version 0, no options (RFC 6891, 6.1.2).
_OPT = struct.pack("!BHHIH", 0, 41, EDNS_SIZE, 0, 0)


class WireError(Exception):
    """The bytes are not the DNS message they should be."""


class Srv(NamedTuple):
    """One SRV record (RFC 2782). `target` is lower case without final dot; empty for "."."""

    priority: int
    weight: int
    port: int
    target: str


Value: TypeAlias = bytes | str | Srv  # packed address (A, AAAA), name (CNAME), Srv


@dataclass(slots=True)
class RRset:
    """Records of one name and type. `ttl` is their lowest (RFC 2181, 5.2); with the top bit set, 0 (RFC 2181, 8)."""

    ttl: int
    values: list[Value]


@dataclass(slots=True)
class Message:
    """What discovery needs of an answer. Names are lower case without final dot."""

    rcode: int
    authoritative: bool
    truncated: bool
    recursion_available: bool
    size: int
    answer: dict[tuple[str, int], RRset] = field(default_factory=dict)
    glue: dict[str, list[bytes]] = field(default_factory=dict)
    soa: tuple[int, int] | None = None  # (TTL, MINIMUM) of the SOA in the authority section, RFC 2308
    has_ns: bool = False


@lru_cache(maxsize=4096)
def _question(name: str, rdtype: int) -> bytes:
    try:
        return dns.name.from_text(name).to_wire() + struct.pack("!HH", rdtype, 1)  # type: ignore[operator]
    except dns.exception.DNSException as error:
        raise WireError(f"{name!r}: {error}") from None


class Query:
    """One question as it goes over the wire, and the test that tells its answer from anybody else's bytes."""

    __slots__ = ("_question", "ident", "wire")

    def __init__(self, name: str, rdtype: int, ident: int, *, edns: bool) -> None:
        self._question = _question(name, rdtype)
        self.ident = ident
        self.wire = _HEADER.pack(ident, _RD, 1, 0, 0, int(edns)) + self._question + (_OPT if edns else b"")

    def read(self, data: bytes) -> Message | None:
        """The answer in `data`; None if it is not for this query (RFC 5452, 9.1). Raises `WireError` for garbage."""
        if len(data) < 12:
            return None
        ident, flags, questions, answers, *_ = _HEADER.unpack_from(data)
        if ident != self.ident or not flags & _QR or flags & _OPCODE:
            return None
        end = 12 + len(self._question)
        if questions == 1:
            # Length octets are below 64, so lower() touches letters only: names compare as RFC 4343 wants.
            if data[12:end].lower() != self._question.lower():
                return None
        elif questions or answers or flags & 0xF in (NOERROR, NXDOMAIN):
            return None  # only an error may come without its question: some servers send FORMERR so
        return read(data)


def read(data: bytes) -> Message:
    """Parse one message. Raises `WireError`."""
    if len(data) < 12:
        raise WireError("shorter than a header")
    flags = int.from_bytes(data[2:4], "big")
    try:
        parsed = dns.message.from_wire(data, continue_on_error=bool(flags & _TC))
    except Exception as error:  # garbage raises anything from ValueError to struct.error, beside DNSException
        raise WireError(f"{type(error).__name__}: {error}") from None
    message = Message(
        rcode=int(parsed.rcode()),
        authoritative=bool(flags & _AA),
        truncated=bool(flags & _TC),
        recursion_available=bool(flags & _RA),
        size=len(data),
    )
    for rrset in parsed.answer:
        if rrset.rdclass != 1 or rrset.rdtype not in (A, AAAA, SRV, CNAME):
            continue
        name = normal_name(rrset.name.to_text())
        message.answer[name, int(rrset.rdtype)] = RRset(_ttl(rrset.ttl), [_value(rdata) for rdata in rrset])
    for rrset in parsed.additional:
        if rrset.rdclass == 1 and rrset.rdtype in (A, AAAA):
            name = normal_name(rrset.name.to_text())
            message.glue.setdefault(name, []).extend(packed_address(rdata.address) for rdata in rrset)
    for rrset in parsed.authority:
        if rrset.rdtype == SOA:
            message.soa = (_ttl(rrset.ttl), _ttl(rrset[0].minimum))
        elif rrset.rdtype == NS:
            message.has_ns = True
    return message


def _ttl(ttl: int) -> int:
    return 0 if ttl & 0x8000_0000 else ttl


def _value(rdata: object) -> Value:
    match rdata:
        case dns.rdtypes.IN.A.A() | dns.rdtypes.IN.AAAA.AAAA():
            return packed_address(rdata.address)
        case dns.rdtypes.IN.SRV.SRV():
            return Srv(rdata.priority, rdata.weight, rdata.port, normal_name(rdata.target.to_text()))
        case dns.rdtypes.ANY.CNAME.CNAME():
            return normal_name(rdata.target.to_text())
    raise WireError(f"unexpected rdata {rdata!r}")


class Frames:
    """Messages out of a TCP stream: two octets of length, then the message (RFC 1035, 4.2.2; RFC 7766, 8)."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        self._buffer += data
        messages = []
        while len(self._buffer) >= 2:
            end = 2 + int.from_bytes(self._buffer[:2], "big")
            if len(self._buffer) < end:
                break
            messages.append(bytes(self._buffer[2:end]))
            del self._buffer[:end]
        return messages


def frame(message: bytes) -> bytes:
    return len(message).to_bytes(2, "big") + message
