"""Preferred peers first."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ..model import Peer, PeerSet
from .api import Picker, Steps, Strategy
from .layers import Layer, LayeredPicker, layer_before, steps_of
from .registry import make
from .sharing import at_once
from .tiers import part_of, tiers_of


@dataclass(frozen=True)
class Prefer:
    """The inner strategy over the peers for which `predicate(peer)` is true; over the others while there is none.

    "None" counts `exclude`: a retry that has tried all preferred peers goes on to the others. Priorities come first:
    a preferred peer of a lower tier does not overtake one of a higher tier that is not preferred.

    `inner` is a strategy or the name of one. `predicate` is asked once per peer and change of the set; what it raises,
    `build` raises.
    """

    inner: Strategy | str
    predicate: Callable[[Peer], object]

    def __post_init__(self) -> None:
        make(self.inner)
        if not callable(self.predicate):
            raise TypeError("predicate must be a function from a peer to true or false")

    def build(self, peers: PeerSet, previous: Picker | None = None) -> LayeredPicker:
        """Raises `NoPeers` for an empty set."""
        return at_once(self.steps(peers, previous))

    def steps(self, peers: PeerSet, previous: Picker | None = None) -> Steps[LayeredPicker]:
        """The same, in the steps of the inner strategy, if it has any."""
        inner = make(self.inner)
        layers: list[Layer] = []
        for tier in tiers_of(peers):
            parts: dict[str, list[Peer]] = {"preferred": [], "others": []}
            for peer in tier:
                parts["preferred" if self.predicate(peer) else "others"].append(peer)
            for part, members in parts.items():
                if members:
                    name = (tier[0].priority, part)
                    part_before = layer_before(previous, name)
                    layers.append(Layer(name, (yield from steps_of(inner, part_of(peers, members), part_before))))
        return LayeredPicker(peers, layers)
