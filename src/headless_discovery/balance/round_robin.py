"""Each peer in turn."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from itertools import cycle

from ..model import Endpoint, Peer, PeerSet
from .api import Key, Picker
from .hashing import Dice
from .tiers import Tier, TierPicker, linked, of_priority, tiers_of


@dataclass(frozen=True)
class RoundRobin:
    """Every peer in turn, in the order of the set.

    Starts at a random place (of `seed`, if given), so that many clients that start together do not all ask the
    first peer. A refresh does not restart the round: it goes on after the last peer it gave, or where that peer was.
    Keys and weights do not matter.
    """

    seed: int | None = None

    def build(self, peers: PeerSet, previous: Picker | None = None) -> RoundRobinPicker:
        """Raises `NoPeers` for an empty set."""
        dice = Dice(self.seed)
        pickers = []
        for tier in tiers_of(peers):
            before = of_priority(previous, RoundRobinPicker, tier[0].priority)
            start = dice.below(len(tier)) if before is None else _after(before._last(), tier)
            pickers.append(RoundRobinPicker(peers, tier, start))
        return linked(pickers)


def _after(last: Peer, tier: Tier) -> int:
    place = bisect_right(tier, last)
    # The same peer with other fields new (weight, addresses) may sort behind its old self.
    if place < len(tier) and tier[place].endpoint == last.endpoint:
        place += 1
    return place % len(tier)


class RoundRobinPicker(TierPicker):
    # Advancing a cycle is one step of C: two threads never get the same turn.
    __slots__ = ("_turn",)

    def __init__(self, peers: PeerSet, tier: Tier, start: int) -> None:
        super().__init__(peers, tier)
        self._turn = cycle(tier[start:] + tier[:start])

    def pick(self, key: Key | None = None, exclude: Collection[Peer] = ()) -> Peer:
        if exclude:
            return self._pick_excluding(key, exclude)
        return next(self._turn)

    def _last(self) -> Peer:
        """The peer that it gave last, found out by taking a turn and giving it back: so a pick notes nothing.

        Threads that pick meanwhile may shift the round by a turn, in a picker that is being replaced.
        """
        tier, place = self._tier, self._tier.index(next(self._turn))
        self._turn = cycle(tier[place:] + tier[:place])
        return tier[place - 1]

    def _candidates(self, place: int, excluded: AbstractSet[Endpoint], left: int) -> Iterator[Peer]:
        unwanted = set(excluded)
        for _ in self._tier:
            peer = next(self._turn)
            if peer.endpoint not in unwanted:
                unwanted.add(peer.endpoint)
                yield peer
                left -= 1
                if not left:
                    return
        # Other threads took some of the turns.
        yield from (peer for peer in self._tier if peer.endpoint not in unwanted)
