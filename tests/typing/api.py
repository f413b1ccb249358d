"""What users write, as mypy sees it: nothing here runs. `make lint` checks it under --strict.

Each `assert_type` is a promise; each `type: ignore[...]` is a mistake that mypy must find: --strict reports an ignore
that nothing needs.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import assert_type

import httpx
from tenacity import AsyncRetrying, Retrying, stop_after_attempt, wait_exponential_jitter

from headless_discovery import (
    AsyncHeadlessService,
    Change,
    DiscoveryError,
    HeadlessService,
    LookupFailed,
    NoPeers,
    Peer,
    PeerSet,
    ServiceClosed,
    Status,
    Subscription,
    TargetError,
    WaitTimeout,
    apeers,
    aresolve,
    peers,
    resolve,
)
from headless_discovery.balance import (
    BoundedLoad,
    ConsistentHash,
    Hashed,
    JumpHash,
    LeastLoaded,
    Maglev,
    Picker,
    Prefer,
    Random,
    Rendezvous,
    RingHash,
    RoundRobin,
    Strategy,
    Subset,
    Weighted,
)
from headless_discovery.testing import DNSServer

# Values.


def peer(p: Peer) -> None:
    assert_type(p.address, str)
    assert_type(p.port, int | None)
    assert_type(p.hostname, str | None)
    assert_type(p.priority, int)
    assert_type(p.weight, int)
    assert_type(p.addresses, tuple[str, ...])
    assert_type(p.endpoint, tuple[str, int | None])
    assert_type(p.netloc, str)
    assert_type(p.sockaddr, tuple[str, int] | tuple[str, int, int, int])
    assert_type(p.url("https", "/healthz"), str)
    assert_type(p.ordinal, int | None)
    assert_type(p.identity, str)
    assert_type(sorted([p, p]), list[Peer])
    assert_type({p: 1}, dict[Peer, int])
    Peer("10.0.0.1", 80, "web-0", priority=1, weight=2, addresses=("10.0.0.1",))
    Peer("10.0.0.1", "80")  # type: ignore[arg-type]
    Peer("10.0.0.1", 80, None, 1)  # type: ignore[call-arg]
    p.port = 81  # type: ignore[misc]


def peer_set(s: PeerSet, p: Peer) -> None:
    assert_type(len(s), int)
    assert_type(s[0], Peer)
    assert_type(s[:2], tuple[Peer, ...])
    assert_type(iter(s), Iterator[Peer])
    assert_type(p in s, bool)
    assert_type(s.addresses, tuple[str, ...])
    assert_type(s.target, str)
    assert_type(s.get(p.endpoint), Peer | None)
    assert_type(PeerSet([p], target="web"), PeerSet)
    for each in s:
        assert_type(each, Peer)
    s[0] = p  # type: ignore[index]
    s.add(p)  # type: ignore[attr-defined]


def change(c: Change) -> None:
    for members in (c.previous, c.current, c.added, c.removed, c.updated):
        assert_type(members, PeerSet)


def errors() -> None:
    _all: list[type[DiscoveryError]] = [TargetError, LookupFailed, NoPeers, WaitTimeout, ServiceClosed]
    _value_error: type[ValueError] = TargetError
    _time_out: type[TimeoutError] = WaitTimeout
    _no_peers: type[NoPeers] = WaitTimeout
    error = NoPeers("nobody", target="web", excluded=[])
    assert_type(error.target, str)
    assert_type(error.excluded, tuple[Peer, ...])


def status(s: Status) -> None:
    assert_type(s.error, DiscoveryError | None)
    assert_type(s.age, float | None)
    assert_type(s.next_refresh_in, float | None)
    assert_type(s.complete, bool)
    for count in (s.lookups, s.queries, s.failures, s.consecutive_failures, s.changes, s.callback_errors):
        assert_type(count, int)
    assert s.state == "fresh"
    if s.state == "frehs":  # type: ignore[comparison-overlap]
        pass


# Services.


def fetch(peer: Peer, path: str, *, verify: bool = True) -> bytes:
    return httpx.get(peer.url("http", path), verify=verify).content


async def afetch(peer: Peer, path: str) -> bytes:
    async with httpx.AsyncClient() as client:
        return (await client.get(peer.url("http", path))).content


def sync_service() -> None:
    HeadlessService("web", "http", nameservers=["127.0.0.1:53"], retry_wait=wait_exponential_jitter(max=10))
    HeadlessService(["a:1", "b:2"], strategy=ConsistentHash(), exclude_self=True, family="any", tcp="never")
    HeadlessService("web", family="ipv5")  # type: ignore[arg-type]
    HeadlessService("web", 80.5)  # type: ignore[arg-type]
    HeadlessService("web", unknown=1)  # type: ignore[call-arg]
    HeadlessService("web", 80, "random")  # type: ignore[call-arg]
    with HeadlessService("web") as service:
        assert_type(service, HeadlessService)
        assert_type(service.start(timeout=1.0), PeerSet)
        assert_type(service.peers(), PeerSet)
        assert_type(service.pick(), Peer)
        assert_type(service.pick("key", exclude=[service.pick()]), Peer)
        for key in ("text", b"bytes", 7, Hashed(7)):
            service.pick(key)
        service.pick(1.5)  # type: ignore[arg-type]
        service.pick("key", [])  # type: ignore[call-arg]
        assert_type(service.pick_many(2, "key"), list[Peer])
        with service.lease("key") as leased:
            assert_type(leased, Peer)
        assert_type(service.call(fetch, "/", key="k", retrying=Retrying(stop=stop_after_attempt(2))), bytes)
        assert_type(service.watch(print), Subscription)
        assert_type(service.watch(print).cancel(), None)
        for told in service.changes():
            assert_type(told, Change)
        service.changes().close()
        assert_type(service.wait_for(3, timeout=5.0), PeerSet)
        assert_type(service.refresh(), PeerSet)
        assert_type(service.status, Status)

        @service.on_change
        def called(change: Change) -> int:
            return len(change.current)

        assert_type(called(Change(PeerSet(), PeerSet())), int)

        @service.on_change  # type: ignore[type-var]
        def not_for_changes(text: str) -> None: ...

        service.watch(not_for_changes)  # type: ignore[arg-type]
        assert_type(service.close(), None)


async def async_service() -> None:
    AsyncHeadlessService("web", "http", strategy="ring_hash", min_ttl=0.5, max_stale=60.0)
    async with AsyncHeadlessService("web") as service:
        assert_type(service, AsyncHeadlessService)
        assert_type(await service.start(timeout=1.0), PeerSet)
        assert_type(service.peers(), PeerSet)
        assert_type(service.pick("key"), Peer)
        assert_type(service.pick_many(2), list[Peer])
        with service.lease() as leased:
            assert_type(leased, Peer)
        assert_type(await service.call(afetch, "/", key="k", retrying=AsyncRetrying(stop=stop_after_attempt(2))), bytes)
        assert_type(service.watch(print), Subscription)
        async for told in service.changes():
            assert_type(told, Change)
        assert_type(await service.wait_for(3, timeout=5.0), PeerSet)
        assert_type(await service.refresh(), PeerSet)
        assert_type(service.status, Status)
        assert_type(await service.close(), None)


async def one_shots() -> None:
    assert_type(resolve("web", 80, family="ipv6", nameservers=["10.96.0.10"]), PeerSet)
    assert_type(peers("web", "http", protocol="udp"), PeerSet)
    assert_type(await aresolve("web", 80, tcp="always", timeout=1.0), PeerSet)
    assert_type(await apeers(["a", "b"], 80), PeerSet)
    resolve("web", tcp="sometimes")  # type: ignore[arg-type]
    resolve("web", strategy="random")  # type: ignore[call-arg]


# Strategies: the protocols are all that a strategy of one's own needs.


class First:
    """Always the first peer."""

    def build(self, peers: PeerSet, previous: Picker | None) -> FirstPicker:
        return FirstPicker(peers)


class FirstPicker:
    def __init__(self, peers: PeerSet) -> None:
        self._peers = peers

    def pick(self, key: str | bytes | int | Hashed | None = None, exclude: Collection[Peer] = ()) -> Peer:
        return self._peers[0]


class NoBuild:
    def pick(self) -> Peer:
        return Peer("10.0.0.1")


def strategies() -> None:
    every: list[Strategy] = [RoundRobin(), Random(), ConsistentHash(vnodes=100), RingHash(min_ring_size=512), First()]
    every += [Weighted(), Maglev(table_size=65537), Rendezvous(), JumpHash(), LeastLoaded(), BoundedLoad(factor=1.5)]
    every += [Subset(First(), 10), Subset("random", 10), Prefer(RoundRobin(), lambda p: p.ordinal == 0)]
    ConsistentHash(hash_key=lambda p: p.netloc)
    RingHash(hash_key=lambda p: p.port)  # type: ignore[arg-type,return-value]
    picker: Picker = every[0].build(PeerSet(), None)
    assert_type(picker.pick("key"), Peer)
    HeadlessService("web", strategy=First())
    HeadlessService("web", strategy=NoBuild())  # type: ignore[arg-type]


# Testing.


def test_server() -> None:
    with DNSServer(zone="cluster.local", ttl=5) as dns:
        assert_type(dns, DNSServer)
        assert_type(dns.nameserver, str)
        web = dns.service("headless-svc", "moon", pods=3, ports={"http": 8080})
        assert_type(web.name, str)
        web.scale(5)
        web.restart(web.pods[0])
        web.set_ready(web.pods[0], False)
        dns.fail("SERVFAIL")
        dns.fail("timeout", times=2)
        dns.recover()
