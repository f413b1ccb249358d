"""What `import headless_discovery` costs."""

from __future__ import annotations

import random
import subprocess
import sys

from harness import Goal, Result, benchmark, spread

LIMIT = 0.6
IMPORT = "headless_discovery"
DNSPYTHON = "dns.resolver"
STATEMENTS = {
    f"`import {DNSPYTHON}`": f"import {DNSPYTHON}",
    f"`import {IMPORT}`": f"import {IMPORT}",
    "the same, and a `HeadlessService` is made": f"import {IMPORT}; {IMPORT}.HeadlessService('a.b.svc.cluster.local')",
    "`import aiodns`": "import aiodns",
    "`import asyncio`, to compare": "import asyncio",
}


def _seconds(statement: str) -> float:
    timed = f"import time; began = time.perf_counter(); {statement}; print(time.perf_counter() - began)"
    return float(subprocess.run([sys.executable, "-c", timed], capture_output=True, text=True, check=True).stdout)


@benchmark("import")
def imports(quick: bool) -> Result:
    taken: dict[str, list[float]] = {what: [] for what in STATEMENTS}
    order = list(STATEMENTS)
    for _ in range(2 if quick else 41):
        random.shuffle(order)
        for what in order:
            taken[what].append(_seconds(STATEMENTS[what]) * 1e3)
    base = taken[f"`import {DNSPYTHON}`"]
    rows = [
        {
            "what": what,
            "ms": spread(found),
            "ratio": spread(mine / theirs for mine, theirs in zip(found, base, strict=True)),
        }
        for what, found in taken.items()
    ]
    ratio = next(row["ratio"]["median"] for row in rows if row["what"] == f"`import {IMPORT}`")
    return Result(
        "Importing",
        "Milliseconds of the wall clock for the statement in a new interpreter each time, in a new order each round;"
        " byte code is compiled and the files are in the machine's cache.",
        {"what": "", "ms": "ms", "ratio": "ratio"},
        rows,
        [Goal(f"`import {IMPORT}`, times `import {DNSPYTHON}`", ratio, LIMIT)],
    )
