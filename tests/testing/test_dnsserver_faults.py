"""Each fault, seen from the client's side of the socket."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable, Iterator
from typing import Any

import dns.exception
import dns.flags
import dns.message
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headless_discovery.testing import Close, DNSServer, Exchange, Raw, Reset, Send, Service, Wait, faults

from .dnsclient import (
    addresses,
    ask,
    framed,
    question,
    raw_tcp,
    raw_udp,
    rcode,
    read_exactly,
    read_message,
    tcp_socket,
    truncated,
    udp_socket,
    values,
)

NAME = "headless-svc.moon.svc.cluster.local"


@pytest.fixture
def dns_(live: DNSServer) -> DNSServer:
    live.service("headless-svc", "moon", pods=["10.0.0.1", "10.0.0.2"], ports={"http": 8080})
    return live


def both(server: DNSServer, count: int) -> list[bytes]:
    """`count` datagrams that answer one query; a second query proves that there is no more."""
    query = question(NAME)
    with udp_socket(server) as sock:
        sock.send(query.to_wire())
        found = [sock.recv(65535) for _ in range(count)]
        server.recover()
        last = question(NAME)
        last.id = query.id ^ 0xFFFF
        sock.send(last.to_wire())
        assert sock.recv(65535)[:2] == struct.pack("!H", last.id)
    return found


# --- response codes ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", ["SERVFAIL", "REFUSED", "NOTIMP", "FORMERR"])
@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_rcodes(dns_: DNSServer, fault: str, transport: str) -> None:
    dns_.fail(fault)
    answer = ask(dns_, NAME, "A", transport)
    assert rcode(answer) == fault
    assert not answer.answer
    assert not answer.authority
    assert not answer.flags & dns.flags.AA
    assert answer.edns == 0
    dns_.recover()
    assert len(addresses(dns_, NAME)) == 2


@pytest.mark.parametrize(
    ("fault", "options", "code", "minimum"),
    [
        ("NXDOMAIN", {}, "NXDOMAIN", "5"),
        ("NODATA", {}, "NOERROR", "5"),
        ("unsynced", {}, "SERVFAIL", "5"),
        ("NXDOMAIN", {"minimum": 3600}, "NXDOMAIN", "3600"),
        ("NODATA", {"soa": False}, "NOERROR", None),
        ("NXDOMAIN", {"soa": False}, "NXDOMAIN", None),
        ("rcode", {"code": 9}, "NOTAUTH", None),
        ("rcode", {"code": 2, "soa": True}, "SERVFAIL", "5"),
    ],
)
def test_negative_answers(
    dns_: DNSServer, fault: str, options: dict[str, object], code: str, minimum: str | None
) -> None:
    dns_.fail(fault, **options)  # type: ignore[arg-type]
    answer = ask(dns_, NAME)
    assert rcode(answer) == code
    assert not answer.answer
    assert [text.split()[-1] for text in values(answer, "authority")] == ([] if minimum is None else [minimum])


def test_lame(dns_: DNSServer) -> None:
    dns_.fail("lame")
    answer = ask(dns_, NAME)
    assert (rcode(answer), answer.answer) == ("NOERROR", [])
    assert values(answer, "authority") == ["a.root-servers.net."]
    assert not answer.flags & (dns.flags.AA | dns.flags.RA)


# --- time ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_timeout_times_two(dns_: DNSServer, transport: str) -> None:
    fault = dns_.fail("timeout", times=2)
    first, second, third = question(NAME), question(NAME), question(NAME)
    if transport == "udp":
        with udp_socket(dns_) as sock:
            for query in (first, second, third):
                sock.send(query.to_wire())
            assert sock.recv(512)[:2] == struct.pack("!H", third.id)
    else:
        with tcp_socket(dns_) as sock:
            sock.sendall(b"".join(framed(query.to_wire()) for query in (first, second, third)))
            assert read_message(sock)[:2] == struct.pack("!H", third.id)
    assert fault.hits == 2
    assert dns_.count() == 3


def test_slow_delays_only_its_own_answer(dns_: DNSServer) -> None:
    dns_.fail("slow", delay=0.3, times=1)
    first, second = question(NAME), question(NAME)
    with udp_socket(dns_) as sock:
        sock.send(first.to_wire())
        sock.send(second.to_wire())
        order = [sock.recv(512)[:2] for _ in range(2)]
    assert order == [struct.pack("!H", second.id), struct.pack("!H", first.id)]


def test_hold_and_release_an_older_answer_last(dns_: DNSServer) -> None:
    web = dns_.service("other", "moon", pods=1)
    dns_.fail("hold", times=1)
    first, second = question(web.name), question(web.name)
    with udp_socket(dns_) as sock:
        sock.send(first.to_wire())
        dns_.wait_for_queries(1)
        web.scale(2)
        sock.send(second.to_wire())
        newer = dns.message.from_wire(sock.recv(512))
        dns_.release()
        older = dns.message.from_wire(sock.recv(512))
    assert (newer.id, len(values(newer))) == (second.id, 2)
    assert (older.id, len(values(older))) == (first.id, 1)


def test_recover_releases_what_is_held(dns_: DNSServer) -> None:
    dns_.fail("hold")
    with tcp_socket(dns_) as sock:
        sock.sendall(framed(question(NAME).to_wire()))
        dns_.wait_for_queries(1)
        dns_.recover()
        assert len(values(dns.message.from_wire(read_message(sock)))) == 2


# --- messages ------------------------------------------------------------------------------------------------


def test_truncate_is_udp_only(dns_: DNSServer) -> None:
    dns_.fail("truncate")
    answer = ask(dns_, NAME)
    assert truncated(answer)
    assert not answer.answer
    answer = ask(dns_, NAME, "A", "tcp")
    assert not truncated(answer)
    assert len(values(answer)) == 2


def test_wrong_id_first(dns_: DNSServer) -> None:
    dns_.fail("wrong-id")
    wrong, right = both(dns_, 2)
    assert wrong[:2] != right[:2]
    assert wrong[2:] == right[2:]


def test_wrong_id_only(dns_: DNSServer) -> None:
    dns_.fail("wrong id", then_right=False)
    assert both(dns_, 1)[0][:2] != b"\0\0"
    assert dns_.errors == []


def test_wrong_question_first(dns_: DNSServer) -> None:
    dns_.fail("wrong_question")
    wrong, right = (dns.message.from_wire(data) for data in both(dns_, 2))
    assert wrong.id == right.id
    assert wrong.question[0].name.to_text() == "other.example."
    assert values(wrong) == ["10.6.6.6"]
    assert right.question[0].name.to_text() == f"{NAME}."


def test_wrong_source_first(dns_: DNSServer) -> None:
    dns_.fail("wrong-source")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(10)
        sock.sendto(question(NAME).to_wire(), (dns_.host, dns_.port))
        sources = [sock.recvfrom(512)[1][1] for _ in range(2)]
    assert sources[0] != dns_.port
    assert sources[1] == dns_.port


def test_not_a_response_first(dns_: DNSServer) -> None:
    dns_.fail("not-a-response")
    wrong, right = both(dns_, 2)
    assert (wrong[2] & 0x80, right[2] & 0x80) == (0, 0x80)


def test_duplicate(dns_: DNSServer) -> None:
    dns_.fail("duplicate", copies=3)
    assert len(set(both(dns_, 3))) == 1
    dns_.fail("duplicate")
    with tcp_socket(dns_) as sock:
        sock.sendall(framed(question(NAME).to_wire()))
        assert read_message(sock) == read_message(sock)


@pytest.mark.parametrize("fault", ["garbage", "short", "empty"])
def test_unreadable_answers(dns_: DNSServer, fault: str) -> None:
    dns_.fail(fault)
    query = question(NAME).to_wire()
    for data in (raw_udp(dns_, query), raw_tcp(dns_, query)):
        with pytest.raises(dns.exception.FormError):
            dns.message.from_wire(data)
        assert data[:2] == (b"" if fault == "empty" else query[:2])


# --- records that are left out, added, or of another name ----------------------------------------------------------


SRV = f"_http._tcp.{NAME}"


@pytest.fixture
def dual() -> Iterator[DNSServer]:
    with DNSServer(cache=False, seed=1) as server:
        pods = [f"10.0.0.{n}+fd00::{n}" for n in range(1, 7)]
        server.service("headless-svc", "moon", pods=pods, ports={"http": 8080})
        yield server


def glue_of(message: dns.message.Message) -> dict[str, set[str]]:
    """The additional addresses by the first label of their owner."""
    found: dict[str, set[str]] = {}
    for rrset in message.additional:
        found.setdefault(rrset.name.labels[0].decode(), set()).update(rdata.to_text() for rdata in rrset)
    return found


@pytest.mark.parametrize("order", ["random", "last", "first"])
def test_glue_cut_leaves_out_additional_records_one_by_one(dual: DNSServer, order: str) -> None:
    with dual.fail("glue-cut", keep=5, order=order) as fault:
        seen = []
        for _ in range(10):
            reply = ask(dual, SRV, "SRV")
            assert truncated(reply)
            assert len(values(reply)) == 6
            assert sum(map(len, glue_of(reply).values())) == 5
            seen.append(glue_of(reply))
        last = {"web-0": {"10.0.0.1", "fd00::1"}, "web-1": {"10.0.0.2", "fd00::2"}, "web-2": {"10.0.0.3"}}
        first = {"web-5": {"10.0.0.6", "fd00::6"}, "web-4": {"10.0.0.5", "fd00::5"}, "web-3": {"fd00::4"}}
        if order == "random":
            assert any(glue != seen[0] for glue in seen)
        else:
            assert seen == [{"last": last, "first": first}[order]] * 10
        assert fault.hits == 10
    dual.fail("glue-cut", keep=12)
    assert not truncated(ask(dual, SRV, "SRV"))
    assert not truncated(ask(dual, NAME, "A"))
    dual.fail("glue-cut", order="sideways")
    assert rcode(ask(dual, SRV, "SRV")) == "SERVFAIL"
    assert "sideways" in str(dual.errors.pop())
    dual._errors.clear()


def test_glue_left_out_without_tc(dual: DNSServer) -> None:
    dual.fail("glue-left-out")
    reply = ask(dual, SRV, "SRV")
    assert (truncated(reply), len(values(reply)), glue_of(reply)) == (False, 6, {})
    for family, expected in (
        ("ipv4", {f"10.0.0.{n}" for n in range(1, 7)}),
        ("ipv6", {f"fd00::{n}" for n in range(1, 7)}),
    ):
        dual.fail("glue-left-out", family=family)
        reply = ask(dual, SRV, "SRV")
        assert not truncated(reply)
        assert set().union(*glue_of(reply).values()) == expected
    dual.fail("glue-left-out", keep=2, family="ipv6", order="last")
    assert glue_of(ask(dual, SRV, "SRV")) == {"web-0": {"fd00::1"}, "web-1": {"fd00::2"}}
    assert len(values(ask(dual, NAME, "A"))) == 6


def test_cut_keeps_exactly_the_glue_of_what_it_keeps(dual: DNSServer) -> None:
    dual.fail("cut", keep=2, order="last")
    reply = ask(dual, SRV, "SRV", "tcp")
    assert truncated(reply)
    assert glue_of(reply) == {"web-0": {"10.0.0.1", "fd00::1"}, "web-1": {"10.0.0.2", "fd00::2"}}
    assert len(values(reply)) == 2
    dual.fail("cut", keep=2, glue=False)
    assert glue_of(ask(dual, SRV, "SRV", "tcp")) == {}
    assert len(values(ask(dual, NAME, "A"))) == 2
    dual.fail("cut", keep=6)
    assert not truncated(ask(dual, SRV, "SRV"))


def test_cut_as_many_as_fit(dual: DNSServer) -> None:
    dual.service("many", pods=600, ports={"http": 8080}, family="dual")
    dual.fail("cut")
    name = "_http._tcp.many.default.svc.cluster.local"
    for transport, fewest, most in (("udp", 5, 20), ("tcp", 300, 599)):
        reply = ask(dual, name, "SRV", transport)
        assert truncated(reply)
        assert fewest < len(values(reply)) < most
        assert {rrset.name for rrset in reply.additional} == {r.target for rrset in reply.answer for r in rrset}
        assert sum(map(len, glue_of(reply).values())) == 2 * len(values(reply))
    assert not truncated(ask(dual, SRV, "SRV"))


def test_other_name(dual: DNSServer) -> None:
    dual.record("alias.example.com", "CNAME", 5, NAME)
    dual.fail("other-name", other="web.shop.svc.cluster.local")
    for name, qtype, count in ((NAME, "A", 6), (SRV, "SRV", 6), ("alias.example.com", "CNAME", 1)):
        reply = ask(dual, name, qtype)
        assert reply.question[0].name.to_text(omit_final_dot=True) == name
        assert [rrset.name.to_text() for rrset in reply.answer] == ["web.shop.svc.cluster.local."]
        assert len(values(reply)) == count
    chain = ask(dual, "alias.example.com", "A").answer
    assert [rrset.name.to_text() for rrset in chain] == ["web.shop.svc.cluster.local.", f"{NAME}."]


def test_nxdomain_for_nodata(dns_: DNSServer) -> None:
    dns_.fail("nxdomain-for-nodata")
    assert rcode(ask(dns_, NAME, "A")) == "NOERROR"
    reply = ask(dns_, NAME, "AAAA")
    assert (rcode(reply), len(reply.authority)) == ("NXDOMAIN", 1)
    assert rcode(ask(dns_, "elsewhere.example", "A")) == "REFUSED"
    dns_.fail("nxdomain-for-nodata", soa=False)
    assert ask(dns_, NAME, "AAAA").authority == []


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_extras(dual: DNSServer, transport: str) -> None:
    dual.fail("extras", records=2)
    reply = ask(dual, SRV, "SRV", transport)
    assert [option.to_text() for option in reply.options] == ["EDE 3 (Stale Answer): stale answer"]
    for section in (reply.answer, reply.authority, reply.additional):
        assert [len(rrset) for rrset in section if rrset.rdtype == 65400] == [2]
    assert len(values(reply, qtype="SRV")) == 6
    assert len(glue_of(ask(dual, SRV, "SRV", transport))) == 6 + 1
    assert ask(dual, SRV, "SRV", transport, edns=None).options == ()
    dual.fail("extras", error=None, records=0)
    assert ask(dual, SRV, "SRV", transport).options == ()


# --- EDNS ----------------------------------------------------------------------------------------------------


def test_edns_drop(dns_: DNSServer) -> None:
    dns_.fail("edns-drop")
    with udp_socket(dns_) as sock:
        sock.send(question(NAME).to_wire())
        plain = question(NAME, edns=None)
        sock.send(plain.to_wire())
        assert sock.recv(512)[:2] == struct.pack("!H", plain.id)


def test_edns_formerr_without_question(dns_: DNSServer) -> None:
    dns_.fail("edns-formerr")
    assert raw_udp(dns_, question(NAME).to_wire())[2:] == b"\x80\x01" + bytes(8)
    assert len(values(ask(dns_, NAME, edns=None))) == 2


def test_edns_badvers(dns_: DNSServer) -> None:
    dns_.fail("edns-badvers")
    assert rcode(ask(dns_, NAME)) == "BADVERS"
    assert len(values(ask(dns_, NAME, edns=None))) == 2


# --- TCP -----------------------------------------------------------------------------------------------------


def test_tcp_refused_and_back(dns_: DNSServer) -> None:
    with tcp_socket(dns_) as kept:
        fault = dns_.fail("tcp-refused")
        with pytest.raises(ConnectionResetError):
            kept.recv(1)
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((dns_.host, dns_.port), 10)
        assert len(addresses(dns_, NAME)) == 2  # UDP is as before
        fault.cancel()
        assert len(values(ask(dns_, NAME, "A", "tcp"))) == 2
    assert dns_.errors == []


def test_unreachable_and_back(dns_: DNSServer) -> None:
    for _ in range(3):
        with dns_.fail("unreachable"), udp_socket(dns_) as sock:
            sock.send(question(NAME).to_wire())
            with pytest.raises(ConnectionRefusedError):
                sock.recv(512)
            assert len(values(ask(dns_, NAME, "A", "tcp"))) == 2
        assert len(addresses(dns_, NAME)) == 2
    assert dns_.errors == []


def test_both_sockets_gone_before_the_start() -> None:
    server = DNSServer()
    server.fail("tcp-refused")
    server.fail("unreachable")
    with server:
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((server.host, server.port), 10)
        with udp_socket(server) as sock:
            sock.send(b"x")
            with pytest.raises(ConnectionRefusedError):
                sock.recv(1)
        server.recover()
        assert rcode(ask(server, NAME)) == rcode(ask(server, NAME, "A", "tcp")) == "NXDOMAIN"


def test_tcp_reset(dns_: DNSServer) -> None:
    dns_.fail("tcp-reset")
    with tcp_socket(dns_) as sock:
        sock.sendall(framed(question(NAME).to_wire()))
        with pytest.raises(ConnectionResetError):
            sock.recv(1)
    assert len(addresses(dns_, NAME)) == 2


def test_tcp_close_and_close_after(dns_: DNSServer) -> None:
    dns_.fail("tcp-close", times=1)
    dns_.fail("tcp-close-after", times=1)
    for answered in (False, True):
        with tcp_socket(dns_) as sock:
            sock.sendall(framed(question(NAME).to_wire()))
            if answered:
                assert len(read_message(sock)) > 12
            assert sock.recv(1) == b""


def test_tcp_stall_answers_nothing_and_stays_open(dns_: DNSServer) -> None:
    dns_.fail("tcp-stall", times=1)
    with tcp_socket(dns_) as sock:
        for query in (question(NAME), last := question(NAME)):
            sock.sendall(framed(query.to_wire()))
        assert read_message(sock)[:2] == struct.pack("!H", last.id)


@pytest.mark.parametrize(("reset", "end"), [(True, ConnectionResetError), (False, EOFError)])
def test_tcp_cut_in_mid_message(dns_: DNSServer, reset: bool, end: type[Exception]) -> None:
    size = len(raw_tcp(dns_, question(NAME).to_wire()))
    dns_.fail("tcp-cut", reset=reset)
    with tcp_socket(dns_) as sock:
        sock.sendall(framed(question(NAME).to_wire()))
        assert len(read_exactly(sock, (size + 2) // 2)) > 12
        with pytest.raises(end):
            read_exactly(sock, 1)


def test_tcp_dribble(dns_: DNSServer) -> None:
    dns_.fail("tcp-dribble", delay=0.0001)
    with tcp_socket(dns_) as sock:
        sock.sendall(framed(question(NAME).to_wire()))
        pieces = []
        while (got := sum(map(len, pieces))) < 2 or got < 2 + int.from_bytes(b"".join(pieces)[:2], "big"):
            pieces.append(sock.recv(65535))
    assert len(pieces) > 20
    assert len(values(dns.message.from_wire(b"".join(pieces)[2:]))) == 2


@pytest.mark.parametrize("off_by", [10, -10])
def test_tcp_length_lies(dns_: DNSServer, off_by: int) -> None:
    size = len(raw_tcp(dns_, question(NAME).to_wire()))
    dns_.fail("tcp-length", off_by=off_by)
    with tcp_socket(dns_) as sock:
        sock.sendall(framed(question(NAME).to_wire()))
        assert int.from_bytes(read_exactly(sock, 2), "big") == size + off_by
        assert len(read_exactly(sock, size)) == size


def test_drop_connections(dns_: DNSServer) -> None:
    for reset in (False, True):
        with tcp_socket(dns_) as sock:
            sock.sendall(framed(question(NAME).to_wire()))
            read_message(sock)
            dns_.drop_connections(reset=reset)
            if reset:
                with pytest.raises(ConnectionResetError):
                    sock.recv(1)
            else:
                assert sock.recv(1) == b""


# --- which questions -----------------------------------------------------------------------------------------


def failed(server: DNSServer, name: str, qtype: str = "A", transport: str = "udp") -> bool:
    return rcode(ask(server, name, qtype, transport)) == "SERVFAIL"


def test_by_type_name_and_transport(dns_: DNSServer) -> None:
    other = dns_.service("other", "moon", ports=80)
    with dns_.fail("SERVFAIL", qtype="SRV"):
        assert (failed(dns_, NAME, "SRV"), failed(dns_, NAME)) == (True, False)
    with dns_.fail("SERVFAIL", name=NAME.upper() + "."):
        assert (failed(dns_, NAME), failed(dns_, other.name), failed(dns_, f"web-0.{NAME}")) == (True, False, False)
    with dns_.fail("SERVFAIL", name=other):
        asked = (other.name, f"web-0.{other.name}", NAME, f"x{other.name}")
        assert [failed(dns_, name) for name in asked] == [True, True, False, False]
    with dns_.fail("SERVFAIL", name="web-?.*"):
        assert (failed(dns_, f"web-0.{NAME}"), failed(dns_, NAME)) == (True, False)
    with dns_.fail("SERVFAIL", transport="tcp"):
        assert (failed(dns_, NAME, "A", "tcp"), failed(dns_, NAME)) == (True, False)
    assert not failed(dns_, NAME)


def test_counted_faults_in_order_then_the_newest(dns_: DNSServer) -> None:
    dns_.fail("REFUSED")
    dns_.fail("NOTIMP")
    dns_.fail("SERVFAIL", times=1)
    dns_.fail("NXDOMAIN", times=2)
    dns_.fail("FORMERR", times=1, qtype="SRV")
    codes = [rcode(ask(dns_, NAME)) for _ in range(5)]
    assert codes == ["SERVFAIL", "NXDOMAIN", "NXDOMAIN", "NOTIMP", "NOTIMP"]
    assert [rcode(ask(dns_, NAME, "SRV")) for _ in range(2)] == ["FORMERR", "NOTIMP"]


def test_cancel_ends_one_fault_and_recover_all(dns_: DNSServer) -> None:
    refused = dns_.fail("REFUSED")
    servfail = dns_.fail("SERVFAIL")
    assert failed(dns_, NAME)
    servfail.cancel()
    servfail.cancel()
    assert rcode(ask(dns_, NAME)) == "REFUSED"
    assert (servfail.hits, refused.hits) == (1, 1)
    dns_.fail("timeout", times=1)
    dns_.recover()
    assert rcode(ask(dns_, NAME)) == "NOERROR"


def test_faults_do_not_touch_the_cache(server: DNSServer) -> None:
    web = server.service("headless-svc", "moon", pods=1)
    server.fail("NXDOMAIN", times=1)
    server.fail("timeout", times=1)
    assert rcode(ask(server, NAME)) == "NXDOMAIN"
    with udp_socket(server) as sock:
        sock.send(question(NAME).to_wire())
        server.wait_for_queries(2)
    web.scale(2)
    assert len(addresses(server, NAME)) == 2


@pytest.mark.parametrize(
    ("error", "fault", "options"),
    [
        (ValueError, "sulk", {}),
        (ValueError, "timeout", {"times": 0}),
        (ValueError, "timeout", {"transport": "sctp"}),
        (ValueError, "timeout", {"qtype": "WHAT"}),
        (ValueError, "tcp-reset", {"transport": "udp"}),
        (ValueError, "tcp-refused", {"times": 1}),
        (ValueError, "unreachable", {"name": NAME}),
        (TypeError, "slow", {"dleay": 1}),
        (TypeError, "rcode", {}),
    ],
)
def test_faults_that_cannot_be(error: type[Exception], fault: str, options: dict[str, object]) -> None:
    server = DNSServer()
    with pytest.raises(error):
        server.fail(fault, **options)  # type: ignore[arg-type]


# --- faults of one's own -------------------------------------------------------------------------------------


def test_a_fault_is_a_function_of_the_exchange(dns_: DNSServer) -> None:
    seen = []

    def half(x: Exchange) -> Iterator[Send | Wait]:
        seen.append((x.name, x.qtype, x.transport, x.limit, x.question.edns))
        records = x.records
        records.answer = sorted(records.answer)[:1]
        yield Wait(0.001)
        yield Send(x.write(records))

    dns_.fail(half, qtype="A")
    assert values(ask(dns_, NAME)) == ["10.0.0.1"]
    assert len(values(ask(dns_, NAME, "SRV"))) == 2
    assert seen == [(NAME, "A", "udp", 1232, 1232)]


def test_a_function_with_options_and_a_list(dns_: DNSServer) -> None:
    def end(x: Exchange, how: Callable[[], Close | Reset]) -> list[Raw | Close | Reset]:
        return [Raw(b"\0\3abc"), how()]

    dns_.fail(end, how=Close, transport="tcp")
    with tcp_socket(dns_) as sock:
        sock.sendall(framed(question(NAME).to_wire()))
        assert read_message(sock) == b"abc"
        assert sock.recv(1) == b""


def test_a_smaller_tcp_answer_after_tc(dns_: DNSServer) -> None:
    dns_.fail("truncate")
    dns_.fail(lambda x: [Send(x.reply(answer=x.records.answer[:1]))], transport="tcp")
    assert truncated(ask(dns_, NAME))
    assert len(values(ask(dns_, NAME, "A", "tcp"))) == 1


def test_a_fault_that_raises_is_servfail_and_is_shown() -> None:
    boom = ZeroDivisionError("boom")

    def broken(x: Exchange) -> list[Send]:
        raise boom

    def run() -> None:
        with DNSServer() as server:
            server.fail(broken, times=1)
            server.answer("hook.example", None, broken)  # type: ignore[arg-type]
            assert rcode(ask(server, NAME)) == "SERVFAIL"
            assert rcode(ask(server, "hook.example")) == "SERVFAIL"
            assert server.errors == [boom, boom]
            assert rcode(ask(server, NAME)) == "NXDOMAIN"  # and the server goes on

    with pytest.raises(ZeroDivisionError, match="boom"):
        run()


def test_what_is_not_an_action_is_shown() -> None:
    def run() -> None:
        with DNSServer() as server:
            server.fail(lambda x: ["x", Send(x.answer)])  # type: ignore[list-item,return-value]
            assert rcode(ask(server, NAME)) == "NXDOMAIN"

    with pytest.raises(TypeError, match="not an action: 'x'"):
        run()


@pytest.mark.parametrize(
    ("action", "transport"),
    [(Send("text"), "udp"), (Wait(None), "udp"), (Send("text"), "tcp"), (Send(b"\0" * 70_000), "tcp")],  # type: ignore[arg-type]
    ids=["text", "no seconds", "text by TCP", "more than a message"],
)
def test_an_action_that_cannot_be_done_is_shown(action: Any, transport: str) -> None:
    def run() -> None:
        with DNSServer() as server:
            server.fail(lambda x: [action], times=1)
            if transport == "tcp":
                with pytest.raises((EOFError, ConnectionError)):
                    ask(server, NAME, "A", transport)
            else:
                with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
                    sock.sendto(question(NAME).to_wire(), (server.host, server.port))
                    server.wait_for_queries(1)
            assert rcode(ask(server, NAME, "A", transport)) == "NXDOMAIN"  # the server goes on
            assert len(server.errors) == 1

    with pytest.raises((TypeError, ValueError, OverflowError, AttributeError, struct.error)):
        run()


def test_an_error_in_the_test_is_not_replaced() -> None:
    def run() -> None:
        with DNSServer() as server:
            server.fail(lambda x: 1 // 0)  # type: ignore[arg-type,return-value]
            assert rcode(ask(server, NAME)) == "SERVFAIL"
            raise KeyError

    with pytest.raises(KeyError):
        run()


def test_a_fault_may_turn_switches(dns_: DNSServer) -> None:
    def once(x: Exchange) -> list[Send]:
        dns_.recover()
        dns_.drop_connections()
        return [Send(x.reply(2))]

    dns_.fail(once)
    with tcp_socket(dns_) as kept:
        assert failed(dns_, NAME)
        assert kept.recv(1) == b""
    assert not failed(dns_, NAME)


# --- all of them ---------------------------------------------------------------------------------------------

_OPTIONS = {"rcode": {"code": 7}, "slow": {"delay": 0.001}, "tcp-dribble": {"delay": 0.0}}


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(sorted(faults.FAULTS)), st.none() | st.integers(1, 3)), min_size=1, max_size=4)
)
def test_after_any_faults_the_server_recovers(chosen: list[tuple[str, int | None]]) -> None:
    with DNSServer() as server:
        web: Service = server.service("headless-svc", "moon", ports=80)
        for name, times in chosen:
            server.fail(name, times=None if faults.FAULTS[name].closes else times, **_OPTIONS.get(name, {}))  # type: ignore[arg-type]
        for _ in range(3):
            try:
                with udp_socket(server, 0.001) as sock:
                    sock.send(question(web.name).to_wire())
                    sock.recv(65535)
            except OSError:
                pass
            try:
                with tcp_socket(server, 0.001) as sock:
                    sock.sendall(framed(question(web.name).to_wire()))
                    sock.recv(65535)
            except OSError:
                pass
        server.recover()
        assert sorted(values(ask(server, web.name))) == web.addresses
        assert sorted(values(ask(server, web.name, "A", "tcp"))) == web.addresses
        assert server.errors == []


def test_no_fault_leaves_a_thread() -> None:
    before = threading.active_count()
    with DNSServer() as server:
        for name in faults.FAULTS:
            server.fail(name, **_OPTIONS.get(name, {}))  # type: ignore[arg-type]
    assert threading.active_count() == before
