"""The library's side: services of both kinds, subscribers, users, and samples of what the process takes."""

from __future__ import annotations

import gc
import multiprocessing
import os
import random
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Coroutine
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar
from weakref import WeakSet

from tenacity import wait_random_exponential

from headless_discovery import (
    AsyncHeadlessService,
    Change,
    DiscoveryError,
    HeadlessService,
    Peer,
    PeerSet,
    reader,
    wire,
)
from support.twins import Loop

from .cluster import Target, serve

PATIENCE = 60.0  # seconds of calm after which a set that is not right is wrong
WARM_UP = 1 / 3  # of the time: then services are as old as they get, and so is what each remembers
# What a run of at least LONG seconds may grow by after that: in MiB and in parts of one.
LONG, RSS_FLAT, BLOCKS_FLAT = 300.0, 10.0, 0.03
OPTIONS: dict[str, dict[str, Any]] = {
    "a": {"port": 8080},
    "srv": {"port": "http"},
    "auto": {"port": "auto"},
    "any": {"port": 8080, "family": "any"},
}
STRATEGIES = ("round_robin", "random", "consistent_hash", "maglev", "least_loaded")
# What may only be there while somebody holds a service.
OURS = ("Service", "HeadlessService", "AsyncHeadlessService", "Membership", "Lookup", "Exchange", "Watcher", "Change")


@dataclass(slots=True)
class Sample:
    """`time` in seconds since the start, `rss` in MiB; `objects`: services and subscribers; `blocks` of memory in use
    by Python's objects, which tell a leak from memory that is free but in pieces; `stale` services at that moment.
    """

    time: float
    rss: float
    threads: int
    descriptors: int
    objects: int
    blocks: int
    stale: int
    changes: int


@dataclass
class Outcome:
    """What a soak came to. `wrong`: everything that should not be, in words; empty if all is well."""

    seconds: float
    services: int
    seed: int
    samples: list[Sample] = field(default_factory=list)
    totals: Counter[str] = field(default_factory=Counter)
    settled: float = 0.0
    growth: float = 0.0  # RSS, in MiB
    blocks_growth: float = 0.0  # share
    wrong: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        return {**vars(self), "samples": [asdict(sample) for sample in self.samples]}


class History:
    """A subscriber that checks what it is told (design, rule 3) and keeps only the last."""

    alive: ClassVar[WeakSet[History]] = WeakSet()

    def __init__(
        self, why: Callable[[str], None], whose: str = "", *, slow: bool = False, raises: bool = False
    ) -> None:
        self.alive.add(self)
        self._whose = whose
        self.current = PeerSet()
        self.calls = 0
        self._why = why
        self._slow, self._raises = slow, raises
        self._running = threading.Lock()

    def __call__(self, change: Change) -> None:
        if not self._running.acquire(blocking=False):
            self._why("a callback was called while it ran")
            return
        try:
            self._check(change)
            self.current = change.current
            self.calls += 1
        except Exception as error:
            self._why(f"a subscriber's check raised {error!r}")
            raise
        else:
            if self._slow:
                threading.Event().wait(0.05)
            if self._raises:
                raise RuntimeError("a subscriber's own trouble")
        finally:
            self._running.release()

    def _check(self, change: Change) -> None:
        before, after = endpoints(change.previous), endpoints(change.current)
        if change.previous != self.current:
            told = sorted(map(str, endpoints(self.current)))
            self._why(
                f"call {self.calls + 1} of {self._whose}: {told} was told last, but now {sorted(map(str, before))}"
            )
        if self.calls and not change:
            self._why("a change of nothing")
        if set(change.added) != {peer for peer in change.current if peer.endpoint not in before}:
            self._why("a change whose `added` is not what was added")
        if set(change.removed) != {peer for peer in change.previous if peer.endpoint not in after}:
            self._why("a change whose `removed` is not what was removed")


def endpoints(peers: PeerSet) -> set[tuple[str, int | None]]:
    return {peer.endpoint for peer in peers}


class Watched:
    """One service of either kind, and its subscribers. Used from one thread, but for `peers`."""

    def __init__(self, target: Target, loop: Loop | None, why: Callable[[str], None], rng: random.Random, **more: Any):
        options = {
            "strategy": rng.choice(STRATEGIES),
            "empty_grace": 3.0,
            "retry_wait": wait_random_exponential(multiplier=0.2, max=3),
            **OPTIONS[target.records],
            **more,
        }
        self.target = target
        self._loop = loop
        self._why = why
        self._rng = rng
        self.service: HeadlessService | AsyncHeadlessService
        if loop is None:
            self.service = HeadlessService(target.name, **options)
        else:
            self.service = loop.call(lambda: AsyncHeadlessService(target.name, **options))
        # Slow and raising ones among threads only: on an event loop, one's own callbacks share one's own thread.
        slow = loop is None and rng.random() < 0.1
        whose = f"{type(self.service).__name__} {target}"
        self.histories = [History(why, whose, slow=slow, raises=rng.random() < 0.05), History(why, whose)]
        for history in self.histories:
            self.plain(lambda history=history: self.service.watch(history))

    def plain(self, function: Callable[[], Any]) -> Any:
        return function() if self._loop is None else self._loop.call(function)

    def wait(self, function: Callable[[], Any]) -> Any:
        result = function()
        return self._loop.run(result) if self._loop is not None and isinstance(result, Coroutine) else result

    def use(self) -> None:
        """What users do: pick, lease, refresh, watch for a while. Failures of DNS are part of it; others are not."""
        service = self.service
        try:
            match self._rng.randrange(5):
                case 0:
                    self.wait(service.refresh)
                case 1:
                    self.plain(lambda: service.pick("a key"))
                case 2:
                    self.plain(lambda: service.pick_many(3))
                case 3:
                    self.plain(self._lease)
                case 4:
                    history = History(self._why)
                    subscription = self.plain(lambda: service.watch(history))
                    self.plain(subscription.cancel)
        except DiscoveryError:
            pass

    def _lease(self) -> None:
        # An async service's lease is entered without waiting, but with `async with`; the sync one will do.
        if isinstance(self.service, HeadlessService):
            with self.service.lease() as peer:
                assert isinstance(peer, Peer)

    def close(self) -> Counter[str]:
        status = self.service.status
        self.wait(self.service.close)
        counted = Counter({"closed": 1, "callbacks": sum(history.calls for history in self.histories)})
        for name in ("lookups", "queries", "failures", "changes", "callback_errors"):
            counted[name] = getattr(status, name)
        return counted

    def found(self) -> set[str]:
        try:
            peers: PeerSet = self.plain(self.service.peers)
        except DiscoveryError:
            return {"no answer yet"}
        return {
            address
            for peer in peers
            for address in (peer.addresses if self.target.records == "any" else [peer.address])
        }

    def right(self, truth: list[set[str]]) -> bool:
        """The set is the truth, and every subscriber knows it."""
        if self.found() not in truth:
            return False
        peers = self.plain(self.service.peers)
        return all(history.current == peers for history in self.histories)


class Soak:
    def __init__(self, seconds: float, services: int, seed: int, replaced: float = 2.5) -> None:
        """`replaced`: services closed and made anew, each second."""
        self.outcome = Outcome(seconds, services, seed)
        self._rng = random.Random(seed)
        self._replaced = replaced
        self._said: Counter[str] = Counter()
        # What lives, without asking the garbage collector: gc.get_objects() while other threads run breaks the tuples
        # that they are making (CPython then raises SystemError there).
        self._services: WeakSet[HeadlessService | AsyncHeadlessService] = WeakSet()

    def wrong(self, what: str) -> None:
        self._said[what] += 1

    def run(self, note: Callable[[Sample], None] = lambda sample: None) -> Outcome:
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(target=serve, args=(theirs, self.outcome.seed, self.outcome.services // 2))
        process.start()
        theirs.close()
        try:
            self._connection = ours
            self._nameserver, self._targets = ours.recv()
            # What stays of the library once it was used is there before and after: its I/O thread and our event loop.
            with HeadlessService("10.0.0.1:1"):
                self._loop = Loop()
                try:
                    self._soak(note)
                finally:
                    self._loop.stop()
            ours.send("stop")
            process.join()
        finally:
            process.kill()
            process.join()
            process.close()
            ours.close()
        self.outcome.wrong += [f"{what} ({count} times)" for what, count in self._said.items()]
        return self.outcome

    def _soak(self, note: Callable[[Sample], None]) -> None:
        outcome = self.outcome
        gc.collect()
        descriptors, threads, objects = count_descriptors(), our_threads(), count_objects(OURS)
        # One of each kind for each target; what is asked and found is the same.
        watched = [self._new(target, loop) for target in self._targets for loop in (None, self._loop)]
        self._start(watched)
        # The same services with as many pods, in calm: what they take may be compared.
        self._storm(watched, note, outcome.seconds * WARM_UP)
        warm = self._at_rest(watched)
        self._storm(watched, note, outcome.seconds * (1 - WARM_UP))
        worn = self._at_rest(watched)
        outcome.growth = round(worn.rss - warm.rss, 2)
        outcome.blocks_growth = round(worn.blocks / warm.blocks - 1, 4)
        if outcome.seconds >= LONG and (outcome.growth > RSS_FLAT or outcome.blocks_growth > BLOCKS_FLAT):
            self.wrong(f"memory is not flat: {outcome.growth:+.1f} MiB, {outcome.blocks_growth:+.1%} blocks")
        # Of what was closed and cancelled on the way nothing is left; each service has two subscribers.
        services, histories = len(watched), 2 * len(watched)
        self._gone(
            "what was closed or cancelled",
            lambda: +Counter(services=len(self._services) - services, subscribers=len(History.alive) - histories),
        )
        while watched:
            outcome.totals += watched.pop().close()
        self._nothing_is_left(descriptors, threads, objects)

    def _start(self, watched: list[Watched]) -> None:
        for each in watched:
            try:
                each.wait(each.service.start)
            except DiscoveryError as error:
                self.wrong(f"no first answer: {error}")

    def _new(self, target: Target, loop: Loop | None) -> Watched:
        seed = self._rng.getrandbits(32)
        watched = Watched(target, loop, self.wrong, self._rng, nameservers=[self._nameserver], seed=seed)
        self._services.add(watched.service)
        return watched

    def _at_rest(self, watched: list[Watched]) -> Sample:
        """Once the cluster is calm and every set is right; without what is remembered of names, up to a bound."""
        totals = self.outcome.totals
        self._connection.send("calm")
        truth, totals["events"], totals["faults"] = self._connection.recv()
        self._settle(watched, [found for found in truth for _ in range(2)])
        reader._seen.clear()
        reader._seen_srv.clear()
        wire._question.cache_clear()
        return self._sample(0, watched)

    def _storm(self, watched: list[Watched], note: Callable[[Sample], None], seconds: float) -> None:
        outcome, rng = self.outcome, self._rng
        every = min(1.0, outcome.seconds / 40)
        began = time.monotonic()
        before = outcome.samples[-1].time + every if outcome.samples else 0.0
        self._connection.send("storm")
        pause, users_end = threading.Event(), threading.Event()
        guard = threading.Lock()  # a service is not closed while it is used

        def users() -> None:
            mine = random.Random(outcome.seed + 1)
            due = time.monotonic()
            while not users_end.wait(0.01):
                with guard:
                    index = mine.randrange(len(watched))
                    try:
                        watched[index].use()
                    except Exception as error:
                        self.wrong(f"a user's call raised {error!r}")
                    if time.monotonic() >= due:
                        due += 1 / self._replaced
                        index = rng.randrange(len(watched))
                        outcome.totals += watched[index].close()
                        loop = None if index % 2 == 0 else self._loop
                        watched[index] = self._new(watched[index].target, loop)

        user = threading.Thread(target=users, name="soak-user")
        user.start()
        try:
            number = 0
            while (now := time.monotonic() - began) < seconds:
                sample = self._sample(before + now, watched)
                outcome.samples.append(sample)
                note(sample)
                number += 1
                pause.wait(max(0.0, began + number * every - time.monotonic()))
        finally:
            users_end.set()
            user.join()

    def _sample(self, now: float, watched: list[Watched]) -> Sample:
        gc.collect()
        statuses = [each.service.status for each in list(watched)]
        return Sample(
            time=round(now, 2),
            rss=round(rss() / 2**20, 2),
            threads=threading.active_count(),
            descriptors=sum(count_descriptors().values()),
            objects=len(self._services) + len(History.alive),
            blocks=sys.getallocatedblocks(),
            stale=sum(status.state == "stale" for status in statuses),
            changes=sum(status.changes for status in statuses) + self.outcome.totals["changes"],
        )

    def _settle(self, watched: list[Watched], truth: list[list[set[str]]]) -> None:
        """The faults are over: each set has to become the truth by itself, and each subscriber to be told."""
        began = time.monotonic()
        pause = threading.Event()
        unsettled = dict(enumerate(watched))
        while unsettled and time.monotonic() - began < PATIENCE:
            pause.wait(0.1)
            unsettled = {i: each for i, each in unsettled.items() if not each.right(truth[i])}
        self.outcome.settled = round(time.monotonic() - began, 1)
        for i, each in unsettled.items():
            found = each.found()
            self.wrong(
                f"{type(each.service).__name__} {each.target} is not right after {PATIENCE:g} s of calm: "
                f"missing {sorted(truth[i][0] - found)[:3]}, too many {sorted(found - truth[i][0])[:3]}, "
                f"{each.service.status}"
            )
        for each in watched:  # and what was right stays so
            if each not in unsettled.values() and not each.right(truth[watched.index(each)]):
                self.wrong(f"{each.target} was right, and is not any more")

    def _nothing_is_left(self, descriptors: Counter[str], threads: set[str], objects: Counter[str]) -> None:
        # The I/O thread's frame holds the exchange it read last, until it reads another.
        held = Counter(Lookup=1, Exchange=1)
        self._gone("descriptors", lambda: count_descriptors() - descriptors)
        self._gone("threads", lambda: Counter(our_threads() - threads))
        self._gone("objects", lambda: count_objects(OURS) - objects - held)

    def _gone(self, what: str, left: Callable[[], Counter[str]]) -> None:
        """Idle callback threads hold their last job for as long as they live, so this may take ten seconds."""
        deadline = time.monotonic() + PATIENCE
        pause = threading.Event()
        while (counted := left()) and time.monotonic() < deadline:
            pause.wait(0.1)
            gc.collect()
        if counted:
            self.wrong(f"left over: {what} {dict(counted)}")


def rss() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def count_descriptors() -> Counter[str]:
    kinds: Counter[str] = Counter()
    for entry in os.listdir("/proc/self/fd"):
        try:
            kinds[os.readlink(f"/proc/self/fd/{entry}").partition(":[")[0]] += 1
        except OSError:  # the one that listdir itself used
            continue
    return kinds


def our_threads() -> set[str]:
    """Names. The pool for callbacks is bounded, and its threads end by themselves when idle."""
    return {t.name for t in threading.enumerate() if not t.name.startswith("headless-discovery-callback")}


def count_objects(names: tuple[str, ...]) -> Counter[str]:
    """Objects of the library's classes, as the garbage collector knows them."""
    return Counter(
        type(o).__name__
        for o in gc.get_objects()
        if type(o).__module__.startswith("headless_discovery") and type(o).__name__ in names
    )
