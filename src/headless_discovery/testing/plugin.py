"""The pytest plugin: the fixture `headless_dns`, a running `DNSServer` for one test.

Registered as a pytest11 entry point, so it is loaded in every pytest run of the environment: nothing but pytest may
be imported here; the server is imported inside the fixture.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from .server import DNSServer

_MARKER = "headless_dns"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addini("headless_dns_zone", "zone of the headless_dns fixture", default="cluster.local")
    parser.addini("headless_dns_ttl", "TTL in seconds of the headless_dns fixture's records", default="1")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers",
        f"{_MARKER}(**options): options of the DNSServer that the headless_dns fixture starts, "
        "such as ttl=5, zone='example.com', cache=True, host='::1'",
    )


@pytest.fixture
def headless_dns(request: pytest.FixtureRequest) -> Iterator[DNSServer]:
    """A started `headless_discovery.testing.DNSServer`, stopped after the test.

    TTL 1 s and no cache, so a change shows in the next answer; `@pytest.mark.headless_dns(ttl=5, cache=True)` and the
    ini options `headless_dns_zone` and `headless_dns_ttl` change that.
    """
    from .server import DNSServer

    options: dict[str, Any] = {
        "zone": request.config.getini("headless_dns_zone"),
        "ttl": int(request.config.getini("headless_dns_ttl")),
        "cache": False,
    }
    for mark in reversed(list(request.node.iter_markers(_MARKER))):  # the closest mark is last, and wins
        if mark.args:
            raise pytest.UsageError(f"@pytest.mark.{_MARKER} takes keyword arguments only, not {mark.args!r}")
        options.update(mark.kwargs)
    with DNSServer(**options) as server:
        yield server
