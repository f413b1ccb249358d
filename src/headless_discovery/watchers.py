"""Subscribers, sans-IO: what each one has been told, and what it is to be told next.

A subscriber sees a consistent history: each `Change.previous` is its own last `current`. One that is busy is told
later, and what happened meanwhile is merged into one change. Who calls it, and on which thread, is the drivers' part.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .errors import DiscoveryError, WaitTimeout
from .logs import log
from .model import Change, PeerSet


class Watcher:
    """One subscriber. `callback` is None where changes are fetched (`changes()`).

    `busy`: its callback runs, or is about to.
    """

    def __init__(self, watchers: Watchers, callback: Callable[[Change], Any] | None) -> None:
        self.callback = callback
        self.busy = False
        self._watchers = watchers
        self._told: PeerSet | None = None
        self._cancelled = False

    @property
    def active(self) -> bool:
        return not (self._cancelled or self._watchers.closed)

    @property
    def has_news(self) -> bool:
        """Whether `next()` may have something to tell."""
        return self._watchers.current is not None and self._watchers.current is not self._told and self.active

    def next(self) -> Change | None:
        """The change to tell now, or None; telling it is a promise, so it is told once. Cancelled ones get none."""
        current = self._watchers.current
        if current is None or not self.has_news:
            return None
        if self._told is None:  # the first change tells the set as it is, also an empty one
            change = Change(PeerSet(target=current.target), current)
        elif current == self._told:  # it went and came back meanwhile
            return None
        else:
            change = Change(self._told, current)
        self._told = current
        return change

    def log(self, error: BaseException) -> None:
        """The callback raised: that is logged and counted, and stops nothing. Log without a lock held: handlers are
        the user's code.
        """
        log.error("callback %r raised; it stays subscribed", self.callback, exc_info=error)

    def count_error(self) -> None:
        self._watchers.errors += 1

    def cancel(self) -> None:
        self._cancelled = True
        self._watchers.called.pop(self, None)


class Watchers:
    """All subscribers of one service. `called` has those with a callback; the others are their iterators' to keep,
    so that an iterator which is dropped leaves nothing behind.
    """

    def __init__(self) -> None:
        self.called: dict[Watcher, None] = {}
        self.closed = False
        self.current: PeerSet | None = None
        self.errors = 0

    def add(self, callback: Callable[[Change], Any] | None) -> Watcher:
        watcher = Watcher(self, callback)
        if callback is not None:
            self.called[watcher] = None
        return watcher

    def publish(self, current: PeerSet) -> list[Watcher]:
        """Make `current` what is to be told; the watchers that wait for a call."""
        self.current = current
        return [watcher for watcher in self.called if not watcher.busy]

    def close(self) -> None:
        self.closed = True
        self.called.clear()


class Subscription:
    """A user's hold on a callback: `cancel()` ends it, and so does leaving a `with` block.

    After `cancel()` returns, no new call starts; one that runs may still be finishing.
    """

    def __init__(self, cancel: Callable[[], None], service: object) -> None:
        self._cancel = cancel
        self._service = service  # whoever holds the subscription keeps the service alive

    def cancel(self) -> None:
        self._cancel()

    def __enter__(self) -> Subscription:
        return self

    def __exit__(self, *_: object) -> None:
        self._cancel()


def waited(target: str, why: DiscoveryError | None, found: int, wanted: int, timeout: float | None) -> WaitTimeout:
    """What `wait_for` raises."""
    because = f": {why}" if why is not None else ""
    return WaitTimeout(f"{target}: {found} of {wanted} peers after {timeout:g} s{because}", target=target)
