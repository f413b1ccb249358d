"""A service's picker, sans-IO: built for each new set, in steps where that takes long, the last one to fall back on."""

from __future__ import annotations

from collections.abc import Callable, Collection
from functools import partial
from typing import TypeVar

from .balance import Lease, acquire, pick_many
from .balance.api import Key, Picker, Steps, Strategy
from .balance.layers import InOrder, Layer, LayeredPicker, steps_of
from .connections import Host
from .errors import DiscoveryError, NoPeers
from .logs import log
from .model import Peer, PeerSet

T = TypeVar("T")


class _Nobody:
    """The picker of an empty set."""

    def __init__(self, target: str) -> None:
        self._target = target

    def pick(self, key: Key | None = None, exclude: Collection[Peer] = ()) -> Peer:
        raise NoPeers(
            f"{self._target} has no peers: no pod is ready, or no such service", target=self._target, excluded=exclude
        )


class _Remaining:
    """The old picker, without the peers that are gone."""

    def __init__(self, old: Picker, gone: list[Peer]) -> None:
        self._old = old
        self._gone = gone

    def pick(self, key: Key | None = None, exclude: Collection[Peer] = ()) -> Peer:
        return self._ask(lambda without: self._old.pick(key, without), exclude)

    def acquire(self, key: Key | None = None, exclude: Collection[Peer] = ()) -> Lease:
        return self._ask(lambda without: acquire(self._old, key, without), exclude)

    def pick_many(self, n: int, key: Key | None = None, exclude: Collection[Peer] = ()) -> list[Peer]:
        return self._ask(lambda without: pick_many(self._old, n, key, without), exclude)

    def _ask(self, question: Callable[[Collection[Peer]], T], exclude: Collection[Peer]) -> T:
        try:
            return question([*exclude, *self._gone])
        except NoPeers as error:  # what the caller ruled out is what he hears of
            raise NoPeers(str(error), target=error.target, excluded=exclude) from None


def _remaining(old: Picker, before: PeerSet, now: PeerSet) -> _Remaining:
    return _Remaining(old, [peer for peer in before if now.get(peer.endpoint) is None])


def _meanwhile(old: Picker, before: PeerSet, now: PeerSet) -> LayeredPicker:
    """Who is still there by the old picker; those who joined only where `exclude` leaves none of them."""
    layers = [Layer((0, "remaining"), _remaining(old, before, now))]
    if joined := tuple(peer for peer in now if before.get(peer.endpoint) is None):
        layers.append(Layer((0, "joined"), InOrder(now, joined)))
    return LayeredPicker(now, layers)


class _Broken:
    """There is no old picker either."""

    def __init__(self, error: DiscoveryError) -> None:
        self._error = error

    def pick(self, key: Key | None = None, exclude: Collection[Peer] = ()) -> Peer:
        # A new one each time: one that is raised again keeps the frames of all that it was raised in.
        raise DiscoveryError(str(self._error)) from self._error.__cause__


def _in_one(strategy: Strategy, peers: PeerSet, previous: Picker | None) -> Steps[Picker]:
    return strategy.build(peers, previous)
    yield


class Pickers:
    """`built(peers, picker)` hears of a picker that was not there when `build` returned."""

    def __init__(self, strategy: Strategy, target: str, built: Callable[[PeerSet, Picker], None]) -> None:
        self.error: DiscoveryError | None = None
        self._strategy = strategy
        self._target = target
        self._built = built
        self._last: tuple[PeerSet, Picker] | None = None
        self._building: Steps[Picker] | None = None
        self._waiting: list[Callable[[], None]] = []

    def build(self, peers: PeerSet, host: Host) -> Picker:
        """The strategy's picker for `peers`; until it is built, and if that raises, what is left of the last one."""
        self.error = None
        # Who changes more often than a picker is built gets a whole one: else there might never be a new one.
        in_steps = self._building is None
        self._building = None
        if not peers:
            return _Nobody(self._target)
        before = self._last
        stay = before is not None and any(peers.get(peer.endpoint) for peer in before[0])
        build = steps_of if in_steps and stay else _in_one
        return self._step(build(self._strategy, peers, before and before[1]), peers, host)

    def once_built(self, then: Callable[[], None]) -> None:
        """Call `then` when no picker is being built, now or later."""
        self._waiting.append(then)
        self.tell()

    def tell(self) -> None:
        """Call those that wait for a picker, if none is being built."""
        if self._building is None:
            waiting, self._waiting = self._waiting, []
            for then in waiting:
                then()

    def forget(self) -> None:
        """There was no picker before."""
        self._last = self._building = None
        self._waiting.clear()

    def close(self) -> None:
        self._building = None
        self.tell()

    def _step(self, building: Steps[Picker], peers: PeerSet, host: Host) -> Picker:
        self._building = None
        try:
            next(building)
        except StopIteration as end:
            picker: Picker = end.value
            self._last = peers, picker
            return picker
        except Exception as error:
            log.exception("strategy %r could not build a picker for %d peers", self._strategy, len(peers))
            self.error = DiscoveryError(f"strategy {self._strategy!r} raised {error!r}")
            self.error.__cause__ = error
            if self._last is None:
                return _Broken(self.error)
            before, old = self._last
            return _remaining(old, before, peers)
        self._building = building
        host.call_at(host.time(), partial(self._go_on, building, peers, host))
        assert self._last is not None  # or it would be built in one
        before, old = self._last
        return _meanwhile(old, before, peers)

    def _go_on(self, building: Steps[Picker], peers: PeerSet, host: Host) -> None:
        if building is self._building:
            picker = self._step(building, peers, host)
            if self._building is None:
                self._built(peers, picker)
                self.tell()
