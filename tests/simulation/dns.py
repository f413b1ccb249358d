"""Model DNS servers: CoreDNS replicas behind one address, each with a view and a cache of its own, and strangers.

The numbers are those measured on a real control plane: TTLs count down in the cache, A answers are shuffled at each
reply and cut uniformly, SRV answers keep their order and are cut by block, the same while the cache entry lives.
`Habits` turns a server into another one: Consul, Docker, a resolver that adds little glue.

Each reply carries a `Note` with what the server knew when it made it.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Literal

from .cluster import NOBODY, PORT, HeadlessSvc, Snapshot
from .words import (
    AA,
    BADVERS,
    FORMERR,
    NXDOMAIN,
    RA,
    REFUSED,
    SERVFAIL,
    SRV,
    TC,
    A,
    Note,
    Reply,
    address_record,
    cname_record,
    extended_error,
    ns_record,
    soa_record,
    srv_record,
)

NEGATIVE_TTL = 5
ZONE = "cluster.local"
PREFIX = "_http._tcp."
ALIAS = "alias-"
GATEWAY = bytes((198, 51, 100, 7))  # where the wildcard leads
UNNAMED = bytes((203, 0, 113, 66))  # the address of a name that nobody asked for
_POINTER = b"\xc0\x0c"  # to the question's name (RFC 1035, 4.1.4)


@dataclass
class Habits:
    """How the servers of the cluster answer when nothing is wrong.

    `udp`, `tcp`: how many records of the answer section fit. `glue_udp`, `glue_tcp`: how many address records fit
    behind a whole SRV section; TC tells that there were more. `minimal`: how often one RRset is left out of the
    additional section, of which nothing in the message tells.
    """

    udp: int = 73
    tcp: int = 10_000
    glue_udp: int = 10_000
    glue_tcp: int = 10_000
    glue_cut: Literal["random", "in order"] = "random"
    srv_cut: Literal["block", "in step"] = "block"  # in step: with the glue of the records that are left (Consul)
    same_cuts: bool = False  # A and AAAA are cut by block, too
    minimal: float = 0.0
    no_srv: bool = False
    no_edns: bool = False
    no_tcp: bool = False
    chain_alone: bool = False  # a CNAME without what it leads to: the asker has to ask for that
    nxdomain_for_types: bool = False  # NXDOMAIN where the name exists with records of another type (Docker)
    extended: float = 0.0  # how often an extended error is added
    unnamed_glue: float = 0.0  # how often there is an additional record of a name that no SRV record has
    wildcard: str = ""  # a suffix under which every name exists, with one address
    refused: str = ""  # a suffix that a policy forbids to ask for


@dataclass
class Faults:
    """Probabilities, drawn anew for each query. A server may be in trouble by one of them alone."""

    silence: float = 0.0
    servfail: float = 0.0
    refused: float = 0.0
    lame: float = 0.0
    nxdomain: float = 0.0  # a blip: this server's word, so it may count
    foreign: float = 0.0  # the answer is about another name (CoreDNS: rewrite without an answer rule)
    no_soa: float = 0.0
    no_glue: float = 0.0  # per RRset: what a resolver's cache has lost
    formerr: float = 0.0  # for what has EDNS
    garbage: float = 0.0
    tcp_refused: float = 0.0


FINE = Faults()


@dataclass(slots=True)
class _Entry:
    born: float
    ttl: int
    view: Snapshot
    exists: bool
    values: tuple[object, ...] = ()  # addresses, or targets
    cut: tuple[object, ...] | None = None  # SRV: what fits, the same while the entry lives
    replies: dict[tuple[int, bool], Reply] = field(default_factory=dict)


class Replica:
    """One CoreDNS pod: it sees the API `lag` seconds late and answers from its cache while that lasts."""

    def __init__(self, services: dict[str, HeadlessSvc], rng: random.Random, lag: float) -> None:
        self.lag = lag
        self.same_cut = 0.7  # how often an SRV answer is cut as the one before it
        self._services = services
        self._rng = rng
        self._cache: dict[tuple[str, int], _Entry] = {}
        self.last_cut: dict[str, tuple[object, ...]] = {}

    def forget(self) -> None:
        """It restarts."""
        self._cache.clear()

    def answer(self, name: str, rdtype: int, tcp: bool, now: float, habits: Habits, faults: Faults) -> Reply:
        entry = self._cache.get((name, rdtype))
        if entry is None or now - entry.born >= entry.ttl:
            if len(self._cache) > 4096:
                self._cache.clear()
            entry = self._cache[name, rdtype] = self._look(name, rdtype, now, habits)
        left = max(1, entry.ttl - int(now - entry.born)) if entry.ttl else 0
        if not entry.values:
            return self._nobody(name, rdtype, entry, left, faults)
        if rdtype == SRV:
            return self._srv(name, entry, left, tcp, habits, faults)
        return self._addresses(name, rdtype, entry, left, tcp, habits)

    def _look(self, name: str, rdtype: int, now: float, habits: Habits) -> _Entry:
        base, pod = self._owner(name)
        if base is None:
            return _Entry(now, NEGATIVE_TTL, NOBODY, False)
        seen = base.seen_at(now - self.lag)
        if pod is not None:
            full = f"{pod}.{base.name}"
            seen = seen if full in seen.targets else NOBODY
            found: tuple[object, ...] = seen.targets.get(full, ())
            exists = bool(seen.targets)
        else:
            found = tuple(seen.addresses)
            exists = bool(seen.pods)
        if rdtype == SRV:
            values: tuple[object, ...] = () if pod is not None or habits.no_srv else tuple(seen.targets)
        else:
            size = 4 if rdtype == A else 16
            values = tuple(sorted(a for a in found if len(a) == size))  # type: ignore[arg-type,type-var]
        if not values and habits.nxdomain_for_types:
            exists = False
        return _Entry(now, base.ttl if values else NEGATIVE_TTL, seen, exists, values)

    def _owner(self, name: str) -> tuple[HeadlessSvc | None, str | None]:
        name = name.removeprefix(PREFIX)
        name = name.removeprefix(ALIAS)
        if name in self._services:
            return self._services[name], None
        pod, _, base = name.partition(".")
        return self._services.get(base), pod

    def _nobody(self, name: str, rdtype: int, entry: _Entry, left: int, faults: Faults) -> Reply:
        has_soa = faults.no_soa == 0 or self._rng.random() >= faults.no_soa
        note = Note(name, rdtype, "negative", view=entry.view, has_soa=has_soa)
        return _negative(note, AA | RA, left, exists=entry.exists)

    def _addresses(self, name: str, rdtype: int, entry: _Entry, left: int, tcp: bool, habits: Habits) -> Reply:
        room = habits.tcp if tcp else habits.udp
        values: list[bytes] = list(entry.values)  # type: ignore[arg-type]
        cut = len(values) > room
        if not cut and (reply := entry.replies.get((left, tcp))) is not None:
            return reply
        if cut and habits.same_cuts:
            values = list(self._block(name, entry, room))  # type: ignore[arg-type]
        elif cut:
            values = self._rng.sample(values, room)
        else:
            self._rng.shuffle(values)
        note = Note(name, rdtype, "positive", True, entry.view, frozenset(values), whole=not cut, ttl=left)
        owner = name
        head, records = b"", 0
        if name.startswith(ALIAS):
            owner = name.removeprefix(ALIAS)
            head, records = cname_record(name, left, owner), 1
        body = [address_record(owner, left, value) for value in values]
        if len(body) > 73 and not head:
            start = len(body[0]) - 10 - len(values[0])
            body = [_POINTER + record[start:] for record in body]
        reply = Reply(AA | RA | (TC if cut else 0), 0, (len(body) + records, 0, 0), head + b"".join(body), note)
        if not cut:
            entry.replies[left, tcp] = reply
        return reply

    def _srv(self, name: str, entry: _Entry, left: int, tcp: bool, habits: Habits, faults: Faults) -> Reply:
        rng, room = self._rng, habits.tcp if tcp else habits.udp
        every: tuple[str, ...] = entry.values  # type: ignore[assignment]
        targets, cut_records, truncated = every, False, False
        if len(every) > room:
            cut_records = truncated = True
            targets = self._block(name, entry, room)  # type: ignore[assignment]
        glue = [(target, address) for target in targets for address in entry.view.targets[target]]
        if cut_records and habits.srv_cut == "block":
            glue = []
        lost = max(habits.minimal, faults.no_glue)
        if lost and not cut_records:  # else nobody could tell what was cut
            sets = dict.fromkeys((target, len(address)) for target, address in glue)
            kept = {key for key in sets if rng.random() >= lost}
            glue = [(target, address) for target, address in glue if (target, len(address)) in kept]
        most = habits.glue_tcp if tcp else habits.glue_udp
        if not cut_records and len(glue) > most:
            truncated = True
            if habits.glue_cut == "random":
                glue = rng.sample(glue, most)
            else:
                del glue[most:]
        glued = {target for target, _ in glue}
        # Over TCP, TC beside some glue says that the SRV records are whole; else nobody can know it.
        whole = not cut_records and (not truncated or (tcp and bool(glued) and len(glued) < len(targets)))
        told: frozenset[tuple[str, int]] = frozenset()
        if not truncated:
            told = frozenset((target, len(address)) for target, address in glue)
        shown = frozenset(address for _, address in glue)
        note = Note(name, SRV, "positive", True, entry.view, shown, frozenset(targets), whole, told, left)
        weight = max(1, 100 // len(every))
        body = [srv_record(name, left, weight, PORT, target) for target in targets]
        body += [address_record(target, left, address) for target, address in glue]
        records, additional = len(targets), len(glue)
        if habits.unnamed_glue and not cut_records and rng.random() < habits.unnamed_glue:
            body.append(address_record(f"elsewhere.{ZONE}", left, UNNAMED))
            additional += 1
        flags = AA | RA | (TC if truncated else 0)
        return Reply(flags, 0, (records, 0, additional), b"".join(body), note)

    def _block(self, name: str, entry: _Entry, room: int) -> tuple[object, ...]:
        """After the entry's life often the same again."""
        if entry.cut is None or len(entry.cut) != room:
            last, every = self.last_cut.get(name), entry.values
            again = last is not None and len(last) == room and set(last) <= set(every)
            if again and self._rng.random() < self.same_cut:
                entry.cut = last
            else:
                start = self._rng.randrange(len(every))
                entry.cut = self.last_cut[name] = (every + every)[start : start + room]
        assert entry.cut is not None
        return entry.cut


def _negative(note: Note, flags: int, ttl: int, *, exists: bool = False, zone: str = ZONE) -> Reply:
    body = soa_record(zone, ttl, NEGATIVE_TTL) if note.has_soa else b""
    return Reply(flags, 0 if exists else NXDOMAIN, (0, int(note.has_soa), 0), body, note)


class ModelServer:
    """An address with replicas behind it: which one answers is drawn for each query."""

    def __init__(self, replicas: list[Replica], rng: random.Random, habits: Habits) -> None:
        self.replicas = replicas
        self.habits = habits
        self.faults = FINE
        self._rng = rng

    def answer(self, name: str, rdtype: int, tcp: bool, edns: bool, now: float) -> Reply | bytes | str | None:
        """A reply, None for silence, bytes that are none, or text for what breaks below DNS."""
        faults, habits, draw = self.faults, self.habits, self._rng.random
        if faults is not FINE:
            fault = self._fault(name, rdtype, tcp, edns, faults)
            if not isinstance(fault, bool):
                return fault
            if fault:
                return None
        if habits.refused and name.endswith("." + habits.refused):
            return Reply(0, REFUSED, (0, 0, 0), b"", Note(name, rdtype, "nothing"))
        if habits.wildcard and name.endswith("." + habits.wildcard):
            return self._wildcard(name, rdtype)
        if tcp and habits.no_tcp:
            return "cannot be reached by TCP (refused)"
        if edns and habits.no_edns:
            return Reply(RA, FORMERR, (0, 0, 0), b"", Note(name, rdtype, "nothing"))
        if habits.chain_alone and name.startswith(ALIAS):
            record = cname_record(name, NEGATIVE_TTL, name.removeprefix(ALIAS))
            return Reply(RA, 0, (1, 0, 0), record, Note(name, rdtype, "nothing"))
        replica = self.replicas[int(draw() * len(self.replicas))]
        reply = replica.answer(name, rdtype, tcp, now, habits, faults)
        if habits.extended and draw() < habits.extended:
            option = extended_error(*self._rng.choice(((3, "stale answer"), (19, ""), (29, "synthesized"))))
            return Reply(reply.flags, reply.rcode, reply.counts, reply.body, reply.note, option)
        return reply

    def _fault(self, name: str, rdtype: int, tcp: bool, edns: bool, faults: Faults) -> Reply | bytes | str | bool:
        """What is wrong this time; True for silence, False for nothing."""
        draw = self._rng.random
        nothing = Note(name, rdtype, "nothing")
        option = extended_error(22, "no reachable authority") if draw() < self.habits.extended else b""
        if tcp and draw() < faults.tcp_refused:
            return "cannot be reached by TCP (refused)"
        if draw() < faults.silence:
            return True
        if draw() < faults.servfail:
            body = soa_record(ZONE, 5, 5) if draw() < 0.5 else b""
            return Reply(RA, SERVFAIL, (0, int(bool(body)), 0), body, nothing, option)
        if draw() < faults.refused:
            return Reply(0, REFUSED, (0, 0, 0), b"", nothing, option)
        if draw() < faults.lame:
            if draw() < 0.5:
                return Reply(RA, 0, (0, 1, 0), ns_record(ZONE, 5), nothing, option)
            return Reply(0, 0, (0, 0, 0), b"", nothing, option)
        if edns and draw() < faults.formerr:
            return Reply(RA, FORMERR if draw() < 0.5 else BADVERS, (0, 0, 0), b"", nothing)
        if draw() < faults.garbage:
            return self._rng.randbytes(40)
        if draw() < faults.foreign:
            return self._foreign(name, rdtype)
        if draw() < faults.nxdomain:
            lie = Note(name, rdtype, "negative", has_soa=draw() >= faults.no_soa)
            return _negative(lie, RA, NEGATIVE_TTL)
        return False

    def _foreign(self, name: str, rdtype: int) -> Reply:
        """The records belong to the name that the rewritten question had."""
        other, note = f"inner.{name}", Note(name, rdtype, "foreign")
        if rdtype == SRV:
            body = srv_record(other, 5, 100, PORT, f"one.{other}") + address_record(f"one.{other}", 5, UNNAMED)
            return Reply(AA | RA, 0, (1, 0, 1), body, note)
        address = UNNAMED if rdtype == A else bytes.fromhex("20010db8") + bytes(11) + b"\x66"
        return Reply(AA | RA, 0, (1, 0, 0), address_record(other, 5, address), note)

    def _wildcard(self, name: str, rdtype: int) -> Reply:
        """`*.corp.example` has an address, and nothing to do with the service."""
        if rdtype == A:
            note = Note(name, A, "positive", False, shown=frozenset((GATEWAY,)), ttl=30)
            return Reply(RA, 0, (1, 0, 0), address_record(name, 30, GATEWAY), note)
        return _negative(Note(name, rdtype, "negative", False), RA, 30, exists=True, zone=self.habits.wildcard)


class Stranger:
    """A public resolver that somebody put second: it knows no cluster name, and says so."""

    faults = FINE

    def answer(self, name: str, rdtype: int, tcp: bool, edns: bool, now: float) -> Reply | bytes | str | None:
        return _negative(Note(name, rdtype, "negative", False), RA, 900, zone="example")


class Dead:
    """Nobody is there."""

    faults = FINE

    def answer(self, name: str, rdtype: int, tcp: bool, edns: bool, now: float) -> Reply | bytes | str | None:
        return None
