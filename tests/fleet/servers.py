"""DNS servers, as far as TTLs go: who answers with how many seconds left, of data how old, and how often each is asked.

The caches are CoreDNS's `cache` plugin (plugin/cache/item.go, cache.go): whole seconds, counted down from when the
answer was stored, and at least `least` of them (MINTTL, 5 by default) at first.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

BUCKET = 0.1  # seconds


class Told(NamedTuple):
    """An answer: its TTL, and the moment when it was the truth. A TTL of 0 stands for SERVFAIL."""

    ttl: int
    since: float


SERVFAIL = Told(0, 0.0)


class Asked(Protocol):
    def ask(self, now: float) -> Told | None:
        """None: no answer ever comes."""
        ...


class Zone:
    """CoreDNS's `kubernetes` plugin: it holds the truth and answers with the whole TTL."""

    def __init__(self, ttl: int) -> None:
        self.ttl = ttl

    def ask(self, now: float) -> Told:
        return Told(self.ttl, now)


class Cache:
    def __init__(self, upstream: Asked, *, least: int = 5, most: int = 30) -> None:
        self._upstream = upstream
        self._least, self._most = least, most
        self._stored = self._since = 0.0
        self._ttl = 0

    def ask(self, now: float) -> Told | None:
        left = self._ttl - int(now - self._stored)
        if left <= 0:
            told = self._upstream.ask(now)
            if not told or not told.ttl:
                return told
            self._stored, self._since = now, told.since
            left = self._ttl = min(max(told.ttl, self._least), self._most)
        return Told(left, self._since)


class Address:
    """Replicas behind one address: kube-proxy draws one for each new socket, and each query has a socket of its own."""

    def __init__(self, replicas: Sequence[Asked], rng: random.Random) -> None:
        self._replicas, self._rng = replicas, rng

    def ask(self, now: float) -> Told | None:
        return self._replicas[int(self._rng.random() * len(self._replicas))].ask(now)


@dataclass(frozen=True)
class Outage:
    """From `begin` to `end` nobody answers, or everybody with `says`."""

    begin: float = 0.0
    end: float = 0.0
    says: Told | None = None


class Counted:
    """Counts queries on their way to a server, in buckets of 0.1 s."""

    def __init__(self, inner: Asked, buckets: list[int], outage: Outage) -> None:
        self._inner, self._buckets, self._outage = inner, buckets, outage

    def ask(self, now: float) -> Told | None:
        self._buckets[int(now / BUCKET)] += 1
        if self._outage.begin <= now < self._outage.end:
            return self._outage.says
        return self._inner.ask(now)
