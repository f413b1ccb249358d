"""Checks of the peers themselves, and of what the library makes of it all."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ...answer import Answer
from ...errors import LookupFailed
from .evidence import Connection, Evidence
from .finding import Finding, Said


def unreachable(connections: Sequence[Connection]) -> Iterator[Finding]:
    """Peers that do not accept a TCP connection."""
    refused = [connection for connection in connections if connection.problem]
    if not refused:
        return
    everyone = "all" if len(refused) == len(connections) else f"{len(refused)} of"
    yield Finding(
        "peer-unreachable",
        "problem",
        f"{everyone} {len(connections)} peers do not accept connections, such as {refused[0].peer.netloc}: "
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
    yield from unreachable(e.connections or ())
    if e.connections is None or e.connections or not e.looked.peers:
        return
    peers = Said(f"{len(e.looked.peers)} peers, such as {e.looked.peers[0]}")
    if e.tcp_port:
        yield Finding(
            "not-connected",
            "note",
            "not connected to anybody: no port is known",
            "The target has no port, and the service lists none in DNS.",
            ("Give one: --port 8080, or --port http",),
            (peers,),
        )
    else:
        yield Finding(
            "not-connected",
            "note",
            f"not connected to anybody: {e.qname} is not a port of TCP",
            "Whether a datagram was taken cannot be seen.",
            ("Connect to a port of TCP of the same pods: --port",),
            (peers,),
        )


def own(e: Evidence) -> Iterator[Finding]:
    """The one who asks is among the peers."""
    mine = [peer for peer in e.looked.peers if e.own.intersection(peer.addresses)]
    if not mine:
        return
    yield Finding(
        "own-pod",
        "note",
        f"this pod is one of the peers: {mine[0]}",
        "Right for sharding, where each pod has its part. Not right for a broadcast to the others.",
        ("exclude_self=True leaves it out (with $POD_IP from the downward API)",),
        (Said(f"own addresses: {', '.join(sorted(e.own))}"),),
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
    if not e.looked.peers and not explained:
        yield Finding(
            "no-peers",
            "problem",
            f"there are no peers behind {e.question}",
            "DNS has an answer, but nobody in it that can be used.",
            ("docs/kubernetes.md shows a Service that works",),
            (Said(f"{outcome.server} answered for {outcome.name}"),),
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
    return f"{outcome.server} answered for {outcome.name} by {'TCP' if outcome.tcp else 'UDP'}"


CHECKS = (connected, own)
