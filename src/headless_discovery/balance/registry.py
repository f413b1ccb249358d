"""Strategies by name, for `HeadlessService(..., strategy="round_robin")`.

`Subset` and `Prefer` have no names: they are nothing without a configuration.
"""

from __future__ import annotations

from collections.abc import Callable

from .api import Strategy
from .bounded_load import BoundedLoad
from .consistent_hash import ConsistentHash
from .jump_hash import JumpHash
from .least_loaded import LeastLoaded
from .maglev import Maglev
from .random_choice import Random
from .rendezvous import Rendezvous
from .ring_hash import RingHash
from .round_robin import RoundRobin
from .weighted import Weighted

BY_NAME: dict[str, Callable[..., Strategy]] = {
    "round_robin": RoundRobin,
    "random": Random,
    "consistent_hash": ConsistentHash,
    "ring_hash": RingHash,
    "weighted": Weighted,
    "maglev": Maglev,
    "rendezvous": Rendezvous,
    "jump_hash": JumpHash,
    "least_loaded": LeastLoaded,
    "bounded_load": BoundedLoad,
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
