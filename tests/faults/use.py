"""What users and operators do, while DNS does what it does."""

from __future__ import annotations

import threading
from contextlib import ExitStack, closing
from typing import Any

import pytest
from tenacity import wait_fixed

from headless_discovery import LookupFailed, PeerSet, ServiceClosed
from support.own import own_address
from support.strategies import First
from support.subscribers import eventually

from .matrix import NAME, World, at, named, row


@row(
    "The first lookup fails, then 1000 `peers()`", "Each raises the stored error at once; no further question is asked"
)
def a_thousand_peers(w: World) -> None:
    svc = w.make(retry_wait=wait_fixed(3600))
    try:
        with w.fault("SERVFAIL"), pytest.raises(LookupFailed):
            svc.start()
        w.dns.clear_queries()
        with w.dns.fail("timeout"):  # who asked now would wait
            for _ in range(1000):
                with pytest.raises(LookupFailed, match="SERVFAIL"):
                    svc.peers()
        assert w.dns.count() == 0
        svc.start()
        w.is_well(svc)
    finally:
        svc.close()


@row("`refresh()` in a tight loop", "One question every `min_ttl`; the set as it is in between")
def tight_loop(w: World) -> None:
    with w.watch(min_ttl=60, max_ttl=60) as svc:
        before = svc.peers()
        for _ in range(2000):
            assert svc.refresh() is before
        assert w.dns.count() == 1


@row("`refresh()` in a tight loop, while DNS says SERVFAIL", "Ten questions a second at most")
def tight_loop_while_failing(w: World) -> None:
    with w.watch(retry_wait=wait_fixed(3600)) as svc, w.fault("SERVFAIL"):
        w.keeps(svc, "SERVFAIL", 5)
        times = [query.time for query in w.dns.queries[1:]]
        assert len(times) == 5
        assert times[-1] - times[0] >= 0.1 * 4 - 0.05


@row("1000 services start at once", "Staggered by 1 ms; one I/O thread, a socket each while it asks; all are right")
def a_thousand_services(w: World) -> None:
    services = [w.dns.service(f"svc-{number}", "moon", pods=2) for number in range(1000)]
    with ExitStack() as stack:
        made = [stack.enter_context(closing(w.make(service.name))) for service in services]
        before = threading.active_count()
        for svc in made:
            w.begin(svc)
        for svc, service in zip(made, services, strict=True):
            assert svc.wait_for(2, 30).addresses == tuple(service.addresses)
        assert threading.active_count() <= before + 1
        assert w.dns.count("svc-*") == 1000
        assert sum(svc.status.failures for svc in made) == 0


@row("1000 services of one name start at once", "They share their lookups")
def a_thousand_services_of_one_name(w: World) -> None:
    w.monkeypatch.setattr("headless_discovery.servers.ATTEMPTS", (60.0, 60.0))  # however slow this machine is
    with ExitStack() as stack:
        made = [stack.enter_context(closing(w.make(timeout=60))) for _ in range(1000)]
        with w.fault("hold"):
            for svc in made:
                w.begin(svc)
            w.dns.wait_for_queries(1)
            eventually(lambda: all(w.is_asking(svc) for svc in made), "1000 lookups in flight")
        w.dns.release()
        for svc in made:
            assert len(svc.wait_for(3, 30)) == 3
        assert w.dns.count() == 1
        assert sum(svc.status.queries for svc in made) == 1
        assert w.open_sockets() == 0


@row('`targetPort` changes under `port="auto"`', "The peers are replaced: same addresses, the new port")
def target_port_changes(w: World) -> None:
    with w.watch(port="auto") as svc:
        assert svc.peers() == named(w.web, 8080)
        w.gone.update(w.web.addresses)  # another port is another endpoint
        w.web.set_ports({"http": 9090})
        w.until(svc, lambda peers: peers == named(w.web, 9090))
        assert svc.status.error is None
        w.recovers(svc)


@row('A second port appears under `port="auto"`', "The known one is kept; `status.error` lists both")
def second_port(w: World) -> None:
    with w.watch(port="auto") as svc:
        w.web.set_ports({"http": 8080, "admin": 9090})
        w.warns(svc, r"several ports a peer \(8080, 9090\)")
        w.web.set_ports({"http": 8080})
        w.recovers(svc)


@row('Two ports from the start under `port="auto"`', "`start()` fails and lists them")
def two_ports(w: World) -> None:
    w.pods(2, ports={"http": 8080, "admin": 9090})
    svc = w.make(port="auto")
    try:
        with pytest.raises(LookupFailed, match=r"several ports a peer \(8080, 9090\)"):
            svc.start()
    finally:
        svc.close()


@row(
    "A headless service turns into one with a cluster IP, watched by address",
    "The cluster IP is what DNS has: it is the set",
)
def cluster_ip(w: World) -> None:
    with w.watch() as svc:
        w.gone.update(w.web.addresses)
        w.web.set_cluster_ip("10.96.0.9")
        w.settles(svc, ["10.96.0.9"])
        w.web.set_cluster_ip(None)
        w.settles(svc)


@row(
    "The same, watched by SRV",
    "The same, under the service's own name; `status.error` says that the service is not headless",
)
def cluster_ip_by_srv(w: World) -> None:
    w.gone.update(w.web.addresses)
    for port in ("http", "auto"):
        with w.watch(port=port) as svc:
            w.web.set_cluster_ip("10.96.0.9")
            w.until(svc, lambda peers: at(peers) == {NAME: ("10.96.0.9", 8080)})
            assert "not headless" in str(svc.status.error)
            assert svc.status.failures == 0
            w.web.set_cluster_ip(None)
            w.settles(svc)


@row("The service is deleted and made anew with other pods", "Empty after `empty_grace`, then the new ones")
def deleted(w: World) -> None:
    with w.watch(empty_grace=0) as svc:
        w.web.delete()
        assert svc.refresh() == PeerSet()
        assert svc.status.state == "empty"
        w.pods(2)
        w.settles(svc)


@row("All pods are replaced at once", "The new set by one change, after the old one's pods left")
def all_replaced(w: World) -> None:
    with w.watch() as svc:
        w.web.set_pods(4)
        w.settles(svc)
        w.recovers(svc)


@row("A strategy that raises", "The old picker stays, without the peers that are gone; `status.error` says so")
def strategy_raises(w: World) -> None:
    first = First()
    with w.watch(strategy=first) as svc:
        old = svc.pick()
        first.broken = ValueError("no such ring")
        w.web.remove(old.address)
        w.until(svc, lambda peers: peers.addresses == tuple(w.web.addresses))
        assert "no such ring" in str(svc.status.error)
        assert svc.pick() in svc.peers()
        first.broken = None
        w.recovers(svc)


@row("A subscriber that never returns", "It is told no more; nobody else waits for it")
def stuck_subscriber(w: World) -> None:
    over = threading.Event()
    with w.watch() as svc:
        subscription = svc.watch(lambda change: over.wait())
        try:
            w.recovers(svc)
        finally:
            over.set()
            subscription.cancel()


@row(
    "The service is closed in the middle of a lookup",
    "Its socket is closed at once, and who waits gets `ServiceClosed`",
)
def closed_in_a_lookup(w: World) -> None:
    for transport in ("never", "always"):
        with w.make(tcp=transport) as svc:
            w.dns.clear_queries()
            ended: list[type[BaseException]] = []

            def refresh(svc: Any = svc, ended: list[type[BaseException]] = ended) -> None:
                try:
                    svc.refresh()
                except ServiceClosed as error:
                    ended.append(type(error))

            with w.fault("timeout"):
                thread = threading.Thread(target=refresh)
                thread.start()
                w.dns.wait_for_queries(1)
                w.end(svc)
                thread.join()
            assert ended == [ServiceClosed]
            assert w.open_sockets() == 0


@row(
    "`exclude_self=True`, and the DNS server is on loopback (Docker, systemd-resolved)",
    "Who is at an address of this machine is left out: by the route to the peers, not to the server",
)
def exclude_self_and_loopback_dns(w: World) -> None:
    w.monkeypatch.delenv("POD_IP", raising=False)
    w.monkeypatch.delenv("POD_IPS", raising=False)
    own = own_address()
    w.pods(["10.0.0.1", own, "10.0.0.2"])
    for port in (8080, "http", "auto"):
        with w.watch(port=port, exclude_self=True) as svc:
            w.is_well(svc, ["10.0.0.1", "10.0.0.2"])
            w.web.add("10.0.0.3")
            w.is_well(svc, ["10.0.0.1", "10.0.0.2", "10.0.0.3"])
            w.web.remove("10.0.0.3")
            w.settles(svc, ["10.0.0.1", "10.0.0.2"])
        assert sorted(w.resolve(port=port, exclude_self=True).addresses) == ["10.0.0.1", "10.0.0.2"]
        with w.watch(port=port) as svc:
            w.is_well(svc)


@row(
    "The same; this process comes after the others, or is the only one",
    "Left out, too; the set may be empty, and `error` is None",
)
def exclude_self_later(w: World) -> None:
    w.monkeypatch.delenv("POD_IP", raising=False)
    w.monkeypatch.delenv("POD_IPS", raising=False)
    own = own_address()
    w.pods(["10.0.0.1"])
    with w.watch(exclude_self=True) as svc:
        w.web.add(own)
        w.is_well(svc, ["10.0.0.1"])
        w.web.remove("10.0.0.1")
        w.until(svc, lambda peers: not peers)
        assert svc.status.error is None


@row("The same with pods on loopback", "Only 127.0.0.1, from which packets to loopback start, is this process")
def exclude_self_on_loopback(w: World) -> None:
    w.monkeypatch.delenv("POD_IP", raising=False)
    w.monkeypatch.delenv("POD_IPS", raising=False)
    w.pods(["127.0.0.1", "127.0.0.2", "127.0.0.3"])
    with w.watch(exclude_self=True) as svc:
        w.is_well(svc, ["127.0.0.2", "127.0.0.3"])


@row("The same, and `$POD_IP` or `$POD_IPS` says which address is its own", "That one is left out, and no other")
def exclude_self_by_pod_ip(w: World) -> None:
    w.pods(["10.0.0.1", "10.0.0.2", own_address()])
    for variable, value in (("POD_IP", "10.0.0.1"), ("POD_IPS", "10.0.0.1,fd00::1")):
        with w.monkeypatch.context() as patch:
            for name in ("POD_IP", "POD_IPS"):
                patch.delenv(name, raising=False)
            patch.setenv(variable, value)
            with w.watch(exclude_self=True) as svc:
                w.is_well(svc, w.web.addresses[1:])
