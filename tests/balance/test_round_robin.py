from __future__ import annotations

import random
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from headless_discovery import Peer, PeerSet
from headless_discovery.balance import Random, RoundRobin

from .world import chi_square, peer_sets, pod, pods, rule


@given(st.integers(1, 9), st.integers(1, 5))
@rule
def test_each_round_has_every_peer_once_in_order(n: int, rounds: int) -> None:
    picker = RoundRobin().build(pods(n), None)
    one = [picker.pick() for _ in range(n)]
    assert set(one) == set(pods(n))
    start = one[0].ordinal or 0
    assert [peer.ordinal for peer in one] == [(start + i) % n for i in range(n)]
    for _ in range(rounds):
        assert [picker.pick() for _ in range(n)] == one


def test_clients_start_in_different_places() -> None:
    starts = Counter(RoundRobin(seed).build(pods(5), None).pick() for seed in range(500))
    assert len(starts) == 5
    assert chi_square(starts.values(), [1] * 5) < 18.5  # 4 degrees of freedom, 1 in 1000
    random.seed(3)
    assert len({RoundRobin().build(pods(5), None).pick() for _ in range(50)}) == 5


@given(peers=peer_sets, after=peer_sets, picks=st.integers(0, 20))
@rule
def test_a_refresh_goes_on_after_the_last_peer(peers: PeerSet, after: PeerSet, picks: int) -> None:
    strategy = RoundRobin()
    before = strategy.build(peers, None)
    given_out = [before.pick() for _ in range(picks)]
    peers_now = [peer for peer in after if peer.priority == after[0].priority]
    first = strategy.build(after, before).pick()
    if given_out and given_out[-1].priority == first.priority:
        later = [peer for peer in peers_now if peer > given_out[-1] and peer.endpoint != given_out[-1].endpoint]
        assert first == (later or peers_now)[0]


def test_refreshes_do_not_favour_anybody() -> None:
    strategy = RoundRobin(seed=2)
    picker = strategy.build(pods(3), None)
    counts: Counter[Peer] = Counter()
    for i in range(300):
        counts[picker.pick()] += 1
        # Every pick, a fourth peer comes or goes.
        picker = strategy.build(pods(3) if i % 2 else pods([0, 1, 2, 9]), picker)
    assert all(70 <= counts[pod(i)] <= 130 for i in range(3))


def test_a_picker_that_gave_nothing_hands_on_its_place() -> None:
    strategy = RoundRobin(seed=5)
    first = strategy.build(pods(9), None)
    expected = strategy.build(pods(9), None).pick()
    assert strategy.build(pods(9), strategy.build(pods(9), first)).pick() == expected


def test_building_does_not_disturb_the_picker_before() -> None:
    picker = RoundRobin(seed=0).build(pods(4), None)
    one = picker.pick()
    for _ in range(3):
        RoundRobin(seed=0).build(pods(4), picker)
    assert picker.pick().ordinal == ((one.ordinal or 0) + 1) % 4


def test_a_peer_with_a_new_weight_does_not_come_twice() -> None:
    strategy = RoundRobin(seed=0)
    picker = strategy.build(pods(3), None)
    last = picker.pick()
    changed = PeerSet(pod(i, weight=5) for i in range(3))
    assert strategy.build(changed, picker).pick().ordinal == ((last.ordinal or 0) + 1) % 3


def test_an_exclusion_takes_the_next_in_turn() -> None:
    picker = RoundRobin().build(pods(4), None)
    last = picker.pick().ordinal or 0
    assert picker.pick(None, [pod((last + 1) % 4)]).ordinal == (last + 2) % 4
    assert picker.pick().ordinal == (last + 3) % 4


def test_pick_many_goes_on_in_turn() -> None:
    picker = RoundRobin().build(pods(5), None)
    last = picker.pick().ordinal or 0
    assert [peer.ordinal for peer in picker.pick_many(3)] == [(last + i) % 5 for i in (1, 2, 3)]
    assert picker.pick().ordinal == (last + 4) % 5


def test_random_gives_all_the_same_chance() -> None:
    picker = Random(seed=11).build(pods(5, weight=9), None)
    counts = Counter(picker.pick() for _ in range(10_000))
    assert len(counts) == 5
    assert chi_square(counts.values(), [1] * 5) < 18.5
    counts = Counter(picker.pick(None, [pod(0)]) for _ in range(8_000))
    assert pod(0, weight=9) not in counts
    assert len(counts) == 4
    assert chi_square(counts.values(), [1] * 4) < 16.3
    counts = Counter(picker.pick(None, [pod(0), pod(1), pod(2)]) for _ in range(4_000))
    assert {peer.ordinal for peer in counts} == {3, 4}
    assert chi_square(counts.values(), [1] * 2) < 10.9


def test_random_gives_every_order_the_same_chance() -> None:
    picker = Random(seed=11).build(pods(3), None)
    counts = Counter(tuple(picker.pick_many(3)) for _ in range(6_000))
    assert len(counts) == 6
    assert chi_square(counts.values(), [1] * 6) < 20.6


def test_random_goes_on_with_its_draws_after_a_refresh() -> None:
    strategy = Random(seed=11)
    picker = strategy.build(pods(50), None)
    one = [picker.pick() for _ in range(5)]
    again = strategy.build(pods(50), picker)
    assert [again.pick() for _ in range(5)] != one
