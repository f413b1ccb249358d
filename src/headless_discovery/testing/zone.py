"""From a question to the records that answer it: names, types, and CoreDNS's cache.

The rules are those of CoreDNS's kubernetes plugin (parse.go, kubernetes.go, plugin/backend_lookup.go), its cache
plugin (item.go) and its loadbalance plugin.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from threading import RLock

from . import message
from .cluster import Addresses, Endpoint, Service, View
from .message import AAAA, CNAME, MX, NOERROR, NXDOMAIN, REFUSED, SOA, SRV, A, Record, join, labels_of

_MAX_CHAIN = 16
_AXFR, _IXFR = 252, 251


@dataclass(slots=True)
class Answer:
    """What to say: the response code and the sections, not yet bytes."""

    rcode: int = NOERROR
    answer: list[Record] = field(default_factory=list)
    authority: list[Record] = field(default_factory=list)
    additional: list[Record] = field(default_factory=list)
    authoritative: bool = True


@dataclass(slots=True)
class _Entry:
    stored: float
    ttl: int
    answer: Answer


class Zone:
    """All that the server knows. The caller holds `lock` around every method."""

    def __init__(
        self,
        zone: str,
        *,
        ttl: int,
        negative_ttl: int,
        soa_minimum: int,
        cache: bool,
        clock: Callable[[], float],
        rng: random.Random,
    ) -> None:
        self.lock = RLock()
        self.origin = message.to_wire(zone).lower()
        self.origins = {self.origin}
        self.ttl = ttl
        self.negative_ttl = negative_ttl
        self.soa_minimum = soa_minimum
        self.addresses = Addresses()
        self._clock = clock
        self.rng = rng
        self._caching = cache
        self._cache: dict[tuple[bytes, int, int], _Entry] = {}
        self._services: dict[tuple[bytes, bytes], Service] = {}
        self._raw: dict[bytes, dict[int, list[Record]]] = {}
        self._no_glue: set[tuple[bytes, int]] = set()

    # --- contents ----------------------------------------------------------------------------------------------------

    def add_service(self, service: Service) -> None:
        key = (service.service.lower().encode(), service.namespace.lower().encode())
        if key in self._services:
            raise ValueError(f"{service.name} exists")
        self._services[key] = service

    def remove_service(self, service: Service) -> None:
        self._services.pop((service.service.lower().encode(), service.namespace.lower().encode()), None)

    def add_records(self, records: Sequence[Record], *, glue: bool) -> None:
        for rr in records:
            key = rr.owner.lower()
            self._raw.setdefault(key, {}).setdefault(rr.rtype, []).append(rr)
            (self._no_glue.discard if glue else self._no_glue.add)((key, rr.rtype))

    def remove_records(self, owner: bytes, rtype: int | None) -> None:
        found = self._raw.get(owner.lower(), {})
        for number in list(found) if rtype is None else [rtype]:
            found.pop(number, None)
        if not found:
            self._raw.pop(owner.lower(), None)

    def forget(self) -> None:
        """Empty the cache."""
        self._cache.clear()

    # --- answers -----------------------------------------------------------------------------------------------------

    def resolve(self, owner: bytes, qtype: int) -> Answer:
        """The answer for a name in lower case: CNAMEs followed, addresses shuffled, samples drawn."""
        out = Answer()
        if qtype in (_AXFR, _IXFR) or not (self._raw_at(owner) or self._origin_of(owner)):
            return Answer(REFUSED, authoritative=False)
        seen: set[bytes] = set()
        while owner not in seen and len(seen) < _MAX_CHAIN:
            seen.add(owner)
            raw = self._raw.get(owner)
            found = None
            if self._origin_of(owner) and (raw is None or raw.keys().isdisjoint((qtype, CNAME))):
                found = self._from_cluster(owner, qtype)
            if found is None or (found.rcode == NXDOMAIN and self._raw):  # names that exist hide wildcards (RFC 4592)
                raw = self._raw_at(owner)
                if raw is not None and qtype not in raw and CNAME in raw:
                    out.answer += raw[CNAME]
                    owner = raw[CNAME][0].rdata.lower()
                    continue
                if raw is not None:
                    found = self._from_raw(owner, qtype, raw)
            if found is None:
                break  # out of the zones: an authoritative server stops here (RFC 1034, 4.3.2, step 3a)
            out.rcode = found.rcode
            out.answer += found.answer
            out.authority += found.authority
            out.additional += found.additional
            break
        if out.rcode == NOERROR:  # loadbalance shuffles successful answers only
            out.answer = self._shuffled(out.answer)
            out.additional = self._shuffled(out.additional)
        return out

    def negative(self, owner: bytes, rcode: int = NOERROR, *, minimum: int | None = None) -> Answer:
        """NODATA, NXDOMAIN or a failure with the zone's SOA, not cached."""
        origin = self._origin_of(owner) or owner[1 + owner[0] :] or b"\0"
        minimum = self.soa_minimum if minimum is None else minimum
        return Answer(rcode, authority=[message.soa(origin, self.negative_ttl, minimum, serial=1)])

    def _origin_of(self, owner: bytes) -> bytes | None:
        pos = 0
        while True:
            if owner[pos:] in self.origins:
                return owner[pos:]
            if not owner[pos]:
                return None
            pos += 1 + owner[pos]

    def _raw_at(self, owner: bytes) -> dict[int, list[Record]] | None:
        found = self._raw.get(owner)
        pos = 0
        while found is None and self._raw and owner[pos]:  # RFC 4592: the closest wildcard
            pos += 1 + owner[pos]
            wild = self._raw.get(b"\1*" + owner[pos:])
            if wild is not None:
                return {t: [rr._replace(owner=owner) for rr in records] for t, records in wild.items()}
            if owner[pos:] in self._raw:
                break  # the name's closest encloser exists and has no wildcard
        return found

    def _from_raw(self, owner: bytes, qtype: int, raw: dict[int, list[Record]]) -> Answer:
        if qtype == message.ANY:
            return Answer(answer=[rr for records in raw.values() for rr in records])
        records = raw.get(qtype)
        if not records:
            return self.negative(owner)
        out = Answer(answer=list(records))
        if qtype == SRV and (owner, qtype) not in self._no_glue:
            for target in dict.fromkeys(rr.rdata[6:].lower() for rr in records):
                at = self._raw_at(target) or {}
                out.additional += [*at.get(A, ()), *at.get(AAAA, ())]
        return out

    def _from_cluster(self, owner: bytes, qtype: int) -> Answer:
        origin = self._origin_of(owner) or self.origin
        labels = labels_of(owner[: len(owner) - len(origin)] + b"\0")
        service = self._services.get((labels[-3], labels[-2])) if len(labels) > 2 and labels[-1] == b"svc" else None
        if service is None or origin != self.origin:
            return self._cached(owner, qtype, 0, lambda: self._elsewhere(owner, labels, origin, qtype))
        replica, view = service.next_view()
        found = self._cached(owner, qtype, replica, lambda: self._lookup(service, view, owner, labels[:-3], qtype))
        if found.rcode == NOERROR and found.answer:
            if service.sample is not None:
                found = self._sampled(found, qtype, service.sample)
            if service.glue is not None and len(found.additional) > service.glue:
                found.additional = self.rng.sample(found.additional, service.glue)
        return found

    def _elsewhere(self, owner: bytes, labels: tuple[bytes, ...], origin: bytes, qtype: int) -> Answer:
        """Names that are no service's: parse.go has NODATA for the apex, `svc` and namespaces."""
        if not labels:
            if qtype == SOA:
                return Answer(answer=self.negative(owner).authority)
            if qtype == message.NS:
                return Answer(answer=[Record(owner, message.NS, self.ttl, join(b"ns", b"dns", suffix=origin))])
            return self.negative(owner)
        exists = origin == self.origin and (
            labels == (b"svc",)
            or (len(labels) == 2 and labels[1] == b"svc" and any(space == labels[0] for _, space in self._services))
        )
        return self.negative(owner, NOERROR if exists else NXDOMAIN)

    def _lookup(self, service: Service, view: View, owner: bytes, rest: tuple[bytes, ...], qtype: int) -> Answer:
        headless = not view.cluster_ips
        endpoints: Sequence[Endpoint] = view.endpoints
        ports = view.ports
        exists = False
        if not headless:
            endpoints = [Endpoint(b"", packed, b"") for packed in view.cluster_ips]
        if len(rest) == 1:
            endpoints = view.named(rest[0])
        elif len(rest) == 2:
            wanted = (rest[0].removeprefix(b"_"), rest[1].removeprefix(b"_"))
            ports = tuple(port for port in ports if port[:2] == wanted)
            endpoints = endpoints if ports else ()
        elif len(rest) > 2:
            if rest[-1] != b"_zone" or rest[-2] not in (b"pin", b"prefer") or not headless:
                return self.negative(owner, NXDOMAIN)
            zone = b".".join(rest[:-2])
            pinned = [endpoint for endpoint in endpoints if endpoint.zone == zone]
            endpoints = endpoints if rest[-2] == b"prefer" and not pinned else pinned
            exists = True  # a zone without pods and a zone that never was look the same: NODATA
        if not endpoints:
            return self.negative(owner, NOERROR if exists else NXDOMAIN)
        if qtype == SRV:
            weight = max(1, 100 // max(1, len(endpoints) * len(ports)))
            records: dict[Record, None] = {}  # a set in order: isDuplicate in backend_lookup.go
            glue: dict[Record, None] = {}
            for label, packed, _ in endpoints:
                target = join(label, suffix=service.wire) if label else service.wire
                for port in ports:
                    records[message.srv(owner, self.ttl, 0, weight, port.number, target)] = None
                    glue[message.address(target, self.ttl, packed)] = None
            found = Answer(answer=list(records), additional=list(glue))
        else:
            size = {A: 4, AAAA: 16}.get(qtype, 0)
            unique = dict.fromkeys(endpoint.packed for endpoint in endpoints if len(endpoint.packed) == size)
            found = Answer(answer=[Record(owner, qtype, self.ttl, packed) for packed in unique])
        return found if found.answer else self.negative(owner)

    # --- cache, order, samples ---------------------------------------------------------------------------------------

    def _cached(self, owner: bytes, qtype: int, replica: int, build: Callable[[], Answer]) -> Answer:
        if not self._caching:
            return build()
        now = self._clock()
        key = (owner, qtype, replica)
        entry = self._cache.get(key)
        left = 0 if entry is None else entry.ttl - int(max(0.0, now - entry.stored))  # item.go, ttl(): whole seconds
        if entry is None or left <= 0:
            found = build()
            ttl = self.ttl if found.answer else self.negative_ttl
            if ttl <= 0:
                return found
            if len(self._cache) >= 10_000:
                self._cache = {k: e for k, e in self._cache.items() if now - e.stored < e.ttl}
            entry = self._cache[key] = _Entry(now, ttl, found)
            left = ttl
        held = entry.answer
        return Answer(
            held.rcode, _with_ttl(held.answer, left), _with_ttl(held.authority, left), _with_ttl(held.additional, left)
        )

    def _shuffled(self, records: list[Record]) -> list[Record]:
        """loadbalance, roundRobin: CNAME first, then the rest in their order, then addresses shuffled, then MX."""
        if len(records) < 2:
            return records
        draw = self.rng.random
        first = [rr for rr in records if rr[1] == CNAME]
        rest = [rr for rr in records if rr[1] not in (CNAME, A, AAAA, MX)]
        moved = [sorted((rr for rr in records if rr[1] in kind), key=lambda rr: draw()) for kind in ((A, AAAA), (MX,))]
        return [*first, *rest, *moved[0], *moved[1]]

    def _sampled(self, found: Answer, qtype: int, size: int) -> Answer:
        answer = self.rng.sample(found.answer, min(size, len(found.answer)))
        targets = {rr.rdata[6:] for rr in answer} if qtype == SRV else set()
        return Answer(found.rcode, answer, found.authority, [rr for rr in found.additional if rr.owner in targets])


def _with_ttl(records: Iterable[Record], ttl: int) -> list[Record]:
    # Every record of a cached answer gets the entry's remaining TTL: item.go, toMsgWithTTL.
    new = Record._make
    return [new((owner, rtype, ttl, rdata)) for owner, rtype, _, rdata in records]
