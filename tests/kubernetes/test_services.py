"""Services of all kinds, and the names that pods find them by."""

from __future__ import annotations

import pytest

from headless_discovery import HeadlessService, LookupFailed

from . import objects
from .calls import get
from .conftest import Watch
from .control_plane import ZONE, ControlPlane
from .kubelet import NODES
from .test_pods import scale


def test_two_named_ports(cluster: ControlPlane, namespace: str, watch: Watch) -> None:
    ports = [
        {"name": "http", "port": 80, "targetPort": "web"},
        {"name": "metrics", "port": 9090, "targetPort": "numbers"},
    ]
    cluster.apply(
        objects.service(namespace, ports=ports),
        objects.statefulset(namespace, replicas=2, ports={"web": 8080, "numbers": 9100}),
    )
    cluster.wait_for_endpoints(namespace, 2)
    by_name = {8080: watch("headless-svc", "http"), 9100: watch("headless-svc", "metrics")}
    for replicas in (2, 4):
        scale(cluster, namespace, replicas)
        published = cluster.slices.addresses((namespace, "headless-svc"))
        for port, clients in by_name.items():
            clients.settle(lambda published=published: published)
            for client in clients:
                assert client.endpoints == {(address, port) for address in published}
                assert get(client.twin.pick()) in cluster.kubelet.pods(namespace)
    name = f"headless-svc.{namespace}.svc.{ZONE}"
    with (
        pytest.raises(LookupFailed, match=r"8080.*9100"),
        HeadlessService(name, "auto", nameservers=[cluster.nameserver()]),
    ):
        pass


def test_a_service_that_is_not_headless(cluster: ControlPlane, namespace: str, watch: Watch) -> None:
    """One peer, the Service itself at its own port, whatever its pods do."""
    cluster.apply(objects.service(namespace, "regular", cluster_ip=None), objects.statefulset(namespace, replicas=2))
    cluster.wait_for_endpoints(namespace, 2, "regular")
    address = cluster.api.get("Service", namespace, "regular")["spec"]["clusterIP"]
    ports, addresses = watch("regular", "auto"), watch("regular")
    for clients in (ports, addresses):
        clients.settle(lambda: {address})
    cluster.api.patch("StatefulSet", namespace, "web", {"spec": {"replicas": 4}})
    cluster.wait_for_endpoints(namespace, 4, "regular")
    for clients in (ports, addresses):
        for client in clients:
            client.twin.refresh()
        clients.settle(lambda: {address})
        assert not clients.has_dropped()
    for client in ports:
        assert [(p.hostname, p.port) for p in client.twin.peers()] == [(f"regular.{namespace}.svc.{ZONE}", 80)]


def test_an_external_name(cluster: ControlPlane, namespace: str, watch: Watch) -> None:
    """A CNAME to another service is followed, and its pods are the peers."""
    name = f"headless-svc.{namespace}.svc.{ZONE}"
    cluster.apply(
        objects.service(namespace),
        objects.service(namespace, "elsewhere", cluster_ip=None, type="ExternalName", externalName=name),
        objects.statefulset(namespace, replicas=2),
    )
    cluster.wait_for_endpoints(namespace, 2)
    clients = watch("elsewhere", 8080)
    for replicas in (2, 4, 3):
        scale(cluster, namespace, replicas)
        clients.settle(lambda: cluster.slices.addresses((namespace, "headless-svc")))


def test_dual_stack(cluster: ControlPlane, namespace: str, watch: Watch) -> None:
    cluster.apply(
        objects.service(namespace, ipFamilyPolicy="RequireDualStack", ipFamilies=["IPv4", "IPv6"]),
        objects.service(namespace, "six", ipFamilyPolicy="SingleStack", ipFamilies=["IPv6"]),
        objects.statefulset(namespace, replicas=3),
    )
    both, six = (namespace, "headless-svc"), (namespace, "six")
    v4, v6 = (lambda: cluster.slices.addresses(both)), (lambda: cluster.slices.addresses(both, 6))
    only_v6 = lambda: cluster.slices.addresses(six, 6)  # noqa: E731
    cluster.wait_for_endpoints(namespace, 3)
    cluster.wait(lambda: len(v6()) == len(only_v6()) == 3, "IPv6 endpoints")
    expected = {
        watch("headless-svc", 8080): v4,
        watch("headless-svc", 8080, family="ipv6"): v6,
        watch("headless-svc", 8080, family="any"): lambda: v4() | v6(),
        watch("headless-svc", "auto"): lambda: v4() | v6(),
        watch("six", 8080): only_v6,
        watch("six", "auto"): only_v6,
    }
    for replicas in (3, 5, 2):
        cluster.api.patch("StatefulSet", namespace, "web", {"spec": {"replicas": replicas}})
        cluster.wait(lambda n=replicas: len(v4()) == len(v6()) == len(only_v6()) == n, f"{replicas} of each family")
        for clients, addresses in expected.items():
            clients.settle(addresses)
            for client in clients:
                assert get(client.twin.pick()) in cluster.kubelet.pods(namespace)


def test_zones(cluster: ControlPlane, namespace: str, watch: Watch) -> None:
    """`zone=` with CoreDNS's zone-scoped names: pinned to a zone, and preferring one that is there or is not."""
    cluster.apply(objects.service(namespace), objects.statefulset(namespace, replicas=6))
    cluster.wait_for_endpoints(namespace, 6)
    service = (namespace, "headless-svc")
    zone = next(iter(NODES.values()))

    def in_zone() -> frozenset[str]:
        return cluster.slices.addresses(service, zone=zone)

    expected = {
        watch("headless-svc", 8080, zone=zone, zone_policy="pin"): in_zone,
        watch("headless-svc", 8080, zone=zone): in_zone,
        watch("headless-svc", 8080, zone="nowhere"): lambda: cluster.slices.addresses(service),
    }
    assert 0 < len(in_zone()) < 6
    for replicas in (6, 9, 6):
        scale(cluster, namespace, replicas)
        for clients, addresses in expected.items():
            clients.settle(addresses)


def test_a_pods_resolv_conf(cluster: ControlPlane, namespace: str, watch: Watch) -> None:
    """As the kubelet writes it: three suffixes, ndots:5. In the place where it has it, too."""
    cluster.apply(objects.service(namespace), objects.statefulset(namespace, replicas=2))
    cluster.wait_for_endpoints(namespace, 2)
    whole = f"headless-svc.{namespace}.svc.{ZONE}"
    spellings = {
        "headless-svc": [whole],
        f"headless-svc.{namespace}": [f"headless-svc.{namespace}.{namespace}.svc.{ZONE}", whole],
        f"headless-svc.{namespace}.svc": [
            f"headless-svc.{namespace}.svc.{namespace}.svc.{ZONE}",
            f"headless-svc.{namespace}.svc.svc.{ZONE}",
            whole,
        ],
        whole: [whole],
        f"{whole}.": [whole],
    }
    watching = []
    for target, asked in spellings.items():
        server = cluster.nameserver()
        path = cluster.resolv_conf(namespace, server)
        clients = watch("headless-svc", 8080, target=target, nameserver=server, resolv_conf=str(path))
        clients.settle()
        cluster.wait(
            lambda s=server, a=asked: _asked(cluster, s) == a, f"{target} is looked for at {asked}", deadline=10
        )
        watching.append((clients, server, len(cluster.wire.queries(server))))
    with cluster.as_in_a_pod(namespace, cluster.nameserver()):
        clients = watch("headless-svc", "auto", target="headless-svc", resolv_conf="/etc/resolv.conf")
        scale(cluster, namespace, 4)
        clients.settle()
    for clients, server, before in watching:
        clients.settle()
        assert {query.name for query in cluster.wire.queries(server)[before:]} == {whole}, "the walk is remembered"


def _asked(cluster: ControlPlane, server: str) -> list[str]:
    """The names that were asked for, in the order of their first query."""
    return list(dict.fromkeys(query.name for query in cluster.wire.queries(server)))
