"""The demo ends by itself, tells the truth with its exit code, and can be shown anywhere."""

from __future__ import annotations

import os
import pty
import re
import signal
import struct
import subprocess
import sys
from fcntl import ioctl
from termios import TIOCSWINSZ

import pytest

from headless_discovery.testing.cluster import Service

pytest.importorskip("typer")
from typer.testing import CliRunner

from headless_discovery.cli import demo, demo_client
from headless_discovery.cli.app import app

COMMAND = [sys.executable, "-W", "error", "-m", "headless_discovery", "demo", "--scale", "0.02"]
ENVIRONMENT = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "FORCE_COLOR", "COLUMNS", "LINES")}


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *arguments],
        capture_output=True,
        text=True,
        encoding="utf-8",
        env=ENVIRONMENT | {"PYTHONIOENCODING": "utf-8"} | environment,
    )


@pytest.mark.parametrize("addresses", [[], ["--one-address"]], ids=["an address each", "a port each"])
def test_all_is_as_it_should_be(addresses: list[str]) -> None:
    ran = run(*addresses)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert ran.stderr == ""
    assert "all as it should be" in ran.stdout
    assert re.search(r" [1-9][\d,]* requests, 0 failed", ran.stdout)
    assert "\x1b" not in ran.stdout, "escape sequences where there is no terminal"
    joined = re.findall(r"\+ (web-\d)", ran.stdout)
    assert sorted(joined) == ["web-0", "web-1", "web-1", "web-2", "web-3", "web-3", "web-4"]
    for name in ("round_robin", "random", "consistent_hash", "ring_hash"):
        assert re.search(rf"{name} +\S*0\S*1\S*2\S*3\S*4\S* +\d\.\d\d", ran.stdout), f"no bar for {name}"
    assert re.search(r"web-1 dies and restarts .*\b0\.0%", ran.stdout), "keys moved for a restart"


@pytest.mark.parametrize("scale", ["-1", "nan", "inf"])
def test_a_bad_scale_is_told_at_once(scale: str) -> None:
    ended = CliRunner().invoke(app, ["demo", "--scale", scale])
    assert ended.exit_code == 2
    assert "--scale" in ended.stderr


def test_force_color_makes_no_terminal_of_a_pipe() -> None:
    ran = run(FORCE_COLOR="1")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "\x1b[" in ran.stdout
    assert "\x1b[?" not in ran.stdout


def test_output_is_ascii_where_the_terminal_is() -> None:
    ran = run(PYTHONIOENCODING="ascii", COLUMNS="40")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert ran.stdout.isascii()
    table = [line for line in ran.stdout.splitlines() if line.startswith(("|", "+-"))]
    assert {len(line) for line in table} == {40}


@pytest.mark.parametrize(("columns", "lines"), [(110, 32), (80, 24), (40, 12)])
def test_it_draws_on_a_terminal_and_stays_inside(columns: int, lines: int) -> None:
    code, shown = in_terminal(columns, lines, TERM="xterm-256color")
    assert code == 0, shown
    live, _, summary = shown.partition("\x1b[?1049l")
    assert "\x1b[?1049h" in live, "the frames are not on a screen of their own"
    assert "web-4" in live
    assert "all as it should be" in summary
    frames = [re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", frame).strip() for frame in live.split("\x1b[H")]
    full = [frame.splitlines() for frame in frames if "web-2" in frame]
    assert full
    for frame in full:
        assert len(frame) <= lines
        # rich cuts off what is below: the status must not be among that, nor on a usual terminal anything else.
        assert any(line.lstrip().startswith("requests ") for line in frame)
        assert lines < 24 or any("keys by each strategy" in line for line in frame)
    assert lines < 24 or all(name in live for name in ("round_robin", "consistent_hash", "ring_hash"))


def test_no_color_is_heeded() -> None:
    colours = re.compile(r"\x1b\[(?:\d+;)*(?:3[0-8]|4[0-8]|9[0-7]|10[0-7])[;m]")
    assert colours.search(in_terminal(100, 30, TERM="xterm-256color")[1])
    assert not colours.search(in_terminal(100, 30, TERM="xterm-256color", NO_COLOR="1")[1])


def test_ctrl_c_is_quiet() -> None:
    with subprocess.Popen(
        COMMAND, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        while "2/" not in process.stdout.readline():
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        process.stdout.read()
        assert process.stderr.read() == ""
        assert process.wait() == 130


def test_a_change_that_is_not_seen_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "PATIENCE", 0.5)
    monkeypatch.setattr(Service, "set_ready", lambda self, pod, ready=True: None)
    ended = CliRunner().invoke(app, ["demo", "--scale", "0.02"])
    assert ended.exit_code == 1
    assert "not as it should be: web-3 is not ready" in ended.stdout
    assert "all as it should be" not in ended.stdout


def test_failed_requests_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(peer: object, attempts: list[object]) -> bytes:
        raise ValueError("nonsense")

    monkeypatch.setattr(demo, "PATIENCE", 0.5)
    monkeypatch.setattr(demo_client, "_get", fail)
    ended = CliRunner().invoke(app, ["demo", "--scale", "0.02"])
    assert ended.exit_code == 1
    assert re.search(r"not as it should be: \d+ requests failed: \{'ValueError: nonsense'", ended.stdout)


def in_terminal(columns: int, lines: int, **environment: str) -> tuple[int, str]:
    """The exit code, and all that was written to the terminal."""
    master, slave = pty.openpty()
    try:
        ioctl(slave, TIOCSWINSZ, struct.pack("4H", lines, columns, 0, 0))
        process = subprocess.Popen(
            COMMAND, stdin=slave, stdout=slave, stderr=slave, env=ENVIRONMENT | {"PYTHONUTF8": "1"} | environment
        )
        os.close(slave)
        slave = -1
        written = bytearray()
        while True:
            try:
                data = os.read(master, 65536)
            except OSError:  # Linux: EIO once nobody has the other end
                break
            if not data:
                break
            written += data
        return process.wait(), written.decode(errors="replace")
    finally:
        os.close(master)
        if slave >= 0:
            os.close(slave)
