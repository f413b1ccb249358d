"""Several DNS servers, and replicas behind one address."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from headless_discovery import LookupFailed
from headless_discovery.message import A
from headless_discovery.testing import DNSServer
from sansio import NS1, NS2, SVC, Client, Net, Watch, a_part, found, nxdomain

from .matrix import World, row


@contextmanager
def _two(w: World, second: DNSServer, **options: Any) -> Iterator[Any]:
    with w.watch(nameservers=[w.dns.nameserver, second.nameserver], **options) as svc:
        yield svc


@contextmanager
def _behind(w: World, first: DNSServer, **options: Any) -> Iterator[Any]:
    with w.watch(nameservers=[first.nameserver, w.dns.nameserver], **options) as svc:
        yield svc


@row("The first server is lame", "The next one answers, and comes first from then on")
def lame_first(w: World) -> None:
    first = w.server()
    with w.fault("lame", first), _behind(w, first) as svc:
        w.is_well(svc)
        assert (first.count(), w.dns.count()) == (1, 2)
        w.web.add()
        w.settles(svc)
        assert first.count() == 1


@row("The first server cannot be reached", "The next one answers, without waiting")
def unreachable_first(w: World) -> None:
    first = w.server()
    with w.fault("unreachable", first), _behind(w, first) as svc:
        w.is_well(svc)
        assert svc.status.queries == 3
        w.recovers(svc)


@row("The first server is silent", "The next one is asked after 1 s; from then on first")
def silent_first(w: World) -> None:
    first = w.server()
    with w.fault("timeout", first), _behind(w, first) as svc:
        w.is_well(svc)
        assert (first.count(), w.dns.count()) == (1, 2)
        w.recovers(svc)


@row("The first server is back", "Tried first again every 30 s", virtual=True)
def the_first_is_back() -> None:
    broken = True
    net = Net(
        {
            NS1: lambda *_: "cannot be reached" if broken else found(SVC, A, "10.0.0.1"),
            NS2: lambda *_: found(SVC, A, "10.0.0.1"),
        }
    )
    client = Client(net)
    assert client.ask().server == NS2
    broken = False
    net.now += 29
    assert client.ask().server == NS2
    net.now += 2
    assert client.ask().server == NS1


@row(
    "The first server times out, the second (a public one) says NXDOMAIN",
    "A failure: only a server that ever had the name may say that it is gone",
)
def second_server_says_nxdomain(w: World) -> None:
    public = w.server()
    with _two(w, public, timeout=1.5) as svc:
        before = svc.peers()
        with w.fault("timeout"), w.fault("NXDOMAIN", public):
            w.keeps(svc, f"{public.nameserver} says there are none, but {w.dns.nameserver} timed out", 1)
        assert svc.peers() is before
        w.recovers(svc)


@row("As before, with SERVFAIL in place of the time-out, again and again", "Never evidence, however often")
def second_server_says_nxdomain_again_and_again(w: World) -> None:
    public = w.server()
    with _two(w, public, empty_grace=0) as svc:
        with w.fault("SERVFAIL"), w.fault("NODATA", public):
            w.keeps(svc, f"{public.nameserver} says there are none, but {w.dns.nameserver} said SERVFAIL", 5)
        w.recovers(svc)


@row("All servers say NXDOMAIN", "An empty answer, judged by `empty_grace`")
def all_servers_say_nxdomain(w: World) -> None:
    second = w.server()
    with _two(w, second, empty_grace=0) as svc:
        w.web.scale(0)
        assert not svc.refresh()
        assert svc.status.state == "empty"
        w.recovers(svc)


@row(
    "Two replicas behind one address alternate old and new sets",
    "The new peers join and stay; who is gone from both leaves",
)
def replicas_that_disagree(w: World) -> None:
    w.pods(3, replicas=2)
    with w.watch() as svc:
        w.web.freeze(1)
        new = w.web.scale(5)[3:]
        for _ in range(2):
            svc.refresh()
        assert len(svc.peers()) == 5
        for _ in range(10):
            svc.refresh()
            assert {pod.address for pod in new} <= set(svc.peers().addresses)
        w.web.thaw()
        w.web.remove(0)
        w.settles(svc)
        w.recovers(svc)


@row(
    "Two replicas disagree for 20 s about a pod that left",
    "It may come and go with their answers, for each is complete; nobody else moves",
    virtual=True,
)
def replicas_that_disagree_about_a_leave() -> None:
    watch = Watch()
    watch.hear(a_part(1, 2, 3))
    watch.now = 100
    for _ in range(4):
        watch.hear(a_part(1, 2), after=5)
        assert {"10.0.0.1", "10.0.0.2"} <= set(watch.addresses)
        watch.hear(a_part(1, 2, 3), after=0.5)
        assert set(watch.addresses) == {"10.0.0.1", "10.0.0.2", "10.0.0.3"}
    watch.hear(a_part(1, 2), after=5)
    watch.hear(a_part(1, 2), after=5)
    assert watch.addresses == ("10.0.0.1", "10.0.0.2")


@row("An older answer arrives after a newer one", "Its socket is closed: nobody reads it")
def an_older_answer_arrives_last(w: World) -> None:
    with w.watch() as svc:
        with w.fault("hold", times=1):
            answered = w.dns.count() + 2
            w.web.scale(2)  # what the held answer says
            refresh = threading.Thread(target=svc.refresh)
            refresh.start()
            w.dns.wait_for_queries(answered - 1)
            w.web.scale(6)
            refresh.join()
            assert len(svc.peers()) >= 6
            w.dns.release()
        w.settles(svc)
        w.recovers(svc)


@row("The DNS server restarts", "Failures meanwhile; then all is well")
def restart(w: World) -> None:
    with w.watch() as svc:
        w.dns.stop()
        w.keeps(svc, "cannot be reached")
        w.dns.start()
        w.recovers(svc)


@row(
    "NXDOMAIN at the first lookup, from a fallback server and from the first one",
    "The fallback's alone is no answer: the lookup fails. The first one's is believed",
    virtual=True,
)
def nxdomain_at_first() -> None:
    net = Net({NS1: lambda *_: None, NS2: lambda *_: nxdomain()})
    with pytest.raises(LookupFailed, match="says there are none, but"):
        Client(net).ask()
    net.servers = {NS1: lambda *_: nxdomain(), NS2: lambda *_: None}
    assert Client(net).ask().parts[0].negative
