"""The tests that docs/testing.md shows are tests that pass. (tests/test_docs.py runs the rest of the page.)"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from headless_discovery.testing import DNSServer, faults

PAGE = (Path(__file__).parents[2] / "docs" / "testing.md").read_text()


def shown_tests() -> list[Callable[..., None]]:
    namespace: dict[str, Any] = {}
    for block in re.findall(r"^```python\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE):
        exec(compile(block, "docs/testing.md", "exec"), namespace)
    return [value for name, value in namespace.items() if name.startswith("test_")]


TESTS = shown_tests()


def test_there_are_some() -> None:
    assert len(TESTS) >= 5


@pytest.mark.parametrize("function", TESTS, ids=lambda function: function.__name__)
def test_a_shown_test_passes(function: Callable[..., None]) -> None:
    if inspect.signature(function).parameters:
        options = {}
        for mark in getattr(function, "pytestmark", []):
            options.update(mark.kwargs)
        with DNSServer(**{"ttl": 1, "cache": False, **options}) as headless_dns:
            function(headless_dns)
    else:
        function()


def test_the_page_lists_every_fault() -> None:
    section = PAGE.split("## Faults")[1].split("### ")[0]
    listed = {
        name.lower()
        for row in re.findall(r"^\| (`.*?) \|", section, re.MULTILINE)
        for name in re.findall(r"`([\w-]+)`", row)
    }
    assert listed | {"rcode"} == set(faults.FAULTS)
