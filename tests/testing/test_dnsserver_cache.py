"""CoreDNS's cache, replicas that disagree, and answers that are samples."""

from __future__ import annotations

import pytest

from headless_discovery.testing import DNSServer

from .conftest import Clock
from .dnsclient import addresses, ask, rcode, truncated, ttls, values

NAME = "headless-svc.moon.svc.cluster.local"


def test_the_ttl_counts_down_in_whole_seconds_and_is_never_zero(server: DNSServer, clock: Clock) -> None:
    server.service("headless-svc", "moon", ports=80)
    seen = []
    for _ in range(12):
        answer = ask(server, NAME, "SRV")
        assert len(ttls(answer)) == 1  # answer and glue alike
        seen += ttls(answer)
        clock.advance(0.5)
    assert seen == [5, 5, 4, 4, 3, 3, 2, 2, 1, 1, 5, 5]


def test_a_change_shows_when_the_entry_expires(server: DNSServer, clock: Clock) -> None:
    web = server.service("headless-svc", "moon", pods=2, ports=80)
    assert len(addresses(server, NAME)) == 2
    clock.advance(3)
    web.scale(5)
    assert len(addresses(server, NAME)) == 2
    clock.advance(1.9)
    assert len(addresses(server, NAME)) == 2
    clock.advance(0.1)
    assert len(addresses(server, NAME)) == 5


def test_each_type_has_its_own_entry(server: DNSServer, clock: Clock) -> None:
    web = server.service("headless-svc", "moon", pods=2, ports=80)
    assert len(addresses(server, NAME)) == 2
    clock.advance(3)
    web.scale(5)
    answer = ask(server, NAME, "SRV")
    assert (len(values(answer)), ttls(answer)) == (5, {5})
    assert ttls(ask(server, NAME)) == {2}


def test_absence_is_cached_too(server: DNSServer, clock: Clock) -> None:
    assert rcode(ask(server, NAME)) == "NXDOMAIN"
    server.service("headless-svc", "moon")
    clock.advance(4)
    answer = ask(server, NAME)
    assert (rcode(answer), ttls(answer)) == ("NXDOMAIN", {1})
    clock.advance(1)
    assert len(addresses(server, NAME)) == 3


def test_negative_ttl_is_how_long_absence_is_cached(clock: Clock) -> None:
    with DNSServer(clock=clock, ttl=30, negative_ttl=2) as server:
        assert rcode(ask(server, NAME)) == "NXDOMAIN"
        server.service("headless-svc", "moon")
        clock.advance(2)
        assert ttls(ask(server, NAME)) == {30}


def test_the_case_of_the_question_does_not_matter_to_the_cache(server: DNSServer, clock: Clock) -> None:
    server.service("headless-svc", "moon")
    ask(server, NAME)
    clock.advance(2)
    assert ttls(ask(server, NAME.upper())) == {3}


def test_forget(server: DNSServer) -> None:
    web = server.service("headless-svc", "moon", pods=2)
    assert len(addresses(server, NAME)) == 2
    web.scale(1)
    server.forget()
    assert len(addresses(server, NAME)) == 1


def test_without_cache_each_answer_is_new_and_has_the_full_ttl(clock: Clock) -> None:
    with DNSServer(cache=False, clock=clock) as server:
        web = server.service("headless-svc", "moon", pods=2)
        assert ttls(ask(server, NAME)) == {5}
        clock.advance(1)
        web.scale(3)
        answer = ask(server, NAME)
        assert (len(values(answer)), ttls(answer)) == (3, {5})


def test_ttl_zero_is_not_cached() -> None:
    with DNSServer(ttl=0) as server:
        web = server.service("headless-svc", "moon", pods=2)
        assert ttls(ask(server, NAME)) == {0}
        web.scale(3)
        assert len(addresses(server, NAME)) == 3


def test_the_ttl_may_change(server: DNSServer, clock: Clock) -> None:
    server.service("headless-svc", "moon")
    ask(server, NAME)
    server.ttl = 600
    clock.advance(5)
    assert ttls(ask(server, NAME)) == {600}
    assert server.ttl == 600


@pytest.mark.parametrize("ttl", [-1, 2**32])
def test_ttls_that_cannot_be(ttl: int) -> None:
    with pytest.raises(ValueError):
        DNSServer(ttl=ttl)
    with pytest.raises(ValueError):
        DNSServer().ttl = ttl


def test_a_clock_that_goes_back_prolongs_nothing(server: DNSServer, clock: Clock) -> None:
    server.service("headless-svc", "moon")
    ask(server, NAME)
    clock.advance(-100)
    assert ttls(ask(server, NAME)) == {5}


# --- replicas ------------------------------------------------------------------------------------------------


def test_replicas_have_caches_of_their_own(server: DNSServer, clock: Clock) -> None:
    web = server.service("headless-svc", "moon", pods=2, replicas=2)
    assert len(addresses(server, NAME)) == 2  # replica 0 builds its entry
    clock.advance(2)
    web.scale(3)
    assert [len(addresses(server, NAME)) for _ in range(4)] == [3, 2, 3, 2]
    clock.advance(3)
    assert [len(addresses(server, NAME)) for _ in range(2)] == [3, 3]


def test_a_frozen_replica_alternates_with_the_others(live: DNSServer) -> None:
    web = live.service("headless-svc", "moon", pods=2, replicas=2)
    web.freeze(1)
    web.scale(0)
    assert [rcode(ask(live, NAME)) for _ in range(4)] == ["NXDOMAIN", "NOERROR"] * 2
    web.thaw()
    assert [rcode(ask(live, NAME)) for _ in range(2)] == ["NXDOMAIN"] * 2
    with pytest.raises(ValueError, match="no replica 2"):
        web.freeze(2)


# --- samples -------------------------------------------------------------------------------------------------


def test_samples_are_drawn_anew_and_have_no_tc(server: DNSServer) -> None:
    web = server.service("headless-svc", "moon", pods=10, ports=80, sample=3)
    answers = [ask(server, NAME) for _ in range(40)]
    assert {len(values(answer)) for answer in answers} == {3}
    assert not any(map(truncated, answers))
    assert {value for answer in answers for value in values(answer)} == set(web.addresses)


def test_a_sample_of_srv_has_just_its_own_glue(server: DNSServer) -> None:
    server.service("headless-svc", "moon", pods=10, ports=80, sample=3)
    for _ in range(5):
        answer = ask(server, NAME, "SRV")
        assert len(values(answer)) == 3
        assert {text.split()[3] for text in values(answer)} == {rrset.name.to_text() for rrset in answer.additional}


def test_a_sample_of_fewer_is_all_of_them(server: DNSServer) -> None:
    server.service("headless-svc", "moon", pods=2, sample=3)
    assert len(addresses(server, NAME)) == 2


@pytest.mark.parametrize("glue", [0, 4])
def test_partial_glue(server: DNSServer, glue: int) -> None:
    server.service("headless-svc", "moon", pods=10, ports=80, glue=glue)
    answer = ask(server, NAME, "SRV")
    assert (len(values(answer)), len(values(answer, "additional"))) == (10, glue)
    assert not truncated(answer)
