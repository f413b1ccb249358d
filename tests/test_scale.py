"""Rule 4: one lookup in flight per service, one I/O thread, shared lookups; and how often DNS is asked."""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import pairwise
from typing import Any

import pytest

from headless_discovery import AsyncHeadlessService, HeadlessService, Peer, PeerSet, ServiceClosed
from headless_discovery.aio import LoopHost
from headless_discovery.iothread import START_SPACING, io
from headless_discovery.testing import DNSServer
from support import PATIENCE, QUICK
from support.processes import python
from support.subscribers import eventually
from support.twins import AsyncTwin, Loop, Twin, both_twins
from support.virtual import VirtualHost

NAME = "headless-svc.moon.svc.cluster.local"


@pytest.fixture
def dns(headless_dns: DNSServer) -> DNSServer:
    return headless_dns


# --- identical lookups are shared


class Together:
    """Services in one place: the process's I/O thread, or one event loop."""

    def __init__(self, twin: Twin) -> None:
        self._twin = twin
        self._stack = ExitStack()
        self.loop = Loop() if twin is AsyncTwin else None

    def service(self, *args: Any, **options: Any) -> Any:
        if self.loop is not None:
            options["loop"] = self.loop
        service = self._twin(*args, **options)
        self._stack.callback(service.close)
        return service

    def __enter__(self) -> Together:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()
        if self.loop is not None:
            self.loop.stop()


def in_background(*functions: Any) -> tuple[list[threading.Thread], list[Any]]:
    results: list[Any] = []

    def run(function: Any) -> None:
        try:
            results.append(function())
        except ServiceClosed as error:
            results.append(error)

    threads = [threading.Thread(target=run, args=(function,), daemon=True) for function in functions]
    for thread in threads:
        thread.start()
    return threads, results


def core(service: Any) -> Any:
    return getattr(service, "service", service)._service


def asking(service: Any) -> bool:
    return any(name.in_flight for name in core(service)._names)


@both_twins
def test_services_with_the_same_question_share_the_lookup_in_flight(twin: Twin, dns: DNSServer) -> None:
    dns.service("headless-svc", "moon", pods=2)
    dns.fail("hold")
    with Together(twin) as place:
        services = [place.service(NAME, 8080, nameservers=[dns.nameserver], seed=seed) for seed in range(5)]
        threads, results = in_background(*[service.start for service in services])
        eventually(lambda: all(asking(service) for service in services), "everybody asks")
        assert dns.count() == 1
        dns.recover()
        for thread in threads:
            thread.join(PATIENCE)
        assert results == [services[0].peers()] * 5
        assert dns.count() == 1
        assert sum(service.status.queries for service in services) == 1  # counted once
        assert [service.status.lookups for service in services] == [1] * 5


@both_twins
def test_one_who_leaves_a_shared_lookup_takes_nothing_from_the_others(twin: Twin, dns: DNSServer) -> None:
    dns.service("headless-svc", "moon", pods=2)
    dns.fail("hold")
    with Together(twin) as place:
        services = [place.service(NAME, 8080, nameservers=[dns.nameserver]) for _ in range(3)]
        threads, results = in_background(*[service.start for service in services])
        eventually(lambda: all(asking(service) for service in services), "everybody asks")
        if twin is AsyncTwin:
            place.loop.run(services[0].service.close())
        else:
            services[0].close()
        dns.recover()
        for thread in threads:
            thread.join(PATIENCE)
        assert {type(result) for result in results} == {PeerSet, ServiceClosed}
        assert len(services[1].peers()) == len(services[2].peers()) == 2
        assert dns.count() == 1


@both_twins
def test_services_with_other_questions_or_settings_ask_for_themselves(twin: Twin, dns: DNSServer) -> None:
    dns.service("headless-svc", "moon", pods=2, ports={"http": 8080})
    dns.fail("hold")
    with Together(twin) as place:
        services = [
            place.service(NAME, 8080, nameservers=[dns.nameserver]),
            place.service(NAME, "http", nameservers=[dns.nameserver]),
            place.service(NAME, 8080, nameservers=[dns.nameserver], max_peers=1),
        ]
        threads, _ = in_background(services[0].start, services[1].start, lambda: services[2].wait_for(0, PATIENCE))
        eventually(lambda: all(asking(service) for service in services), "everybody asks")
        dns.wait_for_queries(3)
        dns.recover()
        for service in services[:2]:
            assert len(service.start()) == 2
        # max_peers is this one's alone. It tries again after a random time, which may be a moment.
        eventually(lambda: services[2].status.failures >= 1)
        assert services[0].status.failures == 0
        services[2].close() if twin is not AsyncTwin else place.loop.run(services[2].service.close())
        for thread in threads:
            thread.join(PATIENCE)


@both_twins
def test_one_lookup_in_flight_for_each_service(twin: Twin, dns: DNSServer) -> None:
    """However slow the server, and however many ask for a refresh: its log shows one question at a time."""
    dns.service("headless-svc", "moon", pods=2)
    under_way, most = 0, 0

    def slow(exchange: Any) -> Iterator[Any]:
        nonlocal under_way, most
        from headless_discovery.testing import Send, Wait

        under_way += 1
        most = max(most, under_way)
        yield Wait(0.02)
        under_way -= 1
        yield Send(exchange.answer)

    with twin(NAME, 8080, nameservers=[dns.nameserver], **QUICK) as svc:
        dns.fail(slow)

        def refresh_often() -> None:
            for _ in range(5):
                svc.refresh()

        threads, _ = in_background(*[refresh_often] * 6)
        for thread in threads:
            thread.join(PATIENCE)
        assert svc.status.lookups >= 5
        assert svc.status.failures == 0
    assert most == 1


# --- threads


def test_one_io_thread_however_many_services(dns: DNSServer) -> None:
    web = [dns.service(f"s{number}", "moon", pods=1) for number in range(50)]
    with ExitStack() as stack:
        services = [
            stack.enter_context(HeadlessService(each.name, 80, nameservers=[dns.nameserver], **QUICK)) for each in web
        ]
        for service in services:
            service.refresh()
        names = [thread.name for thread in threading.enumerate()]
        assert names.count("headless-discovery-io") == 1


async def test_async_services_need_no_thread(dns: DNSServer) -> None:
    web = [dns.service(f"s{number}", "moon", pods=1) for number in range(50)]
    before = set(threading.enumerate())
    services = [AsyncHeadlessService(each.name, 80, nameservers=[dns.nameserver], **QUICK) for each in web]
    await asyncio.gather(*[service.start() for service in services])
    await asyncio.gather(*[service.refresh() for service in services])
    assert set(threading.enumerate()) <= before
    for service in services:
        await service.close()


async def test_start_up_is_staggered() -> None:
    """Of services that start together, each asks a little later than the one before."""
    with io.lock:
        threads = [io.stagger() for _ in range(100)]
    loop_host = LoopHost(asyncio.get_running_loop())
    loop = [loop_host.stagger() for _ in range(100)]
    for starts in (threads, loop):
        assert all(later - earlier >= START_SPACING * 0.99 for earlier, later in pairwise(starts))
        assert starts[-1] - starts[0] < 1 + START_SPACING * 100  # and no later than that needs


def test_a_thousand_services_with_a_dead_server_among_them() -> None:
    """At most 8 threads, and those whose server lives are refreshed on time: the server's log is the witness."""
    python("""
    DEAD, LIVE, TTL, ROUNDS = 50, 950, 2, 3
    with DNSServer(ttl=TTL, cache=False) as dns, DNSServer(cache=False) as dead:
        dead.fail("timeout")
        dns.record("*.many.example", "A", TTL, "10.0.0.1", "10.0.0.2")
        names = [f"s{number}.many.example" for number in range(LIVE)]
        services = [HeadlessService(name, 80, nameservers=[dns.nameserver]) for name in names]
        silent = [HeadlessService(f"s{number}.dead.example", nameservers=[dead.nameserver]) for number in range(DEAD)]
        record = Record()
        for live, dead_one in zip([services[number::DEAD] for number in range(DEAD)], silent):
            live[0].watch(record)
            dead_one.watch(print)
            for service in live[1:]:
                service.changes()  # starts it
        most = 0
        while min(service.status.lookups for service in services) < ROUNDS:
            most = max(most, threading.active_count())
            threading.Event().wait(0.2)  # let them work; what is waited for is the loop's condition
        assert len(record.calls(DEAD)) == DEAD
        names = [thread.name for thread in threading.enumerate()]
        assert names.count("headless-discovery-io") == 1
        assert most <= 8, names  # two DNS servers, the main and the I/O thread, callbacks
        assert dead.count() >= DEAD
        assert all(service.status.state == "starting" for service in silent)
        assert {service.status.state for service in services} == {"fresh"}
        assert sum(service.status.failures for service in services) == 0
        asked = {}
        for query in dns.queries:
            asked.setdefault(query.name, []).append(query.time)
        gaps = [later - earlier for times in asked.values() for earlier, later in zip(times, times[1:])]
        assert min(gaps) >= TTL * 0.95
        assert max(gaps) <= TTL + 0.5 + 1.5, max(gaps)  # jitter, and a busy machine
        for service in [*services, *silent]:
            service.close()
    """)


# --- how often DNS is asked, in virtual time; the server's log is the witness


@pytest.fixture
def host() -> Iterator[VirtualHost]:
    with VirtualHost() as host:
        yield host


def per_minute(number: int, minutes: float) -> float:
    return number / minutes


MINUTES = 20


@pytest.mark.parametrize("ttl", [5, 10, 30])
def test_queries_per_minute_of_one_service(host: VirtualHost, ttl: int) -> None:
    """Against CoreDNS's cache, which counts its TTL down: at most 1.3 x 60 / TTL."""
    with DNSServer(ttl=ttl, clock=host.time) as dns:
        dns.service("headless-svc", "moon", pods=3)
        svc = HeadlessService(NAME, 8080, nameservers=[dns.nameserver])
        service = host.begin(svc)
        host.run(60 * MINUTES)
        assert per_minute(dns.count(), MINUTES) <= 1.3 * 60 / ttl
        gaps = [later.time - earlier.time for earlier, later in pairwise(dns.queries)]
        assert min(gaps) > 0.1
        assert max(gaps) <= ttl + max(0.5, ttl / 10)  # and never later than the rule has it
        status = service.status(host.time())
        assert (status.state, status.failures) == ("fresh", 0)
        service.close("done")


def test_who_starts_while_the_first_refresh_goes_on_waits_for_its_end(host: VirtualHost) -> None:
    """A refresh takes several answers where each is cut; before the last one there is no set."""
    with DNSServer(ttl=5, clock=host.time) as dns:
        dns.service("headless-svc", "moon", pods=300)
        svc = HeadlessService(NAME, 8080, nameservers=[dns.nameserver], tcp="never")
        service, begun, heard = svc._service, [], []

        def begin_again(_: object) -> None:
            if service._names[0].membership.sampling:
                begun.append(host.time())
                service.begin(host, lambda error: heard.append((error, service.status(host.time()).state)))
                assert not heard

        service.heard = begin_again
        host.begin(svc)
        host.run(1)
        assert len(begun) == 3
        assert heard == [(None, "fresh")] * 3
        service.close("done")


def test_queries_per_minute_of_a_fleet_behind_one_cache(host: VirtualHost) -> None:
    """Services of many processes see what is left of the TTL, from 5 to 1: each stays within the bound."""
    fleet = 10
    with DNSServer(ttl=5, clock=host.time) as dns:
        dns.service("headless-svc", "moon", pods=3)
        services = []
        for number in range(fleet):
            # Other settings, so that nothing is shared; they start all over the TTL.
            svc = HeadlessService(NAME, 8080, nameservers=[dns.nameserver], max_peers=1000 + number, seed=number)
            services.append((svc, host.begin(svc)))
            host.run(0.77)
        dns.clear_queries()
        before = [service.status(host.time()).queries for _, service in services]
        host.run(60 * MINUTES)
        assert per_minute(dns.count(), MINUTES) <= fleet * 1.3 * 60 / 5
        for asked, (_, service) in zip(before, services, strict=True):
            assert per_minute(service.status(host.time()).queries - asked, MINUTES) <= 1.3 * 60 / 5
            service.close("done")


def test_a_change_is_known_within_the_ttl_and_a_second(host: VirtualHost) -> None:
    """By the cache's clock: from when the server's answers have the new pod."""
    rng = random.Random(7)
    with DNSServer(ttl=5, clock=host.time) as dns:
        web = dns.service("headless-svc", "moon", pods=1)
        svc = HeadlessService(NAME, 8080, nameservers=[dns.nameserver])
        service = host.begin(svc)
        host.run(60)
        for pods in range(2, 40):
            host.run(rng.uniform(0, 10))
            web.scale(pods)
            changed = host.now
            expected = PeerSet(Peer(address, 8080) for address in web.addresses)
            while service.live.peers != expected:
                host.run(0.05)
            assert host.now - changed <= 5 + 1
        service.close("done")


def test_a_dead_server_is_asked_less_and_less(host: VirtualHost) -> None:
    """Full jitter from 0.5 s doubling to 10 s: the mean wait is 5 s in the end."""
    with DNSServer(ttl=5, clock=host.time) as dns:
        dns.fail("SERVFAIL")
        svc = HeadlessService(NAME, 8080, nameservers=[dns.nameserver], seed=3)
        service = host.begin(svc)
        host.run(60)
        dns.clear_queries()
        host.run(60 * MINUTES)
        assert 60 / 10 < per_minute(dns.count(), MINUTES) < 60 / 5 * 1.3
        gaps = [later.time - earlier.time for earlier, later in pairwise(dns.queries)]
        assert max(gaps) <= 10
        dns.recover()
        dns.service("headless-svc", "moon", pods=2)
        host.run(10)
        assert len(service.live.peers) == 2
        service.close("done")
