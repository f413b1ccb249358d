"""Messages of up to 64 KiB: those that are most work to read, and the largest that an honest server sends."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable, Sequence
from functools import partial
from itertools import count

from .answers import SERVICE, A, label_bytes

SIZE = 65_535  # its length is two octets (RFC 1035, 4.2.2)
AAAA, SRV, CNAME, NS, SOA, OPT, UNKNOWN = 28, 33, 5, 2, 6, 41, 65_399
OWNER = label_bytes(SERVICE)
FIRST = 12 + len(OWNER) + 4  # offset of the first record
SECTIONS = ("answer", "authority", "additional")

Make = Callable[[int, int], bytes]  # the record of a number, which is put at an offset


def record(owner: bytes, rdtype: int, data: bytes, rdclass: int = 1, ttl: int = 5) -> bytes:
    return owner + struct.pack("!HHIH", rdtype, rdclass, ttl, len(data)) + data


def pointer(at: int) -> bytes:
    return struct.pack("!H", 0xC000 | at)


def message(sections: Sequence[Sequence[bytes]], owner: bytes = OWNER, rdtype: int = A) -> bytes:
    counts = map(len, sections)
    records = [record for section in sections for record in section]
    data = b"".join([struct.pack("!6H", 0, 0x8580, 1, *counts), owner, struct.pack("!2H", rdtype, 1), *records])
    assert len(data) <= SIZE
    return data


def filled(make: Make, section: str = "answer", owner: bytes = OWNER) -> bytes:
    """As many records in one section as fit."""
    records, at = list[bytes](), 12 + len(owner) + 4
    for number in count():
        record = make(number, at)
        if at + len(record) > SIZE:
            break
        records.append(record)
        at += len(record)
    return message([records if section == kind else [] for kind in SECTIONS], owner)


def letters(number: int) -> bytes:
    """A label of three octets, another one for each number up to 17,575."""
    return b"\3" + bytes(97 + number // 26**place % 26 for place in range(3))


def _odd(number: int) -> bytes:
    """A name of octets that are no text, another one for each number."""
    return b"\x3f" + letters(number)[1:] + b"\xff" * 60 + (b"\x3f" + b"\xff" * 63) * 2 + b"\0"


def either(number: int, owner: bytes) -> bytes:
    return record(owner, A, _v4(number)) if number % 2 else record(owner, AAAA, _v4(number) * 4)


def srv(target: Callable[[int], bytes], number: int, owner: bytes = pointer(12), port: int | None = None) -> bytes:
    return record(owner, SRV, struct.pack("!3H", 0, 1, number if port is None else port) + target(number))


def _v4(number: int) -> bytes:
    return (0x0A00_0000 + number).to_bytes(4, "big")


def _hidden_chains(number: int, at: int) -> bytes:
    """A record that is stepped over holds pointers to pointers; each of the others leads through fifteen of them."""
    if number == 0:
        return record(b"\0", UNKNOWN, pointer(12) + b"".join(pointer(at + 11 + 2 * place) for place in range(3000)))
    return record(pointer(FIRST + 11 + 2 * (number * 15 % 3000)), A, _v4(number))


def _hidden_names(number: int, at: int) -> bytes:
    """A record that is stepped over holds names of a hundred labels; each of the others begins at another label."""
    if number == 0:
        return record(b"\0", UNKNOWN, b"".join(b"\1a" * 100 + bytes([1, 97 + n, 0]) for n in range(20)))
    return record(pointer(FIRST + 11 + 2 * (number % 2000)), A, _v4(number))


def hostile() -> dict[str, bytes]:
    found = {}
    rng = random.Random(1)
    owner, parent = pointer(12), pointer(25)
    long = b"\1a" * 127 + b"\0"
    for section in SECTIONS:
        made: dict[str, Make] = {
            "records of 11 octets": lambda n, at: record(b"\0", UNKNOWN, b""),
            "records of 12 octets": lambda n, at: record(owner, UNKNOWN, b""),
            "no zero to look for": lambda n, at: b"\xc0\x0c" + b"\xff" * 8 + b"\1\1" + b"\xff" * 257,
            "owners in full that go on": lambda n, at: record(letters(n) + b"\1a" * 20 + owner, A, _v4(n)),
            "types in turn": lambda n, at: either(n, owner),
            "types in turn, of the root": lambda n, at: either(n, b"\0"),
            "types in pairs": lambda n, at: either(n // 2, owner),
            "owners in turn": lambda n, at: record(parent if n % 2 else owner, A, _v4(n)),
            "owners at random": lambda n, at: record(rng.choice((owner, parent)), A, _v4(n)),
            "runs of 64": lambda n, at: record(owner if n % 64 else parent, A, _v4(n)),
            "runs, and the last is like the first": lambda n, at: record(owner if n % 7 else parent, A, _v4(n)),
            "owners in full, in runs": lambda n, at: record(OWNER if n % 220 else OWNER.upper(), A, _v4(n)),
            "TTLs with the top bit": lambda n, at: record(owner, A, _v4(n), ttl=n << 20),
            "owners never seen": lambda n, at: record(letters(n) + b"\0", A, _v4(n)),
            "owners never seen before a pointer": lambda n, at: record(letters(n) + owner, A, _v4(n)),
            "owners of 127 labels": lambda n, at: record(letters(n) + b"\1a" * 123 + b"\0", A, _v4(n)),
            "pointers in RDATA that nobody reads": _hidden_chains,
            "names in RDATA that nobody reads": _hidden_names,
            "long owners with escapes": lambda n, at: record(_odd(n), A, _v4(n)),
            "short owners with escapes": lambda n, at: record(b"\4\xff" + letters(n)[1:] + b"\0", A, _v4(n)),
            "SOA": lambda n, at: record(owner, SOA, bytes(22)),
            "SOA with long names": lambda n, at: record(owner, SOA, b"\1a" * 100 + b"\0" + b"\1b" * 100 + bytes(21)),
            "NS": lambda n, at: record(owner, NS, letters(n) + b"\0"),
            "NS before a pointer": lambda n, at: record(owner, NS, letters(n) + owner),
            "CNAME": lambda n, at: record(owner, CNAME, letters(n) + owner),
            "OPT": lambda n, at: record(b"\0", OPT, b"\0\x0f\0\2\0\0"),
            "SRV to the root": lambda n, at: srv(lambda n: b"\0", n),
            "SRV, all the same": lambda n, at: srv(lambda n: b"\1a\0", n, port=80),
            "SRV with one target": lambda n, at: srv(lambda n: b"\1a\0", n),
            "SRV to pointers": lambda n, at: srv(lambda n: owner, n),
            "SRV to labels before a pointer": lambda n, at: srv(lambda n: letters(n) + owner, n),
            "SRV with owners in turn": lambda n, at: srv(lambda n: b"\0", n, parent if n % 2 else owner),
            "SRV to 2 labels never seen": lambda n, at: srv(lambda n: letters(n) * 2 + b"\0", n),
            "SRV to 6 labels never seen": lambda n, at: srv(lambda n: letters(n) * 6 + b"\0", n),
            "SRV to 127 labels": lambda n, at: srv(lambda n: letters(n) + b"\1a" * 119 + letters(n) + b"\0", n),
            "SRV with escapes": lambda n, at: srv(_odd, n),
        }  # fmt: skip
        for kind, make in made.items():
            found[f"{kind}, {section}"] = filled(make, section)
        each = lambda n, at: record(pointer(12 + 2 * (n % 120)), A, _v4(n))  # noqa: E731
        found[f"each suffix of 127 labels, {section}"] = filled(each, section, long)
        each = lambda n, at: record(b"\1b" + pointer(24 + 2 * (n % 100)), A, _v4(n))  # noqa: E731
        found[f"a label before each suffix, {section}"] = filled(each, section, long)
        each = lambda n, at: record(letters(n) + owner, A, _v4(n))  # noqa: E731
        found[f"a label before escapes, {section}"] = filled(each, section, (b"\x3c" + b"\xff" * 60) * 4 + b"\0")
    found["an option of 60,000 octets"] = message([[], [], [record(b"\0", OPT, bytes(60_000), 1232)]])
    return found


def honest() -> dict[str, bytes]:
    """What has to be read, and what it is like where nothing of it was seen before."""
    addresses = filled(lambda n, at: record(pointer(12), A, _v4(n)))
    return {
        "4,092 A": addresses,
        "1,650 SRV": filled(partial(_short, b"\5short\4name\4host\0")),
        "980 SRV": services(980, glue=0),
        "540 SRV and both kinds of glue": services(540, glue=2),
        "840 SRV and both kinds of glue, compressed": services(840, glue=2, compressed=True),
    }


def _short(rest: bytes, number: int, at: int) -> bytes:
    return srv(lambda n: letters(n) + rest, number, port=80)


def services(number: int, *, glue: int, compressed: bool = False) -> bytes:
    """SRV records and their A, or A and AAAA records; an owner is a pointer to the target where it can be."""
    records, additional, at = list[bytes](), list[bytes](), FIRST
    for place in range(number):
        host = f"web-{place}".encode()
        host = bytes([len(host)]) + host
        records.append(srv(lambda n, host=host: host + (pointer(12) if compressed else OWNER), place, port=80))  # type: ignore[misc]
        owner = pointer(at + 18) if at + 18 < 0x4000 else host + pointer(12)
        additional += [record(owner, A, _v4(place)), record(owner, AAAA, _v4(place) * 4)][:glue]
        at += len(records[-1])
    return message([records, [], additional], rdtype=SRV)
