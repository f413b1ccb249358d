"""Queries a minute against a cache that counts the TTL down."""

from __future__ import annotations

import time
from contextlib import ExitStack

from dnspython_loop import Loop
from harness import Goal, Result, benchmark, spread

from headless_discovery import HeadlessService
from headless_discovery.testing import DNSServer

TTL = 5
NEEDED = 60 / TTL
LIMIT = 1.3
CLIENTS = 10


@benchmark("queries")
def queries(quick: bool) -> Result:
    seconds = 11 if quick else 120
    with DNSServer(ttl=TTL) as dns, ExitStack() as stack:

        def name(label: str, hostnames: str | None = "web") -> str:
            return dns.service(label, "bench", pods=3, ports={"http": 8080}, hostnames=hostnames).name

        def watch(target: str, port: int | str | None = None, **options: object) -> HeadlessService:
            return stack.enter_context(HeadlessService(target, port, nameservers=[dns.nameserver], **options))

        alone = {
            "A": (watch(name("a"), 8080), "a.bench"),
            'SRV with glue, `port="http"`': (watch(name("srv"), "http"), "*.srv.bench"),
            'SRV with glue, `port="auto"`': (watch(name("auto"), "auto"), "auto.bench"),
            "SRV with glue, pods without hostnames": (watch(name("dashed", None), "http"), "*.dashed.bench"),
        }
        shared = name("shared")
        # Another time-out, so that they share no lookup: as processes of their own on one node would behave.
        fleet = []
        for client in range(CLIENTS):
            fleet.append(watch(shared, 8080, timeout=5 + client / 1000))
            time.sleep(TTL / CLIENTS)  # so each finds the cache's entry at another age
        loop_name = name("loop")
        loop = Loop(loop_name, dns.nameserver)
        loop.start()
        started = time.monotonic()
        before = [service.status.queries for service in fleet]
        time.sleep(seconds)
        ended = time.monotonic()
        asked = [query for query in dns.queries if query.time <= ended]
        minutes = (ended - started) / 60
        rates = [(service.status.queries - was) / minutes for service, was in zip(fleet, before, strict=True)]
        loop.stop()

    def at_the_server(label: str) -> float:
        """From one query to the last, so that the ends of the window do not matter."""
        suffix = f"{label.removeprefix('*.')}.svc.{dns.zone}"
        times = [query.time for query in asked if query.name.endswith(suffix)]
        return (len(times) - 1) / (times[-1] - times[0]) * 60

    rows = [{"what": what, "rate": at_the_server(label)} for what, (_, label) in alone.items()]
    worst = max(row["rate"] for row in rows)
    rows.append({"what": f"A, {CLIENTS} clients behind one cache, each", "rate": spread(rates)})
    together = sum(query.name == shared and query.time > started for query in asked) / minutes / CLIENTS
    rows.append({"what": "dnspython in a loop that sleeps for the TTL", "rate": at_the_server("loop.bench")})
    for row in rows:
        rate = row["rate"]["median"] if isinstance(row["rate"], dict) else row["rate"]
        row["times"] = rate / NEEDED
    return Result(
        "Queries",
        f"Queries a minute for one name, counted at a server whose cache counts a TTL of {TTL} s down, as CoreDNS does:"
        f" {NEEDED:g} are needed. {seconds} s.",
        {"what": "", "rate": "queries a minute", "times": f"times 60 / {TTL}"},
        rows,
        [
            Goal("queries a minute of one client, times 60 / TTL", worst / NEEDED, LIMIT),
            Goal(
                f"queries a minute of each of {CLIENTS} clients behind one cache, times 60 / TTL",
                together / NEEDED,
                LIMIT,
            ),
        ],
    )
