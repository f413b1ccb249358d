"""A second implementation of docs/hashing.md: slow, plain, and sharing nothing with the library, not even XXH64.

`python tests/vectors/reference.py` writes picks.json beside it. Tests check that the file is what this writes and that
the library picks the same. Another language can start from here.
"""

from __future__ import annotations

import json
import math
import struct
from functools import cache
from pathlib import Path
from typing import Any

M64 = 2**64 - 1
P1, P2, P3, P4, P5 = (
    0x9E3779B185EBCA87,
    0xC2B2AE3D27D4EB4F,
    0x165667B19E3779F9,
    0x85EBCA77C2B2AE63,
    0x27D4EB2F165667C5,
)


def rotl(x: int, r: int) -> int:
    return (x << r | x >> (64 - r)) & M64


def lane(acc: int, value: int) -> int:
    return rotl((acc + value * P2) & M64, 31) * P1 & M64


def xxh64(data: bytes, seed: int = 0) -> int:
    """XXH64 as its specification has it (xxhash_spec.md)."""
    place = 0
    if len(data) >= 32:
        v = [(seed + P1 + P2) & M64, (seed + P2) & M64, seed, (seed - P1) & M64]
        while place + 32 <= len(data):
            words = struct.unpack_from("<4Q", data, place)
            v = [lane(acc, word) for acc, word in zip(v, words, strict=True)]
            place += 32
        h = (rotl(v[0], 1) + rotl(v[1], 7) + rotl(v[2], 12) + rotl(v[3], 18)) & M64
        for acc in v:
            h = ((h ^ lane(0, acc)) * P1 + P4) & M64
    else:
        h = (seed + P5) & M64
    h = (h + len(data)) & M64
    while place + 8 <= len(data):
        h = (rotl(h ^ lane(0, struct.unpack_from("<Q", data, place)[0]), 27) * P1 + P4) & M64
        place += 8
    if place + 4 <= len(data):
        h = (rotl(h ^ (struct.unpack_from("<I", data, place)[0] * P1 & M64), 23) * P2 + P3) & M64
        place += 4
    for byte in data[place:]:
        h = rotl(h ^ (byte * P5 & M64), 11) * P1 & M64
    h = (h ^ h >> 33) * P2 & M64
    h = (h ^ h >> 29) * P3 & M64
    return h ^ h >> 32


Peers = list[tuple[str, int]]  # (hash key, weight), in the order of the hash keys


def walk(ring: list[tuple[int, str]], peers: Peers, h: int) -> list[str]:
    """The peers in the order the walk from h meets them, then those without an entry."""
    ahead = [entry for entry in ring if entry[0] >= h] + [entry for entry in ring if entry[0] < h]
    return list(dict.fromkeys([name for _, name in ahead] + [name for name, _ in peers]))


def consistent_hash(peers: Peers, h: int, vnodes: int) -> list[str]:
    ring = [(xxh64(f"{name}_{i}".encode()), name) for name, weight in peers for i in range(vnodes * weight)]
    return walk(sorted(ring), peers, h)


def ring_hash(peers: Peers, h: int, min_ring_size: int, max_ring_size: int) -> list[str]:
    total = sum(weight for _, weight in peers)
    smallest = min(weight / total for _, weight in peers)
    scale = min(math.ceil(smallest * min_ring_size) / smallest, max_ring_size)
    ring, target = [], 0.0
    for name, weight in peers:
        target += scale * (weight / total)
        i = 0
        while len(ring) < target:
            ring.append((xxh64(f"{name}_{i}".encode()), name))
            i += 1
    return walk(sorted(ring), peers, h)


def maglev(peers: Peers, h: int, table_size: int) -> list[str]:
    table = maglev_table(tuple(peers), table_size)
    places = [table[(h + i) % table_size] for i in range(table_size)]
    return list(dict.fromkeys(places + [name for name, _ in peers]))


@cache
def maglev_table(peers: tuple[tuple[str, int], ...], table_size: int) -> dict[int, str]:
    total = sum(weight for _, weight in peers)
    largest = max(weight / total for _, weight in peers)
    offset = {name: xxh64(name.encode()) % table_size for name, _ in peers}
    skip = {name: xxh64(name.encode(), 1) % (table_size - 1) + 1 for name, _ in peers}
    table: dict[int, str] = {}
    target = dict.fromkeys([name for name, _ in peers], 0.0)
    step = dict.fromkeys([name for name, _ in peers], 0)
    turn = 0
    while len(table) < table_size:
        turn += 1
        for name, weight in peers:
            if len(table) == table_size or turn * (weight / total) < target[name]:
                continue
            target[name] += largest
            while (offset[name] + skip[name] * step[name]) % table_size in table:
                step[name] += 1
            table[(offset[name] + skip[name] * step[name]) % table_size] = name
    return table


def rendezvous(peers: Peers, h: int) -> list[str]:
    def score(name: str, weight: int) -> float:
        draw = xxh64(h.to_bytes(8, "little"), xxh64(name.encode()))
        if len({weight for _, weight in peers}) == 1:
            return draw
        return weight / (-math.log(((draw >> 11) + 0.5) / 2**53) or 2**-53)

    return [name for name, _ in sorted(peers, key=lambda peer: score(*peer), reverse=True)]


def jump(h: int, buckets: int) -> int:
    b, j = -1, 0
    while j < buckets:
        b = j
        h = (h * 2862933555777941757 + 1) & M64
        j = int((b + 1) * (2**31 / ((h >> 33) + 1)))
    return b


def jump_hash(peers: Peers, h: int) -> list[str]:
    named = {int(name.split(".")[0].rsplit("-", 1)[1]): name for name, _ in peers}
    buckets = max(named) + 1
    order: list[str] = []
    while len(order) < len(named):
        tries = [jump(xxh64(h.to_bytes(8, "little"), i) if i else h, buckets) for i in range(64)]
        found = [named[i] for i in tries if i in named and named[i] not in order]
        if not found:
            rest = [named[i] for i in sorted(named) if named[i] not in order]
            found = [rest[jump(xxh64(h.to_bytes(8, "little"), 64), len(rest))]]
        order.append(found[0])
    return order


def subset(peers: Peers, client: str, size: int) -> list[str]:
    seed = xxh64(client.encode())
    return sorted((name for name, _ in peers), key=lambda name: xxh64(name.encode(), seed))[:size]


ALGORITHMS = {
    "consistent_hash": consistent_hash,
    "ring_hash": ring_hash,
    "maglev": maglev,
    "rendezvous": rendezvous,
    "jump_hash": jump_hash,
}
KEYS = ["", "a", "user-1", "user-2", "ключ", "a key of more than thirty-two bytes, for the other half of XXH64"]


def web(ordinals: list[int], weights: list[int] | None = None) -> Peers:
    names = [f"web-{i}.headless-svc.moon.svc.cluster.local" for i in ordinals]
    return sorted(zip(names, weights or [1] * len(names), strict=True))


CASES: list[tuple[str, dict[str, int], Peers]] = [
    ("consistent_hash", {"vnodes": 160}, web([0, 1, 2])),
    ("consistent_hash", {"vnodes": 7}, web([0, 1, 2, 3], [1, 5, 2, 1])),
    ("ring_hash", {"min_ring_size": 1024, "max_ring_size": 4096}, web([0, 1, 2])),
    ("ring_hash", {"min_ring_size": 5, "max_ring_size": 8}, web(list(range(11)), [3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5])),
    ("maglev", {"table_size": 65537}, web([0, 1, 2])),
    ("maglev", {"table_size": 101}, web([0, 1, 2, 3], [1, 5, 2, 1])),
    ("maglev", {"table_size": 3}, web([0, 1, 2, 3, 4])),
    ("rendezvous", {}, web([0, 1, 2])),
    ("rendezvous", {}, web([0, 1, 2, 3], [1, 5, 2, 1])),
    ("jump_hash", {}, web([0, 1, 2])),
    ("jump_hash", {}, web([0, 3, 4, 9])),
]


def document() -> dict[str, Any]:
    """Hashes are decimal text: a JSON number may lose the last digits of 64 bits."""
    cases = []
    for strategy, config, peers in CASES:
        order = {key: ALGORITHMS[strategy](peers, xxh64(key.encode()), **config) for key in KEYS}
        cases.append(
            {
                "strategy": strategy,
                "config": config,
                "peers": [{"hash_key": name, "weight": weight} for name, weight in peers],
                "orders": order,
            }
        )
    return {
        "about": "docs/hashing.md. hashes: XXH64 of the key's UTF-8 bytes, seed 0. orders: for each key, the peer it "
        "is given, then the one it is given when that is excluded, and so on.",
        "hashes": {key: str(xxh64(key.encode())) for key in KEYS},
        "cases": cases,
        "subsets": [
            {
                "client": client,
                "size": 3,
                "hash_keys": [name for name, _ in web(list(range(8)))],
                "members": subset(web(list(range(8))), client, 3),
            }
            for client in ("client-0", "client-1", "ключ")
        ],
    }


def text() -> str:
    return json.dumps(document(), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    Path(__file__).with_name("picks.json").write_text(text())
