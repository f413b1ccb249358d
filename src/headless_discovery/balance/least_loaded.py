"""The power of two choices (Mitzenmacher, 2001): of two peers at random, the one with less to do."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from itertools import accumulate

from ..model import Endpoint, Peer, PeerSet
from .api import Key, Picker
from .hashing import Dice, weight
from .tiers import Tier, TierPicker, linked, tiers_of
from .uses import CountedLease, UsesOf

# How often to draw in the hope of a peer that is not excluded.
DRAWS = 8


@dataclass(frozen=True)
class LeastLoaded:
    """Draws two peers, each with a chance of its share of the weights, and takes the one with fewer leases per weight.

    Only leases count as load: use `service.lease()` or `service.call()`. The counts go on when the set changes. Keys
    do not matter. With `seed` the draws repeat from run to run.
    """

    seed: int | None = None

    def build(self, peers: PeerSet, previous: Picker | None = None) -> LeastLoadedPicker:
        """Raises `NoPeers` for an empty set."""
        before = previous if isinstance(previous, LeastLoadedPicker) else None
        dice = Dice(self.seed) if before is None else before._dice
        uses = UsesOf(peers, None if before is None else before._uses)
        return linked([LeastLoadedPicker(peers, tier, dice, uses) for tier in tiers_of(peers)])


class LeastLoadedPicker(TierPicker):
    __slots__ = ("_bounds", "_dice", "_uses", "_uses_here", "_weights")

    def __init__(self, peers: PeerSet, tier: Tier, dice: Dice, uses: UsesOf) -> None:
        super().__init__(peers, tier)
        self._dice = dice
        self._uses = uses
        self._uses_here = [uses[peer.endpoint] for peer in tier]
        self._weights = [weight(peer) for peer in tier]
        # Peer i is drawn by a number from bounds[i] up to bounds[i + 1].
        self._bounds = list(accumulate(self._weights, initial=0))

    def pick(self, key: Key | None = None, exclude: Collection[Peer] = ()) -> Peer:
        if exclude:
            return self._pick_excluding(key, exclude)
        if len(self._tier) == 1:
            return self._tier[0]
        bounds = self._bounds
        total = bounds[-1]
        one = bisect_right(bounds, self._dice.below(total)) - 1
        # The second draw leaves out the first one's stretch, so they differ.
        drawn = self._dice.below(total - self._weights[one])
        if drawn >= bounds[one]:
            drawn += self._weights[one]
        return self._tier[self._freer(one, bisect_right(bounds, drawn) - 1)]

    def acquire(self, key: Key | None = None, exclude: Collection[Peer] = ()) -> CountedLease:
        """A lease that counts as load until released. Raises `NoPeers`."""
        peer = self.pick(key, exclude)
        return CountedLease(peer, self._uses[peer.endpoint])

    def _freer(self, one: int, other: int) -> int:
        mine = len(self._uses_here[one]) * self._weights[other]
        return one if mine <= len(self._uses_here[other]) * self._weights[one] else other

    def _candidates(self, place: int, excluded: AbstractSet[Endpoint], left: int) -> Iterator[Peer]:
        # The freer of two neighbours in a random order; the other one is compared with the next.
        order = self._random_order(excluded, left)
        waiting = next(order)
        for other in order:
            freer = self._freer(waiting, other)
            yield self._tier[freer]
            if freer == waiting:
                waiting = other
        yield self._tier[waiting]

    def _random_order(self, excluded: AbstractSet[Endpoint], left: int) -> Iterator[int]:
        """All that are not excluded, drawn one after the other by weight."""
        unwanted = set(excluded)
        # The first two, which is all that `pick` needs, without listing everybody where few are excluded.
        for _ in range(min(2, left)):
            drawn = self._draw(unwanted)
            if drawn is None:
                break
            unwanted.add(self._tier[drawn].endpoint)
            yield drawn
        # The same distribution by one sort (Efraimidis and Spirakis, 2006).
        draw = self._dice.uniform
        others = (i for i, peer in enumerate(self._tier) if peer.endpoint not in unwanted)
        yield from sorted(others, key=lambda i: draw() ** (1 / self._weights[i]), reverse=True)

    def _draw(self, unwanted: AbstractSet[Endpoint]) -> int | None:
        """One at random, by weight; None if that was an unwanted one again and again."""
        for _ in range(DRAWS):
            drawn = bisect_right(self._bounds, self._dice.below(self._bounds[-1])) - 1
            if self._tier[drawn].endpoint not in unwanted:
                return drawn
        return None
