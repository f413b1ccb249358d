"""Answers as bytes, and an event loop's host on which lookups are answered with them instead of over sockets."""

from __future__ import annotations

import asyncio
import struct
import time
from collections.abc import Callable, Sequence
from typing import Any

from headless_discovery import AsyncHeadlessService, aio
from headless_discovery.asker import Askers
from headless_discovery.lookup import Lookup
from headless_discovery.message import SRV, A
from headless_discovery.servers import Exchange

SERVICE = "headless-svc.moon.svc.cluster.local"
PORT = 8080
TTL = 3600
SERVER = ("127.0.0.1", 53)  # nobody asks it
_ANSWER = 0x8580  # QR, AA, RD, RA


def label_bytes(name: str) -> bytes:
    return b"".join(bytes([len(label)]) + label.encode() for label in name.split(".")) + b"\0"


def question(name: str, rdtype: int, *, edns: bool = True) -> bytes:
    """A question as it goes over the wire, with the message id 0."""
    opt = struct.pack("!BHHIH", 0, 41, 1232, 0, 0) if edns else b""
    return struct.pack("!6H", 0, 0x0100, 1, 0, 0, edns) + label_bytes(name) + struct.pack("!HH", rdtype, 1) + opt


def addresses(pods: Sequence[bytes], *, compressed: bool = True) -> bytes:
    """The A records of the service: 16 bytes each, or as CoreDNS writes small answers, with the owner in full."""
    owner = b"\xc0\x0c" if compressed else label_bytes(SERVICE)
    head = owner + struct.pack("!HHIH", A, 1, TTL, 4)
    return _message(SERVICE, A, [head + packed for packed in pods], [])


def srv(pods: Sequence[tuple[str, bytes]]) -> bytes:
    """The SRV records of the service's port `http` and their glue. Targets are in full (RFC 2782), and so are the
    owners of the glue but for the part that all of them share, as pointers reach only 16 KiB (RFC 1035, 4.1.4).
    """
    name = f"_http._tcp.{SERVICE}"
    suffix = struct.pack("!H", 0xC000 | 12 + len("_http._tcp."))
    weight = max(1, 100 // len(pods))
    records, glue = [], []
    for hostname, packed in pods:
        data = struct.pack("!3H", 0, weight, PORT) + label_bytes(f"{hostname}.{SERVICE}")
        records.append(b"\xc0\x0c" + struct.pack("!HHIH", SRV, 1, TTL, len(data)) + data)
        owner = bytes([len(hostname)]) + hostname.encode() + suffix
        glue.append(owner + struct.pack("!HHIH", A, 1, TTL, 4) + packed)
    return _message(name, SRV, records, glue)


def _message(name: str, rdtype: int, records: Sequence[bytes], glue: Sequence[bytes]) -> bytes:
    head = struct.pack("!6H", 0, _ANSWER, 1, len(records), 0, len(glue))
    return b"".join([head, label_bytes(name), struct.pack("!HH", rdtype, 1), *records, *glue])


def pod_addresses(count: int) -> list[bytes]:
    return [(0x0A010001 + number).to_bytes(4, "big") for number in range(count)]


class CannedHost(aio.LoopHost):
    """Lookups are answered at once with `answer`. `arrived` is when the bytes of the last one were at hand;
    `skip` lets time pass in no time.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, answer: bytes) -> None:
        super().__init__(loop)
        self.askers = Askers(self, self._converse)
        self.answer = answer
        self.arrived = 0.0
        self._skipped = 0.0

    def skip(self, seconds: float) -> None:
        self._skipped += seconds

    def time(self) -> float:
        return super().time() + self._skipped

    def service(self, port: int | str, **options: Any) -> AsyncHeadlessService:
        """One that lives here. Every `refresh()` asks, and nothing else does."""
        aio._hosts[self.loop] = self
        return AsyncHeadlessService(
            SERVICE, port, nameservers=["%s:%d" % SERVER], min_ttl=0, max_ttl=1e6, timeout=30, **options
        )

    def _converse(self, host: Any, lookup: Lookup, done: Callable[[], None]) -> _Answered:
        return _Answered(self, lookup, done)


class _Answered:
    """What `transport.Conversation` is over sockets. The answer comes in a callback of the loop of its own."""

    def __init__(self, host: CannedHost, lookup: Lookup, done: Callable[[], None]) -> None:
        self._host = host
        self._lookup = lookup
        self._done = done

    def start(self) -> None:
        (exchange,) = self._lookup.start(self._host.time())
        data = exchange.query.ident.to_bytes(2, "big") + self._host.answer[2:]
        self._host.loop.call_soon(self._receive, exchange, data)

    def cancel(self) -> None:
        raise AssertionError("nobody gives up here")

    def _receive(self, exchange: Exchange, data: bytes) -> None:
        self._host.arrived = time.perf_counter()
        message = exchange.read(data)
        assert message is not None
        assert not self._lookup.replied(exchange, message, self._host.time())
        self._done()
