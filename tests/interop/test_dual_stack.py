"""StatefulSets whose pods have an IPv4 and an IPv6 address each, while nothing changes.

The servers leave out some glue, each in its own way (servers.py, test_servers.py). A and AAAA under one name are two
RRsets (RFC 2181, 5 and 9), so an answer that shows one says nothing about the other. Every pod is a peer, whichever
family is asked for, and refreshes neither add nor remove one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest

from headless_discovery import AsyncHeadlessService, Change, HeadlessService, LookupFailed, Peer, PeerSet

from .servers import SERVERS, Server
from .test_resolution import DEADLINE, Ask, until
from .zones import PODS_SIZES, name, pod_name, pod_port

FAMILIES = ("auto", "ipv4", "ipv6", "any")
REFRESHES = 5

EACH = [(kind, size) for kind in SERVERS for size in PODS_SIZES]
answered = pytest.mark.parametrize(
    ("server", "size"), [(k, size) for k, size in EACH if size <= SERVERS[k].max_pods], indirect=["server"]
)
too_many = pytest.mark.parametrize(
    ("server", "size"), [(k, size) for k, size in EACH if size > SERVERS[k].max_pods], indirect=["server"]
)
each_family = pytest.mark.parametrize("family", FAMILIES)


def everybody(size: int, family: str) -> PeerSet:
    peers = []
    for pod, (v4, v6) in enumerate(zip(*PODS_SIZES[size], strict=True)):
        addresses = {"ipv4": (v4,), "ipv6": (v6,)}.get(family, (v4, v6))
        peers.append(Peer(addresses[0], pod_port(pod), pod_name(f"pods{size}", pod), addresses=addresses))
    return PeerSet(peers)


def assert_all_are_there(found: PeerSet, size: int, family: str) -> None:
    """`auto` promises an IPv4 address of each pod; it may know the IPv6 address, too."""
    expected = everybody(size, family)
    if family == "auto":
        known = {address for peer in expected for address in peer.addresses}
        assert known.issuperset(address for peer in found for address in peer.addresses)
        expected, found = without_second_addresses(expected), without_second_addresses(found)
    # Counts and examples: pytest takes a minute to write down how sets of 700 peers differ.
    wrong = [peer for peer in expected if peer not in found]
    assert (len(found), len(wrong), wrong[:2]) == (size, 0, [])


def without_second_addresses(peers: Iterable[Peer]) -> PeerSet:
    return PeerSet(replace(peer, addresses=()) for peer in peers)


def assert_nobody_moved(told: list[Change], size: int, family: str) -> None:
    """The first change has everybody. Later ones may tell of second addresses that `auto` has learnt."""
    assert_all_are_there(told[0].current, size, family)
    for change in told[1:]:
        assert not change.added
        assert not change.removed
        assert family == "auto"
        known = {peer.endpoint: peer.addresses for peer in change.previous}
        assert all(set(peer.addresses) > set(known[peer.endpoint]) for peer in change.updated)


def options(server: Server, family: str) -> dict[str, Any]:
    """With `min_ttl` 0, each `refresh()` asks."""
    return {"nameservers": [server.nameserver], "family": family, "timeout": 30.0, "min_ttl": 0.0}


@answered
@each_family
def test_one_shot(server: Server, ask: Ask, size: int, family: str) -> None:
    found = ask(name(f"pods{size}"), "http", **options(server, family))
    assert_all_are_there(found, size, family)


@answered
@each_family
def test_refreshes_change_nothing(server: Server, size: int, family: str) -> None:
    told: list[Change] = []
    with HeadlessService(name(f"pods{size}"), "http", **options(server, family)) as service:
        service.watch(told.append)
        for _ in range(REFRESHES):
            service.refresh()
        until(lambda: bool(told) and told[-1].current == service.peers())
        assert service.status.lookups > REFRESHES
        assert service.status.error is None
        assert service.status.complete
        assert_all_are_there(service.peers(), size, family)
    assert_nobody_moved(told, size, family)


@answered
@each_family
async def test_refreshes_change_nothing_async(server: Server, size: int, family: str) -> None:
    told: list[Change] = []
    async with AsyncHeadlessService(name(f"pods{size}"), "http", **options(server, family)) as service:
        service.watch(told.append)
        for _ in range(REFRESHES):
            await service.refresh()
        async with asyncio.timeout(DEADLINE):
            while not told or told[-1].current != service.peers():
                await asyncio.sleep(0.02)
        assert service.status.lookups > REFRESHES
        assert service.status.error is None
        assert service.status.complete
        assert_all_are_there(service.peers(), size, family)
    assert_nobody_moved(told, size, family)


@too_many
@each_family
def test_too_many_pods(server: Server, ask: Ask, size: int, family: str) -> None:
    """The answer over TCP is missing (PowerDNS) or malformed (dnsmasq). That is a failure or, where the answer over
    UDP had some records, an incomplete set. It is never "nobody is there", and never a reason to remove a peer."""
    endpoints = {peer.endpoint for peer in everybody(size, family)}
    try:
        found = ask(name(f"pods{size}"), "http", **options(server, family))
    except LookupFailed:
        return
    assert found
    assert {peer.endpoint for peer in found} <= endpoints
    told: list[Change] = []
    with HeadlessService(name(f"pods{size}"), "http", **options(server, family)) as service:
        service.watch(told.append)
        for _ in range(2):
            service.refresh()
        until(lambda: bool(told) and told[-1].current == service.peers())
        assert service.status.complete == (len(service.peers()) == size)
        assert {peer.endpoint for peer in service.peers()} <= endpoints
    assert not any(change.removed for change in told)
