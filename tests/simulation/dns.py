"""Model DNS servers: CoreDNS replicas behind one address, each with a view and a cache of its own, and strangers.

The numbers are those measured on a real control plane: TTLs count down in the cache, A answers are shuffled at each
reply and cut uniformly, SRV answers keep their order and are cut by block, the same while the cache entry lives.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from headless_discovery.message import Message, RRset, Srv
from headless_discovery.testing.message import AAAA, BADVERS, FORMERR, NXDOMAIN, REFUSED, SERVFAIL, SRV, A

from .cluster import PORT, HeadlessSvc, Pod

NEGATIVE_TTL = 5


@dataclass
class Limits:
    """How much fits. `udp` and `tcp`: records of an answer; `glue`: how many of them have glue beside a cut SRV set."""

    udp: int = 73
    tcp: int = 10_000
    glue: int = 10_000


@dataclass
class Faults:
    """Probabilities, drawn anew for each query. A server may be in trouble by one of them alone."""

    silence: float = 0.0
    servfail: float = 0.0
    refused: float = 0.0
    lame: float = 0.0
    nxdomain: float = 0.0  # a blip: this server's word, so it may count
    no_soa: float = 0.0
    no_glue: float = 0.0  # per target: what a resolver's cache has lost
    formerr: float = 0.0  # for what has EDNS
    garbage: float = 0.0
    tcp_refused: float = 0.0


@dataclass
class _Entry:
    born: float
    ttl: int
    pods: tuple[Pod, ...]
    cut: tuple[Pod, ...] | None = None  # SRV: what fits, the same while the entry lives
    replies: dict[tuple[int, bool], Message] = field(default_factory=dict)


class Replica:
    """One CoreDNS pod: it sees the API `lag` seconds late and answers from its cache while that lasts."""

    def __init__(self, services: dict[str, HeadlessSvc], rng: random.Random, lag: float) -> None:
        self.lag = lag
        self.same_cut = 0.7  # how often an SRV answer is cut as the one before it
        self._services = services
        self._rng = rng
        self._cache: dict[tuple[str, int], _Entry] = {}
        self._last_cut: dict[str, tuple[Pod, ...]] = {}

    def forget(self) -> None:
        """It restarts."""
        self._cache.clear()

    def answer(self, name: str, rdtype: int, tcp: bool, now: float, limits: Limits, faults: Faults) -> Message:
        entry = self._cache.get((name, rdtype))
        if entry is None or now - entry.born >= entry.ttl:
            if len(self._cache) > 512:
                self._cache.clear()
            entry = self._cache[name, rdtype] = self._look(name, rdtype, now)
        left = max(1, entry.ttl - int(now - entry.born)) if entry.ttl else 0
        if not entry.pods or rdtype == AAAA:
            return self._nobody(bool(entry.pods), left, faults)
        if rdtype == A:
            return self._addresses(name, entry, left, tcp, limits)
        return self._srv(name, entry, left, tcp, limits, faults)

    def _look(self, name: str, rdtype: int, now: float) -> _Entry:
        base, pod = self._owner(name)
        if base is None:
            return _Entry(now, NEGATIVE_TTL, ())
        pods = base.seen_at(now - self.lag)
        if pod is not None:
            pods = tuple(p for p in pods if p.hostname == pod)
        return _Entry(now, base.ttl if pods else NEGATIVE_TTL, pods)

    def _owner(self, name: str) -> tuple[HeadlessSvc | None, str | None]:
        name = name.removeprefix("_http._tcp.")
        if name in self._services:
            return self._services[name], None
        pod, _, base = name.partition(".")
        return self._services.get(base), pod

    def _nobody(self, exists: bool, left: int, faults: Faults) -> Message:
        soa = None if self._rng.random() < faults.no_soa else (left, NEGATIVE_TTL)
        return Message(0 if exists else NXDOMAIN, True, False, True, 120, soa=soa)

    def _addresses(self, name: str, entry: _Entry, left: int, tcp: bool, limits: Limits) -> Message:
        room = limits.tcp if tcp else limits.udp
        if len(entry.pods) <= room:
            reply = entry.replies.get((left, tcp))
            if reply is None:
                values = [pod.address for pod in entry.pods]
                self._rng.shuffle(values)
                reply = _found(name, A, left, values, size=50 + 16 * len(values))
                entry.replies[left, tcp] = reply
            return reply
        values = [pod.address for pod in self._rng.sample(entry.pods, room)]
        return _found(name, A, left, values, cut=True, size=1200 if not tcp else 40_000)

    def _srv(self, name: str, entry: _Entry, left: int, tcp: bool, limits: Limits, faults: Faults) -> Message:
        base = name.removeprefix("_http._tcp.")
        room = limits.tcp if tcp else limits.udp
        pods, glued, cut = entry.pods, entry.pods, False
        if len(pods) > room:  # by block, no glue; after the entry's life often the same again
            if entry.cut is None or len(entry.cut) != room:
                last = self._last_cut.get(name)
                if (
                    last is not None
                    and len(last) == room
                    and set(last) <= set(pods)
                    and self._rng.random() < self.same_cut
                ):
                    entry.cut = last
                else:
                    start = self._rng.randrange(len(pods))
                    entry.cut = self._last_cut[name] = (pods + pods)[start : start + room]
            pods, glued, cut = entry.cut, (), True
        elif tcp and len(pods) > limits.glue:  # the SRV section is whole, TC tells of missing glue
            glued, cut = tuple(self._rng.sample(pods, limits.glue)), True
        if faults.no_glue:
            glued = tuple(pod for pod in glued if self._rng.random() >= faults.no_glue)
        weight = max(1, 100 // len(entry.pods))
        records = [Srv(0, weight, PORT, f"{pod.hostname}.{base}") for pod in pods]
        reply = _found(name, SRV, left, records, cut=cut, size=60 * len(records))
        reply.glue = {f"{pod.hostname}.{base}": [pod.address] for pod in glued}
        return reply


def _found(name: str, rdtype: int, ttl: int, values: list[object], *, cut: bool = False, size: int = 200) -> Message:
    return Message(0, True, cut, True, size, {(name, rdtype): RRset(ttl, values)})  # type: ignore[arg-type]


class ModelServer:
    """An address with replicas behind it: which one answers is drawn for each query."""

    def __init__(self, replicas: list[Replica], rng: random.Random, limits: Limits) -> None:
        self.replicas = replicas
        self.limits = limits
        self.faults = Faults()
        self._rng = rng

    def answer(self, name: str, rdtype: int, tcp: bool, edns: bool, now: float) -> Message | str | None:
        """A message, None for silence, or text for what breaks below DNS."""
        faults, draw = self.faults, self._rng.random
        if faults is not FINE:
            if tcp and draw() < faults.tcp_refused:
                return "cannot be reached by TCP (refused)"
            if draw() < faults.silence:
                return None
            if draw() < faults.servfail:
                return Message(SERVFAIL, False, False, True, 100, soa=(5, 5) if draw() < 0.5 else None)
            if draw() < faults.refused:
                return Message(REFUSED, False, False, False, 40)
            if draw() < faults.lame:
                referral = draw() < 0.5
                return Message(0, False, False, referral, 90, has_ns=referral)
            if edns and draw() < faults.formerr:
                return Message(FORMERR if draw() < 0.5 else BADVERS, False, False, True, 12)
            if draw() < faults.garbage:
                return "sent what is no DNS message"
            if draw() < faults.nxdomain:
                soa = None if draw() < faults.no_soa else (NEGATIVE_TTL, NEGATIVE_TTL)
                return Message(NXDOMAIN, False, False, True, 120, soa=soa)
        replica = self.replicas[int(draw() * len(self.replicas))]
        return replica.answer(name, rdtype, tcp, now, self.limits, faults)


FINE = Faults()


class Stranger:
    """A public resolver that somebody put second: it knows no cluster name, and says so."""

    faults = FINE

    def answer(self, name: str, rdtype: int, tcp: bool, edns: bool, now: float) -> Message | str | None:
        return Message(NXDOMAIN, False, False, True, 110, soa=(86_400, 900))
