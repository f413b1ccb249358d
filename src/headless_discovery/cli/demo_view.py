"""What the demo shows: one frame of everything on a terminal, lines of progress where there is none."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from rich.console import Console, Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from .. import Change, HeadlessService, Peer
from .demo_client import KEYS, Observer, Traffic
from .demo_cluster import Cluster, Endpoint
from .output import STATES, Glyphs, colour
from .spread import Spread, Spreads

TWO_COLUMNS = 88  # terminals of at least this width have peers and changes side by side
PAGE_SECONDS = 3.0  # where not all strategies fit, they take turns


class Done(NamedTuple):
    """One act that is over."""

    title: str
    seen: str
    moved: dict[str, float]  # by strategy: share of the keys that are another pod's than before
    good: bool


@dataclass
class World:
    """All that there is to show."""

    cluster: Cluster
    service: HeadlessService
    observer: Observer
    traffic: Traffic
    spreads: Spreads
    acts: int
    began: float = field(default_factory=time.monotonic)
    acted: float = 0.0
    act: int = 0
    title: str = ""
    note: str = ""
    log: deque[Text] = field(default_factory=lambda: deque(maxlen=100))
    done: list[Done] = field(default_factory=list)
    widest: list[Spread] = field(default_factory=list)  # the spreads over most pods

    @property
    def elapsed(self) -> float:
        return time.monotonic() - self.began


class View:
    """`live`: whether `frame` is shown again and again; if not, what happens is printed as it happens."""

    def __init__(self, console: Console, world: World, *, live: bool) -> None:
        self.console = console
        self.live = live
        self.glyphs = Glyphs.of(console)
        self._world = world

    # What happens.

    def act(self) -> None:
        world = self._world
        self._say(
            Text.assemble((f"{world.act}/{world.acts} {world.title}", "bold"), (f"  {world.note}", "dim")), log=False
        )

    def changed(self, change: Change) -> None:
        after = f"  after {time.monotonic() - self._world.acted:.1f} s" if change.previous else ""
        for sign, peers, style in (
            (self.glyphs.plus, change.added, "green"),
            (self.glyphs.minus, change.removed, "red"),
        ):
            for peer in peers:
                line = Text.assemble((f"{sign} ", style), (f"{_pod(peer):7}", colour(peer)), f"{peer.netloc}")
                line.append(after, "dim")
                self._say(line)

    def remark(self, text: str, style: str = "yellow") -> None:
        self._say(Text(text, style))

    def _say(self, line: Text, *, log: bool = True) -> None:
        line = Text.assemble((f"{self._world.elapsed:5.1f} s ", "dim"), line)
        if log:
            self._world.log.append(line)
        if not self.live:
            self.console.print(line, soft_wrap=True)

    # The frame.

    def frame(self) -> RenderableType:
        world, width, height = self._world, self.console.width, self.console.height
        peers = list(world.observer.peers)
        head, foot = [self._head(width), self._act(width)], self._status(width)
        strategies = len(world.spreads.all)
        spare = height - len(head) - len(foot) - 4  # two borders: changes (beside peers where there is room), shares
        rows = max(5, len(peers)) + 1
        middle: list[RenderableType]
        if width >= TWO_COLUMNS:
            rows = max(rows, min(rows + 4, spare - strategies))
            table = Table.grid(expand=True)
            table.add_column(ratio=9)
            table.add_column(ratio=11)
            table.add_row(self._panel("peers", self._peers(peers, rows)), self._panel("changes", self._log(rows)))
            middle = [table]
            room = spare - rows
        else:
            spare -= rows + 2
            shown = max(3, min(rows, spare - strategies))
            middle = [self._panel("peers", self._peers(peers, rows)), self._panel("changes", self._log(shown))]
            room = spare - shown
        if room < 1:  # what does not fit is cut off below
            return Group(*head, *foot, *middle)
        page = int(world.elapsed / PAGE_SECONDS) % -(-strategies // room) * room if strategies else 0
        spreads = self._spreads(world.spreads.all[page : page + room], width, moved=True)
        middle.append(self._panel(_spread_title(width), spreads))
        return Group(*head, *middle, *foot)

    def _panel(self, title: str, content: RenderableType) -> Panel:
        return Panel(content, title=f"[bold]{title}[/]", title_align="left", border_style="dim", box=self.glyphs.box)

    def _head(self, width: int) -> Text:
        world = self._world
        head = Text.assemble((" headless-discovery ", "bold reverse"), f" {world.cluster.name}")
        clock = f"{world.elapsed:.1f} s "
        head.append(" " * max(1, width - head.cell_len - len(clock)))
        head.append(clock, "dim")
        head.truncate(width)
        return head

    def _act(self, width: int) -> Text:
        world = self._world
        act = Text.assemble((f" {world.act}/{world.acts}  ", "dim"), (world.title, "bold"), (f"  {world.note}", "dim"))
        act.truncate(width, overflow="ellipsis" if self.console.encoding.startswith("utf") else "crop")
        return act

    def _peers(self, peers: Sequence[Peer], rows: int) -> RenderableType:
        world, served = self._world, self._world.cluster.served
        table = Table(box=None, expand=True, padding=(0, 1, 0, 0), pad_edge=False, header_style="dim")
        table.add_column("pod", no_wrap=True)
        table.add_column("address", no_wrap=True, ratio=1)
        table.add_column("served", justify="right", no_wrap=True)
        table.add_column("age", justify="right", no_wrap=True)
        now = time.monotonic()
        for peer in peers:
            endpoint: Endpoint = (peer.address, peer.port or 0)
            name = Text.assemble((f"{self.glyphs.dot} {_pod(peer)}", colour(peer)))
            age = now - world.observer.joined.get(endpoint, now)
            table.add_row(name, peer.netloc, f"{served[endpoint]:,}", Text(f"{age:.0f} s", "dim"))
        for _ in range(rows - 1 - len(peers)):
            table.add_row("", "", "", "")
        return table

    def _log(self, rows: int) -> RenderableType:
        lines = list(self._world.log)[-rows:]
        lines += [Text("")] * (rows - len(lines))
        for line in lines:
            line.no_wrap = True
            line.overflow = "crop"
        return Group(*lines)

    def _spreads(self, spreads: Sequence[Spread], width: int, *, moved: bool) -> RenderableType:
        moved = moved and width >= 60
        table = Table.grid(expand=True, padding=(0, 1, 0, 0), pad_edge=False)
        table.add_column(no_wrap=True)
        table.add_column(ratio=1, no_wrap=True)
        table.add_column(justify="right", no_wrap=True)
        if moved:
            table.add_column(justify="right", no_wrap=True)
        name_width = max((len(spread.strategy) for spread in spreads), default=0)
        room = width - 4 - name_width - 2 - 4 - (13 if moved else 0)
        for spread in spreads:
            row: list[RenderableType] = [spread.strategy, self._bar(spread, max(8, room)), f"{spread.peak:.2f}"]
            if moved:
                row.append("" if spread.moved is None else f"{spread.moved:6.1%} moved")
            table.add_row(*row)
        return table

    def _bar(self, spread: Spread, width: int) -> Text:
        """One segment a peer, as long as its share, with the pod's number in it."""
        bar = Text(no_wrap=True)
        total, at, place = sum(spread.picks.values()) or 1, 0, 0
        plain = self.console.no_color or self.console.color_system is None
        for index, (peer, picks) in enumerate(sorted(spread.picks.items())):
            at += picks
            cells, place = round(at / total * width) - place, round(at / total * width)
            label = "" if peer.ordinal is None else str(peer.ordinal)
            fill = self.glyphs.fills[index % 2] if plain else " "
            style = "" if plain else f"black on {colour(peer)}"
            bar.append(label.center(cells, fill) if cells >= len(label) else fill * cells, style)
        return bar

    def _status(self, width: int) -> list[Text]:
        world, gap = self._world, (self.glyphs.gap, "dim")
        status = world.service.status
        dns = Text.assemble(
            (f" {self.glyphs.dot} {status.state}", f"bold {STATES[status.state]}"),
            gap,
            f"answer {status.age or 0:.1f} s old",
            gap,
            f"next refresh in {status.next_refresh_in or 0:.1f} s",
            gap,
            f"DNS queries {status.queries}",
        )
        if status.consecutive_failures:
            dns.append(f"{self.glyphs.gap}{status.consecutive_failures} failed in a row", "yellow")
        traffic = Text.assemble(
            f"   requests {world.traffic.requests:,}",
            gap,
            (f"failed {world.traffic.failed}", "bold red" if world.traffic.failed else ""),
            gap,
            f"retried on another pod {world.traffic.retried}",
        )
        for line in (dns, traffic):
            line.truncate(width)
        return [dns, traffic]

    # The end.

    def summary(self, problems: Sequence[str]) -> None:
        world, width = self._world, self.console.width
        if self.live:
            self.console.print(self._head(width))
        if world.widest:
            pods = len(world.widest[0].picks)
            bars = self._spreads(world.widest, width, moved=False)
            self.console.print(self._panel(f"{len(KEYS):,} keys over {pods} pods: busiest / mean", bars))
        self.console.print(self._acts(width))
        for line in self._totals():
            self.console.print(line)
        for problem in problems:
            self.console.print(Text(f" {self.glyphs.bad} not as it should be: {problem}", "bold red"))
        if not problems:
            self.console.print(Text(f" {self.glyphs.good} all as it should be", "bold green"))

    def _acts(self, width: int) -> Table:
        hashing = [spread.strategy for spread in self._world.spreads.all if spread.owners is not None]
        hashing = hashing[: max(0, (width - 38) // 18)]
        table = Table(box=self.glyphs.box, expand=True, border_style="dim", header_style="dim", padding=(0, 1))
        table.add_column("", width=2)
        table.add_column("what happened", ratio=1, min_width=16)
        table.add_column("seen after", justify="right")
        for name in hashing:
            table.add_column(f"keys moved: {name}" if name == hashing[0] else name, justify="right", max_width=15)
        for done in self._world.done:
            mark = Text(self.glyphs.good, "green") if done.good else Text(self.glyphs.bad, "bold red")
            moved = (f"{done.moved[name]:.1%}" if name in done.moved else "" for name in hashing)
            table.add_row(mark, done.title, done.seen, *moved)
        return table

    def _totals(self) -> Iterator[Text]:
        world = self._world
        status, traffic = world.service.status, world.traffic
        yield Text.assemble(
            f" {traffic.requests:,} requests, ",
            (f"{traffic.failed} failed", "bold red" if traffic.failed else "bold"),
            f", {traffic.retried} retried on another pod",
        )
        yield Text(
            f" {world.observer.changes} changes seen, {status.queries} DNS queries, {status.failures} of them failed, "
            f"in {world.elapsed:.1f} s"
        )


def _pod(peer: Peer) -> str:
    return (peer.hostname or peer.address).partition(".")[0]


def _spread_title(width: int) -> str:
    title = f"{len(KEYS):,} keys by each strategy"
    return title if width < 60 else f"{title}: shares, busiest / mean, keys moved"
