"""The sections of docs/kubernetes.md that have figures, out of results.json, and the plot."""

from __future__ import annotations

import json
import math
import random
import re
import textwrap
from collections.abc import Callable, Sequence
from itertools import chain
from pathlib import Path
from statistics import mean, median
from typing import Any

import plots
from harness import Goal, percentile
from report import table

PAGE = Path(__file__).resolve().parents[2] / "docs" / "kubernetes.md"
PLOT = "head-to-head"
NAMES = {
    "async_service": "`AsyncHeadlessService`",
    "service": "`HeadlessService`",
    "ttl_loop": "dnspython in a loop that sleeps for the TTL",
    "grpc": "grpcio, `dns:///` with `round_robin`",
    "httpx": "httpx, the system's resolver, keep-alive",
}
OURS = ("async_service", "service")
OTHERS = ("grpc", "httpx")
INTRODUCTION = """\
{versions}. {minutes:g} minutes, in which {came} pods came and {left} were deleted,
at moments spread evenly over the TTL of {ttl} s; there were {pods} or {most} at a time,
and each served on for {drain} s after its deletion. Several programs of each kind, each with a DNS cache of its own;
each sends {rate:g} requests a second, one after the other. Seconds are medians, with the quartiles in brackets.
"""
COLUMNS = [
    "",
    "programs",
    "s from Ready to the first request",
    "90 % within",
    "never asked",
    "s from deletion to the last request",
    "the longest",
    "DNS queries a minute of each",
    "failed requests",
]
PICTURE = "The share of new pods that have been asked, and of deleted pods that are left alone, over time"
WIDE = 3  # times as long at least is "by a wide margin"
RESAMPLED = 2000


def write(results: dict[str, Any]) -> None:
    PAGE.write_text(page(PAGE.read_text(), results))
    if "head-to-head" in results:
        plot(results["head-to-head"])


def page(text: str, results: dict[str, Any]) -> str:
    """The page with new figures between the marks of each section. Raises `ValueError` where marks are missing."""
    for name, found in results.items():
        begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
        before, rest = text.split(begin)
        _, after = rest.split(end)
        text = f"{before}{begin}\n{SECTIONS[name](found)}\n{end}{after}"
    return text


def as_json(found: dict[str, Any]) -> str:
    """A list on one line."""
    text = json.dumps(found, indent=1)
    return re.sub(r"\[[^]]*\]", lambda one: json.dumps(json.loads(one[0])), text) + "\n"


def answer_sizes(found: dict[str, Any]) -> str:
    rows = [[kind, f"{fit['udp']:,}", f"{fit['tcp']:,}"] for kind, fit in found["fit"].items()]
    return table([f"CoreDNS {found['coredns']}", "over UDP (EDNS, 1,232 octets)", "over TCP (64 KiB)"], rows).rstrip()


def head_to_head(found: dict[str, Any]) -> str:
    setting, clients = found["setting"], found["clients"]
    versions = ", ".join(f"{name} {number}" for name, number in found["versions"].items())
    judged = [
        [goal.text, f"{goal.limit:.2g}", f"{goal.value:.2f}", "met" if goal.met else "**missed**"]
        for goal in goals(found)
    ]
    return "\n".join(
        [
            textwrap.fill(INTRODUCTION.format(versions=versions, most=setting["pods"] + 1, **setting), 120) + "\n",
            table(COLUMNS, [_row(NAMES[kind], clients[kind]) for kind in NAMES]),
            f"![{PICTURE}](images/{PLOT}.svg)\n",
            table(["goal", "at most", "measured", ""], judged).rstrip(),
        ]
    )


def goals(found: dict[str, Any]) -> list[Goal]:
    clients, ttl = found["clients"], found["setting"]["ttl"]
    times = {kind: _times(clients[kind]) for kind in clients}
    queries = {kind: mean(clients[kind]["queries"]) for kind in clients}
    made = []
    for kind in OURS:
        ours, what = median(times[kind]), f"{NAMES[kind]}, median s from Ready to the first request"
        later = ours - median(times["ttl_loop"])
        low, high = difference(*(_of_pods(clients[each], found["setting"]["came"]) for each in (kind, "ttl_loop")))
        interval = f"the 95 % interval, {low:.2f} to {high:.2f}, begins at"
        made += [
            Goal(what, ours, ttl + 1),
            *(
                Goal(f"the same, times that of {NAMES[other]}", ours / median(times[other]), 1 / WIDE)
                for other in OTHERS
            ),
            Goal("the same, less that of the loop", later, 1 / found["setting"]["rate"]),
            Goal(f"the same: {interval}", low, 0),
            Goal("DNS queries a minute, times those of the loop", queries[kind] / queries["ttl_loop"], 1),
        ]
    return made


def difference(ours: Sequence[Sequence[float]], theirs: Sequence[Sequence[float]]) -> tuple[float, float]:
    """The 95 % interval of the difference of the medians, by the bootstrap (B. Efron, 1979). Each item is one pod's
    times; pods are drawn, since all clients saw the same pods.
    """
    rng = random.Random(0)
    pods = range(len(ours))
    found = []
    for _ in range(RESAMPLED):
        drawn = rng.choices(pods, k=len(pods))
        found.append(_middle(ours, drawn) - _middle(theirs, drawn))
    found.sort()
    return percentile(found, 0.025), percentile(found, 0.975)


def _middle(times: Sequence[Sequence[float]], pods: Sequence[int]) -> float:
    return median(chain.from_iterable(times[pod] for pod in pods))


def _of_pods(of_one: dict[str, Any], came: int) -> list[list[float]]:
    """The times of all programs for each pod."""
    times = _times(of_one)
    return [times[pod::came] for pod in range(came)]


def _times(of_one: dict[str, Any]) -> list[float]:
    return [math.inf if time is None else time for time in of_one["joined"]]


def _row(name: str, of_one: dict[str, Any]) -> list[str]:
    joined, left = _times(of_one), of_one["left"]
    never = joined.count(math.inf) / len(joined)
    return [
        name,
        str(of_one["programs"]),
        _spread(joined),
        _seconds(percentile(joined, 0.9)),
        f"{never:.0%}",
        _spread(left) if left else "",
        _seconds(max(left)) if left else "",
        f"{mean(of_one['queries']):.1f}",
        f"{of_one['failed']:,} of {of_one['requests']:,}",
    ]


def _spread(values: Sequence[float]) -> str:
    low, high = percentile(values, 0.25), percentile(values, 0.75)
    return f"{_seconds(median(values))} ({_seconds(low)} - {_seconds(high)})"


def _seconds(value: float) -> str:
    return "never" if value == math.inf else f"{value:.2f}"


def plot(found: dict[str, Any]) -> None:
    clients = found["clients"]
    came, went = "of new pods, asked", "of deleted pods, left alone"
    plots.shares(
        PLOT,
        {
            came: {_plain(kind): _times(clients[kind]) for kind in NAMES},
            went: {_plain(kind): clients[kind]["left"] for kind in NAMES},
        },
        {
            came: ("s since they were Ready", found["setting"]["drain"] * 2),
            went: ("s since they were deleted", found["setting"]["drain"] + 1),
        },
    )


def _plain(kind: str) -> str:
    return NAMES[kind].replace("`", "")


SECTIONS: dict[str, Callable[[dict[str, Any]], str]] = {"answer-sizes": answer_sizes, "head-to-head": head_to_head}
