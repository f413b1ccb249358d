"""A ring of 64-bit points, each owned by a peer. A hash belongs to the owner of the first point at or after it.

An entry is one int: the point, shifted left, and the number ("slot") of its owner. So sorting the entries sorts the
points, and owners can change without touching the ring.

The circle is cut into a power of two of equal arcs of a few entries. An arc is a tuple of its entries in ascending
order, followed by the first entry after it. So a look-up is a shift, an index and a bisection of neighbouring
numbers, with no end to check; and changing one peer touches the arcs its points are in, whatever the size of the
ring.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from itertools import chain
from typing import TypeAlias

from xxhash import xxh64_intdigest

from ..model import Endpoint, Peer, PeerSet
from .api import Key
from .hashing import BITS, Dice
from .tiers import HashingPicker, Tier

Arc: TypeAlias = tuple[int, ...]

SLOT_BITS = 20
SLOT = (1 << SLOT_BITS) - 1
# Lifts the first entry of the ring above all others where it follows the last.
_WRAPPED = 1 << (BITS + SLOT_BITS)

# Entries per arc, on average: a new ring has from _ENTRIES to twice that; outside of _FEWEST and _MOST it is cut anew.
_ENTRIES = 16
_FEWEST, _MOST = 8, 64


class Tie(Exception):
    """Two points are equal. Their order is that of their owners' hash keys, which only a whole build knows."""


class Ring:
    """Immutable. `owners[slot]` is the peer of a slot; slots that no entry names may hold anybody."""

    __slots__ = ("arcs", "owners", "shift", "size")

    def __init__(self, arcs: list[Arc], owners: list[Peer], shift: int, size: int) -> None:
        self.arcs = arcs
        self.owners = owners
        self.shift = shift
        self.size = size

    @classmethod
    def whole(cls, owners: list[Peer], points_of: Iterable[Iterable[int]], size: int) -> Ring:
        """The ring of these owners with these points each, `size` in all.

        Of equal points, the owner named first has the first. Raises `ValueError` for a million owners or more.
        """
        if len(owners) > SLOT:
            raise ValueError(f"a ring has room for {SLOT} peers, not {len(owners)}")
        shift = _shift(size)
        arcs: list[list[int]] = [[] for _ in range(1 << BITS - shift)]
        for slot, points in enumerate(points_of):
            for point in points:
                arcs[point >> shift].append(point << SLOT_BITS | slot)
        return cls(_closed(arcs), owners, shift, size)

    def changed(
        self,
        owners: list[Peer],
        removed: Iterable[tuple[int, Sequence[int]]],
        added: Iterable[tuple[int, Sequence[int]]],
    ) -> Ring:
        """The ring of new owners, with some slots' points gone and others there. Raises `Tie`."""
        arcs = self.arcs.copy()
        shift = self.shift
        size = self.size
        touched: set[int] = set()
        for slot, points in removed:
            size -= len(points)
            for point in points:
                place = point >> shift
                arc = arcs[place]
                i = bisect_left(arc, point << SLOT_BITS | slot)
                arcs[place] = arc[:i] + arc[i + 1 :]
                touched.add(place)
        for slot, points in added:
            size += len(points)
            for point in points:
                place = point >> shift
                arc = arcs[place]
                entry = point << SLOT_BITS
                i = bisect_left(arc, entry)
                if arc[i] >> SLOT_BITS == point:
                    raise Tie
                arcs[place] = (*arc[:i], entry | slot, *arc[i:])
                touched.add(place)
        for place in sorted(touched, reverse=True):
            _tell_the_arc_before(arcs, place)
        ring = Ring(arcs, owners, shift, size)
        if _FEWEST * len(arcs) <= size <= _MOST * len(arcs):
            return ring
        shift = _shift(size)
        cut: list[list[int]] = [[] for _ in range(1 << BITS - shift)]
        for entry in ring._entries():
            cut[entry >> shift + SLOT_BITS].append(entry)
        return Ring(_closed(cut), owners, shift, size)

    def owned_by(self, owners: list[Peer]) -> Ring:
        """The same ring with other peers in its slots."""
        return Ring(self.arcs, owners, self.shift, self.size)

    def _entries(self) -> Iterator[int]:
        return chain.from_iterable(arc[:-1] for arc in self.arcs)

    def entries(self) -> Iterator[tuple[int, Peer]]:
        """Every point with its owner, in order."""
        return ((entry >> SLOT_BITS, self.owners[entry & SLOT]) for entry in self._entries())

    def candidates(self, h: int, tier: Tier, excluded: AbstractSet[Endpoint], left: int) -> Iterator[Peer]:
        """The owners met walking the ring once from `h`, each once; then those of the tier without a point."""
        met = set(excluded)
        seen: set[int] = set()
        for entry in self._walk(h):
            slot = entry & SLOT
            if slot in seen:
                continue
            seen.add(slot)
            owner = self.owners[slot]
            if owner.endpoint not in met:
                met.add(owner.endpoint)
                yield owner
                left -= 1
                if not left:
                    return
        yield from (peer for peer in tier if peer.endpoint not in met)

    def _walk(self, h: int) -> Iterator[int]:
        place = h >> self.shift
        arc = self.arcs[place]
        i = bisect_left(arc, h << SLOT_BITS)
        yield from arc[i:-1]
        for other in range(place + 1 - len(self.arcs), place):  # negative places count from the end
            yield from self.arcs[other][:-1]
        yield from arc[:i]


def _shift(size: int) -> int:
    """What is left of a point, shifted right by this, is the number of its arc."""
    return BITS - max(0, (size // _ENTRIES).bit_length() - 1)


def _closed(entries_of: list[list[int]]) -> list[Arc]:
    arcs: list[Arc] = []
    after = min(next(entries for entries in entries_of if entries)) | _WRAPPED
    for entries in reversed(entries_of):
        entries.sort()
        # New objects for the same numbers lie side by side in memory: a third quicker to bisect on rings of 100,000s.
        arc = (*[entry + 0 for entry in entries], after)
        after = arc[0]
        arcs.append(arc)
    arcs.reverse()
    return arcs


def _tell_the_arc_before(arcs: list[Arc], place: int) -> None:
    """Carries a new first entry back to the arc before, and over empty arcs to those before them."""
    for _ in arcs:
        first = arcs[place][0]
        if place == 0:
            place = len(arcs)
            first |= _WRAPPED
        place -= 1
        before = arcs[place]
        if before[-1] == first:
            return
        arcs[place] = (*before[:-1], first)
        if len(before) > 1:
            return


class RingPicker(HashingPicker):
    __slots__ = ("_arcs", "_owners", "_ring", "_shift")

    def __init__(self, peers: PeerSet, tier: Tier, dice: Dice, ring: Ring) -> None:
        super().__init__(peers, tier, dice)
        self._ring = ring
        self._arcs = ring.arcs
        self._owners = ring.owners
        self._shift = ring.shift

    def pick(self, key: Key | None = None, exclude: Collection[Peer] = ()) -> Peer:
        if exclude:
            return self._pick_excluding(key, exclude)
        h = xxh64_intdigest(key.encode()) if type(key) is str else self._place(key)
        arc = self._arcs[h >> self._shift]
        return self._owners[arc[bisect_left(arc, h << SLOT_BITS)] & SLOT]

    def _candidates(self, place: int, excluded: AbstractSet[Endpoint], left: int) -> Iterator[Peer]:
        return self._ring.candidates(place, self._tier, excluded, left)
