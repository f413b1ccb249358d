"""Checks of servers: do they answer, do they know the zone, do they agree, are they quick."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

from ...servers import ATTEMPTS
from ...target import Server
from .evidence import Asked, Evidence, members
from .finding import Finding, Level

LATE = ATTEMPTS[0]  # seconds after which the library asks again


def silent(e: Evidence) -> Iterator[Finding]:
    """Servers that say nothing, by whatever way."""
    absent = [server for server in e.conf.servers if server not in e.answering]
    if not absent:
        return
    everyone = not e.answering
    level: Level = "problem" if everyone else "warning"
    first = e.conf.servers[0] in absent
    if everyone:
        what = f"no DNS server answers: {_listed(absent)}"
    else:
        what = f"{_say(absent, 'does', 'do')} not answer, {_say(e.answering, 'does', 'do')}"
    yield Finding(
        "server-silent",
        level,
        what,
        "Nothing came back, whichever way it was asked."
        + (f" The first server is tried first: lookups begin with a wait of {ATTEMPTS[0]:g} s." if first else ""),
        (
            "Is it running? kubectl get pods -n kube-system -l k8s-app=kube-dns",
            "A NetworkPolicy has to let port 53 through, UDP and TCP, to kube-system (and to a node-local cache)",
            "Is the address right? It is the cluster IP of the Service kube-dns: kubectl get service -n kube-system",
        ),
        tuple(_one_a_way(asked for server in absent for asked in e.asked if asked.server == server)),
    )


def _listed(servers: Iterable[Server]) -> str:
    return ", ".join(map(str, servers))


def _say(servers: Collection[Server], one: str, several: str) -> str:
    return f"{_listed(servers)} {one if len(servers) == 1 else several}"


def _one_a_way(asked: Iterator[Asked]) -> list[Asked]:
    return list({(one.server, one.tcp, one.edns): one for one in asked}.values())


def failing(e: Evidence) -> Iterator[Finding]:
    """Servers that answer with a failure, and lame ones."""
    good = [server for server in e.answering if any(not asked.trouble for asked in _main(e, server))]
    bad = {server: asked for server in e.answering if server not in good and (asked := _failure(e, server))}
    for server, asked in bad.items():
        level: Level = "warning" if good else "problem"
        assert asked.message is not None
        if "lame" in asked.trouble:
            yield Finding(
                "server-lame",
                level,
                f"{server} is no resolver for {asked.name}: it {asked.trouble}",
                "It neither has the zone nor asks those who have it (RFC 2308, 2.2.1).",
                (
                    "Take it out of resolv.conf (dnsConfig.nameservers of the pod), or nameservers=",
                    "If it should have the zone: does its configuration load?",
                ),
                (asked,),
            )
        elif asked.rcode == "SERVFAIL" and asked.message.soa is not None:
            yield Finding(
                "server-fails",
                level,
                f"{server} fails (SERVFAIL with the zone's SOA): CoreDNS has not heard from the Kubernetes API yet",
                "CoreDNS answers so until it has synchronised with the API server.",
                (
                    "Wait some seconds and try again",
                    "If it lasts: kubectl logs -n kube-system -l k8s-app=kube-dns; can it reach the API server?",
                ),
                (asked,),
            )
        else:
            yield Finding(
                "server-fails",
                level,
                f"{server} {asked.trouble} to {asked.name} {asked.type_name}",
                {
                    "SERVFAIL": "The server cannot get the answer from those whom it asks in turn.",
                    "REFUSED": "The server is not responsible for this zone, and does not ask others for this client.",
                }.get(asked.rcode or "", "The server did not understand the question, or does not want it."),
                {
                    "SERVFAIL": ("kubectl logs -n kube-system -l k8s-app=kube-dns; `forward` in the Corefile",),
                    "REFUSED": (
                        "Is the name whole, and is it this server that has it?",
                        "The cluster's DNS server: nameservers=['10.96.0.10']",
                    ),
                }.get(asked.rcode or "", ("Ask another server: nameservers=",)),
                (asked,),
            )


def _main(e: Evidence, server: Server) -> list[Asked]:
    return [asked for name in {e.qname, e.name} for asked in e.about(name, server=server)]


def _failure(e: Evidence, server: Server) -> Asked | None:
    return next((asked for asked in _main(e, server) if asked.message is not None and asked.trouble), None)


def udp(e: Evidence) -> Iterator[Finding]:
    """A server that speaks by TCP only."""
    if e.settings.tcp == "always":
        return
    for server in e.answering:
        mine = [asked for asked in e.asked if asked.server == server]
        if any(asked.message is not None for asked in mine if not asked.tcp):
            continue
        yield Finding(
            "udp-blocked",
            "problem",
            f"{server} answers by TCP, but not by UDP",
            "DNS is asked by UDP first. A firewall or NetworkPolicy lets only TCP through.",
            ("Open UDP port 53 to it", 'Or ask by TCP only: tcp="always"'),
            tuple(_one_a_way(iter(mine))),
        )


def disagree(e: Evidence) -> Iterator[Finding]:
    """Servers of resolv.conf are taken to know the same: the next one is asked only where one fails."""
    words = {server: word for server in e.answering if (word := _word(e, server)) is not None}
    have = {server: asked for server, asked in words.items() if asked.values}
    have_not = {server: asked for server, asked in words.items() if asked.negative}
    if have and have_not:
        yield Finding(
            "servers-disagree",
            "problem",
            f"{_say(have, 'has', 'have')} {e.qname}, {_say(have_not, 'says', 'say')} there is none",
            "All servers of resolv.conf have to know the same names: another one is asked where one does not answer, "
            "and its NXDOMAIN is an answer.",
            (
                f"Take {_listed(have_not)} out of resolv.conf (dnsConfig.nameservers, dnsPolicy of the "
                "pod): a server that does not know the cluster's names is no substitute for one that does",
                "Names of other domains belong into CoreDNS: `forward` in its Corefile",
            ),
            (*have.values(), *have_not.values()),
        )
        return
    whole = {server: asked for server, asked in have.items() if not asked.truncated}
    named = dict(zip(whole, members(list(whole.values())), strict=True))
    steady = len(set(members([asked for asked in e.repeats if asked.values]))) == 1
    if len(set(named.values())) > 1 and steady:
        yield Finding(
            "servers-differ",
            "warning",
            f"the servers name different peers: {', '.join(f'{s} {len(found)}' for s, found in named.items())}",
            "One of them may be behind: for the TTL after a change that is nothing unusual.",
            (
                "Try again in some seconds",
                "If it lasts: one of them does not hear from the Kubernetes API, or caches for too long",
            ),
            tuple(have.values()),
        )


def _word(e: Evidence, server: Server) -> Asked | None:
    """What a server says: TCP's whole answer before one that is cut, records before none."""
    mine = [asked for asked in e.about(e.qname, e.main, server=server) if not asked.trouble]
    return min(mine, key=lambda asked: (not asked.values, asked.truncated, asked.tcp), default=None)


def slow(e: Evidence) -> Iterator[Finding]:
    """Late answers are as bad as none: the library asks again after a second."""
    for server in e.answering:
        came = [asked for asked in e.asked if asked.server == server and asked.message is not None and not asked.tcp]
        late = [asked for asked in came if asked.seconds > LATE]
        if came and len(late) * 2 > len(came):
            slowest = max(late, key=lambda asked: asked.seconds)
            yield Finding(
                "server-slow",
                "warning",
                f"{server} takes {slowest.seconds:.1f} s for an answer",
                f"After {LATE:g} s the question is asked again, and most resolvers do the same.",
                (
                    "Is CoreDNS short of CPU? kubectl top pods -n kube-system -l k8s-app=kube-dns; more replicas",
                    "Whom does it forward to, and how long do they take?",
                ),
                (slowest,),
            )


def lossy(e: Evidence) -> Iterator[Finding]:
    """The same question, asked again and again: sometimes there is an answer and sometimes there is none."""
    lost = [asked for asked in e.repeats if asked.trouble]
    came = [asked for asked in e.repeats if not asked.trouble]
    if not lost or not came:
        return
    yield Finding(
        "questions-lost",
        "warning",
        f"{lost[0].server} had no answer to {len(lost)} of {len(e.repeats)} questions that were the same",
        "Silence is packets that get lost: a full conntrack table, its races with UDP. Failures are one of several "
        "CoreDNS pods in trouble, or too many questions for it.",
        (
            "Silence: dmesg on the node, `nf_conntrack: table full`? More room for it, or NodeLocal DNSCache",
            "Failures: kubectl get pods -n kube-system -l k8s-app=kube-dns, and their logs",
        ),
        (lost[0], came[0]),
    )


CHECKS = (silent, udp, failing, disagree, slow, lossy)
