"""What examples need to run for real: pods that are HTTP servers on loopback, and DNS that names them."""

from __future__ import annotations

import importlib.util
import socket
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import TCPServer, ThreadingMixIn
from types import ModuleType
from typing import Any

import pytest

from headless_discovery.testing import DNSServer
from headless_discovery.testing.cluster import Service

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
ADDRESSES = ("127.0.0.2", "127.0.0.3", "127.0.0.4", "127.0.0.5")


@pytest.fixture
def example() -> Callable[[str], ModuleType]:
    """Import one example by its name."""

    def load(name: str) -> ModuleType:
        spec = importlib.util.spec_from_file_location(f"example_{name}", EXAMPLES / f"{name}.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return load


class Pod(ThreadingMixIn, TCPServer):
    """A key-value store over HTTP, which also notes what it was asked."""

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, address: str, port: int) -> None:
        super().__init__((address, port), Handler)
        self.address = address
        self.port = self.server_address[1]
        self.values: dict[str, bytes] = {}
        self.asked: list[tuple[str, str]] = []
        self._thread = threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        if self._thread.is_alive():
            self.shutdown()
            self.server_close()
            self._thread.join()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hung up is no news."""


class Handler(BaseHTTPRequestHandler):
    server: Pod

    def do_GET(self) -> None:
        value = self.server.values.get(self.path)
        if value is None and not self.server.values:
            value = f"{self.server.address} has {self.path}".encode()
        self._answer(404 if value is None else 200, value or b"")

    def do_PUT(self) -> None:
        self.server.values[self.path] = self.rfile.read(int(self.headers["Content-Length"]))
        self._answer(200)

    def do_DELETE(self) -> None:
        self._answer(500 if self.server.values.get("broken") else 204)

    def _answer(self, status: int, body: bytes = b"") -> None:
        self.server.asked.append((self.command, self.path))
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


def common_port() -> int:
    """A port that is free at all of `ADDRESSES`; the test is skipped on a machine that has not got them (macOS)."""
    for _ in range(20):
        held = [socket.socket() for _ in ADDRESSES]
        try:
            port = 0
            for sock, address in zip(held, ADDRESSES, strict=True):
                sock.bind((address, port))
                port = sock.getsockname()[1]
            return port
        except OSError as error:
            why = error
        finally:
            for sock in held:
                sock.close()
    pytest.skip(f"this machine has no {', '.join(ADDRESSES)} to be pods at: {why}")


@pytest.fixture
def dns() -> Iterator[DNSServer]:
    with DNSServer(ttl=0, cache=False) as server:
        yield server


@pytest.fixture
def pods() -> Iterator[list[Pod]]:
    """Three, each at its own address, all at one port."""
    port = common_port()
    running = [Pod(address, port) for address in ADDRESSES[:3]]
    yield running
    for pod in running:
        pod.stop()


@pytest.fixture
def web(dns: DNSServer, pods: list[Pod]) -> Service:
    """The service of these pods, as a StatefulSet's: web-0, web-1, web-2."""
    return dns.service("headless-svc", "moon", pods=[pod.address for pod in pods], ports={"http": pods[0].port})


@pytest.fixture
def options(dns: DNSServer) -> dict[str, Any]:
    """What the examples' services need to be told here that they find by themselves in a pod."""
    return {"nameservers": [dns.nameserver], "min_ttl": 0.02}
