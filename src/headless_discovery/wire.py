"""DNS messages on the wire (RFC 1035, 4; RFC 6891): question bytes out, answer bytes in."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from functools import lru_cache

from . import reader
from .message import NOERROR, NXDOMAIN, Message, WireError

EDNS_SIZE = 1232  # what passes any path unfragmented (DNS Flag Day 2020)

# Octets that dnspython may be given. At worst it takes some milliseconds for so many, and six times as long for twice
# as many: measured with records whose two names are pointers to one of dozens of labels.
FALLBACK_SIZE = 128

_HEADER = struct.Struct("!HHHHHH")
_RD, _QR, _OPCODE = 0x0100, 0x8000, 0x7800
# Root owner, type OPT, our UDP size, no extended rcode, version 0, no options (RFC 6891, 6.1.2).
_OPT = struct.pack("!BHHIH", 0, 41, EDNS_SIZE, 0, 0)


@lru_cache(maxsize=4096)
def _question(name: str, rdtype: int) -> bytes:
    """QNAME, QTYPE and QCLASS (RFC 1035, 4.1.2). Raises `WireError` for a name longer than DNS allows."""
    labels = [label.encode() for label in name.split(".")]
    encoded = b"".join(bytes([len(label)]) + label for label in labels if len(label) < 64) + b"\0"
    if len(encoded) > 255 or not all(0 < len(label) < 64 for label in labels):
        raise WireError(f"{name!r} is no name for DNS (RFC 1035, 2.3.4)")
    return encoded + struct.pack("!HH", rdtype, 1)


class Query:
    """One question as it goes over the wire, and the test that tells its answer from anybody else's bytes."""

    __slots__ = ("_question", "ident", "wire")

    def __init__(self, name: str, rdtype: int, ident: int, *, edns: bool) -> None:
        self._question = _question(name, rdtype)
        self.ident = ident
        self.wire = _HEADER.pack(ident, _RD, 1, 0, 0, int(edns)) + self._question + (_OPT if edns else b"")

    def read(self, data: bytes) -> Message | None:
        """The answer in `data`; None if it is not for this query (RFC 5452, 9.1). Raises `WireError` for garbage."""
        if len(data) < 12:
            return None
        ident, flags, questions, answers, *_ = _HEADER.unpack_from(data)
        if ident != self.ident or not flags & _QR or flags & _OPCODE:
            return None
        end = 12 + len(self._question)
        if questions == 1:
            # Length octets are below 64, so lower() touches letters only: names compare as RFC 4343 wants.
            if data[12:end].lower() != self._question.lower():
                return None
        elif questions or answers or flags & 0xF in (NOERROR, NXDOMAIN):
            return None  # only an error may come without its question: some servers send FORMERR so
        return read(data)


def read(data: bytes) -> Message:
    """Parse one message. Raises `WireError`."""
    try:
        return reader.read(data)
    except reader.Unusual as unusual:
        if len(data) > FALLBACK_SIZE:
            raise WireError(str(unusual)) from None
        from . import fallback

        return fallback.read(data)


class Frames:
    """Messages out of a TCP stream: two octets of length, then the message (RFC 1035, 4.2.2; RFC 7766, 8)."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    @property
    def pending(self) -> bool:
        """There are octets that were not fetched."""
        return bool(self._buffer)

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The messages that are whole now; what is not fetched stays."""
        self._buffer += data
        return iter(self._take, None)

    def _take(self) -> bytes | None:
        buffer = self._buffer
        if len(buffer) < 2:
            return None
        end = 2 + int.from_bytes(buffer[:2], "big")
        if len(buffer) < end:
            return None
        message = bytes(buffer[2:end])
        del buffer[:end]
        return message


def frame(message: bytes) -> bytes:
    return len(message).to_bytes(2, "big") + message
