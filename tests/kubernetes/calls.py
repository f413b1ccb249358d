"""Requests at a steady rate by `service.call()`, and what became of each.

The retry policy is `call()`'s own, which docs/calling.md describes: a GET, which may be sent twice; three attempts in
all, at once, each on another peer; only after connection errors. A request is lost if `call()` raises.
"""

from __future__ import annotations

import asyncio
import http.client
import threading
import time
from collections import Counter
from types import TracebackType
from typing import Any

import httpx

from headless_discovery import Peer
from support.twins import AsyncTwin

from .clients import Clients

THREADS = 4
TIMEOUT = 10.0  # s for one attempt; a time-out is no connection error and loses the request


def get(peer: Peer, path: str = "/") -> str:
    """As docs/calling.md has it: one connection for one request."""
    connection = http.client.HTTPConnection(peer.address, peer.port, timeout=TIMEOUT)
    try:
        connection.request("GET", path)
        return connection.getresponse().read().decode()
    finally:
        connection.close()


class Calls:
    """`with Calls(clients, rate) as calls`: `rate` requests a second, half by the sync client (`http.client`, a
    connection for each), half by the async one (`httpx`).

    `keep_alive`: whether httpx keeps connections. Where pods stop at once it must not: a kept connection that ends just
    as a request is written is no connection error to httpx, and nobody knows whether the request was carried out.
    """

    def __init__(self, clients: Clients, rate: float, *, keep_alive: bool = True) -> None:
        self.sync, self.aio = (client.twin for client in clients)
        self.answered_by: dict[str, Counter[str]] = {client.kind: Counter() for client in clients}  # twin, pod
        self.lost: list[BaseException] = []
        self.attempts = 0
        self.made = 0
        self._rate = rate
        self._limits = httpx.Limits() if keep_alive else httpx.Limits(max_keepalive_connections=0)
        self._lock = threading.Lock()
        self._stopped = threading.Event()

    def __enter__(self) -> Calls:
        self._begun = time.monotonic()
        self._threads = [threading.Thread(target=self._keep_calling, args=[n]) for n in range(THREADS)]
        for thread in self._threads:
            thread.start()
        assert isinstance(self.aio, AsyncTwin)
        self._task = asyncio.run_coroutine_threadsafe(self._keep_calling_async(), self.aio.loop.loop)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopped.set()
        self.seconds = time.monotonic() - self._begun
        for thread in self._threads:
            thread.join()
        self._task.result()

    @property
    def answered(self) -> Counter[str]:
        """By pod."""
        with self._lock:
            return sum(self.answered_by.values(), Counter())

    @property
    def retries(self) -> int:
        return self.attempts - self.made

    def __str__(self) -> str:
        return (
            f"{self.made} requests in {self.seconds:.0f} s ({self.made / self.seconds:.0f}/s), "
            f"{self.retries} retries, {len(self.lost)} lost"
        )

    def wait_for_answers(self, number: int) -> None:
        """Until so many more were answered."""
        goal = self.answered.total() + number
        while self.answered.total() < goal and not self.lost:
            self._stopped.wait(0.02)

    def _keep_calling(self, number: int) -> None:
        every = THREADS / (self._rate / 2)
        due = time.monotonic() + every * number / THREADS
        while not self._stopped.wait(max(0.0, due - time.monotonic())):
            due += every
            self._note(lambda: self.sync.call(self._attempt))

    def _attempt(self, peer: Peer) -> str:
        with self._lock:
            self.attempts += 1
        return get(peer)

    def _note(self, call: Any) -> None:
        with self._lock:
            self.made += 1
        try:
            name = call()
        except Exception as error:
            self.lost.append(error)
        else:
            with self._lock:
                self.answered_by["sync"][name] += 1

    async def _keep_calling_async(self) -> None:
        every, due = 2 / self._rate, time.monotonic()
        under_way: set[asyncio.Task[None]] = set()
        async with httpx.AsyncClient(timeout=TIMEOUT, limits=self._limits, trust_env=False) as client:
            while not self._stopped.is_set():
                due += every
                task = asyncio.create_task(self._call(client))
                under_way.add(task)
                task.add_done_callback(under_way.discard)
                await asyncio.sleep(max(0.0, due - time.monotonic()))
            if under_way:
                await asyncio.wait(under_way)

    async def _call(self, client: httpx.AsyncClient) -> None:
        async def attempt(peer: Peer) -> str:
            with self._lock:
                self.attempts += 1
            return (await client.get(peer.url())).text

        with self._lock:
            self.made += 1
        try:
            name = await self.aio.service.call(attempt)
        except Exception as error:
            self.lost.append(error)
        else:
            with self._lock:
                self.answered_by["async"][name] += 1
