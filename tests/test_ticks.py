"""Timers that are gathered: late by less than a tick, a few at once, and gone when they are cancelled."""

from __future__ import annotations

import heapq
import random
import subprocess
import sys
from collections.abc import Callable
from itertools import count
from typing import Any

import pytest

from headless_discovery.ticks import AT_ONCE, TICK, Ticks


class Timer:
    def __init__(self, callback: Callable[[], None]) -> None:
        self.callback: Callable[[], None] | None = callback

    def cancel(self) -> None:
        self.callback = None


class Clock:
    def __init__(self) -> None:
        self.now = 100.0
        self.woken = 0
        self._order = count()
        self._timers: list[tuple[float, int, Timer]] = []

    def time(self) -> float:
        return self.now

    def call_at(self, when: float, callback: Callable[[], None]) -> Timer:
        timer = Timer(callback)
        heapq.heappush(self._timers, (when, next(self._order), timer))
        return timer

    def run(self, until: float) -> None:
        while self._timers and self._timers[0][0] <= until:
            when, _, timer = heapq.heappop(self._timers)
            self.now = max(self.now, when)
            if timer.callback is not None:
                self.woken += 1
                timer.callback()
        self.now = max(self.now, until)

    @property
    def waiting(self) -> int:
        return sum(timer.callback is not None for _, _, timer in self._timers)


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_none_is_early_and_none_is_late_by_a_tick(clock: Clock) -> None:
    rng, ticks, late = random.Random(1), Ticks(clock), []
    for _ in range(1000):
        when = clock.now + rng.uniform(0, 10)
        ticks.call_near(when, lambda when=when: late.append(clock.now - when))  # type: ignore[misc]
    clock.run(200)
    assert len(late) == 1000
    assert min(late) >= -1e-9
    assert max(late) < TICK + 1e-9


def test_what_is_due_together_wakes_the_process_once(clock: Clock) -> None:
    ticks, called = Ticks(clock), []
    for number in range(AT_ONCE):
        ticks.call_near(101, lambda number=number: called.append(number))  # type: ignore[misc]
    clock.run(200)
    assert (called, clock.woken) == (list(range(AT_ONCE)), 1)


def test_others_may_run_between_many(clock: Clock) -> None:
    ticks, called = Ticks(clock), []
    for number in range(5 * AT_ONCE):
        ticks.call_near(101, lambda number=number: called.append(number))  # type: ignore[misc]
    clock.run(200)
    assert (called, clock.woken) == (list(range(5 * AT_ONCE)), 5)


def test_processes_do_not_tick_together(clock: Clock) -> None:
    phases = set()
    for _ in range(20):
        Ticks(clock).call_near(clock.now + 1, lambda: phases.add(round(clock.now % TICK, 4)))
        clock.run(clock.now + 5)
    assert len(phases) > 10


def test_a_cancelled_one_leaves_nothing(clock: Clock) -> None:
    ticks, called = Ticks(clock), []
    first = ticks.call_near(101, lambda: called.append(1))
    second = ticks.call_near(101, lambda: called.append(2))
    first.cancel()
    first.cancel()
    assert clock.waiting == 1
    clock.run(102)
    second.cancel()
    assert called == [2]
    for _ in range(1000):
        ticks.call_near(4000, lambda: None).cancel()
    assert clock.waiting == 0
    assert not ticks._ticks


def test_one_cancels_another_of_its_tick(clock: Clock) -> None:
    ticks, called, handles = Ticks(clock), [], []  # type: ignore[var-annotated]
    handles.append(ticks.call_near(101, lambda: (called.append(0), handles[1].cancel(), handles[0].cancel())))
    handles += [ticks.call_near(101, lambda number=number: called.append(number)) for number in (1, 2)]  # type: ignore[misc]
    clock.run(200)
    assert called == [0, 2]


def test_one_that_raises_does_not_keep_the_others(clock: Clock) -> None:
    ticks, called = Ticks(clock), []

    def no() -> None:
        raise ZeroDivisionError

    ticks.call_near(101, no)
    ticks.call_near(101, lambda: called.append(1))
    with pytest.raises(ZeroDivisionError):
        clock.run(200)
    clock.run(200)
    assert called == [1]


def test_a_new_one_for_a_tick_that_runs(clock: Clock) -> None:
    ticks, called = Ticks(clock), []

    def again() -> None:
        called.append(clock.now)
        if len(called) < 5:
            ticks.call_near(clock.now, again)

    ticks.call_near(101, again)
    clock.run(102)
    assert len(called) == 5


def test_of_the_past(clock: Clock) -> None:
    called: list[Any] = []
    Ticks(clock).call_near(1, lambda: called.append(1))
    clock.run(clock.now)
    assert called == [1]


def test_never(clock: Clock) -> None:
    Ticks(clock).call_near(float("inf"), lambda: pytest.fail("that was not infinity"))
    clock.run(1e8)


def test_the_users_randomness_is_left_alone() -> None:
    code = "import random; random.seed(1); from headless_discovery import iothread; print(random.random())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(random.Random(1).random())
