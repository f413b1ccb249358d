from __future__ import annotations

from collections.abc import Iterator

import pytest

from headless_discovery.testing import DNSServer


class Clock:
    """Time that passes when the test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def server(clock: Clock) -> Iterator[DNSServer]:
    """CoreDNS with its cache, under a clock that stands still."""
    with DNSServer(clock=clock) as server:
        yield server


@pytest.fixture
def live() -> Iterator[DNSServer]:
    """Without a cache: each answer is of this moment."""
    with DNSServer(cache=False) as server:
        yield server
