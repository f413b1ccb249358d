"""Who refreshes one service's peers over the same sockets and the same server, each in a zone of its own.

aiodns is asked for records with a TTL of 0, which c-ares does not cache; the others have no cache. The library's have
a TTL of an hour, so that it asks when it is told to and at no other time.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import AbstractContextManager, AsyncExitStack, asynccontextmanager, closing
from dataclasses import dataclass
from functools import partial
from typing import Any

from bare import Bare
from knot import Counting, knot, origin, with_ttl
from shared import ORIGIN, Record, addresses, headless, name, v4

from headless_discovery import AsyncHeadlessService
from headless_discovery.message import SRV, A

HOUR = 3600
LARGEST = 4092  # A records in one message, 16 bytes each (RFC 1035, 4.2.2: its length is two octets)
LIBRARY, AIODNS, DNSPYTHON, BARE, KEPT = "library", "aiodns", "dnspython", "bare", "kept"
ZONES = {way: origin(number) for number, way in enumerate((LIBRARY, AIODNS, DNSPYTHON, BARE, KEPT), 1)}

Refresh = Callable[[], Awaitable[Any]]


@dataclass(frozen=True)
class Case:
    """One service: so many A records, or SRV records with glue."""

    records: str
    size: int

    def __str__(self) -> str:
        return f"{self.size:,} {self.records}"

    @property
    def rdtype(self) -> int:
        return A if self.records == "A" else SRV

    @property
    def services(self) -> list[str]:
        """More than one where the records would not fit into a message of 64 KiB. Short names: 800 SRV just fit."""
        return [
            f"{self.records[0].lower()}{self.size}{part}" for part in ([""] if self.size <= LARGEST else ["-0", "-1"])
        ]

    def names(self, way: str) -> list[str]:
        prefix = "" if self.records == "A" else "_http._tcp."
        return [name(prefix + service).replace(ORIGIN, ZONES[way]) for service in self.services]

    def published(self, network: int) -> list[Record]:
        """Everything that a DNS server has on it, with addresses of 10.network.0.0/16."""
        all_ = v4(network, self.size)
        parts = len(self.services)
        shares = [(service, all_[part::parts]) for part, service in enumerate(self.services)]
        if self.records == "A":
            return [record for service, share in shares for record in addresses(name(service), share)]
        return [record for service, share in shares for record in headless(service, share)]


def served(cases: Iterable[Case]) -> AbstractContextManager[Counting]:
    """Knot with these services in all zones."""
    records = [record for network, case in enumerate(cases, 40) for record in case.published(network)]
    return knot({zone: with_ttl(0 if way == AIODNS else HOUR, records) for way, zone in ZONES.items()})


class Competitors:
    """What one refresh of each is, and how many queries it took."""

    def __init__(
        self, case: Case, server: Counting, service: AsyncHeadlessService, refresh: dict[str, Refresh]
    ) -> None:
        self.refresh = refresh
        self.case = case
        self._server = server
        self._service = service

    def asked(self) -> dict[str, int]:
        """Queries so far, counted at the server."""
        return {way: sum(self._server.counts(zone).values()) for way, zone in ZONES.items()}

    def check(self, before: dict[str, int], calls: int, ways: Iterable[str]) -> dict[str, float]:
        """Queries for each call of these since `before`. Raises `RuntimeError` if anybody did not ask each time."""
        after = self.asked()
        each = {way: (after[way] - before[way]) / calls for way in ways}
        for way, asked in each.items():
            if asked < 1:
                raise RuntimeError(f"{self.case}: {way} asked the server {asked:g} times a call: not a fair race")
        if each[LIBRARY] > len(self.case.services):
            raise RuntimeError(f"{self.case}: the answer is not whole, {each[LIBRARY]:g} queries a call were needed")
        if len(self._service.peers()) != self.case.size or not self._service.status.complete:
            raise RuntimeError(f"{self.case}: {len(self._service.peers())} peers were found")
        return each


@asynccontextmanager
async def competitors(case: Case, server: Counting) -> AsyncIterator[Competitors]:
    import aiodns
    import dns.asyncresolver

    nameserver = server.nameserver
    truncated = bool(server.ask(case.names(BARE)[0], case.records).flags & dns.flags.TC)
    cares = aiodns.DNSResolver(nameservers=[nameserver], timeout=30)  # seconds: c-ares gives up early
    resolver = dns.asyncresolver.Resolver(configure=False)
    resolver.nameservers, resolver.port = ["127.0.0.1"], server.port

    def each(way: str, refresh: Callable[[str], Awaitable[Any]]) -> Refresh:
        """One name, or several at the same time."""
        names = case.names(way)
        return partial(refresh, names[0]) if len(names) == 1 else lambda: asyncio.gather(*map(refresh, names))

    async with AsyncExitStack() as stack:
        bare = {
            name: stack.enter_context(closing(Bare(name, case.rdtype, server.port, tcp=truncated, kept=way == KEPT)))
            for way in (BARE, KEPT)
            for name in case.names(way)
        }
        service = AsyncHeadlessService(
            case.names(LIBRARY),
            8080 if case.rdtype == A else None,
            nameservers=[nameserver],
            min_ttl=0,  # so that each refresh() asks
            max_ttl=HOUR,
        )
        await stack.enter_async_context(service)
        stack.push_async_callback(cares.close)
        yield Competitors(
            case,
            server,
            service,
            {
                LIBRARY: service.refresh,
                AIODNS: each(AIODNS, lambda name: cares.query_dns(name, case.records)),
                DNSPYTHON: each(DNSPYTHON, lambda name: resolver.resolve(name + ".", case.records)),
                BARE: each(BARE, lambda name: bare[name].ask()),
                KEPT: each(KEPT, lambda name: bare[name].ask()),
            },
        )
