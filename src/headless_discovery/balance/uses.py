"""Counting leases without a lock: the uses of a peer are a set of leases, and its load is how many there are.

Adding to and discarding from a set are single steps of C, and discarding twice is harmless: no count can be lost,
whatever threads do, and a forked child inherits no lock that another thread holds.
"""

from __future__ import annotations

from typing import TypeAlias

from ..model import Endpoint, Peer, PeerSet

Uses: TypeAlias = set["CountedLease"]


class CountedLease:
    """In the uses of its peer until released."""

    __slots__ = ("_uses", "peer")

    def __init__(self, peer: Peer, uses: Uses) -> None:
        self.peer = peer
        self._uses = uses
        uses.add(self)

    def release(self, error: BaseException | None = None) -> None:
        self._uses.discard(self)


def uses_of(peers: PeerSet, before: dict[Endpoint, Uses] | None) -> dict[Endpoint, Uses]:
    """The uses of each peer, going on from those before.

    A peer that left is kept in mind while it is in use: it may come back before the last use is over.
    """
    if before is None:
        return {peer.endpoint: set() for peer in peers}
    # The very same sets, also the empty ones: the picker before may still be in use.
    uses = {endpoint: leases for endpoint, leases in before.items() if leases}
    for peer in peers:
        uses[peer.endpoint] = before.get(peer.endpoint, set())
    return uses
