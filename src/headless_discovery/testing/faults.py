"""What can go wrong between a question and its answer. Each fault is one small function.

A fault is given the exchange (the question, the transport, the honest answer's bytes) and yields actions: send these
bytes, wait, close. To add a fault, write such a function and put its name in the registry with `@_fault(...)`.
"""

from __future__ import annotations

import random
import struct
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from . import message
from .message import AA, FORMERR, NOERROR, NXDOMAIN, SERVFAIL, TC, Question, Record

if TYPE_CHECKING:
    from .zone import Answer

Transport: TypeAlias = Literal["udp", "tcp"]
Hook: TypeAlias = "Callable[[Exchange], bytes | None]"


@dataclass(frozen=True, slots=True)
class Send:
    """Send a DNS message: as a datagram over UDP, behind its length over TCP (RFC 1035, 4.2.2). Empty: send nothing."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Raw:
    """Send bytes as they are: over TCP without a length, over UDP as a datagram, also an empty one."""

    data: bytes


@dataclass(frozen=True, slots=True)
class SendElsewhere:
    """Send a datagram from another port than the one that was asked. Over TCP the same as `Send`."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Wait:
    """Go on after this many seconds. Other questions are answered meanwhile."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Hold:
    """Go on when the test calls `DNSServer.release()`."""


@dataclass(frozen=True, slots=True)
class Close:
    """Close the TCP connection once all is sent. Over UDP: nothing."""


@dataclass(frozen=True, slots=True)
class Reset:
    """Reset the TCP connection (RST). Over UDP: nothing."""


Action: TypeAlias = Send | Raw | SendElsewhere | Wait | Hold | Close | Reset
Behaviour: TypeAlias = "Callable[[Exchange], Iterable[Action]]"


class Exchange:
    """One question and what may be answered."""

    def __init__(
        self,
        question: Question,
        transport: Transport,
        source: tuple[str, int],
        limit: int,
        build: Callable[[Exchange], Answer],
        negative: Callable[..., Answer],
        hook: Hook | None,
        rng: random.Random,
    ) -> None:
        self.question = question
        self.transport: Transport = transport
        self.source = source
        self.limit = limit  # bytes that the answer may have
        self.rng = rng  # the server's, which `DNSServer(seed=)` makes repeatable
        self._build = build
        self._negative = negative
        self._hook = hook
        self._answer: bytes | None = None
        self._records: Answer | None = None

    @property
    def name(self) -> str:
        """The name asked for, lower case, without the final dot."""
        return self.question.name

    @property
    def qtype(self) -> str:
        return message.type_text(self.question.qtype)

    @property
    def records(self) -> Answer:
        """The honest answer, before it is bytes: `rcode` and the lists `answer`, `authority`, `additional`."""
        if self._records is None:
            self._records = self._build(self)
        return self._records

    @property
    def answer(self) -> bytes:
        """The honest answer's bytes, or what `DNSServer.answer` has put in its place. Made when first used."""
        if self._answer is None:
            hook, self._hook = self._hook, None  # a hook that reads `answer` gets the honest one
            self._answer = self.write(self.records) if hook is None else (hook(self) or b"")
        return self._answer

    def write(self, answer: Answer) -> bytes:
        """An `Answer` as bytes for this question and transport, cut where it does not fit."""
        return self.reply(
            answer.rcode, answer.answer, answer.authority, answer.additional, flags=AA if answer.authoritative else 0
        )

    def reply(
        self,
        rcode: int = NOERROR,
        answer: Sequence[Record] = (),
        authority: Sequence[Record] = (),
        additional: Sequence[Record] = (),
        *,
        flags: int = AA,
        limit: int | None = None,
        edns_options: bytes = b"",
    ) -> bytes:
        """A response to this question made by hand. `flags`: AA 0x400, TC 0x200, RA 0x80; QR and RD are set.

        `edns_options` (RFC 6891, 6.1.2) are sent where the question has EDNS.
        """
        return message.write(
            self.question,
            rcode=rcode,
            answer=answer,
            authority=authority,
            additional=additional,
            flags=flags,
            limit=self.limit if limit is None else limit,
            edns_options=edns_options,
        )

    def negative(self, rcode: int, *, minimum: int | None = None, soa: bool = True) -> bytes:
        """A response without records: with the zone's SOA, or without."""
        return self.write(self._negative(self.question.key, rcode, minimum=minimum)) if soa else self.reply(rcode)


@dataclass(frozen=True, slots=True)
class NamedFault:
    """A fault of the registry. `transport`: the only one it makes sense for. `closes`: the socket it takes away."""

    name: str
    behaviour: Callable[..., Iterable[Action]]
    transport: Transport | None = None
    closes: Transport | None = None


FAULTS: dict[str, NamedFault] = {}


def _fault(name: str, transport: Transport | None = None) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    def register(function: Callable[..., Any]) -> Callable[..., Any]:
        FAULTS[name] = NamedFault(name, function, transport)
        return function

    return register


def find(name: str) -> NamedFault:
    """Raises `ValueError` for an unknown name. Case, `_` and blanks do not matter."""
    try:
        return FAULTS[name.lower().replace("_", "-").replace(" ", "-")]
    except KeyError:
        raise ValueError(f"no fault {name!r}: there are {', '.join(sorted(FAULTS))}") from None


# --- response codes ------------------------------------------------------------------------------------------


def _rcode(name: str, rcode: int) -> None:
    @_fault(name)
    def answer_with(x: Exchange) -> Iterator[Action]:
        yield Send(x.reply(rcode, flags=0))


_rcode("servfail", SERVFAIL)
_rcode("refused", message.REFUSED)
_rcode("notimp", message.NOTIMP)
_rcode("formerr", FORMERR)


@_fault("unsynced")
def _unsynced(x: Exchange) -> Iterator[Action]:
    """CoreDNS before it has heard of the API server: SERVFAIL with the zone's SOA."""
    yield Send(x.negative(SERVFAIL))


@_fault("nxdomain")
def _nxdomain(x: Exchange, soa: bool = True, minimum: int | None = None) -> Iterator[Action]:
    yield Send(x.negative(NXDOMAIN, soa=soa, minimum=minimum))


@_fault("nodata")
def _nodata(x: Exchange, soa: bool = True, minimum: int | None = None) -> Iterator[Action]:
    yield Send(x.negative(NOERROR, soa=soa, minimum=minimum))


@_fault("nxdomain-for-nodata")
def _nxdomain_for_nodata(x: Exchange, soa: bool = True) -> Iterator[Action]:
    """NXDOMAIN for the record types that a name lacks, as Docker and Podman have it. Other answers are honest."""
    lacking = x.records.rcode == NOERROR and not x.records.answer
    yield Send(x.negative(NXDOMAIN, soa=soa) if lacking else x.answer)


@_fault("lame")
def _lame(x: Exchange) -> Iterator[Action]:
    """A referral to the root, neither authoritative nor recursive: the server knows nothing (RFC 2308, 2.2.1)."""
    root = Record(b"\0", message.NS, 3600, message.to_wire("a.root-servers.net"))
    yield Send(x.reply(authority=[root], flags=0))


@_fault("rcode")
def _any_rcode(x: Exchange, code: int, soa: bool = False) -> Iterator[Action]:
    """Any other response code, as a number."""
    yield Send(x.negative(code, soa=soa))


# --- time ------------------------------------------------------------------------------------------


@_fault("timeout")
def _timeout(x: Exchange) -> Iterator[Action]:
    yield from ()


@_fault("slow")
def _slow(x: Exchange, delay: float = 1.0) -> Iterator[Action]:
    data = x.answer
    yield Wait(delay)
    yield Send(data)


@_fault("hold")
def _hold(x: Exchange) -> Iterator[Action]:
    """The answer of this moment, sent when the test calls `release()`."""
    data = x.answer
    yield Hold()
    yield Send(data)


# --- messages ------------------------------------------------------------------------------------------


@_fault("truncate", "udp")
def _truncate(x: Exchange) -> Iterator[Action]:
    yield Send(x.reply(flags=AA | TC))


def _other_id(data: bytes) -> bytes:
    return bytes([data[0] ^ 0x55]) + data[1:] if data else data


@_fault("wrong-id")
def _wrong_id(x: Exchange, then_right: bool = True) -> Iterator[Action]:
    yield Send(_other_id(x.answer))
    if then_right:
        yield Send(x.answer)


@_fault("wrong-question")
def _wrong_question(x: Exchange, then_right: bool = True) -> Iterator[Action]:
    """An answer with records to another question under the right id, as a spoofer or a mixed-up server sends."""
    owner = message.join(b"other", suffix=message.to_wire("example"))
    forged = message.address(owner, 5, b"\x0a\x06\x06\x06")
    question = replace(x.question, owner=owner, qtype=message.A)
    yield Send(message.write(question, answer=[forged]))
    if then_right:
        yield Send(x.answer)


@_fault("wrong-source", "udp")
def _wrong_source(x: Exchange, then_right: bool = True) -> Iterator[Action]:
    yield SendElsewhere(x.answer)
    if then_right:
        yield Send(x.answer)


@_fault("not-a-response")
def _not_a_response(x: Exchange, then_right: bool = True) -> Iterator[Action]:
    """The answer with its QR bit clear: a query, by its header."""
    yield Send(x.answer[:2] + bytes([x.answer[2] & 0x7F]) + x.answer[3:])
    if then_right:
        yield Send(x.answer)


@_fault("duplicate")
def _duplicate(x: Exchange, copies: int = 2) -> Iterator[Action]:
    """The answer several times: datagrams, or messages in one TCP segment."""
    if x.transport == "tcp":
        yield Raw(framed(x.answer) * copies)
        return
    for _ in range(copies):
        yield Send(x.answer)


@_fault("garbage")
def _garbage(x: Exchange) -> Iterator[Action]:
    """The header of a success with one answer, and then nonsense."""
    yield Send(struct.pack("!6H", x.question.id, 0x8400, 1, 1, 0, 0) + b"\xff\xc0" * 20)


@_fault("empty")
def _empty(x: Exchange) -> Iterator[Action]:
    """A datagram of no bytes; over TCP a message of length 0."""
    yield Raw(framed(b"") if x.transport == "tcp" else b"")


@_fault("short")
def _short(x: Exchange, size: int = 20) -> Iterator[Action]:
    """Only the first bytes of the answer."""
    yield Send(x.answer[:size])


@_fault("other-name")
def _other_name(x: Exchange, other: str = "other.example") -> Iterator[Action]:
    """The right question above records of another name, as CoreDNS's `rewrite` without an answer rule sends it."""
    owner, wire = x.question.key, message.to_wire(other)
    answer = [rr._replace(owner=wire) if rr.owner == owner else rr for rr in x.records.answer]
    yield Send(x.write(replace(x.records, answer=answer)))


@_fault("extras")
def _extras(
    x: Exchange, error: int | None = 3, text: str = "stale answer", records: int = 1, rtype: int = 65400
) -> Iterator[Action]:
    """The honest answer with an extended DNS error, and with records of an unknown type in all three sections."""
    honest = x.records
    strange = [Record(x.question.key, rtype, 5, number.to_bytes(2, "big")) for number in range(records)]
    yield Send(
        x.reply(
            honest.rcode,
            [*honest.answer, *strange],
            [*honest.authority, *strange],
            [*honest.additional, *strange],
            flags=AA if honest.authoritative else 0,
            edns_options=b"" if error is None else message.extended_error(error, text),
        )
    )


# --- records that are left out ----------------------------------------------------------------------------------------

Order: TypeAlias = Literal["random", "last", "first"]


def _some(x: Exchange, records: Sequence[Record], keep: int | None, order: Order) -> list[Record]:
    """`keep` of the records (None: all) in the order in which they are to be added; `order` is what is left out."""
    found = list(records)
    if order == "random":
        x.rng.shuffle(found)
    elif order == "first":
        found.reverse()
    elif order != "last":
        raise ValueError(f'order is "random", "last" or "first", not {order!r}')
    return found[:keep]


def _by_target(answer: Sequence[Record], additional: Sequence[Record]) -> list[Record]:
    """Additional records in the order of the SRV records, and a target's own IPv4 first."""
    place = {rr.rdata[6:]: number for number, rr in enumerate(answer) if rr.rtype == message.SRV}
    return sorted(additional, key=lambda rr: (place.get(rr.owner, len(place)), rr.rtype))


@_fault("glue-cut")
def _glue_cut(x: Exchange, keep: int | None = None, order: Order = "random") -> Iterator[Action]:
    """TC because additional records had no room: `keep` of them are there, or as many as fit."""
    honest = x.records
    glue = _some(x, _by_target(honest.answer, honest.additional), keep, order)
    flags = AA | TC if len(glue) < len(honest.additional) else AA
    yield Send(x.reply(honest.rcode, honest.answer, honest.authority, glue, flags=flags))


@_fault("glue-left-out")
def _glue_left_out(
    x: Exchange,
    keep: int | None = None,
    order: Order = "random",
    family: Literal["ipv4", "ipv6"] | None = None,
) -> Iterator[Action]:
    """Additional records left out without TC: `family` is the only one added, `keep` how many; neither: none at all."""
    honest = x.records
    rtype = None if family is None else {"ipv4": message.A, "ipv6": message.AAAA}[family]
    glue = [rr for rr in _by_target(honest.answer, honest.additional) if rtype in (None, rr.rtype)]
    if keep is None and family is None:
        keep = 0
    yield Send(x.write(replace(honest, additional=_some(x, glue, keep, order))))


@_fault("cut")
def _cut(x: Exchange, keep: int | None = None, order: Order = "random", glue: bool = True) -> Iterator[Action]:
    """TC, `keep` records of the answer (or as many as fit) and exactly the additional records that they call for."""
    honest = x.records
    ordered = _some(x, honest.answer, None, order)

    def first(count: int, flags: int) -> bytes:
        answer = ordered[:count]
        targets = {rr.rdata[6:] for rr in answer if rr.rtype == message.SRV}
        additional = [rr for rr in honest.additional if rr.owner in targets] if glue else []
        return x.reply(honest.rcode, answer, honest.authority, additional, flags=flags)

    if keep is None:  # `write` sets TC where not all of them fit
        counts = range(len(ordered) + 1)
        keep = bisect_left(counts, True, key=lambda count: bool(first(count, AA)[2] & TC >> 8)) - 1
    keep = min(keep, len(ordered))
    yield Send(first(keep, AA | TC if keep < len(ordered) else AA))


# --- EDNS: servers and firewalls that do not know it (RFC 6891, 7) ----------------------------------------------------


@_fault("edns-drop")
def _edns_drop(x: Exchange) -> Iterator[Action]:
    if x.question.edns is None:
        yield Send(x.answer)


@_fault("edns-formerr")
def _edns_formerr(x: Exchange) -> Iterator[Action]:
    """FORMERR of a bare header, without the question."""
    if x.question.edns is None:
        yield Send(x.answer)
    else:
        yield Send(struct.pack("!6H", x.question.id, 0x8000 | FORMERR, 0, 0, 0, 0))


@_fault("edns-badvers")
def _edns_badvers(x: Exchange) -> Iterator[Action]:
    yield Send(x.answer if x.question.edns is None else x.reply(message.BADVERS, flags=0))


# --- TCP ------------------------------------------------------------------------------------------


def framed(data: bytes) -> bytes:
    return struct.pack("!H", len(data)) + data


@_fault("tcp-reset", "tcp")
def _tcp_reset(x: Exchange) -> Iterator[Action]:
    yield Reset()


@_fault("tcp-close", "tcp")
def _tcp_close(x: Exchange) -> Iterator[Action]:
    """Closed without an answer, as an idle connection that the server gave up in the same moment."""
    yield Close()


@_fault("tcp-close-after", "tcp")
def _tcp_close_after(x: Exchange) -> Iterator[Action]:
    yield Send(x.answer)
    yield Close()


@_fault("tcp-stall", "tcp")
def _tcp_stall(x: Exchange) -> Iterator[Action]:
    """Accepted and never answered."""
    yield from ()


@_fault("tcp-cut", "tcp")
def _tcp_cut(x: Exchange, reset: bool = True) -> Iterator[Action]:
    """Half of the answer, then the connection is reset (or closed)."""
    data = framed(x.answer)
    yield Raw(data[: len(data) // 2])
    yield Wait(0.01)  # some systems throw away what was not read before a reset
    yield Reset() if reset else Close()


@_fault("tcp-dribble", "tcp")
def _tcp_dribble(x: Exchange, chunk: int = 1, delay: float = 0.001) -> Iterator[Action]:
    data = framed(x.answer)
    for start in range(0, len(data), chunk):
        yield Raw(data[start : start + chunk])
        yield Wait(delay)


@_fault("tcp-length", "tcp")
def _tcp_length(x: Exchange, off_by: int = 10) -> Iterator[Action]:
    """A length that is not the message's."""
    yield Raw(struct.pack("!H", max(0, len(x.answer) + off_by) & 0xFFFF) + x.answer)


def _no_socket(x: Exchange) -> Iterator[Action]:
    yield from ()


FAULTS["tcp-refused"] = NamedFault("tcp-refused", _no_socket, "tcp", closes="tcp")
FAULTS["unreachable"] = NamedFault("unreachable", _no_socket, "udp", closes="udp")
