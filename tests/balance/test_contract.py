"""What holds for every built-in strategy."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Collection
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headless_discovery import NoPeers, Peer, PeerSet, balance
from headless_discovery.balance import Hashed, Lease, acquire, pick_many

from .world import HASHING, STRATEGIES, keys, peer_sets, pod, pods, rule

every_strategy = pytest.mark.parametrize("make", STRATEGIES.values(), ids=STRATEGIES.keys())


def available(peers: PeerSet, exclude: Collection[Peer]) -> set[Peer]:
    gone = {peer.endpoint for peer in exclude}
    left = [peer for peer in peers if peer.endpoint not in gone]
    best = min((peer.priority for peer in left), default=None)
    return {peer for peer in left if peer.priority == best}


@every_strategy
class TestEveryStrategy:
    @given(peers=peer_sets, key=st.none() | keys, data=st.data())
    @rule
    def test_pick_gives_a_peer_of_the_best_tier_that_is_not_excluded(
        self, make: Any, peers: PeerSet, key: Any, data: st.DataObject
    ) -> None:
        exclude = data.draw(st.lists(st.sampled_from(list(peers)), unique=True))
        picker = make().build(peers, None)
        allowed = available(peers, exclude)
        if allowed:
            assert picker.pick(key, exclude) in allowed
            lease = acquire(picker, key, exclude)
            assert lease.peer in allowed
            lease.release()
        else:
            for ask in (picker.pick, picker.pick_many, lambda k, e: acquire(picker, k, e)):
                args = (1, key, exclude) if ask == picker.pick_many else (key, exclude)
                with pytest.raises(NoPeers) as caught:
                    ask(*args)
                assert caught.value.target == "headless-svc.moon"
                assert set(caught.value.excluded) == set(exclude)

    @given(peers=peer_sets, key=st.none() | keys, n=st.integers(1, 12), data=st.data())
    @rule
    def test_pick_many_gives_different_peers_better_tiers_first(
        self, make: Any, peers: PeerSet, key: Any, n: int, data: st.DataObject
    ) -> None:
        exclude = data.draw(st.lists(st.sampled_from(list(peers)), unique=True, max_size=len(peers) - 1))
        chosen = make().build(peers, None).pick_many(n, key, exclude)
        allowed = set(peers) - set(exclude)
        assert len(chosen) == len(set(chosen)) == min(n, len(allowed))
        assert set(chosen) <= allowed
        assert [peer.priority for peer in chosen] == sorted(peer.priority for peer in allowed)[:n]

    @given(before=peer_sets, after=peer_sets, key=st.none() | keys)
    @rule
    def test_a_rebuilt_picker_knows_the_new_peers_only(
        self, make: Any, before: PeerSet, after: PeerSet, key: Any
    ) -> None:
        strategy = make()
        picker = strategy.build(after, strategy.build(before, None))
        assert all(picker.pick(key) in available(after, ()) for _ in range(5))
        assert set(picker.pick_many(len(after), key)) == set(after)

    @pytest.mark.parametrize("other", STRATEGIES.values(), ids=STRATEGIES.keys())
    def test_the_picker_before_may_be_of_any_strategy(self, make: Any, other: Any) -> None:
        picker = make().build(pods(5), other().build(pods(4), None))
        assert set(picker.pick_many(9, "key")) == set(pods(5))

    def test_the_picker_before_may_be_a_users_own(self, make: Any) -> None:
        class Own:
            def pick(self, key: Any = None, exclude: Collection[Peer] = ()) -> Peer:
                raise AssertionError("never asked")

        assert make().build(pods(3), Own()).pick("key") in pods(3)

    def test_exclude_goes_by_endpoint(self, make: Any) -> None:
        as_it_was = Peer(pod(0).address, 8080, "another-name", weight=7, priority=3)
        picker = make().build(pods(2), None)
        assert [picker.pick(f"key-{i}", [as_it_was]) for i in range(20)] == [pod(1)] * 20
        assert picker.pick_many(2, "key", [as_it_was]) == [pod(1)]

    def test_exclude_may_name_strangers(self, make: Any) -> None:
        picker = make().build(pods(2), None)
        assert set(picker.pick_many(2, "key", [pod(7), pod(8), pod(9)])) == set(pods(2))
        assert picker.pick("key", [pod(0), pod(7), pod(8)]) == pod(1)

    def test_exclude_may_be_any_collection(self, make: Any) -> None:
        picker = make().build(pods(2), None)
        for exclude in ((pod(0),), [pod(0)], {pod(0)}, frozenset([pod(0)]), pods(1), {pod(0): 1}):
            assert picker.pick("key", exclude) == pod(1)
            assert picker.pick("key", exclude=exclude) == pod(1)

    def test_pick_many_of_nothing(self, make: Any) -> None:
        picker = make().build(pods(2), None)
        assert picker.pick_many(0) == []
        assert picker.pick_many(0, "key", pods(2)) == []
        with pytest.raises(ValueError):
            picker.pick_many(-1)

    def test_one_peer(self, make: Any) -> None:
        picker = make().build(pods(1), None)
        assert picker.pick() == picker.pick("key") == pod(0)
        assert picker.pick_many(5) == [pod(0)]

    def test_one_instance_serves_many_services(self, make: Any) -> None:
        strategy = make()
        one, other = strategy.build(pods(3), None), strategy.build(pods(range(5, 8)), None)
        assert all(one.pick(f"{i}") in pods(3) and other.pick(f"{i}") in pods(range(5, 8)) for i in range(30))

    def test_a_lease_is_released_once_however_often(self, make: Any) -> None:
        lease = acquire(make().build(pods(2), None), "key")
        assert isinstance(lease, Lease)
        lease.release(ValueError("what the use raised"))
        lease.release()

    def test_an_empty_set_is_refused(self, make: Any) -> None:
        with pytest.raises(NoPeers):
            make().build(PeerSet(), None)

    def test_seeded_picks_repeat(self, make: Any) -> None:
        def run() -> list[Peer]:
            picker = make().build(pods(5), None)
            return [picker.pick() for _ in range(20)] + picker.pick_many(3) + [picker.pick(None, [pod(1)])]

        assert run() == run()


@pytest.mark.parametrize("name", HASHING)
class TestEveryHashingStrategy:
    @given(peers=peer_sets, key=keys, data=st.data())
    @rule
    def test_the_same_key_has_the_same_peer(self, name: str, peers: PeerSet, key: Any, data: st.DataObject) -> None:
        exclude = data.draw(st.lists(st.sampled_from(list(peers)), unique=True, max_size=len(peers) - 1))
        strategy = STRATEGIES[name]()
        one, other = strategy.build(peers, None), STRATEGIES[name]().build(PeerSet(reversed(list(peers))), None)
        assert one.pick(key, exclude) == other.pick(key, exclude) == one.pick(key, exclude)
        assert one.pick_many(9, key, exclude) == other.pick_many(9, key, exclude)

    @given(peers=peer_sets, key=keys)
    @rule
    def test_pick_many_is_pick_after_pick(self, name: str, peers: PeerSet, key: Any) -> None:
        picker = STRATEGIES[name]().build(peers, None)
        chosen: list[Peer] = []
        for _ in peers:
            chosen.append(picker.pick(key, tuple(chosen)))
        assert picker.pick_many(len(peers), key) == chosen

    def test_without_a_key_any_peer_comes(self, name: str) -> None:
        picker = STRATEGIES[name]().build(pods(4), None)
        assert {picker.pick() for _ in range(200)} == set(pods(4))
        assert {picker.pick(None, [pod(0)]) for _ in range(200)} == set(pods(range(1, 4)))
        assert {picker.pick_many(1)[0] for _ in range(200)} == set(pods(4))

    def test_keys_are_text_bytes_numbers_and_hashes(self, name: str) -> None:
        picker = STRATEGIES[name]().build(pods(9), None)
        for i in range(50):
            assert picker.pick(f"ключ {i}") == picker.pick(f"ключ {i}".encode())
            assert picker.pick(-i) == picker.pick(str(-i))
        assert picker.pick("user-1") == picker.pick(Hashed(11633770265628666856))

    @pytest.mark.parametrize("key", [1.5, True, False, ("a",), bytearray(b"a"), memoryview(b"a"), object()])
    def test_what_is_no_key_is_a_type_error(self, name: str, key: Any) -> None:
        picker = STRATEGIES[name]().build(pods(2), None)
        for ask in (lambda: picker.pick(key), lambda: picker.pick(key, [pod(0)]), lambda: picker.pick_many(1, key)):
            with pytest.raises(TypeError, match="a key is str, bytes, int or Hashed, not " + type(key).__name__):
                ask()


@pytest.mark.parametrize("name", [*HASHING, "random", "least_loaded"])
def test_seeded_draws_do_not_start_again_at_a_refresh(name: str) -> None:
    strategy = STRATEGIES[name]()
    picker = strategy.build(pods(30), None)
    runs = []
    for _ in range(3):
        runs.append(tuple(picker.pick() for _ in range(8)))
        picker = strategy.build(pods(30), picker)
    assert len(set(runs)) == 3


def test_the_names_of_the_contract_are_there() -> None:
    names = "Strategy Picker Hashed RoundRobin Random ConsistentHash RingHash Weighted Maglev Rendezvous JumpHash "
    names += "LeastLoaded BoundedLoad Subset Prefer Key Lease"
    assert set(names.split()) <= set(balance.__all__)
    assert all(hasattr(balance, name) for name in balance.__all__)


def test_no_submodule_has_the_name_of_an_attribute() -> None:
    modules = {module.name for module in pkgutil.iter_modules(balance.__path__)}
    for name in modules:
        importlib.import_module(f"{balance.__name__}.{name}")
    assert len(modules) > 12
    assert not modules & set(balance.__all__)


def test_the_fallbacks_take_a_picker_that_has_only_pick() -> None:
    class First:
        def pick(self, key: Any = None, exclude: Collection[Peer] = ()) -> Peer:
            for peer in pods(3):
                if peer not in exclude:
                    return peer
            raise NoPeers("none", excluded=exclude)

    first = First()
    assert pick_many(first, 2, "key") == [pod(0), pod(1)]
    assert pick_many(first, 9, "key", [pod(1)]) == [pod(0), pod(2)]
    assert pick_many(first, 0) == []
    with pytest.raises(ValueError):
        pick_many(first, -1)
    with pytest.raises(NoPeers) as caught:
        pick_many(first, 1, "key", pods(3))
    assert set(caught.value.excluded) == set(pods(3))
    lease = acquire(first, "key", [pod(0)])
    assert lease.peer == pod(1)
    lease.release(OSError())
    with pytest.raises(NoPeers):
        acquire(first, "key", pods(3))


def test_the_fallback_ends_where_a_picker_does_not_heed_exclude() -> None:
    class Stubborn:
        def pick(self, key: Any = None, exclude: Collection[Peer] = ()) -> Peer:
            return pod(0)

    assert pick_many(Stubborn(), 3) == [pod(0)]
    with pytest.raises(NoPeers):
        pick_many(Stubborn(), 3, None, [pod(0)])
