"""Hashes of keys and of peers: XXH64, as gRPC's ring_hash and Envoy use it. docs/hashing.md has worked numbers.

    str    its UTF-8 bytes          bytes   as they are
    int    its decimal text         Hashed  the hash itself

A bool is refused: its decimal text is not what other languages would write for it.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from functools import cache
from itertools import islice
from operator import itemgetter
from typing import TypeAlias

from xxhash import xxh64_intdigest

from ..model import Peer
from .api import Hashed, Key

HashKey: TypeAlias = Callable[[Peer], str]

BITS = 64


def key_hash(key: Key) -> int:
    """The 64-bit hash of a key. Raises `TypeError` for what is not a key."""
    if isinstance(key, str):
        return xxh64_intdigest(key.encode())
    if isinstance(key, bytes):
        return xxh64_intdigest(key)
    if isinstance(key, Hashed):
        return key.value
    if isinstance(key, int) and not isinstance(key, bool):
        return xxh64_intdigest(b"%d" % key)
    raise TypeError(f"a key is str, bytes, int or Hashed, not {type(key).__name__}")


def rehash(h: int, seed: int) -> int:
    """XXH64 of a hash written as 8 bytes, little end first."""
    return xxh64_intdigest(h.to_bytes(8, "little"), seed)


def identity(peer: Peer) -> str:
    """The default `hash_key`: `peer.identity`."""
    return peer.identity


def named(peers: Iterable[Peer], hash_key: HashKey) -> list[tuple[str, Peer]]:
    """Peers with what is hashed for them, in its order: the order that decides all ties.

    The order of code points, which is also that of the UTF-8 bytes; of peers with the same hash key, that of the set.
    """
    return sorted(((name_of(peer, hash_key), peer) for peer in peers), key=itemgetter(0))


def name_of(peer: Peer, hash_key: HashKey) -> str:
    name = hash_key(peer)
    if not isinstance(name, str):
        raise TypeError(f"hash_key must return str, not {type(name).__name__}")
    return name


@cache
def _numbers(count: int) -> tuple[bytes, ...]:
    return tuple(b"%d" % i for i in range(count))


def points(name: str, count: int) -> list[int]:
    """Where a hash key's points are on a ring: point i is XXH64 of the key, an underscore and i in decimal.

    Those of gRPC (balancer/ringhash) and Envoy (ring_hash_lb.cc).
    """
    prefix = name.encode() + b"_"
    numbers = islice(_numbers(4096), count) if count <= 4096 else (b"%d" % i for i in range(count))
    return [xxh64_intdigest(prefix + number) for number in numbers]


def weight(peer: Peer) -> int:
    """The weight every built-in strategy counts with: at least 1.

    RFC 2782 wants a small chance for weight 0, not none. Taking it as 1 keeps the rule a matter of the peer alone.
    """
    return peer.weight if peer.weight > 1 else 1


class Dice:
    """A source of randomness: its own with a seed, else the `random` module's, which a forked child re-seeds."""

    __slots__ = ("bits64", "uniform")

    def __init__(self, seed: int | None = None) -> None:
        own = None if seed is None else random.Random(seed)
        self.uniform: Callable[[], float] = random.random if own is None else own.random
        bits = random.getrandbits if own is None else own.getrandbits
        self.bits64: Callable[[], int] = lambda: bits(BITS)

    def below(self, n: int) -> int:
        """0 <= i < n. The bias of n / 2**53 buys a pick that costs half of `randrange`."""
        return int(self.uniform() * n)
