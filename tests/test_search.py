"""Names of a search list: which one is meant, for how long, and what another one may do to peers that are held."""

from __future__ import annotations

import random

import pytest

from headless_discovery import LookupFailed
from headless_discovery.answer import Held
from headless_discovery.membership import Membership
from headless_discovery.message import AAAA, CNAME, REFUSED, SERVFAIL, SRV, A, Message, RRset, Srv
from headless_discovery.model import PeerSet
from headless_discovery.resolvconf import ResolvConf
from headless_discovery.target import Server
from sansio import NS1, NS2, Client, Net, found, message, nxdomain, srv_found

SEARCH = ("moon.svc.cluster.local", "svc.cluster.local", "corp.example")
OURS, SECOND, WILD = (f"web.{suffix}" for suffix in SEARCH)


class Names:
    """What a server has, by name: addresses, or a message for any question."""

    def __init__(self, **names: list[str] | Message | None) -> None:
        self.at: dict[str, list[str] | Message | None] = dict(names)

    def __call__(self, name: str, rdtype: int, tcp: bool, edns: bool) -> Message | None:
        has = self.at.get(name, nxdomain())
        if not isinstance(has, list):
            return has
        return found(name, A, *has) if rdtype == A else message(soa=(5, 5))


class Service:
    def __init__(self, names: Names, target: str = "web", port: int | str = 8080, **options: object) -> None:
        self.names = names
        self.net = Net({NS1: names})
        self.client = Client(self.net, target, port, search=SEARCH, ndots=5, **options)  # type: ignore[arg-type]
        self.membership = Membership(self.client.settings, 8080, random.Random(1), lambda n, error: 1.0, self.net.now)

    def refresh(self, after: float = 6.0) -> PeerSet:
        self.net.now += after
        self.net.asked.clear()
        result = self.client.outcome(self.membership.held())
        if isinstance(result, LookupFailed):
            self.membership.failed(result, self.net.now)
        else:
            self.membership.answered(result, self.net.now)
        return PeerSet(self.membership.peers())

    @property
    def asked(self) -> list[str]:
        return list(dict.fromkeys(a.name for a in self.net.asked))

    @property
    def error(self) -> str:
        return str(self.membership.error or "")


class TestWildcards:
    def test_pods_that_come_later_win_against_a_wildcard_further_down(self) -> None:
        """The earlier names are asked again after 30 s; their peers replace the others' once that has lasted."""
        service = Service(Names(**{WILD: ["192.0.2.1"]}))
        assert service.refresh().addresses == ("192.0.2.1",)
        assert service.asked == [OURS, SECOND, WILD]
        service.names.at[OURS] = ["10.0.0.1"]
        assert service.refresh(after=10).addresses == ("192.0.2.1",)
        assert service.asked == [WILD]
        assert service.refresh(after=20).addresses == ("192.0.2.1",)
        assert service.asked == [WILD, OURS]
        assert f"{OURS} has peers, too; those of {WILD} stay" in service.error
        assert service.refresh(after=15).addresses == ("192.0.2.1",)
        assert service.asked == [WILD, OURS], "each lookup asks both, until it is decided"
        assert service.refresh(after=15).addresses == ("10.0.0.1",)
        assert service.refresh(after=5).addresses == ("10.0.0.1",)
        assert service.asked == [OURS]
        assert service.error == ""

    def test_a_name_that_answers_only_now_and_then_replaces_nobody(self) -> None:
        service = Service(Names(**{WILD: ["192.0.2.1"]}))
        service.refresh()
        for _ in range(10):
            service.names.at[OURS] = ["10.0.0.1"]
            assert service.refresh(after=30).addresses == ("192.0.2.1",)
            del service.names.at[OURS]
            assert service.refresh(after=15).addresses == ("192.0.2.1",)

    def test_while_it_is_not_decided_the_peers_of_the_held_name_come_and_go(self) -> None:
        service = Service(Names(**{WILD: ["192.0.2.1"]}))
        service.refresh()
        service.names.at[OURS] = ["10.0.0.1"]
        service.refresh(after=30)
        service.names.at[WILD] = ["192.0.2.2"]
        assert service.refresh(after=12).addresses == ("192.0.2.2",)

    def test_at_zero_pods_a_remembered_name_is_not_lost_to_a_wildcard(self) -> None:
        service = Service(Names(**{OURS: ["10.0.0.1"], WILD: ["192.0.2.1"]}))
        service.refresh()
        del service.names.at[OURS]
        for _ in range(20):
            assert service.refresh().addresses in (("10.0.0.1",), ())
        assert service.refresh() == PeerSet()
        service.names.at[OURS] = ["10.0.0.2"]
        assert service.refresh().addresses == ("10.0.0.2",)

    def test_a_suffix_that_is_new_and_one_nxdomain_replace_nobody(self) -> None:
        service = Service(Names(**{OURS: ["10.0.0.1", "10.0.0.2"]}))
        before = service.refresh()
        service.client.conf = ResolvConf((NS1,), (*SEARCH, "wild.example"), 5)
        service.names.at = {"web.wild.example": ["192.0.2.1"]}
        assert service.refresh() == before
        assert "web.wild.example has peers, too" in service.error
        service.names.at[OURS] = ["10.0.0.1", "10.0.0.2"]
        assert service.refresh() == before
        assert service.error == ""
        del service.names.at[OURS]
        for _ in range(3):
            assert service.refresh(after=14) == before, "the grace begins anew"
        assert service.refresh(after=14) == PeerSet(), "a name that has hit under this resolv.conf is remembered"

    def test_a_suffix_that_is_new_replaces_a_name_that_stays_away_when_that_has_lasted(self) -> None:
        service = Service(Names(**{OURS: ["10.0.0.1"]}))
        before = service.refresh()
        service.client.conf = ResolvConf((NS1,), (*SEARCH, "wild.example"), 5)
        service.names.at = {"web.wild.example": ["192.0.2.1"]}
        for after in (5, 15, 14):
            assert service.refresh(after) == before
        assert service.refresh(after=1).addresses == ("192.0.2.1",)
        assert service.error == ""

    def test_a_suffix_that_is_new_and_comes_first_has_to_last_too(self) -> None:
        service = Service(Names(**{SECOND: ["10.0.0.1"], "web.new.example": ["10.9.9.9"]}))
        service.refresh()
        service.client.conf = ResolvConf((NS1,), ("new.example", *SEARCH), 5)
        for after in (5, 15, 14):
            assert service.refresh(after).addresses == ("10.0.0.1",)
        assert service.refresh(after=1).addresses == ("10.9.9.9",)

    def test_a_name_that_the_search_list_has_no_more_is_held_while_it_answers(self) -> None:
        service = Service(Names(**{OURS: ["10.0.0.1"]}))
        before = service.refresh()
        service.client.conf = ResolvConf((NS1,), ("corp.example",), 5)
        for _ in range(10):
            assert service.refresh() == before
        del service.names.at[OURS]
        for _ in range(6):
            service.refresh()
        assert service.refresh() == PeerSet()

    def test_without_grace_another_name_is_believed_at_once(self) -> None:
        service = Service(Names(**{WILD: ["192.0.2.1"]}), empty_grace=0)
        service.refresh()
        service.names.at[OURS] = ["10.0.0.1"]
        assert service.refresh(after=30).addresses == ("10.0.0.1",)

    def test_srv_of_another_name_likewise(self) -> None:
        def srv(name: str, target: str, address: str) -> Message:
            return srv_found(f"_http._tcp.{name}", [Srv(0, 1, 1, target)], {target: [address]})

        wild, ours = srv(WILD, "a.example", "192.0.2.1"), srv(OURS, f"web-0.{OURS}", "10.0.0.1")
        service = Service(Names(**{f"_http._tcp.{WILD}": wild}), port="http")
        assert service.refresh().addresses == ("192.0.2.1",)
        service.names.at[f"_http._tcp.{OURS}"] = ours
        for _ in range(3):
            assert service.refresh(after=30).addresses == ("192.0.2.1",) or service.error == ""
        assert service.refresh(after=30).addresses == ("10.0.0.1",)


class TestFailures:
    def test_a_name_that_is_refused_is_passed_over(self) -> None:
        service = Service(Names(**{OURS: message(REFUSED), SECOND: ["10.0.0.1"]}))
        assert service.refresh().addresses == ("10.0.0.1",)
        assert service.error == ""
        service.refresh()
        assert service.asked == [SECOND], "remembered"
        service.refresh(after=30)
        assert service.asked == [SECOND, OURS]
        assert service.membership.failures == 0

    def test_where_all_names_are_refused_it_is_a_failure(self) -> None:
        service = Service(Names(**dict.fromkeys([OURS, SECOND, WILD, "web"], message(REFUSED))))
        with pytest.raises(LookupFailed, match=f"{OURS} A: .* said REFUSED") as raised:
            service.client.ask()
        assert type(raised.value) is LookupFailed

    def test_where_some_are_refused_and_the_others_have_nobody_the_refusal_is_told(self) -> None:
        service = Service(Names(**{OURS: message(REFUSED)}))
        assert service.refresh() == PeerSet()
        assert "said REFUSED" in service.error

    def test_of_two_servers_both_have_to_refuse(self) -> None:
        service = Service(Names(**{OURS: message(REFUSED), SECOND: ["10.0.0.1"]}))
        service.net.servers[NS2] = lambda *_: None
        service.client.conf = ResolvConf((NS1, NS2), SEARCH, 5)
        with pytest.raises(LookupFailed, match="said REFUSED"):
            service.client.ask()

    @pytest.mark.parametrize("trouble", [message(SERVFAIL), None])
    def test_after_a_failure_the_name_as_it_was_written_is_used_told_and_not_remembered(
        self, trouble: Message | None
    ) -> None:
        written = "db.example.com"
        names = Names(**{f"{written}.{SEARCH[0]}": trouble, written: ["10.0.0.1"]})
        service = Service(names, written)
        for _ in range(3):
            assert service.refresh(after=30).addresses == ("10.0.0.1",)
            assert f"{written} is used, because an earlier name failed" in service.error
            assert f"{written}.{SEARCH[1]}" not in service.asked
        assert service.client.memory.name is None
        names.at[f"{written}.{SEARCH[0]}"] = nxdomain()
        assert service.refresh().addresses == ("10.0.0.1",)
        assert service.error == ""
        assert service.client.memory.name == written

    def test_a_wildcard_is_not_asked_after_a_failure(self) -> None:
        service = Service(Names(**{OURS: message(SERVFAIL), WILD: ["192.0.2.1"]}))
        with pytest.raises(LookupFailed, match=f"{OURS} A: .* said SERVFAIL"):
            service.client.ask()
        assert [a.name for a in service.net.asked] == [OURS, "web"]

    def test_a_failure_of_the_held_name_is_no_emptiness(self) -> None:
        service = Service(Names(**{OURS: ["10.0.0.1"]}))
        before = service.refresh()
        service.client.conf = ResolvConf((NS1,), ("new.example", *SEARCH), 5)
        service.names.at = {OURS: message(SERVFAIL), "web": ["192.0.2.1"], WILD: ["192.0.2.2"]}
        for _ in range(30):
            assert service.refresh() == before
        assert "SERVFAIL" in service.error

    def test_earlier_names_that_are_silent_cost_a_second_and_no_failure(self) -> None:
        service = Service(Names(**{SECOND: ["10.0.0.1"]}))
        service.refresh()
        service.names.at[OURS] = None
        began = service.net.now
        assert service.refresh(after=30).addresses == ("10.0.0.1",)
        assert service.net.now - began <= 30 + 1.1
        assert service.membership.failures == 0
        assert service.error == ""


class TestServersThatCount:
    """An empty answer counts from the server that answered positively last; else from the first one, or from all."""

    def two(self, first: Names, second: Names) -> Service:
        service = Service(first, f"{OURS}.")
        service.net.servers[NS2] = second
        service.client.conf = ResolvConf((NS1, NS2))
        return service

    @pytest.mark.parametrize("trouble", [None, message(SERVFAIL), message(REFUSED), "sent what is no DNS message"])
    def test_a_fallback_never_empties_a_set(self, trouble: Message | str | None) -> None:
        service = self.two(Names(**{OURS: ["10.0.0.1"]}), Names())
        before = service.refresh()
        service.net.servers[NS1] = lambda *_: trouble
        for _ in range(20):
            assert service.refresh() == before
        assert "says there are none, but" in service.error

    def test_after_one_lost_packet_the_first_server_is_asked_again(self) -> None:
        lost = iter([True])
        names = Names(**{OURS: ["10.0.0.1"]})
        service = self.two(names, Names())
        service.net.servers[NS1] = lambda *question: None if next(lost, False) else names(*question)
        assert service.refresh().addresses == ("10.0.0.1",)
        assert [a.server for a in service.net.asked] == [NS1, NS2, NS1]

    def test_new_servers_are_believed_after_they_have_answered_positively(self) -> None:
        service = self.two(Names(**{OURS: ["10.0.0.1"]}), Names())
        before = service.refresh()
        other, public = Server("10.96.0.20"), Server("192.0.2.53")
        service.net.servers.update({other: lambda *_: None, public: Names()})
        service.client.conf = ResolvConf((other, public))
        for _ in range(20):
            assert service.refresh() == before
        service.net.servers[other] = Names(**{OURS: ["10.0.0.1"]})
        assert service.refresh() == before
        service.net.servers[other] = Names()
        for _ in range(7):
            service.refresh()
        assert service.refresh() == PeerSet()

    def test_one_server_alone_is_all_servers(self) -> None:
        service = self.two(Names(**{OURS: ["10.0.0.1"]}), Names())
        service.refresh()
        service.client.conf = ResolvConf((NS2,))
        for _ in range(7):
            service.refresh()
        assert service.refresh() == PeerSet()


class TestForeignAnswers:
    @pytest.mark.parametrize(
        "reply",
        [
            found("web.shop.svc.cluster.local", A, "10.0.0.9"),
            found("web.shop.svc.cluster.local", AAAA, "fd00::9"),
            srv_found("web.shop.svc.cluster.local", [], {}),
        ],
        ids=["A", "AAAA", "SRV"],
    )
    def test_an_answer_for_another_name_is_a_failure_and_never_emptiness(self, reply: Message) -> None:
        service = Service(Names(**{OURS: ["10.0.0.1"]}), f"{OURS}.")
        before = service.refresh()
        service.names.at[OURS] = reply
        for _ in range(20):
            assert service.refresh() == before
        assert "answers for another name (web.shop.svc.cluster.local)" in service.error
        reply.soa = (5, 5)
        assert service.refresh() == before
        with pytest.raises(LookupFailed, match="answers for another name"):
            service.client.ask(Held())

    def test_for_srv_too(self) -> None:
        service = Service(Names(**{f"_http._tcp.{OURS}": srv_found("_http._tcp.other", [])}), f"{OURS}.", "http")
        with pytest.raises(LookupFailed, match=r"answers for another name \(_http\._tcp\.other\)"):
            service.client.ask()

    def test_records_of_other_names_beside_those_asked_for_do_no_harm(self) -> None:
        reply = found(OURS, A, "10.0.0.1")
        reply.answer.update(found("other", A, "10.0.0.9").answer)
        service = Service(Names(**{OURS: reply}), f"{OURS}.")
        assert service.refresh().addresses == ("10.0.0.1",)


class TestTypesThatAreDenied:
    """Some servers say NXDOMAIN for a type that the name lacks (Docker, Podman, mesos-dns, weave)."""

    def only(self, *rdtypes: int) -> Net:
        def serve(name: str, rdtype: int, tcp: bool, edns: bool) -> Message:
            if name != OURS or rdtype not in rdtypes:
                return nxdomain()
            return found(name, rdtype, "10.0.0.1" if rdtype == A else "fd00::1")

        return Net({NS1: serve})

    @pytest.mark.parametrize("family", ["auto", "any"])
    @pytest.mark.parametrize(("port", "rdtype"), [("auto", A), ("auto", AAAA), (8080, A), (8080, AAAA)])
    def test_the_next_type_is_asked_for_while_nobody_is_held(self, port: int | str, rdtype: int, family: str) -> None:
        net = self.only(rdtype)
        answer = Client(net, f"{OURS}.", port, family=family).ask()
        assert any(part.rdtype == rdtype and part.members for part in answer.parts)

    def test_in_a_search_list_only_when_no_name_has_anybody(self) -> None:
        client = Client(self.only(A), "web", "auto", search=SEARCH, ndots=5)
        assert client.ask().name == OURS
        asked = [(a.name, a.rdtype) for a in client.net.asked]
        assert asked[:4] == [(OURS, SRV), (SECOND, SRV), (WILD, SRV), ("web", SRV)]
        assert asked[4:] == [(OURS, A)]

    @pytest.mark.parametrize("trouble", [message(SERVFAIL), None])
    def test_when_its_query_fails_it_is_not_known_whether_anybody_is_there(self, trouble: Message | None) -> None:
        replies = {A: nxdomain(), AAAA: trouble}
        net = Net({NS1: lambda name, rdtype, *_: replies[rdtype]})
        client = Client(net, f"{OURS}.")
        for _ in range(2):
            with pytest.raises(LookupFailed, match="AAAA"):
                client.ask()
        replies[AAAA] = nxdomain()
        assert client.ask().parts[0].nxdomain

    def test_a_server_that_refuses_the_next_type_does_not_have_it(self) -> None:
        net = Net({NS1: lambda name, rdtype, *_: nxdomain() if rdtype == A else message(REFUSED)})
        assert Client(net, f"{OURS}.").ask().parts[0].nxdomain

    def test_any_after_srv_asks_for_both_families(self) -> None:
        def serve(name: str, rdtype: int, tcp: bool, edns: bool) -> Message:
            return found(name, AAAA, "fd00::1") if rdtype == AAAA else message(soa=(5, 5))

        answer = Client(Net({NS1: serve}), f"{OURS}.", "auto", family="any").ask()
        assert [(part.rdtype, bool(part.members)) for part in answer.parts] == [(A, False), (AAAA, True)]


class TestPortsOfInstances:
    """`port="auto"` where an instance is a port of a host, of which one may have two."""

    def records(self, *pairs: tuple[str, int]) -> Message:
        from headless_discovery.message import Srv

        return srv_found(
            OURS, [Srv(0, 1, port, host) for host, port in pairs], {host: ["10.0.0.1"] for host, _ in pairs}
        )

    def test_a_second_instance_on_one_host_joins(self) -> None:
        service = Service(Names(**{OURS: self.records(("a", 31001), ("b", 31003))}), f"{OURS}.", "auto")
        assert {p.port for p in service.refresh()} == {31001, 31003}
        service.names.at[OURS] = self.records(("a", 31001), ("a", 31002), ("b", 31003))
        assert {p.port for p in service.refresh()} == {31001, 31002, 31003}
        assert service.error == ""

    def test_a_second_port_of_the_service_does_not(self) -> None:
        service = Service(Names(**{OURS: self.records(("a", 80), ("b", 80))}), f"{OURS}.", "auto")
        service.refresh()
        service.names.at[OURS] = self.records(("a", 80), ("b", 80), ("b", 90))
        assert {p.port for p in service.refresh()} == {80}
        assert "keeps the known ones" in service.error

    def test_at_first_the_error_lists_the_ports_and_tells_both_ways_out(self) -> None:
        client = Client(Net({NS1: lambda *_: self.records(("a", 31001), ("a", 31002))}), f"{OURS}.", "auto")
        with pytest.raises(LookupFailed, match=r"\(31001, 31002\).*port's name.*SRV name that lists them"):
            client.ask()


class TestChains:
    def test_a_chain_that_was_cut_over_udp_is_followed_by_asking_for_its_end(self) -> None:
        def serve(name: str, rdtype: int, tcp: bool, edns: bool) -> Message:
            if edns:
                return message(1)
            if tcp:
                return message(REFUSED)
            if name == OURS:
                return message(answer={(OURS, CNAME): RRset(5, ["end.example"])}, tc=True)
            return found(name, rdtype, "10.0.0.1" if rdtype == A else "fd00::1")

        answer = Client(Net({NS1: serve}), f"{OURS}.", family="any").ask()
        assert [len(part.members) for part in answer.parts] == [1, 1]
        assert answer.whole
