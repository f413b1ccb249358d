"""`headless-discovery doctor` as a command: exit codes, text, JSON; and DNS servers that do anything at all."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("typer")
from typer.testing import Result

from headless_discovery.cli.doctor import interview
from headless_discovery.cli.doctor.report import healthy
from headless_discovery.testing import DNSServer
from headless_discovery.testing.faults import FAULTS

from . import running
from .doctoring import diagnose, resolv_conf
from .running import COLOUR, Terminal, process

NAME = "headless-svc.moon.svc.cluster.local"


@pytest.fixture
def dns() -> Iterator[DNSServer]:
    with DNSServer() as server:
        server.service("headless-svc", "moon", pods=3, ports={"http": 8080})
        server.service("unnamed", "moon", pods=3, ports=8080)
        yield server


def run(*arguments: str, **environment: str) -> Result:
    return running.invoke("doctor", *arguments, env=environment)


# --- exit codes --------------------------------------------------------------------------------------------------


def test_0_where_all_is_well(dns: DNSServer) -> None:
    ran = run(NAME, "--port", "http", "--server", dns.nameserver)
    assert ran.exit_code == 0, ran.output
    assert "3 peers: 1 query" in ran.stdout
    assert "nothing is wrong" in ran.stdout


def test_0_where_there_are_notes_only(dns: DNSServer) -> None:
    ran = run(NAME, "--port", "8080", "--server", dns.nameserver)
    assert ran.exit_code == 0, ran.output
    assert "NOTE" in ran.stdout
    assert "nothing is wrong (1 note)" in ran.stdout


def test_1_for_a_problem(dns: DNSServer) -> None:
    ran = run("unnamed.moon.svc.cluster.local", "--port", "http", "--server", dns.nameserver)
    assert ran.exit_code == 1, ran.output
    for part in ("PROBLEM", "[port-not-named]", "evidence", "NXDOMAIN", dns.nameserver, "why", "cure", 'port="auto"'):
        assert part in ran.stdout
    assert ran.stdout.endswith("1 problem; more in docs/doctor.md\n")


def test_1_for_a_warning(dns: DNSServer) -> None:
    ran = run(NAME, "--port", "80", "--server", dns.nameserver)
    assert ran.exit_code == 1, ran.output
    assert "WARNING" in ran.stdout
    assert "1 warning, 1 note;" in ran.stdout


@pytest.mark.parametrize(
    "arguments",
    [["a..b"], ["name:99999"], [NAME, "--server", "dns.example"], [NAME, "--family", "ipx"], [], [NAME, "-t", "0"]],
)
def test_2_for_a_bad_target_or_option(arguments: list[str]) -> None:
    ran = run(*arguments)
    assert ran.exit_code == 2, ran.output
    assert ran.stderr


def test_4_where_nobody_can_be_asked(tmp_path: Path) -> None:
    ran = run(NAME, "--resolv-conf", str(tmp_path / "none"))
    assert ran.exit_code == 4, ran.output
    assert "cannot be read" in ran.stderr
    assert "--server" in ran.stderr
    assert ran.stdout == ""


def test_fixed_peers_are_not_asked_for(dns: DNSServer) -> None:
    ran = run("10.0.0.1:80")
    assert ran.exit_code == 0, ran.output
    assert "1 peer, fixed: nothing to ask DNS" in ran.stdout
    assert dns.queries == []


# --- JSON --------------------------------------------------------------------------------------------------------

PROOF = {
    "text": str,
    "name": str,
    "type": str,
    "server": str,
    "transport": str,
    "edns": bool,
    "seconds": float,
    "rcode": (str, type(None)),
    "records": int,
    "ttl": (int, type(None)),
    "truncated": bool,
    "problem": (str, type(None)),
}
FINDING = {"about": str, "code": str, "level": str, "what": str, "why": str, "cures": [str], "evidence": list}
FACTS = {
    "about": str,
    "name": str,
    "exists": bool,
    "candidates": [str],
    "servers": [str],
    "answering": [str],
    "questions": int,
    "lookup": {"error": (str, type(None)), "queries": int, "later_queries": (int, type(None))},
}
PEER = {
    "address": str,
    "port": (int, type(None)),
    "hostname": (str, type(None)),
    "priority": int,
    "weight": int,
    "identity": str,
}
SCHEMA = {
    "target": str,
    "peers": [PEER],
    "healthy": bool,
    "findings": [FINDING],
    "names": [FACTS],
    "connections": [{"text": str, "peer": str, "seconds": float, "problem": str}],
}


def check(value: Any, schema: Any, path: str = "$") -> None:
    """These keys and no others, each of its type."""
    if isinstance(schema, dict):
        assert isinstance(value, dict), path
        assert list(value) == list(schema), path
        for key, inner in schema.items():
            check(value[key], inner, f"{path}.{key}")
    elif isinstance(schema, list):
        assert isinstance(value, list), path
        for number, item in enumerate(value):
            check(item, schema[0], f"{path}[{number}]")
    else:
        assert isinstance(value, schema), (path, value)


def test_json(dns: DNSServer) -> None:
    dns.service("local", "moon", pods=["127.0.0.1"], ports={"none": 1})
    target = f"{NAME}:80,nosuch.moon.svc.cluster.local,local.moon.svc.cluster.local:1"
    ran = run(target, "--json", "--server", dns.nameserver)
    assert ran.exit_code == 1, ran.output
    value = json.loads(ran.stdout)
    check(value, SCHEMA)
    assert value["target"] == target
    assert value["healthy"] is False
    assert [peer["port"] for peer in value["peers"]] == [80, 80, 80, 1]
    found = {(finding["about"], finding["code"]): finding for finding in value["findings"]}
    assert {(NAME, "port-differs"), ("nosuch.moon.svc.cluster.local", "no-such-name")} <= set(found)
    assert [level for about, level in ((f["about"], f["level"]) for f in value["findings"]) if about == NAME] == [
        "warning",
        "note",
    ], "the worst comes first"
    for finding in value["findings"]:
        assert finding["level"] in ("problem", "warning", "note")
        for proof in finding["evidence"]:
            check(proof, PROOF if "name" in proof else {"text": str})
    (proof, *_) = found["nosuch.moon.svc.cluster.local", "no-such-name"]["evidence"]
    assert (proof["name"], proof["type"], proof["server"]) == ("nosuch.moon.svc.cluster.local", "A", dns.nameserver)
    assert (proof["rcode"], proof["records"], proof["ttl"]) == ("NXDOMAIN", 0, None)
    assert [facts["exists"] for facts in value["names"]] == [True, False, True]
    assert [facts["lookup"]["queries"] for facts in value["names"]] == [1, 2, 1], "before NXDOMAIN is believed, AAAA"


def test_json_of_connections(dns: DNSServer) -> None:
    dns.service("local", "moon", pods=["127.0.0.1"], ports={"none": 1})
    ran = run("local.moon.svc.cluster.local", "-p", "none", "--json", "--connect", "-s", dns.nameserver)
    assert ran.exit_code == 1, ran.output
    value = json.loads(ran.stdout)
    check(value, SCHEMA)
    assert [c["peer"] for c in value["connections"]] == ["127.0.0.1:1"]
    assert value["connections"][0]["problem"] == "connection refused"


def test_json_of_a_healthy_service(dns: DNSServer) -> None:
    ran = run(NAME, "-p", "http", "--json", "-s", dns.nameserver)
    assert ran.exit_code == 0, ran.output
    value = json.loads(ran.stdout)
    check(value, SCHEMA)
    assert value["healthy"] is True
    assert value["findings"] == []
    assert value["names"][0]["answering"] == [dns.nameserver]


# --- what is shown where -----------------------------------------------------------------------------------------


def test_plain_text_where_there_is_no_terminal(dns: DNSServer) -> None:
    ran = running.run("doctor", NAME, "-p", "80", "-s", dns.nameserver)
    assert ran.returncode == 1, ran.stdout + ran.stderr
    assert ran.stderr == ""
    assert "\x1b" not in ran.stdout
    (line,) = [line for line in ran.stdout.splitlines() if line.startswith("WARNING")]
    assert line.endswith("[port-differs]"), "a line was broken"


@pytest.mark.parametrize("columns", [60, 100])
def test_progress_colours_and_text_that_fits_on_a_terminal(dns: DNSServer, columns: int) -> None:
    dns.fail("slow", delay=0.3, times=4)
    with Terminal("doctor", NAME, "-p", "80", "-s", dns.nameserver, columns=columns, lines=60) as terminal:
        terminal.shows("asking 1 DNS server")
        assert terminal.end() == 1
    assert COLOUR.search(terminal.written)
    start = next(number for number, line in enumerate(terminal.screen) if line.startswith("why"))
    assert terminal.screen[start + 1].startswith(" " * 10), "text goes on below its label"
    assert not any(line.startswith("asking") for line in terminal.screen), "progress was left standing"


def test_no_color_is_heeded(dns: DNSServer) -> None:
    with Terminal("doctor", NAME, "-p", "80", "-s", dns.nameserver, NO_COLOR="1") as terminal:
        assert terminal.end() == 1
    assert not COLOUR.search(terminal.written)


def test_ascii_where_there_is_no_unicode(dns: DNSServer) -> None:
    for target in (NAME, "nosuch." + NAME):
        ran = running.run(
            "doctor", target, "-p", "http", "-s", dns.nameserver, PYTHONUTF8="0", PYTHONIOENCODING="ascii"
        )
        assert ran.stdout.isascii()
        assert "nothing is wrong" in ran.stdout or "1 problem" in ran.stdout


@pytest.mark.parametrize("arguments", [[], ["--json"]])
def test_ctrl_c(dns: DNSServer, arguments: list[str]) -> None:
    dns.fail("timeout")
    with process("doctor", NAME, "-s", dns.nameserver, *arguments) as started:
        dns.wait_for_queries(1, timeout=30)
        started.send_signal(signal.SIGINT)
        out, err = started.communicate()
    assert started.returncode == 130
    assert (out, err) == ("", "")


def test_help_has_examples() -> None:
    shown = run("--help").stdout
    assert "headless-discovery doctor headless-svc.moon" in shown
    assert "--connect" in shown
    assert "Exit codes" in shown


# --- DNS servers that do anything --------------------------------------------------------------------------------

OPTIONS = {"rcode": {"code": 23}, "slow": {"delay": 0.02}, "tcp-dribble": {"delay": 0.0}}


@pytest.mark.parametrize("fault", sorted(FAULTS))
def test_no_fault_is_too_much(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It ends with a diagnosis; and where the library finds nobody, all is never well."""
    monkeypatch.setattr(interview, "WAIT", 0.2)
    monkeypatch.setattr(interview, "TCP_EXCHANGE", 0.2)
    with DNSServer() as dns:
        dns.service("headless-svc", "moon", pods=3, ports={"http": 8080})
        dns.fail(fault, **OPTIONS.get(fault, {}))
        for port in ("http", "auto", 8080):
            (found,) = diagnose(dns, NAME, port, timeout=0.3)
            assert found.peers or not healthy([found])
            for finding in found.findings:
                assert json.dumps(finding.json())
        dns.release()


def test_nor_are_all_servers_of_a_long_list_dead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The whole interview has a limit."""
    monkeypatch.setattr(interview, "WAIT", 0.2)
    monkeypatch.setattr(interview, "TCP_EXCHANGE", 0.2)
    monkeypatch.setattr(interview, "LIMIT", 0.5)
    with ExitStack() as stack:
        servers = [stack.enter_context(DNSServer()) for _ in range(12)]
        for server in servers:
            server.fail("timeout")
        conf = resolv_conf(tmp_path, *(server.nameserver for server in servers))
        (found,) = diagnose(None, NAME, "http", timeout=0.3, resolv_conf=conf)
    assert [finding.code for finding in found.findings] == ["server-silent"]
    assert any("was not asked" in str(proof) for proof in found.findings[0].evidence)
