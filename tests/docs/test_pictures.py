"""Pictures that show what strategies do are what the strategies do."""

from __future__ import annotations

import runpy
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
BENCHMARKS = ROOT / "benchmarks"

pytestmark = pytest.mark.skipif(not BENCHMARKS.is_dir(), reason="a source distribution has no benchmarks")


def run(script: str) -> dict[str, Any]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "path", [str(BENCHMARKS), *sys.path])
        return runpy.run_path(str(BENCHMARKS / script))


@pytest.mark.parametrize("script", ["churn.py", "circle.py"])
def test_pictures_are_up_to_date(script: str) -> None:
    for name, text in run(script)["pictures"]().items():
        assert (ROOT / "docs" / "images" / name).read_text() == text, "run: make bench ARGS='--only balance-moved'"


def test_a_picture_marks_what_moves_between_pods_that_stay() -> None:
    picture = run("churn.py")["picture"]

    def marks(*rows: Sequence[int]) -> int:
        return picture("title", {"group": rows}, mark=True).count('fill="#000"')  # type: ignore[no-any-return]

    stays = [0, 1, 2, 3, 4]
    assert marks(stays, [0, 1, 3, 3, 4], stays, stays, [0, 1, 2, 3, 1]) == 0  # web-2 leaves and is back, web-4 leaves
    assert marks(stays, [1, 1, 3, 3, 4], stays, stays, stays) == 2  # web-0's key is with web-1, and back


def test_pictures_that_pages_show_are_there() -> None:
    shown = {
        path
        for page in (ROOT / "docs").glob("*.md")
        for path in (ROOT / "docs").glob("images/*")
        if path.name in page.read_text()
    }
    assert shown == set((ROOT / "docs" / "images").glob("*"))
