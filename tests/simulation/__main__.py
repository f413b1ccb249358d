"""Simulates for as long as wanted, and exits with 1 if a rule was broken.

python -m simulation --days 30 --world month      one world
python -m simulation --steps 1000000              new worlds, until so many membership steps
python -m simulation --report                     all that docs/reliability.md tells, into its section
"""

from __future__ import annotations

import argparse
import sys
import time
from itertools import count

from . import report
from .clock import Broken
from .runs import mixed, month

DAY = 86_400.0


def main() -> int:
    options = argparse.ArgumentParser(
        prog="simulation", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--days", type=float, default=1.0, help="simulated days a world (default: 1)")
    options.add_argument("--steps", type=int, default=0, help="go on with new seeds until so many membership steps")
    options.add_argument("--seed", type=int, default=1, help="of the first world (default: 1)")
    options.add_argument("--world", choices=("mixed", "month"), default="mixed")
    options.add_argument("--report", action="store_true", help="about 10 minutes: the numbers of docs/reliability.md")
    chosen = options.parse_args()
    try:
        if chosen.report:
            report.write()
        else:
            print(run(chosen.world, chosen.seed, chosen.days, chosen.steps))
    except Broken as broken:
        print(f"BROKEN: {broken}", file=sys.stderr)
        return 1
    return 0


def run(kind: str, first_seed: int, days: float, steps: int) -> str:
    totals = report.Totals()
    began = time.process_time()
    for seed in count(first_seed):
        world, story = {"mixed": mixed, "month": month}[kind](seed)
        story.run(days * DAY)
        story.fine()
        world.settle()
        totals.add(world)
        if totals.steps >= steps:
            return totals.text(time.process_time() - began)
    raise AssertionError("unreachable")


if __name__ == "__main__":
    sys.exit(main())
