"""A and AAAA."""

from __future__ import annotations

from itertools import pairwise

import pytest

from headless_discovery import LookupFailed
from headless_discovery.testing import DNSServer

from .matrix import NAME, Later, World, asked, row


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


@row('`family="any"`, `port="auto"`, and no SRV', "The peers of both families, as where no port is asked for")
def any_without_srv(w: World) -> None:
    for pods in (["10.0.0.1", "fd00::2"], ["fd00::1"], ["10.0.0.1"], ["10.0.0.1+fd00::1"]):
        w.web.set_pods(pods)
        w.web.set_ports(None)
        with w.watch(port="auto", family="any") as svc:
            w.is_well(svc)
            w.web.add("fd00::9")
            w.is_well(svc)
            w.web.add("10.0.0.9")
            w.is_well(svc)


@row('`port="auto"` without SRV, with each other `family`', "The addresses of that family")
def auto_without_srv(w: World) -> None:
    w.pods(["10.0.0.1+fd00::1", "10.0.0.2+fd00::2"], ports=None)
    for family, expected in (("auto", "10.0.0."), ("ipv4", "10.0.0."), ("ipv6", "fd00::")):
        with w.watch(port="auto", family=family) as svc:
            w.is_well(svc, [f"{expected}{number}" for number in (1, 2)])


def _chain(w: World) -> str:
    w.dns.record("db.example.com", "CNAME", 30, "alias.example.com")
    w.dns.record("alias.example.com", "CNAME", 30, NAME)
    return "db.example.com"


@row(
    '`family="any"` behind a CNAME chain, and the server says FORMERR to EDNS and refuses TCP',
    "All peers of both families; or, where the answer is cut, as many as are shown, and it counts as incomplete",
)
def any_behind_a_chain_without_edns_and_tcp(w: World) -> None:
    for fault in ("edns-formerr", "edns-badvers"):
        w.web.set_pods(["10.0.0.1+fd00::1", "10.0.0.2+fd00::2"])
        w.web.set_ports(None)
        with w.fault("tcp-refused"), w.fault(fault):
            for name in (_chain(w), NAME):
                with w.watch(name, family="any") as svc:
                    w.is_well(svc)
            w.web.set_pods([f"10.0.1.{n}+fd00::1:{n}" for n in range(1, 25)])
            with w.watch("db.example.com", family="any") as svc:
                w.until(svc, lambda peers: len(peers) == 48)
                assert svc.status.state == "fresh"
                assert not svc.status.complete
                for _ in range(5):
                    assert len(svc.refresh()) == 48
        w.dns.remove_record("db.example.com")
        w.dns.remove_record("alias.example.com")


@row(
    "The chain's CNAMEs alone fill what UDP has room for without EDNS, and TCP is refused",
    "The end of the chain is asked for: all peers of both families",
)
def a_chain_that_fills_the_answer(w: World) -> None:
    w.pods(["10.0.0.1+fd00::1", "10.0.0.2+fd00::2"], ports=None)
    for links in (3, 4, 5, 6, 7):
        names = [f"{number}{'x' * 55}.example.com" for number in range(links)] + [NAME]
        for name, target in pairwise(names):
            w.dns.record(name, "CNAME", 30, target)
        with w.fault("tcp-refused"), w.fault("edns-formerr"):
            for family in ("any", "auto", "ipv6"):
                wanted = {a for a in w.web.addresses if family == "any" or (":" in a) == (family == "ipv6")}
                with w.watch(names[0], family=family) as svc:
                    for _ in range(20):  # one of two addresses may have room: another one each time
                        svc.refresh()
                    assert set(svc.peers().addresses) == wanted
                    assert svc.status.state == "fresh"
                found = set(w.resolve(names[0], family=family).addresses)
                assert {":" in address for address in found} == {":" in address for address in wanted}
        for name in names[:-1]:
            w.dns.remove_record(name)


@row('The same with `family="auto"`, IPv4 or IPv6', "The peers of that family")
def one_family_behind_a_chain_without_edns_and_tcp(w: World) -> None:
    w.pods(2, family="dual", ports=None)
    name = _chain(w)
    for family, place in (("auto", 0), ("ipv4", 0), ("ipv6", 1)):
        with w.fault("tcp-refused"), w.fault("edns-formerr"), w.watch(name, family=family) as svc:
            w.is_well(svc, [pod.addresses[place] for pod in w.web.pods])


# Types that a name lacks. Docker, Podman (aardvark), mesos-dns and weave say NXDOMAIN for them.


@row(
    'NXDOMAIN for the types that the name lacks, `port="auto"` or `family="auto"`',
    "The next type is asked, too, while nobody is known: A or AAAA is found",
)
def nxdomain_for_types(w: World) -> None:
    for pods in (["10.0.0.1", "10.0.0.2"], ["fd00::1", "fd00::2"]):
        for options in ({"soa": False}, {}):
            for port in ("auto", 8080):
                for family in ("auto", "any", "ipv4" if pods[0] == "10.0.0.1" else "ipv6"):
                    w.web.set_pods(pods)
                    w.web.set_ports(None)
                    with w.dns.fail("nxdomain-for-nodata", **options):
                        found = w.resolve(port=port, family=family)
                        assert sorted(found.addresses) == pods
                        with w.watch(port=port, family=family) as svc:
                            w.is_well(svc)
                            w.web.add(pods[0][:-1] + "3")
                            w.is_well(svc)
                            assert w.moved(svc) == (0, 1)


@row("The same under a short name", "The same: such an NXDOMAIN does not send the walk to the next suffix for good")
def nxdomain_for_types_of_short_names(w: World) -> None:
    w.pods(2, ports=None)
    conf = w.conf(w.dns)
    for name in ("headless-svc", "headless-svc.moon"):
        with (
            w.fault("nxdomain-for-nodata"),
            w.watch(name, "auto", nameservers=None, resolv_conf=str(conf)) as svc,
        ):
            w.is_well(svc)


@row(
    "Such a server; nobody is there at the start, and the pods come later",
    "They are found: every 30 s the next type is asked in spite of NXDOMAIN",
    virtual=True,
)
def nxdomain_for_types_and_nobody_at_first() -> None:
    for options in ({"port": "auto"}, {"port": 8080}):
        with DNSServer(ttl=5, cache=False) as dns:
            web = dns.service("headless-svc", "moon", pods=0, family="ipv6")
            dns.fail("nxdomain-for-nodata")
            with Later(NAME, nameservers=[dns.nameserver], **options) as later:
                assert (later.addresses, later.status.state) == ((), "empty")
                web.scale(2)
                later.after(45)
                assert later.addresses == tuple(web.addresses)
                later.after(120)
                assert later.addresses == tuple(web.addresses)
                assert later.status.error is None


@row("The last pod of a service on such a server leaves", "Empty after `empty_grace`")
def nxdomain_for_types_and_the_last_leaves(w: World) -> None:
    w.pods(2, ports=None)
    with w.fault("nxdomain-for-nodata"), w.watch(port="auto", empty_grace=0) as svc:
        w.web.scale(0)
        w.until(svc, lambda peers: not peers)
        assert (svc.status.state, svc.status.error) == ("empty", None)
