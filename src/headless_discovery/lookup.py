"""One lookup, sans-IO: what to ask for, under which names, and what the records mean. The outcome is an `Answer`.

servers.py gets each reply, glue.py the addresses of SRV targets. steps.py steps what is written here as if it waited.
"""

from __future__ import annotations

import random
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from .answer import FAMILIES, NOTHING_HELD, SIZES, Addresses, Answer, Detail, Held, Key, Part, Rdtype, Rival
from .errors import LookupFailed
from .glue import Glue, Usable, literal_target, spells
from .hosts import TTL as HOSTS_TTL
from .hosts import is_localhost
from .message import AAAA, SRV, A, Message, Srv
from .resolvconf import ResolvConf
from .servers import NO_SOA_TTL, Exchange, Memory, Refused, Reply, Servers, Services
from .settings import Settings
from .steps import Steps, Task
from .target import Question

_STEPS: dict[str, Sequence[tuple[Rdtype, ...]]] = {
    family: (rdtypes,) if family == "any" else tuple((rdtype,) for rdtype in rdtypes)
    for family, rdtypes in FAMILIES.items()
}
_LADDERS = {
    (records, family): {"addresses": (*steps,), "srv": ((SRV,),), "auto": ((SRV,), *steps)}[records]
    for records in ("addresses", "srv", "auto")
    for family, steps in _STEPS.items()
}
AGAIN = 30.0  # seconds until earlier names, and types behind an NXDOMAIN, are asked for once more
EARLIER_TIMEOUT = 1.0  # seconds that this may take


class _Found(NamedTuple):
    """What one name of the search list has. `reply` is None for the hosts file."""

    name: str
    parts: tuple[Part, ...]
    reply: Reply | None
    instead: tuple[Part, ...] = ()
    whole: bool = True
    steps: int = 0  # of the ladder of record types, that were asked for

    @property
    def anybody(self) -> bool:
        return bool(self.parts[0].members or self.instead) or any(part.members for part in self.parts[1:])


class Lookup(Steps[Exchange, Message, Answer]):
    """One lookup of `question`. `rng` draws message ids and has to be the operating system's in real use. `local`: the
    addresses that the hosts file has for it.

    `result` is None until the lookup ends with an `Answer` or a `LookupFailed`.
    """

    def __init__(
        self,
        question: Question,
        conf: ResolvConf,
        settings: Settings,
        memory: Memory,
        rng: random.Random,
        held: Held = NOTHING_HELD,
        local: Collection[bytes] = (),
    ) -> None:
        super().__init__()
        self.question = question
        self._conf = conf
        self._settings = settings
        self._memory = memory
        self._rng = rng
        self._held = held
        self._local = local
        self._warnings: list[str] = []
        self._usable = Usable(settings)

    def start(self, now: float) -> list[Exchange]:
        """The exchanges to open first; `replied` and `failed` tell the next ones."""
        self._memory.use(self._conf)
        self._deadline = now + self._settings.timeout
        self._ask_by(self._deadline)
        return self.begin(self._main(), now)

    def _ask_by(self, deadline: float) -> None:
        self._servers = Servers(self._conf, self._settings, self._memory, self._rng, self, deadline)
        self._known_glue: Glue | None = None

    @property
    def _glue(self) -> Glue:
        if self._known_glue is None:  # most lookups need none
            self._known_glue = Glue(self._settings, self._servers, self._usable, self._rng, self._held)
        return self._known_glue

    def _ended(self, run: Any, outcome: Any) -> None:
        if run.group is None and isinstance(outcome, Refused):
            outcome = LookupFailed(str(outcome))  # the difference is nobody's business outside
        super()._ended(run, outcome)

    # Names: the search walk.

    def _main(self) -> Task[Answer]:
        question, held, memory = self.question, self._held, self._memory
        if self._local or question.records == "srv":
            found = self._without_dns(held.name or question.name)
            if found is not None:
                return self._answer(found)
        home = held.name or memory.name
        if home is None:
            return (yield from self._walk(self._names()))
        found = yield from self._candidate(home)
        verified = (yield from self._verified(found)) if held.verify else {}
        anybody = found.anybody
        remembered = memory.name == home
        if remembered and anybody and self.now < memory.earlier_at:
            return self._answer(found, verified)
        return (yield from self._beside_home(found, verified, anybody, remembered))

    def _without_dns(self, name: str) -> _Found | None:
        localhost = is_localhost(self.question.name)
        if self.question.records == "srv":
            return _Found(name, (Part(SRV, HOSTS_TTL, has_soa=True),), None) if localhost else None
        return self._by_hosts_file(name) if localhost or self.question.records == "addresses" else None

    def _names(self) -> list[str]:
        names = [self.question.name] if self.question.absolute else self._conf.candidates(self.question.name)
        held = self._held.name
        # The search list may have changed since; who is held is not gone by that.
        return names if held is None or held in names else [*names, held]

    def _walk(self, names: Sequence[str]) -> Task[Answer]:
        """No name is known to be the one: the first that has somebody is.

        After a failure only the name as it was written is asked (it may be a whole one, such as `db.example.com`
        under ndots:5): another suffix could be somebody else's.
        """
        negatives: list[_Found] = []
        refused: list[Refused] = []
        failure: LookupFailed | None = None
        for name in names:
            if failure is not None and name != self.question.name:
                continue
            try:
                found = yield from self._candidate(name)
            except Refused as error:
                refused.append(error)
            except LookupFailed as error:
                failure = failure or error
            else:
                if found.anybody:
                    if failure is None:
                        self._memory.name, self._memory.earlier_at = name, self.now + AGAIN
                    else:
                        self._warnings.append(f"{name} is used, because an earlier name failed: {failure}")
                    return self._answer(found, (yield from self._verified(found)) if self._held.verify else {})
                negatives.append(found)
        if failure is not None or not negatives:
            raise failure or refused[0]
        self._warnings += map(str, refused[:1])
        found = (yield from self._behind_nxdomain(negatives)) or self._nobody(negatives)
        if found.anybody:
            self._memory.name, self._memory.earlier_at = found.name, self.now + AGAIN
        return self._answer(found)

    def _beside_home(
        self, found: _Found, verified: Mapping[str, Addresses], anybody: bool, remembered: bool
    ) -> Task[Answer]:
        """One name is held, or remembered: what it has is found. The names before it are asked now and then, and win;
        all others where it has nobody and it is not sure that it is the one.
        """
        memory, home, names = self._memory, found.name, self._names()
        if not anybody:
            found = (yield from self._behind_nxdomain([found])) or found
            anybody = found.anybody
        if home not in names:
            others = names  # remembered only
        elif remembered or anybody:
            others = names[: names.index(home)]
        else:
            others = [name for name in names if name != home]
        memory.earlier_at = self.now + AGAIN
        other = yield from self._other(others)
        if isinstance(other, LookupFailed) and anybody and not remembered:
            self._warnings.append(f"{home} is used, because an earlier name failed: {other}")
        elif anybody:
            memory.name = home
        if not isinstance(other, _Found):
            return self._answer(found, verified)
        memory.earlier_at = self.now  # until it is decided, each lookup asks both
        if self._held.name is None:
            memory.name, memory.earlier_at = other.name, self.now + AGAIN
            return self._answer(other)
        return self._answer(found, verified, Rival(other.name, other.instead or other.parts))

    def _other(self, names: Iterable[str]) -> Task[_Found | LookupFailed | None]:
        """The first of these names that has somebody, or why that is not known. It must not take long, nor fail: who is
        found already does not depend on it.
        """
        servers, glue, warnings = self._servers, self._known_glue, list(self._warnings)
        self._ask_by(min(self._deadline, self.now + EARLIER_TIMEOUT))
        other: _Found | LookupFailed | None = None
        for name in names:
            try:
                found = yield from self._candidate(name)
            except Refused:
                continue
            except LookupFailed as failure:
                other = failure
                break
            if found.anybody:
                other = found
                break
        self._servers, self._known_glue = servers, glue
        if not isinstance(other, _Found):
            self._warnings = warnings
        return other

    def _behind_nxdomain(self, negatives: Iterable[_Found]) -> Task[_Found | None]:
        """Some servers say NXDOMAIN for a type that the name lacks, though it has others: before it is believed that
        nobody is there, those are asked for. At the start and every 30 s, while nobody is held. Where that fails, it is
        not known whether anybody is there. Raises `LookupFailed`.
        """
        memory = self._memory
        if self._held.rdtype is not None or self.now < memory.next_types_at:
            return None
        for negative in negatives:
            try:
                while negative.steps < len(self._ladder()):
                    found = yield from self._candidate(negative.name, negative.steps)
                    if found.anybody:
                        return found
                    negative = found
            except Refused:
                continue  # the server does not know the type, so the NXDOMAIN stands
        memory.next_types_at = self.now + AGAIN  # not before all were answered
        return None

    def _nobody(self, negatives: Sequence[_Found]) -> _Found:
        """Nobody there, under any name. A name that exists without such records (NODATA) says more than NXDOMAIN."""
        shown = min(negatives, key=lambda found: found.parts[0].nxdomain)
        every = [part for found in negatives for part in found.parts]
        ttl, has_soa = min(part.ttl for part in every), all(part.has_soa for part in every)
        parts = tuple(Part(part.rdtype, ttl, nxdomain=part.nxdomain, has_soa=has_soa) for part in shown.parts)
        return shown._replace(name=negatives[0].name, parts=parts)

    def _answer(
        self, found: _Found, verified: Mapping[str, Addresses] | None = None, rival: Rival | None = None
    ) -> Answer:
        reply = found.reply
        if self._usable.refused:
            self._warnings.insert(0, f"{self.question}: {self._usable.problem()}")
        elif self._servers.warning:
            self._warnings.append(self._servers.warning)
        return Answer(
            found.name,
            found.parts,
            server=None if reply is None else reply.server,
            tcp=reply is not None and reply.tcp,
            size=0 if reply is None else reply.message.size,
            instead=found.instead,
            rival=rival,
            whole=found.whole,
            verified=verified or {},
            warning="; ".join(dict.fromkeys(self._warnings)) if self._warnings else None,
        )

    def _verified(self, found: _Found) -> Task[Mapping[str, Addresses]]:
        """Where the suspects are that this answer does not show, by their own names."""
        if not found.anybody:
            return {}
        shown = {key[0] for part in found.parts for key in part.members}
        suspects = [target for target in self._held.verify if target not in shown]
        return (yield from self._glue.verify(suspects))

    # Record types.

    def _candidate(self, name: str, after: int = 0) -> Task[_Found]:
        """All that one name of the search list says, `after` so many steps of the ladder."""
        first: _Found | None = None
        for step, rdtypes in enumerate(self._ladder()[after:], after + 1):
            if self._local and rdtypes != (SRV,) and (by_file := self._by_hosts_file(name)) is not None:
                found = by_file
            elif len(rdtypes) == 1:
                reply = yield from self._servers.ask(self._qname(name), rdtypes[0])
                found = _Found(name, ((yield from self._part(name, rdtypes[0], reply)),), reply)
            else:
                found = yield from self._both_families(name)
            if found.anybody:
                if first is None or self._held.rdtype is None:
                    return found
                return first._replace(instead=found.parts)
            first = (first or found)._replace(steps=step)
            if found.reply is not None and found.reply.nxdomain and not self._local:
                break
        assert first is not None
        return first

    def _ladder(self) -> Sequence[tuple[Rdtype, ...]]:
        """Record types to ask for, those of a step at once, the next step after a successful NODATA only; what is held
        comes first.
        """
        ladder = _LADDERS[self.question.records, self._settings.family]
        if self._held.rdtype is None or self._held.rdtype in ladder[0]:
            return ladder
        return sorted(ladder, key=lambda rdtypes: self._held.rdtype not in rdtypes)

    def _both_families(self, name: str) -> Task[_Found]:
        replies = yield [self._servers.ask(self._qname(name), rdtype) for rdtype in (A, AAAA)]
        parts: list[Part] = []
        good: list[Reply] = []
        errors: list[LookupFailed] = []
        for rdtype, reply in zip((A, AAAA), replies, strict=True):
            try:
                if isinstance(reply, LookupFailed):
                    raise reply
                parts.append((yield from self._part(name, rdtype, reply)))
                good.append(reply)
            except LookupFailed as error:  # no answer, or one of which nothing is left
                errors.append(error)
        if errors and all(part.negative for part in parts):
            raise next((error for error in errors if not isinstance(error, Refused)), errors[0])
        self._warnings += map(str, errors)
        reply = next((r for r, part in zip(good, parts, strict=True) if not part.negative), good[0])
        if not errors:  # NXDOMAIN only if both say so
            reply = next((r for r in good if not r.nxdomain), reply)
        return _Found(name, tuple(parts), reply, whole=not errors)

    def _qname(self, name: str) -> str:
        return f"{self.question.prefix}.{name}" if self.question.prefix else name

    # Records: what the values mean.

    def _by_hosts_file(self, name: str) -> _Found | None:
        """The hosts file's addresses, where it has one of a family that is wanted."""
        if not self._local:
            return None
        usable = self._usable(self._local, None)
        if not usable:
            raise self._all_refused(name)
        families = FAMILIES[self._settings.family]
        parts = [
            Part(rdtype, HOSTS_TTL, dict.fromkeys(a for a in usable if len(a) == SIZES[rdtype]), has_soa=True)
            for rdtype in families
        ]
        some = [part for part in parts if part.members]
        if not some:
            return None
        return _Found(name, tuple(parts) if self._settings.family == "any" else (some[0],), None)

    def _part(self, name: str, rdtype: Rdtype, reply: Reply) -> Task[Part]:
        message = reply.message
        if not reply.values:
            return Part(rdtype, reply.ttl, nxdomain=reply.nxdomain, has_soa=message.soa is not None)
        self._memory.positive = reply.server  # from now on: its word counts for the targets, too
        if rdtype == SRV:
            return (yield from self._srv_part(name, reply))
        # Mostly nothing changed; then the very mapping of the last answer says so to whoever compares.
        server, members = self._memory.addresses.pop(rdtype, (None, {}))
        if server != reply.server:
            members = {}
        if members.keys() != set(reply.values):
            usable = self._usable((value for value in reply.values if value not in members), reply.server)
            members = dict.fromkeys([value for value in reply.values if value in members] + usable)
            if not members:
                raise self._all_refused(name)
        if not self._usable.refused:
            self._memory.addresses[rdtype] = reply.server, members
        return Part(rdtype, reply.ttl, members, complete=not message.truncated)

    def _all_refused(self, name: str) -> LookupFailed:
        return LookupFailed(f"{name}: no usable address. {self._usable.problem()}")

    def _srv_part(self, base: str, reply: Reply) -> Task[Part]:
        last = self._memory.services
        if last is not None and last.server == reply.server:
            unseen = last.unconfirmed(reply.values, reply.message)
            same = unseen is not None and not (unseen or last.absent)
            if same or (unseen is not None and (yield from self._are_where_they_were(base, unseen, last))):
                return Part(SRV, reply.ttl, last.members, complete=_srv_is_whole(reply))
        self._memory.services = None
        records = self._one_port_a_target([record for record in reply.values if record.target])
        if not records:  # RFC 2782: the target "." says that the service is decidedly not available
            return Part(SRV, NO_SOA_TTL)
        targets: Mapping[str, None] = dict.fromkeys(record.target for record in records)
        if base in targets and base.split(".")[2:3] == ["svc"]:  # a headless one has its pods there
            self._warnings.append(f"{base} is not headless: DNS gives its cluster IP, not its pods")
        targets = self._of_one_family(base, targets, reply)
        records = [record for record in records if record.target in targets]
        found = yield from self._glue.find(base, [(r.target, r.port) for r in records], reply)
        if self._usable.refused and not any(addresses.all for addresses in found.values()):
            raise self._all_refused(base)
        unwanted = self._second_family(base, found)
        if unwanted:
            records = [record for record in records if record.target not in unwanted]
        self._warn_of_gaps(base, records, found)
        weights = _weights(records)
        members: dict[Key, Detail | None] = {
            (r.target, r.port): Detail(r.priority, weights[r], found[r.target]) for r in records
        }
        lacking = any(addresses.lacks(self._settings.family) for addresses in found.values())
        if not (lacking or unwanted or self._usable.refused or self._warnings):
            wanted = FAMILIES[self._settings.family]
            size = SIZES[wanted[0]] if len(wanted) == 1 else None
            self._memory.services = Services.unambiguous(reply.server, reply.values, members, base, size)
        return Part(SRV, reply.ttl, members, complete=_srv_is_whole(reply))

    def _warn_of_gaps(self, base: str, records: Sequence[Srv], found: Mapping[str, Addresses]) -> None:
        """What keeps a target from being a peer that can be connected to."""
        targets = dict.fromkeys(record.target for record in records)
        lost = [target for target in targets if not (found[target].v4 or found[target].v6)]
        if lost:
            named = ", ".join(lost[:3]) + (", ..." if len(lost) > 3 else "")
            family = "" if self._settings.family in ("auto", "any") else f" for family={self._settings.family!r}"
            why = f" ({self._glue.problem})" if self._glue.problem else ""
            self._warnings.append(
                f"{base}: {len(lost)} of {len(targets)} targets have no address{family}: {named}{why}"
            )
        if portless := sum(not record.port for record in records):
            self._warnings.append(
                f"{base}: {portless} of {len(records)} SRV records have port 0, where no connection can be made: "
                "register the port, or give port= a number"
            )

    def _one_port_a_target(self, records: list[Srv]) -> list[Srv]:
        """`port="auto"` needs one port a target; which one of several is meant, only the user knows."""
        if self.question.records != "auto":
            return records
        ports: dict[str, set[int]] = {}
        for record in records:
            ports.setdefault(record.target, set()).add(record.port)
        crowded = [found for found in ports.values() if len(found) > 1]
        if not crowded:
            return records
        listed = ", ".join(map(str, sorted(set().union(*crowded))))
        known = self._held.ports
        if not known:
            raise LookupFailed(
                f'{self.question} has several ports a peer ({listed}): port="auto" cannot choose; give one of them as '
                f"port=, or the port's name. Where each port is an instance of its own, ask for the SRV name that "
                f"lists them, such as _http._tcp.{self.question}"
            )
        if len(known) > 1 and len(crowded) < len(ports):  # instances with ports of their own, some on one host
            return records
        self._warnings.append(
            f'{self.question} now has several ports a peer ({listed}): port="auto" keeps the known ones'
        )
        return [r for r in records if len(ports[r.target]) == 1 or r.port in known]

    def _of_one_family(self, base: str, targets: Mapping[str, None], reply: Reply) -> Mapping[str, None]:
        """Dual stack without hostnames has a target for each family of a pod, whose name spells the address. Those of
        the family that is not wanted go, where there are others.
        """
        wanted = FAMILIES[self._settings.family]
        if self._settings.family == "any":
            return targets
        other = A if wanted[0] == AAAA else AAAA
        kept = {target: None for target in targets if not spells(target, base, other)}
        if not kept or len(kept) == len(targets):
            return targets
        if self._settings.family == "auto":
            glue = reply.message.glue
            v4 = any(spells(target, base, A) or any(len(a) == 4 for a in glue.get(target, ())) for target in kept)
            return kept if v4 else targets
        return kept

    def _second_family(self, base: str, found: Mapping[str, Addresses]) -> set[str]:
        """The same once addresses are known: where any target has IPv4, the names that spell IPv6 go."""
        if self._settings.family != "auto" or not any(addresses.v4 for addresses in found.values()):
            return set()
        return {target for target, known in found.items() if known.v6 and not known.v4 and spells(target, base, AAAA)}

    def _are_where_they_were(self, base: str, addresses: Iterable[bytes], last: Services) -> Task[bool]:
        """By the bare service name's addresses. Anything else that it says is for `Glue.find`."""
        if self._held.rdtype is None:  # those who left may be back elsewhere, so what is remembered counts for nothing
            return False
        for rdtype, size in SIZES.items():
            some = [address for address in addresses if len(address) == size]
            if some or rdtype in last.absent:
                bare = yield from self._glue.bare(base, rdtype)
                needed = rdtype == A or self._settings.family != "auto"
                if rdtype in last.absent and not (bare.complete or bare.failed):
                    return False
                if (needed and not bare.addresses.issubset(last.addresses)) or not bare.addresses.issuperset(some):
                    return False
        return True


def _srv_is_whole(reply: Reply) -> bool:
    """No SRV record was cut off: no TC, or TC over TCP where additional records were reached, and not all of them fit.

    Where every target has its glue, the server cut SRV records and kept their glue in step, as Consul does.
    """
    message = reply.message
    if not message.truncated:
        return True
    if not reply.tcp:
        return False
    targets = {record.target for record in reply.values if literal_target(record.target) is None}
    with_glue = sum(target in message.glue for target in targets)
    return 0 < with_glue < len(targets)


def _weights(records: Collection[Srv]) -> dict[Srv, int]:
    """Equal weights within a priority say nothing and are reported as 1: CoreDNS sends 100/n, which changes for
    everybody when one peer joins.
    """
    by_priority: dict[int, set[int]] = {}
    for record in records:
        by_priority.setdefault(record.priority, set()).add(record.weight)
    return {r: 1 if len(by_priority[r.priority]) == 1 else r.weight for r in records}
