"""The hosts file, hosts(5), which address questions look into before they ask DNS, as glibc's "files dns" does."""

from __future__ import annotations

import os

from .model import canonical_address, normal_name, packed_address

LOOPBACK = (b"\x7f\0\0\1", bytes(15) + b"\1")
MAX_NAMES = 1024  # remembered
TTL = 5.0  # seconds until the file is looked at again


def is_localhost(name: str) -> bool:
    """`localhost` and what ends in it is loopback, and DNS is not asked (RFC 6761, 6.3)."""
    return name == "localhost" or name.endswith(".localhost")


class HostsFile:
    """Reads the file again when it changed. One that is missing, or cannot be read, names nobody."""

    def __init__(self, path: str | None) -> None:
        self._path = path
        self._stamp: object = None
        self._text = b""
        self._found: dict[str, tuple[bytes, ...]] = {}

    def addresses(self, name: str) -> tuple[bytes, ...]:
        """The addresses of all lines that have this name, in order."""
        if is_localhost(name):
            return LOOPBACK
        if self._path is None:
            return ()
        self._read(self._path)
        if (found := self._found.get(name)) is None:
            if len(self._found) >= MAX_NAMES:
                self._found.clear()
            found = self._found[name] = tuple(dict.fromkeys(_matching(self._text, name)))
        return found

    def _read(self, path: str) -> None:
        try:
            stat = os.stat(path)
            stamp = (stat.st_dev, stat.st_ino, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_size)
            if stamp == self._stamp:
                return
            with open(path, "rb") as file:
                self._text = file.read().lower()
            self._stamp = stamp
        except (OSError, ValueError):
            self._stamp, self._text = None, b""
        self._found = {}


def _matching(text: bytes, name: str) -> list[bytes]:
    found: list[bytes] = []
    wanted = name.encode()
    for line in text.splitlines() if wanted in text else ():
        if wanted in line:  # block lists have 100,000 lines, so most are not split
            address, *names = line.partition(b"#")[0].decode("ascii", "replace").split() or [""]
            if any(normal_name(each) == name for each in names):
                try:
                    found.append(packed_address(canonical_address(address)))
                except (ValueError, OSError):  # malformed, or with a zone id
                    continue
    return found
