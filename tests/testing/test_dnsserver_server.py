"""Sockets, threads, life and death of the server, and its log."""

from __future__ import annotations

import asyncio
import gc
import os
import socket
import threading
from concurrent.futures import ThreadPoolExecutor

import dns.asyncquery
import pytest

from headless_discovery.testing import DNSServer, Query
from support.own import link_local

from .conftest import Clock
from .dnsclient import (
    PATIENCE,
    addresses,
    ask,
    framed,
    question,
    rcode,
    read_message,
    tcp_socket,
    udp_socket,
    values,
)

NAME = "headless-svc.moon.svc.cluster.local"


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sock:
            sock.bind(("::1", 0))
    except OSError:
        return False
    return True


def test_construction_does_no_io() -> None:
    before = threading.active_count(), len(os.listdir("/proc/self/fd")) if os.path.exists("/proc/self/fd") else 0
    server = DNSServer()
    server.service("headless-svc", "moon")
    server.fail("timeout")
    server.recover()
    server.release()
    server.drop_connections()
    after = threading.active_count(), len(os.listdir("/proc/self/fd")) if os.path.exists("/proc/self/fd") else 0
    assert before == after
    assert not server.running
    with pytest.raises(RuntimeError, match="after start"):
        _ = server.nameserver
    assert repr(server) == "<DNSServer cluster.local not running>"


def test_udp_and_tcp_share_one_port_on_loopback(server: DNSServer) -> None:
    host, _, port = server.nameserver.rpartition(":")
    assert (host, int(port)) == ("127.0.0.1", server.port)
    assert repr(server) == f"<DNSServer cluster.local {server.nameserver}>"
    assert rcode(ask(server, NAME)) == rcode(ask(server, NAME, "A", "tcp")) == "NXDOMAIN"


@pytest.mark.skipif(not has_ipv6(), reason="no IPv6 loopback here")
def test_ipv6() -> None:
    with DNSServer(host="::1") as server:
        server.service("headless-svc", "moon")
        assert server.nameserver == f"[::1]:{server.port}"
        assert len(addresses(server, NAME)) == len(values(ask(server, NAME, "A", "tcp"))) == 3
        with server.fail("unreachable"), udp_socket(server) as sock:
            sock.send(b"x")
            with pytest.raises(ConnectionRefusedError):
                sock.recv(1)
        assert len(addresses(server, NAME)) == 3
        assert server.queries[0].source[0] == "::1"


def test_a_zone_of_another_name() -> None:
    with DNSServer(zone="Example.Org.") as server:
        assert server.zone == "example.org"
        web = server.service("web", "moon")
        assert web.name == "web.moon.svc.example.org"
        assert len(addresses(server, web.name)) == 3
        assert rcode(ask(server, NAME)) == "REFUSED"


def test_stop_is_idempotent_and_start_opens_the_same_port() -> None:
    server = DNSServer()
    server.stop()
    assert server.start() is server
    with pytest.raises(RuntimeError, match="is running"):
        server.start()
    nameserver = server.nameserver
    for _ in range(3):
        with tcp_socket(server) as kept:
            kept.sendall(framed(question(NAME).to_wire()))
            read_message(kept)
            server.stop()
            server.stop()
            assert kept.recv(1) == b""
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((server.host, server.port), 10)
        server.start()
        assert server.nameserver == nameserver
        assert rcode(ask(server, NAME)) == "NXDOMAIN"
    server.stop()


def test_a_taken_port_is_an_oserror(server: DNSServer) -> None:
    with pytest.raises(OSError):
        DNSServer(port=server.port).start()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        with pytest.raises(OSError):
            DNSServer(port=taken.getsockname()[1]).start()


@pytest.mark.skipif(not os.path.exists("/proc/self/fd"), reason="counts descriptors in /proc")
def test_a_stopped_server_leaves_no_thread_and_no_descriptor() -> None:
    gc.collect()
    before = threading.active_count(), len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        with DNSServer() as server, tcp_socket(server):
            server.fail("wrong-source", times=1)
            server.fail("hold")
            with udp_socket(server) as sock:
                sock.send(question(NAME).to_wire())
                sock.send(question(NAME).to_wire())
                server.wait_for_queries(2)
    assert (threading.active_count(), len(os.listdir("/proc/self/fd"))) == before


# --- TCP -----------------------------------------------------------------------------------------------------


def test_many_questions_on_several_kept_connections(server: DNSServer) -> None:
    server.service("headless-svc", "moon")
    with tcp_socket(server) as one, tcp_socket(server) as two, tcp_socket(server) as three:
        for _ in range(5):
            for sock in (one, two, three):
                query = question(NAME).to_wire()
                sock.sendall(framed(query))
                assert read_message(sock)[:2] == query[:2]
    assert server.count(transport="tcp") == 15
    assert len({query.source for query in server.queries}) == 3


def test_pipelined_and_split_questions(server: DNSServer) -> None:
    queries = [question(NAME).to_wire() for _ in range(20)]
    with tcp_socket(server) as sock:
        stream = b"".join(map(framed, queries))
        for start in range(0, len(stream), 7):
            sock.sendall(stream[start : start + 7])
        assert [read_message(sock)[:2] for _ in queries] == [query[:2] for query in queries]


def test_a_client_that_has_no_more_questions_gets_its_answers(live: DNSServer) -> None:
    live.service("headless-svc", "moon", pods=2000)
    live.fail("slow", delay=0.01)
    with tcp_socket(live) as sock:
        for _ in range(3):
            sock.sendall(framed(question(NAME).to_wire()))
        sock.shutdown(socket.SHUT_WR)
        assert [len(read_message(sock)) > 32_000 for _ in range(3)] == [True] * 3
        assert sock.recv(1) == b""


def test_a_slow_reader_delays_nobody(live: DNSServer) -> None:
    live.service("headless-svc", "moon", pods=3000)
    with tcp_socket(live) as slow:
        for _ in range(100):  # 4.8 MB of answers: more than the socket's buffers
            slow.sendall(framed(question(NAME).to_wire()))
        live.wait_for_queries(100, PATIENCE)
        assert len(values(ask(live, NAME, "A", "tcp"))) == 3000
        slow.shutdown(socket.SHUT_WR)
        for _ in range(100):
            assert len(read_message(slow)) > 48_000
        assert slow.recv(1) == b""


def test_no_question_is_read_after_a_close_that_waits_for_its_answers(live: DNSServer) -> None:
    live.service("headless-svc", "moon", pods=3000)
    with tcp_socket(live) as sock:
        sock.sendall(framed(question(NAME).to_wire()) * 100)
        live.wait_for_queries(100, PATIENCE)
        live.fail("tcp-close-after", times=1)
        sock.sendall(framed(question(NAME).to_wire()) * 3)
        live.wait_for_queries(101, PATIENCE)
        for _ in range(101):
            read_message(sock)
        assert sock.recv(1) == b""
    assert live.count() == 101


def test_clients_that_vanish_do_no_harm(live: DNSServer) -> None:
    live.service("headless-svc", "moon", pods=3000)
    for _ in range(5):
        with tcp_socket(live) as sock:
            for _ in range(5):
                sock.sendall(framed(question(NAME).to_wire()))
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        with udp_socket(live) as sock:
            sock.send(question(NAME).to_wire())
    assert len(values(ask(live, NAME, "A", "tcp"))) == 3000
    assert live.errors == []


# --- threads, asyncio, fork ----------------------------------------------------------------------------------


def test_asked_and_changed_from_many_threads(live: DNSServer) -> None:
    web = live.service("headless-svc", "moon", pods=5, ports=80)

    def work(number: int) -> int:
        for n in range(20):
            if number % 2:
                web.scale(5 + n % 3)
                web.restart(0)
            else:
                assert 5 <= len(values(ask(live, NAME, "SRV", "tcp" if n % 2 else "udp"))) <= 7
        return number

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(work, range(8))) == list(range(8))
    assert live.count() == 80
    assert live.errors == []


async def test_from_asyncio(server: DNSServer) -> None:
    server.service("headless-svc", "moon")
    answers = await asyncio.gather(
        *(dns.asyncquery.udp(question(NAME), server.host, timeout=PATIENCE, port=server.port) for _ in range(50))
    )
    assert {len(answer.answer[0]) for answer in answers} == {3}
    assert server.count(NAME, "A", "udp") == 50


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_may_leave_without_harm() -> None:
    import warnings

    with DNSServer() as server, tcp_socket(server) as kept:
        kept.sendall(framed(question(NAME).to_wire()))
        read_message(kept)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12: fork beside threads
            child = os.fork()
        if not child:
            server.stop()
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        kept.sendall(framed(question(NAME).to_wire()))
        assert len(read_message(kept)) > 12
        assert rcode(ask(server, NAME)) == "NXDOMAIN"


# --- the log -------------------------------------------------------------------------------------------------


def test_the_log_of_questions(server: DNSServer, clock: Clock) -> None:
    query = question("Headless-SVC.moon.svc.cluster.local", "SRV", 1400)
    with udp_socket(server) as sock:
        sock.send(query.to_wire())
        sock.recv(512)
        source = sock.getsockname()
    clock.advance(2)
    ask(server, "web-0." + NAME, "A", "tcp", edns=None)
    first, second = server.queries
    assert first == Query(NAME, "SRV", "udp", 1000.0, source, 1400, query.id, query.to_wire())
    assert (second.name, second.qtype, second.transport, second.time, second.edns) == (
        f"web-0.{NAME}",
        "A",
        "tcp",
        1002.0,
        None,
    )


def test_count_and_clear(server: DNSServer) -> None:
    web = server.service("headless-svc", "moon")
    for name, qtype, transport in ((NAME, "A", "udp"), (NAME, "SRV", "tcp"), (f"web-0.{NAME}", "A", "udp")):
        ask(server, name, qtype, transport)
    assert [server.count(), server.count(NAME), server.count(web), server.count("*")] == [3, 2, 3, 3]
    assert [server.count(qtype="A"), server.count(transport="tcp"), server.count(NAME, "A", "tcp")] == [2, 1, 0]
    server.clear_queries()
    assert server.queries == []
    assert server.count() == 0


def test_only_the_last_questions_are_kept() -> None:
    with DNSServer(max_queries=2) as server:
        for n in range(4):
            ask(server, f"n{n}.cluster.local")
        assert [query.name for query in server.queries] == ["n2.cluster.local", "n3.cluster.local"]


def test_waiting_for_questions(server: DNSServer) -> None:
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(server.wait_for_queries, 2, 10, qtype="SRV")
        ask(server, NAME, "SRV")
        ask(server, NAME, "A")
        assert not waiting.done()
        ask(server, NAME, "SRV")
        waiting.result(10)
    with pytest.raises(TimeoutError, match="2 of 3 questions"):
        server.wait_for_queries(3, 0.0, qtype="SRV")


def test_on_a_link_local_address() -> None:
    host = link_local()
    with DNSServer(host=host) as server:
        assert server.nameserver == f"[{host}]:{server.port}"
        server.service("headless-svc", "moon", pods=["10.0.0.1"])
        for transport in ("udp", "tcp"):
            assert values(ask(server, NAME, "A", transport)) == ["10.0.0.1"]
