"""Pods of one service that mesh: each keeps a connection to every other one, and none to itself.

Every pod runs this same program. `exclude_self=True` takes the pod's own address out of what DNS says ($POD_IP, which
the downward API can set, or the address the pod would send from). Let the Service have `publishNotReadyAddresses: true`
where pods need each other to become ready.
"""

from __future__ import annotations

import asyncio
import random
import socket
from contextlib import suppress
from typing import Any

from headless_discovery import AsyncHeadlessService, Peer


class Node:
    """One pod: says lines of text to all the others, and hears what they say."""

    def __init__(self, name: str, target: str, port: int, **options: Any) -> None:
        self.name = name
        self.port = port
        self.heard: asyncio.Queue[str] = asyncio.Queue()
        self.connections: dict[Peer, asyncio.StreamWriter] = {}
        self.service = AsyncHeadlessService(target, port=port, **{"exclude_self": True} | options)
        self._incoming: set[asyncio.StreamWriter] = set()

    async def run(self, host: str = "0.0.0.0") -> None:
        """Until cancelled."""
        server = await asyncio.start_server(self._listen, host, self.port)
        links: dict[Peer, asyncio.Task[None]] = {}
        try:
            async with self.service, asyncio.TaskGroup() as tasks:
                async for change in self.service.changes():  # the first one has the set as it is
                    for peer in change.removed:
                        links.pop(peer).cancel()
                    for peer in change.added:
                        links[peer] = tasks.create_task(self._stay_connected(peer))
        finally:
            server.close()
            for writer in self._incoming:
                writer.close()
            await server.wait_closed()

    def say(self, text: str) -> None:
        for writer in self.connections.values():
            writer.write(f"{self.name}: {text}\n".encode())

    async def _stay_connected(self, peer: Peer) -> None:
        """Cancelled when DNS says that the peer has left. Until then a broken connection is made again."""
        while True:
            try:
                reader, writer = await asyncio.open_connection(peer.address, peer.port)
            except OSError:
                await asyncio.sleep(random.uniform(0.1, 0.5))
                continue
            self.connections[peer] = writer
            try:
                with suppress(OSError):
                    await reader.read()  # returns when the other side closes
            finally:
                del self.connections[peer]
                writer.close()

    async def _listen(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._incoming.add(writer)
        with suppress(OSError):
            async for line in reader:
                self.heard.put_nowait(line.decode().rstrip())
        self._incoming.discard(writer)
        writer.close()


async def main() -> None:
    node = Node(socket.gethostname(), "headless-svc.moon.svc.cluster.local", port=7000)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(node.run())
        while True:
            print(await node.heard.get())


if __name__ == "__main__":
    asyncio.run(main())
