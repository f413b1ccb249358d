"""What can be done to services and pods."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from headless_discovery.testing import DNSServer, Service

from .dnsclient import addresses, ask, rcode, values

NAME = "headless-svc.moon.svc.cluster.local"


@pytest.fixture
def web(live: DNSServer) -> Iterator[Service]:
    return live.service("headless-svc", "moon", pods=3, ports={"http": 8080})


def test_pods_have_names_addresses_and_readiness(web: Service) -> None:
    assert [pod.name for pod in web.pods] == ["web-0", "web-1", "web-2"]
    pod = web.pods[1]
    assert (pod.ordinal, pod.hostname, pod.ready) == (1, "web-1", True)
    assert pod.fqdn == f"web-1.{NAME}"
    assert pod.addresses == (pod.address,)
    assert pod.address.startswith("10.244.")
    with pytest.raises(dataclasses.FrozenInstanceError):
        pod.ready = False  # type: ignore[misc]


def test_scale_adds_and_removes_the_highest_ordinals(live: DNSServer, web: Service) -> None:
    before = web.pods
    assert [pod.ordinal for pod in web.scale(5)] == [0, 1, 2, 3, 4]
    assert len(addresses(live, NAME)) == 5
    assert web.scale(2) == before[:2]
    assert sorted(addresses(live, NAME)) == [pod.address for pod in before[:2]]
    with pytest.raises(ValueError):
        web.scale(-1)


def test_restart_keeps_the_name_and_changes_the_address(live: DNSServer, web: Service) -> None:
    old = web.pods[1]
    new = web.restart(old)
    assert (new.name, new.fqdn) == (old.name, old.fqdn)
    assert new.address != old.address
    assert web.pods == [web.pods[0], new, web.pods[2]]
    assert addresses(live, new.fqdn) == [new.address]
    assert old.address not in addresses(live, NAME)
    assert web.restart("web-1", address="127.0.0.9").address == "127.0.0.9"


def test_addresses_are_never_used_twice(web: Service) -> None:
    seen = {pod.address for pod in web.pods}
    for _ in range(300):
        new = web.restart(0).address
        assert new not in seen
        assert new.rpartition(".")[2] not in ("0", "255")
        seen.add(new)


def test_explicit_addresses_are_not_given_out(live: DNSServer) -> None:
    web = live.service("headless-svc", "moon", pods=["10.244.0.1", "10.244.0.3"])
    web.scale(4)
    assert web.addresses == ["10.244.0.1", "10.244.0.3", "10.244.0.2", "10.244.0.4"]


def test_dual_stack_pods_by_their_addresses(live: DNSServer) -> None:
    web = live.service("headless-svc", "moon", pods=["10.0.0.1+fd00::1", ("10.0.0.2", "fd00::2"), "fd00::3+10.0.0.3"])
    assert [pod.addresses for pod in web.pods] == [(f"10.0.0.{n}", f"fd00::{n}") for n in (1, 2, 3)]
    assert web.add("10.0.0.4+fd00::4").addresses == ("10.0.0.4", "fd00::4")
    assert web.restart(0, "10.0.0.5+fd00::5").addresses == ("10.0.0.5", "fd00::5")
    assert web.set_pods(["10.0.0.6+fd00::6"])[0].addresses == ("10.0.0.6", "fd00::6")
    assert addresses(live, NAME, "AAAA") == ["fd00::6"]
    with pytest.raises(ValueError):
        web.add("10.0.0.7+")


def test_readiness(live: DNSServer, web: Service) -> None:
    pod = web.set_ready(web.pods[0], False)
    assert not pod.ready
    assert pod.address not in addresses(live, NAME)
    assert rcode(ask(live, pod.fqdn)) == "NXDOMAIN"
    for name in ("web-1", "web-2"):
        web.set_ready(name, False)
    assert rcode(ask(live, NAME)) == "NXDOMAIN"
    assert rcode(ask(live, f"_http._tcp.{NAME}", "SRV")) == "NXDOMAIN"
    assert web.addresses == []
    web.set_ready("web-1")
    assert len(addresses(live, NAME)) == 1


def test_publish_not_ready(live: DNSServer) -> None:
    early = live.service("early", "moon", pods=2, publish_not_ready=True)
    early.set_ready(0, False)
    assert len(addresses(live, early.name)) == 2
    assert len(early.addresses) == 2


def test_add_and_remove(live: DNSServer, web: Service) -> None:
    added = web.add("10.0.0.9", ready=False)
    assert added.name == "web-3"
    assert "10.0.0.9" not in addresses(live, NAME)
    web.set_ready(added)
    assert "10.0.0.9" in addresses(live, NAME)
    assert web.remove("10.0.0.9").name == "web-3"
    assert web.remove(0).name == "web-0"
    assert [pod.name for pod in web.pods] == ["web-1", "web-2"]
    assert web.add().name == "web-3"
    with pytest.raises(KeyError, match="no pod 'web-0'"):
        web.remove("web-0")


def test_all_pods_at_once(live: DNSServer, web: Service) -> None:
    web.set_pods(["10.1.0.1", ("10.1.0.2", "fd00::2")])
    assert sorted(addresses(live, NAME)) == ["10.1.0.1", "10.1.0.2"]
    assert addresses(live, NAME, "AAAA") == ["fd00::2"]
    assert len(web.set_pods(0)) == 0
    assert rcode(ask(live, NAME)) == "NXDOMAIN"


def test_ports_may_change(live: DNSServer, web: Service) -> None:
    web.set_ports({"http": 9090})
    assert {value.split()[2] for value in values(ask(live, NAME, "SRV"))} == {"9090"}


def test_headless_turns_cluster_ip_and_back(live: DNSServer, web: Service) -> None:
    web.set_cluster_ip("10.96.0.9")
    assert addresses(live, NAME) == ["10.96.0.9"]
    assert values(ask(live, NAME, "SRV")) == [f"0 100 8080 {NAME}."]
    web.set_cluster_ip(None)
    assert len(addresses(live, NAME)) == 3


def test_delete(live: DNSServer, web: Service) -> None:
    with pytest.raises(ValueError, match="exists"):
        live.service("Headless-SVC", "moon")
    web.delete()
    web.delete()
    assert rcode(ask(live, NAME)) == "NXDOMAIN"
    live.service("headless-svc", "moon", pods=1)
    assert len(addresses(live, NAME)) == 1


@pytest.mark.parametrize(
    "options",
    [
        {"pods": -1},
        {"pods": ["nope"]},
        {"pods": [[]]},
        {"ports": 65536},
        {"hostnames": "a.b"},
        {"hostnames": ""},
        {"family": "both"},
        {"sample": 0},
        {"glue": -1},
        {"replicas": 0},
    ],
)
def test_services_that_cannot_be(options: dict[str, object]) -> None:
    with pytest.raises(ValueError):
        DNSServer().service("headless-svc", "moon", **options)  # type: ignore[arg-type]


def test_names_that_cannot_be() -> None:
    for name, namespace in (("a.b", "moon"), ("", "moon"), ("a", "-moon"), ("a" * 64, "moon")):
        with pytest.raises(ValueError):
            DNSServer().service(name, namespace)


class AnyHistory(RuleBasedStateMachine):
    """Whatever is done to a service, DNS says what a model of it says, under both ways to ask."""

    @initialize()
    def begin(self) -> None:
        self.server = DNSServer(cache=False).start()
        self.web = self.server.service("headless-svc", "moon", pods=2, ports={"http": 8080})
        self.model = {pod.name: (pod.address, True) for pod in self.web.pods}

    def teardown(self) -> None:
        if hasattr(self, "server"):
            self.server.stop()

    @rule(count=st.integers(0, 6))
    def scale(self, count: int) -> None:
        kept = list(self.model)[:count]
        pods = self.web.scale(count)
        assert [pod.name for pod in pods[: len(kept)]] == kept
        self.model = {pod.name: self.model.get(pod.name, (pod.address, True)) for pod in pods}

    @precondition(lambda self: self.model)
    @rule(data=st.data())
    def restart(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(self.model)))
        new = self.web.restart(name)
        assert all(new.address != address for address, _ in self.model.values())
        self.model[name] = (new.address, True)

    @precondition(lambda self: self.model)
    @rule(data=st.data(), ready=st.booleans())
    def flap(self, data: st.DataObject, ready: bool) -> None:
        name = data.draw(st.sampled_from(sorted(self.model)))
        self.web.set_ready(name, ready)
        self.model[name] = (self.model[name][0], ready)

    @precondition(lambda self: self.model)
    @rule(data=st.data())
    def remove(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(self.model)))
        self.web.remove(name)
        del self.model[name]

    @invariant()
    def dns_agrees(self) -> None:
        if not hasattr(self, "server"):
            return
        ready = {name: address for name, (address, up) in self.model.items() if up}
        plain, srv = ask(self.server, NAME), ask(self.server, NAME, "SRV")
        assert sorted(values(plain)) == sorted(ready.values())
        assert {rrset.name.labels[0].decode(): rrset[0].to_text() for rrset in srv.additional} == ready
        assert rcode(plain) == rcode(srv) == ("NOERROR" if ready else "NXDOMAIN")


TestAnyHistory = AnyHistory.TestCase
TestAnyHistory.settings = settings(
    max_examples=25, stateful_step_count=15, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
