"""The demo's client: what an application does with the library, and notes on what it sees.

One `HeadlessService`; threads that send requests to the peers it picks; a subscriber to its changes.
"""

from __future__ import annotations

import http.client
import random
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from .. import Change, HeadlessService, Peer, PeerSet
from ..balance import Picker, Strategy, acquire, make
from ..balance.registry import BY_NAME
from .demo_cluster import Endpoint

KEYS = tuple(f"user-{number}" for number in range(3000))
PROBES = 100
IN_FLIGHT = 16  # leases held at a time when picks are counted, so that load-aware strategies have load to see


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


@dataclass(frozen=True)
class Spread:
    """How one strategy's picks for `KEYS` fall on the peers."""

    strategy: str
    picks: Counter[Peer]
    owners: tuple[str, ...] | None  # by key, for strategies that give a key the same peer each time
    moved: float | None = None  # share of the keys whose owner is another one than before the last change

    @property
    def peak(self) -> float:
        """The busiest peer's share as a multiple of the mean; 1 is even."""
        return max(self.picks.values()) * len(self.picks) / sum(self.picks.values()) if self.picks else 0.0


class Spreads:
    """Every built-in strategy that needs no arguments, over the same sets."""

    def __init__(self, names: Iterable[str] = BY_NAME) -> None:
        self._strategies: dict[str, Strategy] = {}
        self._pickers: dict[str, Picker] = {}
        self.all: list[Spread] = []
        for name in names:
            try:
                self._strategies[name] = make(name)
            except TypeError:
                continue  # one that wants to know something first

    def update(self, peers: PeerSet) -> None:
        before = {spread.strategy: spread.owners for spread in self.all}
        self.all = [self._spread(name, peers, before.get(name)) for name in self._strategies]

    def _spread(self, name: str, peers: PeerSet, before: Sequence[str] | None) -> Spread:
        picker = self._pickers[name] = self._strategies[name].build(peers, self._pickers.get(name))
        picks: Counter[Peer] = Counter(dict.fromkeys(peers, 0))
        held: deque[Callable[[], None]] = deque()
        chosen: list[Peer] = []
        for key in KEYS:
            lease = acquire(picker, key)
            held.append(lease.release)
            if len(held) > IN_FLIGHT:
                held.popleft()()
            chosen.append(lease.peer)
        for release in held:
            release()
        picks.update(chosen)
        # By key, if asking again in another order gives the same peers.
        again = [picker.pick(key) for key in reversed(KEYS[:PROBES])]
        owners = tuple(peer.identity for peer in chosen) if again[::-1] == chosen[:PROBES] else None
        if owners is None or before is None:
            return Spread(name, picks, owners)
        moved = sum(now != then for now, then in zip(owners, before, strict=True)) / len(KEYS)
        return Spread(name, picks, owners, moved)


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
