"""The measured process of bench_idle.py: idle.py WAY NAMESERVER ORIGIN SERVICES WINDOWS SECONDS."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import sys
import threading
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

KEEP: list[Any] = []

Look = Callable[[str], Awaitable[tuple[frozenset[str], float]]]


async def library_async(names: list[str], nameserver: str) -> None:
    from headless_discovery import AsyncHeadlessService

    await _settled()
    services = [AsyncHeadlessService(name, 80, nameservers=[nameserver]) for name in names]
    KEEP.extend(services)
    for service in services:
        service.watch(lambda change: None)
    await asyncio.gather(*(service.start() for service in services))
    assert all(len(service.peers()) == 10 for service in services)


async def library_threads(names: list[str], nameserver: str) -> None:
    from headless_discovery import HeadlessService

    await _settled()
    services = [HeadlessService(name, 80, nameservers=[nameserver]) for name in names]
    KEEP.extend(services)
    for service in services:
        service.watch(lambda change: None)
    for service in services:
        assert len(service.wait_for(10, timeout=60)) == 10


async def aiodns_loops(names: list[str], nameserver: str) -> None:
    import aiodns

    resolver = aiodns.DNSResolver(nameservers=[nameserver])

    async def look(name: str) -> tuple[frozenset[str], float]:
        records = (await resolver.query_dns(name, "A")).answer
        return frozenset(record.data.addr for record in records), min(record.ttl for record in records)

    await _loops(names, look)


async def dnspython_loops(names: list[str], nameserver: str) -> None:
    import dns.asyncresolver

    host, _, port = nameserver.rpartition(":")
    resolver = dns.asyncresolver.Resolver(configure=False)
    resolver.nameservers, resolver.port = [host], int(port)

    async def look(name: str) -> tuple[frozenset[str], float]:
        answer = await resolver.resolve(name + ".", "A")
        return frozenset(rdata.address for rdata in answer), answer.expiration - time.time()

    await _loops(names, look)


async def _loops(names: list[str], look: Look) -> None:
    """A task for each name that looks, keeps what it found, and sleeps for the TTL: no more than that."""
    await _settled()
    found: dict[str, frozenset[str]] = {}

    async def watch(name: str) -> None:
        while True:
            addresses, ttl = await look(name)
            if addresses != found.get(name):
                found[name] = addresses
            await asyncio.sleep(max(0, ttl))

    for name in names:
        KEEP.append(asyncio.create_task(watch(name)))
        await asyncio.sleep(0.001)  # as the library staggers its first lookups
    while len(found) < len(names):
        await asyncio.sleep(0.05)
    assert all(len(addresses) == 10 for addresses in found.values())


BEFORE = 0.0


async def _settled() -> None:
    """Everything is imported; what comes now is counted."""
    global BEFORE
    gc.collect()
    BEFORE = _memory()


def _memory() -> float:
    """MB that are in RAM (proc(5), VmRSS)."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) * 1024 / 1e6


def _threads() -> int:
    """Those of C libraries, too."""
    tasks = Path("/proc/self/task")
    return len(list(tasks.iterdir())) if tasks.is_dir() else threading.active_count()


WAYS: dict[str, Callable[[list[str], str], Awaitable[None]]] = {
    "library-async": library_async,
    "library-threads": library_threads,
    "aiodns": aiodns_loops,
    "dnspython": dnspython_loops,
}


async def main() -> None:
    way, nameserver, origin, services, windows, seconds = sys.argv[1:]
    names = [f"idle{number}.moon.{origin}" for number in range(int(services))]
    await WAYS[way](names, nameserver)
    gc.collect()
    grown = _memory() - BEFORE
    print("started", flush=True)
    sys.stdin.readline()  # all of them have
    cpu, threads = [], 0
    for _ in range(int(windows)):
        before = time.process_time(), time.monotonic()
        await asyncio.sleep(float(seconds))
        cpu.append((time.process_time() - before[0]) / (time.monotonic() - before[1]))
        threads = max(threads, _threads())
    gc.collect()
    print(json.dumps({"cpu": cpu, "threads": threads, "memory": max(grown, _memory() - BEFORE)}), flush=True)
    os._exit(0)  # a thousand services need not be closed one by one


asyncio.run(main())
