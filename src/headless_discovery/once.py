"""What the one-shots `peers` and `apeers` remember: answers, each for its TTL."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from contextlib import suppress
from math import inf
from typing import Any, TypeVar

from .logs import log
from .model import PeerSet, Status

MAX_ENTRIES = 1024
T = TypeVar("T")


def kept(value: T) -> T:
    """Iterables other than strings as tuples: what is read for the key is there for the service, too."""
    if isinstance(value, Iterable) and not isinstance(value, str):
        return tuple(value)  # type: ignore[return-value]  # an iterable of the same
    return value


def whole_or_warned(found: PeerSet, status: Status) -> PeerSet:
    """A set has no word for it that peers are missing, so the log has."""
    if not status.complete:
        log.warning("%s: %d peers may not be all: %s", found.target, len(found), status.error or "the answer was cut")
    return found


class Cache:
    """Bounded: the oldest entry goes first. Each step is one operation on a dict, so there is no lock to hold: no other
    thread and no fork() finds anything half done.
    """

    def __init__(self) -> None:
        self._entries: OrderedDict[str, tuple[float, PeerSet]] = OrderedDict()

    @staticmethod
    def key(target: object, port: object, options: Mapping[str, Any]) -> str:
        """Of what `kept` has gone over."""
        return repr((target, port, sorted(options.items())))

    def get(self, key: str, now: float) -> PeerSet | None:
        expires, found = self._entries.get(key, (-inf, None))
        return found if now < expires else None

    def put(self, key: str, found: PeerSet, now: float, lasts: float | None) -> None:
        """`lasts` in seconds; None for what is never asked (static peers)."""
        self._entries.pop(key, None)
        self._entries[key] = (inf if lasts is None else now + lasts, found)
        with suppress(KeyError):  # other threads have emptied it
            while len(self._entries) > MAX_ENTRIES:
                self._entries.popitem(last=False)
