"""Real servers whose answers are no news of the service: nobody is dropped for them, and no set begins with them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import dns.rcode
import pytest

from headless_discovery import LookupFailed, aresolve, resolve
from support.twins import AsyncTwin, SyncTwin

from . import objects
from .clients import PATIENCE, Clients
from .conftest import Watch
from .control_plane import API_PORT, OTHER_API_ADDRESS, ZONE, ControlPlane

GRACE = 3.0  # s, for `empty_grace`: whoever believes these servers shows it soon
MISLED = 15.0  # s at the least
LOOKUPS = 4  # at the least, that fail; after three empty answers a set may be emptied
ALIAS = "web.example.com"
# For a name that is written out CoreDNS 1.15 puts the asked name back into the answer; for a suffix (as for a prefix, a
# part, a pattern) only with `answer auto`.
EXACT = f"rewrite name {ALIAS} web.NAMESPACE.svc.cluster.local"
SUFFIX = "rewrite name suffix .example.com .NAMESPACE.svc.cluster.local"
REWRITE = """\
.:53 {{
    bind ADDRESS
    errors
    RULE
    kubernetes {zone} {{
        kubeconfig {kubeconfig} k
        ttl {ttl}
    }}
    loadbalance
}}
"""
# A resolver outside of the cluster, as DHCP or a `dnsConfig` puts it into resolv.conf: `local` is no domain there.
KNOWS_NOTHING = """\
.:53 {{
    bind ADDRESS
    errors
    template ANY ANY . {{
        rcode NXDOMAIN
        authority ". 86400 IN SOA a.root-servers.net. nstld.verisign-grs.com. 2026010100 1800 900 604800 86400"
    }}
}}
"""
NOT_SYNCHRONISED = """\
.:53 {{
    bind ADDRESS
    errors
    kubernetes {zone} {{
        kubeconfig {kubeconfig} k
    }}
}}
"""
WAYS = [
    (ask, port)
    for ask in (resolve, lambda *args, **options: asyncio.run(aresolve(*args, **options)))
    for port in (8080, "auto", "http")
]


@pytest.fixture
def pods(cluster: ControlPlane, namespace: str) -> None:
    """Three pods of a StatefulSet, behind the services `headless-svc` and `web`."""
    ports = [objects.NAMED_PORT]
    cluster.apply(
        objects.service(namespace, ports=ports),
        objects.service(namespace, "web", ports=ports),
        objects.statefulset(namespace, replicas=3),
    )
    for service in (objects.SERVICE, "web"):
        cluster.wait_for_endpoints(namespace, 3, service)


@pytest.fixture
def outsider(cluster: ControlPlane) -> Iterator[str]:
    """The address of a server that knows nothing of the cluster, and says NXDOMAIN."""
    address = cluster.nameserver()
    with cluster.another_coredns(KNOWS_NOTHING, address):
        assert said(cluster, f"kubernetes.default.svc.{ZONE}", address) == dns.rcode.NXDOMAIN
        yield address


def said(cluster: ControlPlane, name: str, address: str) -> dns.rcode.Rcode | None:
    answer = cluster.ask(name, server=address)
    return None if answer is None else answer.rcode()


def misled(cluster: ControlPlane, *clients: Clients) -> None:
    """Wait until each client had time and answers enough to empty its set. It must not."""
    begun = time.monotonic()
    for client in [client for pair in clients for client in pair]:
        cluster.wait(
            lambda client=client: client.twin.status.consecutive_failures >= LOOKUPS, f"{client} fails {LOOKUPS} times"
        )
    cluster.wait(lambda: time.monotonic() >= begun + MISLED, "the time is over")
    for pair in clients:
        assert not pair.has_dropped()
        for client in pair:
            assert len(client.twin.peers()) == 3
            assert client.twin.status.state in ("fresh", "stale")
            assert client.twin.status.error is not None


def all_well(cluster: ControlPlane, namespace: str, *clients: Clients) -> None:
    """Wait until each client knows of two pods more."""
    cluster.api.patch("StatefulSet", namespace, "web", {"spec": {"replicas": 5}})
    for service in (objects.SERVICE, "web"):
        cluster.wait_for_endpoints(namespace, 5, service)
    for pair in clients:
        pair.settle()
        assert not pair.has_dropped()
        for client in pair:
            cluster.wait(lambda client=client: client.twin.status.error is None, f"{client} is well again")


@pytest.mark.usefixtures("pods")
def test_an_answer_for_another_name(cluster: ControlPlane, namespace: str, watch: Watch) -> None:
    """CoreDNS's `rewrite name` without a rule for the answer: the records belong to the other name, and may be
    anybody's (RFC 5452, 6). The lookup fails and says so.
    """
    address = cluster.nameserver()

    @contextmanager
    def rewritten(rule: str) -> Iterator[None]:
        corefile = REWRITE.replace("RULE", rule).replace("NAMESPACE", namespace)
        with cluster.another_coredns(corefile, address):
            cluster.wait(lambda: said(cluster, ALIAS, address) == dns.rcode.NOERROR, "it knows the cluster")
            yield

    asked = [(ask, port) for ask, port in WAYS if port != "http"]
    with rewritten(EXACT):
        for ask, port in asked:
            assert len(ask(ALIAS, port, nameservers=[address])) == 3
    with rewritten(f"{SUFFIX} answer auto"):
        clients = [
            watch("web", port, target=ALIAS, nameserver=address, empty_grace=GRACE, max_ttl=1)
            for port in (8080, "auto", "http")
        ]
        for pair in clients:
            pair.settle()
    with rewritten(SUFFIX):
        answer = cluster.ask(ALIAS, server=address)
        assert answer is not None
        assert {rrset.name.to_text() for rrset in answer.answer} == {f"web.{namespace}.svc.{ZONE}."}
        for ask, port in WAYS:
            with pytest.raises(LookupFailed, match="answers for another name"):
                ask(ALIAS, port, nameservers=[address])
        misled(cluster, *clients)
        for client in [client for pair in clients for client in pair]:
            assert "answers for another name" in str(client.twin.status.error)
    with rewritten(f"{SUFFIX} answer auto"):
        all_well(cluster, namespace, *clients)


@contextmanager
def out_of_order(cluster: ControlPlane, how: str, address: str) -> Iterator[None]:
    """The server at this address is of no use in the block."""
    servers = f"ip daddr {address} udp dport 53", f"ip daddr {address} tcp dport 53"
    if how == "silent":
        rules = [f"{server} drop" for server in servers]
    elif how == "closed":
        rules = [f"{servers[0]} reject", f"{servers[1]} reject with tcp reset"]
    else:  # the API server does not answer it, so it says SERVFAIL
        rules = [f"ip daddr {OTHER_API_ADDRESS} tcp dport {API_PORT} drop"]
    # On their way in: a sender is told of packets that are dropped on their way out (EPERM).
    chain = "; ".join(["type filter hook input priority 0", *rules])
    cluster.firewall(f"table ip out_of_order {{ chain in {{ {chain}; }}; }}")
    try:
        if how == "not-synchronised":
            with cluster.another_coredns(NOT_SYNCHRONISED, address, kubeconfig="other-kubeconfig"):
                cluster.wait(lambda: said(cluster, f"kubernetes.default.svc.{ZONE}", address) == dns.rcode.SERVFAIL, "")
                yield
        else:
            yield
    finally:
        cluster.firewall("delete table ip out_of_order")


@pytest.mark.usefixtures("pods")
@pytest.mark.parametrize("how", ["silent", "closed", "not-synchronised"])
def test_a_fallback_server_starts_no_set(cluster: ControlPlane, namespace: str, outsider: str, how: str) -> None:
    """A pod's resolv.conf with the cluster's server, which is out of order, and one that says NXDOMAIN. "Nobody is
    there" is not what anybody knows; and later, when it is in order, the pods are found.
    """
    first = cluster.nameserver()
    whole = f"headless-svc.{namespace}.svc.{ZONE}"
    with cluster.as_in_a_pod(namespace, first, outsider):
        with out_of_order(cluster, how, first), ThreadPoolExecutor(20) as threads:
            twins = [twin(whole, port) for twin in (SyncTwin, AsyncTwin) for port in (8080, "http")]
            asked = [
                (target, port, threads.submit(ask, target, port))
                for target in (objects.SERVICE, whole)
                for ask, port in WAYS
            ]
            started = [threads.submit(twin.start) for twin in twins]
            results = [f"{target} {port!r}: {outcome(lookup)}" for target, port, lookup in asked]
            results += [f"{twin.target}: {outcome(start)}" for twin, start in zip(twins, started, strict=True)]
            assert not [line for line in results if "PeerSet" in line], "\n".join(results)
            for twin in twins:
                assert twin.status.state == "starting"
            asked_for = {query.name for query in cluster.wire.queries(outsider)}
            assert {whole, f"_http._tcp.{whole}"} <= asked_for, "it had its say"
        for twin in twins:
            assert len(twin.wait_for(3, timeout=PATIENCE)) == 3
            twin.close()


def outcome(lookup: object) -> str:
    try:
        found = lookup.result()  # type: ignore[attr-defined]
    except LookupFailed as error:
        return f"failed: {error}"
    return f"PeerSet of {len(found)}"


@pytest.mark.usefixtures("pods")
@pytest.mark.parametrize("how", ["silent", "closed", "not-synchronised"])
def test_a_fallback_server_empties_no_set(
    cluster: ControlPlane, namespace: str, watch: Watch, outsider: str, how: str
) -> None:
    """The same where clients know the pods already."""
    first = cluster.nameserver()
    path = str(cluster.resolv_conf(namespace, first, outsider))
    clients = [
        watch(objects.SERVICE, port, target=target, nameserver=first, resolv_conf=path, empty_grace=GRACE)
        for target, port in ((objects.SERVICE, 8080), (f"{objects.SERVICE}.{namespace}.svc.{ZONE}", "http"))
    ]
    for pair in clients:
        pair.settle()
    with out_of_order(cluster, how, first):
        misled(cluster, *clients)
        assert cluster.wire.queries(outsider), "it had its say"
    all_well(cluster, namespace, *clients)


@pytest.mark.usefixtures("pods")
def test_resolv_conf_comes_to_name_others(cluster: ControlPlane, namespace: str, watch: Watch, outsider: str) -> None:
    """resolv.conf is written anew: a dead server, and one that says NXDOMAIN. Later it has the cluster's again."""
    first, dead = cluster.nameserver(), cluster.nameserver()
    path = cluster.resolv_conf(namespace, first)
    clients = [
        watch(objects.SERVICE, port, target=objects.SERVICE, nameserver=first, resolv_conf=str(path), empty_grace=GRACE)
        for port in (8080, "http")
    ]
    for pair in clients:
        pair.settle()
    good = path.read_text()
    with out_of_order(cluster, "silent", dead):
        path.write_text(cluster.resolv_conf(namespace, dead, outsider).read_text())
        misled(cluster, *clients)
        assert cluster.wire.queries(outsider), "it had its say"
        path.write_text(good)
        all_well(cluster, namespace, *clients)
