"""The demo's client: what an application does with the library, and notes on what it sees.

One `HeadlessService`; threads that send requests to the peers it picks; a subscriber to its changes.
"""

from __future__ import annotations

import http.client
import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from .. import Change, HeadlessService, Peer, PeerSet
from .demo_cluster import Endpoint

KEYS = tuple(f"user-{number}" for number in range(3000))


class Traffic:
    """Requests that go to the service's peers as long as the block lasts. Each is one `call`: retried elsewhere."""

    def __init__(self, service: HeadlessService, *, threads: int = 4, pause: float = 0.02) -> None:
        self.requests = self.failed = self.retried = 0
        self.errors: Counter[str] = Counter()
        self._service = service
        self._pause = pause
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._run, name=f"client-{n}", daemon=True) for n in range(threads)]

    def __enter__(self) -> Traffic:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _run(self) -> None:
        while not self._over.wait(random.uniform(0, 2 * self._pause)):
            self.one()

    def one(self) -> None:
        attempts: list[Peer] = []
        error = None
        try:
            self._service.call(_get, attempts)
        except Exception as caught:
            error = f"{type(caught).__name__}: {caught}"
        with self._lock:
            self.requests += 1
            self.retried += len(attempts) > 1
            if error is not None:
                self.failed += 1
                self.errors[error] += 1


def _get(peer: Peer, attempts: list[Peer]) -> bytes:
    attempts.append(peer)
    connection = http.client.HTTPConnection(peer.address, peer.port, timeout=2)
    try:
        connection.request("GET", "/", headers={"Connection": "close"})
        response = connection.getresponse()
        body = response.read()
        if response.status != 200:
            raise OSError(f"{peer} said {response.status}")
        return body
    finally:
        connection.close()


def _endpoint(peer: Peer) -> Endpoint:
    assert peer.port is not None  # SRV records have one
    return peer.address, peer.port


@dataclass
class Observer:
    """A subscriber: when each peer joined, and when a set that somebody waits for was there."""

    joined: dict[Endpoint, float] = field(default_factory=dict)
    peers: PeerSet = field(default_factory=PeerSet)
    changes: int = 0
    told: Callable[[Change], None] = lambda change: None

    def __post_init__(self) -> None:
        self._news = threading.Condition()

    def __call__(self, change: Change) -> None:
        with self._news:
            now = time.monotonic()
            for peer in change.removed:
                self.joined.pop(_endpoint(peer), None)
            for peer in change.added:
                self.joined[_endpoint(peer)] = now
            self.peers = change.current
            self.changes += 1
            self.told(change)
            self._news.notify_all()

    def wait_for(self, endpoints: frozenset[Endpoint], timeout: float) -> bool:
        """Whether the set has become these endpoints within `timeout` seconds."""
        with self._news:
            return self._news.wait_for(lambda: {_endpoint(peer) for peer in self.peers} == endpoints, timeout)
