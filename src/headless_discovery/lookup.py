"""One lookup, sans-IO: search list, servers, retries, UDP then TCP, missing glue; the outcome is an `Answer`.

The rules are written as generators that yield the `Exchange` they wait for, so that they read top to bottom.
`Lookup` steps them: whoever moves the bytes calls `start`, then `replied` or `failed` for each exchange, and opens
the exchanges that these calls return, until `result` is there.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Collection, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeAlias, TypeVar

from .errors import LookupFailed
from .message import (
    AAAA,
    BADVERS,
    CNAME,
    FORMERR,
    NOERROR,
    NXDOMAIN,
    RCODE_NAMES,
    SRV,
    TYPE_NAMES,
    A,
    Message,
    Srv,
    WireError,
)
from .model import address_in_label, address_text, packed_address
from .resolvconf import ResolvConf
from .settings import Settings
from .target import Question, Server
from .wire import Query

ATTEMPTS = (1.0, 2.0)  # seconds of waiting for UDP, the first and the second time a server is asked
TCP_CONNECT, TCP_EXCHANGE = 1.0, 3.0
TCP_MEMORY, TCP_WORTH = 300.0, 1000  # straight to TCP for 5 min, while its answers have at least 1000 bytes
RETRY_FIRST = 30.0
MAX_CNAMES = 8
GLUE_BUDGET, GLUE_IN_FLIGHT = 50, 10
NO_SOA_TTL = 5.0

T = TypeVar("T")
Key: TypeAlias = bytes | tuple[str, int]  # packed address (A, AAAA), or (target, port) (SRV)
Rdtype: TypeAlias = int


class Detail(NamedTuple):
    """What an SRV answer says of a target and port. `addresses`: None if not known yet, () if it has none."""

    priority: int
    weight: int
    addresses: tuple[bytes, ...] | None


Members: TypeAlias = Mapping[Key, Detail | None]


@dataclass(frozen=True, slots=True)
class Part:
    """What was said about one record type. Without `members` it is negative: NXDOMAIN, or NODATA (RFC 2308).

    `has_soa`: a negative answer carried the zone's SOA, as RFC 2308 wants. `complete`: nothing was cut off.
    """

    rdtype: Rdtype
    ttl: float
    members: Members = field(default_factory=dict)
    complete: bool = True
    nxdomain: bool = False
    has_soa: bool = False

    @property
    def negative(self) -> bool:
        return not self.members


@dataclass(frozen=True, slots=True)
class Answer:
    """What a lookup found. `parts` has one part per record type that speaks for the service (two for family "any").

    `instead`: the part that would replace a negative one, once the emptiness is believed. `verified`: SRV targets
    asked for by name, and the addresses they have, if any. `warning`: what is odd, in words.
    """

    name: str
    parts: tuple[Part, ...]
    server: Server
    tcp: bool
    size: int
    instead: Part | None = None
    whole: bool = True
    verified: Mapping[str, tuple[bytes, ...]] = field(default_factory=dict)
    warning: str | None = None

    @property
    def ttl(self) -> float:
        return min(part.ttl for part in self.parts)


@dataclass(slots=True, eq=False)
class Exchange:
    """One question to one server on a new socket, until `deadline`. `read` tells its answer from other bytes."""

    server: Server
    tcp: bool
    query: Query
    deadline: float
    connect_deadline: float

    def read(self, data: bytes) -> Message | None:
        """The answer, or None for somebody else's bytes. Raises `WireError`."""
        return self.query.read(data)


@dataclass(slots=True)
class Memory:
    """What one service's lookups learn for the next: forgotten when resolv.conf changes."""

    conf: ResolvConf | None = None
    name: str | None = None  # the candidate of the search list that hit
    positive: Server | None = None  # gave the last positive answer
    good: Server | None = None  # answered last
    retry_first_at: float = 0.0
    tcp_until: dict[tuple[str, Rdtype], float] = field(default_factory=dict)
    no_edns: set[Server] = field(default_factory=set)
    addresses: dict[Rdtype, Members] = field(default_factory=dict)  # of the last answer, all of them usable

    def use(self, conf: ResolvConf) -> None:
        if conf != self.conf:
            if self.conf is not None:
                self.name = self.positive = self.good = None
                self.no_edns.clear()
                self.tcp_until.clear()
            self.conf = conf


@dataclass(frozen=True, slots=True)
class Held:
    """What membership holds when it asks: the record type its members came by, their ports, names to verify.

    `members`: what is known of their addresses. Askers that differ in nothing else share a lookup.
    """

    rdtype: Rdtype | None = None
    ports: frozenset[int] = frozenset()
    verify: tuple[str, ...] = ()
    members: Members = field(default_factory=dict, compare=False)


class _AttemptFailed(Exception):
    def __init__(self, problem: str, *, timed_out: bool = False, asked: bool = True) -> None:
        super().__init__(problem)
        self.timed_out = timed_out
        self.asked = asked


@dataclass(slots=True)
class _Reply:
    """A server's word on one name and type; `values` is empty for NXDOMAIN and NODATA."""

    server: Server
    tcp: bool
    message: Message
    values: Sequence[Any]
    ttl: float

    @property
    def nxdomain(self) -> bool:
        return self.message.rcode == NXDOMAIN


Task: TypeAlias = Generator[Any, Any, T]


@dataclass(slots=True)
class _Group:
    owner: _Run
    waiting: Iterator[tuple[int, Task[Any]]]
    results: list[Any]
    open: int


@dataclass(slots=True)
class _Run:
    task: Task[Any]
    group: _Group | None = None
    index: int = 0


class Lookup:
    """One lookup of `question`. `rng` draws message ids and has to be the operating system's in real use.

    `result` is None until the lookup ends with an `Answer` or a `LookupFailed`; `queries` counts what was sent.
    """

    def __init__(
        self,
        question: Question,
        conf: ResolvConf,
        settings: Settings,
        memory: Memory,
        rng: random.Random,
        held: Held = Held(),
    ) -> None:
        self.question = question
        self.result: Answer | LookupFailed | None = None
        self.queries = 0
        self._conf = conf
        self._settings = settings
        self._memory = memory
        self._rng = rng
        self._held = held
        self._first = held.rdtype is None
        self._now = 0.0
        self._deadline = 0.0
        self._refused: dict[str, str] = {}
        self._warning: str | None = None
        self._waiting: dict[Exchange, _Run] = {}
        self._opened: list[Exchange] = []
        self._ready: deque[tuple[_Run, Any]] = deque()

    # Stepping: no rule of DNS below, only who waits for what.

    def start(self, now: float) -> list[Exchange]:
        self._deadline = now + self._settings.timeout
        self._memory.use(self._conf)
        return self._step(now, _Run(self._main()), None)

    def replied(self, exchange: Exchange, message: Message, now: float) -> list[Exchange]:
        return self._step(now, self._waiting.pop(exchange), message)

    def failed(self, exchange: Exchange, problem: str, now: float, *, timed_out: bool = False) -> list[Exchange]:
        return self._step(now, self._waiting.pop(exchange), _AttemptFailed(problem, timed_out=timed_out))

    def _step(self, now: float, run: _Run, value: Any) -> list[Exchange]:
        self._now = now
        self._ready.append((run, value))
        while self._ready:
            run, value = self._ready.popleft()
            try:
                effect = run.task.throw(value) if isinstance(value, Exception) else run.task.send(value)
            except StopIteration as stop:
                self._ended(run, stop.value)
            except LookupFailed as error:
                self._ended(run, error)
            else:
                if isinstance(effect, Exchange):
                    self.queries += 1
                    self._waiting[effect] = run
                    self._opened.append(effect)
                else:
                    self._fork(run, effect)
        opened, self._opened = self._opened, []
        return opened

    def _fork(self, owner: _Run, tasks: list[Task[Any]]) -> None:
        group = _Group(owner, iter(enumerate(tasks)), [None] * len(tasks), 0)
        for _ in range(GLUE_IN_FLIGHT):
            self._spawn(group)
        if not group.open:
            self._ready.append((owner, group.results))

    def _spawn(self, group: _Group) -> None:
        for index, task in group.waiting:
            group.open += 1
            self._ready.append((_Run(task, group, index), None))
            return

    def _ended(self, run: _Run, outcome: Any) -> None:
        if run.group is None:
            self.result = outcome
            return
        group = run.group
        group.results[run.index] = outcome
        group.open -= 1
        self._spawn(group)
        if not group.open:
            self._ready.append((group.owner, group.results))

    # Names: the search walk.

    def _main(self) -> Task[Answer]:
        memory = self._memory
        if memory.name is not None:
            names = [memory.name]
        elif self.question.absolute:
            names = [self.question.name]
        else:
            names = self._conf.candidates(self.question.name)
        negatives: list[tuple[Part, _Reply]] = []
        for name in names:
            parts, instead, reply, whole = yield from self._candidate(name)
            if instead is not None or not all(part.negative for part in parts):
                memory.name = name
                verified = yield from self._verify(parts)
                return Answer(
                    name,
                    parts,
                    reply.server,
                    reply.tcp,
                    reply.message.size,
                    instead,
                    whole,
                    verified,
                    self._warning_text(),
                )
            negatives.append((parts[0], reply))
        # Nobody there, under any name. A name that exists without such records (NODATA) says more than NXDOMAIN.
        part, reply = min(negatives, key=lambda negative: negative[0].nxdomain)
        ttl = min(part.ttl for part, _ in negatives)
        has_soa = all(part.has_soa for part, _ in negatives)
        part = Part(part.rdtype, ttl, nxdomain=part.nxdomain, has_soa=has_soa)
        return Answer(names[0], (part,), reply.server, reply.tcp, reply.message.size)

    def _warning_text(self) -> str | None:
        if self._refused:
            shown = ", ".join(f"{address} ({why})" for address, why in list(self._refused.items())[:3])
            return f"{self.question}: {len(self._refused)} addresses refused: {shown}; see allow_networks="
        return self._warning

    def _candidate(self, name: str) -> Task[tuple[tuple[Part, ...], Part | None, _Reply, bool]]:
        """All that one candidate name says: parts, what could replace an empty one, a reply, nothing failed."""
        if self.question.records == "addresses" and self._settings.family == "any":
            return (yield from self._both_families(name))
        ladder = self._ladder()
        first: tuple[Part, _Reply] | None = None
        for rdtype in ladder:
            reply = yield from self._ask(self._qname(name), rdtype)
            part = yield from self._part(name, rdtype, reply)
            if not part.negative:
                if first is None or self._held.rdtype is None:
                    return (part,), None, reply, True
                return (first[0],), part, reply, True
            if first is None:
                first = part, reply
            if reply.nxdomain:
                break
        assert first is not None
        return (first[0],), None, first[1], True

    def _ladder(self) -> list[Rdtype]:
        """Record types to ask for, the next one after a successful NODATA only; what is held comes first."""
        addresses = {"auto": [A, AAAA], "any": [A, AAAA], "ipv4": [A], "ipv6": [AAAA]}[self._settings.family]
        ladder = {"addresses": addresses, "srv": [SRV], "auto": [SRV, *addresses]}[self.question.records]
        held = self._held.rdtype
        return [held, *(rdtype for rdtype in ladder if rdtype != held)] if held in ladder else ladder

    def _both_families(self, name: str) -> Task[tuple[tuple[Part, ...], Part | None, _Reply, bool]]:
        replies = yield [self._ask(self._qname(name), rdtype) for rdtype in (A, AAAA)]
        parts = []
        errors: list[LookupFailed] = []
        for rdtype, reply in zip((A, AAAA), replies, strict=True):
            if isinstance(reply, LookupFailed):
                errors.append(reply)
                continue
            parts.append((yield from self._part(name, rdtype, reply)))
        if errors and all(part.negative for part in parts):
            raise errors[0]
        if errors:
            self._warning = str(errors[0])
        good = next(reply for reply in replies if not isinstance(reply, LookupFailed))
        return tuple(parts), None, good, not errors

    def _qname(self, name: str) -> str:
        return f"{self.question.prefix}.{name}" if self.question.prefix else name

    # Servers: whom to ask, how often, and whose word counts.

    def _servers(self) -> list[Server]:
        """The configured order, but the one that answered last first; the configured first again every 30 s."""
        memory = self._memory
        servers = list(self._conf.servers)
        if memory.good in servers and memory.good != servers[0]:
            if self._now >= memory.retry_first_at:
                memory.retry_first_at = self._now + RETRY_FIRST
            else:
                servers.remove(memory.good)
                servers.insert(0, memory.good)
        return servers

    def _ask(self, name: str, rdtype: Rdtype) -> Task[_Reply]:
        """All servers once, those that were silent once more. Raises `LookupFailed` that tells what each one did.

        NXDOMAIN and NODATA count from the server that gave the last positive answer, or from every server.
        """
        silent = self._servers()
        problems: dict[Server, str] = {}
        negatives: list[_Reply] = []
        trusted = self._memory.positive
        for attempt, wait in enumerate(ATTEMPTS):
            for server in list(silent):
                if self._now >= self._deadline:
                    problems.setdefault(server, self._too_late())
                    continue
                try:
                    reply = yield from self._attempt(server, name, rdtype, wait, attempt)
                except _AttemptFailed as failure:
                    if failure.asked or server not in problems:  # what went wrong says more than that time is over
                        problems[server] = str(failure)
                    if not failure.timed_out:
                        silent.remove(server)
                    continue
                silent.remove(server)
                problems.pop(server, None)
                if reply.values:
                    self._answered(server)
                    return reply
                negatives.append(reply)
                if trusted in (None, server) or len(negatives) == len(self._conf.servers):
                    self._answered(server)
                    return negatives[0]
        said = "; ".join(f"{server} {problem}" for server, problem in problems.items())
        if negatives:
            told = ", ".join(f"{reply.server} says there are none" for reply in negatives)
            raise LookupFailed(f"{name} {TYPE_NAMES[rdtype]}: {told}, but {said}")
        raise LookupFailed(f"{name} {TYPE_NAMES[rdtype]}: {said}")

    def _answered(self, server: Server) -> None:
        memory = self._memory
        if server != self._conf.servers[0] and memory.good != server:
            memory.retry_first_at = self._now + RETRY_FIRST
        memory.good = server

    def _attempt(self, server: Server, name: str, rdtype: Rdtype, wait: float, attempt: int) -> Task[_Reply]:
        """One server, by UDP and TCP as needed, along the CNAME chain (RFC 1034, 3.6.2)."""
        hops, ttl = 0, float("inf")
        while True:
            asked = name
            tcp, message = yield from self._message(server, name, rdtype, wait, attempt)
            _check(message)
            while (name, rdtype) not in message.answer and (name, CNAME) in message.answer:
                link = message.answer[name, CNAME]
                ttl = min(ttl, link.ttl)
                name = str(link.values[0])
                hops += 1
                if hops > MAX_CNAMES:
                    raise _AttemptFailed(f"has a CNAME chain longer than {MAX_CNAMES}, or a loop")
            found = message.answer.get((name, rdtype))
            if message.rcode == NXDOMAIN:
                if found is not None:
                    raise _AttemptFailed("says NXDOMAIN beside an answer")
            elif found is not None:
                if len(found.values) > self._settings.max_peers:
                    raise LookupFailed(
                        f"{name} {TYPE_NAMES[rdtype]}: {len(found.values)} records are more than max_peers="
                        f"{self._settings.max_peers}; the set stays as it is"
                    )
                return _Reply(server, tcp, message, found.values, min(ttl, found.ttl))
            elif message.truncated:
                raise _AttemptFailed("cut its answer down to nothing (TC)")
            elif message.soa is None and name != asked:
                continue  # the chain leads out of what this server put into the message
            if message.soa is None:
                return _Reply(server, tcp, message, (), NO_SOA_TTL)
            return _Reply(server, tcp, message, (), float(max(1, min(*message.soa, 10))))

    def _message(
        self, server: Server, name: str, rdtype: Rdtype, wait: float, attempt: int
    ) -> Task[tuple[bool, Message]]:
        """UDP, then TCP when truncated; straight to TCP where that was so before. True with a message from TCP."""
        settings, memory = self._settings, self._memory
        key = (name, rdtype)
        edns = server not in memory.no_edns
        tcp_failure: _AttemptFailed | None = None
        if settings.tcp == "always" or (settings.tcp == "auto" and memory.tcp_until.get(key, 0.0) > self._now):
            try:
                return True, (yield from self._over_tcp(server, name, rdtype, edns))
            except _AttemptFailed as failure:
                memory.tcp_until.pop(key, None)
                if settings.tcp == "always":
                    raise
                tcp_failure = failure
        # Some middleboxes drop what has EDNS without a word, so the second attempt goes without it.
        message = yield from self._exchange(server, name, rdtype, wait, tcp=False, edns=edns and attempt == 0)
        if edns and attempt == 0 and message.rcode in (FORMERR, BADVERS):  # RFC 6891, 7
            memory.no_edns.add(server)
            edns = False
            message = yield from self._exchange(server, name, rdtype, wait, tcp=False, edns=False)
        if message.truncated and settings.tcp == "auto" and tcp_failure is None:
            memory.tcp_until[key] = self._now + TCP_MEMORY
            try:
                return True, (yield from self._over_tcp(server, name, rdtype, edns))
            except _AttemptFailed as failure:
                memory.tcp_until.pop(key, None)
                tcp_failure = failure
        if message.truncated and tcp_failure is not None:  # what UDP brought is an incomplete answer
            self._warning = f"{name} {TYPE_NAMES[rdtype]}: cut off over UDP, and {server} {tcp_failure}"
        return False, message

    def _over_tcp(self, server: Server, name: str, rdtype: Rdtype, edns: bool) -> Task[Message]:
        message = yield from self._exchange(server, name, rdtype, TCP_EXCHANGE, tcp=True, edns=edns)
        if edns and message.rcode in (FORMERR, BADVERS):
            self._memory.no_edns.add(server)
            message = yield from self._exchange(server, name, rdtype, TCP_EXCHANGE, tcp=True, edns=False)
        _check(message)
        if message.truncated and not message.answer:
            raise _AttemptFailed("cut its answer down to nothing (TC) over TCP, too")
        if message.size < TCP_WORTH:
            self._memory.tcp_until.pop((name, rdtype), None)
        return message

    def _exchange(
        self, server: Server, name: str, rdtype: Rdtype, wait: float, *, tcp: bool, edns: bool
    ) -> Task[Message]:
        if self._now >= self._deadline:
            raise _AttemptFailed(
                f"was not asked: the timeout of {self._settings.timeout:g} s is over", timed_out=True, asked=False
            )
        try:
            query = Query(name, rdtype, self._rng.getrandbits(16), edns=edns)
        except WireError as error:
            raise LookupFailed(str(error)) from None
        deadline = min(self._now + wait, self._deadline)
        message: Message = yield Exchange(server, tcp, query, deadline, min(self._now + TCP_CONNECT, deadline))
        return message

    def _too_late(self) -> str:
        return f"was not asked: the timeout of {self._settings.timeout:g} s is over"

    # Records: what the values mean.

    def _part(self, name: str, rdtype: Rdtype, reply: _Reply) -> Task[Part]:
        message = reply.message
        if not reply.values:
            return Part(rdtype, reply.ttl, nxdomain=reply.nxdomain, has_soa=message.soa is not None)
        self._memory.positive = reply.server  # from now on: its word counts for the targets, too
        if rdtype == SRV:
            return (yield from self._srv_part(name, reply))
        # Mostly nothing changed; then the very mapping of the last answer says so to whoever compares.
        members = self._memory.addresses.pop(rdtype, None)
        if members is None or members.keys() != set(reply.values):
            usable = self._usable(reply.values, reply.server)
            if not usable:
                raise self._all_refused(name)
            members = dict.fromkeys(usable)
        if not self._refused:
            self._memory.addresses[rdtype] = members
        return Part(rdtype, reply.ttl, members, complete=not message.truncated)

    def _usable(self, addresses: Iterable[bytes], server: Server) -> list[bytes]:
        """v4-mapped addresses unwrapped, then without those that no peer may have."""
        from_loopback = packed_address(server.address)[0] == 127 or server.address == "::1"
        usable = []
        for packed in addresses:
            if len(packed) == 16 and packed[:12] == b"\0\0\0\0\0\0\0\0\0\0\xff\xff":
                packed = packed[12:]
            if (why := self._settings.refusal(packed, from_loopback)) is None:
                usable.append(packed)
            else:
                self._refused[address_text(packed)] = why
        return usable

    def _all_refused(self, name: str) -> LookupFailed:
        return LookupFailed(f"{name}: no usable address. {self._warning_text()}")

    def _srv_part(self, base: str, reply: _Reply) -> Task[Part]:
        message = reply.message
        # TC over TCP with address records behind it: the answer section is whole, only glue is missing.
        complete = not message.truncated or (reply.tcp and bool(message.glue))
        records = self._one_port_a_target([record for record in reply.values if record.target])
        if not records:  # RFC 2782: the target "." says that the service is decidedly not available
            return Part(SRV, NO_SOA_TTL)
        targets = dict.fromkeys(record.target for record in records)
        if base in targets and base.split(".")[2:3] == ["svc"]:  # a headless one has its pods there
            self._warning = f"{base} is not headless: DNS gives its cluster IP, not its pods"
        glue = {
            t: tuple(self._wanted(self._usable(message.glue[t], reply.server))) for t in targets if t in message.glue
        }
        found: dict[str, tuple[bytes, ...] | None] = {t: glue.get(t) or None for t in targets}
        missing = [t for t, addresses in found.items() if addresses is None and t not in glue]
        if missing:
            found.update((yield from self._missing_glue(base, missing, self._held_addresses(records))))
        known = {t: addresses for t, addresses in found.items() if addresses}
        if not known and self._refused:
            raise self._all_refused(base)
        dropped = self._second_family(known)
        weights = _weights(records)
        members: dict[Key, Detail | None] = {
            (r.target, r.port): Detail(r.priority, weights[r], found[r.target])
            for r in records
            if r.target not in dropped
        }
        return Part(SRV, reply.ttl, members, complete=complete)

    def _one_port_a_target(self, records: list[Srv]) -> list[Srv]:
        """`port="auto"` needs one port a target; which one of several is meant, only the user knows."""
        if self.question.records != "auto":
            return records
        ports: dict[str, set[int]] = {}
        for record in records:
            ports.setdefault(record.target, set()).add(record.port)
        several = {port for found in ports.values() if len(found) > 1 for port in found}
        if not several:
            return records
        listed = ", ".join(map(str, sorted(several)))
        if not self._held.ports:
            raise LookupFailed(
                f'{self.question} has several ports a peer ({listed}): port="auto" cannot choose; '
                f"give one of them as port=, or the port's name"
            )
        self._warning = f'{self.question} now has several ports a peer ({listed}): port="auto" keeps the known ones'
        return [r for r in records if len(ports[r.target]) == 1 or r.port in self._held.ports]

    def _wanted(self, addresses: Iterable[bytes]) -> list[bytes]:
        size = {"ipv4": 4, "ipv6": 16}.get(self._settings.family)
        return [packed for packed in dict.fromkeys(addresses) if size in (None, len(packed))]

    def _second_family(self, known: Mapping[str, tuple[bytes, ...]]) -> set[str]:
        """Dual stack without hostnames has a dashed target per family: where there is IPv4, the others go."""
        if self._settings.family != "auto" or not any(len(a) == 4 for found in known.values() for a in found):
            return set()
        return {
            target
            for target, found in known.items()
            if all(len(a) == 16 and address_text(a) == address_in_label(target) for a in found)
        }

    # Missing glue.

    def _held_addresses(self, records: Iterable[Srv]) -> dict[str, tuple[bytes, ...]]:
        """The addresses of targets that are members. Those that left may be back elsewhere, so theirs are forgotten."""
        details = ((record.target, self._held.members.get((record.target, record.port))) for record in records)
        return {target: detail.addresses for target, detail in details if detail is not None and detail.addresses}

    def _missing_glue(
        self, base: str, missing: list[str], known: Mapping[str, tuple[bytes, ...]]
    ) -> Task[dict[str, tuple[bytes, ...] | None]]:
        """One address query of the bare service name may serve many targets; then single queries, within budget."""
        found: dict[str, tuple[bytes, ...] | None] = {}
        dashed = {t: _decoded(t, base) for t in missing}
        to_ask, doubtful = missing, list[str]()
        if any(t in known or dashed[t] for t in missing):
            try:
                contained, complete = yield from self._bare_addresses(base)
            except LookupFailed:
                contained, complete = frozenset[bytes](), False
            to_ask = []
            for target in missing:
                old, spelled = known.get(target), dashed[target]
                if spelled is not None and spelled in contained:
                    found[target] = (spelled,)
                elif old and contained.issuperset(old):
                    found[target] = old
                elif old and not complete:
                    found[target] = old  # not in a part of the answer: no evidence, but a reason to ask
                    if contained:
                        doubtful.append(target)
                else:
                    to_ask.append(target)
        asked = to_ask if self._first else self._within_budget(to_ask, doubtful)
        results = yield [self._addresses_of(target) for target in asked]
        for target, result in zip(asked, results, strict=True):
            found[target] = known.get(target) if isinstance(result, LookupFailed) else result
        return found

    def _bare_addresses(self, base: str) -> Task[tuple[frozenset[bytes], bool]]:
        for rdtype in self._families():
            reply = yield from self._ask(base, rdtype)
            if reply.values:
                return frozenset(self._usable(reply.values, reply.server)), not reply.message.truncated
        return frozenset(), True

    def _within_budget(self, targets: list[str], less_urgent: Sequence[str] = ()) -> list[str]:
        """Drawn anew each time, so that names which always fail do not keep the others from being asked."""
        drawn = self._rng.sample(targets, min(len(targets), GLUE_BUDGET))
        return drawn + self._rng.sample(less_urgent, min(len(less_urgent), GLUE_BUDGET - len(drawn)))

    def _addresses_of(self, target: str) -> Task[tuple[bytes, ...]]:
        """A target's addresses; () if it has none. Raises `LookupFailed`."""
        found: list[bytes] = []
        for rdtype in self._families():
            reply = yield from self._ask(target, rdtype)
            usable = self._usable(reply.values, reply.server)
            if reply.values and not usable:
                raise self._all_refused(target)
            found += usable
            if reply.nxdomain or (found and self._settings.family != "any"):
                break
        return tuple(dict.fromkeys(found))

    def _families(self) -> Sequence[Rdtype]:
        return {"ipv4": (A,), "ipv6": (AAAA,)}.get(self._settings.family, (A, AAAA))

    def _verify(self, parts: Iterable[Part]) -> Task[dict[str, tuple[bytes, ...]]]:
        """Suspects are asked for by their own name. What fails decides nothing and is left out."""
        shown = {key[0] for part in parts for key in part.members} if self._held.verify else set()
        suspects = self._within_budget([target for target in self._held.verify if target not in shown])
        results = yield [self._addresses_of(target) for target in suspects]
        pairs = zip(suspects, results, strict=True)
        return {target: result for target, result in pairs if not isinstance(result, LookupFailed)}


def _check(message: Message) -> None:
    """Raises `_AttemptFailed` for rcodes that say nothing about the name, and for lame servers."""
    if message.rcode not in (NOERROR, NXDOMAIN):
        raise _AttemptFailed(f"said {RCODE_NAMES.get(message.rcode, f'rcode {message.rcode}')}")
    if message.rcode == NOERROR and not message.answer and message.soa is None and not message.truncated:
        if message.has_ns:
            raise _AttemptFailed("only referred to other servers (lame)")
        if not message.authoritative and not message.recursion_available:
            raise _AttemptFailed("neither has the zone nor asks others (lame)")


def _decoded(target: str, base: str) -> bytes | None:
    """The address that a dashed target under the service's own name spells."""
    if not target.endswith("." + base) or target.count(".") != base.count(".") + 1:
        return None
    address = address_in_label(target)
    return None if address is None else packed_address(address)


def _weights(records: Collection[Srv]) -> dict[Srv, int]:
    """Equal weights within a priority say nothing and are reported as 1: CoreDNS sends 100/n, which changes for
    everybody when one peer joins.
    """
    by_priority: dict[int, set[int]] = {}
    for record in records:
        by_priority.setdefault(record.priority, set()).add(record.weight)
    return {r: 1 if len(by_priority[r.priority]) == 1 else r.weight for r in records}
