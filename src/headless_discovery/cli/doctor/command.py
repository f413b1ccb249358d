"""The command `doctor`."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from ..asking import Asking, asks
from ..output import Code, console, print_json
from .gather import examine
from .report import as_json, healthy, show


@asks
def doctor(
    asking: Asking,
    connect: Annotated[
        bool, typer.Option("--connect", help="Also connect to each peer by TCP, and close at once.")
    ] = False,
) -> None:
    """Find out what is wrong with a service's DNS, and what to change.

    Asks every DNS server for every name the target may stand for, by UDP with and without EDNS, and by TCP.

    Exit codes: 0 nothing is wrong, or notes only; 1 a problem or a warning; 2 bad target or option; 4 nobody to ask.

    Examples:
      headless-discovery doctor headless-svc.moon --port http
      headless-discovery doctor headless-svc.moon.svc.cluster.local -p 8080 --connect
      headless-discovery doctor headless-svc.moon -p http --json | jq -r '.findings[].code'
    """
    service = asking.service()._service  # never started: for what it makes of the options
    target, settings, excluded = service.target, service.settings, asking.exclude_self
    with console(stderr=True).status("asking") as status:
        diagnoses = asyncio.run(examine(target, settings, exclude_self=excluded, connect=connect, told=status.update))
    if asking.json:
        print_json(as_json(target.text, diagnoses))
    else:
        show(console(), diagnoses)
    raise typer.Exit(Code.PEERS if healthy(diagnoses) else Code.FINDING)
