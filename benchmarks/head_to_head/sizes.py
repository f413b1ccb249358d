"""How many records of a headless service CoreDNS puts into one answer."""

from __future__ import annotations

from bisect import bisect_left

import dns.flags
import dns.message
import dns.query

from kubernetes import objects
from kubernetes.control_plane import DNS_ADDRESS, ZONE, ControlPlane
from kubernetes.parts import Parts

NAMESPACE = "moon"
PAYLOAD = 1232  # octets over UDP, as the library asks for
MANY = 5000  # more than fit into the 64 KiB of an answer over TCP
FEW = 200  # more than fit into UDP
KINDS = ("A", "SRV")


def measure(parts: Parts) -> dict[str, dict[str, int]]:
    """For A and SRV: over UDP the largest whole answer, over TCP what a cut answer has of `MANY`."""
    with ControlPlane(parts) as cluster:
        cluster.namespace(NAMESPACE)
        many = _service(cluster, MANY)
        return {
            kind: {
                "udp": bisect_left(range(1, FEW), True, key=lambda n, kind=kind: _is_cut(cluster, n, kind)),
                "tcp": len(_ask(many, kind, tcp=True).answer[0]),
            }
            for kind in KINDS
        }


def _is_cut(cluster: ControlPlane, number: int, kind: str) -> bool:
    return bool(_ask(_service(cluster, number), kind).flags & dns.flags.TC)


def _service(cluster: ControlPlane, number: int) -> str:
    """A service of so many StatefulSet pods, and a name as long as that in the manual; the same for the same number."""
    name = f"headless{number:04}"
    assert len(name) == len(objects.SERVICE)
    if not cluster.slices.addresses((NAMESPACE, name)):
        addresses = [f"10.244.{100 + high}.{low}" for high in range(40) for low in range(1, 251)][:number]
        slices = objects.endpoint_slices(NAMESPACE, addresses, name)
        for ordinal, endpoint in enumerate(endpoint for one in slices for endpoint in one["endpoints"]):
            endpoint["hostname"] = f"web-{ordinal}"
        cluster.apply(*slices)
        cluster.wait_for_endpoints(NAMESPACE, number, name)
        # Only now: CoreDNS answers for a name once it has the Service, and keeps what it has answered.
        cluster.apply(objects.service(NAMESPACE, name, selector={}))
    whole = f"{name}.{NAMESPACE}.svc.{ZONE}"
    cluster.wait(lambda: _ask(whole, "A").answer, f"{whole} is in DNS")
    return whole


def _ask(name: str, kind: str, *, tcp: bool = False) -> dns.message.Message:
    query = dns.message.make_query(name, kind, use_edns=0, payload=PAYLOAD)
    if tcp:
        return dns.query.tcp(query, DNS_ADDRESS, timeout=10)
    return dns.query.udp(query, DNS_ADDRESS, timeout=10)
