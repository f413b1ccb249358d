"""A refresh of an unchanged set over real sockets, beside others and beside the bare exchange."""

from __future__ import annotations

import asyncio
import gc
import random
import time
from typing import Any

from harness import Goal, Result, benchmark, spread
from knot import Counting
from refreshes import AIODNS, BARE, DNSPYTHON, KEPT, LIBRARY, Case, competitors, served

CASES = [Case("A", n) for n in (3, 10, 100, 300, 1000, 3000, 5000)] + [Case("SRV", n) for n in (3, 100, 800)]
# By case: the most that a refresh may take, as a multiple of aiodns's and of the bare exchange's.
GOALS: dict[Case, dict[str, float]] = {
    Case("A", 3): {AIODNS: 1.5},
    Case("A", 100): {AIODNS: 0.8},
    Case("A", 1000): {AIODNS: 0.3, BARE: 1.5},
    Case("A", 3000): {AIODNS: 0.55, BARE: 1.3},
    Case("SRV", 800): {AIODNS: 0.35},
}
NAMES = {AIODNS: "aiodns", BARE: "the bare exchange"}
LABELS = {
    LIBRARY: "`refresh()`",
    AIODNS: "aiodns",
    DNSPYTHON: "dnspython",
    BARE: "bare exchange",
    KEPT: "bare, kept connection",
}
WARM = 5  # rounds that do not count


async def _race(case: Case, server: Counting, rounds: int) -> dict[str, Any]:
    """Everybody once a round, in a new order each time; ratios are taken within a round."""
    async with competitors(case, server) as racing:
        taken: dict[str, list[float]] = {way: [] for way in racing.refresh}
        order = list(racing.refresh)
        gc.collect()
        before = racing.asked()
        for _ in range(rounds + WARM):
            random.shuffle(order)
            for way in order:
                refresh = racing.refresh[way]
                began = time.perf_counter()
                await refresh()
                taken[way].append((time.perf_counter() - began) * 1e3)
        asked = racing.check(before, rounds + WARM, order)
    taken = {way: found[WARM:] for way, found in taken.items()}
    row: dict[str, Any] = {"what": str(case), **{way: spread(found) for way, found in taken.items()}}
    for way in (AIODNS, BARE):
        row[f"of {way}"] = spread(mine / theirs for mine, theirs in zip(taken[LIBRARY], taken[way], strict=True))
    row["queries"] = ", ".join(f"{asked[way]:.3g}" for way in (LIBRARY, AIODNS, DNSPYTHON))
    return row


@benchmark("refresh")
def refresh(quick: bool) -> Result:
    cases = [case for case in CASES if case.size <= 100] if quick else CASES
    rows = {}
    with served(cases) as server:
        for case in cases:
            rounds = 5 if quick else 501 if case.size <= 300 else 151
            rows[case] = asyncio.run(_race(case, server, rounds))
    goals = [
        Goal(f"refresh of {case}, times {NAMES[way]}", rows[case][f"of {way}"]["median"], limit)
        for case, limits in GOALS.items()
        if case in rows
        for way, limit in limits.items()
    ]
    pictures = {}
    if not quick:
        from plots import lines

        for records in ("A", "SRV"):
            found = {
                label.replace("`", ""): {c.size: row[way]["median"] for c, row in rows.items() if c.records == records}
                for way, label in LABELS.items()
            }
            lines(
                f"refresh-{records.lower()}", found, "ms (logarithmic)", log=True, dashed=[LABELS[BARE], LABELS[KEPT]]
            )
        pictures = {
            "refresh-a": "The time of a refresh of A records, from 3 to 5000 peers",
            "refresh-srv": "The time of a refresh of SRV records and their glue, from 3 to 800 peers",
        }
    return Result(
        "A refresh",
        "Milliseconds for one refresh of a set that has not changed: `refresh()` of an `AsyncHeadlessService`,"
        " `query_dns()` of aiodns, `resolve()` of `dns.asyncresolver`, and the bare exchange: a ready-made question out"
        " and its answer in by `asyncio`, over a new socket, a TCP connection where the answer does not fit into UDP,"
        " and nothing read; beside it the same over one socket for all. One Knot server, which also counts the"
        " queries: each call asked (aiodns has a cache, so its records have the TTL 0); *queries* is how many, of the"
        " first three: over UDP, and again over TCP where they do not remember that the answer was truncated. 5,000"
        " addresses do not fit into one message, so they are two names, asked at the same time. All run in turn, in a"
        " new order each round; ratios are taken within a round.",
        {
            "what": "records",
            **LABELS,
            f"of {AIODNS}": "times aiodns",
            f"of {BARE}": "times the bare exchange",
            "queries": "queries",
        },
        list(rows.values()),
        goals,
        pictures,
    )
