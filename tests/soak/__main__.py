"""`python tests/soak [--seconds 600]`: runs it, and writes its plot and figures into docs/.

With `--check`: nothing is written, the outcome is printed as JSON. Exits with 1 if anything was wrong.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[0] = str(HERE.parent)

from soak.report import PAGE, PLOT, page, svg  # noqa: E402
from soak.run import Sample, Soak  # noqa: E402


def main() -> int:
    options = argparse.ArgumentParser(prog="soak", description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    options.add_argument("--seconds", type=float, default=600)
    options.add_argument("--services", type=int, default=200)
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--check", action="store_true")
    chosen = options.parse_args()
    logging.getLogger("headless_discovery").setLevel(logging.CRITICAL)  # subscribers that raise are part of it

    def note(sample: Sample) -> None:
        if not chosen.check and sys.stderr.isatty():
            print(f"\r{sample.time:5.0f} s  {sample.rss:.1f} MiB  {sample.changes} changes ", end="", file=sys.stderr)

    outcome = Soak(chosen.seconds, chosen.services, chosen.seed).run(note)
    if chosen.check:
        json.dump(outcome.as_dict(), sys.stdout)
    elif not outcome.wrong:
        PLOT.write_text(svg(outcome))
        PAGE.write_text(page(PAGE.read_text(), outcome))
        print(f"All right after {chosen.seconds:g} s. {PAGE.name} and {PLOT.name} are written.")
    print(*outcome.wrong, sep="\n", file=sys.stderr)
    return 1 if outcome.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
