"""Any peer, all alike."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from ..model import Endpoint, Peer, PeerSet
from .api import Key, Picker
from .hashing import Dice
from .tiers import Tier, TierPicker, linked, tiers_of


@dataclass(frozen=True)
class Random:
    """A peer at random, all with the same chance. Keys and weights do not matter.

    With `seed` the draws repeat from run to run; without, they are those of the `random` module.
    """

    seed: int | None = None

    def build(self, peers: PeerSet, previous: Picker | None = None) -> RandomPicker:
        """Raises `NoPeers` for an empty set."""
        dice = previous._dice if isinstance(previous, RandomPicker) else Dice(self.seed)
        return linked([RandomPicker(peers, tier, dice) for tier in tiers_of(peers)])


class RandomPicker(TierPicker):
    __slots__ = ("_dice", "_size", "_uniform")

    def __init__(self, peers: PeerSet, tier: Tier, dice: Dice) -> None:
        super().__init__(peers, tier)
        self._dice = dice
        self._uniform = dice.uniform
        self._size = len(tier)

    def pick(self, key: Key | None = None, exclude: Collection[Peer] = ()) -> Peer:
        if exclude:
            return self._pick_excluding(key, exclude)
        return self._tier[int(self._uniform() * self._size)]

    def _candidates(self, place: int, excluded: AbstractSet[Endpoint], left: int) -> Iterator[Peer]:
        unwanted = set(excluded)
        while 2 * left > self._size:  # most are wanted: drawing again is quicker than listing the others
            peer = self._tier[self._dice.below(self._size)]
            if peer.endpoint not in unwanted:
                unwanted.add(peer.endpoint)
                yield peer
                left -= 1
        allowed = [peer for peer in self._tier if peer.endpoint not in unwanted]
        while allowed:  # one step of a Fisher-Yates shuffle per peer asked for
            drawn = self._dice.below(len(allowed))
            allowed[drawn], allowed[-1] = allowed[-1], allowed[drawn]
            yield allowed.pop()
