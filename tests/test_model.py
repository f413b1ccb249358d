"""Peer, PeerSet, Change, Status: values that users hold, compare, store and send around."""

from __future__ import annotations

import copy
import dataclasses
import pickle
import random
from functools import reduce
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headless_discovery import Change, LookupFailed, NoPeers, Peer, PeerSet, Status
from headless_discovery.model import address_in_label, address_text, canonical_address

rule = settings(deadline=None)

v4 = st.integers(0, 2**32 - 1).map(lambda number: str(IPv4Address(number)))
# Long runs of zeros are where spellings of IPv6 differ.
v6 = st.lists(st.sampled_from([0, 0, 0, 1, 0xFFFF, 0xFD00, 0x0A00]), min_size=8, max_size=8).map(
    lambda words: str(IPv6Address(reduce(lambda number, word: number << 16 | word, words)))
)
hostnames = st.sampled_from(
    ["web-0.s", "web-1.s", "web-2.s", "web-10.s", "WEB-1.s.", "10-0-0-1.s", "fd00--1.s", "db", ""]
)
# A small world, so that endpoints, names and fields meet often.
peers = st.builds(
    Peer,
    st.sampled_from(["10.0.0.1", "10.0.0.2", "10.0.0.10", "9.0.0.1", "fd00::1", "::1"]),
    st.sampled_from([None, 1, 80, 8080]),
    st.none() | hostnames,
    priority=st.integers(0, 2),
    weight=st.integers(1, 2),
    addresses=st.lists(st.sampled_from(["10.0.0.1", "fd00::2"]), max_size=2).map(tuple),
)
# Anything at all, for what must hold everywhere.
any_peers = st.builds(
    Peer,
    v4 | v6,
    st.none() | st.integers(0, 65535),
    st.none() | st.text(st.characters(codec="utf-8"), max_size=12) | hostnames,
    priority=st.integers(0, 65535),
    weight=st.integers(0, 65535),
    addresses=st.lists(v4 | v6, max_size=3).map(tuple),
)
groups = st.lists(peers, max_size=8)


def fields(peer: Peer) -> tuple[Any, ...]:
    return (peer.address, peer.port, peer.hostname, peer.priority, peer.weight, peer.addresses)


class TestAddresses:
    @pytest.mark.parametrize(
        ("written", "canonical"),
        [
            ("10.0.0.1", "10.0.0.1"),
            ("FD00:0:0:0:0:0:0:1", "fd00::1"),
            ("fd00:0000:0000:0001:0000:0000:0000:0001", "fd00:0:0:1::1"),
            ("::", "::"),
            ("0::1", "::1"),
            ("::ffff:10.0.0.1", "10.0.0.1"),  # v4-mapped: the peer is reached by IPv4
            ("::ffff:a00:1", "10.0.0.1"),
            ("::10.0.0.1", "::a00:1"),  # v4-compatible (deprecated) is not v4-mapped
            ("64:ff9b::10.0.0.1", "64:ff9b::a00:1"),
        ],
    )
    def test_one_spelling(self, written: str, canonical: str) -> None:
        assert Peer(written).address == canonical
        assert Peer(written) == Peer(canonical)

    @pytest.mark.parametrize(
        "written",
        ["", " ", "localhost", "10.0.0", "10.0.0.256", "010.0.0.1", "10.0.0.1 ", "10.0.0.1\0", "10.0.0.1:80", "1",
         "0x7f.1", "[::1]", ":", ":::", "fd00::1::2", "fe80::1%eth0", "1:2:3:4:5:6:7:8:9", "::ffff:10.0.0.256",
         "١.0.0.1", "\ud800"],
    )  # fmt: skip
    def test_what_is_no_address_is_refused(self, written: str) -> None:
        with pytest.raises(ValueError, match="not an IPv4 or IPv6 address"):
            Peer(written)
        with pytest.raises(ValueError, match="not an IPv4 or IPv6 address"):
            Peer("10.0.0.1", addresses=(written,))

    @rule
    @given(v4 | v6)
    def test_agrees_with_ipaddress(self, text: str) -> None:
        expected = ip_address(text)
        if isinstance(expected, IPv6Address) and expected.ipv4_mapped is not None:
            expected = expected.ipv4_mapped
        assert canonical_address(text) == canonical_address(text.upper()) == str(expected)
        assert address_text(expected.packed) == str(expected)
        if isinstance(expected, IPv6Address):
            assert canonical_address(expected.exploded) == str(expected)

    @rule
    @given(st.text(max_size=20) | st.text("0123456789abcdef:.", max_size=40))
    def test_text_is_an_address_or_a_value_error(self, text: str) -> None:
        try:
            canonical = canonical_address(text)
        except ValueError:
            return
        assert str(ip_address(canonical)) == canonical

    def test_addresses_are_unique_and_begin_with_the_peers_own(self) -> None:
        assert Peer("10.0.0.1").addresses == ("10.0.0.1",)
        assert Peer("10.0.0.1", addresses=("fd00:0::1", "10.0.0.1", "fd00::1")).addresses == ("10.0.0.1", "fd00::1")

    @rule
    @given(any_peers)
    def test_making_a_peer_of_a_peers_fields_changes_nothing(self, peer: Peer) -> None:
        again = Peer(
            peer.address, peer.port, peer.hostname, priority=peer.priority, weight=peer.weight, addresses=peer.addresses
        )
        assert fields(again) == fields(peer)
        assert len(set(peer.addresses)) == len(peer.addresses)


class TestPeer:
    @pytest.mark.parametrize("port", [-1, 65536, 10**9, "80", 80.0, True, b"80"])
    def test_what_is_no_port_is_refused(self, port: Any) -> None:
        with pytest.raises(ValueError, match="not a port"):
            Peer("10.0.0.1", port)

    def test_frozen_without_a_dict(self) -> None:
        peer = Peer("10.0.0.1", 80)
        with pytest.raises(dataclasses.FrozenInstanceError):
            peer.port = 81  # type: ignore[misc]
        with pytest.raises((AttributeError, TypeError)):
            peer.colour = "blue"  # type: ignore[attr-defined]
        assert not hasattr(peer, "__dict__")

    def test_priority_weight_and_addresses_are_given_by_name(self) -> None:
        with pytest.raises(TypeError):
            Peer("10.0.0.1", 80, "web", 1)  # type: ignore[misc]

    @pytest.mark.parametrize(
        ("peer", "netloc", "sockaddr", "url"),
        [
            (Peer("10.0.0.1", 80), "10.0.0.1:80", ("10.0.0.1", 80), "http://10.0.0.1:80/"),
            (Peer("fd00::1", 80), "[fd00::1]:80", ("fd00::1", 80, 0, 0), "http://[fd00::1]:80/"),
            (Peer("10.0.0.1", 80, "web-0.s"), "10.0.0.1:80", ("10.0.0.1", 80), "http://10.0.0.1:80/"),
            (Peer("10.0.0.1"), "10.0.0.1", None, "http://10.0.0.1/"),
            (Peer("fd00::1"), "[fd00::1]", None, "http://[fd00::1]/"),
        ],
    )
    def test_where_to_connect(self, peer: Peer, netloc: str, sockaddr: tuple[Any, ...] | None, url: str) -> None:
        assert peer.endpoint == (peer.address, peer.port)
        assert peer.netloc == netloc
        assert peer.url() == url
        if sockaddr is not None:
            assert peer.sockaddr == sockaddr
        else:
            with pytest.raises(ValueError, match="no port"):
                _ = peer.sockaddr

    def test_url(self) -> None:
        peer = Peer("10.0.0.1", 8443)
        assert peer.url("https", "/health?deep=1") == "https://10.0.0.1:8443/health?deep=1"
        assert peer.url(path="health") == "http://10.0.0.1:8443/health"
        assert peer.url(path="") == "http://10.0.0.1:8443/"

    @pytest.mark.parametrize(
        ("hostname", "ordinal"),
        [
            ("web-3.svc.cluster.local", 3),
            ("web-0", 0),
            ("web-10.s", 10),
            ("a-1-b-22.s", 22),
            ("web3.s", None),
            ("web.s-3", None),
            ("web-.s", None),
            ("web-3a.s", None),
            (None, None),
            ("10-0-0-9.s", None),  # the peer's own address is no ordinal
        ],
    )
    def test_ordinal(self, hostname: str | None, ordinal: int | None) -> None:
        assert Peer("10.0.0.9", 80, hostname).ordinal == ordinal

    def test_text(self) -> None:
        assert str(Peer("10.0.0.1", 80)) == "10.0.0.1:80"
        assert str(Peer("10.0.0.1", 80, "web-0.s")) == "web-0.s (10.0.0.1:80)"

    @rule
    @given(any_peers)
    def test_repr_is_python_and_copies_are_equal(self, peer: Peer) -> None:
        assert eval(repr(peer)) == peer
        for same in (pickle.loads(pickle.dumps(peer)), copy.copy(peer), copy.deepcopy(peer), dataclasses.replace(peer)):
            assert (same, hash(same), same.identity) == (peer, hash(peer), peer.identity)


class TestPeerComparison:
    @rule
    @given(peers, peers)
    def test_equal_and_hash_over_all_fields(self, a: Peer, b: Peer) -> None:
        assert (a == b) == (fields(a) == fields(b))
        if a == b:
            assert hash(a) == hash(b)

    @pytest.mark.parametrize(
        "other",
        [
            Peer("10.0.0.2", 80, "web-0", addresses=("10.0.0.1", "fd00::1")),
            Peer("10.0.0.1", 81, "web-0", addresses=("10.0.0.1", "fd00::1")),
            Peer("10.0.0.1", 80, "web-1", addresses=("10.0.0.1", "fd00::1")),
            Peer("10.0.0.1", 80, "web-0", priority=1, addresses=("10.0.0.1", "fd00::1")),
            Peer("10.0.0.1", 80, "web-0", weight=2, addresses=("10.0.0.1", "fd00::1")),
            Peer("10.0.0.1", 80, "web-0"),
        ],
        ids=["address", "port", "hostname", "priority", "weight", "addresses"],
    )
    def test_each_field_counts(self, other: Peer) -> None:
        peer = Peer("10.0.0.1", 80, "web-0", addresses=("fd00::1",))
        assert peer != other
        assert len({peer, other}) == 2
        assert (peer < other) != (other < peer)

    def test_the_order(self) -> None:
        """Priority, hostname in natural order, family, numeric address, port; None first."""
        ordered = [
            Peer("9.0.0.1", 1),
            Peer("10.0.0.1"),
            Peer("10.0.0.1", 9),
            Peer("10.0.0.1", 10),
            Peer("10.0.0.2", 1),
            Peer("10.0.0.10", 1),
            Peer("::1", 1),
            Peer("fd00::2", 1),
            Peer("fd00::10", 1),
            Peer("fd00::1", 1, "web-1.s"),
            Peer("10.0.0.9", 1, "web-2.s"),
            Peer("10.0.0.1", 1, "web-10.s"),
            Peer("fd00::1", 1, "web-10.s"),
            Peer("1.0.0.1", priority=1),
        ]
        shuffled = random.Random(1).sample(ordered, len(ordered))
        assert sorted(shuffled) == ordered

    @rule
    @given(any_peers | peers, any_peers | peers, any_peers | peers)
    def test_the_order_is_total(self, a: Peer, b: Peer, c: Peer) -> None:
        assert [a < b, a == b, a > b].count(True) == 1
        assert (a <= b) == (a < b or a == b)
        assert (a >= b) == (b <= a)
        low, middle, high = sorted([a, b, c])
        assert low <= middle <= high
        assert low <= high

    @rule
    @given(peers, peers)
    def test_the_order_is_the_specified_one(self, a: Peer, b: Peer) -> None:
        def key(peer: Peer) -> tuple[Any, ...]:
            # The hostnames of `peers` have at most one run of digits before the dot, or are dashed addresses.
            natural: list[tuple[int, int | str]] = []
            for character in peer.hostname or "":
                if character.isdigit() and natural and natural[-1][0] == 0:
                    natural[-1] = (0, int(natural[-1][1]) * 10 + int(character))
                else:
                    natural.append((0, int(character)) if character.isdigit() else (1, character))
            address = ip_address(peer.address)
            port = () if peer.port is None else (peer.port,)
            hostname = () if peer.hostname is None else (tuple(natural),)
            return (peer.priority, hostname, address.version, int(address), port)

        if key(a) != key(b):
            assert (a < b) == (key(a) < key(b))

    def test_no_order_with_other_things(self) -> None:
        with pytest.raises(TypeError):
            assert Peer("10.0.0.1") < ("10.0.0.1", None)
        assert Peer("10.0.0.1") != ("10.0.0.1", None)


class TestIdentity:
    @pytest.mark.parametrize(
        ("peer", "identity"),
        [
            (Peer("10.0.0.1", 80), "10.0.0.1:80"),
            (Peer("10.0.0.1"), "10.0.0.1"),
            (Peer("fd00::1", 80), "[fd00::1]:80"),
            (Peer("10.0.0.1", 80, "web-0.S.Local."), "web-0.s.local"),
            (Peer("10.0.0.1", 80, "10-0-0-1.s"), "10.0.0.1:80"),  # CoreDNS, a pod without hostname
            (Peer("fd00::1", 80, "fd00--1.s"), "[fd00::1]:80"),
            (Peer("fd00::", 80, "fd00--0.s"), "[fd00::]:80"),  # CoreDNS: a label must not end with a dash
            (Peer("fd00::1", 80, "FD00-0-0-0-0-0-0-1.s"), "[fd00::1]:80"),
            (Peer("10.0.0.1", 80, "0a000001.addr.dc1.consul"), "10.0.0.1:80"),  # Consul
            (Peer("10.0.0.1", 80, "0A000001.addr.dc1.consul"), "10.0.0.1:80"),
            (Peer("fd00::1", 80, "fd000000000000000000000000000001.addr.dc1.consul"), "[fd00::1]:80"),
            (Peer("10.0.0.1", 80, "fd00--1.s", addresses=("fd00::1",)), "10.0.0.1:80"),  # any of its own addresses
            (Peer("10.0.0.1", 80, "10-0-0-2.s"), "10-0-0-2.s"),  # another address: a name like any other
            (Peer("fd00::1", 80, "10-0-0-1.s"), "10-0-0-1.s"),
            (Peer("10.0.0.1", 80, "0a000002.s"), "0a000002.s"),
            (Peer("10.0.0.1", 80, "10-0-0-1-x.s"), "10-0-0-1-x.s"),
            (Peer("10.0.0.1", 80, "x.10-0-0-1.s"), "x.10-0-0-1.s"),  # only the first label is the pod's
        ],
    )
    def test_a_name_of_its_own_or_else_netloc(self, peer: Peer, identity: str) -> None:
        assert peer.identity == identity
        assert PeerSet([peer])[0].identity == identity

    def test_a_restarted_stateful_pod_keeps_it(self) -> None:
        before, after = Peer("10.0.0.1", 80, "web-0.s"), Peer("10.0.0.7", 80, "web-0.s")
        assert before != after
        assert before.identity == after.identity

    def test_a_name_that_two_members_have_identifies_neither(self) -> None:
        a, b, c = Peer("10.0.0.1", 80, "web-0.s"), Peer("10.0.0.2", 80, "WEB-0.s."), Peer("10.0.0.3", 80, "web-1.s")
        found = {p.address: p.identity for p in PeerSet([a, b, c])}
        assert found == {"10.0.0.1": "10.0.0.1:80", "10.0.0.2": "10.0.0.2:80", "10.0.0.3": "web-1.s"}
        assert a.identity == "web-0.s"  # the peer that was put in is as it was
        assert PeerSet([a, b]) == frozenset([a, b])
        ambiguous = PeerSet([a, b])[0]
        assert PeerSet([ambiguous])[0].identity == "web-0.s"

    @rule
    @given(st.lists(any_peers, max_size=6) | groups)
    def test_unique_in_the_set(self, members: list[Peer]) -> None:
        found = PeerSet(members)
        names = [p.identity for p in found if p.hostname and p.identity != p.netloc]
        assert len(names) == len(set(names))

    @rule
    @given(groups)
    def test_survives_copies_of_the_set(self, members: list[Peer]) -> None:
        found = PeerSet(members)
        for same in (pickle.loads(pickle.dumps(found)), copy.copy(found), copy.deepcopy(found), PeerSet(found)):
            assert [p.identity for p in same] == [p.identity for p in found]

    @rule
    @given(groups, groups)
    def test_a_changes_parts_show_it_as_the_whole_set_does(self, before: list[Peer], after: list[Peer]) -> None:
        """Whoever keeps a ring by `added` and `removed` must meet the same identities as in the sets."""
        change = Change(PeerSet(before), PeerSet(after))
        for part, whole in [
            (change.added, change.current),
            (change.updated, change.current),
            (change.removed, change.previous),
        ]:
            for same in (part, pickle.loads(pickle.dumps(part))):
                assert [p.identity for p in same] == [p.identity for p in whole if p in part]

    @rule
    @given(v4 | v6)
    def test_every_spelling_of_an_address_is_read_back(self, text: str) -> None:
        address = canonical_address(text)
        packed = ip_address(address).packed
        dashed = address.replace(".", "-").replace(":", "-")
        if dashed.endswith("-"):
            dashed += "0"
        for label in (dashed, dashed.upper(), packed.hex()):
            assert address_in_label(f"{label}.svc.cluster.local") == address


class TestPeerSet:
    def test_nobody(self) -> None:
        nobody = PeerSet()
        assert not nobody
        assert len(nobody) == 0
        assert nobody == frozenset() == set()
        assert nobody.addresses == ()
        assert nobody.target == ""

    def test_addresses_and_target(self) -> None:
        found = PeerSet([Peer("10.0.0.2", 80), Peer("10.0.0.1", 80), Peer("10.0.0.1", 81)], target="svc")
        assert found.addresses == ("10.0.0.1", "10.0.0.1", "10.0.0.2")
        assert found.target == "svc"

    def test_immutable(self) -> None:
        found = PeerSet([Peer("10.0.0.1")], target="svc")
        with pytest.raises(AttributeError):
            found.target = "other"  # type: ignore[misc]
        with pytest.raises(AttributeError):
            found.colour = "blue"  # type: ignore[attr-defined]
        with pytest.raises(TypeError):
            found[0] = Peer("10.0.0.2")  # type: ignore[index]
        assert not hasattr(found, "add")
        assert not hasattr(found, "append")

    def test_of_one_endpoint_the_first_in_order_stays(self) -> None:
        low, high = Peer("10.0.0.1", 80, "a", priority=0), Peer("10.0.0.1", 80, "a", priority=1)
        assert list(PeerSet([high, low])) == [low]
        assert high not in PeerSet([high, low])

    def test_endpoint_counts_the_port(self) -> None:
        assert len(PeerSet([Peer("10.0.0.1"), Peer("10.0.0.1", 80), Peer("10.0.0.1", 81)])) == 3

    @rule
    @given(groups)
    def test_sorted_with_one_peer_an_endpoint(self, members: list[Peer]) -> None:
        found = PeerSet(members)
        assert list(found) == sorted(found)
        assert {p.endpoint for p in found} == {p.endpoint for p in members}
        assert len({p.endpoint for p in found}) == len(found)
        assert set(found) <= set(members)
        for peer in members:
            kept = found.get(peer.endpoint)
            assert kept is not None
            assert kept == min(p for p in members if p.endpoint == peer.endpoint)
        assert found.get(("192.0.2.1", 1)) is None

    @rule
    @given(groups, peers, st.integers(-9, 9), st.slices(8))
    def test_a_sequence_as_its_tuple_is(self, members: list[Peer], other: Peer, index: int, part: slice) -> None:
        found = PeerSet(members)
        like = tuple(found)
        assert list(reversed(found)) == list(reversed(like))
        assert found[part] == like[part]
        assert type(found[part]) is tuple
        assert (other in found) == (other in like)
        assert found.count(other) == like.count(other)
        if -len(like) <= index < len(like):
            assert found[index] is like[index]
        else:
            with pytest.raises(IndexError):
                _ = found[index]
        if other in like:
            assert found.index(other) == like.index(other)
        else:
            with pytest.raises(ValueError):
                found.index(other)
        match found:
            case [first, *_]:
                assert first == like[0]
            case []:
                assert not like

    @rule
    @given(groups, groups)
    def test_a_set_as_its_frozenset_is(self, one: list[Peer], two: list[Peer]) -> None:
        a, b = PeerSet(one), PeerSet(two)
        x, y = frozenset(a), frozenset(b)
        for right, like in [(b, y), (y, y), (set(y), y)]:
            assert (a == right) == (right == a) == (x == like)
            assert (a != right) == (x != like)
            assert (a <= right) == (x <= like)
            assert (a < right) == (x < like)
            assert (a >= right) == (x >= like)
            assert (a > right) == (x > like)
            assert (right <= a) == (like <= x)
            assert (right < a) == (like < x)
            assert a.isdisjoint(right) == x.isdisjoint(like)
            assert a & right == x & like
            assert a - right == x - like
            assert right - a == like - x
            # What both sides add under one endpoint is one peer again.
            assert a | right == right | a == PeerSet(x | like)
            assert a ^ right == right ^ a == PeerSet(x ^ like)
            for result in (a & right, a - right, right - a, a | right, right | a, a ^ right, right & a, right ^ a):
                assert type(result) is PeerSet

    @rule
    @given(groups, st.randoms(use_true_random=False))
    def test_equal_and_hash_whatever_the_order(self, members: list[Peer], rng: random.Random) -> None:
        found = PeerSet(members, target="one")
        shuffled = PeerSet(rng.sample(members, len(members)), target="another")
        assert found == shuffled
        assert hash(found) == hash(shuffled) == hash(frozenset(found))
        assert {found: 1}[frozenset(found)] == 1  # type: ignore[index]  # equal keys of two types

    @pytest.mark.parametrize(
        "other", [(Peer("10.0.0.1"),), [Peer("10.0.0.1")], "10.0.0.1", None, {Peer("10.0.0.1"): 1}]
    )
    def test_not_equal_to_what_is_no_set(self, other: object) -> None:
        assert PeerSet([Peer("10.0.0.1")]) != other

    @pytest.mark.parametrize("other", ["10.0.0.1", None, ("10.0.0.1", None), [], 1])
    def test_strangers_are_not_in(self, other: object) -> None:
        assert other not in PeerSet([Peer("10.0.0.1")])

    def test_a_peer_with_another_weight_is_another(self) -> None:
        assert Peer("10.0.0.1", weight=2) not in PeerSet([Peer("10.0.0.1")])

    @rule
    @given(groups)
    def test_copies_and_repr(self, members: list[Peer]) -> None:
        found = PeerSet(members, target="svc")
        same: PeerSet
        for same in (pickle.loads(pickle.dumps(found)), copy.copy(found), copy.deepcopy(found), eval(repr(found))):
            assert (same, hash(same), list(same), same.target) == (found, hash(found), list(found), "svc")
            assert same.get(("10.0.0.1", 80)) == found.get(("10.0.0.1", 80))

    def test_text(self) -> None:
        assert str(PeerSet([Peer("10.0.0.2", 80), Peer("10.0.0.1", 80, "a")])) == "{10.0.0.2:80, a (10.0.0.1:80)}"
        assert repr(PeerSet()) == "PeerSet([])"

    def test_is_not_changed_by_what_it_was_made_of(self) -> None:
        members = [Peer("10.0.0.1")]
        found = PeerSet(members)
        members.append(Peer("10.0.0.2"))
        assert len(found) == 1


class TestChange:
    @rule
    @given(groups, groups)
    def test_leads_from_previous_to_current(self, before: list[Peer], after: list[Peer]) -> None:
        change = Change(PeerSet(before, target="old"), PeerSet(after, target="new"))
        book = {p.endpoint: p for p in change.previous}
        for peer in change.removed:
            assert book.pop(peer.endpoint) == peer
        for peer in change.added:
            assert book.setdefault(peer.endpoint, peer) is peer
        for peer in change.updated:
            assert book[peer.endpoint] != peer
            book[peer.endpoint] = peer
        assert frozenset(book.values()) == change.current
        assert bool(change) == (change.previous != change.current)
        assert bool(change) == bool(change.added or change.removed or change.updated)
        assert (change.added.target, change.updated.target, change.removed.target) == ("new", "new", "old")

    @rule
    @given(groups)
    def test_the_same_set_is_no_change(self, members: list[Peer]) -> None:
        change = Change(PeerSet(members), PeerSet(reversed(members)))
        assert not change
        assert change.added == change.removed == change.updated == frozenset()

    def test_updated_is_the_same_endpoint_with_other_fields(self) -> None:
        before = PeerSet([Peer("10.0.0.1", 80, "a"), Peer("10.0.0.2", 80)])
        after = PeerSet([Peer("10.0.0.1", 80, "a", weight=3), Peer("10.0.0.2", 81)])
        change = Change(before, after)
        assert change.updated == {Peer("10.0.0.1", 80, "a", weight=3)}
        assert change.added == {Peer("10.0.0.2", 81)}
        assert change.removed == {Peer("10.0.0.2", 80)}

    def test_frozen_equal_and_pickled(self) -> None:
        change = Change(PeerSet(), PeerSet([Peer("10.0.0.1")]))
        with pytest.raises(dataclasses.FrozenInstanceError):
            change.current = PeerSet()  # type: ignore[misc]
        assert change.added == change.current
        assert change == Change(PeerSet(), PeerSet([Peer("10.0.0.1")]))
        assert pickle.loads(pickle.dumps(change)) == change
        assert hash(copy.deepcopy(change)) == hash(change)


class TestStatus:
    def test_frozen_with_counters_from_zero(self) -> None:
        status = Status("starting", None, None, 0.0, False)
        counters = ("lookups", "queries", "failures", "consecutive_failures", "changes", "callback_errors")
        assert [getattr(status, name) for name in counters] == [0] * 6
        with pytest.raises(dataclasses.FrozenInstanceError):
            status.state = "fresh"  # type: ignore[misc]
        with pytest.raises((AttributeError, TypeError)):
            status.colour = "blue"  # type: ignore[attr-defined]

    def test_carries_the_error_as_it_is(self) -> None:
        error = LookupFailed("no answer")
        assert Status("stale", error, 3.0, 1.0, True).error is error


def test_sorting_thousands_needs_no_comparison_of_peers() -> None:
    """A set of 5000 is rebuilt at each refresh: it sorts by key, never by `Peer.__lt__`."""

    class Counted(Peer):
        def __lt__(self, other: object) -> bool:
            raise AssertionError("compared")

    found = PeerSet(Counted(f"10.0.{n // 256}.{n % 256}", 80) for n in reversed(range(5000)))
    assert [int(IPv4Address(address)) for address in found.addresses] == [0x0A000000 + n for n in range(5000)]


def test_no_peers_says_which_target_and_who_was_excluded() -> None:
    error = NoPeers("nobody", target="svc", excluded=[Peer("10.0.0.1")])
    assert (error.target, error.excluded) == ("svc", (Peer("10.0.0.1"),))
    assert NoPeers("nobody").excluded == ()
