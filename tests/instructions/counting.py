"""Runs reading.py under Callgrind and compares its counts with the budget.

The budget is in multiples of a plain loop over the same records in the same process, so that it holds for other
versions and builds of Python, too; the counts themselves differ between these.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

HERE = Path(__file__).resolve().parent
BUDGET = HERE / "budget.json"
MARGIN = 1.25  # of a new budget, over what was counted: interpreters from 3.11 to 3.13 differ by up to 0.8 to 1.15


@dataclass(frozen=True)
class Count:
    """Instructions per record."""

    form: str
    reader: float
    plain: float

    @property
    def ratio(self) -> float:
        return self.reader / self.plain

    def __str__(self) -> str:
        return f"{self.form:<38}{self.reader:9.0f}{self.plain:9.0f}{self.ratio:9.3f}"


HEADING = f"{'instructions for each record':<38}{'reader':>9}{'loop':>9}{'ratio':>9}{'budget':>9}"


def count(valgrind: Path) -> list[Count]:
    """The same for the same code but for a handful: hashes are fixed, and valgrind gives the same addresses."""
    with TemporaryDirectory() as folder:
        out = Path(folder) / "out"
        ran = subprocess.run(
            [
                valgrind,
                "--tool=callgrind",
                f"--callgrind-out-file={out}",
                "--dump-before=getppid",
                sys.executable,
                HERE / "reading.py",
            ],
            env={**os.environ, "PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            text=True,
            check=False,
        )
        if ran.returncode:
            raise RuntimeError(f"{valgrind} ended with {ran.returncode}:\n{ran.stderr[-2000:]}")
        found: dict[str, dict[str, float]] = {}
        for place, done in enumerate(json.loads(ran.stdout)):
            # The first dump is what came before the first mark; from there on every second is between two marks.
            total = _total(out.with_name(f"out.{2 * place + 2}"))
            found.setdefault(done["form"], {})[done["how"]] = total / done["records"]
    return [Count(form, by["reader"], by["plain"]) for form, by in found.items()]


def _total(dump: Path) -> int:
    for line in dump.read_text().splitlines():
        if line.startswith("totals: "):
            return int(line.split()[1])
    raise RuntimeError(f"no totals in {dump}")


def budget() -> dict[str, float]:
    found: dict[str, float] = json.loads(BUDGET.read_text())
    return found


def update(counts: list[Count]) -> None:
    BUDGET.write_text(json.dumps({c.form: round(c.ratio * MARGIN, 3) for c in counts}, indent=2) + "\n")
