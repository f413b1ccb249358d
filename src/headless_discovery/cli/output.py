"""What all commands say alike: exit codes, consoles, signs, JSON, errors."""

from __future__ import annotations

import errno
import json
import os
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from enum import IntEnum
from io import TextIOWrapper
from math import isfinite
from typing import Any, NamedTuple

import typer
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from .. import LookupFailed, Peer, PeerSet, TargetError

COLOURS = ("cyan", "magenta", "green", "yellow", "bright_blue", "bright_red")
STATES = {"fresh": "green", "stale": "yellow", "empty": "red", "expired": "red", "starting": "cyan", "closed": "red"}
WIDE = 10_000  # columns, where there is no terminal: a line that is read by a program is not to be broken


class Code(IntEnum):
    """Exit codes, for scripts."""

    PEERS = 0
    FINDING = 1
    BAD_TARGET = 2  # also what typer exits with after a wrong option
    NO_PEERS = 3
    LOOKUP_FAILED = 4
    INTERRUPTED = 130


class Glyphs(NamedTuple):
    """Signs, for terminals that have Unicode and for those that have not."""

    dot: str
    plus: str
    minus: str
    good: str
    bad: str
    gap: str
    fills: str
    box: box.Box

    @classmethod
    def of(cls, console: Console) -> Glyphs:
        if console.encoding.lower().startswith("utf"):
            return cls("●", "+", "−", "✓", "✗", " · ", "█▒", box.ROUNDED)
        return cls("*", "+", "-", "ok", "!!", " | ", "#=", box.ASCII)


def console(*, stderr: bool = False) -> Console:
    """Colours and a width only where there is a terminal; rich heeds NO_COLOR, FORCE_COLOR, COLUMNS and TERM.

    What a stdout without Unicode cannot have, such as the sign that a hostname was shortened, or a key, becomes "?".
    """
    if isinstance(sys.stdout, TextIOWrapper) and not sys.stdout.encoding.lower().startswith("utf"):
        sys.stdout.reconfigure(errors="replace")
    made = Console(stderr=stderr, highlight=False)
    if not made.file.isatty() and "COLUMNS" not in os.environ:
        made.width = WIDE
    return made


def can_draw(console: Console) -> bool:
    """A terminal that can do more than lines. rich takes a pipe for one where FORCE_COLOR is set: it is for colours."""
    return console.is_terminal and console.file.isatty() and not console.is_dumb_terminal


def colour(peer: Peer | None) -> str:
    """A colour that goes with the pod, not with its place in the set."""
    return "bright_black" if peer is None or peer.ordinal is None else COLOURS[peer.ordinal % len(COLOURS)]


def plural(number: int, noun: str, nouns: str | None = None) -> str:
    """`1 peer`, `1,000 peers`."""
    return f"{number:,} {noun if number == 1 else nouns or noun + 's'}"


def plain_table() -> Table:
    """Columns two spaces apart, without lines: easy on the eye, and on `awk`."""
    return Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")


def hostname_cell(peer: Peer) -> Text:
    """Of what does not fit into a table, hostnames give way first."""
    return Text(peer.hostname or "-", no_wrap=True, overflow="ellipsis")


def moment() -> str:
    """Now, in UTC, as RFC 3339 has it."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def print_json(value: Mapping[str, Any], *, indent: int | None = 2) -> None:
    """To stdout, at once. `indent=None` makes it one line."""
    sys.stdout.write(json.dumps(value, indent=indent) + "\n")
    sys.stdout.flush()


def peer_json(peer: Peer) -> dict[str, Any]:
    found: dict[str, Any] = {
        "address": peer.address,
        "port": peer.port,
        "hostname": peer.hostname,
        "priority": peer.priority,
        "weight": peer.weight,
        "identity": peer.identity,
    }
    return found | {"addresses": peer.addresses} if len(peer.addresses) > 1 else found


def peers_json(target: str, peers: PeerSet, **more: Any) -> dict[str, Any]:
    """What every `--json` object begins with, and what the command adds."""
    return {"target": target, "peers": [peer_json(peer) for peer in peers], **more}


def complain(message: object) -> None:
    """One message on stderr."""
    console(stderr=True).print(f"[bold red]headless-discovery:[/] {escape(as_options(str(message)))}", soft_wrap=True)


def finite(value: float | None) -> float | None:
    """A callback for options: `nan` is within any range."""
    if value is not None and not isfinite(value):
        raise typer.BadParameter(f"{value} is not a finite number")
    return value


def silence(console: Console, error: OSError | SystemExit) -> None:
    """What the console writes goes nowhere from now on, so that no more of it fails. Says why, to who still reads."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, console.file.fileno())
    os.close(nowhere)
    if isinstance(error, OSError) and error.errno not in (errno.EPIPE, errno.EIO):  # the reader or terminal is gone
        with suppress(OSError, SystemExit):
            complain(f"stdout cannot be written: {error.strerror}")


@contextmanager
def told(target: str, *, json: bool) -> Iterator[None]:
    """The library's errors become a message, with `json` also an object with `error` on stdout, and an exit code."""
    try:
        yield
    except (TargetError, LookupFailed) as error:
        if json:
            print_json(peers_json(target, PeerSet(), error=as_options(str(error))))
        complain(error)
        raise typer.Exit(Code.BAD_TARGET if isinstance(error, TargetError) else Code.LOOKUP_FAILED) from None


_OPTION_OF = {"nameservers": "server", "allow_networks": "allow-network"}
_KEYWORD = re.compile(
    r"\b(port|protocol|family|zone_policy|zone|nameservers|resolv_conf|tcp|timeout|answers|allow_networks|max_peers"
    r"|min_ttl|max_ttl|empty_grace|max_stale|exclude_self)=(?:'([^']*)'|\"([^\"]*)\"|([\w.]+))?"
)


def as_options(message: str) -> str:
    """The library speaks of keyword arguments: `port='http'` is `--port http` here."""

    def option(found: re.Match[str]) -> str:
        name = _OPTION_OF.get(found[1], found[1].replace("_", "-"))
        value = next((value for value in found.groups()[1:] if value is not None), None)
        return f"--{name}" if value is None else f"--{name} {value or repr(value)}"

    return _KEYWORD.sub(option, message)
