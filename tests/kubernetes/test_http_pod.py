"""The server in the pods has the manners that the scenarios count on: who got a connection gets an answer."""

from __future__ import annotations

import asyncio
import gc
import socket

import pytest

from .pods import HttpPod

TAKEN = 1  # turns until the event loop has seen the connection


@pytest.mark.parametrize("turns", range(6))
def test_a_connection_just_taken_when_the_pod_stops(turns: int) -> None:
    """At whichever turn of the event loop the end comes: taken and answered, or refused at once."""

    async def scenario() -> None:
        pod = HttpPod("web-0", ["127.0.0.1"], [0])
        await pod.start()
        with socket.create_connection(pod.listening[0], timeout=10) as client:
            for _ in range(turns):
                await asyncio.sleep(0)
            stopping = asyncio.create_task(pod.stop())
            await asyncio.sleep(0)
            answer = await asyncio.to_thread(ask, client)
            await stopping
        assert answer == ("refused" if turns < TAKEN else "web-0")
        assert pod.served == (turns >= TAKEN)

    asyncio.run(scenario())
    gc.collect()  # what was left open would be an error here


def ask(client: socket.socket) -> str:
    try:
        client.sendall(b"GET / HTTP/1.1\r\nHost: web-0\r\n\r\n")
        return client.recv(4096).rpartition(b"\r\n")[2].decode()
    except ConnectionError:
        return "refused"
