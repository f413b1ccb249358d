"""Run the benchmarks, write results.json and docs/benchmarks.md. Exits with 1 if a goal is missed.

make bench                           # all of them, some minutes
make bench ARGS="--only memory"      # this one anew; the others keep their last figures
make bench ARGS="--quick"            # a sanity check: small, nothing is written, goals are not judged
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
from pathlib import Path

from harness import REGISTRY, Missing, machine
from report import render

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results.json"
PAGE = HERE.parent / "docs" / "benchmarks.md"


def main() -> int:
    for path in sorted(HERE.glob("bench_*.py")):
        importlib.import_module(path.stem)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="small and short, for CI: nothing is written")
    parser.add_argument("--only", action="append", choices=sorted(REGISTRY), metavar="NAME", help=", ".join(REGISTRY))
    parser.add_argument("--list", action="store_true", help="name the benchmarks and end")
    options = parser.parse_args()
    if options.list:
        print("\n".join(REGISTRY))
        return 0
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    fresh = {}
    left_out = []
    for name in options.only or REGISTRY:
        print(f"{name} ...", file=sys.stderr, flush=True)
        try:
            result = REGISTRY[name](options.quick)
        except Missing as missing:
            print(f"{name} is left out: {missing}", file=sys.stderr)
            left_out.append(name)
            continue
        result.machine = machine()
        fresh[name] = result.to_json()
        print(render({name: fresh[name]}).partition("\n## Goals")[2], flush=True)
        if not options.quick:  # after each, so that an interrupted run keeps what it has
            results = {known: fresh.get(known) or results.get(known) for known in REGISTRY}
            results = {known: found for known, found in results.items() if found}
            RESULTS.write_text(json.dumps(results, indent=1) + "\n")
            PAGE.parent.mkdir(exist_ok=True)
            PAGE.write_text(render(results))
    if options.quick:
        return 1 if left_out else 0
    goals = [goal for found in fresh.values() for goal in found["goals"]]
    for goal in sorted(goals, key=lambda goal: not goal["met"]):
        sign = "at least" if goal["floor"] else "at most"
        met = "met   " if goal["met"] else "MISSED"
        print(f"{met} {goal['text']}: {goal['value']:.3g} ({sign} {goal['limit']:g})", file=sys.stderr)
    return 0 if all(goal["met"] for goal in goals) and not left_out else 1


if __name__ == "__main__":
    sys.exit(main())
