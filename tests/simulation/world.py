"""One process in one cluster: services under watch, and what must be true of them after each step.

This is where the real library meets the judge. It passes on the set, the status and the replies, and adds no rule about
who is in.
"""

from __future__ import annotations

import inspect
import os
import random
import shutil
import tempfile
import weakref
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import Any

from headless_discovery.model import Change, PeerSet, packed_address
from headless_discovery.options import build
from headless_discovery.service import Closed, Live, Service
from headless_discovery.target import Server
from headless_discovery.watchers import Watcher

from .clock import Broken, VirtualHost
from .cluster import PORT, HeadlessSvc, Shape, ipv4_only
from .dns import ALIAS, FINE, PREFIX, Dead, Habits, ModelServer, Replica, Stranger
from .judge import Arrival, Fair, Judge, Peers, Said, Trust
from .network import CALM, Network, Transcript
from .words import AAAA, SRV, A

CLUSTER_DNS, SECOND = Server("10.96.0.10"), Server("10.96.0.11")
PUBLIC, DEAD = Server("192.0.2.53"), Server("10.96.0.99")
BACKOFF_MOST = 10.0
LOOK_EVERY = 3.0
OPTIONS = frozenset(inspect.signature(build).parameters)  # what this version of the library takes

DEFAULTS: dict[str, Any] = {
    "strategy": "round_robin",
    "protocol": "tcp",
    "family": "ipv4",
    "tcp": "auto",
    "timeout": 5.0,
    "min_ttl": 1.0,
    "max_ttl": 30.0,
    "empty_grace": 30.0,
    "max_stale": None,
    "answers": "all",
    "retry_wait": None,
    "exclude_self": False,
    "allow_networks": None,
    "max_peers": 10_000,
    "zone": None,
    "zone_policy": "prefer",
}


class Subscriber:
    """Follows one watcher's changes. `polled` ones fetch them (`changes()`), the others are called."""

    def __init__(self, world: World, watched: Watched, *, polled: bool = False, raises: float = 0.0) -> None:
        self.world = world
        self.watched = watched
        self.told: PeerSet | None = None
        self.changes = 0
        self.running = False
        self._raises = raises
        self.watcher: Watcher = watched.service.watchers.add(None if polled else self.called)
        if not polled and isinstance(watched.service.live, Live):
            world.host.deliver([self.watcher])

    def called(self, change: Change) -> None:
        self.take(change)
        if self._raises and self.world.rng.random() < self._raises:
            raise RuntimeError("a subscriber's own trouble")

    def poll(self) -> None:
        if (change := self.watcher.next()) is not None:
            self.take(change)

    def take(self, change: Change) -> None:
        self.changes += 1
        if self.told is None:
            self.world.must(change.previous == PeerSet(), "history: the first change has a previous set", self.watched)
        else:
            self.world.must(change.previous == self.told, "history: previous is not the last current", self.watched)
            self.world.must(bool(change), "history: a change that changes nothing", self.watched)
        self.told = change.current

    def check(self) -> None:
        live = self.watched.service.live
        if isinstance(live, Live) and not self.watcher.busy and self.watcher.callback is not None:
            self.world.must(self.told == live.peers, "history: idle, but not told of the current set", self.watched)


@dataclass(eq=False)
class Watched:
    """A service, its judge, and its pace."""

    service: Service
    judge: Judge
    cluster: HeadlessSvc
    subscribers: list[Subscriber]
    host: VirtualHost
    ended_at: float
    lookups: int = 0
    ended: bool = False  # a lookup, of which the judge has not heard yet
    recent: deque[float] = field(default_factory=lambda: deque(maxlen=64))
    most_queries: int = 0
    again: dict[str, Any] = field(default_factory=dict)  # what `watch` was called with
    _set: object = None
    _peers: Peers | None = None

    @property
    def settings(self) -> Any:
        return self.service.settings

    def peers(self) -> Peers | None:
        """The set as the judge knows it; None before the first answer. The same object while the set is the same."""
        live = self.service.live
        if not isinstance(live, Live):
            return None
        if live.peers is not self._set:
            self._set = live.peers
            self._peers = {packed_address(text): peer.hostname for peer in live.peers for text in peer.addresses}
        return self._peers

    def heard(self, _: object) -> None:
        self.ended = True

    def state(self) -> str:
        return self.service.status(self.host.now).state

    def said(self, now: float) -> tuple[Said, Any]:
        status = self.service.status(now)
        failed = status.consecutive_failures > 0
        return Said(failed, status.error is not None, status.complete, status.state), status


class World:
    """`strict`: the first thing that is wrong ends the run; else it is counted in `wrong`."""

    def __init__(
        self,
        seed: int,
        *,
        stranger: bool = False,
        second: bool = True,
        lags: tuple[float, ...] = (0.1, 0.6),
        habits: Habits | None = None,
        search: tuple[str, ...] = (),
        name: str = "",
    ) -> None:
        self.rng = rng = random.Random(seed)
        self.seed = seed
        self.name = name
        self.strict = True
        self.wrong: Counter[str] = Counter()
        self.first_wrong: dict[str, str] = {}
        self.clusters: dict[str, HeadlessSvc] = {}
        self.watched: list[Watched] = []
        self.habits = habits or Habits()
        self.busy_most = 0.0
        names: dict[str, HeadlessSvc] = self.clusters
        self.cluster_dns = ModelServer([Replica(names, rng, lag) for lag in lags], rng, self.habits)
        self.second = ModelServer([Replica(names, rng, 0.3)], rng, self.habits)
        servers: dict[Server, Any] = {CLUSTER_DNS: self.cluster_dns}
        if second:
            servers[SECOND] = self.second
        if stranger:
            servers[PUBLIC] = Stranger()
        self.usual = tuple(servers)
        self.search = search
        directory = tempfile.mkdtemp(prefix="simulation-")
        self._clean_up = weakref.finalize(self, shutil.rmtree, directory)
        self.resolv_conf = os.path.join(directory, "resolv.conf")
        self.network = Network(servers | {PUBLIC: Stranger(), DEAD: Dead()}, rng)
        self.network.ended = self._lookup_ended
        self.configure()
        self.host = VirtualHost(self.network.converse, lambda: self.rng.random() * self.busy_most)  # type: ignore[arg-type]
        self.steps = 0
        self.broken = False
        self.counts: Counter[str] = Counter()  # of services that were closed
        self.joined = self.left = 0
        self.events: Counter[str] = Counter()
        self.disturbed_at = self.host.now
        self.longest_ttl = 0
        self._trusts: dict[Any, Trust] = {}
        self._frozen_until = 0.0

    # What is in the world.

    def add_cluster(
        self, label: str, *, stateful: bool, pods: int, ttl: int, space: int = 250, shape: Shape = ipv4_only
    ) -> HeadlessSvc:
        cluster = HeadlessSvc(label, stateful, ttl, 1 + len(self.clusters), space, shape)
        self.clusters[cluster.name] = cluster
        cluster.scale(pods, self.host.now)
        self.longest_ttl = max(self.longest_ttl, ttl)
        return cluster

    def configure(self, servers: tuple[Server, ...] | None = None, search: tuple[str, ...] | None = None) -> None:
        """Write resolv.conf: another file is renamed over it, as kubelets do."""
        servers = servers or self.usual
        search = self.search if search is None else search
        lines = [*(f"nameserver {server}" for server in servers), f"search {' '.join(search) or '.'}"]
        other = self.resolv_conf + ".new"
        with open(other, "w", encoding="ascii") as file:
            file.write("\n".join([*lines, "options ndots:5", ""]))
        os.replace(other, self.resolv_conf)
        self.network.configured = tuple(map(str, servers))

    @property
    def is_usual(self) -> bool:
        return self.network.configured == tuple(map(str, self.usual))

    def watch(
        self,
        cluster: HeadlessSvc,
        port: int | str = PORT,
        *,
        subscribers: int = 2,
        target: str | None = None,
        alias: bool = False,
        **options: Any,
    ) -> Watched:
        """`target`: how the user writes the name; without it, in full."""
        name = (ALIAS if alias else "") + cluster.name
        again = {"port": port, "subscribers": subscribers, "target": target, "alias": alias, **options}
        options = DEFAULTS | options
        service = build(
            target or name + ".",
            port,
            nameservers=None,
            resolv_conf=self.resolv_conf,
            seed=self.rng.getrandbits(32),
            notify=lambda: None,
            deliver=self.host.deliver,
            **{key: value for key, value in options.items() if key in OPTIONS},
        )
        (question,) = service.target.questions
        family = options["family"]
        known_as = (name, cluster.name)
        names: dict[int, tuple[str, ...]] = {} if family == "ipv6" else {A: known_as}
        if family != "ipv4":
            names[AAAA] = known_as
        if isinstance(port, str):
            names = {SRV: (name,), **names} if port == "auto" else {SRV: (PREFIX + name,)}
        judge = Judge(
            names,
            family,
            self._trusts.setdefault((question, service.settings), Trust()),
            lambda kind, what: self.must(False, f"{kind}: {what}", watched),
            options["timeout"],
            options["min_ttl"],
            options["max_ttl"],
            options["empty_grace"],
            options["max_stale"],
            options["answers"] == "sample",
            self.habits.no_srv,
        )
        watched = Watched(service, judge, cluster, [], self.host, self.host.now, again=again)
        self.watched.append(watched)
        service.heard = watched.heard
        watched.subscribers += [Subscriber(self, watched, raises=0.1 if n == 1 else 0.0) for n in range(subscribers)]
        watched.subscribers.append(Subscriber(self, watched, polled=True))
        service.begin(self.host)  # type: ignore[arg-type]
        service._names[0].asker._rng = random.Random(self.rng.getrandbits(32))  # type: ignore[assignment]
        return watched

    def close(self, watched: Watched) -> None:
        watched.service.close("closed by the test")
        self.watched.remove(watched)
        # What was learnt of the servers goes with the last service that asks so.
        trust = watched.judge.trust
        if not any(other.judge.trust is trust for other in self.watched):
            self._trusts = {key: kept for key, kept in self._trusts.items() if kept is not trust}

    def restart(self) -> None:
        """The process ends and another begins."""
        before = list(self.watched)
        for watched in before:
            self.close(watched)
            self.counts += watched.judge.counts
            self.joined += watched.judge.joined
            self.left += watched.judge.left
        for watched in before:
            self.watch(watched.cluster, **watched.again)

    # Time.

    def run(self, seconds: float) -> None:
        end = self.host.now + seconds
        if any(watched.settings.max_stale is not None for watched in self.watched):
            while self.host.now < end - LOOK_EVERY:  # age removes peers at a moment, whatever else happens then
                self.host.run_until(self.host.now + LOOK_EVERY)
                for watched in self.watched:
                    watched.judge.sees(watched.peers(), watched.state, self.host.now)
        self.host.run_until(end)
        self.check()

    def disturb(self) -> None:
        """Something happens: what has to be right after a while of fair weather has that while from now."""
        self.disturbed_at = self.host.now

    def freeze(self, seconds: float) -> None:
        self.host.freeze(seconds)
        self._frozen_until = self.host.now
        self.disturb()
        before = {id(w): w.lookups for w in self.watched}
        self.host.run_until(self.host.now)
        for watched in list(self.watched):
            # One lookup may end at the thaw (its time is over) and, if nothing can be sent, one more fail at once.
            burst = watched.lookups - before[id(watched)]
            self.must(burst <= 2, f"{burst} lookups at once after a freeze", watched)
        self.check()

    def settle(self, seconds: float = 120.0) -> None:
        """Fair weather for a while, and nobody busy: everything ends up told."""
        self.busy_most = 0.0
        self.run(seconds)
        for watched in self.watched:
            for subscriber in watched.subscribers:
                subscriber.poll()
                if isinstance(watched.service.live, Live):
                    self.must(subscriber.told == watched.service.live.peers, "not told after quiescence", watched)

    def end(self) -> None:
        self._clean_up()

    # What must be true.

    def must(self, true: bool, what: str, watched: Watched | None = None) -> None:
        if true:
            return
        where = ""
        if watched is not None:
            where = f" ({watched.service.target.text} port={self._port(watched)} {watched.judge.family})"
        world = f"world {self.name}, " if self.name else ""
        text = f"{what}{where}; {world}seed {self.seed}, t={self.host.now:.3f}, step {self.steps}"
        kind = what.partition(":")[0]
        self.wrong[kind] += 1
        self.first_wrong.setdefault(kind, text)
        if self.strict:
            self.broken = True
            raise Broken(text)

    def _port(self, watched: Watched) -> str:
        return "any" if SRV not in watched.judge.names else "auto" if A in watched.judge.names else "http"

    def _lookup_ended(self, transcript: Transcript) -> None:
        now = self.host.now
        for watched in self.watched:
            if not watched.ended:
                continue  # it was another service's
            watched.ended, watched.lookups = False, watched.lookups + 1
            said, status = watched.said(now)
            self.steps += 1
            arrived = [Arrival(*each) for each in transcript.arrived]
            watched.judge.hears(transcript.started, transcript.servers, arrived, watched.peers(), said, now)
            self._check_pace(watched, transcript, status, now)

    def _check_pace(self, watched: Watched, transcript: Transcript, status: Any, now: float) -> None:
        settings, recent = watched.settings, watched.recent
        watched.ended_at = now
        queries = len(transcript.sent)
        watched.most_queries = max(watched.most_queries, queries)
        names = set(transcript.sent)
        # Each name costs at most, from each server and in each of two attempts: TCP and UDP, both again without EDNS,
        # and TCP after TC.
        servers = len(transcript.servers)
        self.must(queries <= 10 * servers * len(names), "too many queries in a lookup", watched)
        own = {name for known_as in watched.judge.names.values() for name in known_as} | {watched.cluster.name}
        glue = len({name for name, _ in names} - own)
        most = 2 * 50 + 2 * len(self.search)
        self.must(glue <= most or watched.lookups == 1, f"{glue} other names asked for in a lookup", watched)
        if now - transcript.started > settings.timeout + 0.01:
            self.must(transcript.started <= self._frozen_until, "a lookup took longer than its timeout", watched)
        # Between the ends of 33 lookups: four samples a refresh, a refresh at most every min_ttl; failures wait for
        # their back-off, which full jitter lets be short, but hardly ever five times in a row.
        recent.append(now)
        if len(recent) == recent.maxlen:
            self.must(now - recent[0] >= 4.0 * settings.min_ttl, "64 lookups in no time", watched)
        most_wait = max(1.1 * settings.max_ttl, BACKOFF_MOST, 10.5)
        due_in = status.next_refresh_in
        due = due_in is not None and 0.0 <= due_in <= most_wait
        self.must(due, "the next refresh is overdue or too far off", watched)

    def check(self) -> None:
        """After each step."""
        now = self.host.now
        for watched in self.watched:
            settings = watched.settings
            said, status = watched.said(now)
            self.must(not isinstance(watched.service.live, Closed), "closed by itself", watched)
            watched.judge.sees(watched.peers(), watched.state, now)
            for subscriber in watched.subscribers:
                subscriber.check()
            # Whatever happens, the next lookup ends in time: it is scheduled, and it has a timeout.
            wait = max(1.1 * settings.max_ttl, BACKOFF_MOST, 10.5) + settings.timeout + 0.1
            quiet_since = max(watched.ended_at, self._frozen_until)
            self.must(now - quiet_since <= wait, f"no lookup for {now - quiet_since:.1f} s", watched)
            self.must(status.next_refresh_in is not None, "no next refresh", watched)
            if self.fair_weather:
                cluster = watched.cluster
                watched.judge.fair(cluster.ready, self._fair(watched), said, now)

    @property
    def fair_weather(self) -> bool:
        """The servers of the cluster answer, and nothing is lost."""
        servers = (self.cluster_dns, self.second)
        fine = all(server.faults is FINE for server in servers) and self.network.weather is CALM
        return fine and self.is_usual

    def _fair(self, watched: Watched) -> Fair:
        habits = self.habits
        since = max(self.disturbed_at, watched.cluster.changed_at, self._frozen_until)
        lag = max(replica.lag for server in (self.cluster_dns, self.second) for replica in server.replicas)
        room = habits.udp if watched.settings.tcp == "never" or habits.no_tcp else habits.tcp
        tries_again = bool(habits.wildcard or habits.nxdomain_for_types or habits.no_srv)
        return Fair(since, lag, self.longest_ttl, room, not habits.same_cuts, tries_again)
