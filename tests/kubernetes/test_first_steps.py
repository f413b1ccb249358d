"""The example that everything began with, and pods that find each other."""

from __future__ import annotations

import asyncio
import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from headless_discovery.balance import Prefer, Subset
from headless_discovery.balance.registry import BY_NAME
from support.twins import SyncTwin

from . import objects
from .calls import Calls, get
from .clients import Clients
from .conftest import Watch
from .control_plane import DNS_ADDRESS, ZONE, ControlPlane
from .test_pods import scale

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
MESH_PORT = 7000


@pytest.mark.namespace("moon")
def test_the_example(cluster: ControlPlane, namespace: str, watch: Watch) -> None:
    """Three pods behind `headless-svc.moon.svc.cluster.local`, whose unnamed port 80 leads to 8080; each strategy."""
    name = "headless-svc.moon.svc.cluster.local"
    cluster.apply(objects.service("moon"), objects.statefulset("moon", replicas=3))
    cluster.wait_for_endpoints("moon", 3)
    pods = cluster.kubelet.pods("moon")
    assert sorted(pods) == ["web-0", "web-1", "web-2"]

    addresses = watch("headless-svc")
    addresses.settle(lambda: {pod.address for pod in pods.values()})
    addresses.settle()
    assert all(peer.port is None for client in addresses for peer in client.twin.peers())

    some = next(iter(pods.values())).address
    configured = [Subset("least_loaded", size=2), Prefer("round_robin", lambda peer: peer.address == some)]
    for strategy in [*BY_NAME, *configured]:
        clients = watch("headless-svc", "auto", target=name, strategy=strategy)
        clients.settle()
        for client in clients:
            found = {(peer.hostname, peer.address, peer.port) for peer in client.twin.peers()}
            assert found == {(f"{pod}.{name}", pods[pod].address, 8080) for pod in pods}
            for key in ("user-1", "user-2"):
                peer = client.twin.pick(key)
                assert f"{get(peer)}.{name}" == peer.hostname
        number = {Subset: 2, Prefer: 1}.get(type(strategy), len(pods))  # of pods that it uses
        with Calls(clients, 200) as calls:
            for answered in calls.answered_by.values():
                cluster.wait(lambda a=answered, n=number: len(a) == n, f"{strategy} has called {number} pods")
            calls.wait_for_answers(100)
        assert [len(answered) for answered in calls.answered_by.values()] == [number, number], strategy
        assert not calls.lost


class MeshPod:
    """A pod that runs examples/mesh.py, and beside it a sync client that leaves out this pod, too."""

    def __init__(self, mesh: dict[str, MeshPod], node: type[Any], target: str, name: str, address: str) -> None:
        self.address = address
        self._mesh = mesh
        self._node = node(name, target, MESH_PORT, nameservers=[DNS_ADDRESS], exclude_self=address)
        self.sync = SyncTwin(target, MESH_PORT, nameservers=[DNS_ADDRESS], exclude_self=address)
        mesh[address] = self

    async def start(self) -> None:
        self._task = asyncio.create_task(self._node.run(self.address))
        await asyncio.to_thread(self.sync.start)

    async def stop(self) -> None:
        if self._mesh.pop(self.address, None) is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
            self.sync.close()

    @property
    def connected(self) -> set[str]:
        return {peer.address for peer in self._node.connections}


@pytest.fixture
def mesh(cluster: ControlPlane, namespace: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, MeshPod]:
    """The pods that mesh, by address."""
    spec = importlib.util.spec_from_file_location("example_mesh", EXAMPLES / "mesh.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    pods: dict[str, MeshPod] = {}

    def image(name: str, addresses: Sequence[str], ports: Sequence[int]) -> MeshPod:
        return MeshPod(pods, module.Node, f"headless-svc.{namespace}.svc.{ZONE}", name, addresses[0])

    monkeypatch.setattr(cluster.kubelet, "image", image)
    return pods


def test_pods_that_mesh(cluster: ControlPlane, namespace: str, mesh: dict[str, MeshPod], watch: Watch) -> None:
    """Each pod is connected with all others and never with itself, while pods come and go."""
    cluster.apply(
        objects.service(namespace, ports=[{"port": MESH_PORT}], publishNotReadyAddresses=True),
        objects.statefulset(namespace, replicas=3, ports={"mesh": MESH_PORT}, gated=True),
    )
    cluster.wait_for_endpoints(namespace, 3)
    onlooker = watch("headless-svc", MESH_PORT)
    for replicas in (3, 6, 2):
        scale(cluster, namespace, replicas)
        onlooker.settle()

        def meshed() -> bool:
            everybody = cluster.slices.addresses((namespace, "headless-svc"))
            return set(mesh) == everybody and all(
                pod.connected == set(pod.sync.peers().addresses) == everybody - {pod.address}
                for pod in list(mesh.values())
            )

        cluster.wait(meshed, f"{replicas} pods are connected with each other", deadline=90)


def test_a_pod_knows_itself(
    cluster: ControlPlane, namespace: str, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`exclude_self=True` goes by POD_IP, as the downward API sets it."""
    cluster.apply(objects.service(namespace), objects.statefulset(namespace, replicas=3))
    cluster.wait_for_endpoints(namespace, 3)
    for pod in cluster.kubelet.pods(namespace).values():
        monkeypatch.setenv("POD_IP", pod.address)
        clients: Clients = watch("headless-svc", "auto", exclude_self=True)
        others = cluster.slices.addresses((namespace, "headless-svc")) - {pod.address}
        clients.settle(lambda others=others: others)
