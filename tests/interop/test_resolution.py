"""The same questions through this library to six DNS servers: the peers are the same, whoever answers.

Sync and async twins are both asked: the fixture `ask` is `resolve`, then `aresolve`.
"""

from __future__ import annotations

import asyncio
import queue
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from tenacity import wait_fixed

from headless_discovery import (
    AsyncHeadlessService,
    Change,
    HeadlessService,
    LookupFailed,
    Peer,
    PeerSet,
)

from .servers import Server, has_ipv6_loopback
from .zones import (
    A_SIZES,
    DASHED,
    DUAL_SRV_V4,
    DUAL_SRV_V6,
    DUAL_V4,
    DUAL_V6,
    LIVE,
    SRV_SIZES,
    V6_ONLY,
    dashed_name,
    name,
    pod_name,
    pod_port,
)

DEADLINE = 40.0  # s, for what takes a few TTLs

Ask = Callable[..., PeerSet]


def plain(addresses: list[str], port: int | None = 8080) -> list[Peer]:
    return [Peer(address, port) for address in addresses]


def srv(service: str, addresses: list[str]) -> list[Peer]:
    """Equal weights (100/n here) are reported as 1."""
    return [Peer(address, pod_port(pod), pod_name(service, pod)) for pod, address in enumerate(addresses)]


def dashed(service: str, addresses: list[str]) -> list[Peer]:
    return [Peer(address, pod_port(pod), dashed_name(service, address)) for pod, address in enumerate(addresses)]


def dual_stack() -> list[Peer]:
    return [
        Peer(v4, pod_port(pod), pod_name("dual-srv", pod), addresses=(v4, v6))
        for pod, (v4, v6) in enumerate(zip(DUAL_SRV_V4, DUAL_SRV_V6, strict=True))
    ]


@dataclass(frozen=True)
class Case:
    """`target` and `options` go to `resolve`; `queries` is what the first lookup costs at most, where the
    answers decide it: less when a test before has left it to the process that the answer is long, and TCP the way."""

    id: str
    target: str
    peers: list[Peer]
    port: int | str | None = None
    options: dict[str, Any] = field(default_factory=dict)
    queries: int | None = None


CASES = [
    # A: one query, and a second over TCP where the answer does not fit.
    *(Case(f"a{n}", name(f"a{n}"), plain(ips), 8080, queries=1 if n <= 73 else 2) for n, ips in A_SIZES.items()),
    *(Case(f"a{n}-tcp", name(f"a{n}"), plain(ips), 8080, {"tcp": "always"}, queries=1) for n, ips in A_SIZES.items()),
    Case("a-without-port", name("a3"), plain(A_SIZES[3], None), queries=1),
    Case("a-port-in-target", f"{name('a3')}:9090", plain(A_SIZES[3], 9090), queries=1),
    Case("a-final-dot", f"{name('a3')}.", plain(A_SIZES[3], None), queries=1),
    Case("a-upper-case", name("a3").upper(), plain(A_SIZES[3], None), queries=1),
    Case("a-udp-only", name("a3"), plain(A_SIZES[3], 8080), 8080, {"tcp": "never"}, queries=1),
    # SRV: one query where the glue is there. Of 20 and 100 some or (BIND) all is missing, and how many addresses
    # remain to ask for is the server's doing; dashed names need one query, of the service's addresses.
    Case("srv3", name("srv3"), srv("srv3", SRV_SIZES[3]), "http", queries=1),
    Case("srv20", name("srv20"), srv("srv20", SRV_SIZES[20]), "http"),
    Case("srv100", name("srv100"), srv("srv100", SRV_SIZES[100]), "http"),
    *(
        Case(f"srv{n}-tcp", name(f"srv{n}"), srv(f"srv{n}", ips), "http", {"tcp": "always"})
        for n, ips in SRV_SIZES.items()
    ),
    Case("srv-literal", name("_http._tcp.srv3"), srv("srv3", SRV_SIZES[3]), queries=1),
    Case("srv-port-auto", name("srv3"), srv("srv3", SRV_SIZES[3]), "auto", queries=1),
    Case("srv-dashed", name("dashed"), dashed("dashed", DASHED), "http", queries=2),
    Case("no-srv-port-auto", name("a3"), plain(A_SIZES[3], None), "auto", queries=2),
    # IPv6 and both.
    Case("six", name("six"), plain(V6_ONLY), 8080, queries=2),
    Case("six-as-ipv6", name("six"), plain(V6_ONLY), 8080, {"family": "ipv6"}, queries=1),
    Case("six-as-ipv4", name("six"), [], 8080, {"family": "ipv4"}, queries=1),
    Case("six-as-any", name("six"), plain(V6_ONLY), 8080, {"family": "any"}, queries=2),
    Case("dual", name("dual"), plain(DUAL_V4), 8080, queries=1),
    Case("dual-as-ipv6", name("dual"), plain(DUAL_V6), 8080, {"family": "ipv6"}, queries=1),
    Case("dual-as-any", name("dual"), plain([*DUAL_V4, *DUAL_V6]), 8080, {"family": "any"}, queries=2),
    Case("dual-srv-as-ipv4", name("dual-srv"), srv("dual-srv", DUAL_SRV_V4), "http", {"family": "ipv4"}, queries=1),
    Case("dual-srv-as-ipv6", name("dual-srv"), srv("dual-srv", DUAL_SRV_V6), "http", {"family": "ipv6"}, queries=1),
    Case("dual-srv-as-any", name("dual-srv"), dual_stack(), "http", {"family": "any"}, queries=1),
    # Aliases, followed by the server in the same answer.
    Case("alias", name("alias"), plain(A_SIZES[3]), 8080, queries=1),
    # dnsmasq answers A of this one with the alias and no SOA, which does not say whether the alias leads anywhere.
    Case("alias-six", name("alias-six"), plain(V6_ONLY), 8080),
    Case("alias-1000", name("alias-1000"), plain(A_SIZES[1000]), 8080, queries=2),
    Case("chain-of-3", name("chain-1"), plain(A_SIZES[3]), 8080, queries=1),
    Case("alias-srv", name("alias-srv"), srv("srv3", SRV_SIZES[3]), "http", queries=1),
    # Nobody there, and nothing of the kind: answers, not failures.
    Case("nxdomain", name("nobody"), [], 8080, queries=2),  # before it is believed, AAAA
    Case("nxdomain-srv", name("a3"), [], "http", queries=1),
    Case("nxdomain-port-auto", name("nobody"), [], "auto"),
    Case("nodata", name("text-only"), [], 8080, queries=2),
    Case("nodata-as-ipv4", name("text-only"), [], 8080, {"family": "ipv4"}, queries=1),
    Case("nodata-srv", name("a3"), [], "text", queries=1),
    Case("nodata-port-auto", name("text-only"), [], "auto", queries=3),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_one_shot(server: Server, ask: Ask, case: Case) -> None:
    found = ask(case.target, case.port, nameservers=[server.nameserver], timeout=10.0, **case.options)
    assert found == PeerSet(case.peers)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_watched(server: Server, case: Case) -> None:
    """The first answer of a service is complete, believed, and costs no more queries than it must."""
    with HeadlessService(
        case.target, case.port, nameservers=[server.nameserver], timeout=10.0, **case.options
    ) as service:
        status = service.status
        assert service.peers() == PeerSet(case.peers)
        assert status.state == ("fresh" if case.peers else "empty")
        assert status.error is None
        assert status.complete
        if case.queries is not None:
            assert 1 <= status.queries <= case.queries


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
async def test_watched_async(server: Server, case: Case) -> None:
    async with AsyncHeadlessService(
        case.target, case.port, nameservers=[server.nameserver], timeout=10.0, **case.options
    ) as service:
        status = service.status
        assert service.peers() == PeerSet(case.peers)
        assert status.state == ("fresh" if case.peers else "empty")
        assert status.error is None
        assert status.complete
        if case.queries is not None:
            assert 1 <= status.queries <= case.queries


@pytest.mark.parametrize("size", [n for n in A_SIZES if n > 73])
def test_without_tcp_a_part_is_known_as_a_part(server: Server, ask: Ask, size: int) -> None:
    """dnsmasq sends what fits beside TC, the others nothing. Neither may be taken for "nobody is there"."""
    options: dict[str, Any] = {"nameservers": [server.nameserver], "tcp": "never"}
    if server.sends_part_with_tc:
        found = ask(name(f"a{size}"), 8080, **options)
        assert found
        assert set(found.addresses) < set(A_SIZES[size])
        with HeadlessService(name(f"a{size}"), 8080, **options) as service:
            assert not service.status.complete
    else:
        with pytest.raises(LookupFailed):
            ask(name(f"a{size}"), 8080, **options)


def test_the_server_named_in_the_target(server: Server, ask: Ask) -> None:
    found = ask(f"dns://{server.nameserver}/{name('a3')}:8080")
    assert found == PeerSet(plain(A_SIZES[3]))


@pytest.mark.skipif(not has_ipv6_loopback(), reason="this machine has no IPv6 loopback address ::1")
@pytest.mark.parametrize("size", A_SIZES)
def test_a_server_asked_over_ipv6(server: Server, ask: Ask, size: int) -> None:
    found = ask(name(f"a{size}"), 8080, nameservers=[server.nameserver_v6], timeout=10.0)
    assert found == PeerSet(plain(A_SIZES[size]))


def test_the_second_server_when_the_first_is_dead(server: Server, ask: Ask) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as deaf:
        deaf.bind(("127.0.0.1", 0))
        silent = f"127.0.0.1:{deaf.getsockname()[1]}"
        found = ask(name("srv3"), "http", nameservers=[silent, server.nameserver], timeout=10.0)
    assert found == PeerSet(srv("srv3", SRV_SIZES[3]))


# A service that changes. The records of `live` have TTL 1.


class History:
    """What a subscriber is told, checked for consistency as it comes."""

    def __init__(self) -> None:
        self._changes: queue.SimpleQueue[Change] = queue.SimpleQueue()
        self._last = PeerSet()

    def __call__(self, change: Change) -> None:
        self._changes.put(change)

    def until(self, peers: list[Peer]) -> None:
        deadline = time.monotonic() + DEADLINE
        while self._last != PeerSet(peers):
            change = self._changes.get(timeout=deadline - time.monotonic())
            assert change.previous == self._last
            assert change
            self._last = change.current


def test_changes_reach_a_subscriber(own_server: Server) -> None:
    with HeadlessService(name("live"), 8080, nameservers=[own_server.nameserver]) as service:
        history = History()
        subscription = service.watch(history)
        for pods in (3, 6, 2, 4):
            own_server.publish(pods)
            history.until(plain(LIVE[:pods]))
            assert service.peers() == PeerSet(plain(LIVE[:pods]))
        subscription.cancel()


async def test_changes_reach_an_async_subscriber(own_server: Server) -> None:
    async with AsyncHeadlessService(name("live"), 8080, nameservers=[own_server.nameserver]) as service:
        last = PeerSet()
        changes = service.changes()
        for pods in (3, 6, 2, 4):
            await asyncio.to_thread(own_server.publish, pods)
            async with asyncio.timeout(DEADLINE):
                while last != PeerSet(plain(LIVE[:pods])):
                    change = await anext(changes)
                    assert change.previous == last
                    last = change.current
            assert service.peers() == last
        await changes.aclose()


def test_refreshes_change_nothing(server: Server) -> None:
    """Servers rotate and shuffle; Unbound counts the TTL down. Nobody moved, so nobody is told."""
    told: list[Change] = []
    with HeadlessService(name("live"), 8080, nameservers=[server.nameserver], min_ttl=0.2) as service:
        service.watch(told.append)
        until(lambda: service.status.lookups >= 4)
        assert service.status.failures == 0
        assert service.peers() == PeerSet(plain(LIVE[:3]))
        until(lambda: bool(told))
    assert [change.current for change in told] == [PeerSet(plain(LIVE[:3]))]


def test_peers_outlive_the_server(own_server: Server) -> None:
    """dns.md: a failure is never evidence. The set stays, `status` says stale, and the server's return is found."""
    everybody = PeerSet(plain(LIVE[:3]))
    options: dict[str, Any] = {"timeout": 2.0, "min_ttl": 0.2, "empty_grace": 0.0, "retry_wait": wait_fixed(0.2)}
    with HeadlessService(name("live"), 8080, nameservers=[own_server.nameserver], **options) as service:
        assert service.peers() == everybody
        own_server.stop()
        until(lambda: service.status.state == "stale")
        assert isinstance(service.status.error, LookupFailed)
        with pytest.raises(LookupFailed):
            service.refresh()
        assert service.peers() == everybody
        own_server.start()
        until(lambda: service.status.state == "fresh")
        assert service.status.error is None
        assert service.peers() == everybody


def until(condition: Callable[[], bool]) -> None:
    """Look again and again, as somebody who watches `status` would, for no longer than `DEADLINE`."""
    deadline = time.monotonic() + DEADLINE
    pause = threading.Event()
    while not condition():
        assert time.monotonic() < deadline, "did not come true in time"
        pause.wait(0.02)
