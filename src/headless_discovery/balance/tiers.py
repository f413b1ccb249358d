"""What all built-in pickers share: priority tiers, exclusion by endpoint, several peers at once.

RFC 2782: a client uses the lowest-numbered priority it can reach. So a picker is built for one tier and knows the
picker of the next; each call goes to the first tier that has a peer the caller did not exclude.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Iterator
from collections.abc import Set as AbstractSet
from itertools import groupby, islice, pairwise
from typing import TypeAlias, TypeVar

from ..errors import NoPeers
from ..model import Endpoint, Peer, PeerSet
from .api import Key, Picker
from .hashing import Dice, key_hash

Tier: TypeAlias = tuple[Peer, ...]


def tiers_of(peers: PeerSet) -> list[Tier]:
    """The peers by priority, most wanted first. Raises `NoPeers` for an empty set."""
    if not peers:
        raise NoPeers("there are no peers to choose from", target=peers.target)
    if peers[0].priority == peers[-1].priority:  # a PeerSet is sorted by priority first
        return [tuple(peers)]
    return [tuple(group) for _, group in groupby(peers, key=lambda peer: peer.priority)]


def part_of(peers: PeerSet, chosen: Iterable[Peer]) -> PeerSet:
    """Some of a set's members, in its order.

    Not `PeerSet(chosen)`: that would judge anew whose hostname is unique, and so change what is hashed for them.
    """
    part = PeerSet(target=peers.target)
    part._peers = tuple(chosen)
    return part


def nothing_left(target: str, exclude: Collection[Peer]) -> NoPeers:
    of_target = f" of {target}" if target else ""
    return NoPeers(f"every peer{of_target} is excluded", target=target, excluded=exclude)


class TierPicker(ABC):
    """A picker for one priority tier, linked to that of the next tier.

    A subclass defines `pick`, quick where `exclude` is empty and `self._pick_excluding(key, exclude)` where not, and
    `_candidates`. With lock-free state only: iterators of C, one-word stores.
    """

    __slots__ = ("_lower", "_peers", "_tier")

    def __init__(self, peers: PeerSet, tier: Tier) -> None:
        self._peers = peers
        self._tier = tier
        self._lower: TierPicker | None = None

    @abstractmethod
    def pick(self, key: Key | None = None, exclude: Collection[Peer] = ()) -> Peer: ...

    @abstractmethod
    def _candidates(self, place: int, excluded: AbstractSet[Endpoint], left: int) -> Iterator[Peer]:
        """The tier's `left` > 0 peers whose endpoint is not in `excluded`, each once, the most wanted first."""

    def _place(self, key: Key | None) -> int:
        """What `_candidates` gets: nothing, unless the strategy hashes."""
        return 0

    def pick_many(self, n: int, key: Key | None = None, exclude: Collection[Peer] = ()) -> list[Peer]:
        """Up to `n` different peers: what `n` picks would give that each exclude the ones before.

        All peers not excluded where they are fewer; those of higher tiers first. Raises `ValueError` for n < 0, and
        `NoPeers` where n > 0 and there is none.
        """
        if n <= 0:
            return no_picks(n)
        chosen = list(islice(self._ranked(key, exclude), n))
        if not chosen:
            raise nothing_left(self._peers.target, exclude)
        return chosen

    def _pick_excluding(self, key: Key | None, exclude: Collection[Peer]) -> Peer:
        for peer in self._ranked(key, exclude):
            return peer
        raise nothing_left(self._peers.target, exclude)

    def _ranked(self, key: Key | None, exclude: Collection[Peer]) -> Iterator[Peer]:
        excluded = {peer.endpoint for peer in exclude}
        place = self._place(key)
        tier: TierPicker | None = self
        while tier is not None:
            left = tier._left(excluded)
            if left:
                yield from tier._candidates(place, excluded, left)
            tier = tier._lower

    def _left(self, excluded: AbstractSet[Endpoint]) -> int:
        priority = self._tier[0].priority
        members = (self._peers.get(endpoint) for endpoint in excluded)
        return len(self._tier) - sum(peer is not None and peer.priority == priority for peer in members)

    def _chain(self) -> Iterator[TierPicker]:
        tier: TierPicker | None = self
        while tier is not None:
            yield tier
            tier = tier._lower


P = TypeVar("P", bound=TierPicker)


class HashingPicker(TierPicker):
    """A picker that needs a hash: of the key, or where there is no key a random one."""

    __slots__ = ("_dice",)

    def __init__(self, peers: PeerSet, tier: Tier, dice: Dice) -> None:
        super().__init__(peers, tier)
        self._dice = dice

    def _place(self, key: Key | None) -> int:
        return self._dice.bits64() if key is None else key_hash(key)


def no_picks(n: int) -> list[Peer]:
    """`pick_many(0)` is nothing, as `random.sample(..., 0)` is. Raises `ValueError` for less."""
    if n < 0:
        raise ValueError(f"cannot pick {n} peers")
    return []


def linked(pickers: list[P]) -> P:
    """The first tier's picker, each one knowing the next."""
    for upper, lower in pairwise(pickers):
        upper._lower = lower
    return pickers[0]


def of_priority(previous: Picker | None, kind: type[P], priority: int) -> P | None:
    """The tier of a previous picker that the new one for `priority` takes over from, if it is of this kind."""
    if isinstance(previous, kind):
        for tier in previous._chain():
            if isinstance(tier, kind) and tier._tier[0].priority == priority:
                return tier
    return None
