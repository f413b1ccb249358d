"""In-process, DNS-based peer discovery for headless services.

`HeadlessService` and `AsyncHeadlessService` watch a name and keep its peers; `resolve`, `aresolve`, `peers` and
`apeers` ask once. Strategies are in `headless_discovery.balance`, a DNS server for tests in
`headless_discovery.testing`.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .aio import AsyncHeadlessService, apeers, aresolve
    from .errors import DiscoveryError, LookupFailed, NoPeers, ServiceClosed, TargetError, WaitTimeout
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

# Loaded when first asked for (PEP 562): threads need no asyncio, and a pytest that loads the plugin needs neither.
_HOMES = {
    "aio": ("AsyncHeadlessService", "apeers", "aresolve"),
    "errors": ("DiscoveryError", "LookupFailed", "NoPeers", "ServiceClosed", "TargetError", "WaitTimeout"),
    "model": ("Change", "Peer", "PeerSet", "Status"),
    "sync": ("HeadlessService", "peers", "resolve"),
    "watchers": ("Subscription",),
}
_HOME = {name: module for module, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f".{_HOME[name]}", __name__), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
