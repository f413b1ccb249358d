"""One service, whoever drives it: several memberships and static peers in, one set with its picker out.

Everything here runs on the service's `Host`, one callback at a time; only `live` and `status` are read from elsewhere.
The twins in sync.py and aio.py add waiting and calling, and nothing else.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterable
from functools import partial
from math import inf
from typing import NamedTuple, Protocol, TypeAlias

from .answer import Answer
from .asker import Asker, Askers, Asking
from .balance.api import Picker, Strategy
from .connections import Host
from .errors import DiscoveryError, LookupFailed, ServiceClosed, TargetError
from .logs import log
from .membership import Membership
from .model import Endpoint, Peer, PeerSet, State, Status, canonical_address
from .pickers import Pickers
from .settings import Settings
from .target import Question, Target
from .ticks import Handle
from .transport import is_own_address
from .watchers import Watcher, Watchers

MAX_ASKED = 10_000  # addresses of which it is remembered whether they are this process's own
MIN_PAUSE = 0.1  # seconds between two lookups of one name after a failure, however often refresh() is called

Backoff: TypeAlias = Callable[[int, LookupFailed], float]
Done: TypeAlias = Callable[[DiscoveryError | None], None]


class ServiceHost(Host, Protocol):
    """A host that services share: their askers, and the pace at which new ones start."""

    askers: Askers

    def stagger(self) -> float:
        """When the next new service may ask first."""
        ...

    def do(self, callback: Callable[[], None]) -> None:
        """Call back at once, but where no signal's exception can interrupt it half-way."""
        ...


class Heard(NamedTuple):
    """What came of one lookup: the answer or why there is none, the queries it took and its duration in seconds.

    An answer that is refused, for its size, counts as none.
    """

    question: Question
    result: Answer | DiscoveryError
    queries: int
    took: float


class NotReady(Exception):
    """There was no first answer yet."""


class Live:
    """A set and its picker: one object, swapped by one assignment."""

    __slots__ = ("peers", "picker")

    def __init__(self, peers: PeerSet, picker: Picker) -> None:
        self.peers = peers
        self.picker = picker


class Starting:
    """In the place of `Live` before the first answer."""

    @property
    def peers(self) -> PeerSet:
        raise NotReady

    @property
    def picker(self) -> Picker:
        raise NotReady


class Closed:
    """In the place of `Live` after close()."""

    def __init__(self, why: str) -> None:
        self.why = why

    @property
    def peers(self) -> PeerSet:
        raise ServiceClosed(self.why)

    @property
    def picker(self) -> Picker:
        raise ServiceClosed(self.why)


class _Name:
    """One watched name of the service."""

    def __init__(self, question: Question, asker: Asker, membership: Membership) -> None:
        self.question = question
        self.asker = asker
        self.membership = membership
        self.asking: Asking | None = None
        self.in_flight = False
        self.asked_at = 0.0
        self.timer: Handle | None = None
        self.ended_at: float | None = None  # the last lookup, whatever came of it
        self.waiting: list[_Round] = []


class _Round:
    """Somebody waits for one lookup of each of some names."""

    def __init__(self, names: Iterable[_Name], done: Done) -> None:
        self._open = set(names)
        self._done = done
        self._error: DiscoveryError | None = None
        for name in self._open:
            name.waiting.append(self)
        if not self._open:
            done(None)

    def ended(self, name: _Name, error: DiscoveryError | None) -> None:
        self._open.discard(name)
        self._error = self._error or error
        if not self._open:
            self._done(self._error)

    def closed(self, error: DiscoveryError) -> None:
        if self._open:
            self._open.clear()
            self._done(error)


class Service:
    """`notify()` is called after anything that a waiter may wait for; `deliver(watchers)` calls subscribers."""

    def __init__(
        self,
        target: Target,
        settings: Settings,
        strategy: Strategy,
        *,
        backoff: Backoff,
        exclude_self: ExcludeSelf,
        rng: random.Random,
        notify: Callable[[], None],
        deliver: Callable[[list[Watcher]], None],
    ) -> None:
        self.target = target
        self.settings = settings
        self.live: Live | Starting | Closed = Starting()
        self.watchers = Watchers()
        self.error: DiscoveryError | None = None  # why there is no first answer
        self.heard: Callable[[Heard], None] | None = None  # told of each lookup once it is taken in; must not wait
        self._pickers = Pickers(strategy, target.text, self._built)
        self._backoff = backoff
        self._exclude_self = exclude_self
        self._rng = rng
        self._notify = notify
        self._deliver = deliver
        self._host: ServiceHost | None = None
        self._names: list[_Name] = []
        self._changes = 0

    # On the host.

    def begin(self, host: ServiceHost, done: Done | None = None) -> None:
        """Start watching, if that is still to do. `done` hears of the first answer, or why there is none yet."""
        if isinstance(self.live, Closed):
            if done is not None:
                done(ServiceClosed(self.live.why))
            return
        if self._host is None:
            self._host = host
            for question in self.target.questions:
                membership = Membership(self.settings, question.port, self._rng, self._backoff, host.stagger())
                name = _Name(question, host.askers.get(question, self.settings), membership)
                self._names.append(name)
                self._sleep(name)
            if not self._names:
                self._swap()
        if done is None:
            return
        first = [] if isinstance(self.live, Live) else [n for n in self._names if n.membership.unsettled]
        _Round(first, lambda error: done(error if isinstance(self.live, Starting) else None))
        for name in first:  # a second start() does not wait for the back-off
            if name.membership.failures:
                self._ask_soon(name)

    def refresh(self, done: Done) -> None:
        """Ask now; `done` hears what came of it."""
        assert self._host is not None
        if isinstance(self.live, Closed):
            done(ServiceClosed(self.live.why))
            return
        now = self._host.time()
        due = []
        for name in self._names:
            answered = name.membership.answered_at
            recent = answered is not None and now - answered < self.settings.min_ttl
            if not recent or name.in_flight or name.membership.consecutive_failures:
                due.append(name)
        _Round(due, done)
        for name in due:
            self._ask_soon(name)

    def close(self, why: str) -> None:
        if isinstance(self.live, Closed):
            return
        self.live = Closed(why)
        for name in self._names:
            if name.timer is not None:
                name.timer.cancel()
            if name.asking is not None:
                name.asking.cancel()
            assert self._host is not None
            self._host.askers.release(name.asker)
            name.timer = name.asking = None  # they lead to the event loop, which may be closed while this is kept
        for name in self._names:
            for waiting in name.waiting:
                waiting.closed(ServiceClosed(why))
            name.waiting.clear()
        self._pickers.close()
        self.watchers.close()
        self._notify()

    def after_fork(self, host: ServiceHost) -> None:
        """In the child: what was in flight is the parent's; ask for oneself, with randomness of one's own."""
        if self._host is None or isinstance(self.live, Closed):
            return
        self._host = host
        self._rng.seed()
        for watcher in self.watchers.called:
            watcher.busy = False
        for name in self._names:
            name.asking, name.in_flight, name.timer = None, False, None
            name.waiting.clear()
            name.asker = host.askers.get(name.question, self.settings, name.asker)
            name.membership.due = host.time() + self._rng.uniform(0, 0.5)
            self._sleep(name)
        if isinstance(self.live, Live) and self.live.peers:  # or every worker goes on with the same next peer
            self._pickers.forget()
            self.live = Live(self.live.peers, self._pickers.build(self.live.peers, host))
        self._deliver(list(self.watchers.called))

    def _sleep(self, name: _Name) -> None:
        assert self._host is not None
        if name.timer is not None:
            name.timer.cancel()
        # The first lookup is waited for; when a refresh is due was drawn at random anyway.
        call = self._host.call_at if name.ended_at is None or name.membership.sampling else self._host.call_near
        name.timer = call(name.membership.wakes_at, partial(self._wake, name))

    def _ask_soon(self, name: _Name) -> None:
        assert self._host is not None
        if name.in_flight:
            return
        now = self._host.time()
        failing = name.membership.consecutive_failures and name.ended_at is not None
        name.membership.due = max(now, (name.ended_at or now) + MIN_PAUSE) if failing else now
        self._host.do(partial(self._wake, name))

    def _wake(self, name: _Name) -> None:
        assert self._host is not None
        if isinstance(self.live, Closed):
            return
        now = self._host.time()
        membership = name.membership
        if membership.expired(now):
            self._swap()
        if now >= membership.due and not name.in_flight:
            name.in_flight, name.asked_at = True, now
            asking = name.asker.ask(membership.held(), partial(self._ended, name))
            name.asking = asking if name.in_flight else None
            if name.in_flight and membership.expires_at < inf:  # `max_stale` may be over before the lookup is
                name.timer = self._host.call_at(membership.expires_at, partial(self._wake, name))
        elif not name.in_flight:
            self._sleep(name)

    def _ended(self, name: _Name, result: Answer | LookupFailed, queries: int) -> None:
        assert self._host is not None
        if isinstance(self.live, Closed):
            return
        now = self._host.time()
        name.asking, name.in_flight, name.ended_at = None, False, now
        membership = name.membership
        membership.lookups += 1
        membership.queries += queries
        changed = membership.expired(now)  # a process that was frozen hears the answer before the timer
        failed_before = membership.failures
        if isinstance(result, Answer):
            changed = membership.answered(result, now) or changed
        else:
            membership.failed(result, now)
        error = membership.error if membership.failures > failed_before else None
        if self.heard is not None:
            self.heard(Heard(name.question, error or result, queries, now - name.asked_at))
        self._sleep(name)
        if membership.sampling:
            if changed and isinstance(self.live, Live):
                self._swap()
            return
        if changed or isinstance(self.live, Starting):
            self._swap()
        waiting, name.waiting = name.waiting, []
        # Who waits for a refresh gets the picker for what it brought.
        self._pickers.once_built(partial(self._tell, name, waiting, error))

    def _tell(self, name: _Name, waiting: Iterable[_Round], error: DiscoveryError | None) -> None:
        for each in waiting:
            each.ended(name, error)
        self._notify()

    # The set and its picker.

    def _swap(self) -> None:
        if isinstance(self.live, Starting):
            if any(name.ended_at is None for name in self._names):
                return  # the union of several names is delivered once each of them was asked
            answered = any(name.membership.answered_at is not None for name in self._names)
            if not (answered or self.target.static):
                self.error = next((n.membership.error for n in self._names if n.membership.error), None)
                return
        before = self.live.peers if isinstance(self.live, Live) else PeerSet(target=self.target.text)
        found = list(self.target.static)
        for name in self._names:
            found += name.membership.peers()
        peers = before._followed_by(self._others(found))
        first = isinstance(self.live, Starting)
        if peers == before and not first:
            return
        assert self._host is not None
        self.live = Live(peers, self._pickers.build(peers, self._host))
        self.error = None
        self._changes += peers != before
        self._notify()
        self._deliver(self.watchers.publish(peers))
        self._pickers.tell()

    def _built(self, peers: PeerSet, picker: Picker) -> None:
        if not isinstance(self.live, Closed):
            self.live = Live(peers, picker)

    def _others(self, peers: list[Peer]) -> list[Peer]:
        return [peer for peer in peers if not self._exclude_self.excludes(peer)] if self._exclude_self else peers

    # From anywhere.

    def status(self, now: float) -> Status:
        live, memberships = self.live, [name.membership for name in self._names]
        state: State
        if isinstance(live, Closed):
            state = "closed"
        elif isinstance(live, Starting):
            state = "starting"
        elif not live.peers and any(m.given_up for m in memberships):
            state = "expired"
        elif any(m.stale(now) for m in memberships):
            state = "stale"
        else:
            state = "fresh" if live.peers else "empty"
        believed = [m.believed_at for m in memberships if m.believed_at is not None]
        errors = (m.error for m in memberships if m.error is not None)
        next_refresh = min((m.due for m in memberships), default=None)
        return Status(
            state=state,
            error=next(errors, self._pickers.error),
            age=now - min(believed) if believed else None,
            next_refresh_in=None if next_refresh is None or state == "closed" else max(0.0, next_refresh - now),
            complete=isinstance(live, Live) and all(m.complete for m in memberships),
            lookups=sum(m.lookups for m in memberships),
            queries=sum(m.queries for m in memberships),
            failures=sum(m.failures for m in memberships),
            consecutive_failures=max((m.consecutive_failures for m in memberships), default=0),
            changes=self._changes,
            callback_errors=self.watchers.errors,
        )


class ExcludeSelf:
    """`exclude_self=`: True (`$POD_IP`, `$POD_IPS`, or the peer whose address the route to it starts from), or
    addresses and "host:port"s.
    """

    def __init__(self, option: bool | str | Iterable[str], is_own: Callable[[str], bool] = is_own_address) -> None:
        listed = [] if isinstance(option, bool) else [option] if isinstance(option, str) else list(option)
        self._auto = option is True
        self._own: frozenset[str | Endpoint] | None = None if self._auto else frozenset(map(_own_endpoint, listed))
        self._is_own = is_own
        self._asked: dict[str, bool] = {}  # by the route, while that is how to know

    def __bool__(self) -> bool:
        return self._auto or bool(self._own)

    def excludes(self, peer: Peer) -> bool:
        if self._own is None:
            self._own = told_addresses()
        if self._own or not self._auto:
            return peer.endpoint in self._own or any(address in self._own for address in peer.addresses)
        return any(map(self._is_at, peer.addresses))

    def _is_at(self, address: str) -> bool:
        found = self._asked.get(address)
        if found is None:
            if len(self._asked) > MAX_ASKED:
                self._asked.clear()
            found = self._asked[address] = self._is_own(address)
        return found


def told_addresses() -> frozenset[str]:
    """What the downward API says in `$POD_IPS` and `$POD_IP`."""
    told = f"{os.environ.get('POD_IPS', '')},{os.environ.get('POD_IP', '')}"
    try:
        return frozenset(canonical_address(text.strip()) for text in told.split(",") if text.strip())
    except ValueError as error:
        log.warning("exclude_self=True: $POD_IP is not read: %s", error)
        return frozenset()


def _own_endpoint(text: str) -> str | Endpoint:
    from .target import parse

    try:
        (peer,) = parse(text).static
    except (TargetError, ValueError):
        raise TargetError(f"exclude_self: {text!r} is neither an address nor address:port") from None
    return peer.address if peer.port is None else peer.endpoint
