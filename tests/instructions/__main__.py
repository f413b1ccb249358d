"""Count the reader's instructions, and exit with 1 if they are over the budget.

make instructions                        # needs valgrind
make instructions ARGS=--update          # the budget is what was counted now, and a quarter
"""

from __future__ import annotations

import argparse
import sys

from support.programs import find

from .counting import HEADING, budget, count, update


def main() -> int:
    options = argparse.ArgumentParser(
        prog="instructions", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--update", action="store_true", help="write tests/instructions/budget.json anew")
    chosen = options.parse_args()
    valgrind = find("valgrind")
    if valgrind is None:
        print("valgrind is not installed: apt-get install valgrind", file=sys.stderr)
        return 1
    counts = count(valgrind)
    if chosen.update:
        update(counts)
    limits = budget()
    print(HEADING)
    for each in counts:
        print(f"{each}{limits[each.form]:9.3f}{'' if each.ratio <= limits[each.form] else '  over'}")
    return int(any(each.ratio > limits[each.form] for each in counts))


if __name__ == "__main__":
    sys.exit(main())
