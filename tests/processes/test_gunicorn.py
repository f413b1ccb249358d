"""gunicorn with preload: a service started in the master serves in every worker it forks."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from headless_discovery.testing import DNSServer
from support import PATIENCE
from support.subscribers import eventually

APPLICATION = """
import json, os, threading
from headless_discovery import AsyncHeadlessService, HeadlessService, ServiceClosed

service = HeadlessService(
    "headless-svc.moon.svc.cluster.local", 8080, nameservers=[os.environ["NAMESERVER"]], min_ttl=0, max_ttl=0.1
)
changes = []
service.on_change(lambda change: changes.append((os.getpid(), len(change.current))))
service.start()
MASTER = os.getpid()


def application(environ, start_response):
    if environ["PATH_INFO"] == "/wait":
        service.wait_for(int(environ["QUERY_STRING"]), 20)
    status = service.status
    body = json.dumps({
        "pid": os.getpid(),
        "master": MASTER,
        "peers": list(service.peers().addresses),
        "pick": service.pick().address,
        "state": status.state,
        "failures": status.failures,
        "own": [number for pid, number in changes if pid == os.getpid()],
    }).encode()
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]
"""


COMMAND = [sys.executable, "-X", "faulthandler", "-m", "gunicorn"]
COMMAND += ["--preload", "--workers", "3", "--log-level", "warning", "--no-control-socket"]


class Gunicorn:
    """A master with its workers, on a socket that was there before them."""

    def __init__(self, process: subprocess.Popen[str], port: int) -> None:
        self.process = process
        self._port = port

    def get(self, path: str = "/") -> dict[str, Any]:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=PATIENCE)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            assert response.status == 200
            found = json.loads(response.read())
            assert isinstance(found, dict)
            return found
        finally:
            connection.close()

    def workers(self) -> set[int]:
        listed = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        return set(map(int, listed.split()))

    def each(self, workers: set[int], wanted: Callable[[dict[str, Any]], bool]) -> None:
        """Every one of these workers says what is wanted."""
        left = set(workers)

        def one_more() -> bool:
            found = self.get()
            if wanted(found):
                left.discard(found["pid"])
            return not left

        eventually(one_more, f"the word of {left}")


@contextmanager
def gunicorn(dns: DNSServer, directory: Path, *options: str) -> Iterator[Gunicorn]:
    (directory / "application.py").write_text(APPLICATION)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        process = subprocess.Popen(
            [*COMMAND, "--bind", f"fd://{listener.fileno()}", *options, "application"],
            cwd=directory,
            env={**os.environ, "NAMESERVER": dns.nameserver, "PYTHONWARNINGS": ""},
            pass_fds=[listener.fileno()],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        said: list[str] = []
        assert process.stdout is not None
        reader = threading.Thread(target=lambda: said.extend(process.stdout or ()))
        reader.start()
        try:
            yield Gunicorn(process, listener.getsockname()[1])
            process.send_signal(signal.SIGTERM)
            assert process.wait(PATIENCE) == 0
        except BaseException as error:
            error.add_note("".join(said))
            raise
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
            reader.join()
            process.stdout.close()
        assert "Traceback" not in "".join(said), "".join(said)


@pytest.mark.parametrize(
    "options", [["-k", "sync"], ["-k", "gthread", "--threads", "4"], ["-k", "gevent"]], ids=lambda options: options[1]
)
def test_workers_inherit_and_go_on_by_themselves(headless_dns: DNSServer, tmp_path: Path, options: list[str]) -> None:
    web = headless_dns.service("headless-svc", "moon", pods=2)
    with gunicorn(headless_dns, tmp_path, *options) as server:
        eventually(lambda: len(server.workers()) == 3, "three workers")
        workers = server.workers()
        first = server.get()
        assert first["peers"] == web.addresses
        assert first["master"] == server.process.pid
        assert first["pid"] in workers

        web.scale(4)
        server.each(workers, lambda found: found["peers"] == web.addresses and found["own"][-1:] == [4])
        found = server.get("/wait?4")
        assert (found["state"], found["failures"]) == ("fresh", 0)
        assert found["pick"] in web.addresses

        os.kill(victim := min(workers), signal.SIGKILL)  # the master forks another, with what it knows by now
        eventually(lambda: victim not in server.workers() and len(server.workers()) == 3, "another worker")
        (new,) = server.workers() - workers
        web.scale(5)
        server.each({new, *workers} - {victim}, lambda found: found["peers"] == web.addresses)


def test_a_reload_replaces_the_workers(headless_dns: DNSServer, tmp_path: Path) -> None:
    web = headless_dns.service("headless-svc", "moon", pods=2)
    with gunicorn(headless_dns, tmp_path, "-k", "sync") as server:
        eventually(lambda: len(server.workers()) == 3, "three workers")
        before = server.workers()
        server.each(before, lambda found: True)  # gunicorn's own: a worker that is still booting loses the SIGTERM
        server.process.send_signal(signal.SIGHUP)
        eventually(lambda: len(server.workers() - before) == 3 and not server.workers() & before, "three others")
        web.scale(3)
        server.each(server.workers(), lambda found: found["peers"] == web.addresses)


def test_dns_is_dead_while_workers_are_forked(headless_dns: DNSServer, tmp_path: Path) -> None:
    """They serve what the master knew, and are right again when DNS is."""
    web = headless_dns.service("headless-svc", "moon", pods=2)
    with gunicorn(headless_dns, tmp_path, "-k", "sync") as server:
        eventually(lambda: len(server.workers()) == 3, "three workers")
        before = server.workers()
        headless_dns.fail("timeout")
        for pid in before:
            os.kill(pid, signal.SIGKILL)
        eventually(lambda: len(server.workers() - before) == 3, "three others")
        server.each(server.workers() - before, lambda found: found["peers"] == web.addresses)
        web.scale(3)
        headless_dns.recover()
        server.each(server.workers() - before, lambda found: found["peers"] == web.addresses)
