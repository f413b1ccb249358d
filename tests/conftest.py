"""What every test may need of the machine it runs on."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings

from support.programs import find

# Started in the background by a shell, pytest ignores Ctrl-C, and so would every process that a test starts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Speed is no test's business: the machine may be busy.
settings.register_profile("headless-discovery", deadline=None)
settings.load_profile("headless-discovery")

RequireProgram = Callable[[str, str], Path]


@pytest.fixture(scope="session")
def require_program() -> RequireProgram:
    """`require_program(name, package)`: the path of a program, or a skip that names the Debian package to install.

    Where the environment has CI=true a missing program fails the test instead: there, nobody reads skips.
    """

    def require(name: str, package: str) -> Path:
        if (found := find(name)) is not None:
            return found
        reason = f"{name} is not installed: apt-get install {package}"
        if os.environ.get("CI", "").lower() in {"true", "1"}:
            pytest.fail(f"{reason} (CI=true, so this is not skipped)", pytrace=False)
        pytest.skip(reason)

    return require
