"""Where everything that happens arrives in order: news from the library's threads, and signals, for one reader."""

from __future__ import annotations

import select
import signal
import socket
import time
from collections import deque
from contextlib import suppress
from types import FrameType, TracebackType
from typing import Any, Generic, TypeVar

T = TypeVar("T")

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Mailbox(Generic[T]):
    """`put` may be called from any thread and from signal handlers: it takes no lock. Only the main thread reads.

    Within the `with` block, signals that ask for the end arrive as `signal.Signals`, behind all that came before them.
    """

    def __init__(self) -> None:
        self._items: deque[T | signal.Signals] = deque()
        self._read, self._write = socket.socketpair()
        self._read.setblocking(False)
        self._write.setblocking(False)
        self._before: dict[signal.Signals, Any] = {}

    def put(self, item: T | signal.Signals) -> None:
        self._items.append(item)
        with suppress(OSError):  # full: whoever reads is awake anyway; closed: nobody reads any more
            self._write.send(b"\0")

    def get(self, timeout: float | None = None) -> T | signal.Signals | None:
        """The next item, waiting at most `timeout` seconds for it; None if there was none."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while not self._items:
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                return None
            if select.select([self._read], [], [], left)[0]:
                self._read.recv(4096)
        return self._items.popleft()

    def __enter__(self) -> Mailbox[T]:
        for number in ENDING:
            if signal.getsignal(number) is not signal.SIG_IGN:  # nohup, and background jobs of a shell
                self._before[number] = signal.signal(number, self._signalled)
        return self

    def _signalled(self, number: int, frame: FrameType | None) -> None:
        self.put(signal.Signals(number))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, before in self._before.items():
            signal.signal(number, before)
        self._read.close()
        self._write.close()
