"""Timers that need not be exact, gathered: what is due at about the same time is done together.

A thousand services that each wake their process for itself find its code and data out of the processor's caches every
time. So times are rounded up to the next tick, whose phase is random: the processes of a fleet do not tick together.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from itertools import islice
from math import ceil
from typing import Protocol

TICK = 0.05  # seconds
AT_ONCE = 8  # calls, then others may run
NEVER = 1e9  # seconds
_random = random.SystemRandom()  # not the user's, who may have seeded it


class Handle(Protocol):
    def cancel(self) -> None: ...


class Clock(Protocol):
    def time(self) -> float: ...
    def call_at(self, when: float, callback: Callable[[], None]) -> Handle: ...


class _Call:
    __slots__ = ("_tick", "callback")

    def __init__(self, tick: _Tick, callback: Callable[[], None]) -> None:
        self._tick = tick
        self.callback = callback

    def cancel(self) -> None:
        self._tick.drop(self)


class _Tick:
    def __init__(self, ticks: Ticks, number: int) -> None:
        self.calls: dict[_Call, None] = {}
        self.number = number
        self._ticks = ticks
        self._timer = ticks.clock.call_at(ticks.when(number), self._run)

    def drop(self, call: _Call) -> None:
        self.calls.pop(call, None)
        if not self.calls:
            self._timer.cancel()
            self._ticks.forget(self)

    def _run(self) -> None:
        self._ticks.forget(self)
        try:
            for call in list(islice(self.calls, AT_ONCE)):
                if call in self.calls:  # not cancelled by one of those before
                    del self.calls[call]
                    call.callback()
        finally:
            if self.calls:
                self._timer = self._ticks.clock.call_at(self._ticks.clock.time(), self._run)


class Ticks:
    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self._phase = _random.random()
        self._ticks: dict[int, _Tick] = {}

    def call_near(self, when: float, callback: Callable[[], None]) -> Handle:
        """Call back at the first tick that is not before `when`."""
        number = ceil(min(when, NEVER) / TICK - self._phase)
        tick = self._ticks.get(number)
        if tick is None:
            tick = self._ticks[number] = _Tick(self, number)
        call = _Call(tick, callback)
        tick.calls[call] = None
        return call

    def when(self, number: int) -> float:
        return (number + self._phase) * TICK

    def forget(self, tick: _Tick) -> None:
        if self._ticks.get(tick.number) is tick:
            del self._ticks[tick.number]
