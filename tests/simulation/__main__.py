"""Simulate for as long as wanted: `python -m simulation --days 30`. Exits with 1 if a rule was broken."""

from __future__ import annotations

import argparse
import sys
import time
from itertools import count

from .report import Totals
from .runs import mixed, month
from .story import Broken


def main() -> int:
    options = argparse.ArgumentParser(prog="simulation", description=__doc__)
    options.add_argument("--days", type=float, default=1.0, help="simulated days a world (default: 1)")
    options.add_argument("--steps", type=int, default=0, help="go on with new seeds until so many membership steps")
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--world", choices=("mixed", "month"), default="mixed")
    chosen = options.parse_args()
    totals = Totals()
    began = time.process_time()
    for seed in count(chosen.seed):
        world, story = {"mixed": mixed, "month": month}[chosen.world](seed)
        try:
            story.run(chosen.days * 86_400)
            story.fine()
            world.settle()
        except Broken as broken:
            print(f"BROKEN: {broken}", file=sys.stderr)
            return 1
        totals.add(world)
        if totals.steps >= chosen.steps:
            break
    print(totals.text(time.process_time() - began))
    return 0


if __name__ == "__main__":
    sys.exit(main())
