"""`call()`: the same request on other peers, under tenacity, and leases that always end."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest
from tenacity import (
    AsyncRetrying,
    RetryError,
    Retrying,
    retry_always,
    retry_if_exception_type,
    retry_if_result,
    stop_after_attempt,
    stop_after_delay,
    stop_never,
    wait_fixed,
)

from headless_discovery import AsyncHeadlessService, HeadlessService, NoPeers, Peer, PeerSet, ServiceClosed
from headless_discovery.testing import DNSServer
from headless_discovery.testing.cluster import Service
from support import PATIENCE, QUICK
from support.strategies import Counting
from support.twins import SyncTwin, Twin, both_twins

NAME = "headless-svc.moon.svc.cluster.local"


@pytest.fixture
def web(headless_dns: DNSServer) -> Service:
    return headless_dns.service("headless-svc", "moon", pods=5)


@pytest.fixture
def strategy() -> Counting:
    return Counting()


@pytest.fixture
def options(headless_dns: DNSServer, web: Service, strategy: Counting) -> Iterator[dict[str, Any]]:
    yield {"target": NAME, "port": 8080, "nameservers": [headless_dns.nameserver], "strategy": strategy, **QUICK}
    assert strategy.busy.total() == 0  # every lease ended


def retrying(twin: Twin, **options: Any) -> Any:
    return (Retrying if twin.kind == "sync" else AsyncRetrying)(**options)


class Backend:
    """A function to call: fails as often as told, and knows whom it was called for."""

    def __init__(self, *outcomes: Any) -> None:
        self.outcomes = list(outcomes)
        self.tried: list[Peer] = []

    def __call__(self, peer: Peer, *args: Any, **kwargs: Any) -> Any:
        self.tried.append(peer)
        outcome = self.outcomes.pop(0) if self.outcomes else "ok"
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome


@both_twins
def test_the_result_and_the_arguments_pass_through(twin: Twin, options: dict[str, Any]) -> None:
    def function(peer: Peer, *args: Any, **kwargs: Any) -> tuple[Any, ...]:
        return peer, args, kwargs

    with twin(**options) as svc:
        peer, args, kwargs = svc.call(function, 1, "two", three=3, fn=4, self=5)
        assert peer == svc.peers()[0]
        assert args == (1, "two")
        assert kwargs == {"three": 3, "fn": 4, "self": 5}
        assert svc.call(lambda peer: None) is None


@both_twins
def test_connection_errors_are_tried_on_other_peers(twin: Twin, options: dict[str, Any], strategy: Counting) -> None:
    first, second = ConnectionRefusedError("first"), ConnectionResetError("second")
    backend = Backend(first, second, "third time lucky")
    with twin(**options) as svc:
        assert svc.call(backend) == "third time lucky"
        assert backend.tried == list(svc.peers()[:3])
        assert strategy.released == [first, second, None]


@both_twins
def test_the_last_original_exception_is_raised_again(twin: Twin, options: dict[str, Any], strategy: Counting) -> None:
    errors = [ConnectionRefusedError(str(number)) for number in range(9)]
    backend = Backend(*errors)
    with twin(**options) as svc:
        with pytest.raises(ConnectionRefusedError) as caught:
            svc.call(backend)
        assert caught.value is errors[2]  # three attempts by default
        assert strategy.released == errors[:3]


@both_twins
def test_other_errors_are_not_tried_again(twin: Twin, options: dict[str, Any]) -> None:
    with twin(**options) as svc:
        for error in (ValueError("mine"), TimeoutError("maybe it was done"), OSError("disk")):
            backend = Backend(error)
            with pytest.raises(type(error)) as caught:
                svc.call(backend)
            assert str(caught.value) == str(error)
            assert len(backend.tried) == 1


@both_twins
def test_a_client_librarys_error_with_a_connection_error_behind_it(twin: Twin, options: dict[str, Any]) -> None:
    class TransportError(Exception):
        pass

    wrapped = TransportError()
    wrapped.__cause__ = TransportError()
    wrapped.__cause__.__context__ = ConnectionRefusedError()
    with twin(**options) as svc:
        assert svc.call(Backend(wrapped)) == "ok"
        looped = TransportError()
        looped.__context__ = TransportError()
        looped.__context__.__context__ = looped
        with pytest.raises(TransportError):
            svc.call(Backend(looped))


# --- with the user's own tenacity object


@both_twins
def test_retrying_decides_what_is_tried_again(twin: Twin, options: dict[str, Any]) -> None:
    policy = retrying(
        twin, stop=stop_after_attempt(4), retry=retry_if_exception_type(ValueError), wait=wait_fixed(0.001)
    )
    errors = [ValueError(str(number)) for number in range(5)]
    with twin(**options) as svc:
        backend = Backend(*errors[:3])
        assert svc.call(backend, retrying=policy) == "ok"
        assert backend.tried == list(svc.peers()[:4])
        with pytest.raises(ValueError, match="3") as caught:  # although its reraise is False
            svc.call(Backend(*errors), retrying=policy)
        assert caught.value is errors[3]
        backend = Backend(ConnectionRefusedError())
        with pytest.raises(ConnectionRefusedError):
            svc.call(backend, retrying=policy)
        assert len(backend.tried) == 1


class Refused(Exception):
    """An answer to what was asked, whatever happened before."""


@both_twins
@pytest.mark.parametrize("raised", [Refused("422"), TimeoutError("late")], ids=["refused", "late"])
def test_what_the_caller_was_handling_already_is_no_reason(twin: Twin, options: dict[str, Any], raised: Any) -> None:
    """A fallback to another service, in the `except` of the first one."""
    with twin(**options) as svc:
        backend = Backend(raised)

        def fall_back() -> None:
            try:
                raise ConnectionRefusedError
            except ConnectionError:
                svc.call(backend)

        async def fall_back_async() -> None:
            try:
                raise ConnectionRefusedError
            except ConnectionError:
                await svc.service.call(backend)

        with pytest.raises(type(raised)):
            fall_back() if twin.kind == "sync" else svc.loop.run(fall_back_async())
        assert len(backend.tried) == 1


@both_twins
def test_a_lease_is_for_one_block(twin: Twin, options: dict[str, Any]) -> None:
    with twin(**options) as svc:
        lease = svc.lease()
        with lease, pytest.raises(RuntimeError, match="call lease"), lease:
            pass
        with pytest.raises(RuntimeError, match="call lease"), lease:
            pass


@both_twins
def test_when_all_peers_were_tried_they_are_tried_again_in_turn(
    twin: Twin, options: dict[str, Any], web: Service
) -> None:
    """A hashing strategy would go back to the key's owner for ever."""
    web.scale(2)
    with twin(**options | {"strategy": "consistent_hash"}) as svc:
        backend = Backend(*[ValueError()] * 7)
        svc.call(backend, key="user-1", retrying=retrying(twin, stop=stop_after_attempt(8)))
        assert all(one != other for one, other in pairwise(backend.tried))


@both_twins
def test_when_all_peers_were_tried_any_is(twin: Twin, options: dict[str, Any], web: Service) -> None:
    web.scale(2)
    with twin(**options) as svc:
        backend = Backend(*[ValueError()] * 4)
        assert svc.call(backend, retrying=retrying(twin, stop=stop_after_attempt(5))) == "ok"
        assert backend.tried[:2] == list(svc.peers())
        assert len(backend.tried) == 5


@both_twins
def test_results_may_be_tried_again(twin: Twin, options: dict[str, Any], strategy: Counting) -> None:
    policy = retrying(twin, stop=stop_after_attempt(3), retry=retry_if_result(lambda status: status == 503))
    with twin(**options) as svc:
        backend = Backend(503, 503, 200)
        assert svc.call(backend, retrying=policy) == 200
        assert backend.tried == list(svc.peers()[:3])
        assert strategy.released == [None, None, None]
        with pytest.raises(RetryError):  # there is no exception to raise again
            svc.call(Backend(503, 503, 503), retrying=policy)


@both_twins
def test_one_policy_serves_many_calls(twin: Twin, options: dict[str, Any]) -> None:
    seen: list[int] = []
    policy = retrying(
        twin,
        stop=stop_after_attempt(3),
        before_sleep=lambda state: seen.append(state.attempt_number),
        retry_error_callback=lambda state: "swallowed",
    )
    with twin(**options) as svc:
        for _ in range(2):
            assert svc.call(Backend(ValueError()), retrying=policy) == "ok"
        with pytest.raises(ValueError, match="last"):  # the contract: the last original exception
            svc.call(Backend(ValueError(), ValueError(), ValueError("last")), retrying=policy)
    assert seen == [1, 1, 1, 2]


@both_twins
def test_the_other_twins_retrying_is_a_type_error(twin: Twin, options: dict[str, Any]) -> None:
    wrong = AsyncRetrying() if twin.kind == "sync" else Retrying()
    with twin(**options) as svc:
        backend = Backend()
        with pytest.raises(TypeError, match="retrying= must be a tenacity"):
            svc.call(backend, retrying=wrong)
        assert backend.tried == []


@both_twins
def test_peers_that_come_meanwhile_are_tried(twin: Twin, options: dict[str, Any], web: Service) -> None:
    web.scale(0)
    policy = retrying(
        twin,
        stop=stop_after_delay(PATIENCE),
        retry=retry_if_exception_type(NoPeers),
        wait=wait_fixed(0.02),
        before_sleep=lambda state: web.scale(1),
    )
    with twin(**options) as svc:
        with pytest.raises(NoPeers):
            svc.call(Backend())
        assert svc.call(Backend("found"), retrying=policy) == "found"


@both_twins
def test_the_key_chooses_and_the_others_follow(twin: Twin, options: dict[str, Any]) -> None:
    with twin(**{**options, "strategy": "consistent_hash"}) as svc:
        order = svc.pick_many(3, "alice")
        backend = Backend(ConnectionError(), ConnectionError())
        assert svc.call(backend, key="alice") == "ok"
        assert backend.tried == order


@both_twins
def test_a_closed_service_ends_even_endless_retries(twin: Twin, options: dict[str, Any]) -> None:
    policy = retrying(twin, stop=stop_never, retry=retry_always)
    with twin(**options) as svc:
        core = svc if twin.kind == "sync" else svc.service
        tried: list[Peer] = []

        def close(peer: Peer) -> None:
            tried.append(peer)
            # The core's own close, as the twins' would be awaited by whom it is to wake.
            core._service.close("closed meanwhile")
            raise ConnectionError("closed in my face")

        with pytest.raises(ConnectionError, match="closed in my face"):
            svc.call(close, retrying=policy)
        assert len(tried) == 1
        with pytest.raises(ServiceClosed):
            svc.call(close, retrying=policy)
        assert len(tried) == 1


# --- one twin only


def test_ctrl_c_is_not_tried_again(options: dict[str, Any], strategy: Counting) -> None:
    with SyncTwin(**options) as svc:
        interrupt = KeyboardInterrupt()
        interrupt.__context__ = ConnectionResetError()  # it came while one was handled
        backend = Backend(interrupt)
        with pytest.raises(KeyboardInterrupt):
            svc.call(backend, retrying=Retrying(retry=retry_always))
        assert len(backend.tried) == 1
        assert strategy.released == [interrupt]


def test_call_runs_in_the_callers_thread(options: dict[str, Any]) -> None:
    from threading import current_thread

    with HeadlessService(**options) as svc:
        assert svc.call(lambda peer: current_thread()) is current_thread()


async def test_coroutine_functions_are_awaited(options: dict[str, Any], strategy: Counting) -> None:
    tried: list[Peer] = []

    async def function(peer: Peer, answer: int) -> int:
        tried.append(peer)
        await asyncio.sleep(0)
        assert strategy.busy[peer] == 1  # the lease lasts as long as the coroutine
        if len(tried) < 3:
            raise ConnectionRefusedError
        return answer

    async with AsyncHeadlessService(**options) as svc:
        assert await svc.call(function, 42) == 42
        assert tried == list(svc.peers()[:3])


async def test_a_cancelled_call_ends_and_releases_its_lease(options: dict[str, Any], strategy: Counting) -> None:
    """Also where the cancellation hits the handling of a connection error, which alone would be tried again."""
    entered = asyncio.Event()
    tried: list[Peer] = []

    async def function(peer: Peer) -> None:
        tried.append(peer)
        try:
            raise ConnectionResetError
        except ConnectionResetError:
            entered.set()
            await asyncio.Event().wait()

    async with AsyncHeadlessService(**options) as svc:
        for policy in (None, AsyncRetrying(retry=retry_always)):
            entered.clear()
            tried.clear()
            strategy.released.clear()
            call = asyncio.create_task(svc.call(function, retrying=policy))
            await asyncio.wait_for(entered.wait(), PATIENCE)
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
            assert len(tried) == 1
            assert [type(error) for error in strategy.released] == [asyncio.CancelledError]


async def test_many_calls_at_once_share_the_peers(options: dict[str, Any], web: Service) -> None:
    async def function(peer: Peer) -> Peer:
        await asyncio.sleep(0)
        return peer

    async with AsyncHeadlessService(**{**options, "strategy": "round_robin"}) as svc:
        peers = await asyncio.gather(*[svc.call(function) for _ in range(50)])
        assert PeerSet(peers) == svc.peers()
        assert {peers.count(peer) for peer in svc.peers()} == {10}
