"""The score, the survivors and their reasons, as text and for docs/reliability.md.

A reason belongs to a change and not to a number: reasons.toml names the module, the function and the lines that differ.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path

from .making import SOURCES, Mutant

PAGE = SOURCES.parents[1] / "docs" / "reliability.md"
BEGIN, END = "<!-- mutants: begin -->", "<!-- mutants: end -->"
REASONS = Path(__file__).with_name("reasons.toml")
SURVIVORS = SOURCES.parents[1] / "build" / "mutants.toml"


def read_reasons(text: str | None = None) -> dict[str, str]:
    """Why a mutant survives, by its key."""
    tables = tomllib.loads(REASONS.read_text() if text is None else text).get("survivors", [])
    return {mutant.strip(): table["reason"] for table in tables for mutant in table["mutants"]}


class Score:
    def __init__(
        self, mutants: Sequence[Mutant], killed: Mapping[str, bool], reasons: Mapping[str, str], words: int
    ) -> None:
        self.mutants = mutants
        self.words = words
        self.survivors = [mutant for mutant in mutants if not killed[mutant.key]]
        self.unexplained = [mutant for mutant in self.survivors if mutant.key not in reasons]
        self.reasons = reasons
        dead = {mutant.key for mutant in mutants} - {mutant.key for mutant in self.survivors}
        self.needless = sorted(dead & reasons.keys())
        self.modules = list(dict.fromkeys(mutant.module for mutant in mutants))

    @property
    def share(self) -> float:
        return 1 - len(self.survivors) / max(1, len(self.mutants))

    def of(self, module: str) -> tuple[int, int]:
        """Mutants of a module, and those that survive."""
        return sum(m.module == module for m in self.mutants), sum(m.module == module for m in self.survivors)

    def text(self) -> str:
        lines = [f"SURVIVED, and reasons.toml does not say why: {mutant.key}\n" for mutant in self.unexplained]
        lines += [f"reasons.toml has a reason for a mutant that is killed: {key}\n" for key in self.needless]
        for module in self.modules:
            mutants, survivors = self.of(module)
            lines.append(f"{module:12}{mutants - survivors:5} of {mutants:5} killed  {1 - survivors / mutants:7.1%}")
        total = len(self.mutants)
        lines.append(f"{'all':12}{total - len(self.survivors):5} of {total:5} killed  {self.share:7.1%}")
        return "\n".join(lines)


def write_survivors(score: Score) -> None:
    """Those without a reason, ready to be given one."""
    tables = [f"[[survivors]]\nreason = ''\nmutants = [\n'''\n{m.key}\n''',\n]\n" for m in score.unexplained]
    SURVIVORS.parent.mkdir(exist_ok=True)
    SURVIVORS.write_text("\n".join(tables))


def page_with(score: Score, path: Path = PAGE) -> None:
    """The page with new figures between the two marks. Raises `ValueError` where they are missing."""
    before, rest = path.read_text().split(BEGIN)
    _, after = rest.split(END)
    path.write_text(f"{before}{BEGIN}\n{figures(score)}\n{END}{after}")


def figures(score: Score) -> str:
    lines = ["| module | mutants | killed | survivors | score |", "|---|---|---|---|---|"]
    for module in score.modules:
        mutants, survivors = score.of(module)
        lines.append(
            f"| `{module}` | {mutants} | {mutants - survivors} | {survivors} | {1 - survivors / mutants:.1%} |"
        )
    total, left = len(score.mutants), len(score.survivors)
    lines.append(f"| all | {total:,} | {total - left:,} | {left} | **{score.share:.1%}** |")
    lines += ["", f"{score.words} changes to words were left out.", ""]
    lines += ["| survivor | the line, and what became of it | why no test can tell |", "|---|---|---|"]
    for mutant in score.survivors:
        reason = score.reasons.get(mutant.key, "**not explained**")
        lines.append(f"| `{mutant.module}` {mutant.function} | {_cell(mutant.change)} | {reason} |")
    return "\n".join(lines)


def _cell(change: str) -> str:
    lines = (line for line in change.splitlines() if line[0] in "+-")
    return "<br>".join(f"`{line}`".replace("|", "\\|") for line in lines)
