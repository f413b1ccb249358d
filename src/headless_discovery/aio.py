"""`AsyncHeadlessService`: a watched service for asyncio, and the one-shots `aresolve` and `apeers`."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import os
import socket
import time
import warnings
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, TypeVar, Unpack, cast, overload

from .asker import Askers
from .balance import Strategy, acquire, pick_many
from .balance.api import Key
from .calling import Leasing, async_attempts, lease_untried
from .errors import DiscoveryError, LookupFailed, ServiceClosed
from .model import Change, Peer, PeerSet, Status
from .once import Cache, kept
from .options import OneShot, Protocol, RetryWait, SelfAddresses, Targets, build
from .service import Closed, Live, NotReady, Service
from .settings import Answers, Family, Tcp
from .ticks import Ticks
from .watchers import Subscription, Watcher, waited

if TYPE_CHECKING:
    from tenacity import AsyncRetrying

T = TypeVar("T")
F = TypeVar("F", bound=Callable[[Change], Any])

START_SPACING = 0.001  # seconds between the first lookups of services that start together


class LoopHost:
    """An event loop as a `ServiceHost`."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = weakref.ref(loop)
        self.askers = Askers(self)
        self.sockets: dict[socket.socket, Callable[[int], object]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._next_start = 0.0
        self.call_near = Ticks(self).call_near

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        loop = self._loop()
        assert loop is not None
        return loop

    @property
    def gone(self) -> bool:
        """The loop is closed: nothing runs on it any more, so anybody may clear up."""
        loop = self._loop()
        return loop is None or loop.is_closed()

    def time(self) -> float:
        return time.monotonic()

    def call_at(self, when: float, callback: Callable[[], None]) -> asyncio.TimerHandle:
        return self.loop.call_later(max(0.0, when - self.time()), callback)

    # By its number: where a loop does not know a socket, it makes an error with the socket's repr, which asks the
    # kernel. Nobody waits for reading and writing at once.

    def add_reader(self, sock: socket.socket, callback: Callable[[], None]) -> None:
        self.sockets[sock] = self.loop.remove_reader
        self.loop.add_reader(sock.fileno(), callback)

    def add_writer(self, sock: socket.socket, callback: Callable[[], None]) -> None:
        self.sockets[sock] = self.loop.remove_writer
        self.loop.add_writer(sock.fileno(), callback)

    def remove(self, sock: socket.socket) -> None:
        remove = self.sockets.pop(sock, None)
        if remove is not None and not self.gone:
            remove(sock.fileno())

    def do(self, callback: Callable[[], None]) -> None:
        callback()

    def stagger(self) -> float:
        self._next_start = max(self.time(), self._next_start + START_SPACING)
        return self._next_start

    def deliver(self, watchers: Iterable[Watcher]) -> None:
        """Call these subscribers in tasks of their own."""
        for watcher in watchers:
            task = self.loop.create_task(_tell(watcher))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)


# Weak on both sides: a host leads to its loop. Services and timers keep it for as long as it is needed.
_hosts: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, weakref.ref[LoopHost]] = weakref.WeakKeyDictionary()
_started: weakref.WeakSet[Service] = weakref.WeakSet()


def _host_of(loop: asyncio.AbstractEventLoop) -> LoopHost:
    reference = _hosts.get(loop)
    host = None if reference is None else reference()
    if host is None:
        host = LoopHost(loop)
        _hosts[loop] = weakref.ref(host)
    return host


async def _tell(watcher: Watcher) -> None:
    """What one subscriber is to be told, change by change."""
    callback = watcher.callback
    assert callback is not None
    while not watcher.busy and (change := watcher.next()) is not None:
        watcher.busy = True
        try:
            result = callback(change)
            if inspect.isawaitable(result):
                await result
        except asyncio.CancelledError as error:
            if asyncio.current_task().cancelling():  # type: ignore[union-attr]  # the loop ends
                raise
            watcher.log(error)  # what the callback awaited was cancelled: its trouble alone
            watcher.count_error()
        except Exception as error:
            watcher.log(error)
            watcher.count_error()
        finally:
            watcher.busy = False


class _Signal:
    """Wakes who waits. Kept by the service, waited on by its users."""

    def __init__(self) -> None:
        self._waiting: set[asyncio.Future[None]] = set()

    def notify(self) -> None:
        for future in self._waiting:
            if not (future.done() or future.get_loop().is_closed()):
                future.set_result(None)

    async def wait(self) -> None:
        future = asyncio.get_running_loop().create_future()
        self._waiting.add(future)
        try:
            await future
        finally:
            self._waiting.discard(future)


class AsyncHeadlessService:
    """A watched service: a live set of peers, kept by DNS in the background, on the event loop that starts it.

    Construction does no I/O and needs no loop; an `async with` block or `await start()` waits for the first answer.
    What waits is a coroutine, the rest is plain. The options are explained in docs/options.md. Raises `TargetError`
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
        self._signal = _Signal()
        self._host: LoopHost | None = None
        holder: list[LoopHost] = []  # so that the service knows its host without holding this object
        self._holder = holder
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
            deliver=lambda watchers: holder[0].deliver(watchers),
        )
        self._finalizer = weakref.finalize(self, _abandoned, self._service, holder)
        self._finalizer.atexit = False

    @property
    def target(self) -> str:
        """What was asked for, as it was written."""
        return self._service.target.text

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.target!r} {self.status.state}>"

    # Start and end.

    async def start(self, timeout: float | None = None) -> PeerSet:
        """Wait for the first answer, at most `timeout` seconds, and return the peers.

        NXDOMAIN and NODATA are answers: an empty set. Raises `LookupFailed`; the service goes on trying.
        """
        host = self._on_loop()
        outcome = host.loop.create_future()
        self._service.begin(host, partial(_resolve, outcome))
        try:
            await asyncio.wait_for(outcome, timeout)
        except TimeoutError:
            raise LookupFailed(f"{self.target}: no answer within {timeout:g} s") from None
        return self.peers()

    async def close(self) -> None:
        """End all lookups and subscriptions. Waiters get `ServiceClosed`. Calling it again does nothing."""
        self._finalizer.detach()
        if self._host is not None and not self._host.gone and not isinstance(self._service.live, Closed):
            self._on_loop()
        self._service.close(f"the service {self.target} was closed")

    async def __aenter__(self) -> AsyncHeadlessService:
        try:
            await self.start()
        except BaseException:
            await self.close()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    # Peers, from memory.

    def peers(self) -> PeerSet:
        """The current peers. Never waits; before the first answer it raises `LookupFailed`."""
        try:
            return self._service.live.peers
        except NotReady:
            raise self._no_answer() from None

    def pick(self, key: Key | None = None, *, exclude: Collection[Peer] = ()) -> Peer:
        """The strategy's choice for `key`, without those of `exclude`. Never waits. Raises `NoPeers`."""
        try:
            return self._service.live.picker.pick(key, exclude)
        except NotReady:
            raise self._no_answer() from None

    def pick_many(self, n: int, key: Key | None = None, *, exclude: Collection[Peer] = ()) -> list[Peer]:
        """Up to `n` different peers, for replicas or hedging. Raises `NoPeers` when there is none."""
        return pick_many(self._ready().picker, n, key, exclude)

    def lease(self, key: Key | None = None, *, exclude: Collection[Peer] = ()) -> Leasing:
        """`with service.lease() as peer`: load-aware strategies count the peer as busy inside the block."""
        return Leasing(partial(acquire, self._ready().picker, key, exclude))

    @overload
    async def call(
        self,
        fn: Callable[..., Awaitable[T]],
        /,
        *args: Any,
        key: Key | None = None,
        retrying: AsyncRetrying | None = None,
        **kwargs: Any,
    ) -> T: ...
    @overload
    async def call(
        self,
        fn: Callable[..., T],
        /,
        *args: Any,
        key: Key | None = None,
        retrying: AsyncRetrying | None = None,
        **kwargs: Any,
    ) -> T: ...
    async def call(
        self,
        fn: Callable[..., Any],
        /,
        *args: Any,
        key: Key | None = None,
        retrying: AsyncRetrying | None = None,
        **kwargs: Any,
    ) -> Any:
        """`await fn(peer, *args, **kwargs)`, again on another peer when it fails: re-raises the last exception.

        `retrying` is a tenacity `AsyncRetrying`; by default three attempts, only after connection errors. What is no
        `Exception` (a cancellation) and what fails once the service is closed is never tried again.
        """
        tried: list[Peer] = []
        result: Any = None
        async for attempt in async_attempts(retrying):
            try:
                with Leasing(partial(lease_untried, self._ready().picker, key, tried)) as peer:
                    result = fn(peer, *args, **kwargs)
                    if inspect.isawaitable(result):
                        result = await result
            except Exception as error:
                if isinstance(self._service.live, Closed):
                    raise  # there is nobody left to try
                attempt.retry_state.set_exception((type(error), error, error.__traceback__))
            else:
                attempt.retry_state.set_result(result)
        return result

    # Changes.

    def watch(self, callback: Callable[[Change], Any]) -> Subscription:
        """Call (and await) `callback` with each `Change`, one at a time, in a task; first with the set as it is."""
        return Subscription(self._watch(callback).cancel, self)

    def on_change(self, callback: F) -> F:
        """`watch` as a decorator. Before the service is started, also where no loop runs yet."""
        self._watch(callback)
        return callback

    def changes(self) -> AsyncChanges:
        """An iterator over changes, the first with the set as it is. Ends with its `aclose()` or with `close()`."""
        return AsyncChanges(self, self._watch(None))

    async def wait_for(self, min_peers: int = 1, timeout: float | None = None) -> PeerSet:
        """Wait until there are `min_peers`. Raises `WaitTimeout` after `timeout` seconds."""
        self._begin()
        found = PeerSet()
        try:
            async with asyncio.timeout(timeout):
                while True:
                    live = self._service.live
                    if isinstance(live, Closed):
                        raise ServiceClosed(live.why)
                    if isinstance(live, Live):
                        found = live.peers
                        if len(found) >= min_peers:
                            return found
                    await self._signal.wait()
        except TimeoutError:
            raise waited(self.target, self._service.error, len(found), min_peers, timeout) from None

    async def refresh(self) -> PeerSet:
        """Ask now and return the peers. Within `min_ttl` of the last answer, the set as it is.

        Raises `LookupFailed`, which changes nothing.
        """
        host = self._begin()
        outcome = host.loop.create_future()
        self._service.refresh(partial(_resolve, outcome))
        await outcome
        return self.peers()

    @property
    def status(self) -> Status:
        """How trustworthy the set is, and what it took."""
        return self._service.status(time.monotonic())

    # Waiting.

    def _on_loop(self) -> LoopHost:
        """The host of the running loop. A service belongs to the loop that started it."""
        if isinstance(self._service.live, Closed):
            raise ServiceClosed(self._service.live.why)
        loop = asyncio.get_running_loop()
        if self._host is None:
            self._host = _host_of(loop)
            self._holder.append(self._host)
            _started.add(self._service)
        elif self._host.gone or self._host.loop is not loop:
            raise RuntimeError(f"the service {self.target} was started on another event loop: make one for each loop")
        return self._host

    def _begin(self) -> LoopHost:
        host = self._on_loop()
        self._service.begin(host)
        return host

    def _ready(self) -> Live:
        live = self._service.live
        if isinstance(live, Live):
            return live
        if isinstance(live, Closed):
            raise ServiceClosed(live.why)
        raise self._no_answer()

    def _no_answer(self) -> DiscoveryError:
        why = self._service.error
        return (
            why.with_traceback(None) if why else LookupFailed(f"{self.target} has no answer yet: await start() first")
        )

    def _watch(self, callback: Callable[[Change], Any] | None) -> Watcher:
        if self._host is None and not isinstance(self._service.live, Closed):
            try:
                asyncio.get_running_loop()
            except RuntimeError:  # as @service.on_change at module level: told once the service is started
                return self._service.watchers.add(callback)
        host = self._begin()
        watcher = self._service.watchers.add(callback)
        if callback is not None:
            host.deliver([watcher])
        return watcher


class AsyncChanges(AsyncIterator[Change]):
    """What `changes()` returns: iterate, and `aclose()` it (or leave its `async with` block) when done."""

    def __init__(self, service: AsyncHeadlessService, watcher: Watcher) -> None:
        self._service = service
        self._watcher = watcher

    async def __anext__(self) -> Change:
        while self._watcher.active:
            self._service._begin()  # it may have been made before there was a loop
            if (change := self._watcher.next()) is not None:
                return change
            await self._service._signal.wait()
        raise StopAsyncIteration

    async def aclose(self) -> None:
        self._watcher.cancel()
        self._service._signal.notify()

    async def __aenter__(self) -> AsyncChanges:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()


def _resolve(outcome: asyncio.Future[None], error: DiscoveryError | None) -> None:
    if outcome.done() or outcome.get_loop().is_closed():
        return
    if error is None:
        outcome.set_result(None)
    else:
        outcome.set_exception(error)


def _abandoned(service: Service, holder: list[LoopHost]) -> None:
    """The user's last reference is gone without close()."""
    if isinstance(service.live, Closed) or not holder:
        return
    why = "nobody holds the service any more"
    if holder[0].gone:
        service.close(why)
    else:
        with contextlib.suppress(RuntimeError):  # closed meanwhile
            holder[0].loop.call_soon_threadsafe(service.close, why)
    warnings.warn(f"unclosed service {service.target.text}", ResourceWarning, stacklevel=2)  # last: it may raise


def _after_fork_in_child() -> None:
    """An event loop does not survive fork(): its selector is shared with the parent. So say so, and touch nothing."""
    for reference in list(_hosts.values()):
        if (host := reference()) is not None:
            for sock in host.sockets:
                sock.close()
            host.sockets.clear()
    _hosts.clear()
    for service in list(_started):
        service.live = Closed(
            f"the service {service.target.text} was started before fork(): make an AsyncHeadlessService in the child"
        )
    _started.clear()


os.register_at_fork(after_in_child=_after_fork_in_child)


_cache = Cache()


async def aresolve(target: Targets, port: int | str | None = None, **options: Unpack[OneShot]) -> PeerSet:
    """Ask DNS once, now. Raises `LookupFailed`; nobody there is an empty set."""
    async with AsyncHeadlessService(target, port, **options) as service:
        return service.peers()


async def apeers(target: Targets, port: int | str | None = None, **options: Unpack[OneShot]) -> PeerSet:
    """As `aresolve`, but from memory while the TTL of the last such answer lasts."""
    target, given = kept(target), {name: kept(value) for name, value in options.items()}
    key = _cache.key(target, port, given)
    if (found := _cache.get(key, time.monotonic())) is not None:
        return found
    async with AsyncHeadlessService(target, port, **cast(OneShot, given)) as service:
        found, lasts = service.peers(), service.status.next_refresh_in
    _cache.put(key, found, time.monotonic(), lasts)
    return found
