"""The one-shots: `resolve` and `aresolve` always ask, `peers` and `apeers` remember for the TTL."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from headless_discovery import LookupFailed, Peer, PeerSet, TargetError, apeers, aresolve, peers, resolve
from headless_discovery.once import MAX_ENTRIES, Cache
from headless_discovery.testing import DNSServer

NAME = "headless-svc.moon.svc.cluster.local"
OneShot = Callable[..., PeerSet]


def arun(function: Callable[..., Any]) -> OneShot:
    def run(*args: Any, **options: Any) -> PeerSet:
        found: PeerSet = asyncio.run(function(*args, **options))
        return found

    return run


asking = pytest.mark.parametrize("ask", [resolve, arun(aresolve)], ids=["resolve", "aresolve"])
remembering = pytest.mark.parametrize("ask", [peers, arun(apeers)], ids=["peers", "apeers"])
every = pytest.mark.parametrize(
    "ask", [resolve, peers, arun(aresolve), arun(apeers)], ids=["resolve", "peers", "aresolve", "apeers"]
)


@pytest.fixture
def dns(headless_dns: DNSServer) -> DNSServer:
    return headless_dns


class Time:
    """The clock of the machine, and a step when the test says so."""

    def __init__(self) -> None:
        self.offset = 0.0

    def monotonic(self) -> float:
        return time.monotonic() + self.offset


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Time:
    clock = Time()
    monkeypatch.setattr("headless_discovery.sync.time", clock)
    monkeypatch.setattr("headless_discovery.aio.time", clock)
    return clock


@every
def test_the_peers_of_a_name(ask: OneShot, dns: DNSServer) -> None:
    web = dns.service("headless-svc", "moon", pods=3, ports={"http": 8080})
    found = ask(NAME, 8080, nameservers=[dns.nameserver])
    assert found == PeerSet(Peer(address, 8080) for address in web.addresses)
    assert found.target == NAME
    named = ask(NAME, "http", nameservers=[dns.nameserver])
    assert {peer.hostname for peer in named} == {pod.fqdn for pod in web.pods}


@every
def test_nobody_there_is_an_empty_set(ask: OneShot, dns: DNSServer) -> None:
    assert ask("nobody.moon.svc.cluster.local", nameservers=[dns.nameserver]) == PeerSet()


@every
def test_a_failure_raises(ask: OneShot, dns: DNSServer) -> None:
    dns.fail("SERVFAIL")
    with pytest.raises(LookupFailed, match="SERVFAIL"):
        ask(NAME, nameservers=[dns.nameserver])
    with pytest.raises(TargetError):
        ask("not a name", nameservers=[dns.nameserver])


@every
def test_options_are_those_of_the_service(ask: OneShot, dns: DNSServer) -> None:
    dns.service("headless-svc", "moon", pods=["127.0.0.2", "10.0.0.1", "10.0.0.2"])
    options: dict[str, Any] = {"nameservers": [dns.nameserver]}
    assert ask(NAME, allow_networks=["10.0.0.0/8"], **options).addresses == ("10.0.0.1", "10.0.0.2")
    assert ask(NAME, exclude_self="10.0.0.1", **options).addresses == ("10.0.0.2", "127.0.0.2")
    with pytest.raises(LookupFailed, match="max_peers"):
        ask(NAME, max_peers=2, **options)
    ask(NAME, tcp="always", **options)
    assert dns.count(transport="tcp") == 1
    with pytest.raises(TypeError):
        ask(NAME, no_such_option=1, **options)


@every
def test_nothing_goes_on_afterwards(ask: OneShot, dns: DNSServer) -> None:
    dns.service("headless-svc", "moon")
    ask(NAME, nameservers=[dns.nameserver], max_ttl=0.05, min_ttl=0)
    other = dns.service("other-svc", "moon")
    for _ in range(3):  # each takes longer than max_ttl to be remembered
        resolve(other.name, nameservers=[dns.nameserver])
    assert dns.count(NAME) == 1


@asking
def test_resolve_always_asks(ask: OneShot, dns: DNSServer) -> None:
    web = dns.service("headless-svc", "moon", pods=1)
    dns.ttl = 30
    for pods in (1, 2, 3):
        web.scale(pods)
        assert len(ask(NAME, nameservers=[dns.nameserver])) == pods
    assert dns.count() == 3


@remembering
def test_peers_remember_for_the_ttl(ask: OneShot, dns: DNSServer, clock: Time) -> None:
    web = dns.service("headless-svc", "moon", pods=1)
    dns.ttl = 5
    first = ask(NAME, 8080, nameservers=[dns.nameserver])
    web.scale(2)
    for _ in range(100):
        assert ask(NAME, 8080, nameservers=[dns.nameserver]) is first
    clock.offset += 4
    assert ask(NAME, 8080, nameservers=[dns.nameserver]) is first
    assert dns.count() == 1
    clock.offset += 2
    assert len(ask(NAME, 8080, nameservers=[dns.nameserver])) == 2
    assert dns.count() == 2


@remembering
def test_peers_remember_no_failure(ask: OneShot, dns: DNSServer) -> None:
    dns.service("headless-svc", "moon", pods=1)
    dns.fail("SERVFAIL", times=1)
    with pytest.raises(LookupFailed):
        ask(NAME, nameservers=[dns.nameserver])
    assert len(ask(NAME, nameservers=[dns.nameserver])) == 1


@remembering
def test_peers_remember_that_nobody_is_there(ask: OneShot, clock: Time) -> None:
    with DNSServer(ttl=5, cache=False) as server:
        for _ in range(3):
            assert ask(NAME, nameservers=[server.nameserver]) == PeerSet()
        assert server.count() == 2  # A and AAAA, once: the negative TTL is 5 s
        clock.offset += 6
        web = server.service("headless-svc", "moon", pods=1)
        assert ask(NAME, nameservers=[server.nameserver]).addresses == tuple(web.addresses)


@remembering
def test_each_target_port_and_option_is_remembered_by_itself(ask: OneShot, dns: DNSServer) -> None:
    dns.service("headless-svc", "moon", pods=1)
    dns.ttl = 30
    servers = [dns.nameserver]
    results = [
        ask(NAME, nameservers=servers),
        ask(NAME, 80, nameservers=servers),
        ask(NAME, 81, nameservers=servers),
        ask(f"{NAME}:82", nameservers=servers),
        ask([NAME, "10.0.0.1"], 80, nameservers=servers),
        ask(NAME, 80, nameservers=servers, exclude_self="10.1.1.1"),
    ]
    assert [[peer.port for peer in result] for result in results] == [[None], [80], [81], [82], [80, 80], [80]]
    asked = dns.count()
    assert ask(NAME, 81, nameservers=servers) is results[2]
    assert dns.count() == asked


@remembering
def test_static_peers_need_nobody(ask: OneShot) -> None:
    assert ask("10.0.0.1:80,10.0.0.2:80").addresses == ("10.0.0.1", "10.0.0.2")
    assert ask("10.0.0.1:80,10.0.0.2:80") is ask("10.0.0.1:80,10.0.0.2:80")


def test_sync_and_async_in_a_running_loop(dns: DNSServer) -> None:
    dns.service("headless-svc", "moon", pods=2)

    async def main() -> list[PeerSet]:
        return await asyncio.gather(*[aresolve(NAME, nameservers=[dns.nameserver]) for _ in range(10)])

    assert len(set(asyncio.run(main()))) == 1


def test_many_threads_at_once(dns: DNSServer) -> None:
    dns.service("headless-svc", "moon", pods=2)
    with ThreadPoolExecutor(16) as threads:
        found = list(threads.map(lambda _: resolve(NAME, nameservers=[dns.nameserver]), range(64)))
    assert {len(result) for result in found} == {2}


# --- what is remembered is bounded


def test_the_cache_drops_the_oldest_entries() -> None:
    cache, found = Cache(), PeerSet([Peer("10.0.0.1")])
    for number in range(MAX_ENTRIES):
        cache.put(str(number), found, 0.0, 30.0)
    cache.put("0", found, 1.0, 30.0)  # new again
    cache.put("one more", found, 1.0, None)
    assert cache.get("1", 2.0) is None
    assert cache.get("0", 2.0) is found
    assert cache.get("2", 2.0) is found
    assert cache.get("2", 30.0) is None
    assert cache.get("one more", 1e12) is found
    assert len(cache._entries) == MAX_ENTRIES


def test_the_cache_may_be_filled_by_many_threads() -> None:
    cache, found = Cache(), PeerSet()

    def fill(thread: int) -> None:
        for number in range(3000):
            cache.put(f"{thread} {number}", found, 0.0, 30.0)

    with ThreadPoolExecutor(8) as threads:
        for future in [threads.submit(fill, number) for number in range(8)]:
            future.result()
    assert len(cache._entries) == MAX_ENTRIES


@every
def test_iterables_are_read_once(ask: OneShot, dns: DNSServer) -> None:
    """Also those that can be: for the memory's key, and for the lookup."""
    assert ask(iter(["10.0.0.1:80", "10.0.0.2:80"])).addresses == ("10.0.0.1", "10.0.0.2")
    dns.service("headless-svc", "moon", pods=1)
    with DNSServer() as other:
        other.service("headless-svc", "moon", pods=2)
        found = [len(ask(NAME, 80, nameservers=(n for n in [server.nameserver]))) for server in (dns, other)]
    assert found == [1, 2]
