"""Addresses of SRV targets: additional records of which a server shows what it likes, for each family by itself."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headless_discovery.answer import Addresses
from headless_discovery.glue import GLUE_BUDGET, literal_target
from headless_discovery.membership import Membership
from headless_discovery.message import AAAA, SERVFAIL, SRV, A, Message, Srv
from headless_discovery.model import Peer, PeerSet, packed_address
from sansio import NS1, SVC, Client, Net, found, known, message, nodata, nxdomain, srv_found

NAME = f"_http._tcp.{SVC}"
FAMILIES = ("auto", "ipv4", "ipv6", "any")


def v4(n: int) -> str:
    return f"10.0.{n >> 8}.{n & 255}"


def v6(n: int) -> str:
    return f"fd00::{n + 1:x}"


@dataclass
class Zone:
    """A headless service with dual-stack pods. `shows` says which additional records a reply has."""

    at: dict[str, list[str]]  # addresses, by target
    tc: bool = False
    shows: Mapping[str, Iterable[str]] | None = None  # None: all of them
    fails: set[str] = field(default_factory=set)  # own names that SERVFAIL
    bare: bool = True

    def __call__(self, name: str, rdtype: int, tcp: bool, edns: bool) -> Message:
        if name == NAME and rdtype == SRV:
            records = [Srv(0, 1, 8080, target) for target in self.at]
            return srv_found(NAME, records, dict(self.at if self.shows is None else self.shows), tc=self.tc)  # type: ignore[arg-type]
        if name in self.fails:
            return message(SERVFAIL)
        if name == SVC:
            here = [a for addresses in self.at.values() for a in addresses] if self.bare else []
        elif name in self.at:
            here = self.at[name]
        else:
            return nxdomain()
        of_type = [a for a in here if (":" in a) == (rdtype == AAAA)]
        return found(name, rdtype, *of_type) if of_type else nodata()


def stateful(count: int, *, dual: bool = True) -> dict[str, list[str]]:
    return {f"web-{n}.{SVC}": [v4(n), v6(n)] if dual else [v4(n)] for n in range(count)}


def dashed(count: int) -> dict[str, list[str]]:
    pods = [address for n in range(count) for address in (v4(n), v6(n))]
    return {f"{address.replace('.', '-').replace(':', '-')}.{SVC}": [address] for address in pods}


class Service:
    """Lookups and the membership behind them."""

    def __init__(self, zone: Zone, **options: object) -> None:
        self.net = Net({NS1: zone})
        self.client = Client(self.net, port="http", tcp="always", **options)  # type: ignore[arg-type]
        self.membership = Membership(self.client.settings, None, random.Random(1), lambda n, error: 1.0, self.net.now)

    def refresh(self) -> PeerSet:
        self.net.asked.clear()
        self.net.now = max(self.net.now, self.membership.due) + 10
        self.membership.answered(self.client.ask(self.membership.held()), self.net.now)
        return self.peers()

    def peers(self) -> PeerSet:
        return PeerSet(self.membership.peers())

    @property
    def error(self) -> str:
        return str(self.membership.error or "")


def some(at: Mapping[str, list[str]], rng: random.Random, share: float) -> dict[str, list[str]]:
    """Each additional record is shown or not by itself."""
    shown = {target: [a for a in addresses if rng.random() < share] for target, addresses in at.items()}
    return {target: addresses for target, addresses in shown.items() if addresses}


# Nothing changes, whatever is shown.


@given(
    st.integers(1, 14),
    st.sampled_from(["stateful", "dashed"]),
    st.sampled_from(FAMILIES),
    st.booleans(),
    st.floats(0, 1),
    st.integers(0, 2**32),
)
def test_pods_that_stay_stay_whatever_glue_is_shown(
    count: int, kind: str, family: str, tc: bool, share: float, seed: int
) -> None:
    rng = random.Random(seed)
    zone = Zone(stateful(count) if kind == "stateful" else dashed(count), tc)
    service = Service(zone, family=family)
    zone.shows = some(zone.at, rng, share)
    first = service.refresh()
    addresses = {a for peer in first for a in peer.addresses}
    wanted = [a for pod in zone.at.values() for a in pod if ":" not in a or family in ("ipv6", "any")]
    assert set(wanted) - {a for a in wanted if ":" not in a and family == "ipv6"} <= addresses, (
        "all at the first lookup"
    )
    for _ in range(6):
        zone.shows = some(zone.at, rng, share)
        assert [p.endpoint for p in service.refresh()] == [p.endpoint for p in first]
        assert service.error == ""
        assert len(service.net.asked) <= 3, "SRV, and the bare name for each family"


@given(st.integers(2, 40), st.floats(0, 1), st.integers(0, 2**32), st.sampled_from(FAMILIES), st.booleans())
def test_pods_that_move_are_found_and_nobody_else_is_touched(
    count: int, share: float, seed: int, family: str, tc: bool
) -> None:
    """A StatefulSet's pods restart with other addresses, any of them, while any part of the glue is shown."""
    rng = random.Random(seed)
    zone = Zone(stateful(count), tc)
    service = Service(zone, family=family)
    service.refresh()
    serial = count
    for _ in range(4):
        moved = {target for target in zone.at if rng.random() < 0.3}
        stay = {p.endpoint for p in service.peers() if p.hostname not in moved}
        for target in moved:
            zone.at[target] = [v4(serial), v6(serial)]
            serial += 1
        for _ in range(3):
            zone.shows = some(zone.at, rng, share)
            assert stay <= {p.endpoint for p in service.refresh()}
        there = {a for peer in service.peers() for a in peer.addresses}
        truth = {a for pod in zone.at.values() for a in pod}
        assert there <= truth, "an old address stays"
        first = {"ipv6": ":", "auto": ".", "ipv4": "."}.get(family)
        assert {a for a in truth if first is None or first in a} <= there


def test_a_thousand_dual_stack_pods_that_were_never_seen_take_50_queries_a_refresh() -> None:
    zone = Zone(stateful(120))
    service = Service(zone)
    zone.at, later = dict(list(zone.at.items())[:1]), zone.at
    service.refresh()
    zone.at, zone.tc, zone.shows = later, True, {f"web-0.{SVC}": [v4(0), v6(0)]}
    sizes = []
    for _ in range(4):
        sizes.append(len(service.refresh()))
        assert len(service.net.asked) <= GLUE_BUDGET + 3
    assert sizes == [51, 101, 120, 120]


class TestFamiliesApart:
    def test_a_family_that_is_not_shown_is_missing_not_gone(self) -> None:
        zone = Zone({f"web-0.{SVC}": [v4(0), v6(0)]})
        service = Service(zone, family="any")
        (peer,) = service.refresh()
        assert peer.addresses == (v4(0), v6(0))
        zone.shows = {f"web-0.{SVC}": [v4(0)]}
        assert service.refresh() == PeerSet([peer])
        zone.shows = {f"web-0.{SVC}": [v6(0)]}
        assert service.refresh() == PeerSet([peer])

    def test_a_whole_rrset_replaces_its_family_alone(self) -> None:
        zone = Zone({f"web-0.{SVC}": [v4(0), v4(1), v6(0)]})
        service = Service(zone, family="any")
        assert service.refresh().addresses == (v4(0), v4(1), v6(0))
        zone.at[f"web-0.{SVC}"] = [v4(1), v6(0)]
        zone.shows = {f"web-0.{SVC}": [v4(1)]}
        (peer,) = service.refresh()
        assert peer.addresses == (v4(1), v6(0))

    def test_in_a_truncated_message_a_part_of_an_rrset_takes_nothing_away(self) -> None:
        zone = Zone({f"web-0.{SVC}": [v4(0), v4(1)], f"web-1.{SVC}": [v4(2)]}, tc=True)
        service = Service(zone)
        assert len(service.refresh()) == 3
        zone.shows = {f"web-0.{SVC}": [v4(1)]}
        assert service.refresh().addresses == (v4(0), v4(1), v4(2))
        assert [a.name for a in service.net.asked] == [NAME, SVC]

    def test_an_address_that_cut_glue_never_shows_is_found_because_the_bare_name_has_it(self) -> None:
        """Of a target's two addresses, one is cut each time; the own name has both."""
        zone = Zone({f"web-{n}.{SVC}": [v4(2 * n), v4(2 * n + 1)] for n in range(4)}, tc=True)
        zone.shows = {target: addresses[:1] for target, addresses in list(zone.at.items())[:3]}
        service = Service(zone)
        assert len(service.refresh()) == 5
        assert len(service.refresh()) == 8
        service.refresh()
        assert [a.name for a in service.net.asked] == [NAME, SVC]

    def test_in_a_truncated_message_an_address_that_is_new_is_settled_by_the_own_name(self) -> None:
        zone = Zone(stateful(3, dual=False), tc=True)
        service = Service(zone)
        service.refresh()
        target = f"web-1.{SVC}"
        zone.at[target] = [v4(9)]
        zone.shows = {target: [v4(9)]}
        assert service.refresh().addresses == (v4(0), v4(9), v4(2))
        assert [(a.name, a.rdtype) for a in service.net.asked] == [(NAME, SRV), (SVC, A), (target, A)]
        zone.at[target] = [v4(8)]
        zone.shows = {target: [v4(8)]}
        zone.fails.add(target)
        assert set(service.refresh().addresses) == {v4(0), v4(2), v4(8), v4(9)}, "it adds, and removes nobody"

    def test_ipv6_alone_is_no_peer_while_ipv4_is_not_known(self) -> None:
        """Its endpoint would be another one as soon as the A record is."""
        zone = Zone(stateful(2))
        zone.shows = {target: addresses[1:] for target, addresses in zone.at.items()}
        zone.fails = {SVC, *zone.at}
        service = Service(zone)
        assert service.refresh() == PeerSet()
        assert "2 of 2 targets" not in service.error
        assert not service.membership.complete
        zone.fails = set()
        assert service.refresh().addresses == (v4(0), v4(1))
        assert service.membership.complete

    @pytest.mark.parametrize("denial", [nxdomain(), nodata()])
    def test_a_pod_of_ipv6_alone_is_found_also_where_nxdomain_is_said_for_the_other_type(self, denial: Message) -> None:
        at = {f"web-{n}.{SVC}": [v6(n)] for n in range(3)}
        zone = Zone(at, shows={})
        service = Service(zone)

        def serve(name: str, rdtype: int, tcp: bool, edns: bool) -> Message:
            return denial if rdtype == A else zone(name, rdtype, tcp, edns)

        service.net.servers[NS1] = serve
        assert service.refresh().addresses == tuple(v6(n) for n in range(3))
        assert service.refresh().addresses == tuple(v6(n) for n in range(3))
        assert [(a.name, a.rdtype) for a in service.net.asked] == [(NAME, SRV), (SVC, A), (SVC, AAAA)]

    def test_many_pods_of_one_family_cost_no_query_each_for_the_other(self) -> None:
        service = Service(Zone(stateful(300, dual=False)), family="any")
        assert len(service.refresh()) == 300
        assert [(a.name, a.rdtype) for a in service.net.asked] == [(NAME, SRV), (SVC, AAAA), (SVC, A)]
        service.refresh()
        assert [(a.name, a.rdtype) for a in service.net.asked] == [(NAME, SRV), (SVC, AAAA)]

    def test_an_absence_that_was_no_more_than_a_server_behind_does_not_last(self) -> None:
        """One NODATA for one family: the bare name has the address that is missing, so the target is asked again."""
        zone = Zone(stateful(3), shows=stateful(3, dual=False))
        service = Service(zone, family="any")
        late = f"web-1.{SVC}"
        service.net.servers[NS1] = lambda name, rdtype, *rest: (
            nodata() if (name, rdtype) == (late, AAAA) else zone(name, rdtype, *rest)
        )
        assert [len(peer.addresses) for peer in service.refresh()] == [2, 1, 2]
        service.net.servers[NS1] = zone
        assert [len(peer.addresses) for peer in service.refresh()] == [2, 2, 2]

    def test_targets_of_another_kind_of_registry_do_not_lose_a_family_by_that(self) -> None:
        """The bare name has no addresses there, so it says nothing of the targets."""
        service = Service(Zone(stateful(30), bare=False, shows=stateful(30, dual=False)), family="any")
        assert all(len(peer.addresses) == 2 for peer in service.refresh())
        assert len(service.peers()) == 30

    def test_an_address_that_two_targets_claim_is_asked_for(self) -> None:
        """web-0 moved, and a new pod has its old address: the bare name's addresses alone would hide it."""
        zone = Zone(stateful(2, dual=False))
        service = Service(zone)
        service.refresh()
        zone.at = {f"web-0.{SVC}": [v4(7)], f"web-1.{SVC}": [v4(1)], f"web-2.{SVC}": [v4(0)]}
        zone.tc, zone.shows = True, {}
        service.refresh()
        assert {p.hostname: p.address for p in service.refresh()} == {
            f"web-{n}.{SVC}": v4(address) for n, address in ((0, 7), (1, 1), (2, 0))
        }


class TestDashed:
    def test_a_dual_stack_deployment_is_complete_at_once_and_takes_two_queries(self) -> None:
        zone = Zone(dashed(450), tc=True)
        service = Service(zone)
        rng = random.Random(2)
        for _ in range(3):
            zone.shows = some(zone.at, rng, 0.1)
            assert len(service.refresh()) == 450
            assert service.membership.complete
            assert len(service.net.asked) == 2

    @pytest.mark.parametrize("family", ["ipv4", "ipv6"])
    def test_names_of_the_other_family_are_left_out(self, family: str) -> None:
        service = Service(Zone(dashed(5)), family=family)
        assert service.refresh().addresses == tuple((v4 if family == "ipv4" else v6)(n) for n in range(5))
        assert service.error == ""
        assert service.membership.complete

    def test_where_there_is_no_other_family_it_is_said(self) -> None:
        pods = {target: at for target, at in dashed(3).items() if ":" in at[0]}
        service = Service(Zone(pods), family="ipv4")
        assert service.refresh() == PeerSet()
        assert "3 of 3 targets have no address for family='ipv4'" in service.error

    def test_a_name_elsewhere_that_looks_like_an_address_is_a_name(self) -> None:
        target = "fd00--1.elsewhere.example"
        service = Service(Zone({target: [v4(5)]}, shows={}))
        assert service.refresh() == PeerSet([Peer(v4(5), 8080, target)])


class TestOddTargets:
    def test_an_ip_literal_is_that_address_and_no_hostname(self) -> None:
        zone = Zone({"10.0.0.9": [], "fd00::9": [], f"web-0.{SVC}": [v4(0)]})
        service = Service(zone, family="any")
        peers = service.refresh()
        assert {(p.address, p.hostname) for p in peers} == {
            ("10.0.0.9", None),
            ("fd00::9", None),
            (v4(0), f"web-0.{SVC}"),
        }
        assert service.error == ""

    @pytest.mark.parametrize(("family", "addresses"), [("ipv4", ("10.0.0.9",)), ("ipv6", ("fd00::9",))])
    def test_a_literal_of_the_other_family_is_no_peer(self, family: str, addresses: tuple[str, ...]) -> None:
        assert Service(Zone({"10.0.0.9": [], "fd00::9": []}), family=family).refresh().addresses == addresses

    def test_a_literal_that_no_peer_may_have_is_refused(self) -> None:
        service = Service(Zone({"169.254.169.254": [], f"web-0.{SVC}": [v4(0)]}))
        assert service.refresh().addresses == (v4(0),)
        assert "169.254.169.254 (link-local)" in service.error

    @pytest.mark.parametrize(
        ("text", "packed"),
        [
            ("10.0.0.1", packed_address("10.0.0.1")),
            ("fd00::1", packed_address("fd00::1")),
            ("10.0.0.256", None),
            ("10.0.1", None),
            ("web-1", None),
            ("a.b.c.1", None),
        ],
    )
    def test_what_a_literal_is(self, text: str, packed: bytes | None) -> None:
        assert literal_target(text) == packed

    def test_targets_without_addresses_are_counted_and_named(self) -> None:
        service = Service(Zone({f"web-{n}.{SVC}": [v4(0)] if n == 0 else [] for n in range(3)}))
        assert service.refresh().addresses == (v4(0),)
        assert f"2 of 3 targets have no address: web-1.{SVC}, web-2.{SVC}" in service.error
        assert not service.membership.complete
        service.net.servers[NS1].at[f"web-1.{SVC}"] = [v4(1)]  # type: ignore[attr-defined]
        assert service.refresh().addresses == (v4(0), v4(1)), "asked for again, and in at once"

    def test_why_their_names_could_not_be_asked_for(self) -> None:
        zone = Zone(stateful(2), fails={f"web-1.{SVC}"}, shows={f"web-0.{SVC}": [v4(0)]})
        service = Service(zone)
        assert service.refresh().addresses == (v4(0),)
        assert "1 of 2 targets have no address" in service.error
        assert "SERVFAIL" in service.error

    def test_port_0_is_told(self) -> None:
        records = [Srv(0, 1, 0, f"web-0.{SVC}"), Srv(0, 1, 8080, f"web-1.{SVC}")]
        net = Net({NS1: lambda *_: srv_found(NAME, records, stateful(2))})
        answer = Client(net, port="http").ask()
        assert len(answer.parts[0].members) == 2
        assert "1 of 2 SRV records have port 0" in (answer.warning or "")


class TestWhole:
    """Over TCP, TC with glue for some of the targets is cut glue; with glue for all of them the records were cut."""

    def cut(self, shown: int, of: int, **more: list[str]) -> bool:
        at = stateful(of, dual=False)
        records = [Srv(0, 1, 1, target) for target in (*at, *more)]
        reply = srv_found(NAME, records, dict(list(at.items())[:shown]), tc=True)
        net = Net({NS1: lambda name, *_: reply if name == NAME else found(name, A, *at.get(name, [v4(0)]))})
        return Client(net, port="http", tcp="always").ask().parts[0].complete

    def test_glue_in_step_means_that_records_were_cut(self) -> None:
        assert not self.cut(3, 3)

    def test_some_without_glue_means_that_only_glue_was_cut(self) -> None:
        assert self.cut(2, 3)

    def test_no_glue_at_all_means_that_records_were_cut(self) -> None:
        assert not self.cut(0, 3)

    def test_an_ip_literal_needs_no_glue_and_says_nothing(self) -> None:
        assert not self.cut(3, 3, **{"10.0.0.77": []})


class TestKnown:
    @pytest.mark.parametrize(
        ("addresses", "lacking"),
        [
            (Addresses(), {"auto", "ipv4", "ipv6", "any"}),
            (known(["10.0.0.1"]), set()),
            (Addresses((b"4444",), None), {"ipv6", "any"}),
            (Addresses((), None), {"auto", "ipv6", "any"}),
            (Addresses(None, (b"6" * 16,)), {"auto", "ipv4", "any"}),
            (Addresses((), ()), set()),
        ],
    )
    def test_what_is_lacking_depends_on_the_family(self, addresses: Addresses, lacking: set[str]) -> None:
        assert {family for family in FAMILIES if addresses.lacks(family)} == lacking  # type: ignore[arg-type]
