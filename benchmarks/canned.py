"""An event loop's host on which lookups are answered with bytes at hand instead of over sockets."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Callable
from typing import Any

from shared import answers
from stopwatch import Stopwatch

from headless_discovery import AsyncHeadlessService, aio
from headless_discovery.asker import Askers
from headless_discovery.lookup import Lookup
from headless_discovery.servers import Exchange


class CannedHost(aio.LoopHost):
    """Lookups are answered at once with `answer`. `arrived` runs since the bytes of the last one were at
    hand; `skip` lets time pass in no time.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, answer: bytes) -> None:
        super().__init__(loop)
        self.askers = Askers(self, self._converse)
        self.answer = answer
        self.arrived = Stopwatch()
        self._skipped = 0.0

    def skip(self, seconds: float) -> None:
        self._skipped += seconds

    def time(self) -> float:
        return super().time() + self._skipped

    def service(self, port: int | str, **options: Any) -> AsyncHeadlessService:
        """One that lives here. Every `refresh()` asks, and nothing else does."""
        aio._hosts[self.loop] = weakref.ref(self)
        return AsyncHeadlessService(
            answers.SERVICE, port, nameservers=["127.0.0.1"], min_ttl=0, max_ttl=1e6, timeout=30, **options
        )

    def _converse(self, host: Any, lookup: Lookup, done: Callable[[], None]) -> _Answered:
        return _Answered(self, lookup, done)


class _Answered:
    """What `transport.Conversation` is over sockets. The answer comes in a callback of the loop of its own."""

    def __init__(self, host: CannedHost, lookup: Lookup, done: Callable[[], None]) -> None:
        self._host = host
        self._lookup = lookup
        self._done = done

    def start(self) -> None:
        (exchange,) = self._lookup.start(self._host.time())
        data = exchange.query.ident.to_bytes(2, "big") + self._host.answer[2:]
        self._host.loop.call_soon(self._receive, exchange, data)

    def cancel(self) -> None:
        raise AssertionError("nobody gives up here")

    def _receive(self, exchange: Exchange, data: bytes) -> None:
        self._host.arrived = Stopwatch()
        message = exchange.read(data)
        assert message is not None
        assert not self._lookup.replied(exchange, message, self._host.time())
        self._done()
