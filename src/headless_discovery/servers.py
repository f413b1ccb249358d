"""Whom to ask for one name and type, how often and over what, and whose word counts (sans-IO, see steps.py)."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from .answer import Members, Rdtype
from .errors import LookupFailed
from .message import (
    AAAA,
    BADVERS,
    CNAME,
    FORMERR,
    NOERROR,
    NXDOMAIN,
    RCODE_NAMES,
    REFUSED,
    SRV,
    TYPE_NAMES,
    A,
    Message,
    Srv,
    WireError,
)
from .resolvconf import ResolvConf
from .settings import Settings
from .steps import ExchangeFailed, Steps, Task
from .target import Server
from .wire import Query

ATTEMPTS = (1.0, 2.0)  # seconds of waiting for UDP, the first and the second time a server is asked
TCP_CONNECT, TCP_EXCHANGE = 1.0, 3.0
TCP_MEMORY, TCP_WORTH = 300.0, 1000  # straight to TCP for 5 min, while its answers have at least 1000 bytes
RETRY_FIRST = 30.0
MAX_CNAMES = 8
NO_SOA_TTL = 5.0


@dataclass(slots=True, eq=False)
class Exchange:
    """One question to one server, until `deadline`. `read` tells its answer from other bytes."""

    server: Server
    tcp: bool
    query: Query
    deadline: float
    connect_deadline: float

    def read(self, data: bytes) -> Message | None:
        """The answer, or None for somebody else's bytes. Raises `WireError`."""
        return self.query.read(data)


class Refused(LookupFailed):
    """Every server that was asked said REFUSED: it does not serve this name, which says nothing of other names."""


class Services:
    """What the SRV records of the last answer came to, so that the same answer need not be understood again. Nothing
    is missing in it, and no two targets have an address in common.
    """

    __slots__ = ("_confirming", "_known", "_size", "absent", "addresses", "members", "records", "server")

    def __init__(self, server: Server, records: Sequence[Srv], members: Members, size: int | None) -> None:
        self.server = server
        self.records = records
        self.members = members
        self.addresses: frozenset[bytes] = frozenset()
        self.absent: frozenset[Rdtype] = frozenset()  # families that a target under the service's own name lacks
        self._size = size  # octets, where one family alone is of interest
        self._known: dict[str, list[bytes]] | None = None  # as message.glue has them
        self._confirming: dict[str, list[bytes]] | None = None  # glue that shows all of it

    @classmethod
    def unambiguous(
        cls, server: Server, records: Sequence[Srv], members: Members, base: str, size: int | None
    ) -> Services | None:
        services = cls(server, records, members, size)
        found = {key[0]: detail.addresses for key, detail in members.items() if detail and isinstance(key, tuple)}
        addresses = [address for known in found.values() for family in known for address in family or ()]
        services.addresses = frozenset(addresses)
        lacking = [known for target, known in found.items() if () in known and target.endswith(f".{base}")]
        services.absent = frozenset(r for r in (A, AAAA) if any(k.get(r) == () for k in lacking))
        return services if len(services.addresses) == len(addresses) else None

    def unconfirmed(self, records: Sequence[Srv], message: Message) -> list[bytes] | None:
        """The addresses that an answer does not show, where all that it shows is the same; None if something differs.

        The records, and those of one target, may be in any order.
        """
        if records != self.records and set(records) != set(self.records):
            return None
        glue, truncated = message.glue, message.truncated
        if glue == self._confirming:  # mostly; and this is one step for the interpreter
            return []
        if self._known is None:
            self._known = {
                key[0]: list(d.addresses.all) for key, d in self.members.items() if d and isinstance(key, tuple)
            }
        lacking: list[bytes] = []
        for target, known in self._known.items():
            shown = glue.get(target)
            if shown is None:
                lacking += known
            elif shown != known:
                if self._size is not None:
                    shown = [address for address in shown if len(address) == self._size]
                rest = set(known).difference(shown)
                if len(known) - len(rest) != len(set(shown)):
                    return None  # an address that is new
                sizes = {len(address) for address in shown}
                if not truncated and any(len(address) in sizes for address in rest):
                    return None  # a whole RRset that lacks one
                lacking += rest
        if not lacking:
            self._confirming = glue
        return lacking


@dataclass(slots=True)
class Memory:
    """What lookups of one question learn for the next: of servers and names. Most is forgotten when resolv.conf
    changes; `positive` is not, because new servers have to answer positively before they are believed.
    """

    conf: ResolvConf | None = None
    name: str | None = None  # the candidate of the search list that hit
    earlier_at: float = 0.0  # when the candidates before it are asked again
    next_types_at: float = 0.0  # when NXDOMAIN does not keep the next record types from being asked for
    positive: Server | None = None  # gave the last positive answer
    good: Server | None = None  # answered last
    retry_first_at: float = 0.0
    tcp_until: dict[tuple[str, Rdtype], float] = field(default_factory=dict)
    no_edns: set[Server] = field(default_factory=set)
    # Of the last answer, and who gave it; all of them are usable.
    addresses: dict[Rdtype, tuple[Server, Members]] = field(default_factory=dict)
    services: Services | None = None

    def use(self, conf: ResolvConf) -> None:
        if conf is not self.conf and conf != self.conf:
            if self.conf is not None:
                self.name = self.good = None
                self.earlier_at = 0.0
                self.no_edns.clear()
                self.tcp_until.clear()
            self.conf = conf


@dataclass(slots=True)
class Reply:
    """A server's word on one name and type; `values` is empty for NXDOMAIN and NODATA."""

    server: Server
    tcp: bool
    message: Message
    values: Sequence[Any]
    ttl: float

    @property
    def nxdomain(self) -> bool:
        return self.message.rcode == NXDOMAIN


class Servers:
    """The servers of one lookup. `steps` tells the time, `deadline` when it is over."""

    def __init__(
        self,
        conf: ResolvConf,
        settings: Settings,
        memory: Memory,
        rng: random.Random,
        steps: Steps[Exchange, Message, Any],
        deadline: float,
    ) -> None:
        self.warning: str | None = None
        self._tcp_problem: str | None = None  # why the last truncated answer was not got whole
        self._conf = conf
        self._settings = settings
        self._memory = memory
        self._rng = rng
        self._steps = steps
        self._deadline = deadline

    def _servers(self) -> list[Server]:
        """The configured order, but the one that answered last first; the configured first again every 30 s."""
        memory = self._memory
        servers = list(self._conf.servers)
        if memory.good in servers and memory.good != servers[0]:
            if self._steps.now >= memory.retry_first_at:
                memory.retry_first_at = self._steps.now + RETRY_FIRST
            else:
                servers.remove(memory.good)
                servers.insert(0, memory.good)
        return servers

    def ask(self, name: str, rdtype: Rdtype) -> Task[Reply]:
        """All servers once, those that were silent once more. Raises `LookupFailed` that tells what each one did.

        NXDOMAIN and NODATA count from the server that gave the last positive answer, and before there was one from the
        first in the configuration; or from every server. A fallback server alone knows nothing of the cluster.
        """
        if not self._conf.servers:
            raise LookupFailed(f"{name} {TYPE_NAMES[rdtype]}: there is no DNS server to ask")
        silent = self._servers()
        problems: dict[Server, str] = {}
        negatives: list[Reply] = []
        refused: set[Server] = set()
        trusted = self._memory.positive or self._conf.servers[0]
        for attempt, wait in enumerate(ATTEMPTS):
            for server in list(silent):
                try:
                    reply = yield from self._attempt(server, name, rdtype, wait, attempt)
                except ExchangeFailed as failure:
                    if failure.asked or server not in problems:  # what went wrong says more than that time is over
                        problems[server] = str(failure)
                    if not failure.timed_out:
                        silent.remove(server)
                    if failure.rcode == REFUSED:
                        refused.add(server)
                    continue
                silent.remove(server)
                problems.pop(server, None)
                if reply.values:
                    self._answered(server)
                    return reply
                negatives.append(reply)
                if server == trusted or len(negatives) == len(self._conf.servers):
                    self._answered(server)
                    return reply
        said = "; ".join(f"{server} {problem}" for server, problem in problems.items())
        if negatives:
            told = ", ".join(f"{reply.server} says there are none" for reply in negatives)
            raise LookupFailed(
                f"{name} {TYPE_NAMES[rdtype]}: {told}, but {said} (that there are none counts from {trusted}, or from "
                "all servers)"
            )
        failed = Refused if refused.issuperset(self._conf.servers) else LookupFailed
        raise failed(f"{name} {TYPE_NAMES[rdtype]}: {said}")

    def _answered(self, server: Server) -> None:
        memory = self._memory
        if server != self._conf.servers[0] and memory.good != server:
            memory.retry_first_at = self._steps.now + RETRY_FIRST
        memory.good = server

    def _attempt(self, server: Server, name: str, rdtype: Rdtype, wait: float, attempt: int) -> Task[Reply]:
        """One server, by UDP and TCP as needed, along the CNAME chain (RFC 1034, 3.6.2)."""
        hops, ttl = 0, float("inf")
        while True:
            asked = name
            tcp, message = yield from self._message(server, name, rdtype, wait, attempt)
            check(message)
            while (name, rdtype) not in message.answer and (name, CNAME) in message.answer:
                link = message.answer[name, CNAME]
                ttl = min(ttl, link.ttl)
                name = str(link.values[0])
                hops += 1
                if hops > MAX_CNAMES:
                    raise ExchangeFailed(f"has a CNAME chain longer than {MAX_CNAMES}, or a loop")
            found = message.answer.get((name, rdtype))
            if message.rcode == NXDOMAIN:
                if found is not None:
                    raise ExchangeFailed("says NXDOMAIN beside an answer")
            elif found is not None:
                if len(found.values) > self._settings.max_peers:
                    raise LookupFailed(
                        f"{name} {TYPE_NAMES[rdtype]}: {len(found.values)} records are more than max_peers="
                        f"{self._settings.max_peers}; the set stays as it is"
                    )
                return Reply(server, tcp, message, found.values, min(ttl, found.ttl))
            elif name != asked and (message.truncated or message.soa is None):
                continue  # the chain leads out of what this server put into the message
            elif message.truncated:
                why = f", and {self._tcp_problem}" if self._tcp_problem else ""
                raise ExchangeFailed(f"cut its answer down to nothing (TC){why}")
            elif foreign := [owner for owner, kind in message.answer if kind in (A, AAAA, SRV) and owner != name]:
                raise ExchangeFailed(f"answers for another name ({foreign[0]})")
            if message.soa is None:
                return Reply(server, tcp, message, (), NO_SOA_TTL)
            return Reply(server, tcp, message, (), float(max(1, min(*message.soa, 10))))

    def _message(
        self, server: Server, name: str, rdtype: Rdtype, wait: float, attempt: int
    ) -> Task[tuple[bool, Message]]:
        """UDP, then TCP when truncated; straight to TCP where that was so before. True with a message from TCP."""
        settings, memory = self._settings, self._memory
        key = (name, rdtype)
        edns = server not in memory.no_edns
        tcp_failure: ExchangeFailed | None = None
        always = settings.tcp == "always" or (settings.tcp == "auto" and self._conf.use_vc)
        if always or (settings.tcp == "auto" and memory.tcp_until.get(key, 0.0) > self._steps.now):
            try:
                return True, (yield from self._over_tcp(server, name, rdtype, edns))
            except ExchangeFailed as failure:
                memory.tcp_until.pop(key, None)
                if always:
                    raise
                tcp_failure = failure
        # Some middleboxes drop what has EDNS without a word, so the second attempt goes without it.
        message = yield from self._exchange(server, name, rdtype, wait, tcp=False, edns=edns and attempt == 0)
        if edns and attempt == 0 and message.rcode in (FORMERR, BADVERS):  # RFC 6891, 7
            memory.no_edns.add(server)
            edns = False
            message = yield from self._exchange(server, name, rdtype, wait, tcp=False, edns=False)
        if message.truncated and settings.tcp == "auto" and tcp_failure is None:
            memory.tcp_until[key] = self._steps.now + TCP_MEMORY
            try:
                return True, (yield from self._over_tcp(server, name, rdtype, edns))
            except ExchangeFailed as failure:
                memory.tcp_until.pop(key, None)
                tcp_failure = failure
        self._tcp_problem = str(tcp_failure) if message.truncated and tcp_failure is not None else None
        if self._tcp_problem is not None:  # what UDP brought is an incomplete answer
            self.warning = f"{name} {TYPE_NAMES[rdtype]}: cut off over UDP, and {server} {self._tcp_problem}"
        return False, message

    def _over_tcp(self, server: Server, name: str, rdtype: Rdtype, edns: bool) -> Task[Message]:
        message = yield from self._exchange(server, name, rdtype, TCP_EXCHANGE, tcp=True, edns=edns)
        if edns and message.rcode in (FORMERR, BADVERS):
            self._memory.no_edns.add(server)
            message = yield from self._exchange(server, name, rdtype, TCP_EXCHANGE, tcp=True, edns=False)
        check(message)
        if message.truncated and not message.answer:
            raise ExchangeFailed("cut its answer down to nothing (TC) over TCP, too")
        if message.size < TCP_WORTH:
            self._memory.tcp_until.pop((name, rdtype), None)
        return message

    def _exchange(
        self, server: Server, name: str, rdtype: Rdtype, wait: float, *, tcp: bool, edns: bool
    ) -> Task[Message]:
        if self._steps.now >= self._deadline:
            raise ExchangeFailed(self._too_late(), timed_out=True, asked=False)
        try:
            query = Query(name, rdtype, self._rng.getrandbits(16), edns=edns)
        except WireError as error:
            raise LookupFailed(str(error)) from None
        deadline = min(self._steps.now + wait, self._deadline)
        message: Message = yield Exchange(server, tcp, query, deadline, min(self._steps.now + TCP_CONNECT, deadline))
        return message

    def _too_late(self) -> str:
        return f"was not asked: the timeout of {self._settings.timeout:g} s is over"


def check(message: Message) -> None:
    """Raises `ExchangeFailed` for rcodes that say nothing about the name, and for lame servers."""
    if message.rcode not in (NOERROR, NXDOMAIN):
        said = RCODE_NAMES.get(message.rcode, f"rcode {message.rcode}")
        raise ExchangeFailed(f"said {said}", rcode=message.rcode)
    if message.rcode == NOERROR and not message.answer and message.soa is None and not message.truncated:
        if message.has_ns:
            raise ExchangeFailed("only referred to other servers (lame)")
        if not message.authoritative and not message.recursion_available:
            raise ExchangeFailed("neither has the zone nor asks others (lame)")
