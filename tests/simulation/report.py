"""What runs came to, as text; and the section of docs/reliability.md that has the numbers."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

from .chance import expected_losses, lost_in, run_needed
from .runs import mixed, month
from .world import World

PAGE = Path(__file__).parents[2] / "docs" / "reliability.md"
BEGIN, END = "<!-- simulation: begin -->", "<!-- simulation: end -->"
STEPS = 1_000_000
MONTH_SEED = 2026
DAY = 86_400.0


@dataclass
class Totals:
    steps: int = 0
    seconds: float = 0.0
    verdicts: Counter[str] = field(default_factory=Counter)
    events: Counter[str] = field(default_factory=Counter)
    joined: int = 0
    left: int = 0
    queries: int = 0
    worlds: int = 0
    most_queries: int = 0

    def add(self, world: World) -> None:
        self.worlds += 1
        self.steps += world.steps
        self.seconds += world.host.now - 1000.0
        self.queries += world.network.packets
        self.events += world.events
        for watched in world.watched:
            self.verdicts += Counter(watched.judge.counts)
            self.joined += watched.judge.joined
            self.left += watched.judge.left
            self.most_queries = max(self.most_queries, watched.most_queries)

    @property
    def incomplete_share(self) -> float:
        answers = self.verdicts["whole"] + self.verdicts["cut"] + self.verdicts["nobody"]
        return self.verdicts["cut"] / max(1, answers)

    def text(self, cpu: float) -> str:
        told = ", ".join(f"{name} {n:,}" for name, n in sorted(self.verdicts.items()))
        return (
            f"{self.worlds} worlds, {self.seconds / DAY:.1f} simulated days, {self.steps:,} membership steps "
            f"({told}; {self.incomplete_share:.0%} of the answers incomplete), {self.joined:,} joins, "
            f"{self.left:,} leaves, {self.queries:,} queries, {sum(self.events.values()):,} events: "
            f"0 false removals, 0 missed changes; {cpu:.1f} s of CPU"
        )

    def row(self, what: str) -> str:
        cells = [
            what,
            f"{self.seconds / DAY:,.0f}",
            f"{self.steps:,}",
            *(f"{self.verdicts[verdict]:,}" for verdict in ("whole", "cut", "nobody", "failed")),
            f"{self.incomplete_share:.0%}",
            f"{self.joined:,} / {self.left:,}",
            "**0**",
            "**0**",
        ]
        return f"| {' | '.join(cells)} |"


def write() -> None:
    """Play everything and put the numbers into the page. Raises `Broken` where a rule was."""
    page = PAGE.read_text()
    before, rest = page.split(BEGIN)
    _, after = rest.split(END)
    PAGE.write_text(f"{before}{BEGIN}\n{numbers()}\n{END}{after}")


def numbers() -> str:
    began = time.process_time()
    thirty = Totals()
    world, story = month(MONTH_SEED)
    story.run(30 * DAY)
    story.fine()
    world.settle()
    thirty.add(world)
    thirty_took = time.process_time() - began
    many = Totals()
    for seed in count(1):
        world, story = mixed(seed)
        story.run(DAY)
        story.fine()
        world.settle()
        many.add(world)
        if many.steps + thirty.steps >= STEPS:
            break
    shown, union, answers = 4092, 5000, 10**7
    needed = run_needed(shown, union)
    lost, longest = lost_in(answers, peers=union, sixteenths=3, length=needed, seed=1)
    steps = thirty.steps + many.steps
    return f"""
| run | simulated days | membership steps | whole | cut | empty | failed | cut of all answers | joins / leaves \
| false removals | missed changes |
|---|---|---|---|---|---|---|---|---|---|---|
{thirty.row(f"30 days, seed {MONTH_SEED}")}
{many.row(f"{many.worlds} worlds, seeds 1 to {many.worlds}")}

{steps:,} membership steps, {thirty.queries + many.queries:,} queries, \
{sum((thirty.events + many.events).values()):,} events; {time.process_time() - began:.0f} s of CPU, of which the 30 \
days {thirty_took:.0f} s.

5000 A records of which each answer shows a random {shown:,}: a peer is lost when {needed} answers in a row lack it. \
Simulated: {answers:,} answers, {answers * union:,} times that a peer is or is not in an answer; longest row \
{longest}, peers lost: **{lost}**. (Absences are drawn with probability 3/16, more often than the true \
{1 - shown / union:.4f}.) Exactly: the chance that any of the {union:,} is lost in {answers:,} answers is below \
{expected_losses(shown, union, answers):.0e}.
"""
