"""Each server serves what test_resolution.py takes for granted; asked with dnspython, not with this library."""

from __future__ import annotations

from collections import defaultdict

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset
import pytest

from .servers import Bind, Server
from .zones import A_SIZES, DASHED, SRV_SIZES, Record, name, pod_name, zone

ZONE: dict[tuple[str, str], list[Record]] = defaultdict(list)
for _record in zone():
    ZONE[_record.name, _record.type].append(_record)


def data(section: list[dns.rrset.RRset], owner: str, rdtype: str) -> list[str]:
    wanted = dns.rdatatype.from_text(rdtype)
    return sorted(
        rdata.to_text().strip('"')
        for rrset in section
        if rrset.rdtype == wanted and rrset.name.to_text(omit_final_dot=True).lower() == owner.lower()
        for rdata in rrset
    )


def has_soa(answer: dns.message.Message) -> bool:
    return any(rrset.rdtype == dns.rdatatype.SOA for rrset in answer.authority)


def test_every_record_is_served(server: Server) -> None:
    for (owner, rdtype), records in ZONE.items():
        answer = server.ask(owner, rdtype, tcp=True)
        assert answer.rcode() == dns.rcode.NOERROR, (owner, rdtype)
        assert not answer.flags & dns.flags.TC, (owner, rdtype)
        assert data(answer.answer, owner, rdtype) == sorted(r.data for r in records), (owner, rdtype)
        expected_ttl = min(records[0].ttl, server.ttl)
        assert all(0 <= rrset.ttl <= expected_ttl for rrset in answer.answer), (owner, rdtype)


@pytest.mark.parametrize("size", A_SIZES)
def test_many_addresses_come_over_udp_or_with_tc(server: Server, size: int) -> None:
    """73 A records or so fit into 1232 bytes. Cut short, dnsmasq sends what fits, the others nothing."""
    answer = server.ask(name(f"a{size}"), "A")
    addresses = data(answer.answer, name(f"a{size}"), "A")
    assert bool(answer.flags & dns.flags.TC) == (size > 73)
    if size <= 73:
        assert addresses == sorted(A_SIZES[size])
    else:
        assert set(addresses) < set(A_SIZES[size])
        assert bool(addresses) == server.sends_part_with_tc


@pytest.mark.parametrize("size", SRV_SIZES)
def test_glue_comes_with_srv(server: Server, size: int) -> None:
    """All of it over TCP, except from BIND, which adds none to a set of more than 13 SRV (CVE-2024-11187)."""
    answer = server.ask(name(f"_http._tcp.srv{size}"), "SRV", tcp=True)
    glue = {pod: data(answer.additional, pod_name(f"srv{size}", pod), "A") for pod in range(size)}
    if isinstance(server, Bind) and size > 13:
        assert all(found == [] for found in glue.values())
    else:
        assert glue == {pod: [address] for pod, address in enumerate(SRV_SIZES[size])}


def test_some_glue_is_missing_without_tc(server: Server) -> None:
    """What the rules on missing glue are for: RFC 2181, 9 lets a server leave out glue and not set TC."""
    for owner, pods in ((name("_http._tcp.srv20"), 20), (name("_http._tcp.dashed"), len(DASHED))):
        answer = server.ask(owner, "SRV")
        assert not answer.flags & dns.flags.TC
        assert len(data(answer.answer, owner, "SRV")) == pods
        assert sum(len(rrset) for rrset in answer.additional if "svc" in rrset.name.to_text()) < pods


@pytest.mark.parametrize(
    ("service", "chain"), [("alias", ["a3"]), ("chain-1", ["chain-2", "chain-3", "a3"]), ("alias-1000", ["a1000"])]
)
def test_cnames_are_followed_by_the_server(server: Server, service: str, chain: list[str]) -> None:
    answer = server.ask(name(service), "A", tcp=True)
    for owner, target in zip([service, *chain], chain, strict=False):
        assert data(answer.answer, name(owner), "CNAME") == [f"{name(target)}."]
    assert data(answer.answer, name(chain[-1]), "A") == sorted(r.data for r in ZONE[name(chain[-1]), "A"])


def test_a_cname_may_own_a_port_name(server: Server) -> None:
    answer = server.ask(name("_http._tcp.alias-srv"), "SRV")
    assert len(data(answer.answer, name("_http._tcp.srv3"), "SRV")) == 3


@pytest.mark.parametrize("tcp", [False, True])
@pytest.mark.parametrize(
    ("owner", "rdtype", "rcode"),
    [
        ("nobody", "A", dns.rcode.NXDOMAIN),
        ("_http._tcp.a3", "SRV", dns.rcode.NXDOMAIN),
        ("text-only", "A", dns.rcode.NOERROR),
        ("six", "A", dns.rcode.NOERROR),
        ("a3", "SRV", dns.rcode.NOERROR),
        ("alias-six", "A", dns.rcode.NOERROR),
    ],
)
def test_absence_is_said(server: Server, owner: str, rdtype: str, rcode: dns.rcode.Rcode, tcp: bool) -> None:
    answer = server.ask(name(owner), rdtype, tcp=tcp)
    assert answer.rcode() == rcode
    assert not any(rrset.rdtype == dns.rdatatype.from_text(rdtype) for rrset in answer.answer)
    assert has_soa(answer) == server.negative_soa


def test_no_answer_is_lame(server: Server) -> None:
    """dns.md's test for lame answers must pass all of these: each has AA or RA."""
    for owner in ("a3", "nobody", "text-only"):
        flags = server.ask(name(owner), "A").flags
        assert bool(flags & dns.flags.AA) or bool(flags & dns.flags.RA)
    positive = server.ask(name("a3"), "A").flags
    assert bool(positive & dns.flags.AA) == server.authoritative


def test_a_service_can_change(own_server: Server) -> None:
    owner = name("live")
    for pods in (5, 2, 3):
        own_server.publish(pods)
        assert len(data(own_server.ask(owner, "A").answer, owner, "A")) == pods


def test_a_server_can_come_back(own_server: Server) -> None:
    before = own_server.port
    own_server.stop()
    with pytest.raises((OSError, EOFError)):
        own_server.ask(name("a3"), "A", tcp=True, timeout=1.0)
    own_server.start()
    assert own_server.port == before
    assert len(data(own_server.ask(name("a3"), "A").answer, name("a3"), "A")) == 3
