"""Answers that are always cut: a union that is complete soon, and that loses nobody who lives."""

from __future__ import annotations

import random

import pytest

from headless_discovery.answer import Part
from headless_discovery.membership import Membership
from headless_discovery.service import Live
from headless_discovery.settings import Settings
from headless_discovery.testing.message import A
from sansio import answer

from .chance import expected_losses, lost_in, run_needed, runs_of
from .world import Watched, World

SHOWN, ALL = 4092, 5000  # of 5000 A records, what CoreDNS gets into 64 KiB


def live(watched: Watched) -> set[str]:
    assert isinstance(watched.service.live, Live)
    return set(watched.service.live.peers.addresses)


def truth(world: World) -> set[str]:
    (cluster,) = world.clusters.values()
    return {".".join(map(str, address)) for address in cluster.ready.addresses}


def big_world(seed: int, *, stateful: bool, pods: int, ttl: int = 5) -> World:
    """One replica, so that every cut is of one cache."""
    world = World(seed, second=False)
    del world.cluster_dns.replicas[1:]
    world.add_cluster("big", stateful=stateful, pods=pods, ttl=ttl, space=60_000)
    return world


class TestFiveThousandAddresses:
    @pytest.mark.timeout(120)
    @pytest.mark.parametrize("seed", range(5))
    def test_all_are_in_within_three_refreshes(self, seed: int) -> None:
        world = big_world(seed, stateful=False, pods=ALL)
        world.habits.tcp = SHOWN
        (cluster,) = world.clusters.values()
        watched = world.watch(cluster, subscribers=1)
        world.run(3 * 6.0)  # TTL 5 and jitter: three refreshes, of up to four samples
        assert live(watched) == truth(world)
        assert watched.judge.counts["cut"] <= 12
        world.run(120.0)
        assert live(watched) == truth(world), "one was lost by chance"
        assert watched.judge.left == 0

    def test_those_that_left_leave(self) -> None:
        world = big_world(7, stateful=False, pods=500)
        world.habits.tcp = 409
        (cluster,) = world.clusters.values()
        watched = world.watch(cluster, subscribers=1)
        world.run(30.0)
        for ordinal in list(cluster.pods)[::50]:
            cluster.remove(ordinal, world.host.now)
        world.run(6.0 * (run_needed(409, 500) + 8))
        assert live(watched) == truth(world)
        assert watched.judge.left == 10

    def test_the_bound(self) -> None:
        """30 answers in a row have to lack a peer that 82% of the answers show: never in ten million."""
        assert run_needed(SHOWN, ALL) == 30
        assert expected_losses(SHOWN, ALL, 10**7) < 1e-11
        # Whatever the share, from half of the union up: below one in a million for ten million answers.
        for union in (2, 10, 73, 100, 1000, ALL, 10_000):
            for percent in range(50, 100):
                shown = -(-union * percent // 100)
                if shown < union:
                    assert expected_losses(shown, union, 10**7) < 1e-4, (shown, union)

    def test_simulated(self) -> None:
        """10^4 answers here; `python -m simulation --chance` does 10^7. 3/16 is more than the truth, 0.1816."""
        lost, longest = lost_in(10**4, peers=ALL, sixteenths=3, length=run_needed(SHOWN, ALL), seed=1)
        assert lost == 0
        assert 8 <= longest < 20, "5 * 10^7 coins have runs of about 10"

    def test_the_simulation_finds_runs(self) -> None:
        assert [runs_of(0b0111_0110_1111, length).bit_count() for length in (1, 2, 3, 4, 5)] == [9, 6, 3, 1, 0]
        rng = random.Random(3)
        for _ in range(300):
            bits, length = rng.getrandbits(40), rng.randint(1, 8)
            text = f"{bits:040b}"
            assert runs_of(bits, length).bit_count() == sum(
                text[i : i + length] == "1" * length for i in range(41 - length)
            )
        often, _ = lost_in(1000, peers=100, sixteenths=3, length=2, seed=4)
        assert often == pytest.approx(100_000 * (3 / 16) ** 2, rel=0.1)

    @pytest.mark.parametrize("seed", range(6))
    def test_the_simulation_is_the_real_code(self, seed: int) -> None:
        """The same answers, one of 200 peers gone: the real membership lets go of it, and of nobody else, at the very
        answer where its absences have a run that is long enough.
        """
        rng = random.Random(seed)
        union, shown, answers = 200, 163, 120
        keys = [(10 << 24 | n).to_bytes(4, "big") for n in range(union)]
        membership = Membership(Settings(), 1, random.Random(1), lambda n, error: 1.0, 0.0)
        membership.answered(answer(Part(A, 5, dict.fromkeys(keys))), 0.0)
        gone_at = rng.randrange(20, 60)
        needed = run_needed(shown, union)
        absences = dict.fromkeys(keys, 0)
        for n in range(1, answers):
            there = keys if n < gone_at else keys[1:]
            seen = rng.sample(there, shown)
            for key in set(keys).difference(seen):
                absences[key] |= 1 << n
            membership.answered(answer(Part(A, 5, dict.fromkeys(seen), complete=False)), 5.0 * n)
            members = membership._scopes[A].members.keys()
            assert set(keys) - members == {key for key in keys if runs_of(absences[key], needed)}, n
        assert keys[0] not in members


class TestSRV:
    def test_a_thousand_with_113_glue_stay_within_the_query_budget(self) -> None:
        world = big_world(1, stateful=True, pods=1000)
        world.habits.udp, world.habits.tcp, world.habits.glue_tcp = 18, 5000, 113
        (cluster,) = world.clusters.values()
        watched = world.watch(cluster, "http", subscribers=1)
        world.run(4.0)
        assert live(watched) == truth(world), "the first lookup asks for all names"
        assert watched.most_queries <= 2 + 2 + 887
        watched.most_queries = 0
        world.run(60.0)
        assert watched.most_queries <= 4, "what the bare name's answer contains needs no query of its own"
        for ordinal in range(0, 1000, 10):  # a tenth moves at once: more than a refresh may ask for
            cluster.restart(ordinal, world.host.now)
        world.run(60.0)
        assert live(watched) == truth(world)
        assert watched.most_queries <= 4 + 50

    @pytest.mark.timeout(240)
    def test_a_thousand_cut_to_the_same_subset_lose_nobody(self) -> None:
        world = big_world(2, stateful=True, pods=1000, ttl=30)
        world.habits.udp, world.habits.tcp, world.habits.glue_tcp = 18, 10_000, 113
        world.cluster_dns.replicas[0].same_cut = 1.0
        (cluster,) = world.clusters.values()
        watched = world.watch(cluster, "http", subscribers=1)
        world.run(20.0)
        assert live(watched) == truth(world)
        world.habits.tcp = 340
        watched.most_queries = 0
        world.run(33.0 * 60)
        assert watched.judge.counts["cut"] >= 55
        assert live(watched) == truth(world), "a live peer was lost"
        assert watched.judge.left == 0
        assert watched.most_queries <= 4 + 50 + 50

    def test_those_never_shown_leave_and_move_by_their_own_name(self) -> None:
        world = big_world(3, stateful=True, pods=300, ttl=5)
        world.habits.udp, world.habits.tcp = 18, 10_000
        world.cluster_dns.replicas[0].same_cut = 1.0
        (cluster,) = world.clusters.values()
        watched = world.watch(cluster, "http", subscribers=1)
        world.run(20.0)
        world.habits.tcp = 104
        world.run(30.0)
        shown = world.cluster_dns.replicas[0].last_cut["_http._tcp." + cluster.name]
        hidden = [n for n, pod in cluster.pods.items() if f"{pod.hostname}.{cluster.name}" not in shown]
        assert len(hidden) == 196
        for ordinal in hidden[:5]:
            cluster.restart(ordinal, world.host.now)
        for ordinal in list(cluster.pods.keys() - set(hidden))[:5]:  # these are shown, but without glue
            cluster.restart(ordinal, world.host.now)
        for ordinal in hidden[5:10]:
            cluster.remove(ordinal, world.host.now)
        world.run(600.0)
        assert live(watched) == truth(world)
        assert watched.judge.left == 15, "ten moved"
