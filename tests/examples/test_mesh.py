from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import ModuleType
from typing import Any

from headless_discovery.testing import DNSServer

from .conftest import ADDRESSES, common_port


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not holds():
            await asyncio.sleep(0.01)


async def test_pods_find_each_other_talk_and_let_go(
    example: Callable[[str], ModuleType], dns: DNSServer, options: dict[str, Any]
) -> None:
    module, port = example("mesh"), common_port()
    web = dns.service("headless-svc", "moon", pods=[ADDRESSES[0]], publish_not_ready=True)
    nodes: dict[str, Any] = {}
    tasks: dict[str, asyncio.Task[None]] = {}

    def begin(address: str) -> None:
        nodes[address] = module.Node(address, web.name, port, exclude_self=address, **options)
        tasks[address] = asyncio.create_task(nodes[address].run(address))

    def links() -> dict[str, set[str]]:
        return {address: {peer.address for peer in node.connections} for address, node in nodes.items()}

    def everybody(*addresses: str) -> dict[str, set[str]]:
        return {address: set(addresses) - {address} for address in addresses}

    a, b, c, d = ADDRESSES
    try:
        begin(a)
        for address in (b, c):  # in DNS before it listens, as with publishNotReadyAddresses
            web.add(address)
            begin(address)
        await until(lambda: links() == everybody(a, b, c))

        nodes[a].say("hello")
        assert [await nodes[b].heard.get(), await nodes[c].heard.get()] == [f"{a}: hello"] * 2
        assert nodes[a].heard.empty(), "a pod talks to itself"

        tasks[b].cancel()  # dies, and DNS does not know: the others keep trying
        await asyncio.wait([tasks[b]])
        del nodes[b]
        await until(lambda: links() == {a: {c}, c: {a}})
        web.restart(1, d)  # comes back somewhere else
        begin(d)
        await until(lambda: links() == everybody(a, c, d))
        nodes[d].say("back")
        assert await nodes[a].heard.get() == f"{d}: back"

        web.scale(1)
        await until(lambda: not links()[a])
    finally:
        for task in tasks.values():
            task.cancel()
        results = await asyncio.gather(*tasks.values(), return_exceptions=True)
    assert all(isinstance(result, asyncio.CancelledError) for result in results), results
