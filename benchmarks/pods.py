"""Peers and keys to choose with."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from headless_discovery import Peer, PeerSet

SERVICE = "headless-svc.moon.svc.cluster.local"
KEYS = [f"user-{number}" for number in range(20_000)]


def pod(ordinal: int, restarts: int = 0) -> Peer:
    """A StatefulSet's pod: the same name after a restart, another address."""
    address = f"10.{restarts + (ordinal >> 16)}.{ordinal >> 8 & 255}.{ordinal & 255}"
    return Peer(address, 8080, f"web-{ordinal}.{SERVICE}")


def pods(ordinals: Iterable[int]) -> PeerSet:
    return PeerSet(pod(ordinal) for ordinal in ordinals)


def worst_load(choose: Callable[[str], Any], peers: int, keys: Sequence[str]) -> float:
    """The load of the fullest peer, as a multiple of the mean."""
    counts = Counter(map(choose, keys))
    return max(counts.values()) * peers / len(keys)


def owners(choose: Callable[[str], Peer], keys: Sequence[str] = KEYS) -> list[int | None]:
    """The ordinal of each key's pod."""
    return [choose(key).ordinal for key in keys]
