"""The bare exchange: what asyncio, the sockets and the server take alone: bytes out, bytes in, nothing read."""

from __future__ import annotations

import asyncio
import random
import socket

from shared import answers


class Bare:
    """Asks one question. `kept`: on one socket for all calls; else each has a new one, over TCP a new connection."""

    def __init__(self, name: str, rdtype: int, port: int, *, tcp: bool, kept: bool) -> None:
        self._question = answers.question(name, rdtype)
        self._port = port
        self._tcp = tcp
        self._kept = kept
        self._sock: socket.socket | None = None

    async def ask(self) -> bytes:
        loop = asyncio.get_running_loop()
        sock = self._sock or await self._connected(loop)
        query = random.randbytes(2) + self._question[2:]
        if self._tcp:
            await loop.sock_sendall(sock, len(query).to_bytes(2, "big") + query)
            answer = await loop.sock_recv(sock, 65_537)
            while len(answer) < 2 or len(answer) < 2 + int.from_bytes(answer[:2], "big"):
                answer += await loop.sock_recv(sock, 65_537)
            answer = answer[2:]
        else:
            await loop.sock_sendall(sock, query)
            answer = await loop.sock_recv(sock, 65_535)
        assert answer[:2] == query[:2]
        if self._kept:
            self._sock = sock
        else:
            sock.close()
        return answer

    async def _connected(self, loop: asyncio.AbstractEventLoop) -> socket.socket:
        sock = socket.socket(type=socket.SOCK_STREAM if self._tcp else socket.SOCK_DGRAM)
        sock.setblocking(False)
        if self._tcp:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await loop.sock_connect(sock, ("127.0.0.1", self._port))
        return sock

    def close(self) -> None:
        if self._sock is not None:
            self._sock.close()
