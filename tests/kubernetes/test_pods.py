"""Pods that come, go, move and are not ready, while clients watch and call."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import pytest

from headless_discovery import Change, PeerSet
from headless_discovery.balance import ConsistentHash
from support.twins import AsyncTwin, SyncTwin

from . import objects
from .calls import Calls
from .conftest import Watch
from .control_plane import ControlPlane

# Seconds that pods serve on after they were told to end: CoreDNS's TTL, what is left of it in the client, and time to
# spare on a busy machine.
DRAIN = 9
KEYS = [f"key-{number}" for number in range(1000)]


def scale(cluster: ControlPlane, namespace: str, replicas: int, kind: str = "StatefulSet") -> None:
    cluster.api.patch(kind, namespace, "web", {"spec": {"replicas": replicas}})
    cluster.wait_for_endpoints(namespace, replicas)


def test_a_statefulset_scales(cluster: ControlPlane, namespace: str, watch: Watch) -> None:
    """3 -> 10 -> 2."""
    cluster.apply(objects.service(namespace), objects.statefulset(namespace, replicas=3, drain=DRAIN))
    cluster.wait_for_endpoints(namespace, 3)
    clients = watch("headless-svc", "auto")
    clients.settle()
    with Calls(clients, 40) as calls:
        for replicas in (10, 2):
            scale(cluster, namespace, replicas)
            clients.settle()
            for client in clients:
                assert [peer.ordinal for peer in client.twin.peers()] == list(range(replicas))
        cluster.wait(lambda: len(cluster.kubelet.all_pods(namespace)) == 2, "the others have ended")
        calls.wait_for_answers(40)
    assert not calls.lost


def owners(twin: SyncTwin | AsyncTwin) -> dict[str, str | None]:
    return {key: twin.pick(key).hostname for key in KEYS}


def owners_in(peers: PeerSet) -> dict[str, str | None]:
    picker = ConsistentHash().build(peers, None)
    return {key: picker.pick(key).hostname for key in KEYS}


def assert_only_shares_move(changes: list[Change]) -> None:
    """A key moves only from somebody who left, and only to somebody who joined."""
    for before, after in pairwise([change.current for change in changes]):
        if not before or not after:
            continue
        left = {peer.hostname for peer in before} - {peer.hostname for peer in after}
        joined = {peer.hostname for peer in after} - {peer.hostname for peer in before}
        was, now = owners_in(before), owners_in(after)
        moved = {key: (was[key], now[key]) for key in KEYS if was[key] != now[key]}
        assert all(one in left or other in joined for one, other in moved.values()), moved


def test_a_statefulset_restarts(
    cluster: ControlPlane, namespace: str, watch: Watch, note: Callable[[str], None]
) -> None:
    """Pod by pod, each with another address: the sockets have to change, the keys stay where they are."""
    cluster.apply(objects.service(namespace), objects.statefulset(namespace, replicas=3, drain=DRAIN))
    cluster.wait_for_endpoints(namespace, 3)
    clients = watch("headless-svc", "auto", strategy="consistent_hash")
    clients.settle()
    before = {client: (client.addresses, owners(client.twin)) for client in clients}
    with Calls(clients, 40) as calls:
        cluster.api.patch("StatefulSet", namespace, "web", objects.new_version(2))
        cluster.wait(
            lambda: _all_new(cluster, namespace, before[clients.each[0]][0]), "all pods were replaced", deadline=180
        )
        clients.settle()
    assert not calls.lost
    for client in clients:
        addresses, owned = before[client]
        assert not addresses & client.addresses
        after = owners(client.twin)
        moved = [key for key in KEYS if owned[key] != after[key]]
        note(f"        {client.kind}: of {len(KEYS)} keys {len(moved)} have moved")
        assert not moved
        assert set(after.values()) == {peer.hostname for peer in client.twin.peers()}
        assert_only_shares_move(client.record.changes)


def _all_new(cluster: ControlPlane, namespace: str, old: set[str]) -> bool:
    published = cluster.slices.addresses((namespace, "headless-svc"))
    return len(published) == 3 and not published & old


@pytest.mark.parametrize(
    ("pods", "drain", "pause"), [(6, DRAIN, 3), (4, 0, 12)], ids=["pods-that-drain", "pods-that-stop-at-once"]
)
def test_a_rolling_update(
    cluster: ControlPlane, namespace: str, watch: Watch, note: Callable[[str], None], pods: int, drain: int, pause: int
) -> None:
    """200 requests a second, and none is lost: where pods drain, and where only retries save them.

    Two pods at a time, with a `pause` in seconds (`minReadySeconds`). Pods that stop at once need one that lets
    clients notice: with two gone and unnoticed, the third attempt finds somebody.
    """
    rolling = {"maxSurge": 2, "maxUnavailable": 0, "minReadySeconds": pause}
    cluster.apply(
        objects.service(namespace), objects.deployment(namespace, replicas=pods, rolling=rolling, drain=drain)
    )
    cluster.wait_for_endpoints(namespace, pods)
    clients = watch("headless-svc", 8080)
    clients.settle()
    old = clients.each[0].addresses
    with Calls(clients, 200, keep_alive=drain > 0) as calls:
        calls.wait_for_answers(400)
        cluster.api.patch("Deployment", namespace, "web", objects.new_version(2))
        cluster.wait(
            lambda: not old & cluster.slices.addresses((namespace, "headless-svc")), "all were replaced", deadline=150
        )
        clients.settle()
        cluster.wait(lambda: len(cluster.kubelet.all_pods(namespace)) == pods, "the old ones have ended")
        calls.wait_for_answers(400)
    note(f"        {calls}")
    assert not calls.lost
    assert calls.made > 0.8 * 200 * calls.seconds, "the machine is too slow for this"
    for kind, answered in calls.answered_by.items():
        assert set(cluster.kubelet.pods(namespace)) <= set(answered), f"{kind}: somebody new was never called"
    if drain:  # longer than clients take to notice: nobody was late
        assert not calls.retries
    else:
        assert calls.retries


def test_one_pod_is_not_ready_for_a_while(cluster: ControlPlane, namespace: str, watch: Watch) -> None:
    cluster.apply(objects.service(namespace), objects.statefulset(namespace, replicas=3))
    cluster.wait_for_endpoints(namespace, 3)
    clients = watch("headless-svc", "auto")
    clients.settle()
    pod = cluster.kubelet.pods(namespace)["web-1"]
    with Calls(clients, 40) as calls:
        cluster.kubelet.set_ready(pod, False)
        cluster.wait_for_endpoints(namespace, 2)
        clients.settle()
        assert all(pod.address not in client.addresses for client in clients)
        cluster.kubelet.set_ready(pod, True)
        cluster.wait_for_endpoints(namespace, 3)
        clients.settle()
    assert not calls.lost


def test_no_pod_is_ready_for_a_while(cluster: ControlPlane, namespace: str, watch: Watch) -> None:
    """NXDOMAIN: for `empty_grace` that is held for a mistake, as it is when a cluster's DNS starts, then believed."""
    cluster.apply(objects.service(namespace), objects.statefulset(namespace, replicas=3))
    cluster.wait_for_endpoints(namespace, 3)
    patient, quick = watch("headless-svc", 8080), watch("headless-svc", 8080, empty_grace=6)
    patient.settle()
    quick.settle()
    pods = cluster.kubelet.pods(namespace).values()
    with Calls(patient, 40) as calls:
        for pod in pods:
            cluster.kubelet.set_ready(pod, False)
        cluster.wait_for_endpoints(namespace, 0)
        quick.settle()
        for client in patient:
            cluster.wait(lambda client=client: "NXDOMAIN" in str(client.twin.status.error), "it tells of NXDOMAIN")
            assert client.addresses == {pod.address for pod in pods}
        for pod in pods:
            cluster.kubelet.set_ready(pod, True)
        cluster.wait_for_endpoints(namespace, 3)
        quick.settle()
        patient.settle()
        for client in patient:
            cluster.wait(lambda client=client: client.twin.status.error is None, "all is well again")
    assert not calls.lost
    assert not patient.has_dropped()


def test_pods_that_are_published_before_they_are_ready(cluster: ControlPlane, namespace: str, watch: Watch) -> None:
    cluster.apply(
        objects.service(namespace, "early", publishNotReadyAddresses=True),
        objects.service(namespace, "late"),
        objects.statefulset(namespace, replicas=3, gated=True),
    )
    cluster.wait_for_endpoints(namespace, 3, "early")
    early, late = watch("early", 8080), watch("late", 8080)
    early.settle()
    for client in late:
        assert not client.twin.peers()
        assert client.twin.status.state == "empty"
    pods = cluster.kubelet.pods(namespace)
    for number, name in enumerate(sorted(pods), 1):
        cluster.kubelet.set_ready(pods[name], True)
        cluster.wait_for_endpoints(namespace, number, "late")
    late.settle()
    early.settle()
    assert not early.has_dropped()
