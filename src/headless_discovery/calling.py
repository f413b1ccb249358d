"""`call()`: retries on other peers, under tenacity. What both twins need of it.

tenacity decides whether and when there is another attempt. Each twin reports an attempt's outcome to it by hand, so
that a cancellation never looks like something to try again, and conditions on results work.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

from .balance import Lease, acquire
from .balance.api import Key, Picker
from .errors import NoPeers
from .model import Peer

if TYPE_CHECKING:
    from tenacity import AsyncRetrying, AttemptManager, Retrying

ATTEMPTS = 3


def connection_failed(error: BaseException | None, outer: BaseException | None = None) -> bool:
    """The connection failed: `ConnectionError`, itself or what a client library's own exception was raised from.

    `outer` is what the caller of `call()` was handling already: Python makes it the context of all that is raised. A
    context counts also where it was suppressed: httpcore raises its own errors `from None`.
    """
    seen = 0
    while error is not None and error is not outer and seen < 10:
        if isinstance(error, ConnectionError):
            return True
        error, seen = error.__cause__ or error.__context__, seen + 1
    return False


def attempts(retrying: Retrying | None) -> Iterator[AttemptManager]:
    """By default three, at once, only after connection errors. Raises the last exception when there are no more."""
    from tenacity import Retrying, retry_if_exception, stop_after_attempt

    if retrying is None:
        failed = partial(connection_failed, outer=sys.exception())
        retrying = Retrying(stop=stop_after_attempt(ATTEMPTS), retry=retry_if_exception(failed))
    elif not isinstance(retrying, Retrying):
        raise TypeError(f"retrying= must be a tenacity.Retrying, not {type(retrying).__name__}")
    return iter(retrying.copy(reraise=True, retry_error_callback=None))


def async_attempts(retrying: AsyncRetrying | None) -> AsyncIterator[AttemptManager]:
    from tenacity import AsyncRetrying, retry_if_exception, stop_after_attempt

    if retrying is None:
        failed = partial(connection_failed, outer=sys.exception())
        retrying = AsyncRetrying(stop=stop_after_attempt(ATTEMPTS), retry=retry_if_exception(failed))
    elif not isinstance(retrying, AsyncRetrying):
        raise TypeError(f"retrying= must be a tenacity.AsyncRetrying, not {type(retrying).__name__}")
    return aiter(retrying.copy(reraise=True, retry_error_callback=None))


def lease_untried(picker: Picker, key: Key | None, tried: list[Peer]) -> Lease:
    """A peer that this call has not tried yet; when all were, another one than the last, and from the beginning."""
    try:
        lease = acquire(picker, key, tried)
    except NoPeers:
        if not tried:
            raise
        last = tried[-1]
        tried.clear()
        try:
            lease = acquire(picker, key, [last])
        except NoPeers:
            lease = acquire(picker, key)
    tried.append(lease.peer)
    return lease


class Leasing:
    """`with service.lease() as peer`: the lease ends with the block, also when it raises. One block for each."""

    def __init__(self, acquire: Callable[[], Lease]) -> None:
        self._acquire: Callable[[], Lease] | None = acquire

    def __enter__(self) -> Peer:
        acquire, self._acquire = self._acquire, None
        if acquire is None:
            raise RuntimeError("this lease was used already: call lease() for each block")
        self._lease = acquire()
        return self._lease.peer

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        self._lease.release(error)
