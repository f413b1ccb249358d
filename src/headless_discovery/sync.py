"""`HeadlessService`: a watched service for threads, and the one-shots `resolve` and `peers`."""

from __future__ import annotations

import threading
import time
import warnings
import weakref
from collections.abc import Callable, Collection, Iterable, Iterator
from concurrent.futures import Future
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, TypeVar, Unpack, cast

from .balance import Strategy, acquire, pick_many
from .balance.api import Key
from .calling import Leasing, attempts, lease_untried
from .errors import DiscoveryError, LookupFailed, ServiceClosed
from .iothread import Signal, deliver, io
from .model import Change, Peer, PeerSet, Status
from .once import Cache, kept
from .options import OneShot, Protocol, RetryWait, SelfAddresses, Targets, build
from .service import Closed, Live, NotReady, Service
from .settings import Answers, Family, Tcp
from .watchers import Subscription, Watcher, waited

if TYPE_CHECKING:
    from tenacity import Retrying

T = TypeVar("T")
F = TypeVar("F", bound=Callable[[Change], Any])


class HeadlessService:
    """A watched service: a live set of peers, kept by DNS in the background.

    Construction does no I/O; a `with` block or `start()` waits for the first answer, and so does whatever needs one.
    All methods may be called from any thread. The options are explained in docs/options.md. Raises `TargetError`
    for a target or an option that is malformed or contradicts another.
    """

    def __init__(
        self,
        target: Targets,
        port: int | str | None = None,
        *,
        strategy: str | Strategy = "round_robin",
        protocol: Protocol = "tcp",
        family: Family = "auto",
        nameservers: Iterable[str] | None = None,
        tcp: Tcp = "auto",
        timeout: float = 5.0,
        min_ttl: float = 1.0,
        max_ttl: float = 30.0,
        empty_grace: float = 30.0,
        max_stale: float | None = None,
        answers: Answers = "all",
        retry_wait: RetryWait | None = None,
        exclude_self: SelfAddresses = False,
        allow_networks: Iterable[str] | None = None,
        max_peers: int = 10_000,
        zone: str | None = None,
        zone_policy: Literal["prefer", "pin"] = "prefer",
        resolv_conf: str | None = None,
        hosts: str | None = "/etc/hosts",
        seed: int | None = None,
    ) -> None:
        self._signal = Signal(io)
        self._service = build(
            target,
            port,
            strategy=strategy,
            protocol=protocol,
            family=family,
            nameservers=nameservers,
            tcp=tcp,
            timeout=timeout,
            min_ttl=min_ttl,
            max_ttl=max_ttl,
            empty_grace=empty_grace,
            max_stale=max_stale,
            answers=answers,
            retry_wait=retry_wait,
            exclude_self=exclude_self,
            allow_networks=allow_networks,
            max_peers=max_peers,
            zone=zone,
            zone_policy=zone_policy,
            resolv_conf=resolv_conf,
            hosts=hosts,
            seed=seed,
            notify=self._signal.notify,
            deliver=deliver,
        )
        self._finalizer = weakref.finalize(self, _abandoned, self._service)
        self._finalizer.atexit = False

    @property
    def target(self) -> str:
        """What was asked for, as it was written."""
        return self._service.target.text

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.target!r} {self.status.state}>"

    # Start and end.

    def start(self, timeout: float | None = None) -> PeerSet:
        """Wait for the first answer, at most `timeout` seconds, and return the peers.

        NXDOMAIN and NODATA are answers: an empty set. Raises `LookupFailed`; the service goes on trying.
        """
        return self._first(timeout, ask_again=True).peers

    def close(self) -> None:
        """End all lookups and subscriptions. Waiters get `ServiceClosed`. Calling it again does nothing."""
        self._finalizer.detach()
        with io.lock:
            self._service.close(f"the service {self.target} was closed")
            io.detach(self._service)

    def __enter__(self) -> HeadlessService:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # Peers, from memory.

    def peers(self) -> PeerSet:
        """The current peers. Never waits after the first answer; before it at most `timeout`, see `start`."""
        try:
            return self._service.live.peers
        except NotReady:
            pass
        return self._first(self._service.settings.timeout).peers

    def pick(self, key: Key | None = None, *, exclude: Collection[Peer] = ()) -> Peer:
        """The strategy's choice for `key`, without those of `exclude`. Waits as `peers` does. Raises `NoPeers`."""
        try:
            return self._service.live.picker.pick(key, exclude)
        except NotReady:
            pass
        return self._first(self._service.settings.timeout).picker.pick(key, exclude)

    def pick_many(self, n: int, key: Key | None = None, *, exclude: Collection[Peer] = ()) -> list[Peer]:
        """Up to `n` different peers, for replicas or hedging. Raises `NoPeers` when there is none."""
        return pick_many(self._ready().picker, n, key, exclude)

    def lease(self, key: Key | None = None, *, exclude: Collection[Peer] = ()) -> Leasing:
        """`with service.lease() as peer`: load-aware strategies count the peer as busy inside the block."""
        return Leasing(partial(acquire, self._ready().picker, key, exclude))

    def call(
        self,
        fn: Callable[..., T],
        /,
        *args: Any,
        key: Key | None = None,
        retrying: Retrying | None = None,
        **kwargs: Any,
    ) -> T:
        """`fn(peer, *args, **kwargs)`, again on another peer when it fails: re-raises the last exception.

        `retrying` is a tenacity `Retrying`; by default three attempts, only after connection errors. What is no
        `Exception` (Ctrl-C) and what fails once the service is closed is never tried again.
        """
        tried: list[Peer] = []
        result: Any = None
        for attempt in attempts(retrying):
            try:
                with Leasing(partial(lease_untried, self._ready().picker, key, tried)) as peer:
                    result = fn(peer, *args, **kwargs)
            except Exception as error:
                if isinstance(self._service.live, Closed):
                    raise  # there is nobody left to try
                attempt.retry_state.set_exception((type(error), error, error.__traceback__))
            else:
                attempt.retry_state.set_result(result)
        return cast(T, result)

    # Changes.

    def watch(self, callback: Callable[[Change], Any]) -> Subscription:
        """Call `callback` with each `Change`, one at a time, on a thread of the library; first with the set as is."""
        watcher = self._watch(callback)
        return Subscription(partial(_cancel, watcher), self)

    def on_change(self, callback: F) -> F:
        """`watch` as a decorator."""
        self._watch(callback)
        return callback

    def changes(self) -> Changes:
        """An iterator over changes, the first with the set as it is. Ends with `close()`, its own or the service's."""
        return Changes(self, self._watch(None))

    def wait_for(self, min_peers: int = 1, timeout: float | None = None) -> PeerSet:
        """Wait until there are `min_peers`. Raises `WaitTimeout` after `timeout` seconds."""
        self._begin()
        deadline = None if timeout is None else time.monotonic() + timeout
        with io.lock:
            while True:
                live = self._service.live
                if isinstance(live, Closed):
                    raise ServiceClosed(live.why)
                found = live.peers if isinstance(live, Live) else PeerSet()
                if isinstance(live, Live) and len(found) >= min_peers:
                    return found
                left = None if deadline is None else deadline - time.monotonic()
                if left is not None and left <= 0:
                    raise waited(self.target, self._service.error, len(found), min_peers, timeout)
                self._signal.condition.wait(left)

    def refresh(self) -> PeerSet:
        """Ask now and return the peers. Within `min_ttl` of the last answer, the set as it is.

        Raises `LookupFailed`, which changes nothing.
        """
        self._begin()
        outcome: Future[None] = Future()
        with io.lock:
            self._service.refresh(partial(_resolve, outcome))
        outcome.result()
        return self.peers()

    @property
    def status(self) -> Status:
        """How trustworthy the set is, and what it took."""
        return self._service.status(time.monotonic())

    # Waiting.

    def _begin(self) -> None:
        io.adapt()
        with io.lock:
            if isinstance(self._service.live, Closed):
                raise ServiceClosed(self._service.live.why)
            io.attach(self._service)
            self._service.begin(io)

    def _ready(self) -> Live:
        live = self._service.live
        if isinstance(live, Live):
            return live
        if isinstance(live, Closed):
            raise ServiceClosed(live.why)
        return self._first(self._service.settings.timeout)

    def _first(self, timeout: float | None, *, ask_again: bool = False) -> Live:
        """The first answer. After a failure its error is raised at once, unless `ask_again`."""
        outcome: Future[None] = Future()
        service = self._service
        io.adapt()
        with io.lock:
            if isinstance(service.live, Closed):
                raise ServiceClosed(service.live.why)
            if service.error is not None and not ask_again:
                raise service.error.with_traceback(None)
            io.attach(service)
            service.begin(io, partial(_resolve, outcome))
        if threading.current_thread() is io.thread and not outcome.done():
            raise LookupFailed(f"{self.target} has no answer yet")
        try:
            outcome.result(timeout)
        except TimeoutError:
            raise LookupFailed(f"{self.target}: no answer within {timeout:g} s") from None
        live = service.live
        if isinstance(live, Closed):
            raise ServiceClosed(live.why)
        assert isinstance(live, Live)
        return live

    def _watch(self, callback: Callable[[Change], Any] | None) -> Watcher:
        self._begin()
        with io.lock:
            watcher = self._service.watchers.add(callback)
            if callback is not None:
                deliver([watcher])
            return watcher


class Changes(Iterator[Change]):
    """What `changes()` returns: iterate, and `close()` it (or leave its `with` block) when done."""

    def __init__(self, service: HeadlessService, watcher: Watcher) -> None:
        self._service = service
        self._watcher = watcher

    def __next__(self) -> Change:
        condition = self._service._signal.condition
        with io.lock:
            while self._watcher.active:
                if (change := self._watcher.next()) is not None:
                    return change
                condition.wait()
        raise StopIteration

    def close(self) -> None:
        with io.lock:
            self._watcher.cancel()
        self._service._signal.notify()

    def __enter__(self) -> Changes:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _cancel(watcher: Watcher) -> None:
    with io.lock:
        watcher.cancel()


def _resolve(outcome: Future[None], error: DiscoveryError | None) -> None:
    if outcome.done():
        return
    if error is None:
        outcome.set_result(None)
    else:
        outcome.set_exception(error)


def _abandoned(service: Service) -> None:
    """The user's last reference is gone without close()."""
    if service in io.services:
        io.call_soon(partial(service.close, "nobody holds the service any more"))
        io.call_soon(partial(io.detach, service))
        warnings.warn(f"unclosed service {service.target.text}", ResourceWarning, stacklevel=2)  # last: it may raise


_cache = Cache()


def resolve(target: Targets, port: int | str | None = None, **options: Unpack[OneShot]) -> PeerSet:
    """Ask DNS once, now. Raises `LookupFailed`; nobody there is an empty set."""
    with HeadlessService(target, port, **options) as service:
        return service.peers()


def peers(target: Targets, port: int | str | None = None, **options: Unpack[OneShot]) -> PeerSet:
    """As `resolve`, but from memory while the TTL of the last such answer lasts."""
    target, given = kept(target), {name: kept(value) for name, value in options.items()}
    key = _cache.key(target, port, given)
    if (found := _cache.get(key, time.monotonic())) is not None:
        return found
    with HeadlessService(target, port, **cast(OneShot, given)) as service:
        found, lasts = service.peers(), service.status.next_refresh_in
    _cache.put(key, found, time.monotonic(), lasts)
    return found
