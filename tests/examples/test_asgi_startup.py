from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from types import ModuleType
from typing import Any

import httpx
import pytest

from headless_discovery import LookupFailed
from headless_discovery.testing import DNSServer
from headless_discovery.testing.cluster import Service

from .conftest import Pod


@asynccontextmanager
async def running(app: Any) -> AsyncIterator[httpx.AsyncClient]:
    """What an ASGI server does: the lifespan, and requests inside it."""
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://app") as client,
    ):
        yield client


@pytest.fixture
def app(example: Callable[[str], ModuleType], web: Service, options: dict[str, Any]) -> Any:
    return example("asgi_startup").create_app(web.name, **options)


async def test_requests_go_round_the_peers_found_at_startup(app: Any, pods: list[Pod]) -> None:
    async with running(app) as client:
        answers = [(await client.get("/hello")).text for _ in range(6)]
        who = (await client.get("/who")).json()
        health = (await client.get("/healthz")).json()
    assert sorted(answers) == sorted(2 * [f"{pod.address} has /hello" for pod in pods])
    assert who["of"] == [f"{pod.address}:{pod.port}" for pod in pods]
    assert who["next"] in who["of"]
    assert health == {"peers": 3, "state": "fresh", "error": ""}


async def test_a_dead_pod_costs_no_request(app: Any, pods: list[Pod]) -> None:
    async with running(app) as client:
        pods[1].stop()
        answers = {(await client.get("/hello")).text for _ in range(6)}
    assert answers == {f"{pod.address} has /hello" for pod in (pods[0], pods[2])}


async def test_nobody_there_is_503(
    example: Callable[[str], ModuleType], dns: DNSServer, options: dict[str, Any]
) -> None:
    service = dns.service("headless-svc", "moon", pods=0, ports={"http": 8080})
    async with running(example("asgi_startup").create_app(service.name, **options)) as client:
        assert (await client.get("/hello")).status_code == 503
        assert (await client.get("/who")).json() == {"next": None, "of": []}


async def test_without_dns_the_app_does_not_start(app: Any, dns: DNSServer) -> None:
    dns.fail("SERVFAIL")
    with pytest.raises(LookupFailed):
        async with running(app):
            pass
