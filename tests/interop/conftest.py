"""The four servers, started at most once each, and their logs beside whatever fails."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from .servers import SERVERS, Server

RequireProgram = Callable[[str, str], Path]


@contextmanager
def running(kind: str, require_program: RequireProgram, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server_class = SERVERS[kind]
    program = require_program(server_class.program, server_class.package)
    server = server_class(program, tmp_path_factory.mktemp(kind))
    server.start()
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="session", params=SERVERS)
def server(
    request: pytest.FixtureRequest, require_program: RequireProgram, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """Each server in turn, shared by all tests: they only ask."""
    with running(request.param, require_program, tmp_path_factory) as started:
        yield started


@pytest.fixture(params=SERVERS)
def own_server(
    request: pytest.FixtureRequest, require_program: RequireProgram, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """Each server in turn, for this test alone: it may change its zone, stop it and start it again."""
    with running(request.param, require_program, tmp_path_factory) as started:
        yield started


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    outcome = yield
    report = outcome.get_result()  # type: ignore[attr-defined]
    if report.failed:
        for used in getattr(item, "funcargs", {}).values():
            if isinstance(used, Server):
                report.sections.append((f"log of {used.program}", used.tail()))
