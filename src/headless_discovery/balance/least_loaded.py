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
from .uses import CountedLease, Uses, uses_of

# How often to draw two peers in the hope that neither is excluded.
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
        uses = uses_of(peers, None if before is None else before._uses)
        return linked([LeastLoadedPicker(peers, tier, dice, uses) for tier in tiers_of(peers)])


class LeastLoadedPicker(TierPicker):
    __slots__ = ("_bounds", "_dice", "_uses", "_uses_here", "_weights")

    def __init__(self, peers: PeerSet, tier: Tier, dice: Dice, uses: dict[Endpoint, Uses]) -> None:
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
        return self._tier[self._freer(*self._two())]

    def acquire(self, key: Key | None = None, exclude: Collection[Peer] = ()) -> CountedLease:
        """A lease that counts as load until released. Raises `NoPeers`."""
        peer = self.pick(key, exclude)
        return CountedLease(peer, self._uses[peer.endpoint])

    def _two(self) -> tuple[int, int]:
        bounds = self._bounds
        total = bounds[-1]
        one = bisect_right(bounds, self._dice.below(total)) - 1
        # The second draw leaves out the first one's stretch, so they differ.
        drawn = self._dice.below(total - self._weights[one])
        if drawn >= bounds[one]:
            drawn += self._weights[one]
        return one, bisect_right(bounds, drawn) - 1

    def _freer(self, one: int, other: int) -> int:
        mine = len(self._uses_here[one]) * self._weights[other]
        return one if mine <= len(self._uses_here[other]) * self._weights[one] else other

    def _candidates(self, place: int, excluded: AbstractSet[Endpoint], left: int) -> Iterator[Peer]:
        unwanted = set(excluded)
        if left > 1:  # and where few are excluded, drawing again is quicker than listing the others
            for _ in range(DRAWS):
                one, other = self._two()
                if unwanted.isdisjoint((self._tier[one].endpoint, self._tier[other].endpoint)):
                    peer = self._tier[self._freer(one, other)]
                    unwanted.add(peer.endpoint)
                    yield peer
                    break
        # A random order by weight (Efraimidis and Spirakis, 2006), in which the freer of two neighbours goes first.
        allowed = [i for i, peer in enumerate(self._tier) if peer.endpoint not in unwanted]
        draw = self._dice.uniform
        allowed.sort(key=lambda i: draw() ** (1 / self._weights[i]), reverse=True)
        waiting = allowed[0]
        for other in allowed[1:]:
            freer = self._freer(waiting, other)
            yield self._tier[freer]
            if freer == waiting:
                waiting = other
        yield self._tier[waiting]
