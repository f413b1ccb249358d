"""Checks of what is not there: nobody has the name, and the first part of it that does not exist tells why."""

from __future__ import annotations

from collections.abc import Iterator

from ...errors import LookupFailed
from ...message import SRV, A
from ..output import plural
from .evidence import Asked, Evidence
from .finding import Finding, Said


def nobody(e: Evidence) -> Iterator[Finding]:
    """NXDOMAIN, or NODATA, for all that the name could be. The first that applies says the most."""
    if e.found:
        return
    if (finding := _other_domain(e)) is None and (said := _said(e)):
        finding = _no_records(e, said) or _no_namespace(e, said) or _no_parent(e, said) or _no_service(e, said)
    if finding is not None:
        yield finding


def failing(e: Evidence) -> Iterator[Finding]:
    """One of the names that are tried cannot be looked up: then whether the next ones exist is not even asked."""
    tried = e.candidates[: e.candidates.index(e.name)] if e.found else e.candidates
    for name in tried:
        asked = list(e.about(e.under(name)))
        if name == e.name or not asked or not all(one.trouble and one.message for one in asked):
            continue
        fails = isinstance(e.looked.outcome, LookupFailed)
        yield Finding(
            "name-fails",
            "problem" if fails else "warning",
            f"{asked[0].name}, one of {plural(len(e.candidates), 'name')} that are tried, cannot be looked up: "
            f"{asked[0].server} {asked[0].trouble}",
            "A failure says nothing about the name, so it ends the search: other names may exist, or nobody be there.",
            (
                "Write the whole name of the Service, with a final dot: no other is tried then",
                "Names outside of the cluster: CoreDNS asks others for them, and cannot reach them or is refused; see "
                "`forward` in the Corefile",
            ),
            (asked[0], Said(f"search {' '.join(e.conf.search)}; options ndots:{e.conf.ndots}")),
        )
        return


def _said(e: Evidence) -> list[Asked]:
    """A negative answer for each name that has one, the likeliest first; nothing where that one has none."""
    found = [e.negative(name, A) or e.negative(name) for name in dict.fromkeys([e.name, *e.candidates])]
    return [asked for asked in found if asked is not None] if found[0] is not None else []


def _parents(e: Evidence) -> list[Asked]:
    """What is said of the names above it: the longest first, each once."""
    labels = e.name.split(".")
    parents = (".".join(labels[start:]) for start in range(1, len(labels) - 1))
    said = (asked for parent in parents for asked in list(e.about(parent, A))[:1])
    return [asked for asked in said if not asked.trouble]


def _other_domain(e: Evidence) -> Finding | None:
    """The search list has `svc.` and the domain of the cluster in it. Needs no answer at all."""
    labels = e.name.split(".")
    domain = next((suffix[4:] for suffix in e.conf.search if suffix.startswith("svc.")), None)
    written = ".".join(labels[3:])
    if domain is None or labels[2:3] != ["svc"] or written == domain:
        return None
    return Finding(
        "no-such-domain",
        "problem",
        f"{e.name} is not found, and the domain of this cluster is {domain}, not {written}",
        "The search list of resolv.conf has the domain that the cluster was made with, cluster.local or another.",
        (
            f"Write {'.'.join(labels[:3])}.{domain}, or {'.'.join(labels[:2])}, which fits every cluster",
            "A name of another cluster: its domain has to be known to CoreDNS, `forward` in the Corefile",
        ),
        (*list(e.about(e.name, A))[:1], Said(f"search {' '.join(e.conf.search)}")),
    )


def _no_namespace(e: Evidence, said: list[Asked]) -> Finding | None:
    labels = e.name.split(".")
    if labels[1:2] != ["svc"]:
        return None
    return Finding(
        "no-namespace",
        "problem",
        f"{e.name} has no namespace in it",
        "The name of a Service is SERVICE.NAMESPACE.svc.DOMAIN.",
        (f"Write {labels[0]}.NAMESPACE.{'.'.join(labels[1:])}",),
        tuple(said),
    )


def _no_records(e: Evidence, said: list[Asked]) -> Finding | None:
    existing = [asked for asked in said if asked.nodata]
    if not existing:
        return None
    return Finding(
        "no-records",
        "problem",
        f"{existing[0].name} exists, but has no addresses and no ports (NODATA)",
        "The name is known to DNS, without records of these types. A namespace, or the domain of the cluster, "
        "answers so; a headless Service without ready pods does not (it is NXDOMAIN in CoreDNS).",
        (
            "Is it the name of a Service? Write SERVICE.NAMESPACE.svc.DOMAIN",
            "If it is one: kubectl get endpointslices -l kubernetes.io/service-name=SERVICE shows its endpoints",
        ),
        (*existing, *(asked for asked in e.about(e.qname, SRV) if asked.negative and asked.name != e.name)),
    )


def _no_parent(e: Evidence, said: list[Asked]) -> Finding | None:
    labels = e.name.split(".")
    parents = _parents(e)
    absent = [asked.name for asked in parents if asked.nxdomain]
    if not absent:
        return None
    if labels[2:3] == ["svc"] and absent[-1] == ".".join(labels[1:]):
        return Finding(
            "no-such-namespace",
            "problem",
            f"there is no namespace {labels[1]!r}: {absent[-1]} does not exist (NXDOMAIN)",
            "CoreDNS answers NODATA for a namespace that exists, and NXDOMAIN for one that does not.",
            (
                f"Is the namespace right? kubectl get services -A | grep {labels[0]}",
                "Does CoreDNS show only some namespaces? See `namespaces` in its Corefile",
            ),
            (*said, *parents),
        )
    return Finding(
        "no-such-domain",
        "problem",
        f"{absent[-1]} does not exist (NXDOMAIN), so nothing below it does",
        "The domain of this cluster may not be the one that was written, or these servers are not the cluster's.",
        (
            "Write the short name SERVICE.NAMESPACE: in a pod, the search list knows the domain",
            "Outside of the cluster: ask its DNS server, nameservers=['10.96.0.10']",
        ),
        (*said, *parents),
    )


def _no_service(e: Evidence, said: list[Asked]) -> Finding:
    service, space, *rest = [*e.name.split("."), "", ""]
    kubernetes = rest[:1] == ["svc"]
    within = f" -n {space}" if kubernetes else ""
    parents = _parents(e)
    cures = [
        f"No such Service? kubectl get service {service}{within}",
        f"No ready pod? kubectl get endpointslices{within} -l kubernetes.io/service-name={service} shows them; "
        "no endpoints at all: the selector matches nothing",
        "Pods that need each other before they are ready: publishNotReadyAddresses: true in the Service",
    ]
    if not kubernetes and not e.question.absolute:
        cures.append("Not in a pod? Then write the whole name: SERVICE.NAMESPACE.svc.DOMAIN")
    exists = f" Its namespace {space!r} exists." if kubernetes and parents else ""
    return Finding(
        "no-such-name",
        "problem",
        f"{e.name} does not exist (NXDOMAIN): there is no such Service, or none of its pods is ready",
        "DNS says the same in both cases: a headless Service without ready pods has no name." + exists,
        tuple(cures),
        (*said, *parents),
    )


CHECKS = (nobody, failing)
