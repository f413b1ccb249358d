"""What a thousand services cost a process that does nothing else: CPU, memory, threads."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from harness import Goal, Result, benchmark, spread
from knot import knot, origin, with_ttl
from shared import addresses, name, v4

CHILD = Path(__file__).with_name("idle.py")
TTL = 5
PODS = 10
WAYS = {
    "library-async": "`AsyncHeadlessService`s",
    "library-threads": "`HeadlessService`s",
    "aiodns": "tasks with aiodns, each sleeps for the TTL",
    "dnspython": "tasks with `dns.asyncresolver`, each sleeps for the TTL",
}


@benchmark("idle")
def idle(quick: bool) -> Result:
    services, windows, seconds = (50, 3, 2.0) if quick else (1000, 9, TTL + 0.3)
    records = [
        record for number in range(services) for record in addresses(name(f"idle{number}"), v4(number % 200 + 1, PODS))
    ]
    zones = {way: origin(number) for number, way in enumerate(WAYS, 1)}
    with knot({zone: with_ttl(TTL, records) for zone in zones.values()}) as server:
        children = {
            way: subprocess.Popen(
                [sys.executable, CHILD, way, server.nameserver, zone, str(services), str(windows), str(seconds)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            for way, zone in zones.items()
        }
        try:
            told: dict[str, dict[str, Any]] = {}
            for way, child in children.items():
                assert child.stdout is not None
                if child.stdout.readline() != "started\n":
                    raise RuntimeError(f"{way} did not start")
            before = {way: server.counts(zone)["udp"] for way, zone in zones.items()}
            for child in children.values():
                assert child.stdin is not None
                child.stdin.write("\n")
                child.stdin.flush()
            for way, child in children.items():
                assert child.stdout is not None
                told[way] = json.loads(child.stdout.readline())
                told[way]["asked"] = server.counts(zones[way])["udp"] - before[way]
        finally:
            for child in children.values():
                child.kill()
                child.communicate()
    rows = []
    for way, label in WAYS.items():
        found = told[way]
        rate = found["asked"] / (windows * seconds)
        # Each name once a TTL, give or take the random time that the library adds.
        if not 0.8 * services / TTL < rate < 1.1 * services / TTL:
            raise RuntimeError(f"{way} asked {rate:g} times a second for {services} names with a TTL of {TTL} s")
        percent = [100 * cpu for cpu in found["cpu"]]
        rows.append(
            {
                "what": f"{services:,} {label}",
                "cpu": spread(percent),
                "each": spread(value * 1e4 / rate for value in percent),
                "rate": rate,
                "memory": found["memory"],
                "threads": found["threads"],
            }
        )
    ours = dict(zip(WAYS, rows, strict=True))
    loops = {"aiodns": ours.pop("aiodns"), "dnspython": ours.pop("dnspython")}
    goals = [
        Goal(f"CPU of {row['what']}, times {other}'s", row["cpu"]["median"] / loop["cpu"]["median"], 1)
        for row in ours.values()
        for other, loop in loops.items()
    ]
    for row in ours.values():
        goals += [
            Goal(f"MB for {row['what']} of {PODS} peers", row["memory"], 25),
            Goal(f"threads for {row['what']}", row["threads"], 8),
        ]
    return Result(
        "A thousand services that do not change",
        f"{services:,} names of {PODS} peers, TTL {TTL} s, for {windows * seconds:.0f} s after all had started: CPU"
        " time of the process in percent of one CPU, microseconds for one refresh, and by how much the memory in RAM"
        " has grown since everything was imported. All four processes run at the same time and ask one Knot server,"
        " each in a zone of its own; the server counts the queries. The services have a subscriber each; the tasks do"
        " the least that does the job: they look, keep the set and sleep.",
        {
            "what": "",
            "cpu": "% of a CPU",
            "each": "µs a refresh",
            "rate": "queries a second",
            "memory": "MB",
            "threads": "threads",
        },
        rows,
        goals,
    )
