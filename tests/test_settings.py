"""Options: each has its bounds, named when broken; and which addresses no peer may have."""

from __future__ import annotations

import dataclasses
import random
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Any

import dns.message
import dns.rrset
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headless_discovery import LookupFailed, TargetError
from headless_discovery.answer import Answer
from headless_discovery.lookup import Lookup
from headless_discovery.resolvconf import ResolvConf
from headless_discovery.servers import Memory
from headless_discovery.settings import Settings, parse_networks
from headless_discovery.target import Question, Server

rule = settings(deadline=None)


class TestOptions:
    def test_defaults(self) -> None:
        """Those of the documented signature."""
        assert dataclasses.asdict(Settings()) == {
            "nameservers": None,
            "resolv_conf": "/etc/resolv.conf",
            "hosts": "/etc/hosts",
            "family": "auto",
            "tcp": "auto",
            "timeout": 5.0,
            "min_ttl": 1.0,
            "max_ttl": 30.0,
            "empty_grace": 30.0,
            "max_stale": None,
            "answers": "all",
            "max_peers": 10_000,
            "allow_networks": None,
        }

    @pytest.mark.parametrize(
        "options",
        [
            {"family": "auto"},
            {"family": "ipv4"},
            {"family": "ipv6"},
            {"family": "any"},
            {"tcp": "always"},
            {"tcp": "never"},
            {"answers": "sample"},
            {"timeout": 0.001},
            {"timeout": 5},
            {"min_ttl": 0},
            {"min_ttl": 5, "max_ttl": 5},
            {"max_ttl": 86400},
            {"empty_grace": 0},
            {"max_stale": 0.5},
            {"max_stale": None},
            {"max_peers": 1},
        ],
    )
    def test_allowed(self, options: dict[str, Any]) -> None:
        made = Settings(**options)
        assert {name: getattr(made, name) for name in options} == options

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            *((name, value) for name in ("family", "tcp", "answers") for value in ("", "AUTO", "x", None, 4, ["auto"])),
            *(
                (name, value)
                for name in ("timeout", "min_ttl", "max_ttl", "empty_grace", "max_stale")
                for value in (-1, -0.001, float("nan"), float("inf"), "5", True, [5])
            ),
            ("timeout", 0),
            ("timeout", None),
            ("max_stale", 0),
            ("max_stale", 0.0),
            ("max_ttl", 0.5),  # below min_ttl
            ("empty_grace", None),
            ("max_peers", 0),
            ("max_peers", -1),
            ("max_peers", 1.5),
            ("max_peers", "10"),
            ("max_peers", None),
            ("max_peers", True),
        ],
    )  # fmt: skip
    def test_refused_by_name(self, name: str, value: Any) -> None:
        with pytest.raises(TargetError) as raised:
            Settings(**{name: value})
        assert str(raised.value).startswith(f"{name}={value!r}")

    def test_bounds_of_max_ttl_follow_min_ttl(self) -> None:
        with pytest.raises(TargetError, match="max_ttl=4: must be a number of seconds, at least 5"):
            Settings(min_ttl=5, max_ttl=4)

    def test_frozen_and_a_key(self) -> None:
        """Services with equal options share their lookups."""
        with pytest.raises(dataclasses.FrozenInstanceError):
            Settings().timeout = 1.0  # type: ignore[misc]
        assert len({Settings(), Settings(), Settings(timeout=1)}) == 2

    def test_of_what_the_user_wrote(self) -> None:
        made = Settings.of(
            nameservers=["10.0.0.1"], resolv_conf="/tmp/r", allow_networks=["10.0.0.0/8"], timeout=1.0, family="ipv4"
        )
        assert made == Settings(
            nameservers=(Server("10.0.0.1", 53),),
            resolv_conf="/tmp/r",
            allow_networks=(ip_network("10.0.0.0/8"),),
            timeout=1.0,
            family="ipv4",
        )
        assert Settings.of(nameservers=None, resolv_conf=None, allow_networks=None) == Settings()


class TestNetworks:
    def test_one_or_several(self) -> None:
        assert parse_networks("10.0.0.0/8") == (ip_network("10.0.0.0/8"),)
        assert parse_networks(["10.0.0.0/8", "fd00::/8", "192.0.2.1"]) == tuple(
            map(ip_network, ("10.0.0.0/8", "fd00::/8", "192.0.2.1/32"))
        )

    @pytest.mark.parametrize("text", ["", "10.0.0.1/8", "10.0.0.0/33", "fd00::1/8", "lan", "10.0.0.0-10.0.0.9"])
    def test_what_is_no_network_is_named(self, text: str) -> None:
        with pytest.raises(TargetError, match="allow_networks") as raised:
            parse_networks(["10.0.0.0/8", text])
        assert text in str(raised.value)


REFUSED = [
    ("0.0.0.0", "unspecified"),
    ("0.1.2.3", "unspecified"),  # "this network" (RFC 1122, 3.2.1.3)
    ("::", "unspecified"),
    ("224.0.0.1", "multicast"),
    ("239.255.255.255", "multicast"),
    ("255.255.255.255", "multicast"),
    ("ff02::1", "multicast"),
    ("169.254.169.254", "link-local"),  # where clouds have their metadata
    ("fe80::1", "link-local"),
    ("febf::1", "link-local"),
]
LOOPBACK = ["127.0.0.1", "127.255.255.254", "::1"]
FINE = [
    *("10.0.0.1", "1.2.3.4", "100.64.0.1", "169.253.0.1", "192.168.1.1", "203.0.113.1", "240.0.0.1"),
    *("fd00::1", "2001:db8::1", "fec0::1", "64:ff9b::a00:1"),
]


def packed(text: str) -> bytes:
    return ip_address(text).packed


class TestRefusal:
    @pytest.mark.parametrize(("address", "why"), REFUSED)
    @pytest.mark.parametrize("from_loopback", [False, True])
    def test_what_a_pod_never_has(self, address: str, why: str, from_loopback: bool) -> None:
        assert Settings().refusal(packed(address), from_loopback) == why

    @pytest.mark.parametrize("address", LOOPBACK)
    def test_loopback_only_from_a_server_on_loopback(self, address: str) -> None:
        assert Settings().refusal(packed(address), from_loopback=False) == "loopback"
        assert Settings().refusal(packed(address), from_loopback=True) is None

    @pytest.mark.parametrize("address", FINE)
    @pytest.mark.parametrize("from_loopback", [False, True])
    def test_anything_else_is_fine(self, address: str, from_loopback: bool) -> None:
        assert Settings().refusal(packed(address), from_loopback) is None

    @pytest.mark.parametrize("address", [*LOOPBACK, *FINE, *(address for address, _ in REFUSED)])
    def test_allow_networks_decides_alone(self, address: str) -> None:
        everything = Settings(allow_networks=parse_networks(["0.0.0.0/0", "::/0"]))
        assert everything.refusal(packed(address), from_loopback=False) is None
        one = Settings(allow_networks=parse_networks(["192.0.2.0/24", address]))
        assert one.refusal(packed(address), from_loopback=False) is None
        assert one.refusal(packed("192.0.3.1"), from_loopback=True) == "outside allow_networks"
        family = "::/0" if len(packed(address)) == 4 else "0.0.0.0/0"
        other = Settings(allow_networks=parse_networks(family))
        assert other.refusal(packed(address), from_loopback=True) == "outside allow_networks"

    @rule
    @given(st.integers(0, 2**32 - 1).map(IPv4Address) | st.integers(0, 2**128 - 1).map(IPv6Address), st.booleans())
    def test_the_quick_way_says_what_ipaddress_says(self, ip: IPv4Address | IPv6Address, from_loopback: bool) -> None:
        assert refused(ip, from_loopback) == never(ip, from_loopback)

    @pytest.mark.parametrize("first", range(256))
    def test_each_first_octet(self, first: int) -> None:
        """Random addresses seldom meet the few octets that matter."""
        for rest in ("254.1.1", "0.0.0", "0.0.1", "255.255.255"):
            v4 = IPv4Address(f"{first}.{rest}")
            assert refused(v4, False) == never(v4, False)
        for number in (0, 1, 0x80 << 112 | 1, 2**120 - 1):
            v6 = IPv6Address(first << 120 | number)
            assert refused(v6, False) == never(v6, False)

    @pytest.mark.parametrize(
        ("address", "server", "kept"),
        [
            ("::ffff:10.0.0.1", "10.0.0.53", "10.0.0.1"),  # v4-mapped: unwrapped before it is judged
            ("::ffff:127.0.0.1", "10.0.0.53", None),
            ("::ffff:127.0.0.1", "127.0.0.53", "127.0.0.1"),
            ("::ffff:127.0.0.1", "::1", "127.0.0.1"),
            ("::ffff:169.254.169.254", "127.0.0.53", None),
            ("::ffff:0.0.0.0", "10.0.0.53", None),
            ("::1", "10.0.0.53", None),
            ("::1", "127.0.0.53", "::1"),
            ("fe80::1", "::1", None),
            ("fd00::1", "10.0.0.53", "fd00::1"),
        ],
    )
    def test_in_an_answer(self, address: str, server: str, kept: str | None) -> None:
        """Refused addresses are left out; an answer that has no other is no answer."""
        question = Question("svc.example", True, "addresses")
        conf = ResolvConf((Server(server),))
        for others in ([], ["fd00::9"]):
            lookup = Lookup(question, conf, Settings(family="ipv6"), Memory(), random.Random(1))
            (exchange,) = lookup.start(0.0)
            query = dns.message.from_wire(exchange.query.wire)
            reply = dns.message.make_response(query, recursion_available=True)
            reply.answer.append(dns.rrset.from_text("svc.example.", 5, "IN", "AAAA", address, *others))
            message = exchange.read(reply.to_wire())
            assert message is not None
            assert lookup.replied(exchange, message, 0.1) == []
            if kept is None and not others:
                assert isinstance(lookup.result, LookupFailed)
                assert "allow_networks" in str(lookup.result)
            else:
                assert isinstance(lookup.result, Answer)
                expected = {packed(text) for text in [*others, *([kept] if kept else [])]}
                assert set(lookup.result.parts[0].members) == expected
                assert bool(lookup.result.warning) == (kept is None)


def never(ip: IPv4Address | IPv6Address, from_loopback: bool) -> bool:
    """The rule in words of the standard library."""
    return (
        ip.is_unspecified
        or ip.is_multicast
        or ip.is_link_local
        or ip in ip_network("0.0.0.0/8")
        or ip == ip_address("255.255.255.255")
        or (ip.is_loopback and not from_loopback)
    )


def refused(ip: IPv4Address | IPv6Address, from_loopback: bool) -> bool:
    return Settings().refusal(ip.packed, from_loopback) is not None
