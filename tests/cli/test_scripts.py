"""Scripts: one run at a time, for the newest set, until it was taken well; the last set is not lost, nor told twice."""

from __future__ import annotations

import os
import queue
import resource
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

pytest.importorskip("typer")

from headless_discovery import Peer, PeerSet
from headless_discovery.cli.scripts import Commands, Output, Ran, Scripts, Told, Unsaved
from headless_discovery.cli.state import State
from support import PATIENCE

from .running import until

TARGET = "headless-svc.moon.svc.cluster.local"


def pods(*ordinals: int, restarts: int = 0) -> PeerSet:
    return PeerSet(
        (Peer(f"10.0.{restarts}.{o}", 8080, f"web-{o}.{TARGET}") for o in ordinals),
        target=TARGET,
    )


class Bench:
    """Scripts in a folder of their own, and what was told of them. Runs that failed are repeated at once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.told: queue.Queue[Told] = queue.Queue()
        self.pauses: list[int] = []
        self._started: list[Scripts] = []

    def __call__(
        self,
        on_change: str | None = None,
        on_start: str | None = None,
        *,
        pause: Callable[[int], float] = lambda failures: 0.0,
        timeout: float | None = None,
        line: str = "name",
        capture: bool = False,
        state: State | None = None,
    ) -> Scripts:
        def counted(failures: int) -> float:
            self.pauses.append(failures)
            return pause(failures)

        prefix = f"cd {self.folder}\n"
        commands = Commands(
            None if on_start is None else prefix + on_start,
            None if on_change is None else prefix + on_change,
            line,  # type: ignore[arg-type]
            timeout,
        )
        scripts = Scripts(commands, self.told.put, capture=capture, state=state, pause=counted)
        self._started.append(scripts)
        return scripts

    def ran(self) -> Ran:
        """The next run that is over."""
        while not isinstance(told := self.told.get(timeout=PATIENCE), Ran):
            pass
        return told

    def log(self) -> list[str]:
        path = self.folder / "log"
        return path.read_text().splitlines() if path.exists() else []

    def go(self, name: str = "go") -> None:
        """What `WAIT` waits for."""
        (self.folder / name).touch()

    def over(self, scripts: Scripts) -> None:
        until(lambda: scripts.over)

    def clean(self) -> None:
        for scripts in self._started:
            scripts.kill()
            self.over(scripts)


WAIT = "while [ ! -e go ]; do sleep 0.01; done"
# Notes what it was told, and whether another one is at it.
NOTE = 'mkdir running || echo OVERLAP >> log; echo "$HEADLESS_EVENT $(cut -d. -f1 | tr "\\n" " ")" >> log; '


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    made.clean()


def test_the_peers_are_on_stdin_and_in_the_environment(bench: Bench) -> None:
    scripts = bench("cat > stdin; env > environment")
    scripts.offer(pods(0, 1, 2))
    assert bench.ran().well
    assert (bench.folder / "stdin").read_text() == "".join(f"web-{n}.{TARGET}\n" for n in range(3))
    scripts.offer(pods(1, 2, 3))
    ran = bench.ran()
    assert (ran.script, ran.code, ran.peers) == ("on-change", 0, pods(1, 2, 3))
    found = dict(line.split("=", 1) for line in (bench.folder / "environment").read_text().splitlines() if "=" in line)
    told = {name: value for name, value in found.items() if name.startswith("HEADLESS_")}
    assert told == {
        "HEADLESS_EVENT": "change",
        "HEADLESS_TARGET": TARGET,
        "HEADLESS_COUNT": "3",
        "HEADLESS_PEERS": " ".join(f"web-{n}.{TARGET}" for n in (1, 2, 3)),
        "HEADLESS_ADDRESSES": "10.0.0.1 10.0.0.2 10.0.0.3",
        "HEADLESS_ADDED": f"web-3.{TARGET}",
        "HEADLESS_REMOVED": f"web-0.{TARGET}",
    }
    assert found["PATH"] == os.environ["PATH"]


@pytest.mark.parametrize(
    ("line", "said"), [("address", "10.0.0.1\n"), ("netloc", "10.0.0.1:8080\n"), ("name", f"web-1.{TARGET}\n")]
)
def test_how_peers_are_written(bench: Bench, line: str, said: str) -> None:
    bench("cat > stdin", line=line).offer(pods(1))
    bench.ran()
    assert (bench.folder / "stdin").read_text() == said


def test_a_peer_without_a_hostname_is_its_address(bench: Bench) -> None:
    bench("cat > stdin").offer(PeerSet([Peer("10.0.0.1", 80), Peer("fd00::1", 80)]))
    bench.ran()
    assert (bench.folder / "stdin").read_text() == "10.0.0.1\nfd00::1\n"


def test_nobody_is_news_too(bench: Bench) -> None:
    scripts = bench("cat > stdin; echo $HEADLESS_COUNT >> log")
    scripts.offer(PeerSet())
    bench.ran()
    assert bench.log() == ["0"]
    assert (bench.folder / "stdin").read_text() == ""


def test_a_crowd_is_on_stdin_alone(bench: Bench) -> None:
    """No variable may be longer than 128 KiB on Linux; a script that reads nothing holds nobody up."""
    crowd = PeerSet(Peer(f"10.{n >> 8}.{n & 255}.1", 80, f"web-{n}.{TARGET}") for n in range(5000))
    scripts = bench("env | cut -d= -f1 | grep ^HEADLESS_ > names; wc -l > lines; echo $HEADLESS_COUNT >> log")
    scripts.offer(crowd)
    assert bench.ran().well
    assert bench.log() == ["5000"]
    assert (bench.folder / "lines").read_text().strip() == "5000"
    names = {"HEADLESS_EVENT", "HEADLESS_TARGET", "HEADLESS_COUNT", "HEADLESS_ADDRESSES", "HEADLESS_REMOVED"}
    assert set((bench.folder / "names").read_text().split()) == names
    assert bench("true").offer(crowd) is None
    assert bench.ran().well


def test_on_start_has_the_first_set_and_on_change_the_others(bench: Bench) -> None:
    scripts = bench("echo change $HEADLESS_EVENT >> log", "echo start $HEADLESS_EVENT >> log")
    scripts.offer(pods(0))
    assert bench.ran().script == "on-start"
    scripts.offer(pods(0, 1))
    assert bench.ran().script == "on-change"
    assert bench.log() == ["start start", "change change"]


def test_on_start_is_repeated_until_it_was_taken_well(bench: Bench) -> None:
    scripts = bench("echo change >> log", "echo start >> log; test -e go")
    scripts.offer(pods(0))
    failed = bench.ran()
    assert (failed.script, failed.code, failed.problem, failed.retry_in) == ("on-start", 1, "exit code 1", 0.0)
    bench.go()
    until(lambda: bench.ran().well)
    scripts.offer(pods(1))
    bench.ran()
    assert set(bench.log()[:-1]) == {"start"}
    assert bench.log()[-1] == "change"


def test_changes_during_a_run_are_one_more_run(bench: Bench) -> None:
    scripts = bench(NOTE + WAIT + "; rmdir running")
    scripts.offer(pods(0))
    until(bench.log)
    for count in range(2, 20):
        scripts.offer(pods(*range(count)))
    bench.go()
    assert bench.ran().peers == pods(0)
    assert bench.ran().peers == pods(*range(19))
    scripts.end()
    bench.over(scripts)
    assert bench.log() == ["start web-0 ", f"change {''.join(f'web-{n} ' for n in range(19))}"]
    assert scripts.settled


def test_there_and_back_during_a_run_is_one_more_run(bench: Bench) -> None:
    """The run was for another set than the one that is now there again."""
    scripts = bench(NOTE + WAIT + "; rmdir running")
    bench.go()
    scripts.offer(pods(0))
    bench.ran()
    (bench.folder / "go").unlink()
    scripts.offer(pods(0, 1))
    until(lambda: len(bench.log()) == 2)
    scripts.offer(pods(0))
    bench.go()
    bench.ran()
    bench.ran()
    assert bench.log() == ["start web-0 ", "change web-0 web-1 ", "change web-0 "]


def test_a_set_that_was_taken_is_not_told_again(bench: Bench) -> None:
    scripts = bench(NOTE + "rmdir running")
    scripts.offer(pods(0))
    bench.ran()
    scripts.offer(pods(0))
    scripts.end()
    bench.over(scripts)
    assert bench.log() == ["start web-0 "]


def test_a_run_that_fails_is_repeated_with_pauses_that_grow(bench: Bench) -> None:
    scripts = bench("echo x >> log; test $(wc -l < log) = 4")
    scripts.offer(pods(0))
    assert [bench.ran().code for _ in range(4)] == [1, 1, 1, 0]
    assert bench.pauses == [1, 2, 3]
    scripts.offer(pods(1))
    bench.ran()
    assert bench.pauses[3] == 1


def test_a_new_set_does_not_wait_for_the_pause(bench: Bench) -> None:
    scripts = bench("test $HEADLESS_COUNT = 2", pause=lambda failures: 1e6)
    scripts.offer(pods(0))
    assert not bench.ran().well
    scripts.offer(pods(0, 1))
    assert bench.ran().well


def test_what_was_taken_before_a_failed_run_is_told_again(bench: Bench) -> None:
    """The run that failed may have undone it."""
    scripts = bench("echo $HEADLESS_COUNT >> log; test $HEADLESS_COUNT = 1", pause=lambda failures: 1e6)
    scripts.offer(pods(0))
    scripts_ran = [bench.ran().code]
    scripts.offer(pods(0, 1))
    scripts_ran.append(bench.ran().code)
    scripts.offer(pods(0))
    scripts_ran.append(bench.ran().code)
    assert scripts_ran == [0, 1, 0]
    assert bench.log() == ["1", "2", "1"]


def test_the_end_waits_for_the_last_set(bench: Bench) -> None:
    scripts = bench(NOTE + WAIT + "; rmdir running")
    scripts.offer(pods(0))
    until(bench.log)
    scripts.offer(pods(0, 1))
    scripts.end()
    assert not scripts.over
    assert not scripts.settled
    bench.go()
    bench.over(scripts)
    assert scripts.settled
    assert bench.log() == ["start web-0 ", "change web-0 web-1 "]


def test_the_end_does_not_wait_for_a_pause_and_tries_once_more(bench: Bench) -> None:
    scripts = bench("echo x >> log; false", pause=lambda failures: 1e6)
    scripts.offer(pods(0))
    assert bench.ran().retry_in == 1e6
    scripts.end()
    bench.over(scripts)
    assert bench.ran().retry_in is None
    assert bench.log() == ["x", "x"]
    assert not scripts.settled


def test_kill_ends_all_that_the_script_has_started(bench: Bench) -> None:
    stubborn = "(trap '' TERM; touch trapped; while :; do sleep 0.05; done) & echo $! > child"
    scripts = bench(stubborn + "; trap 'echo term >> log; exit 3' TERM; touch up; wait")
    scripts.offer(pods(0))
    until((bench.folder / "up").exists)
    until((bench.folder / "trapped").exists)
    scripts.kill()
    bench.over(scripts)
    ran = bench.ran()
    assert (ran.code, ran.retry_in) == (3, None)
    assert bench.log() == ["term"]
    child = int((bench.folder / "child").read_text())

    def gone() -> bool:
        try:
            return Path(f"/proc/{child}/stat").read_text().split()[2] == "Z"
        except (FileNotFoundError, ProcessLookupError):
            return True

    if os.path.isdir("/proc/self"):
        until(gone)


def test_a_run_that_takes_too_long_is_ended(bench: Bench) -> None:
    scripts = bench("trap 'exit 0' TERM; sleep 1000 & wait", timeout=0.2)
    scripts.offer(pods(0))
    ran = bench.ran()
    assert not ran.well
    assert ran.problem == "took longer than 0.2 s and was ended"


def test_a_script_that_a_signal_ends_says_so(bench: Bench) -> None:
    bench("kill -KILL $$").offer(pods(0))
    assert (ran := bench.ran()).problem == "was ended by SIGKILL"
    assert ran.code == -signal.SIGKILL


def test_a_signal_without_a_name_is_a_number(bench: Bench) -> None:
    bench("kill -35 $$").offer(pods(0))
    assert bench.ran().problem == "was ended by signal 35"


def test_a_run_that_may_not_be_ended_is_waited_for(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A script that is another user's, by sudo say: the next run comes after it."""

    asked = threading.Event()

    def fail(*arguments: object) -> None:
        asked.set()
        raise PermissionError

    with monkeypatch.context() as patch:
        patch.setattr(os, "killpg", fail)
        patch.setattr("headless_discovery.cli.scripts.LAST_WISH", 0.01)
        scripts = bench(NOTE + WAIT + "; rmdir running", timeout=0.1)
        scripts.offer(pods(0))
        until(bench.log)
        scripts.offer(pods(0, 1))
        assert asked.wait(PATIENCE)
        bench.go()
        assert bench.ran().problem == "took longer than 0.1 s and was ended"
        assert bench.ran().well
    assert bench.log() == ["start web-0 ", "start web-0 web-1 "]


def test_a_run_that_goes_wrong_here_has_failed_and_is_repeated(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """What has begun is ended before, so that no other one runs beside it."""

    def fail(thread: threading.Thread) -> None:
        until(bench.log)
        raise RuntimeError("can't start new thread")

    scripts = bench("echo $$ >> log; " + WAIT, capture=True)
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", fail)
        scripts.offer(pods(0))
        ran = bench.ran()
        with pytest.raises(ProcessLookupError):
            os.kill(int(bench.log()[0]), 0)
    assert (ran.code, ran.problem) == (None, "RuntimeError: can't start new thread")
    bench.go()
    until(lambda: bench.ran().well)


def test_what_cannot_be_started_has_failed(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: object, **options: object) -> None:
        raise OSError("no more processes")

    with monkeypatch.context() as patch:
        patch.setattr(subprocess, "Popen", fail)
        scripts = bench("true", pause=lambda failures: 0.01)
        scripts.offer(pods(0))
        ran = bench.ran()
    assert (ran.code, ran.problem) == (None, "cannot be started: no more processes")
    until(lambda: bench.ran().well)


def test_what_scripts_write_is_told_line_by_line(bench: Bench) -> None:
    bench("echo one; echo two >&2; printf three", capture=True).offer(pods(0))
    lines = []
    while len(lines) < 3:
        if isinstance(told := bench.told.get(timeout=PATIENCE), Output):
            lines.append(told.text)
    assert lines == ["one", "two", "three"]


def test_who_stays_behind_with_the_output_holds_nobody_up(bench: Bench) -> None:
    scripts = bench("(trap '' TERM; exec sleep 1000) & echo $! > child", capture=True)
    scripts.offer(pods(0))
    assert bench.ran().well
    os.kill(int((bench.folder / "child").read_text()), signal.SIGKILL)


# --state


def state(bench: Bench) -> State:
    made = State(str(bench.folder / "state"), TARGET)
    assert made.lock()
    return made


def test_a_new_process_does_not_repeat_what_was_taken(bench: Bench) -> None:
    for offered, runs in ((pods(0, 1), 1), (pods(0, 1), 1), (pods(0, 1, restarts=1), 2)):
        with closing(state(bench)) as kept:
            scripts = bench("echo change +$HEADLESS_ADDED >> log", "echo start >> log", state=kept)
            scripts.offer(offered)
            scripts.end()
            bench.over(scripts)
        assert len(bench.log()) == runs
    assert bench.log() == ["start", f"change +web-0.{TARGET} web-1.{TARGET}"]


def test_a_run_that_was_cut_off_is_repeated_by_a_new_process(bench: Bench) -> None:
    """Also where the set is again the one before: who knows how far the run has come."""
    with closing(state(bench)) as kept:
        scripts = bench("echo change >> log; " + WAIT, "echo start >> log", state=kept)
        scripts.offer(pods(0))
        bench.ran()
        scripts.offer(pods(0, 1))
        until(lambda: len(bench.log()) == 2)
        scripts.kill()
        bench.over(scripts)
    bench.go()
    with closing(state(bench)) as kept:
        scripts = bench("echo change >> log; " + WAIT, "echo start >> log", state=kept)
        scripts.offer(pods(0))
        scripts.end()
        bench.over(scripts)
    assert bench.log() == ["start", "change", "change"]


def test_a_start_that_failed_is_a_start_again(bench: Bench) -> None:
    for command in ("echo bad >> log; false", "echo good >> log"):
        with closing(state(bench)) as kept:
            scripts = bench("echo change >> log", command, state=kept, pause=lambda failures: 1e6)
            scripts.offer(pods(0))
            scripts.end()
            bench.over(scripts)
    assert bench.log()[-1] == "good"


def test_who_joined_and_left_is_since_the_last_run_that_ended_well(bench: Bench) -> None:
    """Also in a new process, and where runs failed in between."""
    taken = "echo +$(echo $HEADLESS_ADDED | cut -d. -f1) -$(echo $HEADLESS_REMOVED | cut -d. -f1) >> log"
    for offered, command in (
        (pods(0), "false"),
        (pods(1), taken),
        (pods(2), "false"),
        (pods(3), "false"),
        (pods(3), taken),
    ):
        with closing(state(bench)) as kept:
            scripts = bench(command, state=kept, pause=lambda failures: 1e6)
            scripts.offer(offered)
            scripts.end()
            bench.over(scripts)
    assert bench.log() == ["+web-1 -", "+web-3 -web-1"]


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", "[" * 100_000, '{"target": "other", "settled": true, "began": true, "peers": []}'],
    ids=["empty", "cut off", "a list", "deep", "another target"],
)
def test_a_state_that_says_nothing_is_a_start(bench: Bench, content: str) -> None:
    (bench.folder / "state").write_text(content)
    with closing(state(bench)) as kept:
        scripts = bench(on_start="echo start >> log", state=kept)
        scripts.offer(PeerSet(target=TARGET))
        bench.ran()
    assert bench.log() == ["start"]


def test_the_state_is_locked(bench: Bench) -> None:
    with closing(state(bench)):
        other = State(str(bench.folder / "state"), TARGET)
        assert not other.lock()
    assert other.lock()
    other.close()


def test_a_script_that_outlives_its_watch_keeps_the_lock(bench: Bench) -> None:
    """A watch that was killed leaves its script behind; the next watch must not start another beside it."""
    program = f"""
import sys, time
from headless_discovery import PeerSet
from headless_discovery.cli.scripts import Commands, Scripts
from headless_discovery.cli.state import State
state = State("state", {TARGET!r})
assert state.lock()
Scripts(Commands(on_change={"touch up; " + WAIT + "; touch done"!r}), print, state=state).offer(PeerSet())
time.sleep(1000)
"""
    with subprocess.Popen([sys.executable, "-c", program], cwd=bench.folder) as watch:
        until((bench.folder / "up").exists)
        watch.kill()
    with closing(State(str(bench.folder / "state"), TARGET)) as other:
        assert not other.lock()
        bench.go()
        until(other.lock)
        assert (bench.folder / "done").exists()


@pytest.mark.parametrize("octets", [0, 20])
def test_a_save_that_fails_keeps_what_was_saved_before(bench: Bench, octets: int) -> None:
    """An empty file, or half of one, would be a start again: `--on-start` would run a second time."""
    with closing(state(bench)) as kept:
        kept.save(pods(0), settled=True, began=True)
    with files_of_at_most(octets), closing(state(bench)) as kept, pytest.raises(OSError, match="too large"):
        kept.save(pods(0, 1), settled=True, began=True)
    with closing(state(bench)) as kept:
        assert (kept.peers, kept.settled, kept.began) == (pods(0), True, True)


@contextmanager
def files_of_at_most(octets: int) -> Iterator[None]:
    """What is written beyond that fails, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (octets, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_state_is_a_file_that_can_be_replaced(bench: Bench) -> None:
    """And not the device /dev/null, say."""
    (bench.folder / "link").symlink_to("state")
    with closing(State(str(bench.folder / "link"), TARGET)) as kept:
        assert kept.lock()
        kept.save(pods(0), settled=True, began=True)
    assert (bench.folder / "link").is_symlink()
    with closing(state(bench)) as kept:
        assert kept.peers == pods(0)
    for path in (os.devnull, str(bench.folder)):
        with pytest.raises(OSError, match="not a regular file"):
            State(path, TARGET)


def test_a_state_that_cannot_be_written_is_told_and_stops_nothing(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*arguments: object, **options: object) -> None:
        raise OSError("no space left on device")

    with closing(state(bench)) as kept:
        monkeypatch.setattr(State, "save", full)
        bench("true", state=kept).offer(pods(0))
        told = bench.told.get(timeout=PATIENCE)
        assert isinstance(told, Unsaved)
        assert told.text.startswith(f"{kept.path} cannot be written: no space left on device; ")
        assert bench.ran().well
