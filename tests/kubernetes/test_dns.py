"""DNS and the API server in trouble, while clients watch and call. Nobody is dropped for that."""

from __future__ import annotations

import time
from collections.abc import Callable

import dns.rcode
import pytest

from headless_discovery import LookupFailed
from support.twins import AsyncTwin, SyncTwin

from . import objects
from .calls import Calls
from .clients import PATIENCE, Client, Clients
from .conftest import Watch
from .control_plane import API_PORT, OTHER_API_ADDRESS, ZONE, ControlPlane
from .slices import ServiceName
from .test_pods import scale
from .wire import addresses_of

DOWN = 60.0  # s


@pytest.fixture
def web(cluster: ControlPlane, namespace: str, watch: Watch) -> Clients:
    """Three pods of a StatefulSet, and clients that have found them."""
    cluster.apply(objects.service(namespace), objects.statefulset(namespace, replicas=3))
    cluster.wait_for_endpoints(namespace, 3)
    clients = watch("headless-svc", "auto")
    clients.settle()
    return clients


def wait_for_failures(cluster: ControlPlane, clients: Clients, number: int) -> None:
    """Until each client has failed so often in a row."""
    for client in clients:
        cluster.wait(
            lambda client=client: client.twin.status.consecutive_failures >= number, f"{client} fails {number} times"
        )


def test_coredns_is_killed(cluster: ControlPlane, namespace: str, web: Clients) -> None:
    """Pods that come meanwhile are found as soon as it is back; nobody leaves."""
    with Calls(web, 40) as calls:
        cluster.coredns.kill()
        wait_for_failures(cluster, web, 3)
        scale(cluster, namespace, 5)
        calls.wait_for_answers(100)
        cluster.coredns.start()
        web.settle()
        for client in web:
            assert client.twin.status.state == "fresh"
    assert not calls.lost
    assert not web.has_dropped()


def test_the_api_server_is_down_for_a_minute(
    cluster: ControlPlane, namespace: str, web: Clients, note: Callable[[str], None]
) -> None:
    """DNS goes on to say what it knows, and nothing is noticed. A CoreDNS that starts in that minute says SERVFAIL to
    everything: to those who know the pods, who keep them, and to those who are new.
    """
    name = f"headless-svc.{namespace}.svc.{ZONE}"
    late = [twin(name, "auto", nameservers=[cluster.nameserver()]) for twin in (SyncTwin, AsyncTwin)]
    with Calls(web, 40) as calls:
        cluster.api_server.kill()
        begun = time.monotonic()
        for client in web:
            asked = client.twin.status.lookups
            cluster.wait(lambda client=client, asked=asked: client.twin.status.lookups > asked + 4, "it asks on")
            assert client.twin.status.state == "fresh"
            assert not client.twin.status.failures
        cluster.coredns.kill()
        cluster.coredns.start()
        wait_for_answer(cluster, name, dns.rcode.SERVFAIL)
        for twin in late:
            with pytest.raises(LookupFailed, match="SERVFAIL"):
                twin.start()
        for client in web:
            cluster.wait(lambda client=client: "SERVFAIL" in str(client.twin.status.error), "it tells of SERVFAIL")
        cluster.wait(lambda: time.monotonic() > begun + DOWN, "the minute is over", DOWN)
        assert not web.has_dropped()
        cluster.api_server.start()
        cluster.wait_for_api()
        cluster.controllers.kill()  # they would look for it less and less often, for a minute more
        cluster.controllers.start()
        for twin in late:
            assert len(twin.wait_for(3, timeout=PATIENCE)) == 3
            twin.close()
        scale(cluster, namespace, 5)
        web.settle()
    note(f"        {calls}")
    assert not calls.lost
    assert not web.has_dropped()


def wait_for_answer(cluster: ControlPlane, name: str, rcode: dns.rcode.Rcode) -> None:
    def said() -> bool:
        answer = cluster.ask(name)
        return answer is not None and answer.rcode() == rcode

    cluster.wait(said, f"CoreDNS says {rcode.name}")


def test_two_replicas_disagree(
    cluster: ControlPlane, namespace: str, web: Clients, note: Callable[[str], None]
) -> None:
    """Two CoreDNS behind one address, one of them cut off from the API: it misses those who came, and says so in
    complete answers. Those it has seen stay; those it has not may come and go, as `Client.judge` allows.
    """
    service = (namespace, "headless-svc")
    old = cluster.slices.addresses(service)
    for client in web:
        client.judges_slices = False
    behind = cluster.make_coredns("coredns-behind", kubeconfig="other-kubeconfig")
    try:
        cluster.coredns.kill()  # so that the other one answers, and can be seen to know everything
        behind.start()
        cluster.wait(lambda: asked(cluster, service) == old, "the second CoreDNS is there")
        cluster.firewall(
            "table ip apart { chain out { type filter hook output priority 0;",
            f"ip daddr {OTHER_API_ADDRESS} tcp dport {API_PORT} drop;",
            f"ip saddr {OTHER_API_ADDRESS} tcp sport {API_PORT} drop; }}; }}",
        )
        cluster.coredns.start()
        with Calls(web, 40) as calls:
            scale(cluster, namespace, 5)
            new = cluster.slices.addresses(service)
            for client in web:
                cluster.wait(
                    lambda client=client: goes_back(told(cluster, client), new, old),
                    f"{client} was told of five pods and then of three again",
                )
            cluster.firewall("flush ruleset")
            cluster.wait(lambda: all(asked(cluster, service) == new for _ in range(20)), "both know the same", 120)
            web.settle()
            for client in web:
                note(f"        {client.kind}: {len(client.removals)} new pods dropped and found again")
                client.judges_slices = True
        assert not calls.lost
        assert not [address for client in web for _, address, _ in client.removals if address in old]
    finally:
        behind.kill()


def asked(cluster: ControlPlane, service: ServiceName) -> frozenset[str]:
    answer = cluster.ask(f"{service[1]}.{service[0]}.svc.{ZONE}")
    return addresses_of(answer) if answer is not None else frozenset()


def goes_back(said: list[frozenset[str]], new: frozenset[str], old: frozenset[str]) -> bool:
    return new in said and old in said[said.index(new) :]


def told(cluster: ControlPlane, client: Client) -> list[frozenset[str]]:
    return [message.addresses for message in cluster.wire.responses(client.nameserver)]


def test_tcp_is_dropped(cluster: ControlPlane, namespace: str, web: Clients, watch: Watch) -> None:
    """A firewall lets only UDP through to port 53. What does not fit into UDP cannot be had, and nobody is dropped."""
    many = [f"10.244.200.{number}" for number in range(1, 201)]
    cluster.apply(objects.service(namespace, "many", selector={}), *objects.endpoint_slices(namespace, many, "many"))
    cluster.wait_for_endpoints(namespace, 200, "many")
    clients = watch("many", 8080)
    clients.settle()
    assert all(client.twin.status.complete for client in clients)
    with Calls(web, 40) as calls:
        cluster.firewall(
            "table ip udp_only { chain out { type filter hook output priority 0; tcp dport 53 drop; }; }",
        )
        for client in clients:
            begun = client.twin.status.lookups
            cluster.wait(
                lambda client=client, begun=begun: client.twin.status.lookups >= begun + 3 and trouble(client),
                f"{client} knows that answers are cut",
            )
        scale(cluster, namespace, 5)  # what fits is as good as ever
        web.settle()
        assert not clients.has_dropped()
        for client in clients:
            assert client.addresses == set(many)
        cluster.firewall("flush ruleset")
        clients.settle()
        for client in clients:
            cluster.wait(lambda client=client: not trouble(client), f"{client} is well again")
    assert not calls.lost
    assert not clients.has_dropped()
    assert not web.has_dropped()


def trouble(client: Client) -> bool:
    return client.twin.status.error is not None or not client.twin.status.complete
