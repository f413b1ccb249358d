"""Virtual time: the host that services live on. Nothing here sleeps."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable
from itertools import count
from typing import Any

from headless_discovery.asker import Askers, Converse
from headless_discovery.watchers import Watcher

Callback = Callable[[], None]

MOST_AT_ONCE = 20_000  # callbacks at one instant


class Broken(AssertionError):
    """The library did what the rules forbid."""


class Timer:
    __slots__ = ("callback",)

    def __init__(self, callback: Callback) -> None:
        self.callback: Callback | None = callback

    def cancel(self) -> None:
        self.callback = None


class VirtualHost:
    """A `ServiceHost`. `busy_for` gives the seconds that a subscriber's callback takes."""

    def __init__(self, converse: Converse, busy_for: Callable[[], float], now: float = 1000.0) -> None:
        self.now = now
        self.askers = Askers(self, converse)  # type: ignore[arg-type]  # no sockets are ever asked for
        self.callback_errors = 0
        self._busy_for = busy_for
        self._order = count()
        self._packets: list[tuple[float, int, Callback]] = []
        self._timers: list[tuple[float, int, Timer]] = []

    def time(self) -> float:
        return self.now

    def call_at(self, when: float, callback: Callback) -> Timer:
        timer = Timer(callback)
        heapq.heappush(self._timers, (when, next(self._order), timer))
        return timer

    call_near = call_at

    def do(self, callback: Callback) -> None:
        self.call_at(self.now, callback)

    def stagger(self) -> float:
        return self.now

    def arrives_at(self, when: float, callback: Callback) -> None:
        """A packet: it is not read before `when`, and before any timer that is due when it is read."""
        heapq.heappush(self._packets, (when, next(self._order), callback))

    def run_until(self, end: float) -> None:
        packets, timers = self._packets, self._timers
        at_once = 0
        while True:
            while timers and timers[0][2].callback is None:
                heapq.heappop(timers)
            first_packet = packets[0][0] if packets else end + 1
            first_timer = timers[0][0] if timers else end + 1
            when = first_packet if first_packet < first_timer else first_timer
            if when > end:
                break
            at_once += 1
            if when > self.now:
                self.now, at_once = when, 0
            elif at_once > MOST_AT_ONCE:
                raise Broken(f"time stands still at {self.now:.3f}: there is always something to do at once")
            # As a selector loop does: what can be read first, then the timers, also if those were due earlier.
            if first_packet <= self.now:
                heapq.heappop(packets)[2]()
            else:
                timer = heapq.heappop(timers)[2]
                callback, timer.callback = timer.callback, None
                assert callback is not None
                callback()
        self.now = max(self.now, end)

    def freeze(self, seconds: float) -> None:
        """The process does not run (SIGSTOP, a suspended machine); the monotonic clock does, and so does the world."""
        self.now += seconds

    # Subscribers: what iothread.deliver and aio.deliver do with threads and tasks.

    def deliver(self, watchers: Iterable[Watcher]) -> None:
        for watcher in watchers:
            if not watcher.busy and watcher.has_news:
                watcher.busy = True
                self.call_at(self.now, lambda watcher=watcher: self._tell(watcher))  # type: ignore[misc]

    def _tell(self, watcher: Watcher) -> None:
        change = watcher.next()
        if change is None:
            watcher.busy = False
            return
        callback: Any = watcher.callback
        try:
            callback(change)
        except RuntimeError:
            self.callback_errors += 1
            watcher.count_error()
        self.call_at(self.now + self._busy_for(), lambda: self._again(watcher))

    def _again(self, watcher: Watcher) -> None:
        watcher.busy = False
        self.deliver([watcher])
