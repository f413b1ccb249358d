"""docs/benchmarks.md is what the benchmarks measured, and the benchmarks run."""

from __future__ import annotations

import json
import platform
import re
import runpy
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent
BENCHMARKS = ROOT / "benchmarks"

pytestmark = pytest.mark.skipif(not BENCHMARKS.is_dir(), reason="a source distribution has no benchmarks")


@pytest.fixture(scope="module")
def results() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((BENCHMARKS / "results.json").read_text())
    return found


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(BENCHMARKS / "run.py"), *arguments],
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )


def test_the_page_is_made_of_the_results(results: dict[str, Any]) -> None:
    render = runpy.run_path(str(BENCHMARKS / "report.py"))["render"]
    assert (ROOT / "docs" / "benchmarks.md").read_text() == render(results), "run: make bench"


def test_every_benchmark_is_in_the_results(results: dict[str, Any]) -> None:
    listed = run("--list")
    assert listed.returncode == 0, listed.stderr
    assert listed.stdout.split() == list(results)
    assert len(results) == len(list(BENCHMARKS.glob("bench_*.py")))


def test_every_goal_is_met(results: dict[str, Any]) -> None:
    goals = [goal for found in results.values() for goal in found["goals"]]
    assert goals
    for goal in goals:
        met = goal["value"] >= goal["limit"] if goal["floor"] else goal["value"] <= goal["limit"]
        assert goal["met"] is met is True, goal["text"]


def test_the_results_tell_the_kind_of_machine_and_nothing_more(results: dict[str, Any]) -> None:
    for found in results.values():
        assert found["machine"].keys() == {"cpus", "architecture", "system", "python"}
    text = json.dumps(results)
    assert str(ROOT) not in text
    assert not re.search(r"/(home|work|root|tmp|usr)/", text)
    assert platform.node() not in text.split()


@pytest.mark.parametrize(
    ("name", "told"),
    [("memory", "HeadlessService.pick()"), ("one-change", "`Maglev`, a pod joins"), ("size", "KB for the set")],
)
def test_a_quick_run_judges_and_writes_nothing(name: str, told: str) -> None:
    kept = {path: path.read_bytes() for path in (BENCHMARKS / "results.json", ROOT / "docs" / "benchmarks.md")}
    ran = run("--quick", "--only", name)
    assert ran.returncode == 0, ran.stderr
    assert told in ran.stdout
    assert {path: path.read_bytes() for path in kept} == kept


def test_a_quick_run_beside_others_at_a_knot_server(require_program: Callable[[str, str], Path]) -> None:
    require_program("knotd", "knot")
    pytest.importorskip("aiodns", reason="aiodns is installed by make bench, not for the tests")
    ran = run("--quick", "--only", "refresh", "--only", "held")
    assert ran.returncode == 0, ran.stderr
    assert "3 SRV" in ran.stdout
