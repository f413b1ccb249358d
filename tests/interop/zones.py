"""The zone that every server serves, as data, and its spelling for each of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from itertools import islice

ORIGIN = "svc.cluster.local"
TTL = 5  # what CoreDNS gives headless services
LIVE_TTL = 1


@dataclass(frozen=True)
class Record:
    name: str
    type: str
    data: str
    ttl: int = TTL


def name(service: str) -> str:
    """`web` is `web.moon.svc.cluster.local`: absolute, for no resolver to search for."""
    return f"{service}.moon.{ORIGIN}"


def v4(network: int, count: int) -> list[str]:
    """`count` addresses of 10.network.0.0/16."""
    first = int(IPv4Address(f"10.{network}.0.1"))
    return [str(IPv4Address(first + i)) for i in range(count)]


def v6(network: int, count: int) -> list[str]:
    first = int(IPv6Address(f"fd00:{network}::1"))
    return [str(IPv6Address(first + i)) for i in range(count)]


def addresses(owner: str, v4: Iterable[str] = (), v6: Iterable[str] = (), ttl: int = TTL) -> list[Record]:
    return [*(Record(owner, "A", a, ttl) for a in v4), *(Record(owner, "AAAA", a, ttl) for a in v6)]


def pod_name(service: str, pod: int) -> str:
    return name(f"web-{pod}.{service}")


def dashed_name(service: str, address: str) -> str:
    return name(f"{address.replace('.', '-')}.{service}")


def pod_port(pod: int) -> int:
    """Pods of one service may differ in their target port; these do."""
    return 8080 + pod % 2


def headless(service: str, v4: list[str], v6: list[str] | None = None, *, dashed: bool = False) -> list[Record]:
    """A headless service with a named port as CoreDNS publishes it: SRV of `_http._tcp.` and of the bare name, weight
    100/n, the addresses of each pod under its own name and of all of them under the service's. Pods are those of a
    StatefulSet, or (`dashed`) of a Deployment, which have no hostname."""
    records = addresses(name(service), v4, v6 or ())
    for pod, address in enumerate(v4):
        target = dashed_name(service, address) if dashed else pod_name(service, pod)
        records += addresses(target, [address], v6[pod : pod + 1] if v6 else ())
        srv = f"0 {max(1, 100 // len(v4))} {pod_port(pod)} {target}."
        records += [Record(name(f"_http._tcp.{service}"), "SRV", srv), Record(name(service), "SRV", srv)]
    return records


A_SIZES = {3: v4(1, 3), 100: v4(2, 100), 1000: v4(3, 1000), 3000: v4(4, 3000)}
SRV_SIZES = {3: v4(10, 3), 20: v4(11, 20), 100: v4(12, 100)}
DASHED = v4(13, 16)
V6_ONLY = v6(20, 3)
DUAL_V4, DUAL_V6 = v4(21, 3), v6(21, 3)
DUAL_SRV_V4, DUAL_SRV_V6 = v4(22, 3), v6(22, 3)
LIVE = v4(30, 8)
# Dual-stack StatefulSets. 11 pods fill a datagram: NSD, which adds NS records, has no room for all of their glue.
# 40 pods need TCP. The glue of 700 does not fit there either.
PODS_SIZES = {n: (v4(network, n), v6(network, n)) for n, network in ((11, 23), (40, 24), (700, 25))}


def version(serial: int) -> str:
    """The address of the name `version`, by which every server tells which edition of the zone it serves."""
    return str(IPv4Address("10.255.0.0") + serial)


def zone(live: int = 3, serial: int = 1, *, small: bool = False) -> list[Record]:
    """All records below the apex. `live` is the number of pods of the one service that tests change; a `small` zone
    has little beside it, so that servers read it again in no time."""
    changing = [
        *addresses(name("live"), islice(LIVE, live), ttl=LIVE_TTL),
        Record(name("version"), "A", version(serial), LIVE_TTL),
    ]
    if small:
        return [*addresses(name("a3"), A_SIZES[3]), *changing]
    return [
        *(r for n, ips in A_SIZES.items() for r in addresses(name(f"a{n}"), ips)),
        *(r for n, ips in SRV_SIZES.items() for r in headless(f"srv{n}", ips)),
        *headless("dashed", DASHED, dashed=True),
        *addresses(name("six"), (), V6_ONLY),
        *addresses(name("dual"), DUAL_V4, DUAL_V6),
        *headless("dual-srv", DUAL_SRV_V4, DUAL_SRV_V6),
        *(r for n, (v4s, v6s) in PODS_SIZES.items() for r in headless(f"pods{n}", v4s, v6s)),
        *changing,
        Record(name("alias"), "CNAME", f"{name('a3')}."),
        Record(name("alias-six"), "CNAME", f"{name('six')}."),
        Record(name("alias-1000"), "CNAME", f"{name('a1000')}."),
        Record(name("chain-1"), "CNAME", f"{name('chain-2')}."),
        Record(name("chain-2"), "CNAME", f"{name('chain-3')}."),
        Record(name("chain-3"), "CNAME", f"{name('a3')}."),
        Record(name("_http._tcp.alias-srv"), "CNAME", f"{name('_http._tcp.srv3')}."),
        Record(name("text-only"), "TXT", "nothing-to-connect-to"),
        Record(name("_text._tcp.a3"), "TXT", "no-port-of-that-name"),
    ]


def master_file(records: Iterable[Record], serial: int, origin: str = ORIGIN) -> str:
    """RFC 1035, 5: what all but dnsmasq read. The negative TTL (SOA minimum, RFC 2308) is CoreDNS's."""
    lines = [
        f"$ORIGIN {origin}.",
        f"@ {TTL} IN SOA ns.dns.{origin}. hostmaster.{origin}. {serial} 7200 1800 86400 {TTL}",
        f"@ {TTL} IN NS ns.dns.{origin}.",
        f"ns.dns {TTL} IN A 10.0.0.53",
        *(f"{r.name}. {r.ttl} IN {r.type} {r.data}" for r in records),
    ]
    return "\n".join(lines) + "\n"


def dnsmasq_hosts(records: Iterable[Record]) -> str:
    return "".join(f"{r.data} {r.name}\n" for r in records if r.type in {"A", "AAAA"})


def dnsmasq_options(records: Iterable[Record]) -> list[str]:
    """Everything but addresses: dnsmasq has an option for each kind of record."""
    options = []
    for r in records:
        match r.type:
            case "CNAME":
                options.append(f"cname={r.name},{r.data.removesuffix('.')}")
            case "TXT":
                options.append(f"txt-record={r.name},{r.data}")
            case "SRV":
                priority, weight, port, target = r.data.split()
                options.append(f"srv-host={r.name},{target.removesuffix('.')},{port},{priority},{weight}")
    return options
