"""The search walk where a wildcard, a policy or a failure is on the list. A kubelet appends the node's own suffixes."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from headless_discovery import LookupFailed
from headless_discovery.testing import DNSServer

from .matrix import NAME, SEARCH, Later, World, asked, row, write_conf

CORP = "corp.example"
WILD = "10.6.6.6"  # what *.corp.example has


def _wildcard(dns: DNSServer) -> None:
    dns.add_zone(CORP)
    dns.record(f"*.{CORP}", "A", 5, WILD)


@contextmanager
def _late(name: str, search: tuple[str, ...], *, pods: int = 0, **options: object) -> Iterator[tuple[DNSServer, Later]]:
    """A short name in virtual time, with a wildcard behind the cluster's suffixes."""
    with tempfile.TemporaryDirectory() as folder, DNSServer(ttl=5, cache=False) as dns:
        _wildcard(dns)
        dns.service("headless-svc", "moon", pods=pods, ports={"http": 8080})
        conf = write_conf(Path(folder), dns, search=search)
        with Later(name, resolv_conf=str(conf), **options) as later:
            yield dns, later


def _pods(dns: DNSServer) -> tuple[str, ...]:
    service = next(iter(dns._zone._services.values()))
    return tuple(service.scale(3)[n].address for n in range(3))


@row(
    "0 pods at the start, and the short name falls through to a wildcard; then the pods are ready",
    "Earlier names are asked again every 30 s. The wildcard's address goes once they have answered for `empty_grace`",
    virtual=True,
)
def pods_behind_a_wildcard() -> None:
    for name in ("headless-svc", "headless-svc.moon"):
        with _late(name, (*SEARCH, CORP)) as (dns, later):
            assert later.addresses == (WILD,)
            pods = _pods(dns)
            for _ in range(95):
                later.after(1)
                assert later.addresses in ((WILD,), pods), "all of it, at once"
            assert later.addresses == pods
            assert (later.status.state, later.status.error) == ("fresh", None)
            dns.clear_queries()
            later.after(60)
            assert later.addresses == pods
            assert dns.count(f"*.{CORP}") == 0, "what hit earlier is home now"


@row("The same with `empty_grace=0`", "The pods replace the wildcard's address when they are first seen", virtual=True)
def pods_behind_a_wildcard_without_grace() -> None:
    with _late("headless-svc", (*SEARCH, CORP), empty_grace=0) as (dns, later):
        pods = _pods(dns)
        later.after(20)
        assert later.addresses == (WILD,)
        later.after(20)
        assert later.addresses == pods


@row("The same with several wildcards, one before the other", "The earliest name that answers wins", virtual=True)
def pods_behind_two_wildcards() -> None:
    with _late("headless-svc", (*SEARCH, "other.example", CORP)) as (dns, later):
        assert later.addresses == (WILD,)
        dns.add_zone("other.example")
        dns.record("*.other.example", "A", 5, "10.7.7.7")
        later.after(95)
        assert later.addresses == ("10.7.7.7",)
        pods = _pods(dns)
        later.after(95)
        assert later.addresses == pods


@row("An earlier name answers once and is gone again", "That is not `empty_grace`: the address stays", virtual=True)
def an_earlier_name_for_a_moment() -> None:
    with _late("headless-svc", (*SEARCH, CORP)) as (dns, later):
        service = next(iter(dns._zone._services.values()))
        for _ in range(4):
            service.scale(3)
            later.after(33)
            service.scale(0)
            later.after(33)
            assert later.addresses == (WILD,)


@row(
    "Earlier names fail (SERVFAIL) while the wildcard's address is held, for minutes",
    "It stays, and `status` is fresh; when they answer, they win",
    virtual=True,
)
def earlier_names_fail() -> None:
    with _late("headless-svc", (*SEARCH, CORP)) as (dns, later):
        pods = _pods(dns)
        with dns.fail("SERVFAIL", name="*.cluster.local"):
            later.after(200)
            assert later.addresses == (WILD,)
            assert later.status.state == "fresh"
        later.after(95)
        assert later.addresses == pods


@row(
    "The service of a short name goes to 0 pods for ten minutes, and a wildcard is behind it; `empty_grace=3600`",
    "The pods stay: another name's answer is emptiness of the held name first",
    virtual=True,
)
def held_name_before_a_wildcard() -> None:
    with _late("headless-svc", (*SEARCH, CORP), pods=3, empty_grace=3600) as (dns, later):
        pods = later.addresses
        assert len(pods) == 3
        with dns.fail("NXDOMAIN", name=NAME):
            later.after(600)
            assert later.addresses == pods
        later.after(20)
        assert later.addresses == pods
        assert later.status.error is None


@row(
    "A live set; resolv.conf gets one more suffix, with a wildcard, and NXDOMAIN comes once at that moment",
    "Nobody is replaced before `empty_grace` has passed",
)
def one_more_suffix(w: World) -> None:
    _wildcard(w.dns)
    for search in ((*SEARCH, CORP), (CORP,), (SEARCH[0], CORP, "svc.cluster.local")):
        for name in ("headless-svc", "headless-svc.moon", NAME):
            conf = w.conf(w.dns)
            with w.watch(name, nameservers=None, resolv_conf=str(conf)) as svc:
                before = svc.peers()
                assert len(before) == 3
                with w.dns.fail("NXDOMAIN", name=NAME, times=1):
                    w.conf(w.dns, search=search)
                    for _ in range(4):
                        assert svc.refresh() is before
                w.conf(w.dns)
                w.until(svc, lambda peers: svc.status.error is None)
                w.is_well(svc)


@row(
    "The same, and NXDOMAIN for good",
    "The wildcard's address takes their place after `empty_grace`, with no empty set between",
)
def one_more_suffix_and_nobody(w: World) -> None:
    _wildcard(w.dns)
    conf = w.conf(w.dns)
    with w.watch("headless-svc", nameservers=None, resolv_conf=str(conf), empty_grace=0.3) as svc:
        w.gone.update(w.web.addresses)
        w.conf(w.dns, search=(*SEARCH, CORP))
        with w.fault("NXDOMAIN", name=NAME):
            for _ in range(2):
                assert len(svc.refresh()) == 3
            assert "empty_grace" in str(svc.status.error)
            w.until(svc, lambda peers: peers.addresses == (WILD,), 100_000)
            assert w.moved(svc) == (3, 1)


@row(
    "The suffix of a live set is taken off the search list",
    "The name that is held is asked on: nobody is replaced or lost",
)
def suffix_taken_away(w: World) -> None:
    _wildcard(w.dns)
    conf = w.conf(w.dns)
    with w.watch("headless-svc", nameservers=None, resolv_conf=str(conf)) as svc:
        before = svc.peers()
        w.conf(w.dns, search=("cluster.local", "corp.invalid"))
        for _ in range(4):
            assert svc.refresh() is before
        w.conf(w.dns)
        w.until(svc, lambda peers: svc.status.error is None)
        w.recovers(svc)


# Policies and failures.


@row(
    "A policy refuses names under one suffix (Cilium: REFUSED)",
    "The walk goes on, as glibc's does: the right name is found, remembered and asked alone",
)
def refused_suffix(w: World) -> None:
    conf = w.conf(w.dns)
    first = f"headless-svc.moon.{SEARCH[0]}"
    with (
        w.fault("REFUSED", name=f"*.moon.{SEARCH[0]}"),
        w.watch("headless-svc.moon", nameservers=None, resolv_conf=str(conf)) as svc,
    ):
        assert svc.peers().addresses == tuple(w.web.addresses)
        assert [name for name, _ in asked(w.dns)] == [first, NAME]
        svc.refresh()
        assert [name for name, _ in asked(w.dns)][2:] == [NAME]
        w.web.add()
        w.until(svc, lambda peers: peers.addresses == tuple(w.web.addresses))
        assert len(w.resolve("headless-svc.moon", "http", nameservers=None, resolv_conf=str(conf))) == 4


@row("The same with the first suffix in another zone, which this server refuses", "The same")
def refused_zone(w: World) -> None:
    conf = w.conf(w.dns, search=("refused.example", "also.refused.example", *SEARCH))
    for port in (8080, "http", "auto"):
        with w.watch("headless-svc", port, nameservers=None, resolv_conf=str(conf)) as svc:
            assert len(svc.peers()) == 3
            w.is_well(svc)


@row("All names of the list are refused", "A failure that says REFUSED, no empty set")
def all_refused(w: World) -> None:
    conf = w.conf(w.dns)
    svc = w.make("headless-svc.moon", nameservers=None, resolv_conf=str(conf))
    try:
        with w.fault("REFUSED"), pytest.raises(LookupFailed, match="REFUSED"):
            svc.start()
        assert svc.status.state == "starting"
        assert len(svc.wait_for(3, 20)) == 3
        with w.fault("REFUSED"):
            w.keeps(svc, "REFUSED")
        w.recovers(svc)
    finally:
        svc.close()


@row(
    "SERVFAIL or worse on the search suffixes, and `db.example.com` under `ndots:5` exists as it is written",
    "It is found. `status.error` tells of the failure, and the hit is not remembered",
)
def whole_name_behind_failures(w: World) -> None:
    w.dns.record("db.example.com", "A", 30, "10.5.5.5")
    conf = w.conf(w.dns)
    for fault, said in (("SERVFAIL", "SERVFAIL"), ("NOTIMP", "NOTIMP"), ("lame", "lame"), ("rcode", "rcode 11")):
        with (
            w.fault(fault, name="*.cluster.local", **({"code": 11} if fault == "rcode" else {})),
            w.watch("db.example.com", nameservers=None, resolv_conf=str(conf)) as svc,
        ):
            for _ in range(3):
                assert svc.peers().addresses == ("10.5.5.5",)
                assert said in str(svc.status.error)
                assert svc.status.failures == 0
                svc.refresh()
            w.dns.recover()
            w.is_well(svc, ["10.5.5.5"])


@row("The same, and only the second suffix fails", "The same")
def whole_name_behind_one_failure(w: World) -> None:
    w.dns.record("db.example.com", "A", 30, "10.5.5.5")
    conf = w.conf(w.dns)
    with w.fault("SERVFAIL", name=f"*.com.{SEARCH[1]}"):
        found = w.resolve("db.example.com", nameservers=None, resolv_conf=str(conf))
        assert found.addresses == ("10.5.5.5",)
        assert asked(w.dns) == [
            (f"db.example.com.{SEARCH[0]}", "A"),
            (f"db.example.com.{SEARCH[1]}", "A"),
            ("db.example.com", "A"),
        ]


@row("The same, and the name as it is written does not exist, or fails, too", "A failure: no empty set")
def nothing_behind_failures(w: World) -> None:
    w.dns.add_zone("example.com")
    conf = w.conf(w.dns)
    for other in ("NXDOMAIN", "NODATA", "SERVFAIL"):
        with (
            w.fault("SERVFAIL", name="*.cluster.local"),
            w.fault(other, name="db.example.com"),
            pytest.raises(LookupFailed, match="SERVFAIL"),
        ):
            w.resolve("db.example.com", nameservers=None, resolv_conf=str(conf))


@row(
    "A live set under a suffix; that suffix fails, and the name as it is written exists elsewhere",
    "A failure: nobody is replaced",
)
def failure_of_the_held_name(w: World) -> None:
    w.dns.add_zone(".")
    w.dns.record("headless-svc.moon", "A", 30, WILD)
    conf = w.conf(w.dns)
    with w.watch("headless-svc.moon", nameservers=None, resolv_conf=str(conf)) as svc:
        with w.fault("SERVFAIL", name="*.cluster.local"):
            w.keeps(svc, "SERVFAIL", 4)
        w.recovers(svc)
