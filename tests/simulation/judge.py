"""Says whether a service's set of peers was right, and imports nothing of the library that keeps the set.

The library has messages to go by. The judge has what no client can have: the truth of the cluster, and for each reply
that reached the library in time the pods that the server knew when it made it, whatever the message left out. So it
needs none of the library's rules about truncation, glue, samples and chance. What it demands is in docs/reliability.md;
where it has to know a number, the number is one that users are promised.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil, log
from typing import NamedTuple

from .cluster import Snapshot, spelled
from .words import AAAA, SRV, A, Note

Peers = Mapping[bytes, str | None]  # each address in the set, and the hostname that it goes by
Report = Callable[[str, str], None]

FALSE_REMOVAL, MISSED, WRONG_JOIN, NOT_TOLD = "false removal", "missed change", "wrong join", "not told"

YOUNG = 10.0  # seconds: replicas of a server behind one address disagree for a while
EMPTY_ANSWERS = 3
GRACE_WITHOUT_SOA = 30.0
NAMES_A_REFRESH = 50  # single names that a refresh asks for
EARLIER_NAMES = 30.0  # seconds: names and types that had nobody are tried again so often
BACKOFF = 10.0
A_LITTLE = 1e-6
LONG_GONE = 60.0


class Arrival(NamedTuple):
    server: str
    note: Note


class Said(NamedTuple):
    """What the service says of itself."""

    failed: bool  # the last lookup, by the service's own count
    error: bool
    complete: bool
    state: str


class Fair(NamedTuple):
    """Weather in which everything has to become right: since when, and how the servers answer meanwhile."""

    since: float
    lag: float  # seconds, of the slowest replica
    ttl: int  # the longest one of late
    room: int  # records of an answer; more are cut off
    random_cuts: bool = True
    tries_again: bool = False  # names or types that had nobody are part of this world


@dataclass
class Trust:
    """The server of the last positive answer, for all services that share what is known of servers."""

    positive: str | None = None


@dataclass
class _Lookup:
    """What one lookup's replies say of the watched name, and of the names of its pods."""

    final: dict[int, Note] = field(default_factory=dict)  # by type: the last word on the name
    denied: dict[int, dict[str, Note]] = field(default_factory=dict)
    views: list[Note] = field(default_factory=list)  # of servers that count, in order
    strangers: set[bytes] = field(default_factory=set)

    @property
    def positive(self) -> bool:
        return any(note.says == "positive" for note in self.final.values())


@dataclass(eq=False)
class Judge:
    """One service. `names`: those that the service may go by, for each type of record; `family` as the option."""

    names: Mapping[int, tuple[str, ...]]
    family: str
    trust: Trust
    report: Report
    timeout: float = 5.0
    min_ttl: float = 1.0
    max_ttl: float = 30.0
    empty_grace: float = 30.0
    max_stale: float | None = None
    sample: bool = False
    no_srv: bool = False  # port="auto" where the servers have no SRV records

    peers: Peers | None = None
    positive_at: float | None = None
    counts: Counter[str] = field(default_factory=Counter)
    joined: int = 0
    left: int = 0
    # When targets, or addresses without one, were shown first: at the latest and at the earliest. What one answer has
    # not may be forgotten by then or not.
    _first_shown: dict[object, float] = field(default_factory=dict)
    _oldest: dict[object, float] = field(default_factory=dict)
    _shown_at: dict[object, float] = field(default_factory=dict)
    _no_address: set[tuple[str | None, int]] = field(default_factory=set)  # of own names: none of that size
    _last_shown: dict[bytes, float] = field(default_factory=dict)
    _lacked: dict[bytes, list[float]] = field(default_factory=dict)  # by views that had it no longer, since last shown
    _missed: dict[bytes, float] = field(default_factory=dict)  # the first whole answer without it, since last shown
    _denied_by_name: set[bytes] = field(default_factory=set)
    _votes: dict[int, list[tuple[float, bool]]] = field(default_factory=dict)
    _named: set[tuple[bytes, str]] = field(default_factory=set)
    _strangers: set[bytes] = field(default_factory=set)
    _left_at: dict[bytes, float] = field(default_factory=dict)
    _by_target: dict[str | None, list[bytes]] = field(default_factory=dict)  # `peers`, by hostname
    _before_the_first: list[Note] = field(default_factory=list)  # there may be several lookups before the first set
    _nobody_there: bool = False  # who counts said so, and nobody said otherwise since

    # What happens.

    def sees(self, peers: Peers | None, state: Callable[[], str], now: float) -> None:
        """The set between lookups: only age may have changed it."""
        if peers is not self.peers:
            if self.peers is not None and peers is not None:
                for address in self.peers.keys() - peers.keys():
                    if not self._aged(now):
                        self.report(FALSE_REMOVAL, f"{spelled(address)} left between two lookups")
                for address in peers.keys() - self.peers.keys():
                    self.report(WRONG_JOIN, f"{spelled(address)} joined between two lookups")
            self._take(peers, now)
        if not peers or self.positive_at is None:
            return
        if self.max_stale is not None and now > self.positive_at + self.max_stale + 0.001:
            self.report(MISSED, f"the set is older than max_stale={self.max_stale:g} s")
        overdue = 1.1 * max(self.max_ttl, BACKOFF) + 2 * self.timeout + 1.0
        if now - self.positive_at > overdue and state() not in ("stale", "expired"):
            self.report(NOT_TOLD, f"no answer for {now - self.positive_at:.1f} s, but the state is {state()}")

    def hears(
        self,
        started: float,
        servers: Sequence[str],
        arrived: Iterable[Arrival],
        peers: Peers | None,
        said: Said,
        now: float,
    ) -> None:
        """One lookup is over: the replies that reached it, and the set as it is now."""
        if self._aged(now):  # all of them may have left and come back at once
            self._first_shown.clear()
        lookup = self._read(arrived)
        accepted = self._accepted(lookup, servers)
        before = self.peers
        self._weigh(lookup, accepted, said, now)
        if before is not None and peers is not None:
            if peers is not before:
                self._check_leaving(before, peers, lookup, said, now)
                self._check_joining(before, peers, lookup, started, now)
        elif peers is not None:
            lookup.views += self._before_the_first
            self._before_the_first.clear()
            self._check_joining({}, peers, lookup, started, now)
            if not peers:
                self._check_empty_start(lookup, accepted)
        else:
            self._before_the_first += lookup.views
        if peers is not None and not said.failed:
            self._check_shown(before or {}, peers, lookup)
            self._check_gone(peers, lookup, now)
            if said.complete:
                self._check_complete(peers, lookup)
        self._check_told(peers, lookup, accepted, said)
        if (lookup.positive or lookup.strangers) and not said.failed:
            self.positive_at = now
        self._count(lookup, said)
        self._take(peers, now)
        if lookup.positive:
            self._nobody_there = False
            self._forget_unheld(lookup)

    def fair(self, truth: Snapshot, fair: Fair, said: Said, now: float) -> None:
        """The weather has been fair and the truth the same for a while: is it long enough?"""
        ttl = min(max(fair.ttl, self.min_ttl), self.max_ttl)
        refresh = 1.1 * ttl + 0.6
        rounds = 3 + ceil(max(len(truth.targets), len(self.peers or ())) / NAMES_A_REFRESH)
        patience = fair.lag + fair.ttl + BACKOFF + self.timeout + rounds * refresh
        if fair.tries_again:
            patience += EARLIER_NAMES + self.empty_grace + 3 * refresh + 35.0
        elapsed = now - fair.since
        if elapsed < patience:
            return
        peers = self.peers if self.peers is not None else {}
        wanted, allowed = self._wanted(truth)
        srv = self._by_srv(truth)
        cut = len(truth.targets if srv else truth.addresses) > fair.room
        for address, target in wanted.items():
            if address in peers:
                continue
            shown = self._first_shown.get(target or address, now)
            if not cut or now - shown > rounds * refresh + self.timeout:
                self.report(MISSED, f"{spelled(address)} of {target} is missing after {elapsed:.0f} s of fair weather")
        for address, name in peers.items():
            if address in wanted or address in allowed:
                if address in wanted and wanted[address] != name and not (name is None and A in self.names):
                    self.report(MISSED, f"{spelled(address)} goes by {name}, not {wanted[address]}")
                continue
            if address in self._strangers and not truth.pods:
                continue
            if elapsed > patience + self._patience_to_leave(address, name, truth, fair, refresh, cut):
                self.report(MISSED, f"{spelled(address)} of {name} is in after {elapsed:.0f} s of fair weather")
        nameless = [target for target, addresses in truth.targets.items() if not addresses]
        if nameless and srv and not said.error:
            self.report(NOT_TOLD, f"{len(nameless)} of {len(truth.targets)} targets have no address")

    # What each reply is worth.

    def _read(self, arrived: Iterable[Arrival]) -> _Lookup:
        lookup = _Lookup()
        for server, note in arrived:
            main = note.name in self.names.get(note.rdtype, ())
            if note.says == "positive" and not note.counts:
                lookup.strangers |= note.shown
                continue
            if note.says == "foreign" and main:
                lookup.final.pop(note.rdtype, None)
            if note.says not in ("positive", "negative"):
                continue
            if main and (note.counts or note.says == "negative"):
                lookup.final[note.rdtype] = note
                if note.says == "negative":
                    lookup.denied.setdefault(note.rdtype, {})[server] = note
                else:
                    self.trust.positive = server
            if note.counts:
                lookup.views.append(note)
        return lookup

    def _accepted(self, lookup: _Lookup, servers: Sequence[str]) -> dict[int, Note]:
        """Denials that may empty a set: of the server that answered last, or of all."""
        trusted = self.trust.positive or servers[0]
        accepted = {}
        for rdtype, said in lookup.denied.items():
            final = lookup.final.get(rdtype)
            if final is not None and final.says == "negative" and (trusted in said or said.keys() >= set(servers)):
                accepted[rdtype] = said.get(trusted) or next(iter(said.values()))
        return accepted

    def _weigh(self, lookup: _Lookup, accepted: Mapping[int, Note], said: Said, now: float) -> None:
        for rdtype, note in lookup.final.items():
            if note.says == "positive" and not said.failed:
                self._votes.pop(rdtype, None)
        for rdtype, note in accepted.items():
            self._votes.setdefault(rdtype, []).append((now, note.has_soa))
            self._nobody_there = True
        held, by_target = self.peers or {}, self._by_target
        gone: dict[bytes, bool] = {}  # and whether by the target's own name
        for note in lookup.views:
            main = note.name in self.names.get(note.rdtype, ())
            if not main and note.rdtype != SRV:
                size = 4 if note.rdtype == A else 16
                if note.shown:
                    self._no_address.discard((note.name, size))
                elif all(len(address) != size for address in note.view.targets.get(note.name, ())):
                    if len(self._no_address) > 4096:
                        self._no_address.clear()
                    self._no_address.add((note.name, size))
            if main and (note.says == "negative" or lookup.final.get(note.rdtype) is not note):
                continue  # what TCP said replaces what was cut over UDP
            if not main and not (note.name in note.view.targets or note.name in by_target):
                continue  # the bare name, asked for glue
            for key in note.targets if note.rdtype == SRV else note.shown if main else ():
                self._first_shown.setdefault(key, now)
                if now - self._shown_at.get(key, now) > LONG_GONE and key not in by_target and key not in held:
                    self._oldest[key] = now
                self._oldest.setdefault(key, now)
                self._shown_at[key] = now
            for address in note.shown:
                self._last_shown[address] = now
            for target in (None,) if note.rdtype != SRV and main else by_target if main else (note.name,):
                for address in by_target.get(target, ()):
                    self._weigh_one(note, main, address, target, gone)
        # Last, for the replies of one lookup may come from caches of different age.
        for address, by_name in gone.items():
            self._lacked.setdefault(address, []).append(now)
            if by_name:
                self._denied_by_name.add(address)

    def _weigh_one(self, note: Note, main: bool, address: bytes, target: str | None, gone: dict[bytes, bool]) -> None:
        """What a reply says of one peer: that it is there, or that the server has it no longer."""
        if target is None:
            if note.rdtype == SRV or note.rdtype != _type_of(address):
                return
            there, seen = address in note.view.addresses, address in note.shown
        elif main:
            there, seen = address in note.view.targets.get(target, ()), target in note.targets
        else:
            known = note.view.targets.get(target)
            if known and note.rdtype != _type_of(address):
                return
            there, seen = known is not None and address in known, True
        if not there:
            gone[address] = gone.get(address, False) or not main
        elif seen:
            self._forget_evidence(address)

    # What is demanded.

    def _check_leaving(self, before: Peers, after: Peers, lookup: _Lookup, said: Said, now: float) -> None:
        for address in before.keys() - after.keys():
            target = before[address]
            why = self._why_it_stays(address, target, after, lookup, said, now)
            if why is not None:
                name = spelled(address) if target is None else f"{spelled(address)} of {target}"
                self.report(FALSE_REMOVAL, f"{name}: {why}")

    def _why_it_stays(
        self, address: bytes, target: str | None, after: Peers, lookup: _Lookup, said: Said, now: float
    ) -> str | None:
        if self._aged(now):
            return None
        if address in self._strangers:
            return "nobody said anything" if said.failed else None
        kind = SRV if target is not None else _type_of(address)
        if self._emptied(kind, now):
            return None
        if self._is_second_choice(address, target, after):
            return None
        if self.sample:
            final = lookup.final.get(kind)
            bound = max(60.0, 10.0 * final.ttl if final is not None else 0.0)
            unseen = now - self._last_shown.get(address, now)
            return None if unseen >= bound - A_LITTLE else f"a sample lacks it, and it was seen {unseen:.1f} s ago"
        lacked = self._lacked.get(address)
        if not lacked:
            denied = [*lookup.denied.get(kind, ())]
            if denied:
                return f"emptied too early, by {', '.join(denied)}"
            return "each reply came from a server that has it"
        young = now - self._oldest.get(target or address, 0.0) < YOUNG - A_LITTLE
        if not young or address in self._denied_by_name or target in after.values():
            return None
        if lacked[-1] - lacked[0] >= self.min_ttl - A_LITTLE:
            return None
        return "it is young, and only one answer lacks it"

    def _check_joining(self, before: Peers, after: Peers, lookup: _Lookup, started: float, now: float) -> None:
        for address, target in after.items():
            if address in before and before[address] == target:
                continue
            views = (note.view for note in lookup.views)
            if target is not None:
                known = any(address in view.targets.get(target, ()) for view in views)
                if known:
                    if len(self._named) > 20_000:
                        self._named.clear()
                    self._named.add((address, target))
                known = known or (address in before and (address, target) in self._named)
            else:
                known = any(address in view.addresses for view in views)
            if known or self._left_at.get(address, -1.0) >= started:
                continue
            if address in lookup.strangers and target is None:
                if not self._nobody_there:
                    self.report(WRONG_JOIN, f"{spelled(address)} of another name, though this one was not denied")
                elif any(other not in lookup.strangers for other in after):
                    self.report(WRONG_JOIN, f"{spelled(address)} of another name, beside those of this one")
                self._strangers.add(address)
                continue
            name = spelled(address) if target is None else f"{spelled(address)} of {target}"
            what = "goes by a name that no server gave it" if address in before else "no server knows it"
            self.report(WRONG_JOIN, f"{name}: {what}")

    def _check_empty_start(self, lookup: _Lookup, accepted: Mapping[int, Note]) -> None:
        if lookup.positive:
            return
        if not accepted:
            denied = sorted({server for said in lookup.denied.values() for server in said})
            self.report(WRONG_JOIN, f"empty from the start by the word of {', '.join(denied) or 'nobody'} alone")
        for denied_type, note in accepted.items():
            if {_type_of(address) for address in self._wanted(note.view)[0]} - accepted.keys():
                self.report(WRONG_JOIN, f"empty from the start, but type {denied_type} alone was denied")
                return

    def _check_shown(self, before: Peers, peers: Peers, lookup: _Lookup) -> None:
        """Who is named in the answer joins at once."""
        kinds = {SRV if target is not None else _type_of(address) for address, target in before.items()}
        for rdtype, note in lookup.final.items():
            if note.says != "positive" or any(address in self._strangers for address in before):
                continue
            if rdtype != SRV and SRV in lookup.final and lookup.final[SRV].says == "positive":
                continue  # those of the bare name are looked up for the targets' sake
            if kinds - {rdtype} and (self.family != "any" or SRV in kinds | {rdtype}):
                continue  # a change of type waits until the old one's emptiness is believed
            wanted, _ = self._wanted(note.view, rdtype)
            for address in note.shown:
                target = wanted.get(address)
                if target is not None and not all(
                    (target, len(other)) in note.told for other in note.view.targets[target] if other in wanted
                ):
                    continue  # a part of what the target has: which peer that is, is not known yet
                if address in wanted and address not in peers:
                    self.report(MISSED, f"{spelled(address)} is in the answer, but did not join")

    def _check_gone(self, peers: Peers, lookup: _Lookup, now: float) -> None:
        """Who is not in an answer that is whole leaves, unless it is young."""
        if self.sample:
            return
        for address, target in peers.items():
            note = lookup.final.get(SRV if target is not None else _type_of(address))
            if note is None or note.says != "positive" or address in self._strangers:
                continue
            if target is None:
                if not note.whole or address in note.view.addresses:
                    continue
            elif target in note.view.targets:
                if (target, len(address)) in note.told and address not in note.view.targets[target]:
                    self.report(MISSED, f"{spelled(address)} of {target} was replaced, but stays")
                continue
            elif not note.whole:
                continue
            missed = self._missed.setdefault(address, now)
            young = now - self._first_shown.get(target or address, now) <= YOUNG + A_LITTLE
            if not young or now - missed > max(self.min_ttl, 0.001) + A_LITTLE:
                self.report(MISSED, f"{spelled(address)} of {target} is not in a whole answer, but stays")

    def _check_complete(self, peers: Peers, lookup: _Lookup) -> None:
        if self._strangers:
            return  # those of another name stay until its emptiness is believed
        for rdtype, note in lookup.final.items():
            if note.says != "positive":
                continue
            held = {SRV if target is not None else _type_of(address) for address, target in peers.items()}
            if (held and rdtype not in held) or (rdtype != SRV and SRV in lookup.final):
                continue
            wanted, _ = self._wanted(note.view, rdtype)
            # Where a target's old address is still in, its new one is not known to be missing.
            has = {(target, len(address)) for address, target in peers.items() if target is not None}
            known = has | self._no_address
            missing = [a for a, target in wanted.items() if a not in peers and (target, len(a)) not in known]
            if missing:
                self.report(NOT_TOLD, f"complete, but {len(missing)} are missing, as {spelled(missing[0])}")

    def _check_told(self, peers: Peers | None, lookup: _Lookup, accepted: Mapping[int, Note], said: Said) -> None:
        if said.failed and not said.error:
            self.report(NOT_TOLD, "a failure")
        if not (lookup.positive or lookup.strangers or accepted):
            if not said.error:
                self.report(NOT_TOLD, "that there was no answer that counts")
        elif peers and not (lookup.positive or lookup.strangers) and not said.error:
            self.report(NOT_TOLD, "an emptiness that is not believed yet")

    # What the demands have in common.

    def _wanted(self, view: Snapshot, rdtype: int | None = None) -> tuple[dict[bytes, str | None], set[bytes]]:
        """The addresses that have to be in, with their hostnames, and those that may be in."""
        if rdtype == SRV or (rdtype is None and self._by_srv(view)):
            return self._wanted_by_srv(view)
        sizes = {"ipv4": (4,), "ipv6": (16,), "any": (4, 16)}.get(self.family) or ((4,) if view.v4 else (16,))
        if rdtype is not None:
            sizes = tuple(size for size in sizes if size == (4 if rdtype == A else 16))
        return {address: None for address in view.addresses if len(address) in sizes}, set()

    def _wanted_by_srv(self, view: Snapshot) -> tuple[dict[bytes, str | None], set[bytes]]:
        wanted: dict[bytes, str | None] = {}
        allowed: set[bytes] = set()
        for target, addresses in view.targets.items():
            first = [address for address in addresses if len(address) == 4]
            second = [address for address in addresses if len(address) == 16]
            if self.family == "ipv4":
                second = []
            elif self.family == "ipv6":
                first = []
            elif self.family == "auto":
                if first:
                    allowed.update(second)
                    second = []
                elif target in view.dashed and view.v4:
                    second = []  # the same pod has another name that spells its IPv4 address
            wanted.update(dict.fromkeys(first + second, target))
        return wanted, allowed

    def _by_srv(self, view: Snapshot) -> bool:
        return SRV in self.names and not (A in self.names and self.no_srv)

    def _is_second_choice(self, address: bytes, target: str | None, after: Peers) -> bool:
        """family="auto": IPv6 where there is IPv4 under another name of the pod, or several under this one."""
        if self.family != "auto" or len(address) != 16 or target is None:
            return False
        if target.partition(".")[0] == spelled(address):
            return any(len(other) == 4 for other in after)
        return sum(len(other) == 4 and name == target for other, name in after.items()) > 1

    def _aged(self, now: float) -> bool:
        return (
            self.max_stale is not None
            and self.positive_at is not None
            and now >= self.positive_at + self.max_stale - A_LITTLE
        )

    def _emptied(self, kind: int, now: float) -> bool:
        votes = self._votes.get(kind)
        if not votes:
            return False
        if self.empty_grace == 0 and votes[-1][1]:
            return True
        grace = self.empty_grace or GRACE_WITHOUT_SOA
        return len(votes) >= EMPTY_ANSWERS and now - votes[0][0] >= grace - A_LITTLE

    def _patience_to_leave(
        self, address: bytes, target: str | None, truth: Snapshot, fair: Fair, refresh: float, cut: bool
    ) -> float:
        """Seconds, beyond those that everything takes."""
        patience = 0.0
        same_kind = truth.targets if target is not None else (truth.v4 if len(address) == 4 else truth.v6)
        if not same_kind:
            patience += max(self.empty_grace, GRACE_WITHOUT_SOA) + 35.0
        if self.sample:
            return patience + max(60.0, 10.0 * fair.ttl) + refresh
        if not cut:
            return patience
        if target is not None:
            return patience + (10 + 4 * ceil(len(self.peers or ()) / NAMES_A_REFRESH)) * refresh
        there = len(same_kind)
        shown = min(fair.room, there)
        union = max(len(self.peers or ()), there)
        fresh = shown * (1 - shown / there) >= 0.75 * shown * (1 - shown / union)
        if shown / union < 0.5 or not fair.random_cuts or not fresh:
            return float("inf")  # cuts prove nothing then, and the set says that it is not complete
        missed = 0.14 + 0.86 * (1 - shown / union)
        return patience + (3 * ceil(log(1e-12 / union) / log(missed)) + 10) * refresh

    def _take(self, peers: Peers | None, now: float) -> None:
        before = self.peers
        if peers is before:
            return
        self.peers = peers
        self._by_target = {}
        for address, target in (peers or {}).items():
            self._by_target.setdefault(target, []).append(address)
        if before is None or peers is None:
            self.joined += len(peers or ())
            return
        gone = before.keys() - peers.keys()
        self.left += len(gone)
        self.joined += len(peers.keys() - before.keys())
        for address in gone:
            self._forget_evidence(address)
            self._left_at[address] = now
            self._strangers.discard(address)
        if gone and not peers:
            self._first_shown.clear()
        else:
            for address in gone:
                key = before[address] or address
                if key not in self._by_target:
                    self._first_shown.pop(key, None)
        if len(self._oldest) > 4096:
            self._oldest = {key: at for key, at in self._oldest.items() if now - self._shown_at[key] <= LONG_GONE}
            self._shown_at = {key: at for key, at in self._shown_at.items() if key in self._oldest}
        if len(self._left_at) > 4096:
            self._left_at = {address: left for address, left in self._left_at.items() if now - left < 60.0}

    def _forget_evidence(self, address: bytes) -> None:
        self._lacked.pop(address, None)
        self._missed.pop(address, None)
        self._denied_by_name.discard(address)

    def _forget_unheld(self, lookup: _Lookup) -> None:
        """Who was shown, but is neither in the set nor in the last word on the name."""
        peers = self.peers or {}
        if len(self._first_shown) <= len(self._by_target.keys() - {None}) + len(self._by_target.get(None, ())):
            return
        held: set[object] = {target or address for address, target in peers.items()}
        for note in lookup.final.values():
            held |= note.targets
        self._first_shown = {key: at for key, at in self._first_shown.items() if key in held}

    def _count(self, lookup: _Lookup, said: Said) -> None:
        if said.failed:
            verdict = "failed"
        elif lookup.positive:
            verdict = "whole" if all(note.whole for note in lookup.final.values()) and not self.sample else "cut"
        else:
            verdict = "other" if lookup.strangers else "empty"
        self.counts[verdict] += 1


def _type_of(address: bytes) -> int:
    return A if len(address) == 4 else AAAA
