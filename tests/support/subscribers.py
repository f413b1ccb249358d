"""Subscribers that write down what they are told, and processes, threads and conditions that tests wait for."""

from __future__ import annotations

import threading
from collections.abc import Callable
from itertools import pairwise

from headless_discovery import Change, PeerSet

from . import PATIENCE


class Record:
    """A callback that keeps each change it is called with; `until` waits for what they have in common."""

    def __init__(self, then: Callable[[Change], object] | None = None) -> None:
        self.changes: list[Change] = []
        self.threads: set[threading.Thread] = set()
        self.overlapped = False
        self._then = then
        self._running = 0
        self._condition = threading.Condition()

    def __call__(self, change: Change) -> None:
        with self._condition:
            self._running += 1
            self.overlapped |= self._running > 1
            self.changes.append(change)
            self.threads.add(threading.current_thread())
            self._condition.notify_all()
        try:
            if self._then is not None:
                self._then(change)
        finally:
            with self._condition:
                self._running -= 1
                self._condition.notify_all()

    def until(self, condition: Callable[[list[Change]], bool]) -> list[Change]:
        """Wait until `condition(changes)`; a failed test after that."""
        with self._condition:
            if not self._condition.wait_for(lambda: condition(self.changes), PATIENCE):
                raise AssertionError(f"not in {PATIENCE:g} s, but: {[str(change.current) for change in self.changes]}")
            return list(self.changes)

    def told(self, peers: PeerSet) -> list[Change]:
        """Wait until the last change led to `peers`."""
        return self.until(lambda changes: bool(changes) and changes[-1].current == peers)

    def calls(self, number: int) -> list[Change]:
        return self.until(lambda changes: len(changes) >= number)


def assert_consistent(changes: list[Change]) -> None:
    """Design, rule 3: each `previous` is the last `current`; the first change starts from nothing; none is empty."""
    assert changes
    assert changes[0].previous == PeerSet()
    for before, after in pairwise(changes):
        assert after.previous == before.current
        assert after


def eventually(condition: Callable[[], bool], what: str = "the condition") -> None:
    """For counters that nobody signals. Waits on an event that never comes, a little at a time."""
    never = threading.Event()
    for _ in range(int(PATIENCE / 0.01)):
        if condition():
            return
        never.wait(0.01)
    raise AssertionError(f"{what} did not come true in {PATIENCE:g} s")
