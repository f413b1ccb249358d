"""Jump consistent hash (Lamping and Veach, 2014) over StatefulSet ordinals."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from ..errors import DiscoveryError
from ..model import Endpoint, Peer, PeerSet
from .api import Key, Picker
from .hashing import Dice, rehash
from .tiers import HashingPicker, Tier, linked, tiers_of

# Half of the ordinals missing, a key still has a chance of only 2**-64 to be left to the last resort.
PROBES = 64
# Kubernetes counts replicas in an int32; a greater number in a name is no ordinal.
MOST_ORDINALS = 1 << 31


class NoOrdinals(DiscoveryError, ValueError):
    """No peer's hostname ends in a StatefulSet ordinal, as `web-0` does: there are no buckets to jump between."""


@dataclass(frozen=True)
class JumpHash:
    """A key's peer is `web-<jump(key, n)>`, where n is one more than the highest ordinal there is.

    Needs no table, balances perfectly, and scaling from n to n + 1 moves 1/(n + 1) of the keys, all of them to the
    new pod. It works on names that are numbered: peers of a StatefulSet, looked up by SRV (`port="http"` or
    `port="auto"`). Weights do not matter.

    Where the ordinal is missing (a pod restarts), the key's hash is hashed again and jumps again, up to 64 times, so
    no key of another pod moves; see docs/hashing.md. Peers without an ordinal, and further ones with the same, are
    reached by `exclude` and `pick_many` only. Without a key, `pick` hashes a random number (of `seed`, if given).
    """

    seed: int | None = None

    def build(self, peers: PeerSet, previous: Picker | None = None) -> JumpHashPicker:
        """Raises `NoOrdinals` where no peer of a priority has one, `NoPeers` for an empty set."""
        dice = previous._dice if isinstance(previous, JumpHashPicker) else Dice(self.seed)
        return linked([JumpHashPicker(peers, tier, dice) for tier in tiers_of(peers)])


def jump(h: int, buckets: int) -> int:
    """The bucket, 0 <= b < `buckets`, of a 64-bit hash: figure 1 of the paper."""
    b, j = -1, 0
    while j < buckets:
        b = j
        h = (h * 2862933555777941757 + 1) & 0xFFFF_FFFF_FFFF_FFFF
        j = int((b + 1) * (2147483648.0 / ((h >> 33) + 1)))
    return b


class JumpHashPicker(HashingPicker):
    __slots__ = ("_buckets", "_by_ordinal", "_in_order", "_numbered")

    def __init__(self, peers: PeerSet, tier: Tier, dice: Dice) -> None:
        super().__init__(peers, tier, dice)
        by_ordinal: dict[int, Peer] = {}
        for peer in tier:
            ordinal = peer.ordinal
            if ordinal is not None and ordinal < MOST_ORDINALS:
                by_ordinal.setdefault(ordinal, peer)
        if not by_ordinal:
            raise NoOrdinals(
                f"JumpHash needs hostnames numbered like web-0, and {tier[0]} has no number: look up SRV records of "
                'a StatefulSet\'s service (port="http" or port="auto"), or take another strategy'
            )
        self._by_ordinal = by_ordinal
        self._in_order = [by_ordinal[ordinal] for ordinal in sorted(by_ordinal)]
        self._numbered = frozenset(peer.endpoint for peer in self._in_order)
        self._buckets = max(by_ordinal) + 1

    def pick(self, key: Key | None = None, exclude: Collection[Peer] = ()) -> Peer:
        if exclude:
            return self._pick_excluding(key, exclude)
        h = self._place(key)
        peer = self._by_ordinal.get(jump(h, self._buckets))
        return self._probe(h, frozenset()) if peer is None else peer

    def _probe(self, h: int, unwanted: AbstractSet[Endpoint]) -> Peer:
        """The pod that the key jumps to; while that one is missing, where the rehashed key jumps to."""
        for attempt in range(PROBES):
            peer = self._by_ordinal.get(jump(rehash(h, attempt) if attempt else h, self._buckets))
            if peer is not None and peer.endpoint not in unwanted:
                return peer
        wanted = [peer for peer in self._in_order if peer.endpoint not in unwanted]
        return wanted[jump(rehash(h, PROBES), len(wanted))]

    def _candidates(self, place: int, excluded: AbstractSet[Endpoint], left: int) -> Iterator[Peer]:
        unwanted = set(excluded)
        for _ in range(len(self._numbered) - len(self._numbered.intersection(excluded))):
            peer = self._probe(place, unwanted)
            unwanted.add(peer.endpoint)
            yield peer
        yield from (peer for peer in self._tier if peer.endpoint not in unwanted)
