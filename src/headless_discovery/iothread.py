"""The one I/O thread of a process, and the threads that run callbacks: where sync services live."""

from __future__ import annotations

import _thread
import atexit
import contextlib
import heapq
import os
import selectors
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from itertools import count
from typing import TypeAlias, cast
from weakref import WeakSet

from .asker import Askers
from .errors import ServiceClosed
from .logs import log
from .service import Service
from .ticks import Ticks
from .watchers import Watcher

MAX_CALLBACK_THREADS = 32
IDLE = 10.0  # seconds after which a thread without work ends
STUCK, LATE = 0.02, 0.5  # seconds without a callback begun, seconds that one may wait, before there are more threads
PRUNE = 256  # timers from which cancelled ones are looked for
START_SPACING = 0.001  # seconds between the first lookups of services that start together

_start_thread = _thread.start_new_thread  # as it was when this module was imported
Callback: TypeAlias = Callable[[], None]


class _Timer:
    __slots__ = ("callback",)

    def __init__(self, callback: Callback) -> None:
        self.callback: Callback | None = callback

    def cancel(self) -> None:
        self.callback = None


class Signal:
    """A condition on the I/O thread's lock. Kept by the service, waited on by its users."""

    def __init__(self, io: IOThread) -> None:
        self._io = io
        self.renew()
        io.signals.add(self)

    def renew(self) -> None:
        self.condition = threading.Condition(self._io.lock)

    def notify(self) -> None:
        with self._io.lock:
            self.condition.notify_all()


class IOThread:
    """A selector, timers and a lock: the `ServiceHost` of all sync services.

    All state of services changes under `lock`, which is never held while waiting or while user callbacks run. So any
    thread may act on a service at once, and fork() finds everything whole (see `_before_fork`).
    """

    def __init__(self) -> None:
        self.signals: WeakSet[Signal] = WeakSet()
        self.services: dict[Service, None] = {}
        self._new_state()

    def _new_state(self) -> None:
        self._made_of = threading.Lock
        self.lock = threading.RLock()
        self.askers = Askers(self)
        self.thread: threading.Thread | None = None
        self._selector: selectors.BaseSelector | None = None
        self._wake_read: socket.socket | None = None
        self._wake_write: socket.socket | None = None
        self._callbacks: dict[socket.socket, tuple[Callback | None, Callback | None]] = {}
        self._timers: list[tuple[float, int, _Timer]] = []
        self._prune_at = PRUNE
        self._order = count()
        self._calls: deque[Callback] = deque()
        self._next_start = 0.0
        self._stopping = False
        self.call_near = Ticks(self).call_near

    # ServiceHost; under the lock.

    def time(self) -> float:
        return time.monotonic()

    def call_at(self, when: float, callback: Callback) -> _Timer:
        timer = _Timer(callback)
        if len(self._timers) >= self._prune_at:  # cancelled ones would stay until their time
            self._timers = [entry for entry in self._timers if entry[2].callback is not None]
            heapq.heapify(self._timers)
            self._prune_at = max(PRUNE, 2 * len(self._timers))
        heapq.heappush(self._timers, (when, next(self._order), timer))
        if self._timers[0][2] is timer and threading.current_thread() is not self.thread:
            self.wake()
        return timer

    def add_reader(self, sock: socket.socket, callback: Callback) -> None:
        self._register(sock, callback, self._callbacks.get(sock, (None, None))[1])

    def add_writer(self, sock: socket.socket, callback: Callback) -> None:
        self._register(sock, self._callbacks.get(sock, (None, None))[0], callback)

    def remove(self, sock: socket.socket) -> None:
        if self._callbacks.pop(sock, None) is not None and self._selector is not None:
            self._selector.unregister(sock)

    def do(self, callback: Callback) -> None:
        """On the thread, since Ctrl-C raises in the main one, wherever it is."""
        self.call_at(self.time(), callback)

    def stagger(self) -> float:
        self._next_start = max(self.time(), self._next_start + START_SPACING)
        return self._next_start

    def _register(self, sock: socket.socket, reader: Callback | None, writer: Callback | None) -> None:
        assert self._selector is not None
        events = (selectors.EVENT_READ if reader else 0) | (selectors.EVENT_WRITE if writer else 0)
        if sock in self._callbacks:
            self._selector.modify(sock, events)
        else:
            self._selector.register(sock, events)
        self._callbacks[sock] = (reader, writer)

    # From any thread.

    @property
    def patched(self) -> bool:
        """threading is not what this was made of: a thread made now would be a greenlet of the I/O thread, and idle."""
        return self._made_of is not threading.Lock

    def adapt(self) -> None:
        """gevent puts classes of its own into threading. What was made of the others is made anew: services that were
        started before (gunicorn's gevent worker patches after it has forked) move to a new thread. Not under the lock.
        """
        if not self.patched:
            return
        with self.lock:
            thread, selector, self._selector = self.thread, self._selector, None
            self.wake()
        if thread is not None:
            thread.join()
        if selector is not None:
            selector.close()
        self._restart()

    def _restart(self) -> None:
        """All services go on in this process, in threads of its own, with nothing that anybody had open."""
        self._end()
        self._renew()
        with self.lock:
            for service in list(self.services):
                with contextlib.suppress(RuntimeError):  # no thread to be had: whoever calls next tries again
                    self.attach(service)
                service.after_fork(self)

    def _renew(self) -> None:
        self._new_state()
        for signal in self.signals:
            signal.renew()
        workers.renew()

    def attach(self, service: Service) -> None:
        """Keep `service` and see that there is a thread for it. Under the lock.

        Raises `ServiceClosed` when the interpreter ends: there is no thread any more that could ask for anybody.
        """
        if self._stopping:
            raise ServiceClosed("the interpreter is exiting")
        self.services[service] = None
        if self.thread is None:
            self._selector = selectors.DefaultSelector()
            self._wake_read, self._wake_write = socket.socketpair()
            self._wake_read.setblocking(False)
            self._wake_write.setblocking(False)
            self._selector.register(self._wake_read, selectors.EVENT_READ)
            self.thread = threading.Thread(target=self._run, name="headless-discovery-io", daemon=True)
            try:
                self.thread.start()
            except BaseException:  # no more threads today; who comes next tries again
                self._end()
                raise

    def detach(self, service: Service) -> None:
        self.services.pop(service, None)

    def call_soon(self, callback: Callback) -> None:
        """Takes no lock, so that finalizers may call it whatever they interrupt."""
        self._calls.append(callback)
        self.wake()

    def wake(self) -> None:
        if (sock := self._wake_write) is not None:
            with contextlib.suppress(OSError):  # full: it wakes anyway; closed: nobody is there to wake
                sock.send(b"\0")

    def _run(self) -> None:
        selector, wake_read = self._selector, self._wake_read
        assert selector is not None
        assert wake_read is not None
        idle_since = self.time()
        lock = self.lock
        while True:
            with lock:
                if selector is not self._selector:
                    break
                busy = bool(self.services or self._calls)
                if busy:
                    idle_since = self.time()
                if self._stopping or (not busy and self.time() - idle_since >= IDLE):
                    self._end()
                    break
                timeout = IDLE if not self._timers else max(0.0, self._timers[0][0] - self.time())
            try:
                events = selector.select(min(timeout, IDLE))
            except Exception:
                if selector is self._selector:
                    raise
                break
            with lock:
                if selector is not self._selector:
                    break
                for key, mask in events:
                    if key.fileobj is wake_read:
                        with contextlib.suppress(BlockingIOError):
                            while wake_read.recv(4096):
                                pass
                        continue
                    sock = cast(socket.socket, key.fileobj)
                    reader, writer = self._callbacks.get(sock, (None, None))
                    if writer is not None and mask & selectors.EVENT_WRITE:
                        self._guarded(writer)
                    elif reader is not None and mask & selectors.EVENT_READ:
                        self._guarded(reader)
                while self._calls:
                    self._guarded(self._calls.popleft())
                now = self.time()
                while self._timers and self._timers[0][0] <= now:
                    timer = heapq.heappop(self._timers)[2]
                    if timer.callback is not None:
                        self._guarded(timer.callback)
        _let_it_end()

    def _guarded(self, callback: Callback) -> None:
        try:
            callback()
        except Exception:  # one service's trouble must not stop the others
            log.exception("internal error in %r", callback)

    def _end(self) -> None:
        for resource in (*self._callbacks, self._selector, self._wake_read, self._wake_write):
            if resource is not None:
                resource.close()
        self.thread = self._selector = self._wake_read = self._wake_write = None

    # The ends of a process.

    def stop(self) -> None:
        """At exit: quiet, and without waiting for anybody's callback."""
        with self.lock:
            self._stopping = True
            thread = self.thread
            self.wake()
        if thread is not None and thread is not threading.current_thread():
            thread.join(1.0)

    def before_fork(self) -> None:
        self.lock.acquire()

    def after_fork_in_parent(self) -> None:
        self.lock.release()

    def after_fork_in_child(self) -> None:
        """The parent's sockets are closed, never unregistered: the selector is shared with the parent."""
        self._restart()


class Workers:
    """Threads that run callbacks: one, and more where callbacks hold it up, at most 32; they end when idle.

    A burst of quick callbacks needs no second thread. So there are twice as many only when jobs wait and none was taken
    for STUCK seconds, or one has waited for LATE. 31 blocked subscribers delay another one by a tenth of a second.
    """

    def __init__(self) -> None:
        self.renew()

    def renew(self) -> None:
        self._condition = threading.Condition()
        self._jobs: deque[tuple[float, Callback]] = deque()  # with the time since when each one waits
        self._threads = self._idle = 0
        self._taken = 0
        self._watched = False
        self._generation = object()

    def submit(self, job: Callback) -> None:
        """Under the lock of `io`."""
        with self._condition:
            self._jobs.append((io.time(), job))
            if self._idle:
                self._condition.notify()
            first = not self._threads
            if first:
                self._threads = 1
        if first:
            self._start(1)
        self._watch()

    def _watch(self) -> None:
        if self._jobs and self._threads < MAX_CALLBACK_THREADS and not self._watched:
            self._watched = True
            io.call_at(io.time() + STUCK, partial(self._grow, self._taken))

    def _grow(self, taken: int) -> None:
        more = 0
        with self._condition:
            self._watched = False
            if self._jobs and (taken == self._taken or io.time() - self._jobs[0][0] >= LATE):
                more = min(self._threads, MAX_CALLBACK_THREADS - self._threads, len(self._jobs))
            self._threads += more
        self._start(more)
        self._watch()

    def _start(self, number: int) -> None:
        for _ in range(number):
            try:
                if io.patched:
                    _start_thread(self._run, ())
                else:
                    name = f"headless-discovery-callback-{next(_number)}"
                    threading.Thread(target=self._run, name=name, daemon=True).start()
            except RuntimeError:  # no more threads, or the interpreter ends: the jobs wait for those there are
                with self._condition:
                    self._threads -= 1

    def _run(self) -> None:
        generation, condition = self._generation, self._condition
        while generation is self._generation:  # a callback may fork; the child starts with threads of its own
            with condition:
                self._idle += 1
                condition.wait_for(lambda: self._jobs or generation is not self._generation, IDLE)
                if generation is not self._generation:
                    break
                self._idle -= 1
                if not self._jobs:
                    self._threads -= 1
                    break
                _, job = self._jobs.popleft()
                self._taken += 1
            job()
        _let_it_end()


def _let_it_end() -> None:
    """For threads that gevent has patched under way, and for those that it made greenlets of, which survive fork() in
    the child: threading has forgotten them, and says so on stderr when they end, unless it was asked who they are.
    """
    threading.current_thread()


_number = count(1)
io = IOThread()
workers = Workers()


def deliver(watchers: list[Watcher]) -> None:
    """Call these subscribers on callback threads. Under the lock.

    Each has one job at most in the queue: while all threads are held up, the queue does not grow.
    """
    for watcher in watchers:
        if not watcher.busy and watcher.has_news:
            watcher.busy = True
            workers.submit(partial(_tell, watcher))


def _tell(watcher: Watcher) -> None:
    """One change to one subscriber; what came meanwhile is another turn, behind everybody else's."""
    with io.lock:
        if (change := watcher.next()) is None:
            watcher.busy = False
            return
    callback = watcher.callback
    assert callback is not None
    try:
        callback(change)
    except BaseException as error:
        watcher.log(error)
        with io.lock:
            watcher.count_error()
    with io.lock:
        watcher.busy = False
        deliver([watcher])


os.register_at_fork(
    before=io.before_fork, after_in_parent=io.after_fork_in_parent, after_in_child=io.after_fork_in_child
)
atexit.register(io.stop)
