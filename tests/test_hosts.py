"""The hosts file and `localhost`: addresses that DNS is not asked for."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from headless_discovery import LookupFailed, aresolve, resolve
from headless_discovery.answer import NOTHING_HELD, Answer, Held
from headless_discovery.hosts import LOOPBACK, HostsFile
from headless_discovery.lookup import Lookup
from headless_discovery.message import AAAA, SRV, A
from headless_discovery.model import packed_address
from headless_discovery.resolvconf import ResolvConf
from headless_discovery.servers import Memory
from headless_discovery.settings import Settings, parse_networks
from headless_discovery.target import parse
from headless_discovery.testing import DNSServer
from sansio import NS1, Net, found

TEXT = """\
# 10.0.0.9 web
10.0.0.1  web.example web   # the first
10.0.0.2\tWEB. other
fd00::1 web
fe80::1%eth0 web
10.0.0.256 web
nonsense
10.0.0.3 webmaster
10.0.0.1 web
0.0.0.0 blocked.example
"""


@pytest.fixture
def hosts(tmp_path: Path) -> Path:
    path = tmp_path / "hosts"
    path.write_text(TEXT)
    return path


def texts(addresses: tuple[bytes, ...]) -> tuple[str, ...]:
    from headless_discovery.model import address_text

    return tuple(map(address_text, addresses))


class TestFile:
    @pytest.mark.parametrize(
        ("name", "addresses"),
        [
            ("web", ("10.0.0.1", "10.0.0.2", "fd00::1")),
            ("web.example", ("10.0.0.1",)),
            ("other", ("10.0.0.2",)),
            ("example", ()),
            ("nobody", ()),
            ("10.0.0.1", ()),
        ],
    )
    def test_all_lines_with_the_name_count_in_order(self, hosts: Path, name: str, addresses: tuple[str, ...]) -> None:
        assert texts(HostsFile(str(hosts)).addresses(name)) == addresses

    def test_it_is_read_again_when_it_changed(self, hosts: Path) -> None:
        file = HostsFile(str(hosts))
        assert file.addresses("late") == ()
        hosts.write_text("10.0.0.7 late\n")
        os.utime(hosts, (1, 1))
        assert texts(file.addresses("late")) == ("10.0.0.7",)
        assert file.addresses("web") == ()
        hosts.unlink()
        assert file.addresses("late") == ()
        hosts.write_text("10.0.0.8 late\n")
        assert texts(file.addresses("late")) == ("10.0.0.8",)

    @pytest.mark.parametrize("path", [None, "/nonexistent/hosts", "\0", "/"])
    def test_without_a_file_localhost_alone_is_known(self, path: str | None) -> None:
        file = HostsFile(path)
        assert file.addresses("web") == ()
        assert file.addresses("localhost") == file.addresses("app.localhost") == LOOPBACK
        assert file.addresses("notlocalhost") == ()

    def test_it_remembers_no_more_names_than_1024(self, hosts: Path) -> None:
        file = HostsFile(str(hosts))
        for n in range(3000):
            file.addresses(f"name-{n}")
        assert len(file._found) <= 1024


class TestLookup:
    def ask(
        self,
        target: str,
        port: int | str | None,
        *local: str,
        held: Held = NOTHING_HELD,
        net: Net | None = None,
        **options: Any,
    ) -> tuple[Answer, Net]:
        net = net or Net({})
        (question,) = parse(target, port).questions
        packed = tuple(map(packed_address, local))
        conf = ResolvConf(tuple(net.servers), ("corp.example",), 5)
        result = net.run(Lookup(question, conf, Settings(**options), Memory(), random.Random(1), held, packed))
        if isinstance(result, LookupFailed):
            raise result
        return result, net

    @pytest.mark.parametrize(
        ("family", "expected"),
        [
            ("auto", {A: ("10.0.0.1",)}),
            ("ipv4", {A: ("10.0.0.1",)}),
            ("ipv6", {AAAA: ("fd00::1",)}),
            ("any", {A: ("10.0.0.1",), AAAA: ("fd00::1",)}),
        ],
    )
    def test_addresses_of_the_family_and_no_query(self, family: str, expected: dict[int, tuple[str, ...]]) -> None:
        answer, net = self.ask("web", 80, "10.0.0.1", "fd00::1", family=family)
        assert {part.rdtype: texts(tuple(part.members)) for part in answer.parts} == expected  # type: ignore[arg-type]
        assert answer.server is None
        assert answer.source == "the hosts file"
        assert net.asked == []

    def test_auto_takes_ipv6_where_there_is_no_ipv4(self) -> None:
        answer, _ = self.ask("web", 80, "fd00::1")
        assert [part.rdtype for part in answer.parts] == [AAAA]

    def test_without_the_family_dns_is_asked(self) -> None:
        net = Net({NS1: lambda name, rdtype, *_: found(name, A, "10.0.0.9")})
        answer, _ = self.ask("web.", 80, "fd00::1", net=net, family="ipv4")
        assert texts(tuple(answer.parts[0].members)) == ("10.0.0.9",)  # type: ignore[arg-type]

    def test_port_auto_asks_for_srv_first(self) -> None:
        net = Net({NS1: lambda name, rdtype, *_: found(name, A, "10.0.0.9")})
        answer, _ = self.ask("web", "auto", "10.0.0.1", net=net)
        assert [a.rdtype for a in net.asked] == [SRV]
        assert texts(tuple(answer.parts[0].members)) == ("10.0.0.1",)  # type: ignore[arg-type]

    def test_srv_questions_do_not_look_into_it(self) -> None:
        with pytest.raises(LookupFailed, match="no DNS server"):
            self.ask("web", "http", "10.0.0.1")

    @pytest.mark.parametrize("target", ["localhost", "localhost.", "app.localhost", "a.b.localhost"])
    def test_localhost_is_loopback_and_has_no_srv(self, target: str) -> None:
        for port in (80, "auto"):
            answer, _ = self.ask(target, port, "127.0.0.1", "::1")
            assert texts(tuple(answer.parts[0].members)) == ("127.0.0.1",)  # type: ignore[arg-type]
        answer, _ = self.ask(target, "http", "127.0.0.1", "::1")
        assert answer.parts[0].negative
        assert not answer.parts[0].nxdomain

    def test_what_no_peer_may_have_is_refused(self) -> None:
        with pytest.raises(LookupFailed, match="unspecified"):
            self.ask("blocked.example", 80, "0.0.0.0")
        with pytest.raises(LookupFailed, match="outside allow_networks"):
            self.ask("localhost", 80, "127.0.0.1", allow_networks=parse_networks(["10.0.0.0/8"]))

    def test_peers_that_are_held_keep_their_name(self) -> None:
        answer, _ = self.ask("web", 80, "10.0.0.1", held=Held(A, name="web.corp.example"))
        assert answer.name == "web.corp.example"
        assert answer.rival is None


@pytest.mark.parametrize("ask", [resolve, None])
async def test_over_real_sockets(ask: Callable[..., Any] | None, hosts: Path, headless_dns: DNSServer) -> None:
    async def asked(*args: Any, **options: Any) -> tuple[str, ...]:
        found = ask(*args, **options) if ask is not None else await aresolve(*args, **options)
        return tuple(found.addresses)

    options: dict[str, Any] = {
        "nameservers": [headless_dns.nameserver],
        "resolv_conf": "/nonexistent",
        "hosts": str(hosts),
    }
    assert await asked("web", 80, **options) == ("10.0.0.1", "10.0.0.2")
    assert await asked("localhost", 80, **options) == ("127.0.0.1",)
    del options["nameservers"]
    assert await asked("localhost", 80, **options) == ("127.0.0.1",), "without any DNS server"
    assert headless_dns.count() == 0
    with pytest.raises(LookupFailed, match="cannot be read"):
        await asked("elsewhere", 80, **options)
