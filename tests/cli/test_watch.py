"""`watch`: what happens, live, as lines and as JSON; scripts are told, whatever DNS, they and signals do."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import re
import select
import signal
import socket
import subprocess
import termios
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("typer")

from headless_discovery.testing import DNSServer
from headless_discovery.testing.cluster import Service

from .running import COLOUR, COMMAND, ENVIRONMENT, QUICK, Terminal, event, invoke, process, run, until

NAME = "headless-svc.moon.svc.cluster.local"


@pytest.fixture
def web(headless_dns: DNSServer) -> Service:
    return headless_dns.service("headless-svc", "moon", pods=3, ports={"http": 8080})


@pytest.fixture
def asking(headless_dns: DNSServer, web: Service) -> list[str]:
    return ["watch", NAME, "--port", "http", "--server", headless_dns.nameserver, *QUICK]


def addresses(found: dict[str, Any]) -> list[str]:
    return [peer["address"] for peer in found["peers"]]


def log(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


# What is told.


def test_events_as_json(headless_dns: DNSServer, web: Service, asking: list[str]) -> None:
    with process(*asking, "--json", "--timeout", "0.5") as watch:
        first = event(watch, "peers")
        assert first["target"] == NAME
        assert re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", first["time"])
        assert addresses(first) == [pod.address for pod in web.pods]
        assert set(first["peers"][0]) == {"address", "port", "hostname", "priority", "weight", "identity"}
        assert first["status"]["state"] == "fresh"
        web.scale(4)
        joined = event(watch, "change")
        assert addresses(joined) == [pod.address for pod in web.pods]
        assert [peer["address"] for peer in joined["added"]] == [web.pods[3].address]
        old = web.pods[0].address
        web.restart(0)
        moved = event(watch, "change")
        while old in addresses(moved):  # a young peer leaves after two answers
            moved = event(watch, "change")
        assert [peer["address"] for peer in moved["removed"]] == [old]
        headless_dns.fail("SERVFAIL")
        failed = event(watch, "failure")
        assert "said SERVFAIL" in failed["error"]
        assert addresses(failed) == [pod.address for pod in web.pods]
        assert (stale := event(watch, "state"))["status"]["state"] == "stale"
        assert stale["before"] == "fresh"
        headless_dns.recover()
        event(watch, "answered")
        assert event(watch, "state")["status"]["state"] == "fresh"
        watch.send_signal(signal.SIGTERM)
        ended = event(watch, "end")
        assert (ended["reason"], ended["exit_code"], ended["status"]["state"]) == ("SIGTERM", 0, "closed")
        assert watch.wait() == 0
        assert watch.stdout is not None
        assert watch.stdout.read() == ""
        assert watch.stderr is not None
        assert watch.stderr.read() == ""


def test_events_as_lines(headless_dns: DNSServer, web: Service, asking: list[str]) -> None:
    pods = [pod.address for pod in web.pods]
    with process(*asking) as watch:
        assert watch.stdout is not None
        lines = [watch.stdout.readline() for _ in range(4)]
        stamp = r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z "
        assert re.fullmatch(stamp + "3 peers\n", lines[0])
        assert lines[1:] == [f"    + {pods[n]}:8080  web-{n}.{NAME}\n" for n in range(3)]
        headless_dns.fail("SERVFAIL")
        assert re.match(stamp + f"✗ DNS fails; 3 peers stay: _http._tcp.{NAME} SRV: ", watch.stdout.readline())
        headless_dns.recover()
        assert re.fullmatch(stamp + "✓ DNS answers again\n", watch.stdout.readline())
        watch.send_signal(signal.SIGINT)
        assert re.fullmatch(stamp + "ended: SIGINT\n", watch.stdout.read())
        assert watch.wait() == 130


def test_what_is_odd_is_told_once(headless_dns: DNSServer) -> None:
    headless_dns.cluster_ip_service("regular", "moon", ports={"http": 80})
    target = ["watch", "regular.moon.svc.cluster.local", "--port", "auto", "--server", headless_dns.nameserver]
    with process(*target, *QUICK, "--json") as watch:
        assert "is not headless" in event(watch, "warning")["warning"]
        event(watch, "peers")
        headless_dns.wait_for_queries(len(headless_dns.queries) + 5)
        watch.send_signal(signal.SIGTERM)
        assert watch.stdout is not None
        assert [json.loads(line)["event"] for line in watch.stdout] == ["end"]


def test_of_two_names_the_one_that_fails_is_told_once(headless_dns: DNSServer, web: Service, asking: list[str]) -> None:
    headless_dns.record("other.example", "A", 1, "10.0.0.9")
    headless_dns.fail("REFUSED", name="other.example")
    target = ["watch", f"{NAME},other.example.", "--server", headless_dns.nameserver, *QUICK, "--json"]
    with process(*target, "--timeout", "0.5") as watch:
        assert "other.example" in event(watch, "failure")["error"]
        headless_dns.wait_for_queries(len(headless_dns.queries) + 10)
        web.scale(4)
        assert watch.stdout is not None
        until_change = []
        while "change" not in until_change:
            until_change.append(json.loads(watch.stdout.readline())["event"])
        assert set(until_change) <= {"peers", "state", "change"}
        headless_dns.recover()
        assert event(watch, "answered")["name"] == "other.example"


def test_an_answer_that_is_refused_is_a_failure(headless_dns: DNSServer) -> None:
    headless_dns.record("a.example", "A", 1, "10.0.0.1", "10.0.0.2")
    headless_dns.record("a.example", "AAAA", 1, "fd00::1", "fd00::2")
    target = ["watch", "a.example.", "--family", "any", "--max-peers", "3", "--server", headless_dns.nameserver]
    with process(*target, *QUICK, "--json") as watch:
        assert "4 peers are more than --max-peers 3" in event(watch, "failure")["error"]
        headless_dns.remove_record("a.example", "AAAA")
        event(watch, "answered")


def test_a_bad_target_is_told_at_once() -> None:
    assert invoke("watch", "a..b").exit_code == 2
    ended = invoke("watch", "a", "--state", "x")
    assert ended.exit_code == 2
    assert "--on-start or --on-change" in re.sub(r"[\s│]+", " ", ended.stderr)
    assert invoke("watch", "10.0.0.1", "--on-change", "true", "--state", "/nonexistent/state").exit_code == 2


@pytest.mark.parametrize("value", ["-1", "nan", "x"])
@pytest.mark.parametrize("option", ["--script-timeout", "--grace", "--min-peers"])
def test_a_bad_number_is_told_at_once(tmp_path: Path, option: str, value: str) -> None:
    ended = invoke("watch", "10.0.0.1", "--on-start", f"touch {tmp_path / 'ran'}", option, value)
    assert ended.exit_code == 2
    assert option in ended.stderr
    assert not (tmp_path / "ran").exists()


def test_a_state_that_cannot_be_locked_is_told_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on NFS without its lock manager."""

    def fail(*arguments: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", fail)
    ended = invoke("watch", "10.0.0.1", "--on-change", "true", "--state", str(tmp_path / "state"))
    assert ended.exit_code == 2
    assert "No locks available" in re.sub(r"[\s│]+", " ", ended.stderr)


def test_an_address_needs_no_dns() -> None:
    with process("watch", "10.0.0.1:80", "--json") as watch:
        assert addresses(event(watch, "peers")) == ["10.0.0.1"]


def test_a_reader_that_goes_away_is_no_reason_for_a_traceback(web: Service, asking: list[str]) -> None:
    with process(*asking, "--json") as watch:
        event(watch, "peers")
        assert watch.stdout is not None
        watch.stdout.close()
        web.scale(5)
        assert watch.wait() != 0
        assert watch.stderr is not None
        assert "Traceback" not in watch.stderr.read()


# Scripts.


def test_scripts_are_told(web: Service, asking: list[str], tmp_path: Path) -> None:
    file = tmp_path / "log"
    scripts = ["--on-start", f"echo start $HEADLESS_COUNT >> {file}", "--on-change", f"cat >> {file}; echo heard"]
    with process(*asking, "--json", *scripts) as watch:
        started = event(watch, "script")
        assert (started["script"], started["exit_code"], started["count"]) == ("on-start", 0, 3)
        web.scale(4)
        assert event(watch, "script")["script"] == "on-change"
        watch.send_signal(signal.SIGTERM)
        assert watch.wait() == 0
        assert watch.stderr is not None
        assert watch.stderr.read() == "heard\n"  # stdout is for JSON
    assert log(file) == ["start 3", *(f"web-{n}.{NAME}" for n in range(4))]


def test_dns_that_fails_first_only_delays(headless_dns: DNSServer, asking: list[str], tmp_path: Path) -> None:
    file = tmp_path / "log"
    headless_dns.fail("SERVFAIL")
    with process(*asking, "--json", "--on-change", f"echo $HEADLESS_COUNT >> {file}") as watch:
        assert "said SERVFAIL" in event(watch, "failure")["error"]
        headless_dns.recover()
        event(watch, "script")
        assert log(file) == ["3"]


def test_dns_that_fails_later_tells_scripts_nothing(headless_dns: DNSServer, asking: list[str], tmp_path: Path) -> None:
    file = tmp_path / "log"
    with process(*asking, "--json", "--timeout", "0.5", "--on-change", f"echo $HEADLESS_COUNT >> {file}") as watch:
        event(watch, "script")
        headless_dns.fail("timeout")
        event(watch, "state")
        headless_dns.recover()
        event(watch, "answered")
        watch.send_signal(signal.SIGTERM)
        assert watch.wait() == 0
    assert log(file) == ["3"]


def test_a_script_that_fails_is_run_again(asking: list[str], tmp_path: Path) -> None:
    file = tmp_path / "log"
    script = f"echo $HEADLESS_EVENT >> {file}; test $(wc -l < {file}) -gt 1"
    with process(*asking, "--json", "--on-change", script) as watch:
        failed = event(watch, "script")
        assert (failed["exit_code"], failed["error"]) == (1, "exit code 1")
        assert event(watch, "script")["exit_code"] == 0
    assert log(file) == ["start", "start"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_the_last_set_is_told_once_although_a_signal_came(
    web: Service, asking: list[str], tmp_path: Path, number: signal.Signals
) -> None:
    """The signal comes while a script runs for an older set; neither is that run cut off nor the newest set lost."""
    file, go = tmp_path / "log", tmp_path / "go"
    script = f"echo begin $HEADLESS_COUNT >> {file}; while [ ! -e {go} ]; do sleep 0.01; done; echo end >> {file}"
    with process(*asking, "--json", "--on-change", script) as watch:
        until(lambda: log(file))
        web.scale(5)
        while len(event(watch, "change")["peers"]) != 5:
            pass
        watch.send_signal(number)
        go.touch()
        ended = event(watch, "end")
        assert ended["reason"] == number.name
        assert watch.wait() == ended["exit_code"] == (130 if number == signal.SIGINT else 0)
    assert log(file) == ["begin 3", "end", "begin 5", "end"]


def test_a_last_run_that_fails_is_seen_by_the_exit_code(asking: list[str], tmp_path: Path) -> None:
    file = tmp_path / "log"
    with process(*asking, "--json", "--on-change", f"echo x >> {file}; false") as watch:
        event(watch, "script")
        watch.send_signal(signal.SIGTERM)
        assert watch.wait() == 1
    assert len(log(file)) <= 4  # one more at the end, beside those that were due until then


def test_a_second_signal_does_not_wait(asking: list[str], tmp_path: Path) -> None:
    file = tmp_path / "log"
    with process(*asking, "--json", "--on-change", f"touch {file}; sleep 1000") as watch:
        until(file.exists)
        watch.send_signal(signal.SIGTERM)
        assert event(watch, "ending")["reason"] == "SIGTERM"
        watch.send_signal(signal.SIGTERM)
        assert event(watch, "killed")["reason"] == "SIGTERM again"
        assert watch.wait() == 1


def test_a_second_signal_counts_however_soon_it_comes(asking: list[str]) -> None:
    """Both are there before the watch can do anything about the first."""
    script = "kill -STOP $PPID; kill -TERM $PPID; kill -HUP $PPID; kill -CONT $PPID; sleep 1000"
    with process(*asking, "--json", "--grace", "1000", "--on-change", script) as watch:
        assert event(watch, "killed")["reason"].endswith("again")
        assert watch.wait() == 1


def test_grace_is_how_long_the_last_run_may_take(asking: list[str], tmp_path: Path) -> None:
    file = tmp_path / "log"
    with process(*asking, "--json", "--grace", "0.1", "--on-change", f"touch {file}; sleep 1000") as watch:
        until(file.exists)
        watch.send_signal(signal.SIGTERM)
        assert event(watch, "killed")["reason"] == "--grace 0.1 is over"
        assert watch.wait() == 1


def test_ctrl_c_does_not_cut_off_a_script(asking: list[str], tmp_path: Path) -> None:
    """A terminal sends the signal to the whole group of processes; the script is not in it."""
    file, go = tmp_path / "log", tmp_path / "go"
    script = f"echo begin >> {file}; while [ ! -e {go} ]; do sleep 0.01; done; echo end >> {file}"
    with Terminal(*asking, "--on-change", script) as terminal:
        until(lambda: terminal.shows("3 peers") and log(file))
        terminal.process.sendintr()
        terminal.shows("fresh|closed")
        go.touch()
        assert terminal.end() == 130
    assert log(file) == ["begin", "end"]


class Slow:
    """A script that has begun, and ends when it may."""

    def __init__(self, folder: Path) -> None:
        self._log, self._go = folder / "log", folder / "go"
        self.command = (
            f"echo begin >> {self._log}; while [ ! -e {self._go} ]; do sleep 0.01; done; echo end >> {self._log}"
        )

    def began(self) -> bool:
        return log(self._log) == ["begin"]

    def go(self) -> None:
        self._go.touch()

    def ended(self) -> bool:
        return log(self._log) == ["begin", "end"]


@pytest.fixture
def slow(tmp_path: Path) -> Iterator[Slow]:
    if not os.path.isdir("/proc/self"):
        pytest.skip("Linux: /proc tells what stdout is")
    made = Slow(tmp_path)
    yield made
    made.go()


@pytest.mark.parametrize("how", ["--json", "lines"])
def test_ctrl_c_that_ends_the_reader_too_does_not_cut_off_a_script(asking: list[str], slow: Slow, how: str) -> None:
    """`watch | jq`: a terminal sends the signal to both, and jq dies of it at once."""
    with process(*asking, *([how] if how == "--json" else []), "--on-change", slow.command) as watch:
        assert watch.stdout is not None
        assert watch.stderr is not None
        until(slow.began)
        watch.stdout.close()
        watch.send_signal(signal.SIGINT)
        until(lambda: knows_that_nobody_reads(watch.pid))
        slow.go()
        assert watch.wait() == 130
        assert watch.stderr.read() == ""
    assert slow.ended()


def knows_that_nobody_reads(pid: int) -> bool:
    return os.readlink(f"/proc/{pid}/fd/1") == os.devnull


def test_a_reader_that_goes_away_asks_for_the_end(headless_dns: DNSServer, asking: list[str], slow: Slow) -> None:
    """Who ends it a moment later, by the same Ctrl-C, asks no second time."""
    with process(*asking, "--json", "--on-change", slow.command) as watch:
        assert watch.stdout is not None
        assert watch.stderr is not None
        until(slow.began)
        watch.stdout.close()
        headless_dns.fail("SERVFAIL")  # which is news
        until(lambda: knows_that_nobody_reads(watch.pid))
        watch.send_signal(signal.SIGINT)
        slow.go()
        assert watch.wait() == 1
        assert watch.stderr.read() == ""
    assert slow.ended()


@pytest.mark.parametrize(("how", "term"), [("--json", "xterm"), ("lines", "dumb"), ("view", "xterm")])
def test_a_terminal_that_is_closed_does_not_cut_off_a_script(
    asking: list[str], slow: Slow, tmp_path: Path, how: str, term: str
) -> None:
    ours, its = os.openpty()
    with (tmp_path / "stderr").open("w") as stderr:
        watch = subprocess.Popen(
            [*COMMAND, *asking, *([how] if how == "--json" else []), "--on-change", slow.command],
            stdin=its,
            stdout=its,
            stderr=stderr,
            env=ENVIRONMENT | {"TERM": term},
            preexec_fn=lead,
        )
    os.close(its)
    with watch:
        until(lambda: slow.began() or drained(ours))
        os.close(ours)
        if how != "view":  # which is drawn no more, and fails when it is to leave the screen
            until(lambda: knows_that_nobody_reads(watch.pid))
        slow.go()
        assert watch.wait() in (0, 1)  # SIGHUP was there first, or what could not be written
    assert slow.ended()
    assert (tmp_path / "stderr").read_text() == ""


def drained(terminal: int) -> None:
    """Who writes waits where nobody reads."""
    while select.select([terminal], [], [], 0)[0]:
        os.read(terminal, 65536)


def lead() -> None:
    """A terminal that is closed sends SIGHUP to who leads its session."""
    os.setsid()
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="a full disk")
@pytest.mark.parametrize("scripts", [True, False])
def test_a_full_disk_is_told_and_does_not_cut_off_a_script(asking: list[str], slow: Slow, scripts: bool) -> None:
    with open("/dev/full", "w") as full:
        command = [*COMMAND, *asking, *(["--on-change", slow.command] if scripts else [])]
        watch = subprocess.Popen(command, stdout=full, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT)
    with watch:
        if scripts:
            until(slow.began)
            until(lambda: knows_that_nobody_reads(watch.pid))
            slow.go()
        assert watch.wait() == 1
        assert watch.stderr is not None
        assert watch.stderr.read() == "headless-discovery: stdout cannot be written: No space left on device\n"
    assert slow.ended() or not scripts


def test_on_start_alone_ends_after_it(asking: list[str], tmp_path: Path) -> None:
    file = tmp_path / "log"
    ran = run(*asking, "--json", "--on-start", f"cat > {file}")
    assert (ran.returncode, ran.stderr) == (0, "")
    assert [json.loads(line)["event"] for line in ran.stdout.splitlines()] == ["peers", "script", "end"]
    assert log(file) == [f"web-{n}.{NAME}" for n in range(3)]


def test_on_start_that_was_taken_before_is_over_at_once(asking: list[str], tmp_path: Path) -> None:
    file = tmp_path / "log"
    arguments = [*asking, "--json", "--on-start", f"echo x >> {file}", "--state", str(tmp_path / "state")]
    assert [run(*arguments).returncode for _ in range(2)] == [0, 0]
    assert log(file) == ["x"]


def test_the_first_run_waits_for_enough_peers(web: Service, asking: list[str]) -> None:
    with process(*asking, "--json", "--min-peers", "5", "--on-change", "true") as watch:
        assert event(watch, "waiting")["missing"] == "2 more peers"
        web.scale(6)
        assert event(watch, "script")["count"] in (5, 6)
        web.scale(1)
        while event(watch, "script")["count"] > 1:  # later ones do not wait
            pass


def test_the_first_run_waits_for_this_pod(web: Service, asking: list[str]) -> None:
    own = "10.0.7.7"
    with process(*asking, "--json", "--wait-for-self", "--on-change", "true", POD_IP=own) as watch:
        assert event(watch, "waiting")["missing"] == f"this pod, {socket.gethostname()}"
        web.set_pods([*(pod.address for pod in web.pods), own])
        assert event(watch, "script")["count"] == 4


def test_a_restart_repeats_nothing(web: Service, asking: list[str], tmp_path: Path) -> None:
    file = tmp_path / "log"
    arguments = [
        *asking,
        "--json",
        "--state",
        str(tmp_path / "state"),
        "--on-change",
        f"echo $HEADLESS_COUNT >> {file}",
    ]
    for count, kill in ((3, False), (3, True), (4, False)):
        web.scale(count)
        with process(*arguments) as watch:
            event(watch, "peers")
            until(lambda count=count: log(file) and log(file)[-1] == str(count))
            watch.send_signal(signal.SIGKILL if kill else signal.SIGTERM)
            watch.wait()
    assert log(file) == ["3", "4"]


def test_a_state_that_cannot_be_written_is_a_warning(asking: list[str], tmp_path: Path) -> None:
    state = tmp_path / "state"
    (tmp_path / "state.new").mkdir()
    with process(*asking, "--json", "--state", str(state), "--on-change", "true") as watch:
        assert event(watch, "warning")["warning"].startswith(f"{state} cannot be written: ")
        event(watch, "script")
        watch.send_signal(signal.SIGTERM)
        assert watch.stdout is not None
        rest = [json.loads(line) for line in watch.stdout]
    assert [found["event"] for found in rest] == ["end"]  # told once, although a run saves twice


@pytest.mark.parametrize("script", ["on-start", "on-change"])
def test_who_waits_is_named(asking: list[str], script: str) -> None:
    with process(*asking, "--min-peers", "5", f"--{script}", "true") as watch:
        assert watch.stdout is not None
        while "waits" not in (line := watch.stdout.readline()):
            assert line
        assert line.endswith(f" {script} waits for 2 more peers\n")


def test_a_second_watch_of_the_same_state_waits(asking: list[str], tmp_path: Path) -> None:
    arguments = [*asking, "--json", "--state", str(tmp_path / "state"), "--on-change", "true"]
    with process(*arguments) as first:
        event(first, "script")
        with process(*arguments) as second:
            assert event(second, "waiting")["missing"] == f"the lock of {tmp_path / 'state'}"
            second.send_signal(signal.SIGTERM)
            assert second.wait() == 0
        with process(*arguments) as third:
            event(third, "waiting")
            first.send_signal(signal.SIGTERM)
            event(third, "peers")


# On a terminal.


@pytest.mark.parametrize(("columns", "lines"), [(80, 24), (120, 30), (170, 40), (40, 10)])
def test_the_view_fits_and_follows(
    headless_dns: DNSServer, web: Service, asking: list[str], columns: int, lines: int
) -> None:
    with Terminal(*asking, "--timeout", "0.5", columns=columns, lines=lines) as terminal:
        screen = terminal.shows(r"● fresh(.|\n)*╭─ 3 peers ─+")
        assert screen[0].startswith(" headless-discovery ")
        assert "\x1b[?1049h" in terminal.written, "not on a screen of its own"
        web.scale(5)
        terminal.shows(r"╭─ 5 peers(.|\n)*╯\n*\Z")  # down to the lower edge
        if lines >= 24:
            terminal.shows(r"(● 10\.244\.(.|\n)*){5}")
            assert terminal.shows(r"\d\d:\d\d:\d\d 5 peers \(\+2\)")
        headless_dns.fail("SERVFAIL")
        terminal.shows("● stale")
        terminal.process.sendintr()
        assert terminal.end() == 130
    assert "\x1b[?1049l" in terminal.written
    last = " ".join(terminal.written.rpartition("\x1b[?1049l")[2].split())
    assert re.search(rf"watched {re.escape(NAME)} for \d+s: 5 peers, \d changes?, .*; ended: SIGINT", last)


def test_the_view_shows_what_scripts_say(web: Service, asking: list[str]) -> None:
    with Terminal(*asking, "--on-change", "echo heard of $HEADLESS_COUNT", columns=100) as terminal:
        terminal.shows(r"\| heard of 3")
        terminal.shows(r"on-change: ran for 3 peers")
        web.scale(4)
        terminal.shows(r"\| heard of 4")


def test_many_peers_are_cut(headless_dns: DNSServer) -> None:
    headless_dns.service("big", "moon", pods=500)
    with Terminal("watch", "big.moon.svc.cluster.local", "--server", headless_dns.nameserver) as terminal:
        screen = terminal.shows(r"╭─ 500 peers")
        shown = sum("● 10.244." in line for line in screen)
        assert f"and {500 - shown} more" in "\n".join(screen)


def test_colours_of_the_view(asking: list[str]) -> None:
    for environment, coloured in (({}, True), ({"NO_COLOR": "1"}, False)):
        with Terminal(*asking, **environment) as terminal:
            terminal.shows("● fresh")
            assert bool(COLOUR.search(terminal.written)) is coloured


def test_a_dumb_terminal_gets_lines(asking: list[str]) -> None:
    with Terminal(*asking, TERM="dumb") as terminal:
        terminal.shows(r"Z 3 peers")
        assert "\x1b" not in terminal.written


def test_force_color_colours_lines_and_makes_no_terminal_of_a_pipe(asking: list[str]) -> None:
    with process(*asking, FORCE_COLOR="1") as watch:
        assert watch.stdout is not None
        first = watch.stdout.readline()
        assert "3 peers" in first
        assert "\x1b[" in first
        watch.send_signal(signal.SIGTERM)
        assert "\x1b[?" not in watch.stdout.read()


def test_nohup_is_heeded(asking: list[str], tmp_path: Path) -> None:
    """Who starts it with SIGHUP ignored wants it to go on."""

    def ignore() -> None:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)

    with subprocess.Popen(
        [*COMMAND, *asking, "--json"], stdout=subprocess.PIPE, text=True, env=ENVIRONMENT, preexec_fn=ignore
    ) as watch:
        event(watch, "peers")
        os.kill(watch.pid, signal.SIGHUP)
        watch.send_signal(signal.SIGTERM)
        assert event(watch, "end")["reason"] == "SIGTERM"
