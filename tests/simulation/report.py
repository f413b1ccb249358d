"""What runs came to, as text."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from .world import World


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

    @property
    def incomplete_share(self) -> float:
        answers = self.verdicts["whole"] + self.verdicts["cut"] + self.verdicts["nobody"]
        return self.verdicts["cut"] / max(1, answers)

    def text(self, cpu: float) -> str:
        told = ", ".join(f"{name} {n:,}" for name, n in sorted(self.verdicts.items()))
        return (
            f"{self.worlds} worlds, {self.seconds / 86_400:.1f} simulated days, {self.steps:,} membership steps "
            f"({told}; {self.incomplete_share:.0%} of the answers incomplete), {self.joined:,} joins, "
            f"{self.left:,} leaves, {self.queries:,} queries, {sum(self.events.values()):,} events: "
            f"0 false removals, 0 missed changes; {cpu:.1f} s of CPU"
        )
