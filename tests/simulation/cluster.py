"""The truth: pods of headless services. DNS servers see it late, the library never sees it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import NamedTuple

PORT = 8080
SUFFIX = "moon.svc.cluster.local"

Shape = Callable[[int], tuple[int, int]]


class Pod(NamedTuple):
    hostname: str | None  # the first label of its name, such as web-0; None: each address has a name that spells it
    addresses: tuple[bytes, ...]


class Snapshot:
    """The ready pods at one moment: what one cache entry of a server holds."""

    __slots__ = ("addresses", "dashed", "pods", "targets", "v4", "v6")

    def __init__(self, base: str, pods: tuple[Pod, ...] = ()) -> None:
        self.pods = pods
        self.targets: dict[str, tuple[bytes, ...]] = {}
        self.dashed: set[str] = set()
        for pod in pods:
            if pod.hostname is not None:
                self.targets[f"{pod.hostname}.{base}"] = pod.addresses
                continue
            for address in pod.addresses:
                target = f"{spelled(address)}.{base}"
                self.targets[target] = (address,)
                self.dashed.add(target)
        every = [address for pod in pods for address in pod.addresses]
        self.v4 = frozenset(address for address in every if len(address) == 4)
        self.v6 = frozenset(address for address in every if len(address) == 16)
        self.addresses = self.v4 | self.v6


NOBODY = Snapshot("")


def spelled(address: bytes) -> str:
    return str(ip_address(address)).replace(".", "-").replace(":", "-")


def ipv4_only(ordinal: int) -> tuple[int, int]:
    return 1, 0


def dual_stack(ordinal: int) -> tuple[int, int]:
    return 1, 1


def ipv6_only(ordinal: int) -> tuple[int, int]:
    return 0, 1


def two_addresses(ordinal: int) -> tuple[int, int]:
    return 2, 0


def some_without(ordinal: int) -> tuple[int, int]:
    """Every third pod has a name and no address."""
    return (0, 0) if ordinal % 3 == 2 else (1, 0)


def some_ipv6_only(ordinal: int) -> tuple[int, int]:
    return (0, 1) if ordinal % 3 == 1 else (1, 0)


@dataclass
class HeadlessSvc:
    """One headless Service. `stateful` pods keep their names when they restart; others are named by their address.

    `shape` gives the number of IPv4 and of IPv6 addresses of a pod.
    """

    label: str
    stateful: bool
    ttl: int
    network: int
    space: int = 250  # addresses: they are used again after a while, as they are in a cluster
    shape: Shape = ipv4_only
    pods: dict[int, Pod] = field(default_factory=dict)
    unready: set[int] = field(default_factory=set)
    history: list[tuple[float, Snapshot]] = field(default_factory=list)
    changed_at: float = 0.0
    _next: int = 1

    @property
    def name(self) -> str:
        return f"{self.label}.{SUFFIX}"

    @property
    def ready(self) -> Snapshot:
        return self.history[-1][1]

    def scale(self, replicas: int, now: float) -> None:
        while len(self.pods) > replicas:  # the highest ordinal goes first
            ordinal = max(self.pods)
            del self.pods[ordinal]
            self.unready.discard(ordinal)
        while len(self.pods) < replicas:
            ordinal = self._free() if self.stateful else self._next
            self.pods[ordinal] = self._new(ordinal)
        self._publish(now)

    def _free(self) -> int:
        """The lowest ordinal that is free: mostly the next one."""
        if len(self.pods) not in self.pods and (not self.pods or max(self.pods) < len(self.pods)):
            return len(self.pods)
        return next(i for i in range(len(self.pods) + 1) if i not in self.pods)

    def remove(self, ordinal: int, now: float) -> None:
        self.pods.pop(ordinal, None)
        self.unready.discard(ordinal)
        self._publish(now)

    def restart(self, ordinal: int, now: float) -> None:
        """Another address; a stateful pod has the same name."""
        self.pods[ordinal] = self._new(ordinal)
        self._publish(now)

    def set_ready(self, ordinal: int, ready: bool, now: float) -> None:
        if ready:
            self.unready.discard(ordinal)
        else:
            self.unready.add(ordinal)
        self._publish(now)

    def _new(self, ordinal: int) -> Pod:
        v4, v6 = self.shape(ordinal)
        addresses = [bytes((10, self.network)) + self._host() for _ in range(v4)]
        for n in range(v6):
            host = addresses[n][2:] if n < v4 else self._host()
            addresses.append(bytes.fromhex("20010db8") + bytes((0, self.network)) + bytes(8) + host)
        return Pod(f"{self.label}-{ordinal}" if self.stateful else None, tuple(addresses))

    def _host(self) -> bytes:
        self._next += 1
        return (1 + self._next % self.space).to_bytes(2, "big")

    def _publish(self, now: float) -> None:
        ready = tuple(pod for ordinal, pod in sorted(self.pods.items()) if ordinal not in self.unready)
        self.changed_at = now
        self.history.append((now, Snapshot(self.name, ready)))
        if len(self.history) > 32:
            del self.history[:16]

    def seen_at(self, when: float) -> Snapshot:
        """The ready pods at that time."""
        for since, ready in reversed(self.history):
            if since <= when:
                return ready
        return self.history[0][1]
