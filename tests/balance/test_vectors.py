"""The same picks as gRPC, Envoy, and the second implementation beside the vectors."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headless_discovery import Peer, PeerSet
from headless_discovery.balance import Hashed, Maglev, RingHash, Subset, make
from headless_discovery.balance.hashing import key_hash, weight
from headless_discovery.balance.jump_hash import jump
from headless_discovery.balance.registry import BY_NAME

from .world import VECTORS, peer_sets, pods, reference, rule

GRPC = json.loads((VECTORS / "grpc_ring_hash.json").read_text())["cases"]
ENVOY = json.loads((VECTORS / "envoy_maglev.json").read_text())
PICKS = json.loads((VECTORS / "picks.json").read_text())


def cast(peers: list[dict[str, Any]]) -> tuple[PeerSet, Any]:
    """Peers for these hash keys and weights, and the `hash_key` that gives them."""
    names = {f"10.9.{i // 256}.{i % 256}": peer["hash_key"] for i, peer in enumerate(peers)}
    hosts = zip(names, peers, strict=True)
    # The order of the set is the reverse of the order of the hash keys: it must not matter.
    made = [Peer(address, 80, names[address], priority=0, weight=peer["weight"]) for address, peer in hosts]
    return PeerSet(made), lambda peer: names[peer.address]


@pytest.mark.parametrize("case", GRPC, ids=lambda case: f"{len(case['endpoints'])} of {case['ring_size']}")
def test_ring_hash_is_that_of_grpc(case: dict[str, Any]) -> None:
    peers, hash_key = cast(case["endpoints"])
    picker = RingHash(case["min_ring_size"], case["max_ring_size"], hash_key).build(peers, None)
    entries = [f"{point} {hash_key(peer)}" for point, peer in picker._ring.entries()]
    assert len(entries) == case["ring_size"]
    assert entries[: len(case["first_entries"])] == case["first_entries"]
    assert len(case["picks"]) >= 100
    assert {key: hash_key(picker.pick(key)) for key in case["picks"]} == case["picks"]


@pytest.mark.parametrize("case", ENVOY)
def test_maglev_is_that_of_envoy(case: dict[str, Any]) -> None:
    peers, hash_key = cast([{"hash_key": k, "weight": w} for k, w in zip(case["keys"], case["weights"], strict=True)])
    picker = Maglev(case["table_size"], hash_key).build(peers, None)
    table = [case["keys"].index(hash_key(picker.pick(Hashed(i)))) for i in range(case["table_size"])]
    assert table == case["table"]


def test_the_vectors_are_what_the_second_implementation_says() -> None:
    assert (VECTORS / "picks.json").read_text() == reference.text()


@pytest.mark.parametrize("case", PICKS["cases"], ids=lambda case: f"{case['strategy']} {len(case['peers'])}")
def test_picks_are_those_of_the_vectors(case: dict[str, Any]) -> None:
    peers, hash_key = cast(case["peers"])
    config = case["config"] if case["strategy"] == "jump_hash" else {**case["config"], "hash_key": hash_key}
    picker = BY_NAME[case["strategy"]](**config).build(peers, None)
    assert len(case["orders"]) == len(PICKS["hashes"])
    for key, order in case["orders"].items():
        assert key_hash(key) == int(PICKS["hashes"][key])
        assert hash_key(picker.pick(key)) == order[0]
        assert [hash_key(peer) for peer in picker.pick_many(len(peers), key)] == order
        assert [hash_key(peer) for peer in picker.pick_many(len(peers), Hashed(key_hash(key)))] == order


@pytest.mark.parametrize("case", PICKS["subsets"], ids=lambda case: case["client"])
def test_subsets_are_those_of_the_vectors(case: dict[str, Any]) -> None:
    peers, hash_key = cast([{"hash_key": name, "weight": 1} for name in case["hash_keys"]])
    picker = Subset("round_robin", case["size"], client=case["client"], hash_key=hash_key).build(peers, None)
    assert {hash_key(picker.pick()) for _ in range(9)} == set(case["members"])


@pytest.mark.parametrize("name", reference.ALGORITHMS)
@given(peers=peer_sets, key=st.text(st.characters(codec="utf-8"), max_size=5))
@rule
def test_picks_are_those_of_the_second_implementation(name: str, peers: PeerSet, key: str) -> None:
    config = {
        "consistent_hash": {"vnodes": 5},
        "ring_hash": {"min_ring_size": 7, "max_ring_size": 23},
        "maglev": {"table_size": 23},
    }.get(name, {})
    picker = BY_NAME[name](**config).build(peers, None)
    expected: list[str] = []
    for priority in sorted({peer.priority for peer in peers}):
        tier = sorted((peer.identity, weight(peer)) for peer in peers if peer.priority == priority)
        expected += reference.ALGORITHMS[name](tier, reference.xxh64(key.encode()), **config)
    assert [peer.identity for peer in picker.pick_many(len(peers), key)] == expected
    assert picker.pick(key).identity == expected[0]


# As PyPI's jump-consistent-hash (the paper's C++) has them.
@pytest.mark.parametrize(
    ("h", "buckets", "bucket"), [(0, 1, 0), (1, 1, 0), (256, 1024, 520), (10863919174838991, 11, 6)]
)
def test_jump_of_the_paper(h: int, buckets: int, bucket: int) -> None:
    assert jump(h, buckets) == bucket


def test_make_takes_names_and_instances() -> None:
    strategy = RingHash()
    assert make(strategy, 3) is strategy
    for name, kind in BY_NAME.items():
        made = make(name, 7)
        assert isinstance(made, kind)  # type: ignore[arg-type]
        assert vars(made)["seed"] == 7
        assert made.build(pods(3), None).pick("key") in pods(3)
    with pytest.raises(ValueError, match=r"no strategy 'least_conn'; there are: round_robin, random, .*bounded_load"):
        make("least_conn", None)
    with pytest.raises(TypeError, match=r"write RingHash\(\), not RingHash"):
        make(RingHash, None)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="NoneType has not"):
        make(None, None)  # type: ignore[arg-type]
