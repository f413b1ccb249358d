"""However a program in namespaces ends, nothing of it is left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from .control_plane import ControlPlane
from .isolation import FOLDER, INSIDE

PROGRAM = """
import signal, subprocess, sys

for number in (signal.SIGHUP, signal.SIGTERM):  # `nohup` and background shells have some ignored
    signal.signal(number, signal.SIG_DFL)
signal.signal(signal.SIGINT, signal.default_int_handler)
sys.path.insert(0, {tests!r})
from kubernetes.isolation import FOLDER, isolate

def main(parts):
    (FOLDER / "left-behind").write_text("")
    child = subprocess.Popen(["sleep", "98765"])
    print("ready", flush=True)
    child.wait()
    return 3

sys.exit(isolate(main))
"""


def sleeping() -> list[int]:
    """Processes that the program has started."""
    return [
        int(path.parent.name) for path in Path("/proc").glob("[0-9]*/cmdline") if _read(path) == b"sleep\x0098765\x00"
    ]


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:  # it has ended
        return b""


@pytest.fixture
def program(cluster: ControlPlane) -> Iterator[subprocess.Popen[str]]:
    environment = {name: value for name, value in os.environ.items() if name != INSIDE}
    command = [sys.executable, "-c", PROGRAM.format(tests=str(Path(__file__).resolve().parents[1]))]
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, process_group=0
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        cluster.wait(sleeping, "it has started a process")
        yield process
        process.kill()


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP], ids=lambda how: how.name)
def test_killed(cluster: ControlPlane, program: subprocess.Popen[str], how: signal.Signals) -> None:
    program.send_signal(how)
    assert program.wait() == -how
    cluster.wait(lambda: not sleeping(), "all processes are gone")
    assert not (FOLDER / "left-behind").exists()


def test_interrupted(cluster: ControlPlane, program: subprocess.Popen[str]) -> None:
    """By Ctrl-C, which all processes of the terminal get."""
    os.killpg(program.pid, signal.SIGINT)
    assert program.wait() != 0
    cluster.wait(lambda: not sleeping(), "all processes are gone")
    assert not (FOLDER / "left-behind").exists()


def test_its_own_end(cluster: ControlPlane, program: subprocess.Popen[str]) -> None:
    for pid in sleeping():
        os.kill(pid, signal.SIGKILL)
    assert program.wait() == 3
    assert not sleeping()
    assert not (FOLDER / "left-behind").exists()
