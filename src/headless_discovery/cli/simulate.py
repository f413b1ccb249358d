"""`pick --simulate`: the same service with other pods. Real peers as far as they go, then made-up ones like them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import IPv4Address

from .. import Peer, PeerSet

INVENTED = IPv4Address("198.18.0.1")  # RFC 2544: a network that is nobody's
MOST = 10_000
SHOWN = 10  # pods that a message names
GRAMMAR = "write 'scale 3 10', 'restart 1' or 'leave 1', several of them between commas"


@dataclass(frozen=True)
class Step:
    """A set of peers, and how it came about."""

    title: str
    peers: PeerSet


def steps(text: str, real: PeerSet) -> list[Step]:
    """The set to begin with, then what each part of `text` makes of it. Raises `ValueError`."""
    pods = _Pods(real)
    alive = pods.first(len(real))
    found: list[Step] = []

    def add(title: str) -> None:
        found.append(Step(title, PeerSet(map(pods.peer, alive), target=real.target)))

    for part in text.split(","):
        match part.split():
            case ["scale", *sizes] if sizes and all(re.fullmatch("[0-9]{1,5}", size) for size in sizes):
                numbers = [int(size) for size in sizes]
                if not all(0 < number <= MOST for number in numbers):
                    raise ValueError(f"{part.strip()!r}: from 1 to {MOST:,} peers")
                if not found and len(numbers) > 1:
                    alive = pods.first(numbers.pop(0))
                if not found:
                    add("")
                for number in numbers:
                    before, alive = len(alive), pods.first(number)
                    add(f"scale {before} to {number}")
            case ["restart" | "leave" as verb, pod]:
                if not found:
                    add("")
                known = {str(number) if pod.isdecimal() else pods.name(number): number for number in alive}
                if (number := known.get(pod, -1)) < 0:
                    more = ", ..." if len(known) > SHOWN else ""
                    raise ValueError(f"{part.strip()!r}: there are {', '.join(list(known)[:SHOWN])}{more}")
                if verb == "restart":
                    pods.restart(number)
                elif len(alive) > 1:
                    alive.remove(number)
                else:
                    raise ValueError(f"{part.strip()!r}: it is the last one")
                add(f"{pods.name(number)} {'restarts' if verb == 'restart' else 'leaves'}")
            case _:
                raise ValueError(f"{part.strip()!r} is no step: {GRAMMAR}")
    return found


class _Pods:
    """Peers by number: by ordinal, as a StatefulSet has them, from whichever on and with gaps; else by their place."""

    def __init__(self, real: PeerSet) -> None:
        ordinals = [peer.ordinal for peer in real if peer.ordinal is not None]
        numbers = ordinals if len(set(ordinals)) == len(real) else range(len(real))
        self._real = dict(sorted(zip(numbers, real, strict=True), key=lambda pair: pair[0]))
        self._invented = max(*self._real, *ordinals, 0) + 1  # nobody has this number, nor any above it
        self._restarts: dict[int, int] = {}
        self._addresses: dict[tuple[int, int], str] = {}

    def first(self, size: int) -> list[int]:
        """Real ones first."""
        return [*self._real, *range(self._invented, self._invented + size)][:size]

    def restart(self, number: int) -> None:
        self._restarts[number] = self._restarts.get(number, 0) + 1

    def name(self, number: int) -> str:
        peer = self.peer(number)
        return peer.address if peer.ordinal is None else (peer.hostname or "").partition(".")[0]

    def peer(self, number: int) -> Peer:
        restarts = self._restarts.get(number, 0)
        like = self._real.get(number, list(self._real.values())[-1])
        if number in self._real:
            if not restarts:
                return like
            hostname = like.hostname if like.identity != like.netloc else None
        elif like.ordinal is None:
            hostname = None
        else:
            label, _, rest = (like.hostname or "").partition(".")
            hostname = f"{label.removesuffix(str(like.ordinal))}{number}.{rest}"
        address = self._addresses.setdefault((number, restarts), str(INVENTED + len(self._addresses)))
        return Peer(address, like.port, hostname, priority=like.priority, weight=like.weight)


def needed(before: PeerSet, after: PeerSet) -> float:
    """The share of the keys that has to move for even shares: to those that joined, or from those that left."""
    old, new = ({peer.identity for peer in peers} for peers in (before, after))
    return max(len(new - old) / len(new), len(old - new) / len(old))
