"""An answer whose records belong to another name, as a rewrite without an answer rule makes it (CoreDNS, `rewrite`)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import pytest

from headless_discovery import LookupFailed
from headless_discovery.testing import Exchange, Send, record
from headless_discovery.testing.faults import Action
from headless_discovery.testing.message import AA, TC, Record

from .matrix import NAME, World, row

OTHER = "web.shop.svc.cluster.local"
SAID = "another name"
ASKED: tuple[dict[str, Any], ...] = (
    {"port": 8080},
    {"port": "http"},
    {"port": "auto"},
    {"port": 8080, "family": "any"},
    {"port": 8080, "family": "ipv6"},
)


@row(
    "All records of the answer belong to another name, A, AAAA or SRV",
    "A failure that says so, however often: never an empty answer",
)
def another_name(w: World) -> None:
    w.pods(3, family="dual")
    for options in ASKED:
        with w.watch(empty_grace=0, **options) as svc:
            with w.fault("other-name", other=OTHER):
                w.keeps(svc, SAID, 5)
            w.until(svc, lambda peers: svc.status.consecutive_failures == 0)
            assert svc.status.error is None


@row("The same from the start", "`start()` and `resolve()` raise it; no empty set")
def another_name_at_first(w: World) -> None:
    for options in ASKED[:4]:
        with w.fault("other-name", other=OTHER):
            with pytest.raises(LookupFailed, match=SAID):
                w.resolve(**options)
            svc = w.make(**options)
            with pytest.raises(LookupFailed, match=SAID):
                svc.start()
            assert svc.status.state == "starting"
        svc.wait_for(3, 20)
        svc.close()


@row("The same over TCP", "The same")
def another_name_over_tcp(w: World) -> None:
    w.pods(100)
    with w.watch(empty_grace=0) as svc:
        with w.fault("other-name", other=OTHER):
            w.keeps(svc, SAID, 3)
        w.recovers(svc)


def _answering(make: Callable[[Exchange], bytes]) -> Callable[[Exchange], Iterable[Action]]:
    def answer(x: Exchange) -> Iterable[Action]:
        yield Send(make(x))

    return answer


def _a(name: str, address: str = "10.6.6.6") -> Record:
    return record(name, "A", 5, address)


SHAPES: dict[str, Callable[[Exchange], bytes]] = {
    "with AA clear, as a resolver": lambda x: x.reply(answer=[_a(OTHER)], flags=0x80),
    "with an SOA": lambda x: x.reply(
        answer=[_a(OTHER)], authority=[record("cluster.local", "SOA", 5, "ns.dns. admin. 1 2 3 4 5")]
    ),
    "of two other names": lambda x: x.reply(answer=[_a(OTHER), _a("evil.example", "10.6.6.7")]),
    "behind a CNAME of another name": lambda x: x.reply(
        answer=[record(OTHER, "CNAME", 5, "b.example"), _a("b.example")]
    ),
    "with an unknown type of the right name": lambda x: x.reply(
        answer=[Record(x.question.owner, 65400, 5, b"\1"), _a(OTHER)]
    ),
    "a name below the one asked for": lambda x: x.reply(answer=[_a(f"web-0.{NAME}")]),
    "the name above the one asked for": lambda x: x.reply(answer=[_a(NAME.partition(".")[2])]),
    "SRV for an A question": lambda x: x.reply(answer=[record(OTHER, "SRV", 5, f"0 1 80 web-0.{OTHER}."), _a(OTHER)]),
}


@row(
    "The same in other shapes: behind a CNAME, with an SOA, two names, a name above or below, an unknown type",
    "The same",
)
def another_name_in_many_shapes(w: World) -> None:
    for shape in SHAPES.values():
        with w.watch(empty_grace=0) as svc:
            with w.fault(_answering(shape), name=NAME):
                w.keeps(svc, SAID, 3)
            w.recovers(svc)


@row(
    "The name is a CNAME, and the records are those of another name than its target",
    "The target is asked for: all is well",
)
def another_name_behind_a_cname(w: World) -> None:
    w.dns.record("alias.example.com", "CNAME", 30, NAME)

    def wrong(x: Exchange) -> bytes:
        return x.reply(answer=[record(x.name, "CNAME", 30, NAME), _a(OTHER)])

    with w.fault(_answering(wrong), name="alias.example.com"), w.watch("alias.example.com") as svc:
        w.is_well(svc)


@row("The first server answers for another name, the second one rightly", "The second one's answer")
def another_name_from_the_first(w: World) -> None:
    first = w.server()
    first.service("headless-svc", "moon", pods=["10.6.6.6"])
    with w.fault("other-name", first), w.watch(nameservers=[first.nameserver, w.dns.nameserver]) as svc:
        w.is_well(svc)


@row("Some records belong to the name, others do not", "The former count")
def partly_another_name(w: World) -> None:
    def partly(x: Exchange) -> bytes:
        return x.reply(answer=[_a(OTHER), *x.records.answer, _a("evil.example")])

    with w.watch() as svc:
        with w.fault(_answering(partly), name=NAME):
            w.is_well(svc)
        w.recovers(svc)


@row("The answer has records of other types only, and none of another name", "NODATA, judged by `empty_grace`")
def only_other_types(w: World) -> None:
    def text(x: Exchange) -> bytes:
        return x.reply(answer=[record(x.name, "TXT", 5, '"10.6.6.6"')])

    with w.watch() as svc:
        before = svc.peers()
        with w.fault(_answering(text), name=NAME):
            assert svc.refresh() is before
            assert "NODATA" in str(svc.status.error)
            assert svc.status.failures == 0
        w.recovers(svc)


@row("The answer for another name is cut (TC) everywhere", "A failure")
def another_name_cut(w: World) -> None:
    with w.watch(empty_grace=0) as svc:
        with w.fault(_answering(lambda x: x.reply(answer=[_a(OTHER)], flags=AA | TC)), name=NAME):
            w.keeps(svc, f"{SAID}|cut its answer", 3)
        w.recovers(svc)


# Extended errors and unknown records: common, and no reason to read slowly.


@row(
    "Every answer has an extended error (RFC 8914) and records of an unknown type in each section",
    "They are stepped over: 1,000 addresses and 300 SRV records are right, and read without dnspython",
)
def extras(w: World) -> None:
    w.pods(1000)
    small = w.dns.service("small", "moon", pods=300, family="dual", ports={"http": 8080})

    def no(*args: object, **options: object) -> None:
        raise AssertionError("dnspython reads a thousand records in 50 ms and more")

    for extra in ({}, {"error": 22, "text": "No Reachable Authority", "records": 3}, {"records": 0}, {"error": None}):
        with w.dns.fail("extras", **extra), w.monkeypatch.context() as patch:
            patch.setattr("dns.message.from_wire", no)
            with w.watch() as svc:
                w.is_well(svc)
            with w.watch(small.name, "http", timeout=30) as by_srv:
                assert len(by_srv.peers()) == 300
            with w.watch(small.name, family="any") as both:
                w.is_well(both, small.addresses)


@row("The same in negative answers, and under a CNAME", "The same")
def extras_in_negative_answers(w: World) -> None:
    w.dns.record("alias.example.com", "CNAME", 30, NAME)
    with w.dns.fail("extras", records=2), w.watch("alias.example.com", empty_grace=0) as svc:
        w.is_well(svc)
        w.web.scale(0)
        assert not svc.refresh()
        assert (svc.status.state, svc.status.error) == ("empty", None)
        w.web.scale(3)
        w.is_well(svc)
