"""`doctor`: one test for each finding, against a DNS server with exactly that trouble; none where all is well."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("typer")
from headless_discovery.cli.doctor import gather, interview, servers
from headless_discovery.cli.doctor.report import healthy
from headless_discovery.testing import DNSServer, Exchange, Send

from .doctoring import diagnose, findings, resolv_conf

ROOT = Path(__file__).resolve().parents[2]
SOURCES = ROOT / "src" / "headless_discovery" / "cli" / "doctor"
DOCS = ROOT / "docs" / "doctor.md"
SEARCH = "default.svc.cluster.local svc.cluster.local cluster.local"


@pytest.fixture
def dns() -> Iterator[DNSServer]:
    with DNSServer(seed=7) as server:
        yield server


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """For servers that say nothing: wait less for them."""
    monkeypatch.setattr(interview, "WAIT", 0.5)
    monkeypatch.setattr(interview, "TCP_EXCHANGE", 0.5)


# --- all is well -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("port", ["http", "auto"])
@pytest.mark.parametrize("cache", [True, False])
def test_a_healthy_service_has_no_finding(port: str, cache: bool) -> None:
    with DNSServer(cache=cache) as dns:
        web = dns.service("headless-svc", "moon", pods=3, ports={"http": 8080})
        assert findings(dns, web.name, port) == {}


@pytest.mark.parametrize("pods", [1, 2, 30])
def test_nor_has_one_of_another_size(dns: DNSServer, pods: int) -> None:
    web = dns.service("headless-svc", "moon", pods=pods, ports={"http": 8080})
    assert findings(dns, web.name, "http") == {}


def test_nor_has_one_of_both_families(dns: DNSServer) -> None:
    web = dns.service("headless-svc", "moon", family="dual", ports={"http": 8080})
    assert findings(dns, web.name, "http") == findings(dns, web.name, "http", family="any") == {}


def test_nor_one_in_a_pod_by_its_short_name(dns: DNSServer, tmp_path: Path) -> None:
    dns.service("headless-svc", "moon", pods=3, ports={"http": 8080})
    conf = resolv_conf(tmp_path, dns.nameserver, search=SEARCH.replace("default", "moon"))
    assert findings(None, "headless-svc", "http", resolv_conf=conf) == {}


def test_nor_several_names_at_once(dns: DNSServer) -> None:
    one = dns.service("one", "moon", ports={"http": 8080})
    two = dns.service("two", "moon", ports={"http": 8080})
    found = diagnose(dns, f"{one.name},{two.name},10.0.0.1:80")
    assert [diagnosis.name for diagnosis in found] == [one.name, two.name, "10.0.0.1:80"]
    assert healthy(found)


def test_a_deployment_gets_a_note_and_no_more(dns: DNSServer) -> None:
    web = dns.service("headless-svc", "moon", ports={"http": 8080}, hostnames=None)
    found = diagnose(dns, web.name, "http")
    assert [finding.code for finding in found[0].findings] == ["identity-is-address"]
    assert healthy(found)


# --- names -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("port", [None, "http", "auto"])
def test_no_such_service(dns: DNSServer, port: str | None) -> None:
    dns.service("headless-svc", "moon", ports={"http": 8080})
    found = findings(dns, "headles-svc.moon.svc.cluster.local", port)
    assert set(found) == {"no-such-name"}
    finding = found["no-such-name"]
    assert finding.level == "problem"
    assert "no such Service, or none of its pods is ready" in finding.what
    assert "kubectl get service headles-svc -n moon" in finding.cures[0]
    assert "publishNotReadyAddresses" in finding.cures[2]
    assert [str(proof).split(",")[0] for proof in finding.evidence[:2]] == [
        "headles-svc.moon.svc.cluster.local A",
        "moon.svc.cluster.local A",
    ]
    assert "NXDOMAIN" in str(finding.evidence[0])
    assert "NODATA" in str(finding.evidence[1])


def test_no_ready_pod_looks_the_same(dns: DNSServer) -> None:
    web = dns.service("headless-svc", "moon", ports={"http": 8080})
    for pod in web.pods:
        web.set_ready(pod, False)
    assert set(findings(dns, web.name, "http")) == {"no-such-name"}


def test_no_such_namespace(dns: DNSServer) -> None:
    dns.service("headless-svc", "moon")
    found = findings(dns, "headless-svc.mon.svc.cluster.local")
    assert set(found) == {"no-such-namespace"}
    assert "no namespace 'mon'" in found["no-such-namespace"].what


def test_no_namespace_in_the_name(dns: DNSServer) -> None:
    dns.service("headless-svc", "moon")
    found = findings(dns, "headless-svc.svc.cluster.local")
    assert set(found) == {"no-namespace"}
    assert "headless-svc.NAMESPACE.svc.cluster.local" in found["no-namespace"].cures[0]


def test_no_such_domain(dns: DNSServer) -> None:
    dns.service("headless-svc", "moon")
    dns.add_zone("local")
    found = findings(dns, "headless-svc.moon.svc.clusterx.local")
    assert set(found) == {"no-such-domain"}
    assert found["no-such-domain"].what.startswith("clusterx.local does not exist")
    assert "SERVICE.NAMESPACE" in found["no-such-domain"].cures[0]


def test_the_domain_of_the_cluster_is_another(tmp_path: Path) -> None:
    with DNSServer(zone="k8s.example") as dns:
        dns.service("headless-svc", "moon")
        dns.fail("servfail", name="*.cluster.local")
        search = SEARCH.replace("cluster.local", "k8s.example")
        conf = resolv_conf(tmp_path, dns.nameserver, search=search)
        found = findings(None, "headless-svc.moon.svc.cluster.local", resolv_conf=conf)
        assert set(found) == {"no-such-domain", "server-fails"}
        finding = found["no-such-domain"]
        assert "the domain of this cluster is k8s.example, not cluster.local" in finding.what
        assert "headless-svc.moon.svc.k8s.example" in finding.cures[0]
        assert set(findings(None, "headless-svc.moon", resolv_conf=conf)) == {"search-list"}


def test_one_of_the_names_that_are_tried_fails(dns: DNSServer, tmp_path: Path) -> None:
    """As where CoreDNS cannot reach those whom it asks for names of the world: the short name itself fails."""
    web = dns.service("headless-svc", "moon")
    dns.fail("servfail", name="*.moon")
    conf = resolv_conf(tmp_path, dns.nameserver, search=SEARCH)
    found = findings(None, "nosuch-svc.moon", resolv_conf=conf)
    assert {code: finding.level for code, finding in found.items()} == {
        "no-such-name": "problem",
        "name-fails": "problem",
    }
    assert found["no-such-name"].what.startswith("nosuch-svc.moon.svc.cluster.local does not exist")
    assert "nosuch-svc.moon, one of 4 names" in found["name-fails"].what
    assert "SERVFAIL" in found["name-fails"].what
    # It does not matter where another name is found before.
    assert set(findings(None, "headless-svc.moon", resolv_conf=conf)) == {"search-list"}
    # Where it comes before the one that exists, nobody is found.
    dns.fail("servfail", name="*.default.svc.cluster.local")
    assert set(findings(None, "headless-svc.moon", resolv_conf=conf)) == {"name-fails"}
    assert findings(None, web.name, resolv_conf=conf) == {}


def test_a_failure_is_no_proof_that_nobody_is_there(dns: DNSServer, tmp_path: Path) -> None:
    dns.service("headless-svc", "moon")
    dns.add_zone("moon")
    dns.fail("servfail", name="*.moon.svc.cluster.local")
    conf = resolv_conf(tmp_path, dns.nameserver, search=SEARCH)
    assert set(findings(None, "headless-svc.moon", resolv_conf=conf)) == {"server-fails"}


def test_nodata_is_told_apart(dns: DNSServer) -> None:
    dns.service("headless-svc", "moon")
    found = findings(dns, "moon.svc.cluster.local")
    assert set(found) == {"no-records"}
    assert "NODATA" in str(found["no-records"].evidence[0])


def test_port_is_not_named(dns: DNSServer) -> None:
    web = dns.service("headless-svc", "moon", ports=8080)
    found = findings(dns, web.name, "http")
    assert set(found) == {"port-not-named"}
    finding = found["port-not-named"]
    assert finding.level == "problem"
    assert 'port="auto"' in finding.cures[1]
    assert "port=8080" in finding.cures[2]
    assert "NXDOMAIN" in str(finding.evidence[0])
    assert "8080" in str(finding.evidence[1])


def test_port_is_not_named_where_there_are_no_ports(dns: DNSServer) -> None:
    web = dns.service("headless-svc", "moon")
    finding = findings(dns, web.name, "http")["port-not-named"]
    assert "no ports at all" in finding.why
    assert 'port="auto"' not in " ".join(finding.cures)


def test_port_of_another_protocol(dns: DNSServer) -> None:
    web = dns.service("headless-svc", "moon", ports={"quic": (443, "udp")})
    found = findings(dns, web.name, "quic")
    assert set(found) == {"port-protocol"}
    assert 'protocol="udp"' in found["port-protocol"].cures[0]


def test_several_ports(dns: DNSServer) -> None:
    web = dns.service("headless-svc", "moon", ports={"http": 8080, "metrics": 9090})
    found = findings(dns, web.name, "auto")
    assert set(found) == {"several-ports"}
    assert "8080, 9090" in found["several-ports"].what


def test_no_ports(dns: DNSServer) -> None:
    web = dns.service("headless-svc", "moon")
    found = findings(dns, web.name, "auto")
    assert set(found) == {"no-ports"}
    assert found["no-ports"].level == "warning"


@pytest.mark.parametrize(("zones", "policy"), [(("eu-a",), "pin"), ((), "prefer")])
def test_no_pod_in_the_zone(dns: DNSServer, zones: tuple[str, ...], policy: str) -> None:
    web = dns.service("headless-svc", "moon", zones=zones)
    if not zones:  # as CoreDNS without `zonal`
        dns.fail("nxdomain", name=f"*._zone.{web.name}")
    found = findings(dns, web.name, zone="eu-b", zone_policy=policy)
    assert set(found) == {"no-zone"}


@pytest.mark.parametrize("port", [None, "auto", "http", 8080])
def test_not_headless(dns: DNSServer, port: int | str | None) -> None:
    regular = dns.cluster_ip_service("regular-svc", "moon", ports={"http": 80})
    found = findings(dns, regular.name, port)
    assert set(found) == {"not-headless"}
    assert "clusterIP: None" in found["not-headless"].cures[0]
    assert f"{regular.name}:80" in str(found["not-headless"].evidence[0])
    assert "1 record" in str(found["not-headless"].evidence[1])


def test_search_list(dns: DNSServer, tmp_path: Path) -> None:
    dns.service("headless-svc", "moon", ports={"http": 8080})
    dns.record("peers.example.com", "A", 5, "10.0.0.1")
    conf = resolv_conf(tmp_path, dns.nameserver, search=SEARCH)
    found = findings(None, "peers.example.com", resolv_conf=conf)
    assert set(found) == {"search-list"}
    finding = found["search-list"]
    assert finding.level == "warning"
    assert finding.what.startswith("3 other names are tried before peers.example.com")
    assert "takes 4 queries, later ones 1" in finding.what
    assert "peers.example.com." in finding.cures[0]
    assert len(finding.evidence) == 4
    # One name too many is what short names cost: good to know, no more.
    assert findings(None, "headless-svc.moon", "http", resolv_conf=conf)["search-list"].level == "note"


def test_wildcard(dns: DNSServer, tmp_path: Path) -> None:
    web = dns.service("headless-svc", "moon", ports={"http": 8080})
    dns.record("*.moon.svc.cluster.local", "A", 5, "10.66.6.6")
    found = findings(dns, web.name, "http")
    assert set(found) == {"wildcard"}
    assert "10.66.6.6" in found["wildcard"].what


# --- servers -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["timeout", "unreachable"])
@pytest.mark.usefixtures("hasty")
def test_no_server_answers(dns: DNSServer, how: str) -> None:
    web = dns.service("headless-svc", "moon", ports={"http": 8080})
    dns.fail(how)
    dns.fail("tcp-refused")
    found = findings(dns, web.name, "http", timeout=0.5)
    assert set(found) == {"server-silent"}
    assert found["server-silent"].level == "problem"
    assert {str(proof).split(": ")[0].split(" by ")[1] for proof in found["server-silent"].evidence} == {
        "UDP",
        "UDP without EDNS",
        "TCP",
    }


@pytest.mark.usefixtures("hasty")
def test_one_server_does_not_answer(dns: DNSServer, tmp_path: Path) -> None:
    web = dns.service("headless-svc", "moon", ports={"http": 8080})
    with DNSServer() as dead:
        dead.fail("timeout")
        conf = resolv_conf(tmp_path, dead.nameserver, dns.nameserver)
        found = findings(None, web.name, "http", resolv_conf=conf)
        assert set(found) == {"server-silent"}
        assert found["server-silent"].level == "warning"
        assert f"{dead.nameserver} does not answer, {dns.nameserver} does" in found["server-silent"].what
        assert "first" in found["server-silent"].why


@pytest.mark.usefixtures("hasty")
def test_udp_blocked(dns: DNSServer) -> None:
    web = dns.service("headless-svc", "moon", ports={"http": 8080})
    dns.fail("timeout", transport="udp")
    found = findings(dns, web.name, "http", timeout=0.5)
    assert set(found) == {"udp-blocked"}
    assert findings(dns, web.name, "http", tcp="always") == {}


@pytest.mark.parametrize(
    ("fault", "code", "says"),
    [
        ("servfail", "server-fails", "SERVFAIL"),
        ("unsynced", "server-fails", "has not heard from the Kubernetes API"),
        ("refused", "server-fails", "REFUSED"),
        ("notimp", "server-fails", "NOTIMP"),
        ("lame", "server-lame", "is no resolver"),
    ],
)
def test_failing_servers(dns: DNSServer, tmp_path: Path, fault: str, code: str, says: str) -> None:
    web = dns.service("headless-svc", "moon", ports={"http": 8080})
    dns.fail(fault)
    found = findings(dns, web.name, "http")
    assert set(found) == {code}
    assert found[code].level == "problem"
    assert says in found[code].what
    with DNSServer() as good:
        good.service("headless-svc", "moon", ports={"http": 8080})
        conf = resolv_conf(tmp_path, dns.nameserver, good.nameserver)
        found = findings(None, web.name, "http", resolv_conf=conf)
        assert {code: finding.level for code, finding in found.items()} == {code: "warning"}


def test_servers_disagree(dns: DNSServer, tmp_path: Path) -> None:
    web = dns.service("headless-svc", "moon", ports={"http": 8080})
    with DNSServer() as other:
        conf = resolv_conf(tmp_path, dns.nameserver, other.nameserver)
        found = findings(None, web.name, "http", resolv_conf=conf)
        assert set(found) == {"servers-disagree"}
        assert found["servers-disagree"].level == "problem"
        assert f"{other.nameserver} says there is none" in found["servers-disagree"].what


def test_servers_name_different_peers(dns: DNSServer, tmp_path: Path) -> None:
    web = dns.service("headless-svc", "moon", pods=3, ports={"http": 8080})
    with DNSServer() as other:
        other.service("headless-svc", "moon", pods=2, ports={"http": 8080})
        conf = resolv_conf(tmp_path, dns.nameserver, other.nameserver)
        found = findings(None, web.name, "http", resolv_conf=conf)
        assert set(found) == {"servers-differ"}
        assert found["servers-differ"].level == "warning"


def test_servers_that_differ_in_weights_name_the_same_peers(dns: DNSServer, tmp_path: Path) -> None:
    with DNSServer() as other:
        for server, weight in ((dns, 10), (other, 20)):
            server.add_zone("example.com")
            server.record("_http._tcp.peers.example.com", "SRV", 5, f"0 {weight} 80 a.example.com.")
            server.record("a.example.com", "A", 5, "10.0.0.1")
        conf = resolv_conf(tmp_path, dns.nameserver, other.nameserver)
        assert findings(None, "peers.example.com", "http", resolv_conf=conf) == {}


@pytest.mark.parametrize("glue", [0, 1])
@pytest.mark.parametrize("reverse", [False, True])
def test_servers_of_which_one_sends_no_addresses_along_name_the_same_peers(
    dns: DNSServer, tmp_path: Path, glue: int, reverse: bool
) -> None:
    with DNSServer() as other:
        web = dns.service("headless-svc", "moon", pods=["10.0.0.1", "10.0.0.2"], ports={"http": 8080})
        other.service("headless-svc", "moon", pods=["10.0.0.1", "10.0.0.2"], ports={"http": 8080}, glue=glue)
        servers = [other.nameserver, dns.nameserver] if reverse else [dns.nameserver, other.nameserver]
        conf = resolv_conf(tmp_path, *servers)
        assert findings(None, web.name, "http", resolv_conf=conf) == {}


def test_servers_that_differ_in_addresses_alone(dns: DNSServer, tmp_path: Path) -> None:
    with DNSServer() as other:
        web = dns.service("headless-svc", "moon", pods=["10.0.0.1"], ports={"http": 8080})
        other.service("headless-svc", "moon", pods=["10.0.0.2"], ports={"http": 8080})
        conf = resolv_conf(tmp_path, dns.nameserver, other.nameserver)
        assert set(findings(None, web.name, "http", resolv_conf=conf)) == {"servers-differ"}


def test_slow_server(dns: DNSServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(servers, "LATE", 0.1)
    monkeypatch.setattr(interview, "REPEATS", 2)
    web = dns.service("headless-svc", "moon", ports={"http": 8080})
    dns.fail("slow", delay=0.2)
    found = findings(dns, web.name, "http")
    assert set(found) == {"server-slow"}
    dns.recover()
    dns.fail("slow", delay=0.2, times=3)  # once in a while is no finding
    assert findings(dns, web.name, "http") == {}


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("fault", ["timeout", "servfail"])
def test_questions_get_lost(dns: DNSServer, fault: str) -> None:
    web = dns.service("headless-svc", "moon", ports={"http": 8080})
    asked: dict[tuple[str, str], int] = {}

    def sometimes(x: Exchange) -> Iterator[Any]:
        key = (x.name, x.qtype)
        asked[key] = asked.get(key, 0) + 1
        if x.transport == "tcp" or asked[key] % 3:
            yield Send(x.answer)
        elif fault == "servfail":
            yield Send(x.reply(2, flags=0))

    dns.fail(sometimes)
    found = findings(dns, web.name, "http")
    assert set(found) == {"questions-lost"}
    assert re.search(r"no answer to [1-7] of \d", found["questions-lost"].what)


def test_servers_that_give_samples_do_not_differ(dns: DNSServer, tmp_path: Path) -> None:
    for_both = {"pods": [f"10.0.0.{n}" for n in range(1, 11)], "sample": 3}
    web = dns.service("headless-svc", "moon", **for_both)
    with DNSServer() as other:
        other.service("headless-svc", "moon", **for_both)
        conf = resolv_conf(tmp_path, dns.nameserver, other.nameserver)
        assert set(findings(None, web.name, resolv_conf=conf)) == {"samples"}


# --- transport ---------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("hasty")
def test_edns_is_dropped(dns: DNSServer) -> None:
    web = dns.service("headless-svc", "moon", ports={"http": 8080})
    dns.fail("edns-drop", transport="udp")
    found = findings(dns, web.name, "http")
    assert set(found) == {"edns-dropped"}
    assert [str(proof).split(": ")[0].split(" by ")[1] for proof in found["edns-dropped"].evidence] == [
        "UDP",
        "UDP without EDNS",
    ]


@pytest.mark.parametrize("fault", ["edns-formerr", "edns-badvers"])
def test_edns_is_refused(dns: DNSServer, fault: str) -> None:
    web = dns.service("headless-svc", "moon", ports={"http": 8080})
    dns.fail(fault)
    found = findings(dns, web.name, "http")
    assert set(found) == {"edns-refused"}
    assert fault.partition("-")[2].upper() in found["edns-refused"].what


@pytest.mark.usefixtures("hasty")
def test_large_answers_are_lost(dns: DNSServer) -> None:
    web = dns.service("headless-svc", "moon", pods=15, ports={"http": 8080})

    def small_path(x: Exchange) -> Iterator[Any]:
        if x.transport == "tcp" or len(x.answer) <= 512:
            yield Send(x.answer)

    dns.fail(small_path)
    found = findings(dns, web.name, "http")
    assert set(found) == {"large-answers-lost"}


@pytest.mark.parametrize("fault", ["tcp-refused", "tcp-stall", "tcp-reset"])
@pytest.mark.usefixtures("hasty")
def test_tcp_is_blocked(dns: DNSServer, fault: str) -> None:
    web = dns.service("headless-svc", "moon", pods=40, ports={"http": 8080})
    dns.fail(fault)
    found = findings(dns, web.name, "http")
    assert set(found) == {"tcp-blocked"}
    assert found["tcp-blocked"].level == "problem"
    assert "cut off (TC)" in str(found["tcp-blocked"].evidence[0])
    assert "TCP" in str(found["tcp-blocked"].evidence[1])
    for pods in (3, 12):  # the answer for 12 is cut off only where it is asked for without EDNS
        web.scale(pods)
        dns.forget()
        found = findings(dns, web.name, "http")
        assert {code: finding.level for code, finding in found.items()} == {"tcp-closed": "note"}


def test_tcp_never(dns: DNSServer) -> None:
    web = dns.service("headless-svc", "moon", pods=40, ports={"http": 8080})
    found = findings(dns, web.name, "http", tcp="never")
    assert set(found) == {"tcp-never"}
    assert findings(dns, web.name, "http") == {}
    told = re.search(r"about (\d+) SRV records", found["tcp-never"].why)
    assert told is not None, "how many fit depends on the name"
    web.scale(int(told[1]) - 1)
    dns.forget()
    assert findings(dns, web.name, "http", tcp="never") == {}
    web.scale(int(told[1]) + 1)
    dns.forget()
    assert set(findings(dns, web.name, "http", tcp="never")) == {"tcp-never"}


def test_too_large(dns: DNSServer) -> None:
    web = dns.service("headless-svc", "moon", pods=5000)
    found = findings(dns, web.name, 8080)
    assert set(found) == {"too-large"}


# --- records -----------------------------------------------------------------------------------------------------


def test_ttl_zero() -> None:
    with DNSServer(ttl=0) as dns:
        web = dns.service("headless-svc", "moon", ports={"http": 8080})
        assert set(findings(dns, web.name, "http")) == {"ttl-zero"}


def test_a_cache_that_counts_down_to_zero_is_no_finding(dns: DNSServer) -> None:
    web = dns.service("headless-svc", "moon", ports={"http": 8080})

    def counts_down(x: Exchange) -> Iterator[Any]:
        dns.ttl = (dns.ttl - 1) % 3
        dns.forget()
        yield Send(x.answer)

    dns.fail(counts_down)
    assert findings(dns, web.name, "http") == {}


def test_ttl_long() -> None:
    with DNSServer(ttl=300, negative_ttl=5) as dns:
        web = dns.service("headless-svc", "moon", ports={"http": 8080})
        found = findings(dns, web.name, "http")
        assert set(found) == {"ttl-long"}
        assert "300 s" in found["ttl-long"].what or "299 s" in found["ttl-long"].what


@pytest.mark.parametrize(("ttl", "minimum", "is_long"), [(3600, 600, True), (3600, 5, False), (5, 3600, False)])
def test_negative_ttl_is_the_smaller_one(ttl: int, minimum: int, is_long: bool) -> None:
    with DNSServer(negative_ttl=ttl, soa_minimum=minimum) as dns:
        web = dns.service("headless-svc", "moon", ports={"http": 8080})
        found = findings(dns, web.name, "http")
        assert set(found) == ({"negative-ttl"} if is_long else set())
        if is_long:
            assert "600 s" in found["negative-ttl"].what


def test_negative_ttl_of_names_that_are_only_tried_does_not_matter(tmp_path: Path) -> None:
    with DNSServer(negative_ttl=3600, soa_minimum=5) as dns:
        dns.service("headless-svc", "moon")
        dns.fail("nxdomain", minimum=3600, name="*.default.svc.cluster.local")
        conf = resolv_conf(tmp_path, dns.nameserver, search=SEARCH)
        assert set(findings(None, "headless-svc.moon", resolv_conf=conf)) == {"search-list"}


def test_negative_without_soa(dns: DNSServer) -> None:
    web = dns.service("headless-svc", "moon", ports={"http": 8080})
    dns.fail("nxdomain", soa=False, name="doctor-*")
    found = findings(dns, web.name, "http")
    assert {code: finding.level for code, finding in found.items()} == {"negative-without-soa": "note"}


@pytest.mark.parametrize("port", ["http", 8080])
def test_samples(dns: DNSServer, port: str | int) -> None:
    web = dns.service("headless-svc", "moon", pods=10, ports={"http": 8080}, sample=3, hostnames=None)
    found = findings(dns, web.name, port)
    found.pop("identity-is-address", None)
    assert set(found) == {"samples"}
    assert "3 of" in found["samples"].what
    assert 'answers="sample"' in found["samples"].cures[0]
    assert "samples" not in findings(dns, web.name, port, answers="sample")


def test_replicas_differ() -> None:
    with DNSServer(cache=False) as dns:
        web = dns.service("headless-svc", "moon", pods=3, ports={"http": 8080}, replicas=2)
        web.freeze(1)
        web.scale(4)
        found = findings(dns, web.name, "http")
        assert set(found) == {"replicas-differ"}
        assert "between 3 and 4 peers" in found["replicas-differ"].what
        web.set_pods(3)  # as many, but others
        assert set(findings(dns, web.name, "http")) == {"replicas-differ"}


def test_three_replicas_of_which_each_knows_others_are_no_sample() -> None:
    with DNSServer(cache=False) as dns:
        web = dns.service("headless-svc", "moon", pods=3, ports={"http": 8080}, replicas=3)
        web.freeze(1)
        web.scale(4)
        web.freeze(2)
        web.scale(5)
        assert set(findings(dns, web.name, "http")) == {"replicas-differ"}


def test_one_change_in_between_is_no_finding(dns: DNSServer) -> None:
    """A pod that joins while the doctor asks."""
    dns.ttl = 0
    web = dns.service("headless-svc", "moon", pods=3, ports={"http": 8080})
    met = [0]

    def grows(x: Exchange) -> Iterator[Any]:
        met[0] += 1
        if met[0] == 18:
            web.scale(4)
        yield Send(x.answer)

    dns.fail(grows, qtype="SRV")
    found = findings(dns, web.name, "http")
    assert len(web.pods) == 4, "the change came too late"
    assert set(found) == {"ttl-zero"}


def test_ipv6_only(dns: DNSServer, monkeypatch: pytest.MonkeyPatch) -> None:
    web = dns.service("headless-svc", "moon", pods=["::1"], ports={"http": 8080})
    levels = {
        family: findings(dns, web.name, "http", family=family)["ipv6-only"].level for family in ("auto", "any", "ipv4")
    }
    assert levels == {"auto": "note", "any": "note", "ipv4": "problem"}
    monkeypatch.setattr("headless_discovery.cli.doctor.records.own_addresses", lambda servers: set())
    finding = findings(dns, web.name)["ipv6-only"]
    assert finding.level == "problem"
    assert "no way to ::1" in finding.what


def test_ipv4_only(dns: DNSServer) -> None:
    web = dns.service("headless-svc", "moon")
    assert set(findings(dns, web.name, family="ipv6")) == {"ipv4-only"}


def test_addresses_are_hashed_though_there_are_hostnames(dns: DNSServer) -> None:
    web = dns.service("headless-svc", "moon", ports={"http": 8080})
    found = findings(dns, web.name, 8080)
    assert {code: finding.level for code, finding in found.items()} == {"identity-is-address": "note"}
    assert f"web-0.{web.name}" in found["identity-is-address"].what


def test_pods_without_hostnames(dns: DNSServer) -> None:
    web = dns.service("headless-svc", "moon", ports={"http": 8080}, hostnames=None)
    found = findings(dns, web.name, "http")
    assert {code: finding.level for code, finding in found.items()} == {"identity-is-address": "note"}
    assert "serviceName" in found["identity-is-address"].cures[0]


def test_hostname_of_several(dns: DNSServer) -> None:
    web = dns.service("headless-svc", "moon", pods=2, ports={"http": 8080}, hostnames=["web", "web"])
    found = findings(dns, web.name, "http")
    assert set(found) == {"hostname-shared"}


def test_hostname_of_several_where_the_name_itself_has_no_records(dns: DNSServer) -> None:
    dns.add_zone("example.com")
    dns.record("_http._tcp.peers.example.com", "SRV", 5, "0 1 80 a.example.com.", "0 1 80 b.example.com.")
    dns.record("a.example.com", "A", 5, "10.0.0.1", "10.0.0.2")
    dns.record("b.example.com", "A", 5, "10.0.0.3")
    found = findings(dns, "peers.example.com", "http")
    assert set(found) == {"hostname-shared"}
    assert "such as a.example.com" in found["hostname-shared"].what


def test_port_differs(dns: DNSServer) -> None:
    web = dns.service("headless-svc", "moon", pods=["127.0.0.2"], ports={"http": 8080})
    found = findings(dns, web.name, 80)
    assert set(found) == {"port-differs", "identity-is-address"}
    assert "8080" in found["port-differs"].what
    with socket.create_server(("127.0.0.2", 0)) as listening:  # a port that the Service does not list
        assert set(findings(dns, web.name, listening.getsockname()[1], connect=True)) == {"identity-is-address"}


def test_target_without_address(dns: DNSServer) -> None:
    dns.record("_http._tcp.peers.example.com", "SRV", 5, "0 0 80 a.example.com.", "0 0 80 b.example.com.")
    dns.record("a.example.com", "A", 5, "10.0.0.1")
    dns.add_zone("example.com")
    found = findings(dns, "peers.example.com", "http")
    assert set(found) == {"target-without-address"}
    assert "such as b.example.com" in found["target-without-address"].what


@pytest.mark.parametrize("port", ["http", None])
def test_addresses_are_refused(dns: DNSServer, port: str | None) -> None:
    web = dns.service("headless-svc", "moon", pods=["10.0.0.1", "169.254.0.1"], ports={"http": 8080})
    found = findings(dns, web.name, port)
    found.pop("identity-is-address", None)
    assert {code: finding.level for code, finding in found.items()} == {"addresses-refused": "warning"}
    assert "169.254.0.1 (link-local)" in found["addresses-refused"].what
    found = findings(dns, web.name, port, allow_networks=["192.168.0.0/16"])
    found.pop("identity-is-address", None)
    assert {code: finding.level for code, finding in found.items()} == {"addresses-refused": "problem"}


@pytest.mark.parametrize(
    ("port", "family", "refused"),
    [
        (8080, "auto", False),
        ("http", "ipv4", False),
        (None, "ipv4", False),
        (8080, "any", True),
        ("http", "auto", True),
        (8080, "ipv6", True),
    ],
)
def test_addresses_that_are_not_asked_for_are_not_refused(
    dns: DNSServer, port: int | str | None, family: str, refused: bool
) -> None:
    web = dns.service("headless-svc", "moon", family="dual", ports={"http": 8080})
    networks = [f"{pod.addresses[0]}/32" for pod in web.pods]
    found = findings(dns, web.name, port, family=family, allow_networks=networks)
    assert ("addresses-refused" in found) == refused


# --- peers -------------------------------------------------------------------------------------------------------


def test_peers_that_do_not_accept_connections(dns: DNSServer) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening, socket.socket() as taken:
        port = listening.getsockname()[1]
        taken.bind(("127.0.0.2", port))  # nobody listens
        web = dns.service("headless-svc", "moon", pods=["127.0.0.1", "127.0.0.2"], ports={"http": port})
        found = findings(dns, web.name, "http", connect=True)
        assert set(found) == {"peer-unreachable", "own-pod"}
        finding = found["peer-unreachable"]
        assert finding.what.startswith("1 of 2 peers")
        assert f"127.0.0.2:{port}: connection refused" in finding.what
        assert len(finding.evidence) == 1
        web.remove("127.0.0.2")
        dns.forget()
        assert "peer-unreachable" not in findings(dns, web.name, connect=True), "the port is known from SRV"
        assert "peer-unreachable" not in findings(dns, web.name, "http")
        (fixed,) = diagnose(None, f"127.0.0.1:{port},127.0.0.2:{port}", connect=True)
        assert [finding.code for finding in fixed.findings] == ["peer-unreachable"]


def test_nothing_to_connect_to(dns: DNSServer) -> None:
    web = dns.service("headless-svc", "moon")
    found = findings(dns, web.name, connect=True)
    assert {code: finding.level for code, finding in found.items()} == {"not-connected": "note"}
    dns.service("resolver", "moon", pods=["127.0.0.1"], ports={"dns": (53, "udp")})
    found = findings(dns, "resolver.moon.svc.cluster.local", "dns", protocol="udp", connect=True)
    assert "not a port of TCP" in found["not-connected"].what
    assert "peer-unreachable" not in found


def test_fixed_peers_without_a_port_are_not_connected_to() -> None:
    found = findings(None, "127.0.0.1", connect=True)
    assert {code: finding.level for code, finding in found.items()} == {"not-connected": "note"}
    assert findings(None, "127.0.0.1") == {}


def test_no_more_than_so_many_connections(dns: DNSServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gather, "CONNECTED_MAX", 2)
    pods = [f"127.0.0.{number}" for number in range(1, 5)]
    web = dns.service("headless-svc", "moon", pods=pods, ports={"http": 1})
    for target in (web.name, ",".join(pods)):
        (diagnosis,) = diagnose(dns, target, 1, connect=True)
        assert len(diagnosis.peers) == 4
        assert len(diagnosis.connections) == 2


@pytest.mark.parametrize("port", [None, "auto"])
def test_a_port_that_may_be_one_of_udp_is_not_held_against_a_peer(dns: DNSServer, port: str | None) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        ports: dict[str, Any] = {"gossip": (1, "udp")} | ({} if port else {"http": listening.getsockname()[1]})
        web = dns.service("headless-svc", "moon", pods=["127.0.0.1"], ports=ports)
        found = findings(dns, web.name, port, connect=True)
        # A warning where nothing at all was seen to work.
        assert found["not-connected"].level == ("warning" if port else "note")
        assert all(finding.level == "note" for code, finding in found.items() if code != "not-connected")
        assert "nobody accepts connections on port 1, which" in found["not-connected"].what
        (proof,) = found["not-connected"].evidence
        assert "127.0.0.1:1" in str(proof)
        assert str(proof).endswith(": connection refused")
        found = findings(dns, web.name, 1, connect=True)
        assert found["peer-unreachable"].what == (
            "the one peer does not accept connections, 127.0.0.1:1: connection refused"
        )


def test_peers_are_counted_not_connections(dns: DNSServer) -> None:
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as two:
        ports = {"one": one.getsockname()[1], "two": two.getsockname()[1]}
        with socket.socket() as first, socket.socket() as second:
            first.bind(("127.0.0.2", ports["one"]))  # nobody listens
            second.bind(("127.0.0.2", ports["two"]))
            web = dns.service("headless-svc", "moon", pods=["127.0.0.1", "127.0.0.2"], ports=ports)
            found = findings(dns, web.name, connect=True)
        assert found["peer-unreachable"].what.startswith("1 of 2 peers do not accept connections")
        assert len(found["peer-unreachable"].evidence) == 2


def test_own_pod(dns: DNSServer, monkeypatch: pytest.MonkeyPatch) -> None:
    web = dns.service("headless-svc", "moon", ports={"http": 8080})
    monkeypatch.setenv("POD_IP", web.pods[1].address)
    found = findings(dns, web.name, "http")
    assert {code: finding.level for code, finding in found.items()} == {"own-pod": "note"}
    assert "web-1" in found["own-pod"].what
    assert findings(dns, web.name, "http", exclude_self=True) == {}


@pytest.mark.parametrize("connect", [False, True])
def test_own_pod_is_the_only_one_and_left_out(dns: DNSServer, monkeypatch: pytest.MonkeyPatch, connect: bool) -> None:
    web = dns.service("headless-svc", "moon", pods=1, ports={"http": 8080})
    monkeypatch.setenv("POD_IP", web.pods[0].address)
    found = findings(dns, web.name, "http", exclude_self=True, connect=connect)
    assert {code: finding.level for code, finding in found.items()} == {"own-pod": "note"}
    assert "exclude_self=True leaves it out: web-0" in found["own-pod"].what
    monkeypatch.setenv("POD_IP", "10.9.9.9")
    web.remove(0)
    dns.forget()
    assert set(findings(dns, web.name, "http", exclude_self=True)) == {"no-such-name"}


# --- what no other check explains --------------------------------------------------------------------------------


def test_a_lookup_that_fails_is_always_a_problem(dns: DNSServer) -> None:
    web = dns.service("headless-svc", "moon", ports={"http": 8080})
    found = findings(dns, web.name, "http", max_peers=2)
    assert set(found) == {"lookup-failed"}
    assert "max_peers=2" in found["lookup-failed"].what


def test_so_is_a_service_that_is_decidedly_not_there(dns: DNSServer) -> None:
    dns.record("_http._tcp.peers.example.com", "SRV", 5, "0 0 0 .")
    assert set(findings(dns, "peers.example.com", "http")) == {"no-peers"}


def test_what_the_library_warns_of_is_told(dns: DNSServer) -> None:
    web = dns.service("headless-svc", "moon")
    dns.fail("servfail", qtype="AAAA")
    found = findings(dns, web.name, family="any")
    assert set(found) == {"lookup-warning"}
    assert "SERVFAIL" in found["lookup-warning"].what


# --- every finding has a test, and a heading in the docs ---------------------------------------------------------


def codes() -> set[str]:
    return {
        code
        for source in SOURCES.glob("*.py")
        for code in re.findall(r'Finding\(\s*"([a-z0-9-]+)"', source.read_text(), re.MULTILINE)
    }


def test_every_finding_has_a_test() -> None:
    assert len(codes()) > 35
    text = Path(__file__).read_text()
    assert {code for code in codes() if f'"{code}"' not in text} == set()


@pytest.mark.skipif(not DOCS.is_file(), reason="the documentation is not here")
def test_every_finding_has_a_heading_in_the_docs() -> None:
    assert set(re.findall(r"^### (.+)$", DOCS.read_text(), re.MULTILINE)) == codes()
