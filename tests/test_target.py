"""Targets: each row of the table in the documentation, and every way to write one wrongly."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from headless_discovery import AsyncHeadlessService, DiscoveryError, HeadlessService, Peer, TargetError
from headless_discovery.target import Question, Server, Target, parse, parse_server, parse_servers

rule = settings(deadline=None)

NAME = "headless-svc.moon.svc.cluster.local"


def one(target: Any, port: Any = None, **options: Any) -> Question:
    """The single question that a target stands for."""
    found = parse(target, port, **options)
    assert found.static == ()
    (question,) = found.questions
    return question


class TestNames:
    @pytest.mark.parametrize(
        ("target", "port", "question"),
        [
            (NAME, None, Question(NAME, False, "addresses")),
            (NAME, 8080, Question(NAME, False, "addresses", port=8080)),
            (NAME, "8080", Question(NAME, False, "addresses", port=8080)),
            (f"{NAME}:8080", None, Question(NAME, False, "addresses", port=8080)),
            (f"{NAME}:8080", 8080, Question(NAME, False, "addresses", port=8080)),
            (f"{NAME}:8080", "8080", Question(NAME, False, "addresses", port=8080)),
            (NAME, "http", Question(NAME, False, "srv", "_http._tcp")),
            (NAME, "HTTP", Question(NAME, False, "srv", "_http._tcp")),
            (NAME, "auto", Question(NAME, False, "auto")),
            (f"_http._tcp.{NAME}", None, Question(NAME, False, "srv", "_http._tcp")),
            (f"_http._udp.{NAME}", None, Question(NAME, False, "srv", "_http._udp")),
            ("headless-svc", None, Question("headless-svc", False, "addresses")),
            ("headless-svc.moon", "http", Question("headless-svc.moon", False, "srv", "_http._tcp")),
            (f"{NAME}.", 80, Question(NAME, True, "addresses", port=80)),
            (f"{NAME}.:80", None, Question(NAME, True, "addresses", port=80)),
            (f"_http._tcp.{NAME}.", None, Question(NAME, True, "srv", "_http._tcp")),
            (f"dns:///{NAME}:8080", None, Question(NAME, False, "addresses", port=8080)),
            (f"dns:///{NAME}", "auto", Question(NAME, False, "auto")),
            (f"dns:///_http._tcp.{NAME}", None, Question(NAME, False, "srv", "_http._tcp")),
            (f"dns://10.96.0.10:5300/{NAME}:80", None,
             Question(NAME, False, "addresses", port=80, server=Server("10.96.0.10", 5300))),
            (f"dns://10.96.0.10/{NAME}", None, Question(NAME, False, "addresses", server=Server("10.96.0.10", 53))),
            (f"dns://[::1]:53/{NAME}", "http",
             Question(NAME, False, "srv", "_http._tcp", server=Server("::1", 53))),
            (f"dns://[::1]/{NAME}", None, Question(NAME, False, "addresses", server=Server("::1", 53))),
            ("Headless-SVC.Moon", None, Question("headless-svc.moon", False, "addresses")),  # RFC 4343
            (f"  {NAME} \n", None, Question(NAME, False, "addresses")),
            ("dns", None, Question("dns", False, "addresses")),
            ("dns:53", None, Question("dns", False, "addresses", port=53)),
            ("my_db.old", None, Question("my_db.old", False, "addresses")),
            ("bücher.example", None, Question("xn--bcher-kva.example", False, "addresses")),
            ("1a.2b", None, Question("1a.2b", False, "addresses")),
        ],
    )  # fmt: skip
    def test_what_is_asked(self, target: str, port: Any, question: Question) -> None:
        assert one(target, port) == question

    def test_protocol_of_a_named_port(self) -> None:
        assert one(NAME, "dns", protocol="udp").prefix == "_dns._udp"
        assert one(NAME, "x", protocol="sctp").prefix == "_x._sctp"

    def test_zone_scoped_names(self) -> None:
        """CoreDNS, option `zonal`: `<zone>.<policy>._zone.<service>`."""
        assert one(NAME, zone="eu-1A").prefix == "eu-1a.prefer._zone"
        assert one(NAME, zone="eu-1a", zone_policy="pin").prefix == "eu-1a.pin._zone"
        assert one(NAME, "auto", zone="eu").prefix == "eu.prefer._zone"
        assert one(NAME, 8080, zone="rack_1.corp.example").prefix == "rack_1.corp.example.prefer._zone"

    def test_the_text_of_a_question_is_what_is_looked_up(self) -> None:
        assert str(one(NAME, "http")) == f"_http._tcp.{NAME}"
        assert str(one(NAME)) == NAME

    def test_the_longest_name(self) -> None:
        longest = ".".join(["x" * 63] * 3 + ["y" * 61])
        assert len(longest) == 253
        assert one(longest).name == longest
        assert one(f"{longest}.").name == longest

    def test_the_target_is_kept_as_written(self) -> None:
        assert parse(f" {NAME}:80 ").text == f"{NAME}:80"
        assert parse(["a:1", "b:2"]).text == "a:1,b:2"


class TestStaticPeers:
    @pytest.mark.parametrize(
        ("target", "port", "peer"),
        [
            ("10.0.0.1:8080", None, Peer("10.0.0.1", 8080)),
            ("10.0.0.1", 8080, Peer("10.0.0.1", 8080)),
            ("10.0.0.1", None, Peer("10.0.0.1")),
            ("10.0.0.1:8080", 8080, Peer("10.0.0.1", 8080)),
            ("[fd00::1]:8080", None, Peer("fd00::1", 8080)),
            ("[FD00:0::1]", 80, Peer("fd00::1", 80)),
            ("[fd00::1]", None, Peer("fd00::1")),
            ("fd00::1", 80, Peer("fd00::1", 80)),
            ("::1", None, Peer("::1")),
            ("[::ffff:10.0.0.1]:80", None, Peer("10.0.0.1", 80)),
            ("dns:///10.0.0.1:80", None, Peer("10.0.0.1", 80)),
            ("10.0.0.1:1", None, Peer("10.0.0.1", 1)),
            ("10.0.0.1:65535", None, Peer("10.0.0.1", 65535)),
        ],
    )
    def test_literals_are_never_looked_up(self, target: str, port: Any, peer: Peer) -> None:
        found = parse(target, port)
        assert found.questions == ()
        assert found.static == (peer,)


class TestSeveral:
    def test_in_one_text_or_a_list(self) -> None:
        expected = (Question("a", False, "addresses", port=1), Question("b", False, "addresses", port=2))
        for target in ("a:1,b:2", " a:1 , b:2 ", ["a:1", "b:2"], ("a:1", "b:2"), iter(["a:1", "b:2"])):
            assert parse(target) == Target(parse(target).text if isinstance(target, str) else "a:1,b:2", expected, ())

    def test_names_and_literals(self) -> None:
        found = parse("a,10.0.0.1,[fd00::1]:9", 9)
        assert found.questions == (Question("a", False, "addresses", port=9),)
        assert found.static == (Peer("10.0.0.1", 9), Peer("fd00::1", 9))

    def test_one_name_twice_is_one_membership(self) -> None:
        assert len(parse("a:1,A:1").questions) == 1
        assert len(parse("a:1,a:2").questions) == 2
        assert len(parse("a,a.").questions) == 2

    def test_each_with_its_own_server(self) -> None:
        found = parse("dns://10.0.0.1/a,dns://10.0.0.2/a,a")
        assert [q.server for q in found.questions] == [Server("10.0.0.1"), Server("10.0.0.2"), None]


# What was written, and what the error has to name.
WRONG = [
    # nothing
    ("", {}, "empty"),
    ("   ", {}, "empty"),
    ([], {}, "empty"),
    (",", {}, "empty part"),
    ("a,,b", {}, "empty part"),
    ("a,", {}, "empty part"),
    (["a", " "], {}, "empty part"),
    # not text
    (None, {}, "NoneType"),
    (80, {}, "int"),
    (b"name", {}, "bytes"),
    ([b"name"], {}, "b'name'"),
    (["a", None], {}, "None"),
    ([80], {}, "80"),
    # contradictions
    (f"{NAME}:8080", {"port": 9090}, "9090"),
    (f"{NAME}:8080", {"port": "http"}, "'http'"),
    (f"{NAME}:8080", {"port": "auto"}, "'auto'"),
    (f"a:1,{NAME}", {"port": 2}, "2"),
    ("10.0.0.1:80", {"port": 81}, "81"),
    ("[fd00::1]:80", {"port": 81}, "81"),
    ("10.0.0.1", {"port": "http"}, "'http'"),
    ("10.0.0.1", {"port": "auto"}, "'auto'"),
    ("[fd00::1]", {"port": "http"}, "'http'"),
    (f"_http._tcp.{NAME}", {"port": 80}, "80"),
    (f"_http._tcp.{NAME}", {"port": "http"}, "http"),
    (f"_http._tcp.{NAME}", {"port": "auto"}, "auto"),
    (f"_http._tcp.{NAME}:80", {}, "80"),
    (f"dns://10.0.0.1/{NAME}", {"nameservers": ["10.0.0.2"]}, "nameservers"),
    (f"dns://10.0.0.1/{NAME}", {"nameservers": ["10.0.0.1"]}, "nameservers"),
    # ports
    (f"{NAME}:", {}, "port ''"),
    (f"{NAME}:http", {}, "'http'"),
    (f"{NAME}:0", {}, "'0'"),
    (f"{NAME}:65536", {}, "'65536'"),
    (f"{NAME}:0000019999999999", {}, "'0000019999999999'"),
    (f"{NAME}:-1", {}, "'-1'"),
    (f"{NAME}:+1", {}, "'+1'"),
    (f"{NAME}:8_0", {}, "'8_0'"),
    (f"{NAME}:٨٠", {}, "'٨٠'"),
    (f"{NAME}:80 ,a", {}, None),  # blanks around parts are no fault
    (f"{NAME}: 80", {}, "' 80'"),
    (f"{NAME}:80/", {}, "'80/'"),
    ("10.0.0.1:", {}, "port ''"),
    ("10.0.0.1:99999", {}, "'99999'"),
    ("[fd00::1]:", {}, "port ''"),
    ("[fd00::1]:x", {}, "'x'"),
    (NAME, {"port": 0}, "port=0"),
    (NAME, {"port": -1}, "port=-1"),
    (NAME, {"port": 65536}, "port=65536"),
    (NAME, {"port": "0"}, "'0'"),
    (NAME, {"port": "65536"}, "'65536'"),
    (NAME, {"port": ""}, "port=''"),
    (NAME, {"port": "http!"}, "port='http!'"),
    (NAME, {"port": "ht tp"}, "port='ht tp'"),
    (NAME, {"port": "-http"}, "port='-http'"),
    (NAME, {"port": "http-"}, "port='http-'"),
    (NAME, {"port": "_http"}, "port='_http'"),
    (NAME, {"port": "http.x"}, "port='http.x'"),
    (NAME, {"port": "p" * 64}, "p" * 64),
    (NAME, {"port": "1-2"}, "port='1-2'"),
    (NAME, {"port": "höttp"}, "port='höttp'"),
    (NAME, {"port": "²"}, "port='²'"),
    (NAME, {"port": True}, "port=True"),
    (NAME, {"port": 80.0}, "port=80.0"),
    (NAME, {"port": [80]}, "port=[80]"),
    (NAME, {"port": b"http"}, "port=b'http'"),
    # names
    (":8080", {}, "no name"),
    (".", {}, "no name"),
    ("..", {}, "empty label"),
    ("a..b", {}, "empty label"),
    (".a", {}, "empty label"),
    ("a b", {}, "'a b'"),
    ("a/b", {}, "'a/b'"),
    ("a@b", {}, "'a@b'"),
    ("*.svc", {}, "'*'"),
    ("-a.b", {}, "'-a'"),
    ("a-.b", {}, "'a-'"),
    ("a\0b", {}, "label"),
    ("a\\046b", {}, "label"),
    ("x" * 64 + ".svc", {}, "longer than 63"),
    (".".join(["x" * 63] * 3 + ["y" * 62]), {}, "253"),
    (".".join(["x" * 63] * 3 + ["y" * 61]), {"port": "http"}, "253"),
    (".".join(["x" * 63] * 3 + ["y" * 61]), {"zone": "eu"}, "253"),
    ("ü" * 64 + ".x", {}, "ü" * 64),
    ("_http.moon.svc", {}, "_service._proto"),
    ("_http._tcp", {}, "_service._proto"),
    ("_http", {}, "_service._proto"),
    # literals
    ("10.0.0.256", {}, "'10.0.0.256'"),
    ("10.0.0", {}, "'10.0.0'"),
    ("010.0.0.1", {}, "'010.0.0.1'"),
    ("10.0.0.1.", {}, "'10.0.0.1.'"),
    ("1.2.3.4.5:80", {}, "'1.2.3.4.5'"),
    ("42", {}, "'42'"),
    ("web.42", {}, "'web.42'"),
    ("10.0.0.⑩", {}, "10.0.0.⑩"),
    ("fd00::1::2", {}, "'fd00::1::2'"),
    ("fd00:1", {}, None),  # a name and a port
    ("fe80::1%eth0", {}, "'fe80::1%eth0'"),
    ("[fd00::1", {}, "'['"),
    ("[fd00::1]80", {}, "'80'"),
    ("[10.0.0.1]:80", {}, "brackets"),
    ("[a]:80", {}, "brackets"),
    ("[]:80", {}, "brackets"),
    ("fd00::1]:80", {}, "fd00::1]:80"),
    # schemes
    ("http://a", {}, "'http'"),
    ("dns://a", {}, "dns:///name"),
    ("dns:///", {}, "write dns:///name"),
    ("dns://", {}, "write dns:///name"),
    ("dns:a", {}, "dns:///name"),
    ("dns:a:80", {}, "dns:///name"),
    ("://a", {}, "''"),
    ("dns:////a", {}, "'/a'"),
    ("dns://10.0.0.1//a", {}, "'/a'"),
    ("dns://ns.example/a", {}, "'ns.example'"),
    ("dns://10.0.0.1:x/a", {}, "'x'"),
    ("dns://10.0.0.1:0/a", {}, "'0'"),
    ("dns://[::1/a", {}, "'['"),
    ("dns://10.0.0.1,10.0.0.2/a", {}, "no name"),
    # the rest
    (NAME, {"protocol": "http"}, "protocol 'http'"),
    (NAME, {"protocol": "TCP"}, "protocol 'TCP'"),
    (NAME, {"protocol": None}, "protocol None"),
    (NAME, {"zone": ""}, "zone=''"),
    (NAME, {"zone": "a..b"}, "zone='a..b'"),
    (NAME, {"zone": "a.b."}, "zone='a.b.'"),
    (NAME, {"zone": "_a"}, "zone='_a'"),
    (NAME, {"zone": "a_"}, "zone='a_'"),
    (NAME, {"zone": "ü"}, "zone='ü'"),
    (NAME, {"zone": "a" * 32 + "." + "b" * 31}, "zone='aaa"),
    (NAME, {"zone": "eu", "port": "http"}, "zone= does not go with _http._tcp"),
    (NAME, {"zone": "eu", "port": "dns", "protocol": "udp"}, "zone= does not go with _dns._udp"),
    (f"_http._tcp.{NAME}", {"zone": "eu"}, "zone= does not go with _http._tcp"),
    (NAME, {"zone": 1}, "zone=1"),
    (NAME, {"zone": "eu", "zone_policy": "strict"}, "zone_policy='strict'"),
    (NAME, {"zone_policy": None}, "zone_policy=None"),
]  # fmt: skip


class TestWrong:
    @pytest.mark.parametrize(("target", "options", "fault"), [case for case in WRONG if case[2]])
    def test_each_fault_is_named(self, target: Any, options: dict[str, Any], fault: str) -> None:
        with pytest.raises(TargetError) as raised:
            parse(target, **options)
        assert fault in str(raised.value)
        assert isinstance(raised.value, ValueError)
        assert isinstance(raised.value, DiscoveryError)

    @pytest.mark.parametrize(("target", "options"), [case[:2] for case in WRONG if not case[2]])
    def test_what_only_looks_wrong(self, target: Any, options: dict[str, Any]) -> None:
        assert parse(target, **options).questions

    @pytest.mark.parametrize("cls", [HeadlessService, AsyncHeadlessService])
    @pytest.mark.parametrize(
        ("target", "options", "fault"),
        [
            (f"{NAME}:8080", {"port": 9090}, "9090"),
            (f"_http._tcp.{NAME}", {"port": 80}, "80"),
            (f"dns://10.0.0.1/{NAME}", {"nameservers": ["10.0.0.2"]}, "nameservers"),
            ("a..b", {}, "empty label"),
            (NAME, {"nameservers": ["ns.example"]}, "'ns.example'"),
            (NAME, {"nameservers": []}, "nameservers"),
            (NAME, {"family": "ipv5"}, "family='ipv5'"),
            (NAME, {"timeout": 0}, "timeout=0"),
            (NAME, {"allow_networks": ["10.0.0.1/8"]}, "allow_networks"),
            (NAME, {"exclude_self": "me"}, "exclude_self"),
        ],
    )
    def test_raised_at_construction(self, cls: Any, target: str, options: dict[str, Any], fault: str) -> None:
        with pytest.raises(TargetError, match=fault):
            cls(target, **options)

    def test_a_port_name_in_the_target_gets_a_hint(self) -> None:
        with pytest.raises(TargetError, match='port="http"'):
            parse(f"{NAME}:http")


# Text that comes close to what targets are made of.
pieces = st.lists(
    st.sampled_from(
        ["a", "svc", ".", ":", "::", "[", "]", "/", "//", "dns:", "dns://", ",", "_", "-", "_http", "_tcp", "80", "0",
         "10.0.0.1", "fd00::1", "ffff:", "%", " ", "\\", "\\046", "\n", "ü", "。", "٣", "²", "⑩", "xn--", "\0",
         "\ud800", "ß", "x" * 63, "1" * 99]
    ),
    max_size=12,
).map("".join)  # fmt: skip
texts = st.text(max_size=40) | pieces
ports = (
    st.none()
    | st.integers()
    | texts
    | st.sampled_from(["http", "auto", "80"])
    | st.booleans()
    | st.floats()
    | st.binary(max_size=4)
    | st.lists(st.integers(), max_size=2)
)


class TestAnything:
    @rule
    @given(texts | st.lists(texts, max_size=3), ports, st.none() | texts, st.booleans())
    @example("a:0000019999999999", None, None, False)
    @example("10.0.0.1:0000019999999999", None, None, False)
    @example("\ud800", None, None, False)
    @example("xn--\ud800.ü", None, None, False)
    def test_text_is_a_target_or_a_target_error(
        self, target: str | list[str], port: Any, zone: str | None, servers: bool
    ) -> None:
        try:
            found = parse(target, port, zone=zone, nameservers=["10.0.0.1"] if servers else None)
        except TargetError:
            return
        assert found.questions or found.static
        for question in found.questions:
            self._can_be_asked(question)
        for peer in found.static:
            assert peer.port is None or 1 <= peer.port <= 65535

    def _can_be_asked(self, question: Question) -> None:
        name = str(question)
        assert name.isascii()
        assert name == name.lower()
        assert 1 <= len(name) <= 253
        assert all(1 <= len(label) <= 63 for label in name.split("."))
        assert question.port is None or 1 <= question.port <= 65535
        assert question.records == "addresses" or question.port is None

    @rule
    @given(texts)
    def test_a_server_is_an_address_and_a_port(self, text: str) -> None:
        try:
            server = parse_server(text)
        except TargetError:
            return
        assert 1 <= server.port <= 65535
        assert parse_server(str(server)) == server

    labels = st.from_regex(r"[a-z]([a-z0-9-]{0,10}[a-z0-9])?", fullmatch=True)

    @rule
    @given(st.lists(labels, min_size=1, max_size=5), st.none() | st.integers(1, 65535), st.booleans(), st.booleans())
    def test_spellings_of_one_target_are_one_question(
        self, labels: list[str], port: int | None, absolute: bool, grpc: bool
    ) -> None:
        name = ".".join(labels)
        text = name + "." * absolute
        expected = Question(name, absolute, "addresses", port=port)
        assert one(text, port) == one(text.upper(), port) == expected
        written = text if port is None else f"{text}:{port}"
        if written.startswith("dns:"):
            return
        assert one(written) == one(f"dns:///{written}") == expected
        with_server = one(f"dns://[::1]:5300/{written}")
        assert with_server == dataclasses.replace(expected, server=Server("::1", 5300))


class TestServers:
    @pytest.mark.parametrize(
        ("text", "server"),
        [
            ("10.96.0.10", Server("10.96.0.10", 53)),
            ("127.0.0.1:5300", Server("127.0.0.1", 5300)),
            ("[::1]:53", Server("::1", 53)),
            ("[::1]", Server("::1", 53)),
            ("::1", Server("::1", 53)),
            ("FD00:0::1", Server("fd00::1", 53)),
            ("fe80::1%eth0", Server("fe80::1%eth0", 53)),
            ("[FE80::1%2]:5300", Server("fe80::1%2", 5300)),
            (" 10.0.0.1 ", Server("10.0.0.1", 53)),
        ],
    )
    def test_as_written(self, text: str, server: Server) -> None:
        assert parse_server(text) == server

    @pytest.mark.parametrize(
        "text",
        ["", "localhost", "ns.example:53", "10.0.0.1:", "10.0.0.1:0", "10.0.0.1:99999", "10.0.0.1:dns", "10.0.0.1.",
         "[::1", "[10.0.0.1]:53", "fe80::1%", "10.0.0.1%eth0", "fe80::1%eth 0", "https://10.0.0.1/dns-query", None, 53,
         b"10.0.0.1"],
    )  # fmt: skip
    def test_anything_else_is_named(self, text: Any) -> None:
        with pytest.raises(TargetError, match="name server") as raised:
            parse_server(text)
        assert str(text) in str(raised.value)

    def test_a_list_of_them(self) -> None:
        assert parse_servers(None) is None
        assert parse_servers(["10.0.0.1", "[::1]:54", "10.0.0.1:53"]) == (Server("10.0.0.1"), Server("::1", 54))
        assert parse_servers("10.0.0.1,10.0.0.2") == (Server("10.0.0.1"), Server("10.0.0.2"))
        empty: Iterable[str]
        for empty in ([], ()):
            with pytest.raises(TargetError, match="nameservers"):
                parse_servers(empty)

    def test_text_is_what_can_be_written(self) -> None:
        assert str(Server("10.0.0.1")) == "10.0.0.1:53"
        assert str(Server("::1", 54)) == "[::1]:54"
