"""What a set of a thousand peers takes in memory, and the service that has it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from harness import Goal, Result, benchmark

CHILD = Path(__file__).with_name("size.py")
LIMIT = 500.0  # KB


@benchmark("size")
def size(quick: bool) -> Result:
    rows = []
    for records, peers in (("A", 1000), ("SRV", 800)):
        ran = subprocess.run(
            [sys.executable, CHILD, records, str(peers)], stdout=subprocess.PIPE, text=True, check=True
        )
        rows.append({"what": f"{peers:,} {records}", **json.loads(ran.stdout)})
    return Result(
        "What a set takes in memory",
        "KB that are allocated (`tracemalloc`: objects, texts, dictionaries, everything) for a `PeerSet`, its peers and"
        " its index, made of texts that nobody else has; and for a service on an event loop with that set, after a"
        " refresh: what it needs to recognise the same answer again is in it, too.",
        {"what": "records", "set": "KB for the set", "service": "KB for the service and its set"},
        rows,
        [Goal(f"KB for a set of {row['what']}", row["set"], LIMIT) for row in rows],
    )
