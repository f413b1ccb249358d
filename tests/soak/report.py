"""The figures and the plot of a soak, for docs/reliability.md."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from .run import Outcome

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGE, PLOT = DOCS / "reliability.md", DOCS / "soak.svg"
BEGIN, END = "<!-- soak: begin -->", "<!-- soak: end -->"


def page(text: str, outcome: Outcome) -> str:
    """The page with new figures between the two marks. Raises `ValueError` where they are missing."""
    before, rest = text.split(BEGIN)
    _, after = rest.split(END)
    return f"{before}{BEGIN}\n{figures(outcome)}\n{END}{after}"


def figures(outcome: Outcome) -> str:
    samples, totals = outcome.samples, outcome.totals
    rows = [
        ("duration", f"{outcome.seconds:,.0f} s, seed {outcome.seed}"),
        ("services", f"{outcome.services} at a time, half of them async; {totals['closed']:,} in all"),
        ("pods that joined, left, moved or flapped", f"{totals['events']:,} events"),
        ("faults", f"{totals['faults']:,}"),
        ("lookups asked for, of which failed", f"{totals['lookups']:,}, {totals['failures']:,}"),
        ("changes; calls of subscribers", f"{totals['changes']:,}; {totals['callbacks']:,}"),
        ("calls that raised on purpose", f"{totals['callback_errors']:,}"),
        ("sets that were wrong at the end, broken histories, leaks", f"{len(outcome.wrong)}"),
        ("all sets right again after the last fault", f"{outcome.settled:.1f} s"),
        (
            "blocks of memory in use at rest, growth from a third of the time to its end",
            f"{outcome.blocks_growth:+.1%}",
        ),
        ("RSS, growth likewise; at the end", f"{outcome.growth:+.1f} MiB; {samples[-1].rss:.0f} MiB"),
        ("threads, at most", f"{max(s.threads for s in samples)}"),
        ("descriptors, at most; at the end", f"{max(s.descriptors for s in samples)}; {samples[-1].descriptors}"),
    ]
    made = f"Python {platform.python_version()}, {platform.system()} {platform.machine()}"
    lines = [f"| {made} | |", "|---|---|", *(f"| {what} | {value} |" for what, value in rows)]
    return "\n".join(lines)


class Panel(NamedTuple):
    title: str
    unit: str
    values: Sequence[float]


WIDTH, HEIGHT, LEFT, RIGHT, TOP, GAP = 760, 120, 62, 18, 34, 46


def svg(outcome: Outcome) -> str:
    samples = outcome.samples
    per_second = [0.0] + [
        max(0, after.changes - before.changes) / max(1e-9, after.time - before.time)
        for before, after in pairwise(samples)
    ]
    panels = [
        Panel("Memory (RSS)", "MiB", [s.rss for s in samples]),
        Panel("Blocks of memory in use", "k", [s.blocks / 1000 for s in samples]),
        Panel("Threads", "", [s.threads for s in samples]),
        Panel("Open descriptors", "", [s.descriptors for s in samples]),
        Panel("Changes of all sets", "/s", per_second),
        Panel("Services that say they are stale", "", [s.stale for s in samples]),
    ]
    times = [s.time for s in samples]
    height = len(panels) * (HEIGHT + GAP) + TOP
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" '
        f'font-size="12" role="img" aria-label="Memory, threads and descriptors over {outcome.seconds:g} s">',
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
    ]
    for number, panel in enumerate(panels):
        parts += drawn(panel, times, outcome.seconds, TOP + number * (HEIGHT + GAP))
    parts.append(
        f'<text x="{WIDTH - RIGHT}" y="{height - 8}" text-anchor="end" fill="#555555">'
        f"{outcome.services} services, churn and faults from seed {outcome.seed}; seconds</text></svg>"
    )
    return "\n".join(parts) + "\n"


def drawn(panel: Panel, times: Sequence[float], duration: float, top: float) -> list[str]:
    """From zero, so that flat looks flat and growth like growth."""
    high = nice(max(panel.values) or 1.0)
    inner = WIDTH - LEFT - RIGHT

    def x(time: float) -> float:
        return LEFT + inner * time / duration

    def y(value: float) -> float:
        return top + HEIGHT * (1 - value / high)

    parts = [f'<text x="{LEFT}" y="{top - 8}" font-weight="bold" fill="#222222">{panel.title}</text>']
    for share in (0, 0.5, 1):
        value = high * share
        label = f"{value:g} {panel.unit}".strip()
        parts += [
            f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y(value):.1f}" y2="{y(value):.1f}" stroke="#dddddd"/>',
            f'<text x="{LEFT - 6}" y="{y(value) + 4:.1f}" text-anchor="end" fill="#555555">{label}</text>',
        ]
    for share in range(7):
        time = duration * share / 6
        parts.append(
            f'<text x="{x(time):.1f}" y="{top + HEIGHT + 16}" text-anchor="middle" fill="#555555">{time:g}</text>'
        )
    points = " ".join(f"{x(time):.1f},{y(value):.1f}" for time, value in zip(times, panel.values, strict=True))
    parts.append(f'<polyline points="{points}" fill="none" stroke="#0b62a4" stroke-width="1.3"/>')
    return parts


def nice(value: float) -> float:
    """The next number of the form 1, 2, 4, 5 or 10 times a power of ten."""
    power = 1.0
    while value > 10 * power:
        power *= 10
    while value <= power and power > 1:
        power /= 10
    return next(step * power for step in (1, 2, 4, 5, 6, 8, 10) if value <= step * power)
