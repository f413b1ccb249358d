"""One control plane for the whole session; each scenario has a namespace of its own in it."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from .clients import Clients
from .control_plane import ControlPlane
from .isolation import inside
from .parts import build

HERE = Path(__file__).resolve().parent
TIMEOUT = 300  # s for one scenario
REPORT = pytest.StashKey[list[str]]()

Watch = Callable[..., Clients]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.timeout(TIMEOUT))
            if not inside():
                item.add_marker(pytest.mark.skip(reason="needs a Kubernetes control plane: make test-kubernetes"))


def pytest_configure(config: pytest.Config) -> None:
    config.stash[REPORT] = []
    config.addinivalue_line("markers", "namespace(name): the namespace of a Kubernetes scenario")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if lines := config.stash[REPORT]:
        terminalreporter.section("Kubernetes")
        for line in lines:
            terminalreporter.line(line)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    outcome = yield
    report = outcome.get_result()  # type: ignore[attr-defined]
    used = getattr(item, "funcargs", {}).get("cluster")
    if report.failed and used is not None:
        report.sections.append(("control plane", used.logs()))


@pytest.fixture(scope="session")
def note(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """`note(text)`: a line below the results."""
    return request.config.stash[REPORT].append


@pytest.fixture(scope="session")
def control_plane(note: Callable[[str], None]) -> Iterator[ControlPlane]:
    parts = build()
    with ControlPlane(parts) as cluster:
        note(f"{parts.versions}: ready {cluster.started_in:.1f} s after their start")
        yield cluster


@pytest.fixture
def cluster(control_plane: ControlPlane) -> Iterator[ControlPlane]:
    """The control plane, all there and in order; which each scenario has to leave like that."""
    yield control_plane
    gone = [process.name for process in control_plane.processes if not process.running]
    control_plane.repair()
    assert not gone, f"{gone} ended:\n{control_plane.logs()}"
    assert not control_plane.kubelet.errors, control_plane.kubelet.errors


@pytest.fixture
def namespace(cluster: ControlPlane, request: pytest.FixtureRequest) -> Iterator[str]:
    """Named after the scenario, or what its mark `namespace` says."""
    name = re.sub("[^a-z0-9]+", "-", request.node.name.removeprefix("test_"))[:60].strip("-")
    mark = request.node.get_closest_marker("namespace")
    if mark is not None:
        (name,) = mark.args
    yield cluster.namespace(name)
    cluster.end_namespace(name)


@pytest.fixture
def watch(cluster: ControlPlane, namespace: str, note: Callable[[str], None]) -> Iterator[Watch]:
    """`watch("headless-svc", port, **options)`: a sync and an async client that have started, and run all the while.

    At the end their histories have to be whole, and nobody may have been dropped without evidence.
    """
    started: list[Clients] = []

    def begin(service: str, port: int | str | None = None, *, target: str | None = None, **options: Any) -> Clients:
        clients = Clients(cluster, (namespace, service), target, port, options)
        started.append(clients)
        for client in clients:
            client.start()
        return clients

    yield begin
    for clients in started:
        clients.close()
    if started:
        note(f"        settled within {max(clients.slowest for clients in started):.1f} s")
    wrong = [what for clients in started for client in clients for what in client.judge()]
    assert not wrong, "\n".join(wrong)


@pytest.fixture(autouse=True)
def took(request: pytest.FixtureRequest, note: Callable[[str], None]) -> Iterator[None]:
    begun = time.monotonic()
    yield
    note(f"{time.monotonic() - begun:5.1f} s  {request.node.name}")
