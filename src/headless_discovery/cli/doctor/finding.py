"""What a check found: what is wrong, the evidence for it, and what to change."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeAlias

# problem: no peers, wrong peers, or lookups that fail. warning: it works, but late, at a price, or not always.
# note: good to know, and nothing is wrong.
Level: TypeAlias = Literal["problem", "warning", "note"]
LEVELS: tuple[Level, ...] = ("problem", "warning", "note")


class Proof(Protocol):
    """A line of evidence, and the same for programs."""

    def json(self) -> dict[str, Any]: ...


@dataclass(frozen=True, slots=True)
class Said:
    """Evidence that is no answer of a server: a line of a file, what the library said."""

    text: str

    def __str__(self) -> str:
        return self.text

    def json(self) -> dict[str, Any]:
        return {"text": self.text}


@dataclass(frozen=True, slots=True)
class Finding:
    """`what` is one line, `why` how it comes about, `cures` what to change: the likeliest first.

    `code` is stable, and the heading of docs/doctor.md that tells more.
    """

    code: str
    level: Level
    what: str
    why: str
    cures: tuple[str, ...]
    evidence: tuple[Proof, ...]

    def json(self) -> dict[str, Any]:
        return {
            "code": self.code,
            "level": self.level,
            "what": self.what,
            "why": self.why,
            "cures": list(self.cures),
            "evidence": [proof.json() for proof in self.evidence],
        }
