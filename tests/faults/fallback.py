"""A fallback server: a public one, or another cluster's, which says truthfully that it has no such name."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from headless_discovery import LookupFailed
from headless_discovery.testing import DNSServer

from .matrix import NAME, World, row

# What may be wrong with the first server, and how `status.error` says so. All but "timeout" take no time.
BROKEN = {
    "SERVFAIL": "said SERVFAIL",
    "REFUSED": "said REFUSED",
    "NOTIMP": "said NOTIMP",
    "short": "DNS message",
    "lame": "lame",
    "unreachable": "cannot be reached",
}
# What is asked for: options of a service.
ASKED: tuple[dict[str, Any], ...] = (
    {"port": 8080},
    {"port": "http"},
    {"port": "auto"},
    {"port": 8080, "family": "any"},
    {"port": 8080, "family": "ipv6"},
)


def _public(w: World) -> DNSServer:
    """NXDOMAIN, with the root's SOA, for all names of the cluster."""
    public = w.server(zone="public.example")
    public.add_zone(".")
    return public


@contextmanager
def _broken(w: World, fault: str) -> Iterator[None]:
    with w.fault(fault, **({"size": 70} if fault == "short" else {})):
        yield


def _fails_to_start(w: World, public: DNSServer, error: str, **options: Any) -> None:
    servers = [w.dns.nameserver, public.nameserver]
    with pytest.raises(LookupFailed, match=error):
        w.resolve(nameservers=servers, **options)
    svc = w.make(nameservers=servers, **options)
    try:
        with pytest.raises(LookupFailed, match=error):
            svc.start()
        assert svc.status.state == "starting"
        assert svc.status.failures >= 1
        with pytest.raises(LookupFailed):
            svc.peers()
        w.dns.recover()
        svc.wait_for(3, 20)
        assert len(svc.peers()) == 3
        assert (svc.status.state, svc.status.error) == ("fresh", None)
    finally:
        svc.close()


@row(
    "The first server fails from the start in one way or another, the second says NXDOMAIN",
    "`start()` and `resolve()` raise `LookupFailed`, which tells of both. It starts when the first is back",
)
def nxdomain_from_a_fallback_at_first(w: World) -> None:
    public = _public(w)
    for fault, said in BROKEN.items():
        with _broken(w, fault):
            _fails_to_start(
                w, public, f"(?s){public.port} .*{w.dns.port} .*{said}|{w.dns.port} .*{said}.*{public.port}"
            )


@row("The same for SRV records, both families and IPv6", "The same")
def nxdomain_from_a_fallback_for_any_type(w: World) -> None:
    public = _public(w)
    w.pods(3, family="dual")
    for options in ASKED:
        with _broken(w, "SERVFAIL"):
            servers = [w.dns.nameserver, public.nameserver]
            with pytest.raises(LookupFailed, match="SERVFAIL"):
                w.resolve(nameservers=servers, **options)
            assert public.count() > 0
            public.clear_queries()
        assert {peer.port for peer in w.resolve(nameservers=servers, **options)} == {8080}


@row("The same, and the second server says NODATA", "The same")
def nodata_from_a_fallback_at_first(w: World) -> None:
    public = _public(w)
    public.record(NAME, "TXT", 60, '"parked"')
    for fault in ("SERVFAIL", "short"):
        with _broken(w, fault):
            _fails_to_start(w, public, str(public.port))


@row("The same with a short name and a search list", "The same: no name of the list is denied by the second server")
def nxdomain_from_a_fallback_for_short_names(w: World) -> None:
    public = _public(w)
    conf = w.conf(w.dns, public)
    for name in ("headless-svc", "headless-svc.moon", NAME):
        svc = w.make(name, nameservers=None, resolv_conf=str(conf))
        try:
            with _broken(w, "SERVFAIL"), pytest.raises(LookupFailed, match="SERVFAIL"):
                svc.start()
            assert len(svc.wait_for(3, 20)) == 3
            w.is_well(svc)
        finally:
            svc.close()


@row("Three servers: the first fails, the two others say NXDOMAIN", "The same: two of three are not all")
def nxdomain_from_two_fallbacks(w: World) -> None:
    publics = [_public(w), _public(w)]
    servers = [w.dns.nameserver, *(public.nameserver for public in publics)]
    with _broken(w, "REFUSED"), pytest.raises(LookupFailed, match="REFUSED"):
        w.resolve(nameservers=servers)
    with w.watch(nameservers=servers, empty_grace=0) as svc:
        with _broken(w, "REFUSED"):
            w.keeps(svc, "said REFUSED", 5)
        w.recovers(svc)


@row("The first server is silent, the second says NXDOMAIN, from the start", "A failure that tells of both")
def nxdomain_from_a_fallback_after_silence(w: World) -> None:
    public = _public(w)
    with w.fault("timeout"):
        _fails_to_start(w, public, f"(?s){public.port} .*{w.dns.port} timed out", timeout=1.3)


@row(
    "The first packet to the first server is lost, the second says NXDOMAIN",
    "The first one is asked again: all is well",
)
def one_lost_packet(w: World) -> None:
    public = _public(w)
    servers = [w.dns.nameserver, public.nameserver]
    with w.fault("timeout", times=1):
        assert len(w.resolve(nameservers=servers)) == 3
    with w.fault("timeout", times=1), w.watch(nameservers=servers) as svc:
        assert (len(svc.peers()), svc.status.state, svc.status.error) == (3, "fresh", None)
        w.recovers(svc)


@row("A live set, and one packet is lost again and again", "Nothing changes; no failure")
def lost_packets(w: World) -> None:
    public = _public(w)
    with w.watch(nameservers=[w.dns.nameserver, public.nameserver], empty_grace=0) as svc:
        before = svc.peers()
        for _ in range(2):
            with w.fault("timeout", times=1):
                assert svc.refresh() is before
        assert svc.status.error is None
        w.recovers(svc)


@row(
    "A live set; resolv.conf is rewritten to a dead server and a public one, which says NXDOMAIN",
    "A failure that tells of both, however long: the set stays",
)
def rewritten_to_dead_and_public(w: World) -> None:
    public, dead = _public(w), w.server()
    for options in ({"port": 8080}, {"port": "http"}, {"port": "auto"}):
        conf = w.conf(w.dns)
        with w.watch(nameservers=None, resolv_conf=str(conf), empty_grace=0.05, **options) as svc:
            with w.fault("unreachable", dead):
                w.conf(dead, public)
                w.keeps(svc, "cannot be reached", 6)
                assert str(public.port) in str(svc.status.error)
            with w.fault("SERVFAIL", dead):
                w.keeps(svc, "SERVFAIL", 6)
            w.conf(w.dns, public)
            w.until(svc, lambda peers: svc.status.error is None)
            w.is_well(svc)


@row("The same with the servers' order exchanged: the public one, then a dead one", "The same")
def rewritten_to_public_and_dead(w: World) -> None:
    public, dead = _public(w), w.server()
    conf = w.conf(w.dns)
    with w.watch(nameservers=None, resolv_conf=str(conf), empty_grace=0.05) as svc:
        with w.fault("SERVFAIL", dead):
            w.conf(public, dead)
            w.keeps(svc, "SERVFAIL", 6)
        w.conf(w.dns)
        w.recovers(svc)


@row(
    "resolv.conf is rewritten while the service has 0 pods; then the first server fails and the second says NXDOMAIN",
    "A failure; who is empty already stays empty",
)
def rewritten_while_empty(w: World) -> None:
    public = _public(w)
    conf = w.conf(w.dns)
    with w.watch(nameservers=None, resolv_conf=str(conf), empty_grace=0) as svc:
        w.web.scale(0)
        assert not svc.refresh()
        w.conf(w.dns, public)
        with w.fault("SERVFAIL"), pytest.raises(LookupFailed, match="SERVFAIL"):
            svc.refresh()
        w.web.scale(3)
        w.recovers(svc)


@row("All servers say NXDOMAIN from the start", "Believed at once: the set is empty, without an error")
def nxdomain_from_all_at_first(w: World) -> None:
    publics = [_public(w), _public(w)]
    with w.make(nameservers=[public.nameserver for public in publics]) as svc:
        assert (len(svc.peers()), svc.status.state, svc.status.error) == (0, "empty", None)


@row(
    "Two servers with different contents: the name is only on the second",
    "The first one's NXDOMAIN is believed: order counts",
)
def two_contents(w: World) -> None:
    other = w.server(zone="other.local")
    other.service("headless-svc", "moon", pods=["10.9.9.9"])
    with w.make("headless-svc.moon.svc.other.local", nameservers=[w.dns.nameserver, other.nameserver]) as svc:
        assert svc.peers().addresses == ("10.9.9.9",), "REFUSED says nothing about the name"
    w.dns.add_zone("other.local")
    with w.make("headless-svc.moon.svc.other.local", nameservers=[w.dns.nameserver, other.nameserver]) as svc:
        assert (len(svc.peers()), svc.status.state) == (0, "empty")
