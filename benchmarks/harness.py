"""What every benchmark needs: a registry, results with goals, and timing that a busy machine does not fool."""

from __future__ import annotations

import os
import platform
import random
import statistics
import timeit
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass
class Goal:
    """`value` must be at most `limit`, or at least where `floor`."""

    text: str
    value: float
    limit: float
    floor: bool = False

    @property
    def met(self) -> bool:
        return self.value >= self.limit if self.floor else self.value <= self.limit


@dataclass
class Result:
    """One table. `columns` maps the keys of `rows` to headings; `text` says what was measured and how, in Markdown;
    `pictures` maps files in docs/images, without .svg, to what they show.
    """

    title: str
    text: str
    columns: dict[str, str]
    rows: list[dict[str, Any]]
    goals: list[Goal] = field(default_factory=list)
    pictures: dict[str, str] = field(default_factory=dict)
    machine: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        made = asdict(self)
        for goal, told in zip(self.goals, made["goals"], strict=True):
            told["met"] = goal.met
        return made


class Missing(Exception):
    """A program that a benchmark needs is not installed."""


Benchmark = Callable[[bool], Result]
REGISTRY: dict[str, Benchmark] = {}


def benchmark(name: str) -> Callable[[Benchmark], Benchmark]:
    """Register `function(quick) -> Result` under a name for `--only`. One benchmark a file, bench_<name>.py."""

    def register(function: Benchmark) -> Benchmark:
        if name in REGISTRY:
            raise ValueError(f"two benchmarks are called {name!r}")
        REGISTRY[name] = function
        return function

    return register


def machine() -> dict[str, Any]:
    """The kind of machine, as far as it explains the figures; nothing that tells which one it is."""
    return {
        "cpus": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "architecture": platform.machine(),
        "system": platform.system(),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
    }


def spread(values: Iterable[float], digits: int = 3) -> dict[str, float]:
    """Median and quartiles, rounded to `digits` significant ones."""
    found = sorted(values)
    low, median, high = statistics.quantiles(found, n=4, method="inclusive") if len(found) > 1 else found * 3
    return {"median": rounded(median, digits), "low": rounded(low, digits), "high": rounded(high, digits)}


def rounded(value: float, digits: int = 3) -> float:
    return float(f"{value:.{digits}g}")


def percentile(values: Sequence[float], share: float) -> float:
    found = sorted(values)
    return found[min(len(found) - 1, int(share * len(found)))]


@dataclass
class Candidate:
    """`statement` is timed as it stands; its names are those of `names`."""

    label: str
    statement: str
    names: dict[str, Any]
    count: int = 1  # operations that one run of the statement does


def race(
    candidates: Sequence[Candidate], baseline: Candidate, *, rounds: int, seconds: float = 0.005
) -> list[dict[str, Any]]:
    """Time per operation in nanoseconds, and the ratio to `baseline`.

    Each round times everybody once for `seconds`, in a new order, so whatever else the machine does meets all alike;
    the ratio is taken within a round, and what is reported is the median of the rounds.
    """
    runners = [baseline, *(candidate for candidate in candidates if candidate is not baseline)]
    timers = [timeit.Timer(runner.statement, globals=runner.names) for runner in runners]
    numbers = []
    for timer in timers:
        number = 1
        while (took := timer.timeit(number)) < seconds / 4:
            number *= 4
        numbers.append(max(1, round(number * seconds / took)))
    times: list[list[float]] = [[] for _ in runners]
    order = list(range(len(runners)))
    for _ in range(rounds):
        random.shuffle(order)
        for place in order:
            took = timers[place].timeit(numbers[place])
            times[place].append(took / numbers[place] / runners[place].count * 1e9)
    rows = []
    for runner, taken in zip(runners, times, strict=True):
        ratios = [mine / base for mine, base in zip(taken, times[0], strict=True)]
        rows.append({"what": runner.label, "ns": spread(taken), "ratio": spread(ratios)})
    return rows
