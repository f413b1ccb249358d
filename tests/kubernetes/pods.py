"""What runs in a pod: an HTTP server at the pod's own addresses, with the manners of a well-made one."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Iterable
from contextlib import suppress

LAST_REQUESTS = 5.0  # s for a connection that was taken to bring its request


class HttpPod:
    """Answers every request with the pod's name. `served` and `last_served` (time.time()) say what it was asked.

    `stop()` is what a well-made program does on SIGTERM: it takes no new connections, answers the requests that it has
    or is about to get on a connection it took, and closes kept connections that are idle.

    It listens without `asyncio.start_server`, which forgets a connection that it took if it is closed in the same turn
    of the event loop: its client hears nothing (https://github.com/python/cpython/issues/109564).
    """

    def __init__(self, name: str, addresses: Iterable[str], ports: Iterable[int]) -> None:
        self.name = name
        self.addresses = tuple(addresses)
        self.ports = tuple(ports)
        self.served = 0
        self.first_served: float | None = None
        self.last_served: float | None = None
        self._listeners: list[socket.socket] = []
        self._connections: set[asyncio.Task[None]] = set()
        self._idle: set[asyncio.StreamWriter] = set()
        self._stopping = False

    async def start(self) -> None:
        for address in self.addresses:
            for port in self.ports:
                family = socket.AF_INET6 if ":" in address else socket.AF_INET
                listener = socket.create_server((address, port), family=family, backlog=100)
                listener.setblocking(False)
                asyncio.get_running_loop().add_reader(listener, self._accept, listener)
                self._listeners.append(listener)

    @property
    def listening(self) -> list[tuple[str, int]]:
        """Address and port of each socket that takes connections."""
        return [listener.getsockname()[:2] for listener in self._listeners]

    async def stop(self) -> None:
        self._stopping = True
        while self._listeners:
            listener = self._listeners.pop()
            asyncio.get_running_loop().remove_reader(listener)
            listener.close()
        for writer in self._idle:
            writer.close()
        if self._connections:
            await asyncio.wait(self._connections, timeout=LAST_REQUESTS)

    def heard(self, head: bytes) -> None:
        """Called for each request, with its line and headers in lower case, just before it is answered."""
        self.served += 1
        self.last_served = time.time()
        self.first_served = self.first_served or self.last_served

    def _accept(self, listener: socket.socket) -> None:
        with suppress(BlockingIOError, ConnectionAbortedError):  # the client has hung up already
            connection, _ = listener.accept()
            task = asyncio.create_task(self._serve(connection))
            self._connections.add(task)
            task.add_done_callback(self._connections.discard)

    async def _serve(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        reader, writer = await asyncio.open_connection(sock=connection)
        try:
            await self._converse(reader, writer)
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # the client hung up
        finally:
            writer.close()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        body = self.name.encode()
        while True:
            try:
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
            finally:
                self._idle.discard(writer)
            last = self._stopping or b"connection: close" in head
            self.heard(head)
            writer.write(
                b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n%s\r\n%s"
                % (len(body), b"Connection: close\r\n" if last else b"", body)
            )
            await writer.drain()
            if last:
                return
            self._idle.add(writer)
