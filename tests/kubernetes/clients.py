"""The library's clients in a scenario, sync and async at once, and the judge of what they did all the while.

**A false removal** is a peer dropped though DNS, or the API, still had it. Each removal is held against two witnesses:

* the wire: the newest answer to this client that decides anything (two of them, where the peer is younger than 10 s)
  has to be without the peer; three, where answers are cut; or there have to be three negative ones in a row. An SRV
  answer that names the pod decides nothing by additional records that it lacks, the pod's own name decides at once;
* the EndpointSlices: an address that has been in them all the time for `LAG` seconds cannot rightly be missed. (Not
  where a scenario makes DNS servers say what the API server does not.)
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Set
from typing import Any

from headless_discovery import Change, Peer, PeerSet
from headless_discovery.membership import EMPTY_ANSWERS, YOUNG
from support.subscribers import Record, assert_consistent
from support.twins import AsyncTwin, SyncTwin, Twin

from .control_plane import ZONE, ControlPlane
from .slices import ServiceName
from .wire import Message

PATIENCE = 90.0  # s; a client needs up to seven, where nobody else wants the machine
CUT_ANSWERS = 3  # at the least; whether chance explains their silence, the EndpointSlices tell
SAID = 20  # lines about what was wrong
LAG = 20.0  # s that an answer may be behind the API: CoreDNS's TTL, its watch, a machine that is busy


class Client:
    """One watched service and what it was told. It asks at a DNS address that it has for itself."""

    def __init__(
        self, cluster: ControlPlane, twin: Twin, service: ServiceName, target: str, port: int | str | None, options: Any
    ) -> None:
        self.cluster = cluster
        self.kind = twin.kind
        self.service = service
        self.has_ports = port is not None
        self.nameserver = options.pop("nameserver", None) or cluster.nameserver()
        if "resolv_conf" not in options:
            options["nameservers"] = [self.nameserver]
        self.twin = twin(target, port, **options)
        self.record = Record()
        self.removals: list[tuple[float, str, float]] = []  # when, which address, how old it was
        self.judges_slices = True  # false where DNS is made to differ from the API
        self._wrong: list[str] = []
        self._joined: dict[str, float] = {}
        # Of the peers that were dropped, by address: the name, and for how long it was known.
        self._names: dict[str, tuple[str | None, float]] = {}

    def start(self) -> None:
        self.twin.__enter__()
        self.twin.watch(self._told)

    def close(self) -> None:
        """Not before the subscriber was told of what the client has in the end."""
        try:
            self.cluster.wait(lambda: self._last_told == self.twin.peers(), f"{self} is told of its peers")
        except AssertionError as error:
            self._wrong.insert(0, str(error))
        finally:
            self.twin.close()

    @property
    def _last_told(self) -> PeerSet:
        return self.record.changes[-1].current if self.record.changes else PeerSet()

    def __str__(self) -> str:
        return f"{self.kind} {self.twin.target}"

    @property
    def addresses(self) -> set[str]:
        return _addresses(self.twin.peers())

    @property
    def endpoints(self) -> set[tuple[str, int | None]]:
        return {(address, peer.port) for peer in self.twin.peers() for address in _addresses([peer])}

    def _told(self, change: Change) -> None:
        now = time.time()
        self.record(change)
        before, after = _addresses(change.previous), _addresses(change.current)
        known = {peer.hostname for peer in change.previous}
        for new in (after - before) | {peer.hostname for peer in change.current if peer.hostname} - known:
            self._joined[new] = now
        for peer in change.previous:
            for address in _addresses([peer]) - after:
                self._names[address] = peer.hostname, now - self._joined[peer.hostname or address]
        for address in before - after:
            self.removals.append((now, address, now - self._joined.pop(address)))
            since = self.cluster.slices.held_since(self.service, address)
            if self.judges_slices and since is not None and now - since > LAG:
                self._wrong.append(f"{self}: {address} dropped, which EndpointSlices have for {now - since:.1f} s")

    def judge(self) -> list[str]:
        """What was wrong, in words; not all, where it is much."""
        wrong = self._wrong[:SAID]
        if self.record.changes:
            assert_consistent(self.record.changes)
        answers = self.cluster.wire.responses(self.nameserver)
        ours = [m for m in answers if self._is_about_us(m)]
        by_name: dict[str, list[Message]] = defaultdict(list)
        for message in answers:
            by_name[message.name].append(message)
        for when, address, age in self.removals:
            kinds = ("SRV", "AAAA" if ":" in address else "A")
            own, known = self._names[address]
            asked = sorted([*ours, *by_name.get(own or "", ())], key=lambda m: m.time)
            before = [m for m in asked if when - age <= m.time <= when and m.qtype in kinds]
            if not evidence(reversed(before), address, own, 2 if known < YOUNG else 1):
                said = "; ".join(f"{m.qtype} {sorted(m.addresses)[:12]}" for m in before[-3:])
                wrong.append(f"{self}: {address} dropped, but DNS did not say so: {said}")
                if len(wrong) >= SAID:
                    break
        return wrong

    def _is_about_us(self, message: Message) -> bool:
        """Answers to the service's own names, also `_http._tcp.NAME` and `ZONE.pin._zone.NAME`; not to its pods'."""
        namespace, name = self.service
        whole = f"{name}.{namespace}.svc.{ZONE}"
        return message.name == whole or (message.name.endswith(f".{whole}") and "_" in message.name)


def evidence(newest_first: Iterable[Message], address: str, own: str | None, wanted: int) -> bool:
    """Whether these answers allow to drop the address: so many complete ones without it, or what else counts. `own`
    is the name of the pod that had it, where SRV records gave it.
    """
    negative = missing = cut = 0
    for message in newest_first:
        if message.rcode not in (0, 3) or (message.truncated and not message.tcp):
            continue  # decides nothing
        if own is not None and message.name == own:
            return address not in message.addresses
        if message.negative:
            negative += 1
        elif message.qtype == "SRV" and own in message.targets and not _shows_others(message, own, address):
            if address in message.addresses:
                return False
            continue  # the pod is there; its address is for others to tell (RFC 2782: additional records are optional)
        elif address in message.addresses or address in message.spelled:
            if own is None:
                return False
            continue  # SRV answers tell who is there, these only where; and caches may hold them for longer
        elif message.truncated and message.qtype != "SRV":  # cut by chance; of SRV answers only glue is cut here
            cut += 1
        else:
            missing += 1
        if missing == wanted or negative == EMPTY_ANSWERS or cut == CUT_ANSWERS:
            return True
    return False


def _shows_others(message: Message, own: str | None, address: str) -> bool:
    """Whether it has all addresses of the pod in that family (where glue is cut, nobody knows), and they are others."""
    shown = message.glue.get((own or "", "AAAA" if ":" in address else "A"))
    return not message.truncated and shown is not None and address not in shown


def _addresses(peers: PeerSet | Iterable[Peer]) -> set[str]:
    return {address for peer in peers for address in peer.addresses or (peer.address,)}


class Clients:
    """The twins of one target, watching until `close`."""

    def __init__(
        self, cluster: ControlPlane, service: ServiceName, target: str | None, port: int | str | None, options: Any
    ) -> None:
        self.cluster = cluster
        self.service = service
        self.slowest = 0.0  # s that it took to settle
        target = target or f"{service[1]}.{service[0]}.svc.{ZONE}"
        self.each = [Client(cluster, twin, service, target, port, dict(options)) for twin in (SyncTwin, AsyncTwin)]

    def __iter__(self) -> Iterator[Client]:
        return iter(self.each)

    def __str__(self) -> str:
        return self.each[0].twin.target

    def settle(self, addresses: Callable[[], Set[str]] | None = None, deadline: float = PATIENCE) -> None:
        """Wait until both have the IPv4 endpoints that the API publishes, and no others; or these `addresses`."""
        begun = time.monotonic()
        try:
            self.cluster.wait(lambda: all(map(self._right(addresses), self)), f"{self} is as the API has it", deadline)
        except AssertionError as error:
            has = "; ".join(f"{client.kind}: {sorted(client.endpoints)[:20]} {client.twin.status}" for client in self)
            wanted = sorted(addresses() if addresses else self.published)[:20]
            raise AssertionError(f"{error}\n{has}\nwanted: {wanted}") from None
        self.slowest = max(self.slowest, time.monotonic() - begun)

    @property
    def published(self) -> set[tuple[str, int | None]]:
        return {(address, port) for address, port in self.cluster.slices.endpoints(self.service) if ":" not in address}

    def _right(self, addresses: Callable[[], Set[str]] | None) -> Callable[[Client], bool]:
        if addresses is not None:
            wanted = addresses()
            return lambda client: client.addresses == wanted
        published = self.published
        without_ports = {address for address, _ in published}

        def right(client: Client) -> bool:
            return client.endpoints == published if client.has_ports else client.addresses == without_ports

        return right

    def has_dropped(self) -> list[str]:
        return [f"{client}: {address}" for client in self for _, address, _ in client.removals][:SAID]

    def close(self) -> None:
        for client in self:
            client.close()
