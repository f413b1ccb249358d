"""The model network: packets are lost, late, out of order and doubled; TCP is refused, reset and stalls."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, Protocol

from headless_discovery.lookup import Exchange, Lookup
from headless_discovery.message import Message, Srv
from headless_discovery.target import Server
from headless_discovery.testing.message import (
    AA,
    NS,
    QR,
    RA,
    TC,
    Record,
    address,
    join,
    parse,
    soa,
    srv,
    to_wire,
    write,
)
from sansio import question_of

if TYPE_CHECKING:
    from .clock import Timer, VirtualHost


class Answering(Protocol):
    def answer(self, name: str, rdtype: int, tcp: bool, edns: bool, now: float) -> Message | str | None: ...


@dataclass
class Weather:
    """`delay` in seconds, least and most, each way together; the others are probabilities."""

    loss: float = 0.0
    delay: tuple[float, float] = (0.001, 0.02)
    twice: float = 0.0
    tcp_reset: float = 0.0
    tcp_stall: float = 0.0


class Heard(NamedTuple):
    """A message that reached a lookup in time, on the socket that asked for it. `rcode`: as it arrived."""

    server: Server
    name: str
    rdtype: int
    tcp: bool
    message: Message
    rcode: int


@dataclass
class Transcript:
    """All that one lookup sent and heard: the only thing the judge goes by."""

    started: float
    sent: list[tuple[str, int]] = field(default_factory=list)
    heard: list[Heard] = field(default_factory=list)


class Network:
    """Carries lookups. With `as_bytes`, messages travel as bytes and strays reach sockets they are not meant for."""

    def __init__(self, servers: Mapping[Server, Answering], rng: random.Random, *, as_bytes: bool = False) -> None:
        self.servers = dict(servers)
        self.weather = Weather()
        self.as_bytes = as_bytes
        self.rng = rng
        self.packets = 0
        self.open: list[_Channel] = []  # with as_bytes: who may be hit by a stray packet
        self.ended: Callable[[Transcript], None] = lambda transcript: None

    def converse(self, host: VirtualHost, lookup: Lookup, done: Callable[[], None]) -> VirtualConversation:
        return VirtualConversation(self, host, lookup, done)


class VirtualConversation:
    """What `transport.Conversation` is over sockets."""

    def __init__(self, network: Network, host: VirtualHost, lookup: Lookup, done: Callable[[], None]) -> None:
        self.network = network
        self.host = host
        self.lookup = lookup
        self.transcript = Transcript(host.now)
        self._done = done
        self._channels: set[_Channel] = set()

    def start(self) -> None:
        self._go_on(self.lookup.start(self.host.now))

    def cancel(self) -> None:
        for channel in self._channels:
            channel.close()
        self._channels.clear()

    def replied(self, channel: _Channel, message: Message) -> None:
        exchange = channel.exchange
        self.transcript.heard.append(
            Heard(exchange.server, channel.name, channel.rdtype, exchange.tcp, message, message.rcode)
        )
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
            self.transcript.sent.append((channel.name, channel.rdtype))
            self._channels.add(channel)
            channel.open()
        if self.lookup.result is not None:
            self.cancel()
            self._done()
            self.network.ended(self.transcript)


class _Channel:
    __slots__ = ("_conversation", "_timer", "exchange", "is_open", "name", "rdtype")

    def __init__(self, conversation: VirtualConversation, exchange: Exchange) -> None:
        self._conversation = conversation
        self.exchange = exchange
        self.name, self.rdtype, _ = _question(exchange)
        self.is_open = True
        self._timer: Timer | None = None

    def open(self) -> None:
        conversation, exchange = self._conversation, self.exchange
        network, host = conversation.network, conversation.host
        weather, rng = network.weather, network.rng
        network.packets += 1
        if network.as_bytes:
            network.open.append(self)
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
        edns = exchange.query.wire[11] == 1
        reply = network.servers[exchange.server].answer(self.name, self.rdtype, exchange.tcp, edns, host.now)
        if reply is None:
            return
        if isinstance(reply, str):
            host.arrives_at(arrival, lambda: self._broken(reply))
            return
        host.arrives_at(arrival, lambda: self._arrived(reply))
        if not exchange.tcp and weather.twice and rng.random() < weather.twice:
            later = arrival + rng.random() * 6.0
            host.arrives_at(later, lambda: self._stray(reply))

    def close(self) -> None:
        self.is_open = False
        if self._timer is not None:
            self._timer.cancel()
        if self._conversation.network.as_bytes and self in self._conversation.network.open:
            self._conversation.network.open.remove(self)

    def _timed_out(self) -> None:
        if self.is_open:
            self._conversation.failed(self, "timed out", timed_out=True)

    def _broken(self, problem: str) -> None:
        if self.is_open:
            self._conversation.failed(self, problem)

    def _arrived(self, message: Message) -> None:
        if not self.is_open:
            return  # the socket is closed: what comes late is nobody's
        if self._conversation.network.as_bytes:
            read = self.exchange.read(encode(message, self.exchange.query.wire))
            assert read is not None, "an answer was taken for somebody else's"
            message = read
        self._conversation.replied(self, message)

    def _stray(self, message: Message) -> None:
        """A late or doubled answer hits whoever has a socket open now: it must not be taken for theirs."""
        data = encode(message, self.exchange.query.wire)
        for channel in list(self._conversation.network.open):
            if channel is not self and channel.exchange.query.ident != self.exchange.query.ident:
                assert channel.exchange.read(data) is None, "took the answer to another query"


_questions: dict[bytes, tuple[str, int, bool]] = {}


def _question(exchange: Exchange) -> tuple[str, int, bool]:
    wire = exchange.query.wire[12:]
    found = _questions.get(wire)
    if found is None:
        found = _questions[wire] = question_of(exchange)
    return found


def encode(message: Message, query: bytes) -> bytes:
    """A message as bytes, by the test server's writer."""
    asked = parse(query)
    answer: list[Record] = []
    for (name, _), rrset in message.answer.items():
        owner = to_wire(name)
        for value in rrset.values:
            if isinstance(value, Srv):
                answer.append(srv(owner, rrset.ttl, value.priority, value.weight, value.port, to_wire(value.target)))
            elif isinstance(value, bytes):
                answer.append(address(owner, rrset.ttl, value))
    glue = [address(to_wire(name), 5, packed) for name, found in message.glue.items() for packed in found]
    zone = to_wire("cluster.local")
    authority = []
    if message.soa is not None:
        authority.append(soa(zone, *message.soa, 1))
    if message.has_ns:
        authority.append(Record(zone, NS, 5, join(b"ns", suffix=zone)))
    flags = QR
    for flag, on in ((AA, message.authoritative), (TC, message.truncated), (RA, message.recursion_available)):
        flags |= flag if on else 0
    return write(asked, rcode=message.rcode, answer=answer, authority=authority, additional=glue, flags=flags)
