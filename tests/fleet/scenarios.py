"""The fleets of docs/scale.md. A row is what one of them came to; the same seed gives the same row."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from math import sqrt
from typing import Any

from tenacity import wait_random_exponential

from headless_discovery.ticks import TICK

from .clients import DELAY, AfterTTL, FixedInterval, Make, library
from .run import Dns, Fleet, Outcome, Window
from .servers import SERVFAIL, Outage

Row = dict[str, Any]

SIZES = (10, 1_000, 100_000)
TTLS = (5, 30)
COUNTED = {5: (120.0, 180.0), 30: (240.0, 420.0)}  # seconds: many TTLs after the start
MANY = 10_000
PODS = 30  # clients on a node

LIBRARY, DECOUPLED, PATIENT = "library", "library, `min_ttl` = TTL", "library, longer `retry_wait`"
NAIVE, FIXED = "naive: asks, sleeps for the TTL", "naive: every TTL seconds"
CLIENTS: Mapping[str, Callable[[int], Make]] = {
    NAIVE: lambda ttl: AfterTTL,
    FIXED: lambda ttl: FixedInterval,
    LIBRARY: lambda ttl: library(),
    DECOUPLED: lambda ttl: library(min_ttl=float(ttl)),
}
CACHES: Mapping[str, Dns] = {
    "two CoreDNS, each with a cache": Dns(),
    "two CoreDNS without caches": Dns(cache=False),
    "NodeLocal DNSCache, then caches": Dns(pods=PODS),
    "NodeLocal DNSCache, then no caches": Dns(cache=False, pods=PODS),
}
COUNTING, WITHOUT = list(CACHES)[:2]


def fleet(who: str, clients: int, ttl: int, dns: Dns = CACHES[COUNTING], **fields: Any) -> Fleet:
    begin, end = COUNTED[ttl]
    return Fleet(clients, ttl, CLIENTS[who](ttl), dns, **({"begin": begin, "end": end} | fields))


def figures(outcome: Outcome, window: Window | None = None) -> Row:
    window = window or outcome.counted
    return {
        "mean": window.mean,
        "peak": window.peak,
        "tenth": window.peak_tenth,
        "peak_to_mean": window.peak / window.mean,
        "tenth_to_mean": window.peak_tenth / window.mean,
        "known": outcome.news.mean,
        "known_at_most": outcome.news.worst,
    }


# Each returns a row, and the queries of each 0.1 s for a plot.
Made = tuple[Row, list[int]]


def steady(ttl: int, clients: int, who: str) -> Made:
    """Clients that started at unrelated times, long ago."""
    outcome = fleet(who, clients, ttl).run()
    row = {"ttl": ttl, "clients": clients, "who": who} | figures(outcome)
    return row, list(outcome.between(outcome.fleet.end - 60, outcome.fleet.end).buckets) if clients == SIZES[-1] else []


def place(ttl: int, clients: int, where: str) -> Made:
    """The library behind other caches."""
    outcome = fleet(LIBRARY, clients, ttl, CACHES[where]).run()
    return {"ttl": ttl, "clients": clients, "where": where} | figures(outcome), []


MINUTES = (2, 10, 20)


def start(who: str, where: str) -> Made:
    """All start in the same second, at TTL 5."""
    until = MINUTES[-1] if who in (LIBRARY, DECOUPLED) else MINUTES[0]
    outcome = fleet(who, MANY, 5, CACHES[where], spread=1.0, begin=0.0, end=60.0 * until + 60).run()
    row: Row = {"who": who, "where": where}
    for minute in MINUTES:
        window = outcome.between(60 * minute, 60 * minute + 60)
        row[f"minute_{minute}"] = window.peak / window.mean if minute <= until else None
    return row, list(outcome.between(0, 60).buckets)


def instant(clients: int, who: str) -> Made:
    """All start in the same hundredth of a second."""
    outcome = fleet(who, clients, 5, spread=0.01).run()
    return {"clients": clients, "who": who} | figures(outcome), []


OUTAGES = {"silence": None, "SERVFAIL": SERVFAIL}


def outage(ttl: int, how: str, who: str) -> Made:
    """DNS is gone for a minute."""
    down = Outage(180.0, 240.0, OUTAGES[how])
    made = fleet(LIBRARY if who == PATIENT else who, MANY, ttl, outage=down, begin=120.0, end=420.0)
    if who == PATIENT:
        random.seed(1)  # tenacity's own source
        made = replace(made, make=library(wait_random_exponential(multiplier=4, max=30)))
    outcome = made.run()
    before, during = outcome.between(120, 180), outcome.between(180, 240)
    row = {
        "ttl": ttl,
        "how": how,
        "who": who,
        "before": before.mean,
        "before_peak": before.peak,
        "during": during.mean,
        "during_peak": during.peak,
        "after_peak": outcome.between(240, 250).peak,
        "later_peak": outcome.between(250, 420).peak,
        "known_at_most": outcome.news.worst,
    }
    return row, list(outcome.between(165, 265).buckets) if ttl == 5 else []


def floor(ttl: int, min_ttl: int) -> Made:
    """The library with other values of `min_ttl`, long after the start."""
    make = library(min_ttl=float(min_ttl), max_ttl=float(max(30, min_ttl)))
    outcome = replace(fleet(LIBRARY, MANY, ttl, begin=600.0, end=900.0), make=make).run()
    row: Row = {"ttl": ttl, "min_ttl": min_ttl} | figures(outcome)
    return row | {key: row[key] * 1000 / MANY for key in ("mean", "peak")}, []


WHOLE = ((5, LIBRARY, COUNTING), (5, LIBRARY, WITHOUT), (5, DECOUPLED, COUNTING), (30, LIBRARY, COUNTING))


def both_ways(ttl: int, who: str, where: str, clients: int = 1_000) -> Iterator[tuple[str, Outcome]]:
    from .whole import whole

    chosen = fleet(who, clients, ttl, CACHES[where])
    yield "scheduling alone", chosen.run()
    yield "the whole service", whole(chosen, min_ttl=float(ttl) if who == DECOUPLED else 1.0)


def compared(ttl: int, who: str, where: str, way: int) -> Made:
    named, outcome = list(both_ways(ttl, who, where))[way]
    return {"ttl": ttl, "who": who, "where": where, "way": named} | figures(outcome), []


MOON = "search moon.svc.cluster.local svc.cluster.local cluster.local\noptions ndots:5\n"
NAMES: tuple[tuple[str, int | str, str, dict[str, Any]], ...] = (
    ("headless-svc.moon.svc.cluster.local", 8080, "moon", {}),
    ("headless-svc.moon.svc.cluster.local", "http", "moon", {}),
    ("headless-svc.moon.svc.cluster.local", 8080, "moon", {"family": "any"}),
    ("headless-svc", 8080, "moon", {}),
    ("headless-svc.moon", 8080, "mars", {}),
)


def name(number: int) -> Made:
    """How many queries a lookup takes, by the real lookup code."""
    from tempfile import NamedTemporaryFile

    from .whole import queries

    target, port, namespace, options = NAMES[number]
    with NamedTemporaryFile("w", suffix=".conf") as file:
        file.write("nameserver 10.96.0.10\n" + MOON.replace("moon", namespace))
        file.flush()
        first, later = queries(target, port, file.name, **options)
        _, empty = queries(target, port, file.name, empty=True, **options)
    written = ", ".join(
        [f'"{target}"', f"port={port!r}".replace("'", '"'), *(f'{k}="{v}"' for k, v in options.items())]
    )
    return {"written": written, "namespace": namespace, "first": first, "later": later, "empty": empty}, []


Job = tuple[str, tuple[Any, ...]]
TABLES: Mapping[str, tuple[Callable[..., Made], list[tuple[Any, ...]]]] = {
    "steady": (steady, [(ttl, size, who) for ttl in TTLS for size in SIZES for who in CLIENTS]),
    "place": (
        place,
        [(ttl, size, where) for ttl in TTLS for size in SIZES[1:] for where in CACHES if where != COUNTING],
    ),
    "start": (start, [(who, where) for where in (COUNTING, WITHOUT) for who in CLIENTS]),
    "instant": (instant, [(size, who) for size in SIZES[1:] for who in CLIENTS]),
    "outage": (
        outage,
        [(ttl, how, who) for ttl in TTLS for how in OUTAGES for who in (*CLIENTS, PATIENT)],
    ),
    "floor": (floor, [(5, 1), (5, 5), (5, 10), (5, 15), (5, 30), (30, 1), (30, 15), (30, 30), (30, 60)]),
    "compared": (compared, [(*each, way) for each in WHOLE for way in (0, 1)]),
    "name": (name, [(number,) for number in range(len(NAMES))]),
}

PLOTTED = ("steady", "start", "outage")


def jitter(ttl: float) -> float:
    """The rule in docs/architecture.md."""
    return max(0.1, min(0.5, ttl / 10)) if ttl <= 10 else ttl / 10


def bounds(row: Row) -> Iterator[tuple[str, float, float]]:
    """What docs/scale.md promises of a row of `steady`: in words, the value and its bound."""
    ttl, who = row["ttl"], row["who"]
    if who not in (LIBRARY, DECOUPLED):
        return
    alone = who == DECOUPLED
    many = row["clients"] >= 1_000
    # The caches of two replicas that are out of step make it 4/3 (and the window cuts a TTL at its ends); many clients
    # keep them in step.
    yield "queries of a client in a TTL", row["mean"] * ttl / row["clients"], 1.01 if many or alone else 1.4
    yield "queries of a client in the worst second", row["peak"] / row["clients"], 1.0
    late = (2 * ttl if alone else ttl + 1) + jitter(ttl) + TICK + 2 * DELAY
    yield "seconds until a change is known, at most", row["known_at_most"], late
    if many:  # of few, some are always together
        # Spread evenly: a tenth of unevenness, and five standard deviations of a Poisson count.
        even = 1.1 + 5 / sqrt(row["mean"])
        yield "worst second to mean", row["peak_to_mean"], even if alone else {5: 4.9, 30: 12.0}[ttl]
