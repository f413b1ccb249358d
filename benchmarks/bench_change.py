"""From a change in DNS to the subscriber."""

from __future__ import annotations

import asyncio
import random
import time
from contextlib import AsyncExitStack
from typing import Any

from dnspython_loop import Loop
from harness import Goal, Result, benchmark, spread

from headless_discovery import AsyncHeadlessService, Change, HeadlessService
from headless_discovery.testing import DNSServer
from headless_discovery.wire import read

TTL = 5
YOUNG = 10.0  # seconds; who was seen first less long ago takes two answers to leave, by contract


class Watched:
    """One service: the answers it got, when it was changed, and when its subscriber heard of it."""

    def __init__(self, dns: DNSServer, label: str) -> None:
        self.service = dns.service(label, "bench", pods=3)
        self.answers: list[tuple[float, int]] = []  # when, and the TTL in it
        self.told: list[float] = []
        self._dns = dns
        dns.answer(self.service, None, self._answer)

    def _answer(self, exchange: Any) -> bytes:
        data: bytes = exchange.answer
        self.answers.append((time.monotonic(), min(rrset.ttl for rrset in read(data).answer.values())))
        return data

    def heard(self, _: object = None) -> None:
        self.told.append(time.monotonic())

    def heard_change(self, change: Change) -> None:
        if change.previous:
            self.heard()

    async def aheard_change(self, change: Change) -> None:
        self.heard_change(change)


class Measured:
    def __init__(self, watched: Watched, join: bool) -> None:
        self._watched = watched
        watched.told.clear()
        self._before = watched.answers[-1]
        self._at = time.monotonic()
        service = watched.service
        service.scale(len(service.pods) + (1 if join else -1))
        if watched.answers[-1] is not self._before:  # asked at the same moment: which came first?
            self._before = watched.answers[-1]

    @property
    def delay(self) -> float:
        """Seconds from the change."""
        return self._watched.told[0] - self._at

    @property
    def beyond(self) -> float:
        """Seconds after the end of the TTL that the subscriber's data had when the change happened."""
        received, ttl = self._before
        return self._watched.told[0] - (received + ttl)

    @property
    def done(self) -> bool:
        return bool(self._watched.told)


@benchmark("change")
def change(quick: bool) -> Result:
    number = 5 if quick else 50
    rows: list[dict[str, Any]] = []
    with DNSServer(ttl=TTL) as dns:

        async def measure() -> None:
            kinds = {kind: [Watched(dns, f"{kind}-{n}") for n in range(number)] for kind in ("sync", "async", "loop")}
            async with AsyncExitStack() as stack:
                options = {"nameservers": [dns.nameserver]}
                for watched in kinds["sync"]:
                    service = stack.enter_context(HeadlessService(watched.service.name, 80, **options))
                    service.watch(watched.heard_change)
                for watched in kinds["async"]:
                    aservice = await stack.enter_async_context(
                        AsyncHeadlessService(watched.service.name, 80, **options)
                    )
                    aservice.watch(watched.aheard_change)
                for watched in kinds["loop"]:
                    loop = Loop(watched.service.name, dns.nameserver, watched.heard)
                    loop.start()
                    stack.callback(loop.stop)
                await asyncio.sleep(YOUNG + 1)
                for join in (True, False):
                    found: dict[str, list[Measured]] = {kind: [] for kind in kinds}
                    plan = [(kind, watched) for kind, all_ in kinds.items() for watched in all_]
                    random.shuffle(plan)
                    for kind, watched in plan:
                        await asyncio.sleep(TTL / len(plan))
                        found[kind].append(Measured(watched, join))
                    await asyncio.sleep(TTL + 2)
                    for kind, label in (
                        ("sync", "`HeadlessService`"),
                        ("async", "`AsyncHeadlessService`"),
                        ("loop", "dnspython in a loop that sleeps for the TTL"),
                    ):
                        done = [measured for measured in found[kind] if measured.done]
                        beyond = [measured.beyond for measured in done]
                        rows.append(
                            {
                                "what": f"{label}, a pod {'joins' if join else 'leaves'}",
                                "delay": spread([measured.delay for measured in done]),
                                "beyond": spread(beyond),
                                "worst": max(beyond),
                                "missing": len(found[kind]) - len(done),
                            }
                        )
                    if join:  # who is young takes longer to leave
                        await asyncio.sleep(YOUNG)

        asyncio.run(measure())
    ours = [row for row in rows if "dnspython" not in row["what"]]
    return Result(
        "From a change to the subscriber",
        f"{number} services of each kind, whose pods change at moments spread over the TTL of {TTL} s, behind a cache"
        " that counts it down. *Beyond the TTL* is the time after the end of the TTL that the last answer before the"
        " change came with: no client of such a cache can know earlier.",
        {
            "what": "",
            "delay": "s from the change",
            "beyond": "s beyond the TTL",
            "worst": "the worst",
            "missing": "not within TTL + 2 s",
        },
        rows,
        [
            Goal(
                "s from a change to the subscriber, beyond the TTL received (the worst)",
                max(r["worst"] for r in ours),
                1,
            ),
            Goal("changes that did not arrive within TTL + 2 s", sum(r["missing"] for r in ours), 0),
        ],
    )
