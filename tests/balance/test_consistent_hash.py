from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headless_discovery import Peer, PeerSet
from headless_discovery.balance import ConsistentHash, RingHash, consistent_hash, ring
from headless_discovery.balance.ring import Ring

from .world import chi_square, owner_of, peer_sets, pod, pods, rule


def entries(picker: consistent_hash.ConsistentHashPicker) -> list[list[tuple[int, Peer]]]:
    return [list(tier._ring.entries()) for tier in picker._chain()]  # type: ignore[attr-defined]


@given(st.lists(peer_sets, min_size=2, max_size=5), st.integers(1, 40))
@settings(rule, max_examples=150)
def test_an_updated_ring_is_a_new_ring(history: list[PeerSet], vnodes: int) -> None:
    strategy = ConsistentHash(vnodes)
    picker = strategy.build(history[0], None)
    for peers in history[1:]:
        picker = strategy.build(peers, picker)
        fresh = strategy.build(peers, None)
        assert entries(picker) == entries(fresh)
        for key in range(20):
            assert picker.pick(key) == fresh.pick(key)
            assert picker.pick_many(3, key) == fresh.pick_many(3, key)


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(1, 3), st.integers(0, 3)), min_size=1, max_size=40))
@rule
def test_an_updated_ring_is_a_new_ring_after_many_small_steps(steps: list[tuple[int, int, int]]) -> None:
    """Each step toggles a pod, or changes its weight or address; most are worked into the ring."""
    strategy = ConsistentHash(20)
    now = {i: pod(i) for i in range(20)}
    picker = strategy.build(PeerSet(now.values()), None)
    for i, weight, moved in steps:
        if i in now and moved < 2 and len(now) > 1:
            del now[i]
        else:
            now[i] = pod(i, weight=weight, address=1000 * moved + i)
        picker = strategy.build(PeerSet(now.values()), picker)
    assert entries(picker) == entries(strategy.build(PeerSet(now.values()), None))


def test_a_small_change_is_worked_in(monkeypatch: pytest.MonkeyPatch) -> None:
    strategy = ConsistentHash()
    picker = strategy.build(pods(20), None)
    grown, shrunk, moved = pods(21), pods(19), PeerSet([*pods(19), pod(19, address=500)])
    expected = [entries(strategy.build(peers, None)) for peers in (grown, shrunk, moved)]
    monkeypatch.setattr(Ring, "whole", None)
    assert [entries(strategy.build(peers, picker)) for peers in (grown, shrunk, moved)] == expected


def test_the_picker_before_stays_as_it_was() -> None:
    strategy = ConsistentHash(50)
    picker = strategy.build(pods(10), None)
    before = entries(picker)
    for peers in (pods(11), pods(9), PeerSet([*pods(9), pod(9, address=700, weight=2)])):
        strategy.build(peers, picker)
    assert entries(picker) == before


def test_a_ring_that_grows_and_shrinks_is_cut_anew() -> None:
    strategy = ConsistentHash(40)
    picker = strategy.build(pods(4), None)
    arcs = {len(picker._arcs)}
    for n in [*range(5, 60), *range(59, 3, -1)]:
        picker = strategy.build(pods(n), picker)
        arcs.add(len(picker._arcs))
        assert max(map(len, picker._arcs)) < 8 * ring._MOST
    assert len(arcs) > 2
    assert entries(picker) == entries(strategy.build(pods(4), None))
    assert len(picker._share.ring.owners) < 70


@given(peers=peer_sets, joining=st.integers(20, 25), weight=st.integers(1, 3))
@rule
def test_a_join_or_leave_moves_only_that_peers_share(peers: PeerSet, joining: int, weight: int) -> None:
    strategy = ConsistentHash(20)
    without = strategy.build(peers, None)
    new = pod(joining, weight=weight, priority=peers[0].priority)
    with_it = strategy.build(PeerSet([*peers, new]), without)
    one, other = owner_of(without, 200), owner_of(with_it, 200)
    assert all(one[key] == other[key] or other[key] == new for key in one)


def test_a_share_is_about_one_nth() -> None:
    one, other = (owner_of(ConsistentHash().build(pods(n), None), 20_000) for n in (10, 11))
    moved = sum(one[key] != other[key] for key in one) / len(one)
    assert 0.06 < moved < 0.13
    counts = Counter(one.values())
    assert 1 < max(counts.values()) / 2000 < 1.3


def test_weights_are_shares() -> None:
    peers = PeerSet(pod(i, weight=weight) for i, weight in enumerate([1, 2, 5]))
    counts = Counter(owner_of(ConsistentHash(2000).build(peers, None), 8_000).values())
    for peer in peers:
        assert counts[peer] / 1000 == pytest.approx(peer.weight, rel=0.15)


def test_a_pod_that_comes_back_elsewhere_keeps_its_keys() -> None:
    strategy = ConsistentHash()
    picker = strategy.build(pods(5), None)
    one = owner_of(picker)
    back = pod(2, address=999)
    again = owner_of(strategy.build(PeerSet([*(p for p in pods(5) if p.ordinal != 2), back]), picker))
    assert sum(peer.ordinal == 2 for peer in one.values()) > 50
    assert all(again[key] == (back if peer.ordinal == 2 else peer) for key, peer in one.items())


def test_equal_points_belong_to_the_lower_hash_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """No two texts with the same XXH64 are at hand, so these peers get their points from their ordinals."""
    monkeypatch.setattr(consistent_hash, "points", lambda name, count: [(int(name[4]) // 2 + 1) << 60] * min(count, 1))
    strategy = ConsistentHash(1)
    picker = strategy.build(pods(4), None)
    assert [peer.ordinal for _, peer in picker._ring.entries()] == [0, 1, 2, 3]
    for peers in (pods([0, 1, 3]), pods([1, 3]), pods([0, 1, 3]), pods(4), pods([2, 3]), pods([0, 2, 3])):
        picker = strategy.build(peers, picker)
        assert [peer.ordinal for _, peer in picker._ring.entries()] == [peer.ordinal for peer in peers]


def test_huge_weights_do_not_make_a_huge_ring(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(consistent_hash, "MAX_POINTS", 1 << 12)
    peers = PeerSet(pod(i, weight=weight) for i, weight in enumerate([65535, 30000, 1]))
    strategy = ConsistentHash()
    picker = strategy.build(peers, None)
    assert (1 << 11) < picker._ring.size <= (1 << 12) + 3
    counts = Counter(peer.ordinal for _, peer in picker._ring.entries())
    assert counts[2] >= 1
    assert counts[0] / counts[1] == pytest.approx(65535 / 30000, rel=0.01)
    few = strategy.build(pods(2), picker)
    assert few._ring.size == 320
    assert entries(strategy.build(peers, few)) == entries(picker)


def test_another_configuration_starts_from_nothing() -> None:
    peers = pods(4)
    before = ConsistentHash(10).build(peers, None)
    for strategy in (ConsistentHash(12), ConsistentHash(10, lambda peer: peer.netloc)):
        assert entries(strategy.build(peers, before)) == entries(strategy.build(peers, None))


def test_slots_of_peers_that_left_are_used_again() -> None:
    strategy = ConsistentHash(5)
    picker = strategy.build(pods(20), None)
    for i in range(20, 120):
        picker = strategy.build(pods([*range(19), i]), picker)
    assert len(picker._ring.owners) <= 21
    assert entries(picker) == entries(strategy.build(pods([*range(19), 119]), None))


@given(st.sets(st.integers(0, 30), min_size=12), st.sets(st.integers(0, 30), max_size=3))
@rule
def test_peers_that_share_a_hash_key_come_and_go(ordinals: set[int], toggled: set[int]) -> None:
    strategy = ConsistentHash(8, lambda peer: str((peer.ordinal or 0) // 2))
    picker = strategy.build(pods(ordinals), None)
    for i in toggled:
        ordinals = ordinals ^ {i}
        picker = strategy.build(pods(ordinals), picker)
        assert entries(picker) == entries(strategy.build(pods(ordinals), None))


def test_a_peer_with_the_hash_key_of_another_joins() -> None:
    strategy = ConsistentHash(8, lambda peer: str((peer.ordinal or 0) // 2))
    peers = pods(range(0, 20, 2))
    both = PeerSet([*peers, pod(5)])
    picker = strategy.build(both, strategy.build(peers, None))
    assert entries(picker) == entries(strategy.build(both, None))
    assert set(picker.pick_many(11, "key")) == set(both)


def test_hash_key_decides() -> None:
    one = ConsistentHash(hash_key=lambda peer: peer.netloc).build(pods(5), None)
    other = ConsistentHash().build(PeerSet(Peer(peer.address, peer.port) for peer in pods(5)), None)
    assert [p.address for p in owner_of(one).values()] == [p.address for p in owner_of(other).values()]


def test_no_key_is_a_random_hash() -> None:
    counts = Counter(ConsistentHash(3000, seed=1).build(pods(3), None).pick() for _ in range(1))
    picker = ConsistentHash(3000, seed=1).build(pods(3), None)
    counts = Counter(picker.pick() for _ in range(3000))
    assert chi_square(counts.values(), [1] * 3) < 40  # the shares of the ring are not exactly equal


@pytest.mark.parametrize("vnodes", [0, -1, 65537])
def test_vnodes_are_checked(vnodes: int) -> None:
    with pytest.raises(ValueError, match="vnodes"):
        ConsistentHash(vnodes)


class TestRingHash:
    @pytest.mark.parametrize(("smallest", "largest"), [(0, 10), (11, 10), (1, 8_388_609), (-1, -1)])
    def test_sizes_are_checked(self, smallest: int, largest: int) -> None:
        with pytest.raises(ValueError, match="ring sizes"):
            RingHash(smallest, largest)

    def test_peers_without_an_entry_are_reached_by_exclude_and_pick_many(self) -> None:
        picker = RingHash(1, 4).build(pods(10), None)
        reached = set(owner_of(picker).values())
        assert 1 < len(reached) <= 4
        assert set(picker.pick_many(10, "key")) == set(pods(10))
        assert picker.pick("key", reached) not in reached

    def test_a_join_moves_keys_between_others_too(self) -> None:
        """Not a wish but a fact to know of: from 3 to 5 peers, 342 entries each become 205."""
        one, other = (owner_of(RingHash().build(pods(n), None), 5000) for n in (3, 5))
        assert any(one[key] != other[key] and (other[key].ordinal or 0) < 3 for key in one)
