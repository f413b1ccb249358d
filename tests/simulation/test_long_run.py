"""Thirty simulated days from one seed, and shorter stretches of many worlds: no rule is ever broken."""

from __future__ import annotations

import time

import pytest

from .report import Totals
from .runs import mixed, month
from .world import World

DAY = 86_400.0


def finish(world: World, totals: Totals) -> None:
    world.settle()
    totals.add(world)


@pytest.mark.timeout(600)
def test_thirty_days_from_one_seed() -> None:
    totals, began = Totals(), time.process_time()
    world, story = month(seed=2026)
    story.run(30 * DAY)
    story.fine()
    finish(world, totals)
    print(totals.text(time.process_time() - began))
    assert world.host.now >= 30 * DAY
    assert totals.incomplete_share >= 0.2
    assert totals.steps >= 100_000
    assert min(totals.joined, totals.left) >= 1_000, "nothing much happened"
    assert all(totals.verdicts[verdict] >= 1_000 for verdict in ("whole", "cut", "nobody", "failed"))


@pytest.mark.parametrize("seed", range(12))
def test_all_kinds_of_services_for_two_hours(seed: int) -> None:
    totals = Totals()
    world, story = mixed(seed)
    story.run(DAY / 12)
    story.fine()
    finish(world, totals)
    assert totals.steps >= 1_000


def test_a_seed_is_a_story() -> None:
    """The same seed tells the same story, so that a failure can be looked at again."""

    def played() -> tuple[int, int, float]:
        world, story = mixed(5)
        story.run(DAY / 24)
        return world.steps, world.network.packets, world.host.now

    assert played() == played()
