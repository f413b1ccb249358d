"""`DNSServer`: real sockets on loopback, one daemon thread, and the switches that a test turns."""

from __future__ import annotations

import contextlib
import errno
import heapq
import inspect
import os
import random
import selectors
import socket
import struct
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import partial
from itertools import count as counter
from types import TracebackType
from typing import Any, Protocol

from . import faults, message
from .cluster import Family, Pods, Ports, Service
from .faults import Action, Behaviour, Close, Exchange, Hold, Hook, Raw, Reset, Send, SendElsewhere, Transport, Wait
from .message import BadMessage, Question
from .zone import Answer, Zone

_BATCH = 64  # datagrams read before connections and timers have their turn


@dataclass(frozen=True, slots=True)
class Query:
    """One question that arrived.

    `name` in lower case without final dot; `qtype` as text; `time` by the server's clock; `source` the asker's
    address and port; `edns` the advertised size, None without EDNS; `id` the message id; `message` all its bytes.
    """

    name: str
    qtype: str
    transport: Transport
    time: float
    source: tuple[str, int]
    edns: int | None
    id: int
    message: bytes = field(repr=False)


class Fault:
    """An active fault: what `DNSServer.fail` returns. `hits` counts the questions it met. Usable with `with`."""

    def __init__(
        self,
        server: DNSServer,
        behaviour: Behaviour,
        times: int | None,
        matches: Callable[[Question, Transport], bool],
        closes: Transport | None,
    ) -> None:
        self.hits = 0
        self._server = server
        self._behaviour = behaviour
        self._left = times
        self._matches = matches
        self._closes = closes

    def cancel(self) -> None:
        """End this fault; others go on. May be called again."""
        self._server._cancel(self)

    def __enter__(self) -> Fault:
        return self

    def __exit__(self, *_: object) -> None:
        self.cancel()


class DNSServer:
    """A DNS server on loopback, UDP and TCP on one port, that answers as CoreDNS does for a Kubernetes cluster.

    `with DNSServer() as dns:` or `start()` and `stop()`; it runs in a thread of its own, so it serves synchronous and
    asyncio tests alike. All methods may be called from any thread. Constructing it does no I/O.

    * `zone`: the cluster's domain. `ttl`: seconds, of every record of the cluster.
    * `host`, `port`: where to listen, also "::1" or "fe80::1%eth0"; 0 is a free port, kept over `stop()` and `start()`.
    * `cache`: as CoreDNS's cache plugin, an answer is made when first asked for and repeated with the remaining TTL,
      1 second at least, until `ttl` seconds have passed; only then do changes show. False: every answer is new.
    * `clock`: the time in seconds for the cache, so that a test can let an entry expire without sleeping.
    * `negative_ttl`: seconds, TTL of the SOA record in negative answers (default `ttl`); `soa_minimum`: its MINIMUM.
    * `edns_size`: the largest UDP answer, whatever size is advertised.
    * `seed`: makes shuffles and samples repeatable. `max_queries`: how many of the last `queries` are kept.
    """

    def __init__(
        self,
        zone: str = "cluster.local",
        ttl: int = 5,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        cache: bool = True,
        clock: Callable[[], float] = time.monotonic,
        negative_ttl: int | None = None,
        soa_minimum: int | None = None,
        edns_size: int = 1232,
        seed: int | None = None,
        max_queries: int = 100_000,
    ) -> None:
        negative_ttl = _check_ttl(ttl if negative_ttl is None else negative_ttl)
        self._zone = Zone(
            zone,
            ttl=_check_ttl(ttl),
            negative_ttl=negative_ttl,
            soa_minimum=_check_ttl(negative_ttl if soa_minimum is None else soa_minimum),
            cache=cache,
            clock=clock,
            rng=random.Random(seed),
        )
        self.zone = message.to_text(self._zone.origin)
        self.host = host
        self._port = port
        self._edns_size = edns_size
        self._clock = clock
        self._lock = self._zone.lock
        self._asked = threading.Condition(self._lock)
        self._queries: deque[Query] = deque(maxlen=max_queries)
        self._faults: list[Fault] = []
        self._hooks: dict[tuple[str | None, int | None], Hook] = {}
        self._cluster_ips = counter(1)
        self._errors: list[BaseException] = []
        self._loop: _Loop | None = None

    def __repr__(self) -> str:
        return f"<DNSServer {self.zone} {self.nameserver if self._loop else 'not running'}>"

    # --- life --------------------------------------------------------------------------------------------------------

    def start(self) -> DNSServer:
        """Open the sockets and answer. Raises `OSError` when the port is taken, `RuntimeError` when running."""
        if self._loop is not None:
            raise RuntimeError("the server is running")
        loop = _Loop(self.host, self._port, self._handle)
        self._port = loop.port
        self._loop = loop
        loop.start()
        self._apply_closed()
        return self

    def stop(self) -> None:
        """Close everything; unanswered questions stay so. Idempotent. `start()` again opens the same port."""
        loop, self._loop = self._loop, None
        if loop is not None:
            loop.stop()
            self._errors += loop.errors

    def __enter__(self) -> DNSServer:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        if kind is None and self._errors:
            raise self._errors[0]

    @property
    def running(self) -> bool:
        return self._loop is not None

    @property
    def port(self) -> int:
        """The port, of UDP and TCP. Raises `RuntimeError` when it is not known before `start()`."""
        if not self._port:
            raise RuntimeError("the port is known after start()")
        return self._port

    @property
    def ttl(self) -> int:
        """Seconds; may be changed, for answers made from then on."""
        return self._zone.ttl

    @ttl.setter
    def ttl(self, seconds: int) -> None:
        with self._lock:
            self._zone.ttl = _check_ttl(seconds)

    @property
    def nameserver(self) -> str:
        """`"127.0.0.1:5300"` or `"[::1]:5300"`, as `nameservers=[...]` takes it."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def errors(self) -> list[BaseException]:
        """What custom faults and answers raised, oldest first; the asker got SERVFAIL. `with` raises the first."""
        return self._errors + (self._loop.errors if self._loop else [])

    # --- contents ----------------------------------------------------------------------------------------------------

    def service(
        self,
        name: str,
        namespace: str = "default",
        *,
        pods: Pods = 3,
        ports: Ports = None,
        hostnames: str | Sequence[str] | None = "web",
        family: Family = "ipv4",
        publish_not_ready: bool = False,
        zones: Sequence[str] = (),
        sample: int | None = None,
        glue: int | None = None,
        replicas: int = 1,
    ) -> Service:
        """A headless service.

        * `pods`: how many, at addresses that are never used twice (10.244.x.y); or their addresses,
          `["127.0.0.2", "127.0.0.3"]`; a dual-stack pod is `"10.0.0.1+fd00::1"`, or a tuple of addresses.
        * `ports`: `{"http": 8080}`, `{"dns": (53, "udp")}`, `{"": 8080}` or 8080 for an unnamed port, None for none.
        * `hostnames`: `"web"` names the pods web-0, web-1, ... as the StatefulSet of that name; None is a Deployment,
          whose pods have no names, only dashed addresses (10-244-0-1); a list has them one by one.
        * `family`: of addresses given out: "ipv4", "ipv6", "dual".
        * `publish_not_ready`: the Service's `publishNotReadyAddresses`.
        * `zones`: the pods' topology zones, in turn, for `<zone>.pin._zone.<service>` and `<zone>.prefer._zone...`.
        * `sample`: each answer has this many records, drawn anew, without TC, as Consul does over UDP.
        * `glue`: each answer has at most this many additional records.
        * `replicas`: DNS servers behind the address that answer in turn, each with its own cache; see `Service.freeze`.

        Raises `ValueError` for what cannot be, also a service that exists.
        """
        return self._add_service(
            name,
            namespace,
            pods=pods,
            ports=ports,
            hostnames=hostnames,
            family=family,
            publish_not_ready=publish_not_ready,
            zones=zones,
            sample=sample,
            glue=glue,
            replicas=replicas,
        )

    def cluster_ip_service(
        self,
        name: str,
        namespace: str = "default",
        *,
        address: str | Sequence[str] | None = None,
        ports: Ports = 80,
        replicas: int = 1,
    ) -> Service:
        """A service that is not headless: one A record (10.96.x.y, or `address`), and itself as the SRV target."""
        if address is None:
            address = f"10.96.{(number := next(self._cluster_ips)) >> 8}.{number & 255}"
        return self._add_service(
            name, namespace, pods=0, ports=ports, hostnames=None, cluster_ip=address, replicas=replicas
        )

    def _add_service(self, name: str, namespace: str, **options: Any) -> Service:
        with self._lock:
            service = Service(
                name,
                namespace,
                self._zone.origin,
                lock=self._lock,
                addresses=self._zone.addresses,
                on_delete=self._delete,
                **options,
            )
            self._zone.add_service(service)
            return service

    def _delete(self, service: Service) -> None:
        with self._lock:
            self._zone.remove_service(service)

    def record(self, name: str, rtype: str | int, ttl: int, *values: str, glue: bool = True) -> None:
        """Records as they are, inside the zone or not: never cached, their TTL never counted down.

        `dns.record("alias.example", "CNAME", 10, "web.example")`. More calls for one name and type add to it. CNAMEs
        are followed, also to services; `*.example` is a wildcard (RFC 4592). The additional section of SRV has the
        addresses of their targets that were added in this way, unless `glue` is False. Raises `ValueError`.
        """
        records = [message.record(name, rtype, ttl, value) for value in values]
        with self._lock:
            self._zone.add_records(records, glue=glue)

    def remove_record(self, name: str, rtype: str | int | None = None) -> None:
        """Take away what `record` added: of one type, or all."""
        with self._lock:
            self._zone.remove_records(message.to_wire(name), None if rtype is None else message.type_number(rtype))

    def add_zone(self, zone: str) -> None:
        """One more zone the server is responsible for: its unknown names are NXDOMAIN instead of REFUSED."""
        with self._lock:
            self._zone.origins.add(message.to_wire(zone).lower())

    def answer(self, name: str | Service | None, qtype: str | int | None, message_: bytes | Hook | None) -> None:
        """Answer with a message made by hand; None for `name` or `qtype` is any, None for the message ends it.

        Bytes are sent as they are, but for the first two, the id. A function gets the `Exchange` (whose `answer` and
        `records` are the honest ones, and whose `reply()` builds messages) and returns bytes, or None for silence.
        """
        text = name.name if isinstance(name, Service) else name
        key = (
            None if text is None else message.to_text(message.to_wire(text)).lower(),
            None if qtype is None else message.type_number(qtype),
        )
        with self._lock:
            if message_ is None:
                self._hooks.pop(key, None)
            elif callable(message_):
                self._hooks[key] = message_
            else:
                ready = bytes(message_)
                self._hooks[key] = lambda x: struct.pack("!H", x.question.id) + ready[2:]

    def forget(self) -> None:
        """Empty the server's cache, so that the next answers are made from the pods of that moment."""
        with self._lock:
            self._zone.forget()

    # --- faults ------------------------------------------------------------------------------------------------------

    def fail(
        self,
        fault: str | Behaviour,
        *,
        times: int | None = None,
        name: str | Service | None = None,
        qtype: str | int | None = None,
        transport: Transport | None = None,
        **options: Any,
    ) -> Fault:
        """Answer wrongly from now on: `fail("SERVFAIL")`, `fail("timeout", times=2)`, `fail("slow", delay=0.2)`.

        * `fault`: a name (docs/testing.md has the list), or a function from an `Exchange` to actions.
        * `times`: only so many questions. Counted faults are used up in the order they were given; when none of them
          meets the question, the newest of the others that does is applied.
        * `name`: only this name (`*` and `?` as in a shell), or this service and the names below it. `qtype`,
          `transport`: only these.
        * the rest are options of the named fault.

        `recover()` ends all faults, the returned object's `cancel()` this one. Raises `ValueError` for an unknown
        fault and `TypeError` for an option it does not have.
        """
        closes: Transport | None = None
        behaviour: Behaviour
        if callable(fault):
            behaviour = partial(fault, **options) if options else fault
        else:
            named = faults.find(fault)
            inspect.signature(named.behaviour).bind(None, **options)
            behaviour = partial(named.behaviour, **options)
            if named.transport is not None and transport not in (None, named.transport):
                raise ValueError(f"{named.name} is a fault of {named.transport}, not of {transport}")
            transport = named.transport or transport
            closes = named.closes
            if closes is not None and (times, name, qtype) != (None, None, None):
                raise ValueError(f"{named.name} closes the socket: it cannot be restricted to some questions")
        if transport not in (None, "udp", "tcp"):
            raise ValueError(f"transport is udp or tcp, not {transport!r}")
        if times is not None and times < 1:
            raise ValueError(f"times starts at 1, not {times!r}")
        active = Fault(self, behaviour, times, _matcher(name, qtype, transport), closes)
        with self._lock:
            self._faults.append(active)
        self._apply_closed()
        return active

    def recover(self) -> None:
        """End all faults, and send what they hold back. Hand-made answers and records stay."""
        with self._lock:
            self._faults.clear()
        self._apply_closed()
        self.release()

    def release(self) -> None:
        """Send the answers that the fault "hold" keeps, in the order of their questions."""
        if self._loop is not None:
            self._loop.call(self._loop.release)

    def drop_connections(self, *, reset: bool = False) -> None:
        """Close the TCP connections that are open now, as a server does with idle ones."""
        if self._loop is not None:
            self._loop.call(partial(self._loop.drop, reset))

    def _cancel(self, fault: Fault) -> None:
        with self._lock:
            if fault in self._faults:
                self._faults.remove(fault)
        self._apply_closed()

    def _apply_closed(self) -> None:
        with self._lock:
            closed = {fault._closes for fault in self._faults} - {None}
        loop = self._loop
        if loop is not None:
            loop.call(partial(loop.set_open, "tcp" not in closed, "udp" not in closed))

    # --- what was asked ----------------------------------------------------------------------------------------------

    @property
    def queries(self) -> list[Query]:
        """Every question that could be read, oldest first, also those that a fault met."""
        with self._lock:
            return list(self._queries)

    def count(
        self,
        name: str | Service | None = None,
        qtype: str | int | None = None,
        transport: Transport | None = None,
    ) -> int:
        """How many questions there were, restricted as in `fail`."""
        matches = _matcher(name, qtype, transport)
        with self._lock:
            return sum(matches(message.parse(query.message), query.transport) for query in self._queries)

    def clear_queries(self) -> None:
        """Forget the questions so far."""
        with self._lock:
            self._queries.clear()

    def wait_for_queries(
        self,
        number: int = 1,
        timeout: float = 10.0,
        *,
        name: str | Service | None = None,
        qtype: str | int | None = None,
        transport: Transport | None = None,
    ) -> None:
        """Block until `count(...)` is at least `number`; raises `TimeoutError` after `timeout` seconds.

        For synchronous tests: in asyncio it would stop the event loop; use `asyncio.to_thread`.
        """
        with self._asked:
            if not self._asked.wait_for(lambda: self.count(name, qtype, transport) >= number, timeout):
                raise TimeoutError(f"{self.count(name, qtype, transport)} of {number} questions after {timeout} s")

    # --- in the server's thread --------------------------------------------------------------------------------------

    def _handle(self, data: bytes, transport: Transport, source: tuple[str, int]) -> Iterator[Action]:
        try:
            question = message.parse(data)
        except BadMessage as error:
            if error.reply_id is not None:
                yield Send(struct.pack("!6H", error.reply_id, message.QR | message.FORMERR, 0, 0, 0, 0))
            return
        with self._lock:
            self._queries.append(
                Query(
                    name=question.name,
                    qtype=message.type_text(question.qtype),
                    transport=transport,
                    time=self._clock(),
                    source=source,
                    edns=question.edns,
                    id=question.id,
                    message=data,
                )
            )
            self._asked.notify_all()
            behaviour = self._next_fault(question, transport)
            hook = next(
                (
                    self._hooks[key]
                    for key in (
                        (question.name, question.qtype),
                        (question.name, None),
                        (None, question.qtype),
                        (None, None),
                    )
                    if key in self._hooks
                ),
                None,
            )
        limit = message.MAX_TCP
        if transport == "udp":
            limit = 512 if question.edns is None else min(max(512, question.edns), self._edns_size)
        exchange = Exchange(question, transport, source, limit, self._build, self._negative, hook, self._zone.rng)
        try:
            if behaviour is None:
                yield Send(exchange.answer)
            else:
                yield from behaviour(exchange)
        except Exception as error:
            self._errors.append(error)
            yield Send(exchange.reply(message.SERVFAIL, flags=0))

    def _next_fault(self, question: Question, transport: Transport) -> Behaviour | None:
        counted = [fault for fault in self._faults if fault._left is not None]
        others = [fault for fault in self._faults if fault._left is None]
        for fault in [*counted, *reversed(others)]:
            if fault._matches(question, transport):
                fault.hits += 1
                if fault._left is not None:
                    fault._left -= 1
                    if not fault._left:
                        self._faults.remove(fault)
                return fault._behaviour
        return None

    def _build(self, exchange: Exchange) -> Answer:
        question = exchange.question
        if question.flags >> 11 & 0xF:  # the opcode: standard queries only
            return Answer(message.NOTIMP, authoritative=False)
        if question.edns_version:
            return Answer(message.BADVERS, authoritative=False)
        if question.qclass != 1:
            return Answer(message.REFUSED, authoritative=False)
        with self._lock:
            return self._zone.resolve(question.key, question.qtype)

    def _negative(self, owner: bytes, rcode: int, *, minimum: int | None = None) -> Answer:
        with self._lock:
            return self._zone.negative(owner, rcode, minimum=minimum)


def _check_ttl(seconds: int) -> int:
    if not 0 <= seconds < 2**32:
        raise ValueError(f"not a TTL: {seconds!r}")
    return seconds


def _matcher(
    name: str | Service | None, qtype: str | int | None, transport: Transport | None
) -> Callable[[Question, Transport], bool]:
    number = None if qtype is None else message.type_number(qtype)
    patterns = []
    if isinstance(name, Service):
        patterns = [name.name, f"*.{name.name}"]
    elif name is not None:
        patterns = [name.removesuffix(".").lower()]

    def matches(question: Question, over: Transport) -> bool:
        if number not in (None, question.qtype) or transport not in (None, over):
            return False
        return not patterns or any(fnmatchcase(question.name, pattern) for pattern in patterns)

    return matches


# --- sockets ------------------------------------------------------------------------------------------

_Handler = Callable[[bytes, Transport, tuple[str, int]], Iterator[Action]]


class _Channel(Protocol):
    """The way back to who asked."""

    jobs: int

    def send(self, data: bytes) -> None: ...
    def raw(self, data: bytes) -> None: ...
    def elsewhere(self, data: bytes) -> None: ...
    def close(self, reset: bool = False) -> None: ...
    def job_done(self) -> None: ...


class _Datagram:
    __slots__ = ("_loop", "_source", "jobs")

    def __init__(self, loop: _Loop, source: Any) -> None:
        self._loop = loop
        self._source = source
        self.jobs = 0

    def send(self, data: bytes) -> None:
        if data:
            self.raw(data)

    def raw(self, data: bytes) -> None:
        self._loop.send_datagram(data, self._source)

    def elsewhere(self, data: bytes) -> None:
        self._loop.send_datagram(data, self._source, elsewhere=True)

    def close(self, reset: bool = False) -> None:
        pass

    def job_done(self) -> None:
        pass


class _Stream:
    """One accepted connection: several questions may be in work at once, and are answered as they are ready."""

    def __init__(self, loop: _Loop, sock: socket.socket, source: Any) -> None:
        self.jobs = 0
        self._loop = loop
        self._sock: socket.socket | None = sock
        self._source = (source[0], source[1])
        self._in = bytearray()
        self._out = bytearray()
        self._finishing = False  # no more questions are read; closed once all is sent
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        loop.selector.register(sock, selectors.EVENT_READ, self._ready)

    def _ready(self, events: int) -> None:
        if events & selectors.EVENT_WRITE:
            self._flush()
        if events & selectors.EVENT_READ and self._sock is not None and not self._finishing:
            self._read(self._sock)

    def _read(self, sock: socket.socket) -> None:
        try:
            data = sock.recv(65536)
        except BlockingIOError:
            return
        except OSError:
            self.close(reset=True)
            return
        if not data:
            self._finishing = True
            self.job_done()
            return
        self._in += data
        while self._sock is not None and not self._finishing and len(self._in) >= 2:
            end = 2 + int.from_bytes(self._in[:2], "big")
            if len(self._in) < end:
                break
            query = bytes(self._in[2:end])
            del self._in[:end]
            self._loop.begin(query, "tcp", self._source, self)

    def _flush(self) -> None:
        sock = self._sock
        if sock is None:
            return
        try:
            while self._out:
                del self._out[: sock.send(self._out)]
        except BlockingIOError:
            pass
        except OSError:
            self.close(reset=True)
            return
        self._update(sock)

    def _update(self, sock: socket.socket) -> None:
        if self._finishing and not self._out and not self.jobs:
            self._shut(sock)
            return
        events = (0 if self._finishing else selectors.EVENT_READ) | (selectors.EVENT_WRITE if self._out else 0)
        selector = self._loop.selector
        registered = sock in selector.get_map()
        if events and registered:
            selector.modify(sock, events, self._ready)
        elif events:
            selector.register(sock, events, self._ready)
        elif registered:
            selector.unregister(sock)

    def _shut(self, sock: socket.socket) -> None:
        self._sock = None
        with contextlib.suppress(KeyError):
            self._loop.selector.unregister(sock)
        sock.close()
        self._loop.streams.discard(self)

    def abandon(self) -> None:
        """Close this process's copy of the descriptor; the connection is another's."""
        if self._sock is not None:
            self._sock.close()

    def send(self, data: bytes) -> None:
        if data:
            self.raw(faults.framed(data))

    def raw(self, data: bytes) -> None:
        self._out += data
        self._flush()

    def elsewhere(self, data: bytes) -> None:
        self.send(data)

    def close(self, reset: bool = False) -> None:
        sock = self._sock
        if sock is None:
            return
        if reset:
            with contextlib.suppress(OSError):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self._shut(sock)
        else:
            self._finishing = True
            self._update(sock)

    def job_done(self) -> None:
        if self._finishing and self._sock is not None:
            self._update(self._sock)


class _Loop:
    """The thread, its sockets and its timers. Sockets are touched by the thread alone once it runs."""

    def __init__(self, host: str, port: int, handler: _Handler) -> None:
        self.errors: list[BaseException] = []
        self.streams: set[_Stream] = set()
        self._handler = handler
        self._host = host
        self._family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._pid = os.getpid()
        self._commands: deque[tuple[Callable[[], None], threading.Event]] = deque()
        self._due: list[tuple[float, int, Iterator[Action], _Channel]] = []
        self._held: list[tuple[Iterator[Action], _Channel]] = []
        self._order = counter()
        self._stopping = False
        self._ended = False
        self._ending = threading.Lock()
        self._other: socket.socket | None = None
        self._tcp_open = self._udp_open = True
        self._tcp, self._udp = self._bind(port)
        self.port: int = self._tcp.getsockname()[1]
        self._wake_in, self._wake_out = socket.socketpair()
        self._wake_in.setblocking(False)
        # Not epoll: its descriptor would be shared with the children that a test forks.
        self.selector: selectors.BaseSelector = getattr(selectors, "PollSelector", selectors.SelectSelector)()
        self.selector.register(self._wake_in, selectors.EVENT_READ, self._woken)
        self._watch_sockets()
        self._thread = threading.Thread(target=self._run, name=f"DNSServer:{self.port}", daemon=True)

    def _bind(self, port: int) -> tuple[socket.socket, socket.socket]:
        for attempt in range(50):
            tcp = self._tcp_socket(port)
            try:
                tcp.listen(512)
                return tcp, self._udp_socket(tcp.getsockname()[1])
            except OSError as error:
                tcp.close()
                if port or error.errno != errno.EADDRINUSE or attempt == 49:
                    raise
        raise AssertionError

    def _at(self, port: int) -> Any:
        if "%" not in self._host:
            return self._host, port
        flags = socket.AI_NUMERICHOST  # the number of the interface: bind() takes no name
        return socket.getaddrinfo(self._host, port, self._family, socket.SOCK_STREAM, flags=flags)[0][4]

    def _tcp_socket(self, port: int) -> socket.socket:
        sock = socket.socket(self._family, socket.SOCK_STREAM)
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.setblocking(False)
            sock.bind(self._at(port))
        except BaseException:
            sock.close()
            raise
        return sock

    def _udp_socket(self, port: int, reuse: bool = False) -> socket.socket:
        sock = socket.socket(self._family, socket.SOCK_DGRAM)
        try:
            if reuse:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.setblocking(False)
            with contextlib.suppress(OSError):  # a thousand clients may start at once
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
            sock.bind(self._at(port))
        except BaseException:
            sock.close()
            raise
        return sock

    # --- from any thread ---------------------------------------------------------------------------------------------

    def start(self) -> None:
        self._thread.start()

    def call(self, function: Callable[[], None]) -> None:
        """Run `function` in the thread and wait for it."""
        if os.getpid() != self._pid:
            raise RuntimeError("this DNSServer runs in the parent process")
        if threading.current_thread() is self._thread:
            function()
            return
        done = threading.Event()
        with self._ending:
            if self._ended:
                return
            self._commands.append((function, done))
        self._wake()
        done.wait()

    def stop(self) -> None:
        if os.getpid() != self._pid:  # the thread lives in the parent only; here are just copies of its descriptors
            for stream in self.streams:
                stream.abandon()
            self._close_sockets()
            return
        self._stopping = True
        self._wake()
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def _wake(self) -> None:
        with contextlib.suppress(OSError):
            self._wake_out.send(b"\0")

    # --- in the thread -----------------------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            while not self._stopping:
                wait = None if not self._due else max(0.0, self._due[0][0] - time.monotonic())
                for key, events in self.selector.select(wait):
                    key.data(events)
                self._run_commands()
                while self._due and self._due[0][0] <= time.monotonic():
                    _, _, actions, channel = heapq.heappop(self._due)
                    self._go_on(actions, channel)
        except BaseException as error:  # a defect of the server: shown by DNSServer.errors, not lost with the thread
            self.errors.append(error)
        finally:
            with self._ending:
                self._ended = True
            self._run_commands()
            for stream in list(self.streams):
                stream.close()
                stream.close(reset=True)  # those that still had something to send
            self._close_sockets()

    def _run_commands(self) -> None:
        while self._commands:
            function, done = self._commands.popleft()
            try:
                if not self._ended:
                    function()
            except Exception as error:
                self.errors.append(error)
            finally:
                done.set()

    def _woken(self, events: int) -> None:
        with contextlib.suppress(BlockingIOError):
            self._wake_in.recv(4096)

    def _watch_sockets(self) -> None:
        for sock, wanted, ready in (
            (self._tcp, self._tcp_open, self._accept),
            (self._udp, self._udp_open, self._receive),
        ):
            registered = sock in self.selector.get_map()
            if wanted and not registered:
                self.selector.register(sock, selectors.EVENT_READ, ready)
            elif registered and not wanted:
                self.selector.unregister(sock)

    def set_open(self, tcp: bool, udp: bool) -> None:
        """Take a socket away from the clients, or give it back. The port stays reserved, but for an instant of TCP."""
        if tcp != self._tcp_open:
            if tcp:
                self._tcp.listen(512)
            else:
                # A socket that is bound but does not listen refuses connections and keeps the port.
                self.selector.unregister(self._tcp)
                self._tcp.close()
                self._tcp = self._tcp_socket(self.port)
                self.drop(reset=True)
            self._tcp_open = tcp
        if udp != self._udp_open:
            if udp:
                old = self._udp
                old.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                self._udp = self._udp_socket(self.port, reuse=True)
                old.close()
                self._udp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)
            else:
                # A socket connected to itself hears nobody else: the kernel sends ICMP port unreachable for them.
                self.selector.unregister(self._udp)
                self._udp.connect(self._at(self.port))
                with contextlib.suppress(BlockingIOError, ConnectionError):
                    while True:
                        self._udp.recv(65535)
            self._udp_open = udp
        self._watch_sockets()

    def release(self) -> None:
        held, self._held = self._held, []
        for actions, channel in held:
            self._go_on(actions, channel)

    def drop(self, reset: bool) -> None:
        for stream in list(self.streams):
            stream.close(reset)

    def _accept(self, events: int) -> None:
        try:
            sock, source = self._tcp.accept()
        except OSError:  # gone again, or out of descriptors
            return
        self.streams.add(_Stream(self, sock, source))

    def _receive(self, events: int) -> None:
        for _ in range(_BATCH):
            try:
                data, source = self._udp.recvfrom(65535)
            except BlockingIOError:
                return
            except ConnectionError:  # ICMP from an earlier answer: the asker is gone
                continue
            self.begin(data, "udp", (source[0], source[1]), _Datagram(self, source))

    def send_datagram(self, data: bytes, source: Any, elsewhere: bool = False) -> None:
        sock = self._udp
        if elsewhere:
            if self._other is None:
                self._other = self._udp_socket(0)
            sock = self._other
        with contextlib.suppress(OSError):  # a client that has gone, or a socket that "unreachable" has taken away
            sock.sendto(data, source)

    def begin(self, data: bytes, transport: Transport, source: tuple[str, int], channel: _Channel) -> None:
        channel.jobs += 1
        self._go_on(self._handler(data, transport, source), channel)

    def _go_on(self, actions: Iterator[Action], channel: _Channel) -> None:
        try:
            for action in actions:
                if self._waits(action, actions, channel):
                    return
        except Exception as error:  # of what a test's own fault or hook has yielded
            self.errors.append(error)
            channel.close()
        channel.jobs -= 1
        channel.job_done()

    def _waits(self, action: Action, actions: Iterator[Action], channel: _Channel) -> bool:
        """Do it; true if the others come later."""
        match action:
            case Send(data):
                channel.send(data)
            case Raw(data):
                channel.raw(data)
            case SendElsewhere(data):
                channel.elsewhere(data)
            case Wait(seconds):
                heapq.heappush(self._due, (time.monotonic() + seconds, next(self._order), actions, channel))
                return True
            case Hold():
                self._held.append((actions, channel))
                return True
            case Close():
                channel.close()
            case Reset():
                channel.close(reset=True)
            case _:
                self.errors.append(TypeError(f"not an action: {action!r}"))
        return False

    def _close_sockets(self) -> None:
        for sock in (self._tcp, self._udp, self._other, self._wake_in, self._wake_out):
            if sock is not None:
                sock.close()
        self.selector.close()
