"""Moves the bytes of a lookup, or of any other `Steps`, non-blocking, on whatever `Host` waits for sockets and time."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable
from typing import Any, Protocol

from .connections import Connection, Connections, open_socket, sockaddr
from .message import Message, WireError
from .model import canonical_address
from .servers import TCP_CONNECT, Exchange
from .steps import Steps
from .target import Server
from .ticks import Handle

MAX_DATAGRAM = 65_535
READS_PER_WAKE = 16  # a flood on one socket must not keep the others waiting


class Carrier(Protocol):
    """What carries one lookup to its end."""

    def start(self) -> None: ...
    def cancel(self) -> None: ...


class Conversation:
    """Carries one lookup to its end, then calls `done` once. `cancel` closes what is open and calls nobody."""

    def __init__(
        self, connections: Connections, lookup: Steps[Exchange, Message, Any], done: Callable[[], None]
    ) -> None:
        self.host = connections.host
        self.connections = connections
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
    """One exchange."""

    def __init__(self, conversation: Conversation, exchange: Exchange) -> None:
        self.exchange = exchange
        self._conversation = conversation
        self._host = conversation.host
        self._timer: Handle | None = None

    def open(self) -> None:
        """Raises `OSError`."""
        raise NotImplementedError

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _give_up_at(self, when: float, then: Callable[[], None]) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._host.call_near(when, then)

    def _timed_out(self, doing: str) -> None:
        self._conversation.failed(self, f"timed out {doing}", timed_out=True)

    def _take(self, data: bytes) -> bool:
        """True if `data` ended the exchange."""
        try:
            message = self.exchange.read(data)
        except WireError as error:
            self._conversation.failed(self, f"sent what is no DNS message ({error})")
            return True
        if message is None:
            return False
        self._answered()
        self._conversation.replied(self, message)
        return True

    def _answered(self) -> None:
        pass


class _UDP(_Channel):
    """On a socket of its own: port and id are fresh for each exchange (RFC 5452, 9.2)."""

    _sock: socket.socket | None = None

    def open(self) -> None:
        self._sock = sock = open_socket(self.exchange.server, socket.SOCK_DGRAM)
        # Connected: the kernel drops what comes from anybody else, and reports ICMP errors.
        sock.connect(sockaddr(self.exchange.server))
        sock.send(self.exchange.query.wire)
        self._host.add_reader(sock, self._readable)
        self._give_up_at(self.exchange.deadline, lambda: self._timed_out("(UDP)"))

    def close(self) -> None:
        super().close()
        if self._sock is not None:
            self._host.remove(self._sock)
            self._sock.close()
            self._sock = None

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
    """On a connection that was kept, else on a new one. A kept one that turns out dead costs nothing: it is noticed by
    its end, or by silence where a new one would have to be connected, and the same query goes over a new one.
    """

    _connection: Connection | None = None
    _kept = False
    _alive = False

    def open(self) -> None:
        self._connection = self._conversation.connections.take(self.exchange.server)
        if self._connection is None:
            self._open_new(self.exchange.connect_deadline)
            return
        self._kept = True
        try:
            self._connection.ask(self, self.exchange.query.wire)
        except OSError:
            self._open_again()
        else:
            self._give_up_at(self.exchange.connect_deadline, lambda: self.lost("was silent"))

    def close(self) -> None:
        super().close()
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _open_new(self, connect_deadline: float) -> None:
        exchange = self.exchange
        self._connection = Connection(self._host, exchange.server, self, exchange.query.wire)
        self._give_up_at(min(connect_deadline, exchange.deadline), lambda: self._timed_out("connecting (TCP)"))

    def _open_again(self) -> None:
        self.close()
        self._kept = False
        self._conversation.connections.forget(self.exchange.server)
        self._open_new(self._host.time() + TCP_CONNECT)

    def _answered(self) -> None:
        connection, self._connection = self._connection, None
        assert connection is not None
        self._conversation.connections.keep(connection)

    # What the connection tells.

    def alive(self) -> None:
        if not self._alive:
            self._alive = True
            self._give_up_at(self.exchange.deadline, lambda: self._timed_out("(TCP)"))

    def received(self, message: bytes) -> bool:
        return self._take(message)

    def lost(self, problem: str) -> None:
        if self._kept and not self._alive:
            try:
                self._open_again()
            except OSError as error:
                problem = _unreachable(error)
            else:
                return
        self._conversation.failed(self, problem)


def own_addresses(servers: Iterable[Server]) -> set[str]:
    """The addresses this host would send from to these servers. No packet is sent: connecting UDP asks the routes."""
    found = set()
    for server in servers:
        family = socket.AF_INET6 if ":" in server.address else socket.AF_INET
        try:
            with socket.socket(family, socket.SOCK_DGRAM) as sock:
                sock.connect(sockaddr(server))
                found.add(sock.getsockname()[0])
        except OSError:
            continue
    return found


def is_own_address(address: str) -> bool:
    """This host would send from this very address to it, so it is one of its own. No packet is sent."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as sock:
            sock.connect((address, 9))
            return canonical_address(sock.getsockname()[0].partition("%")[0]) == address
    except (OSError, ValueError):
        return False
