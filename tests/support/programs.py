"""Programs of the machine that tests start."""

from __future__ import annotations

import os
import shutil
from pathlib import Path


def find(name: str) -> Path | None:
    # Debian keeps servers in /usr/sbin, which is not on an ordinary user's PATH.
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/local/sbin", "/usr/sbin", "/sbin"])
    found = shutil.which(name, path=path)
    return None if found is None else Path(found)
