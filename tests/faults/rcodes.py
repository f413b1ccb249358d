"""What servers say in place of an answer."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import pytest

from headless_discovery import LookupFailed
from headless_discovery.testing import Exchange, Send, record
from headless_discovery.testing.faults import Action
from sansio import Watch, a_part, negative

from .matrix import NAME, World, row


def _failing(w: World, fault: str, said: str, **options: object) -> None:
    with w.watch() as svc:
        with w.fault(fault, **options):
            w.keeps(svc, f"{w.dns.nameserver} said {said}")
        w.recovers(svc)


@row("SERVFAIL", "A failure: the set stays, and it is tried again by itself")
def servfail(w: World) -> None:
    _failing(w, "SERVFAIL", "SERVFAIL")


@row("SERVFAIL with the zone's SOA: CoreDNS has not heard of the API server yet", "A failure; the SOA is no NODATA")
def unsynced(w: World) -> None:
    _failing(w, "unsynced", "SERVFAIL")


@row("REFUSED", "A failure")
def refused(w: World) -> None:
    _failing(w, "REFUSED", "REFUSED")


@row("NOTIMP", "A failure")
def notimp(w: World) -> None:
    _failing(w, "NOTIMP", "NOTIMP")


@row("A response code that nobody knows", "A failure that shows the number")
def unknown_rcode(w: World) -> None:
    _failing(w, "rcode", "rcode 11", code=11)


@row("SERVFAIL from the start", "`start()` raises it; the service starts by itself when that ends")
def servfail_from_the_start(w: World) -> None:
    svc = w.make()
    try:
        with w.fault("SERVFAIL"):
            with pytest.raises(LookupFailed, match="said SERVFAIL"):
                svc.start()
            assert svc.status.state == "starting"
            assert "said SERVFAIL" in str(svc.status.error)
        assert svc.wait_for(3, 20).addresses == tuple(w.web.addresses)
        w.is_well(svc)
    finally:
        svc.close()


def _blip(w: World, fault: str, said: str, **options: object) -> None:
    """As often as one likes within the grace: the peers stay."""
    with w.watch() as svc:
        before = svc.peers()
        with w.fault(fault, **options):
            for _ in range(5):
                assert svc.refresh() is before
            status = svc.status
            assert status.state == "fresh"
            assert status.failures == 0, "it is an answer"
            assert f"{w.dns.nameserver} says {said}" in str(status.error)
            assert "empty_grace=30 s" in str(status.error)
        w.recovers(svc)


@row("NXDOMAIN for a moment", "The peers stay for `empty_grace`, and `status.error` says so")
def nxdomain_blip(w: World) -> None:
    _blip(w, "NXDOMAIN", "NXDOMAIN")


@row("NODATA for a moment", "The peers stay for `empty_grace`")
def nodata_blip(w: World) -> None:
    _blip(w, "NODATA", "NODATA")


@row("NXDOMAIN without SOA", "The peers stay for `empty_grace`")
def nxdomain_without_soa(w: World) -> None:
    _blip(w, "NXDOMAIN", "NXDOMAIN", soa=False)


@row("NXDOMAIN without SOA, `empty_grace=0`", "Not believed at once: 30 s all the same")
def nxdomain_without_soa_or_grace(w: World) -> None:
    with w.watch(empty_grace=0) as svc:
        before = svc.peers()
        with w.fault("NXDOMAIN", soa=False):
            for _ in range(5):
                assert svc.refresh() is before
        w.recovers(svc)


@row("NXDOMAIN with SOA, `empty_grace=0`", "Believed at once")
def nxdomain_without_grace(w: World) -> None:
    with w.watch(empty_grace=0) as svc:
        w.web.scale(0)
        assert not svc.refresh()
        assert (svc.status.state, svc.status.error) == ("empty", None)
        w.recovers(svc)


@row("NXDOMAIN that lasts", "Three of them over `empty_grace`, and the set is empty")
def nxdomain_that_lasts(w: World) -> None:
    with w.watch(empty_grace=0.3) as svc:
        answers = w.dns.count()
        w.web.scale(0)
        while svc.refresh():
            assert w.dns.count() < answers + 100_000
        assert w.dns.count() >= answers + 3
        assert (svc.status.state, svc.status.error) == ("empty", None)
        w.recovers(svc)


@row("NXDOMAIN for 29 s, failures between, one positive answer; then for 30 s", "Empty after the latter", virtual=True)
def nxdomain_for_29_seconds() -> None:
    watch = Watch()
    watch.hear(a_part(1, 2))
    watch.now = 100
    for _ in range(29):
        assert watch.hear(negative(), after=1)
        assert watch.fail()
    assert watch.hear(a_part(1, 2), after=1)
    for _ in range(30):
        assert watch.hear(negative(), after=1), "failures neither count nor reset; a positive answer does"
    assert not watch.hear(negative(), after=1)


@row("NXDOMAIN twice, an hour apart, and nothing between", "Two are not enough, however long it lasts", virtual=True)
def two_nxdomains() -> None:
    watch = Watch()
    watch.hear(a_part(1, 2))
    assert watch.hear(negative(), after=100)
    assert watch.hear(negative(), after=3600)
    assert not watch.hear(negative(), after=1)


@row("The SOA's MINIMUM is 3600", "Asked again after 10 s at most")
def minimum_3600(w: World) -> None:
    with w.watch() as svc:
        with w.fault("NXDOMAIN", minimum=3600):
            svc.refresh()
            assert 9 < svc.status.next_refresh_in <= 10.5
        w.recovers(svc)


@row("NOERROR with nothing but a referral", "Lame: a failure, not NODATA")
def referral(w: World) -> None:
    with w.watch() as svc:
        with w.fault("lame"):
            w.keeps(svc, f"{w.dns.nameserver} only referred to other servers .lame")
        w.recovers(svc)


@row("NOERROR with nothing at all, neither AA nor RA", "Lame: a failure, not NODATA")
def nothing_at_all(w: World) -> None:
    def empty(x: Exchange) -> Iterable[Action]:
        yield Send(x.reply(flags=0))

    with w.watch() as svc:
        with w.fault(empty):
            w.keeps(svc, "neither has the zone nor asks others .lame")
        w.recovers(svc)


def _cname(rcode: int) -> Callable[[Exchange], Iterable[Action]]:
    def answer(x: Exchange) -> Iterable[Action]:
        yield Send(x.reply(rcode, answer=[record(x.name, "CNAME", 5, "gone.moon.svc.cluster.local")], flags=0x480))

    return answer


@row("NXDOMAIN with a CNAME in the answer", "The end of the chain does not exist: an empty answer, with grace")
def nxdomain_with_cname(w: World) -> None:
    with w.watch() as svc:
        before = svc.peers()
        with w.fault(_cname(3), name=NAME):
            for _ in range(5):
                assert svc.refresh() is before
            assert "says NXDOMAIN" in str(svc.status.error)
        w.recovers(svc)


@row("A CNAME and nothing behind it", "Its target is asked for; that does not exist: an empty answer, with grace")
def cname_only(w: World) -> None:
    with w.watch() as svc:
        before = svc.peers()
        with w.fault(_cname(0), name=NAME):
            for _ in range(5):
                assert svc.refresh() is before
            assert "says NXDOMAIN" in str(svc.status.error)
            assert w.dns.count("gone.moon.svc.cluster.local") == 5
        w.recovers(svc)


@row("NXDOMAIN beside addresses", "A contradiction: a failure")
def nxdomain_beside_addresses(w: World) -> None:
    def both(x: Exchange) -> Iterable[Action]:
        yield Send(x.reply(3, answer=x.records.answer))

    with w.watch() as svc:
        with w.fault(both):
            w.keeps(svc, "says NXDOMAIN beside an answer")
        w.recovers(svc)


@row("`max_stale=300`, and no answer for 300 s", "The set is given up, and `status.error` says why", virtual=True)
def max_stale() -> None:
    watch = Watch(max_stale=300)
    watch.hear(a_part(1, 2))
    while watch.now < 299:
        watch.fail(after=1)
        assert not watch.membership.expired(watch.now)
    assert watch.membership.wakes_at <= 300
    assert watch.membership.expired(300)
    assert not watch.peers()
    assert "max_stale=300 s" in str(watch.membership.error)
