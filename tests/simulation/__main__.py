"""Simulates for as long as wanted, and exits with 1 if something was wrong.

python -m simulation --steps 1000000                            all worlds, each for its share of the steps
python -m simulation --world dual-set --seed 7 --steps 20000    one world
python -m simulation --steps 50000 --go-on                      to the end, whatever is wrong; a table of what was
python -m simulation --report                                   the numbers of docs/reliability.md, into their section
"""

from __future__ import annotations

import argparse
import sys

from . import report
from .clock import Broken
from .worlds import WORLDS


def main() -> int:
    options = argparse.ArgumentParser(
        prog="simulation", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--world", choices=[*WORLDS], action="append", help="only this one; may be repeated")
    options.add_argument("--seed", type=int, default=1, help="of each world's first run (default: 1)")
    options.add_argument("--steps", type=int, default=20_000, help="membership steps in all (default: 20000)")
    options.add_argument("--go-on", action="store_true", help="count what is wrong instead of ending with it")
    options.add_argument("--report", action="store_true", help="about 20 minutes: the numbers of docs/reliability.md")
    chosen = options.parse_args()

    def tell(text: str) -> None:
        print(text, flush=True)

    try:
        if chosen.report:
            report.write(tell)
            return 0
        names = chosen.world or [*WORLDS]
        played = report.run(chosen.steps, chosen.seed, names, strict=not chosen.go_on, tell=tell)
    except Broken as broken:
        print(f"BROKEN: {broken}", file=sys.stderr)
        return 1
    print(f"\n{report.table(played)}\n\n{report.summary(played)}")
    return 1 if any(totals.wrong for totals in played) else 0


if __name__ == "__main__":
    sys.exit(main())
