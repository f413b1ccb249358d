"""The values that users hold: `Peer`, `PeerSet`, `Change`, `Status`. All of them are immutable."""

from __future__ import annotations

import re
from bisect import insort
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from functools import cached_property, total_ordering
from ipaddress import IPv6Address
from itertools import chain
from socket import AF_INET, AF_INET6, inet_ntop, inet_pton
from typing import Any, Literal, TypeAlias, overload

from .errors import DiscoveryError

Endpoint: TypeAlias = tuple[str, int | None]
State: TypeAlias = Literal["starting", "fresh", "stale", "empty", "expired", "closed"]


def canonical_address(text: str) -> str:
    """The one spelling of an IP literal that the library uses (RFC 5952). Raises `ValueError`."""
    family = AF_INET6 if ":" in text else AF_INET
    try:
        packed = inet_pton(family, text)
    except (OSError, ValueError, TypeError):
        raise ValueError(f"not an IPv4 or IPv6 address: {text!r}") from None
    return address_text(packed)


def address_text(packed: bytes) -> str:
    """RFC 5952 text of a packed address; a v4-mapped address (RFC 4291, 2.5.5.2) is the IPv4 address it maps."""
    if len(packed) == 4:
        return inet_ntop(AF_INET, packed)
    if packed[:12] == b"\0\0\0\0\0\0\0\0\0\0\xff\xff":
        return inet_ntop(AF_INET, packed[12:])
    if packed[:12] == bytes(12):  # inet_ntop writes ::a.b.c.d for these; RFC 5952 does not
        return str(IPv6Address(packed))
    return inet_ntop(AF_INET6, packed)


def packed_address(address: str) -> bytes:
    return inet_pton(AF_INET6 if ":" in address else AF_INET, address)


def normal_name(name: str) -> str:
    """A DNS name as it is compared: lower case (RFC 4343), no final dot."""
    return name.lower().removesuffix(".")


_HEX_LABEL = re.compile(r"[0-9a-f]{8}|[0-9a-f]{32}")
_DASHED_LABEL = re.compile(r"[0-9a-f-]+")


def address_in_label(hostname: str) -> str | None:
    """The address that a name's first label spells: `10-0-0-1` and `fd00--1` (CoreDNS), `0a000001` (Consul)."""
    label = hostname.partition(".")[0].lower()
    if _HEX_LABEL.fullmatch(label):
        return address_text(bytes.fromhex(label))
    if not _DASHED_LABEL.fullmatch(label):  # most names: said without two exceptions
        return None
    for separator in (".", ":"):
        try:
            return canonical_address(label.replace("-", separator))
        except ValueError:
            continue
    return None


def _natural(hostname: str | None) -> tuple[str | int, ...]:
    # re.split puts text at even and digits at odd places, so two keys never compare str with int.
    if hostname is None:
        return ()
    return tuple(int(part) if place % 2 else part for place, part in enumerate(re.split("([0-9]+)", hostname)))


@total_ordering
@dataclass(frozen=True, slots=True)
class Peer:
    """One member of a service: where to connect, and what DNS said about it.

    `address` is an IP literal, `port` a number up to 65535 or None, `hostname` the SRV target (None for plain A and
    AAAA records), `priority` and `weight` as in RFC 2782. `addresses` holds all the peer's addresses, `address` first.
    Peers are equal, hash and order over all of these. Raises `ValueError` for what is not an address or a port.
    """

    address: str
    port: int | None = None
    hostname: str | None = None
    priority: int = field(default=0, kw_only=True)
    weight: int = field(default=1, kw_only=True)
    addresses: tuple[str, ...] = field(default=(), kw_only=True)
    # Set by the PeerSet that holds the peer when another member has the same hostname; see `identity`.
    _ambiguous: bool = field(default=False, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        address = canonical_address(self.address)
        port = self.port  # bool is an int, but no port; 0 is what an SRV record may say (RFC 2782)
        if port is not None and (type(port) is bool or not isinstance(port, int) or not 0 <= port <= 65535):
            raise ValueError(f"not a port: {port!r}")
        object.__setattr__(self, "address", address)
        unique = dict.fromkeys([address, *map(canonical_address, self.addresses)])
        object.__setattr__(self, "addresses", tuple(unique))

    @property
    def endpoint(self) -> Endpoint:
        """`(address, port)`: the membership key. A `PeerSet` holds one peer per endpoint."""
        return (self.address, self.port)

    @property
    def netloc(self) -> str:
        """`address:port` as in a URL (RFC 3986, 3.2): IPv6 in brackets; without a port, the address alone."""
        host = f"[{self.address}]" if ":" in self.address else self.address
        return host if self.port is None else f"{host}:{self.port}"

    @property
    def sockaddr(self) -> tuple[str, int] | tuple[str, int, int, int]:
        """What `socket.connect` takes for this address family. Raises `ValueError` when there is no port."""
        if self.port is None:
            raise ValueError(f"{self.address} has no port: give the service a port= to have socket addresses")
        if ":" in self.address:
            return (self.address, self.port, 0, 0)
        return (self.address, self.port)

    def url(self, scheme: str = "http", path: str = "/") -> str:
        return f"{scheme}://{self.netloc}{path if path.startswith('/') else '/' + path}"

    @property
    def ordinal(self) -> int | None:
        """The StatefulSet ordinal: 3 for `web-3.svc...`; None where the hostname has none."""
        if self.hostname is None or self._names_own_address():
            return None
        match = re.search("-([0-9]+)$", self.hostname.partition(".")[0])
        return int(match[1]) if match else None

    @property
    def identity(self) -> str:
        """What hashing strategies hash: the hostname where it is a name of its own, else `netloc`.

        A hostname that spells the peer's address, or that another member of the same set has too, identifies
        nothing; in slices and in the parts of a `Change`, that set is the one they were taken from. So a StatefulSet
        pod that comes back with a new address keeps its keys.
        """
        if self.hostname is None or self._ambiguous or self._names_own_address():
            return self.netloc
        return normal_name(self.hostname)

    def _names_own_address(self) -> bool:
        return self.hostname is not None and address_in_label(self.hostname) in self.addresses

    def _sort_key(self) -> tuple[Any, ...]:
        packed = packed_address(self.address)
        port = -1 if self.port is None else self.port
        first = (self.priority, _natural(self.hostname), len(packed), packed, port)
        return (*first, self.hostname or "", self.weight, self.addresses)

    def __lt__(self, other: object) -> bool:
        if not isinstance(other, Peer):
            return NotImplemented
        return self._sort_key() < other._sort_key()

    def __str__(self) -> str:
        return self.netloc if self.hostname is None else f"{self.hostname} ({self.netloc})"


def _marked(peer: Peer, ambiguous: bool) -> Peer:
    if peer._ambiguous == ambiguous:
        return peer
    copy = replace(peer)
    object.__setattr__(copy, "_ambiguous", ambiguous)
    return copy


_sort_key: Callable[[Peer], tuple[Any, ...]] = Peer._sort_key


class PeerSet(Sequence[Peer], AbstractSet[Peer]):
    """An immutable, sorted snapshot of a service's peers: a sequence and a set at once, and hashable.

    One peer per endpoint (of several, the first in order stays). Equal to any set with the same members. Slices are
    tuples; `&`, `|`, `-`, `^` give a `PeerSet`. `target` is what was asked for.
    """

    __slots__ = ("_by_endpoint", "_hashed", "_peers", "_target")

    def __init__(self, peers: Iterable[Peer] = (), *, target: str = "") -> None:
        by_endpoint: dict[Endpoint, Peer] = {}
        for peer in sorted(peers, key=_sort_key):
            by_endpoint.setdefault(peer.endpoint, peer)
        names = Counter(normal_name(p.hostname) for p in by_endpoint.values() if p.hostname is not None)
        self._hold(
            tuple(
                p if p.hostname is None else _marked(p, names[normal_name(p.hostname)] > 1)
                for p in by_endpoint.values()
            ),
            target,
        )

    def _hold(self, peers: tuple[Peer, ...], target: str) -> None:
        self._peers = peers
        self._by_endpoint: dict[Endpoint, Peer] | None = None
        self._hashed: int | None = None
        self._target = target

    @classmethod
    def _of(cls, peers: tuple[Peer, ...], target: str) -> PeerSet:
        """Peers taken from a set: in order, one an endpoint, and as ambiguous as they were there."""
        peer_set = cls.__new__(cls)
        peer_set._hold(peers, target)
        return peer_set

    def _followed_by(self, peers: Sequence[Peer]) -> PeerSet:
        """`PeerSet(peers)` of the same target; quick where most of `peers` are this set's own, in order already."""
        ours, theirs = set(map(id, self._peers)), set(map(id, peers))
        added = [peer for peer in peers if id(peer) not in ours]
        kept = [peer for peer in self._peers if id(peer) in theirs]
        gone = [peer for peer in self._peers if id(peer) not in theirs]
        addresses = {peer.address for peer in added}
        names = {peer.hostname for peer in chain(added, gone)} - {None}
        # Who shares an endpoint or a hostname with another is judged together with it: see __init__.
        if (
            len(added) > len(peers) // 8
            or len(addresses) < len(added)
            or (names and len({peer.hostname for peer in added}) < len(added))
            or any(peer.address in addresses or peer.hostname in names for peer in kept)
        ):
            return PeerSet(peers, target=self._target)
        for peer in added:
            insort(kept, peer, key=_sort_key)
        return PeerSet._of(tuple(kept), self._target)

    @classmethod
    def _from_iterable(cls, it: Iterable[Any]) -> PeerSet:  # type: ignore[override]  # the hook of collections.abc.Set for &, |, -, ^
        return cls(it)

    @property
    def target(self) -> str:
        """What was asked for, as the user wrote it."""
        return self._target

    @property
    def addresses(self) -> tuple[str, ...]:
        """Each peer's address, in order."""
        return tuple(p.address for p in self._peers)

    def get(self, endpoint: Endpoint) -> Peer | None:
        """The peer at `(address, port)`, or None."""
        if self._by_endpoint is None:
            self._by_endpoint = {p.endpoint: p for p in self._peers}
        return self._by_endpoint.get(endpoint)

    def __len__(self) -> int:
        return len(self._peers)

    def __iter__(self) -> Iterator[Peer]:
        return iter(self._peers)

    def __reversed__(self) -> Iterator[Peer]:
        return reversed(self._peers)

    @overload
    def __getitem__(self, index: int) -> Peer: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Peer, ...]: ...
    def __getitem__(self, index: int | slice) -> Peer | tuple[Peer, ...]:
        return self._peers[index]

    def __contains__(self, item: object) -> bool:
        return isinstance(item, Peer) and self.get(item.endpoint) == item

    def __eq__(self, other: object) -> bool:
        if isinstance(other, PeerSet):
            return self._peers == other._peers
        return AbstractSet.__eq__(self, other)

    def __hash__(self) -> int:
        if self._hashed is None:
            self._hashed = hash(frozenset(self._peers))
        return self._hashed

    def __repr__(self) -> str:
        target = f", target={self.target!r}" if self.target else ""
        return f"PeerSet({list(self._peers)!r}{target})"

    def __str__(self) -> str:
        return "{" + ", ".join(map(str, self._peers)) + "}"

    def __reduce__(self) -> tuple[Any, ...]:
        return (_restore, (self._peers, self._target))


def _restore(peers: tuple[Peer, ...], target: str) -> PeerSet:
    return PeerSet._of(peers, target)


@dataclass(frozen=True)
class Change:
    """What one subscriber is told: from `previous` (its last `current`) to `current`.

    `added` and `removed` are by endpoint; `updated` has the new value of each peer that stayed under its endpoint
    with other fields new. False where nothing changed.
    """

    previous: PeerSet
    current: PeerSet

    @cached_property
    def added(self) -> PeerSet:
        return self._select(lambda peer: self.previous.get(peer.endpoint) is None)

    @cached_property
    def removed(self) -> PeerSet:
        gone = (p for p in self.previous if self.current.get(p.endpoint) is None)
        return PeerSet._of(tuple(gone), self.previous.target)

    @cached_property
    def updated(self) -> PeerSet:
        return self._select(lambda peer: self.previous.get(peer.endpoint) not in (None, peer))

    def _select(self, wanted: Callable[[Peer], bool]) -> PeerSet:
        return PeerSet._of(tuple(filter(wanted, self.current)), self.current.target)

    def __bool__(self) -> bool:
        return self.previous != self.current


@dataclass(frozen=True, slots=True)
class Status:
    """How trustworthy the set is right now, and how much work it took. Times in seconds.

    `state`: "starting" (no answer yet), "fresh", "stale" (a refresh is overdue by one whole attempt), "empty" (DNS says
    that there are no peers, and it is believed), "expired" (`max_stale` is over, so the peers were removed), "closed".
    `error` is the last failure or warning, None once all is well. `age` counts from the last believed answer.
    `complete` is false while answers are cut short or samples.
    """

    state: State
    error: DiscoveryError | None
    age: float | None
    next_refresh_in: float | None
    complete: bool
    lookups: int = 0
    queries: int = 0
    failures: int = 0
    consecutive_failures: int = 0
    changes: int = 0
    callback_errors: int = 0
