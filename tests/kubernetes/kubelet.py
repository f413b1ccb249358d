"""The stand-in for scheduler and kubelet. All other parts of the control plane are the real ones.

A pod is bound to a node, given addresses that no pod had before, its server started there, and reported Running and
Ready. One that is deleted serves on for its `preStop` sleep, then stops listening, finishes what it has, and is gone.
"""

from __future__ import annotations

import asyncio
import itertools
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from headless_discovery.testing.cluster import Addresses
from support.twins import Loop

from .api import MERGE, AsyncApi, Object, path

NODES = {"node-a": "zone-a", "node-b": "zone-b", "node-c": "zone-c"}


class Server(Protocol):
    """What runs in a pod; see `HttpPod`."""

    async def start(self) -> None: ...
    async def stop(self) -> None: ...


Image = Callable[[str, Sequence[str], Sequence[int]], Any]  # name, addresses and ports -> a `Server`


@dataclass
class Running:
    """A pod that the kubelet runs. `ready_at` is time.time() when the API server took its last report as ready,
    `deleted_at` when it told that the pod is to end.
    """

    namespace: str
    name: str
    uid: str
    addresses: tuple[str, ...]  # IPv4, IPv6
    server: Any
    ready: bool
    ready_at: float | None = None
    deleted_at: float | None = None
    ending: bool = False

    @property
    def address(self) -> str:
        return self.addresses[0]


class Kubelet:
    """Runs the pods of all nodes, on an event loop in a thread of its own.

    A pod with `readinessGates` begins not ready; `set_ready` makes it so. `image` says what runs in pods.
    """

    def __init__(self, api: Callable[[], AsyncApi], image: Image) -> None:
        self.loop = Loop()
        self.image = image
        self._make_api = api
        self._api: Any = None
        self._pods: dict[str, Running] = {}
        self._seen: set[str] = set()
        self._addresses = Addresses()
        self._nodes = itertools.cycle(NODES)
        self._tasks: set[asyncio.Task[Any]] = set()
        self._dropped: set[str] = set()
        self._changed = threading.Condition()
        self.errors: list[BaseException] = []

    def start(self) -> None:
        self.loop.run(self._begin())

    def stop(self) -> None:
        self.loop.run(self._end())
        self.loop.stop()

    def pods(self, namespace: str) -> dict[str, Running]:
        """The pods that run now, by name; those that end are not among them."""
        return {p.name: p for p in list(self._pods.values()) if p.namespace == namespace and not p.ending}

    def all_pods(self, namespace: str) -> list[Running]:
        """Those that end, too."""
        return [pod for pod in list(self._pods.values()) if pod.namespace == namespace]

    def set_ready(self, pod: Running, ready: bool) -> None:
        """Returns when the API server knows."""
        self.loop.run(self._report(pod, ready))

    def drop(self, namespace: str) -> None:
        """Pods of this namespace end at once from now on: its test is over."""
        self._dropped.add(namespace)

    async def _begin(self) -> None:
        self._api = self._make_api()
        self._spawn(self._watch())

    async def _end(self) -> None:
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        for pod in self._pods.values():
            await pod.server.stop()
        if self._api is not None:
            await self._api.close()

    def _spawn(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self.errors.append(error)

    async def _watch(self) -> None:
        async for happened, pod in self._api.watch("Pod"):
            uid = pod["metadata"]["uid"]
            if happened == "DELETED":
                if (running := self._pods.pop(uid, None)) is not None:
                    self._spawn(running.server.stop())
            elif "deletionTimestamp" in pod["metadata"]:
                self._once(uid, "end", self._drain, pod)
            elif "nodeName" not in pod["spec"]:
                self._once(uid, "bind", self._bind, pod)
            else:
                self._once(uid, "run", self._run, pod)

    def _once(self, uid: str, what: str, work: Callable[[Object], Any], pod: Object) -> None:
        if f"{what} {uid}" not in self._seen:
            self._seen.add(f"{what} {uid}")
            self._spawn(work(pod))

    async def _bind(self, pod: Object) -> None:
        """As the scheduler does."""
        where = pod["metadata"]
        binding = {
            "apiVersion": "v1",
            "kind": "Binding",
            "metadata": {"name": where["name"]},
            "target": {"apiVersion": "v1", "kind": "Node", "name": next(self._nodes)},
        }
        await self._api.insist("POST", path("Pod", where["namespace"], where["name"]) + "/binding", json=binding)

    async def _run(self, pod: Object) -> None:
        meta, spec = pod["metadata"], pod["spec"]
        addresses = self._addresses.new("dual")
        ports = [port["containerPort"] for container in spec["containers"] for port in container.get("ports", ())]
        server = self.image(meta["name"], addresses, ports)
        await server.start()
        running = Running(
            meta["namespace"], meta["name"], meta["uid"], addresses, server, not spec.get("readinessGates")
        )
        self._pods[running.uid] = running
        await self._report(running, running.ready)

    async def _report(self, pod: Running, ready: bool) -> None:
        pod.ready = ready
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        said = {True: "True", False: "False"}
        conditions = {"PodScheduled": True, "Initialized": True, "ContainersReady": ready, "Ready": ready}
        status = {
            "phase": "Running",
            "podIP": pod.addresses[0],
            "podIPs": [{"ip": address} for address in pod.addresses],
            "startTime": now,
            "conditions": [
                {"type": kind, "status": said[holds], "lastTransitionTime": now} for kind, holds in conditions.items()
            ],
        }
        where = path("Pod", pod.namespace, pod.name) + "/status"
        body = {"metadata": {"uid": pod.uid}, "status": status}  # not another pod of the same name
        await self._api.insist("PATCH", where, json=body, headers=MERGE)
        if ready:
            pod.ready_at = time.time()

    async def _drain(self, pod: Object) -> None:
        meta = pod["metadata"]
        running = self._pods.get(meta["uid"])
        if running is not None:
            running.ending = True
            running.deleted_at = time.time()
            if meta["namespace"] not in self._dropped:
                await asyncio.sleep(_pre_stop(pod))
            await running.server.stop()
            del self._pods[running.uid]
        end = {"gracePeriodSeconds": 0, "preconditions": {"uid": meta["uid"]}}
        await self._api.insist("DELETE", path("Pod", meta["namespace"], meta["name"]), json=end)


def _pre_stop(pod: Object) -> float:
    """The longest `preStop: {sleep: {seconds: N}}` of the containers; it cannot outlast the grace period."""
    hooks = [container.get("lifecycle", {}).get("preStop", {}) for container in pod["spec"]["containers"]]
    longest = max((hook.get("sleep", {}).get("seconds", 0) for hook in hooks), default=0)
    return float(min(longest, pod["metadata"].get("deletionGracePeriodSeconds", 0)))
