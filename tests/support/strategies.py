"""Strategies that tests need: one that fails when told to, one with nothing but `pick`, one that counts leases."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection

from headless_discovery import NoPeers, Peer, PeerSet
from headless_discovery.balance.api import Key, Lease, Picker


class FirstPicker:
    def __init__(self, peers: PeerSet) -> None:
        self.peers = peers

    def pick(self, key: Key | None = None, exclude: Collection[Peer] = ()) -> Peer:
        excluded = {peer.endpoint for peer in exclude}
        for peer in self.peers:
            if peer.endpoint not in excluded:
                return peer
        raise NoPeers("all are excluded", target=self.peers.target, excluded=exclude)


class First:
    """The first peer, always. Its pickers have nothing but `pick`. Raises `broken` from `build`, if set."""

    def __init__(self) -> None:
        self.broken: Exception | None = None
        self.built: list[tuple[PeerSet, Picker | None]] = []

    def build(self, peers: PeerSet, previous: Picker | None) -> FirstPicker:
        self.built.append((peers, previous))
        if self.broken is not None:
            raise self.broken
        return FirstPicker(peers)


class CountedLease:
    def __init__(self, peer: Peer, counts: Counter[Peer], errors: list[BaseException | None]) -> None:
        self.peer = peer
        self._counts = counts
        self._errors = errors
        counts[peer] += 1

    def release(self, error: BaseException | None = None) -> None:
        self._counts[self.peer] -= 1
        self._errors.append(error)


class CountingPicker(FirstPicker):
    def __init__(self, peers: PeerSet, strategy: Counting) -> None:
        super().__init__(peers)
        self._strategy = strategy

    def acquire(self, key: Key | None = None, exclude: Collection[Peer] = ()) -> Lease:
        return CountedLease(self.pick(key, exclude), self._strategy.busy, self._strategy.released)


class Counting:
    """The first peer, with leases: `busy` counts the open ones, `released` has what each was released with."""

    def __init__(self) -> None:
        self.busy: Counter[Peer] = Counter()
        self.released: list[BaseException | None] = []

    def build(self, peers: PeerSet, previous: Picker | None) -> CountingPicker:
        return CountingPicker(peers, self)
