from __future__ import annotations

from collections import Counter

import pytest

from headless_discovery import Peer, PeerSet
from headless_discovery.balance import Maglev, Picker, maglev
from headless_discovery.balance.sharing import at_once

from .world import owner_of, pod, pods


@pytest.mark.parametrize("size", [-7, 0, 1, 4, 9, 65536, 65535, 5_000_077])
def test_the_size_is_prime(size: int) -> None:
    with pytest.raises(ValueError, match="prime"):
        Maglev(size)


@pytest.mark.parametrize("size", [2, 3, 65537, 5_000_011])
def test_primes_are_taken(size: int) -> None:
    assert Maglev(size).table_size == size


def places(strategy: Maglev, peers: PeerSet, previous: Picker | None = None) -> list[Peer]:
    """Who has each place of the table."""
    picker = strategy.build(peers, previous)
    return [picker._owners[number] for number in picker._table]


def test_shares_are_even_to_a_place() -> None:
    for n in (3, 7, 20):
        counts = Counter(places(Maglev(1009), pods(n)))
        assert max(counts.values()) - min(counts.values()) <= 1


def test_weights_are_shares() -> None:
    peers = PeerSet(pod(i, weight=weight) for i, weight in enumerate([1, 2, 5]))
    counts = Counter(places(Maglev(8009), peers))
    assert [counts[peer] for peer in peers] == pytest.approx([1001, 2002, 5006], abs=3)


def test_few_keys_move_between_those_that_stay() -> None:
    one, other = (owner_of(Maglev(5003).build(pods(n), None), 5000) for n in (10, 9))
    moved = sum(one[key] != other[key] for key in one if one[key] != pod(9))
    assert 0 < moved < 0.06 * len(one)


def test_an_unchanged_table_is_not_filled_again(monkeypatch: pytest.MonkeyPatch) -> None:
    strategy = Maglev(101)
    picker = strategy.build(pods(5), None)
    moved = PeerSet([*(p for p in pods(5) if p.ordinal != 2), pod(2, address=999)])
    heavier = PeerSet([*pods(4), pod(4, weight=2)])
    for changed in (pods(6), heavier, pods(range(1, 6))):
        assert places(strategy, changed, picker) == places(strategy, changed)
    assert places(Maglev(103), pods(5), picker) == places(Maglev(103), pods(5))
    expected = places(strategy, moved)
    monkeypatch.setattr(maglev, "_filled", None)
    assert places(strategy, moved, picker) == expected


@pytest.mark.parametrize(("n", "size"), [(256, 4099), (257, 4099), (65536, 65539), (65537, 65539)])
def test_numbers_of_peers_that_fill_a_byte_or_two(n: int, size: int) -> None:
    table = at_once(maglev._filled([(str(i), pod(0)) for i in range(n)], size))
    assert set(table) == set(range(n))


def test_peers_without_a_place_are_reached_by_exclude_and_pick_many() -> None:
    picker = Maglev(3).build(pods(8), None)
    reached = set(owner_of(picker).values())
    assert len(reached) == 3
    assert set(picker.pick_many(8, "key")) == set(pods(8))
    assert picker.pick("key", reached) not in reached
