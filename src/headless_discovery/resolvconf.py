"""resolv.conf: who to ask, and which names a short name stands for."""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from dataclasses import dataclass

from .errors import LookupFailed, TargetError
from .model import normal_name
from .target import Server, is_name, parse_server

MAX_NDOTS = 15  # as resolv.conf(5) has it


@dataclass(frozen=True, slots=True)
class ResolvConf:
    servers: tuple[Server, ...]
    search: tuple[str, ...] = ()
    ndots: int = 1
    use_vc: bool = False  # TCP from the start

    def is_absolute(self, name: str) -> bool:
        """A name that ends in a search suffix of two or more labels is whole already: one query, not one a suffix."""
        return any("." in suffix and name.endswith("." + suffix) for suffix in self.search)

    def candidates(self, name: str) -> list[str]:
        """The names to try, in order (resolv.conf(5): `search` and `ndots`)."""
        if self.is_absolute(name):
            return [name]
        searched = [f"{name}.{suffix}" for suffix in self.search]
        found = [name, *searched] if name.count(".") >= self.ndots else [*searched, name]
        return [candidate for candidate in found if len(candidate) <= 253]


def read(path: str) -> ResolvConf:
    """Read a resolv.conf. Without a `nameserver` line it is the one on this machine, as resolv.conf(5) has it.

    Raises `LookupFailed`. A line that cannot be used costs only itself.
    """
    try:
        with open(path, encoding="utf-8", errors="replace") as file:  # a comment may be in any encoding
            lines = [line.split() for line in file]
    except (OSError, ValueError) as error:  # ValueError: "\0" in the path
        why = error.strerror if isinstance(error, OSError) else error
        raise LookupFailed(
            f"{path} cannot be read ({why}): give nameservers=, or resolv_conf= with another file"
        ) from None
    named: list[str] = []
    search = [socket.gethostname().partition(".")[2]]
    ndots, use_vc = 1, False
    for keyword, *words in filter(None, lines):
        if keyword == "nameserver" and words:
            named.append(words[0])
        elif keyword in ("search", "domain"):  # the last of them counts
            search = words
        elif keyword == "options":
            for word in words:
                if word.startswith("ndots:"):
                    with suppress(ValueError):
                        ndots = min(max(int(word[6:]), 0), MAX_NDOTS)
                elif word == "use-vc":
                    use_vc = True
    servers: list[Server] = []
    for text in named or ["127.0.0.1"]:
        with suppress(TargetError):  # malformed; the others still serve
            servers.append(parse_server(text))
    if not servers:
        raise LookupFailed(f"{path} has no usable nameserver line: give nameservers=")
    suffixes = (normal_name(suffix) for suffix in search if is_name(suffix))
    return ResolvConf(tuple(dict.fromkeys(servers)), tuple(dict.fromkeys(suffixes)), ndots, use_vc)


class ResolvConfFile:
    """Reads the file again when it changed: also when another was renamed over it, as kubelets do."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._stamp: tuple[int, ...] | None = None
        self._conf: ResolvConf | None = None

    def current(self) -> ResolvConf:
        """What the file says, or what it said last. Raises `LookupFailed` when it never could be read."""
        try:
            stat = os.stat(self._path)
            stamp: tuple[int, ...] = (stat.st_dev, stat.st_ino, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_size)
        except (OSError, ValueError):
            stamp = ()
        if stamp != self._stamp or self._conf is None:
            try:
                self._conf = read(self._path)
                self._stamp = stamp  # only now: what could not be read is tried again
            except LookupFailed:
                if self._conf is None:
                    raise
        return self._conf
