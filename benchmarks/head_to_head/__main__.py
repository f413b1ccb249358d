"""`make bench-kubernetes`: the figures and the plot in docs/kubernetes.md. Exits with 1 if a goal is missed.

ARGS="--only answer-sizes" for a part of it; the other one keeps its last figures.
ARGS="--rounds 3" to see that it works: of less than 15 rounds nothing is written, and goals are not judged.
ARGS="--render" writes the page anew from results.json.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[0] = str(HERE.parent)
sys.path.insert(1, str(HERE.parents[1] / "tests"))

from head_to_head import report, run, sizes  # noqa: E402
from kubernetes.isolation import isolate  # noqa: E402
from kubernetes.parts import MissingPart, Parts  # noqa: E402

ENOUGH = 15
RESULTS = HERE / "results.json"
ALL = ("answer-sizes", "head-to-head")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=ALL, help="measure nothing else")
    parser.add_argument("--rounds", type=int, default=80, help="pods that come, and as many that go (default 80)")
    parser.add_argument("--seed", type=int, default=1, help="which moments, and which pods go (default 1)")
    parser.add_argument("--render", action="store_true", help="measure nothing at all")
    options = parser.parse_args()
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    if options.render:
        report.write(results)
        return 0

    def inside(parts: Parts) -> int:
        missed = []
        for name in [options.only] if options.only else ALL:
            if name == "answer-sizes":
                results[name] = {"coredns": run.versions()["CoreDNS"], "fit": sizes.measure(parts)}
            else:
                results[name] = run.measure(parts, options.rounds, options.seed)
            print(report.SECTIONS[name](results[name]), flush=True)
            if options.rounds < ENOUGH:
                continue
            RESULTS.write_text(report.as_json(results))
            report.write(results)
            if name == "head-to-head":
                missed = [goal for goal in report.goals(results[name]) if not goal.met]
        for goal in missed:
            print(f"missed: {goal.text}: {goal.value:g}, the bound is {goal.limit:g}", file=sys.stderr)
        return 1 if missed else 0

    try:
        return isolate(inside)
    except MissingPart as missing:
        print(f"The control plane cannot run: {missing}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
