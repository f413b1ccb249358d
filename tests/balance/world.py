"""Peers and strategies to test with."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st

from headless_discovery import Peer, PeerSet
from headless_discovery.balance import (
    BoundedLoad,
    ConsistentHash,
    JumpHash,
    LeastLoaded,
    Maglev,
    Prefer,
    Random,
    Rendezvous,
    RingHash,
    RoundRobin,
    Subset,
    Weighted,
)

VECTORS = Path(__file__).resolve().parent.parent / "vectors"

rule = settings(deadline=None, max_examples=40)


def _load(name: str) -> Any:
    """A module from the vectors' folder, which is no package: its files are for other languages too."""
    spec = importlib.util.spec_from_file_location(name, VECTORS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


reference = _load("reference")

# Small tables: a property is not truer for being slow.
STRATEGIES: dict[str, Callable[[], Any]] = {
    "round_robin": lambda: RoundRobin(seed=1),
    "random": lambda: Random(seed=1),
    "consistent_hash": lambda: ConsistentHash(vnodes=5, seed=1),
    "ring_hash": lambda: RingHash(4, 16, seed=1),
    "weighted": lambda: Weighted(seed=1),
    "maglev": lambda: Maglev(13, seed=1),
    "rendezvous": lambda: Rendezvous(seed=1),
    "jump_hash": lambda: JumpHash(seed=1),
    "least_loaded": lambda: LeastLoaded(seed=1),
    "bounded_load": lambda: BoundedLoad(vnodes=5, seed=1),
    "subset": lambda: Subset(RoundRobin(seed=1), 2, client="me"),
    "prefer": lambda: Prefer(LeastLoaded(seed=1), lambda peer: peer.weight > 1),
    "subset of prefer": lambda: Subset(Prefer(Maglev(13, seed=1), lambda peer: peer.weight > 1), 3, client="me"),
}
HASHING = ("consistent_hash", "ring_hash", "maglev", "rendezvous", "jump_hash", "bounded_load")


def pod(i: int, *, weight: int = 1, priority: int = 0, address: int | None = None) -> Peer:
    """Pod `web-<i>` of a StatefulSet; `address` makes it one that came back somewhere else."""
    a, b = divmod(i if address is None else address, 256)
    hostname = f"web-{i}.headless-svc.moon.svc.cluster.local"
    return Peer(f"10.244.{a}.{b}", 8080, hostname, weight=weight, priority=priority)


def pods(numbers: int | Iterable[int], **fields: Any) -> PeerSet:
    numbers = range(numbers) if isinstance(numbers, int) else numbers
    return PeerSet((pod(i, **fields) for i in numbers), target="headless-svc.moon")


# Sets of a few numbered pods in up to three tiers, with weights.
peer_sets = st.dictionaries(
    st.integers(0, 12), st.tuples(st.integers(0, 4), st.integers(0, 2)), min_size=1, max_size=9
).map(lambda of: PeerSet((pod(i, weight=w, priority=p) for i, (w, p) in of.items()), target="headless-svc.moon"))

keys = st.text(st.characters(codec="utf-8"), max_size=8) | st.binary(max_size=8) | st.integers()


def owner_of(picker: Any, count: int = 500) -> dict[str, Peer]:
    """Who has each of some keys."""
    return {key: picker.pick(key) for key in (f"user-{i}" for i in range(count))}


def chi_square(counts: Iterable[int], shares: Iterable[float]) -> float:
    """Pearson's statistic of counts against the shares they should have."""
    counts = list(counts)
    shares = list(shares)
    total, whole = sum(counts), sum(shares)
    return sum(
        (count - total * share / whole) ** 2 / (total * share / whole)
        for count, share in zip(counts, shares, strict=True)
    )
