"""Smooth weighted round robin, as nginx does it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from itertools import cycle
from math import gcd

from ..model import Endpoint, Peer, PeerSet
from .api import Key, Picker
from .hashing import Dice, weight
from .tiers import Tier, TierPicker, linked, of_priority, tiers_of

# The round is written out. Longer ones are scaled down to this, or to four turns per peer.
LONGEST_ROUND = 8192


@dataclass(frozen=True)
class Weighted:
    """Peers in turn, each as often as its weight says, and each one's turns spread over the round.

    Weights 5, 1, 1 give a a b a c a a, not a a a a a b c: the order of nginx's upstream module. A round is as long as
    the sum of the weights (divided by what divides them all); over 8192 turns, or four per peer where that is more,
    weights are scaled and rounded, to at least one turn each. Weight 0 counts as 1. Keys do not matter.

    Starts at a random place (of `seed`, if given), and again where weights have changed: so nobody is favoured, however
    often that is. Where the weights are those before, the round goes on.
    """

    seed: int | None = None

    def build(self, peers: PeerSet, previous: Picker | None = None) -> WeightedPicker:
        """Raises `NoPeers` for an empty set."""
        dice = previous._dice if isinstance(previous, WeightedPicker) else Dice(self.seed)
        pickers = []
        for tier in tiers_of(peers):
            weights = _scaled([weight(peer) for peer in tier])
            before = of_priority(previous, WeightedPicker, tier[0].priority)
            if before is not None and before._weights == weights:
                turns = before._turns
                start = (before._last + 1) % len(turns)
            else:
                turns = smooth_round(weights)
                start = dice.below(len(turns))
            pickers.append(WeightedPicker(peers, tier, dice, weights, turns, start))
        return linked(pickers)


def _scaled(weights: list[int]) -> list[int]:
    divisor = gcd(*weights)
    total = sum(weights) // divisor
    longest = max(LONGEST_ROUND, 4 * len(weights))
    if total <= longest:
        return [share // divisor for share in weights]
    return [max(1, round(share // divisor * longest / total)) for share in weights]


def smooth_round(weights: list[int]) -> list[int]:
    """The order of turns in one round of nginx's algorithm, as places in `weights`.

    Each turn, everybody gains its weight; the richest (the first of them) is chosen and pays the sum of all weights.
    Those of one weight always take turns in order, so only the first in line of each weight is compared.
    """
    total = sum(weights)
    lines: dict[int, list[int]] = {}
    for place, share in enumerate(weights):
        lines.setdefault(share, []).append(place)
    waiting = [(share, cycle(line).__next__) for share, line in lines.items()]
    first = [take() for _, take in waiting]
    rounds = [0] * len(waiting)  # how often each line's first has been chosen in this round
    sizes = [len(lines[share]) for share, _ in waiting]
    chosen_in_line = [0] * len(waiting)
    turns: list[int] = []
    for turn in range(1, total + 1):
        best = max(range(len(waiting)), key=lambda line: (waiting[line][0] * turn - total * rounds[line], -first[line]))
        turns.append(first[best])
        first[best] = waiting[best][1]()
        chosen_in_line[best] += 1
        if chosen_in_line[best] % sizes[best] == 0:
            rounds[best] += 1
    return turns


class WeightedPicker(TierPicker):
    # As in RoundRobinPicker: advancing a cycle is one step of C, and `_last` may lag behind.
    __slots__ = ("_dice", "_last", "_round", "_turn", "_turns", "_weights")

    def __init__(
        self, peers: PeerSet, tier: Tier, dice: Dice, weights: list[int], turns: list[int], start: int
    ) -> None:
        super().__init__(peers, tier)
        self._dice = dice
        self._weights = weights
        self._turns = turns
        self._round = [tier[turn] for turn in turns]
        self._turn: Callable[[], int] = cycle((*range(start, len(turns)), *range(start))).__next__
        self._last = start - 1 if start else len(turns) - 1

    def pick(self, key: Key | None = None, exclude: Collection[Peer] = ()) -> Peer:
        if exclude:
            return self._pick_excluding(key, exclude)
        self._last = turn = self._turn()
        return self._round[turn]

    def _candidates(self, place: int, excluded: AbstractSet[Endpoint], left: int) -> Iterator[Peer]:
        unwanted = set(excluded)
        for _ in self._round:
            self._last = turn = self._turn()
            peer = self._round[turn]
            if peer.endpoint not in unwanted:
                unwanted.add(peer.endpoint)
                yield peer
                left -= 1
                if not left:
                    return
        # Other threads took some of the turns.
        yield from (peer for peer in self._tier if peer.endpoint not in unwanted)
