from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import httpx

from headless_discovery import AsyncHeadlessService
from headless_discovery.testing.cluster import Service

from .conftest import Pod


async def test_every_pod_is_told_and_failures_are_reported_by_peer(
    example: Callable[[str], ModuleType], web: Service, pods: list[Pod], options: dict[str, Any]
) -> None:
    module = example("broadcast")
    async with AsyncHeadlessService(web.name, port="http", **options) as service, httpx.AsyncClient() as client:
        told = await module.broadcast(service, client, "/cache/user-1")
        assert [(peer.address, error) for peer, error in told.items()] == [(pod.address, None) for pod in pods]
        assert [pod.asked for pod in pods] == [[("DELETE", "/cache/user-1")]] * 3

        pods[0].values["broken"] = b"yes"
        pods[2].stop()
    async with AsyncHeadlessService(web.name, port="http", **options) as service, httpx.AsyncClient() as client:
        errors = list((await module.broadcast(service, client, "/cache/user-2")).values())
    assert isinstance(errors[0], httpx.HTTPStatusError)
    assert errors[1] is None
    assert isinstance(errors[2], httpx.ConnectError)
    assert pods[1].asked[-1] == ("DELETE", "/cache/user-2")
