"""The other side, in a process of its own, whose memory is not counted: a DNS server, churn and faults by a seed."""

from __future__ import annotations

import random
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
    """Runs until told to "stop". Says the nameserver and the targets first; answers "calm" with the truth."""
    rng = random.Random(seed)
    with DNSServer(ttl=1, seed=seed, max_queries=1) as dns:
        watched = [make(dns, number, rng) for number in range(services)]
        targets = [Target(service.name, RECORDS[number % 4]) for number, service in enumerate(watched)]
        connection.send((dns.nameserver, targets))
        storm, events, faults = False, 0, 0
        while True:
            if connection.poll(EVENT_EVERY if storm else None):
                match connection.recv():
                    case "storm":
                        storm = True
                    case "calm":
                        storm = False
                        dns.recover()
                        for service, target in zip(watched, targets, strict=True):
                            service.thaw()
                            if target.records == "any" and not expected(service, target):
                                service.scale(len(service.pods) + 1)  # see test_soak.py: emptiness of both families
                        truth = [expected(service, target) for service, target in zip(watched, targets, strict=True)]
                        connection.send((truth, events, faults))
                    case "stop":
                        return
            else:
                change(rng.choice(watched), rng)
                events += 1
                if events % FAULT_EVERY == 0:
                    dns.recover()
                if events % FAULT_EVERY == FAULT_EVERY // 2:
                    faults += 1
                    kind, options = rng.choice(FAULTS)
                    several = rng.random() < 0.5  # everybody, or the services of one number's end
                    dns.fail(kind, name=None if several else f"*svc-?{rng.randrange(10)}.*", **options)  # type: ignore[arg-type]


def make(dns: DNSServer, number: int, rng: random.Random) -> Service:
    """Mostly small ones; every tenth needs TCP; some are dual-stack or IPv6 alone, some have replicas that disagree."""
    return dns.service(
        f"svc-{number:03}",
        "soak",
        pods=usual_size(number % 10 == 9, rng),
        ports={"http": 8080},
        hostnames="web" if rng.random() < 0.5 else None,
        family=rng.choice(("ipv4", "ipv4", "ipv4", "dual", "ipv6")),  # type: ignore[arg-type]
        replicas=2 if number % 7 == 0 else 1,
    )


def change(service: Service, rng: random.Random) -> None:
    """Something that happens to pods."""
    pods = service.pods
    size = len(pods)
    match rng.choice(("scale", "restart", "restart", "ready", "ready", "rollout", "freeze")):
        case "scale":
            service.scale(usual_size(size >= 50, rng))
        case "restart" if pods:
            service.restart(rng.choice(pods))
        case "ready" if pods:
            pod = rng.choice(pods)
            service.set_ready(pod, not pod.ready)
        case "rollout" if size < 50:
            for pod in pods:
                service.restart(pod)
        case "freeze":
            service.freeze(0)
            if rng.random() < 0.8:
                service.thaw()
        case _:
            service.scale(usual_size(size >= 50, rng))


def usual_size(large: bool, rng: random.Random) -> int:
    """Drawn anew each time: were pods added and taken away, the cluster would grow with time, and memory with it."""
    return rng.randrange(90, 140) if large else rng.randrange(9)


def expected(service: Service, target: Target) -> set[str]:
    """The addresses that have to be found: of a pod with two, the IPv4 one, unless both families are asked for."""
    ready = [pod.addresses for pod in service.pods if pod.ready]
    return {address for found in ready for address in (found if target.records == "any" else found[:1])}
