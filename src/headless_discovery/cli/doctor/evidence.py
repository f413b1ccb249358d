"""What was asked and what came back: the material that checks judge. Nothing here asks anybody."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from ...answer import Answer
from ...errors import LookupFailed
from ...message import CNAME, NXDOMAIN, RCODE_NAMES, SRV, TYPE_NAMES, Message, RRset, Srv
from ...model import Peer, PeerSet, address_text
from ...resolvconf import ResolvConf
from ...servers import MAX_CNAMES, check
from ...settings import Settings
from ...steps import ExchangeFailed
from ...target import Question, Server
from ..output import plural

SHOWN = 4  # records that a line of evidence spells out


@dataclass(frozen=True)
class Asked:
    """One question to one server, and what came of it. `message` is None where nothing came, and `problem` says why."""

    name: str
    rdtype: int
    server: Server
    tcp: bool
    edns: bool
    seconds: float
    message: Message | None = None
    problem: str = ""
    timed_out: bool = False

    @cached_property
    def trouble(self) -> str:
        """Why this says nothing about the name: nothing came, a failure, a lame server. Empty for a real answer."""
        if self.message is None:
            return self.problem
        try:
            check(self.message)
        except ExchangeFailed as failure:
            return str(failure)
        return ""

    @cached_property
    def rrset(self) -> RRset | None:
        """The records asked for, at the end of the CNAME chain; their TTL is the lowest of the chain."""
        if self.message is None or self.trouble:
            return None
        name, ttl, answer = self.name, float("inf"), self.message.answer
        for _ in range(MAX_CNAMES + 1):
            if (found := answer.get((name, self.rdtype))) is not None:
                return RRset(int(min(ttl, found.ttl)), found.values)
            if (link := answer.get((name, CNAME))) is None:
                return None
            name, ttl = str(link.values[0]), min(ttl, link.ttl)
        return None

    @property
    def values(self) -> list[Any]:
        return [] if self.rrset is None else self.rrset.values

    @property
    def srv(self) -> list[Srv]:
        return [record for record in self.values if isinstance(record, Srv) and record.target]

    @property
    def has_all_glue(self) -> bool:
        """The addresses of all SRV targets came along."""
        return self.message is not None and all(record.target in self.message.glue for record in self.srv)

    def members(self, *, glue: bool) -> frozenset[Any]:
        """Who is named: of SRV records target and port, not the weight; with `glue` the targets' addresses, too."""
        if self.rdtype != SRV or self.message is None:
            return frozenset(self.values)
        found = self.message.glue if glue else {}
        return frozenset((record.target, record.port, frozenset(found.get(record.target, ()))) for record in self.srv)

    @property
    def addresses(self) -> list[bytes]:
        """Those asked for; those of SRV targets, as far as they came along."""
        if self.rdtype != SRV or self.message is None:
            return [value for value in self.values if isinstance(value, bytes)]
        glue = self.message.glue
        return [packed for target in {record.target for record in self.srv} for packed in glue.get(target, ())]

    @property
    def truncated(self) -> bool:
        return self.message is not None and self.message.truncated

    @property
    def negative(self) -> bool:
        """NXDOMAIN or NODATA (RFC 2308): an answer, and nobody there."""
        return self.message is not None and not self.trouble and not self.message.answer and not self.truncated

    @property
    def nxdomain(self) -> bool:
        return self.negative and self.message is not None and self.message.rcode == NXDOMAIN

    @property
    def nodata(self) -> bool:
        return self.negative and not self.nxdomain

    @property
    def rcode(self) -> str | None:
        return None if self.message is None else RCODE_NAMES.get(self.message.rcode, f"rcode {self.message.rcode}")

    @property
    def outcome(self) -> str:
        """In words: `3 records, TTL 5 s: ...`, `NXDOMAIN, SOA 30 s`, `timed out (UDP)`."""
        if self.trouble:
            soa = ", with the SOA of the zone" if self.message is not None and self.message.soa is not None else ""
            return self.trouble + soa
        message = self.message
        assert message is not None
        cut = ", cut off (TC)" if message.truncated else ""
        if self.rrset is not None:
            count = len(self.values)
            shown = ", ".join(map(_shown, sorted(self.values)[:SHOWN])) + (", ..." if count > SHOWN else "")
            return f"{plural(count, 'record')}, TTL {self.rrset.ttl} s{cut}: {shown}"
        if message.answer:
            return "a CNAME that leads elsewhere"
        if message.truncated:
            return "nothing but the sign that it is cut off (TC)"
        soa = "no SOA" if message.soa is None else f"may be kept for {min(message.soa)} s (SOA)"
        return f"{'NXDOMAIN' if self.nxdomain else 'NODATA'}, {soa}"

    @property
    def type_name(self) -> str:
        return TYPE_NAMES[self.rdtype]

    @property
    def transport(self) -> str:
        return "TCP" if self.tcp else "UDP" if self.edns else "UDP without EDNS"

    def __str__(self) -> str:
        return f"{self.name} {self.type_name}, {self.server} by {self.transport}: {self.outcome}"

    def json(self) -> dict[str, Any]:
        return {
            "text": str(self),
            "name": self.name,
            "type": self.type_name,
            "server": str(self.server),
            "transport": "tcp" if self.tcp else "udp",
            "edns": self.edns,
            "seconds": round(self.seconds, 6),
            "rcode": self.rcode,
            "records": len(self.values),
            "ttl": None if self.rrset is None else self.rrset.ttl,
            "truncated": self.truncated,
            "problem": self.trouble or None,
        }


def _shown(value: Any) -> str:
    if isinstance(value, Srv):
        return f"{value.target or '.'}:{value.port}"
    return address_text(value) if isinstance(value, bytes) else str(value)


@dataclass(frozen=True, slots=True)
class Looked:
    """What the library itself makes of the target, and how many queries that took: the first time, and once it knows.

    `peers` is empty where `outcome` is a failure. `again` is None if there was no second lookup.
    """

    outcome: Answer | LookupFailed
    queries: int
    again: int | None = None
    peers: PeerSet = field(default_factory=PeerSet)


@dataclass(frozen=True, slots=True)
class Connection:
    """An attempt to connect to a peer by TCP. `problem` is empty where it accepted."""

    peer: Peer
    seconds: float
    problem: str = ""

    def __str__(self) -> str:
        return f"{self.peer}: {self.problem or 'accepts connections'}"

    def json(self) -> dict[str, Any]:
        return {"text": str(self), "peer": self.peer.netloc, "seconds": round(self.seconds, 6), "problem": self.problem}


@dataclass(frozen=True)
class Evidence:
    """All that was gathered about one question.

    `candidates`: the names that the search list makes of it. `name`: the one that exists, else the likeliest; `found`
    tells which. `main`: the record type that speaks for the service. `answering`: the servers that say anything at
    all. `asked`: every question, in order; `repeats`: the same one to one server, again and again. `stray`: a name
    beside `name` that nobody can have made. `own`: the addresses of this host. `excluded`: peers that are left out, as
    they are this host. `connections`: None if none was tried.
    """

    question: Question
    settings: Settings
    conf: ResolvConf
    candidates: tuple[str, ...]
    name: str
    found: bool
    main: int
    answering: tuple[Server, ...]
    asked: tuple[Asked, ...]
    repeats: tuple[Asked, ...]
    stray: str
    looked: Looked
    own: frozenset[str] = frozenset()
    excluded: tuple[Peer, ...] = ()
    connections: tuple[Connection, ...] | None = None

    @property
    def qname(self) -> str:
        return self.under(self.name)

    def under(self, name: str) -> str:
        """What is asked for where `name` is the service."""
        return f"{self.question.prefix}.{name}" if self.question.prefix else name

    @property
    def port_name(self) -> str | None:
        """The first label of an SRV name without its underscore: `http` of `_http._tcp`."""
        return self.question.prefix.partition(".")[0][1:] if self.question.prefix.startswith("_") else None

    @property
    def tcp_port(self) -> bool:
        """False for an SRV name of another protocol, such as `_dns._udp`."""
        return self.port_name is None or self.question.prefix.endswith("._tcp")

    @property
    def port_known(self) -> bool:
        """False where the ports are those of the bare name's SRV records, which do not tell the protocol."""
        return self.question.port is not None or self.port_name is not None

    def about(
        self,
        name: str,
        rdtype: int | None = None,
        *,
        server: Server | None = None,
        tcp: bool | None = None,
        edns: bool | None = None,
    ) -> Iterator[Asked]:
        for asked in self.asked:
            if (
                asked.name == name
                and rdtype in (None, asked.rdtype)
                and server in (None, asked.server)
                and tcp in (None, asked.tcp)
                and edns in (None, asked.edns)
            ):
                yield asked

    def positive(self, name: str, rdtype: int | None = None) -> Asked | None:
        """An answer that has records: the whole one before one that is cut, else the plainest."""
        return min((asked for asked in self.about(name, rdtype) if asked.values), key=_plainest, default=None)

    def negative(self, name: str, rdtype: int | None = None) -> Asked | None:
        return min((asked for asked in self.about(name, rdtype) if asked.negative), key=_plainest, default=None)

    @property
    def srv(self) -> list[Srv]:
        """All ports of all pods, as the bare name has them."""
        asked = self.positive(self.name, SRV)
        return asked.srv if asked else []


def members(answers: Sequence[Asked]) -> list[frozenset[Any]]:
    """Who is named by each, to be compared: glue is optional, so addresses count where all answers have all of it."""
    glue = all(asked.has_all_glue for asked in answers)
    return [asked.members(glue=glue) for asked in answers]


def _plainest(asked: Asked) -> tuple[bool, bool, bool]:
    return asked.truncated, asked.tcp, not asked.edns
