"""The counted process. Prints what it did, in order; what it does between two marks is counted."""

from __future__ import annotations

import json
import os
import struct
import sys
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from headless_discovery.wire import read
from support import answers

WARM, COUNTED = 2, 4  # answers


def plain(data: bytes) -> list[tuple[int, bytes]]:
    """TTL and data of each record: the least that a loop over one record at a time does. Checks nothing."""
    found = []
    at = data.index(0, 12) + 5
    counts = struct.unpack_from("!4H", data, 4)
    for _ in range(sum(counts[1:])):
        while (size := data[at]) and size < 0xC0:
            at += 1 + size
        at += 1 if size == 0 else 2
        _, _, ttl, length = struct.unpack_from("!HHIH", data, at)
        start = at + 10
        at = start + length
        found.append((ttl, data[start:at]))
    return found


def turned(count: int, turn: int) -> list[bytes]:
    """The same addresses at every turn, in another order."""
    pods = answers.pod_addresses(count)
    start = turn * 7 % count
    return pods[start:] + pods[:start]


def services(count: int, turn: int, prefix: str) -> bytes:
    return answers.srv([(f"{prefix}-{int.from_bytes(packed)}", packed) for packed in turned(count, turn)])


# How many records, and the answer at a turn.
FORMS: dict[str, tuple[int, Callable[[int], bytes]]] = {
    "3 A": (3, lambda turn: answers.addresses(turned(3, turn))),
    "1000 A, compressed": (1000, lambda turn: answers.addresses(turned(1000, turn))),
    "1000 A, owners in full": (1000, lambda turn: answers.addresses(turned(1000, turn), compressed=False)),
    "800 SRV and glue": (1600, lambda turn: services(800, turn, "web")),
    "800 SRV and glue, names never seen": (1600, lambda turn: services(800, 0, f"web{turn}")),
}
READERS: dict[str, Callable[[bytes], object]] = {"plain": plain, "reader": read}


def main() -> None:
    done = []
    for form, (records, answer) in FORMS.items():
        made = [answer(turn) for turn in range(WARM + COUNTED)]
        for how, reads in READERS.items():
            for data in made[:WARM]:
                reads(data)
            os.getppid()  # the mark: a new count begins at each call of this C function
            for data in made[WARM:]:
                reads(data)
            os.getppid()
            done.append({"form": form, "how": how, "records": records * COUNTED})
    print(json.dumps(done))


if __name__ == "__main__":
    main()
