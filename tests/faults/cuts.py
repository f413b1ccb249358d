"""Answers that are cut short, with TC and without."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable

import pytest

from headless_discovery import LookupFailed
from headless_discovery.testing import Exchange, Send
from headless_discovery.testing.faults import Action
from headless_discovery.testing.message import AA, TC, address
from sansio import Watch, a_part, answer, srv_part

from .matrix import NAME, SRV_NAME, World, named, row


def _first(count: int, *, shuffled: bool = False) -> Callable[[Exchange], Iterable[Action]]:
    """TC with the first records only, or with any."""
    rng = random.Random(1)

    def cut(x: Exchange) -> Iterable[Action]:
        records = x.records.answer
        if shuffled:
            rng.shuffle(records)
        yield Send(x.reply(answer=records[:count], flags=AA | TC if len(records) > count else AA))

    return cut


@row(
    "5000 A records: TC over TCP, too, with 4,092 of them, others each time",
    "All are known after 3 refreshes; nobody is lost by chance",
)
def five_thousand(w: World) -> None:
    w.pods(5000, hostnames=None, ports=None)
    with w.watch() as svc:
        for _ in range(2):
            svc.refresh()
        assert set(svc.peers().addresses) == set(w.web.addresses)
        assert not svc.status.complete
        for _ in range(3):
            svc.refresh()
        assert len(svc.peers()) == 5000


@row(
    "A peer leaves a service of 5000",
    "After as many answers without it as chance does not explain (odds 1e-12)",
    virtual=True,
)
def a_leave_from_five_thousand() -> None:
    rng = random.Random(5)
    watch = Watch()
    pods = list(range(1, 5001))

    def next_answer() -> None:
        watch.now += 5
        watch.membership.answered(answer(a_part(*rng.sample(pods, 4092), complete=False)), watch.now)

    for _ in range(6):
        next_answer()
    assert len(watch.peers()) == 5000
    gone = bytes([10, 0, 0, pods.pop(7)])
    answers = 0
    while gone in watch.membership.held().members:
        next_answer()
        answers += 1
    assert 3 <= answers < 60
    assert len(watch.peers()) == 4999, "and nobody else"


@row("SRV cut by block, always the same subset", "Nobody is lost: who is not shown is asked for by its own name")
def srv_cut_by_block(w: World) -> None:
    w.pods(20)
    with w.watch(port="http") as svc:
        before = svc.peers()
        with w.fault(_first(8), name=SRV_NAME):
            for _ in range(6):
                assert svc.refresh() == before
            assert not svc.status.complete
            asked = {query.name for query in w.dns.queries}
            assert {pod.fqdn for pod in w.web.pods[8:]} <= asked
        w.recovers(svc)


@row("A pod that such answers never show goes", "Its own name says NXDOMAIN: it leaves, and only it")
def srv_cut_by_block_and_a_leave(w: World) -> None:
    w.pods(20)
    with w.watch(port="http") as svc:
        with w.fault(_first(8), name=SRV_NAME):
            w.web.remove(15)
            w.until(svc, lambda peers: peers == named(w.web))
            for _ in range(5):
                svc.refresh()
            assert svc.peers() == named(w.web)
        w.recovers(svc)


@row("Such answers, and the names of the pods cannot be asked", "Nothing is decided: all stay")
def srv_cut_by_block_and_silence(w: World) -> None:
    w.pods(12)
    with w.watch(port="http") as svc:
        before = svc.peers()
        with w.fault(_first(8), name=SRV_NAME), w.fault("SERVFAIL", name="web-*"):
            for _ in range(6):
                assert svc.refresh() == before
        w.recovers(svc)


@row(
    "3000 SRV that always show the same 1000, for a quarter of an hour",
    "2000 suspects, 50 questions a refresh; nobody is lost",
    virtual=True,
)
def three_thousand_srv() -> None:
    targets = {f"web-{i}": (f"10.0.{i >> 8}.{i & 255}",) for i in range(3000)}
    shown = dict(list(targets.items())[:1000])
    watch = Watch()
    watch.hear(srv_part(targets))
    held = watch.membership.held()
    part = srv_part(shown, complete=False)
    for _ in range(180):
        watch.now += 5
        suspects = watch.membership.held().verify[:50]
        verified = {target: held.members[target, 8080].addresses for target in suspects}  # type: ignore[union-attr]
        watch.membership.answered(answer(part, verified=verified), watch.now)
    assert len(watch.peers()) == 3000


@row(
    "SRV with TC over TCP, and glue behind it: only glue is missing",
    "A whole answer: the missing addresses are asked for",
)
def srv_without_all_glue(w: World) -> None:
    w.pods(30, glue=4)

    def cut(x: Exchange) -> Iterable[Action]:
        honest = x.records
        yield Send(x.reply(answer=honest.answer, additional=honest.additional[:4], flags=AA | TC))

    with w.fault(cut, name=SRV_NAME), w.watch(port="http", tcp="always") as svc:
        assert svc.peers() == named(w.web)
        w.web.remove(3)
        w.until(svc, lambda peers: peers == named(w.web))
        assert svc.status.complete


@row("1000 SRV with 113 of their addresses", "All at the first lookup; then 50 questions a refresh at most")
def a_thousand_srv(w: World) -> None:
    w.pods(1000, glue=113, ports={"http": 8080})
    with w.watch(port="http", timeout=30) as svc:
        assert svc.peers() == named(w.web)
        w.dns.clear_queries()
        svc.refresh()
        assert svc.peers() == named(w.web)
        assert w.dns.count() <= 52
        w.recovers(svc)


@row("TC without a record over UDP", "TCP answers")
def tc_without_records(w: World) -> None:
    with w.watch() as svc:
        with w.fault("truncate"):
            w.is_well(svc)
        w.recovers(svc)


@row("TC without a record over UDP and TCP", "A failure, no empty answer")
def tc_without_records_anywhere(w: World) -> None:
    with w.watch() as svc:
        with w.fault(_first(0)):
            w.keeps(svc, "cut its answer down to nothing")
        w.recovers(svc)


@row("TC over UDP with some records, TC over TCP with none", "The UDP part counts as an incomplete answer")
def tc_without_records_over_tcp(w: World) -> None:
    with w.watch() as svc:
        before = svc.peers()
        w.web.add()
        with w.fault(_first(3, shuffled=True), transport="udp"), w.fault(_first(0), transport="tcp"):
            for _ in range(9):
                assert svc.refresh() >= before
            assert len(svc.peers()) == 4
            assert "cut its answer down to nothing (TC) over TCP, too" in str(svc.status.error)
        w.recovers(svc)


@row(
    "UDP with TC, then a smaller answer over TCP, without TC",
    "The TCP answer is the whole one. Peers younger than 10 s leave after two of them",
)
def a_smaller_answer_over_tcp(w: World) -> None:
    w.pods(10)
    with w.watch() as svc:
        before = svc.peers()

        def three(x: Exchange) -> Iterable[Action]:
            honest = w.web.pods[:3]
            yield Send(x.reply(answer=[r for r in x.records.answer if _text(r.rdata) in {p.address for p in honest}]))

        with w.fault(_first(8), transport="udp"), w.fault(three, transport="tcp"):
            assert svc.refresh() is before, "one complete answer against peers that have just joined"
            w.until(svc, lambda peers: peers.addresses == tuple(pod.address for pod in w.web.pods[:3]))
            assert svc.status.complete
        w.gone.update(before.addresses)
        w.recovers(svc)


def _text(packed: bytes) -> str:
    return ".".join(map(str, packed))


@row(
    "The size moves around 73 records, the most that UDP has room for",
    "UDP, TCP and UDP again; the set is right throughout",
)
def around_73(w: World) -> None:
    w.pods(70)
    with w.watch() as svc:
        for size in (73, 74, 72, 75, 73, 74):
            w.web.scale(size)
            w.settles(svc)
        w.recovers(svc)


@row(
    '`tcp="never"` and TC',
    "Every answer is incomplete: peers are added, none removed by a cut of fewer than half of them",
)
def tcp_never(w: World) -> None:
    w.pods(20)
    with w.fault(_first(8, shuffled=True)), w.watch(tcp="never") as svc:
        while len(svc.peers()) < 20:
            svc.refresh()
        for _ in range(20):
            assert len(svc.refresh()) == 20
        assert not svc.status.complete
        assert w.dns.count(transport="tcp") == 0


def _sampled(w: World, sample: int, pods: int) -> None:
    """3 of 10, 8 of 20, without TC: `answers="sample"` knows; "all" cannot, and says what it looks like."""
    w.pods(pods, sample=sample, ports=None)
    with w.watch(answers="sample") as svc:
        while len(svc.peers()) < pods:
            svc.refresh()
        for _ in range(20):
            assert len(svc.refresh()) == pods
        assert (svc.status.error, svc.status.complete) == (None, False)


@row(
    'Samples without TC, 3 of 10 (Consul over UDP), `answers="sample"`',
    "The union; nobody is removed within 60 s of being seen",
)
def samples_of_3(w: World) -> None:
    _sampled(w, 3, 10)


@row('Samples without TC, 8 of 20 (AWS Cloud Map), `answers="sample"`', "The union")
def samples_of_8(w: World) -> None:
    _sampled(w, 8, 20)


@row('Samples without TC, 1 of 6, `answers="sample"`', "The union")
def samples_of_1(w: World) -> None:
    _sampled(w, 1, 6)


@row(
    'Samples, and `answers="all"`',
    "`status.error` says what it looks like and what to set; it is never switched silently",
)
def samples_taken_for_all(w: World) -> None:
    w.pods(10, sample=3, ports=None)
    w.gone.update(w.web.addresses)  # each answer is complete as far as anybody can tell
    with w.watch() as svc:
        for _ in range(60):
            svc.refresh()
            if svc.status.error is not None:
                break
        assert 'answers="sample"' in str(svc.status.error)


@row("A pod leaves a service whose answers are samples", "60 s after it was last seen, or 10 TTLs", virtual=True)
def a_leave_from_samples() -> None:
    rng = random.Random(2)
    watch = Watch(answers="sample")
    pods = list(range(1, 11))
    for _ in range(30):
        watch.hear(a_part(*rng.sample(pods, 3)), after=1)
    assert len(watch.peers()) == 10
    pods.remove(4)
    for _ in range(25):
        watch.hear(a_part(*rng.sample(pods, 3)), after=1)
        assert len(watch.peers()) == 10
    for _ in range(70):
        watch.hear(a_part(*rng.sample(pods, 3)), after=1)
        assert len(watch.peers()) >= 9
    assert "10.0.0.4" not in watch.addresses


@row("More addresses than `max_peers`", "A failure; the set stays as it is")
def more_than_max_peers(w: World) -> None:
    with w.watch(max_peers=50) as svc:
        before = svc.peers()
        w.web.scale(60)
        with pytest.raises(LookupFailed, match="60 records are more than max_peers=50"):
            svc.refresh()
        assert svc.peers() is before
        assert "max_peers=50" in str(svc.status.error)
        w.web.scale(40)
        w.recovers(svc)


@row("70,000 addresses, 4,092 an answer", "The union stops at `max_peers`: a failure, and memory stays bounded")
def seventy_thousand(w: World) -> None:
    rng = random.Random(3)

    def some(x: Exchange) -> Iterable[Action]:
        picked = rng.sample(range(70_000), 4092)
        records = [address(x.question.owner, 5, (0x0A000000 + n).to_bytes(4, "big")) for n in picked]
        yield Send(x.reply(answer=records[:60] if x.transport == "udp" else records, flags=AA | TC))

    with w.watch() as svc:
        with w.fault(some, name=NAME):
            with pytest.raises(LookupFailed, match="more than max_peers=10000"):
                svc.refresh()  # which takes several samples
            assert 4092 < len(svc.peers()) <= 10_000
            w.keeps(svc, "more than max_peers=10000", 1)
            assert "max_peers=10000" in str(svc.status.error)
        w.recovers(svc)
