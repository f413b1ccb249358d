"""A DNS client for these tests: dnspython over real sockets, and bare sockets where bytes matter."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager

import dns.flags
import dns.message
import dns.query
import dns.rcode
import dns.rdatatype

from headless_discovery.testing import DNSServer

PATIENCE = 30.0  # seconds; only a failing test waits so long


def question(name: str, qtype: str = "A", edns: int | None = 1232) -> dns.message.QueryMessage:
    return dns.message.make_query(name, qtype, use_edns=None if edns is None else 0, payload=edns)


def ask(
    server: DNSServer, name: str, qtype: str = "A", transport: str = "udp", edns: int | None = 1232
) -> dns.message.Message:
    """The answer, TC or not, over the transport that was wanted."""
    exchange = dns.query.tcp if transport == "tcp" else dns.query.udp
    return exchange(question(name, qtype, edns), server.host, timeout=PATIENCE, port=server.port)


def values(message: dns.message.Message, section: str = "answer", qtype: str | None = None) -> list[str]:
    """The text of each record of a section, in the order of the message."""
    return [
        rdata.to_text()
        for rrset in getattr(message, section)
        if qtype is None or rrset.rdtype == dns.rdatatype.from_text(qtype)
        for rdata in rrset
    ]


def addresses(server: DNSServer, name: str, qtype: str = "A") -> list[str]:
    return values(ask(server, name, qtype), qtype=qtype)


def rcode(message: dns.message.Message) -> str:
    return dns.rcode.to_text(message.rcode())


def truncated(message: dns.message.Message) -> bool:
    return bool(message.flags & dns.flags.TC)


def ttls(message: dns.message.Message) -> set[int]:
    return {rrset.ttl for section in (message.answer, message.authority, message.additional) for rrset in section}


@contextmanager
def udp_socket(server: DNSServer, timeout: float = PATIENCE) -> Iterator[socket.socket]:
    family = socket.AF_INET6 if ":" in server.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        sock.settimeout(timeout)
        sock.connect((server.host, server.port))
        yield sock


@contextmanager
def tcp_socket(server: DNSServer, timeout: float = PATIENCE) -> Iterator[socket.socket]:
    with socket.create_connection((server.host, server.port), timeout) as sock:
        yield sock


def framed(data: bytes) -> bytes:
    return struct.pack("!H", len(data)) + data


def read_exactly(sock: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        more = sock.recv(size - len(data))
        if not more:
            raise EOFError(f"{len(data)} of {size} bytes")
        data += more
    return data


def read_message(sock: socket.socket) -> bytes:
    return read_exactly(sock, int.from_bytes(read_exactly(sock, 2), "big"))


def raw_udp(server: DNSServer, data: bytes) -> bytes:
    with udp_socket(server) as sock:
        sock.send(data)
        return sock.recv(65535)


def raw_tcp(server: DNSServer, data: bytes) -> bytes:
    with tcp_socket(server) as sock:
        sock.sendall(framed(data))
        return read_message(sock)
