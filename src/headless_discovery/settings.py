"""How to ask and what to believe: one service's options, checked once at construction. All times in seconds."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from math import isfinite
from typing import Any, Literal, TypeAlias

from .errors import TargetError
from .target import Server, parse_servers

Family: TypeAlias = Literal["auto", "ipv4", "ipv6", "any"]
Tcp: TypeAlias = Literal["auto", "always", "never"]
Answers: TypeAlias = Literal["all", "sample"]


def _one_of(name: str, value: object, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise TargetError(f"{name}={value!r}: must be one of {', '.join(map(repr, allowed))}")


def _seconds(name: str, value: object, *, above: float = 0.0, or_equal: bool = True) -> None:
    right = isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)
    if not right or value < above or (value == above and not or_equal):  # type: ignore[operator]
        bound = "at least" if or_equal else "more than"
        raise TargetError(f"{name}={value!r}: must be a number of seconds, {bound} {above:g}")


@dataclass(frozen=True, slots=True)
class Settings:
    """The options of design section "A watched service" that lookups and membership need."""

    nameservers: tuple[Server, ...] | None = None
    resolv_conf: str = "/etc/resolv.conf"
    family: Family = "auto"
    tcp: Tcp = "auto"
    timeout: float = 5.0
    min_ttl: float = 1.0
    max_ttl: float = 30.0
    empty_grace: float = 30.0
    max_stale: float | None = None
    answers: Answers = "all"
    max_peers: int = 10_000
    allow_networks: tuple[IPv4Network | IPv6Network, ...] | None = None
    hosts: str | None = "/etc/hosts"

    def __post_init__(self) -> None:
        _one_of("family", self.family, ("auto", "ipv4", "ipv6", "any"))
        _one_of("tcp", self.tcp, ("auto", "always", "never"))
        _one_of("answers", self.answers, ("all", "sample"))
        _seconds("timeout", self.timeout, or_equal=False)
        _seconds("min_ttl", self.min_ttl)
        _seconds("max_ttl", self.max_ttl, above=self.min_ttl)
        _seconds("empty_grace", self.empty_grace)
        if self.max_stale is not None:
            _seconds("max_stale", self.max_stale, or_equal=False)
        if type(self.max_peers) is not int or self.max_peers < 1:
            raise TargetError(f"max_peers={self.max_peers!r}: must be a whole number, at least 1")

    @classmethod
    def of(
        cls,
        *,
        nameservers: Iterable[str] | None,
        resolv_conf: str | None,
        allow_networks: Iterable[str] | None,
        hosts: str | None = "/etc/hosts",
        **options: Any,
    ) -> Settings:
        """From what the user wrote; `options` are the fields that need no reading."""
        return cls(
            nameservers=parse_servers(nameservers),
            resolv_conf="/etc/resolv.conf" if resolv_conf is None else str(resolv_conf),
            hosts=None if hosts is None else str(hosts),
            allow_networks=None if allow_networks is None else parse_networks(allow_networks),
            **options,
        )

    def refusal(self, packed: bytes, from_loopback: bool) -> str | None:
        """Why no peer may have this address, or None. Names that resolve to inner addresses are an old way in
        (DNS rebinding), so what a pod never has is refused, unless `allow_networks` says what is allowed.
        """
        if self.allow_networks is not None:
            allowed = any(ip_address(packed) in network for network in self.allow_networks)
            return None if allowed else "outside allow_networks"
        if packed[0] not in _SUSPECT[len(packed)]:
            return None
        ip = ip_address(packed)
        if ip.is_unspecified or packed[0] == 0 == len(packed) - 4:
            return "unspecified"
        if ip.is_multicast or packed == b"\xff\xff\xff\xff":
            return "multicast"
        if ip.is_link_local:
            return "link-local"
        if ip.is_loopback and not from_loopback:
            return "loopback"
        return None


# First octets of the addresses that `refusal` looks at closely: 0/8, 127/8, 169.254/16, 224/4, 255.255.255.255;
# and ::, ::1, fe80::/10, ff00::/8.
_SUSPECT = {4: frozenset({0, 127, 169, *range(224, 240), 255}), 16: frozenset({0, 0xFE, 0xFF})}


def parse_networks(texts: Iterable[str]) -> tuple[IPv4Network | IPv6Network, ...]:
    return tuple(map(_parse_network, [texts] if isinstance(texts, str) else texts))


def _parse_network(text: str) -> IPv4Network | IPv6Network:
    try:
        return ip_network(text)
    except ValueError as error:
        raise TargetError(f"allow_networks={str(text)!r}: {error}") from None
