"""Consistent hashing with bounded loads (Mirrokni, Thorup and Zadimoghaddam, 2018)."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from fractions import Fraction

from ..model import Endpoint, Peer, PeerSet
from .api import Hashed, Key, Picker
from .consistent_hash import ConsistentHash, ConsistentHashPicker
from .hashing import HashKey, weight
from .tiers import HashingPicker, linked, nothing_left
from .uses import CountedLease, UsesOf


@dataclass(frozen=True)
class BoundedLoad:
    """`ConsistentHash`, but no peer gets more than `factor` times its share of the load: the key walks on to the next.

    The load of a peer is its leases (`service.lease()`, `service.call()`). With m leases, the new one included, a peer
    of n may have up to factor * m / n, rounded up (by weight, where weights differ). `factor` is at least 1: near 1
    the load is even and many keys are away from home, 1.25 is usual, and with 2 keys are rarely away. A lease that is
    out stays where it is.

    `pick` leaves out peers that are full, but does not count as load. Where all that is not excluded is full, the one
    with the least load by weight is taken. The counts go on when the set changes.
    """

    factor: float = 1.25
    vnodes: int = 160
    hash_key: HashKey | None = None
    seed: int | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.factor <= 1000:
            raise ValueError(f"factor must be 1 to 1000, not {self.factor!r}")
        self._ring()

    def build(self, peers: PeerSet, previous: Picker | None = None) -> BoundedLoadPicker:
        """Raises `NoPeers` for an empty set, `TypeError` where `hash_key` returns no str."""
        before = previous if isinstance(previous, BoundedLoadPicker) else None
        home = self._ring().build(peers, None if before is None else before._home)
        uses = UsesOf(peers, None if before is None else before._uses)
        factor = Fraction(str(self.factor))  # 1.1 is meant as 11/10, not as the double next to it
        homes = [tier for tier in home._chain() if isinstance(tier, ConsistentHashPicker)]
        return linked([BoundedLoadPicker(peers, tier, uses, factor) for tier in homes])

    def _ring(self) -> ConsistentHash:
        return ConsistentHash(self.vnodes, self.hash_key, self.seed)


class BoundedLoadPicker(HashingPicker):
    __slots__ = ("_divisor", "_factor", "_home", "_uses", "_uses_here")

    def __init__(self, peers: PeerSet, home: ConsistentHashPicker, uses: UsesOf, factor: Fraction) -> None:
        super().__init__(peers, home._tier, home._dice)
        self._home = home
        self._uses = uses
        self._uses_here = [uses[peer.endpoint] for peer in self._tier]
        self._factor = factor.numerator
        self._divisor = factor.denominator * sum(map(weight, self._tier))

    def pick(self, key: Key | None = None, exclude: Collection[Peer] = ()) -> Peer:
        if exclude:
            return self._pick_excluding(key, exclude)
        h = self._place(key)
        peer = self._home.pick(Hashed(h))
        load = self._load(peer)
        if not load or load < self._room(peer, self._total() + 1):
            return peer
        return next(self._candidates(h, frozenset(), len(self._tier)))

    def acquire(self, key: Key | None = None, exclude: Collection[Peer] = ()) -> CountedLease:
        """A lease that counts as load until released. Raises `NoPeers`."""
        place = self._place(key)
        excluded = {peer.endpoint for peer in exclude}
        for tier in self._chain():
            left = tier._left(excluded)
            if left and isinstance(tier, BoundedLoadPicker):
                return tier._acquire(place, excluded, left)
        raise nothing_left(self._peers.target, exclude)

    def _acquire(self, place: int, excluded: AbstractSet[Endpoint], left: int) -> CountedLease:
        # First take the place, then see if it was one too many because another thread did the same.
        for peer in self._home._candidates(place, excluded, left):
            if self._load(peer) < self._room(peer, self._total() + 1):
                lease = CountedLease(peer, self._uses[peer.endpoint])
                if self._load(peer) <= self._room(peer, self._total()):
                    return lease
                lease.release()
        peer = next(self._candidates(place, excluded, left))
        return CountedLease(peer, self._uses[peer.endpoint])

    def _load(self, peer: Peer) -> int:
        return len(self._uses[peer.endpoint])

    def _total(self) -> int:
        return sum(map(len, self._uses_here))

    def _room(self, peer: Peer, total: int) -> int:
        """How many leases the peer may have where there are `total`: its share times the factor, rounded up."""
        return -(-self._factor * total * weight(peer) // self._divisor)

    def _candidates(self, place: int, excluded: AbstractSet[Endpoint], left: int) -> Iterator[Peer]:
        total = self._total() + 1
        full: list[Peer] = []
        for peer in self._home._candidates(place, excluded, left):
            if self._load(peer) < self._room(peer, total):
                yield peer
            else:
                full.append(peer)
        yield from sorted(full, key=lambda peer: self._load(peer) / weight(peer))
