"""Lookups of one question: services of a process that ask the same share what is in flight and what was learnt."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TypeAlias

from .answer import Answer, Held
from .connections import Connections, Host
from .errors import LookupFailed
from .hosts import HostsFile
from .logs import log
from .lookup import Lookup
from .resolvconf import ResolvConf, ResolvConfFile
from .servers import Memory
from .settings import Settings
from .target import Question
from .transport import Carrier, Conversation

# The outcome, and how many queries it took.
Outcome: TypeAlias = Callable[[Answer | LookupFailed, int], None]
# What carries a lookup: over sockets, but in virtual time in the simulation.
Converse: TypeAlias = Callable[[Host, Lookup, Callable[[], None]], Carrier]


class Asking:
    """Somebody's part in a lookup in flight."""

    __slots__ = ("_flight", "outcome")

    def __init__(self, flight: _Flight, outcome: Outcome) -> None:
        self._flight = flight
        self.outcome = outcome

    def cancel(self) -> None:
        self._flight.leave(self)


class _Flight:
    def __init__(self, host: Host, converse: Converse, lookup: Lookup, ended: Callable[[], None]) -> None:
        self._lookup = lookup
        self._ended = ended
        self._conversation = converse(host, lookup, self._done)
        self._waiting: list[Asking] = []

    def join(self, outcome: Outcome) -> Asking:
        asking = Asking(self, outcome)
        self._waiting.append(asking)
        return asking

    def start(self) -> None:
        self._conversation.start()

    def leave(self, asking: Asking) -> None:
        if asking in self._waiting:
            self._waiting.remove(asking)
            if not self._waiting:
                self._ended()
                self._conversation.cancel()

    def _done(self) -> None:
        self._ended()
        result = self._lookup.result
        assert result is not None
        queries = self._lookup.queries
        while self._waiting:
            try:
                self._waiting.pop(0).outcome(result, queries)
            except Exception:  # one service's trouble must not keep the others waiting
                log.exception("internal error at the end of a lookup")
            queries = 0  # counted once, however many share them


class Asker:
    """Asks one question for all services on this host that have it."""

    def __init__(
        self, host: Host, converse: Converse, files: ConfFiles, question: Question, settings: Settings
    ) -> None:
        self._host = host
        self._converse = converse
        self._files = files
        self.question = question
        self.settings = settings
        self.memory = Memory()
        self._rng = random.SystemRandom()  # message ids, RFC 5452, 9.2
        self._flights: dict[Held, _Flight] = {}
        self._conf: tuple[ResolvConf, ResolvConf] | None = None  # the file's, and with the servers that the user named
        self.users = 0

    def ask(self, held: Held, outcome: Outcome) -> Asking | None:
        """Join the lookup in flight or start one; `outcome` may be called before this returns."""
        if (flight := self._flights.get(held)) is not None:
            return flight.join(outcome)
        local = self._files.hosts(self.settings.hosts).addresses(str(self.question))
        try:
            conf = self.conf()
        except LookupFailed as error:
            if not local:
                outcome(error, 0)
                return None
            conf = ResolvConf(())
        lookup = Lookup(self.question, conf, self.settings, self.memory, self._rng, held, local)
        flight = _Flight(self._host, self._converse, lookup, partial(self._land, held))
        self._flights[held] = flight
        asking = flight.join(outcome)
        flight.start()
        return asking

    def _land(self, held: Held) -> None:
        self._flights.pop(held, None)

    def conf(self) -> ResolvConf:
        """resolv.conf as it is now, with the servers that the user named. Raises `LookupFailed`."""
        servers = (self.question.server,) if self.question.server else self.settings.nameservers
        try:
            conf = self._files.current(self.settings.resolv_conf)
        except LookupFailed:
            if servers is None:
                raise
            return ResolvConf(servers)
        if servers is None:
            return conf
        if self._conf is None or self._conf[0] is not conf:
            self._conf = conf, replace(conf, servers=servers)
        return self._conf[1]


class ConfFiles:
    """The files that the services of one host read, each once."""

    def __init__(self) -> None:
        self._files: dict[str, ResolvConfFile] = {}
        self._hosts: dict[str | None, HostsFile] = {}

    def hosts(self, path: str | None) -> HostsFile:
        if path not in self._hosts:
            self._hosts[path] = HostsFile(path)
        return self._hosts[path]

    def current(self, path: str) -> ResolvConf:
        if path not in self._files:
            self._files[path] = ResolvConfFile(path)
        return self._files[path].current()


class Askers:
    """The askers of one host; each lives as long as a service uses it, and TCP connections as long as there are any."""

    def __init__(self, host: Host, converse: Converse | None = None) -> None:
        self._host = host
        self._connections = Connections(host)
        self._converse = converse or self._over_sockets
        self._files = ConfFiles()
        self._askers: dict[tuple[Question, Settings], Asker] = {}

    def get(self, question: Question, settings: Settings, before: Asker | None = None) -> Asker:
        """To be given back with `release`. A new one knows of servers and names what `before` knew."""
        asker = self._askers.get((question, settings))
        if asker is None:
            asker = self._askers[question, settings] = Asker(
                self._host, self._converse, self._files, question, settings
            )
            if before is not None:
                asker.memory = before.memory
        asker.users += 1
        return asker

    def release(self, asker: Asker) -> None:
        asker.users -= 1
        if not asker.users:
            del self._askers[asker.question, asker.settings]
        if not self._askers:
            self._connections.close()

    def _over_sockets(self, _: Host, lookup: Lookup, done: Callable[[], None]) -> Conversation:
        return Conversation(self._connections, lookup, done)
