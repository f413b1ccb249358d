"""The truth: pods of headless services. DNS servers see it late, the library never sees it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

PORT = 8080
SUFFIX = "moon.svc.cluster.local"


class Pod(NamedTuple):
    hostname: str  # the first label of its name: web-0, or its dashed address
    address: bytes


@dataclass
class HeadlessSvc:
    """One headless Service. `stateful` pods keep their names when they restart; others are named by their address."""

    label: str
    stateful: bool
    ttl: int
    network: int
    space: int = 250  # addresses: they are used again after a while, as they are in a cluster
    pods: dict[int, Pod] = field(default_factory=dict)
    unready: set[int] = field(default_factory=set)
    history: list[tuple[float, tuple[Pod, ...]]] = field(default_factory=list)
    _next: int = 1

    @property
    def name(self) -> str:
        return f"{self.label}.{SUFFIX}"

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
        address = bytes((10, self.network)) + (1 + self._next % self.space).to_bytes(2, "big")
        self._next += 1
        return Pod(f"{self.label}-{ordinal}" if self.stateful else "-".join(map(str, address)), address)

    def _publish(self, now: float) -> None:
        ready = tuple(pod for ordinal, pod in sorted(self.pods.items()) if ordinal not in self.unready)
        self.history.append((now, ready))
        if len(self.history) > 32:
            del self.history[:16]

    def seen_at(self, when: float) -> tuple[Pod, ...]:
        """The ready pods at that time."""
        for since, ready in reversed(self.history):
            if since <= when:
                return ready
        return self.history[0][1]
