"""Which picker a service has: at once, while one is built in steps, and when a strategy raises."""

from __future__ import annotations

import gc
import random
import weakref
from collections import deque
from collections.abc import Callable, Collection, Iterator
from typing import Any

import pytest

from headless_discovery import Change, DiscoveryError, NoPeers, Peer, PeerSet
from headless_discovery.balance import Maglev, RoundRobin
from headless_discovery.pickers import Pickers
from headless_discovery.testing import DNSServer
from support.subscribers import eventually
from support.twins import SyncTwin, Twin, both_twins


def peers(*numbers: int) -> PeerSet:
    return PeerSet(Peer(f"10.0.0.{number}", 80) for number in numbers)


class Host:
    """Runs what is due, a call at a time."""

    def __init__(self) -> None:
        self.due: deque[Callable[[], None]] = deque()

    def time(self) -> float:
        return 0.0

    def call_at(self, when: float, callback: Callable[[], None]) -> Any:
        self.due.append(callback)

    def run(self, calls: int = 1000) -> None:
        while self.due and calls:
            self.due.popleft()()
            calls -= 1


class First:
    """Picks the first, and knows how it was built."""

    def __init__(self, peers: PeerSet, how: str) -> None:
        self.peers, self.how = peers, how

    def pick(self, key: Any = None, exclude: Collection[Peer] = ()) -> Peer:
        for peer in self.peers:
            if peer not in exclude:
                return peer
        raise NoPeers("nobody")


class Slow:
    """Takes three steps."""

    raises: Exception | None = None

    def __init__(self) -> None:
        self.before: list[Any] = []

    def build(self, peers: PeerSet, previous: Any) -> First:
        self.before.append(previous)
        return First(peers, "at once")

    def steps(self, peers: PeerSet, previous: Any) -> Iterator[None]:
        self.before.append(previous)
        for _ in range(3):
            yield
        if self.raises:
            raise self.raises
        return First(peers, "in steps")


class World:
    def __init__(self, strategy: Any) -> None:
        self.strategy = strategy
        self.host = Host()
        self.built: list[tuple[PeerSet, Any]] = []
        self.pickers = Pickers(strategy, "a target", lambda peers, picker: self.built.append((peers, picker)))

    def build(self, *numbers: int) -> Any:
        return self.pickers.build(peers(*numbers), self.host)  # type: ignore[arg-type]


@pytest.fixture
def world() -> World:
    return World(Slow())


def test_the_first_one_is_built_at_once(world: World) -> None:
    assert world.build(1, 2).how == "at once"
    assert not world.host.due


def test_the_next_one_in_steps_while_the_old_one_serves(world: World) -> None:
    old = world.build(1, 2)
    meanwhile = world.build(2, 3)
    for _ in range(3):
        assert meanwhile.pick() == peers(2)[0]
        assert not world.built
        world.host.run(1)
    ((now, picker),) = world.built
    assert (now, picker.how, picker.peers) == (peers(2, 3), "in steps", peers(2, 3))
    assert world.strategy.before == [None, old]
    assert meanwhile.pick(exclude=peers(2)) == peers(3)[0]  # who joined is picked where nobody else is left
    assert meanwhile.pick_many(5) == list(peers(2, 3))
    with pytest.raises(NoPeers):
        meanwhile.pick(exclude=peers(2, 3))


def test_where_nobody_stays_it_is_built_at_once(world: World) -> None:
    world.build(1, 2)
    assert world.build(3, 4).how == "at once"


def test_who_changes_while_one_is_built_gets_the_next_at_once(world: World) -> None:
    """Otherwise there might never be one."""
    world.build(1, 2)
    world.build(1, 2, 3)
    world.host.run(1)
    assert world.build(1, 2, 3, 4).how == "at once"
    world.host.run()
    assert not world.built  # the one that was under way is nobody's any more
    world.build(1)
    world.host.run()
    assert [picker.how for _, picker in world.built] == ["in steps"]


def test_a_generator_that_is_ready_at_once_is_taken_at_once(world: World) -> None:
    world.build(1)
    world.strategy.steps = lambda peers, previous: iter_none(First(peers, "no steps"))
    assert world.build(1, 2).how == "no steps"
    assert not world.host.due


def iter_none(result: Any) -> Iterator[None]:
    return result
    yield


def test_who_waits_is_called_when_it_is_built(world: World) -> None:
    told: list[str] = []
    world.build(1)
    world.pickers.once_built(lambda: told.append("at once"))
    assert told == ["at once"]
    world.build(1, 2)
    world.pickers.once_built(lambda: told.append("built"))
    world.host.run(2)
    assert told == ["at once"]
    world.host.run()
    assert told == ["at once", "built"]
    assert world.built


@pytest.mark.parametrize("end", ["another set", "close"])
def test_who_waits_is_called_although_it_is_not_built(world: World, end: str) -> None:
    told: list[str] = []
    world.build(1)
    world.build(1, 2)
    world.pickers.once_built(lambda: told.append("over"))
    if end == "close":
        world.pickers.close()
    else:
        world.build(1, 3)
        assert told == []  # the set has to be swapped first
        world.pickers.tell()
    assert told == ["over"]
    world.host.run()
    assert told == ["over"]
    assert not world.built


def test_a_strategy_that_raises_in_a_step(world: World, caplog: pytest.LogCaptureFixture) -> None:
    world.build(1, 2)
    world.strategy.raises = RuntimeError("no")
    world.build(2, 3)
    assert world.pickers.error is None
    world.host.run()
    assert "raised RuntimeError('no')" in str(world.pickers.error)
    ((now, picker),) = world.built
    assert (now, picker.pick()) == (peers(2, 3), peers(2)[0])
    world.strategy.raises = None
    world.build(2)
    world.host.run()
    assert world.pickers.error is None
    assert world.built[-1][1].how == "in steps"


@pytest.mark.parametrize("steps", [3, None])
def test_an_attribute_that_is_called_steps_is_no_method(world: World, steps: object) -> None:
    world.build(1, 2)
    world.strategy.steps = steps
    assert world.build(1, 2, 3).how == "at once"


def test_steps_that_cannot_be_begun(world: World, caplog: pytest.LogCaptureFixture) -> None:
    world.build(1, 2)
    world.strategy.steps = lambda peers, previous: 1 / 0
    assert world.build(1, 3).pick() == peers(1)[0]
    assert "ZeroDivisionError" in str(world.pickers.error)
    assert not world.host.due


def test_after_fork_nothing_is_taken_over(world: World) -> None:
    world.build(1, 2)
    world.build(1, 3)
    world.pickers.forget()
    assert world.build(1, 3).how == "at once"
    world.host.run()
    assert not world.built
    assert world.strategy.before[-1] is None


def test_maglev_in_steps_is_maglev_at_once() -> None:
    rng = random.Random(1)
    world = World(Maglev(table_size=1009))
    world.build(*range(1, 20))
    for _ in range(20):
        numbers = [*rng.sample(range(1, 250), rng.randrange(2, 40)), 1]
        world.build(*numbers)
        assert len(world.host.due) == 1
        world.host.run()
        at_once = Maglev(table_size=1009).build(peers(*numbers))
        assert world.built[-1][1]._table == at_once._table


# In a service.


@both_twins
def test_a_change_is_told_before_a_slow_picker_is_built(twin: Twin, headless_dns: DNSServer) -> None:
    web = headless_dns.service("headless-svc", "moon", pods=["10.0.0.1", "10.0.0.2", "10.0.0.3"])
    allowed: deque[None] = deque()

    class Held(Slow):
        def steps(self, peers: PeerSet, previous: Any) -> Iterator[None]:
            while not allowed:
                yield
            return First(peers, "in steps")

    with twin(web.name, 80, strategy=Held(), nameservers=[headless_dns.nameserver], min_ttl=0, max_ttl=0.1) as service:
        heard: list[Change] = []
        service.watch(heard.append)
        eventually(lambda: len(heard) == 1)
        web.scale(2)
        web.add("10.0.0.9")
        headless_dns.forget()
        eventually(lambda: len(heard) >= 2)
        assert service.pick().address == "10.0.0.1"  # nobody has to wait meanwhile
        assert all(service.pick(exclude=service.peers() - {peer}) == peer for peer in service.peers())
        allowed.append(None)
        core = (service if twin is SyncTwin else service.service)._service
        eventually(lambda: getattr(core.live.picker, "how", "") == "in steps")


@both_twins
def test_after_a_refresh_the_picker_is_the_new_one(twin: Twin) -> None:
    keys = [str(i) for i in range(200)]
    with DNSServer(ttl=3600) as dns:
        web = dns.service("headless-svc", "moon", pods=5)
        options: dict[str, Any] = {"nameservers": [dns.nameserver], "min_ttl": 0, "max_ttl": 3600}
        with twin(web.name, 80, strategy="maglev", **options) as service:
            for size in (6, 7, 9, 12):
                web.scale(size)
                dns.forget()
                found = service.refresh()
                fresh = Maglev().build(found)
                assert len(found) == size
                assert [service.pick(key) for key in keys] == [fresh.pick(key) for key in keys]


class Raises:
    def build(self, peers: PeerSet, previous: Any) -> Any:
        raise ZeroDivisionError("a bug of mine")


def test_errors_of_a_strategy_keep_nobodys_frame() -> None:
    """Each pick raises an error of its own: one for all would keep the locals of all callers."""

    class Request:
        pass

    def call() -> weakref.ref[Request]:
        request = Request()
        with pytest.raises(DiscoveryError, match="a bug of mine") as caught:
            picker.pick()
        assert isinstance(caught.value.__cause__, ZeroDivisionError)
        return weakref.ref(request)

    picker = Pickers(Raises(), "web", lambda peers, picker: None).build(peers(1), Host())
    requests = [call() for _ in range(3)]
    gc.collect()
    assert [request() for request in requests] == [None] * 3


def test_nobody_hears_of_peers_that_he_did_not_exclude() -> None:
    class Once:
        def build(self, peers: PeerSet, previous: Any) -> Any:
            if previous is not None:
                raise ZeroDivisionError("a bug of mine")
            return RoundRobin().build(peers, None)

    pickers = Pickers(Once(), "web", lambda peers, picker: None)
    pickers.build(peers(1), Host())
    picker = pickers.build(peers(2), Host())
    with pytest.raises(NoPeers) as caught:
        picker.pick()
    assert caught.value.excluded == ()
