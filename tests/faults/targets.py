"""SRV targets that are no names of pods: addresses, names without one, port 0, several instances on one node."""

from __future__ import annotations

from contextlib import suppress

import pytest

from headless_discovery import LookupFailed

from .matrix import World, asked, row

BASE = "db.example.com"
SRV = f"_http._tcp.{BASE}"


def _records(w: World, *values: str, owner: str = SRV) -> None:
    w.dns.add_zone("example.com")
    w.dns.remove_record(owner, "SRV")
    w.dns.record(owner, "SRV", 30, *values)


@row("An SRV target is an IP literal (`10.0.0.1.`)", "That address, and no question for it")
def literal_targets(w: World) -> None:
    _records(w, "0 1 8080 10.0.0.1.", "0 1 8081 10.0.0.2.", "0 1 8082 10.0.0.2.")
    for target, port in ((BASE, "http"), (SRV, None)):
        for family in ("auto", "ipv4", "any"):
            with w.watch(target, port, family=family) as svc:
                w.stays(svc, {("10.0.0.1", 8080), ("10.0.0.2", 8081), ("10.0.0.2", 8082)}, 3, queries=2)
                assert (svc.status.error, svc.status.complete) == (None, True)
                assert str(svc.peers()[0].netloc) == "10.0.0.1:8080"
    assert not any(name[0].isdigit() for name, _ in asked(w.dns))


@row(
    "IP literals and names among the targets; some of the literals are not allowed",
    "Peers; the latter are refused and named",
)
def literal_targets_among_others(w: World) -> None:
    w.dns.record("a.example.com", "A", 30, "10.0.0.9")
    _records(w, "0 1 8080 10.0.0.1.", "0 1 8080 a.example.com.", "0 1 80 169.254.169.254.", "0 1 80 0.0.0.0.")
    with w.watch(BASE, "http") as svc:
        w.stays(svc, {("10.0.0.1", 8080), ("10.0.0.9", 8080)}, 3)
        assert "169.254.169.254" in str(svc.status.error)
        _records(w, "0 1 8080 10.0.0.1.", "0 1 8080 a.example.com.")
        w.settles(svc, ["10.0.0.1", "10.0.0.9"])
        _records(w, "0 1 8080 a.example.com.")
        w.settles(svc, ["10.0.0.9"])


@row('An IP literal as the target, seen with `port="auto"`', "The same")
def literal_targets_with_auto(w: World) -> None:
    _records(w, "0 1 8080 10.0.0.1.", "0 1 8080 10.0.0.2.", owner=BASE)
    with w.watch(BASE, "auto") as svc:
        w.stays(svc, {("10.0.0.1", 8080), ("10.0.0.2", 8080)}, 3)


@row(
    "2 of 3 SRV targets have no address: NXDOMAIN, NODATA or SERVFAIL for their names",
    "One peer, and `status.error` counts the others",
)
def targets_without_address(w: World) -> None:
    for target in ("a", "b", "c"):
        w.dns.record(f"{target}.example.com", "A", 30, "10.0.0.9" if target == "a" else "10.0.0.8")
    _records(w, "0 1 8080 a.example.com.", "0 1 8080 b.example.com.", "0 1 8080 c.example.com.")
    w.dns.remove_record("c.example.com")
    w.dns.record("c.example.com", "A", 30, "10.0.0.7")
    for fault in ("NXDOMAIN", "NODATA", "SERVFAIL"):
        w.dns.remove_record(SRV)
        w.dns.record(SRV, "SRV", 30, *(f"0 1 8080 {t}.example.com." for t in "abc"), glue=False)
        with w.fault(fault, name="[bc].example.com"), w.watch(BASE, "http") as svc:
            for _ in range(3):
                assert [peer.endpoint for peer in svc.peers()] == [("10.0.0.9", 8080)]
                assert "2 of 3 targets have no address" in str(svc.status.error)
                assert svc.status.failures == 0
                svc.refresh()
            w.dns.recover()
            w.until(svc, lambda peers: len(peers) == 3)
            w.is_well(svc, ["10.0.0.7", "10.0.0.8", "10.0.0.9"])


@row("None of the SRV targets has an address", "Nobody, and `status.error` says why")
def no_target_has_an_address(w: World) -> None:
    _records(w, "0 1 8080 b.example.com.", "0 1 8080 c.example.com.")
    svc = w.make(BASE, "http")
    try:
        with suppress(LookupFailed):
            svc.start()
        assert "2 of 2 targets have no address" in str(svc.status.error)
        w.dns.record("b.example.com", "A", 30, "10.0.0.8")
        svc.refresh()
        assert svc.peers().addresses == ("10.0.0.8",)
        assert "1 of 2 targets have no address" in str(svc.status.error)
    finally:
        svc.close()


@row("An SRV record has port 0", "`status.error` says so; the others are as they are")
def port_0(w: World) -> None:
    for target in ("a", "b"):
        w.dns.record(f"{target}.example.com", "A", 30, "10.0.0.1" if target == "a" else "10.0.0.2")
    _records(w, "0 1 0 a.example.com.", "0 1 8080 b.example.com.")
    with w.watch(BASE, "http") as svc:
        assert ("10.0.0.2", 8080) in {peer.endpoint for peer in svc.peers()}
        assert "port 0" in str(svc.status.error)
        assert svc.status.failures == 0
        _records(w, "0 1 8081 a.example.com.", "0 1 8080 b.example.com.")
        w.until(svc, lambda peers: {p.endpoint for p in peers} == {("10.0.0.1", 8081), ("10.0.0.2", 8080)})
        assert svc.status.error is None


@row("A service whose target port is 0, and IP literals with port 0", "The same")
def port_0_everywhere(w: World) -> None:
    w.pods(2, ports={"http": 0})
    _records(w, "0 1 0 10.0.0.1.")
    for target, port in ((w.web.name, "http"), (w.web.name, "auto"), (BASE, "http")):
        with w.watch(target, port) as svc:
            svc.refresh()
            assert "port 0" in str(svc.status.error)


def _instances(w: World, *values: str) -> None:
    """Instances with ports of their own on two nodes, as Nomad or Consul lists them."""
    _records(w, *values, owner=BASE)
    _records(w, *values)


@row(
    'Two instances on one node, with ports of their own, under `port="auto"` from the start',
    "`start()` fails and lists the ports; the SRV name has all instances",
)
def two_on_one_node(w: World) -> None:
    w.dns.record("node1.example.com", "A", 30, "10.0.0.1")
    w.dns.record("node2.example.com", "A", 30, "10.0.0.2")
    _instances(w, "0 1 8080 node1.example.com.", "0 1 8081 node1.example.com.", "0 1 8082 node2.example.com.")
    with pytest.raises(LookupFailed, match=r"8080, 8081") as raised:
        w.resolve(BASE, "auto")
    assert "_http._tcp" in str(raised.value), "the port's number would lose all but one instance"
    with w.watch(SRV, None) as svc:
        w.stays(svc, {("10.0.0.1", 8080), ("10.0.0.1", 8081), ("10.0.0.2", 8082)}, 3)


@row("A second instance comes to a node later", "Those that are known stay")
def a_second_one_on_a_node(w: World) -> None:
    for number in (1, 2, 3):
        w.dns.record(f"node{number}.example.com", "A", 30, f"10.0.0.{number}")
    first = [f"0 1 808{number} node{number}.example.com." for number in (1, 2, 3)]
    known = {(f"10.0.0.{number}", 8080 + number) for number in (1, 2, 3)}
    _instances(w, *first)
    with w.watch(BASE, "auto") as svc:
        w.stays(svc, known, 2)
        _instances(w, *first, "0 1 8089 node2.example.com.")
        for _ in range(4):
            assert known <= {peer.endpoint for peer in svc.refresh()}
        assert w.moved(svc)[0] == 0
        _instances(w, *first)
        w.until(svc, lambda peers: {peer.endpoint for peer in peers} == known)
        assert svc.status.error is None
