"""What is in an answer: odd, hostile or just unusual records."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable
from itertools import pairwise

import pytest

from headless_discovery import LookupFailed, Peer, PeerSet
from headless_discovery.testing import Exchange, Raw, Send, record
from headless_discovery.testing.faults import Action, framed
from headless_discovery.testing.message import AA, Record, join

from .matrix import NAME, SRV_NAME, World, at, row

Answering = Callable[[Exchange], Iterable[Action]]


def _edited(edit: Callable[[Exchange], bytes]) -> Answering:
    def answer(x: Exchange) -> Iterable[Action]:
        yield Send(edit(x))

    return answer


@row("The same record several times", "One peer")
def duplicate_records(w: World) -> None:
    with w.watch() as svc, w.watch(port="http") as named:
        twice = _edited(lambda x: x.reply(answer=x.records.answer * 3, additional=x.records.additional * 2))
        with w.fault(twice):
            w.is_well(svc)
            w.is_well(named)
        w.recovers(svc)


@row("A CNAME loop", "A failure, after 8 links")
def cname_loop(w: World) -> None:
    loop = _edited(
        lambda x: x.reply(answer=[record(x.name, "CNAME", 5, "b.example"), record("b.example", "CNAME", 5, x.name)])
    )
    with w.watch() as svc:
        with w.fault(loop):
            w.keeps(svc, "CNAME chain longer than 8, or a loop")
        w.recovers(svc)


def _chain(w: World, links: int) -> str:
    names = [f"c{number}.example.com" for number in range(links)] + [NAME]
    for name, target in pairwise(names):
        w.dns.record(name, "CNAME", 5, target)
    return names[0]


@row("A chain of 8 CNAMEs", "Followed")
def cname_chain_of_8(w: World) -> None:
    with w.watch(_chain(w, 8)) as svc:
        w.is_well(svc)


@row("A chain of 9 CNAMEs", "A failure")
def cname_chain_of_9(w: World) -> None:
    name = _chain(w, 9)
    svc = w.make(name)
    try:
        with pytest.raises(LookupFailed, match="CNAME chain longer than 8"):
            svc.start()
        assert "CNAME chain longer than 8" in str(svc.status.error)
        w.dns.remove_record(name)
        w.dns.record(name, "CNAME", 5, NAME)
        svc.wait_for(3, 20)
        w.is_well(svc)
    finally:
        svc.close()


@row('The SRV target is "."', "Nobody, as RFC 2782 has it; with grace, for there is no SOA")
def srv_target_dot(w: World) -> None:
    with w.watch(port="http") as svc:
        before = svc.peers()
        dot = _edited(lambda x: x.reply(answer=[record(x.name, "SRV", 5, "0 0 0 .")]))
        with w.fault(dot, qtype="SRV"):
            for _ in range(5):
                assert svc.refresh() is before
            assert "empty_grace" in str(svc.status.error)
        w.recovers(svc)


@row("An SRV target is a CNAME", "Its address is found by asking for it")
def srv_target_is_a_cname(w: World) -> None:
    w.dns.record("_http._tcp.db.example.com", "SRV", 5, "0 1 80 alias.example.com.")
    w.dns.record("alias.example.com", "CNAME", 5, "real.example.com.")
    w.dns.record("real.example.com", "A", 5, "10.0.0.9")
    with w.watch("_http._tcp.db.example.com", None) as svc:
        assert svc.peers() == PeerSet([Peer("10.0.0.9", 80, "alias.example.com")])
        w.is_well(svc, ["10.0.0.9"])


@row("Glue for names that no SRV record names", "Ignored")
def glue_for_others(w: World) -> None:
    def more(x: Exchange) -> bytes:
        honest = x.records
        evil = [record("web-9." + NAME, "A", 5, "10.6.6.6"), record("evil.example", "A", 5, "10.6.6.7")]
        return x.reply(answer=honest.answer, additional=[*evil, *honest.additional])

    with w.watch(port="http") as svc:
        with w.fault(_edited(more)):
            w.is_well(svc)
        w.recovers(svc)


@row("Addresses of other names in the answer section", "Ignored")
def answers_for_others(w: World) -> None:
    def more(x: Exchange) -> bytes:
        return x.reply(answer=[record("evil.example", "A", 5, "10.6.6.6"), *x.records.answer])

    with w.watch() as svc:
        with w.fault(_edited(more)):
            w.is_well(svc)
        w.recovers(svc)


@row("One address under two SRV targets", "One peer: the newest answer's target, then a stable name, then the lowest")
def one_address_under_two_targets(w: World) -> None:
    w.dns.record(SRV_NAME, "SRV", 5, f"0 1 8080 zz.{NAME}.", f"0 1 8080 10-0-0-1.{NAME}.", f"0 1 8080 aa.{NAME}.")
    for target in ("zz", "10-0-0-1", "aa"):
        w.dns.record(f"{target}.{NAME}", "A", 5, "10.0.0.1")
    with w.watch(port="http") as svc:
        assert at(svc.peers()) == {f"aa.{NAME}": ("10.0.0.1", 8080)}
        w.dns.remove_record(SRV_NAME)
        w.dns.record(SRV_NAME, "SRV", 5, f"0 1 8080 zz.{NAME}.")
        svc.refresh()
        assert at(svc.peers()) == {f"zz.{NAME}": ("10.0.0.1", 8080)}
        w.is_well(svc, ["10.0.0.1"])


@row("The old and the new address of web-0 in one answer", "Both are peers, until the old one is not in an answer")
def old_and_new_address(w: World) -> None:
    old = w.web.pods[0]
    with w.watch(port="http") as svc:
        new = w.web.restart(0)

        def both(x: Exchange) -> bytes:
            honest = x.records
            glue = [*honest.additional, record(old.fqdn, "A", 5, old.address)]
            return x.reply(answer=honest.answer, additional=glue)

        with w.fault(_edited(both)):
            svc.refresh()
            assert {old.address, new.address} <= set(svc.peers().addresses)
            assert svc.status.error is None
        w.settles(svc)
        w.recovers(svc)


@row(
    "A pod of a StatefulSet restarts: the same name, another address",
    "Its address is replaced by the first answer that has it",
)
def a_restart(w: World) -> None:
    with w.watch(port="http") as svc:
        identity = svc.peers()[1].identity
        new = w.web.restart(1)
        w.is_well(svc)
        assert svc.peers()[1].address == new.address
        assert svc.peers()[1].identity == identity
        w.recovers(svc)


@row("All pods under one hostname", "All are peers; the name identifies none of them")
def one_hostname(w: World) -> None:
    w.pods(4, hostnames=["db"])
    with w.watch(port="http") as svc:
        w.is_well(svc)
        assert {peer.hostname for peer in svc.peers()} == {f"db.{NAME}"}
        assert {peer.identity for peer in svc.peers()} == {peer.netloc for peer in svc.peers()}
        w.recovers(svc)


@row("A hostname looks like the dashed address of another pod", "It has the address that DNS gives it")
def misleading_hostname(w: World) -> None:
    w.pods(["10.0.0.1", "10.0.0.2"], hostnames=["10-0-0-2", "10-0-0-1"])
    with w.watch(port="http") as svc:
        expected = {f"10-0-0-2.{NAME}": ("10.0.0.1", 8080), f"10-0-0-1.{NAME}": ("10.0.0.2", 8080)}
        assert at(svc.peers()) == expected
        w.is_well(svc)
        w.recovers(svc)


@row("A dashed hostname that is no pod's address, without glue", "Asked for by its name, not taken at its word")
def lying_dashed_hostname(w: World) -> None:
    w.dns.record(SRV_NAME, "SRV", 5, f"0 1 8080 10-6-6-6.{NAME}.", glue=False)
    w.dns.record(f"10-6-6-6.{NAME}", "A", 5, "10.0.0.1")
    with w.watch(port="http") as svc:
        assert at(svc.peers()) == {f"10-6-6-6.{NAME}": ("10.0.0.1", 8080)}


def _owner_pointing(target: int) -> bytes:
    return struct.pack("!H", 0xC000 | target)


def _bomb(x: Exchange, owner: bytes) -> bytes:
    header = struct.pack("!6H", x.question.id, 0x8400, 1, 1, 0, 0)
    return header + x.question.question_bytes + owner + struct.pack("!HHIH", 1, 1, 5, 4) + bytes([10, 6, 6, 6])


@row(
    "Compression pointers to themselves, forwards, in a circle, and long chains of them", "No loop: garbage, a failure"
)
def pointer_bombs(w: World) -> None:
    at_owner = 12 + len(NAME) + 2 + 4
    circle = _owner_pointing(at_owner + 2) + _owner_pointing(at_owner)
    bombs = [
        _owner_pointing(at_owner),
        _owner_pointing(at_owner + 14),
        circle,
        b"\xff\xff",
        b"\x80\x01",
        b"\x41" + b"a" * 65,
    ]
    with w.watch() as svc:
        for bomb in bombs:
            with w.fault(_edited(lambda x, bomb=bomb: _bomb(x, bomb))):  # type: ignore[misc]
                w.keeps(svc, "no DNS message", 1)
        w.recovers(svc)


@row("Names of 255 bytes by compression, in 4,000 records", "Read in no time: an answer for another name, a failure")
def long_names(w: World) -> None:
    labels = join(*[b"a" * 60] * 3, suffix=b"\0")

    def long(x: Exchange) -> bytes:
        return x.reply(answer=[Record(labels, 1, 5, n.to_bytes(4, "big")) for n in range(0x0A000000, 0x0A000FA0)])

    with w.watch(tcp="always") as svc:
        before = svc.peers()
        with w.fault(_edited(long)):
            w.keeps(svc, "answers for another name")
            assert svc.peers() is before
        w.recovers(svc)


@row("Unknown record types and classes beside the addresses", "Ignored")
def unknown_types(w: World) -> None:
    def odd(x: Exchange) -> bytes:
        strange = [Record(x.question.owner, 65400, 5, b"\1\2\3"), record(x.name, "TXT", 5, '"10.6.6.6"')]
        return x.reply(
            answer=[strange[0], *x.records.answer, strange[1], record(x.name, "HTTPS", 5, "1 . ipv4hint=10.6.6.6")],
            authority=[record("moon.svc.cluster.local", "DS", 5, "1 8 2 " + "00" * 32)],
            additional=[*x.records.additional, strange[0]],
        )

    with w.watch() as svc, w.watch(port="http") as by_srv:
        with w.fault(_edited(odd)):
            w.is_well(svc)
            w.is_well(by_srv)
        w.recovers(svc)


@row("An address record of class CH among the others", "Ignored: it is no address of ours")
def other_class(w: World) -> None:
    def chaos(x: Exchange) -> bytes:
        honest = x.answer
        lie = x.question.owner + struct.pack("!HHIH", 1, 3, 5, 4) + bytes([10, 6, 6, 6])
        opt = honest[-11:]
        counts = struct.pack("!4H", 1, 4, 0, 1)
        return honest[:4] + counts + honest[12:-11] + lie + opt

    with w.watch() as svc:
        with w.fault(_edited(chaos)):
            w.is_well(svc)
        w.recovers(svc)


@row("OPT oddities: options, another version's flags, a size of 0, OPT although none was sent", "Read all the same")
def opt_oddities(w: World) -> None:
    def opt(size: int, flags: int, data: bytes) -> Callable[[Exchange], bytes]:
        def edit(x: Exchange) -> bytes:
            bare = x.answer[:-11] if x.question.edns is not None else x.answer
            count = struct.unpack_from("!H", bare, 10)[0] + (x.question.edns is None)
            return (
                bare[:10]
                + struct.pack("!H", count)
                + bare[12:]
                + struct.pack("!BHHIH", 0, 41, size, flags, len(data))
                + data
            )

        return edit

    cookie = struct.pack("!HH", 10, 16) + b"c" * 16
    with w.watch() as svc:
        for edit in (opt(0, 0, b""), opt(65535, 0x8000, b""), opt(1232, 0, cookie), opt(512, 0x0001_7FFF, cookie * 3)):
            with w.fault(_edited(edit)):
                w.is_well(svc)
        w.recovers(svc)


@row("Two OPT records", "Garbage (RFC 6891, 6.1.1): a failure")
def two_opts(w: World) -> None:
    def edit(x: Exchange) -> bytes:
        honest = x.answer
        count = struct.unpack_from("!H", honest, 10)[0] + 1
        return honest[:10] + struct.pack("!H", count) + honest[12:] + honest[-11:]

    with w.watch() as svc:
        with w.fault(_edited(edit)):
            w.keeps(svc, "no DNS message", 1)
        w.recovers(svc)


@row("Owners in random upper and lower case", "The same names (RFC 4343)")
def random_case(w: World) -> None:
    def mixed(name: bytes) -> bytes:
        return bytes(c - 32 if 97 <= c <= 122 and place % 2 else c for place, c in enumerate(name))

    def edit(x: Exchange) -> bytes:
        honest = x.records
        answer = [r._replace(owner=mixed(r.owner)) for r in honest.answer]
        glue = [r._replace(owner=mixed(r.owner)) for r in honest.additional]
        data = x.reply(answer=answer, additional=glue)
        return data[:12] + mixed(x.question.owner) + data[12 + len(x.question.owner) :]

    with w.watch() as svc, w.watch(port="http") as by_srv:
        before = by_srv.peers()
        with w.fault(_edited(edit)):
            w.is_well(svc)
            assert by_srv.refresh() is before
        w.recovers(svc)


@row(
    "An SRV record with port 0, or weight and priority at their ends",
    "Taken as they are; `status.error` tells of the port",
)
def extreme_srv(w: World) -> None:
    w.dns.record(SRV_NAME, "SRV", 5, f"0 0 0 a.{NAME}.", f"65535 65535 65535 b.{NAME}.")
    w.dns.record(f"a.{NAME}", "A", 5, "10.0.0.1")
    w.dns.record(f"b.{NAME}", "A", 5, "10.0.0.2")
    with w.watch(port="http") as svc:
        assert [(p.port, p.priority) for p in svc.peers()] == [(0, 0), (65535, 65535)]
        assert "port 0" in str(svc.status.error)


REFUSED = {
    "169.254.169.254": "link-local",
    "0.0.0.0": "unspecified",
    "224.0.0.1": "multicast",
    "255.255.255.255": "multicast",
}


@row(
    "Link-local (169.254.169.254), unspecified or multicast addresses among the others",
    "Refused; `status.error` names them",
)
def refused_addresses(w: World) -> None:
    with w.watch() as svc:
        for address, why in REFUSED.items():
            more = _edited(lambda x, a=address: x.reply(answer=[record(x.name, "A", 5, a), *x.records.answer]))  # type: ignore[misc]
            with w.fault(more):
                w.warns(svc, f"1 addresses refused: {address} .{why}")
        w.recovers(svc)


@row("All addresses are refused, or outside `allow_networks`", "A failure, not an empty set: the peers stay")
def filtered_to_nothing(w: World) -> None:
    with w.watch() as svc, w.watch(allow_networks=["10.0.0.0/8"]) as inside:
        for address, watcher in (("169.254.169.254", svc), ("192.168.0.1", inside)):
            only = _edited(lambda x, a=address: x.reply(answer=[record(x.name, "A", 5, a)]))  # type: ignore[misc]
            with w.fault(only):
                w.keeps(watcher, f"no usable address. .*{address}", 1)
        w.recovers(svc)


@row("AAAA ::ffff:169.254.169.254, a v4-mapped metadata address", "Unwrapped first, then refused")
def mapped_metadata(w: World) -> None:
    w.pods(["fd00::1"], ports=None)
    with w.watch(family="ipv6") as svc:
        mapped = record(NAME, "AAAA", 5, "::ffff:169.254.169.254")
        with w.fault(_edited(lambda x: x.reply(answer=[mapped]))):
            w.keeps(svc, r"169\.254\.169\.254 .link-local", 1)
        with w.fault(_edited(lambda x: x.reply(answer=[mapped, *x.records.answer]))):
            w.warns(svc, r"169\.254\.169\.254 .link-local")
        svc.refresh()
        assert svc.status.error is None


@row(
    "A TCP message of 65,535 bytes of nonsense, and one of 0 bytes",
    "A failure, or nobody's answer; no more is read than a message",
)
def nonsense_over_tcp(w: World) -> None:
    def nonsense(x: Exchange) -> Iterable[Action]:
        head = struct.pack("!6H", x.question.id, 0x8400, 1, 0xFFFF, 0xFFFF, 0xFFFF) + x.question.question_bytes
        yield Raw(framed(b"") + framed(head + b"\xc0" * (65535 - len(head))))

    with w.watch(tcp="always") as svc:
        with w.fault(nonsense):
            w.keeps(svc, "no DNS message", 1)
        w.recovers(svc)


@row("An answer with AA clear and RA set: a resolver in between", "As good as any")
def recursive(w: World) -> None:
    with w.watch() as svc:
        with w.fault(_edited(lambda x: x.reply(answer=x.records.answer, flags=0x80))):
            w.is_well(svc)
        with w.fault(_edited(lambda x: x.reply(answer=x.records.answer, flags=AA | 0x80))):
            w.is_well(svc)
        w.recovers(svc)
