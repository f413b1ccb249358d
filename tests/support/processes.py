"""Python in a process of its own: for what ends, forks or counts threads, none of which pytest should be part of."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import traceback
from collections.abc import Callable
from pathlib import Path

TESTS = Path(__file__).parent.parent

PROLOGUE = """
import asyncio, atexit, gc, os, signal, sys, threading, time, weakref
from headless_discovery import *
from headless_discovery.testing import DNSServer
from support.subscribers import Record, assert_consistent, eventually
from support import PATIENCE, QUICK
from support.processes import Child

NAME = "headless-svc.moon.svc.cluster.local"
"""


def run(script: str, *arguments: str, options: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    """Run `script` behind the prologue, with `arguments` in sys.argv and `options` for the interpreter."""
    return subprocess.run(
        [sys.executable, "-X", "faulthandler", *options, "-c", PROLOGUE + textwrap.dedent(script), *arguments],
        capture_output=True,
        text=True,
        timeout=45,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(TESTS), *sys.path])},
        check=False,
    )


def python(script: str, *arguments: str, options: tuple[str, ...] = ()) -> str:
    """As `run`; it has to end well by itself, with nothing on stderr. Returns what it printed."""
    done = run(script, *arguments, options=options)
    assert (done.returncode, done.stderr) == (0, ""), f"{done.stdout}\n{done.stderr}"
    return done.stdout


class Child:
    """A forked child in a script: runs `function(child)` and ends. What it `say`s, the parent `hear`s."""

    def __init__(self, function: Callable[[Child], object]) -> None:
        self._read, self._write = os.pipe()
        sys.stdout.flush()
        self.pid = os.fork()
        if self.pid == 0:
            code = 1
            try:
                function(self)
                code = 0
            except BaseException:
                traceback.print_exc()
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(code)
        os.close(self._write)

    def say(self, text: str) -> None:
        os.write(self._write, text.encode() + b"\n")

    def hear(self) -> str:
        """The next line; nothing where the child has ended."""
        line = b""
        while not line.endswith(b"\n") and (octet := os.read(self._read, 1)):
            line += octet
        return line.decode().strip()

    def join(self) -> None:
        """Wait for the end. A child that raised or was killed fails here, a hanging one by the script's time-out."""
        _, status = os.waitpid(self.pid, 0)
        os.close(self._read)
        assert os.waitstatus_to_exitcode(status) == 0, f"the child ended with {status}"


def resolved(name: str, nameserver: str) -> list[str]:
    """For processes that are spawned: what a service of their own finds, with a refresh and a callback."""
    from headless_discovery import HeadlessService

    from .subscribers import Record

    with HeadlessService(name, 8080, nameservers=[nameserver], min_ttl=0) as service:
        record = Record()
        service.watch(record)
        record.told(service.refresh())
        return list(service.peers().addresses)
