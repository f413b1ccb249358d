"""docs/benchmarks.md and docs/kubernetes.md are what the benchmarks measured, and the benchmarks run."""

from __future__ import annotations

import importlib
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


class TestHeadToHead:
    """`make bench-kubernetes`, which is far too long for here, and its part of docs/kubernetes.md."""

    RESULTS = BENCHMARKS / "head_to_head" / "results.json"
    PAGE = ROOT / "docs" / "kubernetes.md"

    @pytest.fixture
    def report(self, monkeypatch: pytest.MonkeyPatch) -> Any:
        monkeypatch.syspath_prepend(str(BENCHMARKS))
        return importlib.import_module("head_to_head.report")

    @pytest.fixture
    def found(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.RESULTS.read_text())
        return found

    def test_the_page_is_made_of_the_results(self, report: Any, found: dict[str, Any]) -> None:
        assert found.keys() == report.SECTIONS.keys()
        text = self.PAGE.read_text()
        assert report.page(text, found) == text, "run: make bench-kubernetes"

    def test_every_goal_is_met(self, report: Any, found: dict[str, Any]) -> None:
        goals = report.goals(found["head-to-head"])
        assert goals
        assert [goal.text for goal in goals if not goal.met] == []

    def test_there_are_enough_pods_that_came_and_went(self, found: dict[str, Any]) -> None:
        setting, clients = found["head-to-head"]["setting"], found["head-to-head"]["clients"]
        assert setting["came"] >= 20
        assert setting["left"] >= 20
        for of_one in clients.values():
            assert len(of_one["joined"]) == setting["came"] * of_one["programs"]
            assert len(of_one["queries"]) == of_one["programs"]

    def test_the_results_tell_nothing_of_the_machine(self) -> None:
        text = self.RESULTS.read_text()
        assert platform.node() not in text
        assert "/" not in text

    def test_who_was_never_asked_counts_as_late(self, report: Any, found: dict[str, Any]) -> None:
        """Not as absent: the median of one half that was never asked is not that of the other half."""
        clients = found["head-to-head"]["clients"]
        clients["grpc"]["joined"] = [1.0, 2.0, None, None, None]
        text = report.page(self.PAGE.read_text(), found)
        assert "| never (2.00 - never) | never | 60% |" in text

    def test_a_slow_library_misses_its_goals(self, report: Any, found: dict[str, Any]) -> None:
        clients = found["head-to-head"]["clients"]
        slow = clients["async_service"]
        slow["joined"] = [time + 5 for time in slow["joined"]]
        slow["queries"] = [rate * 2 for rate in slow["queries"]]
        missed = [goal for goal in report.goals(found["head-to-head"]) if not goal.met]
        assert len(missed) >= 3, missed
