"""What a balancing strategy is: the protocols, and the types of keys.

A `Strategy` is configuration: one instance may serve many services. It builds a `Picker` for each snapshot of peers;
what a picker learned passes to the next one through `previous`.
"""

from __future__ import annotations

from collections.abc import Collection, Generator
from dataclasses import dataclass
from typing import Protocol, TypeAlias, TypeVar, runtime_checkable

from ..model import Peer, PeerSet


@dataclass(frozen=True, slots=True)
class Hashed:
    """A key that is a ready 64-bit hash, 0 <= value < 2**64. Raises `TypeError` or `ValueError` for anything else."""

    value: int

    def __post_init__(self) -> None:
        if not isinstance(self.value, int) or isinstance(self.value, bool):
            raise TypeError(f"a hash is an int, not {type(self.value).__name__}")
        if not 0 <= self.value < 1 << 64:
            raise ValueError(f"not an unsigned 64-bit number: {self.value}")


T = TypeVar("T")
Steps: TypeAlias = Generator[None, None, T]
Key: TypeAlias = str | bytes | int | Hashed


class Picker(Protocol):
    """Chooses among the peers it was built for.

    Called from any thread, so what it keeps must be immutable or safe to share. Two more methods are optional:
    `acquire(key, exclude) -> Lease` for strategies that want to know how long a peer is in use, and
    `pick_many(n, key, exclude) -> list[Peer]`; the functions `acquire` and `pick_many` do without them.
    """

    def pick(self, key: Key | None = None, exclude: Collection[Peer] = ()) -> Peer:
        """One peer whose endpoint none of `exclude` has. Raises `NoPeers` when there is none."""
        ...


class Strategy(Protocol):
    """Builds pickers.

    One that takes milliseconds to build may have a second method, `steps(peers, previous)`: a generator that yields
    every half a millisecond or so and returns the picker. While it is stepped, the picker before stays in use for the
    peers that are still there, and other work goes on.
    """

    def build(self, peers: PeerSet, previous: Picker | None) -> Picker:
        """A picker for `peers`, which is never empty. `previous` is this strategy's last picker for this service.

        `previous` may also be another strategy's picker: check its type before using it.
        """
        ...


@runtime_checkable
class Lease(Protocol):
    """A peer in use, from `acquire` to `release`."""

    @property
    def peer(self) -> Peer: ...

    def release(self, error: BaseException | None = None) -> None:
        """The use is over; `error` is what it raised. Calling it again does nothing."""
        ...
