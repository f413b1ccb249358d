"""What another process, another run and another thread see."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections import Counter
from itertools import cycle

import pytest

from headless_discovery import Peer
from headless_discovery.balance import RoundRobin, Weighted

from .world import pod, pods

PICKS = """
from headless_discovery import Peer, PeerSet
from headless_discovery.balance import Subset, make
peers = PeerSet(Peer(f"10.0.0.{i}", 80, f"web-{i}.svc", weight=1 + i % 3) for i in {5, 3, 1, 4, 2, 0})
for name in ("consistent_hash", "ring_hash", "maglev", "rendezvous", "jump_hash", "bounded_load"):
    picker = make(name, None).build(peers, None)
    print(name, *(picker.pick(key).ordinal for key in ("a", b"b", 3, "ключ")))
    print(*(peer.ordinal for peer in picker.pick_many(6, "a")))
print(*sorted(p.ordinal for p in Subset("random", 3, "me").build(peers, None).pick_many(3)))
for name in ("random", "least_loaded", "round_robin", "weighted"):
    picker = make(name, 12).build(peers, None)
    print(name, *(picker.pick().ordinal for _ in range(12)))
"""


def test_picks_are_the_same_in_every_process() -> None:
    outputs = {
        subprocess.run(
            [sys.executable, "-c", PICKS],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONIOENCODING": "utf-8"},
            check=True,
            capture_output=True,
        ).stdout
        for seed in ("0", "1", "4711")
    }
    (output,) = outputs
    assert output.count(b"\n") == 17


FORKED = """
import os
from headless_discovery import Peer, PeerSet
from headless_discovery.balance import make
picker = make("random", None).build(PeerSet(Peer(f"10.0.0.{i}") for i in range(200)), None)
for child in range(2):
    if not os.fork():
        print(*(picker.pick() for _ in range(20)), flush=True)
        os._exit(0)
    os.wait()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_forked_children_draw_for_themselves() -> None:
    done = subprocess.run([sys.executable, "-c", FORKED], check=True, capture_output=True, text=True)
    one, other = done.stdout.splitlines()
    assert one != other


def test_where_other_threads_take_the_turns_there_is_still_a_peer() -> None:
    turns = RoundRobin().build(pods(3), None)
    turns._turn = cycle([pod(0)])  # all the turns that this thread gets
    assert turns.pick(None, [pod(0)]) in pods(range(1, 3))
    assert set(turns.pick_many(3)) == set(pods(3))
    weighted = Weighted().build(pods(3), None)
    weighted._turn = lambda: weighted._round.index(pod(0))
    assert weighted.pick(None, [pod(0)]) in pods(range(1, 3))
    assert set(weighted.pick_many(3)) == set(pods(3))


@pytest.mark.parametrize("strategy", [RoundRobin(), Weighted()], ids=["round_robin", "weighted"])
def test_turns_are_never_given_twice(strategy: RoundRobin | Weighted) -> None:
    picker = strategy.build(pods(5), None)
    ready = threading.Barrier(8)
    picked: list[list[Peer]] = [[] for _ in range(8)]

    def work(mine: list[Peer]) -> None:
        ready.wait()
        mine += [picker.pick() for _ in range(1000)]

    threads = [threading.Thread(target=work, args=(mine,)) for mine in picked]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert Counter(peer for mine in picked for peer in mine) == dict.fromkeys(pods(5), 1600)
