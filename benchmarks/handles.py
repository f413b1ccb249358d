"""How long an event loop is held by its callbacks."""

from __future__ import annotations

import asyncio
from asyncio.events import Handle
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

from stopwatch import Stopwatch


class Longest:
    """The longest callback that an event loop of this thread has run since `clear()`, in seconds."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        self.seconds = 0.0

    async def of(self, act: Callable[[], Awaitable[Any]]) -> float:
        """Of what `act` does, in a task of its own: so that its last step is over, too, when this returns."""

        async def run() -> None:
            self.clear()
            await act()

        await asyncio.create_task(run())
        await asyncio.sleep(0)  # what it left to be called
        return self.seconds


@contextmanager
def watched() -> Iterator[Longest]:
    """Every callback of an event loop, and every step of a task, is run by a `Handle`."""
    longest = Longest()
    unwatched = Handle._run

    def run(handle: Handle) -> Any:
        stopwatch = Stopwatch()
        try:
            return unwatched(handle)
        finally:
            longest.seconds = max(longest.seconds, stopwatch.seconds())

    Handle._run = run  # type: ignore[method-assign]
    try:
        yield longest
    finally:
        Handle._run = unwatched  # type: ignore[method-assign]
