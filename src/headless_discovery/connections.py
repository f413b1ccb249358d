"""TCP connections to DNS servers: one question at a time on each, and kept open for the next one (RFC 7766, 6.2.1)."""

from __future__ import annotations

import os
import random
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

from .target import Server
from .ticks import Clock, Handle
from .wire import Frames, frame

MAX_READ = 65_535
MAX_AGE, AGE_SPREAD = 60.0, 0.2  # seconds; so the connections of a fleet do not end together
KEPT = 4  # to each server; what else comes back is closed
_random = random.SystemRandom()  # not the user's, who may have seeded it
_Socket = socket.socket  # as it was at import: where gevent patches later, the I/O thread must not become its hub


class Host(Clock, Protocol):
    """Where a service lives: an I/O thread or an event loop. All callbacks run on it, one at a time.

    `call_near` is `call_at`, but may be a little late, together with others.
    """

    def call_near(self, when: float, callback: Callable[[], None]) -> Handle: ...
    def add_reader(self, sock: socket.socket, callback: Callable[[], None]) -> None: ...
    def add_writer(self, sock: socket.socket, callback: Callable[[], None]) -> None: ...
    def remove(self, sock: socket.socket) -> None: ...


class User(Protocol):
    """Who has a question under way on a connection. `alive`: the server has connected, or sent something."""

    def alive(self) -> None: ...
    def received(self, message: bytes) -> bool:
        """True if the connection is not the user's any more."""
        ...

    def lost(self, problem: str) -> None: ...


def open_socket(server: Server, kind: socket.SocketKind) -> socket.socket:
    sock = _Socket(socket.AF_INET6 if ":" in server.address else socket.AF_INET, kind)
    sock.setblocking(False)
    return sock


def sockaddr(server: Server) -> tuple[str, int] | tuple[str, int, int, int]:
    """As `socket.connect` takes it: an IPv6 zone id (`fe80::1%eth0`, RFC 4007, 11) is a number there.

    Raises `OSError` where there is no such interface.
    """
    address, percent, zone = server.address.partition("%")
    if not percent:
        return address, server.port
    return address, server.port, 0, int(zone) if zone.isdigit() else socket.if_nametoindex(zone)


class Connection:
    """One TCP connection, non-blocking. Raises `OSError` where the first step fails at once."""

    def __init__(self, host: Host, server: Server, user: User, query: bytes) -> None:
        self.server = server
        self.expires = host.time() + _random.uniform(1 - AGE_SPREAD, 1 + AGE_SPREAD) * MAX_AGE
        self._host = host
        self._user: User | None = user
        self._frames = Frames()
        self._unsent = frame(query)
        self._dropped: Callable[[Connection], None] | None = None
        self._timer: Handle | None = None
        self._sock = open_socket(server, socket.SOCK_STREAM)
        try:
            self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with suppress(BlockingIOError):
                self._sock.connect(sockaddr(server))
        except OSError:
            self._sock.close()
            raise
        host.add_writer(self._sock, self._writable)

    def ask(self, user: User, query: bytes) -> None:
        """The next question, on a connection that waits. Raises `OSError` if it turns out closed."""
        self._rest()
        self._user = user
        # Nothing is on its way, so the kernel takes a query whole; else the connection is not what it was.
        if self._sock.send(message := frame(query)) != len(message):
            raise OSError("a query does not fit")

    def wait(self, dropped: Callable[[Connection], None]) -> bool:
        """Wait for the next question, until it is too old or the server ends it: then `dropped` hears of it.

        False if there is nothing to wait for: too old already, or more came than the answer.
        """
        self._user = None
        if self._frames.pending or self._host.time() >= self.expires:
            return False
        self._dropped = dropped
        self._timer = self._host.call_near(self.expires, self._drop)
        return True

    def close(self) -> None:
        self._rest()
        self._user = None
        if self._sock.fileno() >= 0:
            self._host.remove(self._sock)
            self._sock.close()

    def _rest(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._dropped = None

    def _drop(self) -> None:
        dropped = self._dropped
        self.close()
        if dropped is not None:
            dropped(self)

    def _lost(self, problem: str) -> None:
        user = self._user
        if user is None:
            self._drop()
        else:
            self.close()
            user.lost(problem)

    def _writable(self) -> None:
        sock, user = self._sock, self._user
        assert user is not None
        if error := sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            self._lost(f"cannot be reached by TCP ({os.strerror(error)})")
            return
        try:
            self._unsent = self._unsent[sock.send(self._unsent) :]
        except BlockingIOError:
            return
        except OSError as failure:
            self._lost(f"cannot be reached by TCP ({failure.strerror})")
            return
        if not self._unsent:
            self._host.remove(sock)
            self._host.add_reader(sock, self._readable)
        user.alive()

    def _readable(self) -> None:
        try:
            data = self._sock.recv(MAX_READ)
        except BlockingIOError:
            return
        except OSError as error:
            self._lost(f"broke the TCP connection ({error.strerror})")
            return
        if not data or self._user is None:  # nobody asked: the server has ended it, or is not one to wait for
            self._lost("closed the TCP connection before it had answered")
            return
        user = self._user
        user.alive()
        for message in self._frames.feed(data):
            if user.received(message):
                return


class Connections:
    """The connections of one host that wait for their next question."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self._waiting: dict[Server, list[Connection]] = {}

    def take(self, server: Server) -> Connection | None:
        """The one used last: the others may grow old and go."""
        waiting = self._waiting.get(server)
        return waiting.pop() if waiting else None

    def keep(self, connection: Connection) -> None:
        waiting = self._waiting.setdefault(connection.server, [])
        if len(waiting) < KEPT and connection.wait(self._dropped):
            waiting.append(connection)
        else:
            connection.close()

    def forget(self, server: Server) -> None:
        """One was found dead, so the others may be."""
        for connection in self._waiting.pop(server, ()):
            connection.close()

    def close(self) -> None:
        for server in list(self._waiting):
            self.forget(server)

    def _dropped(self, connection: Connection) -> None:
        self._waiting[connection.server].remove(connection)
