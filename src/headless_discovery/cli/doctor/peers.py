"""Checks of the peers themselves, and of what the library makes of it all."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ...answer import Answer
from ...errors import LookupFailed
from ...model import PeerSet
from ..output import plural
from .evidence import Connection, Evidence
from .finding import Finding, Said


def unreachable(connections: Sequence[Connection], *, port_known: bool = True) -> Iterator[Finding]:
    """Peers that do not accept a TCP connection. Unless the port is known to be one of TCP, somebody has to accept."""
    of_tcp = {connection.peer.port for connection in connections if port_known or not connection.problem}
    tried = [connection for connection in connections if connection.peer.port in of_tcp]
    unclear = [connection for connection in connections if connection.peer.port not in of_tcp]
    if refused := [connection for connection in tried if connection.problem]:
        yield _refused(refused, _count(refused, port_known), _count(tried, port_known))
    if unclear:
        ports = sorted({connection.peer.port for connection in unclear if connection.peer.port is not None})
        yield Finding(
            "not-connected",
            "note" if tried else "warning",  # nothing that was asked for was seen to work
            f"nobody accepts connections on port {', '.join(map(str, ports))}, which may not be one of TCP",
            "SRV records of the service's own name list the ports of all protocols, and do not tell which is which.",
            ("A port's name is asked for with its protocol: --port http", "Or give the number: --port 8080"),
            tuple(unclear[:5]),
        )


def _count(connections: Sequence[Connection], port_known: bool) -> int:
    """Of peers. Where these have no port of their own, each is tried on all ports that the service has."""
    return len({connection.peer.endpoint if port_known else connection.peer.address for connection in connections})


def _refused(refused: Sequence[Connection], bad: int, peers: int) -> Finding:
    who = "the one peer does" if peers == 1 else f"{'all' if bad == peers else f'{bad} of'} {peers} peers do"
    return Finding(
        "peer-unreachable",
        "problem",
        f"{who} not accept connections, {'such as ' if peers > 1 else ''}{refused[0].peer.netloc}: "
        f"{refused[0].problem}",
        "Nobody listens on that port at that address, or a NetworkPolicy lets nobody through. A pod that has just "
        "ended is still in DNS for the TTL.",
        (
            "Refused: is it the port that the pods listen on? A headless Service does not translate ports",
            "Refused by some: their readiness probe says ready too early, or publishNotReadyAddresses is set",
            "No answer: a NetworkPolicy, or a firewall between nodes",
        ),
        tuple(refused[:5]),
    )


def connected(e: Evidence) -> Iterator[Finding]:
    """`--connect`: connections that failed, and why none was tried."""
    yield from unreachable(e.connections or (), port_known=e.port_known)
    if e.connections is None or e.connections or not e.looked.peers:
        return
    if e.tcp_port:
        yield _no_port(e.looked.peers, "The target has no port, and the service lists none in DNS.")
    else:
        yield Finding(
            "not-connected",
            "note",
            f"not connected to anybody: {e.qname} is not a port of TCP",
            "Whether a datagram was taken cannot be seen.",
            ("Connect to a port of TCP of the same pods: --port",),
            (_such_as(e.looked.peers),),
        )


def connected_to_fixed(peers: PeerSet, connections: Sequence[Connection] | None) -> Iterator[Finding]:
    """The same for peers that the target itself names."""
    yield from unreachable(connections or ())
    if connections is not None and not connections:
        yield _no_port(peers, "The target has no port.")


def _no_port(peers: PeerSet, why: str) -> Finding:
    return Finding(
        "not-connected",
        "note",
        "not connected to anybody: no port is known",
        why,
        ("Give one: --port 8080, or --port http",),
        (_such_as(peers),),
    )


def _such_as(peers: PeerSet) -> Said:
    return Said(f"{plural(len(peers), 'peer')}, such as {peers[0]}")


def own(e: Evidence) -> Iterator[Finding]:
    """The one who asks is among the peers, or was the only one."""
    told = (Said(f"own addresses: {', '.join(sorted(e.own))}"),)
    if e.excluded and not e.looked.peers:
        yield Finding(
            "own-pod",
            "note",
            f"this pod is the only peer, and exclude_self=True leaves it out: {e.excluded[0]}",
            "DNS names nobody else. For a broadcast to the others that is no fault where one pod runs.",
            (
                "Should there be more? Those that are not ready are not in DNS: kubectl get endpointslices shows them",
                "If this pod has a part of its own, leave exclude_self=True out",
            ),
            told,
        )
    mine = [peer for peer in e.looked.peers if e.own.intersection(peer.addresses)]
    if not mine:
        return
    yield Finding(
        "own-pod",
        "note",
        f"this pod is one of the peers: {mine[0]}",
        "Right for sharding, where each pod has its part. Not right for a broadcast to the others.",
        ("exclude_self=True leaves it out (with $POD_IP from the downward API)",),
        told,
    )


def lookup(e: Evidence, so_far: Sequence[Finding]) -> Iterator[Finding]:
    """What the library itself says, where no other check has explained it."""
    outcome = e.looked.outcome
    explained = any(finding.level == "problem" for finding in so_far)
    if isinstance(outcome, LookupFailed):
        if not explained:
            yield Finding(
                "lookup-failed",
                "problem",
                f"the lookup fails: {outcome}",
                "The library got no usable answer, while single questions were answered.",
                ("docs/troubleshooting.md has a line for each such message",),
                (Said(str(outcome)),),
            )
        return
    if not e.looked.peers and not e.excluded and not explained:
        yield Finding(
            "no-peers",
            "problem",
            f"there are no peers behind {e.question}",
            "DNS has an answer, but nobody in it that can be used.",
            ("docs/kubernetes.md shows a Service that works",),
            (Said(f"{outcome.source} answered for {outcome.name}"),),
        )
    elif outcome.warning and not any(finding.level != "note" for finding in so_far):
        yield Finding(
            "lookup-warning",
            "warning",
            outcome.warning,
            "The library has peers, and this to say about the answer.",
            ("docs/troubleshooting.md has a line for each such message",),
            (Said(_answered(outcome)),),
        )


def _answered(outcome: Answer) -> str:
    return f"{outcome.source} answered for {outcome.name} by {'TCP' if outcome.tcp else 'UDP'}"


CHECKS = (connected, own)
