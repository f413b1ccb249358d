"""Leases and several peers at once, from any picker: the user's own may have nothing but `pick`. And whole builds."""

from __future__ import annotations

from collections.abc import Collection
from typing import TypeVar

from ..errors import NoPeers
from ..model import Peer
from .api import Key, Lease, Picker, Steps
from .tiers import no_picks

T = TypeVar("T")


class PlainLease:
    """A lease that nobody counts."""

    __slots__ = ("peer",)

    def __init__(self, peer: Peer) -> None:
        self.peer = peer

    def release(self, error: BaseException | None = None) -> None:
        pass


def acquire(picker: Picker, key: Key | None = None, exclude: Collection[Peer] = ()) -> Lease:
    """A lease of a peer: the picker's own, or where it has no `acquire` a plain one. Raises `NoPeers`."""
    own = getattr(picker, "acquire", None)
    if own is None:
        return PlainLease(picker.pick(key, exclude))
    lease: Lease = own(key, exclude)
    return lease


def pick_many(picker: Picker, n: int, key: Key | None = None, exclude: Collection[Peer] = ()) -> list[Peer]:
    """Up to `n` different peers: all that are not excluded where they are fewer.

    Where the picker has no `pick_many`, it is asked again and again, each time excluding the peers before; one that
    does not heed `exclude` gives fewer. Raises `ValueError` for n < 0, and `NoPeers` where n > 0 and there is none.
    """
    own = getattr(picker, "pick_many", None)
    if own is not None:
        peers: list[Peer] = own(n, key, exclude)
        return peers
    if n <= 0:
        return no_picks(n)
    chosen: list[Peer] = []
    unwanted = {peer.endpoint for peer in exclude}
    while len(chosen) < n:
        try:
            peer = picker.pick(key, (*exclude, *chosen))
        except NoPeers:
            if not chosen:
                raise
            break
        if peer.endpoint in unwanted:
            break
        unwanted.add(peer.endpoint)
        chosen.append(peer)
    if not chosen:
        raise NoPeers("every peer that the strategy picks is excluded", excluded=exclude)
    return chosen


def at_once(steps: Steps[T]) -> T:
    """What the steps come to."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            result: T = end.value
            return result
