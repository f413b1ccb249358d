"""The other side, in a process of its own, whose memory is not counted: a DNS server, churn and faults by a seed."""

from __future__ import annotations

import random
from itertools import cycle
from multiprocessing.connection import Connection
from typing import NamedTuple

from headless_discovery.testing import DNSServer
from headless_discovery.testing.cluster import Service

EVENT_EVERY = 0.02  # seconds between two events of the churn
FAULT_EVERY = 50  # events; each fault lasts for up to that many, so there are about as many seconds with as without
RECORDS = ("a", "srv", "auto", "any")
# Each with its options. "closed" is ICMP port unreachable; "short" and "garbage" are answers nobody can read.
FAULTS: list[tuple[str, dict[str, float]]] = [
    ("servfail", {}),
    ("refused", {}),
    ("unsynced", {}),
    ("nxdomain", {}),
    ("nodata", {}),
    ("lame", {}),
    ("timeout", {}),
    ("slow", {"delay": 0.3}),
    ("truncate", {}),
    ("wrong-id", {}),
    ("wrong-question", {}),
    ("wrong-source", {}),
    ("not-a-response", {}),
    ("duplicate", {}),
    ("garbage", {}),
    ("empty", {}),
    ("short", {}),
    ("edns-drop", {}),
    ("edns-formerr", {}),
    ("edns-badvers", {}),
    ("tcp-reset", {}),
    ("tcp-close", {}),
    ("tcp-stall", {}),
    ("tcp-cut", {}),
    ("tcp-dribble", {}),
    ("tcp-length", {}),
]


class Target(NamedTuple):
    """What a service is asked for: `records` is how (RECORDS)."""

    name: str
    records: str


def serve(connection: Connection, seed: int, services: int) -> None:
    """Runs until told to "stop". Says the nameserver and the targets first; answers "calm" with the truth, in which
    services have as many pods as they began with.
    """
    rng = random.Random(seed)
    with DNSServer(ttl=1, seed=seed, max_queries=1) as dns:
        clusters = [Pods(dns, number, rng) for number in range(services)]
        watched = [pods.service for pods in clusters]
        targets = [Target(service.name, RECORDS[number % 4]) for number, service in enumerate(watched)]
        connection.send((dns.nameserver, targets))
        storm, events, faults = False, 0, 0
        kinds = cycle(rng.sample(FAULTS, len(FAULTS)))  # so that a short storm has many of them
        while True:
            if connection.poll(EVENT_EVERY if storm else None):
                match connection.recv():
                    case "storm":
                        storm = True
                    case "calm":
                        storm = False
                        dns.recover()
                        for pods in clusters:
                            pods.settle()
                        dns.forget()  # or what a replica has cached may undo what was right for a second
                        truth = [expected(service, target) for service, target in zip(watched, targets, strict=True)]
                        connection.send((truth, events, faults))
                    case "stop":
                        return
            else:
                rng.choice(clusters).change()
                events += 1
                if events % FAULT_EVERY == 0:
                    dns.recover()
                if events % FAULT_EVERY == FAULT_EVERY // 2:
                    faults += 1
                    kind, options = next(kinds)
                    several = faults % 2 == 0  # everybody, or the services of one number's end
                    dns.fail(kind, name=None if several else f"*svc-?{rng.randrange(10)}.*", **options)  # type: ignore[arg-type]


class Pods:
    """A headless service, and the addresses that its pods may have: few, used again and again, as a node's are.

    With new ones for ever, what remembers names would grow to its bound, and a leak could hide behind it.
    """

    def __init__(self, dns: DNSServer, number: int, rng: random.Random) -> None:
        """Mostly small ones; every tenth needs TCP; some are dual-stack or IPv6 alone, some replicas disagree."""
        self._rng = rng
        self._sizes = range(90, 140) if number % 10 == 9 else range(9)
        family = rng.choice(("v4", "v4", "v4", "dual", "v6"))
        self._stock: list[tuple[str, ...]] = []
        for i in range(2 * self._sizes.stop):
            v4, v6 = f"10.{100 + number}.{i >> 6}.{(i & 63) + 1}", f"fd00:{number:x}::{i + 1:x}"
            self._stock.append({"v4": (v4,), "v6": (v6,), "dual": (v4, v6)}[family])
        self._size = rng.choice(self._sizes)
        self.service: Service = dns.service(
            f"svc-{number:03}",
            "soak",
            pods=[*rng.sample(self._stock, self._size)],
            ports={"http": 8080},
            hostnames="web" if rng.random() < 0.5 else None,
            replicas=2 if number % 7 == 0 else 1,
        )

    def change(self) -> None:
        """Something that happens to pods."""
        service, rng = self.service, self._rng
        pods = service.pods
        match rng.choice(("scale", "restart", "restart", "ready", "ready", "rollout", "freeze")):
            case "restart" if pods:
                service.restart(rng.choice(pods), self._free(1)[0])
            case "ready" if pods:
                pod = rng.choice(pods)
                service.set_ready(pod, not pod.ready)
            case "rollout" if len(pods) < 50:
                for pod, address in zip(pods, self._free(len(pods)), strict=True):
                    service.restart(pod, address)
            case "freeze":
                service.freeze(0)
                if rng.random() < 0.8:
                    service.thaw()
            case _:
                self._scale(rng.choice(self._sizes))

    def settle(self) -> None:
        self.service.thaw()
        self._scale(self._size)
        for pod in self.service.pods:
            self.service.set_ready(pod, True)

    def _scale(self, size: int) -> None:
        missing = size - len(self.service.pods)
        if missing < 0:
            self.service.scale(size)
        for address in self._free(max(0, missing)):
            self.service.add(*address)

    def _free(self, count: int) -> list[tuple[str, ...]]:
        taken = {pod.addresses for pod in self.service.pods}
        return self._rng.sample([address for address in self._stock if address not in taken], count)


def expected(service: Service, target: Target) -> list[set[str]]:
    """The addresses that have to be found. Of a pod with two, the IPv4 one, unless both families are asked for; or the
    IPv6 one, where a service was begun while the server denied that there is IPv4: the family is remembered.
    """
    ready = [pod.addresses for pod in service.pods if pod.ready]
    if target.records == "any":
        return [{address for addresses in ready for address in addresses}]
    return [{addresses[which] for addresses in ready} for which in (0, -1)]
