"""Deterministic subsetting: each client uses some of the peers, and together they use all alike (gRFC A68)."""

from __future__ import annotations

import socket
from dataclasses import dataclass

from xxhash import xxh64_intdigest

from ..model import PeerSet
from .api import Picker, Steps, Strategy
from .hashing import HashKey, identity, named
from .layers import InOrder, Layer, LayeredPicker, layer_before, steps_of
from .registry import make
from .sharing import at_once
from .tiers import part_of, tiers_of


@dataclass(frozen=True)
class Subset:
    """The inner strategy over `size` of the peers, chosen for this client: fewer connections, the same for each start.

    Peers are ranked by rendezvous: XXH64 of the hash key, seeded with the XXH64 of the client's name, lowest first.
    So a peer that joins or leaves changes at most one member of a client's subset. `client` defaults to this host's
    name (the pod's); processes that should not share a subset need names of their own.

    Peers outside are used, in the order of the ranking, where `exclude` leaves none inside, and by a `pick_many` of
    more than the subset. Each priority tier has a subset of its own. `inner` is a strategy or the name of one.
    """

    inner: Strategy | str
    size: int
    client: str | None = None
    hash_key: HashKey | None = None

    def __post_init__(self) -> None:
        make(self.inner)
        if self.size < 1:
            raise ValueError(f"a subset has at least 1 peer, not {self.size!r}")

    def build(self, peers: PeerSet, previous: Picker | None = None) -> LayeredPicker:
        """Raises `NoPeers` for an empty set, `TypeError` where `hash_key` returns no str."""
        return at_once(self.steps(peers, previous))

    def steps(self, peers: PeerSet, previous: Picker | None = None) -> Steps[LayeredPicker]:
        """The same, in the steps of the inner strategy, if it has any."""
        inner = make(self.inner)
        client = socket.gethostname() if self.client is None else self.client
        seed = xxh64_intdigest(client.encode())
        layers: list[Layer] = []
        for tier in tiers_of(peers):
            hosts = named(tier, self.hash_key or identity)
            hosts.sort(key=lambda host: xxh64_intdigest(host[0].encode(), seed))
            ranked = [peer for _, peer in hosts]
            inside = {peer.endpoint for peer in ranked[: self.size]}
            members = part_of(peers, (peer for peer in tier if peer.endpoint in inside))
            name = (tier[0].priority, "inside")
            layers.append(Layer(name, (yield from steps_of(inner, members, layer_before(previous, name)))))
            if ranked[self.size :]:
                layers.append(Layer((name[0], "outside"), InOrder(peers, tuple(ranked[self.size :]))))
        return LayeredPicker(peers, layers)
