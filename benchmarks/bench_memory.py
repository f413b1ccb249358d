"""`peers()` and `pick()` on a started service, against a bare cycle."""

from __future__ import annotations

import asyncio
import itertools

import dns.resolver
from harness import Candidate, Goal, Result, benchmark, race

from headless_discovery import AsyncHeadlessService, HeadlessService
from headless_discovery.testing import DNSServer

LIMIT = 3.0


class Bare:
    """The least that a round robin can be: the yardstick."""

    def __init__(self, members: list[str]) -> None:
        self._cycle = itertools.cycle(members)

    def pick(self) -> str:
        return next(self._cycle)


class CachedLookup:
    """dnspython as many use it: a resolver with a cache, asked for each call, and a cycle over its answer."""

    def __init__(self, name: str, nameserver: str) -> None:
        host, _, port = nameserver.rpartition(":")
        self._name = name
        self._resolver = dns.resolver.Resolver(configure=False)
        self._resolver.nameservers = [host]
        self._resolver.port = int(port)
        self._resolver.cache = dns.resolver.LRUCache()
        self._turn = itertools.count()

    def pick(self) -> str:
        answer = self._resolver.resolve(self._name, "A")
        return answer[next(self._turn) % len(answer)].address


@benchmark("memory")
def memory(quick: bool) -> Result:
    rounds = 5 if quick else 401
    with DNSServer(ttl=3600) as dns:
        small = dns.service("small", "bench", pods=3, ports={"http": 8080})
        large = dns.service("large", "bench", pods=1000, ports={"http": 8080})

        async def measure() -> list[dict[str, object]]:
            options = {"port": 8080, "nameservers": [dns.nameserver]}
            with HeadlessService(small.name, **options) as few, HeadlessService(large.name, **options) as many:
                async with AsyncHeadlessService(small.name, **options) as afew:
                    bare = Candidate(
                        "bare `next(itertools.cycle)` in a method", "s.pick()", {"s": Bare(["a", "b", "c"])}
                    )
                    return race(
                        [
                            Candidate("`HeadlessService.peers()`", "s.peers()", {"s": few}),
                            Candidate("`HeadlessService.pick()`", "s.pick()", {"s": few}),
                            Candidate("`HeadlessService.peers()`, 1000 peers", "s.peers()", {"s": many}),
                            Candidate("`HeadlessService.pick()`, 1000 peers", "s.pick()", {"s": many}),
                            Candidate("`AsyncHeadlessService.peers()`", "s.peers()", {"s": afew}),
                            Candidate("`AsyncHeadlessService.pick()`", "s.pick()", {"s": afew}),
                            Candidate(
                                "dnspython, `resolve()` from its `LRUCache`",
                                "s.pick()",
                                {"s": CachedLookup(small.name, dns.nameserver)},
                            ),
                        ],
                        bare,
                        rounds=rounds,
                    )

        rows = asyncio.run(measure())
    goals = [Goal(f"{row['what']}, times a bare cycle", row["ratio"]["median"], LIMIT) for row in rows[1:-1]]
    return Result(
        "What a call costs",
        "Nanoseconds for one call on a started service with the default strategy, round robin.",
        {"what": "call", "ns": "ns", "ratio": "ratio"},
        rows,
        goals,
    )
