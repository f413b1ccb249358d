"""What `watch` shows on a terminal: status, peers with their ages, and what happened, in one frame."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence

from rich.console import Console, Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from .. import Peer
from .events import Chronicle, Event
from .lookups import milliseconds
from .output import STATES, Glyphs, as_options, hostname_cell, plural

SIDE_BY_SIDE = 150  # columns from which on the log stands beside the peers


class WatchView:
    """`frame` is drawn again and again; `tell` takes events for the log in it."""

    def __init__(self, console: Console, chronicle: Chronicle) -> None:
        self.console = console
        self.chronicle = chronicle
        self._glyphs = Glyphs.of(console)
        self._began = time.monotonic()
        self._log: deque[Text] = deque(maxlen=200)

    def tell(self, event: Event) -> None:
        clock = Text(time.strftime("%H:%M:%S "), "dim")
        first, *more = event.lines
        if event.kind == "peers":  # they stand above
            more = []
        self._log.append(clock + first)
        self._log.extend(Text("         ") + line for line in more)

    def frame(self) -> RenderableType:
        width, height = self.console.width, self.console.height
        head = [self._title(width), *self._status(width)]
        peers = list(self.chronicle.peers)
        room = height - len(head) - 2
        beside = width >= SIDE_BY_SIDE
        if beside:
            rows = log_rows = max(2, room)
        else:
            rows = max(2, min(len(peers) + 1, (room - 2) * 3 // 5))
            log_rows = max(1, room - 2 - rows)
        peers_panel = self._panel(plural(len(peers), "peer"), self._peers(peers, rows))
        log_panel = self._panel("what happened", self._lines(log_rows))
        if not beside:
            return Group(*head, peers_panel, log_panel)
        both = Table.grid(expand=True)
        both.add_column(ratio=1)
        both.add_column(ratio=1)
        both.add_row(peers_panel, log_panel)
        return Group(*head, both)

    def summary(self, why: str) -> None:
        """What stays on the terminal."""
        chronicle, lasted = self.chronicle, time.monotonic() - self._began
        status = chronicle.service.status
        text = (
            f"watched {chronicle.service.target} for {age(lasted)}: {plural(len(chronicle.peers), 'peer')}, "
            f"{plural(chronicle.changes, 'change')}, {plural(status.queries, 'query', 'queries')}, "
            f"{status.failures} failed; ended: {why}"
        )
        self.console.print(Text(text))

    def _panel(self, title: str, content: RenderableType) -> Panel:
        return Panel(content, title=f"[bold]{title}[/]", title_align="left", border_style="dim", box=self._glyphs.box)

    def _title(self, width: int) -> Text:
        title = Text.assemble((" headless-discovery ", "bold reverse"), " ", self.chronicle.service.target)
        lasted = int(time.monotonic() - self._began)
        clock = f"{age(lasted)}, Ctrl-C ends it "
        title.append(" " * max(1, width - title.cell_len - len(clock)))
        title.append(clock, "dim")
        title.truncate(width)
        return title

    def _status(self, width: int) -> list[Text]:
        status, gap = self.chronicle.service.status, (self._glyphs.gap, "dim")
        first = Text.assemble((f" {self._glyphs.dot} {status.state}", f"bold {STATES[status.state]}"))
        if status.age is not None:
            first.append_text(Text.assemble(gap, f"answer {status.age:.1f} s old"))
        if status.next_refresh_in is not None:
            first.append_text(Text.assemble(gap, f"next in {status.next_refresh_in:.1f} s"))
        if status.age is not None and not status.complete:
            first.append_text(Text.assemble(gap, ("incomplete answers", "yellow")))
        counts = plural(self.chronicle.changes, "change"), plural(status.queries, "query", "queries")
        first.append_text(Text.assemble(gap, counts[0], gap, counts[1]))
        if status.failures:
            first.append_text(Text.assemble(gap, (f"{status.failures} failed", "yellow")))
        second = Text("   ")
        if status.error is not None:
            second.append(as_options(str(status.error)), "yellow")
        else:
            second.append("; ".join(self.chronicle.lookups.lines()), "dim")
        lines = [first, second]
        if (ran := self.chronicle.ran) is not None:
            how = (f"ran for {plural(len(ran.peers), 'peer')}", "green") if ran.well else (str(ran.problem), "bold red")
            lines.append(Text.assemble(f"   {ran.script}: ", how, f" ({milliseconds(ran.seconds)})"))
        for line in lines:
            line.truncate(width, overflow="ellipsis" if self.console.encoding.startswith("utf") else "crop")
        return lines

    def _peers(self, peers: Sequence[Peer], rows: int) -> RenderableType:
        table = Table(box=None, expand=True, padding=(0, 1, 0, 0), pad_edge=False, header_style="dim")
        table.add_column("address", no_wrap=True)
        table.add_column("hostname", ratio=1)
        table.add_column("weight", no_wrap=True, justify="right")
        table.add_column("age", no_wrap=True, justify="right")
        now = time.monotonic()
        shown = peers if len(peers) < rows else peers[: max(0, rows - 2)]
        for peer in shown:
            joined = self.chronicle.joined.get(peer.endpoint, now)
            dot = Text.assemble((f"{self._glyphs.dot} ", "green" if now - joined < 5 else "dim"), peer.netloc)
            weight = str(peer.weight) if not peer.priority else f"{peer.priority}/{peer.weight}"
            table.add_row(dot, hostname_cell(peer), weight, Text(age(now - joined), "dim"))
        if len(shown) < len(peers):
            table.add_row(Text(f"and {len(peers) - len(shown):,} more", "dim"), "", "", "")
        for _ in range(rows - 1 - len(shown) - (len(shown) < len(peers))):
            table.add_row("", "", "", "")
        return table

    def _lines(self, rows: int) -> RenderableType:
        lines = list(self._log)[-rows:]
        lines += [Text("")] * (rows - len(lines))
        for line in lines:
            line.no_wrap = True
            line.overflow = "ellipsis"
        return Group(*lines)


def age(seconds: float) -> str:
    """Short, as kubectl writes ages."""
    for size, unit in ((86400, "d"), (3600, "h"), (60, "m")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f}{unit}"
    return f"{seconds:.0f}s"
