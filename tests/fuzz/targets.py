"""What has to hold for any bytes. Each target takes bytes and raises `AssertionError`, or whatever should not come out.

* `messages`: one DNS message, read by the fast reader and by dnspython, by a `Query` and out of a TCP stream.
* `services`: a script of messages, which whole lookups get as their answers, and a membership after them.
"""

from __future__ import annotations

import heapq
import random
import struct
from collections.abc import Callable, Iterator
from contextlib import suppress
from ipaddress import ip_address
from itertools import count

import dns.name

from headless_discovery import reader, wire
from headless_discovery.lookup import Answer, Exchange, Lookup, Memory
from headless_discovery.membership import Membership
from headless_discovery.message import AAAA, CNAME, NOERROR, NXDOMAIN, SRV, A, Message, Srv, WireError
from headless_discovery.model import PeerSet
from headless_discovery.resolvconf import ResolvConf
from headless_discovery.settings import Settings
from headless_discovery.target import Server, parse
from headless_discovery.wire import Frames, Query, frame
from support.oracle import oracle

NAME = "headless-svc.moon.svc.cluster.local"
PLAIN = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_")


# One message.


def messages(data: bytes) -> None:
    fast, together = reads_alike(data)
    if fast is not None:
        ends_where_it_ends(data)
    if together is not None:
        well_formed(together)
    believed(data, together)
    streamed(data)


def reads_alike(data: bytes) -> tuple[Message | None, Message | None]:
    """What the reader makes of it, which is what dnspython does; and what `wire.read` does, where either reads it.

    Nothing but `WireError` comes out, and `Unusual` out of the reader alone.
    """
    fast = together = None
    unusual = False
    reader._seen.clear()  # what one input leaves must not help or hide another
    reader._seen_srv.clear()
    try:
        fast = Counting.read(data)
        assert reader.read(data) == fast, "read again, it is something else"
    except reader.Unusual:
        unusual = True
    except WireError:
        pass
    for known, name in reader._seen.items():  # whatever follows is read by these
        octets, parent = known if isinstance(known, tuple) else (known, None)
        wire_name = octets if parent is None else octets + dns.name.from_text(parent).to_wire()
        assert dns.name.from_wire(wire_name, 0) == (dns.name.from_text(name), len(wire_name))
    for raw, srv in reader._seen_srv.items():
        assert struct.unpack_from("!3H", raw) == srv[:3]
        assert dns.name.from_wire(raw, 6) == (dns.name.from_text(srv.target), len(raw) - 6)
    with suppress(WireError):
        together = wire.read(data)
    if unusual:
        assert together is None or len(data) <= wire.FALLBACK_SIZE, "dnspython was given too much"
        return fast, together
    assert together == fast
    slow = oracle(data)
    assert (fast is None) == (slow is None), "one refuses what the other takes"
    if fast is not None and slow is not None:
        same(fast, slow)
    return fast, together


def same(fast: Message, slow: Message) -> None:
    """Order and repetition are nobody's business; all else is."""
    for field in ("rcode", "authoritative", "truncated", "recursion_available", "size", "soa", "has_ns"):
        assert getattr(fast, field) == getattr(slow, field), field
    assert {k: set(v) for k, v in fast.glue.items()} == {k: set(v) for k, v in slow.glue.items()}
    assert {k: (v.ttl, set(v.values)) for k, v in fast.answer.items()} == {
        k: (v.ttl, set(v.values)) for k, v in slow.answer.items()
    }


class Counting(reader._Reader):
    """The reader, counting names: "never loops" is a bound on them. A record has at most three, a name 16 pointers."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.left = 64 + 8 * len(data)

    def name(self, start: int, depth: int = 0) -> tuple[str, int]:
        self.left -= 1
        assert self.left > 0, "the reader goes in circles"
        assert depth <= reader._POINTERS
        return super().name(start, depth)

    @classmethod
    def read(cls, data: bytes) -> Message:
        original, reader._Reader = reader._Reader, cls  # type: ignore[misc]
        try:
            return reader.read(data)
        finally:
            reader._Reader = original  # type: ignore[misc]


def ends_where_it_ends(data: bytes) -> None:
    """What was read to its last octet is broken with one less, and with one more."""
    if data[2] & 0x02:  # with TC, what is whole is read
        return
    for other in (data[:-1], data + b"\0"):
        with suppress(WireError):
            reader.read(other)
            raise AssertionError("octets after the message, or past its end, make no difference")


def well_formed(message: Message) -> None:
    assert 0 <= message.rcode < 4096
    for (name, rdtype), rrset in message.answer.items():
        assert_name(name)
        assert 0 <= rrset.ttl < 2**31
        assert rrset.values
        for value in rrset.values:
            if rdtype in (A, AAAA):
                assert isinstance(value, bytes)
                assert len(value) == {A: 4, AAAA: 16}[rdtype]
            elif rdtype == SRV:
                assert isinstance(value, Srv)
                assert all(0 <= number < 65536 for number in value[:3])
                assert_name(value.target)
            else:
                assert rdtype == CNAME
                assert isinstance(value, str)
                assert_name(value)
    for name, addresses in message.glue.items():
        assert_name(name)
        assert addresses
        assert all(len(address) in (4, 16) for address in addresses)
    if message.soa is not None:
        assert all(0 <= number < 2**31 for number in message.soa)


def assert_name(name: str) -> None:
    assert name == name.lower()
    assert not name.endswith(".") or name.endswith("\\.")
    assert len(name) <= 4 * 255  # octets that are no letters take four characters each


def believed(data: bytes, found: Message | None) -> None:
    """RFC 5452, 9.1: the id, the question, and nothing else's. Judged from the octets, not by the code tested."""
    question = question_of(data)
    ident = int.from_bytes(data[:2], "big")
    if question is None:
        queries = [(Query(NAME, A, ident, edns=True), False)]
    else:
        name, rdtype = question
        queries = [(Query(name, rdtype, ident, edns=True), True)]
        queries += [(Query(name, rdtype, ident ^ 1 << bit, edns=False), False) for bit in (0, 15)]
        queries += [(Query(name, rdtype ^ 1, ident, edns=False), False)]
    for query, asked in queries:
        try:
            answer = query.read(data)
        except WireError:
            assert found is None, "refused by Query, but not by read()"
            continue
        flags, questions, answers = struct.unpack_from("!3H", data, 2) if len(data) >= 12 else (0, 0, 0)
        ours = query.ident == ident and flags & 0xF800 == 0x8000  # a response (QR) to a standard query
        if questions:
            assert (answer is not None) == (ours and questions == 1 and asked)
        else:
            assert (answer is not None) == (ours and not answers and flags & 0xF not in (NOERROR, NXDOMAIN))
        assert answer is None or answer == found


def question_of(data: bytes) -> tuple[str, int] | None:
    """Name and type of the first question, where it is plain and of class IN."""
    labels, at = [], 12
    while at < len(data) and 0 < data[at] < 64:
        labels.append(data[at + 1 : at + 1 + data[at]])
        at += 1 + data[at]
    if not labels or data[at : at + 1] != b"\0" or data[at + 3 : at + 5] != b"\0\1":
        return None
    name = b".".join(labels)
    if len(name) > 253 or not PLAIN.issuperset(b"".join(labels)):
        return None
    return name.decode().lower(), int.from_bytes(data[at + 1 : at + 3], "big")


def streamed(data: bytes) -> None:
    """TCP cuts where it likes: any bytes as a stream, in two and in single octets, are the same messages."""
    whole = list(Frames().feed(data))
    cut = int.from_bytes(data[:2], "big") % (len(data) + 1)
    frames = Frames()
    assert [*frames.feed(data[:cut]), *frames.feed(data[cut:])] == whole
    dribble = Frames()
    assert [m for octet in data[:64] for m in dribble.feed(bytes([octet]))] == list(Frames().feed(data[:64]))
    assert b"".join(map(frame, whole)) == data[: sum(2 + len(m) for m in whole)]


# A service.

SERVERS = (Server("10.96.0.10"), Server("10.96.0.11"))
MAX_PEERS = 100
LOOKUPS = 8
# More exchanges than that would be a lookup without end: two servers, asked twice by UDP and TCP with and without
# EDNS, for each link of a chain, type and target.
MAX_EXCHANGES = 20_000
PORTS = (8080, "http", "auto")
FAMILIES = ("auto", "any", "ipv4", "ipv6")


def services(script: bytes) -> None:
    """The first octet chooses what is asked; then, framed as over TCP, come a way to answer and a message, each."""
    choice = script[0] if script else 0
    settings = Settings(
        max_peers=MAX_PEERS,
        family=FAMILIES[choice >> 2 & 3],  # type: ignore[arg-type]
        answers="sample" if choice & 0x40 else "all",
        empty_grace=0.0 if choice & 0x80 else 30.0,
    )
    (question,) = parse(NAME, PORTS[(choice & 3) % 3]).questions
    conf = ResolvConf(SERVERS[: 1 + (choice >> 4 & 1)], ("moon.svc.cluster.local", "x"), 5 if choice & 0x20 else 1)
    answers = Frames().feed(script[1:])
    memory, rng, now = Memory(), random.Random(1), 1000.0
    membership = Membership(settings, None, random.Random(2), lambda n, error: min(10.0, 0.25 * 2**n), now)
    peers = PeerSet()
    for _ in range(LOOKUPS):
        lookup = Lookup(question, conf, settings, memory, rng, membership.held())
        now = drive(lookup, answers, max(now, membership.due))
        before, result = peers, lookup.result
        if isinstance(result, Answer):
            changed = membership.answered(result, now)
            peers = PeerSet(membership.peers())
            assert changed or peers == before, "a change that is not reported"
        else:
            membership.failed(result, now)  # type: ignore[arg-type]  # is a LookupFailed, or this is a finding
            peers = PeerSet(membership.peers())
            assert peers == before, "a failure changed the set"
        assert len({peer.hostname or peer.address for peer in peers}) <= MAX_PEERS
        for peer in peers:
            for text in (peer.address, *peer.addresses):
                may_be_a_peer(text)
        assert now <= membership.due < now + 60 if membership.due > now else membership.sampling


def may_be_a_peer(text: str) -> None:
    address = ip_address(text)
    refused = address.is_unspecified or address.is_multicast or address.is_link_local or address.is_loopback
    assert not refused, text
    assert getattr(address, "ipv4_mapped", None) is None, text


def drive(lookup: Lookup, answers: Iterator[bytes], now: float) -> float:
    """Run a lookup in virtual time; the time when it ends. When the script is over, servers are silent."""
    events: list[tuple[float, int, Exchange, Message | str | None]] = []
    order = count()
    sent = 0

    def send(exchanges: list[Exchange]) -> None:
        nonlocal sent
        for exchange in exchanges:
            sent += 1
            reply = answer(exchange, answers)
            when = exchange.deadline if reply is None else min(exchange.deadline, now + 0.01)
            assert when >= now
            heapq.heappush(events, (when, next(order), exchange, reply))

    began = now
    send(lookup.start(now))
    while events:
        assert sent < MAX_EXCHANGES
        assert lookup.result is None, "it ended with exchanges open"
        when, _, exchange, reply = heapq.heappop(events)
        now = max(now, when)
        if isinstance(reply, Message):
            send(lookup.replied(exchange, reply, now))
        else:
            send(lookup.failed(exchange, reply or "timed out", now, timed_out=reply is None))
    assert lookup.result is not None, "it waits for nothing"
    assert now - began <= 5.0 + 1e-6, "longer than its timeout"
    return now


def answer(exchange: Exchange, answers: Iterator[bytes]) -> Message | str | None:
    """What becomes of an exchange: a message, a failure in words, or None for silence."""
    for step in answers:
        way, data = step[:1], step[1:]
        if way == b"t":
            return None
        if way == b"r":
            return "reset the connection"
        if way != b"w":  # "w": as it is, mostly somebody else's
            data = fitted(data, exchange.query)
        try:
            message = exchange.read(data)
        except WireError as error:
            return f"sent what is no DNS message ({error})"
        if message is not None:
            return message
    return None


def fitted(data: bytes, query: Query) -> bytes:
    """A message with the query's id and question, so that it passes for its answer."""
    ours = query.wire[12 : -11 if query.wire[11] else None]
    at = 12
    while at < len(data) and 0 < data[at] < 64:
        at += 1 + data[at]
    if len(data) < 12 or data[4:6] != b"\0\1":
        return query.wire[:2] + data[2:]
    return query.wire[:2] + bytes([data[2] & 0x07 | 0x80]) + data[3:12] + ours + data[at + 5 :]


def script(choice: int, *steps: bytes) -> bytes:
    """For the corpus and for tests: each step is a way to answer (one octet) and a message."""
    return bytes([choice]) + b"".join(map(frame, steps))


TARGETS: dict[str, Callable[[bytes], None]] = {"messages": messages, "services": services}
