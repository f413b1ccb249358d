"""Hashes of keys, names of peers, weights."""

from __future__ import annotations

from enum import IntEnum, StrEnum
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headless_discovery import Peer
from headless_discovery.balance import ConsistentHash, Hashed, Maglev, Rendezvous, RingHash, Subset
from headless_discovery.balance.hashing import Dice, key_hash, named, points, rehash, weight

from .world import pod, pods, reference, rule


@pytest.mark.parametrize(
    ("key", "number"),
    [
        # From the specification of XXH64 and the worked example of docs/hashing.md.
        ("", 0xEF46DB3751D8E999),
        (b"", 0xEF46DB3751D8E999),
        ("user-1", 11633770265628666856),
        (b"user-1", 11633770265628666856),
        ("ключ", 11636507388899086748),
        (Hashed(0), 0),
        (Hashed(2**64 - 1), 2**64 - 1),
    ],
)
def test_known_hashes(key: Any, number: int) -> None:
    assert key_hash(key) == number


@given(st.binary(max_size=100), st.integers(0, 2**64 - 1))
@rule
def test_hashes_are_those_of_the_second_implementation(data: bytes, seed: int) -> None:
    assert key_hash(data) == reference.xxh64(data)
    assert rehash(seed, 5) == reference.xxh64(seed.to_bytes(8, "little"), 5)


@given(st.integers())
def test_a_number_is_its_decimal_text(number: int) -> None:
    assert key_hash(number) == key_hash(str(number))


def test_enumerations_are_their_values() -> None:
    assert key_hash(IntEnum("Colour", {"RED": 7}).RED) == key_hash("7")
    assert key_hash(StrEnum("Name", {"RED": "red"}).RED) == key_hash("red")


@pytest.mark.parametrize(
    ("value", "error"), [(-1, ValueError), (2**64, ValueError), (True, TypeError), ("1", TypeError)]
)
def test_a_ready_hash_is_64_bits(value: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        Hashed(value)


def test_points_are_key_underscore_number() -> None:
    assert points("web-0", 3) == [reference.xxh64(b"web-0_%d" % i) for i in range(3)]
    assert points("web-0", 5000)[4990:] == [reference.xxh64(b"web-0_%d" % i) for i in range(4990, 5000)]


def test_weight_is_at_least_one() -> None:
    assert [weight(pod(0, weight=w)) for w in (0, 1, 2, 65535)] == [1, 1, 2, 65535]


def test_ties_go_by_hash_key_then_by_the_order_of_the_set() -> None:
    peers = [Peer("10.0.0.2"), Peer("10.0.0.3"), Peer("10.0.0.1")]
    names = {"10.0.0.1": "b", "10.0.0.2": "B", "10.0.0.3": "a"}
    assert [name for name, _ in named(peers, lambda peer: names[peer.address])] == ["B", "a", "b"]
    assert [peer for _, peer in named(peers, lambda _: "same")] == peers


@pytest.mark.parametrize("strategy", [ConsistentHash, RingHash, Maglev, Rendezvous])
def test_a_hash_key_is_text(strategy: Any) -> None:
    with pytest.raises(TypeError, match="hash_key must return str, not int"):
        strategy(hash_key=lambda peer: peer.ordinal).build(pods(2), None)


@pytest.mark.parametrize(
    "strategy", [ConsistentHash(vnodes=3), RingHash(8, 8), Maglev(13), Rendezvous(), Subset("random", 1)]
)
def test_peers_may_share_a_hash_key(strategy: Any) -> None:
    same = type(strategy)(**{**vars(strategy), "hash_key": lambda _: "same"})
    picker = same.build(pods(3), None)
    assert set(picker.pick_many(3, "key")) == set(pods(3))
    for i in range(3):
        others = [pod(j) for j in range(3) if j != i]
        assert picker.pick("key", others) == pod(i)
        rebuilt = same.build(pods(range(1, 4)), picker)
        assert set(rebuilt.pick_many(9, "key")) == set(pods(range(1, 4)))


def test_without_a_seed_dice_are_those_of_the_random_module() -> None:
    import random

    state = random.getstate()
    dice = Dice()
    drawn = (dice.uniform(), dice.bits64(), dice.below(10))
    random.setstate(state)
    assert drawn == (random.random(), random.getrandbits(64), int(random.random() * 10))
    assert Dice(4).bits64() == Dice(4).bits64() != Dice(5).bits64()
