"""Between the sockets: silence, strangers' datagrams, and all that TCP can do."""

from __future__ import annotations

import struct
from collections.abc import Iterable

from headless_discovery.testing import Close, Exchange, Raw, Send, record
from headless_discovery.testing.faults import Action

from .matrix import World, row


@row("No answer", "The lookup fails after `timeout` seconds and names each server; the set stays")
def silence(w: World) -> None:
    with w.watch(timeout=0.2) as svc:
        with w.fault("timeout"):
            w.keeps(svc, f"{w.dns.nameserver} timed out")
        w.recovers(svc)


@row("The answer is slow, but comes in time", "It is waited for; nothing else waits")
def slow(w: World) -> None:
    with w.watch() as svc:
        with w.fault("slow", delay=0.2):
            w.is_well(svc)
            assert w.dns.count() == 2
        w.recovers(svc)


@row("The first attempt is lost", "A second one, after 1 s, from another port with another id")
def lost_once(w: World) -> None:
    with w.watch() as svc:
        w.dns.clear_queries()
        with w.fault("timeout", times=1):
            w.is_well(svc)
        first, second = w.dns.queries
        assert first.source != second.source
        assert (first.edns, second.edns) == (1232, None)
        w.recovers(svc)


@row("ICMP port unreachable: the DNS server restarts", "The lookup fails at once; the set stays")
def unreachable(w: World) -> None:
    with w.watch() as svc:
        with w.fault("unreachable"):
            w.keeps(svc, f"{w.dns.nameserver} cannot be reached .Connection refused")
        w.recovers(svc)


def _strangers(w: World, fault: str, *, alone: bool = True) -> None:
    """Ignored: the right answer behind them counts, and where there is none the lookup times out."""
    with w.watch(timeout=0.3) as svc:
        for transport in ("never", "always"):
            if transport == "always" and fault == "wrong-source":
                continue
            with w.watch(tcp=transport) as other, w.fault(fault):
                w.is_well(other)
        if alone:
            with w.fault(fault, then_right=False):
                w.keeps(svc, "timed out")
        w.recovers(svc)


@row("A wrong id, then the right answer", "Only the right one counts, over UDP and TCP")
def wrong_id(w: World) -> None:
    _strangers(w, "wrong-id")


@row("An answer to another question, with addresses in it, then the right one", "Only the right one counts")
def wrong_question(w: World) -> None:
    _strangers(w, "wrong-question")


@row("An answer from another port than the one that was asked", "The kernel drops it: sockets are connected")
def wrong_source(w: World) -> None:
    _strangers(w, "wrong-source")


@row("A message with QR=0, then the answer", "Only the answer counts")
def not_a_response(w: World) -> None:
    _strangers(w, "not-a-response")


@row("A duplicate: two datagrams, or two messages in one TCP segment", "The first counts; the socket is closed by then")
def duplicate(w: World) -> None:
    for transport in ("never", "always"):
        with w.watch(tcp=transport) as svc:
            with w.fault("duplicate", copies=3):
                w.is_well(svc)
                w.is_well(svc)
            w.recovers(svc)


@row(
    "The right id and question, and garbage behind them",
    "A failure that says so; that server is not asked again at once",
)
def garbage_behind_the_question(w: World) -> None:
    def nonsense(x: Exchange) -> Iterable[Action]:
        yield Send(struct.pack("!6H", x.question.id, 0x8400, 1, 1, 0, 0) + x.question.question_bytes + b"\xff\xc0" * 20)

    with w.watch() as svc:
        with w.fault(nonsense):
            w.keeps(svc, f"{w.dns.nameserver} sent what is no DNS message")
        w.recovers(svc)


@row("The right id, and garbage in place of the question", "Nobody's answer: ignored until time is over")
def garbage(w: World) -> None:
    with w.watch(timeout=0.2) as svc:
        with w.fault("garbage"):
            w.keeps(svc, "timed out")
        w.recovers(svc)


@row("An answer cut off in mid-record, without TC", "A failure, not an answer with fewer peers")
def cut_in_the_middle(w: World) -> None:
    with w.watch() as svc:
        for size in (60, 100, 150):
            with w.fault("short", size=size):
                w.keeps(svc, "sent what is no DNS message", 1)
        w.recovers(svc)


@row("An empty datagram", "Nobody's answer: ignored until time is over")
def empty_datagram(w: World) -> None:
    with w.watch(timeout=0.2) as svc:
        with w.fault("empty"):
            w.keeps(svc, "timed out", 1)
        w.recovers(svc)


def _big(w: World) -> None:
    w.pods(100)  # 73 fit into a datagram


@row("TC over UDP", "TCP for the whole answer, and straight to TCP the next time")
def truncated(w: World) -> None:
    _big(w)
    with w.watch() as svc:
        assert len(svc.peers()) == 100
        w.dns.clear_queries()
        w.is_well(svc)
        assert [query.transport for query in w.dns.queries] == ["tcp"]
        w.recovers(svc)


def _tcp_trouble(w: World, fault: str, error: str, **options: object) -> None:
    """UDP is cut and TCP fails: the part that UDP brought adds peers and removes none, and `status` says why."""
    _big(w)
    with w.watch() as svc:
        before = svc.peers()
        gone = w.web.remove(0)
        new = w.web.add()
        with w.fault(fault, **options):
            for _ in range(3):
                svc.refresh()
                assert svc.peers() >= before
            status = svc.status
            assert not status.complete
            assert status.failures == 0
            assert f"{w.dns.nameserver} {error}" in str(status.error), status
        w.settles(svc)
        assert new.address in svc.peers().addresses
        assert gone.address not in svc.peers().addresses
        w.recovers(svc)


@row("TC over UDP, and TCP is refused", "The UDP part counts as an incomplete answer: it adds, and removes nobody")
def tcp_refused(w: World) -> None:
    _tcp_trouble(w, "tcp-refused", "cannot be reached by TCP (Connection refused)")


@row("The TCP connection is reset in place of an answer", "As for TCP refused")
def tcp_reset(w: World) -> None:
    _tcp_trouble(w, "tcp-reset", "broke the TCP connection (Connection reset by peer)")


@row("The TCP connection is reset in the middle of the message", "As for TCP refused: half a message is none")
def tcp_cut_by_reset(w: World) -> None:
    _tcp_trouble(w, "tcp-cut", "broke the TCP connection (Connection reset by peer)")


@row("The TCP connection is closed in the middle of the message", "As for TCP refused")
def tcp_cut_by_close(w: World) -> None:
    _tcp_trouble(w, "tcp-cut", "closed the TCP connection before it had answered", reset=False)


@row("The TCP connection is closed in place of an answer, as idle ones are", "As for TCP refused")
def tcp_closed_before(w: World) -> None:
    _tcp_trouble(w, "tcp-close", "closed the TCP connection before it had answered")


@row("TCP says more bytes than it sends, then closes", "As for TCP refused")
def tcp_length_too_long(w: World) -> None:
    def lie(x: Exchange) -> Iterable[Action]:
        yield Raw(struct.pack("!H", len(x.answer) + 10) + x.answer)
        yield Close()

    _tcp_trouble(w, lie, "closed the TCP connection before it had answered", transport="tcp")  # type: ignore[arg-type]


@row("TCP says fewer bytes than it sends", "Half a message is no DNS message: as for TCP refused")
def tcp_length_too_short(w: World) -> None:
    _tcp_trouble(w, "tcp-length", "sent what is no DNS message", off_by=-10)


@row("A TCP connection is accepted and never answered", "Given up after 3 s at most; as for TCP refused")
def tcp_stall(w: World) -> None:
    w.monkeypatch.setattr("headless_discovery.servers.TCP_EXCHANGE", 0.2)
    _tcp_trouble(w, "tcp-stall", "timed out (TCP)")


@row("TCP dribbles a byte at a time", "The message is put together")
def tcp_dribble(w: World) -> None:
    with w.watch(tcp="always") as svc:
        with w.fault("tcp-dribble"):
            w.is_well(svc)
        w.recovers(svc)


def _sources(w: World) -> list[tuple[str, int]]:
    return [query.source for query in w.dns.queries if query.transport == "tcp"]


@row("A TCP connection is kept for the next refresh", "One connection for all refreshes; UDP has a new port for each")
def tcp_kept(w: World) -> None:
    for transport, connections in (("always", 1), ("never", 3)):
        with w.watch(tcp=transport) as svc:
            w.dns.clear_queries()
            for _ in range(3):
                w.is_well(svc)
            assert len({query.source for query in w.dns.queries}) == connections
            w.recovers(svc)


@row("The connection is closed after the answer", "The next refresh opens another")
def tcp_closed_after(w: World) -> None:
    with w.watch(tcp="always") as svc:
        with w.fault("tcp-close-after"):
            w.is_well(svc)
            w.is_well(svc)
            first, second = _sources(w)[-2:]
            assert first != second
        w.recovers(svc)


@row("The server ends the kept connection while it is idle", "The next refresh opens another; it costs no failure")
def tcp_ended_while_idle(w: World) -> None:
    for reset in (False, True):
        with w.watch(tcp="always") as svc:
            w.is_well(svc)
            w.dns.drop_connections(reset=reset)
            w.is_well(svc)
            first, second = _sources(w)[-2:]
            assert first != second
            w.recovers(svc)


@row(
    "The server ends the kept connection when the query arrives",
    "The same query goes over a new connection, once; it costs no failure",
)
def tcp_ended_at_the_query(w: World) -> None:
    for fault in ("tcp-close", "tcp-reset"):
        with w.watch(tcp="always") as svc:
            w.is_well(svc)
            with w.fault(fault, times=1):
                w.is_well(svc)
            kept, other = w.dns.queries[-2:]
            assert kept.source != other.source
            assert kept.message == other.message
            with w.fault(fault):  # the new one too: that is a failure
                w.keeps(svc, "TCP connection")
            w.recovers(svc)


@row("The kept connection is dead, and nobody says so", "After 1 s without a word the query goes over a new connection")
def tcp_silent_when_kept(w: World) -> None:
    with w.watch(tcp="always") as svc:
        w.is_well(svc)
        with w.fault("tcp-stall", times=1):
            w.is_well(svc)
        first, second = _sources(w)[-2:]
        assert first != second
        w.recovers(svc)


@row("A second message on the kept connection, unasked", "It is not waited for, and is nobody's answer")
def tcp_unasked(w: World) -> None:
    with w.watch(tcp="always") as svc:
        with w.fault("duplicate", transport="tcp"):
            w.is_well(svc)
        w.is_well(svc)
        first, second = _sources(w)[-2:]
        assert first != second
        w.recovers(svc)


@row('`tcp="always"`, and TCP is refused', "The lookup fails; the set stays")
def tcp_always_refused(w: World) -> None:
    with w.watch(tcp="always") as svc:
        with w.fault("tcp-refused"):
            w.keeps(svc, "cannot be reached by TCP .Connection refused")
        w.recovers(svc)


@row("A firewall drops questions with EDNS", "The second attempt, after 1 s, goes without EDNS")
def edns_dropped(w: World) -> None:
    with w.watch() as svc:
        with w.fault("edns-drop"):
            w.is_well(svc)
            assert [query.edns for query in w.dns.queries[-2:]] == [1232, None]
        w.recovers(svc)


def _edns_refused(w: World, fault: str) -> None:
    with w.watch() as svc:
        w.dns.clear_queries()
        with w.fault(fault):
            w.is_well(svc)
            w.is_well(svc)
            assert [query.edns for query in w.dns.queries] == [1232, None, None]
        w.recovers(svc)


@row("FORMERR without a question section, because of EDNS", "Asked again without EDNS; remembered for this server")
def edns_formerr(w: World) -> None:
    _edns_refused(w, "edns-formerr")


@row("BADVERS", "Asked again without EDNS; remembered for this server")
def edns_badvers(w: World) -> None:
    _edns_refused(w, "edns-badvers")


@row("FORMERR also without EDNS", "The lookup fails; the set stays")
def formerr(w: World) -> None:
    with w.watch() as svc:
        with w.fault("FORMERR"):
            w.keeps(svc, f"{w.dns.nameserver} said FORMERR")
        w.recovers(svc)


@row("A thousand forged answers with random ids and addresses, then the right one", "Only the right one counts")
def flood(w: World) -> None:
    def forge(x: Exchange) -> Iterable[Action]:
        lie = x.reply(answer=[record(x.name, "A", 86400, "10.6.6.6")])
        for number in range(1000):
            ident = (x.question.id + 1 + number) & 0xFFFF
            yield Send(struct.pack("!H", ident) + lie[2:])
        yield Send(x.answer)

    with w.watch() as svc:
        with w.fault(forge, times=1):
            w.settles(svc)  # a flood may push the right one out of the socket's buffer: then there is a second attempt
        w.recovers(svc)
