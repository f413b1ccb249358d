"""That bounded loads are bounded."""

from __future__ import annotations

import random
from fractions import Fraction
from math import ceil
from typing import Any

from harness import Goal, Result, benchmark
from pods import pods

from headless_discovery.balance import BoundedLoad, acquire

FACTORS = (1.0, 1.1, 1.25, 2.0)


@benchmark("balance-bounded")
def balance_bounded(quick: bool) -> Result:
    rows = [_run(factor, size, leases=200 if quick else 20 * size) for size in (3, 10, 100) for factor in FACTORS]
    return Result(
        "Bounded loads",
        "Leases on keys of which some are asked for much more than others (the k-th as often as 1/k), taken one after"
        " the other and, when so many are out, one given back for each that is taken. The bound is `factor` times the"
        " mean load, rounded up; *over* counts how often a new lease made its peer pass it.",
        {
            "what": "",
            "peers": "peers",
            "leases": "leases out",
            "bound": "bound",
            "worst": "worst load",
            "over": "over",
            "away": "% of leases away from home",
        },
        rows,
        [Goal("leases over the bound", sum(row["over"] for row in rows), 0)],
    )


def _run(factor: float, size: int, leases: int) -> dict[str, Any]:
    rng = random.Random(1)
    picker = BoundedLoad(factor).build(pods(range(size)), None)
    home = BoundedLoad(factor).build(pods(range(size)), None)  # never any load
    keys = [f"user-{number}" for number in range(10 * size)]
    weights = [1 / (number + 1) for number in range(len(keys))]
    out = []
    load = dict.fromkeys(range(size), 0)
    over = away = worst = 0
    for key in rng.choices(keys, weights, k=3 * leases):
        if len(out) == leases:
            returned = out.pop(rng.randrange(leases))
            load[returned.peer.ordinal] -= 1
            returned.release()
        lease = acquire(picker, key)
        out.append(lease)
        load[lease.peer.ordinal] += 1
        away += lease.peer != home.pick(key)
        over += load[lease.peer.ordinal] > _bound(factor, len(out), size)
        if len(out) == leases:
            worst = max(worst, load[lease.peer.ordinal])
    return {
        "what": f"`BoundedLoad({factor})`",
        "peers": size,
        "leases": leases,
        "bound": _bound(factor, leases, size),
        "worst": worst,
        "over": over,
        "away": round(100 * away / (3 * leases), 1),
    }


def _bound(factor: float, leases: int, peers: int) -> int:
    return ceil(Fraction(str(factor)) * leases / peers)
