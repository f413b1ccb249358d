"""The same fleets with the whole `Service`, from asker to picker, each client in a process of its own.

It is some ten times slower, and shows that what `clients.Library` leaves out changes none of the figures.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from headless_discovery.asker import Askers
from headless_discovery.message import Message, Srv
from headless_discovery.options import build
from headless_discovery.service import Service
from headless_discovery.target import Server
from headless_discovery.testing.message import NXDOMAIN, SRV, A
from headless_discovery.testing.message import SERVFAIL as SERVFAIL_RCODE
from headless_discovery.ticks import Ticks
from sansio import found, message, srv_found
from simulation.clock import VirtualHost
from simulation.network import Network, Weather
from simulation.world import DEFAULTS

from .clients import ADDRESSES, DELAY, NAME, PORT, News
from .run import Fleet, Outcome
from .servers import Asked

SERVER = Server("10.96.0.10")
_TEXTS = [".".join(map(str, packed)) for packed in ADDRESSES]
_FOUND = [found(NAME, A, *_TEXTS, ttl=ttl) for ttl in range(31)]
_SRV = srv_found(
    f"_http._tcp.{NAME}",
    [Srv(0, 33, PORT, f"web-{number}.{NAME}") for number in range(3)],
    {f"web-{number}.{NAME}": [text] for number, text in enumerate(_TEXTS)},
)


class Process:
    """A `ServiceHost` on a clock that all share. Nothing else is shared, as with processes."""

    def __init__(self, clock: VirtualHost, server: Any, rng: random.Random, start: float) -> None:
        network = Network({SERVER: server}, rng)
        network.weather = Weather(delay=(DELAY, DELAY))
        self._clock = clock
        self._start = start
        self.askers = Askers(self, network.converse)  # type: ignore[arg-type]  # no sockets are ever asked for
        self.call_at, self.arrives_at = clock.call_at, clock.arrives_at
        ticks = Ticks(self)
        ticks._phase = rng.random()
        self.call_near = ticks.call_near

    @property
    def now(self) -> float:
        return self._clock.now

    def time(self) -> float:
        return self._clock.now

    def stagger(self) -> float:
        return self._start


class Front:
    """What one client's packets reach; it tells `News` when the answer will be there."""

    def __init__(self, asked: Asked, start: float, news: News) -> None:
        self._asked, self._since, self._news = asked, start, news

    def answer(self, name: str, rdtype: int, tcp: bool, edns: bool, now: float) -> Message | str | None:
        told = self._asked.ask(now)
        if told is None:
            return None
        if not told.ttl:
            return message(SERVFAIL_RCODE, soa=(5, 5))
        if told.since > self._since:
            self._news.heard(now + DELAY, self._since, told.since)
            self._since = told.since
        return _FOUND[told.ttl]


def whole(fleet: Fleet, **options: Any) -> Outcome:
    """Runs `fleet`, whose `make` plays no part."""
    rng, buckets, news, fronts, starts = fleet.prepare()
    clock = VirtualHost(Network({}, rng).converse, lambda: 0.0, now=0.0)  # type: ignore[arg-type]
    kept = []
    for number, start in enumerate(starts):
        front = Front(fronts[number % len(fronts)], start, news)
        service = watch(NAME + ".", PORT, rng.getrandbits(32), **options)
        service.begin(Process(clock, front, rng, start))  # type: ignore[arg-type]
        kept.append(service)
    clock.run_until(fleet.end)
    assert all(service.status(clock.now).lookups for service in kept)
    return fleet.outcome(buckets, news)


def watch(target: str, port: int | str, seed: int, **options: Any) -> Service:
    nothing: Callable[..., None] = lambda *_: None  # noqa: E731
    ours = {"family": "auto", "nameservers": [str(SERVER)], "resolv_conf": "/nonexistent/resolv.conf"}
    chosen = DEFAULTS | ours | options
    return build(target, port, seed=seed, notify=nothing, deliver=nothing, **chosen)


# What one lookup costs.


class Zone:
    """CoreDNS with one headless service, or none; it notes what is asked."""

    def __init__(self, *, empty: bool = False) -> None:
        self._empty = empty
        self.asked: list[tuple[str, int]] = []

    def answer(self, name: str, rdtype: int, tcp: bool, edns: bool, now: float) -> Message | str | None:
        self.asked.append((name, rdtype))
        if self._empty or name not in (NAME, f"_http._tcp.{NAME}"):
            return message(NXDOMAIN, soa=(5, 5))
        if rdtype == SRV:
            return _SRV
        return _FOUND[5] if rdtype == A else message(soa=(5, 5))


def queries(target: str, port: int | str, resolv_conf: str, *, empty: bool = False, **options: Any) -> tuple[int, int]:
    """Queries of the first lookup of one client, and of its second."""
    clock = VirtualHost(Network({}, random.Random(1)).converse, lambda: 0.0, now=0.0)  # type: ignore[arg-type]
    zone = Zone(empty=empty)
    service = watch(target, port, 1, resolv_conf=resolv_conf, **options)
    service.begin(Process(clock, zone, random.Random(1), 0.0))  # type: ignore[arg-type]
    counts: list[int] = []
    while len(counts) < 2:
        before = service.status(clock.now).lookups
        asked = len(zone.asked)
        while service.status(clock.now).lookups == before:
            clock.run_until(clock.now + 0.5)
        counts.append(len(zone.asked) - asked)
    return counts[0], counts[1]
