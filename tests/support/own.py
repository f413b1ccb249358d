"""Addresses of this machine, for what cannot be played on loopback."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest


def own_address() -> str:
    """The IPv4 address that this machine sends from. No packet is sent: connecting UDP asks the routes."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            sock.connect(("198.51.100.1", 9))  # RFC 5737: an address that is nobody's
        except OSError:
            pytest.skip("this machine has no route, so no address but loopback")
        return str(sock.getsockname()[0])


def link_local() -> str:
    """A link-local address of this machine with its zone, `fe80::1%eth0`."""
    try:
        lines = Path("/proc/net/if_inet6").read_text().splitlines()
    except OSError:
        lines = []
    for packed, *_, name in map(str.split, lines):
        if packed.startswith("fe80"):
            return f"{socket.inet_ntop(socket.AF_INET6, bytes.fromhex(packed))}%{name}"
    pytest.skip("this machine has no link-local address")
