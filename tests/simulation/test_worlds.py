"""Every world for a while, from a few seeds: nothing is ever wrong."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from . import cluster, judge, words
from .report import STEPS, Totals, play, run, table
from .worlds import NEW, WORLDS, make


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", WORLDS)
@pytest.mark.parametrize("seed", [1, 2])
def test_nothing_is_wrong(name: str, seed: int) -> None:
    totals = Totals(name)
    play(name, seed, 1200, totals)
    assert totals.steps >= 1200
    assert totals.joined >= 3, "nothing much happened"


def test_the_shares_of_the_worlds() -> None:
    assert sum(kind.share for kind in WORLDS.values()) == pytest.approx(1.0)
    assert sum(WORLDS[name].share for name in NEW) >= 0.25
    assert STEPS >= 1_000_000
    played = run(60, names=["age", "types"], strict=False)
    assert [totals.name for totals in played] == ["age", "types"]
    assert table(played).count("\n| ") == 2


def test_a_seed_is_a_story() -> None:
    """The same seed tells the same story, so that a failure can be looked at again."""

    def played() -> tuple[int, int, float]:
        world, story = make("mixed", 5)
        world.strict = False
        story.run(3600.0)
        world.end()
        return world.steps, world.network.packets, world.host.now

    assert played() == played()


@pytest.mark.parametrize("module", [judge, cluster, words])
def test_the_judge_knows_nothing_of_the_library(module: object) -> None:
    """Neither does what it imports."""
    tree = ast.parse(Path(str(module.__file__)).read_text())  # type: ignore[attr-defined]
    imported: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            imported |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported.add("." * node.level + (node.module or ""))
    assert imported <= {
        "__future__",
        "collections",
        "collections.abc",
        "dataclasses",
        "functools",
        "ipaddress",
        "math",
        "struct",
        "typing",
        ".cluster",
        ".words",
    }
