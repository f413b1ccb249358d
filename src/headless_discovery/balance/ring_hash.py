"""The ring that gRPC and Envoy build, entry for entry."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

from ..model import PeerSet
from .api import Picker
from .hashing import Dice, HashKey, identity, named, points, weight
from .ring import Ring, RingPicker
from .tiers import Tier, linked, tiers_of

# What gRPC's validation (gRFC A42) and Envoy's proto allow.
LARGEST_RING = 8_388_608


@dataclass(frozen=True)
class RingHash:
    """The ring hash of gRPC (gRFC A42, A76) and Envoy: the same pick for the same key, hash keys and weights.

    Peers are sorted by hash key, as in gRPC for Go; Envoy and gRPC's C core take them in the order they are told.
    `hash_key(peer)` defaults to `peer.identity`; give `lambda peer: peer.netloc` for what gRPC and Envoy hash by
    default.

    The ring has a whole number of entries for the least weight and at least `min_ring_size` in all, unless that is
    over `max_ring_size`. So **it is scaled anew as peers come and go**, which moves keys between peers that stayed;
    and with more peers than `max_ring_size`, some have no entry: no key leads to them, `exclude` and `pick_many`
    still do. `ConsistentHash` has neither trait; take this one to agree with a gRPC or Envoy client.

    Without a key, `pick` hashes a random number (of `seed`, if given).
    """

    min_ring_size: int = 1024
    max_ring_size: int = 4096
    hash_key: HashKey | None = None
    seed: int | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.min_ring_size <= self.max_ring_size <= LARGEST_RING:
            raise ValueError(
                f"ring sizes must be 1 <= min <= max <= {LARGEST_RING}, not {self.min_ring_size}, {self.max_ring_size}"
            )

    def build(self, peers: PeerSet, previous: Picker | None = None) -> RingHashPicker:
        """Raises `NoPeers` for an empty set, `TypeError` where `hash_key` returns no str."""
        dice = previous._dice if isinstance(previous, RingHashPicker) else Dice(self.seed)
        return linked([RingHashPicker(peers, tier, dice, self._ring(tier)) for tier in tiers_of(peers)])

    def _ring(self, tier: Tier) -> Ring:
        # In doubles and in this order, because rounding decides where an entry goes.
        peers = named(tier, self.hash_key or identity)
        total = sum(map(weight, tier))
        smallest = min(map(weight, tier)) / total
        scale = min(ceil(smallest * self.min_ring_size) / smallest, float(self.max_ring_size))
        target = 0.0
        made = 0
        counts: list[int] = []
        for _, peer in peers:
            target += scale * (weight(peer) / total)
            counts.append(max(0, ceil(target) - made))
            made += counts[-1]
        points_of = (points(name, count) for (name, _), count in zip(peers, counts, strict=True))
        return Ring.whole([peer for _, peer in peers], points_of, made)


class RingHashPicker(RingPicker):
    __slots__ = ()
