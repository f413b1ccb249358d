"""Who refreshes one service's peers over the same sockets and the same server, each in a zone of its own.

aiodns is asked for records with a TTL of 0, which c-ares does not cache; the others have no cache. The library's have
a TTL of an hour, so that it asks when it is told to and at no other time.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import AbstractContextManager, AsyncExitStack, asynccontextmanager, closing
from dataclasses import dataclass
from typing import Any

from bare import Bare
from interop.zones import ORIGIN, name
from knot import Counting, knot, origin, services

from headless_discovery import AsyncHeadlessService
from headless_discovery.message import SRV, A

HOUR = 3600
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

    def name(self, way: str) -> str:
        label = f"a{self.size}" if self.records == "A" else f"_http._tcp.srv{self.size}"
        return name(label).replace(ORIGIN, ZONES[way])


def served(cases: Iterable[Case]) -> AbstractContextManager[Counting]:
    """Knot with these services in all zones."""
    sizes: dict[str, list[int]] = {"A": [], "SRV": []}
    for case in cases:
        sizes[case.records].append(case.size)
    return knot({z: services(sizes["A"], sizes["SRV"], 0 if w == AIODNS else HOUR) for w, z in ZONES.items()})


class Competitors:
    """What one refresh of each is, and how many queries it took."""

    def __init__(self, case: Case, server: Counting, service: AsyncHeadlessService, refresh: dict[str, Refresh]) -> None:
        self.refresh = refresh
        self.case = case
        self._server = server
        self._service = service

    def asked(self) -> dict[str, int]:
        """Queries so far, counted at the server."""
        return {way: sum(self._server.counts(zone).values()) for way, zone in ZONES.items()}

    def check(self, before: dict[str, int], calls: int) -> dict[str, float]:
        """Queries for each call since `before`. Raises `RuntimeError` for anybody who did not ask each time."""
        each = {way: (count - before[way]) / calls for way, count in self.asked().items()}
        for way in self.refresh:
            if each[way] < 1:
                raise RuntimeError(f"{self.case}: {way} asked the server {each[way]:g} times a call: not a fair race")
        if not self._service.peers():
            raise RuntimeError(f"{self.case}: no peers")
        return each


@asynccontextmanager
async def competitors(case: Case, server: Counting) -> AsyncIterator[Competitors]:
    import aiodns
    import dns.asyncresolver

    nameserver = server.nameserver
    truncated = bool(server.ask(case.name(BARE), case.records).flags & 0x0200)
    cares = aiodns.DNSResolver(nameservers=[nameserver])
    resolver = dns.asyncresolver.Resolver(configure=False)
    resolver.nameservers, resolver.port = ["127.0.0.1"], server.port
    async with AsyncExitStack() as stack:
        bare, kept = (
            stack.enter_context(closing(Bare(case.name(way), case.rdtype, server.port, tcp=truncated, kept=way == KEPT)))
            for way in (BARE, KEPT)
        )
        service = AsyncHeadlessService(
            case.name(LIBRARY),
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
                AIODNS: lambda: cares.query_dns(case.name(AIODNS), case.records),
                DNSPYTHON: lambda: resolver.resolve(case.name(DNSPYTHON) + ".", case.records),
                BARE: bare,
                KEPT: kept,
            },
        )
