"""What a row of the fault matrix is, and the words that rows are written in.

A row sets up servers, watches a service, makes something go wrong, and says what has to hold then and afterwards. What
holds for all rows is checked for each of them here: no pod that is in DNS was ever removed, every subscriber has a
consistent history, and no socket, thread, task or subscription is left behind.
"""

from __future__ import annotations

import asyncio
import importlib
import os
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from tenacity import wait_fixed

from headless_discovery import HeadlessService, LookupFailed, Peer, PeerSet, Status, aio, aresolve, resolve
from headless_discovery.iothread import io
from headless_discovery.testing import DNSServer
from headless_discovery.testing.cluster import Service
from headless_discovery.testing.server import Fault
from support.subscribers import Record, assert_consistent, eventually
from support.twins import AsyncTwin, Loop, SyncTwin, Twin
from support.virtual import VirtualHost

NAME = "headless-svc.moon.svc.cluster.local"
SRV_NAME = f"_http._tcp.{NAME}"
SEARCH = ("moon.svc.cluster.local", "svc.cluster.local", "cluster.local")
TTL = 30  # seconds: longer than any row takes, so that nobody asks but refresh() and retries after failures
RETRY = 0.1  # seconds

SECTIONS = (
    "transport",
    "rcodes",
    "servers",
    "fallback",
    "cuts",
    "glue",
    "ttls",
    "families",
    "search",
    "walk",
    "hosts",
    "records",
    "targets",
    "names",
    "use",
)

Body: TypeAlias = "Callable[[World], None] | Callable[[], None]"


@dataclass(frozen=True)
class Row:
    """`happens` and `does` are the cells of the table; `virtual` rows run the sans-IO core in virtual time."""

    section: str
    name: str
    happens: str
    does: str
    body: Callable[..., None]
    virtual: bool


ROWS: list[Row] = []


def row(happens: str, does: str, *, virtual: bool = False) -> Callable[[Callable[..., None]], Callable[..., None]]:
    def register(body: Callable[..., None]) -> Callable[..., None]:
        section = body.__module__.rpartition(".")[2]
        ROWS.append(Row(section, body.__name__.replace("_", "-"), happens, does, body, virtual))
        return body

    return register


def rows(section: str) -> list[Row]:
    importlib.import_module(f"faults.{section}")
    return [found for found in ROWS if found.section == section]


class World:
    """What one row plays in: DNS servers, a cluster with the service `web`, watchers of either kind."""

    def __init__(self, twin: Twin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.twin = twin
        self.tmp_path = tmp_path
        self.monkeypatch = monkeypatch
        self._stack = ExitStack()
        self._loop = Loop() if twin is AsyncTwin else None
        self._records: list[Record] = []
        self._watching = Record()
        self.dns = self.server()
        self._web: Service | None = None
        # Peers that DNS has by other means than `web`, or that it takes away: what may be removed is up to the row.
        self.gone: set[str] = set()

    # Servers.

    def server(self, **options: Any) -> DNSServer:
        return self._stack.enter_context(DNSServer(**{"ttl": TTL, "cache": False, **options}))

    @property
    def web(self) -> Service:
        if self._web is None:
            self.pods(3)
        assert self._web is not None
        return self._web

    def pods(self, pods: Any, **options: Any) -> Service:
        """The service, where three pods of a StatefulSet with the port http 8080 are not what the row needs."""
        self._web = self.dns.service("headless-svc", "moon", pods=pods, **{"ports": {"http": 8080}, **options})
        return self._web

    def conf(self, *servers: DNSServer | str, options: str = "ndots:5", search: tuple[str, ...] = SEARCH) -> Path:
        """A resolv.conf, put where it belongs by renaming it there, as kubelets do."""
        return write_conf(self.tmp_path, *servers, options=options, search=search)

    # Watching.

    @contextmanager
    def watch(self, target: Any = NAME, port: int | str | None = 8080, **options: Any) -> Iterator[Any]:
        """A started service whose history is checked at the end."""
        with self.make(target, port, **options) as svc:
            record = Record()
            self._watching = record
            with svc.watch(record):
                record.calls(1)
                yield svc
                record.told(svc.peers())
            assert_consistent(record.changes)
            self._records.append(record)

    def make(self, target: Any = NAME, port: int | str | None = 8080, **options: Any) -> Any:
        _ = self.web  # there, whatever the row asks for
        if "://" not in str(target):
            options.setdefault("nameservers", [self.dns.nameserver])
        if options["nameservers"] is None:
            del options["nameservers"]
        options = {"min_ttl": 0, "retry_wait": wait_fixed(RETRY), **options}
        if self._loop is not None:
            return AsyncTwin(target, port, loop=self._loop, **options)
        return SyncTwin(target, port, **options)

    def resolve(self, target: Any = NAME, port: int | str | None = 8080, **options: Any) -> PeerSet:
        """The one-shot of this kind."""
        _ = self.web
        options.setdefault("nameservers", [self.dns.nameserver])
        if options["nameservers"] is None:
            del options["nameservers"]
        if self._loop is not None:
            return self._loop.run(aresolve(target, port, **options))
        return resolve(target, port, **options)

    def begin(self, svc: Any) -> None:
        """Start it without waiting."""
        svc.changes().close()

    def end(self, svc: Any) -> None:
        """Close it; the async twin's loop goes on."""
        if self._loop is not None:
            self._loop.run(svc.service.close())
        else:
            svc.close()

    def is_asking(self, svc: Any) -> bool:
        core = svc._service if self._loop is None else svc.service._service
        return any(name.in_flight for name in core._names)

    def open_sockets(self) -> int:
        """That lookups have open at this moment."""
        if self._loop is None:
            return len(io._callbacks)
        return len(aio._host_of(self._loop.loop).sockets)

    # What must hold.

    def keeps(self, svc: Any, error: str, refreshes: int = 2) -> None:
        """Each refresh fails with an error like `error`, which `status` has too; the set is the same object still."""
        before, failures = svc.peers(), svc.status.failures
        assert before, "nothing to keep"
        for _ in range(refreshes):
            with pytest.raises(LookupFailed, match=error):
                svc.refresh()
            assert svc.peers() is before
            assert svc.pick() in before
        status = svc.status
        assert status.failures >= failures + refreshes
        assert status.consecutive_failures >= refreshes
        assert re.search(error, str(status.error)), status

    def warns(self, svc: Any, warning: str) -> None:
        """Refreshing changes nothing and is no failure; `status.error` says what is odd."""
        before, failures = svc.peers(), svc.status.failures
        assert svc.refresh() is before
        status = svc.status
        assert re.search(warning, str(status.error)), status
        assert status.failures == failures

    def is_well(self, svc: Any, addresses: Collection[str] | None = None, *, complete: bool = True) -> None:
        """One refresh, and the set is right, with nothing to complain about."""
        svc.refresh()
        assert sorted(svc.peers().addresses) == sorted(self.web.addresses if addresses is None else addresses)
        status: Status = svc.status
        assert (status.state, status.error, status.consecutive_failures) == ("fresh", None, 0)
        assert status.complete is complete

    def settles(self, svc: Any, addresses: Collection[str] | None = None) -> None:
        """As `is_well` after some refreshes: who is younger than 10 s leaves by two answers only, 1 ms apart."""
        wanted = sorted(self.web.addresses if addresses is None else addresses)
        self.until(svc, lambda peers: sorted(peers.addresses) == wanted)
        self.is_well(svc, wanted)

    def until(self, svc: Any, condition: Callable[[PeerSet], bool], refreshes: int = 100) -> None:
        """Refresh until it is so; a failed test after that."""
        for _ in range(refreshes):
            if condition(svc.refresh()):
                return
        raise AssertionError(f"not after {refreshes} refreshes, but {svc.peers()}: {svc.status}")

    def recovers(self, svc: Any) -> None:
        """The fault ends. By itself, or with the next refresh, the service is right again, and has the news too."""
        self.dns.recover()
        self.web.add()
        failing = svc.status.consecutive_failures
        if failing:  # the retry is on its way: nobody has to ask for it
            svc.wait_for(len(self.web.addresses), 20)
            eventually(lambda: svc.status.consecutive_failures == 0, "the end of the failures")
        self.settles(svc)

    @contextmanager
    def fault(self, what: Any, server: DNSServer | None = None, /, **options: Any) -> Iterator[Fault]:
        """A fault that has to be met."""
        closes = what in ("unreachable", "tcp-refused")
        with (server or self.dns).fail(what, **options) as fault:
            yield fault
            assert closes or fault.hits, "the fault was never met"

    def moved(self, svc: Any) -> tuple[int, int]:
        """How many endpoints were removed and added since the start, as the newest watcher's subscriber was told."""
        changes = self._watching.told(svc.peers())[1:]
        return sum(len(change.removed) for change in changes), sum(len(change.added) for change in changes)

    def stays(self, svc: Any, endpoints: Collection[Any], refreshes: int = 10, queries: int = 60) -> None:
        """All are there, and while nothing changes nobody is removed or added; no refresh takes more queries."""
        self.has(svc, endpoints)
        moved = self.moved(svc)
        for _ in range(refreshes):
            asked_before = self.dns.count()
            svc.refresh()
            asked = self.dns.count() - asked_before
            assert asked <= queries, f"{asked} queries"
        assert self.moved(svc) == moved, f"removed and added: {moved} before, {self.moved(svc)} now"
        self.has(svc, endpoints)

    def has(self, svc: Any, endpoints: Collection[Any]) -> None:
        found, wanted = {peer.endpoint for peer in svc.peers()}, set(endpoints)
        lacking, too_many = wanted - found, found - wanted
        assert found == wanted, (
            f"{len(lacking)} lacking: {sorted(lacking)[:5]}; {len(too_many)} too many: {sorted(too_many)[:5]}; "
            f"{svc.status}"
        )

    # The end.

    def close(self) -> None:
        try:
            self._check_history()
            if self._loop is not None:
                self._check_loop(self._loop)
        finally:
            if self._loop is not None:
                self._loop.stop()
            self._stack.close()

    def _check_history(self) -> None:
        """Rule 1: nobody who is in DNS was removed. (No address is ever given to another pod.)"""
        there = set(self._web.addresses if self._web is not None else ()) - self.gone
        for record in self._records:
            for change in record.changes:
                false = there.intersection(change.removed.addresses)
                assert not false, f"removed, though in DNS: {sorted(false)}"

    def _check_loop(self, loop: Loop) -> None:
        reference = aio._hosts.get(loop.loop)
        host = None if reference is None else reference()
        if host is not None:
            assert not host.sockets, "sockets are left open"
            eventually(lambda: not host._tasks, "the end of the callbacks")
        tasks = loop.call(lambda: asyncio.all_tasks(loop.loop))
        assert len(tasks) == 1, tasks  # the one that keeps the loop running


def write_conf(
    folder: Path, *servers: DNSServer | str, options: str = "ndots:5", search: tuple[str, ...] = SEARCH
) -> Path:
    lines = [f"nameserver {s if isinstance(s, str) else s.nameserver}" for s in servers]
    new = folder / "resolv.conf.new"
    new.write_text("\n".join([*lines, f"search {' '.join(search)}" if search else "", f"options {options}", ""]))
    path = folder / "resolv.conf"
    os.replace(new, path)
    return path


class Later:
    """A service over real sockets in virtual time, for rows whose rules take minutes: `after(31)` lets them pass."""

    def __init__(self, target: str, port: int | str | None = 8080, **options: Any) -> None:
        self._host = VirtualHost()
        self._service = HeadlessService(target, port, **options)
        self._core = self._host.begin(self._service)
        self._host.run(0.5)

    def __enter__(self) -> Later:
        return self

    def __exit__(self, *_: object) -> None:
        self._core.close("done")
        self._host.__exit__()

    def after(self, seconds: float) -> Later:
        self._host.run(seconds)
        return self

    @property
    def addresses(self) -> tuple[str, ...]:
        return self._core.live.peers.addresses

    @property
    def status(self) -> Status:
        return self._core.status(self._host.now)


def at(peers: PeerSet) -> dict[str, tuple[str, int | None]]:
    """Hostname to endpoint."""
    return {str(peer.hostname): peer.endpoint for peer in peers}


def named(service: Service, port: int = 8080) -> PeerSet:
    return PeerSet(Peer(pod.address, port, pod.fqdn) for pod in service.pods)


def due_after(svc: Any) -> float:
    """Seconds from the last answer to the next lookup: exact, however long ago that was."""
    status = svc.status
    return float(status.age + status.next_refresh_in)


def asked(dns: DNSServer) -> list[tuple[str, str]]:
    return [(query.name, query.qtype) for query in dns.queries]


# The page.

PAGE = Path(__file__).resolve().parents[2] / "docs" / "fault-matrix.md"
HEADINGS: Mapping[str, str] = {
    "transport": "Transport",
    "rcodes": "Response codes and negative answers",
    "servers": "Several servers",
    "fallback": "A fallback server that does not know the name",
    "cuts": "Answers that are cut short",
    "glue": "Dual stack, and SRV answers without all addresses",
    "ttls": "TTLs and age",
    "families": "IPv4 and IPv6, and types that a name lacks",
    "search": "Search lists and resolv.conf",
    "walk": "Wildcards, policies and failures on the search list",
    "hosts": "The hosts file and localhost",
    "records": "Records",
    "targets": "SRV targets",
    "names": "Records of another name",
    "use": "Use",
}

INTRODUCTION = """\
# Fault matrix

<!-- Made from tests/faults by `python tests/faults`; a test compares. -->

What can go wrong between a service and its DNS, and what the library does then. Every row is a test, for
`HeadlessService` and for `AsyncHeadlessService`, over real sockets against [the test server](testing.md); rows marked
*virtual time* drive the same core without sockets, where a rule takes minutes. `pytest tests/faults` runs them all,
`-k <row>` one of them.

In each row, beside what it says: the set is right or unchanged; nobody who is in DNS is removed; `status` says why
something is not as it should be; when the fault is over the service recovers by itself; every subscriber's changes are
consistent; no socket, thread, task or file descriptor is left behind.
"""


def page() -> str:
    parts = [INTRODUCTION]
    for section in SECTIONS:
        parts.append(f"\n## {HEADINGS[section]}\n\n| row | what happens | what the library does |\n|---|---|---|\n")
        for found in rows(section):
            mark = " *(virtual time)*" if found.virtual else ""
            parts.append(f"| `{found.name}` | {found.happens} | {found.does}{mark} |\n")
    return "".join(parts)
