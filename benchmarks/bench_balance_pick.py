"""One pick: every strategy, PyPI's hash rings and `random.choice`, over the same keys."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from harness import Candidate, Goal, Result, benchmark, race, rounded
from pods import KEYS, pods, worst_load
from xxhash import xxh64_intdigest

from headless_discovery.balance import (
    BoundedLoad,
    ConsistentHash,
    JumpHash,
    LeastLoaded,
    Maglev,
    Random,
    Rendezvous,
    RingHash,
    RoundRobin,
    Strategy,
    Weighted,
)

SIZES = (3, 100, 1000)
POINTS = 160  # a peer, on every ring whose library lets us choose: uhashring's default and ours
HASHRINGS_POINTS = 120  # hashring has 40 digests of 3 points for each of equal weight
BASELINE = "uhashring, `get_node`"

Choose = Callable[[Any], Any]


@benchmark("balance-pick")
def balance_pick(quick: bool) -> Result:
    rounds = 3 if quick else 41
    rows: list[dict[str, Any]] = []
    speeds: dict[tuple[str, int], float] = {}
    for size in SIZES:
        keyed = [(BASELINE, POINTS, _uhashring(size)), *_others(size), *_ours(size)]
        baseline, *candidates = [
            Candidate(label, "for key in keys: pick(key)", {"keys": KEYS, "pick": pick}, len(KEYS))
            for label, _, pick in keyed
        ]
        choice = Candidate(
            "`random.choice` of a list",
            "for key in keys: pick(peers)",
            {"keys": KEYS, "pick": random.choice, "peers": list(pods(range(size)))},
            len(KEYS),
        )
        turn = next(candidate for candidate in candidates if candidate.label == "`RoundRobin`")
        timed = race([choice, *candidates], baseline, rounds=rounds)
        against_choice = race([turn], choice, rounds=rounds)[1]["ratio"]["median"]
        speeds["choice", size] = 1 / against_choice
        sample = KEYS if quick else [f"key-{number}" for number in range(max(20_000, 1000 * size))]
        picks = {label: (points, pick) for label, points, pick in keyed}
        for row in timed:
            points, pick = picks.get(row["what"], ("", lambda key, among=choice.names["peers"]: random.choice(among)))
            keys = KEYS if row["what"] in ("`Rendezvous`", "`BoundedLoad`") and size > 3 else sample
            speeds[row["what"], size] = 1 / row["ratio"]["median"]
            rows.append(
                {
                    "what": row["what"],
                    "peers": size,
                    "points": points,
                    "ns": row["ns"],
                    "speed": {
                        "median": rounded(1 / row["ratio"]["median"]),
                        "low": rounded(1 / row["ratio"]["high"]),
                        "high": rounded(1 / row["ratio"]["low"]),
                    },
                    "load": worst_load(pick, size, keys),
                    "keys": len(keys) // size,
                }
            )
    rings = ("`ConsistentHash`", "`RingHash`")
    if not quick:
        _draw(rows)
    return Result(
        "Picking a peer",
        f"`pick(key)` of each strategy's picker, {len(KEYS):,} different keys in turn; *speed* is that of uhashring's"
        " `get_node` with as many points a peer, over the same keys. Beside it the load of the fullest peer over the"
        " mean, with so many keys for each peer as the last column says (the fewer, the more of it is chance).",
        {
            "what": "",
            "peers": "peers",
            "points": "points a peer",
            "ns": "ns",
            "speed": "speed",
            "load": "worst / mean load",
            "keys": "keys a peer",
        },
        rows,
        [
            Goal("round robin's speed, times `random.choice`", min(speeds["choice", n] for n in SIZES), 1, True),
            *(
                Goal(f"{ring}'s speed at {n} peers, times uhashring's", speeds[ring, n], 2.5 if n == 1000 else 3, True)
                for ring in rings
                for n in SIZES
            ),
            *(Goal(f"`Maglev`'s speed at {n} peers, times uhashring's", speeds["`Maglev`", n], 7, True) for n in SIZES),
        ],
        pictures={} if quick else {"balance-pick": "The time of one pick by strategy, at 3, 100 and 1000 peers"},
    )


def _uhashring(size: int) -> Choose:
    from uhashring import HashRing

    get_node: Choose = HashRing([peer.identity for peer in pods(range(size))], vnodes=POINTS).get_node
    return get_node


def _others(size: int) -> list[tuple[str, Any, Choose]]:
    import hashring
    import jump
    import uhashring

    names = [peer.identity for peer in pods(range(size))]

    def xxh64(key: str) -> int:
        return xxh64_intdigest(key.encode())

    def jump_hash(key: str) -> str:
        return names[jump.hash(xxh64_intdigest(key.encode()), size)]

    return [
        ("uhashring with XXH64", POINTS, uhashring.HashRing(names, vnodes=POINTS, hash_fn=xxh64).get_node),
        ("hashring, `get_node`", HASHRINGS_POINTS, hashring.HashRing(names).get_node),
        ("jump-consistent-hash (C) of an XXH64", "", jump_hash),
    ]


def _ours(size: int) -> list[tuple[str, Any, Choose]]:
    strategies: list[tuple[str, Any, Strategy]] = [
        ("`ConsistentHash`", POINTS, ConsistentHash(vnodes=POINTS)),
        (f"`ConsistentHash(vnodes={HASHRINGS_POINTS})`", HASHRINGS_POINTS, ConsistentHash(vnodes=HASHRINGS_POINTS)),
        ("`RingHash`", POINTS, RingHash(POINTS * size, POINTS * size)),
        ("`BoundedLoad`", POINTS, BoundedLoad(vnodes=POINTS)),
        ("`Maglev`", "", Maglev()),
        ("`JumpHash`", "", JumpHash()),
        ("`Rendezvous`", "", Rendezvous()),
        ("`RoundRobin`", "", RoundRobin()),
        ("`Weighted`", "", Weighted()),
        ("`Random`", "", Random()),
        ("`LeastLoaded`", "", LeastLoaded()),
    ]
    peers = pods(range(size))
    return [(label, points, strategy.build(peers, None).pick) for label, points, strategy in strategies]


def _draw(rows: list[dict[str, Any]]) -> None:
    from plots import bars

    named = {
        row["what"].replace("`", ""): {
            found["peers"]: found["ns"]["median"] for found in rows if found["what"] == row["what"]
        }
        for row in rows
    }
    bars("balance-pick", named, "ns for one pick (logarithmic)")
