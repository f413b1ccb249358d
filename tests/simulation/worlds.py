"""The worlds that the tests and the command run: a name, and a function from a seed to a world and its story."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from .cluster import dual_stack, ipv4_only, ipv6_only, some_ipv6_only, some_without, two_addresses
from .dns import Habits
from .story import Story
from .world import World

Played = tuple[World, Story]
SHORT = (5, 5, 10)  # many steps a day


class Kind(NamedTuple):
    make: Callable[[int], Played]
    what: str
    share: float  # of the steps of a run over all worlds


def mixed(seed: int) -> Played:
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
    return world, Story(world)


def month(seed: int) -> Played:
    """A StatefulSet by SRV and a Deployment by A: what a month of 30 days is played with."""
    world = World(seed)
    web = world.add_cluster("web", stateful=True, pods=8, ttl=30)
    api = world.add_cluster("api", stateful=False, pods=10, ttl=30)
    world.watch(web, "http", subscribers=1)
    world.watch(api, subscribers=1)
    # Mostly long TTLs, so that 30 days fit into a minute of CPU.
    return world, Story(world, ttls=(5, 20, *[30] * 10), pause=150.0, whole=0.1)


def _additional(world: World) -> Story:
    """The SRV records are whole and their additional records are not: with TC, or without a word."""
    cuts = {
        "udp": (3, 12, 73),
        "glue_tcp": (2, 5, 9, 15, 10_000),
        "glue_udp": (1, 4, 10, 10_000),
        "glue_cut": ("random", "in order"),
        "minimal": (0.0, 0.0, 0.3, 0.8, 1.0),
    }
    return _cutting(world, cuts, most_pods=24 if world.seed % 5 == 4 else 12)


def _cutting(world: World, cuts: Mapping[str, Sequence[object]], most_pods: int = 12) -> Story:
    story = Story(world, ttls=SHORT, pause=30.0, most_pods=most_pods, cuts=cuts, more={"cut": 14})
    story.cut()
    return story


def dual_set(seed: int) -> Played:
    world = World(seed)
    web = world.add_cluster("web", stateful=True, pods=8, ttl=5, shape=dual_stack)
    world.watch(web, "http", family="auto")
    world.watch(web, "http", family="any")
    world.watch(web, "http", family="ipv4")
    world.watch(web, "http", family="any", tcp="never", subscribers=1)
    return world, _additional(world)


def dual_deployment(seed: int) -> Played:
    world = World(seed)
    api = world.add_cluster("api", stateful=False, pods=8, ttl=5, shape=dual_stack)
    world.watch(api, "http", family="auto")
    world.watch(api, "http", family="any")
    world.watch(api, "http", family="ipv4", subscribers=1)
    world.watch(api, family="any")
    return world, _additional(world)


def several_addresses(seed: int) -> Played:
    """Two addresses of one family under a name: an RRset that may be cut in the middle."""
    world = World(seed)
    web = world.add_cluster("web", stateful=True, pods=6, ttl=5, shape=two_addresses)
    world.watch(web, "http")
    world.watch(web, "auto", family="auto")
    world.watch(web)
    return world, _additional(world)


def in_step(seed: int) -> Played:
    """Servers that cut SRV records and keep the glue of those that are left, as Consul does."""
    world = World(seed, habits=Habits(srv_cut="in step"))
    web = world.add_cluster("web", stateful=True, pods=8, ttl=5)
    api = world.add_cluster("api", stateful=False, pods=8, ttl=5)
    world.watch(web, "http")
    world.watch(api, "http", family="auto")
    world.watch(web, "http", tcp="never", subscribers=1)
    cuts = {"udp": (3, 8, 73), "tcp": (4, 7, 9, 10_000), "minimal": (0.0, 0.0, 0.3)}
    return world, _cutting(world, cuts)


def same_cuts(seed: int) -> Played:
    """Every answer is cut by block, mostly the same block again: a peer behind it may be there or not.

    There is one cache. The contract compares an answer with the one before it, so two caches with cuts of their own
    that answer in turn look like fresh draws.
    """
    world = World(seed, habits=Habits(same_cuts=True), second=False, lags=(0.1,))
    web = world.add_cluster("web", stateful=True, pods=8, ttl=5)
    api = world.add_cluster("api", stateful=False, pods=8, ttl=5)
    for server in (world.cluster_dns, world.second):
        for replica in server.replicas:
            replica.same_cut = 0.99
    world.watch(web, "http")
    world.watch(api)
    world.watch(api, family="auto", tcp="never", subscribers=1)
    cuts = {"udp": (6, 8, 73), "tcp": (7, 8, 9, 10_000)}
    return world, Story(world, ttls=SHORT, cuts=cuts, more={"cut": 5, "calm": 8})


def fallback(seed: int) -> Played:
    """resolv.conf names the cluster's server and a public one."""
    world = World(seed, stranger=True, second=False)
    web = world.add_cluster("web", stateful=True, pods=seed % 3, ttl=5)
    api = world.add_cluster("api", stateful=False, pods=3, ttl=5)
    world.watch(web, "http")
    world.watch(api)
    world.watch(api, family="auto", empty_grace=0.0)
    more = {"rewritten": 4, "up_and_down": 2, "gone": 3, "new_services": 5, "network_trouble": 6}
    return world, Story(world, ttls=SHORT, pause=30.0, most_pods=8, more=more)


SEARCH = ("moon.svc.cluster.local", "svc.cluster.local", "cluster.local", "corp.example")


def suffixes(seed: int) -> Played:
    """Short names, and a search list at whose end every name exists."""
    refused = "cluster.local.svc.cluster.local" if seed % 2 else ""
    world = World(seed, search=SEARCH, habits=Habits(wildcard="corp.example", refused=refused))
    web = world.add_cluster("web", stateful=True, pods=4, ttl=5)
    api = world.add_cluster("api", stateful=False, pods=seed % 4, ttl=5)
    world.watch(api, target="api")
    world.watch(api, target="api.moon", family="auto")
    world.watch(web, "http", target="web")
    world.watch(web, target="web.moon")
    more = {"rewritten": 3, "up_and_down": 5, "gone": 2, "new_services": 8, "calm": 6}
    return world, Story(world, ttls=SHORT, pause=30.0, most_pods=8, more=more)


def foreign(seed: int) -> Played:
    """Servers that answer for another name."""
    world = World(seed)
    web = world.add_cluster("web", stateful=True, pods=5, ttl=5)
    api = world.add_cluster("api", stateful=False, pods=5, ttl=5)
    world.watch(web, "http")
    world.watch(api, family="auto")
    world.watch(api, empty_grace=5.0)
    return world, Story(
        world, ttls=SHORT, pause=30.0, faults=("foreign",), more={"server_trouble": 8, "new_services": 3}
    )


def types(seed: int) -> Played:
    """Servers without SRV records, that say NXDOMAIN for a type which a name lacks (Docker), or NODATA."""
    docker = seed % 2 == 0
    world = World(seed, habits=Habits(no_srv=True, nxdomain_for_types=docker))
    old = world.add_cluster("old", stateful=False, pods=4, ttl=5, shape=ipv4_only)
    new = world.add_cluster("new", stateful=False, pods=4, ttl=5, shape=ipv6_only)
    both = world.add_cluster("both", stateful=False, pods=5, ttl=5, shape=some_ipv6_only)
    world.watch(old, "auto", family="auto")
    world.watch(new, family="auto")
    world.watch(new, "auto", family="auto", subscribers=1)
    world.watch(both, family="any")
    world.watch(both, "auto", family="any")
    return world, Story(world, ttls=SHORT, pause=30.0, more={"new_services": 3})


def chains(seed: int) -> Played:
    """The name is an alias (CNAME), and servers refuse EDNS and TCP, for ever or now and then."""
    world = World(seed, habits=Habits(no_edns=seed % 2 == 1, no_tcp=seed % 2 == 1, chain_alone=seed % 4 > 1))
    web = world.add_cluster("web", stateful=False, pods=6, ttl=5, shape=dual_stack)
    world.watch(web, alias=True, family="any")
    world.watch(web, alias=True, family="auto")
    world.watch(web, alias=True, family="ipv6", subscribers=1)
    return world, Story(world, ttls=SHORT, pause=30.0, faults=("formerr", "tcp_refused"))


def extended(seed: int) -> Played:
    """Extended errors in the EDNS record, and additional records of names that nobody asked for."""
    world = World(seed, habits=Habits(extended=0.7, unnamed_glue=0.5))
    web = world.add_cluster("web", stateful=True, pods=5, ttl=5)
    api = world.add_cluster("api", stateful=False, pods=5, ttl=5)
    world.watch(web, "http")
    world.watch(api)
    world.watch(api, "auto", family="auto")
    return world, Story(world, ttls=SHORT, pause=30.0)


def no_address(seed: int) -> Played:
    """SRV targets of which every third one has no address."""
    world = World(seed)
    web = world.add_cluster("web", stateful=True, pods=7, ttl=5, shape=some_without)
    world.watch(web, "http")
    world.watch(web, "http", family="any")
    world.watch(web, "auto", family="auto", subscribers=1)
    return world, _additional(world)


def caches(seed: int) -> Played:
    """Five caches behind one address, none of which has what another has."""
    world = World(seed, second=False, lags=(0.1, 1.0, 3.0, 8.0, 15.0))
    web = world.add_cluster("web", stateful=True, pods=6, ttl=10, shape=dual_stack)
    api = world.add_cluster("api", stateful=False, pods=6, ttl=10)
    world.watch(web, "http", family="any")
    world.watch(web, "http", family="ipv4", min_ttl=3.0)
    world.watch(api)
    return world, Story(
        world, ttls=(5, 10, 20), pause=30.0, more={"scale": 14, "restart": 10, "flap": 10, "replica_lags": 0}
    )


def age(seed: int) -> Played:
    """`max_stale`, short beside a long time-out, and servers that fall silent."""
    world = World(seed, stranger=seed % 2 == 0)
    web = world.add_cluster("web", stateful=True, pods=5, ttl=5)
    api = world.add_cluster("api", stateful=False, pods=5, ttl=5)
    world.watch(web, "http", max_stale=20.0, timeout=20.0)
    world.watch(api, max_stale=2.0, timeout=20.0)
    world.watch(api, max_stale=60.0)
    return world, Story(world, ttls=(5, 10, 30), pause=30.0, more={"outage": 6, "server_trouble": 8, "freeze": 3})


WORLDS: dict[str, Kind] = {
    "mixed": Kind(mixed, "StatefulSet and Deployment by SRV and A, samples, short memories", 0.22),
    "month": Kind(month, "a StatefulSet and a Deployment for weeks at long TTLs", 0.15),
    "dual-set": Kind(dual_set, "dual-stack StatefulSet, additional records cut or left out", 0.06),
    "dual-deployment": Kind(dual_deployment, "dual-stack Deployment, the same", 0.06),
    "several-addresses": Kind(several_addresses, "two addresses a name, additional records cut", 0.04),
    "in-step": Kind(in_step, "SRV records cut in step with their glue (Consul)", 0.05),
    "same-cuts": Kind(same_cuts, "answers cut by block, mostly the same one again", 0.03),
    "fallback": Kind(fallback, "a public server behind the cluster's, resolv.conf rewritten", 0.05),
    "suffixes": Kind(suffixes, "short names, a wildcard down the search list, 0 to n pods and back", 0.06),
    "foreign": Kind(foreign, "answers for another name", 0.04),
    "types": Kind(types, "no SRV, IPv6 alone, NXDOMAIN for a type that a name lacks (Docker)", 0.05),
    "chains": Kind(chains, "CNAMEs, servers without EDNS and TCP", 0.04),
    "extended": Kind(extended, "extended errors, additional records of other names", 0.04),
    "no-address": Kind(no_address, "SRV targets without addresses", 0.04),
    "caches": Kind(caches, "five caches behind one address", 0.04),
    "age": Kind(age, "max_stale, long time-outs, silent servers", 0.03),
}
NEW = tuple(name for name in WORLDS if name not in ("mixed", "month"))


def make(name: str, seed: int) -> Played:
    world, story = WORLDS[name].make(seed)
    world.name = name
    return world, story
