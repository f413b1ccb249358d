"""Checks of what answers say: how long they last, whether they are whole, which family, which hostnames and ports."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from ...answer import Answer
from ...message import AAAA, SRV, A
from ...model import address_in_label, address_text
from ...target import Server
from ...transport import own_addresses
from ..output import plural
from .evidence import Asked, Evidence, members
from .finding import Finding

LONG = 30  # seconds: the library's default max_ttl, and six times what CoreDNS gives


def ttl(e: Evidence) -> Iterator[Finding]:
    """TTL 0 asks for ever new questions, a long one keeps what is over."""
    answers = [asked for asked in e.repeats if asked.rrset is not None]
    ttls = [asked.rrset.ttl for asked in answers if asked.rrset is not None]
    if not ttls:
        return
    if max(ttls) == 0:  # all of them: a cache may count down to 0
        yield Finding(
            "ttl-zero",
            "warning",
            f"the TTL of {answers[0].name} is 0: nothing may be remembered",
            f"The library asks again every min_ttl={e.settings.min_ttl:g} s; other programs ask for each connection.",
            ("CoreDNS: `ttl 5` in its block `kubernetes`", "Is there a `rewrite`, or a cache that sets TTLs to 0?"),
            (answers[0],),
        )
    elif max(ttls) > LONG:
        longest = max(answers, key=lambda asked: asked.rrset.ttl if asked.rrset else 0)
        yield Finding(
            "ttl-long",
            "warning",
            f"the TTL of {longest.name} is {max(ttls)} s: DNS servers on the way go on naming pods that are gone",
            f"The library asks again after max_ttl={e.settings.max_ttl:g} s at the latest, but caches between it and "
            "the cluster may answer with the same for the whole TTL.",
            ("CoreDNS: `ttl 5` in its block `kubernetes`, and `cache 5`",),
            (longest,),
        )


def negative(e: Evidence) -> Iterator[Finding]:
    """How long "nobody is there" is remembered by caches: a pod that becomes ready stays unseen for so long."""
    negatives = [asked for asked in e.asked if asked.negative and asked.name in (e.stray, e.qname, e.name)]
    kept = [(min(asked.message.soa), asked) for asked in negatives if asked.message and asked.message.soa]
    seconds, longest = max(kept, key=lambda pair: pair[0], default=(0, None))
    if longest is not None and seconds > LONG:
        yield Finding(
            "negative-ttl",
            "warning",
            f"that a name does not exist is remembered for {seconds} s: the first ready pod is seen so late",
            "Caches keep NXDOMAIN and NODATA for the smaller of the SOA's TTL and its MINIMUM (RFC 2308, 5). Who asks "
            "too early, or while a rollout has no ready pod, waits for it. The library itself asks again within 10 s.",
            (
                "CoreDNS: `cache { denial 9984 5 }` keeps it for 5 s at most",
                "Other servers: a smaller MINIMUM in the SOA of the zone",
            ),
            (longest,),
        )
    elif bare := [asked for asked in negatives if asked.message and asked.message.soa is None]:
        yield Finding(
            "negative-without-soa",
            "note",
            f"{bare[0].server} says that names do not exist without an SOA record",
            "RFC 2308 wants it. Without it the library believes that nobody is there only after a while "
            f"(empty_grace={e.settings.empty_grace:g} s, 30 s at least).",
            ("Another DNS server, or one without the proxy in between",),
            (bare[0],),
        )


def samples(e: Evidence) -> Iterator[Finding]:
    """Answers that differ each time without being cut: samples, or replicas of which one is behind."""
    whole = [asked for asked in e.repeats if asked.values and not asked.truncated]
    draws = members(whole)
    kinds = list(dict.fromkeys(draws))
    sizes = sorted(set(map(len, draws)))
    everybody = frozenset().union(*draws)
    if len(kinds) > 2 and len(sizes) == 1:
        if e.settings.answers == "sample":
            return
        yield Finding(
            "samples",
            "problem",
            f"each answer has only some of the peers: {sizes[0]} of {len(everybody)} or more",
            f"{len(draws)} answers to the same question named {len(kinds)} different sets of one size, none of them "
            "marked as cut off (TC). Consul does so over UDP, AWS Cloud Map always.",
            (
                'answers="sample": a peer stays until it was not seen for a minute',
                'Consul gives all of them by TCP: tcp="always"; or set `dns_config.udp_answer_limit`',
            ),
            tuple(whole[:3]),
        )
    elif len(kinds) > 1 and _back_and_forth(draws):
        counts = f"{sizes[0]} and {sizes[-1]} peers" if len(sizes) > 1 else f"several sets of {sizes[0]} peers"
        yield Finding(
            "replicas-differ",
            "warning",
            f"answers of {whole[0].server} alternate between {counts}",
            "Several DNS servers share this address, and one of them is behind. After a change that is so for the TTL.",
            (
                "Try again in some seconds",
                "If it lasts: the logs of each CoreDNS pod, kubectl logs -n kube-system -l k8s-app=kube-dns --prefix",
            ),
            tuple(whole[draws.index(kind)] for kind in kinds[:3]),
        )


def _back_and_forth(draws: list[frozenset[Any]]) -> bool:
    """A change in the middle happens once; what comes back was never gone."""
    return sum(before != after for before, after in pairwise(draws)) > 1


def family(e: Evidence) -> Iterator[Finding]:
    """IPv6 only, where IPv4 is asked for or IPv6 leads nowhere; and the other way round."""
    name = e.name if e.port_name else e.qname
    ipv4, ipv6 = e.positive(name, A), e.positive(name, AAAA)
    if ipv6 is not None and ipv4 is None and (no_ipv4 := e.negative(name, A)):
        address = address_text(ipv6.values[0])
        proof = (no_ipv4, ipv6)
        if e.settings.family == "ipv4":
            yield Finding(
                "ipv6-only",
                "problem",
                f'{name} has IPv6 addresses only, and family="ipv4" takes none of them',
                "There are AAAA records and no A records.",
                ('family="auto", or "ipv6"',),
                proof,
            )
        elif not own_addresses([Server(address, 53)]):
            yield Finding(
                "ipv6-only",
                "problem",
                f"{name} has IPv6 addresses only, and this host has no way to {address}",
                "There are AAAA records and no A records, and no route for IPv6 here.",
                ("Give the cluster IPv6 everywhere (dual stack), or the Service IPv4: ipFamilies: [IPv4]",),
                proof,
            )
        else:
            yield Finding(
                "ipv6-only",
                "note",
                f"{name} has IPv6 addresses only",
                "The library asks for them where there is no IPv4. Addresses with a port are written in brackets, as "
                "peer.netloc and peer.url() do.",
                ('family="ipv6" saves the question for IPv4',),
                proof,
            )
    elif ipv4 is not None and ipv6 is None and e.settings.family == "ipv6" and (no_ipv6 := e.negative(name, AAAA)):
        yield Finding(
            "ipv4-only",
            "problem",
            f'{name} has IPv4 addresses only, and family="ipv6" takes none of them',
            "There are A records and no AAAA records.",
            ('family="auto", or "ipv4"',),
            (no_ipv6, ipv4),
        )


def identity(e: Evidence) -> Iterator[Finding]:
    """Hashing strategies know a pod again by its hostname; an address is new after each restart."""
    bare = e.positive(e.name, SRV)
    if bare is None or (targets := {record.target for record in bare.srv}) == {e.name}:
        return
    named = sorted(target for target in targets if address_in_label(target) is None)
    if e.question.records == "addresses" and named:
        yield Finding(
            "identity-is-address",
            "note",
            f"peers are known by their addresses, though DNS has names for them, such as {named[0]}",
            "With port= a number, only addresses are asked for. consistent_hash and the like then hash addresses, and "
            "a pod that restarts with a new one gets other keys.",
            ('port="auto", or the port\'s name: hostnames come with SRV records',),
            (bare,),
        )
    elif e.question.records != "addresses" and not named:
        yield Finding(
            "identity-is-address",
            "note",
            "pods have no hostnames of their own: hashing strategies know them by their addresses",
            "That is so for a Deployment; also for a StatefulSet whose `serviceName` is another Service. A pod that "
            "restarts with a new address gets other keys.",
            (
                "If keys shall stay: a StatefulSet, and its `serviceName` the name of this Service",
                "Else there is nothing to do",
            ),
            (bare,),
        )


def shared(e: Evidence) -> Iterator[Finding]:
    """A hostname of several peers identifies none of them."""
    names = [name for name, count in Counter(peer.hostname for peer in e.looked.peers).items() if name and count > 1]
    if names:
        yield Finding(
            "hostname-shared",
            "warning",
            f"{plural(len(names), 'hostname belongs', 'hostnames belong')} to several peers, such as {names[0]}: they "
            "are known by their addresses",
            "A name that two have identifies neither: two StatefulSets of one name behind the Service, or several "
            "addresses under one name.",
            ("One Service for each StatefulSet",),
            tuple(asked for asked in [e.positive(e.qname, SRV)] if asked),
        )


def port(e: Evidence) -> Iterator[Finding]:
    """A headless Service does not translate ports: what counts is where the pods listen."""
    number = e.question.port
    if number is None or not (numbers := sorted({record.port for record in e.srv})) or number in numbers:
        return
    if {record.target for record in e.srv} == {e.name}:
        return  # not headless: its port is the Service's
    if e.connections and not any(connection.problem for connection in e.connections):
        return  # pods may listen on ports that the Service does not list
    listed = ", ".join(map(str, numbers))
    yield Finding(
        "port-differs",
        "warning",
        f"peers get port {number}, but DNS says that the pods listen on {listed}",
        "Behind a headless Service nobody translates `port` to `targetPort`: connections go straight to the pods.",
        (f"port={numbers[0]}", 'Or port="auto", or the port\'s name: then DNS says it'),
        tuple(asked for asked in [e.positive(e.name, SRV)] if asked),
    )


def targets(e: Evidence) -> Iterator[Finding]:
    """SRV records name hosts; one without an address is no peer."""
    outcome = e.looked.outcome
    if not isinstance(outcome, Answer):
        return
    told = {target for asked in e.about(e.qname, SRV) if asked.message for target in asked.message.glue}
    without = [
        key[0]
        for part in outcome.parts
        for key, detail in part.members.items()
        if isinstance(key, tuple) and detail is not None and not detail.addresses.all and key[0] not in told
    ]
    if not without:
        return
    proof: list[Asked] = [asked for asked in e.about(e.qname, SRV) if asked.srv][:1]
    yield Finding(
        "target-without-address",
        "warning",
        f"{len(without)} of the hosts that SRV records name have no address, such as {without[0]}",
        "They are no peers until they have one: their names do not exist, or the lookups of them failed.",
        (f"Ask for it: dig {without[0]}", "Records that are kept by hand: is the name spelled right?"),
        tuple(proof),
    )


def refused(e: Evidence) -> Iterator[Finding]:
    """Addresses that no peer may have: outside of allow_networks, or such as no pod has (DNS rebinding). Only what a
    lookup asks for counts: IPv6 of a service that has IPv4 may be outside of allow_networks."""
    reasons: dict[str, str] = {}
    proofs: list[Asked] = []
    usable = False
    both = e.question.records == "addresses" and e.settings.family == "any"
    size = {"ipv4": 4, "ipv6": 16}.get(e.settings.family)
    types = (A, AAAA) if both else (e.main,)
    for asked in (asked for rdtype in types for asked in e.about(e.qname, rdtype)):
        from_loopback = asked.server.address.startswith("127.") or asked.server.address == "::1"
        wanted = [packed for packed in asked.addresses if size in (None, len(packed))]
        found = [(packed, e.settings.refusal(packed, from_loopback)) for packed in wanted]
        usable = usable or any(why is None for _, why in found)
        if bad := {address_text(packed): why for packed, why in found if why is not None}:
            reasons |= bad
            proofs.append(asked)
    if not reasons:
        return
    address, why = next(iter(reasons.items()))
    listed = f"{len(reasons)} addresses are" if len(reasons) > 1 else "an address is"
    yield Finding(
        "addresses-refused",
        "warning" if usable else "problem",
        f"{listed} refused: {address} ({why})",
        "Names that lead to inner addresses are an old way in (DNS rebinding). Without allow_networks=, multicast, "
        "link-local and unspecified addresses are refused, and loopback unless the DNS server is there, too.",
        (
            "If they are right: allow_networks= with their networks",
            "If they are not: who put them into DNS? kubectl get endpointslices shows them",
        ),
        tuple(proofs[:2]),
    )


CHECKS = (ttl, negative, samples, family, identity, shared, port, targets, refused)
