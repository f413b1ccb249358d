"""The servers, started at most once each, and their logs beside whatever fails."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from headless_discovery import PeerSet, aresolve, resolve

from .servers import SERVERS, Server

RequireProgram = Callable[[str, str], Path]


@contextmanager
def running(
    kind: str, require_program: RequireProgram, tmp_path_factory: pytest.TempPathFactory, *, small_zone: bool = False
) -> Iterator[Server]:
    server_class = SERVERS[kind]
    program = require_program(server_class.program, server_class.package)
    server = server_class(program, tmp_path_factory.mktemp(kind), small_zone=small_zone)
    server.start()
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="session")
def servers(
    require_program: RequireProgram, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[str], Server]]:
    """Each kind of server is started when it is first wanted, and stopped after the last test."""
    with ExitStack() as stack:
        yield cache(lambda kind: stack.enter_context(running(kind, require_program, tmp_path_factory)))


@pytest.fixture(params=SERVERS)
def server(request: pytest.FixtureRequest, servers: Callable[[str], Server]) -> Server:
    """Each server in turn, shared by all tests: they only ask. A test may name the kinds that it is for
    (`indirect=["server"]`)."""
    return servers(request.param)


@pytest.fixture(params=SERVERS)
def own_server(
    request: pytest.FixtureRequest, require_program: RequireProgram, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """Each server in turn, for this test alone: it may change its zone, a small one, stop it and start it again."""
    with running(request.param, require_program, tmp_path_factory, small_zone=True) as started:
        yield started


def ask_async(target: str, port: int | str | None = None, **options: Any) -> PeerSet:
    return asyncio.run(aresolve(target, port, **options))


@pytest.fixture(params=[resolve, ask_async], ids=["sync", "async"])
def ask(request: pytest.FixtureRequest) -> Callable[..., PeerSet]:
    """`resolve`, then its async twin."""
    chosen: Callable[..., PeerSet] = request.param
    return chosen


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    outcome = yield
    report = outcome.get_result()  # type: ignore[attr-defined]
    if report.failed:
        for used in getattr(item, "funcargs", {}).values():
            if isinstance(used, Server):
                report.sections.append((f"log of {used.program}", used.tail()))
