"""A picker of pickers, asked in order: what `Prefer` and `Subset` build, and who has no new picker yet."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from collections.abc import Set as AbstractSet
from typing import NamedTuple, TypeVar

from ..errors import NoPeers
from ..model import Endpoint, Peer, PeerSet
from .api import Key, Lease, Picker, Steps, Strategy
from .sharing import acquire, pick_many
from .tiers import TierPicker, no_picks, nothing_left

T = TypeVar("T")


class Layer(NamedTuple):
    name: tuple[int, str]  # the priority and what part of it: finds the same layer in the next picker
    picker: Picker


class LayeredPicker:
    """Goes to the first layer that has a peer not excluded."""

    __slots__ = ("_first", "_layers", "_target")

    def __init__(self, peers: PeerSet, layers: list[Layer]) -> None:
        self._target = peers.target
        self._layers = layers
        self._first = layers[0].picker

    def pick(self, key: Key | None = None, exclude: Collection[Peer] = ()) -> Peer:
        if not exclude:
            try:
                return self._first.pick(key)
            except NoPeers:  # a strategy of the user's may have reasons
                pass
        return self._ask(lambda picker: picker.pick(key, exclude), exclude)

    def acquire(self, key: Key | None = None, exclude: Collection[Peer] = ()) -> Lease:
        """A lease, counted where the inner strategy counts. Raises `NoPeers`."""
        return self._ask(lambda picker: acquire(picker, key, exclude), exclude)

    def pick_many(self, n: int, key: Key | None = None, exclude: Collection[Peer] = ()) -> list[Peer]:
        """Up to `n` different peers, filled up from one layer after the other.

        Raises `ValueError` for n < 0, and `NoPeers` where n > 0 and there is none.
        """
        if n <= 0:
            return no_picks(n)
        chosen: list[Peer] = []
        for layer in self._layers:
            try:
                chosen += pick_many(layer.picker, n - len(chosen), key, exclude)
            except NoPeers:
                continue
            if len(chosen) >= n:
                break
        if not chosen:
            raise nothing_left(self._target, exclude)
        return chosen

    def _ask(self, question: Callable[[Picker], T], exclude: Collection[Peer]) -> T:
        for layer in self._layers:
            try:
                return question(layer.picker)
            except NoPeers:
                continue
        raise nothing_left(self._target, exclude)


def steps_of(strategy: Strategy, peers: PeerSet, previous: Picker | None) -> Steps[Picker]:
    """The strategy's own steps, if it has any; else its picker at once."""
    steps: Callable[[PeerSet, Picker | None], Steps[Picker]] | None = getattr(strategy, "steps", None)
    if callable(steps):
        return (yield from steps(peers, previous))
    return strategy.build(peers, previous)


def layer_before(previous: Picker | None, name: tuple[int, str]) -> Picker | None:
    """The picker that the last one had in the layer of this name."""
    if isinstance(previous, LayeredPicker):
        for layer in previous._layers:
            if layer.name == name:
                return layer.picker
    return None


class InOrder(TierPicker):
    """Always the first that is not excluded."""

    __slots__ = ()

    def pick(self, key: Key | None = None, exclude: Collection[Peer] = ()) -> Peer:
        return self._pick_excluding(key, exclude)

    def _left(self, excluded: AbstractSet[Endpoint]) -> int:
        return len(self._tier)  # more than there are: some of the tier's peers are not here

    def _candidates(self, place: int, excluded: AbstractSet[Endpoint], left: int) -> Iterator[Peer]:
        return (peer for peer in self._tier if peer.endpoint not in excluded)
