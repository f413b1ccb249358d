"""Cancellation at every await point of every coroutine: the service goes on, and nothing is left behind."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Generator
from typing import Any

import pytest

from headless_discovery import AsyncHeadlessService, WaitTimeout, aio, apeers, aresolve
from headless_discovery.testing import DNSServer

NAME = "headless-svc.moon.svc.cluster.local"


class CancelledAt:
    """Awaits `coroutine`, but throws `CancelledError` into it where it suspends for the nth time."""

    def __init__(self, coroutine: Coroutine[Any, Any, Any], nth: int) -> None:
        self.suspended = 0
        self._coroutine = coroutine
        self._nth = nth

    def __await__(self) -> Generator[Any, Any, Any]:
        error: BaseException | None = None
        while True:
            try:
                future = self._coroutine.send(None) if error is None else self._coroutine.throw(error)
            except StopIteration as stop:
                return stop.value
            self.suspended += 1
            error = None
            if self.suspended == self._nth:
                error = asyncio.CancelledError()
                continue
            try:
                yield future
            except BaseException as thrown:  # a timeout's own cancellation
                error = thrown


@pytest.fixture
def dns(headless_dns: DNSServer) -> DNSServer:
    headless_dns.service("headless-svc", "moon", pods=2, ports={"http": 8080})
    return headless_dns


@pytest.fixture
async def svc(dns: DNSServer) -> AsyncIterator[AsyncHeadlessService]:
    service = AsyncHeadlessService(NAME, 8080, nameservers=[dns.nameserver], min_ttl=0)
    yield service
    await service.close()


def another(svc: AsyncHeadlessService) -> AsyncHeadlessService:
    return AsyncHeadlessService(NAME, 8080, nameservers=_servers(svc), min_ttl=0)


async def start(svc: AsyncHeadlessService) -> None:
    own = another(svc)
    try:
        assert len(await own.start(20)) == 2
    finally:
        await own.close()


async def refresh(svc: AsyncHeadlessService) -> None:
    await svc.refresh()


async def wait_for(svc: AsyncHeadlessService) -> None:
    own = another(svc)
    try:
        assert len(await own.wait_for(2, 20)) == 2
    finally:
        await own.close()


async def enter_and_leave(svc: AsyncHeadlessService) -> None:
    async with another(svc) as own:
        await own.refresh()
        await asyncio.sleep(0)


async def changes(svc: AsyncHeadlessService) -> None:
    own = another(svc)
    try:
        async with own.changes() as iterator:
            assert len((await anext(iterator)).current) == 2
            await asyncio.sleep(0)
    finally:
        await own.close()


async def call(svc: AsyncHeadlessService) -> None:
    async def fail_once(peer: Any) -> str:
        await asyncio.sleep(0)
        if not tried:
            tried.append(peer)
            raise ConnectionError
        return "done"

    tried: list[Any] = []
    await svc.refresh()
    assert await svc.call(fail_once) == "done"


async def one_shots(svc: AsyncHeadlessService) -> None:
    assert len(await aresolve(NAME, nameservers=_servers(svc))) == 2
    assert len(await apeers(NAME, "http", nameservers=_servers(svc))) == 2


async def wait_in_vain(svc: AsyncHeadlessService) -> None:
    with pytest.raises(WaitTimeout):
        await svc.wait_for(9, 0.01)


def _servers(svc: AsyncHeadlessService) -> list[str]:
    return [str(server) for server in svc._service.settings.nameservers or ()]


@pytest.mark.parametrize("use", [start, refresh, wait_for, wait_in_vain, enter_and_leave, changes, call, one_shots])
async def test_cancelled_at_every_await(
    dns: DNSServer, svc: AsyncHeadlessService, use: Callable[[AsyncHeadlessService], Coroutine[Any, Any, None]]
) -> None:
    points = 0
    while True:
        aio._cache._entries.clear()
        attempt = CancelledAt(use(svc), points + 1)

        async def run(attempt: CancelledAt = attempt) -> None:
            await attempt

        task = asyncio.create_task(run())
        await asyncio.wait([task], timeout=20)
        assert task.done()
        if not task.cancelled():
            task.result()  # it ran to its end: there are no more points
            break
        points += 1
        assert len(await svc.refresh()) == 2
        assert svc.status.failures == 0
        assert len(svc._signal._waiting) == 0
    assert points >= 1
    await svc.close()
    host = aio._host_of(asyncio.get_running_loop())
    assert not host.sockets
    while host._tasks:
        await asyncio.sleep(0)
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_who_is_cancelled_leaves_the_lookup_to_the_others(dns: DNSServer, svc: AsyncHeadlessService) -> None:
    await svc.start()
    dns.fail("hold")
    waiting = [asyncio.create_task(svc.refresh()) for _ in range(3)]
    await asyncio.to_thread(dns.wait_for_queries, 2)
    waiting[0].cancel()
    waiting[1].cancel()
    dns.recover()
    assert len(await waiting[2]) == 2
    ended = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(end) for end in ended[:2]] == [asyncio.CancelledError] * 2
    assert dns.count() == 2


async def test_a_cancelled_task_of_a_task_group_takes_nothing_with_it(
    dns: DNSServer, svc: AsyncHeadlessService
) -> None:
    async def fail() -> None:
        await svc.start()
        raise ValueError("enough")

    async def together() -> None:
        async with asyncio.TaskGroup() as group:
            for work in (svc.wait_for(9), svc.refresh(), fail()):
                group.create_task(work)

    with pytest.raises(ExceptionGroup) as caught:
        await together()
    assert [str(error) for error in caught.value.exceptions] == ["enough"]
    assert len(await svc.refresh()) == 2
