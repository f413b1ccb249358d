"""Hypothesis plays the world: after each step everything that must be true is true, and failures are made small."""

from __future__ import annotations

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from .cluster import dual_stack, ipv4_only
from .dns import FINE, Faults
from .network import CALM, Weather
from .world import Subscriber, Watched, World

CLUSTERS = st.sampled_from(["web", "api", "jobs"])
SOME = st.integers(0, 1_000)
CHANCE = st.sampled_from([0.0, 0.1, 0.5, 1.0])


class Machine(RuleBasedStateMachine):
    world: World

    @initialize(
        seed=st.integers(0, 2**32),
        stranger=st.booleans(),
        second=st.booleans(),
        grace=st.sampled_from([0.0, 30.0]),
        max_stale=st.sampled_from([None, 60.0]),
        dual=st.booleans(),
    )
    def begin(self, seed: int, stranger: bool, second: bool, grace: float, max_stale: float | None, dual: bool) -> None:
        self.world = world = World(seed, stranger=stranger, second=second)
        world.longest_ttl = 600
        web = world.add_cluster("web", stateful=True, pods=3, ttl=5)
        api = world.add_cluster("api", stateful=False, pods=3, ttl=5)
        jobs = world.add_cluster("jobs", stateful=False, pods=3, ttl=10, shape=dual_stack if dual else ipv4_only)
        world.watch(web, "http", empty_grace=grace)
        world.watch(api, family="auto", max_stale=max_stale)
        world.watch(jobs, "http", max_stale=max_stale, family="any")
        world.watch(jobs, answers="sample")
        world.watch(api, "auto")
        world.run(1)

    def _of(self, label: str) -> tuple[object, ...]:
        return tuple(cluster for name, cluster in self.world.clusters.items() if name.startswith(label))

    # Time.

    @rule(seconds=st.sampled_from([0.1, 1.0, 5.0, 20.0, 120.0]))
    def time_passes(self, seconds: float) -> None:
        self.world.run(seconds)

    @rule(seconds=st.sampled_from([0.5, 3.0, 20.0, 60.0, 600.0]))
    def the_process_is_frozen(self, seconds: float) -> None:
        self.world.freeze(seconds)

    # Pods.

    @rule(label=CLUSTERS, pods=st.integers(0, 12))
    def pods_join_or_leave(self, label: str, pods: int) -> None:
        for cluster in self._of(label):
            cluster.scale(pods, self.world.host.now)  # type: ignore[attr-defined]

    @rule(label=CLUSTERS, which=SOME)
    def a_pod_restarts(self, label: str, which: int) -> None:
        for cluster in self._of(label):
            ordinals = sorted(cluster.pods)  # type: ignore[attr-defined]
            if ordinals:
                cluster.restart(ordinals[which % len(ordinals)], self.world.host.now)  # type: ignore[attr-defined]

    @rule(label=CLUSTERS, which=SOME)
    def readiness_flaps(self, label: str, which: int) -> None:
        for cluster in self._of(label):
            ordinals = sorted(cluster.pods)  # type: ignore[attr-defined]
            if ordinals:
                ordinal = ordinals[which % len(ordinals)]
                cluster.set_ready(ordinal, ordinal in cluster.unready, self.world.host.now)  # type: ignore[attr-defined]

    @rule(label=CLUSTERS, ttl=st.sampled_from([0, 1, 5, 30, 600]))
    def the_ttl_changes(self, label: str, ttl: int) -> None:
        for cluster in self._of(label):
            cluster.ttl = ttl  # type: ignore[attr-defined]

    # Answers.

    @rule(
        udp=st.integers(1, 12),
        tcp=st.sampled_from([4, 8, 10, 10_000]),
        glue=st.sampled_from([1, 4, 10_000]),
        order=st.sampled_from(["random", "in order"]),
        minimal=st.sampled_from([0.0, 0.0, 0.3, 1.0]),
    )
    def answers_are_cut(self, udp: int, tcp: int, glue: int, order: str, minimal: float) -> None:
        habits = self.world.habits
        habits.udp, habits.tcp, habits.glue_tcp, habits.minimal = udp, tcp, glue, minimal
        habits.glue_cut = order  # type: ignore[assignment]
        self.world.disturb()

    @rule(lag=st.sampled_from([0.0, 0.5, 5.0, 30.0]))
    def a_replica_lags(self, lag: float) -> None:
        self.world.cluster_dns.replicas[0].lag = lag
        self.world.disturb()

    @rule(which=SOME)
    def a_replica_restarts(self, which: int) -> None:
        self.world.cluster_dns.replicas[which % 2].forget()

    # Trouble.

    @rule(first=st.booleans(), what=st.sampled_from(sorted(vars(Faults()))), chance=CHANCE)
    def a_server_is_in_trouble(self, first: bool, what: str, chance: float) -> None:
        server = self.world.cluster_dns if first else self.world.second
        if server.faults is FINE:
            server.faults = Faults()
        setattr(server.faults, what, chance)

    @rule(loss=CHANCE, most=st.sampled_from([0.02, 1.5, 4.0]), twice=CHANCE, reset=CHANCE, stall=CHANCE)
    def the_network_is_in_trouble(self, loss: float, most: float, twice: float, reset: float, stall: float) -> None:
        self.world.network.weather = Weather(loss, (most / 10, most), twice, reset, stall)

    @rule()
    def all_is_fine(self) -> None:
        self.world.network.weather = CALM
        self.world.cluster_dns.faults = self.world.second.faults = FINE
        self.world.disturb()
        self.world.busy_most = 0.0

    # Users.

    @rule(most=st.sampled_from([0.0, 2.0, 100.0]))
    def subscribers_are_slow(self, most: float) -> None:
        self.world.busy_most = most

    @rule(which=SOME, polled=st.booleans())
    def somebody_subscribes(self, which: int, polled: bool) -> None:
        watched = self._watched(which)
        watched.subscribers.append(Subscriber(self.world, watched, polled=polled))

    @rule(which=SOME)
    @precondition(lambda self: any(watched.subscribers for watched in self.world.watched))
    def somebody_leaves(self, which: int) -> None:
        watched = self._watched(which)
        if watched.subscribers:
            gone = watched.subscribers.pop()
            gone.watcher.cancel()
            changes = gone.changes
            self.world.run(1)
            gone.poll()
            assert gone.changes == changes, "told after cancel()"

    @rule(which=SOME)
    def changes_are_fetched(self, which: int) -> None:
        for subscriber in self._watched(which).subscribers:
            if subscriber.watcher.callback is None:
                subscriber.poll()

    @rule(times=st.integers(1, 50))
    def refresh_in_a_tight_loop(self, times: int) -> None:
        for _ in range(times):
            for watched in self.world.watched:
                watched.service.refresh(lambda error: None)
        self.world.run(0.01)

    @rule(which=SOME)
    def a_service_is_closed_and_another_begins(self, which: int) -> None:
        watched = self._watched(which)
        self.world.close(watched)
        self.world.watch(watched.cluster, **watched.again)

    def _watched(self, which: int) -> Watched:
        return self.world.watched[which % len(self.world.watched)]

    @invariant()
    def everything_that_must_be_true_is_true(self) -> None:
        if hasattr(self, "world"):
            self.world.check()

    def teardown(self) -> None:
        if hasattr(self, "world"):
            if not self.world.broken:
                self.all_is_fine()
                self.world.settle()
            self.world.end()


Machine.TestCase.settings = settings(
    max_examples=80, stateful_step_count=50, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True
)
TestMachine = Machine.TestCase
