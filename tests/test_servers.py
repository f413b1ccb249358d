"""Servers (docs/architecture.md, "When and how to ask"): the edges of each rule, in virtual time."""

from __future__ import annotations

import random

import dns.message
import pytest

from headless_discovery import LookupFailed
from headless_discovery.answer import Addresses, Detail, Held, Key
from headless_discovery.message import AAAA, BADVERS, CNAME, FORMERR, NOTIMP, REFUSED, SERVFAIL, A, Message, RRset, Srv
from headless_discovery.model import address_text, packed_address
from headless_discovery.resolvconf import ResolvConf
from headless_discovery.servers import Exchange, Memory, Reply, Servers, Services
from headless_discovery.settings import Settings
from headless_discovery.steps import Steps
from headless_discovery.target import Server
from sansio import (
    NS1,
    NS2,
    NS3,
    SVC,
    Behaviour,
    Client,
    Net,
    addresses,
    found,
    known,
    message,
    nodata,
    nxdomain,
    question_of,
)

HELD = Held(A)


def always(reply: Message | str | None) -> Behaviour:
    return lambda name, rdtype, tcp, edns: reply


def one(*values: str, name: str = SVC, **options: object) -> Message:
    return found(name, A, *(values or ("10.0.0.1",)), **options)  # type: ignore[arg-type]


class Asking(Steps[Exchange, Message, object]):
    """`Servers` alone: one name and type, without what a lookup does about it."""

    def __init__(self, *servers: object, memory: Memory | None = None, seed: int = 1, **options: object) -> None:
        super().__init__()
        self.memory = Memory() if memory is None else memory
        conf = ResolvConf(tuple(servers))  # type: ignore[arg-type]
        settings = Settings(**options)  # type: ignore[arg-type]
        self.memory.use(conf)
        self.servers = Servers(conf, settings, self.memory, random.Random(seed), self, settings.timeout)

    def ask(self, now: float = 0.0, name: str = SVC) -> Exchange:
        (exchange,) = self.begin(self.servers.ask(name, A), now)
        return exchange


class TestDeadlines:
    def test_udp_waits_1_s_at_first_and_2_s_the_second_time(self) -> None:
        asking = Asking(NS1)
        first = asking.ask(0.5)
        assert (first.deadline, first.connect_deadline) == (1.5, 1.5)
        (second,) = asking.failed(first, "timed out", 1.5, timed_out=True)
        assert (second.deadline, second.connect_deadline) == (3.5, 2.5)

    def test_tcp_has_1_s_to_connect_and_3_s_in_all(self) -> None:
        exchange = Asking(NS1, tcp="always").ask(0.25)
        assert exchange.tcp
        assert (exchange.connect_deadline, exchange.deadline) == (1.25, 3.25)

    def test_nothing_outlasts_the_timeout(self) -> None:
        exchange = Asking(NS1, tcp="always", timeout=0.5).ask(0.25)
        assert (exchange.connect_deadline, exchange.deadline) == (0.5, 0.5)
        assert Asking(NS1, timeout=0.5).ask(0.25).deadline == 0.5

    def test_at_the_very_end_of_the_timeout_nobody_is_asked_any_more(self) -> None:
        asking = Asking(NS1, NS2, timeout=1)
        first = asking.ask(0.0)
        assert asking.failed(first, "timed out", 1.0, timed_out=True) == []
        assert isinstance(asking.result, LookupFailed)
        assert str(asking.result).endswith(f"{NS1} timed out; {NS2} was not asked: the timeout of 1 s is over")

    def test_a_moment_before_the_end_one_is(self) -> None:
        asking = Asking(NS1, NS2, timeout=1)
        (second,) = asking.failed(asking.ask(0.0), "timed out", 0.99, timed_out=True)
        assert (second.server, second.deadline) == (NS2, 1.0)


class TestWhatIsTold:
    def test_of_a_server_the_last_problem(self) -> None:
        replies = iter([None, message(SERVFAIL)])
        net = Net({NS1: lambda *_: next(replies)})
        with pytest.raises(LookupFailed, match=rf"^{SVC} A: {NS1} said SERVFAIL$"):
            Client(net).ask()

    def test_who_answers_has_no_problem_any_more(self) -> None:
        """NS1 is silent, then says NXDOMAIN; NS2, whose word alone counts, is silent."""
        replies = iter([None, nxdomain()])
        net = Net({NS1: lambda *_: next(replies), NS2: always(None)})
        client = Client(net, timeout=10)
        client.memory.positive = NS2
        with pytest.raises(LookupFailed) as failure:
            client.ask()
        said = str(failure.value)
        assert f"{NS1} says there are none, but {NS2} timed out (" in said
        assert f"counts from {NS2}, or from all servers" in said

    def test_all_problems_in_the_order_of_the_servers(self) -> None:
        net = Net({NS1: always(message(SERVFAIL)), NS2: always("is a brick"), NS3: always(message(23))})
        with pytest.raises(
            LookupFailed, match=rf"^{SVC} A: {NS1} said SERVFAIL; {NS2} is a brick; {NS3} said rcode 23$"
        ):
            Client(net).ask()

    def test_without_servers_there_is_nobody_to_ask(self) -> None:
        with pytest.raises(LookupFailed, match=rf"^{SVC} A: there is no DNS server to ask$"):
            Client(Net({})).ask()

    def test_a_name_that_dns_cannot_carry(self) -> None:
        asking = Asking(NS1)
        assert asking.begin(asking.servers.ask("a" * 64 + ".example", A), 0.0) == []
        assert isinstance(asking.result, LookupFailed)
        assert "a" * 64 in str(asking.result)

    @pytest.mark.parametrize(
        ("trouble", "why"),
        [
            ("refused the connection", "refused the connection"),
            (message(SERVFAIL), "said SERVFAIL"),
            (None, "timed out"),
        ],
    )
    def test_a_cut_answer_says_why_tcp_did_not_help(self, trouble: Message | str | None, why: str) -> None:
        net = Net({NS1: lambda n, t, tcp, edns: trouble if tcp else one(tc=True)})
        assert Client(net).ask().warning == f"{SVC} A: cut off over UDP, and {NS1} {why}"

    def test_so_it_does_where_tcp_was_tried_first(self) -> None:
        works = True
        net = Net({NS1: lambda n, t, tcp, edns: (one(size=2000) if works else "is closed") if tcp else one(tc=True)})
        client = Client(net)
        assert client.ask().warning is None
        works = False
        assert client.ask(HELD).warning == f"{SVC} A: cut off over UDP, and {NS1} is closed"

    def test_where_udp_brought_all_there_is_nothing_to_say(self) -> None:
        replies = {"tcp": one(size=2000), "udp": one(tc=True)}
        net = Net({NS1: lambda n, t, tcp, edns: replies["tcp" if tcp else "udp"]})
        client = Client(net)
        client.ask()
        replies.update(tcp="is closed", udp=one())
        answer = client.ask(HELD)
        assert answer.warning is None
        assert answer.parts[0].complete

    def test_tcp_never_says_nothing_of_tcp(self) -> None:
        assert Client(Net({NS1: always(one(tc=True))}), tcp="never").ask().warning is None


class TestOrder:
    def test_servers_are_asked_in_the_order_of_the_configuration(self) -> None:
        net = Net({NS1: always(message(SERVFAIL)), NS2: always(message(SERVFAIL)), NS3: always(one())})
        Client(net).ask()
        assert [a.server for a in net.asked] == [NS1, NS2, NS3]

    def test_the_last_good_one_is_first_and_the_others_keep_their_order(self) -> None:
        down = {NS1, NS2}
        net = Net({s: (lambda *_, s=s: message(SERVFAIL) if s in down else one()) for s in (NS1, NS2, NS3)})
        client = Client(net)
        client.ask()
        net.asked.clear()
        down.add(NS3)
        with pytest.raises(LookupFailed):
            client.ask(HELD)
        assert [a.server for a in net.asked] == [NS3, NS1, NS2]

    def test_the_first_one_is_tried_again_30_s_after_another_took_over_and_not_before(self) -> None:
        net = Net({NS1: always(message(SERVFAIL)), NS2: always(one())}, latency=0.0)
        client = Client(net)
        start = net.now
        client.ask()
        for later, servers in ((29.99, [NS2]), (30.0, [NS1, NS2]), (30.01, [NS2]), (59.99, [NS2]), (60.0, [NS1, NS2])):
            net.now = start + later
            net.asked.clear()
            client.ask(HELD)
            assert [a.server for a in net.asked] == servers, later

    def test_answers_of_the_second_do_not_put_that_off(self) -> None:
        """Asked every second, and not only each 30 s."""
        net = Net({NS1: always(message(SERVFAIL)), NS2: always(one())}, latency=0.0)
        client = Client(net)
        start = net.now
        for second in range(31):
            net.now = start + second
            client.ask(HELD)
        assert [a.time - start for a in net.asked if a.server == NS1] == [0, 30]

    def test_from_one_fallback_to_another_30_s_begin_anew(self) -> None:
        down = {NS1}
        net = Net({s: (lambda *_, s=s: message(SERVFAIL) if s in down else one()) for s in (NS1, NS2, NS3)}, latency=0)
        client = Client(net)
        start = net.now
        client.ask()
        down.add(NS2)
        net.now = start + 20
        client.ask(HELD)
        net.asked.clear()
        net.now = start + 40
        client.ask(HELD)
        assert [a.server for a in net.asked] == [NS3]
        net.asked.clear()
        net.now = start + 50
        client.ask(HELD)
        assert [a.server for a in net.asked] == [NS1, NS2, NS3]

    def test_a_good_server_that_is_configured_no_more_is_not_asked(self) -> None:
        net = Net({NS1: always(one()), NS2: always(one())})
        client = Client(net)
        client.memory.use(client.conf)
        client.memory.good = NS3
        client.ask()
        assert [a.server for a in net.asked] == [NS1]

    def test_a_failure_is_no_silence_and_the_silent_one_alone_is_asked_again(self) -> None:
        net = Net({NS1: always(message(SERVFAIL)), NS2: always(None), NS3: always("refused")})
        with pytest.raises(LookupFailed):
            Client(net).ask()
        assert [a.server for a in net.asked] == [NS1, NS2, NS3, NS2]

    def test_an_answer_that_does_not_count_is_not_asked_for_again(self) -> None:
        net = Net({NS1: always(None), NS2: always(nxdomain()), NS3: always(nxdomain())})
        with pytest.raises(LookupFailed):
            Client(net, timeout=10).ask()
        assert [a.server for a in net.asked] == [NS1, NS2, NS3, NS1]


class TestWhoseWordCounts:
    def test_nxdomain_of_the_one_that_was_positive_last(self) -> None:
        net = Net({NS1: always("is down"), NS2: always(nxdomain())})
        client = Client(net)
        client.memory.positive = NS2
        assert client.ask(HELD).parts[0].nxdomain

    def test_of_nobody_else_though_it_is_the_first(self) -> None:
        net = Net({NS1: always(nxdomain()), NS2: always(one())})
        client = Client(net)
        client.memory.positive = NS2
        assert addresses(client.ask(HELD).parts[0]) == {"10.0.0.1"}

    def test_of_all_of_them_together(self) -> None:
        net = Net({NS1: always(nxdomain()), NS2: always(nodata()), NS3: always(nxdomain())})
        client = Client(net, family="ipv4")
        client.memory.positive = Server("10.96.0.99")  # it is configured no more
        answer = client.ask(HELD)
        assert answer.parts[0].negative

    def test_a_negative_answer_that_counts_makes_its_server_the_good_one(self) -> None:
        net = Net({NS1: always("is down"), NS2: always(nxdomain())})
        client = Client(net)
        client.memory.positive = NS2
        client.ask(HELD)
        net.asked.clear()
        client.ask(HELD)
        assert net.asked[0].server == NS2

    def test_one_that_does_not_count_does_not(self) -> None:
        net = Net({NS1: always("is down"), NS2: always(nxdomain())})
        client = Client(net)
        with pytest.raises(LookupFailed):
            client.ask()
        net.asked.clear()
        with pytest.raises(LookupFailed):
            client.ask()
        assert [a.server for a in net.asked] == [NS1, NS2]


class TestEDNS:
    @pytest.mark.parametrize("rcode", [FORMERR, BADVERS])
    def test_over_tcp_it_is_left_out_and_that_is_remembered_as_over_udp(self, rcode: int) -> None:
        net = Net({NS1: lambda n, t, tcp, edns: message(rcode) if edns else one(size=2000)})
        client = Client(net, tcp="always")
        answer = client.ask()
        assert addresses(answer.parts[0]) == {"10.0.0.1"}
        client.ask(HELD)
        assert [(a.server, a.name, a.rdtype, a.tcp, a.edns) for a in net.asked] == [
            (NS1, SVC, A, True, True),
            (NS1, SVC, A, True, False),
            (NS1, SVC, A, True, False),
        ]

    def test_over_tcp_the_second_try_has_its_own_3_s(self) -> None:
        asking = Asking(NS1, tcp="always", timeout=10)
        (again,) = asking.replied(asking.ask(0.0), message(FORMERR), 2.0)
        assert (again.deadline, again.connect_deadline) == (5.0, 3.0)

    def test_over_udp_too(self) -> None:
        asking = Asking(NS1, timeout=10)
        (again,) = asking.replied(asking.ask(0.0), message(FORMERR), 0.75)
        assert (again.deadline, again.tcp) == (1.75, False)

    @pytest.mark.parametrize("rcode", [FORMERR, BADVERS])
    def test_without_it_the_same_rcode_is_a_failure(self, rcode: int) -> None:
        for tcp in ("always", "never"):
            net = Net({NS1: always(message(rcode))})
            with pytest.raises(LookupFailed, match="said FORMERR" if rcode == FORMERR else "said BADVERS"):
                Client(net, tcp=tcp).ask()
            assert [a.edns for a in net.asked] == [True, False]

    def test_another_rcode_is_no_reason_to_leave_it_out(self) -> None:
        for tcp in ("always", "never"):
            net = Net({NS1: always(message(NOTIMP))})
            with pytest.raises(LookupFailed):
                Client(net, tcp=tcp).ask()
            assert len(net.asked) == 1

    def test_where_udp_does_without_tcp_does_too(self) -> None:
        net = Net({NS1: lambda n, t, tcp, edns: message(FORMERR) if edns else one(size=2000, tc=not tcp)})
        Client(net).ask()
        assert [(a.tcp, a.edns) for a in net.asked] == [(False, True), (False, False), (True, False)]

    def test_what_one_server_does_not_know_another_may(self) -> None:
        net = Net({NS1: always(message(FORMERR)), NS2: always(one())})
        client = Client(net)
        client.ask()
        assert [(a.server, a.edns) for a in net.asked] == [(NS1, True), (NS1, False), (NS2, True)]
        assert client.memory.no_edns == {NS1}

    def test_silence_alone_is_not_remembered(self) -> None:
        replies = iter([None, one(), one()])
        net = Net({NS1: lambda *_: next(replies)})
        client = Client(net)
        client.ask()
        client.ask(HELD)
        assert [a.edns for a in net.asked] == [True, False, True]

    def test_formerr_to_the_second_attempt_is_a_failure(self) -> None:
        replies = iter([None, message(FORMERR)])
        net = Net({NS1: lambda *_: next(replies)})
        client = Client(net)
        with pytest.raises(LookupFailed, match="said FORMERR"):
            client.ask()
        assert not client.memory.no_edns


def cut(size: int) -> Behaviour:
    """Cut over UDP; whole over TCP, in so many octets."""
    return lambda name, rdtype, tcp, edns: one(name=name, size=size) if tcp else one(name=name, tc=True)


class TestTCPMemory:
    def test_1000_octets_are_worth_it_and_999_are_not(self) -> None:
        for size, second in ((1000, [True]), (999, [False, True])):
            net = Net({NS1: cut(size)})
            client = Client(net)
            client.ask()
            net.asked.clear()
            client.ask(HELD)
            assert [a.tcp for a in net.asked] == second, size

    def test_for_5_minutes_since_the_answer_was_cut_and_not_since_the_last_one(self) -> None:
        net = Net({NS1: cut(2000)}, latency=0.0)
        client = Client(net)
        start = net.now
        client.ask()
        for later, tcp in ((100, [True]), (299.9, [True]), (300, [False, True]), (301, [True])):
            net.now = start + later
            net.asked.clear()
            client.ask(HELD)
            assert [a.tcp for a in net.asked] == tcp, later

    def test_it_is_of_one_name(self) -> None:
        asking = Asking(NS1)
        (over_tcp,) = asking.replied(asking.ask(), one(tc=True), 0.1)
        assert over_tcp.tcp
        asking.replied(over_tcp, one(size=2000), 0.2)
        assert asking.ask(0.3).tcp
        assert not asking.ask(0.3, "other.example").tcp

    def test_a_failure_over_tcp_ends_it(self) -> None:
        tcp_works = True

        def serve(name: str, rdtype: int, tcp: bool, edns: bool) -> Message | str:
            if tcp:
                return one(size=2000) if tcp_works else "is closed"
            return one(tc=True)

        net = Net({NS1: serve})
        client = Client(net)
        client.ask()
        tcp_works = False
        client.ask(HELD)
        net.asked.clear()
        client.ask(HELD)
        assert [a.tcp for a in net.asked] == [False, True]
        net.asked.clear()
        tcp_works = True
        client.ask(HELD)
        client.ask(HELD)
        assert [a.tcp for a in net.asked] == [False, True, True]

    def test_where_tcp_is_always_wanted_its_failure_is_the_answer(self) -> None:
        net = Net({NS1: lambda n, t, tcp, edns: "is closed" if tcp else one()})
        with pytest.raises(LookupFailed, match="is closed"):
            Client(net, tcp="always").ask()
        assert [a.tcp for a in net.asked] == [True]

    def test_tcp_never_is_never_also_not_by_memory(self) -> None:
        net = Net({NS1: cut(2000)})
        client = Client(net)
        client.ask()
        net.asked.clear()
        never = Client(net, tcp="never")
        never.memory = client.memory
        never.ask(HELD)
        assert [a.tcp for a in net.asked] == [False]

    def test_resolv_confs_use_vc_is_tcp_always_unless_the_option_says_never(self) -> None:
        for option, expected in (("auto", [True]), ("always", [True]), ("never", [False])):
            net = Net({NS1: always(one())})
            client = Client(net, tcp=option)
            client.conf = ResolvConf(client.conf.servers, use_vc=True)
            client.ask()
            assert [a.tcp for a in net.asked] == expected

    def test_an_answer_over_tcp_that_is_cut_counts_with_what_it_has(self) -> None:
        net = Net(
            {NS1: lambda n, t, tcp, edns: one("10.0.0.1", "10.0.0.2", tc=tcp, size=65_000) if tcp else one(tc=True)}
        )
        answer = Client(net).ask()
        assert answer.tcp
        assert addresses(answer.parts[0]) == {"10.0.0.1", "10.0.0.2"}
        assert not answer.parts[0].complete

    def test_one_that_has_nothing_does_not(self) -> None:
        net = Net({NS1: lambda n, t, tcp, edns: message(tc=True, size=65_000) if tcp else one(tc=True)})
        answer = Client(net).ask()
        assert not answer.tcp
        assert answer.warning == (
            f"{SVC} A: cut off over UDP, and {NS1} cut its answer down to nothing (TC) over TCP, too"
        )


class TestChains:
    def test_all_links_count_for_the_ttl_also_those_of_another_message(self) -> None:
        first = message(answer={("c0", CNAME): RRset(7, ["c1"])})
        second = message(answer={("c1", CNAME): RRset(9, ["c2"]), ("c2", A): RRset(30, [packed_address("10.0.0.1")])})
        net = Net({NS1: lambda name, *_: {"c0": first, "c1": second}[name]})
        assert Client(net, "c0.").ask().ttl == 7
        first.answer["c0", CNAME].ttl = 30
        assert Client(net, "c0.").ask().ttl == 9

    def test_links_of_several_messages_are_counted_together(self) -> None:
        """Three messages of three links are nine."""

        def serve(name: str, rdtype: int, tcp: bool, edns: bool) -> Message:
            number = int(name[1:])
            if number == last:
                return one(name=name)
            links = range(number, min(number + 3, last))
            return message(answer={(f"c{i}", CNAME): RRset(5, [f"c{i + 1}"]) for i in links})

        last = 8
        assert addresses(Client(Net({NS1: serve}), "c0.").ask().parts[0]) == {"10.0.0.1"}
        last = 9
        with pytest.raises(LookupFailed, match="CNAME chain longer than 8"):
            Client(Net({NS1: serve}), "c0.").ask()

    def test_the_end_of_a_chain_is_asked_for_with_the_same_type_of_the_same_server(self) -> None:
        out = message(answer={("c0", CNAME): RRset(7, ["c1"])})
        net = Net({NS1: always("is down"), NS2: lambda name, *_: out if name == "c0" else one(name="c1")})
        Client(net, "c0.", family="ipv4").ask()
        assert [(a.server, a.name, a.rdtype) for a in net.asked] == [(NS1, "c0", A), (NS2, "c0", A), (NS2, "c1", A)]

    def test_nothing_at_the_end_of_a_chain_and_no_soa_is_nodata_for_5_s(self) -> None:
        out = message(answer={("c0", CNAME): RRset(7, ["c1"])})
        net = Net({NS1: lambda name, *_: out if name == "c0" else message()})
        part = Client(net, "c0.", family="ipv4").ask().parts[0]
        assert (part.negative, part.nxdomain, part.has_soa, part.ttl) == (True, False, False, 5)

    def test_addresses_of_another_name_are_a_failure_and_no_nodata(self) -> None:
        net = Net({NS1: always(one(name="other.example"))})
        with pytest.raises(LookupFailed, match=r"answers for another name \(other\.example\)"):
            Client(net).ask()

    def test_other_types_of_the_same_name_are_nodata(self) -> None:
        net = Net({NS1: always(found(SVC, AAAA, "fd00::1"))})
        assert Client(net, family="ipv4").ask().parts[0].negative

    def test_so_many_records_as_max_peers_are_fine_and_one_more_is_not(self) -> None:
        net = Net({NS1: always(one("10.0.0.1", "10.0.0.2"))})
        assert len(Client(net, max_peers=2).ask().parts[0].members) == 2
        with pytest.raises(LookupFailed, match=rf"^{SVC} A: 2 records are more than max_peers=1; the set stays"):
            Client(net, max_peers=1).ask()


class TestLame:
    @pytest.mark.parametrize(
        ("reply", "lame"),
        [
            (Message(0, True, False, False, 99), False),
            (Message(0, False, False, True, 99), False),
            (Message(0, False, False, False, 99), True),
            (Message(0, False, False, False, 99, soa=(5, 5)), False),
            (Message(0, True, False, True, 99, has_ns=True), True),
            (Message(0, True, False, True, 99, soa=(5, 5), has_ns=True), False),
            (Message(3, False, False, False, 99), False),
            (Message(3, False, False, False, 99, has_ns=True), False),
        ],
    )
    def test_no_answer_no_soa_and_either_a_referral_or_neither_aa_nor_ra(self, reply: Message, lame: bool) -> None:
        net = Net({NS1: always(reply)})
        if lame:
            with pytest.raises(LookupFailed, match=r"\(lame\)"):
                Client(net, family="ipv4").ask()
        else:
            assert Client(net, family="ipv4").ask().parts[0].negative

    def test_who_answers_is_not_lame_whatever_the_bits_say(self) -> None:
        reply = Message(0, False, False, False, 99, has_ns=True, answer=one().answer)
        assert addresses(Client(Net({NS1: always(reply)})).ask().parts[0]) == {"10.0.0.1"}

    def test_who_cuts_is_asked_by_tcp_whatever_the_bits_say(self) -> None:
        reply = Message(0, False, True, False, 99)
        net = Net({NS1: lambda n, t, tcp, edns: one() if tcp else reply})
        assert addresses(Client(net).ask().parts[0]) == {"10.0.0.1"}


class TestMemory:
    def test_the_same_configuration_read_again_forgets_nothing(self) -> None:
        memory = Memory()
        memory.use(ResolvConf((NS1, NS2)))
        memory.good, memory.positive, memory.name = NS2, NS2, "a"
        memory.no_edns.add(NS1)
        memory.tcp_until["a", A] = 9.0
        memory.use(ResolvConf((NS1, NS2)))
        assert (memory.good, memory.positive, memory.name) == (NS2, NS2, "a")
        assert memory.no_edns == {NS1}
        assert memory.tcp_until == {("a", A): 9.0}

    def test_another_one_forgets_all_but_who_was_positive(self) -> None:
        memory = Memory()
        memory.use(ResolvConf((NS1, NS2)))
        memory.good, memory.positive, memory.name, memory.earlier_at = NS2, NS2, "a", 50.0
        memory.no_edns.add(NS1)
        memory.tcp_until["a", A] = 9.0
        other = ResolvConf((NS3,))
        memory.use(other)
        assert (memory.good, memory.positive, memory.name, memory.earlier_at) == (None, NS2, None, 0.0)
        assert memory.no_edns == set()
        assert memory.tcp_until == {}
        assert memory.conf is other

    def test_the_first_one_keeps_what_was_known_before(self) -> None:
        memory = Memory(name="a", good=NS1)
        memory.use(ResolvConf((NS1,)))
        assert (memory.name, memory.good) == ("a", NS1)

    def test_two_have_nothing_in_common(self) -> None:
        one, other = Memory(), Memory()
        one.no_edns.add(NS1)
        one.tcp_until["a", A] = 1.0
        assert other.no_edns == set()
        assert other.tcp_until == {}


class TestExchanges:
    def test_each_query_has_an_id_of_its_own_from_the_random_source(self) -> None:
        asking = Asking(NS1, seed=5)
        first = asking.ask(0.0)
        (second,) = asking.failed(first, "timed out", 1.0, timed_out=True)
        source = random.Random(5)
        assert [first.query.ident, second.query.ident] == [source.getrandbits(16), source.getrandbits(16)]

    def test_what_it_asks_and_whom(self) -> None:
        exchange = Asking(NS2).ask()
        assert exchange.server == NS2
        assert not exchange.tcp
        assert question_of(exchange) == (SVC, A, True)

    def test_two_with_the_same_content_are_two(self) -> None:
        """They are keys: who waits is found by the exchange itself."""
        asking = Asking(NS1)
        exchange = asking.ask()
        twin = Exchange(exchange.server, exchange.tcp, exchange.query, exchange.deadline, exchange.connect_deadline)
        assert twin != exchange
        assert len({twin, exchange}) == 2

    def test_it_reads_the_answer_to_its_query_and_nothing_else(self) -> None:
        exchange = Asking(NS1).ask()
        query = dns.message.from_wire(exchange.query.wire)
        reply = dns.message.make_response(query, our_payload=1232)
        read = exchange.read(reply.to_wire())
        assert read is not None
        assert read.rcode == 0
        reply.id ^= 1
        assert exchange.read(reply.to_wire()) is None

    def test_what_there_are_many_of_has_no_room_for_anything_else(self) -> None:
        reply = Reply(NS1, False, message(), (), 5.0)
        assert not any(hasattr(value, "__dict__") for value in (Asking(NS1).ask(), reply, Memory()))


def srv(*targets: str, port: int = 80) -> list[Srv]:
    return [Srv(0, 1, port, target) for target in targets]


def members(**hosts: list[str]) -> dict[Key, Detail | None]:
    return {(target, 80): Detail(0, 1, known(addresses)) for target, addresses in hosts.items()}


def glue(truncated: bool = False, **hosts: list[str]) -> Message:
    reply = message(tc=truncated)
    reply.glue = {target: [packed_address(a) for a in addresses] for target, addresses in hosts.items()}
    return reply


class TestServices:
    """An SRV answer that says the same as the last one need not be understood again."""

    BOTH = members(a=["10.0.0.1", "10.0.0.2", "fd00::1"], b=["10.0.0.3"])

    def lacking(self, reply: Message, *, size: int | None = None, records: list[Srv] | None = None) -> list[str] | None:
        services = Services(NS1, srv("a", "b"), self.BOTH, size)
        first = services.unconfirmed(srv("a", "b") if records is None else records, reply)
        second = services.unconfirmed(srv("a", "b") if records is None else records, reply)
        assert (first is None) == (second is None), "it says the same again"
        assert first is None or sorted(first) == sorted(second or ())
        return None if first is None else sorted(map(address_text, first))

    def test_all_of_it_shown_lacks_nothing_in_any_order(self) -> None:
        assert self.lacking(glue(a=["10.0.0.1", "10.0.0.2", "fd00::1"], b=["10.0.0.3"])) == []
        assert self.lacking(glue(b=["10.0.0.3"], a=["fd00::1", "10.0.0.2", "10.0.0.1"])) == []

    def test_other_records_are_another_answer_and_another_order_is_not(self) -> None:
        whole = glue(a=["10.0.0.1", "10.0.0.2", "fd00::1"], b=["10.0.0.3"])
        assert self.lacking(whole, records=srv("b", "a")) == []
        assert self.lacking(whole, records=srv("a")) is None
        assert self.lacking(whole, records=srv("a", "c")) is None
        assert self.lacking(whole, records=srv("a", "b", port=81)) is None

    def test_a_target_that_is_not_shown_lacks_all_it_has(self) -> None:
        assert self.lacking(glue(a=["10.0.0.1", "10.0.0.2", "fd00::1"])) == ["10.0.0.3"]
        assert self.lacking(glue()) == ["10.0.0.1", "10.0.0.2", "10.0.0.3", "fd00::1"]

    def test_a_family_that_is_not_shown_lacks_what_it_has(self) -> None:
        assert self.lacking(glue(a=["10.0.0.1", "10.0.0.2"], b=["10.0.0.3"])) == ["fd00::1"]
        assert self.lacking(glue(a=["fd00::1"])) == ["10.0.0.1", "10.0.0.2", "10.0.0.3"]

    def test_an_address_that_is_new_is_another_answer(self) -> None:
        for reply in (
            glue(a=["10.0.0.1", "10.0.0.2", "10.0.0.9", "fd00::1"], b=["10.0.0.3"]),
            glue(a=["10.0.0.1", "10.0.0.2", "fd00::1"], b=["10.0.0.9"]),
            glue(truncated=True, a=["10.0.0.9"]),
            glue(b=["fd00::3"]),
        ):
            assert self.lacking(reply) is None

    def test_a_whole_rrset_that_lacks_one_is_another_answer(self) -> None:
        assert self.lacking(glue(a=["10.0.0.1", "fd00::1"], b=["10.0.0.3"])) is None

    def test_in_a_cut_message_it_may_be_cut(self) -> None:
        assert self.lacking(glue(truncated=True, a=["10.0.0.1", "fd00::1"], b=["10.0.0.3"])) == ["10.0.0.2"]

    def test_an_address_shown_twice_is_one(self) -> None:
        assert self.lacking(glue(a=["10.0.0.1", "10.0.0.2", "10.0.0.2", "fd00::1"], b=["10.0.0.3"])) == []

    def test_where_one_family_is_of_interest_the_other_is_not(self) -> None:
        assert self.lacking(glue(a=["10.0.0.1", "10.0.0.2", "fd00::1", "fd00::9"], b=["10.0.0.3"]), size=4) == [
            "fd00::1"
        ]
        v4 = members(a=["10.0.0.1"])
        services = Services(NS1, srv("a"), v4, 4)
        assert services.unconfirmed(srv("a"), glue(a=["10.0.0.1", "fd00::9"])) == []
        assert services.unconfirmed(srv("a"), glue(a=["10.0.0.2", "fd00::9"])) is None
        assert Services(NS1, srv("a"), v4, None).unconfirmed(srv("a"), glue(a=["10.0.0.1", "fd00::9"])) is None

    def test_glue_that_lacks_something_is_not_what_confirms(self) -> None:
        services = Services(NS1, srv("a", "b"), self.BOTH, None)
        for _ in range(2):
            assert services.unconfirmed(srv("a", "b"), glue(a=["10.0.0.1", "10.0.0.2", "fd00::1"])) == [
                packed_address("10.0.0.3")
            ]
        assert services.unconfirmed(srv("a", "b"), glue(a=["10.0.0.1", "10.0.0.2", "fd00::1"], b=["10.0.0.3"])) == []

    def test_an_answer_of_which_two_targets_have_an_address_in_common_is_not_remembered(self) -> None:
        def remembered(members: dict[Key, Detail | None]) -> bool:
            return Services.unambiguous(NS1, (), members, None) is not None

        assert remembered(self.BOTH)
        assert not remembered(members(a=["10.0.0.1"], b=["10.0.0.1"]))
        assert not remembered(members(a=["10.0.0.1", "fd00::1"], b=["10.0.0.2", "fd00::1"]))
        assert remembered({("a", port): Detail(0, 1, known(["10.0.0.1"])) for port in (80, 81)}), "two ports of one"
        assert remembered(members(a=[], b=[]))
        assert remembered({("a", 80): Detail(0, 1, Addresses()), ("b", 80): Detail(0, 1, Addresses())})

    def test_what_is_remembered_knows_all_addresses(self) -> None:
        services = Services.unambiguous(NS1, srv("a", "b"), self.BOTH, 4)
        assert services is not None
        assert services.addresses == {packed_address(a) for a in ("10.0.0.1", "10.0.0.2", "10.0.0.3", "fd00::1")}
        assert services.unconfirmed(srv("a", "b"), glue(a=["10.0.0.1", "10.0.0.2"], b=["10.0.0.3", "fd00::9"])) == [
            packed_address("fd00::1")
        ]


class TestNegativeReplies:
    @pytest.mark.parametrize("soa", [(5, 5), None])
    @pytest.mark.parametrize("tcp", [True, False])
    def test_they_tell_who_said_so_and_over_what(self, soa: tuple[int, int] | None, tcp: bool) -> None:
        net = Net({NS1: always(message(SERVFAIL)), NS2: always(message(soa=soa))})
        client = Client(net, family="ipv4", tcp="always" if tcp else "never")
        client.memory.positive = NS2
        answer = client.ask()
        assert (answer.server, answer.tcp) == (NS2, tcp)
        assert answer.parts[0].has_soa == (soa is not None)

    def test_they_have_no_values(self) -> None:
        for reply in (message(), message(soa=(5, 5))):
            asking = Asking(NS1)
            asking.replied(asking.ask(), reply, 0.1)
            assert isinstance(asking.result, Reply)
            assert asking.result.values == ()
            assert not asking.result.nxdomain


class TestAnyClock:
    @pytest.mark.parametrize("now", [0.0, 0.5, 1e9])
    def test_the_time_may_begin_anywhere(self, now: float) -> None:
        """At the first lookup, types behind an NXDOMAIN are asked for whatever the clock says."""
        net = Net(
            {NS1: lambda name, rdtype, *_: found(SVC, AAAA, "fd00::1") if rdtype == AAAA else nxdomain()}, now=now
        )
        assert addresses(Client(net).ask().parts[0]) == {"fd00::1"}


class TestRefused:
    def test_a_name_that_all_servers_refuse_does_not_end_the_search(self) -> None:
        net = Net(
            {s: lambda name, *_: message(REFUSED) if name == "web.a.example" else one(name=name) for s in (NS1, NS2)}
        )
        answer = Client(net, "web", search=("a.example", "b.example"), ndots=5).ask()
        assert answer.name == "web.b.example"

    def test_one_that_some_refuse_does(self) -> None:
        net = Net(
            {
                NS1: lambda name, *_: message(REFUSED) if name == "web.a.example" else one(name=name),
                NS2: lambda name, *_: message(SERVFAIL) if name == "web.a.example" else one(name=name),
            }
        )
        client = Client(net, "web", search=("a.example", "b.example"), ndots=5)
        answer = client.ask()
        assert answer.name == "web", "only the name as it was written is still asked"
