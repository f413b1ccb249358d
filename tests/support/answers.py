"""DNS messages as bytes, as servers write them: quickly made, and of exactly known form."""

from __future__ import annotations

import struct
from collections.abc import Sequence

SERVICE = "headless-svc.moon.svc.cluster.local"
PORT = 8080
TTL = 3600
A, SRV = 1, 33
_ANSWER = 0x8580  # QR, AA, RD, RA


def label_bytes(name: str) -> bytes:
    return b"".join(bytes([len(label)]) + label.encode() for label in name.split(".")) + b"\0"


def question(name: str, rdtype: int, *, edns: bool = True) -> bytes:
    """A question as it goes over the wire, with the message id 0."""
    opt = struct.pack("!BHHIH", 0, 41, 1232, 0, 0) if edns else b""
    return struct.pack("!6H", 0, 0x0100, 1, 0, 0, edns) + label_bytes(name) + struct.pack("!HH", rdtype, 1) + opt


def addresses(pods: Sequence[bytes], *, compressed: bool = True) -> bytes:
    """The A records of the service: 16 bytes each, or as CoreDNS writes small answers, with the owner in full."""
    owner = b"\xc0\x0c" if compressed else label_bytes(SERVICE)
    head = owner + struct.pack("!HHIH", A, 1, TTL, 4)
    return _message(SERVICE, A, [head + packed for packed in pods], [])


def srv(pods: Sequence[tuple[str, bytes]]) -> bytes:
    """The SRV records of the service's port `http` and their glue. Targets are in full (RFC 2782), and so are the
    owners of the glue but for the part that all of them share, as pointers reach only 16 KiB (RFC 1035, 4.1.4).
    """
    name = f"_http._tcp.{SERVICE}"
    suffix = struct.pack("!H", 0xC000 | 12 + len("_http._tcp."))
    weight = max(1, 100 // len(pods))
    records, glue = [], []
    for hostname, packed in pods:
        data = struct.pack("!3H", 0, weight, PORT) + label_bytes(f"{hostname}.{SERVICE}")
        records.append(b"\xc0\x0c" + struct.pack("!HHIH", SRV, 1, TTL, len(data)) + data)
        owner = bytes([len(hostname)]) + hostname.encode() + suffix
        glue.append(owner + struct.pack("!HHIH", A, 1, TTL, 4) + packed)
    return _message(name, SRV, records, glue)


def _message(name: str, rdtype: int, records: Sequence[bytes], glue: Sequence[bytes]) -> bytes:
    head = struct.pack("!6H", 0, _ANSWER, 1, len(records), 0, len(glue))
    return b"".join([head, label_bytes(name), struct.pack("!HH", rdtype, 1), *records, *glue])


def pod_addresses(count: int) -> list[bytes]:
    return [(0x0A010001 + number).to_bytes(4, "big") for number in range(count)]
