"""`demo`, which `make demo` runs: a headless service on this machine, watched live. Ends by itself within 20 seconds.

Everything is real but small: a DNS server that behaves like CoreDNS, HTTP servers as pods, a client that calls them
through the library while pods come, go and restart and DNS fails. The exit code is 0 only if every change was seen
and no request failed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, nullcontext
from typing import Annotated

import typer
from rich.console import Console
from rich.live import Live
from tenacity import wait_random

from .. import HeadlessService
from .demo_client import KEYS, Observer, Traffic
from .demo_cluster import PORT_NAME, Cluster, Endpoint
from .demo_view import Done, View, World
from .output import Code, can_draw, finite
from .spread import Spread, Spreads

ACTS = 8
PATIENCE = 10.0  # seconds for which a change may be late before the demo calls it missing


class Story:
    """The acts, one after the other, and what is expected of each. `scale` stretches the pauses and the TTL."""

    def __init__(self, world: World, view: View, scale: float) -> None:
        self.problems: list[str] = []
        self._world = world
        self._view = view
        self._scale = scale

    def run(self) -> None:
        world, cluster, service = self._world, self._world.cluster, self._world.service
        world.acted = world.began
        self._act("three pods", "found in DNS by one query for SRV records")
        self._seen()
        self._pause(1.2)

        self._act("scale from 3 to 5", "two pods join")
        before = self._owners()
        cluster.scale(5)
        self._seen()
        after = self._owners()
        strays = sum(old != new and new not in ("web-3", "web-4") for old, new in zip(before, after, strict=True))
        self._expect(not strays, f"{strays} keys moved between pods that stayed")
        self._pause(1.0)

        self._act("web-3 is not ready", "its probe fails; it still answers, but nobody should ask")
        cluster.set_ready(3, False)
        self._seen()
        self._pause(0.6)

        self._act("web-3 is ready again", "and gets back the keys it had")
        cluster.set_ready(3, True)
        self._seen()
        self._expect(self._owners() == after, "web-3 came back to other keys than it had")
        self._pause(0.5)

        self._act("web-1 dies and restarts", "another address under the same name: it keeps its keys")
        old, _ = cluster.restart(1)
        self._seen()
        self._expect(self._owners() == after, "keys moved for a restart")
        self._expect(old not in self._endpoints(), f"the old address of web-1, {old}, is still there")
        self._pause(1.0)

        self._act("DNS fails", "SERVFAIL to every question: the set stays, requests go on")
        failures, peers, requests = service.status.failures, service.peers(), world.traffic.requests
        cluster.dns.fail("SERVFAIL")
        stale = self._until(lambda: service.status.state == "stale")
        self._view.remark(f"DNS fails; {len(service.peers())} peers stay")
        self._pause(0.8)
        self._expect(stale, f"the state is {service.status.state}, not stale")
        self._expect(service.peers() == peers, "the set changed while DNS failed")
        self._expect(service.status.failures > failures, "no lookup failed")
        self._expect(world.traffic.requests > requests, "no request was made while DNS failed")
        self._finish("set stays", {})

        self._act("DNS is back", "the library finds out by itself")
        cluster.dns.recover()
        fresh = self._until(lambda: service.status.state == "fresh")
        took = time.monotonic() - world.acted
        self._view.remark("DNS is back", "green")
        self._expect(fresh, f"the state is {service.status.state}, not fresh")
        self._finish(f"{took:.1f} s", {})
        self._pause(0.4)

        self._act("scale from 5 to 2", "three pods drain")
        cluster.scale(2)
        self._seen()
        cluster.forget()
        self._pause(0.8)

        self._expect(not world.traffic.failed, f"{world.traffic.failed} requests failed: {dict(world.traffic.errors)}")
        idle = [endpoint for endpoint in cluster.endpoints if not cluster.served[endpoint]]
        self._expect(not idle, f"nobody asked {idle}")

    def _act(self, title: str, note: str) -> None:
        world = self._world
        world.act, world.title, world.note, world.acted = world.act + 1, title, note, time.monotonic()
        self._good = True
        self._view.act()

    def _seen(self) -> None:
        """Wait until the client's set is what DNS now publishes."""
        world = self._world
        wanted = world.cluster.endpoints
        seen = world.observer.wait_for(wanted, PATIENCE)
        took = time.monotonic() - world.acted
        self._expect(seen, f"{world.title}: after {took:.0f} s the peers are {sorted(self._endpoints())}")
        world.spreads.update(world.observer.peers)
        if not world.widest or len(world.spreads.all[0].picks) > len(world.widest[0].picks):
            world.widest = world.spreads.all
        moved = {spread.strategy: spread.moved for spread in world.spreads.all if spread.moved is not None}
        self._finish(f"{took:.1f} s" if seen else "never", moved)

    def _finish(self, seen: str, moved: dict[str, float]) -> None:
        self._world.done.append(Done(self._world.title, seen, moved, self._good))

    def _consistent_hash(self) -> Spread:
        return next(spread for spread in self._world.spreads.all if spread.strategy == "consistent_hash")

    def _owners(self) -> Sequence[str]:
        """Which pod has each key."""
        owners = self._consistent_hash().owners
        return [identity.partition(".")[0] for identity in owners or ()]

    def _endpoints(self) -> set[Endpoint]:
        return {(peer.address, peer.port or 0) for peer in self._world.observer.peers}

    def _expect(self, holds: bool, otherwise: str) -> None:
        if not holds:
            self._good = False
            self.problems.append(otherwise)

    def _until(self, holds: Callable[[], bool]) -> bool:
        deadline = time.monotonic() + PATIENCE
        while not holds():
            if time.monotonic() > deadline:
                return False
            time.sleep(0.02)
        return True

    def _pause(self, seconds: float) -> None:
        time.sleep(seconds * self._scale)


def demo(
    plain: Annotated[
        bool, typer.Option("--plain", help="Print lines instead of drawing, as without a terminal.")
    ] = False,
    scale: Annotated[
        float, typer.Option(metavar="X", min=0, callback=finite, help="Pauses X times as long; 0.1 is hasty.")
    ] = 1.0,
    one_address: Annotated[bool, typer.Option("--one-address", help="All pods on 127.0.0.1, a port each.")] = False,
) -> None:
    """A headless service with three real HTTP servers as pods on this machine, watched live.

    Pods come, go and restart, and DNS fails; ends by itself within 20 seconds. The exit code is 0 only if all was as it
    should be.
    """
    console = Console(highlight=False)
    live = can_draw(console) and not plain
    try:
        problems = _run(console, live=live, scale=scale, one_address=one_address)
    except KeyboardInterrupt:
        raise typer.Exit(Code.INTERRUPTED) from None
    raise typer.Exit(Code.FINDING if problems else Code.PEERS)


def _run(console: Console, *, live: bool, scale: float, one_address: bool) -> list[str]:
    """What was not as it should be."""
    hasty = scale < 1  # DNS counts TTLs in whole seconds; with TTL 0 the library asks every min_ttl
    with ExitStack() as stack:
        cluster = stack.enter_context(Cluster(3, ttl=0 if hasty else 1, one_address=one_address))
        service = HeadlessService(
            cluster.name,
            port=PORT_NAME,
            nameservers=[cluster.dns.nameserver],
            timeout=max(0.5, scale) if hasty else 1.0,
            min_ttl=scale if hasty else 1.0,
            retry_wait=wait_random(0.1, 0.5),
        )
        observer, spreads, traffic = Observer(), Spreads(KEYS), Traffic(service)
        world = World(cluster, service, observer, traffic, spreads, ACTS)
        view = View(console, world, live=live)
        observer.told = view.changed
        stack.enter_context(service)
        service.watch(observer)
        story = Story(world, view, scale)
        with traffic, _live(console, view) if live else nullcontext():
            story.run()
        view.summary(story.problems)
    return story.problems


def _live(console: Console, view: View) -> Live:
    return Live(console=console, get_renderable=view.frame, screen=True, refresh_per_second=10)
