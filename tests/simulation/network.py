"""The model network: packets are lost, late, out of order and doubled; TCP is refused, reset and stalls.

It carries the exchanges of real `Lookup`s as bytes, and keeps beside each reply that arrived in time the note of the
server that made it.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from headless_discovery.lookup import Lookup
from headless_discovery.message import Message, WireError
from headless_discovery.servers import Exchange
from headless_discovery.target import Server

from .clock import Broken
from .words import Note, Question, Reply, encode, read_question

if TYPE_CHECKING:
    from .clock import Timer, VirtualHost


class Answering(Protocol):
    def answer(self, name: str, rdtype: int, tcp: bool, edns: bool, now: float) -> Reply | bytes | str | None: ...


@dataclass
class Weather:
    """`delay` in seconds, least and most, each way together; the others are probabilities."""

    loss: float = 0.0
    delay: tuple[float, float] = (0.001, 0.02)
    twice: float = 0.0
    tcp_reset: float = 0.0
    tcp_stall: float = 0.0


CALM = Weather()


class Arrived(NamedTuple):
    """A reply that reached a lookup in time, on the socket that asked for it."""

    server: str
    note: Note


@dataclass
class Transcript:
    """What one lookup asked and heard. `servers`: those that resolv.conf named when it began."""

    started: float
    servers: tuple[str, ...]
    sent: list[tuple[str, int]] = field(default_factory=list)
    arrived: list[Arrived] = field(default_factory=list)


class Network:
    def __init__(self, servers: Mapping[Server, Answering], rng: random.Random) -> None:
        self.servers = dict(servers)
        self.configured = tuple(map(str, self.servers))
        self.weather = CALM
        self.rng = rng
        self.packets = 0
        self.open: dict[_Channel, None] = {}  # who may be hit by a stray packet
        self.ended: Callable[[Transcript], None] = lambda transcript: None
        self.names = {server: str(server) for server in self.servers}

    def converse(self, host: VirtualHost, lookup: Lookup, done: Callable[[], None]) -> VirtualConversation:
        return VirtualConversation(self, host, lookup, done)


class VirtualConversation:
    """What `transport.Conversation` is over sockets."""

    def __init__(self, network: Network, host: VirtualHost, lookup: Lookup, done: Callable[[], None]) -> None:
        self.network = network
        self.host = host
        self.lookup = lookup
        self.transcript = Transcript(host.now, network.configured)
        self._done = done
        self._channels: set[_Channel] = set()

    def start(self) -> None:
        self._go_on(self.lookup.start(self.host.now))

    def cancel(self) -> None:
        for channel in self._channels:
            channel.close()
        self._channels.clear()

    def replied(self, channel: _Channel, message: Any, note: Note | None) -> None:
        exchange = channel.exchange
        if note is not None:
            self.transcript.arrived.append(Arrived(self.network.names[exchange.server], note))
        channel.close()
        self._channels.discard(channel)
        self._go_on(self.lookup.replied(exchange, message, self.host.now))

    def failed(self, channel: _Channel, problem: str, *, timed_out: bool = False) -> None:
        channel.close()
        self._channels.discard(channel)
        self._go_on(self.lookup.failed(channel.exchange, problem, self.host.now, timed_out=timed_out))

    def _go_on(self, exchanges: list[Exchange]) -> None:
        for exchange in exchanges:
            channel = _Channel(self, exchange)
            self.transcript.sent.append((channel.asked.name, channel.asked.rdtype))
            self._channels.add(channel)
            channel.open()
        if self.lookup.result is not None:
            self.cancel()
            self._done()
            self.network.ended(self.transcript)


class _Channel:
    __slots__ = ("_conversation", "_timer", "asked", "exchange", "is_open")

    def __init__(self, conversation: VirtualConversation, exchange: Exchange) -> None:
        self._conversation = conversation
        self.exchange = exchange
        self.asked: Question = read_question(exchange.query.wire)
        self.is_open = True
        self._timer: Timer | None = None

    def open(self) -> None:
        conversation, exchange, asked = self._conversation, self.exchange, self.asked
        network, host = conversation.network, conversation.host
        weather, rng = network.weather, network.rng
        network.packets += 1
        network.open[self] = None
        least, most = weather.delay
        arrival = host.now + least + rng.random() * (most - least)
        self._timer = host.call_at(exchange.deadline, self._timed_out)
        if exchange.tcp:
            if weather.tcp_stall and rng.random() < weather.tcp_stall:
                self._timer.cancel()
                self._timer = host.call_at(exchange.connect_deadline, self._timed_out)
                return
            if weather.tcp_reset and rng.random() < weather.tcp_reset:
                host.arrives_at(arrival, lambda: self._broken("broke the TCP connection (reset)"))
                return
        elif weather.loss and rng.random() < weather.loss:
            return
        reply = network.servers[exchange.server].answer(asked.name, asked.rdtype, exchange.tcp, asked.edns, host.now)
        if reply is None:
            return
        if isinstance(reply, str):
            host.arrives_at(arrival, lambda: self._broken(reply))
            return
        if isinstance(reply, Message):  # the fleet's: read already
            host.arrives_at(arrival, lambda: self.is_open and conversation.replied(self, reply, None))
            return
        note, data = None, b""
        if isinstance(reply, Reply):
            note, data = reply.note, encode(reply, exchange.query.wire, asked)
        else:
            data = exchange.query.wire[:2] + b"\x84" + reply
        host.arrives_at(arrival, lambda: self._arrived(data, note))
        if not exchange.tcp and weather.twice and rng.random() < weather.twice:
            later = arrival + rng.random() * 6.0
            host.arrives_at(later, lambda: self._stray(data))

    def close(self) -> None:
        self.is_open = False
        if self._timer is not None:
            self._timer.cancel()
        self._conversation.network.open.pop(self, None)

    def _timed_out(self) -> None:
        if self.is_open:
            self._conversation.failed(self, "timed out", timed_out=True)

    def _broken(self, problem: str) -> None:
        if self.is_open:
            self._conversation.failed(self, problem)

    def _arrived(self, data: bytes, note: Note | None) -> None:
        if not self.is_open:
            return  # the socket is closed: what comes late is nobody's
        try:
            message = self.exchange.read(data)
        except WireError as error:
            problem = f"sent what is no DNS message ({error})"
            if note is not None:
                raise Broken(f"a good answer was refused: the server {problem}") from error
            self._broken(problem)
            return
        if message is None:
            assert note is None, "an answer was taken for somebody else's"
            return
        self._conversation.replied(self, message, note)

    def _stray(self, data: bytes) -> None:
        """A late or doubled answer hits whoever has a socket open now: it must not be taken for theirs."""
        for channel in list(self._conversation.network.open):
            if channel is not self and channel.exchange.query.ident != self.exchange.query.ident:
                assert channel.exchange.read(data) is None, "took the answer to another query"
