"""Services of thousands of endpoints, written into EndpointSlices by hand. Answers no longer fit into UDP, nor TCP."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from . import objects
from .conftest import Watch
from .control_plane import ControlPlane


def test_a_thousand(cluster: ControlPlane, namespace: str, watch: Watch) -> None:
    """As addresses it is complete, over TCP."""
    replace_some(cluster, namespace, watch, 1000, 8080, 10)


@pytest.mark.namespace("srv")  # a longer one, and fewer fit
def test_nine_hundred_with_ports(cluster: ControlPlane, namespace: str, watch: Watch) -> None:
    """As many SRV records as fit into an answer over TCP; most of the glue has no place in it."""
    replace_some(cluster, namespace, watch, 900, "auto", 10)


@pytest.mark.namespace("srv-cut")
def test_a_thousand_with_ports(cluster: ControlPlane, namespace: str, watch: Watch) -> None:
    """Some SRV records are cut off, the same ones each time: those pods never join (README, Limits), nobody leaves."""
    addresses = many(1000)
    cluster.apply(objects.service(namespace, selector={}), *objects.endpoint_slices(namespace, addresses))
    cluster.wait_for_endpoints(namespace, 1000)
    clients = watch("headless-svc", "auto")
    for client in clients:
        cluster.wait(lambda client=client: client.twin.status.lookups > 4, f"{client} has asked five times")
        assert 900 <= len(client.addresses) < 1000
        assert not client.twin.status.complete
    assert not clients.has_dropped()


def test_five_thousand(cluster: ControlPlane, namespace: str, watch: Watch, note: Callable[[str], None]) -> None:
    """No answer has all. The client puts them together, and sees by chance alone who has left: no false removal.

    That takes some thirty answers; so that it takes half a minute, it asks every second here.
    """
    replace_some(cluster, namespace, watch, 5000, 8080, 50, max_ttl=1)


def many(number: int) -> list[str]:
    return [f"10.244.{100 + high}.{low}" for high in range(40) for low in range(1, 251)][:number]


def replace_some(
    cluster: ControlPlane, namespace: str, watch: Watch, number: int, port: int | str, some: int, **options: float
) -> None:
    addresses = many(number + some)
    cluster.apply(objects.service(namespace, selector={}), *objects.endpoint_slices(namespace, addresses[:number]))
    cluster.wait_for_endpoints(namespace, number)
    clients = watch("headless-svc", port, **options)
    clients.settle()
    assert not clients.has_dropped()
    for thing in objects.endpoint_slices(namespace, addresses[some : number + some]):
        cluster.api.patch("EndpointSlice", namespace, thing["metadata"]["name"], {"endpoints": thing["endpoints"]})
    cluster.wait(
        lambda: cluster.slices.addresses((namespace, "headless-svc")) == set(addresses[some : number + some]),
        f"{some} were replaced",
    )
    clients.settle(deadline=200)
    for client in clients:
        cluster.wait(
            lambda client=client: {address for _, address, _ in client.removals} == set(addresses[:some]),
            f"{client} has told of those who left, and of nobody else",
        )
