"""`resolve`: ask now, and show all that the answer says."""

from __future__ import annotations

import signal
from contextlib import closing
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from .. import Change, DiscoveryError, PeerSet
from ..service import Heard
from ..target import Question
from .asking import Asking, asks
from .lookups import Lookups
from .mailbox import Mailbox
from .output import (
    Code,
    Glyphs,
    as_options,
    complain,
    console,
    hostname_cell,
    moment,
    peers_json,
    plain_table,
    print_json,
)


@asks
def resolve(
    asking: Asking,
    watch: Annotated[
        bool, typer.Option("--watch", "-w", help="Go on, and show the peers again whenever they change.")
    ] = False,
) -> None:
    """Ask DNS and show all peers.

    Examples:
      headless-discovery resolve headless-svc.moon --port http
      headless-discovery resolve headless-svc.moon --server 10.96.0.10 --json
      headless-discovery resolve dns://10.96.0.10/headless-svc.moon.svc.cluster.local:8080
    """
    if watch:
        _again_and_again(asking)
        return
    lookups = Lookups()
    with asking.service(lookups) as service:
        peers, complete = service.peers(), service.status.complete
    if asking.json:
        print_json(as_json(peers, lookups, complete=complete))
    else:
        show(console(), peers, lookups)
    raise typer.Exit(Code.PEERS if peers else Code.NO_PEERS)


def _again_and_again(asking: Asking) -> None:
    lookups, out = Lookups(), console()
    shown = False
    failing: set[Question] = set()
    with Mailbox[Change | Heard]() as mailbox, closing(asking.service(mailbox.put)) as service:
        service.watch(mailbox.put)
        while not isinstance(item := mailbox.get(), signal.Signals):
            if isinstance(item, Heard):
                lookups.only(item)
                if isinstance(item.result, DiscoveryError):
                    if item.question not in failing:
                        complain(item.result)
                    failing.add(item.question)
                elif item.question in failing:
                    failing.remove(item.question)
                    complain(f"DNS answers again: {item.question}")
            elif isinstance(item, Change):
                complete = service.status.complete
                if asking.json:
                    print_json(as_json(item.current, lookups, complete=complete, time=moment()), indent=None)
                else:
                    if shown:
                        out.print()
                    out.print(Text(moment(), "dim"))
                    show(out, item.current, lookups)
                shown = True
    raise typer.Exit(Code.INTERRUPTED if item is signal.SIGINT else Code.PEERS)


def as_json(peers: PeerSet, lookups: Lookups, **more: Any) -> dict[str, Any]:
    return peers_json(
        peers.target,
        peers,
        **more,
        queries=lookups.queries,
        seconds=round(lookups.seconds, 6),
        lookups=lookups.json(),
    )


def show(out: Console, peers: PeerSet, lookups: Lookups) -> None:
    """The table of peers, and below it what the lookups were."""
    if peers:
        out.print(_table(peers, lookups))
        out.print()
    glyphs = Glyphs.of(out)
    if not peers:
        out.print(Text(f"{glyphs.bad} no peers", "bold red"))
    for line in lookups.lines():
        out.print(Text(line, "dim"))
    for warning in lookups.warnings + lookups.errors:
        out.print(Text(f"{glyphs.bad} {as_options(warning)}", "yellow"))
    if not peers:
        out.print(Text(f"headless-discovery doctor {peers.target}, with the same options, says why", "dim"))
    if not lookups.heard:
        out.print(Text("nobody was asked: an address is its own answer", "dim"))


def _table(peers: PeerSet, lookups: Lookups) -> Table:
    table = plain_table()
    table.add_column("ADDRESS", no_wrap=True)
    table.add_column("PORT", no_wrap=True, justify="right")
    table.add_column("HOSTNAME")
    for name in ("PRIO", "WEIGHT", "TTL"):
        table.add_column(name, no_wrap=True, justify="right")
    for peer, ttl in zip(peers, lookups.ttls(peers), strict=True):
        port = "-" if peer.port is None else str(peer.port)
        rest = (str(peer.priority), str(peer.weight), "-" if ttl is None else str(ttl))
        table.add_row(peer.address, port, hostname_cell(peer), *rest)
    return table
