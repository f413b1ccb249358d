"""`call()`: retries on other peers, under tenacity. What both twins need of it.

tenacity decides whether and when there is another attempt. Each twin reports an attempt's outcome to it by hand, so
that a cancellation never looks like something to try again, and conditions on results work.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from typing import TYPE_CHECKING, Any

from .balance import Lease, acquire
from .balance.api import Key, Picker
from .errors import NoPeers
from .model import Peer

if TYPE_CHECKING:
    from tenacity import AsyncRetrying, AttemptManager, Retrying

ATTEMPTS = 3


def connection_failed(error: BaseException | None) -> bool:
    """The connection failed: `ConnectionError`, itself or as the cause of a client library's own exception."""
    seen = 0
    while error is not None and seen < 10:
        if isinstance(error, ConnectionError):
            return True
        error, seen = error.__cause__ or error.__context__, seen + 1
    return False


def attempts(retrying: Retrying | None) -> Iterator[AttemptManager]:
    """By default three, at once, only after connection errors. Raises the last exception when there are no more."""
    from tenacity import Retrying, retry_if_exception, stop_after_attempt

    if retrying is None:
        retrying = Retrying(stop=stop_after_attempt(ATTEMPTS), retry=retry_if_exception(connection_failed))
    elif not isinstance(retrying, Retrying):
        raise TypeError(f"retrying= must be a tenacity.Retrying, not {type(retrying).__name__}")
    return iter(retrying.copy(reraise=True, retry_error_callback=None))


def async_attempts(retrying: AsyncRetrying | None) -> AsyncIterator[AttemptManager]:
    from tenacity import AsyncRetrying, retry_if_exception, stop_after_attempt

    if retrying is None:
        retrying = AsyncRetrying(stop=stop_after_attempt(ATTEMPTS), retry=retry_if_exception(connection_failed))
    elif not isinstance(retrying, AsyncRetrying):
        raise TypeError(f"retrying= must be a tenacity.AsyncRetrying, not {type(retrying).__name__}")
    return aiter(retrying.copy(reraise=True, retry_error_callback=None))


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

    def __init__(self, acquire: Callable[[], Lease]) -> None:
        self._acquire = acquire

    def __enter__(self) -> Peer:
        self._lease = self._acquire()
        return self._lease.peer

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        self._lease.release(error)
