"""Drives the sans-IO core in virtual time: scripted servers answer a `Lookup`; answers are made for a `Membership`."""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import count

from headless_discovery.answer import Addresses, Answer, Detail, Held, Key, Part
from headless_discovery.errors import LookupFailed
from headless_discovery.lookup import Lookup
from headless_discovery.membership import Membership
from headless_discovery.message import CNAME, NXDOMAIN, SRV, A, Message, RRset, Srv
from headless_discovery.model import PeerSet, packed_address
from headless_discovery.resolvconf import ResolvConf
from headless_discovery.servers import Exchange, Memory
from headless_discovery.settings import Settings
from headless_discovery.target import Server, parse

NS1, NS2, NS3 = Server("10.96.0.10"), Server("10.96.0.11"), Server("10.96.0.12")
FIRST = Held()
SVC = "headless-svc.moon.svc.cluster.local"


def message(rcode: int = 0, *, soa: tuple[int, int] | None = None, tc: bool = False, **fields: object) -> Message:
    return Message(rcode, True, tc, True, int(fields.pop("size", 200)), soa=soa, **fields)  # type: ignore[arg-type, call-overload]


def found(name: str, rdtype: int, *values: str | Srv, ttl: int = 5, tc: bool = False, size: int = 200) -> Message:
    packed = [v if rdtype in (SRV, CNAME) else packed_address(str(v)) for v in values]
    return message(tc=tc, size=size, answer={(name, rdtype): RRset(ttl, packed)})


def srv_found(name: str, records: Iterable[Srv], glue: Mapping[str, Iterable[str]] = {}, **options: object) -> Message:
    reply = found(name, SRV, *records, **options)  # type: ignore[arg-type]
    reply.glue = {target: [packed_address(a) for a in addresses] for target, addresses in glue.items()}
    return reply


def nodata(ttl: int = 5, minimum: int = 5) -> Message:
    return message(soa=(ttl, minimum))


def nxdomain(ttl: int = 5, minimum: int = 5) -> Message:
    return message(NXDOMAIN, soa=(ttl, minimum))


# What a server does with a question: a message, None for silence, or a str for a failure of the transport.
Behaviour = Callable[[str, int, bool, bool], "Message | str | None"]


@dataclass
class Asked:
    time: float
    server: Server
    name: str
    rdtype: int
    tcp: bool
    edns: bool


@dataclass
class Net:
    """A network of scripted servers. `asked` is what reached them, in order."""

    servers: dict[Server, Behaviour]
    latency: float = 0.01
    now: float = 1000.0
    asked: list[Asked] = field(default_factory=list)

    def run(self, lookup: Lookup) -> Answer | LookupFailed:
        events: list[tuple[float, int, Exchange, Message | str | None]] = []
        order = count()

        def send(exchanges: list[Exchange]) -> None:
            for exchange in exchanges:
                name, rdtype, edns = question_of(exchange)
                self.asked.append(Asked(self.now, exchange.server, name, rdtype, exchange.tcp, edns))
                reply = self.servers[exchange.server](name, rdtype, exchange.tcp, edns)
                when = exchange.deadline if reply is None else self.now + self.latency
                heapq.heappush(events, (when, next(order), exchange, reply))

        send(lookup.start(self.now))
        while events:
            when, _, exchange, reply = heapq.heappop(events)
            self.now = max(self.now, when)
            if isinstance(reply, Message):
                send(lookup.replied(exchange, reply, self.now))
            else:
                send(lookup.failed(exchange, reply or "timed out", self.now, timed_out=reply is None))
        assert lookup.result is not None
        assert lookup.queries <= len(self.asked)
        return lookup.result


def question_of(exchange: Exchange) -> tuple[str, int, bool]:
    import dns.message

    query = dns.message.from_wire(exchange.query.wire)
    question = query.question[0]
    return question.name.to_text(omit_final_dot=True), int(question.rdtype), query.edns >= 0


class Client:
    """One question asked again and again, as a service would, against a `Net`."""

    def __init__(
        self,
        net: Net,
        target: str = SVC,
        port: int | str | None = 8080,
        *,
        search: tuple[str, ...] = (),
        ndots: int = 1,
        **options: object,
    ) -> None:
        self.net = net
        self.settings = Settings(**options)  # type: ignore[arg-type]
        (self.question,) = parse(target, port).questions
        self.conf = ResolvConf(tuple(net.servers), search, ndots)
        self.memory = Memory()
        self.rng = random.Random(7)

    def ask(self, held: Held = FIRST) -> Answer:
        result = self.outcome(held)
        if isinstance(result, LookupFailed):
            raise result
        return result

    def outcome(self, held: Held = FIRST) -> Answer | LookupFailed:
        lookup = Lookup(self.question, self.conf, self.settings, self.memory, self.rng, held)
        return self.net.run(lookup)


def addresses(part: Part) -> set[str]:
    from headless_discovery.model import address_text

    return {address_text(key) for key in part.members if isinstance(key, bytes)}


# For Membership.


def a_part(*hosts: str | int, ttl: float = 5, complete: bool = True, rdtype: int = A) -> Part:
    """An A part; a number n is 10.0.0.0 + n."""
    keys = (packed_address(h) if isinstance(h, str) else (0x0A000000 + h).to_bytes(4, "big") for h in hosts)
    return Part(rdtype, ttl, dict.fromkeys(keys), complete)


def known(hosts: Iterable[str] | None) -> Addresses:
    """None: nothing is known."""
    if hosts is None:
        return Addresses()
    packed = list(map(packed_address, hosts))
    return Addresses(tuple(a for a in packed if len(a) == 4), tuple(a for a in packed if len(a) == 16))


def srv_part(
    targets: Mapping[str, Iterable[str] | None], *, port: int = 8080, ttl: float = 5, complete: bool = True
) -> Part:
    members: dict[Key, Detail | None] = {
        (target, port): Detail(0, 1, known(hosts)) for target, hosts in targets.items()
    }
    return Part(SRV, ttl, members, complete)


def negative(*, ttl: float = 5, nxdomain: bool = True, has_soa: bool = True, rdtype: int = A) -> Part:
    return Part(rdtype, ttl, nxdomain=nxdomain, has_soa=has_soa)


def answer(*parts: Part, **options: object) -> Answer:
    return Answer(SVC, parts, NS1, False, 200, **options)  # type: ignore[arg-type]


class Watch:
    """A membership with a clock of its own."""

    def __init__(self, port: int | None = 8080, *, now: float = 0.0, **options: object) -> None:
        self.now = now
        self.settings = Settings(**options)  # type: ignore[arg-type]
        self.membership = Membership(self.settings, port, random.Random(3), lambda n, error: 0.25 * 2**n, now)

    def hear(self, *parts: Part, after: float = 0.0, **options: object) -> PeerSet:
        self.now += after
        before = self.peers()
        changed = self.membership.answered(answer(*parts, **options), self.now)
        assert changed or self.peers() == before, "a change that is not reported"
        return self.peers()

    def fail(self, why: str = "timed out", *, after: float = 0.0) -> PeerSet:
        self.now += after
        before = self.peers()
        self.membership.failed(LookupFailed(why), self.now)
        assert self.peers() == before, "a failure changed the set"
        return self.peers()

    def peers(self) -> PeerSet:
        return PeerSet(self.membership.peers())

    @property
    def addresses(self) -> tuple[str, ...]:
        return self.peers().addresses
