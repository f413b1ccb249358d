"""The reader of answers: what an extended error costs, and the longest that any message takes."""

from __future__ import annotations

import asyncio
import random
import struct
from contextlib import suppress
from typing import Any

from canned import CannedHost
from harness import Goal, Result, benchmark, spread
from shared import answers, hostile
from stopwatch import Stopwatch

from headless_discovery import reader
from headless_discovery.message import Srv, WireError
from headless_discovery.wire import read

PODS = 1000
SHOWN = 8  # of the messages made to take long
WARM = 5
ERROR = struct.pack("!3H", 15, 9, 3) + b"stale"  # RFC 8914: Stale Answer


def with_options(answer: bytes, options: bytes) -> bytes:
    """The answer with an OPT record behind it."""
    opt = struct.pack("!BHHIH", 0, 41, 1232, 0, len(options)) + options
    return answer[:10] + struct.pack("!H", 1) + answer[12:] + opt


async def _refreshes(rounds: int) -> tuple[dict[str, list[float]], list[float]]:
    """Milliseconds of a refresh by the answer, in turn; and the ratios within each round."""
    plain = answers.addresses(answers.pod_addresses(PODS))
    told = {
        f"{PODS:,} A": with_options(plain, b""),
        f"{PODS:,} A and an extended error": with_options(plain, ERROR),
    }
    taken: dict[str, list[float]] = {label: [] for label in told}
    host = CannedHost(asyncio.get_running_loop(), plain)
    order = list(told)
    async with host.service(answers.PORT) as service:
        for _ in range(rounds + WARM):
            random.shuffle(order)
            for label in order:
                host.answer = told[label]
                watch = Stopwatch()
                await service.refresh()
                taken[label].append(watch.seconds() * 1e3)
        assert len(service.peers()) == PODS
    taken = {label: found[WARM:] for label, found in taken.items()}
    without, with_error = taken.values()
    return taken, [b / a for a, b in zip(without, with_error, strict=True)]


def _reading(message: bytes, *, full: bool) -> float:
    """Milliseconds, where nothing of it was seen before; with `full`, what is remembered has to be forgotten first."""
    reader._seen.clear()
    reader._seen_srv.clear()
    if full:
        others = [f"pod-{number}.others" for number in range(reader._SEEN_MAX)]
        reader._seen.update((other.encode(), other) for other in others)
        reader._seen_srv.update((b"\0\0\0\1\0\x50" + other.encode(), Srv(0, 1, 80, other)) for other in others)
    watch = Stopwatch()
    with suppress(WireError):
        read(message)
    return watch.seconds() * 1e3


@benchmark("reader")
def reading(quick: bool) -> Result:
    taken, ratios = asyncio.run(_refreshes(5 if quick else 501))
    honest, made = hostile.honest(), hostile.hostile()
    rounds = 1 if quick else 9
    times = {kind: spread(_reading(made[kind], full=False) for _ in range(rounds)) for kind in made}
    worst = sorted(made, key=lambda kind: -times[kind]["median"])[:SHOWN]
    rows: list[dict[str, Any]] = [{"what": label, "refresh": spread(found)} for label, found in taken.items()]
    rows[-1]["ratio"] = spread(ratios)
    for kind, message in {**honest, **{kind: made[kind] for kind in worst}}.items():
        rows.append(
            {
                "what": kind if kind in honest else f"made to take long: {kind}",
                "read": times.get(kind) or spread(_reading(message, full=False) for _ in range(rounds)),
                "full": spread(_reading(message, full=True) for _ in range(rounds)),
            }
        )
    reader._seen.clear()
    reader._seen_srv.clear()
    return Result(
        "What an answer costs to read",
        f"Milliseconds. *Refresh*: of a set of {PODS:,} that has not changed, with the answer at hand instead of a"
        " server, with and without an extended error (RFC 8914), in turn. *Read*: of messages of up to 64 KiB, of which"
        " nothing was seen before: the largest that a server answers with, and, of"
        f" {len(made)} that are made to take long (`tests/support/hostile.py`), the {SHOWN} that do. *Memory full*: the"
        " same, where what other answers left behind has to be forgotten first.",
        {"what": "", "refresh": "refresh", "ratio": "times the first", "read": "read", "full": "memory full"},
        rows,
        [
            Goal(f"refresh of {PODS:,} A with an extended error, times one without", spread(ratios)["median"], 1.1),
        ],
    )
