"""The typer application. Each command is a function in a module of its own name."""

from __future__ import annotations

from collections.abc import Callable
from inspect import cleandoc
from textwrap import dedent, indent
from typing import Annotated

import typer
from rich.markup import escape

from .. import __version__
from .demo import demo
from .doctor.command import doctor
from .pick import pick
from .resolve import resolve
from .watch import watch

app = typer.Typer(
    name="headless-discovery",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 there are peers, 1 something is wrong, 2 bad target or option, 3 nobody is there, "
    "4 the lookup failed.",
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
    """See, watch and explain the peers behind a headless service."""


def _register(command: Callable[..., None]) -> None:
    """The docstring is the help, a paragraph a line; what follows "Examples:" stands below the options, as it is."""
    text, _, examples = cleandoc(command.__doc__ or "").partition("Examples:\n")
    paragraphs = [" ".join(paragraph.split()) for paragraph in text.strip().split("\n\n")]
    epilog = f"[bold]Examples[/]\n{escape(indent(dedent(examples), '  '))}" if examples else None
    app.command(help=escape("\n\n".join(paragraphs)), epilog=epilog)(command)


for command in (resolve, watch, pick, doctor, demo):
    _register(command)
