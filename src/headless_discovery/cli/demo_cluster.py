"""The demo's cluster: pods that are real HTTP servers on loopback, and the DNS server that names them.

Pods have an address each (127.0.0.2, 127.0.0.3, ...) and one port in common, as in Kubernetes. Where the machine has
no such addresses (macOS has 127.0.0.1 alone) they share 127.0.0.1 and have a port each.
"""

from __future__ import annotations

import socket
import struct
import threading
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from http.server import BaseHTTPRequestHandler
from itertools import count
from socketserver import TCPServer, ThreadingMixIn
from types import TracebackType

from ..testing import DNSServer, Exchange

NAME, NAMESPACE, PORT_NAME = "headless-svc", "moon", "http"
ADDRESSES = 16  # as many restarts and new pods as one run may need
PORTS = (8080, 8081, 8088, 18080, 28080)

Endpoint = tuple[str, int]


class Pod(ThreadingMixIn, TCPServer):  # http.server.HTTPServer would ask DNS for the name of its own address
    """One HTTP server. It answers every GET with its name."""

    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 128

    def __init__(self, name: str, endpoint: Endpoint) -> None:
        super().__init__(endpoint, _Handler)
        self.name = name
        self.endpoint: Endpoint = (endpoint[0], self.server_address[1])
        self.served = 0
        self._counting = threading.Lock()
        self._thread = threading.Thread(target=self.serve_forever, args=(0.02,), name=name, daemon=True)
        self._thread.start()

    def count(self) -> None:
        with self._counting:
            self.served += 1

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that hung up is no news."""

    def kill(self) -> None:
        """Gone at once: whoever connects from now on is refused."""
        self.shutdown()
        self.server_close()
        self._thread.join()


class _Handler(BaseHTTPRequestHandler):
    server: Pod
    timeout = 5

    def do_GET(self) -> None:
        body = f"{self.server.name}\n".encode()
        self.server.count()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


class Cluster:
    """The pods web-0, web-1, ... of one headless service, and what happens to them.

    `endpoints` is what DNS publishes as soon as the answer it has cached is over.
    """

    def __init__(self, pods: int, *, ttl: int, one_address: bool = False) -> None:
        self.dns = DNSServer(zone="cluster.local", ttl=ttl, cache=ttl > 0)
        self._next_address = count(2)
        self._port = 0 if one_address else _common_port()
        self._pods = [self._new_pod(ordinal) for ordinal in range(pods)]
        self._ports = {pod.name: pod.endpoint[1] for pod in self._pods}
        self._leaving: list[Pod] = []
        self._not_ready: set[str] = set()
        self._service = self.dns.service(
            NAME, NAMESPACE, pods=[pod.endpoint[0] for pod in self._pods], ports={PORT_NAME: self._port or 1}
        )
        if not self._port:
            self.dns.answer(f"_{PORT_NAME}._tcp.{self.name}", "SRV", self._own_ports)

    def __enter__(self) -> Cluster:
        self.dns.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(Exception):
            self.dns.stop()
        for pod in [*self._pods, *self._leaving]:
            pod.kill()

    @property
    def name(self) -> str:
        return self._service.name

    @property
    def endpoints(self) -> frozenset[Endpoint]:
        return frozenset(pod.endpoint for pod in self._pods if pod.name not in self._not_ready)

    @property
    def served(self) -> Counter[Endpoint]:
        """Requests that each pod has answered."""
        return Counter({pod.endpoint: pod.served for pod in [*self._pods, *self._leaving]})

    def scale(self, pods: int) -> None:
        """New pods serve before DNS names them; those that go serve until `forget`, as pods that drain do.

        All are ready afterwards.
        """
        self._not_ready.clear()
        while len(self._pods) < pods:
            pod = self._new_pod(len(self._pods))
            self._pods.append(pod)
            self._ports[pod.name] = pod.endpoint[1]
        self._leaving += self._pods[pods:]
        del self._pods[pods:]
        self._service.set_pods([pod.endpoint[0] for pod in self._pods])

    def set_ready(self, ordinal: int, ready: bool) -> None:
        """The pod serves on either way: readiness says who is to be asked, not who answers."""
        (self._not_ready.discard if ready else self._not_ready.add)(self._pods[ordinal].name)
        self._service.set_ready(ordinal, ready)

    def restart(self, ordinal: int) -> tuple[Endpoint, Endpoint]:
        """The pod dies at once and comes back under its name, somewhere else. Both endpoints, old and new."""
        old = self._pods[ordinal]
        old.kill()
        new = self._pods[ordinal] = self._new_pod(ordinal)
        self._ports[new.name] = new.endpoint[1]
        self._service.restart(ordinal, new.endpoint[0])
        return old.endpoint, new.endpoint

    def forget(self) -> None:
        """Pods that drained end."""
        while self._leaving:
            self._leaving.pop().kill()

    def _new_pod(self, ordinal: int) -> Pod:
        address = f"127.0.0.{next(self._next_address)}" if self._port else "127.0.0.1"
        return Pod(f"web-{ordinal}", (address, self._port))

    def _own_ports(self, exchange: Exchange) -> bytes:
        """The honest answer with each pod's own port in its SRV record (RFC 2782: priority, weight, port, target)."""
        found = exchange.records
        answer = []
        for record in found.answer:
            priority, weight, _ = struct.unpack_from("!3H", record.rdata)
            target = record.rdata[6:]
            pod = target[1 : 1 + target[0]].decode()
            ports = struct.pack("!3H", priority, weight, self._ports[pod])
            answer.append(record._replace(rdata=ports + target))
        return exchange.reply(found.rcode, answer, found.authority, found.additional)


def _common_port() -> int:
    """A port that is free at all addresses the demo may use; 0 where the machine has only one loopback address."""
    addresses = [f"127.0.0.{number}" for number in range(2, 2 + ADDRESSES)]
    for port in (*PORTS, *[0] * 8):
        try:
            return _bindable(addresses, port)
        except OSError:
            continue
    return 0


def _bindable(addresses: Iterable[str], port: int) -> int:
    held: list[socket.socket] = []
    try:
        for address in addresses:
            held.append(sock := socket.socket())
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind((address, port))
            port = sock.getsockname()[1]
    finally:
        for sock in held:
            sock.close()
    return port
