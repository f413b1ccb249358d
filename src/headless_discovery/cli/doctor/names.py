"""Checks of names that exist: has the service such a port, is it headless, how many names are tried before it."""

from __future__ import annotations

from collections.abc import Iterator

from ...answer import Answer
from ...message import AAAA, SRV, A
from ..output import plural
from .evidence import Asked, Evidence
from .finding import Finding, Level, Said


def port(e: Evidence) -> Iterator[Finding]:
    """The service is there, and the port that was asked for is not."""
    negative = e.negative(e.qname, SRV)
    if e.port_name is None or not e.found or negative is None or e.positive(e.qname, SRV):
        return
    addresses = e.positive(e.name, A) or e.positive(e.name, AAAA)
    bare = e.positive(e.name, SRV)
    there = tuple(asked for asked in (bare, addresses) if asked is not None)
    protocol = e.question.prefix.rpartition(".")[2][1:]
    for other in ("tcp", "udp", "sctp"):
        if found := e.positive(f"_{e.port_name}._{other}.{e.name}", SRV):
            yield Finding(
                "port-protocol",
                "problem",
                f"port {e.port_name!r} of {e.name} is a port of {other}, not of {protocol}",
                "An SRV name has the protocol of the port in it (RFC 2782).",
                (f'Ask for it: protocol="{other}"', "Or correct `protocol:` of the port in the Service"),
                (negative, found),
            )
            return
    numbers = sorted({record.port for record in e.srv})
    if numbers:
        why = (
            f"The Service has {plural(len(numbers), 'port')} ({', '.join(map(str, numbers))}), under another name "
            "or without one. The name has to be in the Service; names in the pods do not count."
        )
    else:
        why = "The Service lists no ports at all, so it has no SRV records, only addresses."
    cures = [f"Name the port in the Service: `ports: [{{name: {e.port_name}, port: ...}}]`"]
    if len(numbers) == 1:
        cures.append('Or take it as it is: port="auto" needs no name')
    cures.append(f"Or give the number that the pods listen on: port={numbers[0] if numbers else 8080}")
    yield Finding(
        "port-not-named",
        "problem",
        f"{e.name} has no {protocol} port named {e.port_name!r}: {e.qname} does not exist",
        why,
        tuple(cures),
        (negative, *there),
    )


def ports(e: Evidence) -> Iterator[Finding]:
    """port="auto": one port is taken as it is; none, or several, leave it to the user."""
    if e.question.records != "auto" or not e.found:
        return
    bare, numbers = e.positive(e.name, SRV), sorted({record.port for record in e.srv})
    addresses = e.positive(e.qname, A) or e.positive(e.qname, AAAA)
    negative = e.negative(e.qname, SRV)
    by_target: dict[str, set[int]] = {}
    for record in e.srv:
        by_target.setdefault(record.target, set()).add(record.port)
    if bare is not None and any(len(found) > 1 for found in by_target.values()):
        listed = ", ".join(map(str, numbers))
        yield Finding(
            "several-ports",
            "problem",
            f'{e.name} has several ports ({listed}), and port="auto" cannot choose one',
            "SRV records of the bare name list each pod once for each port of the Service.",
            ('Give the port\'s name: port="http"', f"Or its number: port={numbers[0]}"),
            (bare,),
        )
    elif bare is None and negative is not None and addresses is not None:
        yield Finding(
            "no-ports",
            "warning",
            f"{e.name} lists no ports, so its peers have none and no hostnames",
            'Without `ports:` a headless Service has no SRV records; port="auto" falls back to addresses.',
            ("Add the port to the Service", "Or give its number: port=8080"),
            (negative, addresses),
        )


def zone(e: Evidence) -> Iterator[Finding]:
    """A zone-scoped name (`zone=`) without pods, while the service has some."""
    if e.question.prefix.startswith("_") or not e.question.prefix or not e.found:
        return
    negatives = [asked for asked in (e.negative(e.qname, A), e.negative(e.qname, AAAA)) if asked is not None]
    bare = e.positive(e.name)
    if bare is None or not negatives or e.positive(e.qname):
        return
    yield Finding(
        "no-zone",
        "problem",
        f"{e.name} has pods, but nobody at {e.qname}",
        "CoreDNS has zone-scoped names only with `zonal` in its Corefile (then a zone without pods is NODATA).",
        (
            "Is the zone spelled as in the nodes' label topology.kubernetes.io/zone?",
            'zone_policy="prefer" takes all pods where the zone has none',
            "Without `zonal`: leave zone= out and use the strategy Prefer",
        ),
        (*negatives[:1], bare),
    )


def headless(e: Evidence) -> Iterator[Finding]:
    """A Service with a cluster IP names itself as its only SRV target; a headless one names its pods."""
    asked = e.positive(e.name, SRV)
    if asked is None or e.name.split(".")[2:3] != ["svc"] or {record.target for record in asked.srv} != {e.name}:
        return
    address = e.positive(e.name, A) or e.positive(e.name, AAAA)
    yield Finding(
        "not-headless",
        "problem",
        f"{e.name} is not headless: DNS gives its cluster IP, not its pods",
        "The only SRV target is the Service itself, and there is one address for all pods: connections are spread by "
        "kube-proxy, out of sight.",
        (
            "Make another Service with `clusterIP: None` and the same selector; the field cannot be changed in one "
            "that exists",
        ),
        (asked, *([address] if address else [])),
    )


def search(e: Evidence) -> Iterator[Finding]:
    """Names of the search list that are tried before the one that exists; the library remembers which one that is."""
    outcome = e.looked.outcome
    if not e.found or not isinstance(outcome, Answer) or outcome.name not in e.candidates:
        return
    wasted = e.candidates[: e.candidates.index(outcome.name)]
    if not wasted:
        return
    level: Level = "note" if len(wasted) == 1 else "warning"
    tried = [asked for name in wasted for asked in list(e.about(e.under(name)))[:1]]
    names = plural(len(wasted), "other name is", "other names are")
    again = "" if e.looked.again is None else f", later ones {e.looked.again}"
    yield Finding(
        "search-list",
        level,
        f"{names} tried before {outcome.name}: the first lookup takes {e.looked.queries} queries{again}",
        f"{str(e.question)!r} has fewer than {e.conf.ndots} dots, so names are made of the search list first "
        "(ndots in resolv.conf). Programs that use the system's resolver ask all of it each time, for IPv4 and IPv6.",
        (
            f"Write the whole name, with a final dot: {outcome.name}.",
            "For other programs in the pod: dnsConfig: {options: [{name: ndots, value: '2'}]}",
        ),
        (*tried, Said(f"search {' '.join(e.conf.search)}; options ndots:{e.conf.ndots}")),
    )


def wildcard(e: Evidence) -> Iterator[Finding]:
    """A name that nobody can have made is answered: then wrong names are, too."""
    if (asked := e.positive(e.stray)) is None:
        return
    parent = e.stray.partition(".")[2]
    yield Finding(
        "wildcard",
        "warning",
        f"every name under {parent or 'the root'} exists: {asked.name} has {_shown(asked)}",
        "A wildcard record, or a DNS server that answers for names which do not exist. A misspelt name, or a name of "
        "the search list, then finds peers that are none of the service's.",
        ("Write the whole name, with a final dot", f"Remove the wildcard *.{parent}, or ask another DNS server"),
        (asked,),
    )


def _shown(asked: Asked) -> str:
    return asked.outcome.rpartition(": ")[2]


CHECKS = (port, ports, zone, headless, search, wildcard)
