"""The options that commands have in common, the library's own: what to ask for, whom to ask, what to believe."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import MISSING, dataclass, fields
from typing import Annotated, Any, Concatenate, Literal, ParamSpec, get_type_hints

import typer

from .. import HeadlessService
from ..options import Protocol
from ..service import Heard
from ..settings import Answers, Family, Tcp
from .output import told

P = ParamSpec("P")

WHAT = "What to ask for"
WHOM = "Whom to ask"
BELIEF = "What to believe"


@dataclass(frozen=True)
class Asking:
    """One target and how to ask for it, as written on the command line. Each field is an argument or an option."""

    target: Annotated[
        str,
        typer.Argument(
            metavar="TARGET",
            help="A name, an address, dns:///name:port, dns://server/name; several of them between commas.",
            show_default=False,
        ),
    ]
    port: Annotated[
        str | None,
        typer.Option(
            "--port",
            "-p",
            metavar="PORT",
            help="A number; a port's name, for SRV records; or 'auto', for the SRV records of the bare name.",
            rich_help_panel=WHAT,
        ),
    ] = None
    protocol: Annotated[Protocol, typer.Option(help="Of a named port.", rich_help_panel=WHAT)] = "tcp"
    family: Annotated[
        Family,
        typer.Option(help="'auto' is IPv4, and IPv6 where there is no IPv4; 'any' is both.", rich_help_panel=WHAT),
    ] = "auto"
    zone: Annotated[
        str | None,
        typer.Option(metavar="ZONE", help="Only this topology zone (CoreDNS with 'zonal').", rich_help_panel=WHAT),
    ] = None
    zone_policy: Annotated[
        Literal["prefer", "pin"],
        typer.Option(help="'prefer' is all others where the zone has none.", rich_help_panel=WHAT),
    ] = "prefer"
    exclude_self: Annotated[
        bool,
        typer.Option("--exclude-self", help="Leave out $POD_IP, or the address of this host.", rich_help_panel=WHAT),
    ] = False
    server: Annotated[
        list[str] | None,
        typer.Option(
            "--server",
            "-s",
            metavar="ADDRESS[:PORT]",
            help="A DNS server to ask; repeat it for more. Without it: those of resolv.conf.",
            rich_help_panel=WHOM,
        ),
    ] = None
    resolv_conf: Annotated[
        str | None, typer.Option(metavar="FILE", help="Instead of /etc/resolv.conf.", rich_help_panel=WHOM)
    ] = None
    hosts: Annotated[
        str,
        typer.Option(
            metavar="FILE",
            help="The hosts file, which address lookups read before they ask DNS; '' for none.",
            rich_help_panel=WHOM,
        ),
    ] = "/etc/hosts"
    tcp: Annotated[
        Tcp, typer.Option(help="'auto' is UDP first, then TCP where an answer was cut.", rich_help_panel=WHOM)
    ] = "auto"
    timeout: Annotated[
        float,
        typer.Option(
            "--timeout", "-t", metavar="SECONDS", help="For one lookup, all attempts together.", rich_help_panel=WHOM
        ),
    ] = 5.0
    min_ttl: Annotated[
        float, typer.Option(metavar="SECONDS", help="A lower TTL counts as this.", rich_help_panel=WHOM)
    ] = 1.0
    max_ttl: Annotated[
        float, typer.Option(metavar="SECONDS", help="A higher TTL counts as this.", rich_help_panel=WHOM)
    ] = 30.0
    answers: Annotated[
        Answers,
        typer.Option(
            help="'sample' where each answer names only some peers (Consul, AWS Cloud Map).", rich_help_panel=BELIEF
        ),
    ] = "all"
    empty_grace: Annotated[
        float,
        typer.Option(
            metavar="SECONDS", help="How long 'nobody is there' has to last to be believed.", rich_help_panel=BELIEF
        ),
    ] = 30.0
    max_stale: Annotated[
        float | None,
        typer.Option(
            metavar="SECONDS", help="Forget the peers after so long without an answer.", rich_help_panel=BELIEF
        ),
    ] = None
    allow_network: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NETWORK", help="Refuse addresses outside of it; repeat it for more.", rich_help_panel=BELIEF
        ),
    ] = None
    max_peers: Annotated[
        int, typer.Option(metavar="N", help="An answer with more peers fails.", rich_help_panel=BELIEF)
    ] = 10_000
    json: Annotated[bool, typer.Option("--json", help="Machine-readable output.")] = False

    def service(self, heard: Callable[[Heard], None] | None = None, **more: Any) -> HeadlessService:
        """The service that these options ask for; `more` are others of its keyword arguments. Raises `TargetError`.

        `heard` is called on the library's I/O thread after each lookup; it must not wait.
        """
        service = HeadlessService(
            self.target,
            self.port,
            protocol=self.protocol,
            family=self.family,
            zone=self.zone,
            zone_policy=self.zone_policy,
            exclude_self=self.exclude_self,
            nameservers=self.server or None,
            resolv_conf=self.resolv_conf,
            hosts=self.hosts or None,
            tcp=self.tcp,
            timeout=self.timeout,
            min_ttl=self.min_ttl,
            max_ttl=self.max_ttl,
            answers=self.answers,
            empty_grace=self.empty_grace,
            max_stale=self.max_stale,
            allow_networks=self.allow_network or None,
            max_peers=self.max_peers,
            **more,
        )
        service._service.heard = heard
        return service


def asks(command: Callable[Concatenate[Asking, P], None]) -> Callable[..., None]:
    """Make `command(asking, ...)` what typer takes: a function with all of `Asking`'s options, then the command's own.

    The library's errors end it with a message and an exit code.
    """

    def run(**given: Any) -> None:
        shared = {field.name: given.pop(field.name) for field in fields(Asking)}
        asking = Asking(**shared)
        with told(asking.target, json=asking.json):
            command(asking, **given)  # type: ignore[call-arg]

    hints = get_type_hints(Asking, include_extras=True)
    parameters = [
        inspect.Parameter(
            field.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=inspect.Parameter.empty if field.default is MISSING else field.default,
            annotation=hints[field.name],
        )
        for field in fields(Asking)
    ]
    own_hints = get_type_hints(command, include_extras=True)
    _, *own = inspect.signature(command).parameters.values()
    parameters += [
        parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY, annotation=own_hints[parameter.name])
        for parameter in own
    ]
    run.__name__, run.__doc__, run.__module__ = command.__name__, command.__doc__, command.__module__
    run.__signature__ = inspect.Signature(parameters, return_annotation=None)  # type: ignore[attr-defined]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return run
