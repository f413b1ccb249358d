"""Clients that ask one name again and again. `step` is called when one is due, and says when it is due next."""

from __future__ import annotations

import random
from collections.abc import Callable
from math import ceil
from typing import Protocol

from headless_discovery.answer import Answer, Members, Part
from headless_discovery.errors import LookupFailed
from headless_discovery.membership import Membership
from headless_discovery.message import A
from headless_discovery.options import RetryWait, _full_jitter, _tenacity
from headless_discovery.servers import ATTEMPTS
from headless_discovery.service import Backoff
from headless_discovery.settings import Settings
from headless_discovery.target import Server
from headless_discovery.ticks import TICK

from .servers import Asked, Told

NAME, PORT = "headless-svc.moon.svc.cluster.local", 8080
ADDRESSES = [bytes([10, 244, 0, number]) for number in (1, 2, 3)]
DELAY = 0.001  # seconds from question to answer
GIVES_UP, PAUSE = 5.0, 1.0  # a naive client: seconds it waits for an answer, and sleeps after an error

# What a lookup makes of each TTL: values, so that a fleet can share them.
_MEMBERS: Members = dict.fromkeys(ADDRESSES)
_SERVER = Server("10.96.0.10")
ANSWERS = [Answer(NAME, (Part(A, ttl, _MEMBERS),), _SERVER, False, 200) for ttl in range(31)]
FAILED = LookupFailed(f"{NAME} A: {_SERVER} timed out (UDP)")


class News:
    """How late changes are known, from the answers of all clients in a window of time.

    A change of the zone between the moments of which two answers tell is known with the second. `mean` is over all
    moments for a change, exactly.
    """

    def __init__(self, begin: float, end: float) -> None:
        self._begin, self._end = begin, end
        self.worst = 0.0
        self._lateness = self._time = 0.0

    def heard(self, now: float, before: float, since: float) -> None:
        if self._begin <= now < self._end:
            self._time += since - before
            self._lateness += ((now - before) ** 2 - (now - since) ** 2) / 2
            if now - before > self.worst:
                self.worst = now - before

    @property
    def mean(self) -> float:
        return self._lateness / self._time


class Client(Protocol):
    def step(self, now: float) -> float: ...


# A client of a fleet: whom it asks, its TTL, when it starts, the fleet's randomness and news.
Make = Callable[[Asked, int, float, random.Random, News], Client]


class Library:
    """The real `Membership` and back-off, at the ticks of a process of its own.

    Lookups are as short as they can be: see `whole` for real ones.
    """

    __slots__ = ("_asked", "_membership", "_news", "_phase", "_silent", "_since")

    def __init__(
        self, asked: Asked, start: float, rng: random.Random, news: News, settings: Settings, backoff: Backoff
    ) -> None:
        self._asked = asked
        self._news = news
        self._since = start
        self._silent = 0  # attempts of this lookup that nobody answered
        self._phase = rng.random()  # of its process's ticks
        self._membership = Membership(settings, PORT, rng, backoff, start)

    def step(self, now: float) -> float:
        membership = self._membership
        told = self._asked.ask(now)
        if told is None:
            wait = ATTEMPTS[self._silent]
            self._silent += 1
            if self._silent < len(ATTEMPTS):
                return now + wait
            now += wait
            membership.failed(FAILED, now)
        elif not told.ttl:
            now += DELAY
            membership.failed(FAILED, now)
        else:
            now += DELAY
            membership.answered(ANSWERS[told.ttl], now)
            if told.since > self._since:
                self._news.heard(now, self._since, told.since)
                self._since = told.since
        self._silent = 0
        return (ceil(membership.due / TICK - self._phase) + self._phase) * TICK  # as ticks.Ticks


def library(retry_wait: RetryWait | None = None, **options: float) -> Make:
    settings = Settings(**options)  # type: ignore[arg-type]

    def make(asked: Asked, ttl: int, start: float, rng: random.Random, news: News) -> Client:
        backoff = _full_jitter(rng) if retry_wait is None else _tenacity(retry_wait, _full_jitter(rng))
        return Library(asked, start, rng, news, settings, backoff)

    return make


class _Naive:
    __slots__ = ("_asked", "_news", "_since")

    def __init__(self, asked: Asked, start: float, news: News) -> None:
        self._asked = asked
        self._news = news
        self._since = start

    def _ask(self, now: float) -> Told | None:
        told = self._asked.ask(now)
        if told and told.since > self._since:
            self._news.heard(now + DELAY, self._since, told.since)
            self._since = told.since
        return told


class FixedInterval(_Naive):
    """Every TTL seconds from its start, on the dot, whatever the answer says."""

    __slots__ = ("_start", "_times", "_ttl")

    def __init__(self, asked: Asked, ttl: int, start: float, rng: random.Random, news: News) -> None:
        super().__init__(asked, start, news)
        self._ttl, self._start, self._times = ttl, start, 0

    def step(self, now: float) -> float:
        self._ask(now)
        self._times += 1
        return self._start + self._times * self._ttl


class AfterTTL(_Naive):
    """A loop that asks, then sleeps for the TTL it was told, or for a second after an error."""

    __slots__ = ()

    def __init__(self, asked: Asked, ttl: int, start: float, rng: random.Random, news: News) -> None:
        super().__init__(asked, start, news)

    def step(self, now: float) -> float:
        told = self._ask(now)
        if told is None:
            return now + GIVES_UP + PAUSE
        return now + DELAY + (told.ttl or PAUSE)
