"""One service's members, sans-IO: answers and failures over time -> who is in, and when to ask next.

A peer joins with the first answer that has it. It leaves by evidence only, and each kind of evidence is a method of
`_Scope`: a complete answer without it, answers cut by chance that miss it too often, its own name gone, emptiness
that lasts. Time-outs, SERVFAIL, garbage and answers cut by block are no evidence, ever.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Collection, Iterable, Set
from dataclasses import dataclass
from itertools import chain
from math import inf, log

from .answer import NOTHING_HELD, Addresses, Answer, Detail, Held, Key, Members, Part, Rival
from .errors import DiscoveryError, LookupFailed
from .glue import literal_target
from .message import SRV
from .model import Endpoint, Peer, address_in_label, address_text
from .settings import Family, Settings

YOUNG = 10.0  # seconds for which one complete answer is not enough: replicas behind one address disagree a while
EMPTY_ANSWERS = 3
NO_SOA_GRACE = 30.0  # where empty_grace=0, for negative answers that RFC 2308 would not let anybody cache
SAMPLES_PER_REFRESH = 4
SUSPECT_AFTER = 3
# Evidence of chance: how likely a peer that is there may be missed, and what a resolver's own habits add to it.
CHANCE = 1e-12
HABIT = 0.14
FLAP_WINDOW, FLAPS = 5, 3
LATE = 0.2  # of the refreshes at short TTLs


def _late(ttl: float, drawn: float) -> float:
    """Seconds from a TTL's end to the refresh, `drawn` from [0, 1): so a fleet that began together drifts apart.

    At short TTLs news counts, so most refreshes are not late at all. How fast distances grow depends on the variance:
    one refresh in five that is up to J late has two thirds of what all of them would have, for a fifth of the mean. At
    long ones J is long enough to spread clients that one cache keeps together, and each refresh makes use of it.
    """
    if ttl > 10:
        return ttl / 10 * drawn
    return max(0.1, min(0.5, ttl / 10)) * max(0.0, 1 - (1 - drawn) / LATE)


@dataclass(slots=True)
class _Absence:
    answers: int = 0
    log_chance: float = 0.0


class _Emptiness:
    """Answers in a row that say that nobody is there; failures neither count nor end the row."""

    def __init__(self, grace: float) -> None:
        self._grace = grace
        self._answers = 0
        self._since = 0.0

    def believed(self, now: float, has_soa: bool) -> bool:
        """One more such answer: true if that is enough."""
        if self._grace == 0 and has_soa:
            return True
        if not self._answers:
            self._since = now
        self._answers += 1
        return self._answers >= EMPTY_ANSWERS and now - self._since >= (self._grace or NO_SOA_GRACE)

    def over(self) -> None:
        self._answers = 0


class _Scope:
    """The members that came by one record type, and the evidence against each of them."""

    def __init__(self, rdtype: int, settings: Settings) -> None:
        self.rdtype = rdtype
        self._settings = settings
        self.clear()

    def clear(self) -> bool:
        """Nobody is in; true if somebody was."""
        was_there = bool(getattr(self, "members", False))
        self.members: Members = {}  # replaced, never changed: answers share it
        self.latest: Set[Key] = frozenset()  # what the newest positive answer named
        self.complete = True
        self.grew = False  # the last answer brought somebody new
        self.recheck = False  # the last answer missed somebody young
        self._first_seen: dict[Key, float] = {}  # the young only
        self._missed_at: dict[Key, float] = {}  # the young that one complete answer missed
        self._absent: dict[Key, _Absence] = {}  # missed by incomplete answers, since last seen
        self._drawn: frozenset[Key] | None = None  # the last incomplete answer
        self._last_seen: dict[Key, float] = {}  # answers="sample" only
        self._emptiness = _Emptiness(self._settings.empty_grace)
        self._gone: dict[Key, None] = {}  # lately removed, oldest first
        self._flaps: deque[bool] = deque(maxlen=FLAP_WINDOW)
        self._judged: Members = self.members  # these members, and whether all of them have their addresses
        self._all_glue = True
        self._made: dict[Key, tuple[Peer, ...]] = {}
        self._made_of: Members = self.members
        return was_there

    def apply(self, part: Part, now: float) -> bool:
        """True if the members changed."""
        if part.negative:
            return self._nobody(part, now)
        self._emptiness.over()
        self.recheck = False
        before = self.latest
        self.latest = part.members.keys()
        if self._settings.answers == "sample":
            changed = self._join(part, now)
            changed |= self._not_seen_for(part, now)
            self.complete = False
        elif part.complete:
            self._absent.clear()
            self._drawn = None
            if (part.members is self.members or part.members == self.members) and not self._missed_at:
                self.latest = self.members.keys()  # not the answer's: one copy is enough
                self._forget_young(now)
                self._flaps.append(False)
                self.complete, self.grew = self._has_all_glue(), False
                return self.rdtype == SRV and before != self.latest
            came_back = any(key in self._gone for key in part.members if key not in self.members)
            self._flaps.append(came_back and len(before) == len(part.members))
            changed = self._join(part, now)
            changed |= self._left_by_complete_answer(part, now)
            self.complete = self._has_all_glue()
        else:
            changed = self._join(part, now)
            if self.rdtype == SRV:
                self._count_absence(part)
            else:
                changed |= self._left_by_chance(part)
            self.complete = False
        self._forget_young(now)
        # Which target an endpoint goes by depends on the newest answer.
        return changed or (self.rdtype == SRV and before != self.latest)

    def _has_all_glue(self) -> bool:
        if self.rdtype == SRV and self._judged is not self.members:
            family = self._settings.family
            self._judged, self._all_glue = (
                self.members,
                not any(
                    d is not None and (not (d.addresses.v4 or d.addresses.v6) or d.addresses.lacks(family))
                    for d in self.members.values()
                ),
            )
        return self._all_glue

    @property
    def flapping(self) -> bool:
        return sum(self._flaps) >= FLAPS

    @property
    def suspects(self) -> list[str]:
        """SRV targets that three incomplete answers in a row did not show: to be asked for by their own name."""
        if self.rdtype != SRV or not self._absent:
            return []
        suspects = (key[0] for key, absence in self._absent.items() if absence.answers >= SUSPECT_AFTER)
        return sorted({target for target in suspects if isinstance(target, str)})

    def verified(self, target: str, addresses: Addresses) -> bool:
        """What the suspect's own name has: NXDOMAIN and NODATA remove it, addresses are where it is now."""
        keys = [key for key in self._absent if key[0] == target]
        if not addresses.all:
            return self._remove(keys)
        moved: dict[Key, Detail | None] = {}
        for key in keys:
            del self._absent[key]
            detail = self.members[key]
            if detail is not None and detail.addresses != addresses:
                moved[key] = detail._replace(addresses=addresses)
        if moved:
            self.members = {**self.members, **moved}
        return bool(moved)

    def _join(self, part: Part, now: float) -> bool:
        old_members = self.members
        fresh = [key for key in part.members if key not in old_members]
        members = {key: part.members[key] for key in fresh}
        self.grew = bool(fresh)
        for key in fresh:
            self._first_seen[key] = now
            self._gone.pop(key, None)
        for notes in (self._absent, self._missed_at):
            for key in [key for key in notes if key in part.members]:
                del notes[key]
        if self.rdtype == SRV:
            for key, detail in part.members.items():
                old = old_members.get(key)
                if detail is None or old is None or detail == old:
                    continue
                if None in detail.addresses:  # glue was not to be had: what is known stays
                    detail = detail._replace(addresses=_known(detail.addresses, old.addresses))
                if detail != old:
                    members[key] = detail
        if members:
            self.members = {**old_members, **members}
        return bool(members)

    def _left_by_complete_answer(self, part: Part, now: float) -> bool:
        gone = []
        for key in self.members.keys() - part.members.keys():
            young = now - self._first_seen.get(key, -inf) < YOUNG
            if young and now - self._missed_at.setdefault(key, now) < max(self._settings.min_ttl, 1e-3):
                self.recheck = True
            else:
                gone.append(key)
        changed = self._remove(gone)
        if self.members == part.members:
            self.members = part.members
        return changed

    def _left_by_chance(self, part: Part) -> bool:
        """A records cut at random: who is missed again and again, more than chance explains, is gone."""
        seen, union = part.members.keys(), len(self.members)
        before, self._drawn = self._drawn, frozenset(seen)
        if before is not None:
            turnover = len(seen - before)
            expected = len(seen) * (1 - len(before) / union)
            if seen == before or turnover < expected / 2:
                return False  # not a fresh draw: the same cache entry again, or one that cuts by some rule
        share = len(seen) / union
        if share < 0.5:
            return False
        gone = []
        missed = log(HABIT + (1 - HABIT) * (1 - share)) if share < 1 else 0.0
        bound = log(CHANCE / union)
        for key in self.members.keys() - seen:
            absence = self._absent.setdefault(key, _Absence())
            absence.answers += 1
            absence.log_chance += missed
            if absence.answers >= 3 and absence.log_chance <= bound:
                gone.append(key)
        return self._remove(gone)

    def _count_absence(self, part: Part) -> None:
        for key in self.members.keys() - part.members.keys():
            self._absent.setdefault(key, _Absence()).answers += 1

    def _not_seen_for(self, part: Part, now: float) -> bool:
        self._last_seen.update(dict.fromkeys(part.members, now))
        lately = self._seen_lately(part, now)
        return self._remove([key for key in self._last_seen if key not in lately])

    def _seen_lately(self, part: Part, now: float) -> set[Key]:
        bound = max(60.0, 10 * part.ttl)
        return {key for key, seen in self._last_seen.items() if now - seen < bound}

    def crowd(self, part: Part, now: float) -> int:
        """How many there would be with this part."""
        if self._settings.answers == "sample":
            return len(self._seen_lately(part, now) | part.members.keys())
        return len(part.members) if part.complete else len(self.members.keys() | part.members.keys())

    def _nobody(self, part: Part, now: float) -> bool:
        """NXDOMAIN or NODATA: believed at once only where nobody was; else when it lasts."""
        self.grew = self.recheck = False
        return bool(self.members) and self._emptiness.believed(now, part.has_soa) and self.clear()

    def _remove(self, keys: Collection[Key]) -> bool:
        if not keys:
            return False
        gone = set(keys)
        self.members = {key: detail for key, detail in self.members.items() if key not in gone}
        for key in keys:
            for notes in (self._first_seen, self._missed_at, self._absent, self._last_seen):
                notes.pop(key, None)
            self._gone[key] = None
        while len(self._gone) > max(64, len(self.members)):
            del self._gone[next(iter(self._gone))]
        return True

    # Members as peers.

    def peers(self, port: int | None) -> list[Peer]:
        """`port`: what peers have that came without one."""
        made, made_of = self._made, self._made_of
        self._made, self._made_of = {}, self.members
        for key, detail in self.members.items():
            peers = made.get(key)
            if peers is None or made_of[key] != detail:
                peers = _peers_of(key, detail, port, self._settings.family)
            self._made[key] = peers
        found = list(chain.from_iterable(self._made.values()))
        if self.rdtype != SRV or len({peer.endpoint for peer in found}) == len(found):
            return found
        by_endpoint: dict[Endpoint, Peer] = {}
        for key in sorted(self._made, key=self._rank):
            for peer in self._made[key]:
                by_endpoint.setdefault(peer.endpoint, peer)
        return list(by_endpoint.values())

    def _rank(self, key: Key) -> tuple[bool, bool, Key]:
        """One endpoint under two targets: the newest answer's target, then a stable name, then the lowest."""
        return key not in self.latest, address_in_label(str(key[0])) is not None, key

    def _forget_young(self, now: float) -> None:
        if self._first_seen and now - min(self._first_seen.values()) >= YOUNG:
            self._first_seen = {key: seen for key, seen in self._first_seen.items() if now - seen < YOUNG}


class Membership:
    """One watched name: feed it `answered` and `failed`, ask it for `peers`, `due` and `held`. Times are `now`'s.

    `rng` spreads the refreshes of a fleet; `backoff(failures, error)` gives the seconds to wait after a failure.
    """

    def __init__(
        self,
        settings: Settings,
        port: int | None,
        rng: random.Random,
        backoff: Callable[[int, LookupFailed], float],
        now: float,
    ) -> None:
        self.due = now
        self.error: DiscoveryError | None = None
        self.failures = self.consecutive_failures = self.lookups = self.queries = 0
        self.given_up = False  # the peers were removed by `max_stale`
        self.answered_at: float | None = None
        self.believed_at: float | None = None
        self._settings = settings
        self._port = port
        self._rng = rng
        self._backoff = backoff
        self._scopes: dict[int, _Scope] = {}
        self._name: str | None = None  # whose answer the members came by
        self._rival = _Emptiness(settings.empty_grace)
        self._held = NOTHING_HELD
        self._whole = False
        self._fresh_until = inf
        self._samples = 0
        self._expires = inf

    # What DNS said.

    def answered(self, answer: Answer, now: float) -> bool:
        """Take a valid answer in; true if the peers may have changed."""
        most, crowd = self._settings.max_peers, self._crowd(answer.parts, now)
        if answer.rival is not None:
            crowd = max(crowd, self._crowd(answer.rival.parts, now))
        if crowd > most:
            self.failed(LookupFailed(f"{answer.name}: {crowd} peers are more than max_peers={most}"), now)
            return False
        self.consecutive_failures = 0
        self.error = LookupFailed(answer.warning) if answer.warning else None
        self.answered_at = now
        changed = replaced = False
        for part in answer.parts:
            scope = self._scope(part.rdtype)
            changed |= scope.apply(part, now)
            if part.negative and scope.members:
                self.error = LookupFailed(
                    f"{answer.name}: {answer.source} says {'NXDOMAIN' if part.nxdomain else 'NODATA'}; the peers stay "
                    f"until that has lasted for empty_grace={self._settings.empty_grace:g} s"
                )
            elif part.negative:
                replaced |= self._take(answer.instead, now)
        for target, addresses in answer.verified.items():
            changed |= self._scope(SRV).verified(target, addresses)
        if self._members():
            self._name = answer.name
        if answer.rival is None:
            self._rival.over()
        else:
            replaced |= self._displaced(answer.name, answer.rival, now)
        self._whole = answer.whole and all(scope.complete for scope in self._scopes.values() if scope.members)
        if any(scope.flapping for scope in self._scopes.values()):
            self.error = LookupFailed(
                f"{answer.name}: peers leave and come back at every answer, as if each were a sample of them: "
                f'if so, use answers="sample"'
            )
        self._schedule(answer, now)
        if replaced or not (self._members() and all(part.negative for part in answer.parts)):
            self.believed_at = now
            self.given_up = False
            self._fresh_until = self.due + self._settings.timeout
            if self._settings.max_stale is not None:  # one shorter than min_ttl still leaves a refresh its chance
                self._expires = max(now + self._settings.max_stale, self.due + self._chance())
        return changed or replaced

    def _take(self, parts: Iterable[Part], now: float) -> bool:
        changed = False
        for part in parts:
            changed |= self._scope(part.rdtype).apply(part, now)
        return changed

    def _displaced(self, name: str, rival: Rival, now: float) -> bool:
        """Another name of the search list has peers. For the name that is held that is emptiness: it has to last."""
        has_soa = all(part.has_soa for part in rival.parts if part.negative)
        if self._members() and not self._rival.believed(now, has_soa):
            self.error = LookupFailed(
                f"{rival.name} has peers, too; those of {name} stay until that has lasted for "
                f"empty_grace={self._settings.empty_grace:g} s"
            )
            return False
        self._rival.over()
        for scope in self._scopes.values():
            scope.clear()
        self._name = rival.name
        return self._take(rival.parts, now) or True

    def failed(self, error: LookupFailed, now: float) -> None:
        """No usable answer: nothing changes but when to ask next."""
        self.failures += 1
        self.consecutive_failures += 1
        self.error = error
        self._samples = 0
        self.due = now + max(0.0, self._backoff(self.consecutive_failures, error))

    def expired(self, now: float) -> bool:
        """Apply `max_stale`; true if the peers may have changed."""
        if now < self.expires_at:
            return False
        for scope in self._scopes.values():
            scope.clear()
        self.given_up = True
        self.error = LookupFailed(f"no believable answer for max_stale={self._settings.max_stale:g} s")
        return True

    # What the caller wants to know.

    @property
    def wakes_at(self) -> float:
        """When there is something to do: a lookup is due, or `max_stale` is over."""
        return min(self.due, self.expires_at)

    @property
    def sampling(self) -> bool:
        """This refresh goes on: the union of incomplete answers still grows."""
        return self._samples > 0

    @property
    def unsettled(self) -> bool:
        """The first refresh has not ended in an answer."""
        return self.answered_at is None or self.sampling

    @property
    def complete(self) -> bool:
        return self._whole

    def stale(self, now: float) -> bool:
        """A refresh is overdue by one whole attempt."""
        return now >= self._fresh_until

    def held(self) -> Held:
        """What the next lookup has to know: the same object for as long as it is the same."""
        held = self._held
        for scope in self._scopes.values():
            if scope.members:
                suspects = tuple(scope.suspects)
                if held.members is not scope.members or held.verify != suspects or held.name != self._name:
                    ports = frozenset(key[1] for key in scope.members if isinstance(key, tuple))
                    self._held = held = Held(scope.rdtype, ports, suspects, scope.members, self._name)
                return held
        return NOTHING_HELD

    def peers(self) -> list[Peer]:
        """The members as peers: the same objects for as long as what they say is true."""
        found: list[Peer] = []
        for scope in self._scopes.values():
            found += scope.peers(self._port)
        return found

    def _schedule(self, answer: Answer, now: float) -> None:
        settings = self._settings
        scopes = [self._scope(part.rdtype) for part in answer.parts]
        if any(scope.grew and not scope.complete and scope.rdtype != SRV for scope in scopes):
            self._samples += 1
            if self._samples < SAMPLES_PER_REFRESH:
                self.due = now
                return
        self._samples = 0
        ttl = min(
            part.ttl if part.negative else min(max(part.ttl, settings.min_ttl), settings.max_ttl)
            for part in answer.parts
        )
        self.due = now + ttl + _late(ttl, self._rng.random())
        if any(scope.recheck for scope in scopes):
            self.due = min(self.due, now + max(settings.min_ttl, 0.1))
        if settings.max_stale is not None:  # the refresh comes before the end, also where the TTL is longer
            self.due = min(self.due, now + max(settings.min_ttl, settings.max_stale - self._chance()))

    def _chance(self) -> float:
        """Of `max_stale`, the seconds that a refresh has to prevent the end."""
        assert self._settings.max_stale is not None
        return min(self._settings.timeout, self._settings.max_stale / 2)

    @property
    def expires_at(self) -> float:
        """When `max_stale` is over for the members."""
        return self._expires if self._members() else inf

    def _members(self) -> bool:
        return any(scope.members for scope in self._scopes.values())

    def _crowd(self, parts: Iterable[Part], now: float) -> int:
        return sum(self._scope(part.rdtype).crowd(part, now) for part in parts)

    def _scope(self, rdtype: int) -> _Scope:
        if rdtype not in self._scopes:
            self._scopes[rdtype] = _Scope(rdtype, self._settings)
        return self._scopes[rdtype]


def _known(new: Addresses, old: Addresses) -> Addresses:
    return Addresses(old.v4 if new.v4 is None else new.v4, old.v6 if new.v6 is None else new.v6)


def _peers_of(key: Key, detail: Detail | None, port: int | None, family: Family) -> tuple[Peer, ...]:
    if isinstance(key, bytes):
        return (Peer(address_text(key), port),)
    assert detail is not None
    target, port = key
    hostname = target if literal_target(target) is None else None
    return tuple(
        Peer(addresses[0], port, hostname, priority=detail.priority, weight=detail.weight, addresses=addresses)
        for addresses in _addresses(detail.addresses, family)
    )


def _addresses(known: Addresses, family: Family) -> list[tuple[str, ...]]:
    """One target's addresses, a tuple per peer: one IPv4 and one IPv6 are one peer, several of a family several.

    Where IPv4 is still to be asked for, there is no peer: its endpoint would change when the IPv4 address is known.
    """
    if known.v4 is None and family != "ipv6":
        return []
    v4, v6 = ([address_text(packed) for packed in found or ()] for found in known)
    if len(v4) == len(v6) == 1:
        return [(v4[0], v6[0])]
    return [(address,) for address in (v4 if v4 and family == "auto" else v4 + v6)]
