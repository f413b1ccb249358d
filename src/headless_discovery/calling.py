"""`call()`: retries on other peers, under tenacity. What both twins need of it."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from .balance import Lease, acquire
from .balance.api import Key, Picker
from .errors import NoPeers
from .model import Peer

if TYPE_CHECKING:
    from tenacity import AsyncRetrying, Retrying

ATTEMPTS = 3


def was_not_sent(error: BaseException | None) -> bool:
    """The connection failed: `ConnectionError`, itself or as the cause of a client library's own exception."""
    seen = 0
    while error is not None and seen < 10:
        if isinstance(error, ConnectionError):
            return True
        error, seen = error.__cause__ or error.__context__, seen + 1
    return False


def default_retrying() -> Retrying:
    """Three attempts, at once, on other peers, only for connection errors."""
    from tenacity import Retrying, retry_if_exception, stop_after_attempt

    return Retrying(stop=stop_after_attempt(ATTEMPTS), retry=retry_if_exception(was_not_sent), reraise=True)


def default_async_retrying() -> AsyncRetrying:
    from tenacity import AsyncRetrying, retry_if_exception, stop_after_attempt

    return AsyncRetrying(stop=stop_after_attempt(ATTEMPTS), retry=retry_if_exception(was_not_sent), reraise=True)


def lease_untried(picker: Picker, key: Key | None, tried: list[Peer]) -> Lease:
    """A peer that this call has not tried yet; when all were, any."""
    try:
        lease = acquire(picker, key, tried)
    except NoPeers:
        if not tried:
            raise
        lease = acquire(picker, key)
    tried.append(lease.peer)
    return lease


class Leasing:
    """`with service.lease() as peer`: the lease ends with the block, also when it raises."""

    def __init__(self, picker: Picker, key: Key | None, exclude: Collection[Peer]) -> None:
        self._arguments = (picker, key, exclude)

    def __enter__(self) -> Peer:
        self._lease = acquire(*self._arguments)
        return self._lease.peer

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        self._lease.release(error)
