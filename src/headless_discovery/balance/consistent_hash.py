"""Consistent hashing (Karger et al., 1997): each key has its place, whoever else comes or goes."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import NamedTuple

from xxhash import xxh64_intdigest

from ..model import Endpoint, Peer, PeerSet
from .api import Key, Picker
from .hashing import Dice, HashKey, identity, name_of, named, points, weight
from .ring import Ring, Tie
from .tiers import HashingPicker, Tier, linked, of_priority, tiers_of

# A ring of more points than this is halved until it fits: 10,000 peers of weight 1 fit with 419 points each.
MAX_POINTS = 1 << 22


@dataclass(frozen=True)
class ConsistentHash:
    """A key's peer is the owner of the first point at or after the key's hash, on a ring of 64-bit points.

    A peer has `vnodes` points per unit of its weight. They depend on its hash key and weight alone, so a join or
    leave moves the share of that peer and no other key. More points balance better (the load of the fullest peer is
    about 1 + 3/sqrt(vnodes) times the mean) and cost memory. `hash_key(peer)` defaults to `peer.identity`: a
    StatefulSet pod keeps its keys when it comes back with a new address.

    Without a key, `pick` hashes a random number (of `seed`, if given).
    """

    vnodes: int = 160
    hash_key: HashKey | None = None
    seed: int | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.vnodes <= 65536:
            raise ValueError(f"vnodes must be 1 to 65536, not {self.vnodes!r}")

    def build(self, peers: PeerSet, previous: Picker | None = None) -> ConsistentHashPicker:
        """What changed since `previous` is worked into its ring; the result is that of a build from nothing.

        Raises `NoPeers` for an empty set, `TypeError` where `hash_key` returns no str.
        """
        hash_key = self.hash_key or identity
        tiers = tiers_of(peers)
        known = previous if isinstance(previous, ConsistentHashPicker) else None
        dice = Dice(self.seed) if known is None else known._dice
        pickers = []
        for tier in tiers:
            basis = Basis(self.vnodes, _halvings(tier, self.vnodes), hash_key)
            before = of_priority(known, ConsistentHashPicker, tier[0].priority)
            share = (before and _update(tier, basis, before._share)) or _build(tier, basis)
            pickers.append(ConsistentHashPicker(peers, tier, dice, share))
        return linked(pickers)


class Basis(NamedTuple):
    """What decides the points of a peer: only rings of the same basis are worked over."""

    vnodes: int
    halvings: int
    hash_key: HashKey

    def points(self, peer: Peer) -> int:
        return max(1, self.vnodes * weight(peer) >> self.halvings)


class Member(NamedTuple):
    peer: Peer
    points: int


class Share(NamedTuple):
    """A ring, and what it was made of: enough to work a change into it."""

    basis: Basis
    ring: Ring
    members: dict[str, Member]  # by hash key
    names: dict[int, str]  # hash keys by id() of the tier's peers, which the picker keeps alive


def _halvings(tier: Tier, vnodes: int) -> int:
    total = vnodes * sum(map(weight, tier))
    return max(0, (total - 1).bit_length() - MAX_POINTS.bit_length() + 1)


def _build(tier: Tier, basis: Basis) -> Share:
    peers = named(tier, basis.hash_key)
    ring = Ring.whole([(peer, points(name, basis.points(peer))) for name, peer in peers])
    members = {name: Member(peer, basis.points(peer)) for name, peer in peers}
    return Share(basis, ring, members, {id(peer): name for name, peer in peers})


def _update(tier: Tier, basis: Basis, before: Share) -> Share | None:
    """The share after a change, or None where it must (a tie) or should (much changed) be built from nothing."""
    if before.basis != basis or before.ring.tied:
        return None
    names: dict[int, str] = {}
    members: dict[str, Member] = {}
    removed: list[list[int]] = []
    added: list[tuple[Peer, list[int]]] = []
    replaced: list[tuple[Peer, list[int]]] = []
    work = 0
    limit = before.ring.size // 2
    old_names = before.names
    old_members = before.members
    for peer in tier:
        name = old_names.get(id(peer))
        if name is None:
            name = name_of(peer, basis.hash_key)
        names[id(peer)] = name
        old = old_members.get(name)
        if old is not None and (old.peer is peer or old.peer == peer):
            members[name] = old
            continue
        count = basis.points(peer)
        members[name] = Member(peer, count)
        work += count
        if work > limit:
            return None
        all_points = points(name, count if old is None else max(count, old.points))
        if old is None:
            added.append((peer, all_points))
        else:
            both = min(count, old.points)
            replaced.append((peer, all_points[:both]))
            if count > both:
                added.append((peer, all_points[both:]))
            else:
                removed.append(all_points[both:])
    if len(members) < len(tier):  # two peers with one hash key
        return None
    for name in old_members.keys() - members.keys():
        work += old_members[name].points
        if work > limit:
            return None
        removed.append(points(name, old_members[name].points))
    try:
        ring = before.ring.changed(removed, added, replaced)
    except Tie:
        return None
    return Share(basis, ring, members, names)


class ConsistentHashPicker(HashingPicker):
    __slots__ = ("_arcs", "_share", "_shift")

    def __init__(self, peers: PeerSet, tier: Tier, dice: Dice, share: Share) -> None:
        super().__init__(peers, tier, dice)
        self._share = share
        self._arcs = share.ring.arcs
        self._shift = share.ring.shift

    def pick(self, key: Key | None = None, exclude: Collection[Peer] = ()) -> Peer:
        if exclude:
            return self._pick_excluding(key, exclude)
        h = xxh64_intdigest(key.encode()) if type(key) is str else self._place(key)
        points, owners = self._arcs[h >> self._shift]
        return owners[bisect_left(points, h)]

    def _candidates(self, place: int, excluded: AbstractSet[Endpoint], left: int) -> Iterator[Peer]:
        return self._share.ring.candidates(place, self._tier, excluded, left)
