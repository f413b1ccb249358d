"""From the options that users write to a `Service`: the one place where both twins and the one-shots begin."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypedDict

from .balance import Strategy, make
from .errors import LookupFailed
from .logs import log
from .service import Backoff, ExcludeSelf, Service
from .settings import Answers, Family, Settings, Tcp
from .target import parse
from .watchers import Watcher

if TYPE_CHECKING:
    from tenacity import RetryCallState


RetryWait: TypeAlias = "Callable[[RetryCallState], float]"
Protocol: TypeAlias = Literal["tcp", "udp", "sctp"]
Targets: TypeAlias = str | Iterable[str]
SelfAddresses: TypeAlias = bool | str | Iterable[str]


MIN_WAIT = 0.01  # seconds: wait_none() must not ask a failing server as fast as it can say no


class OneShot(TypedDict, total=False):
    """Options of `resolve`, `aresolve`, `peers` and `apeers`: those of `HeadlessService` that one lookup needs."""

    protocol: Protocol
    family: Family
    nameservers: Iterable[str] | None
    tcp: Tcp
    timeout: float
    min_ttl: float
    max_ttl: float
    exclude_self: SelfAddresses
    allow_networks: Iterable[str] | None
    max_peers: int
    zone: str | None
    zone_policy: Literal["prefer", "pin"]
    resolv_conf: str | None
    hosts: str | None


def build(
    target: Targets,
    port: int | str | None,
    *,
    strategy: str | Strategy,
    protocol: Protocol,
    family: Family,
    nameservers: Iterable[str] | None,
    tcp: Tcp,
    timeout: float,
    min_ttl: float,
    max_ttl: float,
    empty_grace: float,
    max_stale: float | None,
    answers: Answers,
    retry_wait: RetryWait | None,
    exclude_self: SelfAddresses,
    allow_networks: Iterable[str] | None,
    max_peers: int,
    zone: str | None,
    zone_policy: Literal["prefer", "pin"],
    resolv_conf: str | None,
    hosts: str | None = "/etc/hosts",
    seed: int | None,
    notify: Callable[[], None],
    deliver: Callable[[list[Watcher]], None],
) -> Service:
    """Raises `TargetError` for what contradicts itself, `ValueError` for an unknown strategy. Does no I/O."""
    rng: random.Random = random.SystemRandom() if seed is None else random.Random(seed)
    settings = Settings.of(
        nameservers=nameservers,
        resolv_conf=resolv_conf,
        hosts=hosts,
        allow_networks=allow_networks,
        family=family,
        tcp=tcp,
        timeout=timeout,
        min_ttl=min_ttl,
        max_ttl=max_ttl,
        empty_grace=empty_grace,
        max_stale=max_stale,
        answers=answers,
        max_peers=max_peers,
    )
    parsed = parse(
        target, port, protocol=protocol, nameservers=settings.nameservers, zone=zone, zone_policy=zone_policy
    )
    return Service(
        parsed,
        settings,
        make(strategy, seed),
        backoff=_full_jitter(rng) if retry_wait is None else _tenacity(retry_wait, _full_jitter(rng)),
        exclude_self=ExcludeSelf(exclude_self),
        rng=rng,
        notify=notify,
        deliver=deliver,
    )


def _full_jitter(rng: random.Random) -> Backoff:
    """Full jitter ("Exponential Backoff And Jitter", M. Brooker): up to 0.5 s, doubling to 10 s."""

    def wait(failures: int, error: LookupFailed) -> float:
        return rng.uniform(0.0, min(10.0, 0.5 * 2.0 ** min(failures - 1, 10)))

    return wait


def _tenacity(retry_wait: RetryWait, otherwise: Backoff) -> Backoff:
    """Any tenacity wait: it sees the number of failures in a row and the last error."""

    def wait(failures: int, error: LookupFailed) -> float:
        from tenacity import RetryCallState

        no_retrying: Any = None
        state = RetryCallState(no_retrying, None, (), {})
        state.attempt_number = failures
        state.set_exception((type(error), error, error.__traceback__))
        try:
            return max(MIN_WAIT, float(retry_wait(state)))
        except Exception:  # the user's code; a service must not stop for it
            log.exception("retry_wait %r raised; the default is used instead", retry_wait)
            return otherwise(failures, error)

    return wait
