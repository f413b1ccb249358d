"""A short soak in a process of its own, and whether it would notice what it is for."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from headless_discovery import Change, HeadlessService, Peer, PeerSet
from headless_discovery.testing import DNSServer
from support.subscribers import eventually

from .cluster import Target
from .report import PAGE, PLOT, nice, page, svg
from .run import History, Outcome, Sample, Watched

HERE = Path(__file__).parent


@pytest.mark.timeout(180)
def test_a_short_one() -> None:
    """`make soak` is the same for ten minutes. RSS is still warming up here, so its bound is wide."""
    done = subprocess.run(
        [sys.executable, str(HERE), "--check", "--seconds", "12"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr.strip()) == (0, ""), done.stderr
    outcome = json.loads(done.stdout)
    assert outcome["wrong"] == []
    assert outcome["growth"] < 16
    assert max(sample["threads"] for sample in outcome["samples"]) <= 1 + 32 + 4  # I/O, callbacks, ours
    totals = outcome["totals"]
    assert min(totals[name] for name in ("events", "faults", "failures", "changes", "callbacks", "closed")) > 0


def test_nobody_is_left_of_both_families() -> None:
    """Found by the soak: emptiness was told for A alone."""
    with DNSServer(ttl=1) as dns:
        service = dns.service("headless-svc", "moon", pods=2, family="ipv6")
        with HeadlessService(
            service.name, 8080, family="any", nameservers=[dns.nameserver], empty_grace=0, min_ttl=0
        ) as watched:
            assert len(watched.peers()) == 2
            service.scale(0)
            dns.forget()
            assert not watched.refresh()


# What would go wrong is noticed.


def history() -> tuple[History, list[str]]:
    wrong: list[str] = []
    return History(wrong.append), wrong


ONE, TWO = PeerSet([Peer("10.0.0.1", 1)]), PeerSet([Peer("10.0.0.1", 1), Peer("10.0.0.2", 1)])


def test_a_history_that_holds_together() -> None:
    told, wrong = history()
    told(Change(PeerSet(), ONE))
    told(Change(ONE, TWO))
    told(Change(TWO, PeerSet()))
    assert (wrong, told.calls) == ([], 3)


@pytest.mark.parametrize(
    "second",
    [Change(PeerSet(), TWO), Change(ONE, ONE), Change(TWO, ONE)],
    ids=["begins anew", "of nothing", "of another"],
)
def test_a_history_that_does_not(second: Change) -> None:
    told, wrong = history()
    told(Change(PeerSet(), ONE))
    told(second)
    assert wrong


def test_a_set_that_is_not_right() -> None:
    import random

    with DNSServer() as dns:
        service = dns.service("headless-svc", "moon", pods=["127.0.0.2", "127.0.0.3"], ports={"http": 8080})
        wrong: list[str] = []
        for records in ("a", "srv", "auto", "any"):
            target = Target(service.name, records)
            watched = Watched(target, None, wrong.append, random.Random(1), nameservers=[dns.nameserver])
            watched.service.start()
            truth = [set(service.addresses)]
            eventually(lambda watched=watched, truth=truth: watched.right(truth), "the right set")
            assert not watched.right([{"127.0.0.2"}])
            assert not watched.right([truth[0] | {"127.0.0.4"}])
            watched.histories[0].current = ONE  # a subscriber that was not told
            assert not watched.right(truth)
            assert watched.close()["closed"] == 1
        assert wrong == []


def test_the_page_and_the_plot_are_made_of_the_outcome() -> None:
    samples = [Sample(t, 50 + t, 3, 10 + t, 1, 1000, 0, 2 * t) for t in range(5)]
    outcome = Outcome(5, 200, 9, samples)
    outcome.totals.update(events=1234, closed=201)
    text = page("a\n<!-- soak: begin -->\nold\n<!-- soak: end -->\nb\n", outcome)
    assert text.startswith("a\n")
    assert text.endswith("\nb\n")
    assert "old" not in text
    assert "1,234 events" in text
    root = ElementTree.fromstring(svg(outcome))
    lines = [element.get("points", "").split() for element in root.iter() if element.tag.endswith("polyline")]
    assert [len(points) for points in lines] == [5] * 6
    assert [nice(value) for value in (0.3, 1, 3, 7, 11, 55, 100, 230)] == [1, 1, 4, 8, 20, 60, 100, 400]


def test_the_committed_page_has_them() -> None:
    assert PLOT.name in PAGE.read_text()
    ElementTree.parse(PLOT)
