"""A and AAAA."""

from __future__ import annotations

import pytest

from headless_discovery import LookupFailed

from .matrix import NAME, World, asked, row


@row("A says SERVFAIL, AAAA is fine", 'With `family="auto"` a failure: AAAA is asked only after a successful "no A"')
def a_fails(w: World) -> None:
    w.pods(2, family="dual")
    with w.watch() as svc:
        with w.fault("SERVFAIL", qtype="A"):
            w.keeps(svc, "A: .*SERVFAIL")
            assert w.dns.count(qtype="AAAA") == 0
        svc.refresh()
        assert (len(svc.peers()), svc.status.error) == (2, None)


@row(
    'AAAA says NXDOMAIN though there is A, `family="any"`',
    "The IPv4 peers are there; IPv6 has its own emptiness to prove",
)
def aaaa_says_nxdomain(w: World) -> None:
    with w.watch(family="any") as svc:
        with w.fault("NXDOMAIN", qtype="AAAA"):
            w.is_well(svc)
        w.recovers(svc)


@row('`family="any"`, and one family fails', "Its peers stay, the other's go on; `status` is not complete and says why")
def any_with_one_failing(w: World) -> None:
    w.pods(2, family="dual", ports=None)
    for qtype in ("A", "AAAA"):
        with w.watch(family="any") as svc:
            before = svc.peers()
            assert len(before) == 4
            with w.fault("SERVFAIL", qtype=qtype):
                w.warns(svc, f"{NAME} {qtype}: .*SERVFAIL")
                assert not svc.status.complete
            assert svc.refresh() is before
            assert (svc.status.error, svc.status.complete) == (None, True)


@row('`family="any"`, and both fail', "A failure")
def any_with_both_failing(w: World) -> None:
    with w.watch(family="any") as svc:
        with w.fault("SERVFAIL"):
            w.keeps(svc, "SERVFAIL")
        w.recovers(svc)


@row(
    "The service moves from IPv4 to IPv6",
    "The IPv4 peers stay for `empty_grace`; then the IPv6 ones take their place at once, with no empty set between",
)
def from_v4_to_v6(w: World) -> None:
    w.pods(["10.0.0.1"], ports=None)
    with w.watch(empty_grace=0.2) as svc:
        changes = svc.changes()
        next(changes)
        w.web.set_pods(["fd00::1"])
        assert svc.refresh().addresses == ("10.0.0.1",)
        assert "empty_grace" in str(svc.status.error)
        while svc.refresh().addresses == ("10.0.0.1",):
            pass
        assert svc.peers().addresses == ("fd00::1",)
        change = next(changes)
        assert (change.removed.addresses, change.added.addresses) == (("10.0.0.1",), ("fd00::1",))
        changes.close()
        w.dns.clear_queries()
        w.is_well(svc)
        assert asked(w.dns) == [(NAME, "AAAA")], "the family is remembered"


@row("A service of IPv6 alone", "A says NODATA, AAAA has the peers; from then on AAAA is asked alone")
def v6_alone(w: World) -> None:
    w.pods(3, family="ipv6", ports=None)
    with w.watch() as svc:
        assert asked(w.dns) == [(NAME, "A"), (NAME, "AAAA")]
        w.recovers(svc)
        assert asked(w.dns)[2:] == [(NAME, "AAAA")] * (len(asked(w.dns)) - 2)


@row("Dual stack with ports, pods without names", "One peer a pod: the IPv6 targets are dropped where there is IPv4")
def dual_stack_deployment(w: World) -> None:
    w.pods(3, family="dual", hostnames=None)
    with w.watch(port="http") as svc:
        assert svc.peers().addresses == tuple(pod.addresses[0] for pod in w.web.pods)


@row("Dual stack with ports, pods with names", "One peer a pod, with both addresses")
def dual_stack_statefulset(w: World) -> None:
    w.pods(3, family="dual")
    with w.watch(port="http") as svc:
        assert [peer.addresses for peer in svc.peers()] == [pod.addresses for pod in w.web.pods]


@row('`family="ipv6"`, and the service has IPv4 alone', "Nobody: an empty set, no failure")
def no_v6(w: World) -> None:
    with w.make(family="ipv6") as svc:
        assert (len(svc.peers()), svc.status.state, svc.status.failures) == (0, "empty", 0)
        with w.fault("SERVFAIL"), pytest.raises(LookupFailed):
            svc.refresh()
