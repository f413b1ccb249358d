"""`watch`: the peers, live; and scripts that are told when they change."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from math import inf
from typing import Annotated, Any, TypeAlias

import typer
from rich.live import Live
from rich.text import Text

from .. import Change, HeadlessService, Peer, PeerSet
from ..service import Heard
from .asking import Asking, asks
from .events import Chronicle, Event
from .mailbox import Mailbox
from .output import Code, Glyphs, can_draw, console, finite, moment, print_json, silence
from .scripts import Commands, Line, Output, Ran, Scripts, Told, Unsaved
from .state import State
from .watch_view import WatchView

SCRIPTS = "Scripts"
Item: TypeAlias = Change | Heard | Told


def _seconds(least: float, text: str) -> Any:
    return typer.Option(metavar="SECONDS", min=least, callback=finite, help=text, rich_help_panel=SCRIPTS)


@asks
def watch(
    asking: Asking,
    on_change: Annotated[
        str | None,
        typer.Option(
            metavar="CMD",
            help="Run by sh whenever the peers change, and at the start if there is no --on-start.",
            rich_help_panel=SCRIPTS,
        ),
    ] = None,
    on_start: Annotated[
        str | None,
        typer.Option(
            metavar="CMD",
            help="Run by sh for the first set. Without --on-change, watch ends after it.",
            rich_help_panel=SCRIPTS,
        ),
    ] = None,
    line: Annotated[
        Line,
        typer.Option(
            help="How peers are written, one per line: 'name' is the hostname, or the address where DNS has none.",
            rich_help_panel=SCRIPTS,
        ),
    ] = "name",
    min_peers: Annotated[
        int, typer.Option(metavar="N", min=0, help="The first run waits for so many.", rich_help_panel=SCRIPTS)
    ] = 0,
    wait_for_self: Annotated[
        bool,
        typer.Option(
            "--wait-for-self",
            help="The first run waits until this pod is among them, by its host name or $POD_IP.",
            rich_help_panel=SCRIPTS,
        ),
    ] = False,
    script_timeout: Annotated[
        float | None,
        _seconds(0.001, "A run that takes longer is ended; it failed."),
    ] = None,
    grace: Annotated[
        float,
        _seconds(0, "At the end, how long the last run may take."),
    ] = 25.0,
    state: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="Remember what scripts were told, so that a restart neither repeats a run nor overlaps one.",
            rich_help_panel=SCRIPTS,
        ),
    ] = None,
) -> None:
    """Watch the peers, live; run a script when they change.

    Without a terminal it writes a line for each event, with --json an object. Scripts get the whole set on stdin and in
    $HEADLESS_PEERS. One runs at a time, for the newest set; one that fails is run again.

    Examples:
      headless-discovery watch headless-svc.moon --port http
      headless-discovery watch headless-svc.moon --port http --on-change 'cat > /etc/peers; kill -HUP 1'
      headless-discovery watch headless-svc.moon --json | jq -r .event
    """
    commands = Commands(on_start, on_change, line, script_timeout)
    if not commands and (state is not None or min_peers or wait_for_self):
        raise typer.BadParameter("--state, --min-peers and --wait-for-self say when --on-start or --on-change run")
    with Mailbox[Item]() as mailbox, closing(asking.service(mailbox.put)) as service, ExitStack() as stack:
        watching = _Watch(service, mailbox, Gate(min_peers, wait_for_self), stack, json=asking.json)
        code = watching.run(commands, state, grace)
    raise typer.Exit(code)


@dataclass(frozen=True)
class Gate:
    """What the first run waits for."""

    min_peers: int
    wait_for_self: bool

    def missing(self, peers: PeerSet) -> str | None:
        if len(peers) < self.min_peers:
            return f"{self.min_peers - len(peers)} more peers"
        if self.wait_for_self and not any(map(_is_self, peers)):
            return f"this pod, {socket.gethostname()}"
        return None


def _is_self(peer: Peer) -> bool:
    own = {text.strip() for text in f"{os.environ.get('POD_IP', '')},{os.environ.get('POD_IPS', '')}".split(",")}
    hostname = (peer.hostname or "").partition(".")[0].lower()
    return hostname == socket.gethostname().partition(".")[0].lower() or not own.isdisjoint(peer.addresses)


class _Watch:
    def __init__(
        self, service: HeadlessService, mailbox: Mailbox[Item], gate: Gate, stack: ExitStack, *, json: bool
    ) -> None:
        self._service = service
        self._mailbox = mailbox
        self._gate = gate
        self._stack = stack
        self._json = json
        self._out = console()
        self._chronicle = Chronicle(service, Glyphs.of(self._out), self._tell)
        self._scripts: Scripts | None = None
        self._offered = False
        self._view: WatchView | None = None
        if can_draw(self._out) and not json:
            self._view = WatchView(self._out, self._chronicle)
            self._live = Live(console=self._out, get_renderable=self._view.frame, screen=True, auto_refresh=False)
            with self._telling():
                stack.enter_context(self._live)

    def run(self, commands: Commands, state_file: str | None, grace: float) -> int:
        """The exit code."""
        reason: signal.Signals | None = None
        state = None
        if state_file is not None:
            try:
                state = self._stack.enter_context(closing(State(state_file, self._service.target)))
                reason = self._locked(state)
            except OSError as error:
                text = f"{error}; it needs a folder that can be written, on a file system that has locks"
                raise typer.BadParameter(text, param_hint="--state") from None
        if reason is None:
            if commands:
                self._scripts = Scripts(commands, self._mailbox.put, capture=self._view is not None, state=state)
                self._stack.callback(self._scripts.kill)
                self._offered = self._scripts.began
            self._service.watch(self._mailbox.put)
            reason = self._until_the_end(only_start=bool(commands) and commands.on_change is None)
        self._service.close()
        code = self._finish(reason, grace)
        if code == 0 and reason is signal.SIGINT:
            code = Code.INTERRUPTED
        elif code == 0 and reason is signal.SIGPIPE:
            code = Code.FINDING
        why = "on-start is done" if reason is None else reason.name
        self._chronicle.remark("end", f"ended: {why}", reason=why, exit_code=int(code))
        if self._view is not None:
            with self._telling():
                self._stack.close()
                self._view.summary(why)
        return code

    def _locked(self, state: State) -> signal.Signals | None:
        """Wait for the lock; the signal, if there was one first."""
        told = False
        while not state.lock():
            if not told:
                text = f"waiting: {state.path} belongs to another watch or a script of one"
                self._chronicle.remark("waiting", text, missing=f"the lock of {state.path}")
                told = True
            if isinstance(item := self._next(0.25), signal.Signals):
                return item
        return None

    def _until_the_end(self, *, only_start: bool) -> signal.Signals | None:
        """The signal that asks for the end; None where there is nothing more to do."""
        while not (only_start and self._scripts is not None and self._scripts.began):
            item = self._next(0.25)
            if isinstance(item, signal.Signals):
                return item
            if item is None:
                self._chronicle.look()
            else:
                self._take(item)
        return None

    def _finish(self, reason: signal.Signals | None, grace: float) -> int:
        """What was seen before the end counts: let the last run end; if it was for an older set, have one more."""
        again = self._take_all()
        scripts = self._scripts
        if scripts is None:
            return 0
        scripts.end()
        if reason is not None and not scripts.settled:
            text = f"{reason.name}: the script has {grace:g} s for the last set; another {reason.name} ends it at once"
            self._chronicle.remark("ending", text, reason=reason.name)
        deadline = time.monotonic() + grace
        if reason is signal.SIGPIPE:  # what ended the reader, such as Ctrl-C, may only now arrive
            reason, again = again or reason, None
        while not scripts.over:
            if again is not None or time.monotonic() > deadline:
                why = f"--grace {grace:g} is over" if again is None else f"{again.name} again"
                self._chronicle.remark("killed", f"{why}: the script is ended", reason=why)
                scripts.kill()
                deadline = inf
            again = None
            match item := self._next(0.1):
                case signal.SIGPIPE:
                    pass
                case signal.Signals() if reason is signal.SIGPIPE:
                    reason = item
                case signal.Signals():
                    again = item
                case None:
                    pass
                case _:
                    self._take(item)
        self._take_all()
        return 0 if scripts.settled else Code.FINDING

    def _take_all(self) -> signal.Signals | None:
        """All that is there already; the signal from outside among it."""
        found = None
        while (item := self._mailbox.get(0)) is not None:
            if isinstance(item, signal.Signals):
                found = found if item is signal.SIGPIPE else item
            else:
                self._take(item)
        return found

    def _next(self, timeout: float) -> Item | signal.Signals | None:
        item = self._mailbox.get(0)
        if item is None:
            if self._view is not None:
                with self._telling():
                    self._live.refresh()
            item = self._mailbox.get(timeout)
        return item

    def _take(self, item: Item) -> None:
        chronicle = self._chronicle
        match item:
            case Change():
                chronicle.changed(item)
                if self._scripts is not None:
                    self._offer(self._scripts, item.current)
            case Heard():
                chronicle.heard(item)
            case Ran():
                chronicle.ran_script(item)
            case Output():
                chronicle.wrote(item)
            case Unsaved():
                chronicle.warned(item.text)

    def _offer(self, scripts: Scripts, peers: PeerSet) -> None:
        missing = None if self._offered else self._gate.missing(peers)
        if missing is None:
            self._offered = True
            scripts.offer(peers)
        else:
            self._chronicle.remark("waiting", f"{scripts.next} waits for {missing}", missing=missing)

    def _tell(self, event: Event) -> None:
        with self._telling():
            if self._view is not None:
                self._view.tell(event)
            elif self._json:
                print_json(self._chronicle.json(event), indent=None)
            else:
                first, *more = event.lines
                self._out.print(Text.assemble((f"{moment()} ", "dim"), first), soft_wrap=True)
                for line in more:
                    self._out.print(Text("    ") + line, soft_wrap=True)

    @contextmanager
    def _telling(self) -> Iterator[None]:
        """Where nobody can be told any more, that asks for the end, as a signal does. It cuts off no script."""
        try:
            yield
        except (OSError, SystemExit) as error:  # rich exits where a pipe has no reader
            silence(self._out, error)
            self._mailbox.put(signal.SIGPIPE)
