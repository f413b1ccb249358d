"""Which questions are asked to judge one target, sans-IO: every server, every name, with and without EDNS, by TCP."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ...message import AAAA, SRV, A, Message, WireError
from ...resolvconf import ResolvConf
from ...servers import TCP_CONNECT, TCP_EXCHANGE, Exchange
from ...settings import Settings
from ...steps import ExchangeFailed, Steps, Task
from ...target import Question, Server
from ...wire import Query
from ..output import plural
from .evidence import Asked

WAIT = 2.0  # seconds for UDP: twice what the library waits at first, so that late is told from lost
TRIES = 2  # of a question over UDP before a server counts as silent: packets get lost
REPEATS = 8  # of one question to one server: samples differ, and replicas behind one address
LIMIT = 20.0  # seconds, for everything together


class Way(NamedTuple):
    """How a server can be talked to."""

    tcp: bool
    edns: bool


NO_EDNS = ("FORMERR", "BADVERS")  # RFC 6891, 7: ask again without

UDP, PLAIN, TCP = Way(False, True), Way(False, False), Way(True, True)


@dataclass(slots=True)
class Heard:
    """What came of the interview; the fields are those of `Evidence`."""

    candidates: tuple[str, ...]
    name: str
    found: bool
    main: int
    answering: tuple[Server, ...]
    stray: str
    asked: list[Asked] = field(default_factory=list)
    repeats: list[Asked] = field(default_factory=list)


class Interview(Steps[Exchange, Message, Heard]):
    """`told` hears in words what is done next. `rng` draws ids and has to be the operating system's in real use."""

    def __init__(
        self,
        question: Question,
        conf: ResolvConf,
        settings: Settings,
        rng: random.Random,
        told: Callable[[str], None] = lambda doing: None,
    ) -> None:
        super().__init__()
        self._question = question
        self._conf = conf
        self._settings = settings
        self._rng = rng
        self._told = told
        self._asked: list[Asked] = []
        self._ways: dict[Server, Way] = {}

    def start(self, now: float) -> list[Exchange]:
        self._deadline = now + LIMIT
        return self.begin(self._main(), now)

    def _main(self) -> Task[Heard]:
        question = self._question
        names = [question.name] if question.absolute else self._conf.candidates(question.name)
        self._told(f"asking {plural(len(self._conf.servers), 'DNS server')}")
        yield [self._hello(server, self._under(names[0])) for server in self._conf.servers]
        self._told(f"asking for {plural(len(names), 'name')}")
        types = self._types()
        yield [
            self._ask(server, name, rdtype, way)
            for server, way in self._ways.items()
            for candidate in names
            for name, rdtype in types(candidate)
        ]
        name, found = self._hit(names)
        main = self._main_type(name)
        heard = Heard(tuple(names), name, found, main, tuple(self._ways), self._stray(name))
        self._told("asking by UDP, by TCP, without EDNS")
        first = next(iter(self._ways), None)
        more: list[Task[Any]] = []
        for server in self._ways:
            more += [self._ask(server, self._under(name), main, way) for way in self._ways_to_try()]
            more.append(self._ask(server, heard.stray, A, self._ways_to_try()[0]))
        if first is not None:
            more.append(self._repeat(first, self._under(name), main, heard.repeats))
            more += [self._ask(first, *other, self._ways[first]) for other in self._elsewhere(name, found)]
        yield more
        heard.asked = self._asked
        return heard

    # What to ask for.

    def _under(self, name: str) -> str:
        return f"{self._question.prefix}.{name}" if self._question.prefix else name

    def _types(self) -> Callable[[str], Iterable[tuple[str, int]]]:
        own = [SRV] if self._question.prefix.startswith("_") else [A, AAAA] if self._question.prefix else []

        def types(name: str) -> Iterable[tuple[str, int]]:
            return [*((self._under(name), rdtype) for rdtype in own), *((name, rdtype) for rdtype in (A, AAAA, SRV))]

        return types

    def _main_type(self, name: str) -> int:
        """The record type that speaks for the service: SRV where it was asked for, else the family that is there."""
        ipv4, ipv6 = self._has(self._under(name), A), self._has(self._under(name), AAAA)
        wanted = self._question.records
        if wanted == "srv" or (wanted == "auto" and (self._has(self._under(name), SRV) or not (ipv4 or ipv6))):
            return SRV
        return AAAA if self._settings.family == "ipv6" or (ipv6 and not ipv4) else A

    def _has(self, name: str, rdtype: int) -> bool:
        return any(asked.values for asked in self._asked if (asked.name, asked.rdtype) == (name, rdtype))

    def _hit(self, names: list[str]) -> tuple[str, bool]:
        """The first name with records; or, where none has, the one that looks like a service of Kubernetes."""
        for name in names:
            if any(asked.values for asked in self._asked if asked.name in (name, self._under(name))):
                return name, True
        likely = (name for name in (self._question.name, *names) if name.split(".")[2:3] == ["svc"])
        return next((name for name in likely if name in names), names[0]), False

    def _stray(self, name: str) -> str:
        parent = name.partition(".")[2]
        label = f"doctor-{self._rng.getrandbits(40):010x}"
        return f"{label}.{parent}" if parent and len(label) + 1 + len(parent) <= 253 else label

    def _elsewhere(self, name: str, found: bool) -> list[tuple[str, int]]:
        """Where nobody was found: how much of the name exists, and whether the port has another protocol."""
        questions = []
        if self._question.prefix.startswith("_") and not self._has(self._under(name), SRV):
            port, _, protocol = self._question.prefix.partition(".")
            others = [f"_{other}" for other in ("tcp", "udp", "sctp") if f"_{other}" != protocol]
            questions += [(f"{port}.{other}.{name}", SRV) for other in others]
        if not found:
            labels = name.split(".")
            questions += [(".".join(labels[start:]), A) for start in range(1, len(labels) - 1)]
        return [question for question in questions if len(question[0]) <= 253]

    # How to ask.

    def _ways_to_try(self) -> list[Way]:
        return {"auto": [UDP, PLAIN, TCP], "always": [TCP], "never": [UDP, PLAIN]}[self._settings.tcp]

    def _hello(self, server: Server, name: str) -> Task[None]:
        """Finds a way to talk to the server; one that says nothing to anything is asked nothing more."""
        ways = self._ways_to_try()
        rdtype = SRV if self._question.records != "addresses" else A
        replies = yield [self._ask(server, name, rdtype, way) for way in ways]
        # Kept in the order of resolv.conf, whoever answers first.
        working = [way for way, asked in zip(ways, replies, strict=True) if _works(asked)]
        anything = [way for way, asked in zip(ways, replies, strict=True) if asked.message is not None]
        if working or anything:
            self._ways[server] = (working or anything)[0]
            self._ways = {known: self._ways[known] for known in self._conf.servers if known in self._ways}

    def _repeat(self, server: Server, name: str, rdtype: int, repeats: list[Asked]) -> Task[None]:
        way = self._ways[server]
        for _ in range(REPEATS):
            repeats.append((yield from self._ask(server, name, rdtype, way, tries=1)))
            if sum(asked.timed_out for asked in repeats) > 1:
                return

    def _ask(self, server: Server, name: str, rdtype: int, way: Way, *, tries: int = TRIES) -> Task[Asked]:
        asked = yield from self._ask_once(server, name, rdtype, way)
        if asked.timed_out and not way.tcp and tries > 1:
            asked = yield from self._ask(server, name, rdtype, way, tries=tries - 1)
        elif asked.rcode in NO_EDNS and way == TCP:  # as the library does; by UDP, both ways are asked anyway
            asked = yield from self._ask_once(server, name, rdtype, Way(True, False))
        return asked

    def _ask_once(self, server: Server, name: str, rdtype: int, way: Way) -> Task[Asked]:
        began = self.now

        def asked(message: Message | None = None, problem: str = "", timed_out: bool = False) -> Asked:
            result = Asked(name, rdtype, server, *way, self.now - began, message, problem, timed_out)
            self._asked.append(result)
            return result

        if began >= self._deadline:
            return asked(problem=f"was not asked: the {LIMIT:g} s for all questions are over")
        try:
            query = Query(name, rdtype, self._rng.getrandbits(16), edns=way.edns)
        except WireError as error:
            return asked(problem=str(error))
        deadline = min(began + (TCP_EXCHANGE if way.tcp else WAIT), self._deadline)
        try:
            message = yield Exchange(server, way.tcp, query, deadline, min(began + TCP_CONNECT, deadline))
        except ExchangeFailed as failure:
            return asked(problem=str(failure), timed_out=failure.timed_out)
        return asked(message)


def _works(asked: Asked) -> bool:
    """The server understands the question, whatever it says of the name: FORMERR and the like ask for another way."""
    return asked.message is not None and asked.rcode not in (*NO_EDNS, "NOTIMP")
