"""Strategies by name, for `HeadlessService(..., strategy="round_robin")`."""

from __future__ import annotations

from collections.abc import Callable

from .api import Strategy
from .consistent_hash import ConsistentHash
from .random_choice import Random
from .ring_hash import RingHash
from .round_robin import RoundRobin

BY_NAME: dict[str, Callable[..., Strategy]] = {
    "round_robin": RoundRobin,
    "random": Random,
    "consistent_hash": ConsistentHash,
    "ring_hash": RingHash,
}


def make(strategy: Strategy | str, seed: int | None = None) -> Strategy:
    """The strategy itself, or the one of that name with its default configuration and this `seed`.

    Raises `ValueError` for an unknown name, `TypeError` for what is neither a name nor a strategy.
    """
    if isinstance(strategy, str):
        try:
            return BY_NAME[strategy](seed=seed)
        except KeyError:
            raise ValueError(f"no strategy {strategy!r}; there are: {', '.join(BY_NAME)}") from None
    if isinstance(strategy, type):
        raise TypeError(f"a strategy is an instance: write {strategy.__name__}(), not {strategy.__name__}")
    if not callable(getattr(strategy, "build", None)):
        raise TypeError(f"a strategy is a name or has build(peers, previous); {type(strategy).__name__} has not")
    return strategy
