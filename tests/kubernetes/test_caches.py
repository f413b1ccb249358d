"""What is in front of the cluster's DNS, or is left out there: docs/kubernetes.md, "The TTL, and what caches add"."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from . import objects
from .conftest import Watch
from .control_plane import DNS_ADDRESS, ZONE, ControlPlane
from .test_pods import scale

# As kubeadm writes it: names of the cluster live long, and are not cached.
KUBEADM = """\
.:53 {{
    bind ADDRESS
    errors
    kubernetes {zone} in-addr.arpa ip6.arpa {{
        kubeconfig {kubeconfig} k
        pods insecure
        ttl 30
    }}
    cache 30 {{
        disable success {zone}
        disable denial {zone}
    }}
    loadbalance
}}
"""
# As NodeLocal DNSCache comes. CoreDNS's own cache is behind it.
NODE = f"""\
.:53 {{{{
    bind ADDRESS
    errors
    cache {{{{
        success 9984 30
        denial 9984 5
    }}}}
    forward . {DNS_ADDRESS} {{{{
        force_tcp
    }}}}
}}}}
"""
KUBERNETES = f"kubernetes.default.svc.{ZONE}"


@pytest.fixture
def address(cluster: ControlPlane, request: pytest.FixtureRequest) -> Iterator[str]:
    """Where a CoreDNS with this Corefile answers."""
    address = cluster.nameserver()
    with cluster.another_coredns(request.param, address):
        cluster.wait(
            lambda: (answer := cluster.ask(KUBERNETES, server=address)) and answer.answer, "it knows the cluster"
        )
        yield address


@pytest.mark.parametrize("address", [pytest.param(KUBEADM, id="kubeadm")], indirect=True)
def test_long_ttls_without_a_cache(cluster: ControlPlane, namespace: str, watch: Watch, address: str) -> None:
    """The TTL says 30 s, and every answer is of this moment: `max_ttl=5` has the news after 5 s."""
    cluster.apply(objects.service(namespace), objects.statefulset(namespace))
    cluster.wait_for_endpoints(namespace, 3)
    clients = watch("headless-svc", 8080, nameserver=address, max_ttl=5)
    clients.settle()
    for replicas in (5, 2):
        scale(cluster, namespace, replicas)
        for client in clients:
            assert (client.twin.status.next_refresh_in or 0) <= 5.5
        clients.settle()
    answers = cluster.wire.responses(address, [f"headless-svc.{namespace}.svc.{ZONE}"])
    assert {rrset.ttl for message in answers for rrset in message.parsed.answer} == {30}


@pytest.mark.parametrize("address", [pytest.param(NODE, id="node")], indirect=True)
def test_a_cache_on_the_node(cluster: ControlPlane, namespace: str, watch: Watch, address: str) -> None:
    """Two caches, one behind the other: late, and right in the end."""
    cluster.apply(objects.service(namespace), objects.statefulset(namespace))
    cluster.wait_for_endpoints(namespace, 3)
    clients = [watch("headless-svc", port, nameserver=address) for port in (8080, "auto")]
    for replicas in (3, 5, 2):
        scale(cluster, namespace, replicas)
        for pair in clients:
            pair.settle()
