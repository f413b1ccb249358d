"""The command line: `headless-discovery` and `python -m headless_discovery`.

It needs typer and rich, the extra `cli`: `pip install 'headless-discovery[cli]'`. The library itself
imports nothing of this.
"""

from __future__ import annotations

import sys


def main() -> None:
    """The console script. Says what to install where the extra is missing."""
    try:
        from .app import app
    except ModuleNotFoundError as missing:
        if (missing.name or "").partition(".")[0] not in ("typer", "rich"):
            raise
        sys.exit(f"headless-discovery: {missing.name} is not installed: pip install 'headless-discovery[cli]'")
    app()
