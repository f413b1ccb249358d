"""Which keys move when a peer joins, leaves or restarts."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from harness import Goal, Result, benchmark
from pods import KEYS, owners, pod, pods

from headless_discovery import PeerSet
from headless_discovery.balance import BoundedLoad, ConsistentHash, JumpHash, Maglev, Rendezvous, RingHash, Strategy

SIZES = (3, 10, 100, 1000)
STRATEGIES: dict[str, Strategy] = {
    "`ConsistentHash`": ConsistentHash(),
    "`BoundedLoad`, no load": BoundedLoad(),
    "`Rendezvous`": Rendezvous(),
    "`JumpHash`": JumpHash(),
    "`Maglev`": Maglev(),
    "`RingHash`": RingHash(),
}
NEVER_BETWEEN = ("`ConsistentHash`", "`BoundedLoad`, no load", "`Rendezvous`", "`JumpHash`")


@benchmark("balance-moved")
def balance_moved(quick: bool) -> Result:
    keys = KEYS[:1000] if quick else KEYS
    rows: list[dict[str, Any]] = []
    for size in SIZES[:2] if quick else SIZES:
        for what, strategy in STRATEGIES.items():
            before = strategy.build(pods(range(size)), None)
            home = owners(before.pick, keys)

            def after(peers: PeerSet, picker: Any = before, strategy: Strategy = strategy) -> list[int | None]:
                return owners(strategy.build(peers, picker).pick, keys)

            joined = after(pods(range(size + 1)))
            last = size - 1
            left = after(pods(range(last)))
            middle = size // 2
            gap = after(pods(ordinal for ordinal in range(size) if ordinal != middle))
            restarted = after(PeerSet(pod(ordinal, restarts=ordinal == middle) for ordinal in range(size)))
            rows.append(
                {
                    "what": what,
                    "peers": size,
                    "joins": _percent(moved(home, joined)),
                    "ideal": _percent(1 / (size + 1)),
                    "join_between": _percent(moved(home, joined, besides=[size])),
                    "leaves": _percent(moved(home, left)),
                    "leave_ideal": _percent(1 / size),
                    "between": _percent(moved(home, left, besides=[last])),
                    "gap": _percent(moved(home, gap)),
                    "gap_between": _percent(moved(home, gap, besides=[middle])),
                    "restart": _percent(moved(home, restarted)),
                }
            )
    if not quick:
        import churn
        import circle

        churn.draw()
        circle.draw()
    between = ("join_between", "between", "gap_between")
    return Result(
        "What moves when a peer joins, leaves or restarts",
        f"Percent of {len(keys):,} keys that have another peer than before when the next pod joins, the last one"
        " leaves, or one in the middle does. *Of those that stay*: keys that move although their peer is still there,"
        " to one that was there before. A restarted StatefulSet pod has its name and another address.",
        {
            "what": "",
            "peers": "peers",
            "joins": "% moved by a join",
            "ideal": "ideal",
            "join_between": "of those that stay",
            "leaves": "% moved when the last leaves",
            "leave_ideal": "ideal",
            "between": "of those that stay",
            "gap": "% moved when one in the middle leaves",
            "gap_between": "of those that stay",
            "restart": "% moved by a restart with a new address",
        },
        rows,
        [
            Goal(
                "% of keys moved between peers that stay: " + ", ".join(NEVER_BETWEEN),
                max(row[key] for row in rows if row["what"] in NEVER_BETWEEN for key in between),
                0,
            ),
            Goal(
                "% of keys moved by a restart with a new address, any strategy", max(row["restart"] for row in rows), 0
            ),
        ],
        pictures={}
        if quick
        else {"churn-keys": "120 keys and their pods through a join, a leave, a restart and scaling, by strategy"},
    )


def moved(before: list[int | None], after: list[int | None], besides: Iterable[int] = ()) -> float:
    """The share of keys with another owner, not counting those that one of `besides` had or has."""
    known = set(besides)
    changed = [pair for pair in zip(before, after, strict=True) if pair[0] != pair[1]]
    return sum(known.isdisjoint(pair) for pair in changed) / len(before)


def _percent(share: float) -> float:
    return round(100 * share, 3)
