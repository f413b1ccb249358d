"""What happens to a world, drawn from its seed: pods, servers, network, process and subscribers."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from .cluster import HeadlessSvc
from .dns import FINE, Faults
from .network import Weather
from .world import Subscriber, World


class Story:
    """Some event every `pause` seconds on average; trouble lasts until the weather changes again."""

    def __init__(
        self, world: World, *, ttls: Sequence[int], pause: float = 60.0, most_pods: int = 12, whole: float = 0.3
    ) -> None:
        self.world = world
        self.whole = whole  # how often TCP has room for everybody
        self.ttls = ttls
        self.pause = pause
        self.most_pods = most_pods
        self.weights: dict[Callable[[], None], int] = {
            self.scale: 9,
            self.restart: 6,
            self.flap: 6,
            self.gone: 1,
            self.ttl: 2,
            self.cuts: 6,
            self.server_trouble: 4,
            self.network_trouble: 3,
            self.fine: 12,
            self.outage: 1,
            self.replica_lags: 2,
            self.replica_restarts: 1,
            self.freeze: 1,
            self.refresh: 2,
            self.slow_subscribers: 1,
            self.subscribers_come_and_go: 1,
        }
        self._events, self._chances = list(self.weights), list(self.weights.values())

    def run(self, seconds: float) -> None:
        world, rng = self.world, self.world.rng
        end = world.host.now + seconds
        while world.host.now < end:
            world.run(min(end - world.host.now, rng.expovariate(1 / self.pause)))
            (event,) = rng.choices(self._events, self._chances)
            world.events[event.__name__] += 1
            event()

    def _cluster(self) -> HeadlessSvc:
        return self.world.rng.choice(list(self.world.clusters.values()))

    # Pods.

    def scale(self) -> None:
        fewest = self.world.rng.choice([1, self.most_pods - 3, self.most_pods - 3])
        self._cluster().scale(self.world.rng.randint(fewest, self.most_pods), self.world.host.now)

    def gone(self) -> None:
        cluster = self._cluster()
        cluster.scale(0, self.world.host.now)
        self.world.run(self.world.rng.choice([5.0, 30.0, 300.0]))
        cluster.scale(self.world.rng.randint(1, self.most_pods), self.world.host.now)

    def restart(self) -> None:
        cluster = self._cluster()
        if cluster.pods:
            cluster.restart(self.world.rng.choice(list(cluster.pods)), self.world.host.now)

    def flap(self) -> None:
        cluster = self._cluster()
        if cluster.pods:
            ordinal = self.world.rng.choice(list(cluster.pods))
            cluster.set_ready(ordinal, ordinal in cluster.unready, self.world.host.now)
            if self.world.rng.random() < 0.5:
                self.world.run(self.world.rng.choice([10.0, 40.0]))
                cluster.set_ready(ordinal, ordinal in cluster.unready, self.world.host.now)

    # Answers.

    def ttl(self) -> None:
        self._cluster().ttl = self.world.rng.choice(self.ttls)

    def cuts(self) -> None:
        rng, limits = self.world.rng, self.world.limits
        limits.udp = rng.randint(1, self.most_pods)
        half = self.most_pods // 2
        limits.tcp = 10_000 if rng.random() < self.whole else rng.randint(half, self.most_pods - 2)
        limits.glue = rng.choice([10_000, rng.randint(1, self.most_pods)])

    # Trouble.

    def server_trouble(self) -> None:
        rng = self.world.rng
        server = rng.choice([self.world.cluster_dns, self.world.cluster_dns, self.world.second])
        faults = Faults()
        for name in rng.sample(sorted(vars(faults)), rng.randint(1, 3)):
            most = 0.1 if name == "nxdomain" and server is self.world.cluster_dns else 1.0
            setattr(faults, name, rng.choice([0.1, 0.5, most]) * most)
        server.faults = faults

    def network_trouble(self) -> None:
        rng = self.world.rng
        self.world.network.weather = Weather(
            loss=rng.choice([0.0, 0.1, 0.5]),
            delay=rng.choice([(0.001, 0.02), (0.1, 1.5), (0.5, 4.0)]),
            twice=rng.choice([0.0, 0.5]),
            tcp_reset=rng.choice([0.0, 0.3]),
            tcp_stall=rng.choice([0.0, 0.3]),
        )

    def outage(self) -> None:
        """Nobody answers, or everybody says no: in the middle of an emptiness or not."""
        world, rng = self.world, self.world.rng
        emptied = self._cluster() if rng.random() < 0.5 else None
        if emptied is not None:
            emptied.scale(0, world.host.now)
            world.run(rng.choice([2.0, 20.0]))
        faults = Faults(**{rng.choice(["silence", "refused", "servfail", "lame"]): 1.0})
        world.cluster_dns.faults = world.second.faults = faults
        world.run(rng.choice([5.0, 40.0, 400.0]))
        self.fine()
        world.run(rng.choice([2.0, 20.0]))
        if emptied is not None:
            emptied.scale(rng.randint(1, self.most_pods), world.host.now)

    def replica_lags(self) -> None:
        self.world.rng.choice(self.world.cluster_dns.replicas).lag = self.world.rng.choice([0.1, 0.6, 3.0, 15.0])

    def fine(self) -> None:
        self.world.network.weather = Weather()
        self.world.cluster_dns.faults = self.world.second.faults = FINE
        self.world.busy_most = 0.0

    def replica_restarts(self) -> None:
        self.world.rng.choice([*self.world.cluster_dns.replicas, *self.world.second.replicas]).forget()

    # The process.

    def freeze(self) -> None:
        self.world.freeze(self.world.rng.choice([0.5, 3.0, 20.0, 60.0, 600.0]))

    def refresh(self) -> None:
        for watched in self.world.watched:
            watched.service.refresh(lambda error: None)
        self.world.run(0.2)

    def slow_subscribers(self) -> None:
        self.world.busy_most = self.world.rng.choice([1.0, 30.0, 300.0])

    def subscribers_come_and_go(self) -> None:
        for watched in self.world.watched:
            for subscriber in watched.subscribers:
                if subscriber.watcher.callback is None:
                    subscriber.poll()
            leaving = watched.subscribers.pop(0)
            leaving.watcher.cancel()
            watched.subscribers.insert(0, Subscriber(self.world, watched))
