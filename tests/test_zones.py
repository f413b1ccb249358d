"""CoreDNS zone-scoped names (its option `zonal`): `<zone>.pin._zone.<service>` and `<zone>.prefer._zone.<service>`.

The DNSServer answers them as CoreDNS's plugin/kubernetes does (parse.go, kubernetes.go, zonal_test.go).
"""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from headless_discovery import NoPeers, TargetError, aresolve, resolve
from headless_discovery.testing import DNSServer
from support import PATIENCE, QUICK
from support.subscribers import eventually
from support.twins import Twin, both_twins

NAME = "headless-svc.moon.svc.cluster.local"
ZONES = ["eu-a", "eu-b"]


@pytest.fixture
def dns(headless_dns: DNSServer) -> DNSServer:
    return headless_dns


def ordinals(peers: object) -> list[int | None]:
    return [peer.ordinal for peer in peers]  # type: ignore[attr-defined]


@both_twins
@pytest.mark.parametrize("policy", ["prefer", "pin"])
def test_the_peers_of_a_zone(twin: Twin, dns: DNSServer, policy: str) -> None:
    web = dns.service("headless-svc", "moon", pods=5, zones=ZONES)
    with twin(NAME, 8080, zone="eu-b", zone_policy=policy, nameservers=[dns.nameserver]) as svc:
        assert svc.peers().addresses == tuple(sorted(pod.address for pod in web.pods if pod.zone == "eu-b"))
        assert {peer.port for peer in svc.peers()} == {8080}
        assert svc.target == NAME
    assert [(query.name, query.qtype) for query in dns.queries] == [(f"eu-b.{policy}._zone.{NAME}", "A")]


@both_twins
@pytest.mark.parametrize("policy", ["prefer", "pin"])
def test_port_auto_gives_the_hostnames_and_ports_of_a_zone(twin: Twin, dns: DNSServer, policy: str) -> None:
    dns.service("headless-svc", "moon", pods=5, zones=ZONES, ports={"http": 8080})
    with twin(NAME, "auto", zone="eu-a", zone_policy=policy, nameservers=[dns.nameserver]) as svc:
        assert [peer.hostname for peer in svc.peers()] == [f"web-{i}.{NAME}" for i in (0, 2, 4)]
        assert {peer.port for peer in svc.peers()} == {8080}
    assert [(query.name, query.qtype) for query in dns.queries] == [(f"eu-a.{policy}._zone.{NAME}", "SRV")]


@both_twins
def test_port_auto_without_ports_gives_the_addresses_of_a_zone(twin: Twin, dns: DNSServer) -> None:
    web = dns.service("headless-svc", "moon", pods=2, zones=ZONES, ports=None)
    with twin(NAME, "auto", zone="eu-a", zone_policy="pin", nameservers=[dns.nameserver]) as svc:
        assert svc.peers().addresses == (web.pods[0].address,)


@both_twins
def test_missing_glue_of_a_zone_comes_from_the_whole_service(twin: Twin, dns: DNSServer) -> None:
    web = dns.service("headless-svc", "moon", pods=6, zones=ZONES, ports=8080, hostnames=None, glue=0)
    with twin(NAME, "auto", zone="eu-a", zone_policy="pin", nameservers=[dns.nameserver]) as svc:
        assert svc.peers().addresses == tuple(sorted(pod.address for pod in web.pods if pod.zone == "eu-a"))
    assert [query.name for query in dns.queries] == [f"eu-a.pin._zone.{NAME}", NAME]


@both_twins
def test_prefer_takes_all_while_the_zone_is_empty(twin: Twin, dns: DNSServer) -> None:
    web = dns.service("headless-svc", "moon", pods=4, zones=ZONES, ports={"http": 8080})
    with twin(NAME, "auto", zone="eu-a", nameservers=[dns.nameserver], **QUICK) as svc:
        assert ordinals(svc.peers()) == [0, 2]
        web.set_ready(0, False)
        web.set_ready(2, False)
        eventually(lambda: ordinals(svc.peers()) == [1, 3])
        web.set_ready(2, True)
        eventually(lambda: 2 in ordinals(svc.peers()))
        # Who is young leaves after two answers, so pods 1 and 3 do.
        eventually(lambda: ordinals(svc.peers()) == [2])


@both_twins
def test_pin_takes_nobody_from_elsewhere(twin: Twin, dns: DNSServer) -> None:
    web = dns.service("headless-svc", "moon", pods=2, zones=ZONES)
    with twin(NAME, zone="eu-a", zone_policy="pin", nameservers=[dns.nameserver], empty_grace=0, **QUICK) as svc:
        web.set_ready(0, False)
        eventually(lambda: not svc.peers())
        with pytest.raises(NoPeers):
            svc.pick()
        web.set_ready(0, True)
        assert svc.wait_for(timeout=PATIENCE).addresses == (web.pods[0].address,)


@both_twins
def test_a_pinned_zone_that_empties_keeps_its_peers_for_the_grace(twin: Twin, dns: DNSServer) -> None:
    web = dns.service("headless-svc", "moon", pods=2, zones=ZONES)
    with twin(NAME, zone="eu-a", zone_policy="pin", nameservers=[dns.nameserver], **QUICK) as svc:
        web.set_ready(0, False)
        dns.clear_queries()
        dns.wait_for_queries(5, timeout=PATIENCE)
        assert svc.peers().addresses == (web.pods[0].address,)


@both_twins
@pytest.mark.parametrize(("policy", "found"), [("pin", []), ("prefer", [0, 1])])
def test_a_zone_that_never_was(twin: Twin, dns: DNSServer, policy: str, found: list[int]) -> None:
    """Such as a mistyped one. "pin" answers NODATA, as for a zone without pods."""
    dns.service("headless-svc", "moon", pods=2, zones=ZONES, ports=8080)
    with twin(NAME, "auto", zone="eu-x", zone_policy=policy, nameservers=[dns.nameserver]) as svc:
        assert ordinals(svc.peers()) == found


@both_twins
@pytest.mark.parametrize("policy", ["prefer", "pin"])
def test_a_server_without_zone_scoped_names_has_no_such_name(twin: Twin, dns: DNSServer, policy: str) -> None:
    """NXDOMAIN, which is an answer: nobody. CoreDNS says the same for a service that is not headless."""
    dns.cluster_ip_service("headless-svc", "moon", ports={"http": 80})
    with twin(NAME, zone="eu-a", zone_policy=policy, nameservers=[dns.nameserver]) as svc:
        assert svc.peers() == set()
        assert svc.status.state == "empty"


@both_twins
def test_a_zone_of_several_labels_and_in_capitals(twin: Twin, dns: DNSServer) -> None:
    web = dns.service("headless-svc", "moon", pods=2, zones=["rack-1.corp.example", "eu-b"])
    with twin(NAME, zone="Rack-1.Corp.Example", zone_policy="pin", nameservers=[dns.nameserver]) as svc:
        assert svc.peers().addresses == (web.pods[0].address,)


@both_twins
def test_the_search_list_completes_short_names(twin: Twin, dns: DNSServer, tmp_path: Path) -> None:
    web = dns.service("headless-svc", "moon", pods=2, zones=ZONES)
    conf = tmp_path / "resolv.conf"
    conf.write_text("search moon.svc.cluster.local svc.cluster.local cluster.local\noptions ndots:5\n")
    with twin(
        "headless-svc", zone="eu-b", zone_policy="pin", nameservers=[dns.nameserver], resolv_conf=str(conf)
    ) as svc:
        assert svc.peers().addresses == (web.pods[1].address,)
    assert [query.name for query in dns.queries] == [f"eu-b.pin._zone.{NAME}"]


@both_twins
def test_each_name_of_a_list_is_scoped(twin: Twin, dns: DNSServer) -> None:
    services = [dns.service(name, "moon", pods=2, zones=ZONES) for name in ("one", "two")]
    targets = [service.name for service in services]
    with twin(targets, zone="eu-b", zone_policy="pin", nameservers=[dns.nameserver]) as svc:
        assert set(svc.peers().addresses) == {service.pods[1].address for service in services}


@both_twins
@pytest.mark.parametrize(("target", "port"), [(NAME, "http"), (f"_http._tcp.{NAME}", None)])
@pytest.mark.parametrize("policy", ["prefer", "pin"])
def test_a_named_port_has_no_zone(twin: Twin, target: str, port: str | None, policy: str) -> None:
    with pytest.raises(TargetError, match=r"zone= does not go with _http._tcp"):
        twin(target, port, zone="eu-a", zone_policy=policy)


def test_why_a_named_port_has_no_zone(dns: DNSServer) -> None:
    """The name one would think of finds everybody at every port: CoreDNS takes `_http._tcp.eu-a` for the zone."""
    dns.service("headless-svc", "moon", pods=4, zones=ZONES, ports={"http": 8080, "metrics": 9090})
    found = resolve(f"_http._tcp.eu-a.prefer._zone.{NAME}", nameservers=[dns.nameserver])
    assert [(peer.ordinal, peer.port) for peer in found] == [(i, port) for i in range(4) for port in (8080, 9090)]
    assert not resolve(f"_http._tcp.eu-a.pin._zone.{NAME}", nameservers=[dns.nameserver])


async def test_one_shots(dns: DNSServer) -> None:
    web = dns.service("headless-svc", "moon", pods=2, zones=ZONES)
    options = {"zone": "eu-b", "zone_policy": "pin", "nameservers": [dns.nameserver]}
    expected = (web.pods[1].address,)
    assert (await aresolve(NAME, **options)).addresses == expected
    assert resolve(NAME, **options).addresses == expected


@both_twins
def test_without_a_zone_nothing_is_scoped(twin: Twin, dns: DNSServer) -> None:
    dns.service("headless-svc", "moon", pods=3, zones=ZONES)
    with closing(twin(NAME, zone_policy="pin", nameservers=[dns.nameserver])) as svc:
        assert len(svc.start()) == 3
