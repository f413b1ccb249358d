"""Dual-stack pods, and SRV answers that lack some additional records: by a cut, or because the server adds few."""

from __future__ import annotations

from typing import Any

from headless_discovery.testing.cluster import Service

from .matrix import SRV_NAME, World, row

FAMILIES = ("auto", "ipv4", "ipv6", "any")
ORDERS = ("random", "last", "first")


def _endpoints(web: Service, family: str = "auto") -> set[Any]:
    """One peer a pod: at its IPv4 address, unless IPv6 alone is wanted."""
    return {(pod.addresses[-1 if family == "ipv6" else 0], 8080) for pod in web.pods}


@row(
    '12 dual-stack pods and `tcp="never"`: SRV answers lack other addresses each time',
    "All are found at the start; then nobody is removed or added. The answers count as incomplete",
)
def dual_stack_over_udp(w: World) -> None:
    w.pods(12, family="dual")
    with w.watch(port="http", tcp="never") as svc:
        w.stays(svc, _endpoints(w.web), 20)
        assert not svc.status.complete
        assert svc.status.state == "fresh"
        w.web.add()
        w.until(svc, lambda peers: {peer.endpoint for peer in peers} == _endpoints(w.web))


@row("The same with each `family`", "One peer a pod, at an address of that family")
def dual_stack_over_udp_by_family(w: World) -> None:
    w.pods(12, family="dual")
    for family in FAMILIES:
        with w.watch(port="http", tcp="never", family=family) as svc:
            w.stays(svc, _endpoints(w.web, family), 10)


@row(
    "TC over UDP with dual-stack addresses cut one by one, at random or in order, and any `family`",
    "An RRset that is not shown is missing glue, no removal",
)
def dual_stack_glue_cut(w: World) -> None:
    w.pods(10, family="dual")
    for order in ORDERS:
        for family in FAMILIES:
            with (
                w.fault("glue-cut", qtype="SRV", keep=7, order=order),
                w.watch(port="http", tcp="never", family=family) as svc,
            ):
                w.stays(svc, _endpoints(w.web, family), 5)


@row(
    "11 dual-stack pods, and untruncated SRV answers with some of their addresses (minimal responses)",
    "Nobody is removed or added: additional records are the server's choice",
)
def dual_stack_some_glue(w: World) -> None:
    w.pods(11, family="dual")
    for keep in (1, 10, 16, 21):
        for order in ORDERS:
            with (
                w.fault("glue-left-out", qtype="SRV", keep=keep, order=order),
                w.watch(port="http", tcp="always") as svc,
            ):
                w.stays(svc, _endpoints(w.web), 5)
                assert svc.status.complete
                assert svc.status.error is None


@row("The same with each `family`", "One peer a pod; nobody is removed or added")
def dual_stack_some_glue_by_family(w: World) -> None:
    w.pods(11, family="dual")
    for family in FAMILIES:
        with (
            w.fault("glue-left-out", qtype="SRV", keep=10),
            w.watch(port="http", tcp="always", family=family) as svc,
        ):
            w.stays(svc, _endpoints(w.web, family), 10)


@row(
    "Untruncated SRV answers with the addresses of one family only, or with none, or one after the other",
    "One peer a pod, at the same address throughout",
)
def glue_of_one_family(w: World) -> None:
    w.pods(5, family="dual")
    for family in FAMILIES:
        for at_first in ("ipv4", "ipv6", None):
            with w.fault("glue-left-out", qtype="SRV", family=at_first), w.watch(port="http", family=family) as svc:
                w.stays(svc, _endpoints(w.web, family), 2)
                for later in ("ipv6", "ipv4", None):
                    with w.fault("glue-left-out", qtype="SRV", family=later):
                        w.stays(svc, _endpoints(w.web, family), 2)


@row(
    "The server begins to leave out addresses that it has sent before",
    "The known ones stay, with both addresses of each pod",
)
def glue_from_all_to_some(w: World) -> None:
    w.pods(6, family="dual")
    with w.watch(port="http") as svc:
        before = svc.peers()
        assert [peer.addresses for peer in before] == [pod.addresses for pod in w.web.pods]
        for options in ({"keep": 5}, {"family": "ipv4"}, {"family": "ipv6"}, {}):
            with w.fault("glue-left-out", qtype="SRV", **options):
                for _ in range(4):
                    assert svc.refresh() == before
                assert (svc.status.error, svc.status.complete) == (None, True)
        w.web.add()
        w.until(svc, lambda peers: [peer.addresses for peer in peers] == [pod.addresses for pod in w.web.pods])


@row(
    "A dual-stack pod comes back at new addresses, and the SRV answers show few of them",
    "Its new address replaces the old one, once its own name or the glue has shown it",
)
def dual_stack_restart(w: World) -> None:
    w.pods(8, family="dual")
    for fault, options in (
        ("glue-left-out", {"keep": 7}),
        ("glue-left-out", {"family": "ipv6"}),
        ("glue-left-out", {}),
        ("glue-cut", {"keep": 7}),
        ("glue-cut", {"keep": 1, "order": "last"}),
    ):
        with w.watch(port="http", tcp="never") as svc, w.fault(fault, qtype="SRV", **options):
            w.web.restart(5)
            w.until(svc, lambda peers: {peer.endpoint for peer in peers} == _endpoints(w.web))
            w.stays(svc, _endpoints(w.web), 4)
            assert w.moved(svc) == (1, 1)


@row(
    "700 dual-stack pods over TCP: addresses are cut one by one, others in each answer",
    "All 700 within 20 refreshes, and nobody is removed; 60 queries a refresh at most",
)
def dual_stack_700(w: World) -> None:
    w.pods(700, family="dual")
    with w.watch(port="http", timeout=30) as svc:
        there = len(svc.peers())
        for _ in range(20):
            asked = w.dns.count()
            svc.refresh()
            assert w.dns.count() - asked <= 60
        assert w.moved(svc) == (0, 700 - there)
        assert there == 700, "the first lookup asks for all that it can"
        w.stays(svc, _endpoints(w.web), 3)
        assert svc.status.complete, "only glue was cut"


@row("700 dual-stack pods: the last or the first addresses are cut, always the same", "As before")
def dual_stack_700_in_order(w: World) -> None:
    w.pods(700, family="dual")
    for order in ("last", "first"):
        with (
            w.fault("glue-cut", qtype="SRV", keep=500, order=order),
            w.watch(port="http", timeout=30, tcp="always") as svc,
        ):
            w.stays(svc, _endpoints(w.web), 5)
            assert svc.status.complete


@row("`resolve()` of 700 dual-stack pods, with each `family`", "All 700")
def dual_stack_700_once(w: World) -> None:
    w.pods(700, family="dual")
    for family in FAMILIES:
        found = w.resolve(port="http", family=family, timeout=30)
        assert {peer.endpoint for peer in found} == _endpoints(w.web, family)


def _deployment(w: World, family: str) -> set[Any]:
    """Dashed names: a target for each address. With "auto" the IPv6 ones are left away, with "any" all are peers."""
    wanted = {"auto": (0,), "ipv4": (0,), "ipv6": (1,), "any": (0, 1)}[family]
    return {(pod.addresses[place], 8080) for pod in w.web.pods for place in wanted}


@row(
    "A dual-stack Deployment of 450, whose pods have a name for each address: little glue has room",
    "Complete within 3 refreshes; the bare name's addresses say who is there, so few names are asked",
)
def dual_stack_deployment_450(w: World) -> None:
    w.pods(450, family="dual", hostnames=None)
    with w.watch(port="http", timeout=30) as svc:
        for _ in range(3):
            svc.refresh()
        assert svc.status.complete
        assert w.dns.count() <= 4 * 5
        w.stays(svc, _deployment(w, "auto"), 5, queries=5)
        assert w.moved(svc) == (0, 0)


@row("The same with each `family`", "One peer for each address of that family")
def dual_stack_deployment_by_family(w: World) -> None:
    w.pods(450, family="dual", hostnames=None)
    for family in FAMILIES:
        with w.watch(port="http", timeout=30, family=family) as svc:
            for _ in range(3):
                svc.refresh()
            w.stays(svc, _deployment(w, family), 3, queries=5)
            assert w.moved(svc) == (0, 0)


@row(
    "A dual-stack Deployment whose SRV answers show some addresses, none, or those of one family; cut and uncut",
    "One peer a pod; nobody is removed or added",
)
def dual_stack_deployment_some_glue(w: World) -> None:
    w.pods(9, family="dual", hostnames=None)
    for fault, options in (
        ("glue-left-out", {"keep": 9}),
        ("glue-left-out", {}),
        ("glue-left-out", {"family": "ipv6"}),
        ("glue-left-out", {"family": "ipv4"}),
        ("glue-cut", {"keep": 9}),
    ):
        for family in FAMILIES:
            with (
                w.fault(fault, qtype="SRV", **options),
                w.watch(port="http", family=family, tcp="always") as svc,
            ):
                w.stays(svc, _deployment(w, family), 4)
                assert w.moved(svc) == (0, 0)


# Answers that are cut record by record, each with its glue: Consul.


@row(
    "600 SRV over TCP: TC, 129 of them and exactly their addresses (Consul), others each time or always the same",
    "Incomplete: nobody is removed, and who is not shown is asked for by name, 50 a refresh",
)
def srv_cut_with_their_glue(w: World) -> None:
    w.pods(600)
    for order in ORDERS:
        with w.watch(port="http", timeout=30) as svc:
            assert len(svc.peers()) == 600
            with w.fault("cut", name=SRV_NAME, keep=129, order=order):
                for _ in range(8):
                    asked = w.dns.count()
                    assert len(svc.refresh()) == 600
                    assert w.dns.count() - asked <= 60
                    assert not svc.status.complete
            assert w.moved(svc) == (0, 0)


@row("600 dual-stack SRV, as many as TCP has room for, with both addresses of each", "As before")
def dual_stack_srv_cut_with_their_glue(w: World) -> None:
    w.pods(600, family="dual")
    with w.fault("cut", name=SRV_NAME), w.watch(port="http", timeout=30) as svc:
        assert not svc.status.complete
        for _ in range(10):
            svc.refresh()
            assert not svc.status.complete
        removed, _ = w.moved(svc)
        assert removed == 0
        assert {peer.endpoint for peer in svc.peers()} <= _endpoints(w.web)


@row("The same over UDP, a few of 20", "Incomplete; nobody is removed")
def few_srv_cut_with_their_glue(w: World) -> None:
    w.pods(20)
    for tcp in ("never", "auto"):
        with w.watch(port="http", tcp=tcp) as svc:
            w.until(svc, lambda peers: bool(peers))
            with w.fault("cut", name=SRV_NAME, keep=6):
                for _ in range(6):
                    svc.refresh()
                    assert not svc.status.complete
                removed, _ = w.moved(svc)
                assert removed == 0


@row("A pod that such answers do not show is gone", "Its own name says NXDOMAIN: it leaves, and only it")
def srv_cut_with_their_glue_and_a_leave(w: World) -> None:
    w.pods(20)
    with w.watch(port="http") as svc:
        with w.fault("cut", name=SRV_NAME, keep=6, order="last"):
            w.web.remove(15)
            w.until(svc, lambda peers: {peer.endpoint for peer in peers} == _endpoints(w.web))
            w.stays(svc, _endpoints(w.web), 5)
            assert w.moved(svc) == (1, 0)
        w.recovers(svc)
