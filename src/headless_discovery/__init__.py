"""In-process, DNS-based peer discovery for headless services.

`HeadlessService` and `AsyncHeadlessService` watch a name and keep its peers; `resolve`, `aresolve`, `peers` and
`apeers` ask once. Strategies are in `headless_discovery.balance`, a DNS server for tests in
`headless_discovery.testing`.
"""

from .aio import AsyncHeadlessService, apeers, aresolve
from .errors import (
    DiscoveryError,
    LookupFailed,
    NoPeers,
    ServiceClosed,
    TargetError,
    WaitTimeout,
)
from .model import Change, Peer, PeerSet, Status
from .sync import HeadlessService, peers, resolve
from .watchers import Subscription

__version__ = "0.1.0"

__all__ = [
    "AsyncHeadlessService",
    "Change",
    "DiscoveryError",
    "HeadlessService",
    "LookupFailed",
    "NoPeers",
    "Peer",
    "PeerSet",
    "ServiceClosed",
    "Status",
    "Subscription",
    "TargetError",
    "WaitTimeout",
    "apeers",
    "aresolve",
    "peers",
    "resolve",
]
