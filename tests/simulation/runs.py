"""The worlds that the tests and the command run."""

from __future__ import annotations

from .story import Story
from .world import World

TTLS = (5, 10, 15, 20, 30)
TTLS_OF_A_MONTH = (5, 20, *[30] * 10)  # mostly long, so that 30 days fit into a minute of CPU


def mixed(seed: int) -> tuple[World, Story]:
    """All kinds of services at once: a StatefulSet and a Deployment by SRV, another by A, samples, a short memory."""
    world = World(seed, stranger=seed % 2 == 0)
    web = world.add_cluster("web", stateful=True, pods=5, ttl=15)
    api = world.add_cluster("api", stateful=False, pods=8, ttl=5)
    jobs = world.add_cluster("jobs", stateful=False, pods=8, ttl=30)
    world.watch(web, "http")
    world.watch(api, family="auto")
    world.watch(api)
    world.watch(jobs, "http", max_stale=300.0)
    if seed % 3 == 0:
        world.watch(jobs, answers="sample")
    if seed % 3 == 1:
        world.watch(api, empty_grace=0.0, min_ttl=3.0)
    if seed % 3 == 2:
        world.watch(web, "auto")
    return world, Story(world, ttls=TTLS)


def month(seed: int) -> tuple[World, Story]:
    """A StatefulSet by SRV and a Deployment by A: what a month of 30 days is played with."""
    world = World(seed)
    web = world.add_cluster("web", stateful=True, pods=8, ttl=30)
    api = world.add_cluster("api", stateful=False, pods=10, ttl=30)
    world.watch(web, "http", subscribers=1)
    world.watch(api, subscribers=1)
    return world, Story(world, ttls=TTLS_OF_A_MONTH, pause=150.0, whole=0.1)
