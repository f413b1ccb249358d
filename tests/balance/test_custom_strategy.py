"""The strategy of docs/custom-strategy.md, as it stands there (tests/test_docs.py runs it against a service)."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from headless_discovery import NoPeers
from headless_discovery.balance import Prefer, Subset, acquire, make, pick_many

from .world import pods

PAGE = Path(__file__).resolve().parents[2] / "docs" / "custom-strategy.md"


@pytest.fixture
def sticky() -> Any:
    code = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)[0].partition("\nwith HeadlessService")[0]
    namespace: dict[str, Any] = {}
    exec(code, namespace)
    return namespace["Sticky"]()


def test_it_stays_with_a_peer_while_it_is_there(sticky: Any) -> None:
    assert make(sticky, None) is sticky
    picker = sticky.build(pods(5), None)
    peer = picker.pick()
    for n in (6, 7, 5):
        picker = sticky.build(pods(n), picker)
        assert picker.pick() == peer
    away = pods(i for i in range(5) if i != peer.ordinal)
    assert sticky.build(away, picker).pick() in away


def test_it_does_all_that_a_service_asks(sticky: Any) -> None:
    picker = sticky.build(pods(3), None)
    assert set(pick_many(picker, 5)) == set(pods(3))
    assert acquire(picker, "key", pods(2)).peer == picker.pick("key", pods(2))
    with pytest.raises(NoPeers):
        pick_many(picker, 1, None, pods(3))


def test_it_goes_inside_others(sticky: Any) -> None:
    strategy = Subset(Prefer(sticky, lambda peer: peer.ordinal != 0), 2, client="me")
    picker = strategy.build(pods(4), None)
    assert strategy.build(pods(4), picker).pick() == picker.pick() != pods(1)[0]
    assert set(picker.pick_many(4)) == set(pods(4))
