"""`HeadlessService` alone: threads, and what waits before the first answer."""

from __future__ import annotations

import gc
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest
from tenacity import wait_fixed

from headless_discovery import Change, HeadlessService, LookupFailed, PeerSet, ServiceClosed
from headless_discovery.iothread import io
from headless_discovery.testing import DNSServer
from support import PATIENCE, QUICK
from support.processes import python
from support.subscribers import eventually

NAME = "headless-svc.moon.svc.cluster.local"


@pytest.fixture
def dns(headless_dns: DNSServer) -> DNSServer:
    return headless_dns


def test_before_the_first_answer_every_member_waits_for_it(dns: DNSServer) -> None:
    web = dns.service("headless-svc", "moon", pods=2)
    dns.fail("hold")
    services = [HeadlessService(NAME, 8080, nameservers=[dns.nameserver], seed=seed) for seed in range(5)]
    with ThreadPoolExecutor(5) as threads:
        found = [
            threads.submit(lambda: services[0].peers()),
            threads.submit(lambda: PeerSet([services[1].pick(), services[1].pick()])),
            threads.submit(lambda: PeerSet(services[2].pick_many(2))),
            threads.submit(lambda: services[3].call(lambda peer: services[3].peers())),
            threads.submit(lambda: leased(services[4])),
        ]
        dns.wait_for_queries(1)
        assert not any(future.done() for future in found)
        dns.recover()
        for future in found:
            assert set(future.result(PATIENCE).addresses) <= set(web.addresses)
    for service in services:
        assert set(service.peers().addresses) == set(web.addresses)
        service.close()


def leased(service: HeadlessService) -> PeerSet:
    with service.lease() as peer:
        return PeerSet([peer])


def test_before_the_first_answer_peers_wait_at_most_timeout(dns: DNSServer) -> None:
    dns.fail("timeout")
    with closing(HeadlessService(NAME, nameservers=[dns.nameserver], timeout=0.2)) as svc, pytest.raises(LookupFailed):
        svc.peers()  # pytest-timeout is the bound of this test


def test_a_failed_lookup_is_known_to_threads_that_come_later(dns: DNSServer) -> None:
    dns.fail("SERVFAIL")
    with closing(HeadlessService(NAME, nameservers=[dns.nameserver], retry_wait=wait_fixed(3600))) as svc:
        with pytest.raises(LookupFailed):
            svc.peers()
        asked = dns.count()
        with ThreadPoolExecutor(8) as threads:
            errors = [future.exception(PATIENCE) for future in [threads.submit(svc.peers) for _ in range(100)]]
        assert {type(error) for error in errors} == {LookupFailed}
        assert dns.count() == asked


def test_peers_and_pick_take_no_lock(dns: DNSServer) -> None:
    """Rule 2: a thread that holds the library's only lock for long delays nobody who picks."""
    dns.service("headless-svc", "moon", pods=3)
    held, release = threading.Event(), threading.Event()

    def hold() -> None:
        with io.lock:
            held.set()
            release.wait(PATIENCE)

    with HeadlessService(NAME, 8080, nameservers=[dns.nameserver]) as svc:
        thread = threading.Thread(target=hold, daemon=True)
        thread.start()
        held.wait(PATIENCE)
        with ThreadPoolExecutor(1) as threads:
            try:
                for member in (
                    svc.peers,
                    svc.pick,
                    lambda: svc.pick(exclude=[svc.peers()[0]]),
                    lambda: svc.pick_many(2),
                    lambda: leased(svc),
                    lambda: svc.call(lambda peer: peer),
                    lambda: svc.status,
                ):
                    threads.submit(member).result(PATIENCE)
            finally:
                release.set()
                thread.join()


def test_peers_never_wait_while_dns_is_dead(dns: DNSServer) -> None:
    """Rule 2: with a lookup in flight that nobody answers, 1000 calls end before it does."""
    dns.service("headless-svc", "moon", pods=3)
    with HeadlessService(NAME, 8080, nameservers=[dns.nameserver], **QUICK) as svc:
        before = svc.peers()
        dns.fail("timeout")
        dns.clear_queries()
        dns.wait_for_queries(1, PATIENCE)
        lookups = svc.status.lookups
        for _ in range(1000):
            assert svc.peers() is before
            assert svc.pick() in before
        assert svc.status.lookups - lookups <= 1
        assert svc.status.failures == 0  # the lookup that was in flight then still is


def test_methods_are_safe_from_many_threads(dns: DNSServer) -> None:
    web = dns.service("headless-svc", "moon", pods=5)
    told: list[Change] = []
    with HeadlessService(NAME, 8080, nameservers=[dns.nameserver], **QUICK) as svc:

        def work(number: int) -> None:
            for turn in range(20):
                svc.pick()
                svc.pick(exclude=[svc.pick()])
                assert len(svc.pick_many(3)) == 3
                if turn % 5 == number % 5:
                    svc.refresh()
                    with svc.watch(told.append):
                        svc.wait_for(1, PATIENCE)
                web.restart(number % 5)

        with ThreadPoolExecutor(8) as threads:
            for future in [threads.submit(work, number) for number in range(8)]:
                future.result(PATIENCE)
        svc.refresh()
        eventually(lambda: set(svc.peers().addresses) == set(web.addresses))


def test_changes_may_be_closed_from_another_thread(dns: DNSServer) -> None:
    dns.service("headless-svc", "moon", pods=1)
    dns.ttl = 30  # no refresh wakes the waiting thread
    with HeadlessService(NAME, 8080, nameservers=[dns.nameserver]) as svc:
        changes = svc.changes()
        got: list[Change] = []
        first = threading.Event()

        def consume() -> None:
            for change in changes:
                got.append(change)
                first.set()

        thread = threading.Thread(target=consume, daemon=True)
        thread.start()
        assert first.wait(PATIENCE)
        changes.close()
        thread.join(PATIENCE)
        assert not thread.is_alive()
        assert [change.current for change in got] == [svc.peers()]
        assert list(changes) == []


def test_an_iterator_that_is_dropped_leaves_nothing_behind(dns: DNSServer) -> None:
    """Everything is bounded: `next(svc.changes())` in a loop must not pile up old sets."""
    dns.service("headless-svc", "moon", pods=1)
    with HeadlessService(NAME, 8080, nameservers=[dns.nameserver]) as svc:
        changes = svc.changes()
        next(changes)
        watcher = weakref.ref(changes._watcher)
        del changes
        gc.collect()
        assert watcher() is None


def test_a_signal_handler_may_close_a_service_whose_lock_it_interrupts(dns: DNSServer) -> None:
    dns.service("headless-svc", "moon", pods=1)
    with HeadlessService(NAME, 8080, nameservers=[dns.nameserver]) as svc:
        with io.lock:  # where the main thread may be when the signal comes
            svc.close()
        with pytest.raises(ServiceClosed):
            svc.peers()


def test_one_service_after_another_finds_an_io_thread(dns: DNSServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """The I/O thread ends when it has long been idle, and the next service starts another."""
    monkeypatch.setattr("headless_discovery.iothread.IDLE", 0.02)
    dns.service("headless-svc", "moon", pods=1)
    with HeadlessService(NAME, 8080, nameservers=[dns.nameserver]) as svc:
        old = io.thread
        assert old is not None
        assert svc.peers()
    io.call_soon(lambda: None)  # the thread may be in a select() that began under the old IDLE
    old.join(PATIENCE)
    assert not old.is_alive()
    with HeadlessService(NAME, 8080, nameservers=[dns.nameserver]) as svc:
        assert svc.peers()
        assert io.thread is not old


def test_a_thread_that_could_not_be_had_is_had_later(dns: DNSServer) -> None:
    """ "can't start new thread", where a container has as many as it may."""
    dns.service("headless-svc", "moon", pods=1)
    python(
        """
        start, io = threading.Thread.start, "headless-discovery-io"

        def no_more(thread):
            raise RuntimeError("can't start new thread") if thread.name == io else start(thread)

        threading.Thread.start = no_more
        services = [HeadlessService(NAME, 8080, nameservers=sys.argv[1:], **QUICK) for _ in range(2)]
        for svc in services:
            try:
                svc.start(1)
            except RuntimeError as error:
                assert "new thread" in str(error)
            else:
                raise AssertionError("it has started")
        threading.Thread.start = start
        for svc in services:
            assert len(svc.start()) == len(svc.refresh()) == 1
        """,
        dns.nameserver,
    )
