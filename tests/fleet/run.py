"""One fleet over some virtual time, and what was counted at its DNS servers."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from heapq import heapify, heapreplace
from itertools import accumulate

from .clients import Make, News
from .servers import BUCKET, Address, Asked, Cache, Counted, Outage, Zone

A_SECOND = round(1 / BUCKET)  # buckets
NO_OUTAGE = Outage()


@dataclass(frozen=True)
class Dns:
    """The servers: so many CoreDNS replicas behind one address, with caches or without; NodeLocal DNSCache for each
    `pods` clients. A node's cache asks over TCP connections that it keeps, so it stays with one replica.
    """

    replicas: int = 2
    cache: bool = True
    pods: int = 0

    def fronts(self, clients: int, ttl: int, rng: random.Random, buckets: list[int], outage: Outage) -> list[Asked]:
        """What clients ask, each its own; queries to CoreDNS go into `buckets`."""
        zone = Zone(ttl)
        replicas: list[Asked] = [Cache(zone) if self.cache else zone for _ in range(self.replicas)]
        if not self.pods:
            return [Counted(Address(replicas, rng), buckets, outage)]
        counted = [Counted(replica, buckets, outage) for replica in replicas]
        return [Cache(counted[node % self.replicas]) for node in range(-(-clients // self.pods))]


@dataclass(frozen=True)
class Fleet:
    """Clients that start within the first `spread` seconds; counted from second `begin` to `end`."""

    clients: int
    ttl: int
    make: Make
    dns: Dns = Dns()
    spread: float = 60.0
    begin: float = 120.0
    end: float = 240.0
    outage: Outage = NO_OUTAGE
    seed: int = 1

    def prepare(self) -> tuple[random.Random, list[int], News, list[Asked], list[float]]:
        """The fleet's randomness, its counters, what clients ask (taken in turn), and when each of them starts."""
        rng = random.Random(self.seed)
        buckets = [0] * (round(self.end / BUCKET) + 1)
        fronts = self.dns.fronts(self.clients, self.ttl, rng, buckets, self.outage)
        return (
            rng,
            buckets,
            News(self.begin, self.end),
            fronts,
            [rng.random() * self.spread for _ in range(self.clients)],
        )

    def run(self) -> Outcome:
        rng, buckets, news, fronts, starts = self.prepare()
        step = [
            self.make(fronts[number % len(fronts)], self.ttl, start, rng, news).step
            for number, start in enumerate(starts)
        ]
        due = [(start, number) for number, start in enumerate(starts)]
        heapify(due)
        end = self.end
        while due[0][0] < end:
            now, number = due[0]
            heapreplace(due, (step[number](now), number))
        return self.outcome(buckets, news)

    def outcome(self, buckets: Sequence[int], news: News) -> Outcome:
        return Outcome(self, buckets[: round(self.end / BUCKET)], news)


@dataclass(frozen=True)
class Window:
    """Queries in each 0.1 s of some time."""

    buckets: Sequence[int]

    @property
    def mean(self) -> float:
        """Queries a second."""
        return sum(self.buckets) / len(self.buckets) / BUCKET

    @property
    def peak(self) -> int:
        """Queries in the worst second, wherever it begins (in steps of 0.1 s)."""
        sums = [0, *accumulate(self.buckets)]
        return max(after - before for before, after in zip(sums, sums[A_SECOND:], strict=False))

    @property
    def peak_tenth(self) -> int:
        """Queries in the worst tenth of a second, as a rate."""
        return A_SECOND * max(self.buckets)


@dataclass(frozen=True)
class Outcome:
    fleet: Fleet
    buckets: Sequence[int]
    news: News

    def between(self, begin: float, end: float) -> Window:
        return Window(self.buckets[round(begin / BUCKET) : round(end / BUCKET)])

    @property
    def counted(self) -> Window:
        return self.between(self.fleet.begin, self.fleet.end)
