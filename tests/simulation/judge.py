"""Who must be in, told from the messages that were received and from nothing else.

Written from the rules of joining and leaving (docs/architecture.md), not from the code: evidence is kept as a list of
what was heard, and each question is answered by looking through that list.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from functools import lru_cache
from math import log
from typing import Literal

from headless_discovery.message import Message
from headless_discovery.target import Server
from headless_discovery.testing.message import AAAA, NXDOMAIN, SRV, A

from .network import Heard, Transcript

Member = bytes | tuple[str, int]
Endpoint = tuple[bytes, int]
Verdict = Literal["whole", "cut", "nobody", "failed"]


def says_something(heard: Heard) -> bool:
    """NOERROR or NXDOMAIN from a server that is responsible, or asks others; not a referral, not an empty cut."""
    message = heard.message
    if heard.rcode not in (0, NXDOMAIN):
        return False
    if message.answer:
        return heard.rcode == 0
    if message.truncated:
        return False
    lame = heard.rcode == 0 and message.soa is None
    return not (lame and (message.has_ns or not (message.authoritative or message.recursion_available)))


@dataclass
class Trust:
    """Whose NXDOMAIN counts alone: the server of the last positive answer."""

    servers: Collection[Server]
    positive: Server | None = None

    def concluded(self, heard: list[Heard], name: str, rdtype: int) -> Heard | None:
        """What one lookup found out about a name: the message that decides, or None.

        TCP's word replaces the cut answer that led to it (RFC 2181, 9). A positive answer decides; a negative one
        from the trusted server or from all servers; anything else decides nothing.
        """
        positive: Heard | None = None
        negative: dict[Server, Heard] = {}
        for one in heard:
            if one.name != name or one.rdtype != rdtype or not says_something(one):
                continue
            if one.message.answer:
                positive = one
                continue
            if positive is not None and positive.server == one.server and one.tcp:
                positive = None
            negative[one.server] = one
        if positive is not None:
            return positive
        if self.positive is None or self.positive in negative or len(negative) == len(self.servers):
            return negative.get(self.positive) or next(iter(negative.values()), None)  # type: ignore[arg-type]
        return None


@dataclass
class Judge:
    """One service. `records` is A or SRV; `both`: AAAA is asked too, after an A NODATA (no pod has one)."""

    name: str
    records: int
    port: int
    trust: Trust
    both: bool = False
    bare: bool = False  # port="auto": SRV of the service's own name
    timeout: float = 5.0
    min_ttl: float = 1.0
    empty_grace: float = 30.0
    max_stale: float | None = None
    sample: bool = False

    members: set[Member] = field(default_factory=set)
    latest: frozenset[Member] = frozenset()
    verdict: Verdict = "failed"
    believed_at: float | None = None
    _since: dict[Member, float] = field(default_factory=dict)
    _seen: dict[Member, float] = field(default_factory=dict)
    _whole_misses: dict[Member, list[float]] = field(default_factory=dict)
    _draws: list[tuple[int, float]] = field(default_factory=list)  # fresh: which cut answer, ln of missing anybody
    _cuts: int = 0
    _last_cut: frozenset[Member] | None = None
    _seen_in_cut: dict[Member, int] = field(default_factory=dict)
    _cut_misses: dict[Member, int] = field(default_factory=dict)
    _addresses: dict[Member, tuple[bytes, ...] | None] = field(default_factory=dict)
    _expired_at: float = 0.0
    _when_asked: dict[Member, tuple[bytes, ...] | None] = field(default_factory=dict)
    _empties: list[tuple[float, bool]] = field(default_factory=list)
    counts: dict[Verdict, int] = field(default_factory=lambda: dict.fromkeys(("whole", "cut", "nobody", "failed"), 0))
    version: int = 0  # changes whenever who must be in may have changed
    left: int = 0
    joined: int = 0
    unverified: set[str] = field(default_factory=set)

    @property
    def _question(self) -> str:
        return f"_http._tcp.{self.name}" if self.records == SRV and not self.bare else self.name

    def hears(self, transcript: Transcript, now: float) -> None:
        """One lookup is over."""
        before = self.members
        self.unverified = set()
        heard = transcript.heard
        found = self.trust.concluded(heard, self._question, self.records)
        nodata = found is not None and not found.message.answer and found.rcode == 0
        if nodata and self.both and self.trust.concluded(heard, self._question, AAAA) is None:
            found = None  # nobody is there if the other family says so, too; if that fails, the lookup does
        if found is None:
            self.verdict = "failed"
        elif not found.message.answer:
            self.verdict = "nobody"
            self._nobody(found.message, now)
        else:
            self.trust.positive = found.server
            self._somebody(found, transcript, now)
            self.believed_at = now
        self._when_asked = {}
        self.counts[self.verdict] += 1
        if self.members is not before:
            self.joined += len(self.members - before)
            self.left += len(before - self.members)

    def _nobody(self, message: Message, now: float) -> None:
        if not self.members:
            self.believed_at = now
            return
        self._empties.append((now, message.soa is not None))
        if self.empty_grace == 0 and message.soa is not None:
            believed = True
        else:
            lasted = now - self._empties[0][0]
            believed = len(self._empties) >= 3 and lasted >= (self.empty_grace or 30.0)
        if believed:
            self.believed_at = now
            self._forget_all()

    def _forget_all(self) -> None:
        self.members = set()
        for notes in (self._since, self._seen, self._whole_misses, self._cut_misses, self._addresses):
            notes.clear()
        self._forget_draws()
        self._empties.clear()
        self.latest = frozenset()
        self.version += 1

    def _forget_draws(self) -> None:
        self._draws.clear()
        self._seen_in_cut.clear()
        self._last_cut = None

    def aged(self, now: float) -> None:
        """`max_stale` since the last believed answer."""
        expires_at = (self.believed_at or 0.0) + (self.max_stale or 0.0)
        if self.max_stale is not None and self.members and now >= expires_at:
            self._expired_at = expires_at
            self.left += len(self.members)
            self._when_asked = dict(self._addresses)  # a lookup in flight may still go by these
            self._forget_all()

    def _somebody(self, found: Heard, transcript: Transcript, now: float) -> None:
        message = found.message
        (rrset,) = message.answer.values()
        shown: frozenset[Member]
        if self.records == A:
            shown = frozenset(rrset.values)  # type: ignore[arg-type]
            whole = not message.truncated
        else:
            shown = frozenset((record.target, record.port) for record in rrset.values)  # type: ignore[union-attr]
            whole = not message.truncated or (found.tcp and bool(message.glue))
        self.verdict = "whole" if whole and not self.sample else "cut"
        self._empties.clear()
        if self.records == A and whole and shown == self.members == self.latest and not self.sample:
            self._forget_draws()
            self._cut_misses.clear()
            self._whole_misses.clear()
            return  # mostly, nothing is new
        self.version += 1
        self.latest = shown
        for member in shown - self.members:
            self._since[member] = now
        self.members = self.members | shown
        for member in shown:
            self._seen[member] = now
            self._whole_misses.pop(member, None)
        misses_before = dict(self._cut_misses)
        for member in shown:
            self._cut_misses.pop(member, None)
        if self.records == SRV:
            self._learn_addresses(found, transcript)
        missing = self.members - shown
        if self.sample:
            bound = max(60.0, 10.0 * rrset.ttl)
            self._leave({m for m in missing if now - self._seen[m] >= bound})
        elif whole:
            self._forget_draws()
            self._cut_misses.clear()
            self._leave({m for m in missing if self._gone_by_whole(m, now)})
        elif self.records == A:
            self._leave(self._gone_by_chance(shown, missing))
        else:
            self._leave(self._gone_by_name(missing, misses_before, transcript))
            if now - transcript.started >= self.timeout:
                self.unverified = set()  # there was no time left to ask

    def _leave(self, gone: set[Member]) -> None:
        self.members = self.members - gone
        for member in gone:
            for notes in (self._since, self._seen, self._whole_misses, self._cut_misses, self._addresses):
                notes.pop(member, None)

    def _gone_by_whole(self, member: Member, now: float) -> bool:
        misses = self._whole_misses.setdefault(member, [])
        misses.append(now)
        return now - self._since[member] >= 10.0 or misses[-1] - misses[0] >= max(self.min_ttl, 0.001)

    def _gone_by_chance(self, shown: frozenset[Member], missing: set[Member]) -> set[Member]:
        union, share = len(self.members), len(shown) / len(self.members)
        last = self._last_cut
        predicted = 0.0 if last is None else len(shown) * (1 - len(last) / union)
        fresh = last is None or (shown != last and len(shown - last) >= predicted / 2)
        self._last_cut = shown
        self._cuts += 1
        for member in shown:
            self._seen_in_cut[member] = self._cuts
        if not fresh or share < 0.5:
            return set()
        self._draws.append((self._cuts, log(0.14 + 0.86 * (1 - share))))
        gone = set()
        for member in missing:
            lacking = [chance for cut, chance in self._draws if cut > self._seen_in_cut.get(member, 0)]
            if len(lacking) >= 3 and sum(lacking) <= log(1e-12 / union):
                gone.add(member)
        del self._draws[:-300]  # who was missed by so many is gone
        return gone

    def _gone_by_name(self, missing: set[Member], before: dict[Member, int], transcript: Transcript) -> set[Member]:
        asked = {name for name, _ in transcript.sent}
        verified = 0
        gone: set[Member] = set()
        for member in missing:
            target = member[0]
            assert isinstance(target, str)
            self._cut_misses[member] = self._cut_misses.get(member, 0) + 1
            if before.get(member, 0) < 3:
                continue
            if target not in asked:
                self.unverified.add(target)
                continue
            verified += 1
            addresses = self._own_name(target, transcript)
            if addresses == ():
                gone.add(member)
            elif addresses:
                del self._cut_misses[member]
                self._addresses[member] = addresses
        if verified >= 50:  # a refresh's budget
            self.unverified = set()
        return gone

    def _own_name(self, target: str, transcript: Transcript) -> tuple[bytes, ...] | None:
        """The addresses of a name that was asked for; () if it has none, None if that is not known."""
        found = self.trust.concluded(transcript.heard, target, A)
        if found is None:
            return None
        if found.message.answer:
            return tuple(found.message.answer[target, A].values)  # type: ignore[arg-type]
        if found.rcode == 0 and self.both and self.trust.concluded(transcript.heard, target, AAAA) is None:
            return None
        return ()

    def _learn_addresses(self, found: Heard, transcript: Transcript) -> None:
        bare = self.trust.concluded(transcript.heard, self.name, A)
        contained = bare.message.answer[self.name, A].values if bare is not None and bare.message.answer else ()
        known = self._when_asked if transcript.started < self._expired_at else {}
        for member in self.latest:
            target = member[0]
            assert isinstance(target, str)
            own = self._own_name(target, transcript)
            spelled = _spelled(target)
            if target in found.message.glue:
                self._addresses[member] = tuple(found.message.glue[target])
            elif own is not None:
                self._addresses[member] = own
            elif spelled is not None and spelled in contained:
                self._addresses[member] = (spelled,)
            else:
                self._addresses.setdefault(member, known.get(member))

    def endpoints(self) -> dict[Endpoint, set[str | None]]:
        """Who has to be in, and the hostnames that each may go by."""
        if self.records == A:
            return {(m, self.port): {None} for m in self.members if isinstance(m, bytes)}
        named: dict[Endpoint, list[tuple[bool, bool, str]]] = {}
        for member in self.members:
            target, port = member
            assert isinstance(target, str)
            assert isinstance(port, int)
            for address in self._addresses.get(member) or ():
                named.setdefault((address, port), []).append(
                    (member not in self.latest, _spelled(target) is not None, target)
                )
        return {endpoint: {min(names)[2]} for endpoint, names in named.items()}


@lru_cache(maxsize=4096)
def _spelled(target: str) -> bytes | None:
    parts = target.partition(".")[0].split("-")
    return bytes(map(int, parts)) if len(parts) == 4 and all(part.isdecimal() for part in parts) else None
