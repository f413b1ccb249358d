"""The cluster behind the names: services and their pods, and what can be done to them.

Pods are frozen values: `service.pods` is a picture of this moment, and every change makes new ones.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv6Address, ip_address
from threading import RLock
from typing import Literal, NamedTuple, TypeAlias

from .message import to_text, to_wire

Family: TypeAlias = Literal["ipv4", "ipv6", "dual"]
Ports: TypeAlias = Mapping[str, int | tuple[int, str]] | int | None
Pods: TypeAlias = int | Iterable[str | Sequence[str]]


@dataclass(frozen=True, slots=True)
class Pod:
    """One pod at one moment.

    `name` identifies it within its service and outlives restarts; `hostname` is the pod's `spec.hostname` (None for
    pods of a Deployment); `addresses` are its IP literals, IPv4 first; `fqdn` its own DNS name without final dot (of
    the first address, where names are made of addresses); `zone` the topology zone.
    """

    name: str
    ordinal: int
    hostname: str | None
    addresses: tuple[str, ...]
    fqdn: str
    ready: bool = True
    zone: str = ""

    @property
    def address(self) -> str:
        """The first address."""
        return self.addresses[0]


class Endpoint(NamedTuple):
    """One address of one pod that DNS publishes, as an EndpointSlice has it."""

    label: bytes  # lower case
    packed: bytes
    zone: bytes


class Port(NamedTuple):
    name: bytes
    protocol: bytes
    number: int


class View:
    """What the API server says about a service at one moment; a DNS server's replica answers from one of these."""

    __slots__ = ("_by_label", "cluster_ips", "endpoints", "ports")

    def __init__(
        self, endpoints: tuple[Endpoint, ...], ports: tuple[Port, ...], cluster_ips: tuple[bytes, ...]
    ) -> None:
        self.endpoints = endpoints
        self.ports = ports
        self.cluster_ips = cluster_ips
        self._by_label: dict[bytes, list[Endpoint]] | None = None

    def named(self, label: bytes) -> list[Endpoint]:
        if self._by_label is None:
            self._by_label = {}
            for endpoint in self.endpoints:
                self._by_label.setdefault(endpoint.label, []).append(endpoint)
        return self._by_label.get(label, [])


def dashed(address: str) -> str:
    """The label that CoreDNS makes of an address (plugin/kubernetes, endpointHostname)."""
    label = address.replace(".", "-").replace(":", "-")
    return label + "0" if label.endswith("-") else label


class Addresses:
    """Hands out pod addresses, each once: from 10.244.0.0 and fd00:10:244:: upwards."""

    def __init__(self) -> None:
        self._next = 1
        self._taken: set[str] = set()

    def take(self, explicit: Iterable[str]) -> tuple[str, ...]:
        """The explicit addresses in canonical spelling; they are never handed out. Raises `ValueError`.

        "10.0.0.1+fd00::1" stands for both addresses of a dual-stack pod.
        """
        parsed = sorted((ip_address(a) for text in explicit for a in text.split("+")), key=lambda a: a.version)
        if not parsed:
            raise ValueError("a pod needs an address")
        found = tuple(map(str, parsed))
        self._taken.update(found)
        return found

    def new(self, family: Family) -> tuple[str, ...]:
        while True:
            number = self._next
            self._next += 1
            if number % 256 in (0, 255):  # addresses that look like a network or a broadcast help nobody
                continue
            v4, v6 = str(IPv4Address("10.244.0.0") + number), str(IPv6Address("fd00:10:244::") + number)
            found = {"ipv4": (v4,), "ipv6": (v6,), "dual": (v4, v6)}[family]
            if self._taken.isdisjoint(found):
                return found


def _ports(ports: Ports) -> tuple[Port, ...]:
    if ports is None:
        return ()
    if isinstance(ports, int):
        ports = {"": ports}
    out = []
    for name, value in ports.items():
        number, protocol = (value, "tcp") if isinstance(value, int) else value
        if not 0 <= number <= 65535:
            raise ValueError(f"not a port: {number!r}")
        out.append(Port(name.lower().encode(), protocol.lower().encode(), number))
    return tuple(out)


def _check_label(text: str, what: str) -> str:
    if not re.fullmatch("[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?", text):
        raise ValueError(f"not a {what}: {text!r}")
    return text


class Service:
    """A service of the cluster and its pods. Made by `DNSServer.service` and `DNSServer.cluster_ip_service`.

    All methods may be called from any thread. A change is seen by questions asked after it, once the DNS server's
    cache entry has expired.
    """

    def __init__(
        self,
        name: str,
        namespace: str,
        suffix: bytes,
        *,
        lock: RLock,
        addresses: Addresses,
        pods: Pods = 3,
        ports: Ports = None,
        hostnames: str | Sequence[str] | None = "web",
        family: Family = "ipv4",
        publish_not_ready: bool = False,
        cluster_ip: str | Sequence[str] | None = None,
        zones: Sequence[str] = (),
        sample: int | None = None,
        glue: int | None = None,
        replicas: int = 1,
        on_delete: Callable[[Service], None] = lambda service: None,
    ) -> None:
        if family not in ("ipv4", "ipv6", "dual"):
            raise ValueError(f"family is ipv4, ipv6 or dual, not {family!r}")
        if replicas < 1 or (sample is not None and sample < 1) or (glue is not None and glue < 0):
            raise ValueError("replicas and sample start at 1, glue at 0")
        if hostnames is not None and not hostnames:
            raise ValueError("hostnames is a prefix, a list of names, or None")
        self.namespace = _check_label(namespace, "namespace")
        self.service = _check_label(name, "service name")
        self.wire = to_wire(f"{name}.{namespace}.svc").lower()[:-1] + suffix
        self._name = to_text(self.wire)
        self.sample = sample
        self.glue = glue
        self._lock = lock
        self._addresses = addresses
        self._hostnames = hostnames
        self._family: Family = family
        self._publish_not_ready = publish_not_ready
        self._zones = tuple(zones)
        self._on_delete = on_delete
        self._cluster_ips: tuple[bytes, ...] = ()
        self._ports = _ports(ports)
        self._pods: list[Pod] = []
        self._live: View | None = None
        self._frozen: list[View | None] = [None] * replicas
        self._turn = 0
        if isinstance(pods, int):
            self.scale(pods)
        else:
            for given in pods:
                self._add((given,) if isinstance(given, str) else tuple(given))
        if cluster_ip is not None:
            self.set_cluster_ip(cluster_ip)

    def __repr__(self) -> str:
        return f"<Service {self.name} of {len(self._pods)} pods>"

    @property
    def name(self) -> str:
        """The service's DNS name, without the final dot."""
        return self._name

    @property
    def pods(self) -> list[Pod]:
        """The pods now, ready or not, lowest ordinal first."""
        with self._lock:
            return list(self._pods)

    @property
    def addresses(self) -> list[str]:
        """Every address that DNS publishes now, in the order of `pods`; what a cache may not know yet."""
        with self._lock:
            return [a for pod in self._pods if self._published(pod) for a in pod.addresses]

    # --- changes ---------------------------------------------------------------------------------------------------

    def scale(self, count: int) -> list[Pod]:
        """Add or remove the highest ordinals until there are `count` pods, as a StatefulSet does. The pods then."""
        if count < 0:
            raise ValueError(f"not a number of pods: {count!r}")
        with self._lock:
            while len(self._pods) < count:
                self._add(self._addresses.new(self._family))
            if len(self._pods) > count:
                del self._pods[count:]
                self._changed()
            return list(self._pods)

    def add(self, *addresses: str, ready: bool = True) -> Pod:
        """One more pod: at these addresses (one per family, also as "10.0.0.1+fd00::1"), or at a new one."""
        with self._lock:
            pod = self._add(addresses or self._addresses.new(self._family))
            return pod if ready else self.set_ready(pod, False)

    def remove(self, pod: Pod | str | int) -> Pod:
        """Take this pod away, whatever its ordinal. The pod may be given as a `Pod`, a name, an ordinal or an address.

        Raises `KeyError` when there is none like it, here and wherever a pod is meant.
        """
        with self._lock:
            gone = self._pods.pop(self._place(pod))
            self._changed()
            return gone

    def restart(self, pod: Pod | str | int, address: str | Sequence[str] | None = None) -> Pod:
        """The pod comes back under its name at a new address (`address`, or one never used). Ready at once."""
        with self._lock:
            place = self._place(pod)
            old = self._pods[place]
            if address is None:
                addresses = self._addresses.new(self._family)
            else:
                addresses = self._addresses.take([address] if isinstance(address, str) else address)
            return self._put(
                place, replace(old, addresses=addresses, fqdn=self._fqdn(old.hostname, addresses), ready=True)
            )

    def set_ready(self, pod: Pod | str | int, ready: bool = True) -> Pod:
        """Whether the pod's readiness probe succeeds. Pods not ready are not in DNS, unless `publish_not_ready`."""
        with self._lock:
            place = self._place(pod)
            return self._put(place, replace(self._pods[place], ready=ready))

    def set_pods(self, pods: Pods) -> list[Pod]:
        """Replace all pods at once: the next answer has these and no others."""
        with self._lock:
            self._pods.clear()
            if isinstance(pods, int):
                self.scale(pods)
            else:
                for given in pods:
                    self._add((given,) if isinstance(given, str) else tuple(given))
            self._changed()
            return list(self._pods)

    def set_ports(self, ports: Ports) -> None:
        """Other target ports, as after a change of the Service's `targetPort`."""
        with self._lock:
            self._ports = _ports(ports)
            self._changed()

    def set_cluster_ip(self, address: str | Sequence[str] | None) -> None:
        """Turn into a service that is not headless, answered with this address; None turns it headless."""
        with self._lock:
            given = () if address is None else (address,) if isinstance(address, str) else tuple(address)
            self._cluster_ips = tuple(ip_address(a).packed for a in given)
            self._changed()

    def freeze(self, replica: int = 1) -> None:
        """One of the `replicas` stops hearing of changes, until `thaw()`: its answers are those of this moment.

        Questions about the service are answered by its replicas in turn, replica 0 first, each with its own cache.
        """
        with self._lock:
            if not 0 <= replica < len(self._frozen):
                raise ValueError(f"no replica {replica}: the service has {len(self._frozen)}")
            self._frozen[replica] = self._view()

    def thaw(self) -> None:
        """All replicas know the newest state again (each as soon as its cache entry expires)."""
        with self._lock:
            self._frozen = [None] * len(self._frozen)

    def delete(self) -> None:
        """The service is gone: its names do not exist any more."""
        self._on_delete(self)

    # --- for the DNS server ------------------------------------------------------------------------------------------

    def next_view(self) -> tuple[int, View]:
        """The replica whose turn it is, and what it knows."""
        replica = self._turn % len(self._frozen)
        self._turn += 1
        return replica, self._frozen[replica] or self._view()

    def _view(self) -> View:
        if self._live is None:
            published = [pod for pod in self._pods if self._published(pod)]
            found = [
                Endpoint(
                    (pod.hostname or dashed(text)).lower().encode(), ip_address(text).packed, pod.zone.lower().encode()
                )
                for pod in published
                for text in pod.addresses
            ]
            found.sort(
                key=lambda endpoint: len(endpoint.packed)
            )  # an EndpointSlice per family; stable, so in pod order
            self._live = View(tuple(found), self._ports, self._cluster_ips)
        return self._live

    def _published(self, pod: Pod) -> bool:
        return pod.ready or self._publish_not_ready

    def _changed(self) -> None:
        self._live = None

    def _put(self, place: int, pod: Pod) -> Pod:
        self._pods[place] = pod
        self._changed()
        return pod

    def _fqdn(self, hostname: str | None, addresses: tuple[str, ...]) -> str:
        return f"{hostname or dashed(addresses[0])}.{self.name}"

    def _add(self, addresses: Sequence[str]) -> Pod:
        taken = self._addresses.take(addresses)
        ordinal = self._pods[-1].ordinal + 1 if self._pods else 0
        if self._hostnames is None:
            hostname = None
        elif isinstance(self._hostnames, str):
            hostname = _check_label(f"{self._hostnames}-{ordinal}", "hostname")
        else:
            hostname = _check_label(self._hostnames[ordinal % len(self._hostnames)], "hostname")
        pod = Pod(
            name=f"{self._hostnames if isinstance(self._hostnames, str) else self.service}-{ordinal}",
            ordinal=ordinal,
            hostname=hostname,
            addresses=taken,
            fqdn=self._fqdn(hostname, taken),
            zone=self._zones[ordinal % len(self._zones)] if self._zones else "",
        )
        self._pods.append(pod)
        self._changed()
        return pod

    def _place(self, pod: Pod | str | int) -> int:
        wanted = pod.name if isinstance(pod, Pod) else pod
        for place, candidate in enumerate(self._pods):
            if wanted in (candidate.name, candidate.ordinal, *candidate.addresses):
                return place
        raise KeyError(f"no pod {wanted!r} in {self.name}")
