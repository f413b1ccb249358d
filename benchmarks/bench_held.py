"""How long a refresh keeps the event loop from everything else."""

from __future__ import annotations

import asyncio
import random
from typing import Any

from handles import watched
from harness import Goal, Result, benchmark, percentile, spread
from knot import Counting
from refreshes import AIODNS, DNSPYTHON, LIBRARY, Case, competitors, served

CASES = [Case("A", 3), Case("A", 100), Case("A", 1000), Case("A", 3000), Case("SRV", 100), Case("SRV", 800)]
GOALS = {Case("A", 1000): 1.0, Case("SRV", 800): 4.0}  # ms
WAYS = {LIBRARY: "`refresh()`", AIODNS: "aiodns", DNSPYTHON: "dnspython"}
WARM = 3


async def _held(case: Case, server: Counting, rounds: int) -> list[dict[str, Any]]:
    async with competitors(case, server) as racing:
        taken: dict[str, list[float]] = {way: [] for way in WAYS}
        order = list(WAYS)
        before = racing.asked()
        with watched() as longest:
            for _ in range(rounds + WARM):
                random.shuffle(order)
                for way in order:
                    taken[way].append(await longest.of(racing.refresh[way]))
        racing.check(before, rounds + WARM, WAYS)
    rows = []
    for way, label in WAYS.items():
        found = [1e3 * seconds for seconds in taken[way][WARM:]]
        rows.append({"what": label, "records": str(case), "ms": spread(found), "most": percentile(found, 0.99)})
    return rows


@benchmark("held")
def held(quick: bool) -> Result:
    cases = [case for case in CASES if case.size <= 100] if quick else CASES
    rounds = 5 if quick else 151
    rows, goals = [], []
    with served(cases) as server:
        for case in cases:
            found = asyncio.run(_held(case, server, rounds))
            rows += found
            if case in GOALS:
                goals.append(
                    Goal(f"ms that a refresh of {case} holds the event loop", found[0]["ms"]["median"], GOALS[case])
                )
    return Result(
        "How long a refresh holds the event loop",
        "Milliseconds of the longest single callback or task step of one refresh, which is how long everything else on"
        " the loop waits: every `Handle` of the loop is timed. aiodns reads answers in a thread of its own: what is"
        " left here is waiting for the interpreter's lock. Where other processes took the processor away"
        " meanwhile, it is CPU time. *The longest* leaves one refresh of a hundred out.",
        {"records": "records", "what": "", "ms": "ms", "most": "the longest"},
        rows,
        goals,
    )
