"""`pick`: who would get what, by each strategy, and what moves when the service is scaled."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import track
from rich.table import Table
from rich.text import Text

from .. import Peer
from ..balance.registry import BY_NAME
from .asking import Asking, asks
from .output import (
    Code,
    Glyphs,
    as_options,
    colour,
    console,
    hostname_cell,
    peers_json,
    plain_table,
    plural,
    print_json,
)
from .plot import drawing
from .simulate import Step, needed, steps
from .spread import Spread, Spreads

PICKING = "Whom to pick"
MANY_PEERS = 40  # of more, the table shows the two ends
MANY_KEYS = 100_000  # so many take their time
MOST_KEYS = 10_000_000


def _strategies(incomplete: str) -> list[str]:
    return [name for name in ("all", *BY_NAME) if name.startswith(incomplete)]


@asks
def pick(
    asking: Asking,
    strategy: Annotated[
        list[str] | None,
        typer.Option(
            "--strategy",
            "-S",
            metavar="NAME",
            help=f"One of {', '.join(BY_NAME)}, or all; repeat it to compare. Without it consistent_hash.",
            rich_help_panel=PICKING,
            autocompletion=_strategies,
        ),
    ] = None,
    keys: Annotated[
        str,
        typer.Option(
            metavar="N|FILE",
            help="So many keys, key-0, key-1, ...; or a file with a key on each line, '-' for stdin.",
            rich_help_panel=PICKING,
        ),
    ] = "10000",
    key: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY", help="Who has this key? Repeat it for more.", rich_help_panel=PICKING),
    ] = None,
    each: Annotated[
        bool, typer.Option("--each", help="Write every key with its peer.", rich_help_panel=PICKING)
    ] = False,
    simulate: Annotated[
        str | None,
        typer.Option(
            metavar="STEPS",
            help="How many keys move? 'scale 3 10', 'restart 1', 'leave 2', several between commas.",
            rich_help_panel=PICKING,
        ),
    ] = None,
    plot: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Draw it: .svg, .png or .pdf (needs matplotlib).", rich_help_panel=PICKING),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(
            metavar="N", help="For strategies that draw at random: the same each time.", rich_help_panel=PICKING
        ),
    ] = None,
) -> None:
    """Show which peer gets which key, and how evenly.

    Examples:
      headless-discovery pick headless-svc.moon --port http --strategy rendezvous --keys 10000
      headless-discovery pick headless-svc.moon --port http --key user-1 --key user-2
      headless-discovery pick headless-svc.moon --port http --simulate 'scale 3 10'
    """
    names = _names(strategy, simulating=simulate is not None)
    chosen = _utf8(key, "--key") if key else _keys(keys)
    draw = None if plot is None else drawing(plot)
    with asking.service() as service:
        peers = service.peers()
    out = console()
    if not peers:
        if asking.json:
            print_json(peers_json(service.target, peers, keys=len(chosen), strategies=[]))
        else:
            out.print(Text(f"{Glyphs.of(out).bad} no peers", "bold red"))
        raise typer.Exit(Code.NO_PEERS)
    try:
        sets = [Step("", peers)] if simulate is None else steps(simulate, peers)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--simulate") from None
    spreads = Spreads(chosen, names, in_flight=16 if simulate is None else 0, seed=seed, follow=_follow)
    found = []
    for step in sets:
        spreads.update(step.peers)
        found.append(spreads.all)
    if not spreads.all:
        raise typer.BadParameter("; ".join(spreads.cannot.values()), param_hint="--strategy")
    if asking.json:
        more = _json(chosen, sets, found, each=each or bool(key))
        print_json(peers_json(service.target, peers, **more, cannot=spreads.cannot))
    elif simulate is not None:
        _show_moves(out, len(chosen), sets, found)
    elif each or key:
        _show_each(out, chosen, found[0])
    else:
        _show_shares(out, len(chosen), found[0])
    if not asking.json:
        for name, why in spreads.cannot.items():
            out.print(Text(f"{Glyphs.of(out).bad} {name}: {as_options(why)}", "yellow"))
    if draw is not None:
        draw(sets, found)


def _names(given: Sequence[str] | None, *, simulating: bool) -> list[str]:
    names = given or (["all"] if simulating else ["consistent_hash"])
    for name in names:
        if name not in ("all", *BY_NAME):
            raise typer.BadParameter(
                f"no strategy {name!r}; there are: all, {', '.join(BY_NAME)}", param_hint="--strategy"
            )
    return list(BY_NAME) if "all" in names else list(dict.fromkeys(names))


def _keys(text: str) -> list[str]:
    if text.isdecimal():
        if not 0 < int(text) <= MOST_KEYS:
            raise typer.BadParameter(f"from 1 to {MOST_KEYS:,} keys", param_hint="--keys")
        return [f"key-{number}" for number in range(int(text))]
    try:
        written = sys.stdin.read() if text == "-" else Path(text).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise typer.BadParameter(
            f"neither a number nor a file with a key on each line: {error}", param_hint="--keys"
        ) from None
    keys = [line for line in written.splitlines() if line]
    if not keys:
        raise typer.BadParameter(f"there are no keys in {text}", param_hint="--keys")
    return _utf8(keys, "--keys")


def _utf8(keys: list[str], option: str) -> list[str]:
    """What is not UTF-8 comes from arguments and stdin as lone surrogates (PEP 383); keys are hashed as UTF-8."""
    for key in keys:
        try:
            key.encode()
        except UnicodeEncodeError:
            raise typer.BadParameter(f"{key!a} is not UTF-8, and keys are hashed as such", param_hint=option) from None
    return keys


def _follow(keys: Sequence[str], strategy: str) -> Iterable[str]:
    """Progress, where it takes a while and somebody watches."""
    err = console(stderr=True)
    if len(keys) < MANY_KEYS or not err.is_terminal:
        return keys
    return track(keys, f"{strategy:15}", console=err, transient=True)


def _json(keys: Sequence[str], sets: Sequence[Step], found: Sequence[list[Spread]], *, each: bool) -> dict[str, Any]:
    told: dict[str, Any] = {
        "keys": len(keys),
        "strategies": [
            {
                "strategy": spread.strategy,
                "by_key": spread.by_key,
                "busiest": round(spread.peak, 4),
                "idlest": round(spread.low, 4),
                "counts": {peer.identity: picks for peer, picks in sorted(spread.picks.items())},
            }
            for spread in found[0]
        ],
    }
    if each:
        told["picks"] = {
            key: {spread.strategy: spread.chosen[place] for spread in found[0]} for place, key in enumerate(keys)
        }
    if len(sets) > 1:
        told["steps"] = [
            {
                "step": after.title,
                "before": len(before.peers),
                "after": len(after.peers),
                "needed": round(needed(before.peers, after.peers), 4),
                "strategies": [
                    {
                        "strategy": spread.strategy,
                        "by_key": spread.by_key,
                        "moved": _rounded(spread.moved),
                        "between_those_that_stayed": _rounded(spread.strayed),
                        "busiest": round(spread.peak, 4),
                    }
                    for spread in spreads
                ],
            }
            for before, after, spreads in zip(sets, sets[1:], found[1:], strict=False)
        ]
    return told


def _rounded(share: float | None) -> float | None:
    return None if share is None else round(share, 4)


# For eyes.


def _show_shares(out: Console, keys: int, spreads: Sequence[Spread]) -> None:
    for number, spread in enumerate(spreads):
        if number:
            out.print()
        out.print(
            Text.assemble(
                (spread.strategy, "bold"),
                f": {plural(keys, 'key')} over {plural(len(spread.picks), 'peer')}",
                "" if spread.by_key else ", not by key",
                f"; busiest / mean {spread.peak:.2f}, idlest {spread.low:.2f}",
            )
        )
        out.print(_histogram(out, keys, spread))


def _histogram(out: Console, keys: int, spread: Spread) -> Table:
    glyphs = Glyphs.of(out)
    table = plain_table()
    table.add_column("PEER")
    for name in ("KEYS", "SHARE"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    rows: list[tuple[Peer, int] | None] = [*sorted(spread.picks.items())]
    if len(rows) > MANY_PEERS:
        ranked = spread.picks.most_common()
        rows = [*ranked[: MANY_PEERS // 2], None, *ranked[-5:]]
    width = max(8, min(40, out.width - 24 - max(len(_short(row[0])) for row in rows if row)))
    most = max(spread.picks.values())
    for row in rows:
        if row is None:
            table.add_row(Text(f"and {len(spread.picks) - MANY_PEERS // 2 - 5:,} more", "dim"), "", "", "")
            continue
        peer, picks = row
        label = Text(_short(peer), no_wrap=True, overflow="ellipsis")
        bar = Text(glyphs.fills[0] * round(picks / most * width), colour(peer))
        table.add_row(label, f"{picks:,}", f"{picks / keys:.1%}", bar)
    return table


def _short(peer: Peer) -> str:
    return peer.netloc if peer.identity == peer.netloc else f"{peer.identity.partition('.')[0]} {peer.netloc}"


def _show_each(out: Console, keys: Sequence[str], spreads: Sequence[Spread]) -> None:
    table = plain_table()
    table.add_column("KEY", no_wrap=True)
    if len(spreads) > 1:
        table.add_column("STRATEGY", no_wrap=True)
    table.add_column("ADDRESS", no_wrap=True)
    table.add_column("HOSTNAME")
    peers = {peer.identity: peer for peer in spreads[0].picks}
    for place, key in enumerate(keys):
        for spread in spreads:
            peer = peers[spread.chosen[place]]
            which = [spread.strategy] if len(spreads) > 1 else []
            table.add_row(Text(key), *which, Text(peer.netloc, colour(peer)), hostname_cell(peer))
    out.print(table)


def _show_moves(out: Console, keys: int, sets: Sequence[Step], found: Sequence[list[Spread]]) -> None:
    for number, (before, after, spreads) in enumerate(zip(sets, sets[1:], found[1:], strict=False)):
        if number:
            out.print()
        out.print(
            Text.assemble(
                (after.title, "bold"),
                f": of {plural(keys, 'key')}, {needed(before.peers, after.peers):.1%} have to move for even shares",
            )
        )
        table = plain_table()
        table.add_column("STRATEGY", no_wrap=True)
        for name in ("MOVED", "IN VAIN", "BUSIEST / MEAN"):
            table.add_column(name, justify="right", no_wrap=True)
        for spread in spreads:
            if spread.moved is None or spread.strayed is None:
                table.add_row(spread.strategy, Text("not by key", "dim"), "", f"{spread.peak:.2f}")
            else:
                style = "" if not spread.strayed else "yellow"
                table.add_row(
                    spread.strategy, f"{spread.moved:.1%}", Text(f"{spread.strayed:.1%}", style), f"{spread.peak:.2f}"
                )
        out.print(table)
    out.print(Text("in vain: from one peer that stayed to another", "dim"))
