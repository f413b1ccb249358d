"""One client, as a program that runs in a pod: `python client.py KIND LABEL TARGET RATE AFTER`, until SIGTERM.

`AFTER` seconds later it begins to ask one pod after the other for /LABEL, `RATE` times a second, and at the end says on
stdout how many requests there were and which failed. Each kind is what its documentation begins with; nothing is tuned.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from itertools import cycle

HTTP_PORT, GRPC_PORT = 8080, 50051
TIMEOUT = 5.0  # s for a request

Ask = Callable[[], Awaitable[object]]


@asynccontextmanager
async def async_service(label: str, target: str) -> AsyncIterator[Ask]:
    import httpx

    from headless_discovery import AsyncHeadlessService, Peer

    async with (
        AsyncHeadlessService(target, HTTP_PORT) as service,
        httpx.AsyncClient(timeout=TIMEOUT, trust_env=False) as client,
    ):

        async def get(peer: Peer) -> httpx.Response:
            return await client.get(peer.url(path=f"/{label}"))

        yield lambda: service.call(get)


@asynccontextmanager
async def service(label: str, target: str) -> AsyncIterator[Ask]:
    """Blocks its event loop with each request, as it would block a thread: there is nothing else on it."""
    import httpx

    from headless_discovery import HeadlessService, Peer

    with HeadlessService(target, HTTP_PORT) as service, httpx.Client(timeout=TIMEOUT, trust_env=False) as client:

        def get(peer: Peer) -> httpx.Response:
            return client.get(peer.url(path=f"/{label}"))

        async def ask() -> None:
            service.call(get)

        yield ask


@asynccontextmanager
async def ttl_loop(label: str, target: str) -> AsyncIterator[Ask]:
    """Asks DNS, uses the addresses in turn until the TTL is over, asks again."""
    import dns.asyncresolver
    import dns.exception
    import httpx

    resolver = dns.asyncresolver.Resolver()
    turns: cycle[str] = cycle([])

    async def refresh() -> float:
        nonlocal turns
        answer = await resolver.resolve(target, "A")
        turns = cycle([record.address for record in answer])
        return answer.expiration

    async def keep_refreshing(until: float) -> None:
        while True:
            await asyncio.sleep(max(0.0, until - time.time()))
            try:
                until = await refresh()
            except dns.exception.DNSException:
                until = time.time() + 1

    async with httpx.AsyncClient(timeout=TIMEOUT, trust_env=False) as client:
        task = asyncio.create_task(keep_refreshing(await refresh()))
        yield lambda: client.get(f"http://{next(turns)}:{HTTP_PORT}/{label}")
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


@asynccontextmanager
async def httpx_client(label: str, target: str) -> AsyncIterator[Ask]:
    """The name in the URL, the resolver of the operating system, connections kept alive."""
    import httpx

    async with httpx.AsyncClient(timeout=TIMEOUT, trust_env=False) as client:
        yield lambda: client.get(f"http://{target}:{HTTP_PORT}/{label}")


@asynccontextmanager
async def grpc_channel(label: str, target: str) -> AsyncIterator[Ask]:
    """`dns:///` and `round_robin`; all else as it comes, also GRPC_ARG_DNS_MIN_TIME_BETWEEN_RESOLUTIONS_MS (30 s)."""
    import grpc

    config = {"loadBalancingConfig": [{"round_robin": {}}]}
    options = [("grpc.service_config", json.dumps(config))]
    async with grpc.aio.insecure_channel(f"dns:///{target}:{GRPC_PORT}", options=options) as channel:
        method = channel.unary_unary(f"/bench/{label}")
        yield lambda: method(b"", timeout=TIMEOUT)


KINDS = {
    "service": service,
    "async_service": async_service,
    "ttl_loop": ttl_loop,
    "grpc": grpc_channel,
    "httpx": httpx_client,
}


async def main(kind: str, label: str, target: str, rate: float, after: float) -> dict[str, object]:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await asyncio.sleep(after)
    requests, errors = 0, Counter[str]()
    async with KINDS[kind](label, target) as ask:
        due = time.monotonic()
        while not stop.is_set():
            requests += 1
            try:
                await ask()
            except Exception as error:
                errors[type(error).__name__] += 1
            due = max(due + 1 / rate, time.monotonic())
            await asyncio.sleep(due - time.monotonic())
    return {"requests": requests, "failed": errors.total(), "errors": errors}


if __name__ == "__main__":
    print(json.dumps(asyncio.run(main(*sys.argv[1:4], *map(float, sys.argv[4:])))))
