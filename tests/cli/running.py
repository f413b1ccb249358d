"""The command line: run in this process, as a process of its own, and on a terminal."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import pexpect
import pyte
from typer.testing import CliRunner, Result

from headless_discovery.cli.app import app
from support import PATIENCE

COMMAND = [sys.executable, "-W", "error", "-m", "headless_discovery"]
OF_TERMINALS = ("NO_COLOR", "FORCE_COLOR", "COLUMNS", "LINES", "TERM", "POD_IP", "POD_IPS")
ENVIRONMENT = {name: value for name, value in os.environ.items() if name not in OF_TERMINALS} | {"PYTHONUTF8": "1"}
COLOUR = re.compile(r"\x1b\[(?:\d+;)*(?:3[0-8]|4[0-8]|9[0-7]|10[0-7])[;m]")
QUICK = ("--min-ttl", "0", "--max-ttl", "0.05")  # a lookup every 0.05 s to 0.15 s, whatever the TTL


def invoke(*arguments: str, **options: Any) -> Result:
    """In this process, without a terminal."""
    return CliRunner(env=dict.fromkeys(OF_TERMINALS)).invoke(app, list(arguments), **options)


def told(result: Result) -> Any:
    """The one JSON object on stdout."""
    return json.loads(result.stdout)


@contextlib.contextmanager
def process(*arguments: str, **environment: str) -> Iterator[subprocess.Popen[str]]:
    """A process whose stdout and stderr are pipes; killed at the end of the block, if it is not over."""
    command = [*COMMAND, *arguments]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT | environment
    ) as started:
        try:
            yield started
        finally:
            started.kill()


def run(*arguments: str, stdin: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
    """As a process, to its end."""
    return subprocess.run(
        [*COMMAND, *arguments],
        input=stdin,
        capture_output=True,
        text=True,
        env=ENVIRONMENT | environment,
        timeout=45,
        check=False,
    )


def until(condition: Callable[[], Any]) -> Any:
    """Look again and again until it is true, and return it."""
    deadline = time.monotonic() + PATIENCE
    while not (found := condition()):
        assert time.monotonic() < deadline, f"not in {PATIENCE:g} s"
        time.sleep(0.01)
    return found


def event(started: subprocess.Popen[str], kind: str) -> dict[str, Any]:
    """The next event of this kind that a `watch --json` tells of."""
    assert started.stdout is not None
    for line in started.stdout:
        found: dict[str, Any] = json.loads(line)
        if found["event"] == kind:
            return found
    raise AssertionError(f"it ended without {kind}: {started.stderr.read() if started.stderr else ''}")


class Terminal:
    """A process on a terminal of its own, and what stands on its screen."""

    def __init__(self, *arguments: str, columns: int = 80, lines: int = 24, **environment: str) -> None:
        self.written = ""
        self._screen = pyte.Screen(columns, lines)
        self._stream = pyte.Stream(self._screen)
        self.process = pexpect.spawn(
            COMMAND[0],
            [*COMMAND[1:], *arguments],
            env=ENVIRONMENT | {"TERM": "xterm-256color"} | environment,
            dimensions=(lines, columns),
            encoding="utf-8",
            codec_errors="replace",  # the echo of Ctrl-C may stand in the middle of a character
            timeout=PATIENCE,
        )

    @property
    def screen(self) -> list[str]:
        """Its lines, without the space at their ends."""
        return [line.rstrip() for line in self._screen.display]

    def _read(self) -> bool:
        """What there is to read; false at the end."""
        try:
            written = self.process.read_nonblocking(65536, 0.2)
        except pexpect.TIMEOUT:
            return True
        except pexpect.EOF:
            return False
        self.written += written
        self._stream.feed(written)
        return True

    def shows(self, pattern: str) -> list[str]:
        """Wait until the screen has it."""
        deadline = time.monotonic() + PATIENCE
        while not re.search(pattern, "\n".join(self.screen)):
            going_on = self._read()
            found = re.search(pattern, "\n".join(self.screen))
            assert found or (going_on and time.monotonic() < deadline), "\n".join(self.screen)
        return self.screen

    def end(self) -> int:
        """Wait for the end of the process; its exit code, negative for a signal."""
        deadline = time.monotonic() + PATIENCE
        while self._read():
            assert time.monotonic() < deadline, "\n".join(self.screen)
        self.process.close()
        code = self.process.exitstatus
        return -self.process.signalstatus if code is None else code  # type: ignore[no-any-return]

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.close(force=True)
