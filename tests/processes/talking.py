"""A script in a process of its own that says how far it is, so that a test can do something to it or to its DNS."""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import sys
import textwrap
import threading
from types import TracebackType

from support import PATIENCE
from support.processes import PROLOGUE, TESTS


class Talking:
    """`with Talking(script, *arguments) as process:`; `hear()` is the next line that it prints.

    At the end the process has to exit by itself, with code 0 and nothing on stderr, unless `ends=` says otherwise.
    """

    def __init__(self, script: str, *arguments: str, prologue: str = PROLOGUE, ends: int = 0) -> None:
        self._command = [
            sys.executable,
            "-u",
            "-X",
            "faulthandler",
            "-c",
            prologue + textwrap.dedent(script),
            *arguments,
        ]
        self._ends = ends
        self._lines: queue.Queue[str] = queue.Queue()
        self._errors: list[str] = []

    def __enter__(self) -> Talking:
        self._process = subprocess.Popen(
            self._command,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join([str(TESTS), *sys.path])},
        )
        self._threads = [threading.Thread(target=read) for read in (self._read_lines, self._read_errors)]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is not None:
                self._process.send_signal(signal.SIGABRT)  # faulthandler says where it is
            code = self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            code = self._process.wait()
        finally:
            for thread in self._threads:
                thread.join()
            assert self._process.stdout is not None
            assert self._process.stderr is not None
            self._process.stdout.close()
            self._process.stderr.close()
        if kind is None:
            assert (code, "".join(self._errors)) == (self._ends, ""), f"{code}: {''.join(self._errors)}"
        elif self._errors:
            error.add_note("".join(self._errors))  # type: ignore[union-attr]

    def _read_lines(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(line.rstrip("\n"))
        self._lines.put("(the process has ended)")

    def _read_errors(self) -> None:
        assert self._process.stderr is not None
        self._errors += self._process.stderr

    @property
    def pid(self) -> int:
        return self._process.pid

    def signal(self, number: int) -> None:
        self._process.send_signal(number)

    def hear(self, expected: str | None = None) -> str:
        line = self._lines.get(timeout=PATIENCE)
        assert expected is None or line == expected, f"{line!r} instead of {expected!r}"
        return line
