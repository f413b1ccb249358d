"""What model servers say: DNS messages as bytes, and beside each one the truth that its server answered from.

It uses neither the library's reader and writer nor those of its test server.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, NamedTuple

from .cluster import NOBODY, Snapshot

A, NS, CNAME, SOA, AAAA, SRV, OPT = 1, 2, 5, 6, 28, 33, 41
FORMERR, SERVFAIL, NXDOMAIN, REFUSED, BADVERS = 1, 2, 3, 5, 16
QR, AA, TC, RD, RA = 0x8000, 0x0400, 0x0200, 0x0100, 0x0080

# positive: records of the name. negative: NXDOMAIN or NODATA. foreign: records of another name alone. nothing: the
# rest, which says nothing about the name.
Says = Literal["positive", "negative", "foreign", "nothing"]


@dataclass(slots=True, frozen=True, eq=False)
class Note:
    """What is known of one reply and is not in it.

    `counts`: the server belongs to the cluster and answers for this name. `view`: the pods that its cache entry had,
    whatever the message left out; for a lie of the fault script, what the lie says. `shown`: the addresses in the
    message; `targets`: those of its SRV records. `whole`: no record of the answer section was cut off, and DNS lets
    the asker know that. `told`: the (target, size of address) whose addresses are all in the message, and the message
    is not truncated.
    """

    name: str
    rdtype: int
    says: Says
    counts: bool = True
    view: Snapshot = NOBODY
    shown: frozenset[bytes] = frozenset()
    targets: frozenset[str] = frozenset()
    whole: bool = True
    told: frozenset[tuple[str, int]] = frozenset()
    ttl: int = 0
    has_soa: bool = True


@dataclass(slots=True)
class Reply:
    """A message without its id and question. `rcode` may be an extended one. `extended`: EDNS options to add."""

    flags: int
    rcode: int
    counts: tuple[int, int, int]
    body: bytes
    note: Note
    extended: bytes = b""


class Question(NamedTuple):
    name: str
    rdtype: int
    end: int
    edns: bool


_HEADER = struct.Struct("!6H")
_FIXED = struct.Struct("!HHIH")


@lru_cache(maxsize=8192)
def wire_name(name: str) -> bytes:
    return b"".join(bytes([len(label)]) + label.encode() for label in name.split(".") if label) + b"\0"


@lru_cache(maxsize=16384)
def address_record(owner: str, ttl: int, address: bytes) -> bytes:
    return wire_name(owner) + _FIXED.pack(A if len(address) == 4 else AAAA, 1, ttl, len(address)) + address


@lru_cache(maxsize=16384)
def srv_record(owner: str, ttl: int, weight: int, port: int, target: str) -> bytes:
    rdata = struct.pack("!3H", 0, weight, port) + wire_name(target)
    return wire_name(owner) + _FIXED.pack(SRV, 1, ttl, len(rdata)) + rdata


@lru_cache(maxsize=1024)
def cname_record(owner: str, ttl: int, target: str) -> bytes:
    return wire_name(owner) + _FIXED.pack(CNAME, 1, ttl, len(wire_name(target))) + wire_name(target)


@lru_cache(maxsize=1024)
def soa_record(zone: str, ttl: int, minimum: int) -> bytes:
    rdata = wire_name(f"ns.dns.{zone}") + wire_name(f"hostmaster.{zone}")
    rdata += struct.pack("!5I", 1, 7200, 1800, 86400, minimum)
    return wire_name(zone) + _FIXED.pack(SOA, 1, ttl, len(rdata)) + rdata


@lru_cache(maxsize=1024)
def ns_record(zone: str, ttl: int) -> bytes:
    return wire_name(zone) + _FIXED.pack(NS, 1, ttl, len(wire_name(f"ns.{zone}"))) + wire_name(f"ns.{zone}")


def extended_error(code: int, text: str) -> bytes:
    """The option of RFC 8914, 2."""
    return struct.pack("!3H", 15, 2 + len(text), code) + text.encode()


@lru_cache(maxsize=4096)
def _question(rest: bytes) -> tuple[str, int, int]:
    labels, pos = [], 0
    while length := rest[pos]:
        labels.append(rest[pos + 1 : pos + 1 + length].decode())
        pos += 1 + length
    return ".".join(labels).lower(), int.from_bytes(rest[pos + 1 : pos + 3], "big"), 12 + pos + 5


def read_question(query: bytes) -> Question:
    return Question(*_question(query[12:]), query[10:12] != b"\0\0")


def encode(reply: Reply, query: bytes, asked: Question) -> bytes:
    """The reply's bytes, as the answer to `query`."""
    an, ns, ar = reply.counts
    opt = b""
    if asked.edns:
        ar += 1
        opt = b"\0" + _FIXED.pack(OPT, 1232, reply.rcode >> 4 << 24, len(reply.extended)) + reply.extended
    flags = QR | RD | reply.flags | reply.rcode & 0xF
    return query[:2] + _HEADER.pack(0, flags, 1, an, ns, ar)[2:] + query[12 : asked.end] + reply.body + opt
