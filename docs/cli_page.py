"""`make cli-docs`: runs the commands on docs/cli.md and docs/doctor.md and puts there what they print. A test compares.

Each ```console block is a session in a pod: lines that begin with `$ ` are run, the rest is what they print. The pod's
DNS server is a `DNSServer` (`dns`) with a service (`web`) of three pods. A comment before the block says what happens,
a line for each: Python that is run before; `on "text": Python`, run when the text was printed (`end()` is SIGTERM);
`screen 80x20`, a terminal of that size, of which the block shows the screen at the `end()`. Times are masked.
"""

from __future__ import annotations

import io
import os
import re
import shlex
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import pyte

from headless_discovery import resolvconf
from headless_discovery.cli.app import app
from headless_discovery.settings import Settings
from headless_discovery.target import Server, parse_server
from headless_discovery.testing import DNSServer

DOCS = Path(__file__).resolve().parent
PAGES = (DOCS / "cli.md", DOCS / "doctor.md")
BLOCK = re.compile(r"(?:<!-- run\n(?P<script>.*?)-->\n)?^```console\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
PATIENCE = 30.0  # seconds


class Shown(Server):
    """A server on loopback that is written as a cluster's."""

    def __str__(self) -> str:
        return "10.96.0.10:53"


def masked(text: str) -> str:
    """Times are another each time. What is masked stays as wide as it was where something stands behind it."""
    stamps = iter(range(10_000))

    def stamp(found: re.Match[str]) -> str:
        seconds = next(stamps)
        clock = f"12:{seconds // 60:02}:{seconds % 60:02}"
        return f"2026-01-02T{clock}.000Z" if found[0].endswith("Z") else clock

    text = re.sub(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z|\b\d\d:\d\d:\d\d\b", stamp, text)
    text = re.sub(r"\b\d+\.\d (ms|s)\b(?= old)|(?<=next in )\d+\.\d s", lambda found: "0.5 s", text)
    text = re.sub(r"\b\d+\.\d ms\b", "0.6 ms", text)
    text = re.sub(r'("seconds"): [\d.e-]+', r"\1: 0.0006", text)
    text = re.sub(r'("age"|"next_refresh_in"): [\d.]+', r"\1: 0.5", text)
    text = re.sub(r"\b\d+s(?=,? )", lambda found: "9s".rjust(len(found[0])), text)
    text = re.sub(r"(?<= · )\d+ (quer(?:y|ies)|failed)\b", r"9 \1", text)
    return "\n".join(line.rstrip() for line in text.splitlines()) + "\n"


@contextmanager
def pod() -> Iterator[dict[str, Any]]:
    """A cluster, and this process in a pod of it: what its resolv.conf says, and a folder to work in."""
    read, of = resolvconf.read, Settings.of
    with ExitStack() as stack:
        dns = stack.enter_context(DNSServer(zone="cluster.local", ttl=5, cache=False, seed=1))
        web = dns.service("headless-svc", "moon", pods=3, ports={"http": 8080})
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        path = Path(folder) / "resolv.conf"
        path.touch()
        server = Shown(*parse_server(dns.nameserver))
        search = ("moon.svc.cluster.local", "svc.cluster.local", "cluster.local")
        conf = resolvconf.ResolvConf((server,), search, 5)

        def settings(*, resolv_conf: str | None, **options: Any) -> Settings:
            quick = {"min_ttl": 0.0, "max_ttl": 0.05}  # nobody wants to wait for a TTL here
            return of(resolv_conf=resolv_conf or str(path), **options | quick)

        stack.enter_context(
            mock.patch.object(resolvconf, "read", lambda file: conf if file == str(path) else read(file))
        )
        stack.enter_context(mock.patch.object(Settings, "of", staticmethod(settings)))
        home = os.getcwd()
        stack.callback(os.chdir, home)
        os.chdir(folder)
        yield {"dns": dns, "web": web}


class Output(io.StringIO):
    """stdout and stderr of a command, on a terminal or not."""

    encoding = "utf-8"

    def __init__(self, screen: pyte.Screen | None) -> None:
        super().__init__()
        self._lock = threading.Lock()
        self._screen = screen
        self._stream = None if screen is None else pyte.Stream(screen)

    def isatty(self) -> bool:
        return self._screen is not None

    def write(self, text: str) -> int:
        if self._stream is not None:
            with self._lock:
                self._stream.feed(text.replace("\n", "\r\n"))
        return super().write(text)

    @property
    def shown(self) -> str:
        if self._screen is None:
            return self.getvalue()
        with self._lock:
            return "\n".join(self._screen.display).rstrip() + "\n"


class Session:
    """Runs the commands of one block."""

    def __init__(self, names: dict[str, Any], script: str) -> None:
        self._names = names
        self._later: list[tuple[str, str]] = []
        self._size: tuple[int, int] | None = None
        self._code = 0
        self._missing = ""
        for line in filter(None, map(str.strip, script.splitlines())):
            if found := re.fullmatch(r'on "(.*?)": (.*)', line):
                self._later.append((found[1], found[2]))
            elif found := re.fullmatch(r"screen (\d+)x(\d+)", line):
                self._size = (int(found[1]), int(found[2]))
            else:
                exec(line, names)

    def run(self, text: str) -> str:
        lines = [line for line in text.splitlines() if line.startswith("$ ")]
        return "".join(f"{line}\n{self._command(line[2:])}" for line in lines)

    def _command(self, line: str) -> str:
        line, _, last = line.partition(" | tail -")
        program, *arguments = shlex.split(line)
        if line == "echo $?":
            return f"{self._code}\n"
        if program == "cat":
            return Path(arguments[0]).read_text()
        if program != "headless-discovery":
            raise ValueError(f"{line!r}: only headless-discovery, '| tail -N', cat and 'echo $?' are run")
        screen = None if self._size is None else pyte.Screen(*self._size)
        output = Output(screen)
        environment = {"TERM": "xterm-256color", "COLUMNS": "100"}
        if self._size is not None:
            environment |= {"COLUMNS": str(self._size[0]), "LINES": str(self._size[1])}
        elif arguments[-1:] != ["--help"]:
            environment.pop("COLUMNS")
        with ExitStack() as stack:
            for name in ("stdout", "stderr"):
                stack.enter_context(mock.patch.object(sys, name, output))
            kept = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES", "NO_COLOR")}
            stack.enter_context(mock.patch.dict(os.environ, kept | environment, clear=True))
            frames: list[str] = []
            script = threading.Thread(target=self._follow, args=(output, frames))
            script.start()
            try:
                app(args=arguments, prog_name="headless-discovery")
            except SystemExit as ended:
                self._code = ended.code if isinstance(ended.code, int) else 0
            script.join()
            if self._missing:
                raise TimeoutError(self._missing)
        told = masked(frames[-1] if frames else output.shown)
        return "".join(told.splitlines(keepends=True)[-int(last) :]) if last else told

    def _follow(self, output: Output, frames: list[str]) -> None:
        """What happens while a command runs."""

        def end() -> None:
            if self._size is not None:
                frames.append(output.shown)
            if signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:  # the command has not ended by itself
                os.kill(os.getpid(), signal.SIGTERM)

        for text, action in self._later:
            deadline = time.monotonic() + PATIENCE
            while text not in output.shown:
                if time.monotonic() > deadline:
                    self._missing = f"{text!r} is not in:\n{output.shown}"
                    end()
                    return
                time.sleep(0.02)
            exec(action, self._names | {"end": end})


def rendered(page: str) -> str:
    """The page, with what its commands print now."""

    def block(found: re.Match[str]) -> str:
        with pod() as names:
            told = Session(names, found["script"] or "").run(found["text"])
        comment = f"<!-- run\n{found['script']}-->\n" if found["script"] else ""
        return f"{comment}```console\n{told}```"

    return BLOCK.sub(block, page)


def draw(path: Path) -> None:
    """The picture on the page."""
    with pod() as names:
        command = f"headless-discovery pick headless-svc.moon --port http --simulate 'scale 3 10' --plot {path}"
        Session(names, "").run(f"$ {command}")
    path.write_text("".join(line.rstrip() + "\n" for line in path.read_text().splitlines()))


def main() -> None:
    for page in PAGES:
        page.write_text(rendered(page.read_text()))
    draw(DOCS / "images" / "cli-moves.svg")


if __name__ == "__main__":
    main()
