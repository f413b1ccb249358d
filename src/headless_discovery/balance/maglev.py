"""Maglev hashing (Eisenbud et al., NSDI 2016, section 3.4), as Envoy computes it."""

from __future__ import annotations

from array import array
from collections.abc import Collection, Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from itertools import count, cycle, islice
from math import isqrt
from typing import TypeAlias

from xxhash import xxh64_intdigest

from ..model import Endpoint, Peer, PeerSet
from .api import Key, Picker, Steps
from .hashing import Dice, HashKey, identity, named, weight
from .sharing import at_once
from .tiers import HashingPicker, Tier, linked, of_priority, tiers_of

# The number of a peer for every place: a byte or two each, so that look-ups stay in the processor's cache.
Table: TypeAlias = "array[int]"

# Envoy's proto allows tables up to this prime.
LARGEST_TABLE = 5_000_011
# What a step of filling takes, a fraction of a millisecond: places looked at, or the last places.
PROBES, LAST_PLACES = 3000, 16


@dataclass(frozen=True)
class Maglev:
    """A table of `table_size` (a prime) places, shared out so that every peer has its weight's share nearly exactly.

    The quickest look-up of the hashing strategies and the evenest; in return a join or leave also moves a few keys
    between peers that stayed, and each change fills the table anew. The table is Envoy's for the same hash keys and
    weights: `hash_key(peer)` defaults to `peer.identity`; `lambda peer: peer.netloc` is what Envoy hashes.

    Take a table of at least 100 times as many places as peers. A peer without a place is reached by `exclude` and
    `pick_many` only. Without a key, `pick` hashes a random number (of `seed`, if given).
    """

    table_size: int = 65537
    hash_key: HashKey | None = None
    seed: int | None = None

    def __post_init__(self) -> None:
        if not 2 <= self.table_size <= LARGEST_TABLE or not _is_prime(self.table_size):
            raise ValueError(f"table_size must be a prime number up to {LARGEST_TABLE}, not {self.table_size!r}")

    def build(self, peers: PeerSet, previous: Picker | None = None) -> MaglevPicker:
        """Raises `NoPeers` for an empty set, `TypeError` where `hash_key` returns no str."""
        return at_once(self.steps(peers, previous))

    def steps(self, peers: PeerSet, previous: Picker | None = None) -> Steps[MaglevPicker]:
        """The same, but filling the table yields now and then: it takes tens of milliseconds."""
        dice = previous._dice if isinstance(previous, MaglevPicker) else Dice(self.seed)
        pickers = []
        for tier in tiers_of(peers):
            hosts = named(tier, self.hash_key or identity)
            before = of_priority(previous, MaglevPicker, tier[0].priority)
            table = None if before is None else _taken_over(before, hosts, self.table_size)
            if table is None:
                table = yield from _filled(hosts, self.table_size)
            pickers.append(MaglevPicker(peers, tier, dice, hosts, table))
        return linked(pickers)


def _is_prime(n: int) -> bool:
    return n == 2 or (n % 2 == 1 and all(n % i for i in range(3, isqrt(n) + 1, 2)))


def _taken_over(before: MaglevPicker, hosts: list[tuple[str, Peer]], size: int) -> Table | None:
    """The table before, where nothing that it depends on has changed."""
    if before._size != size or len(before._hosts) != len(hosts):
        return None
    for (old_name, old), (name, peer) in zip(before._hosts, hosts, strict=True):
        if name != old_name or weight(peer) != weight(old):
            return None
    return before._table


def _filled(hosts: list[tuple[str, Peer]], size: int) -> Steps[Table]:
    # Every peer has an order of preference over the places: offset, offset + skip, offset + 2 skip, ... When it is its
    # turn, it takes the first place in its order that is still free.
    places = [xxh64_intdigest(name.encode()) % size for name, _ in hosts]
    skips = [xxh64_intdigest(name.encode(), 1) % (size - 1) + 1 for name, _ in hosts]
    turns = _turns([weight(peer) for _, peer in hosts])
    table = [-1] * size
    free, few = size, isqrt(size)
    while free > few:
        yield
        claims = min(free - few, 1 + PROBES * free // size)
        for i in islice(turns, claims):
            place, skip = places[i], skips[i]
            while table[place] >= 0:
                place += skip
                if place >= size:
                    place -= size
            table[place] = i
            places[i] = place
        free -= claims
    yield
    # To meet one of the last places takes size / free steps, so how far each of them is on the way is computed instead.
    left: list[int] = []
    for _ in range(free):
        left.append(table.index(-1, left[-1] + 1 if left else 0))
    for i in islice(turns, free):
        start, inverse = places[i], pow(skips[i], -1, size)
        steps = [(place - start) * inverse % size for place in left]
        places[i] = place = left.pop(steps.index(min(steps)))
        table[place] = i
        if len(left) % LAST_PLACES == 0:
            yield
    return array("B" if len(hosts) <= 1 << 8 else "H" if len(hosts) <= 1 << 16 else "I", table)


def _turns(weights: list[int]) -> Iterator[int]:
    """Whose turn it is, for ever: in rounds, but one with a third of the greatest weight takes part in every third."""
    if len(set(weights)) == 1:
        yield from cycle(range(len(weights)))
    # In doubles as Envoy has them, because rounding decides who skips which round.
    total = sum(weights)
    shares = [weight / total for weight in weights]
    largest = max(shares)
    targets = [0.0] * len(weights)
    for turn in count(1):
        for i, share in enumerate(shares):
            if turn * share >= targets[i]:
                targets[i] += largest
                yield i


class MaglevPicker(HashingPicker):
    __slots__ = ("_hosts", "_owners", "_size", "_table")

    def __init__(self, peers: PeerSet, tier: Tier, dice: Dice, hosts: list[tuple[str, Peer]], table: Table) -> None:
        super().__init__(peers, tier, dice)
        self._hosts = hosts
        self._owners = [peer for _, peer in hosts]
        self._table = table
        self._size = len(table)

    def pick(self, key: Key | None = None, exclude: Collection[Peer] = ()) -> Peer:
        if exclude:
            return self._pick_excluding(key, exclude)
        if type(key) is str:
            return self._owners[self._table[xxh64_intdigest(key.encode()) % self._size]]
        return self._owners[self._table[self._place(key) % self._size]]

    def _candidates(self, place: int, excluded: AbstractSet[Endpoint], left: int) -> Iterator[Peer]:
        """Those met going up the table from the key's place, and then those without a place."""
        met = set(excluded)
        seen: set[int] = set()
        start = place % self._size
        for i in range(start - self._size, start):  # negative places count from the end
            owner = self._table[i]
            if owner in seen:
                continue
            seen.add(owner)
            peer = self._owners[owner]
            if peer.endpoint not in met:
                met.add(peer.endpoint)
                yield peer
                left -= 1
                if not left:
                    return
        yield from (peer for peer in self._tier if peer.endpoint not in met)
