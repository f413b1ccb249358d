"""What docs/cli.md and docs/doctor.md say that commands print is what they print."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("typer")
pytest.importorskip("pyte")

DOCS = Path(__file__).resolve().parents[2] / "docs"


@pytest.fixture(scope="module")
def page() -> dict[str, Any]:
    return runpy.run_path(str(DOCS / "cli_page.py"))


@pytest.mark.parametrize("name", ["cli.md", "doctor.md"])
def test_the_pages_are_up_to_date(page: dict[str, Any], name: str) -> None:
    text = (DOCS / name).read_text()
    assert page["rendered"](text) == text, "run: make cli-docs"


def test_a_command_that_prints_something_else_is_found(page: dict[str, Any]) -> None:
    old = "```console\n$ headless-discovery resolve 10.0.0.1:80 | tail -1\nsomething\n```\n"
    assert "nobody was asked: an address is its own answer" in page["rendered"](old)


def test_times_are_masked_and_nothing_else(page: dict[str, Any]) -> None:
    masked = page["masked"]
    assert masked("2026-11-24T22:56:55.756Z x 2026-11-24T22:56:56.000Z\n") == (
        "2026-01-02T12:00:00.000Z x 2026-01-02T12:00:01.000Z\n"
    )
    assert masked("2 queries, 12.3 ms, complete\n") == "2 queries, 0.6 ms, complete\n"
    assert masked("TTL 5 s, 10,000 keys 33.8% 1.23\n") == "TTL 5 s, 10,000 keys 33.8% 1.23\n"
