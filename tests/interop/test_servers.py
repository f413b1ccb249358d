"""Each server serves what test_resolution.py takes for granted; asked with dnspython, not with this library."""

from __future__ import annotations

import re
from collections import defaultdict

import dns.exception
import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset
import pytest

from .servers import NSD, Bind, Knot, PowerDNS, Server, Unbound
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


# Of the largest StatefulSet, names of every tenth pod will do.
NOT_ASKED = re.compile(r"web-\d*[1-9]\.pods700\.")


def test_every_record_is_served(server: Server) -> None:
    for (owner, rdtype), records in ZONE.items():
        if NOT_ASKED.match(owner) or (rdtype == "SRV" and len(records) > server.max_pods):
            continue
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
    """What the rules on missing glue are for: RFC 2181, 9 lets a server leave out glue and not set TC.
    PowerDNS sets it, and sends nothing, although the answer section would fit."""
    for owner, pods in ((name("_http._tcp.srv20"), 20), (name("_http._tcp.dashed"), len(DASHED))):
        answer = server.ask(owner, "SRV")
        if isinstance(server, PowerDNS):
            assert answer.flags & dns.flags.TC
            assert not answer.answer
            assert not answer.additional
            continue
        assert not answer.flags & dns.flags.TC
        assert len(data(answer.answer, owner, "SRV")) == pods
        assert sum(len(rrset) for rrset in answer.additional if "svc" in rrset.name.to_text()) < pods


def families(answer: dns.message.Message, pods: int) -> list[str]:
    """Of each pod, which addresses the additional section has: "AAAAA", "A", "AAAA" or ""."""
    service = f"pods{pods}"
    shown = {
        (rrset.name.to_text(omit_final_dot=True), dns.rdatatype.to_text(rrset.rdtype)) for rrset in answer.additional
    }
    return ["".join(t for t in ("A", "AAAA") if (pod_name(service, pod), t) in shown) for pod in range(pods)]


BOTH = "A" + "AAAA"


def test_a_few_dual_stack_pods_fit_into_a_datagram(server: Server) -> None:
    answer = server.ask(name("_http._tcp.pods11"), "SRV")
    assert not answer.flags & dns.flags.TC
    assert len(data(answer.answer, name("_http._tcp.pods11"), "SRV")) == 11
    found = families(answer, 11)
    if isinstance(server, NSD):  # its NS record takes the room of the last AAAA records
        assert found == [BOTH] * 9 + ["A"] * 2
    else:
        assert found == [BOTH] * 11


def test_more_dual_stack_pods_need_tcp(server: Server) -> None:
    """Over UDP, dnsmasq sends as many SRV records as fit beside TC, the others nothing. Over TCP, BIND adds no glue to
    more than 13 SRV records (CVE-2024-11187), the others all."""
    owner = name("_http._tcp.pods40")
    answer = server.ask(owner, "SRV")
    assert answer.flags & dns.flags.TC
    assert bool(data(answer.answer, owner, "SRV")) == server.sends_part_with_tc
    answer = server.ask(owner, "SRV", tcp=True)
    assert not answer.flags & dns.flags.TC
    assert len(data(answer.answer, owner, "SRV")) == 40
    assert families(answer, 40) == ["" if isinstance(server, Bind) else BOTH] * 40


def test_the_glue_of_many_dual_stack_pods_does_not_fit_over_tcp(server: Server) -> None:
    """All 700 SRV records fit. None of the servers sets TC for the glue that it leaves out. dnsmasq's answer is
    malformed, and PowerDNS sends none."""
    owner = name("_http._tcp.pods700")
    if server.max_pods < 700:
        try:
            answer = server.ask(owner, "SRV", tcp=True)
        except (dns.exception.DNSException, EOFError, OSError):
            return
        assert answer.flags & dns.flags.TC
        assert not answer.answer
        return
    answer = server.ask(owner, "SRV", tcp=True)
    assert not answer.flags & dns.flags.TC
    assert len(data(answer.answer, owner, "SRV")) == 700
    found = families(answer, 700)
    if isinstance(server, Bind):
        assert set(found) == {""}
    elif isinstance(server, NSD):  # A records of all targets, then AAAA records as far as they fit
        full = found.count(BOTH)
        assert 0 < full < 700
        assert found == [BOTH] * full + ["A"] * (700 - full)
    elif isinstance(server, Unbound):  # target by target, cut between an A record and its AAAA record
        full = found.count(BOTH)
        assert found in ([BOTH] * full + cut + [""] * (700 - full - len(cut)) for cut in ([], ["A"]))
        assert 0 < full < 700
    elif isinstance(server, Knot):  # target by target; it begins elsewhere each time, and fills the end with A records
        assert found.count("AAAA") == 0
        assert found.count("")
        again = families(server.ask(owner, "SRV", tcp=True), 700)
        assert found.count(BOTH) > 200
        assert again != found


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
