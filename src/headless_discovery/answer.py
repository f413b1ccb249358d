"""What a lookup finds and membership believes: the values that pass between the two."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias

from .message import AAAA, A
from .settings import Family
from .target import Server

Key: TypeAlias = bytes | tuple[str, int]  # packed address (A, AAAA), or (target, port) (SRV)
Rdtype: TypeAlias = int
Known: TypeAlias = tuple[bytes, ...] | None  # the addresses of one family; () if there are none, None if not known yet

FAMILIES: dict[Family, tuple[Rdtype, ...]] = {"auto": (A, AAAA), "any": (A, AAAA), "ipv4": (A,), "ipv6": (AAAA,)}
SIZES = {A: 4, AAAA: 16}


class Addresses(NamedTuple):
    """What is known of a target's addresses: A and AAAA are two RRsets, and one says nothing of the other
    (RFC 2181, 5).
    """

    v4: Known = None
    v6: Known = None

    def get(self, rdtype: Rdtype) -> Known:
        return self.v4 if rdtype == A else self.v6

    def having(self, rdtype: Rdtype, known: Known) -> Addresses:
        return Addresses(known, self.v6) if rdtype == A else Addresses(self.v4, known)

    @property
    def all(self) -> tuple[bytes, ...]:
        return (self.v4 or ()) + (self.v6 or ())

    def lacks(self, family: Family) -> bool:
        """Something that `family` needs is not known yet. "auto" needs AAAA only where there is no A."""
        if family == "auto":
            return self.v4 is None or (not self.v4 and self.v6 is None)
        return any(self.get(rdtype) is None for rdtype in FAMILIES[family])


class Detail(NamedTuple):
    """What an SRV answer says of a target and port."""

    priority: int
    weight: int
    addresses: Addresses


Members: TypeAlias = Mapping[Key, Detail | None]


@dataclass(frozen=True, slots=True)
class Part:
    """What was said about one record type. Without `members` it is negative: NXDOMAIN, or NODATA (RFC 2308).

    `has_soa`: a negative answer carried the zone's SOA, as RFC 2308 wants. `complete`: no record was cut off.
    """

    rdtype: Rdtype
    ttl: float
    members: Members = field(default_factory=dict)
    complete: bool = True
    nxdomain: bool = False
    has_soa: bool = False

    @property
    def negative(self) -> bool:
        return not self.members


@dataclass(frozen=True, slots=True)
class Rival:
    """What another name of the search list has, while peers are held by `Answer.name`."""

    name: str
    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class Answer:
    """What a lookup found. `parts` has one part per record type that speaks for the service (two for family "any").

    `server`: None for the hosts file. `instead`: the parts of another record type, which replace a negative one once
    the emptiness is believed. `rival`: another name that has peers. `verified`: SRV targets asked for by their own
    name, and the addresses they have, if any. `warning`: what is odd, in words.
    """

    name: str
    parts: tuple[Part, ...]
    server: Server | None
    tcp: bool
    size: int
    instead: tuple[Part, ...] = ()
    rival: Rival | None = None
    whole: bool = True
    verified: Mapping[str, Addresses] = field(default_factory=dict)
    warning: str | None = None

    @property
    def ttl(self) -> float:
        return min(part.ttl for part in self.parts)

    @property
    def source(self) -> str:
        return "the hosts file" if self.server is None else str(self.server)


@dataclass(frozen=True, slots=True)
class Held:
    """What membership holds when it asks: the record type its members came by, their ports, targets to verify.

    `members`: what is known of their addresses. `name`: the name that they came by. Askers that differ in nothing else
    share a lookup.
    """

    rdtype: Rdtype | None = None
    ports: frozenset[int] = frozenset()
    verify: tuple[str, ...] = ()
    members: Members = field(default_factory=dict, compare=False)
    name: str | None = None


NOTHING_HELD = Held()
