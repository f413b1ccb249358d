"""Both twins under one interface, so that one test says what holds for both.

`SyncTwin` is a `HeadlessService` as it is. `AsyncTwin` is an `AsyncHeadlessService` on an event loop in a thread of its
own: what is a coroutine is awaited there, what is plain is called there.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Future
from typing import Any, TypeAlias, TypeVar

import pytest

from headless_discovery import AsyncHeadlessService, Change, HeadlessService, Peer, PeerSet, Status

T = TypeVar("T")


class SyncTwin(HeadlessService):
    kind = "sync"


class Loop:
    """An event loop in a thread."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="test-loop", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self.loop) as runner:
            self._stopped = asyncio.Event()
            runner.run(self._stopped.wait())

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        assert threading.current_thread() is not self._thread, "this would wait for itself"
        return asyncio.run_coroutine_threadsafe(work, self.loop).result()

    def call(self, function: Callable[[], T]) -> T:
        """Call a plain function in the loop's thread. Whoever is there already just calls it."""
        if threading.current_thread() is self._thread:
            return function()
        outcome: Future[T] = Future()

        def run() -> None:
            try:
                outcome.set_result(function())
            except BaseException as error:
                outcome.set_exception(error)

        self.loop.call_soon_threadsafe(run)
        return outcome.result()

    def stop(self) -> None:
        self.call(lambda: self._stopped.set())
        self._thread.join()


class AsyncTwin:
    """`AsyncHeadlessService` as if it were the sync one. Callbacks run in threads, so they may use the service."""

    kind = "async"

    def __init__(self, *args: Any, loop: Loop | None = None, **options: Any) -> None:
        self.service = AsyncHeadlessService(*args, **options)
        self._own_loop = loop is None
        self.loop = loop or Loop()

    def __enter__(self) -> AsyncTwin:
        try:
            self.loop.run(self.service.__aenter__())
        except BaseException:
            self._end_loop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def start(self, timeout: float | None = None) -> PeerSet:
        return self.loop.run(self.service.start(timeout))

    def close(self) -> None:
        if self.loop.loop.is_running():
            self.loop.run(self.service.close())
            self._end_loop()

    def _end_loop(self) -> None:
        if self._own_loop:
            self.loop.stop()

    def peers(self) -> PeerSet:
        return self._plain(self.service.peers)

    def pick(self, *args: Any, **options: Any) -> Peer:
        return self._plain(lambda: self.service.pick(*args, **options))

    def pick_many(self, *args: Any, **options: Any) -> list[Peer]:
        return self._plain(lambda: self.service.pick_many(*args, **options))

    def lease(self, *args: Any, **options: Any) -> Any:
        return self._plain(lambda: self.service.lease(*args, **options))

    def call(self, fn: Callable[..., Any], /, *args: Any, **options: Any) -> Any:
        return self.loop.run(self.service.call(fn, *args, **options))

    def watch(self, callback: Callable[[Change], Any]) -> AsyncSubscription:
        return AsyncSubscription(self, self._plain(lambda: self.service.watch(in_a_thread(callback))))

    def on_change(self, callback: Callable[[Change], Any]) -> Callable[[Change], Any]:
        self._plain(lambda: self.service.on_change(in_a_thread(callback)))
        return callback

    def changes(self) -> AsyncChanges:
        return AsyncChanges(self, self._plain(self.service.changes))

    def wait_for(self, min_peers: int = 1, timeout: float | None = None) -> PeerSet:
        return self.loop.run(self.service.wait_for(min_peers, timeout))

    def refresh(self) -> PeerSet:
        return self.loop.run(self.service.refresh())

    @property
    def status(self) -> Status:
        return self.service.status

    @property
    def target(self) -> str:
        return self.service.target

    def _plain(self, function: Callable[[], T]) -> T:
        return self.loop.call(function) if self.loop.loop.is_running() else function()


class AsyncSubscription:
    def __init__(self, twin: AsyncTwin, subscription: Any) -> None:
        self._twin = twin
        self._subscription = subscription

    def cancel(self) -> None:
        self._twin._plain(self._subscription.cancel)

    def __enter__(self) -> AsyncSubscription:
        return self

    def __exit__(self, *_: object) -> None:
        self.cancel()


class AsyncChanges:
    def __init__(self, twin: AsyncTwin, changes: Any) -> None:
        self._twin = twin
        self._changes = changes

    def __iter__(self) -> Iterator[Change]:
        return self

    def __next__(self) -> Change:
        try:
            return self._twin.loop.run(anext(self._changes))
        except StopAsyncIteration:
            raise StopIteration from None

    def close(self) -> None:
        if self._twin.loop.loop.is_running():
            self._twin.loop.run(self._changes.aclose())


def in_a_thread(callback: Callable[[Change], Any]) -> Callable[[Change], Coroutine[Any, Any, Any]]:
    async def call(change: Change) -> Any:
        return await asyncio.to_thread(callback, change)

    return call


Twin: TypeAlias = type[SyncTwin] | type[AsyncTwin]
both_twins = pytest.mark.parametrize("twin", [SyncTwin, AsyncTwin], ids=lambda twin: twin.kind)
