from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headless_discovery import PeerSet
from headless_discovery.balance import Weighted
from headless_discovery.balance.weighted import LONGEST_ROUND, smooth_round

from .world import chi_square, pod, pods, rule


def weighted(*weights: int) -> PeerSet:
    return PeerSet(pod(i, weight=weight) for i, weight in enumerate(weights))


def nginx(weights: list[int]) -> list[int]:
    """The algorithm as nginx states it (commit 52327e0627f49dbda1e8db695e63a4b0af4448b1)."""
    current, turns = [0] * len(weights), []
    for _ in range(sum(weights)):
        current = [now + weight for now, weight in zip(current, weights, strict=True)]
        best = current.index(max(current))
        current[best] -= sum(weights)
        turns.append(best)
    return turns


def test_the_example_of_nginx() -> None:
    assert "".join("abc"[turn] for turn in smooth_round([5, 1, 1])) == "aabacaa"


@given(st.lists(st.integers(1, 7), min_size=1, max_size=9))
@rule
def test_the_order_is_that_of_nginx(weights: list[int]) -> None:
    assert smooth_round(weights) == nginx(weights)


@given(st.lists(st.integers(1, 9), min_size=1, max_size=6), st.integers(1, 5))
@rule
def test_each_round_has_every_peer_as_often_as_its_weight(weights: list[int], factor: int) -> None:
    picker = Weighted().build(weighted(*(weight * factor for weight in weights)), None)
    for _ in range(2):
        counts = Counter(picker.pick().ordinal for _ in range(sum(weights) * factor))
        assert [counts[i] for i in range(len(weights))] == [weight * factor for weight in weights]


def test_turns_are_spread() -> None:
    picker = Weighted(seed=1).build(weighted(10, 1, 1), None)
    picked = [picker.pick().ordinal for _ in range(1200)]
    assert "1, 2" not in str(picked)
    assert "2, 1" not in str(picked)


def test_weight_zero_is_rare_and_not_never() -> None:
    picker = Weighted().build(weighted(0, 50), None)
    assert Counter(picker.pick().ordinal for _ in range(51 * 4)) == {0: 4, 1: 200}


@pytest.mark.parametrize("weights", [(65535, 1), (65535, 65521, 3), (60000, 40000, *range(1, 40))])
def test_long_rounds_are_scaled(weights: tuple[int, ...]) -> None:
    picker = Weighted().build(weighted(*weights), None)
    length = len(picker._round)
    assert length <= LONGEST_ROUND + len(weights)
    counts = Counter(picker.pick().ordinal for _ in range(length))
    for i, weight in enumerate(weights):
        assert counts[i] >= 1
        assert abs(counts[i] - weight * LONGEST_ROUND / sum(weights)) <= 1


def test_refreshes_do_not_favour_anybody() -> None:
    strategy = Weighted(seed=4)
    picker = strategy.build(weighted(3, 2, 1), None)
    counts: Counter[int | None] = Counter()
    for i in range(6000):
        counts[picker.pick().ordinal] += 1
        picker = strategy.build(weighted(3, 2, 1) if i % 2 else weighted(3, 2, 1, 1), picker)
    del counts[3]
    assert chi_square([counts[i] for i in range(3)], [3, 2, 1]) < 13.8  # 2 degrees of freedom, 1 in 1000


def test_the_same_set_goes_on_where_it_was() -> None:
    strategy = Weighted(seed=4)
    picker = strategy.build(weighted(5, 1, 1), None)
    picked = [picker.pick().ordinal]
    for _ in range(13):
        picker = strategy.build(weighted(5, 1, 1), picker)
        picked.append(picker.pick().ordinal)
    assert picked[:7] == picked[7:]
    assert Counter(picked) == {0: 10, 1: 2, 2: 2}


def test_clients_start_in_different_places() -> None:
    assert {Weighted(seed).build(pods(3), None).pick() for seed in range(40)} == set(pods(3))


def test_an_exclusion_leaves_the_others_their_shares() -> None:
    picker = Weighted(seed=0).build(weighted(5, 2, 1), None)
    counts = Counter(picker.pick(None, [pod(0)]).ordinal for _ in range(300))
    assert counts == {1: 200, 2: 100}
