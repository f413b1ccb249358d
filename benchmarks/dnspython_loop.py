"""The peer that others are measured beside: a thread that resolves with dnspython, then sleeps for the TTL."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import dns.exception
import dns.resolver


class Loop:
    """Keeps `addresses` of one name up to date; `changed(addresses)` is called where they differ."""

    def __init__(
        self, name: str, nameserver: str, changed: Callable[[frozenset[str]], None] = lambda addresses: None
    ) -> None:
        host, _, port = nameserver.rpartition(":")
        self._name = name
        self._resolver = dns.resolver.Resolver(configure=False)
        self._resolver.nameservers = [host]
        self._resolver.port = int(port)
        self._changed = changed
        self._stop = threading.Event()
        self.addresses: frozenset[str] = frozenset()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()

    def join(self) -> None:
        self._thread.join()

    def _run(self) -> None:
        wait = 0.0
        while not self._stop.wait(wait):
            try:
                answer = self._resolver.resolve(self._name, "A")
            except dns.exception.DNSException:
                wait = 1.0
                continue
            found = frozenset(rdata.address for rdata in answer)
            if found != self.addresses:
                self.addresses = found
                self._changed(found)
            wait = max(0.0, answer.expiration - time.time())
