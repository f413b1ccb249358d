"""resolv.conf(5): who is asked, which names a short name stands for, and when the file is read again."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headless_discovery import LookupFailed
from headless_discovery.resolvconf import ResolvConf, ResolvConfFile, read
from headless_discovery.target import Server

Write = Callable[[str | bytes], str]

KUBERNETES = """\
search moon.svc.cluster.local svc.cluster.local cluster.local
nameserver 10.96.0.10
options ndots:5
"""


@pytest.fixture
def write(tmp_path: Path) -> Write:
    path = tmp_path / "resolv.conf"

    def write(text: str | bytes) -> str:
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return str(path)

    return write


@pytest.fixture(autouse=True)
def hostname(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without `search` and `domain` the host's own name counts, which differs from machine to machine."""
    monkeypatch.setattr(socket, "gethostname", lambda: "box")


class TestReading:
    def test_a_pods_file(self, write: Write) -> None:
        assert read(write(KUBERNETES)) == ResolvConf(
            (Server("10.96.0.10", 53),), ("moon.svc.cluster.local", "svc.cluster.local", "cluster.local"), 5
        )

    @pytest.mark.parametrize("text", ["", "\n\n", "# nothing\n; at all\n", "options rotate\n", "nameserver\n"])
    def test_nobody_named_is_this_machine(self, write: Write, text: str) -> None:
        assert read(write(text)) == ResolvConf((Server("127.0.0.1", 53),), (), 1)

    def test_the_search_list_counts_without_a_name_server(self, write: Write) -> None:
        assert read(write("search a.example\noptions ndots:2\n")) == ResolvConf(
            (Server("127.0.0.1", 53),), ("a.example",), 2
        )

    def test_all_servers_in_order_each_once(self, write: Write) -> None:
        """glibc stops at three; here the fourth is a server like the others."""
        text = (
            "nameserver 10.0.0.4\nnameserver fd00::1\nnameserver 10.0.0.2\nnameserver 10.0.0.4\nnameserver 10.0.0.1\n"
        )
        assert [server.address for server in read(write(text)).servers] == [
            "10.0.0.4",
            "fd00::1",
            "10.0.0.2",
            "10.0.0.1",
        ]

    @pytest.mark.parametrize("bad", ["fe80::1%", "10.0.0.256", "ns.example", "https://10.0.0.1/dns-query"])
    def test_an_unusable_server_does_not_cost_the_others(self, write: Write, bad: str) -> None:
        text = f"nameserver {bad}\nnameserver 10.0.0.1\nsearch a.example\n"
        assert read(write(text)) == ResolvConf((Server("10.0.0.1", 53),), ("a.example",), 1)
        with pytest.raises(LookupFailed, match="nameserver"):
            read(write(f"nameserver {bad}\n"))

    @pytest.mark.parametrize(
        ("text", "search"),
        [
            ("search a.example b.example\n", ("a.example", "b.example")),
            ("search A.Example. b.example\n", ("a.example", "b.example")),
            ("search a.example a.example\n", ("a.example",)),
            ("search a.example\nsearch b.example\n", ("b.example",)),  # the last one counts
            ("domain a.example\n", ("a.example",)),
            ("domain a.example\nsearch b.example\n", ("b.example",)),
            ("search b.example\ndomain a.example\n", ("a.example",)),
            ("search .\n", ()),  # what Docker and systemd write for "no search list"
            ("search\ta.example\tb.example\n", ("a.example", "b.example")),
            ("#search a.example\n;search b.example\n", ()),
            ("nameserver 10.0.0.1\r\nsearch a.example\r\n", ("a.example",)),
        ],
    )
    def test_search_and_domain(self, write: Write, text: str, search: tuple[str, ...]) -> None:
        assert read(write(text)).search == search

    @pytest.mark.parametrize(("hostname", "search"), [("box.a.example", ("a.example",)), ("box", ())])
    def test_without_either_the_hosts_domain_is_searched(
        self, write: Write, monkeypatch: pytest.MonkeyPatch, hostname: str, search: tuple[str, ...]
    ) -> None:
        monkeypatch.setattr(socket, "gethostname", lambda: hostname)
        assert read(write("nameserver 10.0.0.1\n")).search == search

    @pytest.mark.parametrize(
        ("options", "ndots"),
        [
            ("", 1),
            ("options ndots:5\n", 5),
            ("options ndots:0\n", 0),
            ("options edns0 ndots:2 timeout:1\n", 2),
            ("options ndots:99\n", 15),
            ("options ndots:-1\n", 0),
            ("options ndots:x\n", 1),
            ("options ndots\n", 1),
        ],
    )
    def test_ndots(self, write: Write, options: str, ndots: int) -> None:
        assert read(write(f"nameserver 10.0.0.1\n{options}")).ndots == ndots

    def test_comments_in_any_encoding(self, write: Write) -> None:
        assert read(write(b"# f\xfcr alle\nnameserver 10.0.0.1\n")).servers == (Server("10.0.0.1"),)

    def test_what_cannot_be_read_is_named(self, tmp_path: Path, write: Write) -> None:
        for path in (str(tmp_path / "missing"), str(tmp_path)):
            with pytest.raises(LookupFailed, match="nameservers=") as raised:
                read(path)
            assert path in str(raised.value)

    def test_a_suffix_that_is_no_name_costs_only_itself(self, write: Write) -> None:
        path = write(f"search {'x' * 64}.example a..b good.example\nnameserver 10.0.0.1\n")
        assert read(path).search == ("good.example",)

    words = st.sampled_from(
        [
            "nameserver",
            "search",
            "domain",
            "options",
            " ",
            "\n",
            "ndots:",
            "5",
            "10.0.0.1",
            "a.example",
            ".",
            "\\",
            "\0",
            "é",
        ]
    )

    @settings(deadline=None)
    @given(st.binary(max_size=80) | st.lists(words, max_size=20).map(lambda words: "".join(words).encode()))
    def test_any_file_is_a_configuration_or_a_failed_lookup(
        self, tmp_path_factory: pytest.TempPathFactory, data: bytes
    ) -> None:
        path = tmp_path_factory.getbasetemp() / "any-resolv.conf"
        path.write_bytes(data)
        try:
            conf = read(str(path))
        except LookupFailed:
            return
        assert conf.servers
        assert 0 <= conf.ndots <= 15
        assert all(suffix and not suffix.endswith(".") for suffix in conf.search)


class TestNames:
    CONF = ResolvConf((Server("10.0.0.1"),), ("moon.svc.cluster.local", "svc.cluster.local", "cluster.local", "lan"), 5)

    def test_few_dots_are_searched_first(self) -> None:
        assert self.CONF.candidates("web") == [
            "web.moon.svc.cluster.local",
            "web.svc.cluster.local",
            "web.cluster.local",
            "web.lan",
            "web",
        ]

    def test_many_dots_are_asked_as_they_are_first(self) -> None:
        conf = ResolvConf(self.CONF.servers, ("a.example", "b.example"), 1)
        assert conf.candidates("web.moon") == ["web.moon", "web.moon.a.example", "web.moon.b.example"]
        assert conf.candidates("web") == ["web.a.example", "web.b.example", "web"]

    def test_ndots_0_asks_every_name_as_it_is_first(self) -> None:
        assert ResolvConf(self.CONF.servers, ("a.example",), 0).candidates("web") == ["web", "web.a.example"]

    @pytest.mark.parametrize(("dots", "first"), [(1, "a.b.c.x.example"), (2, "a.b.c"), (3, "a.b.c.x.example")])
    def test_the_bound_is_ndots(self, dots: int, first: str) -> None:
        ndots = {1: 3, 2: 2, 3: 4}[dots]
        assert ResolvConf((), ("x.example",), ndots).candidates("a.b.c")[0] == first

    @pytest.mark.parametrize(
        ("name", "absolute"),
        [
            ("headless-svc.moon.svc.cluster.local", True),
            ("headless-svc.mars.svc.cluster.local", True),
            ("anything.cluster.local", True),
            ("printer.lan", False),  # a suffix of one label may be a service's last label, too
            ("cluster.local", False),  # the suffix itself is a name below nothing
            ("supercluster.local", False),
            ("web.moon", False),
            ("web", False),
        ],
    )
    def test_a_name_that_ends_in_a_suffix_is_whole(self, name: str, absolute: bool) -> None:
        assert self.CONF.is_absolute(name) is absolute
        assert (self.CONF.candidates(name) == [name]) is absolute

    def test_without_a_search_list_there_is_one_candidate(self) -> None:
        for ndots in (0, 1, 5):
            assert ResolvConf((), (), ndots).candidates("web") == ["web"]

    def test_candidates_longer_than_dns_allows_are_left_out(self) -> None:
        name = ".".join(["x" * 63] * 3)
        assert ResolvConf((), ("y" * 60 + ".a", "y" * 59 + ".a"), 5).candidates(name) == [f"{name}.{'y' * 59}.a", name]


class TestChanges:
    def test_read_once_while_it_stays(self, write: Write) -> None:
        file = ResolvConfFile(write(KUBERNETES))
        assert file.current() is file.current()

    def test_another_file_renamed_over_it(self, write: Write, tmp_path: Path) -> None:
        path = write(KUBERNETES)
        before = os.stat(path)
        file = ResolvConfFile(path)
        file.current()
        other = tmp_path / "new"
        other.write_text(KUBERNETES.replace("10.96.0.10", "10.96.0.11"))
        os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))  # as young and as long as the old one
        os.replace(other, path)
        assert os.stat(path).st_mtime_ns == before.st_mtime_ns
        assert os.stat(path).st_size == before.st_size
        assert file.current().servers == (Server("10.96.0.11", 53),)

    def test_a_link_to_another_directory(self, tmp_path: Path) -> None:
        """Kubelets swap a link to the directory that has the files (AtomicWriter)."""
        for name, address in (("one", "10.0.0.1"), ("two", "10.0.0.2")):
            (tmp_path / name).mkdir()
            (tmp_path / name / "resolv.conf").write_text(f"nameserver {address}\n")
        data, link = tmp_path / "..data", tmp_path / "resolv.conf"
        data.symlink_to("one")
        link.symlink_to("..data/resolv.conf")
        file = ResolvConfFile(str(link))
        assert file.current().servers == (Server("10.0.0.1"),)
        (tmp_path / "..tmp").symlink_to("two")
        os.replace(tmp_path / "..tmp", data)
        assert file.current().servers == (Server("10.0.0.2"),)

    def test_written_over(self, write: Write) -> None:
        file = ResolvConfFile(write(KUBERNETES))
        file.current()
        write(KUBERNETES + "nameserver 10.96.0.11\n")
        assert len(file.current().servers) == 2

    def test_what_was_read_stays_while_the_file_cannot_be_read(self, write: Write) -> None:
        path = write(KUBERNETES)
        file = ResolvConfFile(path)
        conf = file.current()
        os.unlink(path)
        assert file.current() is conf
        write("nameserver 10.0.0.256\n")
        assert file.current() is conf
        write("nameserver 10.0.0.2\n")
        assert file.current().servers == (Server("10.0.0.2"),)

    def test_a_file_that_never_was_may_still_come(self, write: Write, tmp_path: Path) -> None:
        file = ResolvConfFile(str(tmp_path / "resolv.conf"))
        for _ in range(2):
            with pytest.raises(LookupFailed, match="resolv_conf="):
                file.current()
        write(KUBERNETES)
        assert file.current().ndots == 5
