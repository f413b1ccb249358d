"""The example that everything began with, and pods that find each other."""

from __future__ import annotations

import pytest

from . import objects
from .conftest import Watch
from .control_plane import ControlPlane

NAME = "headless-svc.moon.svc.cluster.local"


@pytest.fixture
def namespace(cluster: ControlPlane):
    yield cluster.namespace("moon")
    cluster.end_namespace("moon")


def test_the_example(cluster: ControlPlane, namespace: str, watch: Watch) -> None:
    """Three pods behind a service without cluster IP, whose unnamed port 80 leads to 8080."""
    cluster.apply(objects.service("moon"), objects.statefulset("moon", replicas=3))
    cluster.wait_for_endpoints("moon", 3)
    pods = cluster.kubelet.pods("moon")
    assert sorted(pods) == ["web-0", "web-1", "web-2"]

    addresses = watch("headless-svc")
    addresses.settle(lambda: {pod.address for pod in pods.values()})
    addresses.settle()
    assert all(peer.port is None for client in addresses for peer in client.twin.peers())

    ports = watch("headless-svc", "auto")
    ports.settle()
    for client in ports:
        found = {(peer.hostname, peer.address, peer.port) for peer in client.twin.peers()}
        assert found == {(f"{name}.{NAME}", pod.address, 8080) for name, pod in pods.items()}
