"""TCP connections are kept between lookups: one for many, not for ever, and not without a service."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import pairwise

import pytest

from headless_discovery import HeadlessService
from headless_discovery.asker import Askers
from headless_discovery.connections import AGE_SPREAD, KEPT, MAX_AGE, STRANGERS, Connection, Connections
from headless_discovery.service import Service
from headless_discovery.target import Server
from headless_discovery.testing import DNSServer
from headless_discovery.wire import Frames, frame
from support.virtual import VirtualHost

NAME = "headless-svc.moon.svc.cluster.local"
TTL = 5


@pytest.fixture
def dns() -> Iterator[DNSServer]:
    with DNSServer(ttl=TTL) as dns:
        dns.service("headless-svc", "moon", pods=3)
        yield dns


@pytest.fixture
def host() -> Iterator[VirtualHost]:
    with VirtualHost() as host:
        yield host


def begin(host: VirtualHost, dns: DNSServer, name: str = NAME, **options: object) -> Service:
    options = {"tcp": "always", "nameservers": [dns.nameserver], **options}
    return host.begin(HeadlessService(name, 8080, **options))  # type: ignore[arg-type]


def sources(dns: DNSServer) -> list[tuple[str, int]]:
    return [query.source for query in dns.queries]


def test_one_is_used_for_a_minute(host: VirtualHost, dns: DNSServer) -> None:
    service = begin(host, dns)
    asked: dict[tuple[str, int], list[float]] = {}
    while len(asked) < 12:
        host.run(1)
        for source in sources(dns):
            asked.setdefault(source, []).append(host.now)
        dns.clear_queries()
    *used, _ = asked.values()
    ages = [times[-1] - times[0] for times in used]
    assert min(ages) > MAX_AGE * (1 - AGE_SPREAD) - 2 * TTL
    assert max(ages) < MAX_AGE * (1 + AGE_SPREAD)
    assert len({round(age) for age in ages}) > 2  # not all the same
    assert service.status(host.now).failures == 0
    service.close("done")


def test_it_is_closed_at_its_age_although_nobody_asks(host: VirtualHost, dns: DNSServer) -> None:
    service = begin(host, dns, min_ttl=3600, max_ttl=3600)
    host.run(MAX_AGE * (1 - AGE_SPREAD) - 1)
    assert host.open_sockets == 1
    host.run(MAX_AGE * 2 * AGE_SPREAD + 2)
    assert host.open_sockets == 0
    host.run(3600)
    assert service.status(host.now).failures == 0
    service.close("done")


def test_services_of_a_host_share_them(host: VirtualHost, dns: DNSServer) -> None:
    names = [dns.service(f"svc-{number}", "moon", pods=3).name for number in range(20)]
    services = [begin(host, dns, name) for name in names]
    host.run(MAX_AGE / 2)
    assert len(sources(dns)) >= 100
    assert len(set(sources(dns))) <= 20
    assert 1 <= host.open_sockets <= KEPT
    for service in services:
        assert host.open_sockets
        service.close("done")
    assert not host.open_sockets


# One connection, by hand.


class Asking:
    def __init__(self) -> None:
        self.heard: list[bytes] = []
        self.problem = ""
        self.answer: bytes | None = None  # None: whatever comes

    def alive(self) -> None:
        pass

    def received(self, message: bytes) -> bool:
        self.heard.append(message)
        return self.answer in (None, message)

    def lost(self, problem: str) -> None:
        self.problem = problem


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(10)
        yield listener


class Talk:
    """Both ends of one connection."""

    def __init__(self, host: VirtualHost, listener: socket.socket, stack: ExitStack) -> None:
        self.host = host
        self.asking = Asking()
        self.ours = Connection(host, Server(*listener.getsockname()), self.asking, b"first")
        stack.callback(self.ours.close)
        host.step()
        self.theirs, _ = listener.accept()
        stack.callback(self.theirs.close)
        self.theirs.settimeout(10)

    def read(self) -> bytes:
        return next(Frames().feed(self.theirs.recv(1000)))

    def write(self, data: bytes) -> None:
        self.theirs.sendall(data)
        self.host.step()


@pytest.fixture
def talk(host: VirtualHost, listener: socket.socket) -> Iterator[Talk]:
    with ExitStack() as stack:
        yield Talk(host, listener, stack)


def test_question_after_question(talk: Talk) -> None:
    assert talk.read() == b"first"
    talk.write(frame(b"an answer")[:4])
    assert talk.asking.heard == []
    talk.write(frame(b"an answer")[4:])
    assert talk.ours.wait(lambda _: None)
    talk.ours.ask(talk.asking, b"second")
    assert talk.read() == b"second"
    talk.write(frame(b"another"))
    assert talk.asking.heard == [b"an answer", b"another"]


@pytest.mark.parametrize("rest", [frame(b"unasked"), b"\0"])
def test_one_with_more_than_the_answer_does_not_wait(talk: Talk, rest: bytes) -> None:
    talk.write(frame(b"an answer") + rest)
    assert talk.asking.heard == [b"an answer"]
    assert not talk.ours.wait(lambda _: None)


@pytest.mark.parametrize("strangers", [STRANGERS - 1, STRANGERS, 30_000])
def test_many_messages_that_answer_nothing_end_it(talk: Talk, strangers: int) -> None:
    """64 KiB may be thirty thousand empty messages, and each of them takes as long as another."""
    talk.asking.answer = b"an answer"
    talk.write(frame(b"") * strangers + frame(b"an answer"))
    assert len(talk.asking.heard) == min(strangers + 1, STRANGERS)
    assert ("answer nothing" in talk.asking.problem) == (strangers >= STRANGERS)


def test_one_that_is_too_old_does_not_wait(talk: Talk) -> None:
    talk.write(frame(b"an answer"))
    talk.host.run(MAX_AGE * (1 + AGE_SPREAD))
    assert not talk.ours.wait(lambda _: None)


@pytest.mark.parametrize("unasked", [b"", frame(b"unasked")], ids=["its end", "a message"])
def test_what_comes_while_it_waits_ends_it(talk: Talk, unasked: bytes) -> None:
    dropped: list[Connection] = []
    talk.write(frame(b"an answer"))
    assert talk.ours.wait(dropped.append)
    if unasked:
        talk.write(unasked)
    else:
        talk.theirs.shutdown(socket.SHUT_WR)
        talk.host.step()
    assert dropped == [talk.ours]
    assert (talk.asking.heard, talk.asking.problem) == ([b"an answer"], "")
    with pytest.raises(OSError):
        talk.ours.ask(talk.asking, b"second")


def test_the_last_used_is_the_next_and_few_are_kept(host: VirtualHost, listener: socket.socket) -> None:
    connections = Connections(host)
    with ExitStack() as stack:
        talks = [Talk(host, listener, stack) for _ in range(KEPT + 1)]
        for talk in talks:
            talk.write(frame(b"an answer"))
            connections.keep(talk.ours)
        server = talks[0].ours.server
        assert host.open_sockets == KEPT
        assert connections.take(Server("127.0.0.2", server.port)) is None
        taken = connections.take(server)
        assert taken is talks[KEPT - 1].ours
        assert taken is not None
        connections.keep(taken)
        connections.close()
        assert host.open_sockets == 0
        assert connections.take(server) is None


def test_askers_live_as_long_as_they_are_used(host: VirtualHost) -> None:
    service = HeadlessService(NAME, 8080)._service
    askers, (question,) = Askers(host), service.target.questions
    first, second = askers.get(question, service.settings), askers.get(question, service.settings)
    assert first is second
    askers.release(first)
    assert askers.get(question, service.settings) is first
    askers.release(first)
    askers.release(first)
    assert askers.get(question, service.settings) is not first


def test_ages_differ(host: VirtualHost, listener: socket.socket) -> None:
    with ExitStack() as stack:
        ages = [Talk(host, listener, stack).ours.expires - host.now for _ in range(5)]
    assert all(MAX_AGE * (1 - AGE_SPREAD) <= age <= MAX_AGE * (1 + AGE_SPREAD) for age in ages)
    assert all(a != b for a, b in pairwise(ages))
