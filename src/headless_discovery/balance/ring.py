"""A ring of 64-bit points, each owned by a peer. A hash belongs to the owner of the first point at or after it.

The circle is cut into a power of two of equal arcs, about eight points each. An arc is two tuples: its points in
ascending order, and their owners followed by the owner of the first point after the arc. So a look-up is a shift,
an index and a bisection of a few neighbouring numbers, with no end to check; and changing one peer touches the arcs
that its points are in, whatever the size of the ring.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from itertools import chain
from typing import TypeAlias

from ..model import Endpoint, Peer
from .hashing import BITS
from .tiers import Tier

Arc: TypeAlias = tuple[tuple[int, ...], tuple[Peer, ...]]

# Points per arc, on average: a new ring has from _POINTS to twice that; outside of _FEWEST and _MOST it is cut anew.
_POINTS = 4
_FEWEST, _MOST = 2, 16


class Tie(Exception):
    """Two points are equal. Their order is that of their owners' hash keys, which only a whole build knows."""


class Ring:
    """Immutable. Made by `whole` or from another one by `changed`."""

    __slots__ = ("arcs", "shift", "size", "tied")

    def __init__(self, arcs: list[Arc], shift: int, size: int, tied: bool) -> None:
        self.arcs = arcs
        self.shift = shift
        self.size = size
        self.tied = tied

    @classmethod
    def whole(cls, points_of: Sequence[tuple[Peer, Sequence[int]]]) -> Ring:
        """The ring of these owners and points. Of equal points, the owner named first has the first."""
        size = sum(len(points) for _, points in points_of)
        shift = BITS - max(0, (size // _POINTS).bit_length() - 1)
        buckets: list[list[int]] = [[] for _ in range(1 << (BITS - shift))]
        owner_of: dict[int, Peer] = {}
        for owner, points in points_of:
            owner_of.update(dict.fromkeys(points, owner))
            for point in points:
                buckets[point >> shift].append(point)
        tied = len(owner_of) < size
        if tied:
            return cls(_arcs_with_ties(points_of, shift), shift, size, True)
        for bucket in buckets:
            bucket.sort()
        lookup = owner_of.__getitem__
        after = lookup(next(bucket[0] for bucket in buckets if bucket))
        arcs: list[Arc] = []
        for bucket in reversed(buckets):
            owners = (*map(lookup, bucket), after)
            arcs.append((tuple(bucket), owners))
            after = owners[0]
        arcs.reverse()
        return cls(arcs, shift, size, False)

    def changed(
        self,
        removed: Iterable[Sequence[int]],
        added: Iterable[tuple[Peer, Sequence[int]]],
        replaced: Iterable[tuple[Peer, Sequence[int]]],
    ) -> Ring:
        """The ring without some points, with others, and with new owners of some. Raises `Tie`."""
        if self.tied:
            raise Tie
        arcs = self.arcs.copy()
        shift = self.shift
        size = self.size
        touched: set[int] = set()
        for points in removed:
            size -= len(points)
            for point in points:
                place = point >> shift
                hashes, owners = arcs[place]
                i = bisect_left(hashes, point)
                arcs[place] = (hashes[:i] + hashes[i + 1 :], owners[:i] + owners[i + 1 :])
                touched.add(place)
        for owner, points in replaced:
            for point in points:
                place = point >> shift
                hashes, owners = arcs[place]
                i = bisect_left(hashes, point)
                arcs[place] = (hashes, (*owners[:i], owner, *owners[i + 1 :]))
                touched.add(place)
        for owner, points in added:
            size += len(points)
            for point in points:
                place = point >> shift
                hashes, owners = arcs[place]
                i = bisect_left(hashes, point)
                if i < len(hashes) and hashes[i] == point:
                    raise Tie
                arcs[place] = ((*hashes[:i], point, *hashes[i:]), (*owners[:i], owner, *owners[i:]))
                touched.add(place)
        for place in sorted(touched, reverse=True):
            _tell_the_arc_before(arcs, place)
        if not _FEWEST * len(arcs) <= size <= _MOST * len(arcs):
            return _recut(arcs, shift, size)
        return Ring(arcs, shift, size, False)

    def entries(self) -> Iterator[tuple[int, Peer]]:
        """Every point with its owner, in order."""
        return chain.from_iterable(zip(hashes, owners, strict=False) for hashes, owners in self.arcs)

    def owner(self, h: int) -> Peer:
        hashes, owners = self.arcs[h >> self.shift]
        return owners[bisect_left(hashes, h)]

    def candidates(self, h: int, tier: Tier, excluded: AbstractSet[Endpoint], left: int) -> Iterator[Peer]:
        """The owners met walking the ring once from `h`, each once; then those of the tier without a point."""
        met = set(excluded)
        place = h >> self.shift
        hashes, owners = self.arcs[place]
        i = bisect_left(hashes, h)
        rest = (owners[:-1] for _, owners in chain(self.arcs[place + 1 :], self.arcs[:place]))
        last: Peer | None = None
        for owner in chain(owners[i:-1], chain.from_iterable(rest), owners[:i]):
            if owner is not last and owner.endpoint not in met:
                met.add(owner.endpoint)
                yield owner
                left -= 1
                if not left:
                    return
            last = owner
        yield from (peer for peer in tier if peer.endpoint not in met)


def _tell_the_arc_before(arcs: list[Arc], place: int) -> None:
    """Carries a new first owner back to the arc before, and over empty arcs to those before them."""
    first = arcs[place][1][0]
    for _ in arcs:
        place -= 1  # arcs[-1] is the one before arcs[0]
        hashes, owners = arcs[place]
        if owners[-1] is first:
            return
        arcs[place] = (hashes, (*owners[:-1], first))
        if hashes:
            return


def _recut(arcs: list[Arc], shift: int, size: int) -> Ring:
    points: dict[int, tuple[Peer, list[int]]] = {}
    for hashes, owners in arcs:
        for point, owner in zip(hashes, owners, strict=False):
            points.setdefault(id(owner), (owner, []))[1].append(point)
    return Ring.whole(list(points.values()))


def _arcs_with_ties(points_of: Sequence[tuple[Peer, Sequence[int]]], shift: int) -> list[Arc]:
    ranked = [(point, rank) for rank, (_, points) in enumerate(points_of) for point in points]
    buckets: list[list[tuple[int, int]]] = [[] for _ in range(1 << (BITS - shift))]
    for entry in sorted(ranked):
        buckets[entry[0] >> shift].append(entry)
    after = points_of[min(ranked)[1]][0]
    arcs: list[Arc] = []
    for bucket in reversed(buckets):
        owners = (*(points_of[rank][0] for _, rank in bucket), after)
        arcs.append((tuple(point for point, _ in bucket), owners))
        after = owners[0]
    arcs.reverse()
    return arcs
