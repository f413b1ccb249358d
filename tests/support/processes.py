"""Python in a process of its own: for what ends, forks or counts threads, none of which pytest should be part of."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap

PROLOGUE = """
import os, sys, threading
from headless_discovery import *
"""


def python(script: str, *arguments: str, options: tuple[str, ...] = (), timeout: float = 40.0) -> str:
    """Run `script` behind the prologue; its standard output. It has to end well by itself, with nothing on stderr."""
    done = subprocess.run(
        [sys.executable, *options, "-c", PROLOGUE + textwrap.dedent(script), *arguments],
        capture_output=True,
        text=True,
        timeout=timeout,
        env={**os.environ, "PYTHONFAULTHANDLER": "1"},
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, ""), f"{done.stdout}\n{done.stderr}"
    return done.stdout
