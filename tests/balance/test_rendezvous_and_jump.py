from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from xxhash import xxh64_intdigest

from headless_discovery import DiscoveryError, Peer, PeerSet
from headless_discovery.balance import JumpHash, Rendezvous, jump_hash

from .world import chi_square, owner_of, peer_sets, pod, pods, rule


class TestRendezvous:
    @given(peers=peer_sets, joining=st.integers(20, 25), weight=st.integers(1, 3))
    @rule
    def test_a_join_or_leave_moves_only_that_peers_share(self, peers: PeerSet, joining: int, weight: int) -> None:
        new = pod(joining, weight=weight, priority=peers[0].priority)
        one = owner_of(Rendezvous().build(peers, None), 100)
        other = owner_of(Rendezvous().build(PeerSet([*peers, new]), None), 100)
        assert all(one[key] == other[key] or other[key] == new for key in one)

    @pytest.mark.parametrize("weights", [[1, 1, 1], [1, 2, 5], [0, 3, 3]])
    def test_weights_are_shares(self, weights: list[int]) -> None:
        peers = PeerSet(pod(i, weight=weight) for i, weight in enumerate(weights))
        counts = Counter(peer.ordinal for peer in owner_of(Rendezvous().build(peers, None), 10_000).values())
        assert chi_square([counts[i] for i in range(3)], [max(1, weight) for weight in weights]) < 13.8

    def test_the_greatest_draw_of_all_wins(self) -> None:
        """2^64 - 1, which is rounded to the 1 whose logarithm is 0. XXH64 can be inverted, so there is a key for it."""
        web = PeerSet([Peer("10.0.0.1", 80, "web-0", weight=2), Peer("10.0.0.2", 80, "web-1", weight=1)])
        key = b"m\x98\xbfS!\xc3\xdaA"
        assert xxh64_intdigest(xxh64_intdigest(key).to_bytes(8, "little"), xxh64_intdigest(b"web-0")) == 2**64 - 1
        assert Rendezvous().build(web).pick(key).hostname == "web-0"

    def test_a_change_of_weight_moves_keys_to_or_from_that_peer_only(self) -> None:
        one = owner_of(Rendezvous().build(PeerSet(pod(i, weight=i + 1) for i in range(4)), None))
        other = owner_of(Rendezvous().build(PeerSet(pod(i, weight=i + 1 + (i == 1)) for i in range(4)), None))
        assert all(one[key].ordinal == other[key].ordinal or other[key].ordinal == 1 for key in one)


class TestJumpHash:
    def test_growing_moves_keys_to_the_new_pod_only(self) -> None:
        for n in (1, 2, 5, 10):
            one, other = (owner_of(JumpHash().build(pods(m), None), 3000) for m in (n, n + 1))
            assert all(one[key] == other[key] or other[key] == pod(n) for key in one)
            counts = Counter(other.values())
            assert chi_square([counts[peer] for peer in pods(n + 1)], [1] * (n + 1)) < 3 * (n + 8)

    @given(st.sets(st.integers(0, 9), min_size=2, max_size=9), st.data())
    @rule
    def test_a_gap_moves_the_keys_of_the_missing_pod_only(self, ordinals: set[int], data: st.DataObject) -> None:
        gone = data.draw(st.sampled_from(sorted(ordinals - {max(ordinals)})))
        one = owner_of(JumpHash().build(pods(ordinals), None), 200)
        other = owner_of(JumpHash().build(pods(ordinals - {gone}), None), 200)
        assert all(one[key] == other[key] or one[key] == pod(gone) for key in one)

    def test_the_keys_of_a_missing_pod_go_to_all_others(self) -> None:
        counts = Counter(owner_of(JumpHash().build(pods([0, 1, 3, 4]), None), 5000).values())
        assert chi_square(counts.values(), [1] * 4) < 16.3

    def test_where_nearly_all_are_missing_the_last_resort_is_even_too(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(jump_hash, "PROBES", 1)
        counts = Counter(owner_of(JumpHash().build(pods([3, 90, 7]), None), 3000).values())
        assert set(counts) == set(pods([3, 90, 7]))
        assert min(counts.values()) > 800

    def test_a_name_with_a_giant_number_is_no_ordinal(self) -> None:
        giant = Peer("10.0.0.9", 80, "web-" + "9" * 400)
        picker = JumpHash().build(PeerSet([*pods(2), giant]), None)
        assert set(owner_of(picker).values()) == set(pods(2))
        assert picker.pick("key", pods(2)) == giant

    def test_peers_without_an_ordinal_are_the_last_resort(self) -> None:
        odd = [Peer("10.0.0.1", 80), Peer("10.0.0.2", 80, "db.svc"), Peer("10.0.0.3", 80, "web-1.other")]
        picker = JumpHash().build(PeerSet([*pods(2), *odd]), None)
        assert len(set(owner_of(picker).values())) == 2
        assert set(picker.pick_many(9, "key")) == {*pods(2), *odd}

    def test_no_ordinals_at_all_is_an_error_that_says_so(self) -> None:
        peers = PeerSet([Peer("10.0.0.1", 80), Peer("10.0.0.2", 80)])
        with pytest.raises(DiscoveryError, match=r"web-0, and 10\.0\.0\.1:80 has no number.*StatefulSet") as caught:
            JumpHash().build(peers, None)
        assert isinstance(caught.value, ValueError)
