"""The typer application. Each command is a function in a module of its own name."""

from __future__ import annotations

from typing import Annotated

import typer

from .. import __version__
from .demo import demo
from .pick import pick
from .resolve import resolve
from .watch import watch

app = typer.Typer(
    name="headless-discovery",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        print(f"headless-discovery {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """See, watch and explain the peers behind a headless service, by DNS alone.

    Exit codes: 0 there are peers, 1 doctor has a finding, 2 bad target or option, 3 there are no peers, 4 the lookup
    failed.
    """


for command in (resolve, watch, pick, demo):
    app.command()(command)
