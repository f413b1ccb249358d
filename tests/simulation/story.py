"""What happens to a world, drawn from its seed: pods, servers, network, process and subscribers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from .cluster import HeadlessSvc
from .dns import FINE, Faults
from .network import CALM, Weather
from .world import DEAD, PUBLIC, Subscriber, World

LONGEST_CALM = 500.0


class Story:
    """Some event every `pause` seconds on average; trouble lasts until the weather changes again.

    `cuts`: what `cut` draws the habits of servers from, an attribute and its values. `more`: events of this world
    alone, by name, with their weights.
    """

    def __init__(
        self,
        world: World,
        *,
        ttls: Sequence[int] = (5, 10, 15, 20, 30),
        pause: float = 60.0,
        most_pods: int = 12,
        whole: float = 0.3,
        cuts: Mapping[str, Sequence[object]] | None = None,
        more: dict[str, int] | None = None,
        faults: Sequence[str] = (),
    ) -> None:
        self.world = world
        self.whole = whole  # how often TCP has room for everybody
        self.ttls = ttls
        self.pause = pause
        self.most_pods = most_pods
        self.own_cuts = cuts
        self.own_faults = faults
        world.longest_ttl = max(ttls)
        chances = {
            "scale": 9,
            "restart": 6,
            "flap": 6,
            "gone": 1,
            "ttl": 2,
            "cut": 6,
            "server_trouble": 4,
            "network_trouble": 3,
            "fine": 6,
            "calm": 3,
            "outage": 1,
            "replica_lags": 2,
            "replica_restarts": 1,
            "freeze": 1,
            "refresh": 2,
            "slow_subscribers": 1,
            "subscribers_come_and_go": 1,
        } | (more or {})
        self._events: list[Callable[[], None]] = [getattr(self, name) for name in chances]
        self._chances = list(chances.values())

    def run(self, seconds: float, steps: int | None = None) -> None:
        """For so long, or until there were so many membership steps."""
        world, rng = self.world, self.world.rng
        end = world.host.now + seconds
        while world.host.now < end and (steps is None or world.steps < steps):
            world.run(min(end - world.host.now, rng.expovariate(1 / self.pause)))
            (event,) = rng.choices(self._events, self._chances)
            world.events[event.__name__] += 1
            world.disturb()
            event()
            if event.__name__ != "calm":
                world.disturb()

    def end(self) -> None:
        """All is well at last, for long enough to be checked."""
        self.world.disturb()
        self.calm(LONGEST_CALM)
        self.world.settle()
        self.world.end()

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

    def cut(self) -> None:
        """Another size of answers."""
        rng, habits = self.world.rng, self.world.habits
        if self.own_cuts is not None:
            for name, values in self.own_cuts.items():
                setattr(habits, name, rng.choice(values))
            return
        habits.udp = rng.randint(1, self.most_pods)
        half = self.most_pods // 2
        habits.tcp = 10_000 if rng.random() < self.whole else rng.randint(half, self.most_pods - 2)
        habits.glue_tcp = rng.choice([10_000, rng.randint(1, self.most_pods)])

    # Trouble.

    def server_trouble(self) -> None:
        rng = self.world.rng
        server = rng.choice([self.world.cluster_dns, self.world.cluster_dns, self.world.second])
        faults = Faults()
        names = sorted(vars(faults).keys() - {"foreign"} | set(self.own_faults))
        for name in dict.fromkeys([*rng.sample(names, rng.randint(1, 3)), *self.own_faults]):
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
        if not self.world.fair_weather:
            self.world.disturb()
        self.world.network.weather = CALM
        self.world.cluster_dns.faults = self.world.second.faults = FINE
        self.world.busy_most = 0.0
        self.world.configure()

    def calm(self, longest: float = LONGEST_CALM) -> None:
        """Nothing happens for so long that all has to be right."""
        self.fine()
        end = self.world.host.now + longest
        while self.world.host.now < end:
            self.world.run(20.0)

    def rewritten(self) -> None:
        """resolv.conf changes for a while: order, a public server, a dead one, another search list."""
        world, rng = self.world, self.world.rng
        usual = world.usual
        servers = rng.choice([usual, usual[::-1], (*usual, PUBLIC), (DEAD, *usual), (DEAD, PUBLIC), (DEAD,)])
        search = world.search
        if search and rng.random() < 0.5:
            *inside, outside = search  # the wildcard stays behind: else it is what the user asks for
            search = rng.choice([(*search, "more.example"), ("first.example", *search), (*inside[::-1], outside)])
        emptied = self._cluster() if world.search and rng.random() < 0.4 else None
        if emptied is not None:  # at that very moment its name has nobody
            emptied.scale(0, world.host.now)
        world.configure(servers, search)
        world.run(rng.choice([3.0, 20.0, 120.0]))
        if emptied is not None:
            emptied.scale(rng.randint(1, self.most_pods), world.host.now)
        if rng.random() < 0.7:
            world.configure()

    def up_and_down(self) -> None:
        """From 0 pods to some and back, or the other way round, while the first packets are lost now and then."""
        world, rng = self.world, self.world.rng
        cluster = self._cluster()
        for replicas in (0, rng.randint(1, self.most_pods), 0, rng.randint(1, self.most_pods)):
            cluster.scale(replicas, world.host.now)
            world.disturb()
            world.run(rng.choice([1.0, 8.0, 20.0, 60.0, 300.0]))

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

    def new_services(self) -> None:
        """The process restarts: services begin anew, with nothing learnt, in whatever weather there is."""
        world, rng = self.world, self.world.rng
        emptied = self._cluster() if rng.random() < 0.4 else None
        if emptied is not None:  # no pod is ready yet
            emptied.scale(0, world.host.now)
            world.run(20.0)
        world.restart()
        if emptied is not None:
            world.run(rng.choice([2.0, 20.0, 100.0]))
            emptied.scale(rng.randint(1, self.most_pods), world.host.now)
