"""How long an event loop is held by its callbacks."""

from __future__ import annotations

import asyncio
import time
from asyncio.events import Handle
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any


class Longest:
    """The longest callback that an event loop of this thread has run since `clear()`, in seconds: by the wall clock,
    which on a busy machine has the time of others in it, and of CPU time.
    """

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        self.seconds = self.cpu = 0.0

    async def of(self, act: Callable[[], Awaitable[Any]]) -> tuple[float, float]:
        """Both, of what `act` does, in a task of its own: so that its last step is over, too, when this returns."""

        async def run() -> None:
            self.clear()
            await act()

        await asyncio.create_task(run())
        await asyncio.sleep(0)  # what it left to be called
        return self.seconds, self.cpu


@contextmanager
def watched() -> Iterator[Longest]:
    """Every callback of an event loop, and every step of a task, is run by a `Handle`."""
    longest = Longest()
    unwatched = Handle._run

    def run(handle: Handle) -> Any:
        began, cpu_began = time.perf_counter(), time.thread_time()
        try:
            return unwatched(handle)
        finally:
            longest.seconds = max(longest.seconds, time.perf_counter() - began)
            longest.cpu = max(longest.cpu, time.thread_time() - cpu_began)

    Handle._run = run  # type: ignore[method-assign]
    try:
        yield longest
    finally:
        Handle._run = unwatched  # type: ignore[method-assign]
