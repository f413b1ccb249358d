"""`AsyncHeadlessService` alone: event loops, tasks and cancellation."""

from __future__ import annotations

import asyncio
import gc
import threading
import warnings
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from tenacity import wait_fixed

from headless_discovery import (
    AsyncHeadlessService,
    Change,
    LookupFailed,
    NoPeers,
    Peer,
    PeerSet,
    ServiceClosed,
    WaitTimeout,
)
from headless_discovery.testing import DNSServer
from support import PATIENCE, QUICK
from support.subscribers import assert_consistent

NAME = "headless-svc.moon.svc.cluster.local"


@pytest.fixture
def dns(headless_dns: DNSServer) -> DNSServer:
    return headless_dns


@pytest.fixture
async def svc(dns: DNSServer) -> AsyncIterator[AsyncHeadlessService]:
    """Started, with three pods, a lookup every 0.1 s."""
    dns.service("headless-svc", "moon", pods=3)
    async with AsyncHeadlessService(NAME, 8080, nameservers=[dns.nameserver], **QUICK) as service:
        yield service


async def asked(dns: DNSServer, number: int = 1) -> None:
    await asyncio.to_thread(dns.wait_for_queries, number, PATIENCE)


async def test_before_the_first_answer_plain_members_raise_at_once(dns: DNSServer) -> None:
    dns.service("headless-svc", "moon")
    svc = AsyncHeadlessService(NAME, 8080, nameservers=[dns.nameserver])
    for member in (svc.peers, svc.pick, lambda: svc.pick_many(1), lambda: svc.lease().__enter__()):
        with pytest.raises(LookupFailed, match="no answer yet"):
            member()
    assert dns.queries == []
    assert len(await svc.start()) == 3
    await svc.close()


async def test_the_loop_goes_on_while_start_waits(dns: DNSServer) -> None:
    dns.service("headless-svc", "moon")
    dns.fail("hold")
    async with asyncio.timeout(PATIENCE):
        svc = AsyncHeadlessService(NAME, 8080, nameservers=[dns.nameserver])
        start = asyncio.ensure_future(svc.start())
        await asked(dns)
        assert not start.done()
        dns.recover()
        assert len(await start) == 3
        await svc.close()


# --- callbacks


async def test_coroutine_callbacks_are_awaited_one_at_a_time(svc: AsyncHeadlessService, dns: DNSServer) -> None:
    web = dns.service("other-svc", "moon", pods=1)
    changes: list[Change] = []
    running = 0
    entered, proceed, done = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def callback(change: Change) -> None:
        nonlocal running
        running += 1
        assert running == 1
        changes.append(change)
        entered.set()
        await proceed.wait()
        running -= 1
        if len(change.current) == 4:
            done.set()

    async with asyncio.timeout(PATIENCE), AsyncHeadlessService(web.name, nameservers=[dns.nameserver], **QUICK) as busy:
        busy.on_change(callback)
        await entered.wait()
        for pods in range(2, 5):
            web.scale(pods)
            await busy.wait_for(pods)  # a callback that takes its time delays nobody else
        assert len(changes) == 1
        proceed.set()
        await done.wait()
        assert [len(change.current) for change in changes] == [1, 4]  # merged, not lost
        assert_consistent(changes)


async def test_plain_callbacks_run_on_the_loop_and_not_inside_the_caller(svc: AsyncHeadlessService) -> None:
    told = asyncio.get_running_loop().create_future()
    inside = True
    svc.watch(lambda change: told.set_result((change, threading.current_thread(), inside)))
    inside = False
    change, thread, was_inside = await asyncio.wait_for(told, PATIENCE)
    assert change.current == svc.peers()
    assert thread is threading.current_thread()
    assert not was_inside


async def test_a_callback_that_raises_or_is_cancelled_stays_subscribed(
    svc: AsyncHeadlessService, dns: DNSServer, caplog: pytest.LogCaptureFixture
) -> None:
    web = dns.service("other-svc", "moon", pods=1)
    seen: list[Change] = []
    enough = asyncio.Event()

    async def callback(change: Change) -> None:
        seen.append(change)
        if len(change.current) == 3:
            enough.set()
        if len(seen) == 1:
            raise ValueError("a bug of mine")
        if len(seen) == 2:
            await cancelled()

    async def cancelled() -> None:
        future = asyncio.get_running_loop().create_future()
        future.cancel()
        await future

    async with (
        asyncio.timeout(PATIENCE),
        AsyncHeadlessService(web.name, nameservers=[dns.nameserver], **QUICK) as other,
    ):
        other.watch(callback)
        for pods in (2, 3):
            web.scale(pods)
            await other.wait_for(pods)
            while len(seen) < pods:
                await asyncio.sleep(0)
        await enough.wait()
        assert_consistent(seen)
        assert other.status.callback_errors == 2
    assert "a bug of mine" in caplog.text


async def test_every_member_may_be_used_in_a_callback(svc: AsyncHeadlessService) -> None:
    done = asyncio.get_running_loop().create_future()

    async def callback(change: Change) -> None:
        try:
            assert svc.peers() == await svc.refresh() == await svc.wait_for(1)
            assert await svc.call(lambda peer: peer) in svc.peers()
            svc.watch(lambda change: None).cancel()
            subscription.cancel()
            await svc.close()
        except BaseException as error:
            done.set_exception(error)
        else:
            done.set_result(svc.status.state)

    subscription = svc.watch(callback)
    assert await asyncio.wait_for(done, PATIENCE) == "closed"


async def test_after_cancel_returns_no_call_starts(svc: AsyncHeadlessService, dns: DNSServer) -> None:
    calls: list[Change] = []
    subscription = svc.watch(calls.append)
    subscription.cancel()  # before its first call
    with svc.watch(calls.append):
        pass
    told = asyncio.Event()
    svc.watch(lambda change: told.set())
    await asyncio.wait_for(told.wait(), PATIENCE)
    assert calls == []


def test_watching_may_begin_before_there_is_a_loop(dns: DNSServer) -> None:
    """As a decorator at module level does."""
    dns.service("headless-svc", "moon", pods=2)
    svc = AsyncHeadlessService(NAME, 8080, nameservers=[dns.nameserver])
    told: list[Change] = []

    @svc.on_change
    def callback(change: Change) -> None:
        told.append(change)

    changes = svc.changes()

    async def main() -> None:
        first = await asyncio.wait_for(anext(changes), PATIENCE)  # starts the service
        assert first.current == svc.peers()
        while not told:
            await asyncio.sleep(0)
        assert told == [first]
        await svc.close()
        assert [change async for change in changes] == []

    asyncio.run(main())


async def test_changes_end_with_the_service_and_with_aclose(svc: AsyncHeadlessService) -> None:
    got: dict[str, list[Change]] = {"closed": [], "service": []}
    started = [asyncio.Event(), asyncio.Event()]

    async def consume(name: str, changes: Any, first: asyncio.Event) -> None:
        async for change in changes:
            got[name].append(change)
            first.set()

    closable = svc.changes()
    tasks = [
        asyncio.create_task(consume("closed", closable, started[0])),
        asyncio.create_task(consume("service", svc.changes(), started[1])),
    ]
    async with asyncio.timeout(PATIENCE):
        for event in started:
            await event.wait()
        await closable.aclose()
        await tasks[0]
        assert not tasks[1].done()
        async with svc.changes() as third:
            assert (await anext(third)).current == svc.peers()
        with pytest.raises(StopAsyncIteration):
            await anext(third)
        before = svc.peers()
        await svc.close()
        await tasks[1]
    assert [change.current for change in got["closed"]] == [before]
    assert [change.current for change in got["service"]] == [before]


# --- cancellation


@pytest.mark.parametrize("member", ["start", "refresh", "wait_for", "changes"])
async def test_a_cancelled_wait_leaves_the_service_usable(dns: DNSServer, member: str) -> None:
    web = dns.service("headless-svc", "moon", pods=2)
    dns.fail("hold")
    svc = AsyncHeadlessService(NAME, 8080, nameservers=[dns.nameserver])
    waits: dict[str, Callable[[], Awaitable[Any]]] = {
        "start": svc.start,
        "refresh": svc.refresh,
        "wait_for": svc.wait_for,
        "changes": lambda: anext(svc.changes()),
    }
    async with asyncio.timeout(PATIENCE):
        task = asyncio.ensure_future(waits[member]())
        await asked(dns)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        dns.recover()
        assert set((await svc.start()).addresses) == set(web.addresses)
        assert len(await svc.wait_for(2)) == 2
        assert len(await svc.refresh()) == 2
        assert len((await anext(svc.changes())).current) == 2
        await svc.close()
    assert dns.count() == 1  # the lookup that the cancelled task began served the others


async def test_a_cancelled_start_in_async_with_closes(dns: DNSServer) -> None:
    dns.fail("timeout")
    svc = AsyncHeadlessService(NAME, nameservers=[dns.nameserver])

    async def enter() -> None:
        async with svc:
            pytest.fail("there is no answer")

    task = asyncio.create_task(enter())
    await asked(dns)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert svc.status.state == "closed"


async def test_wait_for_counts_its_own_timeout_only(svc: AsyncHeadlessService) -> None:
    with pytest.raises(WaitTimeout) as caught:
        await svc.wait_for(9, timeout=0.01)
    assert isinstance(caught.value, TimeoutError | NoPeers)
    with pytest.raises(TimeoutError) as outer:
        async with asyncio.timeout(0.01):
            await svc.wait_for(9, timeout=3600)
    assert not isinstance(outer.value, WaitTimeout)


# --- event loops


def test_a_service_for_each_of_two_runs(dns: DNSServer) -> None:
    dns.service("headless-svc", "moon", pods=2)

    async def main() -> PeerSet:
        async with AsyncHeadlessService(NAME, 8080, nameservers=[dns.nameserver]) as svc:
            return await svc.refresh()

    assert asyncio.run(main()) == asyncio.run(main())
    assert dns.count() == 2


def test_a_service_on_a_second_loop_says_so(dns: DNSServer) -> None:
    dns.service("headless-svc", "moon", pods=2)
    svc = AsyncHeadlessService(NAME, 8080, nameservers=[dns.nameserver], **QUICK)
    with asyncio.Runner() as first, asyncio.Runner() as second:
        peers = first.run(svc.start())
        waits: list[Callable[[], Awaitable[Any]]] = [
            svc.start,
            svc.refresh,
            svc.wait_for,
            svc.close,
            svc.__aenter__,
            lambda: anext(svc.changes()),
        ]

        async def use(wait: Callable[[], Awaitable[Any]]) -> None:
            with pytest.raises(RuntimeError, match="another event loop: make one for each loop"):
                await wait()

        for wait in waits:
            second.run(use(wait))
        assert svc.peers() == peers  # what is in memory may be read anywhere
        assert first.run(svc.refresh()) == peers
        first.run(svc.close())


def test_a_service_may_be_closed_when_its_loop_is_gone(dns: DNSServer) -> None:
    dns.service("headless-svc", "moon", pods=2)
    dns.ttl = 30
    svc = AsyncHeadlessService(NAME, 8080, nameservers=[dns.nameserver], min_ttl=0)

    async def leave_a_lookup_in_flight() -> None:
        await svc.start()
        dns.fail("timeout")
        refresh = asyncio.create_task(svc.refresh())
        await asked(dns, 2)
        refresh.cancel()

    asyncio.run(leave_a_lookup_in_flight())
    assert len(svc.peers()) == 2
    asyncio.run(svc.close())
    with pytest.raises(ServiceClosed):
        svc.peers()


async def test_members_work_between_services_of_one_loop(svc: AsyncHeadlessService, dns: DNSServer) -> None:
    """Many services on one loop, none of which waits for the others: one's server is dead."""
    with DNSServer(cache=False) as dead:
        dead.fail("timeout")
        silent = [AsyncHeadlessService(f"s{n}.example.", nameservers=[dead.nameserver]) for n in range(20)]
        starts = [asyncio.ensure_future(each.start()) for each in silent]
        before = svc.status.lookups
        async with asyncio.timeout(PATIENCE):
            while svc.status.lookups < before + 3:
                await svc.refresh()
        assert not any(start.done() for start in starts)
        for each in silent:
            await each.close()
        outcomes = await asyncio.gather(*starts, return_exceptions=True)
        assert {type(outcome) for outcome in outcomes} == {ServiceClosed}


async def test_an_unreferenced_service_stops_by_itself(dns: DNSServer) -> None:
    dns.service("headless-svc", "moon", pods=2)
    kept = [AsyncHeadlessService(NAME, 8080, nameservers=[dns.nameserver], **QUICK)]
    await kept[0].start()
    core = kept[0]._service
    with pytest.warns(ResourceWarning, match=f"unclosed service {NAME}"):
        kept.clear()
    async with asyncio.timeout(PATIENCE):
        while core.status(0.0).state != "closed":
            await asyncio.sleep(0)


def test_an_unreferenced_service_of_a_loop_that_is_gone_closes_its_sockets(dns: DNSServer) -> None:
    """Nothing is left open: pytest turns the warning about an unclosed socket into a failure."""
    dns.fail("timeout")
    kept: list[AsyncHeadlessService] = []

    async def main() -> None:
        svc = AsyncHeadlessService(NAME, nameservers=[dns.nameserver])
        kept.append(svc)
        with pytest.raises(LookupFailed):
            await svc.start(timeout=0)
        await asked(dns)

    asyncio.run(main())
    core = kept[0]._service
    with pytest.warns(ResourceWarning, match=f"unclosed service {NAME}"):
        kept.clear()
    assert core.status(0.0).state == "closed"


async def test_two_tasks_may_start_one_service(dns: DNSServer) -> None:
    dns.service("headless-svc", "moon", pods=2)
    svc = AsyncHeadlessService(NAME, 8080, nameservers=[dns.nameserver])
    first, second = await asyncio.gather(svc.start(), svc.start())
    assert first == second
    assert dns.count() == 1
    await svc.close()


async def test_lookups_fail_on_the_loop_as_they_do_in_threads(dns: DNSServer) -> None:
    dns.fail("SERVFAIL")
    svc = AsyncHeadlessService(NAME, nameservers=[dns.nameserver], retry_wait=wait_fixed(3600))
    for _ in range(2):
        with pytest.raises(LookupFailed, match="SERVFAIL"):
            await svc.start()
    with pytest.raises(LookupFailed, match="SERVFAIL"):
        await svc.refresh()
    assert isinstance(svc.status.error, LookupFailed)
    await svc.close()
    await svc.close()


async def test_a_peer_may_be_picked_by_any_task(svc: AsyncHeadlessService) -> None:
    async def pick() -> Peer:
        await asyncio.sleep(0)
        return svc.pick()

    picked = await asyncio.gather(*[pick() for _ in range(9)])
    assert {picked.count(peer) for peer in svc.peers()} == {3}


@pytest.mark.parametrize("tcp", ["auto", "always"])
def test_a_loop_that_is_dropped_is_freed(headless_dns: DNSServer, tcp: Any) -> None:
    """With the service that lived on it, although nobody closed either."""
    headless_dns.service("headless-svc", "moon", pods=1)

    def dropped() -> weakref.ref[asyncio.AbstractEventLoop]:
        loop = asyncio.new_event_loop()
        service = AsyncHeadlessService(NAME, 80, nameservers=[headless_dns.nameserver], tcp=tcp)
        loop.run_until_complete(service.start())
        return weakref.ref(loop)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        loops = [dropped() for _ in range(3)]
        for _ in range(3):
            gc.collect()
    assert [loop() for loop in loops] == [None] * 3


def test_a_closed_service_does_not_keep_its_loop(headless_dns: DNSServer) -> None:
    headless_dns.service("headless-svc", "moon", pods=1)
    service = AsyncHeadlessService(NAME, 80, nameservers=[headless_dns.nameserver])

    def used() -> weakref.ref[asyncio.AbstractEventLoop]:
        loop = asyncio.new_event_loop()
        loop.run_until_complete(service.start())
        loop.run_until_complete(service.close())
        loop.close()
        return weakref.ref(loop)

    loop = used()
    gc.collect()
    assert loop() is None
    assert service.status.state == "closed"


def test_close_after_the_loop_was_closed_with_somebody_waiting(headless_dns: DNSServer) -> None:
    headless_dns.service("headless-svc", "moon", pods=1)
    loop = asyncio.new_event_loop()
    targets = [NAME, "other.moon.svc.cluster.local"]
    service = AsyncHeadlessService(targets, 80, nameservers=[headless_dns.nameserver], tcp="always", min_ttl=0)

    async def wait() -> None:
        await service.start()
        headless_dns.fail("timeout")
        waiting = [loop.create_task(service.refresh()), loop.create_task(service.wait_for(9))]
        await asyncio.sleep(0)
        for task in waiting:
            task._log_destroy_pending = False  # type: ignore[attr-defined]

    loop.run_until_complete(wait())
    host = service._host
    assert host is not None
    assert host.sockets
    loop.close()
    asyncio.run(service.close())
    assert not host.sockets
    assert not host.askers._askers
