"""Search lists, and what happens to resolv.conf."""

from __future__ import annotations

import builtins
import io
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from headless_discovery import LookupFailed, resolvconf
from headless_discovery.message import SERVFAIL, A
from sansio import NS1, Client, Net, found, message, nxdomain
from support.own import link_local

from .matrix import NAME, SEARCH, World, asked, row


@row(
    "SERVFAIL for the right suffix, and a later one has a wildcard",
    "A failure: the walk goes on after NXDOMAIN and NODATA only",
)
def wildcard_behind_servfail(w: World) -> None:
    w.dns.add_zone("example.com")
    w.dns.record("*.example.com", "A", 60, "10.6.6.6")
    conf = w.conf(w.dns, search=(SEARCH[0], "example.com"))
    with w.fault("SERVFAIL", name=NAME):
        svc = w.make("headless-svc", nameservers=None, resolv_conf=str(conf))
        with pytest.raises(LookupFailed, match="SERVFAIL"):
            svc.start()
        assert w.dns.count("*.example.com") == 0
    svc.wait_for(3, 20)
    try:
        w.is_well(svc)
        with w.fault("SERVFAIL", name=NAME):
            w.keeps(svc, "SERVFAIL")
        w.recovers(svc)
        assert w.dns.count("*.example.com") == 0
    finally:
        svc.close()


@row("A hit after a failed candidate", "Used where nothing was known, but not remembered", virtual=True)
def hit_after_a_failure() -> None:
    right, wildcard = "web.a.example", "web.b.example"
    zone = {right: message(SERVFAIL), wildcard: found(wildcard, A, "10.6.6.6")}
    net = Net({NS1: lambda name, *_: zone.get(name, nxdomain())})
    client = Client(net, "web", search=("a.example", "b.example"), ndots=5)
    client.outcome()
    assert client.memory.name is None
    zone[right] = found(right, A, "10.0.0.1")
    assert client.ask().name == right


@row("A short name", "The search list in order; the name that hit is remembered and asked alone")
def short_name(w: World) -> None:
    conf = w.conf(w.dns)
    with w.watch("headless-svc.moon", nameservers=None, resolv_conf=str(conf)) as svc:
        assert asked(w.dns) == [("headless-svc.moon.moon.svc.cluster.local", "A"), (NAME, "A")]
        w.dns.clear_queries()
        w.is_well(svc)
        assert asked(w.dns) == [(NAME, "A")]
        w.recovers(svc)


@row("The service goes to 0 pods", "No question leaves its suffix, however long")
def no_pods(w: World) -> None:
    conf = w.conf(w.dns)
    with w.watch("headless-svc", nameservers=None, resolv_conf=str(conf), empty_grace=0) as svc:
        w.web.scale(0)
        for _ in range(5):
            svc.refresh()
        assert (len(svc.peers()), svc.status.state) == (0, "empty")
        assert {query.name for query in w.dns.queries} == {NAME}
        w.recovers(svc)


@row(
    "A whole name under `ndots:5`, at 0 pods from the start",
    "It ends in a search suffix, so it is asked as it is: one question",
)
def whole_name(w: World) -> None:
    w.pods(0)
    conf = w.conf(w.dns)
    with w.make(NAME, nameservers=None, resolv_conf=str(conf)) as svc:
        assert len(svc.peers()) == 0
        svc.refresh()
        assert {query.name for query in w.dns.queries} == {NAME}
        w.web.scale(2)
        w.is_well(svc)


@row(
    "resolv.conf is empty",
    "The server on this machine is asked, as resolv.conf(5) has it; the set stays, and is right again when the file is",
)
def empty_file(w: World) -> None:
    conf = w.conf(w.dns)
    with w.watch(nameservers=None, resolv_conf=str(conf)) as svc:
        before = svc.peers()
        (w.tmp_path / "empty").write_text("")
        os.replace(w.tmp_path / "empty", conf)
        with suppress(LookupFailed):  # where there is such a server, it may say that there is no such name
            svc.refresh()
        assert svc.peers() is before
        assert "127.0.0.1:53" in str(svc.status.error)
        w.conf(w.dns)
        w.recovers(svc)


@row("resolv.conf is replaced by rename, with another server", "The next lookup asks that one")
def replaced(w: World) -> None:
    conf = w.conf(w.dns)
    other = w.server()
    moved = other.service("headless-svc", "moon", pods=["10.9.9.1"])
    with w.watch(nameservers=None, resolv_conf=str(conf)) as svc:
        before = w.dns.count()
        w.conf(other)
        w.settles(svc, moved.addresses)
        assert w.dns.count() == before
        w.gone.update(w.web.addresses)
        w.conf(w.dns)
        w.settles(svc)


@row("resolv.conf disappears while it is replaced", "What was read stays in use")
def disappears(w: World) -> None:
    conf = w.conf(w.dns)
    with w.watch(nameservers=None, resolv_conf=str(conf)) as svc:
        conf.unlink()
        w.is_well(svc)
        w.conf(w.dns)
        w.recovers(svc)


@row(
    "resolv.conf cannot be read from the start",
    "`start()` fails and names the file; it starts by itself when the file is there",
)
def missing(w: World) -> None:
    path = w.tmp_path / "resolv.conf"
    svc = w.make(nameservers=None, resolv_conf=str(path))
    try:
        with pytest.raises(LookupFailed, match=r"resolv\.conf cannot be read"):
            svc.start()
        w.conf(w.dns)
        svc.wait_for(3, 20)
        w.is_well(svc)
    finally:
        svc.close()


@row("resolv.conf has four servers, the first three are gone", "All are asked in turn")
def four_servers(w: World) -> None:
    gone = [w.server() for _ in range(3)]
    for server in gone:
        server.stop()
    conf = w.conf(*[f"127.0.0.1:{server.port}" for server in gone], w.dns)
    with w.watch(nameservers=None, resolv_conf=str(conf)) as svc:
        assert svc.status.queries == 4
        w.is_well(svc)
        assert svc.status.queries == 5
        w.dns.fail("SERVFAIL")
        w.keeps(svc, f"{w.dns.port} said SERVFAIL.*{gone[0].port} cannot be reached", 1)
        w.recovers(svc)


@row("`ndots:0`", "Every name is tried as it is first")
def ndots_0(w: World) -> None:
    w.dns.add_zone(".")
    conf = w.conf(w.dns, options="ndots:0")
    with w.watch("headless-svc", nameservers=None, resolv_conf=str(conf)) as svc:
        assert asked(w.dns)[-1] == (NAME, "A")
        assert asked(w.dns)[0] == ("headless-svc", "A")
        w.recovers(svc)


@row(
    "resolv.conf is replaced, and cannot be read once at that moment (no descriptor is free)",
    "What was read stays in use; the next lookup reads the new one",
)
def unreadable_once(w: World) -> None:
    conf = w.conf(w.dns)
    other = w.server()
    moved = other.service("headless-svc", "moon", pods=["10.9.9.1"])
    with w.watch(nameservers=None, resolv_conf=str(conf)) as svc:
        before = svc.peers()
        w.conf(other)
        tried = []
        real = builtins.open

        def no_descriptor(file: Any, *args: Any, **options: Any) -> Any:
            if str(file) == str(conf) and not tried:
                tried.append(file)
                raise OSError(24, "Too many open files", file)
            return real(file, *args, **options)

        with w.monkeypatch.context() as patch:
            patch.setattr(builtins, "open", no_descriptor)
            patch.setattr(io, "open", no_descriptor)
            assert svc.refresh() is before
            assert tried
            w.gone.update(w.web.addresses)
            w.settles(svc, moved.addresses)


@row("resolv.conf is a folder, or not to be read, for some lookups; then the old or a new file is there", "The same")
def unreadable_for_a_while(w: World) -> None:
    conf = w.conf(w.dns)
    other = w.server()
    other.service("headless-svc", "moon", pods=["10.9.9.1"])
    with w.watch(nameservers=None, resolv_conf=str(conf)) as svc:
        conf.unlink()
        conf.mkdir()
        for _ in range(3):
            w.is_well(svc)
        conf.rmdir()
        w.conf(other)
        w.gone.update(w.web.addresses)
        w.settles(svc, ["10.9.9.1"])


@row("`options use-vc`, and UDP is closed", "TCP from the start")
def use_vc(w: World) -> None:
    conf = w.conf(w.dns, options="ndots:5 use-vc")
    for port in (8080, "http"):
        with w.fault("unreachable"), w.watch("headless-svc", port, nameservers=None, resolv_conf=str(conf)) as svc:
            w.is_well(svc)
    assert w.dns.count(transport="udp") == 0
    with w.watch(nameservers=None, resolv_conf=str(conf)) as svc:
        w.conf(w.dns)
        w.dns.clear_queries()
        w.recovers(svc)
        assert w.dns.count(transport="udp") > 0


@row('`options use-vc` and `tcp="never"`', "UDP: what the program says counts more")
def use_vc_and_never(w: World) -> None:
    conf = w.conf(w.dns, options="use-vc ndots:5")
    with w.watch(nameservers=None, resolv_conf=str(conf), tcp="never") as svc:
        w.is_well(svc)
    assert w.dns.count(transport="tcp") == 0


@row("`nameserver fe80::1%eth0`: a link-local address with its interface", "Asked there, over UDP and TCP")
def link_local_server(w: World) -> None:
    server = w.server(host=link_local())
    web = server.service("headless-svc", "moon", pods=["10.9.9.1", "10.9.9.2"])
    conf = w.conf(server)
    for tcp in ("auto", "always"):
        for options in ({"nameservers": None, "resolv_conf": str(conf)}, {"nameservers": [server.nameserver]}):
            with w.watch(tcp=tcp, **options) as svc:
                w.is_well(svc, web.addresses)


@row("The same, and the interface does not exist", "A failure that names the server; the next one answers")
def link_local_server_elsewhere(w: World) -> None:
    conf = w.conf("fe80::1%nowhere7", w.dns)
    with w.watch(nameservers=None, resolv_conf=str(conf)) as svc:
        w.is_well(svc)
    conf = w.conf("fe80::1%nowhere7")
    with pytest.raises(LookupFailed, match="fe80::1%nowhere7"):
        w.resolve(nameservers=None, resolv_conf=str(conf))


@row("Lines of resolv.conf with zone ids, `use-vc` and what cannot be used", "Each line for itself", virtual=True)
def lines_of_resolv_conf() -> None:
    from tempfile import NamedTemporaryFile

    with NamedTemporaryFile("w") as file:
        file.write("nameserver fe80::1%eth0\nnameserver not-one\nnameserver 10.96.0.10\noptions use-vc ndots:3\n")
        file.flush()
        conf = resolvconf.read(str(Path(file.name)))
    assert [str(server) for server in conf.servers] == ["[fe80::1%eth0]:53", "10.96.0.10:53"]
    assert conf.ndots == 3
