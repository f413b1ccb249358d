"""How even the load is."""

from __future__ import annotations

from typing import Any

from harness import Goal, Result, benchmark
from pods import pods, worst_load

from headless_discovery.balance import (
    ConsistentHash,
    JumpHash,
    Maglev,
    Random,
    Rendezvous,
    RingHash,
    RoundRobin,
    Strategy,
    Weighted,
)

SIZES = (3, 10, 30, 100, 300, 1000)
MOST_KEYS = 200_000


@benchmark("balance-load")
def balance_load(quick: bool) -> Result:
    strategies: dict[str, Strategy] = {
        "`Random`: chance alone": Random(seed=1),
        "`RoundRobin`": RoundRobin(seed=1),
        "`Weighted`": Weighted(seed=1),
        "`Rendezvous`": Rendezvous(),
        "`JumpHash`": JumpHash(),
        "`Maglev`": Maglev(),
        "`ConsistentHash(vnodes=1000)`": ConsistentHash(vnodes=1000),
        "`ConsistentHash`": ConsistentHash(),
        "`ConsistentHash(vnodes=40)`": ConsistentHash(vnodes=40),
        "`RingHash`": RingHash(),
    }
    sizes = SIZES[:2] if quick else SIZES
    rows: list[dict[str, Any]] = [{"what": what} for what in strategies]
    for size in sizes:
        peers = pods(range(size))
        keys = [f"key-{number}" for number in range(min(1000 * size, MOST_KEYS))]
        for row in rows:
            row[str(size)] = worst_load(strategies[row["what"]].build(peers, None).pick, size, keys)
    if not quick:
        from plots import lines

        found = {row["what"].replace("`", ""): {size: row[str(size)] for size in sizes} for row in rows}
        lines("balance-load", found, "worst / mean load", dashed=["Random: chance alone"], top=2)
    even = next(row for row in rows if row["what"] == "`RoundRobin`")
    return Result(
        "How even the load is",
        f"Load of the fullest peer over the mean, by the number of peers; 1000 keys for each peer, {MOST_KEYS:,} at"
        " most. `Random` shows what chance alone makes of so many keys: nothing that hashes keys can be evener."
        " `RingHash` has its default sizes, so few points for each of many peers; above 4096 peers some have none.",
        {"what": "", **{str(size): f"{size:,} peers" for size in sizes}},
        rows,
        [Goal("worst / mean load of round robin, at any number of peers", max(even[str(n)] for n in sizes), 1.001)],
        pictures={} if quick else {"balance-load": "Worst over mean load by strategy, from 3 to 1000 peers"},
    )
