"""What the tests have and the benchmarks need, too: DNS servers, their zones, and answers as bytes."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from interop.servers import Knot
from interop.zones import ORIGIN, Record, addresses, headless, master_file, name, v4
from support import answers, hostile
from support.programs import find

__all__ = [
    "ORIGIN",
    "Knot",
    "Record",
    "addresses",
    "answers",
    "find",
    "headless",
    "hostile",
    "master_file",
    "name",
    "v4",
]
