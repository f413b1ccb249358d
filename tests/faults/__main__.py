"""`python tests/faults` writes docs/fault-matrix.md."""

import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[1])

from faults.matrix import PAGE, page  # noqa: E402

PAGE.write_text(page())
