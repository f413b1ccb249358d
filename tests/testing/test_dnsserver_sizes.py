"""How many records fit: the numbers measured on CoreDNS 1.15, which come from how miekg/dns compresses and cuts."""

from __future__ import annotations

import dns.message
import pytest

from headless_discovery.testing import DNSServer

from .dnsclient import ask, question, raw_tcp, raw_udp, truncated, values

PORTS = {"http": 8080}


def counts(message: dns.message.Message) -> tuple[bool, int, int]:
    return truncated(message), len(values(message)), len(values(message, "additional"))


def test_small_answers_are_not_compressed(server: DNSServer) -> None:
    one = server.service("big-svc", "moon", pods=1)
    two = server.service("two-svc", "moon", pods=2)
    assert len(one.name) == 30
    sizes = [len(raw_udp(server, question(service.name).to_wire())) for service in (one, two)]
    assert sizes[1] - sizes[0] == 46  # the owner's 32 bytes, and 14


def test_an_answer_just_too_large_is_compressed_and_whole(server: DNSServer) -> None:
    web = server.service("headless-svc", "moon", pods=30)
    data = raw_udp(server, question(web.name).to_wire())
    assert len(data) == 12 + 41 + 30 * 16 + 11
    assert counts(dns.message.from_wire(data)) == (False, 30, 0)


@pytest.mark.parametrize(
    ("pods", "edns", "expected"),
    [
        (73, 1232, (False, 73, 0)),
        (74, 1232, (True, 73, 0)),
        (74, 4096, (True, 73, 0)),  # no answer is larger than edns_size
        (74, 100, (True, 28, 0)),  # RFC 6891, 6.2.3: less than 512 is 512
        (74, None, (True, 28, 0)),
    ],
)
def test_addresses_per_datagram(
    server: DNSServer, pods: int, edns: int | None, expected: tuple[bool, int, int]
) -> None:
    web = server.service("headless-svc", "moon", pods=pods)
    assert counts(ask(server, web.name, edns=edns)) == expected


def test_edns_size_is_an_option() -> None:
    with DNSServer(edns_size=4096) as server:
        web = server.service("headless-svc", "moon", pods=74)
        assert counts(ask(server, web.name, edns=4096)) == (False, 74, 0)
        assert counts(ask(server, web.name, edns=1232)) == (True, 73, 0)


def test_18_or_19_srv_per_datagram(server: DNSServer) -> None:
    web = server.service("headless-svc", "moon", pods=40, ports=PORTS)
    assert counts(ask(server, web.name, "SRV")) == (True, 19, 0)
    assert counts(ask(server, f"_http._tcp.{web.name}", "SRV")) == (True, 18, 0)


def test_3000_addresses_fit_over_tcp(server: DNSServer) -> None:
    big = server.service("big-svc", "moon", pods=3000)
    data = raw_tcp(server, question(big.name).to_wire())
    assert len(data) == 48_059
    assert counts(dns.message.from_wire(data)) == (False, 3000, 0)


def test_5000_addresses_are_cut_to_a_uniform_sample_each_time() -> None:
    with DNSServer(seed=1) as server:
        big = server.service("big-svc", "moon", pods=5000)
        union: set[str] = set()
        sizes = []
        for _ in range(4):
            answer = ask(server, big.name, "A", "tcp")
            assert counts(answer) == (True, 4092, 0)
            union |= set(values(answer))
            sizes.append(len(union))
    # 5000 (1 - (908/5000)^k): 4092, 4835, 4970, 4995; measured on CoreDNS: 4092, 4839, 4970, 4993
    assert sizes == pytest.approx([4092, 4835, 4970, 4995], abs=30)


def test_1000_srv_are_whole_with_some_of_their_glue(server: DNSServer) -> None:
    web = server.service("headless-svc", "moon", pods=1000, ports=PORTS)
    glue: set[str] = set()
    for _ in range(3):
        answer = ask(server, web.name, "SRV", "tcp")
        cut, srv, additional = counts(answer)
        assert (cut, srv) == (True, 1000)
        assert 105 < additional < 125
        glue |= set(values(answer, "additional"))
    assert len(glue) > 200  # other ones each time


def test_5000_srv_are_the_same_1040_while_the_cache_entry_lives(server: DNSServer) -> None:
    web = server.service("headless-svc", "moon", pods=5000, ports=PORTS)
    answers = [ask(server, web.name, "SRV", "tcp") for _ in range(3)]
    assert {counts(answer) for answer in answers} == {(True, 1040, 0)}
    assert len({tuple(values(answer)) for answer in answers}) == 1


def test_seventy_thousand_addresses(server: DNSServer) -> None:
    huge = server.service("huge", "moon", pods=70_000)
    assert len(set(huge.addresses)) == 70_000
    assert counts(ask(server, huge.name, "A", "tcp"))[0]
