"""Lookups (docs/architecture.md, "When and how to ask"): the edges of each rule, in virtual time."""

from __future__ import annotations

import pytest

from headless_discovery import LookupFailed
from headless_discovery.answer import Addresses, Detail, Held, Key
from headless_discovery.hosts import TTL as HOSTS_TTL
from headless_discovery.message import AAAA, REFUSED, SERVFAIL, SRV, A, Message, Srv
from headless_discovery.model import packed_address
from headless_discovery.settings import parse_networks
from sansio import NS1, NS2, SVC, Behaviour, Client, Net, addresses, found, known, message, nodata, nxdomain, srv_found

NAME = f"_http._tcp.{SVC}"
WEB = [f"web-{i}.{SVC}" for i in range(6)]
Records = dict[tuple[str, int], Message | None]


def always(reply: Message | str | None) -> Behaviour:
    return lambda name, rdtype, tcp, edns: reply


def zone(records: Records) -> Behaviour:
    """NODATA where the name has another type, NXDOMAIN where it has none."""

    def serve(name: str, rdtype: int, tcp: bool, edns: bool) -> Message | None:
        if (name, rdtype) in records:
            return records[name, rdtype]
        return nodata() if any(known == name for known, _ in records) else nxdomain()

    return serve


def services(count: int, *, glue: int | None = None, **options: object) -> Message:
    """An SRV answer; the first `glue` targets have their address."""
    records = [Srv(0, 1, 8080, target) for target in WEB[:count]]
    shown = {target: [f"10.0.0.{i + 1}"] for i, target in enumerate(WEB[: count if glue is None else glue])}
    return srv_found(NAME, records, shown, **options)  # type: ignore[arg-type]


def asked(net: Net) -> list[tuple[str, int]]:
    return [(each.name, each.rdtype) for each in net.asked]


class TestSuspects:
    """Targets that incomplete answers missed are asked for by their own name, in the lookup that comes next."""

    def held(self, *suspects: str, name: str | None = SVC) -> Held:
        members: dict[Key, Detail | None] = {
            (target, 8080): Detail(0, 1, known([f"10.0.0.{i + 1}"])) for i, target in enumerate(WEB[:3])
        }
        return Held(SRV, frozenset({8080}), suspects, members, name)

    @pytest.mark.parametrize("name", [SVC, None])
    @pytest.mark.parametrize("remembered", [True, False])
    def test_wherever_the_name_is_known_from(self, name: str | None, remembered: bool) -> None:
        net = Net({NS1: zone({(NAME, SRV): services(1, tc=True), (WEB[2], A): found(WEB[2], A, "10.0.0.9")})})
        client = Client(net, port="http", tcp="never")
        if remembered:
            client.ask()
        net.asked.clear()
        answer = client.ask(self.held(WEB[1], WEB[2], name=name))
        assert answer.verified == {WEB[1]: Addresses((), ()), WEB[2]: Addresses((packed_address("10.0.0.9"),), None)}
        assert (WEB[0], A) not in asked(net)

    def test_also_beside_an_earlier_name_that_has_peers(self) -> None:
        net = Net(
            {
                NS1: lambda name, rdtype, *_: (
                    services(1, tc=True)
                    if name == NAME
                    else srv_found(name, [Srv(0, 1, 80, "a.example")], {"a.example": ["10.1.0.1"]})
                    if name.startswith("_http._tcp.")
                    else nxdomain()
                )
            }
        )
        client = Client(
            net, "headless-svc", "http", search=("first.example", SVC.partition(".")[2]), ndots=5, tcp="never"
        )
        answer = client.ask(self.held(WEB[1]))
        assert answer.verified == {WEB[1]: Addresses((), ())}
        assert answer.rival is not None
        assert answer.rival.name == "headless-svc.first.example"

    def test_who_is_shown_is_no_suspect_any_more(self) -> None:
        net = Net({NS1: zone({(NAME, SRV): services(2)})})
        client = Client(net, port="http")
        assert client.ask(self.held(WEB[1])).verified == {}
        assert asked(net) == [(NAME, SRV)]

    def test_where_nobody_is_told_nobody_is_asked_for(self) -> None:
        net = Net({NS1: always(nxdomain())})
        answer = Client(net, port="http").ask(self.held(WEB[1]))
        assert answer.verified == {}
        assert {name for name, _ in asked(net)} == {NAME}

    def test_a_failure_decides_nothing(self) -> None:
        net = Net({NS1: zone({(NAME, SRV): services(1, tc=True), (WEB[1], A): message(SERVFAIL)})})
        assert Client(net, port="http", tcp="never").ask(self.held(WEB[1], WEB[2])).verified == {
            WEB[2]: Addresses((), ())
        }


class TestRememberedNames:
    SEARCH = ("a.example", "b.example")

    def test_earlier_names_are_asked_again_after_30_s_and_not_before(self) -> None:
        net = Net({NS1: zone({("web.b.example", A): found("web.b.example", A, "10.0.0.1")})}, latency=0.0)
        client = Client(net, "web", search=self.SEARCH, ndots=5)
        start = net.now
        client.ask()
        for later, names in (
            (29.99, ["web.b.example"]),
            (30.0, ["web.b.example", "web.a.example"]),
            (59.99, ["web.b.example"]),
            (60.0, ["web.b.example", "web.a.example"]),
        ):
            net.now = start + later
            net.asked.clear()
            client.ask(Held(A, name="web.b.example"))
            assert [each.name for each in net.asked] == names, later

    def test_a_remembered_name_without_anybody_is_told_by_its_own_name(self) -> None:
        there = zone({("web.b.example", A): found("web.b.example", A, "10.0.0.1")})
        net = Net({NS1: there})
        client = Client(net, "web", search=self.SEARCH, ndots=5)
        client.ask()
        net.servers[NS1] = always(nxdomain())
        answer = client.ask(Held(A, name="web.b.example"))
        assert (answer.name, answer.parts[0].nxdomain) == ("web.b.example", True)

    def test_nobody_under_any_name_is_told_by_the_first_with_the_lowest_ttl(self) -> None:
        replies = {"web.a.example": nxdomain(ttl=7), "web.b.example": nodata(ttl=4), "web": message(3)}
        net = Net({NS1: lambda name, *_: replies[name]})
        answer = Client(net, "web", search=self.SEARCH, ndots=5, family="ipv4").ask()
        assert answer.name == "web.a.example"
        (part,) = answer.parts
        assert (part.nxdomain, part.has_soa, part.ttl) == (False, False, 4)
        del replies["web"]
        replies["web"] = nxdomain(ttl=3)
        (part,) = Client(net, "web", search=self.SEARCH, ndots=5, family="ipv4").ask().parts
        assert (part.nxdomain, part.has_soa, part.ttl) == (False, True, 3)

    def test_the_first_refusal_is_told_where_the_other_names_have_nobody(self) -> None:
        replies = {"web.a.example": message(REFUSED), "web.b.example": message(REFUSED), "web": nxdomain()}
        net = Net({NS1: lambda name, *_: replies[name]})
        answer = Client(net, "web", search=self.SEARCH, ndots=5, family="ipv4").ask()
        assert answer.warning == f"web.a.example A: {NS1} said REFUSED"


class TestBothFamilies:
    """`family="any"`: A and AAAA at the same time."""

    def client(self, a: Message | None, aaaa: Message | None, **options: object) -> Client:
        net = Net({NS1: lambda name, rdtype, *_: a if rdtype == A else aaaa})
        return Client(net, family="any", **options)  # type: ignore[arg-type]

    V4, V6 = found(SVC, A, "10.0.0.1", size=111), found(SVC, AAAA, "fd00::1", size=222)

    def test_the_parts_are_in_order_and_the_name_is_told(self) -> None:
        answer = self.client(self.V4, self.V6).ask()
        assert [part.rdtype for part in answer.parts] == [A, AAAA]
        assert (answer.name, answer.server, answer.whole, answer.size) == (SVC, NS1, True, 111)

    @pytest.mark.parametrize(("a", "aaaa"), [(nxdomain(), nodata()), (nodata(), nxdomain())])
    def test_nxdomain_and_nodata_together_are_no_reason_to_stop(self, a: Message, aaaa: Message) -> None:
        """Only if both say NXDOMAIN the name is not there: with `port="auto"` the next type is asked for."""
        asked_types: list[int] = []

        def serve(name: str, rdtype: int, tcp: bool, edns: bool) -> Message:
            asked_types.append(rdtype)
            records = srv_found(SVC, [Srv(0, 1, 80, WEB[0])], {WEB[0]: ["10.0.0.1"]})
            return records if rdtype == SRV else a if rdtype == A else aaaa

        client = Client(Net({NS1: serve}), family="any", port="auto")
        client.ask(Held(A))
        assert asked_types[:2] == [A, AAAA]
        assert SRV in asked_types

    def test_what_fails_is_told_and_the_rest_counts(self) -> None:
        answer = self.client(self.V4, message(SERVFAIL)).ask()
        assert (answer.whole, [part.rdtype for part in answer.parts]) == (False, [A])
        assert answer.warning == f"{SVC} AAAA: {NS1} said SERVFAIL"
        assert answer.size == 111

    def test_a_failure_says_more_than_a_refusal(self) -> None:
        with pytest.raises(LookupFailed, match=f"^{SVC} AAAA: {NS1} said SERVFAIL$"):
            self.client(message(REFUSED), message(SERVFAIL)).ask()
        with pytest.raises(LookupFailed, match=f"^{SVC} A: {NS1} said SERVFAIL$"):
            self.client(message(SERVFAIL), message(REFUSED)).ask()
        with pytest.raises(LookupFailed, match=f"^{SVC} A: {NS1} said REFUSED$"):
            self.client(message(REFUSED), message(REFUSED)).ask()

    def test_nothing_usable_of_one_family_is_told_by_name(self) -> None:
        answer = self.client(found(SVC, A, "169.254.1.1"), self.V6).ask()
        assert not answer.whole
        assert answer.warning is not None
        assert f"{SVC}: no usable address. 1 addresses refused: 169.254.1.1 (link-local)" in answer.warning


class TestAddresses:
    def test_what_is_refused_is_told_first_and_three_of_them(self) -> None:
        hosts = [f"169.254.0.{i}" for i in range(1, 6)]
        net = Net({NS1: always(found(SVC, A, "10.0.0.1", *hosts))})
        client = Client(net)
        said = client.ask().warning
        assert said is not None
        assert said.startswith(f"{client.question}: 5 addresses refused: 169.254.0.1 (link-local), ")
        assert "169.254.0.3 (link-local); see allow_networks=" in said
        assert "169.254.0.4" not in said

    def test_what_was_refused_is_refused_and_told_again(self) -> None:
        net = Net({NS1: always(found(SVC, A, "10.0.0.1", "169.254.0.1"))})
        client = Client(net)
        assert client.ask().warning == client.ask(Held(A)).warning
        assert addresses(client.ask(Held(A)).parts[0]) == {"10.0.0.1"}

    def test_nothing_usable_says_which_name(self) -> None:
        with pytest.raises(LookupFailed, match=f"^{SVC}: no usable address. 1 addresses refused: 127.0.0.1"):
            Client(Net({NS1: always(found(SVC, A, "127.0.0.1"))})).ask()

    def test_the_same_addresses_are_the_same_object_from_the_same_server_alone(self) -> None:
        """Another server may be on loopback, and what it says of loopback counts."""
        net = Net(
            {NS1: always(found(SVC, A, "10.0.0.1", "10.0.0.2")), NS2: always(found(SVC, A, "10.0.0.2", "10.0.0.1"))}
        )
        client = Client(net)
        first = client.ask().parts[0].members
        assert client.ask(Held(A)).parts[0].members is first
        net.servers[NS1] = always(message(SERVFAIL))
        other = client.ask(Held(A)).parts[0].members
        assert other is not first
        assert other == first

    def test_whoever_was_positive_is_believed_next_time(self) -> None:
        net = Net({NS1: always(message(SERVFAIL)), NS2: always(found(SVC, A, "10.0.0.1"))})
        client = Client(net)
        client.ask()
        assert client.memory.positive == NS2
        net.servers[NS2] = always(nxdomain())
        assert client.ask(Held(A)).parts[0].nxdomain


class TestLocalhost:
    @pytest.mark.parametrize("target", ["localhost", "web.localhost"])
    def test_it_has_no_srv_records_and_dns_is_not_asked(self, target: str) -> None:
        net = Net({NS1: always(None)})
        client = Client(net, target, "http")
        answer = client.ask()
        (part,) = answer.parts
        assert (answer.name, part.rdtype, part.negative, part.has_soa, part.nxdomain) == (
            target,
            SRV,
            True,
            True,
            False,
        )
        assert part.ttl == HOSTS_TTL
        assert (answer.server, answer.tcp, answer.size, answer.warning) == (None, False, 0, None)
        assert net.asked == []


class TestSRVRecords:
    def test_the_target_dot_is_nobody_for_5_s(self) -> None:
        net = Net({NS1: always(srv_found(NAME, [Srv(0, 0, 0, "")], ttl=600))})
        (part,) = Client(net, port="http").ask().parts
        assert (part.rdtype, part.ttl, part.negative, part.has_soa) == (SRV, 5, True, False)

    @pytest.mark.parametrize(("name", "warned"), [("web.moon.svc.cluster.local", True), ("web.example", False)])
    def test_a_service_that_is_not_headless_answers_with_itself(self, name: str, warned: bool) -> None:
        reply = srv_found(name, [Srv(0, 1, 80, name)], {name: ["10.96.0.9"]})
        net = Net({NS1: always(reply)})
        warning = Client(net, f"{name}.", "auto").ask().warning
        assert warning == (f"{name} is not headless: DNS gives its cluster IP, not its pods" if warned else None)

    def test_a_cut_answer_that_says_the_same_is_as_whole_as_it_is(self) -> None:
        net = Net({NS1: always(services(3))})
        client = Client(net, port="http", tcp="never")
        assert client.ask().parts[0].complete
        net.servers[NS1] = always(services(3, tc=True))
        held = Held(SRV, frozenset({8080}), (), client.memory.services.members if client.memory.services else {}, SVC)
        again = client.ask(held).parts[0]
        assert again.members is held.members
        assert not again.complete

    @pytest.mark.parametrize(("count", "shown"), [(1, ""), (3, ""), (4, ", ...")])
    def test_up_to_three_targets_without_address_are_named(self, count: int, shown: str) -> None:
        net = Net({NS1: zone({(NAME, SRV): services(count + 1, glue=1)})})
        warning = Client(net, port="http").ask().warning
        lost = WEB[1 : count + 1]
        # `services` shows the glue of the first one alone, and no other name is there.
        assert warning is not None
        assert warning == f"{SVC}: {count} of {count + 1} targets have no address: {', '.join(lost[:3])}{shown}"

    def test_for_one_family_it_says_which(self) -> None:
        net = Net({NS1: zone({(NAME, SRV): services(1)})})
        warning = Client(net, port="http", family="ipv6").ask().warning
        assert warning == f"{SVC}: 1 of 1 targets have no address for family='ipv6': {WEB[0]}"
        net = Net({NS1: zone({(NAME, SRV): services(1, glue=0)})})
        warning = Client(net, port="http", family="any").ask().warning
        assert warning == f"{SVC}: 1 of 1 targets have no address: {WEB[0]}"

    def test_nothing_usable_is_a_failure(self) -> None:
        net = Net({NS1: zone({(NAME, SRV): services(2)})})
        with pytest.raises(LookupFailed, match=f"^{SVC}: no usable address. 2 addresses refused"):
            Client(net, port="http", allow_networks=parse_networks(["192.0.2.0/24"])).ask()
