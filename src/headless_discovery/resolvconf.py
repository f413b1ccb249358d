"""resolv.conf: who to ask, and which names a short name stands for."""

from __future__ import annotations

import os
from dataclasses import dataclass

import dns.exception
import dns.resolver

from .errors import LookupFailed, TargetError
from .model import normal_name
from .target import Server, parse_server


@dataclass(frozen=True, slots=True)
class ResolvConf:
    servers: tuple[Server, ...]
    search: tuple[str, ...] = ()
    ndots: int = 1

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
    """Read a resolv.conf. Without a `nameserver` line it is the one on this machine, as resolv.conf(5) has it."""
    resolver = dns.resolver.Resolver(configure=False)
    try:
        resolver.read_resolv_conf(path)
    except dns.resolver.NoResolverConfiguration:
        if not os.access(path, os.R_OK):
            raise LookupFailed(f"{path} cannot be read: give nameservers=, or resolv_conf= with another file") from None
    except (OSError, ValueError, dns.exception.DNSException) as error:
        raise LookupFailed(f"{path} cannot be read: {error}") from None
    servers: list[Server] = []
    for text in resolver.nameservers or ("127.0.0.1",):
        try:
            servers.append(parse_server(str(text)))
        except TargetError:
            continue  # a scoped or malformed line; the others still serve
    if not servers:
        raise LookupFailed(f"{path} has no usable nameserver line: give nameservers=")
    suffixes = resolver.search or [resolver.domain]
    search = (normal_name(suffix.to_text()) for suffix in suffixes)
    return ResolvConf(
        tuple(dict.fromkeys(servers)),
        tuple(dict.fromkeys(filter(None, search))),
        1 if resolver.ndots is None else resolver.ndots,
    )


class ResolvConfFile:
    """Reads the file again when it changed: also when another was renamed over it, as kubelets do."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._stamp: tuple[int, ...] | None = None
        self._conf: ResolvConf | None = None

    def current(self) -> ResolvConf:
        """Raises `LookupFailed` when the file cannot be read and never could."""
        try:
            stat = os.stat(self._path)
        except OSError as error:
            if self._conf is not None:
                return self._conf
            raise LookupFailed(
                f"{self._path} cannot be read ({error.strerror}): give nameservers=, or resolv_conf= with another file"
            ) from None
        stamp = (stat.st_ino, stat.st_mtime_ns, stat.st_size)
        if stamp != self._stamp or self._conf is None:
            self._conf = read(self._path)
            self._stamp = stamp
        return self._conf
