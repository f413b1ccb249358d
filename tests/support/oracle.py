"""What dnspython makes of a message, record by record: the other opinion that the reader of answers is compared with.

Names and data are dnspython's; which records count, and what becomes of several of a kind, is stated here once more.
"""

from __future__ import annotations

import struct

import dns.name
import dns.rdata
import dns.wire

from headless_discovery.message import AAAA, CNAME, NS, OPT, SOA, SRV, A, Message, RRset, Srv

READ = ((A, AAAA, SRV, CNAME), (SOA, NS), (A, AAAA))  # by section; all else is stepped over


def oracle(data: bytes) -> Message | None:
    """None for what is broken. With TC set, what is whole before the first broken record."""
    if len(data) < 12:
        return None
    _, flags, questions, *counts = struct.unpack_from("!6H", data)
    message = Message(flags & 15, bool(flags & 0x400), bool(flags & 0x200), bool(flags & 0x80), len(data))
    parser = dns.wire.Parser(data, 12)
    try:
        for _ in range(questions):
            parser.get_name(decompress=True)
            parser.get_struct("!HH")
    except Exception:  # anything from ValueError to struct.error, beside DNSException
        return None
    opts = 0
    try:
        for section, count in enumerate(counts):
            for _ in range(count):
                opts += record(parser, section, message)
                if opts > 1:
                    return message if message.truncated else None
        whole = not parser.remaining()
    except Exception:
        whole = False
    return message if whole or message.truncated else None


def record(parser: dns.wire.Parser, section: int, message: Message) -> bool:
    """Reads one record into the message; whether it is an OPT record."""
    owner = parser.get_name(decompress=True)
    rdtype, rdclass, ttl, length = parser.get_struct("!HHIH")
    if rdtype == OPT:
        parser.get_bytes(length)
        if section != 2 or owner != dns.name.root:
            raise ValueError("OPT where it does not belong")
        message.rcode = message.rcode & 15 | ttl >> 24 << 4
        return True
    if rdclass != 1 or rdtype not in READ[section]:
        parser.get_bytes(length)
        return False
    with parser.restrict_to(length):
        rdata = dns.rdata.from_wire_parser(1, rdtype, parser)
    ttl = ttl if ttl < 2**31 else 0
    name = text(owner)
    if rdtype == NS:
        message.has_ns = True
    elif rdtype == SOA:
        minimum = rdata.minimum if rdata.minimum < 2**31 else 0
        before = message.soa or (ttl, minimum)
        message.soa = (min(ttl, before[0]), min(minimum, before[1]))
    elif section == 2:
        message.glue.setdefault(name, []).append(rdata.to_wire())
    else:
        held = message.answer.setdefault((name, rdtype), RRset(ttl, []))
        held.ttl = min(held.ttl, ttl)
        if rdtype == SRV:
            held.values.append(Srv(rdata.priority, rdata.weight, rdata.port, text(rdata.target)))
        elif rdtype == CNAME:
            held.values.append(text(rdata.target))
        else:
            held.values.append(rdata.to_wire())
    return False


def text(name: dns.name.Name) -> str:
    return name.to_text().lower().removesuffix(".")
