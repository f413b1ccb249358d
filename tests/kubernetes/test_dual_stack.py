"""Services of hundreds of pods that have an IPv4 and an IPv6 address each: SRV answers have no room for all addresses.

The EndpointSlices are written by hand, with the fields that the EndpointSlice controller writes: 2300 pods are there in
a second. CoreDNS 1.15.0 answers the same where StatefulSet and Deployment controllers make the pods (80 s for 1150).
What it says over TCP, each time with TC:

* 700 pods with hostnames: 700 SRV records and, drawn anew for each answer, 810 to 840 of the 1400 address records. They
  belong to 575 to 595 of the pods: some show both addresses, some one of them, some none. 65,513 to 65,533 octets.
* 450 pods without: 900 SRV records, since each address is a target of its own (`10-244-1-7`, `fd00-10-244--107`), and
  79 to 82 of their 900 address records.

The A and AAAA records of the service's own name fit: 35,063 and 43,463 octets for 700 pods.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field

import pytest

from headless_discovery import Change, LookupFailed, aresolve, resolve
from support.twins import Twin, both_twins

from . import objects
from .clients import Client, Clients
from .control_plane import ZONE, ControlPlane
from .wire import Message

STATEFULSET, DEPLOYMENT = 700, 450  # pods
WATCHED = 60.0  # s
CHURN_EVERY = 5.0  # s, in two of the services
CHURN = 5  # so many pods move, as many leave, and as many come back
QUERIES = 60  # at most, in a refresh
KNOWN_WITHIN = {"statefulset": 20, "deployment": 3}  # lookups
SETTLES_WITHIN = (
    5  # lookups after the last change: one may read an old cache entry, a young pod leaves after two answers
)
DEADLINE = 60.0  # s, for a machine that is busy
WAYS = [(port, family) for port in ("http", "auto") for family in ("auto", "ipv4", "ipv6", "any")]
FAMILIES = {"auto": (0,), "ipv4": (0,), "ipv6": (1,), "any": (0, 1)}  # of a pod's addresses, those that must be there

Pod = tuple[str, str]  # IPv4, IPv6
numbers = itertools.count()


def new_pod() -> Pod:
    """Addresses that nobody had before; as long as those that the kubelet's pods have."""
    number = next(numbers)
    return f"10.242.{number // 250}.{number % 250 + 1}", f"fd00:10:242::{number + 1:x}"


class Workload:
    """A dual-stack service and its pods, in two EndpointSlices."""

    def __init__(self, cluster: ControlPlane, namespace: str, kind: str, number: int) -> None:
        self.service = (cluster.namespace(namespace), objects.SERVICE)
        self.name = f"{objects.SERVICE}.{namespace}.svc.{ZONE}"
        self.kind = kind
        self.size = number
        self.pods = {f"web-{ordinal}": new_pod() for ordinal in range(number)}
        self.stayed = set(self.pods)
        self._cluster = cluster
        self._away: dict[str, Pod] = {}
        self._order = itertools.cycle(list(self.pods))
        service = objects.service(namespace, selector={}, ports=[objects.NAMED_PORT], **objects.DUAL_STACK)
        cluster.apply(service, *self._slices())
        self._wait()

    def churn(self, *, last: bool = False) -> None:
        """Some pods get other addresses, some leave, and those who left the last time come back, every second one with
        the addresses it had. The `last` time all come back.
        """
        back, self._away = self._away, {}
        if not last:
            moved, left = ([next(self._order) for _ in range(CHURN)] for _ in range(2))
            self._away = {name: self.pods.pop(name) for name in left}
            self.pods.update({name: new_pod() for name in moved})
            self.stayed.difference_update(moved, left)
        self.pods.update({name: pod if n % 2 else new_pod() for n, (name, pod) in enumerate(back.items())})
        for thing in self._slices():
            namespace, name = thing["metadata"]["namespace"], thing["metadata"]["name"]
            self._cluster.api.patch("EndpointSlice", namespace, name, {"endpoints": thing["endpoints"]})
        self._wait()

    def addresses(self, family: str) -> set[str]:
        return {pod[which] for pod in self.pods.values() for which in FAMILIES[family]}

    def is_what(self, client: Client, family: str) -> bool:
        """Whether the client has all pods, nobody else, and each under its own name and with its own addresses."""
        peers = client.twin.peers()
        found = client.addresses if family == "any" else {peer.address for peer in peers}
        owners = {address: name for name, pod in self.pods.items() for address in pod}
        names = {peer: {owners.get(address) for address in peer.addresses} for peer in peers}
        return (
            found == self.addresses(family)
            and all(len(found) == 1 and None not in found for found in names.values())
            and (self.kind == "deployment" or all({_pod(peer.hostname)} == names[peer] for peer in peers))
        )

    def _slices(self) -> list[objects.Object]:
        return objects.dual_stack_slices(self.service[0], self.pods, hostnames=self.kind == "statefulset")

    def _wait(self) -> None:
        slices = self._cluster.slices
        wanted = self.addresses("any")
        self._cluster.wait(
            lambda: slices.addresses(self.service) | slices.addresses(self.service, 6) == wanted, "they are published"
        )


def _pod(hostname: str | None) -> str:
    return (hostname or "").partition(".")[0]


@dataclass
class Watched:
    """One client, and what is noted about each of its lookups."""

    workload: Workload
    client: Client
    port: str
    family: str
    queries: list[int] = field(default_factory=list)  # of each lookup
    known_after: int | None = None  # lookups until all pods were known
    settled_after: int | None = None  # lookups after the last change until all were known again
    changes: list[Change] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    trouble: str | None = None  # that the status tells in the end
    _counted: tuple[int, int] = 0, 0
    _last_change: int | None = None

    def look(self) -> None:
        status = self.client.twin.status
        lookups, queries = self._counted
        if status.lookups > lookups:
            self.queries += [(status.queries - queries) // (status.lookups - lookups)] * (status.lookups - lookups)
            self._counted = status.lookups, status.queries
            if not self.has_settled and self.workload.is_what(self.client, self.family):
                self.known_after = self.known_after or status.lookups
                if self._last_change is not None:
                    self.settled_after = status.lookups - self._last_change

    def all_has_changed(self) -> None:
        """That was the last change."""
        self._last_change = self.client.twin.status.lookups

    @property
    def has_settled(self) -> bool:
        return self.known_after is not None and (self._last_change is None or self.settled_after is not None)

    def end(self) -> None:
        status = self.client.twin.status
        # Where pods come back all the time, it may tell that they do.
        if status.state != "fresh" or not status.complete or (status.error is not None and self._last_change is None):
            self.trouble = f"{status.state}, complete={status.complete}, {status.error}"
        self.client.close()
        self.changes = list(self.client.record.changes)

    def count(self, what: str) -> int:
        """Of `added`, `removed` and `updated` peers after the first change, which is the first set."""
        return sum(len(getattr(change, what)) for change in self.changes[1:])

    @property
    def removed(self) -> list[str]:
        return [address for _, address, _ in self.client.removals]

    def __str__(self) -> str:
        return (
            f"{self.client.kind} {self.workload.service[0]} port={self.port!r} family={self.family!r}: "
            f"{self.queries[0]} queries in the first of {len(self.queries)} lookups, at most {max(self.queries[1:])} "
            f"later; all known after {self.known_after}; {self.count('removed')} removed, {self.count('added')} added, "
            f"{self.count('updated')} updated"
        )


@dataclass
class Watches:
    """All clients of all services, after they were watched."""

    quiet: dict[str, list[Watched]]  # by kind of workload
    churned: dict[str, list[Watched]]
    cluster: ControlPlane

    def answers(self, watched: Watched) -> list[Message]:
        name = f"_http._tcp.{watched.workload.name}"
        return [m for m in self.cluster.wire.responses(watched.client.nameserver, [name]) if m.tcp]


@pytest.fixture(scope="module")
def watches(control_plane: ControlPlane, note: Callable[[str], None]) -> Iterator[Watches]:
    """Two services in which nothing changes and two in which pods move, leave and come back: all at the same time."""
    cluster = control_plane
    begun = time.monotonic()
    # With longer names fewer SRV records fit, see test_many.py.
    names = {("statefulset", False): "sun", ("statefulset", True): "mars"}
    names |= {("deployment", False): "luna", ("deployment", True): "io"}
    size = {"statefulset": STATEFULSET, "deployment": DEPLOYMENT}
    workloads = {key: Workload(cluster, name, key[0], size[key[0]]) for key, name in names.items()}
    everybody: dict[tuple[str, bool], list[Watched]] = {key: [] for key in workloads}
    watched: list[Watched] = []

    def look() -> None:
        for each in watched:
            each.look()

    for (kind, churned), workload in workloads.items():
        for port, family in WAYS[: 5 if churned else None]:
            for client in Clients(cluster, workload.service, None, port, {"family": family}):
                client.start()
                everybody[kind, churned].append(Watched(workload, client, port, family))
                watched.append(everybody[kind, churned][-1])
                look()
    note(f"        {len(watched)} clients have started after {time.monotonic() - begun:.1f} s")
    begun = time.monotonic()

    def until(condition: Callable[[], bool], deadline: float) -> None:
        with suppress(AssertionError):  # the tests tell
            cluster.wait(lambda: look() or condition(), "", deadline)

    for number in range(1, round(WATCHED / CHURN_EVERY) + 1):
        last = number * CHURN_EVERY >= WATCHED
        for key in (key for key in workloads if key[1]):
            workloads[key].churn(last=last)
            for each in everybody[key] if last else ():
                each.all_has_changed()
        until(lambda due=begun + number * CHURN_EVERY: time.monotonic() >= due, WATCHED)
    until(lambda: all(each.has_settled for each in watched), DEADLINE)
    for each in watched:
        each.end()
    for each in watched:
        each.wrong = each.client.judge()
        note(f"        {each}")
    yield Watches(
        {kind: found for (kind, churned), found in everybody.items() if not churned},
        {kind: found for (kind, churned), found in everybody.items() if churned},
        cluster,
    )
    for name in names.values():
        cluster.end_namespace(name)


kinds = pytest.mark.parametrize("kind", ["statefulset", "deployment"])
slow = pytest.mark.timeout(600)  # whichever test is the first one waits for all that is watched


@slow
def test_glue_is_cut(watches: Watches) -> None:
    """What CoreDNS says is what these scenarios are about."""
    for kind, records in (("statefulset", STATEFULSET), ("deployment", 2 * DEPLOYMENT)):
        answers = [m for each in watches.quiet[kind] if each.port == "http" for m in watches.answers(each)[:3]]
        assert len(answers) > 10
        shown = set()
        for message in answers:
            assert message.truncated
            assert len(message.targets) == records
            assert 0 < len(message.glue) < 2 * watches.quiet[kind][0].workload.size
            shown.add(frozenset(message.glue))
        assert len(shown) > len(answers) / 2, "drawn anew"


@slow
@kinds
def test_nothing_changes(watches: Watches, kind: str) -> None:
    """Nobody leaves, and nobody joins who was there before. Addresses that come to light later may be told once."""
    wrong = [
        str(each)
        for each in watches.quiet[kind]
        if each.count("removed") or joined_again(each) or each.count("updated") > each.workload.size
    ]
    wrong += [line for each in watches.quiet[kind] for line in each.wrong[:3]]
    assert not wrong, "\n".join(wrong)


def joined_again(watched: Watched) -> bool:
    """Whether more peers joined than there are."""
    return len(watched.changes[0].current) + watched.count("added") > len(watched.changes[-1].current)


@slow
@kinds
def test_all_are_known_soon(watches: Watches, kind: str) -> None:
    wrong = [
        f"{each}; {each.trouble}"
        for each in watches.quiet[kind]
        if each.trouble or each.known_after is None or each.known_after > KNOWN_WITHIN[kind]
    ]
    assert not wrong, "\n".join(wrong)


@slow
@kinds
def test_a_refresh_takes_few_queries(watches: Watches, kind: str) -> None:
    """The first lookup takes as many as it needs."""
    everybody = watches.quiet[kind] + watches.churned[kind]
    wrong = [str(each) for each in everybody if max(each.queries[1:]) > QUERIES]
    assert not wrong, "\n".join(wrong)


@slow
@kinds
def test_pods_move_leave_and_come_back(watches: Watches, kind: str) -> None:
    """Afterwards each client has what the API has; and never lost a pod that stayed."""
    wrong = []
    for each in watches.churned[kind]:
        workload = each.workload
        stayed = {address for name in workload.stayed for address in workload.pods[name]}
        if lost := stayed.intersection(each.removed):
            wrong.append(f"{each}: {len(lost)} pods were dropped that stayed")
        if each.settled_after is None or each.settled_after > SETTLES_WITHIN or each.trouble:
            wrong.append(f"{each}: right {each.settled_after} lookups after the last change; {each.trouble}")
        wrong += each.wrong[:3]
    assert not wrong, "\n".join(wrong)


@slow
@kinds
@pytest.mark.parametrize("family", ["ipv4", "ipv6"])
def test_resolve_gives_all_or_says_so(watches: Watches, kind: str, family: str, note: Callable[[str], None]) -> None:
    workload = watches.quiet[kind][0].workload
    for ask in (resolve, lambda *args, **options: asyncio.run(aresolve(*args, **options))):
        begun = time.monotonic()
        try:
            found = ask(workload.name, "http", family=family, nameservers=[watches.cluster.nameserver()])
        except LookupFailed as error:
            note(f"        {error}")
        else:
            note(f"        {len(found)} peers in {time.monotonic() - begun:.2f} s")
            assert {peer.address for peer in found} == workload.addresses(family)


@slow
@kinds
@both_twins
def test_a_first_lookup_gives_all_or_says_so(watches: Watches, kind: str, twin: Twin) -> None:
    """As `resolve` does it, with a status that can be looked at."""
    workload = watches.quiet[kind][0].workload
    with twin(workload.name, "http", family="ipv4", nameservers=[watches.cluster.nameserver()]) as service:
        if {peer.address for peer in service.peers()} != workload.addresses("ipv4"):
            assert not service.status.complete
