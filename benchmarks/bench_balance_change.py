"""Building a ring, and one peer joining or leaving, beside uhashring."""

from __future__ import annotations

import gc
import random
import time
from collections.abc import Callable, Mapping
from typing import Any

from harness import Goal, Result, benchmark, rounded, spread
from pods import pod, pods

from headless_discovery import PeerSet
from headless_discovery.balance import ConsistentHash, Maglev, RingHash

SIZES = (100, 1000, 10_000)
POINTS = 160


@benchmark("balance-change")
def balance_change(quick: bool) -> Result:
    rows: list[dict[str, Any]] = []
    speeds: dict[tuple[str, int], float] = {}
    for size in SIZES[:2] if quick else SIZES:
        times = _in_turns(_jobs(size), rounds=2 if quick else {100: 41, 1000: 15, 10_000: 5}[size])
        for (what, who), taken in times.items():
            base = times[BASELINES[what], "uhashring"]
            ratios = [other / mine for other, mine in zip(base, taken, strict=True)]
            speeds[f"{what}, {who}", size] = spread(ratios)["median"]
            rows.append(
                {
                    "what": f"{what}, {who}",
                    "peers": size,
                    "ms": spread([seconds * 1e3 for seconds in taken]),
                    "speed": spread(ratios),
                }
            )
    if not quick:
        _draw(rows)
    return Result(
        "Building a ring, and changing it",
        f"CPU milliseconds, {POINTS} points a peer in all rings, the garbage collector off. `build(peers, previous)` of"
        " `ConsistentHash` makes a new picker and leaves the old one as it was; uhashring changes its ring in place."
        " *Speed* is that of uhashring building the same ring, or for a change that of its `add_node`.",
        {"what": "", "peers": "peers", "ms": "ms", "speed": "speed"},
        rows,
        [
            Goal(
                "speed of building a ring of 1000 peers, times uhashring's",
                speeds["build, `ConsistentHash`", 1000],
                3,
                True,
            ),
            *(
                Goal(
                    f"speed of working in that one peer of 1000 {what}, times uhashring's `add_node`",
                    speeds[f"one {what}, `ConsistentHash`", 1000],
                    10,
                    True,
                )
                for what in ("joins", "leaves")
            ),
        ],
        pictures={} if quick else {"balance-change": "The time of a change, from 100 to 10,000 peers"},
    )


BASELINES = {"build": "build", "one joins": "one joins", "one leaves": "one joins"}

Job = Callable[[], object]


def _jobs(size: int) -> dict[tuple[str, str], Job]:
    from uhashring import HashRing

    peers = pods(range(size))
    more = PeerSet([*peers, pod(size)])  # a service, too, keeps the objects of peers that stay
    names = [peer.identity for peer in peers]
    new = pod(size).identity
    ring = HashRing(names, vnodes=POINTS)
    strategy = ConsistentHash(vnodes=POINTS)
    small = strategy.build(peers, None)
    large = strategy.build(more, None)
    least = RingHash(POINTS * size, POINTS * size)
    maglev = Maglev()
    return {
        ("build", "uhashring"): lambda: HashRing(names, vnodes=POINTS),
        ("build", "`ConsistentHash`"): lambda: strategy.build(peers, None),
        ("build", "`RingHash`"): lambda: least.build(peers, None),
        ("build", "`Maglev`"): lambda: maglev.build(peers, None),
        ("one joins", "uhashring"): lambda: ring.add_node(new),
        ("one leaves", "uhashring"): lambda: ring.remove_node(new),
        ("one joins", "`ConsistentHash`"): lambda: strategy.build(more, small),
        ("one leaves", "`ConsistentHash`"): lambda: strategy.build(peers, large),
    }


def _in_turns(jobs: Mapping[tuple[str, str], Job], rounds: int) -> dict[tuple[str, str], list[float]]:
    """Seconds of this thread's CPU time. Each round does every job once, so what slows the machine slows them all."""
    times: dict[tuple[str, str], list[float]] = {job: [] for job in jobs}
    for number in range(rounds + 1):
        gc.collect()
        gc.disable()
        try:
            # uhashring's node must be there to be removed: the order of the jobs stays, where it begins does not.
            order = list(jobs)
            cut = random.choice([place for place in range(len(order)) if order[place] != ("one leaves", "uhashring")])
            for job in order[cut:] + order[:cut]:
                begin = time.thread_time()
                made = jobs[job]()
                taken = time.thread_time() - begin
                del made
                if number:  # the first round fills caches
                    times[job].append(taken)
        finally:
            gc.enable()
    return times


def _draw(rows: list[dict[str, Any]]) -> None:
    from plots import lines

    found = {
        what.replace("`", ""): {row["peers"]: rounded(row["ms"]["median"]) for row in rows if row["what"] == what}
        for what in dict.fromkeys(row["what"] for row in rows)
    }
    lines(
        "balance-change",
        found,
        "CPU ms (logarithmic)",
        log=True,
        dashed=[what for what in found if "uhashring" in what],
    )
