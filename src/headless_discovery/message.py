"""What a DNS message is to the rest of the library: record types, rcodes, and the values read from an answer."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias

A, NS, CNAME, SOA, AAAA, SRV, OPT = 1, 2, 5, 6, 28, 33, 41
TYPE_NAMES = {A: "A", AAAA: "AAAA", SRV: "SRV"}
NOERROR, FORMERR, SERVFAIL, NXDOMAIN, NOTIMP, REFUSED, BADVERS = 0, 1, 2, 3, 4, 5, 16
RCODE_NAMES = {0: "NOERROR", 1: "FORMERR", 2: "SERVFAIL", 3: "NXDOMAIN", 4: "NOTIMP", 5: "REFUSED", 16: "BADVERS"}


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
