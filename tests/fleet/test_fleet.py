"""Fleets of 10 and 1,000 keep what docs/scale.md promises, naive ones do not, and the page is what the runs told."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from typing import Any

import pytest

from .clients import Library, News, library
from .report import PAGE, RESULTS, page
from .run import Dns, Fleet, Window
from .scenarios import (
    CLIENTS,
    DECOUPLED,
    FIXED,
    LIBRARY,
    NAIVE,
    OUTAGES,
    TABLES,
    TTLS,
    WHOLE,
    Row,
    both_ways,
    bounds,
    figures,
    fleet,
    instant,
    name,
    steady,
)
from .servers import SERVFAIL, Cache, Counted, Outage, Told, Zone

SMALL = (10, 1_000)


@pytest.fixture(scope="module")
def results() -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = json.loads(RESULTS.read_text())
    return found


@pytest.fixture(scope="module")
def rows() -> dict[tuple[int, int, str], Row]:
    return {chosen: steady(*chosen)[0] for chosen in product(TTLS, SMALL, CLIENTS)}


def broken(row: Row) -> list[str]:
    return [what for what, value, limit in bounds(row) if value > limit]


# What is promised.


@pytest.mark.parametrize(("ttl", "clients", "who"), list(product(TTLS, SMALL, (LIBRARY, DECOUPLED))))
def test_small_fleets_keep_the_bounds(rows: dict[Any, Row], ttl: int, clients: int, who: str) -> None:
    row = rows[ttl, clients, who]
    assert len(list(bounds(row))) == (4 if clients == 1_000 else 3)
    assert broken(row) == []


def test_the_large_ones_of_the_page_kept_them(results: dict[str, list[Row]]) -> None:
    large = [row for row in results["steady"] if row["clients"] == 100_000]
    assert len(large) == len(TTLS) * len(CLIENTS)
    assert [what for row in large for what in broken(row)] == []


@pytest.mark.parametrize("ttl", TTLS)
def test_naive_clients_do_worse(rows: dict[Any, Row], ttl: int) -> None:
    mine, apart = rows[ttl, 1_000, LIBRARY], rows[ttl, 1_000, DECOUPLED]
    loop, timer = rows[ttl, 1_000, NAIVE], rows[ttl, 1_000, FIXED]
    assert loop["peak"] > mine["peak"] > 3 * apart["peak"]
    assert loop["peak_to_mean"] > 0.9 * ttl  # all within one second, which is the worst there is
    if ttl == 30:
        assert loop["peak"] > 2 * mine["peak"]
    assert timer["known_at_most"] > 1.9 * ttl > 1.4 * mine["known_at_most"]  # its load is even, its news is late


def test_naive_clients_never_forget_a_common_start() -> None:
    worst = {who: instant(1_000, who)[0]["tenth_to_mean"] for who in CLIENTS}
    assert worst[NAIVE] == worst[FIXED] == pytest.approx(50)
    assert worst[LIBRARY] < 7
    assert worst[DECOUPLED] < 7


@pytest.mark.parametrize("how", OUTAGES)
def test_no_herd_after_an_outage(how: str) -> None:
    down = Outage(180.0, 240.0, OUTAGES[how])
    outcome = fleet(LIBRARY, 1_000, 5, begin=120, end=420, outage=down).run()
    usual = outcome.between(120, 180)
    assert outcome.between(240, 250).peak <= usual.peak
    assert outcome.between(250, 420).peak <= 1.05 * usual.peak
    assert outcome.between(185, 240).mean < 2 * usual.mean


def test_a_longer_retry_wait_rests_dns_in_an_outage(results: dict[str, list[Row]]) -> None:
    during = {(row["ttl"], row["how"], row["who"]): row["during"] for row in results["outage"]}
    for ttl, how in product(TTLS, OUTAGES):
        default, longer = during[ttl, how, LIBRARY], during[ttl, how, "library, longer `retry_wait`"]
        assert longer < 0.7 * default


# That this can fail.


class Unjittered(random.Random):
    def random(self) -> float:
        return 0.0


def test_a_library_without_jitter_would_be_noticed() -> None:
    def make(asked: Any, ttl: int, start: float, rng: random.Random, news: News) -> Any:
        return library()(asked, ttl, start, Unjittered(), news)

    together = replace(fleet(LIBRARY, 1_000, 5, spread=0.01), make=make)
    assert figures(together.run())["tenth_to_mean"] > 40
    row = {"ttl": 30, "clients": 1_000, "who": LIBRARY} | figures(replace(fleet(LIBRARY, 1_000, 30), make=make).run())
    assert "worst second to mean" in broken(row)


def test_a_library_that_asks_too_often_or_too_late_would_be_noticed() -> None:
    often = replace(fleet(LIBRARY, 1_000, 5), make=library(max_ttl=4.0))
    late = replace(fleet(LIBRARY, 1_000, 5), make=library(min_ttl=7.0))
    told = {"ttl": 5, "clients": 1_000, "who": LIBRARY}
    assert "queries of a client in a TTL" in broken(told | figures(often.run()))
    assert "seconds until a change is known, at most" in broken(told | figures(late.run()))


# That the short way is right.


@pytest.mark.parametrize(("ttl", "who", "where"), WHOLE)
def test_the_whole_service_comes_to_the_same(ttl: int, who: str, where: str) -> None:
    (_, short), (_, whole) = both_ways(ttl, who, where, clients=300)
    mine, real = figures(short), figures(whole)
    assert real["mean"] == pytest.approx(mine["mean"], rel=0.02)
    assert real["peak"] == pytest.approx(mine["peak"], rel=0.15)
    assert real["known"] == pytest.approx(mine["known"], rel=0.02)
    assert real["known_at_most"] == pytest.approx(mine["known_at_most"], rel=0.02)


@pytest.mark.parametrize("says", [None, SERVFAIL])
def test_the_whole_service_fails_in_the_same_way(says: Told | None) -> None:
    from .whole import whole

    down = fleet(LIBRARY, 300, 5, begin=180, end=240, outage=Outage(180.0, 240.0, says))
    short, real = down.run().counted, whole(down).counted
    assert real.mean == pytest.approx(short.mean, rel=0.05)
    assert real.peak == pytest.approx(short.peak, rel=0.15)


# That the page is true.


def test_the_page_is_made_of_the_results(results: dict[str, list[Row]]) -> None:
    text = PAGE.read_text()
    assert page(text, results) == text, "run: make fleet"
    assert {table: len(found) for table, found in results.items()} == {t: len(jobs) for t, (_, jobs) in TABLES.items()}


def test_the_same_seed_gives_the_figures_of_the_page(rows: dict[Any, Row], results: dict[str, list[Row]]) -> None:
    told = {(row["ttl"], row["clients"], row["who"]): row for row in results["steady"]}
    for chosen, row in rows.items():
        assert rounded(row) == rounded(told[chosen])
    assert [name(number)[0] for number in range(len(results["name"]))] == results["name"]


def rounded(row: Row) -> Row:
    return {key: round(value, 6) if isinstance(value, float) else value for key, value in row.items()}


# The parts.


def test_a_cache_counts_whole_seconds_down() -> None:
    cache = Cache(Zone(5))
    assert cache.ask(100.5) == Told(5, 100.5)
    assert cache.ask(101.4) == Told(5, 100.5)
    assert cache.ask(101.5) == Told(4, 100.5)
    assert cache.ask(105.4) == Told(1, 100.5)
    assert cache.ask(105.5) == Told(5, 105.5)


def test_a_cache_keeps_what_another_has_nearly_forgotten_for_its_own_least_time() -> None:
    first = Cache(Zone(5))
    first.ask(0.0)
    assert Cache(first).ask(4.5) == Told(5, 0.0)
    assert Cache(first, least=1).ask(4.5) == Told(1, 0.0)
    assert Cache(Zone(60)).ask(0.0) == Told(30, 0.0)


def test_a_cache_keeps_no_failure() -> None:
    buckets = [0] * 100
    cache = Cache(Counted(Zone(5), buckets, Outage(1.0, 2.0, SERVFAIL)))
    assert cache.ask(1.5) is SERVFAIL
    assert cache.ask(2.0) == Told(5, 2.0)
    assert (buckets[15], buckets[20], sum(buckets)) == (1, 1, 2)


def test_a_lookup_that_nobody_answers_is_two_queries_and_a_failure_after_three_seconds() -> None:
    def asked(times: list[float]) -> Iterator[float]:
        class Silent:
            def ask(self, now: float) -> Told | None:
                times.append(now)
                return None

        client = library()(Silent(), 5, 10.0, random.Random(1), News(0, 100))
        assert isinstance(client, Library)
        now = 10.0
        while True:
            now = client.step(now)
            yield now

    times: list[float] = []
    due = asked(times)
    assert next(due) == 11.0
    assert 13.0 <= next(due) <= 13.5
    assert times == [10.0, 11.0]


def test_news_is_dated_by_the_zone() -> None:
    news = News(0.0, 100.0)
    news.heard(10.0, 2.0, 8.0)  # a change between 2 and 8 is known at 10: after 2 to 8 s
    assert (news.mean, news.worst) == (5.0, 8.0)
    news.heard(200.0, 8.0, 199.0)  # outside of the window
    assert (news.mean, news.worst) == (5.0, 8.0)


def test_windows_find_the_worst_second_wherever_it_begins() -> None:
    window = Window([0] * 5 + [3] * 10 + [0] * 5)
    assert (window.mean, window.peak, window.peak_tenth) == (15.0, 30, 30)


def test_every_client_asks_on_its_node() -> None:
    outcome = Fleet(100, 5, library(), Dns(pods=10), spread=5.0, begin=60, end=120).run()
    assert outcome.counted.mean == pytest.approx(10 / 5, rel=0.1)


def test_one_cache_or_five_make_no_difference_to_many() -> None:
    peaks = [fleet(LIBRARY, 1_000, 5, Dns(replicas)).run().counted.peak for replicas in (1, 2, 5)]
    assert max(peaks) < 1.1 * min(peaks)
