"""Mutate the sans-IO middle, one place at a time, and see the quick tests notice.

make mutants                              # all modules, and the figures of docs/reliability.md
make mutants ARGS="lookup membership"     # these modules
make mutants ARGS="reader --every 10"     # a tenth of the mutants, to know the score

Exits with 1 if fewer than 90 % of the mutants are killed, or if reasons.toml does not say why one survives.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

from .making import Mutant, mutants_of
from .report import Score, page_with, read_reasons, write_survivors
from .running import TestsFail, run

TESTS = Path(__file__).resolve().parents[1]
MODULES = ("membership", "lookup", "glue", "servers", "steps", "hosts", "reader", "resolvconf")
QUICK = (
    "membership",
    "lookup",
    "search",
    "glue",
    "servers",
    "steps",
    "hosts",
    "reader",
    "wire",
    "resolvconf",
)  # test_<this>*.py
ENOUGH = 0.9


def main() -> int:
    options = argparse.ArgumentParser(
        prog="mutants", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("modules", nargs="*", help=f"some of {', '.join(MODULES)}; all if none is given")
    options.add_argument("--every", type=int, default=1, metavar="N", help="only each N-th mutant")
    options.add_argument("--jobs", type=int, default=os.cpu_count() or 1, metavar="N", help="processes at a time")
    chosen = options.parse_args()
    if unknown := set(chosen.modules) - set(MODULES):
        options.error(f"no such module: {', '.join(sorted(unknown))}")
    mutants: list[Mutant] = []
    words = 0
    for module in chosen.modules or MODULES:
        made, left_out = mutants_of(module)
        mutants += made[:: chosen.every]
        words += left_out
    files = sorted({file for name in QUICK for file in TESTS.glob(f"test_{name}*.py")})
    start = time.monotonic()
    try:
        killed = run(mutants, files, chosen.jobs)
    except TestsFail as failure:
        print(f"The tests fail without any mutant:\n{failure}", file=sys.stderr)
        return 1
    score = Score(mutants, killed, read_reasons(), words)
    print(f"{score.text()}\n{len(mutants)} mutants in {time.monotonic() - start:.0f} s")
    write_survivors(score)
    if not chosen.modules and chosen.every == 1:
        page_with(score)
    return int(bool(score.unexplained) or score.share < ENOUGH)


if __name__ == "__main__":
    sys.exit(main())
