"""`python tests/fleet`: runs all fleets, and writes results.json, the tables of docs/scale.md and its plots.

With `--only TABLE` that table alone; plots are drawn of what was run.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:1] = [str(HERE.parent), str(HERE.parents[1] / "benchmarks")]

from fleet.report import PAGE, RESULTS, page, plots  # noqa: E402
from fleet.scenarios import TABLES, Job, Made  # noqa: E402


def run(job: Job) -> Made:
    table, arguments = job
    return TABLES[table][0](*arguments)


def main() -> int:
    options = argparse.ArgumentParser(prog="fleet", description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    options.add_argument("--only", action="append", choices=sorted(TABLES), metavar="TABLE", help=", ".join(TABLES))
    options.add_argument("--jobs", type=int, default=os.cpu_count(), help="processes (default: as many as CPUs)")
    chosen = options.parse_args()
    jobs = [(table, arguments) for table in chosen.only or TABLES for arguments in TABLES[table][1]]
    series: dict[str, list[Made]] = {}
    with ProcessPoolExecutor(chosen.jobs) as pool:
        for number, (job, made) in enumerate(zip(jobs, pool.map(run, jobs), strict=True), 1):
            series.setdefault(job[0], []).append(made)
            print(f"{number}/{len(jobs)}  {' '.join(map(str, (job[0], *job[1])))}", file=sys.stderr, flush=True)
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    results |= {table: [row for row, _ in made] for table, made in series.items()}
    RESULTS.write_text(json.dumps({table: results[table] for table in TABLES if table in results}, indent=1) + "\n")
    PAGE.write_text(page(PAGE.read_text(), results))
    plots(series)
    print(f"{RESULTS.name} and {PAGE.name} are written.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
