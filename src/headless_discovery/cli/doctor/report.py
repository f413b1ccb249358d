"""All checks over all evidence, and what is shown of it: as text, and as JSON."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from rich.console import Console
from rich.text import Text

from ...errors import LookupFailed
from ...model import PeerSet
from ..output import Glyphs, peers_json, plural
from . import absence, names, peers, records, servers, transport
from .evidence import Connection, Evidence
from .finding import LEVELS, Finding

Check: TypeAlias = Callable[[Evidence], Iterator[Finding]]

CHECKS: tuple[Check, ...] = (
    *absence.CHECKS,
    *names.CHECKS,
    *servers.CHECKS,
    *transport.CHECKS,
    *records.CHECKS,
    *peers.CHECKS,
)

STYLES = {"problem": "bold red", "warning": "bold yellow", "note": "bold cyan"}
INDENT = 10


def judge(evidence: Evidence) -> list[Finding]:
    """What is wrong, the worst first."""
    found = [finding for check in CHECKS for finding in check(evidence)]
    found += peers.lookup(evidence, found)
    return sorted(found, key=lambda finding: LEVELS.index(finding.level))


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """One name of the target. Fixed peers are one together, without other evidence than connections."""

    name: str
    findings: tuple[Finding, ...]
    evidence: Evidence | None
    peers: PeerSet
    connections: tuple[Connection, ...]

    @classmethod
    def of(cls, evidence: Evidence) -> Diagnosis:
        found = tuple(judge(evidence))
        return cls(str(evidence.question), found, evidence, evidence.looked.peers, evidence.connections or ())

    @classmethod
    def of_fixed(cls, name: str, fixed: PeerSet, connections: Sequence[Connection] | None) -> Diagnosis:
        """`connections` None: none was wanted."""
        found = tuple(peers.connected_to_fixed(fixed, connections))
        return cls(name, found, None, fixed, tuple(connections or ()))


def healthy(diagnoses: Iterable[Diagnosis]) -> bool:
    """Notes are nothing wrong."""
    return all(finding.level == "note" for diagnosis in diagnoses for finding in diagnosis.findings)


# --- for programs ------------------------------------------------------------------------------------------------


def as_json(target: str, diagnoses: Sequence[Diagnosis]) -> dict[str, Any]:
    return peers_json(
        target,
        PeerSet(peer for diagnosis in diagnoses for peer in diagnosis.peers),
        healthy=healthy(diagnoses),
        findings=[
            {"about": diagnosis.name, **finding.json()} for diagnosis in diagnoses for finding in diagnosis.findings
        ],
        names=[_facts(diagnosis.name, diagnosis.evidence) for diagnosis in diagnoses if diagnosis.evidence],
        connections=[connection.json() for diagnosis in diagnoses for connection in diagnosis.connections],
    )


def _facts(about: str, e: Evidence) -> dict[str, Any]:
    failed = isinstance(e.looked.outcome, LookupFailed)
    return {
        "about": about,
        "name": e.name,
        "exists": e.found,
        "candidates": list(e.candidates),
        "servers": list(map(str, e.conf.servers)),
        "answering": list(map(str, e.answering)),
        "questions": len(e.asked),
        "lookup": {
            "error": str(e.looked.outcome) if failed else None,
            "queries": e.looked.queries,
            "later_queries": e.looked.again,
        },
    }


# --- for people --------------------------------------------------------------------------------------------------


def show(console: Console, diagnoses: Sequence[Diagnosis]) -> None:
    glyphs = Glyphs.of(console)
    for diagnosis in diagnoses:
        console.print(Text(diagnosis.name, style="bold"))
        console.print(_summary(diagnosis), markup=False, soft_wrap=True)
        for finding in diagnosis.findings:
            console.print()
            _finding(console, finding)
        console.print()
    counted = Counter(finding.level for diagnosis in diagnoses for finding in diagnosis.findings)
    counts = ", ".join(plural(counted[level], level) for level in LEVELS if counted[level])
    good = healthy(diagnoses)
    sign = Text(glyphs.good if good else glyphs.bad, style="bold green" if good else "bold red")
    verdict = "nothing is wrong" if good else counts
    if good and counts:
        verdict += f" ({counts})"
    more = "; more in docs/doctor.md" if counts else ""
    console.print(sign, f"{verdict}{more}", markup=False)


def _summary(diagnosis: Diagnosis) -> str:
    e = diagnosis.evidence
    count = plural(len(diagnosis.peers), "peer")
    tried = len(diagnosis.connections)
    connected = sum(not connection.problem for connection in diagnosis.connections)
    connections = f"; {connected} of {plural(tried, 'connection')} accepted" if tried else ""
    if e is None:
        return f"  {count}, fixed: nothing to ask DNS{connections}"
    queries = plural(e.looked.queries, "query", "queries")
    outcome = e.looked.outcome
    if isinstance(outcome, LookupFailed):
        said = f"the lookup fails after {queries}"
    else:
        by = f"{outcome.source} by {'TCP' if outcome.tcp else 'UDP'}, {outcome.size} bytes"
        said = f"{count}: {queries}, {by}, TTL {outcome.ttl:g} s"
    return f"  {said}{connections}; {plural(len(e.asked), 'question')} for the checks"


def _finding(console: Console, finding: Finding) -> None:
    _part(console, finding.level.upper(), [f"{finding.what} [{finding.code}]"], STYLES[finding.level], "bold")
    _part(console, "evidence", list(map(str, finding.evidence)))
    _part(console, "why", [finding.why])
    _part(console, "cure", finding.cures)


def _part(console: Console, label: str, items: Sequence[str], style: str = "dim", text_style: str = "not dim") -> None:
    """A label, and texts that are wrapped beside it, not below; several have a dash each."""
    for item in items:
        lines = textwrap.wrap(
            item,
            max(30, console.width - INDENT),
            initial_indent="- " if len(items) > 1 else "",
            subsequent_indent="  " if len(items) > 1 else "",
            break_long_words=False,
            break_on_hyphens=False,
        )
        for line in lines:
            console.print(Text(label.ljust(INDENT), style=style).append(line, style=text_style), soft_wrap=True)
            label = ""
