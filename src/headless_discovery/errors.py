"""Every error the library raises on purpose. All of them are `DiscoveryError`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection

    from .model import Peer


class DiscoveryError(Exception):
    """Base of every error this library raises on purpose."""


class TargetError(DiscoveryError, ValueError):
    """What the user wrote is malformed or contradicts itself. Raised at construction; names the part at fault."""


class LookupFailed(DiscoveryError):
    """No usable answer: time-out, SERVFAIL, garbage, refused addresses, ... A failure never changes the set.

    NXDOMAIN and NODATA are answers, not failures (RFC 2308).
    """


class NoPeers(DiscoveryError):
    """There is no peer to choose: the set is empty, or `exclude` left nothing.

    `target` is what was asked for, `excluded` the peers that the caller ruled out.
    """

    def __init__(self, message: str, *, target: str = "", excluded: Collection[Peer] = ()) -> None:
        super().__init__(message)
        self.target = target
        self.excluded = tuple(excluded)


class WaitTimeout(NoPeers, TimeoutError):
    """`wait_for` saw fewer peers than asked for until its time was over."""


class ServiceClosed(DiscoveryError):
    """The service was closed (or belongs to the parent of this forked process)."""
