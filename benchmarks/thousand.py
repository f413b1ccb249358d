"""The measured process of bench_thousand.py: thousand.py WAY NAMESERVER DEAD SECONDS, names as JSON on stdin."""

from __future__ import annotations

import json
import resource
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from dnspython_loop import Loop

DEAD = "dead.bench.svc.cluster.local"


def library(names: list[str], nameserver: str, dead: str) -> None:
    from headless_discovery import HeadlessService

    services = [HeadlessService(name, 80, nameservers=[nameserver]) for name in names]
    KEEP.extend([HeadlessService(DEAD, 80, nameservers=[dead]), *services])
    for service in KEEP:
        service.watch(lambda change: None)
    for service in services:
        assert len(service.wait_for(3, timeout=60)) == 3


def threads(names: list[str], nameserver: str, dead: str) -> None:
    loops = [Loop(DEAD, dead), *(Loop(name, nameserver) for name in names)]
    for loop in loops:
        loop.start()
    while not all(loop.addresses for loop in loops[1:]):
        time.sleep(0.05)
    KEEP.extend(loops)


KEEP: list[Any] = []
WAYS: dict[str, Callable[[list[str], str, str], None]] = {"library": library, "threads": threads}


def main() -> None:
    way, nameserver, dead, seconds = sys.argv[1:]
    names = json.loads(sys.stdin.readline())
    began = time.monotonic()
    WAYS[way](names, nameserver, dead)
    start = time.monotonic() - began
    print("started", flush=True)
    before, most = time.process_time(), 0
    end = time.monotonic() + float(seconds)
    while time.monotonic() < end:
        most = max(most, threading.active_count())
        time.sleep(0.2)
    told = {
        "threads": most,
        "cpu": time.process_time() - before,
        "start": start,
        "memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }
    print(json.dumps(told), flush=True)
    for kept in KEEP:
        kept.stop() if isinstance(kept, Loop) else kept.close()


main()
