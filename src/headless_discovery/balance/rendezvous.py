"""Rendezvous hashing, or highest random weight (Thaler and Ravishankar, 1998)."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from math import log
from operator import itemgetter

from xxhash import xxh64_intdigest

from ..model import Endpoint, Peer, PeerSet
from .api import Key, Picker
from .hashing import Dice, HashKey, identity, named, weight
from .tiers import HashingPicker, Tier, linked, tiers_of


@dataclass(frozen=True)
class Rendezvous:
    """Every peer draws a number for the key, and the highest wins.

    Perfect shares by weight, no table, and a join or leave moves no key between peers that stayed; but each pick
    asks every peer, about 0.1 microseconds each: for sets of up to some tens. `hash_key(peer)` defaults to
    `peer.identity`. Without a key, `pick` hashes a random number (of `seed`, if given).
    """

    hash_key: HashKey | None = None
    seed: int | None = None

    def build(self, peers: PeerSet, previous: Picker | None = None) -> RendezvousPicker:
        """Raises `NoPeers` for an empty set, `TypeError` where `hash_key` returns no str."""
        dice = previous._dice if isinstance(previous, RendezvousPicker) else Dice(self.seed)
        hash_key = self.hash_key or identity
        return linked([RendezvousPicker(peers, tier, dice, hash_key) for tier in tiers_of(peers)])


class RendezvousPicker(HashingPicker):
    __slots__ = ("_contenders", "_seeds", "_weights")

    def __init__(self, peers: PeerSet, tier: Tier, dice: Dice, hash_key: HashKey) -> None:
        super().__init__(peers, tier, dice)
        hosts = named(tier, hash_key)
        self._contenders = [peer for _, peer in hosts]
        self._seeds = [xxh64_intdigest(name.encode()) for name, _ in hosts]
        weights = [weight(peer) for _, peer in hosts]
        self._weights = weights if min(weights) < max(weights) else None

    def pick(self, key: Key | None = None, exclude: Collection[Peer] = ()) -> Peer:
        if exclude:
            return self._pick_excluding(key, exclude)
        scores = self._scores(self._place(key))
        return self._contenders[scores.index(max(scores))]  # of equal scores, the first in order

    def _scores(self, h: int) -> Sequence[float]:
        # With one weight for all the draws themselves are compared; w / -ln(u) grows with the draw u, so that is the
        # same order. The weighted form is from Schindelhauer and Schomaker, "Weighted distributed hash tables" (2005).
        key = h.to_bytes(8, "little")
        draws = [xxh64_intdigest(key, seed) for seed in self._seeds]
        if self._weights is None:
            return draws
        # The greatest draw is rounded to 1, whose logarithm is 0.
        scores = ((share, -log(((x >> 11) + 0.5) * 2.0**-53)) for x, share in zip(draws, self._weights, strict=True))
        return [share / (waits or 2.0**-53) for share, waits in scores]

    def _candidates(self, place: int, excluded: AbstractSet[Endpoint], left: int) -> Iterator[Peer]:
        ranked = sorted(zip(self._scores(place), self._contenders, strict=True), key=itemgetter(0), reverse=True)
        return (peer for _, peer in ranked if peer.endpoint not in excluded)
