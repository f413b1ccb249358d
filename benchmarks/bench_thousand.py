"""A thousand watched services in one process, one of them with a dead server."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

from harness import Goal, Result, benchmark

from headless_discovery.testing import DNSServer

TTL = 5
LATE = 1.0  # seconds after the TTL: the contract's bound for a change
CHILD = Path(__file__).with_name("thousand.py")


def _run(way: str, services: int, seconds: float) -> dict[str, Any]:
    """A process of its own for each way, so that threads, CPU time and memory are its own; the server is elsewhere."""
    with DNSServer(ttl=TTL, max_queries=1_000_000) as dns, DNSServer(ttl=TTL) as dead:
        names = [dns.service(f"svc-{n}", "bench", pods=3).name for n in range(services - 1)]
        dead.fail("timeout")
        child = subprocess.Popen(
            [sys.executable, str(CHILD), way, dns.nameserver, dead.nameserver, str(seconds)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        with child:
            assert child.stdin is not None
            assert child.stdout is not None
            child.stdin.write(json.dumps(names) + "\n")
            child.stdin.flush()
            assert child.stdout.readline() == "started\n"
            started = time.monotonic()
            told: dict[str, Any] = json.loads(child.stdout.readline())
            ended = time.monotonic()
            asked = dns.queries
        if child.returncode:
            raise RuntimeError(f"{way} ended with {child.returncode}")
    times: dict[str, list[float]] = {name: [] for name in names}
    for query in asked:
        if query.time <= ended:
            times[query.name].append(query.time)
    on_time = late = 0
    for asked_at in times.values():
        # What is due within the window; the last one may still be to come.
        for before, after in pairwise([*asked_at, ended]):
            if before + TTL + LATE < started or (after == ended and ended - before < TTL + LATE):
                continue
            if after - before <= TTL + LATE:
                on_time += 1
            else:
                late += 1
    told["on_time"] = 100 * on_time / (on_time + late)
    told["refreshes"] = on_time + late
    told["cpu_ms"] = 1000 * told["cpu"] / max(1, sum(query.time > started for query in asked))
    return told


@benchmark("thousand")
def thousand(quick: bool) -> Result:
    services, seconds = (50, 8.0) if quick else (1000, 30.0)
    rows = [
        {"what": f"{services} `HeadlessService`s", **_run("library", services, seconds)},
        {"what": f"{services} threads with dnspython, each sleeps for the TTL", **_run("threads", services, seconds)},
    ]
    ours = rows[0]
    return Result(
        "A thousand services in one process",
        f"{services} names, each watched, TTL {TTL} s, for {seconds:g} s after all had started; the DNS server of one"
        " of them never answers. *On time*: asked again within the TTL and 1 s, seen at the server (in a process of its"
        " own).",
        {
            "what": "",
            "threads": "threads",
            "on_time": "% on time",
            "refreshes": "refreshes",
            "cpu": "CPU s",
            "cpu_ms": "CPU ms a refresh",
            "start": "s to start",
            "memory": "MiB at most",
        },
        rows,
        [
            Goal(f"threads of a process with {services} services", ours["threads"], 8),
            Goal("% of refreshes on time, with a dead server among them", ours["on_time"], 99, floor=True),
        ],
    )
