"""Who gets what: how strategies spread keys over a set of peers, and what moves from one set to the next."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from .. import DiscoveryError, Peer, PeerSet
from ..balance import Picker, Strategy, acquire, make
from ..balance.registry import BY_NAME

PROBES = 100

Follow = Callable[[Sequence[str], str], Iterable[str]]  # the keys, and the strategy whose turn it is


@dataclass(frozen=True)
class Spread:
    """How one strategy's picks for some keys fall on the peers."""

    strategy: str
    picks: Counter[Peer]
    chosen: tuple[str, ...]  # the identity of each key's peer
    by_key: bool  # a key gets the same peer each time
    moved: float | None = None  # share of the keys whose owner is another one than before the last change
    strayed: float | None = None  # share of the keys that moved although old and new owner were there before and after

    @property
    def owners(self) -> tuple[str, ...] | None:
        return self.chosen if self.by_key else None

    @property
    def peak(self) -> float:
        """The busiest peer's share as a multiple of the mean; 1 is even."""
        return max(self.picks.values()) / self._mean if self.picks else 0.0

    @property
    def low(self) -> float:
        """The idlest peer's."""
        return min(self.picks.values()) / self._mean if self.picks else 0.0

    @property
    def _mean(self) -> float:
        return max(1, sum(self.picks.values())) / len(self.picks)


class Spreads:
    """Strategies over the same sets, one set after the other. Without `names`: all that need no arguments.

    `in_flight` leases are held at a time while picks are counted, so that load-aware strategies have load to see.
    """

    def __init__(
        self,
        keys: Sequence[str],
        names: Iterable[str] = BY_NAME,
        *,
        in_flight: int = 16,
        seed: int | None = None,
        follow: Follow = lambda keys, name: keys,
    ) -> None:
        self.all: list[Spread] = []
        self.cannot: dict[str, str] = {}  # strategies that have no use for such peers, and why
        self._keys = keys
        self._in_flight = in_flight
        self._follow = follow
        self._strategies: dict[str, Strategy] = {name: make(name, seed) for name in names}
        self._pickers: dict[str, Picker] = {}
        self._members: frozenset[str] = frozenset()

    def update(self, peers: PeerSet) -> None:
        before = {spread.strategy: spread.owners for spread in self.all}
        members = frozenset(peer.identity for peer in peers)
        stayed = members & self._members
        self.all = []
        for name in [name for name in self._strategies if name not in self.cannot]:
            try:
                self.all.append(self._spread(name, peers, before.get(name), stayed))
            except DiscoveryError as error:
                self.cannot[name] = str(error)
        self._members = members

    def _spread(self, name: str, peers: PeerSet, before: Sequence[str] | None, stayed: frozenset[str]) -> Spread:
        picker = self._pickers[name] = self._strategies[name].build(peers, self._pickers.get(name))
        picks: Counter[Peer] = Counter(dict.fromkeys(peers, 0))
        held: deque[Callable[[], None]] = deque()
        peer_of: list[Peer] = []
        for key in self._follow(self._keys, name):
            lease = acquire(picker, key)
            held.append(lease.release)
            if len(held) > self._in_flight:
                held.popleft()()
            peer_of.append(lease.peer)
        for release in held:
            release()
        picks.update(peer_of)
        # By key, if asking again in another order gives the same peers.
        again = [picker.pick(key) for key in reversed(self._keys[:PROBES])]
        by_key = again[::-1] == peer_of[:PROBES] and (len(self._keys) > 1 or picker.pick(self._keys[0]) == again[0])
        identity = {peer: peer.identity for peer in peers}
        chosen = tuple(identity[peer] for peer in peer_of)
        if not by_key or before is None:
            return Spread(name, picks, chosen, by_key)
        changed = [(then, now) for then, now in zip(before, chosen, strict=True) if then != now]
        strayed = sum(then in stayed and now in stayed for then, now in changed)
        return Spread(name, picks, chosen, by_key, len(changed) / len(chosen), strayed / len(chosen))
