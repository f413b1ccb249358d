"""Scripts that are told the peers: one run at a time, each for the newest set, until it was taken well.

A run gets the whole set, never a difference, so nothing is lost when runs fail, are merged or the process restarts: the
last run that ended well was for the last set. A set that was taken well is not given twice.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from tempfile import TemporaryFile
from typing import IO, Literal, TypeAlias

from .. import Change, Peer, PeerSet
from .state import State

Line: TypeAlias = Literal["name", "address", "netloc"]
Event: TypeAlias = Literal["start", "change"]
Script: TypeAlias = Literal["on-start", "on-change"]

MAX_VARIABLE = 100_000  # octets: Linux gives a program none longer than 128 KiB (MAX_ARG_STRLEN)
LAST_WISH = 2.0  # seconds from SIGTERM to SIGKILL
LAST_WORDS = 0.2  # seconds for what a script wrote to be read before its end is told


@dataclass(frozen=True)
class Ran:
    """One run is over. `code` is None where it could not be started, negative where a signal ended it."""

    script: Script
    command: str
    peers: PeerSet
    code: int | None
    seconds: float
    problem: str | None = None
    retry_in: float | None = None

    @property
    def well(self) -> bool:
        return self.code == 0


@dataclass(frozen=True)
class Output:
    """A line that a script wrote."""

    text: str


@dataclass(frozen=True)
class Unsaved:
    """The state cannot be written: said once, until it could be again."""

    text: str


Told: TypeAlias = Ran | Output | Unsaved


@dataclass(frozen=True)
class Commands:
    """What to run, and how. Without `on_start`, `on_change` has the first run, too."""

    on_start: str | None = None
    on_change: str | None = None
    line: Line = "name"
    timeout: float | None = None

    def __bool__(self) -> bool:
        return self.on_start is not None or self.on_change is not None

    def of(self, event: Event) -> str | None:
        return self.on_change if event == "change" or self.on_start is None else self.on_start


def name_of(peer: Peer, line: Line) -> str:
    """How a peer is written on a script's stdin."""
    if line == "netloc":
        return peer.netloc
    return peer.hostname.removesuffix(".") if line == "name" and peer.hostname is not None else peer.address


def environment(event: Event, peers: PeerSet, before: PeerSet, line: Line) -> dict[str, str]:
    """What a script finds in its environment, beside what is there already. Lists that are too long are left out."""
    change = Change(before, peers)
    lists = {
        "HEADLESS_PEERS": [name_of(peer, line) for peer in peers],
        "HEADLESS_ADDRESSES": peers.addresses,
        "HEADLESS_ADDED": [name_of(peer, line) for peer in change.added],
        "HEADLESS_REMOVED": [name_of(peer, line) for peer in change.removed],
    }
    told = {"HEADLESS_EVENT": event, "HEADLESS_TARGET": peers.target, "HEADLESS_COUNT": str(len(peers))}
    told |= {name: " ".join(listed) for name, listed in lists.items()}
    kept = {name: text for name, text in os.environ.items() if name not in told}
    return kept | {name: text for name, text in told.items() if len(text) <= MAX_VARIABLE}


def _pause(failures: int) -> float:
    return min(30.0, 2.0 ** min(failures - 1, 10)) * random.uniform(0.5, 1.0)


class Scripts:
    """`tell` hears of runs and, with `capture`, of what they write; else they write to stderr.

    `pause(failures)` is how long to wait after runs that failed in a row, in seconds; a new set is tried at once.
    """

    def __init__(
        self,
        commands: Commands,
        tell: Callable[[Told], None],
        *,
        capture: bool = False,
        state: State | None = None,
        pause: Callable[[int], float] = _pause,
    ) -> None:
        self._commands = commands
        self._tell = tell
        self._capture = capture
        self._state = state
        self._unsaved = False
        self._pause = pause
        self._news = threading.Condition()
        self._wanted: PeerSet | None = None
        self._before = PeerSet() if state is None else state.peers  # taken by the last run that ended well
        self._taken = self._before if state is not None and state.settled else None  # by the last run, if it ended well
        self._event: Event = "change" if state is not None and state.began else "start"
        self._failed: PeerSet | None = None  # by the last run, if it did not end well
        self._failures = 0
        self._retry_at = 0.0
        self._ending = self._last = self._killed = False
        self._process: subprocess.Popen[bytes] | None = None
        self._thread = threading.Thread(target=self._work, name="scripts", daemon=True)
        self._thread.start()

    def offer(self, peers: PeerSet) -> None:
        """This is the set now. Runs for sets that nobody was told of yet are skipped."""
        with self._news:
            self._wanted = peers
            self._news.notify()

    def end(self) -> None:
        """What runs goes on. If that is not for the newest set, or fails, there is one more run, and then no more."""
        with self._news:
            self._ending = True
            self._news.notify()

    @property
    def began(self) -> bool:
        """There was a run before this one, which ended well: from now on it is `on_change`."""
        return self._event == "change"

    @property
    def next(self) -> Script:
        """What would run now."""
        return "on-change" if self.began or self._commands.on_start is None else "on-start"

    @property
    def over(self) -> bool:
        """After `end` or `kill`: nothing runs any more."""
        return not self._thread.is_alive()

    @property
    def settled(self) -> bool:
        """The newest set was taken well."""
        with self._news:
            return self._wanted is None or self._wanted == self._taken

    def kill(self) -> None:
        """End what runs, and all that it has started in its session: SIGTERM, and soon SIGKILL. No more runs."""
        with self._news:
            self._killed = True
            process = self._process
            self._news.notify()
        if process is not None:
            _end(process)

    def _work(self) -> None:
        while (peers := self._next()) is not None:
            event = self._event
            command = self._commands.of(event)
            if command is None:  # on_start alone
                with self._news:
                    self._taken = peers
                continue
            with self._news:
                self._taken = None  # a run that fails may have undone what the one before did
            self._save(settled=False)
            ran = self._run(event, command, peers)
            with self._news:
                if ran.code == 0:
                    self._taken, self._before, self._failed, self._failures = peers, peers, None, 0
                    self._event = "change"
                else:
                    self._failed, self._failures = peers, self._failures + 1
                    pause = self._pause(self._failures)
                    self._retry_at = time.monotonic() + pause
                    if not (self._ending or self._killed):
                        ran = replace(ran, retry_in=pause)
            if ran.well:
                self._save(settled=True)
            self._tell(ran)

    def _save(self, *, settled: bool) -> None:
        if self._state is None:
            return
        try:
            self._state.save(self._before, settled=settled, began=self.began)
        except OSError as error:
            text = (
                f"{self._state.path} cannot be written: {error}; until it can, a restart goes by what was saved before"
            )
            if not self._unsaved:
                self._tell(Unsaved(f"{text}. Make room, or give --state another file"))
            self._unsaved = True
        else:
            self._unsaved = False

    def _next(self) -> PeerSet | None:
        """The set to run for, as soon as there is one; None at the end."""
        with self._news:
            while not (self._killed or self._last):
                wait = None
                if self._wanted is not None and self._wanted != self._taken:
                    if self._ending:
                        self._last = True
                        return self._wanted
                    wait = self._retry_at - time.monotonic() if self._wanted == self._failed else 0.0
                    if wait <= 0:
                        return self._wanted
                elif self._ending:
                    return None
                self._news.wait(wait)
            return None

    def _run(self, event: Event, command: str, peers: PeerSet) -> Ran:
        script = self.next
        began = time.monotonic()
        try:
            code, problem = self._attempt(event, command, peers)
        except Exception as error:  # a thread that ends of it would never run a script again
            code, problem = None, f"{type(error).__name__}: {error}"
        return Ran(script, command, peers, code, time.monotonic() - began, problem)

    def _attempt(self, event: Event, command: str, peers: PeerSet) -> tuple[int | None, str | None]:
        """The exit code, and what is wrong with it."""
        line = self._commands.line
        # A file and no pipe: a script that reads nothing, or less than all, holds nobody up.
        try:
            with _file() as stdin:
                stdin.writelines(name_of(peer, line).encode() + b"\n" for peer in peers)
                stdin.seek(0)
                process = subprocess.Popen(
                    command,
                    shell=True,
                    stdin=stdin,
                    stdout=subprocess.PIPE if self._capture else 2,
                    stderr=subprocess.STDOUT if self._capture else 2,
                    env=environment(event, peers, self._before, line),
                    start_new_session=True,  # Ctrl-C is ours to take: a run is not cut off in the middle
                    pass_fds=() if self._state is None else (self._state.fileno(),),
                )
        except OSError as error:
            return None, f"cannot be started: {error}"
        with self._news:
            self._process, killed = process, self._killed
        try:
            if killed:
                _end(process)
            return self._wait(process)
        except Exception:  # such as no thread for a reader
            _end(process)
            process.wait()
            if process.stdout is not None:
                process.stdout.close()
            raise
        finally:
            with self._news:
                self._process = None

    def _wait(self, process: subprocess.Popen[bytes]) -> tuple[int, str | None]:
        problem = None
        reader = threading.Thread(target=self._read, args=(process.stdout,), daemon=True)
        if process.stdout is not None:
            reader.start()
        try:
            process.wait(self._commands.timeout)
        except subprocess.TimeoutExpired:
            problem = f"took longer than {self._commands.timeout:g} s and was ended"
            _end(process)
        code = process.wait()
        if process.stdout is not None:
            reader.join(LAST_WORDS)  # who stays behind with the output may write for ever
        if code < 0 and problem is None:
            problem = f"was ended by {_name(-code)}"
        elif code > 0 and problem is None:
            problem = f"exit code {code}"
        return code or (1 if problem else 0), problem

    def _read(self, pipe: IO[bytes]) -> None:
        """Until the last of those who have the pipe is gone, which may be long after the script."""
        with pipe:
            for written in pipe:
                self._tell(Output(written.decode(errors="replace").rstrip("\n")))


def _name(number: int) -> str:
    """Most real-time signals have none."""
    return next((known.name for known in signal.Signals if known == number), f"signal {number}")


def _file() -> IO[bytes]:
    """In memory where the system can: pods often have nowhere to write."""
    return os.fdopen(os.memfd_create("peers"), "w+b") if hasattr(os, "memfd_create") else TemporaryFile()


def _end(process: subprocess.Popen[bytes]) -> None:
    """The script, and all that it has started in its session."""
    for number in (signal.SIGTERM, signal.SIGKILL):  # the second one also for those whom the script leaves behind
        with suppress(ProcessLookupError, PermissionError):  # it may be another user's, by sudo
            os.killpg(process.pid, number)
        with suppress(subprocess.TimeoutExpired):
            process.wait(LAST_WISH)
