"""The members of a watched service (design, section 2), the same for `HeadlessService` and `AsyncHeadlessService`.

What differs between the two is in test_sync.py and test_aio.py.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from tenacity import wait_fixed

from headless_discovery import (
    Change,
    DiscoveryError,
    LookupFailed,
    NoPeers,
    Peer,
    PeerSet,
    ServiceClosed,
    TargetError,
    WaitTimeout,
)
from headless_discovery.testing import DNSServer
from support import PATIENCE, QUICK
from support.strategies import Counting, First
from support.subscribers import Record, assert_consistent, eventually
from support.twins import Twin, both_twins

pytestmark = both_twins

NAME = "headless-svc.moon.svc.cluster.local"


def peers_at(*addresses: str, port: int | None = 8080) -> PeerSet:
    return PeerSet(Peer(address, port) for address in addresses)


@pytest.fixture
def dns(headless_dns: DNSServer) -> DNSServer:
    return headless_dns


def test_construction_does_no_io(twin: Twin, dns: DNSServer) -> None:
    dns.service("headless-svc", "moon")
    with closing(twin(NAME, 8080, nameservers=[dns.nameserver])) as svc:
        assert svc.status.state == "starting"
        assert svc.status.lookups == 0
        assert svc.target == NAME
    assert dns.queries == []


def test_start_returns_the_first_answer(twin: Twin, dns: DNSServer) -> None:
    web = dns.service("headless-svc", "moon", pods=3)
    with closing(twin(NAME, 8080, nameservers=[dns.nameserver])) as svc:
        found = svc.start()
        assert found == peers_at(*web.addresses)
        assert found.target == NAME
        assert svc.start() == found  # at once, and the same
        assert svc.peers() == found
    assert dns.count() == 1


def test_a_with_block_starts_and_closes(twin: Twin, dns: DNSServer) -> None:
    dns.service("headless-svc", "moon")
    with twin(NAME, 8080, nameservers=[dns.nameserver]) as svc:
        assert dns.count() == 1
        assert svc.status.state == "fresh"
    assert svc.status.state == "closed"


def test_a_with_block_that_cannot_start_closes(twin: Twin, dns: DNSServer) -> None:
    dns.fail("SERVFAIL")
    svc = twin(NAME, nameservers=[dns.nameserver])
    with pytest.raises(LookupFailed, match="SERVFAIL"), svc:
        pytest.fail("there is no answer")
    assert svc.status.state == "closed"


@pytest.mark.parametrize("fault", ["NXDOMAIN", "NODATA"])
def test_nobody_there_is_an_answer(twin: Twin, dns: DNSServer, fault: str) -> None:
    dns.fail(fault)
    with twin(NAME, nameservers=[dns.nameserver]) as svc:
        assert svc.peers() == PeerSet()
        assert svc.status.state == "empty"
        assert svc.status.failures == 0
        with pytest.raises(NoPeers) as caught:
            svc.pick()
        assert caught.value.target == NAME
        assert caught.value.excluded == ()
        with pytest.raises(NoPeers):
            svc.pick_many(2)
        with pytest.raises(NoPeers), svc.lease():
            pytest.fail("there is nobody to lease")
        with pytest.raises(NoPeers):
            svc.call(lambda peer: peer)


def test_a_service_without_pods_is_an_empty_set_that_fills(twin: Twin, dns: DNSServer) -> None:
    web = dns.service("headless-svc", "moon", pods=0)
    with twin(NAME, 8080, nameservers=[dns.nameserver], **QUICK) as svc:
        assert svc.peers() == PeerSet()
        web.scale(2)
        assert svc.wait_for(2, PATIENCE) == peers_at(*web.addresses)


def test_start_fails_and_the_service_recovers_by_itself(twin: Twin, dns: DNSServer) -> None:
    web = dns.service("headless-svc", "moon", pods=2)
    dns.fail("SERVFAIL")
    with closing(twin(NAME, 8080, nameservers=[dns.nameserver], retry_wait=wait_fixed(0.02))) as svc:
        with pytest.raises(LookupFailed, match=f"{NAME}.*{re.escape(dns.nameserver)}.*SERVFAIL"):
            svc.start()
        assert svc.status.state == "starting"
        assert isinstance(svc.status.error, LookupFailed)
        assert svc.status.failures >= 1
        dns.recover()
        assert svc.wait_for(1, PATIENCE) == peers_at(*web.addresses)
        assert svc.status.error is None
        assert svc.status.state == "fresh"
        assert svc.status.consecutive_failures == 0


def test_start_asks_again_without_waiting_for_the_back_off(twin: Twin, dns: DNSServer) -> None:
    web = dns.service("headless-svc", "moon", pods=1)
    dns.fail("SERVFAIL", times=1)
    with closing(twin(NAME, 8080, nameservers=[dns.nameserver], retry_wait=wait_fixed(3600))) as svc:
        with pytest.raises(LookupFailed):
            svc.start()
        assert svc.start() == peers_at(*web.addresses)
    assert dns.count() == 2


def test_start_has_a_timeout_and_the_lookup_goes_on(twin: Twin, dns: DNSServer) -> None:
    web = dns.service("headless-svc", "moon", pods=1)
    dns.fail("hold")
    with closing(twin(NAME, 8080, nameservers=[dns.nameserver])) as svc:
        with pytest.raises(LookupFailed, match=r"no answer within 0\.05 s"):
            svc.start(timeout=0.05)
        dns.wait_for_queries(1)
        dns.recover()
        assert svc.wait_for(1, PATIENCE) == peers_at(*web.addresses)


def test_peers_during_back_off_raise_the_stored_error_at_once_and_ask_nobody(twin: Twin, dns: DNSServer) -> None:
    dns.fail("REFUSED")
    with closing(twin(NAME, nameservers=[dns.nameserver], retry_wait=wait_fixed(3600))) as svc:
        with pytest.raises(LookupFailed):
            svc.start()
        asked = dns.count()
        dns.fail("timeout")  # whoever asked now would wait for seconds
        for _ in range(1000):
            with pytest.raises(LookupFailed, match="REFUSED"):
                svc.peers()
        for member in (svc.pick, lambda: svc.pick_many(2), lambda: svc.lease().__enter__()):
            with pytest.raises(LookupFailed, match="REFUSED") as caught:
                member()
            assert caught.value.__suppress_context__ or caught.value.__context__ is None  # no inner story
        assert dns.count() == asked
        assert svc.status.lookups == 1


def test_a_dead_server_is_a_failure(twin: Twin, dns: DNSServer) -> None:
    dns.fail("unreachable")
    with closing(twin(NAME, nameservers=[dns.nameserver], tcp="never")) as svc, pytest.raises(LookupFailed):
        svc.start()


# --- pick, pick_many, lease: memory only


def test_pick_goes_round(twin: Twin, dns: DNSServer) -> None:
    dns.service("headless-svc", "moon", pods=3)
    with twin(NAME, 8080, nameservers=[dns.nameserver]) as svc:
        first = [svc.pick() for _ in range(3)]
        assert set(first) == set(svc.peers())
        assert [svc.pick() for _ in range(3)] == first
    assert dns.count() == 1


def test_pick_excludes_by_endpoint(twin: Twin, dns: DNSServer) -> None:
    dns.service("headless-svc", "moon", pods=3)
    with twin(NAME, 8080, nameservers=[dns.nameserver]) as svc:
        gone, other, left = svc.peers()
        excluded = [Peer(gone.address, gone.port, "another.name", weight=7), other]
        assert {svc.pick(exclude=excluded) for _ in range(9)} == {left}
        with pytest.raises(NoPeers) as caught:
            svc.pick(exclude=svc.peers())
        assert caught.value.target == NAME
        assert set(caught.value.excluded) == set(svc.peers())


def test_pick_many_gives_different_peers(twin: Twin, dns: DNSServer) -> None:
    dns.service("headless-svc", "moon", pods=3)
    with twin(NAME, 8080, nameservers=[dns.nameserver]) as svc:
        assert len(set(svc.pick_many(2))) == 2
        assert set(svc.pick_many(10)) == set(svc.peers())
        first = svc.peers()[0]
        assert set(svc.pick_many(10, exclude=[first])) == set(svc.peers()[1:])
        assert svc.pick_many(0) == []


def test_a_key_is_for_the_strategy(twin: Twin, dns: DNSServer) -> None:
    dns.service("headless-svc", "moon", pods=3)
    with twin(NAME, 8080, nameservers=[dns.nameserver], strategy="consistent_hash") as svc:
        owners = {key: svc.pick(key) for key in ("alice", "bob", b"carol", 4)}
        assert {key: svc.pick(key) for key in owners} == owners
        assert svc.pick_many(2, "alice")[0] == owners["alice"]
        with svc.lease("alice") as peer:
            assert peer == owners["alice"]
        assert svc.call(lambda peer: peer, key="alice") == owners["alice"]
        others = svc.pick("alice", exclude=[owners["alice"]])
        assert others != owners["alice"]


def test_a_lease_ends_with_its_block_also_when_it_raises(twin: Twin, dns: DNSServer) -> None:
    dns.service("headless-svc", "moon", pods=2)
    strategy = Counting()
    with twin(NAME, 8080, nameservers=[dns.nameserver], strategy=strategy) as svc:
        with svc.lease() as peer:
            assert peer == svc.peers()[0]
            assert strategy.busy[peer] == 1
            with svc.lease(exclude=[peer]) as other:
                assert other == svc.peers()[1]
        assert strategy.busy.total() == 0
        problem = ValueError("in the block")
        with pytest.raises(ValueError, match="in the block"), svc.lease():
            raise problem
        assert strategy.busy.total() == 0
        assert strategy.released == [None, None, problem]


def test_a_strategy_with_nothing_but_pick_serves_every_member(twin: Twin, dns: DNSServer) -> None:
    dns.service("headless-svc", "moon", pods=3)
    strategy = First()
    with twin(NAME, 8080, nameservers=[dns.nameserver], strategy=strategy) as svc:
        peers = svc.peers()
        assert svc.pick() == peers[0]
        assert svc.pick_many(2) == list(peers[:2])
        with svc.lease(exclude=[peers[0]]) as peer:
            assert peer == peers[1]
        assert svc.call(lambda peer: peer.address) == peers[0].address


# --- strategies that fail


def test_where_build_raises_the_old_picker_stays_for_peers_still_there(twin: Twin, dns: DNSServer) -> None:
    web = dns.service("headless-svc", "moon", pods=3)
    strategy = First()
    with twin(NAME, 8080, nameservers=[dns.nameserver], strategy=strategy, **QUICK) as svc:
        first, second, third = svc.peers()
        strategy.broken = ZeroDivisionError("no ring today")
        web.remove(first.address)
        new = web.add()
        record = Record()
        svc.watch(record)
        record.told(peers_at(second.address, third.address, new.address))
        assert svc.pick() == second
        assert svc.pick_many(5) == [second, third]  # the old picker does not know the new one
        with svc.lease() as peer:
            assert peer == second
        with pytest.raises(NoPeers):
            svc.pick(exclude=[second, third])
        assert isinstance(svc.status.error, DiscoveryError)
        assert "no ring today" in str(svc.status.error)
        assert svc.status.state == "fresh"
        last = strategy.built[0][0]

        strategy.broken = None
        web.add()
        svc.wait_for(4, PATIENCE)
        eventually(lambda: svc.status.error is None)
        assert svc.pick() == svc.peers()[0]
        assert strategy.built[-1][1] is not None  # the picker that worked is handed on
        assert strategy.built[-1][1].peers == last


def test_where_the_first_build_raises_the_peers_are_known_and_pick_says_why(twin: Twin, dns: DNSServer) -> None:
    web = dns.service("headless-svc", "moon", pods=1)
    strategy = First()
    strategy.broken = ValueError("bad ring")
    with twin(NAME, 8080, nameservers=[dns.nameserver], strategy=strategy, **QUICK) as svc:
        assert svc.peers() == peers_at(*web.addresses)
        with pytest.raises(DiscoveryError, match="bad ring"):
            svc.pick()
        strategy.broken = None
        web.scale(2)
        svc.wait_for(2, PATIENCE)
        assert svc.pick() == svc.peers()[0]


def test_build_never_sees_an_empty_set(twin: Twin, dns: DNSServer) -> None:
    web = dns.service("headless-svc", "moon", pods=0)
    strategy = First()
    options = {**QUICK, "empty_grace": 0}
    with twin(NAME, 8080, nameservers=[dns.nameserver], strategy=strategy, **options) as svc:
        record = Record()
        svc.watch(record)
        web.scale(1)
        record.told(peers_at(*web.addresses))
        web.scale(0)
        record.told(PeerSet())
        web.scale(2)
        record.told(peers_at(*web.addresses))
        assert [len(peers) for peers, _ in strategy.built] == [1, 2]
        assert svc.status.changes == 3


# --- wait_for


def test_wait_for_returns_what_is_there_or_comes(twin: Twin, dns: DNSServer) -> None:
    web = dns.service("headless-svc", "moon", pods=1)
    with closing(twin(NAME, 8080, nameservers=[dns.nameserver], **QUICK)) as svc:
        assert svc.wait_for() == peers_at(*web.addresses)  # starts the service
        assert svc.wait_for(0) == svc.peers()
        web.scale(3)
        assert svc.wait_for(3, timeout=PATIENCE) == peers_at(*web.addresses)


def test_wait_for_times_out(twin: Twin, dns: DNSServer) -> None:
    dns.service("headless-svc", "moon", pods=1)
    with closing(twin(NAME, 8080, nameservers=[dns.nameserver])) as svc:
        svc.start()
        with pytest.raises(WaitTimeout, match=r"1 of 3 peers after 0\.05 s") as caught:
            svc.wait_for(3, timeout=0.05)
        assert isinstance(caught.value, NoPeers)
        assert isinstance(caught.value, TimeoutError)
        assert caught.value.target == NAME
        with pytest.raises(WaitTimeout):
            svc.wait_for(3, timeout=0)
        assert svc.wait_for(1, timeout=0) == svc.peers()


def test_wait_for_says_why_there_is_no_answer(twin: Twin, dns: DNSServer) -> None:
    dns.fail("SERVFAIL")
    with closing(twin(NAME, nameservers=[dns.nameserver], retry_wait=wait_fixed(3600))) as svc:
        with pytest.raises(LookupFailed):
            svc.start()
        with pytest.raises(WaitTimeout, match="SERVFAIL"):
            svc.wait_for(1, timeout=0.01)


# --- refresh


def test_refresh_asks_now(twin: Twin, dns: DNSServer) -> None:
    web = dns.service("headless-svc", "moon", pods=1)
    dns.ttl = 30
    with twin(NAME, 8080, nameservers=[dns.nameserver], min_ttl=0) as svc:
        web.scale(3)
        assert svc.refresh() == peers_at(*web.addresses)
        assert svc.peers() == peers_at(*web.addresses)
    assert dns.count() == 2


def test_refresh_starts_the_service(twin: Twin, dns: DNSServer) -> None:
    web = dns.service("headless-svc", "moon", pods=1)
    with closing(twin(NAME, 8080, nameservers=[dns.nameserver])) as svc:
        assert svc.refresh() == peers_at(*web.addresses)
    assert dns.count() == 1


def test_refresh_within_min_ttl_returns_the_set_as_it_is(twin: Twin, dns: DNSServer) -> None:
    web = dns.service("headless-svc", "moon", pods=1)
    with twin(NAME, 8080, nameservers=[dns.nameserver], min_ttl=60, max_ttl=60) as svc:
        before = svc.peers()
        web.scale(3)
        for _ in range(100):
            assert svc.refresh() is before
    assert dns.count() == 1


def test_refresh_joins_the_lookup_in_flight(twin: Twin, dns: DNSServer) -> None:
    web = dns.service("headless-svc", "moon", pods=1)
    dns.ttl = 30
    with twin(NAME, 8080, nameservers=[dns.nameserver], min_ttl=0) as svc:
        web.scale(2)
        dns.fail("hold")
        results: list[PeerSet] = []
        threads = [threading.Thread(target=lambda: results.append(svc.refresh()), daemon=True) for _ in range(8)]
        for thread in threads:
            thread.start()
        dns.wait_for_queries(2)
        core = svc._service if twin.kind == "sync" else svc.service._service
        eventually(lambda: len(core._names[0].waiting) == 8, "eight waiting for one lookup")
        dns.recover()
        for thread in threads:
            thread.join(PATIENCE)
        assert results == [peers_at(*web.addresses)] * 8
        assert svc.status.lookups == 2
    assert dns.count() == 2


def test_a_failed_refresh_raises_and_changes_nothing(twin: Twin, dns: DNSServer) -> None:
    dns.service("headless-svc", "moon", pods=3)
    dns.ttl = 30
    with twin(NAME, 8080, nameservers=[dns.nameserver], min_ttl=0, retry_wait=wait_fixed(3600)) as svc:
        before = svc.peers()
        record = Record()
        svc.watch(record)
        record.calls(1)
        dns.fail("SERVFAIL")
        with pytest.raises(LookupFailed, match="SERVFAIL"):
            svc.refresh()
        assert svc.peers() is before
        assert svc.status.state == "fresh"
        assert isinstance(svc.status.error, LookupFailed)
        assert (svc.status.failures, svc.status.consecutive_failures) == (1, 1)
        assert svc.pick() in before
        dns.recover()
        assert svc.refresh() == before  # although the back-off is an hour
        assert svc.status.error is None
        assert len(record.changes) == 1


def test_a_tight_refresh_loop_while_dns_fails_is_bounded(twin: Twin, dns: DNSServer) -> None:
    """Lookups of one name after a failure are at least 0.1 s apart: the server's clock is the witness."""
    dns.service("headless-svc", "moon", pods=1)
    with twin(NAME, 8080, nameservers=[dns.nameserver], min_ttl=0, retry_wait=wait_fixed(3600)) as svc:
        dns.clear_queries()
        dns.fail("SERVFAIL")
        for _ in range(6):
            with pytest.raises(LookupFailed):
                svc.refresh()
        asked = [query.time for query in dns.queries]
        assert len(asked) == 6
        assert all(later - earlier >= 0.09 for earlier, later in pairwise(asked))


def test_any_tenacity_wait_decides_about_the_back_off(twin: Twin, dns: DNSServer) -> None:
    attempts: list[tuple[int, type[BaseException] | None]] = []

    def wait(state: Any) -> float:
        attempts.append((state.attempt_number, type(state.outcome.exception())))
        return 0.0 if state.attempt_number < 3 else 3600.0

    dns.fail("SERVFAIL")
    with closing(twin(NAME, nameservers=[dns.nameserver], retry_wait=wait)) as svc:
        with pytest.raises(LookupFailed):
            svc.start()
        eventually(lambda: svc.status.consecutive_failures == 3)
        assert attempts == [(1, LookupFailed), (2, LookupFailed), (3, LookupFailed)]
        assert svc.status.next_refresh_in == pytest.approx(3600, abs=60)


def test_a_wait_that_raises_stops_nothing(twin: Twin, dns: DNSServer) -> None:
    def wait(state: Any) -> float:
        raise ValueError("no idea")

    web = dns.service("headless-svc", "moon", pods=1)
    dns.fail("SERVFAIL", times=1)
    with closing(twin(NAME, 8080, nameservers=[dns.nameserver], retry_wait=wait)) as svc:
        with pytest.raises(LookupFailed):
            svc.start()
        assert svc.wait_for(1, PATIENCE) == peers_at(*web.addresses)


def test_the_default_back_off_is_full_jitter_up_to_half_a_second_at_first(twin: Twin, dns: DNSServer) -> None:
    dns.fail("SERVFAIL")
    with closing(twin(NAME, nameservers=[dns.nameserver], seed=1)) as svc:
        with pytest.raises(LookupFailed):
            svc.start()
        assert svc.status.next_refresh_in is not None
        assert 0 <= svc.status.next_refresh_in <= 1.0  # by now it may be the second one's


# --- status


def test_status_tells_the_story(twin: Twin, dns: DNSServer) -> None:
    web = dns.service("headless-svc", "moon", pods=2)
    dns.ttl = 30
    with closing(twin(NAME, 8080, nameservers=[dns.nameserver], min_ttl=0, retry_wait=wait_fixed(3600))) as svc:
        status = svc.status
        assert (status.state, status.error, status.age, status.next_refresh_in) == ("starting", None, None, None)
        assert not status.complete
        svc.start()
        status = svc.status
        assert (status.state, status.error, status.complete) == ("fresh", None, True)
        assert (status.lookups, status.queries, status.failures, status.changes) == (1, 1, 0, 1)
        assert status.age is not None
        assert 0 <= status.age < PATIENCE
        assert status.next_refresh_in is not None
        assert 30 - PATIENCE < status.next_refresh_in <= 33
        web.scale(3)
        svc.refresh()
        svc.refresh()
        assert (svc.status.lookups, svc.status.changes) == (3, 2)
        with pytest.raises(AttributeError):
            svc.status.state = "fresh"
    assert (svc.status.state, svc.status.next_refresh_in) == ("closed", None)


def test_status_is_stale_once_a_whole_attempt_is_overdue(twin: Twin, dns: DNSServer) -> None:
    dns.service("headless-svc", "moon", pods=2)
    options = {**QUICK, "timeout": 0.05, "retry_wait": wait_fixed(0.01)}
    with twin(NAME, 8080, nameservers=[dns.nameserver], **options) as svc:
        before = svc.peers()
        dns.fail("SERVFAIL")
        eventually(lambda: svc.status.state == "stale", "stale")
        assert svc.peers() is before
        assert svc.status.failures > 0
        dns.recover()
        eventually(lambda: svc.status.state == "fresh", "fresh")


# --- close


def every_member(svc: Any) -> dict[str, Callable[[], Any]]:
    return {
        "start": svc.start,
        "peers": svc.peers,
        "pick": svc.pick,
        "pick_many": lambda: svc.pick_many(1),
        "watch": lambda: svc.watch(print),
        "on_change": lambda: svc.on_change(print),
        "changes": svc.changes,
        "wait_for": svc.wait_for,
        "refresh": svc.refresh,
        "lease": lambda: svc.lease().__enter__(),
        "call": lambda: svc.call(print),
    }


@pytest.mark.parametrize("started", [True, False], ids=["started", "never started"])
def test_after_close_everything_but_status_raises(twin: Twin, dns: DNSServer, started: bool) -> None:
    dns.service("headless-svc", "moon")
    svc = twin(NAME, 8080, nameservers=[dns.nameserver])
    # The async twin's loop outlives the service here, to call its members on.
    own = closing(svc) if twin.kind == "sync" else svc.loop
    service = svc if twin.kind == "sync" else svc.service
    if started:
        svc.start()
    if twin.kind == "sync":
        svc.close()
        svc.close()
    else:
        own.run(service.close())
        own.run(service.close())
    for name, member in every_member(svc).items():
        with pytest.raises(ServiceClosed, match=NAME):
            print(name, "returned", member())
    assert svc.status.state == "closed"
    assert NAME in repr(service)
    svc.close()


def test_close_wakes_everybody_who_waits(twin: Twin, dns: DNSServer) -> None:
    dns.service("headless-svc", "moon", pods=1)
    with twin(NAME, 8080, nameservers=[dns.nameserver], min_ttl=0) as svc:
        dns.clear_queries()
        dns.fail("timeout")
        ended: dict[str, BaseException | str] = {}

        def waiter(name: str, wait: Callable[[], object]) -> threading.Thread:
            def run() -> None:
                try:
                    ended[name] = f"returned {wait()!r}"
                except DiscoveryError as error:
                    ended[name] = error

            thread = threading.Thread(target=run, name=name, daemon=True)
            thread.start()
            return thread

        threads = [waiter("wait_for", lambda: svc.wait_for(5)), waiter("refresh", svc.refresh)]
        dns.wait_for_queries(1)
        if twin.kind == "sync":
            svc.close()
        else:
            svc.loop.run(svc.service.close())
        for thread in threads:
            thread.join(PATIENCE)
        assert {name: type(end) for name, end in ended.items()} == {"wait_for": ServiceClosed, "refresh": ServiceClosed}


def test_close_wakes_who_waits_for_the_first_answer(twin: Twin, dns: DNSServer) -> None:
    dns.fail("timeout")
    svc = twin(NAME, 8080, nameservers=[dns.nameserver])
    ended: list[BaseException] = []

    def run() -> None:
        try:
            svc.start()
        except ServiceClosed as error:
            ended.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    dns.wait_for_queries(1)
    if twin.kind == "sync":
        svc.close()
    else:
        svc.loop.run(svc.service.close())
    thread.join(PATIENCE)
    assert len(ended) == 1
    svc.close()


def test_a_closed_service_asks_nobody(twin: Twin, dns: DNSServer) -> None:
    dns.service("headless-svc", "moon")
    with twin(NAME, 8080, nameservers=[dns.nameserver], **QUICK) as svc:
        dns.wait_for_queries(3)
    asked = dns.count(NAME)
    # Another service lives through many refreshes; time enough for the closed one to betray itself.
    other = dns.service("other-svc", "moon")
    with twin(other.name, 8080, nameservers=[dns.nameserver], **QUICK):
        dns.wait_for_queries(5, PATIENCE, name=other)
    assert dns.count(NAME) == asked
    assert svc.status.state == "closed"


# --- targets


def test_a_name_with_its_port_and_with_ports_from_dns(twin: Twin, dns: DNSServer) -> None:
    web = dns.service("headless-svc", "moon", pods=2, ports={"http": 8080})
    named = PeerSet(Peer(pod.address, 8080, pod.fqdn) for pod in web.pods)
    for target, port, expected in (
        (f"{NAME}:8080", None, peers_at(*web.addresses)),
        (NAME, None, peers_at(*web.addresses, port=None)),
        (NAME, "http", named),
        (NAME, "auto", named),
        (f"_http._tcp.{NAME}", None, named),
    ):
        with twin(target, port, nameservers=[dns.nameserver]) as svc:
            assert svc.peers() == expected, target


def test_grpc_spelling(twin: Twin, dns: DNSServer) -> None:
    web = dns.service("headless-svc", "moon", pods=2)
    with twin(f"dns://{dns.nameserver}/{NAME}:8080") as svc:
        assert svc.peers() == peers_at(*web.addresses)
    with twin(f"dns:///{NAME}:8080", nameservers=[dns.nameserver]) as svc:
        assert svc.peers() == peers_at(*web.addresses)
    with pytest.raises(TargetError, match="nameservers"):
        twin(f"dns://{dns.nameserver}/{NAME}:8080", nameservers=[dns.nameserver])


def test_static_peers_are_never_looked_up(twin: Twin, dns: DNSServer) -> None:
    with twin("10.0.0.1:8080,[fd00::1]:8080", nameservers=[dns.nameserver]) as svc:
        assert svc.peers() == peers_at("10.0.0.1", "fd00::1")
        assert svc.wait_for(2, 0) == svc.peers()
        assert svc.refresh() == svc.peers()
        assert svc.pick() in svc.peers()
        record = Record()
        svc.watch(record)
        assert record.told(svc.peers())[0].added == svc.peers()
        status = svc.status
        assert (status.state, status.complete, status.lookups, status.next_refresh_in) == ("fresh", True, 0, None)
    assert dns.queries == []


def test_several_names_are_a_union_and_one_failing_removes_nothing(twin: Twin, dns: DNSServer) -> None:
    a = dns.service("a", "moon", pods=2)
    b = dns.service("b", "moon", pods=2)
    options: dict[str, Any] = {"nameservers": [dns.nameserver], "retry_wait": wait_fixed(0.01), **QUICK}
    with twin(f"{a.name}:1,{b.name}:2,10.0.0.9:3", **options) as svc:
        everybody = [Peer(x, 1) for x in a.addresses] + [Peer(x, 2) for x in b.addresses] + [Peer("10.0.0.9", 3)]
        assert svc.peers() == PeerSet(everybody)
        record = Record()
        svc.watch(record)
        record.calls(1)
        dns.fail("SERVFAIL", name=a)
        eventually(lambda: svc.status.consecutive_failures > 3)
        b.scale(3)
        grown = [*everybody, Peer(b.addresses[2], 2)]
        record.told(PeerSet(grown))  # the other one still moves
        with pytest.raises(LookupFailed, match=re.escape(a.name)):
            svc.refresh()
        assert svc.peers() == PeerSet(grown)
        dns.recover()
        a.scale(3)
        record.told(PeerSet([*grown, Peer(a.addresses[2], 1)]))
        assert_consistent(record.changes)
        assert not any(change.removed for change in record.changes)


def test_several_names_are_delivered_together(twin: Twin, dns: DNSServer) -> None:
    """Nobody is told half of the union because one name's answer came first."""
    a = dns.service("a", "moon", pods=1)
    b = dns.service("b", "moon", pods=1)
    dns.fail("hold", name=b)
    with closing(twin([a.name, b.name], 8080, nameservers=[dns.nameserver])) as svc:
        record = Record()
        svc.watch(record)
        eventually(lambda: svc.status.lookups == 1, "the answer for one of them")
        assert svc.status.state == "starting"
        assert record.changes == []
        dns.recover()
        assert svc.start() == peers_at(*a.addresses, *b.addresses)
        assert len(record.told(svc.peers())) == 1


def test_several_names_start_where_one_of_them_fails(twin: Twin, dns: DNSServer) -> None:
    a = dns.service("a", "moon", pods=2)
    b = dns.service("b", "moon", pods=1)
    dns.fail("SERVFAIL", name=b)
    options: dict[str, Any] = {"nameservers": [dns.nameserver], "retry_wait": wait_fixed(0.05)}
    with twin([f"{a.name}:1", f"{b.name}:2"], **options) as svc:
        assert svc.peers() == peers_at(*a.addresses, port=1)
        assert isinstance(svc.status.error, LookupFailed)
        assert not svc.status.complete
        dns.recover()
        assert len(svc.wait_for(3, PATIENCE)) == 3


def test_several_names_fail_to_start_where_all_fail(twin: Twin, dns: DNSServer) -> None:
    dns.fail("SERVFAIL")
    svc = twin(["a.moon.svc.cluster.local", "b.moon.svc.cluster.local"], nameservers=[dns.nameserver])
    with pytest.raises(LookupFailed, match="SERVFAIL"), svc:
        pytest.fail("nobody answered")


RESOLV_CONF = "search moon.svc.cluster.local svc.cluster.local cluster.local\nnameserver 127.0.0.1\noptions ndots:5\n"


@pytest.mark.parametrize(
    ("target", "asked"),
    [
        ("headless-svc.moon.svc.cluster.local", [NAME]),
        ("headless-svc.moon.svc.cluster.local.", [NAME]),
        ("headless-svc", [NAME]),
        ("headless-svc.moon", [f"headless-svc.moon.{'moon.svc.cluster.local'}", NAME]),
    ],
)
def test_short_names_by_the_search_list(
    twin: Twin, dns: DNSServer, tmp_path: Path, target: str, asked: list[str]
) -> None:
    web = dns.service("headless-svc", "moon", pods=2)
    conf = tmp_path / "resolv.conf"
    conf.write_text(RESOLV_CONF)
    options: dict[str, Any] = {"nameservers": [dns.nameserver], "resolv_conf": str(conf), "min_ttl": 0}
    with twin(target, 8080, **options) as svc:
        assert svc.peers() == peers_at(*web.addresses)
        assert [query.name for query in dns.queries] == asked
        svc.refresh()
        assert [query.name for query in dns.queries] == [*asked, NAME]  # the name that hit is remembered


def test_a_resolv_conf_that_cannot_be_read_is_a_failure(twin: Twin, dns: DNSServer, tmp_path: Path) -> None:
    missing = tmp_path / "resolv.conf"
    with (
        closing(twin(NAME, resolv_conf=str(missing))) as svc,
        pytest.raises(LookupFailed, match=re.escape(str(missing))),
    ):
        svc.start()


def test_several_servers_are_asked_in_order(twin: Twin, dns: DNSServer) -> None:
    web = dns.service("headless-svc", "moon", pods=1)
    with DNSServer(cache=False) as broken:
        broken.fail("SERVFAIL")
        with twin(NAME, 8080, nameservers=[broken.nameserver, dns.nameserver]) as svc:
            assert svc.peers() == peers_at(*web.addresses)
            assert svc.status.queries == 2
        assert (broken.count(), dns.count()) == (1, 1)


# --- exclude_self


@pytest.mark.parametrize(
    ("environment", "option", "left"),
    [
        ({"POD_IP": "127.0.0.3"}, True, {"127.0.0.2", "127.0.0.1"}),
        ({"POD_IPS": "127.0.0.3,fd00::3"}, True, {"127.0.0.2", "127.0.0.1"}),
        ({}, True, {"127.0.0.2", "127.0.0.3"}),  # the address this host sends from, to a server on loopback
        ({"POD_IP": "127.0.0.3"}, False, {"127.0.0.1", "127.0.0.2", "127.0.0.3"}),
        ({}, "127.0.0.2", {"127.0.0.1", "127.0.0.3"}),
        ({}, ["127.0.0.2", "127.0.0.3"], {"127.0.0.1"}),
        ({}, "127.0.0.2:8080", {"127.0.0.1", "127.0.0.3"}),
        ({}, "127.0.0.2:9999", {"127.0.0.1", "127.0.0.2", "127.0.0.3"}),
        ({}, [], {"127.0.0.1", "127.0.0.2", "127.0.0.3"}),
    ],
)
def test_exclude_self(
    twin: Twin,
    dns: DNSServer,
    monkeypatch: pytest.MonkeyPatch,
    environment: dict[str, str],
    option: Any,
    left: set[str],
) -> None:
    for name in ("POD_IP", "POD_IPS"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    dns.service("headless-svc", "moon", pods=["127.0.0.1", "127.0.0.2", "127.0.0.3"])
    with twin(NAME, 8080, nameservers=[dns.nameserver], exclude_self=option) as svc:
        assert set(svc.peers().addresses) == left
        assert {svc.pick().address for _ in range(9)} == left


def test_a_service_of_nobody_but_oneself_is_empty(twin: Twin, dns: DNSServer) -> None:
    web = dns.service("headless-svc", "moon", pods=["127.0.0.2"])
    with twin(NAME, 8080, nameservers=[dns.nameserver], exclude_self="127.0.0.2", **QUICK) as svc:
        assert svc.peers() == PeerSet()
        web.add("127.0.0.3")
        assert svc.wait_for(1, PATIENCE).addresses == ("127.0.0.3",)


def test_exclude_self_that_is_no_address_is_a_target_error(twin: Twin) -> None:
    with pytest.raises(TargetError, match="exclude_self"):
        twin(NAME, exclude_self="not an address")


# --- changes over time


def test_a_change_in_dns_reaches_a_subscriber_within_the_ttl_and_a_second(twin: Twin, dns: DNSServer) -> None:
    """A promise about time, so this test looks at the clock; the server's and the subscriber's are the same one."""
    from time import monotonic

    web = dns.service("headless-svc", "moon", pods=1)
    heard: list[float] = []
    with twin(NAME, 8080, nameservers=[dns.nameserver]) as svc:  # TTL 1 s
        record = Record(lambda change: heard.append(monotonic()))
        svc.watch(record)
        record.calls(1)
        for number in range(2, 4):
            last_asked = dns.queries[-1].time
            web.scale(number)
            changed = monotonic()
            record.told(peers_at(*web.addresses))
            eventually(lambda n=number: len(heard) == n)
            assert heard[-1] - changed <= 1 + 1
            assert dns.queries[-1].time - last_asked >= 0.95  # and not by asking before the TTL was over


def test_a_pod_that_restarts_is_removed_and_added(twin: Twin, dns: DNSServer) -> None:
    web = dns.service("headless-svc", "moon", pods=3, ports={"http": 8080})
    with twin(NAME, "http", nameservers=[dns.nameserver], **QUICK) as svc:
        record = Record()
        svc.watch(record)
        record.calls(1)
        old = svc.peers()[1]
        new = web.restart("web-1")
        changes = record.until(lambda changes: {p.address for p in changes[-1].current} == set(web.addresses))
        removed = {peer for change in changes for peer in change.removed}
        added = {peer for change in changes[1:] for peer in change.added}
        assert removed == {old}
        assert [peer.address for peer in added] == [new.address]
        assert {peer.identity for peer in added} == {old.identity}


def test_updates_without_joins_or_leaves(twin: Twin, dns: DNSServer) -> None:
    dns.record(f"_http._tcp.{NAME}", "SRV", 1, "0 10 8080 one.example.", "0 20 8080 two.example.")
    dns.record("one.example", "A", 1, "10.0.0.1")
    dns.record("two.example", "A", 1, "10.0.0.2")
    with twin(NAME, "http", nameservers=[dns.nameserver], **QUICK) as svc:
        record = Record()
        svc.watch(record)
        record.calls(1)
        dns.remove_record(f"_http._tcp.{NAME}")
        dns.record(f"_http._tcp.{NAME}", "SRV", 1, "0 10 8080 one.example.", "0 70 8080 two.example.")
        change: Change = record.until(lambda changes: any(change.updated for change in changes))[-1]
        assert change
        assert (change.added, change.removed) == (PeerSet(), PeerSet())
        assert [(peer.hostname, peer.weight) for peer in change.updated] == [("two.example", 70)]
