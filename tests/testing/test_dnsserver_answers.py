"""What is answered: names, types, sections. The expected values are CoreDNS's."""

from __future__ import annotations

import dns.flags
import dns.message
import dns.opcode
import dns.rdataclass
import pytest

from headless_discovery.testing import DNSServer, record

from .dnsclient import addresses, ask, question, raw_tcp, raw_udp, rcode, truncated, ttls, udp_socket, values

NAME = "headless-svc.moon.svc.cluster.local"
SOA = "ns.dns.cluster.local. hostmaster.cluster.local. 1 7200 1800 86400 5"


def negative(message: dns.message.Message, code: str) -> bool:
    return rcode(message) == code and not message.answer and values(message, "authority") == [SOA]


def test_a_service_answers_with_its_pods_addresses(server: DNSServer) -> None:
    web = server.service("headless-svc", "moon", pods=["10.0.0.1", "10.0.0.2", "10.0.0.3"], ports={"http": 8080})
    assert web.name == NAME
    answer = ask(server, NAME)
    assert sorted(values(answer)) == ["10.0.0.1", "10.0.0.2", "10.0.0.3"]
    assert answer.answer[0].ttl == 5
    assert not answer.authority
    assert not answer.additional
    assert answer.flags == dns.flags.QR | dns.flags.AA | dns.flags.RD


def test_the_owner_is_spelled_as_it_was_asked(server: DNSServer) -> None:
    server.service("headless-svc", "moon")
    answer = ask(server, "Headless-SVC.moon.svc.CLUSTER.local")
    assert answer.answer[0].name.to_text() == "Headless-SVC.moon.svc.CLUSTER.local."
    assert len(values(answer)) == 3


def test_srv_by_port_name_has_weight_target_port_and_glue(server: DNSServer) -> None:
    server.service("headless-svc", "moon", pods=["10.0.0.1", "10.0.0.2", "10.0.0.3"], ports={"http": 8080})
    answer = ask(server, f"_http._tcp.{NAME}", "SRV")
    assert values(answer) == [f"0 33 8080 web-{n}.{NAME}." for n in range(3)]
    glue = {(rrset.name.to_text(), rdata.to_text()) for rrset in answer.additional for rdata in rrset}
    assert glue == {(f"web-{n}.{NAME}.", f"10.0.0.{n + 1}") for n in range(3)}


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        (f"_nope._tcp.{NAME}", "NXDOMAIN"),
        (f"_http._udp.{NAME}", "NXDOMAIN"),
        (f"_http._tcp.web-0.{NAME}", "NXDOMAIN"),
        (f"web-9.{NAME}", "NXDOMAIN"),
        ("other.moon.svc.cluster.local", "NXDOMAIN"),
        ("headless-svc.mars.svc.cluster.local", "NXDOMAIN"),
        (f"{NAME}.moon.svc.cluster.local", "NXDOMAIN"),
        ("mars.svc.cluster.local", "NXDOMAIN"),
        ("headless-svc.moon.pod.cluster.local", "NXDOMAIN"),
        ("moon.svc.cluster.local", "NOERROR"),
        ("svc.cluster.local", "NOERROR"),
        ("cluster.local", "NOERROR"),
    ],
)
@pytest.mark.parametrize("qtype", ["SRV", "A", "MX"])
def test_names_without_records(server: DNSServer, asked: str, code: str, qtype: str) -> None:
    server.service("headless-svc", "moon", ports={"http": 8080})
    assert negative(ask(server, asked, qtype), code)


@pytest.mark.parametrize("qtype", ["AAAA", "MX", "TXT", "ANY"])
def test_a_name_without_that_type_is_nodata_with_soa(server: DNSServer, qtype: str) -> None:
    server.service("headless-svc", "moon")
    assert negative(ask(server, NAME, qtype), "NOERROR")


def test_soa_minimum_and_negative_ttl_are_configurable() -> None:
    with DNSServer(ttl=7, negative_ttl=4, soa_minimum=3600) as server:
        answer = ask(server, NAME)
    assert answer.authority[0].ttl == 4
    assert values(answer, "authority")[0].endswith(" 3600")


def test_outside_the_zone_is_refused_and_not_authoritative(server: DNSServer) -> None:
    answer = ask(server, "example.com")
    assert rcode(answer) == "REFUSED"
    assert not answer.authority
    assert not answer.flags & dns.flags.AA


def test_another_zone(server: DNSServer) -> None:
    server.add_zone("example.com")
    answer = ask(server, "nope.example.com")
    assert rcode(answer) == "NXDOMAIN"
    assert answer.authority[0].name.to_text() == "example.com."
    server.service("headless-svc", "moon")
    assert rcode(ask(server, "headless-svc.moon.svc.example.com")) == "NXDOMAIN"


def test_apex_soa_and_ns(server: DNSServer) -> None:
    assert values(ask(server, "cluster.local", "SOA")) == [SOA]
    assert values(ask(server, "cluster.local", "NS")) == ["ns.dns.cluster.local."]


def test_two_ports_bare_name_has_every_endpoint_of_every_port(server: DNSServer) -> None:
    server.service("headless-svc", "moon", pods=2, ports={"http": 8080, "": 9090, "dns": (53, "udp")})
    answer = ask(server, NAME, "SRV")
    assert values(answer) == [f"0 16 {port} web-{n}.{NAME}." for n in range(2) for port in (8080, 9090, 53)]
    assert len(values(answer, "additional", "A")) == 2
    assert values(ask(server, f"_dns._udp.{NAME}", "SRV")) == [f"0 50 53 web-{n}.{NAME}." for n in range(2)]


def test_weight_is_at_least_one(server: DNSServer) -> None:
    server.service("headless-svc", "moon", pods=101, ports=8080)
    answer = ask(server, NAME, "SRV", "tcp")
    assert {text.split()[1] for text in values(answer)} == {"1"}


def test_no_ports_no_srv(server: DNSServer) -> None:
    server.service("headless-svc", "moon")
    assert negative(ask(server, NAME, "SRV"), "NOERROR")


def test_a_pods_own_name(server: DNSServer) -> None:
    server.service("headless-svc", "moon", pods=["10.0.0.1", "10.0.0.2"], ports={"http": 8080, "grpc": 9000})
    assert addresses(server, f"web-1.{NAME}") == ["10.0.0.2"]
    assert values(ask(server, f"web-1.{NAME}", "SRV")) == [f"0 50 {port} web-1.{NAME}." for port in (8080, 9000)]


def test_pods_without_hostname_are_named_by_their_address(server: DNSServer) -> None:
    pods = [("10.100.0.0", "fd00::1"), ("10.100.0.1", "fd00::")]
    web = server.service("headless-svc", "moon", hostnames=None, pods=pods, ports=80)
    targets = [text.split()[3].partition(".")[0] for text in values(ask(server, NAME, "SRV"))]
    assert targets == ["10-100-0-0", "10-100-0-1", "fd00--1", "fd00--0"]
    assert addresses(server, f"10-100-0-1.{NAME}") == ["10.100.0.1"]
    assert addresses(server, f"fd00--0.{NAME}", "AAAA") == ["fd00::"]
    assert [pod.hostname for pod in web.pods] == [None, None]
    assert web.pods[0].fqdn == f"10-100-0-0.{NAME}"


def test_dual_stack(server: DNSServer) -> None:
    web = server.service("headless-svc", "moon", family="dual", pods=2, ports=80)
    assert sorted(addresses(server, NAME)) == [pod.addresses[0] for pod in web.pods]
    assert sorted(addresses(server, NAME, "AAAA")) == [pod.addresses[1] for pod in web.pods]
    answer = ask(server, NAME, "SRV")
    assert values(answer) == [f"0 25 80 web-{n}.{NAME}." for n in range(2)]  # 100 over 2 pods x 2 addresses
    assert sorted(values(answer, "additional")) == sorted(a for pod in web.pods for a in pod.addresses)


def test_ipv6_only(server: DNSServer) -> None:
    web = server.service("headless-svc", "moon", family="ipv6")
    assert negative(ask(server, NAME, "A"), "NOERROR")
    assert sorted(addresses(server, NAME, "AAAA")) == web.addresses


def test_a_service_that_is_not_headless_answers_with_itself(server: DNSServer) -> None:
    regular = server.cluster_ip_service("regular-svc", "moon", address="10.96.1.2", ports={"http": 80})
    answer = ask(server, regular.name, "SRV")
    assert values(answer) == ["0 100 80 regular-svc.moon.svc.cluster.local."]
    assert values(answer, "additional") == ["10.96.1.2"]
    assert addresses(server, regular.name) == ["10.96.1.2"]
    assert values(ask(server, f"_http._tcp.{regular.name}", "SRV")) == values(answer)
    assert rcode(ask(server, f"a.pin._zone.{regular.name}")) == "NXDOMAIN"
    other = server.cluster_ip_service("other", "moon")
    assert addresses(server, other.name) != ["10.96.1.2"]


def test_several_pods_under_one_hostname(server: DNSServer) -> None:
    server.service("headless-svc", "moon", pods=["10.0.0.1", "10.0.0.2"], hostnames=["same"], ports=80)
    answer = ask(server, NAME, "SRV")
    assert values(answer) == [f"0 50 80 same.{NAME}."]
    assert sorted(values(answer, "additional")) == ["10.0.0.1", "10.0.0.2"]


def test_one_address_under_two_hostnames(server: DNSServer) -> None:
    server.service("headless-svc", "moon", pods=["10.0.0.1", "10.0.0.1"], ports=80)
    assert addresses(server, NAME) == ["10.0.0.1"]
    assert len(values(ask(server, NAME, "SRV"))) == 2


def test_zone_scoped_names(server: DNSServer) -> None:
    pods = ["10.0.0.1", "10.0.0.2", "10.0.0.3"]
    server.service("headless-svc", "moon", pods=pods, ports={"http": 80}, zones=["eu.a", "b"])
    assert sorted(addresses(server, f"eu.a.pin._zone.{NAME}")) == ["10.0.0.1", "10.0.0.3"]
    assert addresses(server, f"b.pin._zone.{NAME}") == ["10.0.0.2"]
    assert addresses(server, f"b.prefer._zone.{NAME}") == ["10.0.0.2"]
    assert len(addresses(server, f"c.prefer._zone.{NAME}")) == 3
    assert negative(ask(server, f"c.pin._zone.{NAME}"), "NOERROR")
    assert rcode(ask(server, f"c.near._zone.{NAME}")) == "NXDOMAIN"


def test_addresses_are_shuffled_at_each_reply_also_from_the_cache_and_srv_keep_their_order(server: DNSServer) -> None:
    server.service("headless-svc", "moon", pods=8, ports=80)
    replies = [tuple(addresses(server, NAME)) for _ in range(12)]
    assert len(set(replies)) > 6
    assert len({frozenset(reply) for reply in replies}) == 1
    answers = [ask(server, NAME, "SRV") for _ in range(12)]
    assert len({tuple(values(answer)) for answer in answers}) == 1
    assert len({tuple(values(answer, "additional")) for answer in answers}) > 6


def test_the_shuffle_is_uniform(live: DNSServer) -> None:
    live.service("headless-svc", "moon", pods=["10.0.0.1", "10.0.0.2", "10.0.0.3"])
    firsts = [addresses(live, NAME)[0] for _ in range(300)]
    assert all(60 < firsts.count(f"10.0.0.{n}") < 140 for n in (1, 2, 3))  # 5 sigma


def test_a_seed_repeats_the_shuffles() -> None:
    runs = []
    for _ in range(2):
        with DNSServer(seed=7) as server:
            server.service("headless-svc", "moon", pods=20)
            runs.append([addresses(server, NAME) for _ in range(3)])
    assert runs[0] == runs[1]


# --- raw records ---------------------------------------------------------------------------------------------


def test_raw_records_are_answered_as_they_are(server: DNSServer) -> None:
    server.record("odd.example", "SRV", 2**31 - 1, "0 0 80 .", "65535 65535 65535 elsewhere.example.")
    server.record("odd.example", "TXT", 0, '"hello world"')
    server.record("odd.example", "TYPE65400", 9, r"\# 4 0a000001")
    answer = ask(server, "odd.example", "SRV")
    assert sorted(values(answer)) == ["0 0 80 .", "65535 65535 65535 elsewhere.example."]
    assert ttls(answer) == {2**31 - 1}
    assert values(ask(server, "odd.example", "TXT")) == ['"hello world"']
    assert values(ask(server, "odd.example", "TYPE65400")) == [r"\# 4 0a000001"]
    assert len(ask(server, "odd.example", "ANY").answer) == 3
    nodata = ask(server, "odd.example", "A")
    assert rcode(nodata) == "NOERROR"
    assert nodata.authority[0].name.to_text() == "example."


def test_the_top_bit_of_a_ttl_is_sent(server: DNSServer) -> None:
    server.record("top.example", "A", 2**32 - 1, "10.0.0.1")
    assert b"\xff\xff\xff\xff\x00\x04\x0a\x00\x00\x01" in raw_udp(server, question("top.example").to_wire())


def test_raw_srv_brings_the_addresses_that_are_known_as_records(server: DNSServer) -> None:
    server.record("_x._tcp.example", "SRV", 60, "0 1 80 a.example", "0 1 80 b.example")
    server.record("a.example", "A", 60, "10.0.0.1")
    server.record("a.example", "AAAA", 60, "fd00::1")
    answer = ask(server, "_x._tcp.example", "SRV")
    assert sorted(values(answer, "additional")) == ["10.0.0.1", "fd00::1"]
    server.remove_record("_x._tcp.example", "SRV")
    server.record("_x._tcp.example", "SRV", 60, "0 1 80 a.example", glue=False)
    assert not ask(server, "_x._tcp.example", "SRV").additional


def test_cname_chains_are_followed_into_the_cluster(server: DNSServer) -> None:
    server.service("headless-svc", "moon", pods=["10.0.0.1"])
    server.record("a.example", "CNAME", 10, "b.example")
    server.record("b.example", "CNAME", 20, NAME)
    answer = ask(server, "a.example")
    assert [(rrset.name.to_text(), rrset.ttl) for rrset in answer.answer] == [
        ("a.example.", 10),
        ("b.example.", 20),
        (f"{NAME}.", 5),
    ]
    assert values(ask(server, "a.example", "CNAME")) == ["b.example."]


def test_a_chain_of_nine(server: DNSServer) -> None:
    for n in range(9):
        server.record(f"c{n}.example", "CNAME", 10, f"c{n + 1}.example")
    server.record("c9.example", "A", 10, "10.0.0.9")
    assert len(ask(server, "c0.example").answer) == 10


def test_cname_ends(server: DNSServer) -> None:
    server.record("gone.example", "CNAME", 10, "nobody.moon.svc.cluster.local")
    server.record("out.example", "CNAME", 10, "elsewhere.test")
    server.record("loop.example", "CNAME", 10, "pool.example")
    server.record("pool.example", "CNAME", 10, "loop.example")
    gone = ask(server, "gone.example")
    assert rcode(gone) == "NXDOMAIN"
    assert values(gone) == ["nobody.moon.svc.cluster.local."]
    out = ask(server, "out.example")
    assert (rcode(out), values(out), out.authority) == ("NOERROR", ["elsewhere.test."], [])
    assert values(ask(server, "loop.example")) == ["pool.example.", "loop.example."]


def test_wildcards_do_not_cover_names_that_exist(server: DNSServer) -> None:
    server.service("headless-svc", "moon", pods=["10.0.0.1"])
    server.record("*.cluster.local", "A", 10, "10.9.9.9")
    server.record("*.example", "A", 10, "10.9.9.8")
    server.record("here.example", "TXT", 10, '"x"')
    assert addresses(server, NAME) == ["10.0.0.1"]
    assert addresses(server, "what.ever.cluster.local") == ["10.9.9.9"]
    assert addresses(server, "any.example") == ["10.9.9.8"]
    assert addresses(server, "here.example") == []
    assert addresses(server, "below.here.example") == []


def test_a_record_of_another_type_does_not_hide_a_service(server: DNSServer) -> None:
    web = server.service("headless-svc", "moon", pods=["10.0.0.1"])
    server.record(web.name, "TXT", 10, '"x"')
    assert addresses(server, NAME) == ["10.0.0.1"]
    server.record(web.name, "A", 10, "10.0.0.2")
    assert addresses(server, NAME) == ["10.0.0.2"]
    server.remove_record(web.name)
    assert addresses(server, NAME) == ["10.0.0.1"]


@pytest.mark.parametrize(
    ("rtype", "ttl", "value"), [("A", 5, "nope"), ("A", -1, "10.0.0.1"), ("SRV", 5, "1 2 3"), ("WHAT", 5, "x")]
)
def test_records_that_cannot_be(server: DNSServer, rtype: str, ttl: int, value: str) -> None:
    with pytest.raises(ValueError):
        server.record("a.example", rtype, ttl, value)


# --- answers made by hand ------------------------------------------------------------------------------------


def test_a_message_of_bytes_gets_the_querys_id(server: DNSServer) -> None:
    server.answer("Raw.Example.", "A", b"\0\0nonsense")
    query = question("raw.example").to_wire()
    assert raw_udp(server, query) == query[:2] + b"nonsense"
    assert raw_tcp(server, query) == query[:2] + b"nonsense"
    assert rcode(ask(server, "raw.example", "AAAA")) == "REFUSED"
    server.answer("raw.example", "A", None)
    assert rcode(ask(server, "raw.example", "A")) == "REFUSED"


def test_a_function_makes_the_message(server: DNSServer) -> None:
    web = server.service("headless-svc", "moon", pods=["10.0.0.1", "10.0.0.2"])
    server.answer(web, None, lambda x: x.reply(answer=[*x.records.answer, record("x.example", "A", 1, "10.6.6.6")]))
    assert sorted(values(ask(server, NAME))) == ["10.0.0.1", "10.0.0.2", "10.6.6.6"]
    server.answer(
        web, "A", lambda x: x.answer.replace(b"\x0a\0\0\x01", b"\x0a\0\0\xff")
    )  # the more precise one is used
    assert sorted(values(ask(server, NAME))) == ["10.0.0.2", "10.0.0.255"]


# --- what is not a plain question ----------------------------------------------------------------------------


def test_edns_is_echoed_when_asked(server: DNSServer) -> None:
    server.service("headless-svc", "moon")
    assert ask(server, NAME, edns=1400).payload == 1400
    assert ask(server, NAME, edns=None).edns == -1
    assert ask(server, NAME, "A", "tcp").edns == 0


def test_other_edns_versions_are_badvers(server: DNSServer) -> None:
    query = dns.message.make_query(NAME, "A", use_edns=1)
    assert rcode(dns.message.from_wire(raw_udp(server, query.to_wire()))) == "BADVERS"


def test_other_opcodes_classes_and_transfers(server: DNSServer) -> None:
    query = question(NAME)
    query.set_opcode(dns.opcode.STATUS)
    answer = dns.message.from_wire(raw_udp(server, query.to_wire()))
    assert (rcode(answer), answer.opcode()) == ("NOTIMP", dns.opcode.STATUS)
    chaos = dns.message.make_query("version.bind", "TXT", dns.rdataclass.CH)
    assert rcode(dns.message.from_wire(raw_udp(server, chaos.to_wire()))) == "REFUSED"
    assert rcode(dns.message.from_wire(raw_tcp(server, question("cluster.local", "AXFR").to_wire()))) == "REFUSED"


def test_a_broken_question_is_formerr_and_a_response_is_ignored(server: DNSServer) -> None:
    assert raw_udp(server, b"\x12\x34\x01\x00\x00\x02" + bytes(6)) == b"\x12\x34\x80\x01" + bytes(8)
    assert raw_udp(server, b"\x12\x34\x01\x00\x00\x01" + bytes(6) + b"\x07cut") == b"\x12\x34\x80\x01" + bytes(8)
    query = question(NAME).to_wire()
    with udp_socket(server) as sock:
        sock.send(query[:2] + b"\x80" + query[3:])
        sock.send(b"short")
        sock.send(query)
        assert sock.recv(512)[:2] == query[:2]
    assert server.count() == 1


def test_nothing_is_cut_that_fits(server: DNSServer) -> None:
    server.service("headless-svc", "moon", pods=2)
    assert not truncated(ask(server, NAME))
