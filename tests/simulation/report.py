"""Runs over all worlds: their steps, what came of them as a table, and the section of docs/reliability.md."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

from .chance import expected_losses, lost_in, run_needed
from .clock import Broken
from .judge import FALSE_REMOVAL, MISSED
from .worlds import NEW, WORLDS, make

PAGE = Path(__file__).parents[2] / "docs" / "reliability.md"
BEGIN, END = "<!-- simulation: begin -->", "<!-- simulation: end -->"
STEPS = 1_000_000
STEPS_A_SEED = 10_000  # then the same world begins anew, from the next seed
DAY = 86_400.0


@dataclass
class Totals:
    """Of one world, over some seeds."""

    name: str
    steps: int = 0
    seconds: float = 0.0
    counts: Counter[str] = field(default_factory=Counter)
    events: Counter[str] = field(default_factory=Counter)
    wrong: Counter[str] = field(default_factory=Counter)
    first_wrong: dict[str, str] = field(default_factory=dict)
    joined: int = 0
    left: int = 0
    queries: int = 0
    seeds: int = 0
    cpu: float = 0.0

    @property
    def cut_share(self) -> float:
        return self.counts["cut"] / max(1, self.steps - self.counts["failed"])


def play(name: str, seed: int, steps: int, totals: Totals, *, strict: bool = True) -> None:
    """One seed of a world. Raises `Broken` at the first thing that is wrong, if `strict`."""
    began = time.process_time()
    world, story = make(name, seed)
    world.strict = strict
    try:
        story.run(float("inf"), steps)
        story.end()
    except Broken:
        if strict:
            raise
    finally:
        totals.seeds += 1
        totals.steps += world.steps
        totals.seconds += world.host.now - 1000.0
        totals.queries += world.network.packets
        totals.events += world.events
        totals.wrong += world.wrong
        for kind, text in world.first_wrong.items():
            totals.first_wrong.setdefault(kind, text)
        totals.counts += world.counts
        totals.joined += world.joined
        totals.left += world.left
        for watched in world.watched:
            totals.counts += watched.judge.counts
            totals.joined += watched.judge.joined
            totals.left += watched.judge.left
        totals.cpu += time.process_time() - began


def run(
    steps: int,
    first_seed: int = 1,
    names: Iterable[str] = WORLDS,
    *,
    strict: bool = True,
    tell: Callable[[str], None] = lambda text: None,
) -> list[Totals]:
    """Each world for its share of the steps."""
    names = list(names)
    whole = sum(WORLDS[name].share for name in names)
    played = []
    for name in names:
        totals, quota = Totals(name), round(steps * WORLDS[name].share / whole)
        for seed in count(first_seed):
            left = quota - totals.steps
            if left <= 0:
                break
            play(name, seed, min(left, STEPS_A_SEED), totals, strict=strict)
        played.append(totals)
        tell(line(totals))
    return played


def line(totals: Totals) -> str:
    wrong = ", ".join(f"{n:,} {kind}" for kind, n in totals.wrong.most_common()) or "nothing wrong"
    texts = "".join(f"\n    {text}" for text in totals.first_wrong.values())
    return f"{totals.name}: {totals.steps:,} steps from {totals.seeds} seeds, {totals.cpu:.1f} s: {wrong}{texts}"


def table(played: list[Totals]) -> str:
    steps = sum(totals.steps for totals in played)
    head = (
        "| world | simulated days | steps | share | failed / empty / cut | joins / leaves | false removals "
        "| missed changes | other faults |"
    )
    rows = [head, "|---" * head.count(" |") + "|"]
    for totals in played:
        other = sum(n for kind, n in totals.wrong.items() if kind not in (FALSE_REMOVAL, MISSED))
        counts = totals.counts
        cells = [
            totals.name,
            f"{totals.seconds / DAY:,.1f}",
            f"{totals.steps:,}",
            f"{totals.steps / max(1, steps):.0%}",
            f"{counts['failed']:,} / {counts['empty']:,} / {counts['cut']:,}",
            f"{totals.joined:,} / {totals.left:,}",
            f"**{totals.wrong[FALSE_REMOVAL]:,}**",
            f"**{totals.wrong[MISSED]:,}**",
            f"**{other:,}**",
        ]
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


def summary(played: list[Totals]) -> str:
    steps = sum(totals.steps for totals in played)
    new = sum(totals.steps for totals in played if totals.name in NEW)
    queries = sum(totals.queries for totals in played)
    events = sum(sum(totals.events.values()) for totals in played)
    failing = [totals.name for totals in played if totals.wrong]
    told = f"{len(failing)} of {len(played)} worlds fail: {', '.join(failing)}" if failing else "no world fails"
    return (
        f"{steps:,} steps, {new / max(1, steps):.0%} of them in the worlds for what servers do to additional records, "
        f"names and types; {queries:,} queries, {events:,} events, {sum(t.cpu for t in played):.0f} s of CPU; {told}."
    )


def write(tell: Callable[[str], None]) -> None:
    """Play everything and put the numbers into the page. Raises `Broken` where something is wrong."""
    page = PAGE.read_text()
    before, rest = page.split(BEGIN)
    _, after = rest.split(END)
    PAGE.write_text(f"{before}{BEGIN}\n{numbers(tell)}\n{END}{after}")


def numbers(tell: Callable[[str], None]) -> str:
    played = run(STEPS, tell=tell)
    what = "\n".join(f"* `{name}`: {kind.what}." for name, kind in WORLDS.items())
    shown, union, answers = 4092, 5000, 10**7
    needed = run_needed(shown, union)
    lost, longest = lost_in(answers, peers=union, sixteenths=3, length=needed, seed=1)
    return f"""
{table(played)}

{summary(played)}

{what}

5000 A records of which each answer shows a random {shown:,}: a peer is lost when {needed} answers in a row lack it. \
Simulated: {answers:,} answers, {answers * union:,} times that a peer is or is not in an answer; longest row \
{longest}, peers lost: **{lost}**. (Absences are drawn with probability 3/16, more often than the true \
{1 - shown / union:.4f}.) Exactly: the chance that any of the {union:,} is lost in {answers:,} answers is below \
{expected_losses(shown, union, answers):.0e}.
"""
