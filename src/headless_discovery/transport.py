"""Moves the bytes of one lookup: a socket per exchange, non-blocking, on whatever `Host` waits for sockets and time."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Protocol

from .lookup import Lookup
from .message import Message, WireError
from .servers import Exchange
from .target import Server
from .wire import Frames, frame

MAX_DATAGRAM = 65_535
_Socket = socket.socket  # as it was at import: where gevent patches later, the I/O thread must not become its hub
READS_PER_WAKE = 16  # a flood on one socket must not keep the others waiting


class Handle(Protocol):
    def cancel(self) -> None: ...


class Host(Protocol):
    """Where a service lives: an I/O thread or an event loop. All callbacks run on it, one at a time."""

    def time(self) -> float: ...
    def call_at(self, when: float, callback: Callable[[], None]) -> Handle: ...
    def add_reader(self, sock: socket.socket, callback: Callable[[], None]) -> None: ...
    def add_writer(self, sock: socket.socket, callback: Callable[[], None]) -> None: ...
    def remove(self, sock: socket.socket) -> None: ...


class Carrier(Protocol):
    """What carries one lookup to its end."""

    def start(self) -> None: ...
    def cancel(self) -> None: ...


class Conversation:
    """Carries one `Lookup` to its end, then calls `done` once. `cancel` closes what is open and calls nobody."""

    def __init__(self, host: Host, lookup: Lookup, done: Callable[[], None]) -> None:
        self.host = host
        self._lookup = lookup
        self._done = done
        self._channels: set[_Channel] = set()

    def start(self) -> None:
        self._open(self._lookup.start(self.host.time()))

    def cancel(self) -> None:
        for channel in list(self._channels):
            channel.close()
        self._channels.clear()

    def replied(self, channel: _Channel, message: Message) -> None:
        self._close(channel)
        self._open(self._lookup.replied(channel.exchange, message, self.host.time()))

    def failed(self, channel: _Channel, problem: str, *, timed_out: bool = False) -> None:
        self._close(channel)
        self._open(self._lookup.failed(channel.exchange, problem, self.host.time(), timed_out=timed_out))

    def _close(self, channel: _Channel) -> None:
        channel.close()
        self._channels.discard(channel)

    def _open(self, exchanges: Iterable[Exchange]) -> None:
        opening = list(exchanges)
        while opening:
            exchange = opening.pop()
            channel = (_TCP if exchange.tcp else _UDP)(self, exchange)
            try:
                channel.open()
            except OSError as error:
                channel.close()
                opening += self._lookup.failed(exchange, _unreachable(error), self.host.time())
            else:
                self._channels.add(channel)
        if self._lookup.result is not None:
            self.cancel()
            self._done()


def _unreachable(error: OSError) -> str:
    return f"cannot be reached ({error.strerror or error})"


class _Channel:
    """One exchange on one socket of its own: port and id are fresh for each (RFC 5452, 9.2)."""

    kind: socket.SocketKind

    def __init__(self, conversation: Conversation, exchange: Exchange) -> None:
        self.exchange = exchange
        self._conversation = conversation
        self._host = conversation.host
        self._sock: socket.socket | None = None
        self._timer: Handle | None = None

    def open(self) -> None:
        """Raises `OSError`."""
        server = self.exchange.server
        family = socket.AF_INET6 if ":" in server.address else socket.AF_INET
        self._sock = _Socket(family, self.kind)
        self._sock.setblocking(False)
        self._connect(self._sock, server)

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._sock is not None:
            self._host.remove(self._sock)
            self._sock.close()
            self._sock = None

    def _connect(self, sock: socket.socket, server: Server) -> None:
        raise NotImplementedError

    def _give_up_at(self, when: float, doing: str) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._host.call_at(
            when, lambda: self._conversation.failed(self, f"timed out {doing}", timed_out=True)
        )

    def _take(self, data: bytes) -> bool:
        """True if `data` ended the exchange."""
        try:
            message = self.exchange.read(data)
        except WireError as error:
            self._conversation.failed(self, f"sent what is no DNS message ({error})")
            return True
        if message is None:
            return False
        self._conversation.replied(self, message)
        return True


class _UDP(_Channel):
    kind = socket.SOCK_DGRAM

    def _connect(self, sock: socket.socket, server: Server) -> None:
        sock.connect(server)  # connected: the kernel drops what comes from anybody else, and reports ICMP errors
        sock.send(self.exchange.query.wire)
        self._host.add_reader(sock, self._readable)
        self._give_up_at(self.exchange.deadline, "(UDP)")

    def _readable(self) -> None:
        for _ in range(READS_PER_WAKE):
            if self._sock is None:
                return
            try:
                data = self._sock.recv(MAX_DATAGRAM)
            except BlockingIOError:
                return
            except OSError as error:
                self._conversation.failed(self, _unreachable(error))
                return
            if self._take(data):
                return


class _TCP(_Channel):
    kind = socket.SOCK_STREAM

    def _connect(self, sock: socket.socket, server: Server) -> None:
        self._unsent = frame(self.exchange.query.wire)
        self._frames = Frames()
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with suppress(BlockingIOError):
            sock.connect(server)
        self._host.add_writer(sock, self._writable)
        self._give_up_at(self.exchange.connect_deadline, "connecting (TCP)")

    def _writable(self) -> None:
        sock = self._sock
        if sock is None:
            return
        error = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if error:
            self._conversation.failed(self, f"cannot be reached by TCP ({os.strerror(error)})")
            return
        try:
            self._unsent = self._unsent[sock.send(self._unsent) :]
        except BlockingIOError:
            return
        except OSError as failure:
            self._conversation.failed(self, f"cannot be reached by TCP ({failure.strerror})")
            return
        self._give_up_at(self.exchange.deadline, "(TCP)")
        if not self._unsent:
            self._host.remove(sock)
            self._host.add_reader(sock, self._readable)

    def _readable(self) -> None:
        if self._sock is None:
            return
        try:
            data = self._sock.recv(MAX_DATAGRAM)
        except BlockingIOError:
            return
        except OSError as error:
            self._conversation.failed(self, f"broke the TCP connection ({error.strerror})")
            return
        if not data:
            self._conversation.failed(self, "closed the TCP connection before it had answered")
            return
        for message in self._frames.feed(data):
            if self._take(message):
                return


def own_addresses(servers: Iterable[Server]) -> set[str]:
    """The addresses this host would send from to these servers. No packet is sent: connecting UDP asks the routes."""
    found = set()
    for server in servers:
        family = socket.AF_INET6 if ":" in server.address else socket.AF_INET
        try:
            with socket.socket(family, socket.SOCK_DGRAM) as sock:
                sock.connect(server)
                found.add(sock.getsockname()[0])
        except OSError:
            continue
    return found
