"""What lookups brought, for eyes and for programs: whom was asked, over what, how long it took, what was said."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from ..answer import Answer, Part
from ..message import TYPE_NAMES
from ..model import PeerSet, packed_address
from ..service import Heard
from ..target import Question
from .output import plural


@dataclass
class Lookups:
    """Hears a service's lookups. Several of one name are one refresh that put several cut answers together."""

    heard: dict[Question, list[Heard]] = field(default_factory=dict)

    def __call__(self, heard: Heard) -> None:
        self.heard.setdefault(heard.question, []).append(heard)

    def only(self, heard: Heard) -> None:
        """Forget what was said of this name before."""
        self.heard[heard.question] = [heard]

    @property
    def queries(self) -> int:
        return sum(heard.queries for all_of_one in self.heard.values() for heard in all_of_one)

    @property
    def seconds(self) -> float:
        """Lookups of several names are under way at the same time."""
        return max((sum(heard.took for heard in all_of_one) for all_of_one in self.heard.values()), default=0.0)

    def ttls(self, peers: PeerSet) -> list[int | None]:
        """Seconds, of the records that each peer came by. None for those that nobody was asked for."""
        found: dict[bytes, int] = {}
        results = (heard.result for all_of_one in self.heard.values() for heard in all_of_one)
        for part in (part for answer in results if isinstance(answer, Answer) for part in answer.parts):
            for key, detail in part.members.items():
                addresses = (key,) if isinstance(key, bytes) else detail.addresses.all if detail else ()
                found.update(dict.fromkeys(addresses, int(part.ttl)))
        return [found.get(packed_address(peer.address)) for peer in peers]

    def _answers(self) -> Iterator[tuple[Question, Answer, list[Heard]]]:
        for question, all_of_one in self.heard.items():
            result = all_of_one[-1].result
            if isinstance(result, Answer):
                yield question, result, all_of_one

    @property
    def warnings(self) -> list[str]:
        return [answer.warning for _, answer, _ in self._answers() if answer.warning]

    @property
    def errors(self) -> list[str]:
        last = (all_of_one[-1].result for all_of_one in self.heard.values())
        return [str(result) for result in last if not isinstance(result, Answer)]

    def lines(self) -> Iterator[str]:
        """A line for each answer."""
        for question, answer, all_of_one in self._answers():
            said = ", ".join(f"{TYPE_NAMES[part.rdtype]} {_said(part)}, TTL {part.ttl:g} s" for part in answer.parts)
            transport = "TCP" if answer.tcp else "UDP"
            several = f" in {len(all_of_one)} answers" if len(all_of_one) > 1 else ""
            queries = plural(sum(heard.queries for heard in all_of_one), "query", "queries")
            yield (
                f"{_name(question, answer)}: {said}, from {answer.source} over {transport}{several}, "
                f"{queries}, {milliseconds(_seconds(all_of_one))}, "
                f"{'complete' if _complete(answer) else 'incomplete'}"
            )

    def json(self) -> list[dict[str, Any]]:
        """An object for each record type of each name; for each name that failed, one with `error`."""
        objects: list[dict[str, Any]] = []
        for question, answer, all_of_one in self._answers():
            objects += (
                {
                    "name": _name(question, answer),
                    "type": TYPE_NAMES[part.rdtype],
                    "records": len(part.members),
                    "rcode": "NXDOMAIN" if part.nxdomain else "NOERROR",
                    "ttl": part.ttl,
                    "server": answer.source,
                    "transport": "tcp" if answer.tcp else "udp",
                    "bytes": answer.size,
                    "answers": len(all_of_one),
                    "queries": sum(heard.queries for heard in all_of_one),
                    "seconds": round(_seconds(all_of_one), 6),
                    "complete": _complete(answer) and part.complete,
                    "warning": answer.warning,
                }
                for part in answer.parts
            )
        for question, all_of_one in self.heard.items():
            result = all_of_one[-1].result
            if not isinstance(result, Answer):
                objects.append(
                    {
                        "name": str(question),
                        "error": str(result),
                        "queries": sum(heard.queries for heard in all_of_one),
                        "seconds": round(_seconds(all_of_one), 6),
                    }
                )
        return objects


def _name(question: Question, answer: Answer) -> str:
    return f"{question.prefix}.{answer.name}" if question.prefix else answer.name


def _said(part: Part) -> str:
    if part.negative:
        return "NXDOMAIN" if part.nxdomain else "NODATA"
    return plural(len(part.members), "record")


def _complete(answer: Answer) -> bool:
    return answer.whole and all(part.complete for part in answer.parts)


def _seconds(all_of_one: list[Heard]) -> float:
    return sum(heard.took for heard in all_of_one)


def milliseconds(seconds: float) -> str:
    """A duration as people like to read it."""
    return f"{seconds * 1000:.1f} ms" if seconds < 1 else f"{seconds:.1f} s"
