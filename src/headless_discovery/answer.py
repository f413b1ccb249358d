"""What a lookup finds and membership believes: the values that pass between the two."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias

from .target import Server

Key: TypeAlias = bytes | tuple[str, int]  # packed address (A, AAAA), or (target, port) (SRV)
Rdtype: TypeAlias = int


class Detail(NamedTuple):
    """What an SRV answer says of a target and port. `addresses`: None if not known yet, () if it has none."""

    priority: int
    weight: int
    addresses: tuple[bytes, ...] | None


Members: TypeAlias = Mapping[Key, Detail | None]


@dataclass(frozen=True, slots=True)
class Part:
    """What was said about one record type. Without `members` it is negative: NXDOMAIN, or NODATA (RFC 2308).

    `has_soa`: a negative answer carried the zone's SOA, as RFC 2308 wants. `complete`: nothing was cut off.
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
class Answer:
    """What a lookup found. `parts` has one part per record type that speaks for the service (two for family "any").

    `instead`: the part that would replace a negative one, once the emptiness is believed. `verified`: SRV targets
    asked for by name, and the addresses they have, if any. `warning`: what is odd, in words.
    """

    name: str
    parts: tuple[Part, ...]
    server: Server
    tcp: bool
    size: int
    instead: Part | None = None
    whole: bool = True
    verified: Mapping[str, tuple[bytes, ...]] = field(default_factory=dict)
    warning: str | None = None

    @property
    def ttl(self) -> float:
        return min(part.ttl for part in self.parts)


@dataclass(frozen=True, slots=True)
class Held:
    """What membership holds when it asks: the record type its members came by, their ports, names to verify.

    `members`: what is known of their addresses. Askers that differ in nothing else share a lookup.
    """

    rdtype: Rdtype | None = None
    ports: frozenset[int] = frozenset()
    verify: tuple[str, ...] = ()
    members: Members = field(default_factory=dict, compare=False)


NOTHING_HELD = Held()
