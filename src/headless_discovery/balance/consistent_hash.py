"""Consistent hashing (Karger et al., 1997): each key has its place, whoever else comes or goes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from ..model import Peer, PeerSet
from .api import Picker
from .hashing import Dice, HashKey, identity, name_of, named, points, weight
from .ring import SLOT, Ring, RingPicker, Tie
from .tiers import Tier, linked, of_priority, tiers_of

# A ring of more points than this is halved until it fits: 10,000 peers of weight 1 fit with 419 points each.
MAX_POINTS = 1 << 22


@dataclass(frozen=True)
class ConsistentHash:
    """A key's peer is the owner of the first point at or after the key's hash, on a ring of 64-bit points.

    A peer has `vnodes` points per unit of its weight. They depend on its hash key and weight alone, so a join or
    leave moves the share of that peer and no other key. More points balance better (the load of the fullest peer is
    about 1 + 3/sqrt(vnodes) times the mean) and cost memory: 44 bytes each, 7 kB for a peer with 160.
    `hash_key(peer)` defaults to `peer.identity`: a StatefulSet pod keeps its keys when it comes back with a new
    address.

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
    slot: int
    points: int


class Share(NamedTuple):
    """A ring, and what it was made of: enough to work a change into it."""

    basis: Basis
    ring: Ring
    members: dict[str, Member]  # by hash key
    names: dict[int, str]  # hash keys by id() of the tier's peers, which the picker keeps alive
    free: list[int]  # slots of peers that left


def _halvings(tier: Tier, vnodes: int) -> int:
    total = vnodes * sum([weight if (weight := peer.weight) > 1 else 1 for peer in tier])
    return max(0, (total - 1).bit_length() - MAX_POINTS.bit_length() + 1)


def _build(tier: Tier, basis: Basis) -> Share:
    peers = named(tier, basis.hash_key)
    members = {name: Member(peer, slot, basis.points(peer)) for slot, (name, peer) in enumerate(peers)}
    size = sum(member.points for member in members.values())
    points_of = (points(name, basis.points(peer)) for name, peer in peers)
    ring = Ring.whole([peer for _, peer in peers], points_of, size)
    return Share(basis, ring, members, {id(peer): name for name, peer in peers}, [])


def _update(tier: Tier, basis: Basis, before: Share) -> Share | None:
    """The share after a change, or None where it must (a tie) or should (much changed) be built from nothing."""
    if before.basis != basis or len(before.members) < len(before.names):
        return None
    ids = set(map(id, tier))
    gone = {before.names[i] for i in before.names.keys() - ids}
    fresh = [(name_of(peer, basis.hash_key), peer) for peer in tier if id(peer) not in before.names]
    if 2 * sum(before.members[name].points for name in gone.difference(name for name, _ in fresh)) > before.ring.size:
        return None

    names = {i: name for i, name in before.names.items() if i in ids} if gone else before.names.copy()
    names.update((id(peer), name) for name, peer in fresh)
    members = before.members.copy()
    owners = before.ring.owners.copy()
    free = before.free.copy()
    removed: list[tuple[int, list[int]]] = []
    added: list[tuple[int, list[int]]] = []
    for name, peer in fresh:
        gone.discard(name)
        count = basis.points(peer)
        old = members.get(name)
        if old is None:
            if free:
                slot = free.pop()
                owners[slot] = peer
            else:
                slot = len(owners)
                owners.append(peer)
            added.append((slot, points(name, count)))
        else:
            slot = old.slot
            owners[slot] = peer
            if count > old.points:
                added.append((slot, points(name, count)[old.points :]))
            elif count < old.points:
                removed.append((slot, points(name, old.points)[count:]))
        members[name] = Member(peer, slot, count)
    for name in gone:
        old = members.pop(name)
        free.append(old.slot)
        removed.append((old.slot, points(name, old.points)))
    if len(members) < len(tier) or len(owners) > SLOT:  # two peers with one hash key
        return None
    if 2 * sum(len(of_slot) for _, of_slot in added) > before.ring.size:
        return None
    try:
        ring = before.ring.changed(owners, removed, added) if removed or added else before.ring.owned_by(owners)
    except Tie:
        return None
    return Share(basis, ring, members, names, free)


class ConsistentHashPicker(RingPicker):
    __slots__ = ("_share",)

    def __init__(self, peers: PeerSet, tier: Tier, dice: Dice, share: Share) -> None:
        super().__init__(peers, tier, dice, share.ring)
        self._share = share
