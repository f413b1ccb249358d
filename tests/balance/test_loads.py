"""LeastLoaded and BoundedLoad: what is counted, and what the counts do."""

from __future__ import annotations

import gc
import random
import threading
from collections import Counter
from math import ceil
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headless_discovery import Peer, PeerSet
from headless_discovery.balance import BoundedLoad, ConsistentHash, LeastLoaded, bounded_load, least_loaded
from headless_discovery.balance.uses import CountedLease, UsesOf

from .world import chi_square, owner_of, pod, pods, rule

counting = pytest.mark.parametrize(
    "strategy", [LeastLoaded(seed=1), BoundedLoad(vnodes=20, seed=1)], ids=["least_loaded", "bounded_load"]
)


def loads(picker: Any) -> dict[int | None, int]:
    return {peer.ordinal: len(picker._uses[peer.endpoint]) for peer in picker._peers}


@counting
class TestCounting:
    def test_a_lease_counts_until_released(self, strategy: Any) -> None:
        picker = strategy.build(pods(3), None)
        leases = [picker.acquire(f"key-{i}") for i in range(30)]
        assert loads(picker) == {i: sum(lease.peer == pod(i) for lease in leases) for i in range(3)}
        for lease in leases[:10]:
            lease.release()
            lease.release(ValueError())
        assert sum(loads(picker).values()) == 20
        assert loads(picker) == {i: sum(lease.peer == pod(i) for lease in leases[10:]) for i in range(3)}

    def test_pick_does_not_count(self, strategy: Any) -> None:
        picker = strategy.build(pods(3), None)
        for i in range(20):
            picker.pick(f"key-{i}")
            picker.pick_many(2)
        assert set(loads(picker).values()) == {0}

    def test_counts_go_on_in_the_next_picker(self, strategy: Any) -> None:
        one = strategy.build(pods(3), None)
        lease = one.acquire("key")
        other = strategy.build(PeerSet([*pods(3), pod(3, weight=4)]), one)
        assert loads(other)[lease.peer.ordinal] == 1
        late = one.acquire("another", [lease.peer])  # the picker before may still be asked
        assert loads(other)[late.peer.ordinal] == 1
        lease.release()
        late.release()
        assert set(loads(other).values()) == {0}

    def test_a_peer_that_comes_back_is_as_busy_as_it_was(self, strategy: Any) -> None:
        one = strategy.build(pods(3), None)
        lease = one.acquire("key", [pod(0), pod(1)])
        away = strategy.build(pods(2), one)
        back = strategy.build(pods(3), strategy.build(pods(1), away))
        assert loads(back)[2] == 1
        lease.release()
        assert loads(back)[2] == 0

    def test_peers_gone_and_idle_are_forgotten(self, strategy: Any) -> None:
        picker = strategy.build(pods(3), None)
        for i in range(3, 300):
            lease = picker.acquire("key")
            picker = strategy.build(pods([i]), picker)
            lease.release()
        assert len(picker._uses) == 1
        assert len(picker._uses.known) <= 2

    def test_counts_are_right_under_threads(self, strategy: Any) -> None:
        """Eight threads lease and release while a ninth swaps the picker, as a service does."""
        current = [strategy.build(pods(4), None)]
        kept: list[Any] = []
        ready = threading.Barrier(9)
        failures: list[BaseException] = []

        def work(number: int) -> None:
            rng = random.Random(number)
            mine = []
            ready.wait()
            try:
                for i in range(400):
                    mine.append(current[0].acquire(f"{number}-{i}", [pod(3)] if i % 7 == 0 else ()))
                    if len(mine) > 5:
                        mine.pop(rng.randrange(len(mine))).release()
            except BaseException as error:  # reported by the test's own thread
                failures.append(error)
            kept.extend(mine)

        def swap() -> None:
            ready.wait()
            for i in range(100):
                current[0] = strategy.build(pods(4 + i % 3), current[0])

        threads = [threading.Thread(target=work, args=(i,)) for i in range(8)] + [threading.Thread(target=swap)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not failures
        counts = Counter(lease.peer.endpoint for lease in kept)
        last = current[0]
        assert {endpoint: len(leases) for endpoint, leases in last._uses.known.items() if leases} == counts
        for lease in kept:
            lease.release()
        assert not any(last._uses.known.values())


class TestLeastLoaded:
    def test_the_freer_of_two_is_taken(self) -> None:
        picker = LeastLoaded(seed=3).build(pods(2), None)
        for _ in range(100):
            picker.acquire()
        assert loads(picker) == {0: 50, 1: 50}

    def test_two_choices_balance_better_than_one(self) -> None:
        picker = LeastLoaded(seed=3).build(pods(50), None)
        for _ in range(5000):
            picker.acquire()
        assert max(loads(picker).values()) <= 100 + 5  # at random it would be about 125

    def test_idle_peers_are_drawn_by_weight(self) -> None:
        peers = PeerSet(pod(i, weight=weight) for i, weight in enumerate([1, 2, 5]))
        picker = LeastLoaded(seed=3).build(peers, None)
        counts = Counter(picker.pick().ordinal for _ in range(8000))
        assert chi_square([counts[i] for i in range(3)], [1, 2, 5]) < 13.8
        counts = Counter(picker.pick(None, [pod(2)]).ordinal for _ in range(3000))
        assert chi_square([counts[i] for i in range(2)], [1, 2]) < 10.9

    def test_busy_peers_share_by_weight(self) -> None:
        peers = PeerSet(pod(i, weight=weight) for i, weight in enumerate([1, 2, 5]))
        picker = LeastLoaded(seed=3).build(peers, None)
        for _ in range(800):
            picker.acquire()
        assert loads(picker) == {
            0: pytest.approx(100, abs=3),
            1: pytest.approx(200, abs=3),
            2: pytest.approx(500, abs=3),
        }

    def test_a_busy_peer_is_avoided_with_an_exclusion_too(self) -> None:
        picker = LeastLoaded(seed=3).build(pods(3), None)
        busy = [picker.acquire(None, [pod(0), pod(1)]) for _ in range(5)]
        assert {picker.pick(None, [pod(0)]) for _ in range(50)} == {pod(1)}
        assert picker.pick_many(3)[0] != pod(2)
        for lease in busy:
            lease.release()
        assert {picker.pick(None, [pod(0)]) for _ in range(50)} == {pod(1), pod(2)}

    def test_without_luck_in_drawing_the_shares_are_the_same(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(least_loaded, "DRAWS", 0)
        peers = PeerSet(pod(i, weight=weight) for i, weight in enumerate([1, 2, 5]))
        picker = LeastLoaded(seed=3).build(peers, None)
        counts = Counter(picker.pick(None, [pod(2)]).ordinal for _ in range(3000))
        assert chi_square([counts[i] for i in range(2)], [1, 2]) < 10.9

    def test_one_heavy_peer_excluded(self) -> None:
        picker = LeastLoaded(seed=3).build(PeerSet([pod(0, weight=65535), pod(1), pod(2)]), None)
        assert {picker.pick(None, [pod(0)]) for _ in range(50)} == {pod(1), pod(2)}


class TestBoundedLoad:
    @given(
        n=st.integers(1, 12),
        factor=st.sampled_from([1, 1.0, 1.1, 1.25, 1.5, 2.0, 3]),
        leases=st.integers(0, 60),
        weights=st.lists(st.integers(1, 4), min_size=12, max_size=12),
        data=st.data(),
    )
    @settings(rule, max_examples=100)
    def test_no_peer_has_more_than_its_share_times_the_factor(
        self, n: int, factor: float, leases: int, weights: list[int], data: st.DataObject
    ) -> None:
        peers = PeerSet(pod(i, weight=weights[i]) for i in range(n))
        picker = BoundedLoad(factor, vnodes=3).build(peers, None)
        # One key for all is the worst there is.
        for m in range(1, leases + 1):
            lease = picker.acquire("the same key")
            share = m * weights[lease.peer.ordinal or 0] / sum(weights[:n])
            assert loads(picker)[lease.peer.ordinal] <= ceil(factor * share + 1e-9)

    @given(n=st.integers(1, 9), steps=st.lists(st.integers(0, 8), max_size=60))
    @rule
    def test_releases_make_room(self, n: int, steps: list[int]) -> None:
        picker = BoundedLoad(1.25, vnodes=3).build(pods(n), None)
        held: list[Any] = []
        for step in steps:
            if step < 3 and held:
                held.pop(step % len(held)).release()
            else:
                held.append(picker.acquire(f"key-{step}"))
                load = loads(picker)[held[-1].peer.ordinal]
                assert load <= ceil(1.25 * len(held) / n)
        assert sum(loads(picker).values()) == len(held)

    def test_a_key_is_at_home_where_there_is_room(self) -> None:
        picker = BoundedLoad(1.25).build(pods(5), None)
        assert owner_of(picker) == owner_of(ConsistentHash().build(pods(5), None))
        for key in ("a", "b", "c"):
            picker.acquire(key).release()
        assert owner_of(picker) == owner_of(ConsistentHash().build(pods(5), None))

    def test_a_full_peer_hands_on_to_the_next_of_the_ring(self) -> None:
        picker = BoundedLoad(1).build(pods(4), None)
        order = ConsistentHash().build(pods(4), None).pick_many(4, "key")
        assert [picker.acquire("key").peer for _ in range(4)] == order
        assert picker.pick("key") == order[0]

    def test_pick_and_pick_many_leave_full_peers_to_the_end(self) -> None:
        picker = BoundedLoad(1).build(pods(3), None)
        order = ConsistentHash().build(pods(3), None).pick_many(3, "key")
        picker.acquire("key")
        assert picker.pick("key") == order[1]
        assert picker.pick_many(3, "key") == [order[1], order[2], order[0]]
        assert picker.pick("key", order[1:]) == order[0]

    def test_where_only_full_peers_are_left_the_least_loaded_is_taken(self) -> None:
        picker = BoundedLoad(1).build(pods(3), None)
        others = [pod(2)]
        for m in range(1, 9):
            picker.acquire("key", others)
            assert sorted(loads(picker).values()) == [0, m // 2, (m + 1) // 2]

    def test_the_factor_is_the_decimal_number_that_was_written(self) -> None:
        """With 11 peers and 10 leases, 1.1 times the mean is exactly 1; the double next to 1.1 is a little more."""
        picker = BoundedLoad(1.1).build(pods(11), None)
        for _ in range(10):
            picker.acquire("key")
        assert max(loads(picker).values()) == 1

    def test_a_place_that_another_thread_takes_meanwhile_is_given_back(self, monkeypatch: pytest.MonkeyPatch) -> None:
        rivals: list[Any] = []

        class Late(CountedLease):
            __slots__ = ()

            def __init__(self, peer: Peer, uses: Any) -> None:
                if not rivals:
                    rivals.append(CountedLease(peer, uses))
                super().__init__(peer, uses)

        picker = BoundedLoad(1).build(pods(3), None)
        order = picker.pick_many(3, "key")
        monkeypatch.setattr(bounded_load, "CountedLease", Late)
        assert picker.acquire("key").peer == order[1]
        assert loads(picker) == {order[0].ordinal: 1, order[1].ordinal: 1, order[2].ordinal: 0}

    def test_a_backup_tier_has_a_share_of_its_own(self) -> None:
        peers = PeerSet([*pods(2), pod(7, priority=1), pod(8, priority=1)])
        picker = BoundedLoad(1).build(peers, None)
        for _ in range(10):
            picker.acquire("key")
        assert loads(picker) == {0: 5, 1: 5, 7: 0, 8: 0}
        for _ in range(4):
            picker.acquire("key", pods(2))
        assert loads(picker) == {0: 5, 1: 5, 7: 2, 8: 2}

    @pytest.mark.parametrize("factor", [0, 0.99, -1, float("nan"), float("inf")])
    def test_the_factor_is_checked(self, factor: float) -> None:
        with pytest.raises(ValueError, match="factor"):
            BoundedLoad(factor)
        with pytest.raises(ValueError, match="vnodes"):
            BoundedLoad(vnodes=0)

    def test_the_bound_holds_under_threads(self) -> None:
        picker = BoundedLoad(1.25, vnodes=10).build(pods(5), None)
        ready = threading.Barrier(8)
        held: list[list[Peer]] = [[] for _ in range(8)]

        def work(number: int) -> None:
            ready.wait()
            for _ in range(250):
                held[number].append(picker.acquire("the same key").peer)

        threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        counts = Counter(peer for peers in held for peer in peers)
        assert sum(counts.values()) == 2000
        assert max(counts.values()) <= ceil(1.25 * 2000 / 5)


def test_uses_keep_the_very_same_sets() -> None:
    one = UsesOf(pods(2), None)
    other = UsesOf(pods(3), one)
    assert all(other[endpoint] is one[endpoint] for endpoint in one)


def test_a_picker_that_is_dropped_leaves_nothing_behind() -> None:
    strategy = LeastLoaded()
    picker = strategy.build(pods(3), None)
    for _ in range(50):
        picker = strategy.build(pods(3), picker)
    gc.collect()
    assert sum(isinstance(thing, type(picker)) for thing in gc.get_objects()) <= 2
