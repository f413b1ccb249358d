"""The ring itself, against the plainest ring there is: a sorted list."""

from __future__ import annotations

from bisect import bisect_left

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headless_discovery import Peer
from headless_discovery.balance import ring
from headless_discovery.balance.ring import SLOT, SLOT_BITS, Ring, Tie

from .world import pod, rule

OWNERS = [pod(i) for i in range(5)]

# Points in a few narrow places leave most arcs empty.
points = st.builds(
    lambda place, offset: (place << 60) + offset, st.integers(0, 15), st.integers(0, 3)
) | st.sampled_from([0, 1, 2**64 - 1])
rings = st.lists(st.sets(points, max_size=30), min_size=5, max_size=5).filter(any)


@pytest.fixture(autouse=True)
def many_arcs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ring, "_ENTRIES", 1)
    monkeypatch.setattr(ring, "_FEWEST", 0)


def whole(points_of: list[set[int]]) -> Ring:
    return Ring.whole(OWNERS, [sorted(points) for points in points_of], sum(map(len, points_of)))


def plain(points_of: list[set[int]]) -> list[tuple[int, Peer]]:
    return [(point, OWNERS[slot]) for point, slot in sorted((p, i) for i, ps in enumerate(points_of) for p in ps)]


def check(made: Ring, points_of: list[set[int]]) -> None:
    expected = plain(points_of)
    assert list(made.entries()) == expected
    assert made.size == len(expected)
    hashes = [point for point, _ in expected]
    for h in {0, 2**64 - 1, *(point + d & 2**64 - 1 for point in hashes for d in (-1, 0, 1))}:
        arc = made.arcs[h >> made.shift]
        owner = made.owners[arc[bisect_left(arc, h << SLOT_BITS)] & SLOT]
        i = bisect_left(hashes, h)
        assert owner == expected[i % len(expected)][1]
        order = list(dict.fromkeys([peer for _, peer in expected[i:] + expected[:i]] + OWNERS))
        assert list(made.candidates(h, tuple(OWNERS), set(), 5)) == order
        assert next(made.candidates(h, tuple(OWNERS), {order[0].endpoint}, 4)) == order[1]


@given(rings)
@rule
def test_a_whole_ring_is_a_sorted_list(points_of: list[set[int]]) -> None:
    check(whole(points_of), points_of)


@given(rings, rings)
@rule
def test_so_is_a_changed_one(before: list[set[int]], after: list[set[int]]) -> None:
    removed = [(slot, sorted(old - new)) for slot, (old, new) in enumerate(zip(before, after, strict=True))]
    added = [(slot, sorted(new - old)) for slot, (old, new) in enumerate(zip(before, after, strict=True))]
    made = whole(before)
    kept = [old & new for old, new in zip(before, after, strict=True)]
    joining: set[int] = set().union(*kept)
    tie = False
    for _, new in added:
        tie = tie or bool(joining.intersection(new))
        joining.update(new)
    if tie:
        with pytest.raises(Tie):
            made.changed(OWNERS, removed, added)
    else:
        check(made.changed(OWNERS, removed, added), after)
    check(made, before)


def test_a_ring_has_room_for_a_million_peers() -> None:
    with pytest.raises(ValueError, match="room for 1048575 peers"):
        Ring.whole(OWNERS * 210_000, [], 0)


@given(rings, st.integers(0, 4), st.data())
@rule
def test_of_equal_points_the_right_one_goes(before: list[set[int]], slot: int, data: st.DataObject) -> None:
    shared = set().union(*before)
    before[slot] |= set(data.draw(st.lists(st.sampled_from(sorted(shared)), min_size=1)))
    made = whole(before)
    after = [points if i != slot else set() for i, points in enumerate(before)]
    if any(after):
        check(made.changed(OWNERS, [(slot, sorted(before[slot]))], []), after)
