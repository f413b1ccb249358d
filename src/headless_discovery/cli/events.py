"""What happens to a watched service, told as events: peers join and leave, DNS fails and is back, scripts run."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from rich.text import Text

from .. import Change, DiscoveryError, HeadlessService, Peer, PeerSet, Status
from ..model import Endpoint
from ..service import Heard
from ..target import Question
from .lookups import Lookups, milliseconds
from .output import STATES, Glyphs, as_options, moment, peer_json, peers_json, plural
from .scripts import Output, Ran

LISTED = 20  # peers of one change that get a line of their own


@dataclass(frozen=True)
class Event:
    """`kind`: peers (the first set), change, failure, answered (after failures), state, warning, script, output, end.

    `lines` are for eyes, `data` is for programs.
    """

    kind: str
    lines: list[Text]
    data: dict[str, Any]


@dataclass
class Chronicle:
    """Takes in what a service does and makes events of what is news. Knows the set, and since when each peer is in."""

    service: HeadlessService
    glyphs: Glyphs
    tell: Callable[[Event], None]
    lookups: Lookups = field(default_factory=Lookups)
    peers: PeerSet = field(default_factory=PeerSet)
    changes: int = 0
    joined: dict[Endpoint, float] = field(default_factory=dict)
    ran: Ran | None = None
    _first: bool = True
    _failing: set[Question] = field(default_factory=set)
    _warning: str | None = None
    _state: str = "starting"

    def changed(self, change: Change) -> None:
        now = time.monotonic()
        for peer in change.removed:
            self.joined.pop(peer.endpoint, None)
        for peer in change.added:
            self.joined[peer.endpoint] = now
        self.peers = change.current
        counts = [
            f"{sign}{len(peers)}" if sign else f"{len(peers)} updated"
            for sign, peers in (
                (self.glyphs.plus, change.added),
                (self.glyphs.minus, change.removed),
                ("", change.updated),
            )
            if peers
        ]
        head = Text(plural(len(change.current), "peer"), "bold")
        if self._first:
            kind = "peers"
        else:
            kind = "change"
            self.changes += 1
            head.append(f" ({', '.join(counts)})")
        self._first = False
        self.tell(
            Event(
                kind,
                [head, *self._listed(change)],
                {name: [peer_json(p) for p in getattr(change, name)] for name in ("added", "removed", "updated")},
            )
        )
        self.look()

    def _listed(self, change: Change) -> Iterator[Text]:
        signs = (
            (self.glyphs.plus, change.added, "green"),
            (self.glyphs.minus, change.removed, "red"),
            ("~", change.updated, "yellow"),
        )
        for sign, peers, style in signs:
            for peer in peers[:LISTED]:
                yield Text.assemble((f"{sign} ", style), named(peer))
            if len(peers) > LISTED:
                yield Text(f"{sign} and {len(peers) - LISTED:,} more", style)

    def heard(self, heard: Heard) -> None:
        self.lookups.only(heard)
        failed, failing = isinstance(heard.result, DiscoveryError), heard.question in self._failing
        if failed and not failing:
            self._failing.add(heard.question)
            text = as_options(str(heard.result))
            what = (
                "no answer yet"
                if self._first
                else f"DNS fails; {plural(len(self.peers), 'peer')} stay{'s' * (len(self.peers) == 1)}"
            )
            self.tell(Event("failure", [Text(f"{self.glyphs.bad} {what}: {text}", "yellow")], {"error": text}))
        elif failing and not failed:
            self._failing.remove(heard.question)
            name = str(heard.question)
            text = f"DNS answers again{f': {name}' if len(self.lookups.heard) > 1 else ''}"
            self.tell(Event("answered", [Text(f"{self.glyphs.good} {text}", "green")], {"name": name}))
        self.look()

    def look(self) -> None:
        """The news that the status has; also between lookups."""
        status = self.service.status
        warning = None if status.error is None or status.consecutive_failures else as_options(str(status.error))
        if warning is not None and warning != self._warning:
            self.warned(warning)
        self._warning = warning
        if status.state not in (self._state, "closed"):  # that it is closed is told by the end
            before, self._state = self._state, status.state
            if before != "starting":
                lines = [Text.assemble("the set is ", (status.state, STATES[status.state]), f", was {before}")]
                self.tell(Event("state", lines, {"before": before}))

    def warned(self, text: str) -> None:
        self.tell(Event("warning", [Text(f"{self.glyphs.bad} {text}", "yellow")], {"warning": text}))

    def ran_script(self, ran: Ran) -> None:
        self.ran = ran
        took = milliseconds(ran.seconds)
        if ran.well:
            line = Text(f"{self.glyphs.good} {ran.script} ran for {plural(len(ran.peers), 'peer')}, in {took}", "green")
        else:
            again = "" if ran.retry_in is None else f"; again in {ran.retry_in:.1f} s, or when the peers change"
            line = Text(f"{self.glyphs.bad} {ran.script} failed after {took}: {ran.problem}{again}", "bold red")
        data = {
            "script": ran.script,
            "command": ran.command,
            "count": len(ran.peers),
            "exit_code": ran.code,
            "seconds": round(ran.seconds, 3),
            "error": ran.problem,
        }
        self.tell(Event("script", [line], data))

    def wrote(self, output: Output) -> None:
        self.tell(Event("output", [Text(f"| {output.text}", "dim")], {"text": output.text}))

    def remark(self, kind: str, text: str, **data: Any) -> None:
        self.tell(Event(kind, [Text(text)], data))

    def json(self, event: Event) -> dict[str, Any]:
        return {
            "event": event.kind,
            "time": moment(),
            **peers_json(self.service.target, self.peers),
            **event.data,
            "status": status_json(self.service.status),
        }


def named(peer: Peer) -> str:
    return peer.netloc if peer.hostname is None else f"{peer.netloc}  {peer.hostname}"


def status_json(status: Status) -> dict[str, Any]:
    return {
        "state": status.state,
        "complete": status.complete,
        "error": None if status.error is None else str(status.error),
        "age": _rounded(status.age),
        "next_refresh_in": _rounded(status.next_refresh_in),
        "lookups": status.lookups,
        "queries": status.queries,
        "failures": status.failures,
        "consecutive_failures": status.consecutive_failures,
    }


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 3)
