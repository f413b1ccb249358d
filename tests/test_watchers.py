"""Rule 3: every subscriber sees a consistent history, whatever it and the others do."""

from __future__ import annotations

import gc
import itertools
import logging
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import pytest

from headless_discovery import Change, HeadlessService, Peer, PeerSet
from headless_discovery.balance import Picker, RoundRobin
from headless_discovery.iothread import MAX_CALLBACK_THREADS, Workers
from headless_discovery.testing import DNSServer
from headless_discovery.testing.cluster import Service
from headless_discovery.watchers import Watchers
from support import PATIENCE, QUICK
from support.subscribers import Record, assert_consistent, eventually
from support.twins import SyncTwin, Twin, both_twins

NAME = "headless-svc.moon.svc.cluster.local"


@pytest.fixture
def dns(headless_dns: DNSServer) -> DNSServer:
    return headless_dns


@pytest.fixture
def web(dns: DNSServer) -> Service:
    return dns.service("headless-svc", "moon", pods=1)


@pytest.fixture
def quick(dns: DNSServer, web: Service) -> dict[str, Any]:
    return {"target": NAME, "port": 8080, "nameservers": [dns.nameserver], **QUICK}


def now_in(web: Service) -> PeerSet:
    return PeerSet(Peer(address, 8080) for address in web.addresses)


# --- what a subscriber is told


@both_twins
def test_the_first_change_delivers_the_current_set(twin: Twin, quick: dict[str, Any], web: Service) -> None:
    with twin(**quick) as svc:
        record = Record()
        svc.watch(record)
        (first,) = record.calls(1)
        assert (first.previous, first.current) == (PeerSet(), svc.peers())
        assert (first.added, first.removed, first.updated) == (svc.peers(), PeerSet(), PeerSet())
        assert first.current.target == first.previous.target == NAME


@both_twins
def test_the_first_change_also_delivers_an_empty_set(twin: Twin, quick: dict[str, Any], web: Service) -> None:
    web.scale(0)
    with twin(**quick) as svc:
        record = Record()
        svc.watch(record)
        assert not record.calls(1)[0]
        web.scale(1)
        assert record.told(now_in(web))[-1].added == now_in(web)


@both_twins
def test_watching_starts_the_service(twin: Twin, quick: dict[str, Any], web: Service) -> None:
    with closing(twin(**quick)) as svc:
        record = Record()
        svc.watch(record)
        assert record.told(now_in(web))[0].previous == PeerSet()


@both_twins
def test_on_change_is_a_decorator(twin: Twin, quick: dict[str, Any], web: Service) -> None:
    record = Record()
    with twin(**quick) as svc:

        @svc.on_change
        def callback(change: Change) -> None:
            record(change)

        record.told(now_in(web))
        callback(record.changes[0])  # it is still the function
        assert len(record.changes) == 2


@both_twins
def test_a_refresh_without_news_tells_nobody(twin: Twin, quick: dict[str, Any]) -> None:
    with twin(**quick) as svc:
        record = Record()
        svc.watch(record)
        record.calls(1)
        lookups = svc.status.lookups
        while svc.status.lookups < lookups + 5:
            svc.refresh()
        assert svc.status.changes == 1
        assert len(record.changes) == 1


@both_twins
def test_the_set_and_its_picker_are_swapped_before_subscribers_are_told(
    twin: Twin, quick: dict[str, Any], web: Service
) -> None:
    wrong: list[Change] = []
    with twin(**quick) as svc:

        def callback(change: Change) -> None:
            # A later change may have come already; an earlier set must never be seen.
            if len(svc.peers()) < len(change.current) or not set(svc.pick_many(99)) >= set(change.current):
                wrong.append(change)

        record = Record(callback)
        svc.watch(record)
        for pods in range(2, 7):
            web.scale(pods)
            record.told(now_in(web))
    assert wrong == []
    assert_consistent(record.changes)


# --- slow, raising and cancelled ones, under churn


@both_twins
def test_a_consistent_history_under_churn(twin: Twin, quick: dict[str, Any], web: Service) -> None:
    with twin(**quick) as svc:
        slow_may_go, in_slow = threading.Event(), threading.Event()

        def wait(change: Change) -> None:
            in_slow.set()
            slow_may_go.wait(PATIENCE)

        def fail(change: Change) -> None:
            raise RuntimeError("a bug of mine")

        good, raising, slow, cancelled = Record(), Record(fail), Record(wait), Record()
        for record in (good, raising, slow):
            svc.watch(record)
        subscription = svc.watch(cancelled)
        iterator = svc.changes()
        fetched = [next(iterator)]
        assert in_slow.wait(PATIENCE)

        for turn in range(12):
            if turn % 3 == 2:
                web.restart(0)
            else:
                web.add()
            if turn == 6:
                subscription.cancel()
                calls_when_cancelled = len(cancelled.changes)
            good.until(lambda changes: set(changes[-1].current) >= set(now_in(web)))
        slow_may_go.set()
        svc.refresh()
        good.told(now_in(web))
        for record in (raising, slow):
            record.told(now_in(web))
        while fetched[-1].current != now_in(web):
            fetched.append(next(iterator))
        iterator.close()

        for record in (good, raising, slow, cancelled):
            assert_consistent(record.changes)
            assert not record.overlapped
        assert_consistent(fetched)
        assert len(slow.changes) < len(good.changes)  # merged: nothing lost, told at once
        assert len(cancelled.changes) <= calls_when_cancelled + 1  # one that ran may have been finishing
        eventually(lambda: svc.status.callback_errors == len(raising.changes), "all errors counted")


@both_twins
def test_a_raising_callback_is_logged_and_counted_and_stays(
    twin: Twin, quick: dict[str, Any], web: Service, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(change: Change) -> None:
        raise ZeroDivisionError("a bug of mine")

    with twin(**quick) as svc:
        record = Record(fail)
        svc.watch(record)
        record.calls(1)
        web.scale(2)
        record.told(now_in(web))
        eventually(lambda: svc.status.callback_errors == 2, "two errors counted")
        assert svc.status.error is None
    entries = [entry for entry in caplog.records if entry.name == "headless_discovery" and entry.exc_info]
    assert len(entries) == 2
    assert {entry.levelno for entry in entries} == {logging.ERROR}
    assert "a bug of mine" in caplog.text


class Broken(logging.Handler):
    """A log collector that is down, and a handler that does not hide it."""

    def emit(self, record: logging.LogRecord) -> None:
        raise ConnectionRefusedError("the log collector is down")


@pytest.fixture
def broken_log() -> Iterator[None]:
    log, handler = logging.getLogger("headless_discovery"), Broken()
    log.addHandler(handler)
    yield
    log.removeHandler(handler)


@both_twins
def test_a_log_handler_that_raises_stops_nothing(
    twin: Twin, quick: dict[str, Any], web: Service, broken_log: None
) -> None:
    class OnlyOnce:
        def build(self, peers: PeerSet, previous: Picker | None) -> Picker:
            if previous is not None:
                raise ZeroDivisionError("a bug of mine")
            return RoundRobin().build(peers, None)

    def fail(change: Change) -> None:
        raise ZeroDivisionError("a bug of mine")

    with twin(**quick | {"strategy": OnlyOnce()}) as svc:
        record = Record(fail)
        svc.watch(record)
        record.calls(1)
        for replicas in (2, 3):
            web.scale(replicas)
            svc.refresh()
            record.told(now_in(web))
        assert "a bug of mine" in str(svc.status.error)
        eventually(lambda: svc.status.callback_errors == len(record.changes), "all errors counted")


@both_twins
def test_a_slow_subscriber_delays_nobody_else(twin: Twin, quick: dict[str, Any], web: Service) -> None:
    release, entered = threading.Event(), threading.Event()

    def wait(change: Change) -> None:
        entered.set()
        release.wait(PATIENCE)

    with twin(**quick) as svc, twin(**quick) as other:
        slow, quick_one, elsewhere = Record(wait), Record(), Record()
        svc.watch(slow)
        assert entered.wait(PATIENCE)
        svc.watch(quick_one)
        other.watch(elsewhere)
        for pods in (2, 3, 4):
            web.scale(pods)
            assert svc.wait_for(pods, PATIENCE) == now_in(web)
            quick_one.told(now_in(web))
            elsewhere.told(now_in(web))
        assert len(slow.changes) == 1
        release.set()
        assert slow.told(now_in(web))[1].previous == slow.changes[0].current
        assert len(slow.changes) == 2


@both_twins
def test_a_change_that_was_undone_while_the_subscriber_was_busy_is_not_told(
    twin: Twin, quick: dict[str, Any], web: Service
) -> None:
    release, entered = threading.Event(), threading.Event()

    def wait(change: Change) -> None:
        entered.set()
        release.wait(PATIENCE)

    with twin(**quick) as svc:
        slow, other = Record(wait), Record()
        svc.watch(slow)
        svc.watch(other)
        assert entered.wait(PATIENCE)
        before = now_in(web)
        web.scale(2)
        other.told(now_in(web))
        web.scale(1)
        other.told(before)
        release.set()
        web.add()
        last = slow.told(now_in(web))
        assert_consistent(last)
        assert len(last) == 2


# --- threads


@both_twins
def test_callbacks_run_off_the_callers_thread(twin: Twin, quick: dict[str, Any], web: Service) -> None:
    with twin(**quick) as svc:
        record = Record()
        svc.watch(record)
        record.calls(1)
        web.scale(2)
        svc.refresh()
        record.told(now_in(web))
        assert threading.current_thread() not in record.threads


def test_at_most_32_threads_run_callbacks_and_nobody_is_forgotten(
    quick: dict[str, Any], web: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    workers = Workers()
    monkeypatch.setattr("headless_discovery.iothread.workers", workers)
    release = threading.Event()
    with HeadlessService(**quick) as svc:
        records = [Record(lambda change: release.wait(PATIENCE)) for _ in range(32 + 40)]
        for record in records:
            svc.watch(record)
        eventually(lambda: sum(len(record.changes) for record in records) == MAX_CALLBACK_THREADS)
        for pods in range(2, 8):
            web.scale(pods)
            svc.wait_for(pods, PATIENCE)
        # Everybody who is not being called waits in the queue once, however many changes there were.
        assert len(workers._jobs) == 40
        busy = {thread for record in records for thread in record.threads}
        assert len(busy) == workers._threads == MAX_CALLBACK_THREADS == 32
        release.set()
        for record in records:
            assert_consistent(record.told(now_in(web)))
            assert len(record.changes) <= 2


def test_a_thread_that_was_idle_for_long_ends_and_the_next_callback_finds_another(
    quick: dict[str, Any], web: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("headless_discovery.iothread.IDLE", 0.01)
    workers = Workers()
    monkeypatch.setattr("headless_discovery.iothread.workers", workers)
    with HeadlessService(**quick) as svc:
        record = Record()
        svc.watch(record)
        record.calls(1)
        for thread in list(record.threads):
            thread.join(PATIENCE)
            assert not thread.is_alive()
        assert workers._threads == 0
        web.scale(2)
        record.told(now_in(web))
        assert len(record.threads) == 2


# --- what a callback may do


def in_callback(svc: Any, web: Service) -> Iterator[tuple[str, Callable[[], object]]]:
    yield "peers", svc.peers
    yield "pick", svc.pick
    yield "pick_many", lambda: svc.pick_many(2)
    yield "refresh", svc.refresh
    yield "wait_for", lambda: svc.wait_for(1)
    yield "start", svc.start
    yield "status", lambda: svc.status
    yield "watch", lambda: svc.watch(Record()).cancel()
    yield "on_change", lambda: svc.on_change(Record())
    yield "changes", lambda: next(svc.changes())
    yield "lease", lambda: svc.lease().__enter__()
    yield "call", lambda: svc.call(lambda peer: peer)


@both_twins
def test_any_method_may_be_called_from_a_callback(twin: Twin, quick: dict[str, Any], web: Service) -> None:
    used: list[str] = []
    with twin(**quick) as svc:

        def callback(change: Change) -> None:
            for name, method in in_callback(svc, web):
                method()
                used.append(name)

        record = Record(callback)
        subscription = svc.watch(record)
        web.scale(2)
        record.told(now_in(web))
        eventually(lambda: len(used) >= 12, "all methods used")
        subscription.cancel()
        assert svc.status.callback_errors == 0


@both_twins
def test_a_callback_may_cancel_itself(twin: Twin, quick: dict[str, Any], web: Service) -> None:
    with twin(**quick) as svc:
        subscribed = threading.Event()

        def cancel(change: Change) -> None:
            subscribed.wait(PATIENCE)
            subscription.cancel()

        record, other = Record(cancel), Record()
        subscription = svc.watch(record)
        subscribed.set()
        svc.watch(other)
        record.calls(1)
        for pods in (2, 3):
            web.scale(pods)
            other.told(now_in(web))
        assert len(record.changes) == 1


@pytest.mark.parametrize("at_first", [True, False])
def test_a_callback_may_close_the_service(quick: dict[str, Any], web: Service, at_first: bool) -> None:
    with SyncTwin(**quick) as svc:
        record = Record(lambda change: svc.close() if at_first or len(change.current) == 2 else None)
        changes = svc.changes()
        svc.watch(record)
        web.scale(2)
        assert [change.current for change in changes][:1] in ([], [record.changes[0].current])  # ends by the close
        assert svc.status.state == "closed"
        assert svc.status.callback_errors == 0


# --- cancel


@both_twins
def test_after_cancel_returns_no_new_call_starts(twin: Twin, quick: dict[str, Any], web: Service) -> None:
    with twin(**quick) as svc:
        entered, release = threading.Event(), threading.Event()

        def wait(change: Change) -> None:
            entered.set()
            release.wait(PATIENCE)

        busy, idle, other = Record(wait), Record(), Record()
        subscriptions = [svc.watch(busy), svc.watch(idle)]
        svc.watch(other)
        assert entered.wait(PATIENCE)
        idle.calls(1)
        web.scale(2)
        other.told(now_in(web))
        idle.told(now_in(web))
        for subscription in subscriptions:
            subscription.cancel()
            subscription.cancel()
        release.set()
        for pods in (3, 4):
            web.scale(pods)
            other.told(now_in(web))
        assert (len(busy.changes), len(idle.changes)) == (1, 2)


@both_twins
def test_a_subscription_ends_with_its_with_block(twin: Twin, quick: dict[str, Any], web: Service) -> None:
    with twin(**quick) as svc:
        record, other = Record(), Record()
        svc.watch(other)
        with svc.watch(record):
            record.calls(1)
        web.scale(2)
        other.told(now_in(web))
        assert len(record.changes) == 1


def test_no_call_starts_after_cancel_returned_however_often_one_tries(quick: dict[str, Any], web: Service) -> None:
    late: list[Change] = []
    with HeadlessService(**quick) as svc:
        for _ in range(300):
            cancelled = threading.Event()

            def callback(change: Change, cancelled: threading.Event = cancelled) -> None:
                if cancelled.is_set():
                    late.append(change)

            subscription = svc.watch(callback)
            subscription.cancel()
            cancelled.set()
        last = Record()
        svc.watch(last)
        last.calls(1)
    assert late == []


# --- changes()


@both_twins
def test_changes_gives_each_change_once_and_merges_for_who_is_slow(
    twin: Twin, quick: dict[str, Any], web: Service
) -> None:
    with twin(**quick) as svc:
        record = Record()
        svc.watch(record)
        changes = svc.changes()
        got = [next(changes)]
        for pods in (2, 3, 4):
            web.scale(pods)
            record.told(now_in(web))
        got.append(next(changes))
        web.scale(5)
        got.append(next(changes))
        assert [len(change.current) for change in got] == [1, 4, 5]
        assert_consistent(got)
        changes.close()
        changes.close()
        assert list(changes) == []
        web.scale(6)
        record.told(now_in(web))


@both_twins
def test_changes_end_when_the_service_is_closed(twin: Twin, quick: dict[str, Any], web: Service) -> None:
    svc = twin(**quick)
    svc.start()
    got: list[Change] = []
    consuming = threading.Event()
    changes = svc.changes()

    def consume() -> None:
        for change in changes:
            got.append(change)
            consuming.set()

    thread = threading.Thread(target=consume, daemon=True)
    thread.start()
    assert consuming.wait(PATIENCE)
    if twin.kind == "sync":
        svc.close()
    else:
        svc.loop.run(svc.service.close())
    thread.join(PATIENCE)
    assert not thread.is_alive()
    assert len(got) == 1
    svc.close()


# --- the bookkeeping alone


def sets() -> Iterator[PeerSet]:
    for number in itertools.count(1):
        yield PeerSet([Peer(f"10.0.0.{number}", 80)])


def test_nothing_is_told_before_there_is_a_set() -> None:
    watchers = Watchers()
    watcher = watchers.add(print)
    assert watcher.next() is None
    first = next(sets())
    assert watchers.publish(first) == [watcher]
    assert watcher.next() == Change(PeerSet(), first)
    assert watcher.next() is None


def test_who_is_busy_is_not_called_and_hears_all_of_it_later() -> None:
    watchers, news = Watchers(), sets()
    watcher = watchers.add(print)
    first = next(news)
    watchers.publish(first)
    watcher.next()
    watcher.busy = True
    assert watchers.publish(next(news)) == []
    assert watchers.publish(last := next(news)) == []
    watcher.busy = False
    assert watcher.next() == Change(first, last)


@pytest.mark.parametrize("end", ["cancel", "close"])
@pytest.mark.parametrize("callback", [print, None])
def test_who_was_cancelled_or_closed_is_told_nothing(end: str, callback: Any) -> None:
    watchers, news = Watchers(), sets()
    watcher = watchers.add(callback)
    watchers.publish(next(news))
    watcher.cancel() if end == "cancel" else watchers.close()
    assert not watcher.active
    assert watcher.next() is None
    assert watchers.publish(next(news)) == []


def test_only_callbacks_are_kept_for_their_users() -> None:
    watchers = Watchers()
    kept, dropped = weakref.ref(watchers.add(print)), weakref.ref(watchers.add(None))
    gc.collect()
    assert kept() is not None
    assert dropped() is None
