"""Subset and Prefer: strategies around a strategy."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headless_discovery import NoPeers, Peer, PeerSet
from headless_discovery.balance import (
    ConsistentHash,
    LeastLoaded,
    Maglev,
    Prefer,
    RoundRobin,
    Subset,
    acquire,
    subset,
)
from headless_discovery.balance.sharing import at_once

from .world import peer_sets, pod, pods, rule


def members(strategy: Any, peers: PeerSet, previous: Any = None) -> set[Peer]:
    picker = strategy.build(peers, previous)
    return {picker.pick() for _ in range(len(peers))}


class TestSubset:
    @given(peers=peer_sets, size=st.integers(1, 10), client=st.text(st.characters(codec="utf-8"), max_size=5))
    @rule
    def test_a_client_uses_so_many_peers(self, peers: PeerSet, size: int, client: str) -> None:
        best = sum(peer.priority == peers[0].priority for peer in peers)
        assert len(members(Subset("round_robin", size, client), peers)) == min(size, best)

    @given(st.sets(st.integers(0, 30), min_size=2), st.integers(1, 6), st.data())
    @rule
    def test_a_leave_changes_one_member_at_most(self, ordinals: set[int], size: int, data: st.DataObject) -> None:
        strategy = Subset(RoundRobin(), size, client="me")
        gone = pod(data.draw(st.sampled_from(sorted(ordinals))))
        one = members(strategy, pods(ordinals))
        other = members(strategy, PeerSet(pods(ordinals) - {gone}))
        assert one - other == one & {gone}
        assert len(other - one) <= 1

    def test_clients_share_the_peers_evenly(self) -> None:
        counts = Counter(peer for i in range(300) for peer in members(Subset("random", 4, f"client-{i}"), pods(20)))
        assert len(counts) == 20
        assert 35 < min(counts.values()) <= max(counts.values()) < 85  # 60 each

    def test_the_client_is_this_host_by_default(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(subset.socket, "gethostname", lambda: "client-7f9c")
        assert members(Subset("round_robin", 3), pods(20)) == members(Subset("round_robin", 3, "client-7f9c"), pods(20))
        assert members(Subset("round_robin", 3), pods(20)) != members(Subset("round_robin", 3, "other"), pods(20))

    def test_peers_outside_are_the_last_resort_in_the_order_of_the_ranking(self) -> None:
        picker = Subset("round_robin", 2, "me").build(pods(6), None)
        inside = set(picker.pick_many(2))
        outside = picker.pick_many(6)[2:]
        assert {*inside, *outside} == set(pods(6))
        assert picker.pick("key", inside) == outside[0]
        assert picker.pick("key", {*inside, outside[0]}) == outside[1]
        grown = Subset("round_robin", 3, "me").build(pods(6), None)
        assert {grown.pick() for _ in range(3)} == {*inside, outside[0]}

    def test_each_tier_has_its_own(self) -> None:
        peers = PeerSet([*pods(4), *(pod(i, priority=1) for i in range(10, 14))])
        picker = Subset("round_robin", 2, "me").build(peers, None)
        order = picker.pick_many(8)
        assert [peer.priority for peer in order] == [0] * 4 + [1] * 4
        assert picker.pick(None, order[:2]) == order[2]
        assert picker.pick(None, order[:4]).priority == 1
        assert len({picker.pick(None, order[:4]) for _ in range(9)}) == 2

    @pytest.mark.parametrize("size", [0, -1])
    def test_the_size_is_checked(self, size: int) -> None:
        with pytest.raises(ValueError, match="at least 1"):
            Subset("random", size)


class TestPrefer:
    def test_preferred_peers_only_while_there_is_one(self) -> None:
        strategy = Prefer("round_robin", lambda peer: (peer.ordinal or 0) >= 3)
        picker = strategy.build(pods(5), None)
        assert {picker.pick() for _ in range(20)} == {pod(3), pod(4)}
        assert {picker.pick(None, [pod(3)]) for _ in range(20)} == {pod(4)}
        assert {picker.pick(None, [pod(3), pod(4)]) for _ in range(20)} == set(pods(3))
        assert set(picker.pick_many(3)[:2]) == {pod(3), pod(4)}
        picker = strategy.build(pods(3), picker)
        assert {picker.pick() for _ in range(20)} == set(pods(3))

    def test_priorities_come_first(self) -> None:
        peers = PeerSet([pod(0), pod(1, priority=1)])
        picker = Prefer("random", lambda peer: peer.ordinal == 1).build(peers, None)
        assert picker.pick() == pod(0)

    def test_what_the_predicate_raises_build_raises(self) -> None:
        with pytest.raises(ZeroDivisionError):
            Prefer("random", lambda peer: 1 / 0).build(pods(1), None)
        with pytest.raises(TypeError, match="predicate"):
            Prefer("random", None)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "around", [lambda inner: Subset(inner, 2, "me"), lambda inner: Prefer(inner, lambda p: p.weight > 0)]
)
class TestAround:
    def test_the_inner_picker_goes_on(self, around: Any) -> None:
        strategy = around(RoundRobin())
        picker = strategy.build(pods(2), None)
        picked = []
        for _ in range(6):
            picked.append(picker.pick().ordinal)
            picker = strategy.build(pods(2), picker)
        assert picked in ([0, 1] * 3, [1, 0] * 3)

    def test_leases_are_counted_inside(self, around: Any) -> None:
        strategy = around(LeastLoaded())
        picker = strategy.build(pods(2), None)
        leases = [acquire(picker) for _ in range(10)]
        picker = strategy.build(pods(2), picker)
        leases += [acquire(picker) for _ in range(10)]
        assert Counter(lease.peer.ordinal for lease in leases) == {0: 10, 1: 10}
        for lease in leases:
            lease.release()
        assert not any(picker._first._uses.values())

    def test_identities_are_those_of_the_whole_set(self, around: Any) -> None:
        """A pod with two ports has two peers of one hostname; alone in a part, one would seem to own the name."""
        twins = PeerSet([Peer("10.0.0.1", 80, "web-0.svc"), Peer("10.0.0.1", 81, "web-0.svc"), Peer("10.0.0.2", 80)])
        seen: list[str] = []

        class Spy:
            def build(self, peers: PeerSet, previous: Any) -> Any:
                seen.extend(peer.identity for peer in peers)
                assert peers.target == twins.target
                return RoundRobin().build(peers, None)

        around(Spy()).build(twins, None)
        assert seen
        assert set(seen) <= {"10.0.0.1:80", "10.0.0.1:81", "10.0.0.2:80"}

    def test_a_users_own_strategy_inside(self, around: Any) -> None:
        class Last:
            def build(self, peers: PeerSet, previous: Any) -> Any:
                class LastPicker:
                    def pick(self, key: Any = None, exclude: Collection[Peer] = ()) -> Peer:
                        left = [peer for peer in peers if peer not in exclude]
                        if not left:
                            raise NoPeers("none")
                        return left[-1]

                return LastPicker()

        picker = around(Last()).build(pods(4), None)
        assert set(picker.pick_many(4)) == set(pods(4))
        assert picker.pick(None, pods(3)) == acquire(picker, None, pods(3)).peer == pod(3)

    def test_it_is_built_in_the_steps_of_the_inner_one(self, around: Any) -> None:
        assert sum(1 for _ in around(Maglev()).steps(pods(4), None)) > 5
        assert sum(1 for _ in around(RoundRobin()).steps(pods(4), None)) == 0
        built, stepped = around(Maglev()).build(pods(4), None), at_once(around(Maglev()).steps(pods(4), None))
        assert all(built.pick(f"key-{number}") == stepped.pick(f"key-{number}") for number in range(50))

    def test_the_inner_strategy_may_be_a_name(self, around: Any) -> None:
        assert around("consistent_hash").build(pods(1), None).pick("key") == pod(0)
        with pytest.raises(ValueError, match="no strategy"):
            around("nonsense")
        with pytest.raises(TypeError):
            around(ConsistentHash)


def test_a_users_picker_that_has_nobody_hands_on() -> None:
    """Whatever its reasons are; without `exclude` as with it."""

    class Leader:
        def build(self, peers: PeerSet, previous: Any) -> Any:
            class LeaderPicker:
                def pick(self, key: Any = None, exclude: Collection[Peer] = ()) -> Peer:
                    if pod(3) in peers and pod(3) not in exclude:
                        return pod(3)
                    raise NoPeers("no leader")

            return LeaderPicker()

    picker = Prefer(Leader(), lambda peer: peer.ordinal == 0).build(pods(4), None)
    assert picker.pick() == picker.pick(None, [pod(0)]) == pod(3)
