"""A host whose time passes when nothing is left to do: hours of a service's life in a moment, over real sockets."""

from __future__ import annotations

import heapq
import selectors
import socket
from collections.abc import Callable
from itertools import count
from typing import Any

from headless_discovery import HeadlessService
from headless_discovery.asker import Askers
from headless_discovery.service import Service

from . import PATIENCE

Callback = Callable[[], None]


class Timer:
    def __init__(self, callback: Callback) -> None:
        self.callback: Callback | None = callback

    def cancel(self) -> None:
        self.callback = None


class VirtualHost:
    """A `ServiceHost`. While a question is under way its answer is waited for in real time, and no time passes."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.askers = Askers(self)
        self._selector = selectors.DefaultSelector()
        self._timers: list[tuple[float, int, Timer]] = []
        self._order = count()
        self._cores: list[Service] = []

    def __enter__(self) -> VirtualHost:
        return self

    def __exit__(self, *_: object) -> None:
        self._selector.close()

    def begin(self, service: HeadlessService) -> Service:
        """Let `service` live here. It must not be used by its own members, which would look for an I/O thread."""
        core = service._service
        self._cores.append(core)
        core.begin(self)
        return core

    def run(self, seconds: float) -> None:
        """Let so much time pass."""
        end = self.now + seconds
        while True:
            if any(name.in_flight for core in self._cores for name in core._names):
                self.step()
            elif self._timers and self._timers[0][0] <= end:
                when, _, timer = heapq.heappop(self._timers)
                if timer.callback is not None:
                    self.now = max(self.now, when)
                    timer.callback()
            else:
                self.now = end
                return

    def step(self) -> None:
        """Wait, in real time, until something can be read or written, and do it."""
        ready = self._selector.select(PATIENCE)
        assert ready, "the DNS server does not answer"
        for key, _ in ready:
            key.data()

    @property
    def open_sockets(self) -> int:
        return len(self._selector.get_map())

    # ServiceHost

    def time(self) -> float:
        return self.now

    def call_at(self, when: float, callback: Callback) -> Timer:
        timer = Timer(callback)
        heapq.heappush(self._timers, (when, next(self._order), timer))
        return timer

    call_near = call_at

    def do(self, callback: Callback) -> None:
        self.call_at(self.now, callback)

    def add_reader(self, sock: socket.socket, callback: Callback) -> None:
        self._register(sock, selectors.EVENT_READ, callback)

    def add_writer(self, sock: socket.socket, callback: Callback) -> None:
        self._register(sock, selectors.EVENT_WRITE, callback)

    def remove(self, sock: socket.socket) -> None:
        if sock in self._selector.get_map():
            self._selector.unregister(sock)

    def stagger(self) -> float:
        return self.now

    def _register(self, sock: socket.socket, events: int, callback: Any) -> None:
        self._selector.register(sock, events, callback)
