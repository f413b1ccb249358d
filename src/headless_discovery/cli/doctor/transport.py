"""Checks of the way there and back: EDNS, truncation, TCP."""

from __future__ import annotations

from collections.abc import Iterator

from ...answer import Answer
from ...message import A
from ...servers import ATTEMPTS
from .evidence import Asked, Evidence
from .finding import Finding


def edns(e: Evidence) -> Iterator[Finding]:
    """Servers, and what stands before them, that do not bear EDNS (RFC 6891), or datagrams above 512 bytes."""
    for server in e.answering:
        asked = list(e.about(e.qname, e.main, server=server, tcp=False, edns=True))
        plain = next((one for one in e.about(e.qname, server=server, tcp=False, edns=False) if not one.trouble), None)
        if not asked or plain is None or not all(one.trouble for one in asked):
            continue
        bad = asked[-1]
        small = next((one for one in e.about(e.stray, A, server=server, edns=True) if not one.trouble), None)
        if bad.timed_out and small is not None:
            yield Finding(
                "large-answers-lost",
                "warning",
                f"{server} answers, but answers above 512 bytes do not arrive by UDP",
                f"A small answer with EDNS comes, a large one does not. Each lookup waits {ATTEMPTS[0]:g} s, and then "
                "asks without EDNS.",
                (
                    "What stands between drops fragments, or DNS above 512 bytes: look for firewalls, and for an MTU "
                    "that is too large",
                    'Ask by TCP: tcp="always"',
                ),
                (bad, small, plain),
            )
        elif bad.timed_out:
            yield Finding(
                "edns-dropped",
                "warning",
                f"{server} does not answer questions with EDNS, and does without",
                "A firewall or an old server drops what it does not know (RFC 6891). Each lookup waits "
                f"{ATTEMPTS[0]:g} s, and then asks without EDNS.",
                (
                    "Let EDNS through (`ip inspect dns`, `dns-guard` and the like), or update the server",
                    'Ask by TCP: tcp="always"',
                ),
                (bad, plain),
            )
        else:
            yield Finding(
                "edns-refused",
                "warning",
                f"{server} does not know EDNS: it {bad.trouble}",
                "Questions without EDNS are answered. Such answers have 512 bytes at most, so TCP is needed from about "
                "30 addresses or 5 SRV records on.",
                ("Update the DNS server, or the proxy before it",),
                (bad, plain),
            )


def tcp(e: Evidence) -> Iterator[Finding]:
    """Answers that do not fit into a datagram come by TCP (RFC 7766), where it is let through."""
    for server in e.answering:
        datagrams = [asked for asked in e.about(e.qname, e.main, server=server, tcp=False) if not asked.trouble]
        # What the library would ask: with EDNS where the server knows it.
        cut = [asked for asked in datagrams if asked.truncated and asked.edns == any(one.edns for one in datagrams)]
        if e.settings.tcp == "never":
            if cut:
                yield Finding(
                    "tcp-never",
                    "problem",
                    f'answers of {server} are cut off, and tcp="never" forbids to ask for the rest',
                    "A datagram has room for 73 addresses, or about 15 SRV records, with names of usual length.",
                    ('tcp="auto"',),
                    (cut[0],),
                )
            continue
        streams = list(e.about(e.qname, e.main, server=server, tcp=True))
        if not streams or not datagrams or any(not asked.trouble for asked in streams):
            continue
        if cut:
            yield Finding(
                "tcp-blocked",
                "problem",
                f"answers of {server} do not fit into UDP, and TCP does not work: peers are missing",
                "The answer by UDP is cut off (TC), and the whole one comes by TCP only (RFC 7766).",
                (
                    "Open TCP port 53 to the DNS server: in NetworkPolicies, security groups, firewalls; UDP alone "
                    "is not enough",
                    "Does the server listen on TCP, and does a proxy before it?",
                ),
                (cut[0], streams[-1]),
            )
        else:
            yield Finding(
                "tcp-closed",
                "note",
                f"{server} does not answer by TCP, which larger answers need",
                "These answers fit into UDP: that is so up to 73 addresses, or about 15 SRV records, with names of "
                "usual length.",
                ("Open TCP port 53 to the DNS server before the service grows",),
                (streams[-1],),
            )


def too_large(e: Evidence) -> Iterator[Finding]:
    """64 KiB are the end, also by TCP."""
    outcome = e.looked.outcome
    if not isinstance(outcome, Answer) or not outcome.tcp or all(part.complete for part in outcome.parts):
        return
    cut: list[Asked] = [asked for asked in e.about(e.qname, tcp=True) if asked.truncated]
    yield Finding(
        "too-large",
        "warning",
        f"{e.qname} has more records than one answer holds, also by TCP",
        "CoreDNS cuts at 64 KiB: above about 4,000 addresses each answer is a part of them, and pods that left are "
        "noticed late; above about 1,000 SRV records the same part comes each time, and other pods never join.",
        ("Split the Service in several", "Ask for addresses: port=8080 instead of a port's name"),
        tuple(cut[:2]),
    )


CHECKS = (edns, tcp, too_large)
