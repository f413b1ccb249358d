"""Counting leases without a lock: the uses of a peer are a set of leases, and its load is how many there are.

Adding to and discarding from a set are single steps of C, and discarding twice is harmless: no count can be lost,
whatever threads do, and a forked child inherits no lock that another thread holds.
"""

from __future__ import annotations

from typing import TypeAlias
from weakref import WeakValueDictionary

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


class UsesOf(dict[Endpoint, Uses]):
    """The uses of each peer of a set, going on from those before.

    All pickers of a service know the same uses of an endpoint, for as long as a lease or a picker refers to them: so
    a peer that comes back is as busy as it was, a thread that still has the picker before counts in the right place,
    and what nobody needs any more is forgotten.
    """

    __slots__ = ("known",)

    def __init__(self, peers: PeerSet, before: UsesOf | None) -> None:
        self.known: WeakValueDictionary[Endpoint, Uses] = WeakValueDictionary() if before is None else before.known
        for peer in peers:
            self[peer.endpoint] = self.known.setdefault(peer.endpoint, set())
