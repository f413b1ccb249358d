"""`python tests/fleet`: runs all fleets, and writes results.json, series.json, tables and plots of docs/scale.md.

With `--only TABLE` that table alone; the others keep their last figures.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:1] = [str(HERE.parent), str(HERE.parents[1] / "benchmarks")]

from fleet.report import PAGE, RESULTS, SERIES, page, plots  # noqa: E402
from fleet.scenarios import PLOTTED, TABLES, Job, Made  # noqa: E402


def run(job: Job) -> Made:
    table, arguments = job
    return TABLES[table][0](*arguments)


def kept(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    return found


def main() -> int:
    options = argparse.ArgumentParser(prog="fleet", description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    options.add_argument("--only", action="append", choices=sorted(TABLES), metavar="TABLE", help=", ".join(TABLES))
    options.add_argument("--jobs", type=int, default=os.cpu_count(), help="processes (default: as many as CPUs)")
    chosen = options.parse_args()
    jobs = [(table, arguments) for table in chosen.only or TABLES for arguments in TABLES[table][1]]
    fresh: dict[str, list[Made]] = {}
    with ProcessPoolExecutor(chosen.jobs) as pool:
        for number, (job, made) in enumerate(zip(jobs, pool.map(run, jobs), strict=True), 1):
            fresh.setdefault(job[0], []).append(made)
            print(f"{number}/{len(jobs)}  {' '.join(map(str, (job[0], *job[1])))}", file=sys.stderr, flush=True)
    results = kept(RESULTS) | {table: [row for row, _ in made] for table, made in fresh.items()}
    series = kept(SERIES) | {table: [each for _, each in made] for table, made in fresh.items() if table in PLOTTED}
    RESULTS.write_text(json.dumps({table: results[table] for table in TABLES}, indent=1) + "\n")
    SERIES.write_text(json.dumps({table: series[table] for table in PLOTTED}, separators=(",", ":")) + "\n")
    PAGE.write_text(page(PAGE.read_text(), results))
    plots(results, series)
    print(f"{PAGE.name} and its plots are written.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
