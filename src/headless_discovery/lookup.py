"""One lookup, sans-IO: what to ask for, under which names, and what the records mean. The outcome is an `Answer`.

servers.py gets each reply, steps.py steps what is written here as if it could wait.
"""

from __future__ import annotations

import random
from collections.abc import Collection, Iterable, Mapping, Sequence

from .answer import NOTHING_HELD, Answer, Detail, Held, Key, Part, Rdtype
from .errors import LookupFailed
from .message import AAAA, SRV, A, Message, Srv
from .model import address_in_label, address_text, packed_address
from .resolvconf import ResolvConf
from .servers import NO_SOA_TTL, Exchange, Memory, Reply, Servers, Services
from .settings import Settings
from .steps import Steps, Task
from .target import Question, Server

_FAMILIES: dict[str, tuple[Rdtype, ...]] = {"auto": (A, AAAA), "any": (A, AAAA), "ipv4": (A,), "ipv6": (AAAA,)}
_LADDERS = {
    (records, family): {"addresses": addresses, "srv": (SRV,), "auto": (SRV, *addresses)}[records]
    for records in ("addresses", "srv", "auto")
    for family, addresses in _FAMILIES.items()
}
GLUE_BUDGET = 50  # single queries a refresh may take for addresses of SRV targets


class Lookup(Steps[Exchange, Message, Answer]):
    """One lookup of `question`. `rng` draws message ids and has to be the operating system's in real use.

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
    ) -> None:
        super().__init__()
        self.question = question
        self._conf = conf
        self._settings = settings
        self._memory = memory
        self._rng = rng
        self._held = held
        self._first = held.rdtype is None
        self._refused: dict[str, str] = {}
        self._warning: str | None = None
        self._bare: tuple[frozenset[bytes], bool] | None = None

    def start(self, now: float) -> list[Exchange]:
        """The exchanges to open first; `replied` and `failed` tell the next ones."""
        self._memory.use(self._conf)
        deadline = now + self._settings.timeout
        self._servers = Servers(self._conf, self._settings, self._memory, self._rng, self, deadline)
        return self.begin(self._main(), now)

    # Names: the search walk.

    def _main(self) -> Task[Answer]:
        memory = self._memory
        if memory.name is not None:
            names = [memory.name]
        elif self.question.absolute:
            names = [self.question.name]
        else:
            names = self._conf.candidates(self.question.name)
        negatives: list[tuple[tuple[Part, ...], Reply]] = []
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
            negatives.append((parts, reply))
        # Nobody there, under any name. A name that exists without such records (NODATA) says more than NXDOMAIN.
        parts, reply = min(negatives, key=lambda negative: negative[0][0].nxdomain)
        ttl = min(part.ttl for parts, _ in negatives for part in parts)
        has_soa = all(part.has_soa for parts, _ in negatives for part in parts)
        parts = tuple(Part(part.rdtype, ttl, nxdomain=part.nxdomain, has_soa=has_soa) for part in parts)
        return Answer(names[0], parts, reply.server, reply.tcp, reply.message.size)

    def _warning_text(self) -> str | None:
        if self._refused:
            shown = ", ".join(f"{address} ({why})" for address, why in list(self._refused.items())[:3])
            return f"{self.question}: {len(self._refused)} addresses refused: {shown}; see allow_networks="
        return self._warning or self._servers.warning

    def _candidate(self, name: str) -> Task[tuple[tuple[Part, ...], Part | None, Reply, bool]]:
        """All that one candidate name says: parts, what could replace an empty one, a reply, nothing failed."""
        if self.question.records == "addresses" and self._settings.family == "any":
            return (yield from self._both_families(name))
        ladder = self._ladder()
        first: tuple[Part, Reply] | None = None
        for rdtype in ladder:
            reply = yield from self._servers.ask(self._qname(name), rdtype)
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

    def _ladder(self) -> Sequence[Rdtype]:
        """Record types to ask for, the next one after a successful NODATA only; what is held comes first."""
        ladder = _LADDERS[self.question.records, self._settings.family]
        held = self._held.rdtype
        if held == ladder[0] or held not in ladder:
            return ladder
        return [held, *(rdtype for rdtype in ladder if rdtype != held)]

    def _both_families(self, name: str) -> Task[tuple[tuple[Part, ...], Part | None, Reply, bool]]:
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
            raise errors[0]
        if errors:
            self._warning = str(errors[0])
        return tuple(parts), None, good[0], not errors

    def _qname(self, name: str) -> str:
        return f"{self.question.prefix}.{name}" if self.question.prefix else name

    # Records: what the values mean.

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
        if not self._refused:
            self._memory.addresses[rdtype] = reply.server, members
        return Part(rdtype, reply.ttl, members, complete=not message.truncated)

    def _usable(self, addresses: Iterable[bytes], server: Server, size: int | None = None) -> list[bytes]:
        """v4-mapped addresses unwrapped, then without those that no peer may have; of `size` octets, if it is given."""
        from_loopback = server.address.startswith("127.") or server.address == "::1"
        usable = []
        for packed in addresses:
            if len(packed) == 16 and packed[:12] == b"\0\0\0\0\0\0\0\0\0\0\xff\xff":
                packed = packed[12:]
            if size is not None and len(packed) != size:
                continue
            if (why := self._settings.refusal(packed, from_loopback)) is None:
                usable.append(packed)
            else:
                self._refused[address_text(packed)] = why
        return usable

    def _all_refused(self, name: str) -> LookupFailed:
        return LookupFailed(f"{name}: no usable address. {self._warning_text()}")

    def _srv_part(self, base: str, reply: Reply) -> Task[Part]:
        message = reply.message
        # TC over TCP with address records behind it: the answer section is whole, only glue is missing.
        complete = not message.truncated or (reply.tcp and bool(message.glue))
        last = self._memory.services
        if last is not None and last.server == reply.server:
            lacking = last.without_glue(reply.values, message.glue)
            if lacking is not None and (not lacking or (yield from self._are_where_they_were(base, lacking))):
                return Part(SRV, reply.ttl, last.members, complete=complete)
        self._memory.services = None
        records = self._one_port_a_target([record for record in reply.values if record.target])
        if not records:  # RFC 2782: the target "." says that the service is decidedly not available
            return Part(SRV, NO_SOA_TTL)
        targets = dict.fromkeys(record.target for record in records)
        if base in targets and base.split(".")[2:3] == ["svc"]:  # a headless one has its pods there
            self._warning = f"{base} is not headless: DNS gives its cluster IP, not its pods"
        size = {"ipv4": 4, "ipv6": 16}.get(self._settings.family)
        glue = {
            t: tuple(dict.fromkeys(self._usable(message.glue[t], reply.server, size)))
            for t in targets
            if t in message.glue
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
        if not (dropped or self._refused or self._warning) and len(known) == len(targets):
            self._memory.services = Services(reply.server, reply.values, members)
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
            contained, complete = yield from self._bare_addresses(base)
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

    def _are_where_they_were(self, base: str, details: Iterable[Detail]) -> Task[bool]:
        """By the bare service name's addresses; what else it may say is for `_missing_glue`."""
        if self._first:  # those who left may be back elsewhere, so what is remembered of them counts for nothing
            return False
        contained, _ = yield from self._bare_addresses(base)
        return all(contained.issuperset(detail.addresses or ()) for detail in details)

    def _bare_addresses(self, base: str) -> Task[tuple[frozenset[bytes], bool]]:
        """The usable ones, and whether that is all of them. Asked for once in a lookup."""
        if self._bare is None:
            try:
                self._bare = yield from self._ask_bare(base)
            except LookupFailed:
                self._bare = frozenset(), False
        return self._bare

    def _ask_bare(self, base: str) -> Task[tuple[frozenset[bytes], bool]]:
        for rdtype in _FAMILIES[self._settings.family]:
            reply = yield from self._servers.ask(base, rdtype)
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
        for rdtype in _FAMILIES[self._settings.family]:
            reply = yield from self._servers.ask(target, rdtype)
            usable = self._usable(reply.values, reply.server)
            if reply.values and not usable:
                raise self._all_refused(target)
            found += usable
            if reply.nxdomain or (found and self._settings.family != "any"):
                break
        return tuple(dict.fromkeys(found))

    def _verify(self, parts: Iterable[Part]) -> Task[dict[str, tuple[bytes, ...]]]:
        """Suspects are asked for by their own name. What fails decides nothing and is left out."""
        if not self._held.verify:
            return {}
        shown = {key[0] for part in parts for key in part.members}
        suspects = self._within_budget([target for target in self._held.verify if target not in shown])
        results = yield [self._addresses_of(target) for target in suspects]
        pairs = zip(suspects, results, strict=True)
        return {target: result for target, result in pairs if not isinstance(result, LookupFailed)}


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
