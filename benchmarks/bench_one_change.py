"""One peer of 1000 changes: from the answer's bytes to the subscriber."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

from canned import CannedHost
from handles import watched
from harness import Goal, Result, benchmark, spread
from shared import answers

from headless_discovery import Change, Peer
from headless_discovery.balance import ConsistentHash, Maglev, RoundRobin, Strategy

PEERS, SRV_PEERS = 1000, 800  # as many SRV records and their glue fit into a message
STRATEGIES: list[Strategy] = [RoundRobin(), ConsistentHash(), Maglev()]
LIMIT = 3.0  # ms
AGED = 60.0  # seconds between changes, so that nobody is young: who is takes two answers to leave

SETTLED = 0.1  # seconds: what a picker leaves to be done later takes less
COLUMNS = {"ms": "ms", "held": "ms at a time"}

Step = tuple[str, bytes]


def _addresses(pods: int) -> Iterator[Step]:
    """A pod leaves, then another joins."""
    all_ = answers.pod_addresses(pods * 2)
    present = all_[:pods]
    yield "", answers.addresses(present)
    for number, new in enumerate(all_[pods:]):
        del present[number * 7 % len(present)]
        yield "a pod leaves", answers.addresses(present)
        present.append(new)
        yield "a pod joins", answers.addresses(present)


def _srv(pods: int) -> Iterator[Step]:
    """A pod of a StatefulSet restarts: its name has another address."""
    all_ = answers.pod_addresses(pods * 2)
    present = [(f"web-{number}", packed) for number, packed in enumerate(all_[:pods])]
    yield "", answers.srv(present)
    for number, new in enumerate(all_[pods:]):
        place = number * 7 % len(present)
        present[place] = present[place][0], new
        yield "a pod restarts", answers.srv(present)


async def _measure(
    strategy: Strategy, port: int | str, steps: Iterator[Step], rounds: int
) -> dict[str, list[dict[str, float]]]:
    """By what happened: ms until the subscriber was called, and ms of the longest callback."""
    _, answer = next(steps)
    host = CannedHost(asyncio.get_running_loop(), answer)
    heard: list[tuple[float, Change, Peer]] = []
    told = asyncio.Event()

    def changed(change: Change) -> None:
        heard.append((host.arrived.seconds(), change, service.pick("user-1")))
        told.set()

    taken: dict[str, list[dict[str, float]]] = {}

    async def change_once() -> None:
        told.clear()
        heard.clear()
        await service.refresh()
        await told.wait()
        await asyncio.sleep(SETTLED)

    async with host.service(port, strategy=strategy) as service:
        service.watch(changed)
        await told.wait()
        await asyncio.sleep(SETTLED)
        for _ in range(rounds):
            what, host.answer = next(steps)
            host.skip(AGED)
            with watched() as longest:
                held = await longest.of(change_once)
            ((seconds, change, picked),) = heard
            assert len(change.added) + len(change.removed) == (2 if what == "a pod restarts" else 1)
            assert picked in change.current
            taken.setdefault(what, []).append({"ms": seconds * 1e3, "held": held * 1e3})
    return taken


@benchmark("one-change")
def one_change(quick: bool) -> Result:
    rounds = 6 if quick else 60
    rows: list[dict[str, Any]] = []
    for kind, (port, steps, peers) in {"A": (8080, _addresses, PEERS), "SRV": ("http", _srv, SRV_PEERS)}.items():
        for strategy in STRATEGIES:
            for what, taken in asyncio.run(_measure(strategy, port, steps(peers), rounds)).items():
                rows.append(
                    {
                        "what": f"`{type(strategy).__name__}`, {what}",
                        "strategy": type(strategy).__name__,
                        "records": f"{peers:,} {kind}",
                        **{key: spread(found[key] for found in taken) for key in COLUMNS},
                    }
                )
    medians = {
        strategy: [row["ms"]["median"] for row in rows if row["strategy"] == strategy and row["records"].endswith(" A")]
        for strategy in ("Maglev", "ConsistentHash")
    }
    return Result(
        "One peer changes",
        "Milliseconds from the moment at which the bytes of the answer are at hand to the call of the subscriber of an"
        " `AsyncHeadlessService`: the answer is read, compared, a set is made, and the subscriber is called in a task"
        " of its own. When it is called, `pick()` chooses among the new peers. No sockets here, and a minute between"
        " changes (nobody is young) is skipped. *At a time* is the longest single callback or task step, until also"
        " what is left for later is done. Where other processes took the processor away meanwhile, it is CPU time.",
        {"records": "records", "what": "", **COLUMNS},
        rows,
        [
            Goal(
                f"ms from an answer with one change in {PEERS:,} A to its `Change`, with {strategy}", max(found), LIMIT
            )
            for strategy, found in medians.items()
        ],
    )
