"""Asking (docs/architecture.md): each test is one rule, in virtual time, against scripted servers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headless_discovery import LookupFailed
from headless_discovery.answer import Addresses, Held, Key
from headless_discovery.message import AAAA, CNAME, FORMERR, NOTIMP, REFUSED, SERVFAIL, SRV, A, Message, RRset, Srv
from headless_discovery.model import packed_address
from headless_discovery.settings import parse_networks
from headless_discovery.target import Server
from sansio import NS1, NS2, NS3, SVC, Client, Net, addresses, found, message, nodata, nxdomain, srv_found

SUFFIXES = ("moon.svc.cluster.local", "svc.cluster.local", "cluster.local")
WEB0, WEB1 = f"web-0.{SVC}", f"web-1.{SVC}"


def always(reply):
    return lambda name, rdtype, tcp, edns: reply


def zone(records):
    """A server that knows `records[name, rdtype]`; else NODATA where the name exists, NXDOMAIN where not."""

    def serve(name, rdtype, tcp, edns):
        reply = records.get((name, rdtype))
        if reply is not None:
            return reply
        return nodata() if any(known == name for known, _ in records) else nxdomain()

    return serve


def one(*values, rdtype=A, name=SVC, **options):
    return found(name, rdtype, *values, **options)


class TestNames:
    def test_a_name_that_ends_in_a_search_suffix_is_absolute_one_query_under_ndots_5(self):
        net = Net({NS1: always(one("10.0.0.1"))})
        Client(net, search=SUFFIXES, ndots=5).ask()
        assert [(a.name, a.rdtype) for a in net.asked] == [(SVC, A)]

    def test_a_final_dot_makes_a_name_absolute_even_when_it_is_not_there(self):
        net = Net({NS1: always(nxdomain())})
        assert Client(net, "nobody.", search=SUFFIXES, ndots=5).ask().parts[0].negative
        assert {a.name for a in net.asked} == {"nobody"}

    def test_a_suffix_of_one_label_makes_nothing_absolute(self):
        net = Net({NS1: zone({("a.local.local", A): one("10.0.0.1", name="a.local.local")})})
        assert Client(net, "a.local", search=("local",), ndots=5).ask().name == "a.local.local"

    def test_short_names_walk_the_search_list_and_the_hit_is_remembered(self):
        net = Net({NS1: zone({(SVC, A): one("10.0.0.1")})})
        client = Client(net, "headless-svc.moon", search=SUFFIXES, ndots=5)
        assert client.ask().name == SVC
        assert list(dict.fromkeys(a.name for a in net.asked)) == ["headless-svc.moon.moon.svc.cluster.local", SVC]
        net.asked.clear()
        client.ask(Held(A, name=SVC))
        assert [a.name for a in net.asked] == [SVC]

    def test_at_zero_pods_the_remembered_name_is_asked_alone(self):
        records = {(SVC, A): one("10.0.0.1")}
        net = Net({NS1: zone(records)})
        client = Client(net, "headless-svc", search=SUFFIXES, ndots=5)
        client.ask()
        records.clear()
        net.asked.clear()
        assert client.ask(Held(A)).parts[0].nxdomain
        assert [a.name for a in net.asked] == [SVC]

    def test_a_changed_resolv_conf_forgets_the_name(self):
        other = "headless-svc.sun.svc.cluster.local"
        net = Net({NS1: zone({(SVC, A): one("10.0.0.1"), (other, A): one("10.0.9.9", name=other)})})
        client = Client(net, "headless-svc", search=SUFFIXES, ndots=5)
        client.ask()
        client.conf = client.conf.__class__(client.conf.servers, ("sun.svc.cluster.local",), 5)
        assert client.ask(Held(A)).name == other

    def test_the_walk_stops_at_a_failed_candidate_though_a_later_suffix_has_a_wildcard(self):
        def serve(name, rdtype, tcp, edns):
            return one("10.6.6.6", name=name) if name == "headless-svc.cluster.local" else message(SERVFAIL)

        net = Net({NS1: serve})
        client = Client(net, "headless-svc", search=SUFFIXES, ndots=5)
        with pytest.raises(LookupFailed, match="SERVFAIL"):
            client.ask()
        assert client.memory.name is None

    def test_nodata_goes_on_in_the_walk_and_says_more_than_nxdomain(self):
        net = Net({NS1: zone({(f"headless-svc.{SUFFIXES[1]}", 16): nodata()})})
        part = Client(net, "headless-svc", search=SUFFIXES, ndots=5, family="ipv4").ask().parts[0]
        assert part.negative
        assert not part.nxdomain
        assert len(net.asked) == 4

    def test_many_dots_try_the_name_itself_first(self):
        net = Net({NS1: always(nxdomain())})
        Client(net, "a.b.c", search=("x.y",), ndots=2).ask()
        assert list(dict.fromkeys(a.name for a in net.asked)) == ["a.b.c", "a.b.c.x.y"]


class TestServers:
    def test_two_attempts_a_server_all_servers_once_before_repeating_1_s_then_2_s(self):
        net = Net({NS1: always(None), NS2: always(None)})
        with pytest.raises(LookupFailed, match=r"10\.96\.0\.10:53 timed out; 10\.96\.0\.11:53 timed out"):
            Client(net, timeout=10).ask()
        assert [a.server for a in net.asked] == [NS1, NS2, NS1, NS2]
        assert [a.time - 1000 for a in net.asked] == [0, 1, 2, 4]
        assert net.now - 1000 == 6

    def test_the_whole_lookup_ends_within_timeout(self):
        net = Net({NS1: always(None), NS2: always(None), NS3: always(None)})
        with pytest.raises(LookupFailed):
            Client(net, timeout=3.5).ask()
        assert net.now - 1000 == 3.5

    def test_a_server_that_was_silent_is_not_said_to_be_unasked(self):
        with pytest.raises(LookupFailed, match=r"10\.96\.0\.10:53 timed out; 10\.96\.0\.11:53 was not asked"):
            Client(Net({NS1: always(None), NS2: always(None)}), timeout=1).ask()

    def test_the_last_good_server_stays_first_and_the_configured_first_comes_again_after_30_s(self):
        dead = {"down": True}
        net = Net({NS1: lambda *_: None if dead["down"] else one("10.0.0.1"), NS2: always(one("10.0.0.1"))})
        client = Client(net)
        client.ask()
        net.asked.clear()
        client.ask(Held(A))
        assert [a.server for a in net.asked] == [NS2]
        net.now += 30
        net.asked.clear()
        client.ask(Held(A))
        assert [a.server for a in net.asked] == [NS1, NS2], "tried again, at the cost of one time-out"
        net.asked.clear()
        client.ask(Held(A))
        assert [a.server for a in net.asked] == [NS2]
        dead["down"] = False
        net.now += 30
        client.ask(Held(A))
        net.asked.clear()
        client.ask(Held(A))
        assert [a.server for a in net.asked] == [NS1]

    @pytest.mark.parametrize("rcode", [SERVFAIL, REFUSED, NOTIMP, 9])
    def test_an_rcode_that_says_nothing_about_the_name_goes_to_the_next_server(self, rcode):
        net = Net({NS1: always(message(rcode, soa=(5, 5))), NS2: always(one("10.0.0.1"))})
        assert addresses(Client(net).ask().parts[0]) == {"10.0.0.1"}

    def test_it_is_not_asked_again_in_the_same_lookup(self):
        net = Net({NS1: always(message(SERVFAIL))})
        with pytest.raises(LookupFailed, match="said SERVFAIL"):
            Client(net).ask()
        assert len(net.asked) == 1

    @pytest.mark.parametrize(
        "lame",
        [
            message(has_ns=True),
            pytest.param(type(message())(0, False, False, False, 100), id="neither AA nor RA"),
        ],
    )
    def test_lame_servers_are_passed_over(self, lame):
        net = Net({NS1: always(lame), NS2: always(one("10.0.0.1"))})
        assert addresses(Client(net).ask().parts[0]) == {"10.0.0.1"}
        with pytest.raises(LookupFailed, match="lame"):
            Client(Net({NS1: always(lame)})).ask()

    def test_a_second_servers_nxdomain_does_not_count_when_the_trusted_first_is_silent(self):
        behaviour = {NS1: always(one("10.0.0.1")), NS2: always(nxdomain())}
        net = Net(behaviour)
        client = Client(net)
        client.ask()
        behaviour[NS1] = always(None)
        with pytest.raises(LookupFailed, match=r"10\.96\.0\.11:53 says there are none, but 10\.96\.0\.10:53 timed out"):
            client.ask(Held(A))

    def test_every_server_saying_nxdomain_counts(self):
        behaviour = {NS1: always(one("10.0.0.1")), NS2: always(message(SERVFAIL))}
        net = Net(behaviour)
        client = Client(net)
        client.ask()
        client.memory.positive = NS3  # it is configured no more
        behaviour.update({NS1: always(nxdomain()), NS2: always(nxdomain())})
        assert client.ask(Held(A)).parts[0].nxdomain
        behaviour[NS2] = always(one("10.0.0.2"))
        assert addresses(client.ask(Held(A)).parts[0]) == {"10.0.0.2"}

    @pytest.mark.parametrize("trouble", [None, message(SERVFAIL), message(REFUSED), "sent what is no DNS message"])
    def test_a_fallback_servers_nxdomain_is_no_answer_at_the_first_lookup(self, trouble):
        net = Net({NS1: always(trouble), NS2: always(nxdomain())})
        with pytest.raises(LookupFailed, match=r"10\.96\.0\.11:53 says there are none, but 10\.96\.0\.10:53 "):
            Client(net).ask()

    def test_at_the_first_lookup_the_first_servers_nxdomain_counts(self):
        net = Net({NS1: always(nxdomain()), NS2: always(one("10.0.0.1"))})
        assert Client(net).ask().parts[0].nxdomain
        assert [a.server for a in net.asked] == [NS1, NS1], "A, then AAAA"

    def test_an_unreachable_server_costs_no_waiting(self):
        net = Net({NS1: always("cannot be reached (Connection refused)"), NS2: always(one("10.0.0.1"))})
        Client(net).ask()
        assert net.now - 1000 == pytest.approx(0.02)


class TestTransport:
    def test_edns_first_and_without_it_after_formerr_remembered(self):
        net = Net({NS1: lambda n, t, tcp, edns: message(FORMERR) if edns else one("10.0.0.1")})
        client = Client(net)
        client.ask()
        client.ask(Held(A))
        assert [a.edns for a in net.asked] == [True, False, False]

    def test_badvers_likewise(self):
        net = Net({NS1: lambda n, t, tcp, edns: message(16) if edns else one("10.0.0.1")})
        Client(net).ask()
        assert [a.edns for a in net.asked] == [True, False]

    def test_edns_dropped_in_silence_is_left_out_at_the_second_attempt(self):
        net = Net({NS1: lambda n, t, tcp, edns: None if edns else one("10.0.0.1")})
        assert Client(net).ask()
        assert [a.edns for a in net.asked] == [True, False]

    def test_tc_goes_to_tcp_and_next_time_straight_there(self):
        net = Net(
            {NS1: lambda n, t, tcp, edns: one("10.0.0.1", "10.0.0.2", size=2000) if tcp else one("10.0.0.1", tc=True)}
        )
        client = Client(net)
        answer = client.ask()
        assert answer.tcp
        assert answer.parts[0].complete
        assert len(answer.parts[0].members) == 2
        client.ask(Held(A))
        assert [a.tcp for a in net.asked] == [False, True, True]
        net.now += 300
        client.ask(Held(A))
        assert [a.tcp for a in net.asked][3:] == [False, True], "back to UDP after 5 min"

    def test_back_to_udp_when_the_tcp_answer_was_small(self):
        net = Net({NS1: lambda n, t, tcp, edns: one("10.0.0.1", size=999) if tcp else one("10.0.0.1", tc=True)})
        client = Client(net)
        client.ask()
        client.ask(Held(A))
        assert [a.tcp for a in net.asked] == [False, True, False, True]

    @pytest.mark.parametrize("trouble", ["cannot be reached by TCP (Connection refused)", None, message(SERVFAIL)])
    def test_when_tcp_fails_the_udp_part_is_an_incomplete_answer(self, trouble):
        net = Net({NS1: lambda n, t, tcp, edns: trouble if tcp else one("10.0.0.1", tc=True)})
        answer = Client(net).ask()
        assert addresses(answer.parts[0]) == {"10.0.0.1"}
        assert not answer.parts[0].complete

    def test_straight_to_tcp_falls_back_to_udp(self):
        open_ = {"tcp": True}

        def serve(n, t, tcp, edns):
            if tcp:
                return one("10.0.0.1", "10.0.0.2", size=2000) if open_["tcp"] else "refused"
            return one("10.0.0.1", tc=True)

        net = Net({NS1: serve})
        client = Client(net)
        client.ask()
        open_["tcp"] = False
        answer = client.ask(Held(A))
        assert not answer.parts[0].complete
        assert [a.tcp for a in net.asked] == [False, True, True, False], "TCP is not tried twice in one lookup"

    def test_tcp_never_and_always(self):
        net = Net({NS1: lambda n, t, tcp, edns: one("10.0.0.1", tc=not tcp)})
        assert not Client(net, tcp="never").ask().parts[0].complete
        assert Client(net, tcp="always").ask().parts[0].complete
        assert [a.tcp for a in net.asked] == [False, True]

    def test_tc_with_nothing_in_it_is_no_answer(self):
        net = Net({NS1: lambda n, t, tcp, edns: "refused" if tcp else message(tc=True)})
        with pytest.raises(LookupFailed, match="down to nothing"):
            Client(net).ask()


class TestCNAME:
    def chain(self, hops, *, end=True):
        records = {(f"c{i}", CNAME): RRset(100 - i, [f"c{i + 1}"]) for i in range(hops)}
        if end:
            records[f"c{hops}", A] = RRset(50, [packed_address("10.0.0.1")])
        return message(answer=records)

    def test_a_chain_of_8_is_followed_and_the_lowest_ttl_counts(self):
        answer = Client(Net({NS1: always(self.chain(8))}), "c0.").ask()
        assert addresses(answer.parts[0]) == {"10.0.0.1"}
        assert answer.ttl == 50

    def test_the_cnames_own_ttl_counts(self):
        reply = self.chain(1)
        reply.answer["c0", CNAME].ttl = 10
        reply.answer["c1", A].ttl = 86400
        assert Client(Net({NS1: always(reply)}), "c0.").ask().ttl == 10

    def test_a_chain_of_9_and_a_loop_are_refused(self):
        with pytest.raises(LookupFailed, match="CNAME chain"):
            Client(Net({NS1: always(self.chain(9))}), "c0.").ask()
        loop = message(answer={("c0", CNAME): RRset(5, ["c1"]), ("c1", CNAME): RRset(5, ["c0"])})
        with pytest.raises(LookupFailed, match="loop"):
            Client(Net({NS1: always(loop)}), "c0.").ask()

    def test_a_chain_that_leads_out_of_the_message_is_followed_by_asking(self):
        net = Net({NS1: zone({("c0", A): self.chain(1, end=False), ("c1", A): one("10.0.0.1", name="c1")})})
        assert addresses(Client(net, "c0.").ask().parts[0]) == {"10.0.0.1"}

    def test_cname_to_a_name_without_addresses_is_nodata(self):
        reply = self.chain(1, end=False)
        reply.soa = (5, 5)
        part = Client(Net({NS1: always(reply)}), "c0.", family="ipv4").ask().parts[0]
        assert part.negative
        assert not part.nxdomain

    def test_cname_only_everywhere_ends(self):
        def serve(name, rdtype, tcp, edns):
            return message(answer={(name, CNAME): RRset(5, [f"x{name}"])})

        with pytest.raises(LookupFailed, match="CNAME chain"):
            Client(Net({NS1: serve}), "c0.").ask()

    def test_nxdomain_with_a_cname_is_nxdomain(self):
        reply = self.chain(1, end=False)
        reply.rcode, reply.soa = 3, (5, 5)
        assert Client(Net({NS1: always(reply)}), "c0.").ask().parts[0].nxdomain

    def test_nxdomain_beside_addresses_is_garbage(self):
        reply = one("10.0.0.1")
        reply.rcode = 3
        with pytest.raises(LookupFailed, match="NXDOMAIN beside an answer"):
            Client(Net({NS1: always(reply)})).ask()


class TestNegativeTTL:
    @pytest.mark.parametrize(("soa", "ttl"), [((5, 30), 5), ((30, 5), 5), ((3600, 3600), 10), ((0, 0), 1), (None, 5)])
    def test_lowest_of_soa_ttl_and_minimum_within_1_to_10(self, soa, ttl):
        part = Client(Net({NS1: always(message(3, soa=soa))})).ask().parts[0]
        assert part.ttl == ttl
        assert part.has_soa == (soa is not None)


class TestFamilies:
    def test_auto_asks_aaaa_only_after_a_nodata(self):
        net = Net({NS1: zone({(SVC, AAAA): one("fd00::1", rdtype=AAAA)})})
        answer = Client(net).ask()
        assert answer.parts[0].rdtype == AAAA
        assert [a.rdtype for a in net.asked] == [A, AAAA]

    def test_auto_asks_no_aaaa_after_failure_or_nxdomain(self):
        net = Net({NS1: lambda n, t, tcp, e: message(SERVFAIL) if t == A else one("fd00::1", rdtype=AAAA)})
        with pytest.raises(LookupFailed):
            Client(net).ask()
        assert [a.rdtype for a in net.asked] == [A]

    def test_types_behind_an_nxdomain_are_asked_for_at_the_start_and_every_30_s_while_nobody_is_held(self):
        net = Net({NS1: always(nxdomain())})
        client = Client(net)
        client.ask()
        assert [a.rdtype for a in net.asked] == [A, AAAA]
        client.ask()
        assert [a.rdtype for a in net.asked] == [A, AAAA, A]
        net.now += 30
        client.ask()
        assert [a.rdtype for a in net.asked] == [A, AAAA, A, A, AAAA]
        net.now += 30
        client.ask(Held(A))
        assert [a.rdtype for a in net.asked][5:] == [A]

    def test_the_held_family_is_asked_first_and_another_only_stands_by(self):
        net = Net({NS1: zone({(SVC, AAAA): one("fd00::1", rdtype=AAAA)})})
        client = Client(net)
        client.ask(Held(AAAA))
        assert [a.rdtype for a in net.asked] == [AAAA], "one query"
        answer = client.ask(Held(A))
        assert answer.parts[0].negative
        assert [addresses(part) for part in answer.instead] == [{"fd00::1"}]

    def test_any_asks_both_and_is_whole_only_with_both(self):
        net = Net({NS1: zone({(SVC, AAAA): one("fd00::1", rdtype=AAAA), (SVC, A): one("10.0.0.1")})})
        answer = Client(net, family="any").ask()
        assert [addresses(part) for part in answer.parts] == [{"10.0.0.1"}, {"fd00::1"}]
        assert answer.whole
        net.servers[NS1] = lambda n, t, tcp, e: one("10.0.0.1") if t == A else message(SERVFAIL)
        answer = Client(net, family="any").ask()
        assert [part.rdtype for part in answer.parts] == [A]
        assert not answer.whole
        assert "SERVFAIL" in (answer.warning or "")

    def test_nobody_is_told_for_both_families(self):
        answer = Client(Net({NS1: always(nxdomain())}), family="any").ask()
        assert [(part.rdtype, part.nxdomain) for part in answer.parts] == [(A, True), (AAAA, True)]

    @pytest.mark.parametrize("refused", ["fe80::1", "fd00::1"])
    def test_any_with_one_of_which_nothing_is_left_is_the_other(self, refused):
        net = Net({NS1: zone({(SVC, AAAA): one(refused, rdtype=AAAA), (SVC, A): one("10.0.0.1")})})
        answer = Client(net, family="any", allow_networks=parse_networks(["10.0.0.0/8"])).ask()
        assert [addresses(part) for part in answer.parts] == [{"10.0.0.1"}]
        assert not answer.whole
        assert refused in (answer.warning or "")

    def test_any_with_one_failed_and_the_other_empty_is_a_failure(self):
        net = Net({NS1: lambda n, t, tcp, e: nodata() if t == A else message(SERVFAIL)})
        with pytest.raises(LookupFailed):
            Client(net, family="any").ask()

    def test_fixed_families_ask_one_type(self):
        net = Net({NS1: always(nodata())})
        Client(net, family="ipv4").ask()
        Client(net, family="ipv6").ask()
        assert [a.rdtype for a in net.asked] == [A, AAAA]


class TestAddresses:
    @pytest.mark.parametrize(
        "address",
        [
            "0.0.0.0",
            "0.1.2.3",
            "224.0.0.1",
            "255.255.255.255",
            "169.254.169.254",
            "127.0.0.1",
            "::",
            "ff02::1",
            "fe80::1",
            "::1",
            "::ffff:169.254.169.254",
            "::ffff:127.0.0.1",
        ],
    )
    def test_what_no_peer_has_is_refused_and_an_answer_of_nothing_else_is_a_failure(self, address):
        rdtype = AAAA if ":" in address else A
        good = "fd00::1" if rdtype == AAAA else "10.0.0.1"
        net = Net({NS1: always(one(good, address, rdtype=rdtype))})
        answer = Client(net, family="ipv6" if rdtype == AAAA else "ipv4").ask()
        assert addresses(answer.parts[0]) == {good}
        assert address.removeprefix("::ffff:") in (answer.warning or "")
        net = Net({NS1: always(one(address, rdtype=rdtype))})
        with pytest.raises(LookupFailed, match="refused"):
            Client(net, family="ipv6" if rdtype == AAAA else "ipv4").ask()

    def test_loopback_is_fine_from_a_server_on_loopback(self):
        net = Net({Server("127.0.0.1", 5300): always(one("127.0.0.2"))})
        assert addresses(Client(net).ask().parts[0]) == {"127.0.0.2"}

    def test_an_ipv6_server_is_not_on_loopback_for_its_first_octet(self):
        net = Net({Server("7f00::1"): always(one("127.0.0.2"))})
        with pytest.raises(LookupFailed, match="loopback"):
            Client(net).ask()

    def test_allow_networks_decides_otherwise(self):
        net = Net({NS1: always(one("10.0.0.1", "169.254.20.1", "192.168.0.1"))})
        client = Client(net, allow_networks=parse_networks(["10.0.0.0/8", "169.254.20.0/24"]))
        answer = client.ask()
        assert addresses(answer.parts[0]) == {"10.0.0.1", "169.254.20.1"}
        assert "192.168.0.1 (outside allow_networks)" in (answer.warning or "")

    def test_v4_mapped_addresses_are_unwrapped(self):
        net = Net({NS1: always(one("::ffff:10.0.0.1", rdtype=AAAA))})
        net.servers[NS1] = always(
            message(answer={(SVC, AAAA): RRset(5, [bytes(10) + b"\xff\xff" + packed_address("10.0.0.1")])})
        )
        assert addresses(Client(net, family="ipv6").ask().parts[0]) == {"10.0.0.1"}

    def test_more_than_max_peers_is_a_failure(self):
        net = Net({NS1: always(one(*(f"10.0.0.{i}" for i in range(1, 12))))})
        with pytest.raises(LookupFailed, match="11 records are more than max_peers=10"):
            Client(net, max_peers=10).ask()


def members(part) -> dict[str, tuple[str, ...] | None]:
    from headless_discovery.model import address_text

    return {
        target: None if detail.addresses.v4 is None else tuple(map(address_text, detail.addresses.all))
        for (target, _), detail in part.members.items()
    }


class TestSRV:
    NAME = f"_http._tcp.{SVC}"

    def test_with_glue_it_is_one_query(self):
        records = [Srv(0, 50, 8080, WEB0), Srv(0, 50, 8080, WEB1)]
        net = Net({NS1: always(srv_found(self.NAME, records, {WEB0: ["10.0.0.1"], WEB1: ["10.0.0.2"]}))})
        part = Client(net, port="http").ask().parts[0]
        assert members(part) == {WEB0: ("10.0.0.1",), WEB1: ("10.0.0.2",)}
        assert [(a.name, a.rdtype) for a in net.asked] == [(self.NAME, SRV)]

    def test_equal_weights_within_a_priority_are_1(self):
        glue = {f"t{i}": [f"10.0.0.{i}"] for i in range(1, 5)}
        records = [Srv(0, 33, 1, "t1"), Srv(0, 33, 1, "t2"), Srv(1, 10, 1, "t3"), Srv(1, 90, 1, "t4")]
        net = Net({NS1: always(srv_found(self.NAME, records, glue))})
        part = Client(net, port="http").ask().parts[0]
        assert {key[0]: detail.weight for key, detail in part.members.items()} == {"t1": 1, "t2": 1, "t3": 10, "t4": 90}

    def test_glue_for_other_names_is_ignored(self):
        reply = srv_found(self.NAME, [Srv(0, 1, 1, WEB0)], {WEB0: ["10.0.0.1"], "evil": ["10.6.6.6"]})
        part = Client(Net({NS1: always(reply)}), port="http").ask().parts[0]
        assert members(part) == {WEB0: ("10.0.0.1",)}

    def test_the_target_dot_is_nobody(self):
        part = Client(Net({NS1: always(srv_found(self.NAME, [Srv(0, 0, 0, "")]))}), port="http").ask().parts[0]
        assert part.negative
        assert not part.has_soa, "not believed without grace"

    def test_missing_glue_comes_from_one_query_of_the_bare_name_for_dashed_targets(self):
        dashed = [f"10-0-0-{i}.{SVC}" for i in range(1, 200)]
        records = [Srv(0, 1, 8080, target) for target in dashed]
        bare = one(*(f"10.0.0.{i}" for i in range(1, 200)))
        net = Net({NS1: zone({(self.NAME, SRV): srv_found(self.NAME, records), (SVC, A): bare})})
        part = Client(net, port="http").ask().parts[0]
        assert members(part)[dashed[0]] == ("10.0.0.1",)
        assert all(members(part).values())
        assert len(net.asked) == 2

    def test_a_dashed_target_is_taken_at_its_word_only_under_the_service_and_in_its_answer(self):
        liar, outside = f"10-6-6-6.{SVC}", "10-0-0-1.elsewhere"
        records = [Srv(0, 1, 8080, liar), Srv(0, 1, 8080, outside)]
        net = Net({NS1: zone({(self.NAME, SRV): srv_found(self.NAME, records), (SVC, A): one("10.0.0.1")})})
        part = Client(net, port="http").ask().parts[0]
        assert members(part) == {liar: (), outside: ()}

    def test_known_glue_stays_valid_while_the_bare_name_contains_it(self):
        records = [Srv(0, 1, 8080, WEB0), Srv(0, 1, 8080, WEB1)]
        glue = {WEB0: ["10.0.0.1"], WEB1: ["10.0.0.2"]}
        known = {(self.NAME, SRV): srv_found(self.NAME, records, glue), (SVC, A): one("10.0.0.1", "10.0.0.3")}
        known[WEB1, A] = one("10.0.0.3", name=WEB1)
        net = Net({NS1: zone(known)})
        client = Client(net, port="http")
        held = Held(SRV, members=client.ask().parts[0].members)
        known[self.NAME, SRV] = srv_found(self.NAME, records)
        net.asked.clear()
        assert members(client.ask(held).parts[0]) == {WEB0: ("10.0.0.1",), WEB1: ("10.0.0.3",)}
        assert [a.name for a in net.asked] == [self.NAME, SVC, WEB1], "only the one that moved is asked for"

    def test_known_glue_that_a_cut_answer_of_the_bare_name_lacks_is_asked_for_and_stays_meanwhile(self):
        targets = [f"web-{i}.{SVC}" for i in range(60)]
        records = [Srv(0, 1, 1, t) for t in targets]
        known = {(self.NAME, SRV): srv_found(self.NAME, records, {t: ["10.0.0.1"] for t in targets})}
        client = Client(Net({NS1: zone(known)}), port="http")
        held = Held(SRV, members=client.ask().parts[0].members)
        known[self.NAME, SRV] = srv_found(self.NAME, records, tc=True)
        known[SVC, A] = one("10.0.0.7", tc=True)
        known.update({(t, A): one("10.0.0.9", name=t) for t in targets})
        found = list(members(client.ask(held).parts[0]).values())
        assert found.count(("10.0.0.9",)) == 50
        assert found.count(("10.0.0.1",)) == 10

    def test_the_address_of_one_that_left_is_not_known_any_more(self):
        records = [Srv(0, 1, 8080, WEB0)]
        known = {(self.NAME, SRV): srv_found(self.NAME, records, {WEB0: ["10.0.0.1"]})}
        client = Client(Net({NS1: zone(known)}), port="http")
        client.ask()
        # It left, and is back elsewhere: under its name, in an answer cut before the glue.
        known[self.NAME, SRV] = srv_found(self.NAME, records, tc=True)
        known[SVC, A] = one("10.0.0.7", tc=True)
        known[WEB0, A] = one("10.0.0.9", name=WEB0)
        assert members(client.ask(Held(SRV)).parts[0]) == {WEB0: ("10.0.0.9",)}

    def test_the_server_of_the_answer_is_the_one_whose_word_counts_for_its_targets(self):
        records = [Srv(0, 1, 8080, WEB0)]
        first = {(self.NAME, SRV): srv_found(self.NAME, records, {WEB0: ["10.0.0.1"]})}
        second = dict(first)
        client = Client(Net({NS1: zone(first), NS2: zone(second)}), port="http")
        first.clear()
        first[self.NAME, SRV] = message(SERVFAIL)
        held = Held(SRV, members=client.ask().parts[0].members)  # from the second: its last positive answer
        first[self.NAME, SRV] = srv_found(self.NAME, records)
        first[WEB0, A] = message(SERVFAIL)
        second[self.NAME, SRV] = message(SERVFAIL)
        second[WEB0, A] = nxdomain()
        assert members(client.ask(held).parts[0]) == {WEB0: ("10.0.0.1",)}, "the second's NXDOMAIN was believed"

    def test_names_that_always_fail_do_not_keep_the_others_from_being_asked(self):
        targets = [f"web-{i}.{SVC}" for i in range(120)]
        known = {(self.NAME, SRV): srv_found(self.NAME, [Srv(0, 1, 1, t) for t in targets])}
        known.update({(t, A): message(SERVFAIL) for t in targets[:60]})
        known.update({(t, A): one(f"10.0.0.{i + 1}", name=t) for i, t in enumerate(targets[60:])})
        client = Client(Net({NS1: zone(known)}), port="http")
        held = Held(SRV)
        found: set[str] = set()
        for _ in range(20):
            part = client.ask(held).parts[0]
            found |= {target for target, addresses in members(part).items() if addresses}
        assert found == set(targets[60:])

    def test_single_queries_at_most_50_a_refresh_and_all_at_the_first_lookup(self):
        targets = [f"web-{i}.{SVC}" for i in range(120)]
        known = {(self.NAME, SRV): srv_found(self.NAME, [Srv(0, 1, 1, t) for t in targets])}
        known.update({(t, A): one(f"10.0.0.{i + 1}", name=t) for i, t in enumerate(targets)})
        net = Net({NS1: zone(known)})
        assert all(members(Client(net, port="http").ask().parts[0]).values())
        assert len(net.asked) == 121
        net.asked.clear()
        part = Client(net, port="http").ask(Held(SRV)).parts[0]
        assert sum(a is not None for a in members(part).values()) == 50
        assert len(net.asked) == 51

    def test_ten_of_them_in_flight(self):
        targets = [f"web-{i}.{SVC}" for i in range(25)]
        known = {(self.NAME, SRV): srv_found(self.NAME, [Srv(0, 1, 1, t) for t in targets])}
        known.update({(t, A): one(f"10.0.0.{i + 1}", name=t) for i, t in enumerate(targets)})
        net = Net({NS1: zone(known)}, latency=0.125)
        Client(net, port="http").ask()
        waves = [a.time for a in net.asked[1:]]
        assert [waves.count(t) for t in sorted(set(waves))] == [10, 10, 5]

    def test_nxdomain_for_a_target_drops_only_it_and_a_failure_drops_nothing(self):
        def serve(name, rdtype, tcp, edns):
            if name == self.NAME:
                return srv_found(
                    self.NAME, [Srv(0, 1, 1, WEB0), Srv(0, 1, 1, WEB1), Srv(0, 1, 1, "t")], {"t": ["10.0.0.1"]}
                )
            return nxdomain() if name == WEB0 else message(SERVFAIL)

        part = Client(Net({NS1: serve}), port="http").ask().parts[0]
        assert members(part) == {WEB0: (), WEB1: None, "t": ("10.0.0.1",)}

    def test_glue_that_takes_too_long_is_left_for_later(self):
        def serve(name, rdtype, tcp, edns):
            return srv_found(self.NAME, [Srv(0, 1, 1, WEB0)]) if name == self.NAME else None

        net = Net({NS1: serve})
        part = Client(net, port="http", timeout=2.0).ask().parts[0]
        assert members(part) == {WEB0: None}
        assert net.now - 1000 <= 2.01

    def test_an_srv_target_may_be_a_cname(self):
        reply = message(answer={(WEB0, CNAME): RRset(5, ["real"]), ("real", A): RRset(5, [packed_address("10.0.0.7")])})
        net = Net({NS1: zone({(self.NAME, SRV): srv_found(self.NAME, [Srv(0, 1, 1, WEB0)]), (WEB0, A): reply})})
        assert members(Client(net, port="http").ask().parts[0]) == {WEB0: ("10.0.0.7",)}

    @pytest.mark.parametrize(
        ("tcp", "tc", "glued", "complete"),
        [(False, False, 0, True), (True, True, 1, True), (True, True, 0, False), (False, True, 1, False)],
    )
    def test_complete_means_not_truncated_or_truncated_in_the_glue_over_tcp(self, tcp, tc, glued, complete):
        records = [Srv(0, 1, 1, WEB0), Srv(0, 1, 1, WEB1)]
        glue = {WEB0: ["10.0.0.1"]} if glued else {}
        known = {(WEB0, A): one("10.0.0.1", name=WEB0), (WEB1, A): one("10.0.0.2", name=WEB1)}
        known[self.NAME, SRV] = srv_found(self.NAME, records, glue, tc=tc)
        net = Net({NS1: zone(known)})
        part = Client(net, port="http", tcp="always" if tcp else "never").ask().parts[0]
        assert part.complete == complete

    def test_addresses_of_the_other_family_are_not_wanted_and_not_refused(self):
        reply = srv_found(self.NAME, [Srv(0, 1, 1, WEB0)], {WEB0: ["10.0.0.1", "fd00::1"]})
        client = Client(
            Net({NS1: always(reply)}), port="http", family="ipv4", allow_networks=parse_networks(["10.0.0.0/8"])
        )
        answer = client.ask()
        assert members(answer.parts[0]) == {WEB0: ("10.0.0.1",)}
        assert answer.warning is None
        assert client.memory.services is not None, "an answer without objections is remembered"

    def test_dual_stack_without_hostnames_drops_the_dashed_ipv6_targets(self):
        v4, v6 = f"10-0-0-1.{SVC}", f"fd00--1.{SVC}"
        reply = srv_found(self.NAME, [Srv(0, 1, 1, v4), Srv(0, 1, 1, v6)], {v4: ["10.0.0.1"], v6: ["fd00::1"]})
        net = Net({NS1: always(reply)})
        assert set(members(Client(net, port="http").ask().parts[0])) == {v4}
        assert set(members(Client(net, port="http", family="any").ask().parts[0])) == {v4, v6}

    def test_suspects_are_asked_for_by_their_own_name(self):
        def serve(name, rdtype, tcp, edns):
            if name == self.NAME:
                return srv_found(self.NAME, [Srv(0, 1, 1, "t")], {"t": ["10.0.0.1"]})
            return {WEB0: nxdomain(), WEB1: one("10.0.0.2", name=WEB1)}.get(name, message(SERVFAIL))

        held = Held(SRV, frozenset({1}), (WEB0, WEB1, "web-2"))
        assert Client(Net({NS1: serve}), port="http").ask(held).verified == {
            WEB0: Addresses((), ()),
            WEB1: Addresses((packed_address("10.0.0.2"),), None),
        }

    def test_a_suspect_that_the_answer_names_is_not_asked_for(self):
        net = Net({NS1: zone({(self.NAME, SRV): srv_found(self.NAME, [Srv(0, 1, 1, WEB0)], {WEB0: ["10.0.0.1"]})})})
        assert Client(net, port="http").ask(Held(SRV, frozenset({1}), (WEB0,))).verified == {}
        assert len(net.asked) == 1

    def test_a_suspect_whose_addresses_are_refused_is_not_gone(self):
        known = {(self.NAME, SRV): srv_found(self.NAME, [Srv(0, 1, 1, "t")], {"t": ["10.0.0.1"]})}
        known[WEB0, A] = one("169.254.169.254", name=WEB0)
        assert Client(Net({NS1: zone(known)}), port="http").ask(Held(SRV, frozenset({1}), (WEB0,))).verified == {}


class TestPortAuto:
    def test_srv_of_the_bare_name(self):
        net = Net({NS1: always(srv_found(SVC, [Srv(0, 1, 9090, WEB0)], {WEB0: ["10.0.0.1"]}))})
        assert list(Client(net, port="auto").ask().parts[0].members) == [(WEB0, 9090)]
        assert [(a.name, a.rdtype) for a in net.asked] == [(SVC, SRV)]

    def test_without_srv_it_is_a(self):
        net = Net({NS1: zone({(SVC, A): one("10.0.0.1")})})
        client = Client(net, port="auto")
        assert addresses(client.ask().parts[0]) == {"10.0.0.1"}
        net.asked.clear()
        client.ask(Held(A))
        assert [a.rdtype for a in net.asked] == [A]

    def test_several_ports_a_target_fail_at_first_and_later_the_known_stays(self):
        records = [Srv(0, 1, 8080, WEB0), Srv(0, 1, 9090, WEB0)]
        net = Net({NS1: always(srv_found(SVC, records, {WEB0: ["10.0.0.1"]}))})
        client = Client(net, port="auto")
        with pytest.raises(LookupFailed, match=r"several ports a peer \(8080, 9090\)"):
            client.ask()
        answer = client.ask(Held(SRV, frozenset({8080})))
        assert list(answer.parts[0].members) == [(WEB0, 8080)]
        assert "keeps the known ones" in (answer.warning or "")

    def test_different_targets_may_have_different_ports(self):
        records = [Srv(0, 1, 8080, WEB0), Srv(0, 1, 9090, WEB1)]
        net = Net({NS1: always(srv_found(SVC, records, {WEB0: ["10.0.0.1"], WEB1: ["10.0.0.2"]}))})
        keys: set[Key] = {(WEB0, 8080), (WEB1, 9090)}
        assert set(Client(net, port="auto").ask().parts[0].members) == keys


# What is remembered of an answer, so that the same one need not be understood again.

PODS = [f"web-{i}.{SVC}" for i in range(4)]
ADDRESSES = ["10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4", "169.254.1.1", "fd00::1", "::ffff:10.0.0.9"]


@st.composite
def worlds(draw: st.DrawFn) -> dict[tuple[str, int], Message]:
    """SRV and A records of one service; some glue is missing, some addresses are refused, any order."""
    pods = draw(st.lists(st.sampled_from(PODS), min_size=1, unique=True))
    records = [Srv(draw(st.integers(0, 1)), draw(st.sampled_from([25, 50])), 8080, pod) for pod in pods]
    at = {pod: draw(st.lists(st.sampled_from(ADDRESSES), min_size=1, max_size=2, unique=True)) for pod in pods}
    shown = draw(st.lists(st.sampled_from(pods), unique=True)) if draw(st.booleans()) else pods
    known = {(f"_http._tcp.{SVC}", SRV): srv_found(f"_http._tcp.{SVC}", records, {pod: at[pod] for pod in shown})}
    for rdtype, family in ((A, "."), (AAAA, ":")):
        bare = [address for pod in pods for address in at[pod] if family in address[:5]]
        if bare:
            known[SVC, rdtype] = found(SVC, rdtype, *draw(st.permutations(bare)))
        for pod in pods:
            if own := [address for address in at[pod] if family in address[:5]]:
                known[pod, rdtype] = found(pod, rdtype, *own)
    return known


@given(st.lists(worlds(), min_size=2, max_size=5), st.sampled_from([8080, "http"]), st.sampled_from(["auto", "any"]))
def test_what_is_remembered_changes_no_answer(
    turns: list[dict[tuple[str, int], Message]], port: int | str, family: str
) -> None:
    """The same answers as without memory, twice in a row each; and where it is the same, the same object."""
    known: dict[tuple[str, int], Message] = {}
    net = Net({NS1: zone(known)})
    client, held = Client(net, port=port, family=family), Held()
    for turn in turns:
        known.clear()
        known.update(turn)
        for _ in range(2):
            result = client.outcome(held)
            fresh = Client(net, port=port, family=family).outcome(held)
            if isinstance(result, LookupFailed) or isinstance(fresh, LookupFailed):
                assert str(result) == str(fresh)
                continue
            assert [(p.rdtype, p.members, p.complete) for p in result.parts] == [
                (p.rdtype, p.members, p.complete) for p in fresh.parts
            ]
            assert result.warning == fresh.warning
            held = Held(result.parts[0].rdtype, held.ports, (), result.parts[0].members)


@pytest.mark.parametrize("missing", [0, 1])
def test_the_same_srv_answer_is_the_same_object_in_any_order(missing: int) -> None:
    name = f"_http._tcp.{SVC}"
    records = [Srv(0, 25, 8080, pod) for pod in PODS]
    glue = {pod: [f"10.0.0.{i}"] for i, pod in enumerate(PODS)}
    known = {(name, SRV): srv_found(name, records, glue), (SVC, A): one("10.0.0.0", "10.0.0.1", "10.0.0.2", "10.0.0.3")}
    net = Net({NS1: zone(known)})
    client = Client(net, port="http")
    (first,) = client.ask().parts
    held = Held(SRV, frozenset({8080}), (), first.members)
    for order in (records, records[::-1]):
        shown = dict(list(glue.items())[missing:])
        known[name, SRV] = srv_found(name, order, shown)
        net.asked.clear()
        (part,) = client.ask(held).parts
        assert part.members is first.members
        assert len(net.asked) == 1 + missing  # who has no glue is among the addresses of the bare name


@pytest.mark.parametrize(
    ("record", "address"),
    [
        (Srv(0, 50, 8080, PODS[1]), None),
        (Srv(1, 25, 8080, PODS[1]), None),
        (Srv(0, 25, 8081, PODS[1]), None),
        (None, "10.9.9.9"),
    ],
    ids=["weight", "priority", "port", "address"],
)
def test_one_record_of_many_is_another(record: Srv | None, address: str | None) -> None:
    name = f"_http._tcp.{SVC}"
    records = [Srv(0, 25, 8080, pod) for pod in PODS]
    glue = {pod: [f"10.0.0.{i}"] for i, pod in enumerate(PODS)}
    known = {(name, SRV): srv_found(name, records, glue)}
    client = Client(Net({NS1: zone(known)}), port="http")
    (before,) = client.ask().parts
    if record is not None:
        records[1] = record
    if address is not None:
        glue[PODS[1]] = [address]
    known[name, SRV] = srv_found(name, records, glue)
    (part,) = client.ask(Held(SRV, frozenset({8080}), (), before.members)).parts
    (fresh,) = Client(Net({NS1: zone(known)}), port="http").ask().parts
    assert part.members == fresh.members != before.members


def test_who_left_is_not_remembered() -> None:
    """A StatefulSet that was gone and is back: nobody vouches for the addresses that its pods had."""
    name = f"_http._tcp.{SVC}"
    records = [Srv(0, 50, 8080, pod) for pod in PODS[:2]]
    at = dict(zip(PODS, ["10.0.0.5", "10.0.0.9"], strict=False))
    known = {(name, SRV): srv_found(name, records, {pod: [address] for pod, address in at.items()})}
    client = Client(Net({NS1: zone(known)}), port="http")
    client.ask()
    known[name, SRV] = srv_found(name, records)
    known[SVC, A] = one("10.0.0.5", "10.0.0.9")
    known[PODS[0], A], known[PODS[1], A] = one("10.0.0.9", name=PODS[0]), one("10.0.0.5", name=PODS[1])
    (part,) = client.ask().parts
    found = {key[0]: detail.addresses.all for key, detail in part.members.items() if detail is not None}
    assert found == {PODS[0]: (packed_address("10.0.0.9"),), PODS[1]: (packed_address("10.0.0.5"),)}
