"""dnspython reads what the reader finds unusual, where it is small: other opcodes, and several questions."""

from __future__ import annotations

import dns.message
import dns.rdatatype
import dns.rdtypes.ANY.CNAME
import dns.rdtypes.ANY.SOA
import dns.rdtypes.IN.A
import dns.rdtypes.IN.AAAA
import dns.rdtypes.IN.SRV

from .message import AAAA, CNAME, NS, SOA, SRV, A, Message, RRset, Srv, Value, WireError
from .model import normal_name, packed_address

_AA, _TC, _RA = 0x0400, 0x0200, 0x0080


def read(data: bytes) -> Message:
    """Parse one message. Raises `WireError`."""
    if len(data) < 12:
        raise WireError("shorter than a header")
    flags = int.from_bytes(data[2:4], "big")
    try:
        parsed = dns.message.from_wire(data, one_rr_per_rrset=True, continue_on_error=bool(flags & _TC))
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
        name, ttl = normal_name(rrset.name.to_text()), _ttl(rrset.ttl)
        held = message.answer.setdefault((name, int(rrset.rdtype)), RRset(ttl, []))
        held.ttl = min(held.ttl, ttl)
        held.values += map(_value, rrset)
    # Address records show that the answer section before them is whole, see Lookup; but not where some of it is broken.
    broken = parsed.errors and sum(map(len, parsed.answer)) < int.from_bytes(data[6:8], "big")
    for rrset in () if broken else parsed.additional:
        if rrset.rdclass == 1 and rrset.rdtype in (A, AAAA):
            name = normal_name(rrset.name.to_text())
            message.glue.setdefault(name, []).extend(packed_address(rdata.address) for rdata in rrset)
    for rrset in parsed.authority:
        if rrset.rdclass != 1:
            continue
        if rrset.rdtype == SOA:
            ttl, minimum = _ttl(rrset.ttl), _ttl(rrset[0].minimum)
            before = message.soa or (ttl, minimum)
            message.soa = (min(ttl, before[0]), min(minimum, before[1]))
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
