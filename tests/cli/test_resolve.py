"""`resolve` shows what the answer says, and says with its exit code whether anybody is there."""

from __future__ import annotations

import json
import re
import signal

import pytest

pytest.importorskip("typer")

from headless_discovery.testing import DNSServer
from headless_discovery.testing.cluster import Service

from .running import COLOUR, QUICK, Terminal, invoke, process, run, told

NAME = "headless-svc.moon.svc.cluster.local"


@pytest.fixture
def web(headless_dns: DNSServer) -> Service:
    return headless_dns.service("headless-svc", "moon", pods=["10.0.0.1", "10.0.0.2", "10.0.0.3"], ports={"http": 8080})


@pytest.fixture
def server(headless_dns: DNSServer) -> tuple[str, str]:
    return "--server", headless_dns.nameserver


def test_a_table_of_peers_and_where_they_are_from(
    headless_dns: DNSServer, web: Service, server: tuple[str, str]
) -> None:
    shown = invoke("resolve", NAME, "--port", "http", *server)
    assert shown.exit_code == 0
    lines = [line.split() for line in shown.stdout.splitlines()]
    assert lines[0] == ["ADDRESS", "PORT", "HOSTNAME", "PRIO", "WEIGHT", "TTL"]
    assert lines[1:4] == [[f"10.0.0.{n + 1}", "8080", f"web-{n}.{NAME}", "0", "1", "1"] for n in range(3)]
    (line,) = shown.stdout.splitlines()[5:]
    said = f"_http._tcp.{NAME}: SRV 3 records, TTL 1 s, from {headless_dns.nameserver} over UDP, 1 query, "
    assert re.fullmatch(re.escape(said) + r"\d+\.\d ms, complete", line)
    assert "\x1b" not in shown.stdout


def test_json_has_the_same(headless_dns: DNSServer, web: Service, server: tuple[str, str]) -> None:
    found = told(invoke("resolve", NAME, "--port", "http", *server, "--json"))
    assert found["target"] == NAME
    assert found["peers"][1] == {
        "address": "10.0.0.2",
        "port": 8080,
        "hostname": f"web-1.{NAME}",
        "priority": 0,
        "weight": 1,
        "identity": f"web-1.{NAME}",
    }
    assert len(found["peers"]) == 3
    assert found["complete"] is True
    assert found["queries"] == 1
    (lookup,) = found["lookups"]
    assert lookup.pop("seconds") == found["seconds"] > 0
    assert lookup.pop("bytes") > 200
    assert lookup == {
        "name": f"_http._tcp.{NAME}",
        "type": "SRV",
        "records": 3,
        "rcode": "NOERROR",
        "ttl": 1,
        "server": headless_dns.nameserver,
        "transport": "udp",
        "answers": 1,
        "queries": 1,
        "complete": True,
        "warning": None,
    }


def test_plain_addresses(web: Service, server: tuple[str, str]) -> None:
    shown = invoke("resolve", f"{NAME}:9000", *server)
    assert [line.split() for line in shown.stdout.splitlines()[1:2]] == [["10.0.0.1", "9000", "-", "0", "1", "1"]]
    assert told(invoke("resolve", NAME, *server, "--json"))["peers"][0] == {
        "address": "10.0.0.1",
        "port": None,
        "hostname": None,
        "priority": 0,
        "weight": 1,
        "identity": "10.0.0.1",
    }


def test_families(headless_dns: DNSServer, server: tuple[str, str]) -> None:
    headless_dns.record("both.example", "A", 5, "10.0.0.1")
    headless_dns.record("both.example", "AAAA", 5, "fd00::1")
    for family, found in (("auto", ["10.0.0.1"]), ("ipv6", ["fd00::1"]), ("any", ["10.0.0.1", "fd00::1"])):
        result = told(invoke("resolve", "both.example.", "--family", family, *server, "--json"))
        assert [peer["address"] for peer in result["peers"]] == found
    assert [lookup["type"] for lookup in result["lookups"]] == ["A", "AAAA"]


def test_a_peer_of_two_families_has_both_addresses(headless_dns: DNSServer, server: tuple[str, str]) -> None:
    headless_dns.service("dual", "moon", pods=[("10.0.0.1", "fd00::1")], ports={"http": 80}, family="dual")
    (peer,) = told(invoke("resolve", "dual.moon.svc.cluster.local", "-p", "http", *server, "--json"))["peers"]
    assert peer["addresses"] == ["10.0.0.1", "fd00::1"]


def test_an_address_is_its_own_answer() -> None:
    shown = invoke("resolve", "10.0.0.1:80")
    assert shown.exit_code == 0
    assert "nobody was asked" in shown.stdout
    assert told(invoke("resolve", "10.0.0.1:80", "--json"))["lookups"] == []


def test_nobody_there(headless_dns: DNSServer, server: tuple[str, str]) -> None:
    shown = invoke("resolve", "nope.moon.svc.cluster.local", *server)
    assert shown.exit_code == 3
    assert "no peers" in shown.stdout
    assert "A NXDOMAIN" in shown.stdout
    assert "headless-discovery doctor nope.moon.svc.cluster.local" in shown.stdout
    found = invoke("resolve", "nope.moon.svc.cluster.local", *server, "--json")
    assert found.exit_code == 3
    assert told(found)["peers"] == []
    assert told(found)["lookups"][0]["rcode"] == "NXDOMAIN"
    headless_dns.record("text.example", "AAAA", 5, "fd00::1")
    shown = invoke("resolve", "text.example.", "--family", "ipv4", *server)
    assert "A NODATA" in shown.stdout


def test_a_failed_lookup(headless_dns: DNSServer, web: Service, server: tuple[str, str]) -> None:
    headless_dns.fail("SERVFAIL")
    shown = invoke("resolve", NAME, *server)
    assert shown.exit_code == 4
    assert shown.stdout == ""
    assert shown.stderr == f"headless-discovery: {NAME} A: {headless_dns.nameserver} said SERVFAIL\n"
    found = invoke("resolve", NAME, *server, "--json")
    assert found.exit_code == 4
    assert told(found) == {
        "target": NAME,
        "peers": [],
        "error": f"{NAME} A: {headless_dns.nameserver} said SERVFAIL",
    }


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["a..b"], "'a..b': the name 'a..b' has an empty label"),
        (["a:80", "--port", "http"], "'a:80' has port 80, but --port http was given too"),
        (["dns://10.0.0.1/a", "--server", "10.0.0.2"], "leave out --server"),
        (["a", "--server", "nonsense"], "name server 'nonsense': must be an IP address"),
        (["a", "--timeout", "0"], "--timeout 0.0: must be a number of seconds, more than 0"),
        (["a", "--allow-network", "x"], "--allow-network x: 'x' does not appear to be an IPv4 or IPv6 network"),
        (["a", "--allow-network", "10.0.0.1/8"], "--allow-network 10.0.0.1/8: 10.0.0.1/8 has host bits set"),
        (["a", "--allow-network", "10.0.0.0/8", "--allow-network", ""], "--allow-network '': '' does not appear"),
        (["a", "--port", ""], "--port '' is neither a number nor a port name"),
    ],
)
def test_a_bad_target(arguments: list[str], said: str) -> None:
    shown = invoke("resolve", *arguments)
    assert shown.exit_code == 2
    assert said in shown.stderr
    found = invoke("resolve", *arguments, "--json")
    assert found.exit_code == 2
    assert said in told(found)["error"]
    assert told(found)["target"] == arguments[0]


def test_a_wrong_option() -> None:
    for arguments in (["a", "--family", "ipv5"], ["a", "--nonsense"], []):
        assert invoke("resolve", *arguments).exit_code == 2


def test_answers_that_are_cut(headless_dns: DNSServer, server: tuple[str, str]) -> None:
    headless_dns.service("big", "moon", pods=200, ports={"http": 8080})
    name = "big.moon.svc.cluster.local"
    found = told(invoke("resolve", name, *server, "--json"))
    assert len(found["peers"]) == 200
    assert (found["lookups"][0]["transport"], found["complete"]) == ("tcp", True)
    cut = invoke("resolve", name, *server, "--tcp", "never")
    assert re.search(r"over UDP in \d answers, \d queries, .* incomplete$", cut.stdout, re.MULTILINE)
    found = told(invoke("resolve", name, *server, "--tcp", "never", "--json"))
    assert (found["complete"], found["lookups"][0]["complete"]) == (False, False)


def test_several_names_of_which_one_fails(headless_dns: DNSServer, web: Service, server: tuple[str, str]) -> None:
    headless_dns.fail("REFUSED", name="other.example")
    shown = invoke("resolve", f"{NAME},other.example.", *server)
    assert shown.exit_code == 0
    assert f"other.example A: {headless_dns.nameserver} said REFUSED" in shown.stdout
    found = told(invoke("resolve", f"{NAME},other.example.", *server, "--json"))
    assert len(found["peers"]) == 3
    assert found["complete"] is False
    assert [lookup.get("error", "none")[-7:] for lookup in found["lookups"]] == ["none", "REFUSED"]
    assert invoke("resolve", "nope.moon.svc.cluster.local,other.example.", *server).exit_code == 3
    headless_dns.fail("REFUSED", name="nope.moon.svc.cluster.local")
    assert invoke("resolve", "nope.moon.svc.cluster.local,other.example.", *server).exit_code == 4


def test_what_is_odd_is_said(headless_dns: DNSServer, server: tuple[str, str]) -> None:
    headless_dns.cluster_ip_service("regular", "moon", ports={"http": 80})
    shown = invoke("resolve", "regular.moon.svc.cluster.local", "--port", "auto", *server)
    assert "is not headless: DNS gives its cluster IP, not its pods" in shown.stdout


def test_as_a_process(web: Service, server: tuple[str, str]) -> None:
    ran = run("resolve", NAME, "--port", "http", *server)
    assert (ran.returncode, ran.stderr) == (0, "")
    # One line is one peer, however long it is: nobody has a terminal of some width here.
    assert ran.stdout.splitlines()[1].split()[2] == f"web-0.{NAME}"
    ascii_only = run("resolve", "nope.moon.svc.cluster.local", *server, PYTHONUTF8="0", PYTHONIOENCODING="ascii")
    assert (ascii_only.returncode, ascii_only.stderr) == (3, "")
    assert ascii_only.stdout.isascii()


@pytest.mark.parametrize("encoding", ["latin-1", "ascii"])
def test_shortened_where_there_is_no_unicode(web: Service, server: tuple[str, str], encoding: str) -> None:
    ran = run("resolve", NAME, "--port", "http", *server, PYTHONUTF8="0", PYTHONIOENCODING=encoding, COLUMNS="60")
    assert ran.stderr == ""
    assert ran.returncode == 0
    rows = [line.split() for line in ran.stdout.splitlines() if line.startswith("10.")]
    assert len(rows) == len(web.pods)
    assert all(row[2].startswith("web-") and row[2].endswith("?") for row in rows)


@pytest.mark.parametrize("columns", [80, 60, 120])
def test_on_a_terminal(web: Service, server: tuple[str, str], columns: int) -> None:
    with Terminal("resolve", NAME, "--port", "http", *server, columns=columns) as terminal:
        assert terminal.end() == 0
    assert COLOUR.search(terminal.written) is None  # a table needs none, but bold and dim
    row = next(line for line in terminal.screen if line.startswith("10.0.0.2"))
    assert row.split()[0::5] == ["10.0.0.2", "1"], "a number gave way before the hostname did"
    assert row.split()[2] == f"web-1.{NAME}" if columns >= 80 else "…" in row
    assert " ".join(terminal.screen).count("complete") == 1


def test_no_color(headless_dns: DNSServer, server: tuple[str, str]) -> None:
    for environment, coloured in (({}, True), ({"NO_COLOR": "1"}, False)):
        with Terminal("resolve", "nope.moon.svc.cluster.local", *server, **environment) as terminal:
            assert terminal.end() == 3
        assert bool(COLOUR.search(terminal.written)) is coloured


def test_again_whenever_the_peers_change(headless_dns: DNSServer, web: Service, server: tuple[str, str]) -> None:
    with process("resolve", NAME, "--port", "http", *server, *QUICK, "--watch", "--json") as started:
        assert started.stdout is not None
        assert len(json.loads(started.stdout.readline())["peers"]) == 3
        headless_dns.fail("SERVFAIL")
        assert started.stderr is not None
        assert "said SERVFAIL" in started.stderr.readline()
        headless_dns.recover()
        assert f"DNS answers again: _http._tcp.{NAME}\n" in started.stderr.readline()
        web.scale(4)
        found = json.loads(started.stdout.readline())
        assert [peer["address"] for peer in found["peers"]] == [pod.address for pod in web.pods]
        assert found["lookups"][0]["records"] == 4
        started.send_signal(signal.SIGTERM)
        assert started.wait() == 0
        assert started.stdout.read() == ""


def test_watching_on_a_terminal_ends_with_ctrl_c(web: Service, server: tuple[str, str]) -> None:
    with Terminal("resolve", NAME, "--port", "http", *server, *QUICK, "--watch") as terminal:
        terminal.shows("complete")
        web.scale(1)
        terminal.shows("complete(.|\n)*SRV 1 record,(.|\n)*complete")
        terminal.process.sendintr()
        assert terminal.end() == 130
    assert "Traceback" not in terminal.written
