"""One process in one cluster: services under watch, and what must be true of them after each step."""

from __future__ import annotations

import random
from collections import Counter, deque
from dataclasses import dataclass
from typing import Any

from headless_discovery.model import Change, PeerSet, packed_address
from headless_discovery.options import build
from headless_discovery.service import Closed, Live, Service
from headless_discovery.target import Server
from headless_discovery.testing.message import SRV, A
from headless_discovery.watchers import Watcher

from .clock import Broken, VirtualHost
from .cluster import PORT, HeadlessSvc
from .dns import Limits, ModelServer, Replica, Stranger
from .judge import Judge, Trust
from .network import Network, Transcript

CLUSTER_DNS, SECOND, PUBLIC = Server("10.96.0.10"), Server("10.96.0.11"), Server("192.0.2.53")
BACKOFF_MOST = 10.0

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
    "resolv_conf": "/nonexistent/resolv.conf",  # whatever this machine has
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
    subscribers: list[Subscriber]
    lookups: int = 0
    ended_at: float = 0.0
    started_at: float | None = None
    recent: deque[float] | None = None
    most_queries: int = 0
    checked: tuple[PeerSet, int] | None = None

    @property
    def settings(self) -> Any:
        return self.service.settings


class World:
    def __init__(self, seed: int, *, as_bytes: bool = False, stranger: bool = False, second: bool = True) -> None:
        self.rng = rng = random.Random(seed)
        self.seed = seed
        self.clusters: dict[str, HeadlessSvc] = {}
        self.watched: list[Watched] = []
        self.limits = Limits()
        self.busy_most = 0.0
        names: dict[str, HeadlessSvc] = self.clusters
        replicas = [Replica(names, rng, 0.1), Replica(names, rng, 0.6)]
        self.cluster_dns = ModelServer(replicas, rng, self.limits)
        self.second = ModelServer([Replica(names, rng, 0.3)], rng, self.limits)
        servers: dict[Server, Any] = {CLUSTER_DNS: self.cluster_dns}
        if second:
            servers[SECOND] = self.second
        if stranger:
            servers[PUBLIC] = Stranger()
        self.network = Network(servers, rng, as_bytes=as_bytes)
        self.network.ended = self._lookup_ended
        self.host = VirtualHost(self.network.converse, lambda: self.rng.random() * self.busy_most)  # type: ignore[arg-type]
        self.steps = 0
        self.broken = False
        self.events: Counter[str] = Counter()
        self._trusts: dict[Any, Trust] = {}
        self._frozen_until = 0.0

    # What is in the world.

    def add_cluster(self, label: str, *, stateful: bool, pods: int, ttl: int, space: int = 250) -> HeadlessSvc:
        cluster = HeadlessSvc(label, stateful, ttl, 1 + len(self.clusters), space)
        self.clusters[cluster.name] = cluster
        cluster.scale(pods, self.host.now)
        return cluster

    def watch(self, cluster: HeadlessSvc, port: int | str = PORT, *, subscribers: int = 2, **options: Any) -> Watched:
        servers = [str(server) for server in self.network.servers]
        options = DEFAULTS | options
        service = build(
            cluster.name + ".",
            port,
            nameservers=servers,
            seed=self.rng.getrandbits(32),
            notify=lambda: None,
            deliver=self.host.deliver,
            **options,
        )
        (question,) = service.target.questions
        trust = self._trusts.setdefault((question, service.settings), Trust(tuple(self.network.servers)))
        judge = Judge(
            cluster.name,
            A if isinstance(port, int) else SRV,
            port if isinstance(port, int) else PORT,
            trust,
            both=options["family"] == "auto",
            bare=port == "auto",
            timeout=options["timeout"],
            min_ttl=options["min_ttl"],
            empty_grace=options["empty_grace"],
            max_stale=options["max_stale"],
            sample=options["answers"] == "sample",
        )
        watched = Watched(service, judge, [], ended_at=self.host.now, recent=deque(maxlen=64))
        self.watched.append(watched)
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

    # Time.

    def run(self, seconds: float) -> None:
        self.host.run_until(self.host.now + seconds)
        self.check()

    def freeze(self, seconds: float) -> None:
        self.host.freeze(seconds)
        self._frozen_until = self.host.now
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

    # What must be true.

    def must(self, true: bool, what: str, watched: Watched | None = None) -> None:
        if not true:
            self.broken = True
            where = "" if watched is None else f" ({watched.judge.name}, last verdict {watched.judge.verdict})"
            raise Broken(f"{what}{where}; seed {self.seed}, t={self.host.now:.3f}, step {self.steps}")

    def _lookup_ended(self, transcript: Transcript) -> None:
        now = self.host.now
        for watched in self.watched:
            lookups = watched.service._names[0].membership.lookups
            if lookups == watched.lookups:
                continue  # it was another service's
            watched.lookups = lookups
            self.steps += 1
            watched.judge.aged(now)
            watched.judge.hears(transcript, now)
            self.check_set(watched)
            self._check_pace(watched, transcript, now)

    def _check_pace(self, watched: Watched, transcript: Transcript, now: float) -> None:
        settings, recent = watched.settings, watched.recent
        assert recent is not None
        watched.ended_at = now
        queries = len(transcript.sent)
        watched.most_queries = max(watched.most_queries, queries)
        names = set(transcript.sent)
        # Each name costs at most, from each server and in each of two attempts: TCP and UDP, both again without EDNS,
        # and TCP after TC.
        servers = len(self.network.servers)
        self.must(queries <= 10 * servers * len(names), "too many queries in a lookup", watched)
        glue = len({name for name, _ in names}) - 1
        self.must(glue <= 101 or watched.lookups == 1, "too many other names asked for in a lookup", watched)
        if now - transcript.started > settings.timeout + 0.01:
            self.must(transcript.started <= self._frozen_until, "a lookup took longer than its timeout", watched)
        # Between the ends of 33 lookups: four samples a refresh, a refresh at most every min_ttl; failures wait for
        # their back-off, which full jitter lets be short, but hardly ever five times in a row.
        recent.append(now)
        if len(recent) == recent.maxlen:
            self.must(now - recent[0] >= 4.0 * settings.min_ttl, "64 lookups in no time", watched)
        most = max(1.1 * settings.max_ttl, BACKOFF_MOST, 10.5)
        due_in = watched.service._names[0].membership.due - now
        self.must(0.0 <= due_in <= most, "the next refresh is overdue or too far off", watched)
        if watched.judge.verdict == "whole" or watched.judge.verdict == "cut":
            return
        status = watched.service.status(now)
        if watched.judge.verdict == "failed":
            self.must(status.consecutive_failures > 0 and status.error is not None, "a failure is not told", watched)
        elif watched.judge.members:
            self.must(status.error is not None, "an unbelieved emptiness is not told", watched)

    def check_set(self, watched: Watched) -> None:
        live = watched.service.live
        if not isinstance(live, Live):
            done = watched.judge.believed_at is not None and not watched.service._names[0].membership.sampling
            self.must(isinstance(live, Closed) or not done, "an answer, but no set", watched)
            return
        if watched.checked == (live.peers, watched.judge.version):
            return
        watched.checked = (live.peers, watched.judge.version)
        wanted = watched.judge.endpoints()
        found = {(packed_address(peer.address), peer.port): peer for peer in live.peers}
        if wanted.keys() != found.keys():
            lost = [_text(e) for e in wanted.keys() - found.keys()]
            extra = [_text(e) for e in found.keys() - wanted.keys()]
            self.must(not lost, f"false removal (or missed join) of {sorted(lost)}", watched)
            self.must(not extra, f"missed change: {sorted(extra)} had to leave", watched)
        for endpoint, peer in found.items():
            if peer.hostname not in wanted[endpoint]:  # type: ignore[index]
                self.must(False, f"{peer} goes by the wrong name", watched)
            if (peer.weight, peer.priority) != (1, 0):
                self.must(False, f"{peer} has a weight nobody gave it", watched)

    def check(self) -> None:
        """After each step."""
        now = self.host.now
        for watched in self.watched:
            settings = watched.settings
            watched.judge.aged(now)
            self.check_set(watched)
            for subscriber in watched.subscribers:
                subscriber.check()
            # Whatever happens, the next lookup ends in time: it is scheduled, and it has a timeout.
            wait = max(1.1 * settings.max_ttl, BACKOFF_MOST, 10.5) + settings.timeout + 0.1
            quiet_since = max(watched.ended_at, self._frozen_until)
            self.must(now - quiet_since <= wait, f"no lookup for {now - quiet_since:.1f} s", watched)
            status = watched.service.status(now)
            self.must(status.next_refresh_in is not None, "no next refresh", watched)
            believed = watched.judge.believed_at
            if believed is not None and now - believed > wait + settings.timeout and watched.judge.members:
                self.must(status.state == "stale", f"old answers, but the state is {status.state}", watched)
            self.must(not watched.judge.unverified, f"suspects not asked for: {watched.judge.unverified}", watched)


def _text(endpoint: tuple[bytes, int | None]) -> str:
    return f"{'.'.join(map(str, endpoint[0]))}:{endpoint[1]}"
