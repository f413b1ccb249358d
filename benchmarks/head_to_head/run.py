"""Pods come and go for a while, with all clients at work; what came of it."""

from __future__ import annotations

import json
import os
import platform
import random
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from itertools import chain
from pathlib import Path
from typing import Any

from kubernetes import objects
from kubernetes.control_plane import COREFILE, ZONE, ControlPlane
from kubernetes.kubelet import Running
from kubernetes.parts import Parts, required

from .client import GRPC_PORT, HTTP_PORT, KINDS
from .pod import Pod

NAMESPACE = "moon"
TARGET = f"{objects.SERVICE}.{NAMESPACE}.svc.{ZONE}"
TTL = 5  # s, CoreDNS's default
# Programs of each kind: more of those that differ little.
INSTANCES = {"service": 15, "async_service": 15, "ttl_loop": 15, "grpc": 3, "httpx": 3}
RATE = 10.0  # requests a second of each program
PODS = 4  # and one more in the second half of each round
DRAIN = 15  # s that a deleted pod serves on, as in examples/kubernetes
PAUSE = 2.5  # s between two events, at least
# What of a TTL lies between a round and the next: so each kind meets events at all phases of its refreshes evenly, and
# medians are less a matter of luck than with random ones.
GOLDEN = (5**0.5 - 1) / 2
USED = 2.0  # s: who asked a pod within so long before its deletion was using it
CLIENT = Path(__file__).with_name("client.py")


class Client:
    """A running client program, with a DNS cache of its own."""

    def __init__(self, cluster: ControlPlane, kind: str, number: int) -> None:
        # The refreshes of a kind begin evenly spread over the TTL: a loop's stay where they began.
        self._after = TTL * number / INSTANCES[kind]
        self.kind = kind
        self.label = f"{kind}-{number}"
        self.nameserver = cluster.nameserver()
        self._resolv_conf = cluster.resolv_conf(NAMESPACE, self.nameserver)

    def start(self) -> None:
        """With a pod's /etc/resolv.conf, in a mount namespace of its own; without the proxies of this machine."""
        ask = [sys.executable, str(CLIENT), self.kind, self.label, TARGET, str(RATE), str(self._after)]
        mount = 'mount --bind "$0" /etc/resolv.conf && exec "$@"'
        self._process = subprocess.Popen(
            ["unshare", "--mount", "sh", "-c", mount, str(self._resolv_conf), *ask],
            stdout=subprocess.PIPE,
            text=True,
            env={name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")},
        )

    def stop(self) -> dict[str, Any]:
        self._process.terminate()
        said, _ = self._process.communicate()
        return json.loads(said)


def measure(parts: Parts, rounds: int, seed: int) -> dict[str, Any]:
    rng = random.Random(seed)
    with ControlPlane(parts, ttl=TTL, image=Pod) as cluster:
        service = objects.service(
            cluster.namespace(NAMESPACE),
            ports=[{"name": "http", "port": HTTP_PORT}, {"name": "grpc", "port": GRPC_PORT}],
        )
        ports = {"http": HTTP_PORT, "grpc": GRPC_PORT}
        cluster.apply(
            service, objects.deployment(NAMESPACE, replicas=PODS, rolling={"maxSurge": 1}, ports=ports, drain=DRAIN)
        )
        cluster.wait_for_endpoints(NAMESPACE, PODS)
        clients = [Client(cluster, kind, number) for kind in KINDS for number in range(INSTANCES[kind])]
        with _caches(cluster, [client.nameserver for client in clients]):
            first = cluster.kubelet.pods(NAMESPACE)
            for client in clients:
                client.start()
            cluster.wait(
                lambda: all(any(c.label in pod.server.asked for pod in first.values()) for c in clients),
                "every client has asked a pod",
            )
            time.sleep(2 * TTL)
            begun = time.time()
            seen = dict(first)
            for number in range(1, rounds + 1):
                _round(cluster, rng, seen, number)
                print(f"  round {number} of {rounds}, {time.time() - begun:.0f} s", file=sys.stderr, flush=True)
            ended = time.time()
            time.sleep(DRAIN + TTL)
            came = [pod for name, pod in seen.items() if name not in first]
            left = [pod for pod in seen.values() if pod.deleted_at is not None]
            found = {
                kind: _figures(cluster, [c for c in clients if c.kind == kind], came, left, begun, ended)
                for kind in KINDS
            }
    return {
        "versions": versions(),
        "setting": {
            "ttl": TTL, "rounds": rounds, "minutes": round((ended - begun) / 60, 1),
            "rate": RATE, "pods": PODS, "drain": DRAIN, "came": len(came), "left": len(left), "seed": seed,
        },
        "clients": found,
    }  # fmt: skip


def versions() -> dict[str, str]:
    programs = {"Kubernetes": ("kubernetes", "k8s.io/kubernetes"), "CoreDNS": ("coredns", "github.com/coredns/coredns")}
    found = {name: required(*where).removeprefix("v") for name, where in programs.items()}
    return {"Python": platform.python_version(), **found} | {
        name: version(name) for name in ("grpcio", "dnspython", "httpx")
    }


@contextmanager
def _caches(cluster: ControlPlane, addresses: Iterable[str]) -> Iterator[None]:
    """A CoreDNS with a cache for each address, so that nobody profits, or suffers, from what another asks."""
    corefile = "\n".join(COREFILE.replace("{{\n", f"{{{{\n    bind {address}\n", 1) for address in addresses)
    process = cluster.make_coredns("caches", corefile)
    process.start()
    try:
        for address in addresses:
            cluster.wait(lambda address=address: address in process.tail(100), f"{address} listens")
            cluster.wait(lambda address=address: _answers(cluster, address), f"{address} answers\n{process.tail()}")
        yield
    finally:
        process.kill()


def _answers(cluster: ControlPlane, address: str) -> bool:
    answer = cluster.ask(TARGET, server=address)
    return answer is not None and bool(answer.answer)


def _round(cluster: ControlPlane, rng: random.Random, seen: dict[str, Running], number: int) -> None:
    """One pod comes. One of those that were there before it goes."""
    _pause_until(number * GOLDEN)
    before = sorted(cluster.kubelet.pods(NAMESPACE))
    cluster.api.patch("Deployment", NAMESPACE, "web", {"spec": {"replicas": PODS + 1}})
    cluster.wait_for_endpoints(NAMESPACE, PODS + 1)
    seen.update(cluster.kubelet.pods(NAMESPACE))
    _pause_until(number * GOLDEN + 0.5)
    # The ReplicaSet ends the cheapest one first, and those that cost the same in an order that is no pod's lot.
    costs = {"controller.kubernetes.io/pod-deletion-cost": "-1"}
    cluster.api.patch("Pod", NAMESPACE, rng.choice(before), {"metadata": {"annotations": costs}})
    cluster.api.patch("Deployment", NAMESPACE, "web", {"spec": {"replicas": PODS}})
    cluster.wait_for_endpoints(NAMESPACE, PODS)


def _pause_until(phase: float) -> None:
    """`phase`: in TTLs, of which the fraction counts."""
    earliest = time.time() + PAUSE
    time.sleep(PAUSE + (phase * TTL - earliest) % TTL)


def _figures(
    cluster: ControlPlane, clients: list[Client], came: list[Running], left: list[Running], begun: float, ended: float
) -> dict[str, Any]:
    """`joined`: s from Ready to the first request, None where there was none; `left`: s from deletion to the last one,
    for pods that were in use. Of all programs of this kind.
    """
    joined: list[float | None] = []
    gone: list[float] = []
    for client in clients:
        for pod in came:
            asked = pod.server.asked.get(client.label)
            joined.append(round(asked.first - pod.ready_at, 3) if asked else None)
        for pod in left:
            asked = pod.server.asked.get(client.label)
            if asked and asked.last > pod.deleted_at - USED:
                gone.append(round(max(0.0, asked.last - pod.deleted_at), 3))
    minutes = (ended - begun) / 60
    queries = [len(cluster.wire.queries(client.nameserver, begun, ended)) / minutes for client in clients]
    said = [client.stop() for client in clients]
    return {
        "programs": len(clients),
        "joined": joined,
        "left": gone,
        "queries": [round(each, 2) for each in queries],
        "requests": sum(each["requests"] for each in said),
        "failed": sum(each["failed"] for each in said),
        "errors": sorted(set(chain.from_iterable(each["errors"] for each in said))),
    }
