"""Services of thousands of endpoints, written into EndpointSlices by hand. Answers no longer fit into UDP, nor TCP."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from . import objects
from .conftest import Watch
from .control_plane import ControlPlane


@pytest.mark.parametrize("port", [8080, "auto"])
def test_a_thousand(cluster: ControlPlane, namespace: str, watch: Watch, port: int | str) -> None:
    """Complete over TCP as addresses. As SRV records it is complete but for most of the glue."""
    replace_some(cluster, namespace, watch, 1000, port, 10)


def test_five_thousand(cluster: ControlPlane, namespace: str, watch: Watch, note: Callable[[str], None]) -> None:
    """No answer has all. The client puts them together, and sees by chance alone who has left: no false removal.

    That takes some thirty answers; so that it takes half a minute, it asks every second here.
    """
    replace_some(cluster, namespace, watch, 5000, 8080, 50, max_ttl=1)


def replace_some(
    cluster: ControlPlane, namespace: str, watch: Watch, number: int, port: int | str, some: int, **options: float
) -> None:
    addresses = [f"10.244.{100 + high}.{low}" for high in range(40) for low in range(1, 251)]
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
        assert {address for _, address, _ in client.removals} == set(addresses[:some])
