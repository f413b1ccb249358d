"""When the next question is asked: the TTL, and what is wrong with it."""

from __future__ import annotations

from typing import Any

import pytest

from headless_discovery import NoPeers
from headless_discovery.testing import DNSServer
from support.subscribers import eventually

from .matrix import World, due_after, row


def _is_asked_after(w: World, ttl: int, seconds: float, jitter: float) -> None:
    w.dns.ttl = ttl
    with w.watch(min_ttl=1) as svc:
        assert seconds <= due_after(svc) <= seconds + jitter
        assert svc.status.state == "fresh"


@row("TTL 0, for ever", "Asked every `min_ttl` (1 s), not in a loop")
def ttl_0(w: World) -> None:
    _is_asked_after(w, 0, 1, 0.1)


@row("TTL 600", "Asked every `max_ttl` (30 s)")
def ttl_600(w: World) -> None:
    _is_asked_after(w, 600, 30, 3)


@row("TTL 2147483647", "Asked every `max_ttl`")
def ttl_of_31_bits(w: World) -> None:
    _is_asked_after(w, 2**31 - 1, 30, 3)


@row("A TTL with the top bit set", "0, as RFC 2181 has it: asked every `min_ttl`")
def ttl_with_top_bit(w: World) -> None:
    _is_asked_after(w, 2**31 + 600, 1, 0.1)


@row("A cache counts the TTL down: 30, 29, ... 1", "Asked when it is over, and a little later than that, never before")
def counted_down(w: World) -> None:
    now = 0.0
    dns: DNSServer = w.server(cache=True, clock=lambda: now, ttl=30)
    web = dns.service("headless-svc", "moon", pods=2)
    with w.watch(nameservers=[dns.nameserver]) as svc:
        for then, left in ((0.0, 30.0), (12.0, 18.0), (25.0, 5.0), (29.0, 1.0)):
            now = then
            svc.refresh()
            jitter = left / 10 if left > 10 else max(0.1, left / 10)
            assert left <= due_after(svc) <= left + jitter
            assert len(svc.peers()) == 2
        web.scale(3)
        now = 30.0
        w.settles(svc, web.addresses)


@row("CNAME with TTL 10 over A with TTL 86400", "The lowest on the way counts")
def cname_ttl(w: World) -> None:
    w.dns.record("db.example.com", "CNAME", 10, "real.example.com")
    w.dns.record("real.example.com", "A", 86400, "10.0.0.1")
    with w.watch("db.example.com") as svc:
        assert svc.peers().addresses == ("10.0.0.1",)
        assert 10 <= due_after(svc) <= 11


@row("Records of one name with different TTLs", "The lowest counts")
def mixed_ttls(w: World) -> None:
    for ttl, address in ((86400, "10.0.0.1"), (7, "10.0.0.2"), (300, "10.0.0.3")):
        w.dns.record("db.example.com", "A", ttl, address)
    with w.watch("db.example.com") as svc:
        assert len(svc.peers()) == 3
        assert 7 <= due_after(svc) <= 7.7


@row("A TTL of 1 s and `min_ttl=5`", "Asked every 5 s")
def min_ttl(w: World) -> None:
    w.dns.ttl = 1
    with w.watch(min_ttl=5) as svc:
        assert 5 <= due_after(svc) <= 5.5


def _expires(w: World, servers: list[DNSServer], fault: str, **options: Any) -> None:
    with w.watch(nameservers=[server.nameserver for server in servers], max_stale=2, **options) as svc:
        assert len(svc.peers()) == 3
        w.gone.update(w.web.addresses)
        for server in servers:
            server.fail(fault)
        eventually(lambda: not svc.peers(), "the end of the set")
        age = svc.status.age
        assert 2 <= age < 6, f"{age:.1f} s after the last answer"
        assert svc.status.state == "expired"
        error = str(svc.status.error)  # the newest: that the set was given up, or why a lookup has failed since
        assert "max_stale" in error or (fault != "timeout" and w.dns.nameserver in error), error
        with pytest.raises(NoPeers):
            svc.pick()
        for server in servers:
            server.recover()
        svc.wait_for(3, 30)
        w.until(svc, lambda peers: svc.status.error is None)
        assert svc.status.state == "fresh"


@row(
    "`max_stale=2`, three servers that have fallen silent, `timeout=20`",
    'Given up after 2 s, in the middle of the lookup: `status.state` is "expired", not "empty". Then it recovers',
)
def max_stale_during_a_lookup(w: World) -> None:
    servers = [w.dns, w.server(), w.server()]
    for server in servers[1:]:
        server.service("headless-svc", "moon", pods=w.web.addresses, ports={"http": 8080})
    _expires(w, servers, "timeout", timeout=20)


@row("The same with one server, TCP, SRV or both families", "The same")
def max_stale_of_any_lookup(w: World) -> None:
    for options in ({"tcp": "always"}, {"port": "http"}, {"family": "any"}):
        _expires(w, [w.dns], "timeout", timeout=20, **options)


@row("The same, and the servers fail at once", "The same, whatever the failures")
def max_stale_with_failures(w: World) -> None:
    for fault in ("SERVFAIL", "garbage", "unreachable"):
        _expires(w, [w.dns], fault, timeout=20)


@row(
    "`max_stale=2`, and a fallback server says NXDOMAIN", 'The same: "expired", as no word about the name was believed'
)
def max_stale_and_a_fallback(w: World) -> None:
    public = w.server(zone="public.example")
    public.add_zone(".")
    with w.watch(nameservers=[w.dns.nameserver, public.nameserver], max_stale=2) as svc:
        w.gone.update(w.web.addresses)
        with w.fault("SERVFAIL"):
            eventually(lambda: not svc.peers(), "the end of the set")
            assert svc.status.state == "expired"
        svc.wait_for(3, 30)
