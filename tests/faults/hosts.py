"""The hosts file (`hosts=`), which address questions look into first, and names that end in localhost."""

from __future__ import annotations

import os

from .matrix import NAME, World, row

NOWHERE = ["198.51.100.1"]  # a name server that is not on loopback and does not answer: RFC 5737


def _hosts(w: World, *lines: str) -> str:
    new, path = w.tmp_path / "hosts.new", w.tmp_path / "hosts"
    new.write_text("\n".join([*lines, ""]))
    os.replace(new, path)
    return str(path)


@row("The hosts file has the name", "Its addresses are the peers; DNS is not asked")
def in_the_hosts_file(w: World) -> None:
    w.dns.record("db.example.com", "A", 30, "10.9.9.9")
    hosts = _hosts(
        w,
        "# db.example.com of old",
        "127.0.0.1 localhost",
        "10.1.1.1\tdb.example.com db  # the first",
        "not-an-address db.example.com",
        "10.1.1.2 other.example.com DB.Example.COM.",
        "10.1.1.3 mydb.example.com db.example.com.org",
        "10.1.1.4",
    )
    for name in ("db.example.com", "db.example.com.", "DB.example.com"):
        with w.watch(name, hosts=hosts) as svc:
            w.is_well(svc, ["10.1.1.1", "10.1.1.2"])
            assert {peer.port for peer in svc.peers()} == {8080}
    assert w.resolve("db", hosts=hosts).addresses == ("10.1.1.1",)
    assert w.dns.count() == 0


@row("The hosts file does not have the name, is missing or cannot be read, or `hosts=None`", "DNS is asked")
def not_in_the_hosts_file(w: World) -> None:
    (w.tmp_path / "folder").mkdir()
    for hosts in (_hosts(w, "10.1.1.1 other"), str(w.tmp_path / "none"), str(w.tmp_path / "folder"), None):
        with w.watch(hosts=hosts) as svc:
            w.is_well(svc)
    with w.watch(hosts=None) as svc:
        _hosts(w, f"10.1.1.1 {NAME}")
        w.recovers(svc)


@row("The hosts file changes", "The next refresh has its new addresses")
def hosts_file_changes(w: World) -> None:
    hosts = _hosts(w, "10.1.1.1 db.example.com", "10.1.1.2 db.example.com")
    with w.watch("db.example.com", hosts=hosts) as svc:
        _hosts(w, "10.1.1.2 db.example.com", "10.1.1.3 db.example.com")
        w.settles(svc, ["10.1.1.2", "10.1.1.3"])


@row("The hosts file has both families of a name", 'IPv4 with `family="auto"`, else those that are wanted')
def hosts_file_and_families(w: World) -> None:
    hosts = _hosts(w, "fd00::1 db.example.com six", "10.1.1.1 db.example.com")
    for family, name, expected in (
        ("auto", "db.example.com", {"10.1.1.1"}),
        ("ipv4", "db.example.com", {"10.1.1.1"}),
        ("ipv6", "db.example.com", {"fd00::1"}),
        ("any", "db.example.com", {"10.1.1.1", "fd00::1"}),
        ("auto", "six", {"fd00::1"}),
        ("any", "six", {"fd00::1"}),
    ):
        assert set(w.resolve(name, family=family, hosts=hosts).addresses) == expected
    assert w.dns.count() == 0


@row("The hosts file has a short name of the search list, as it is written", "Its address; the list is not walked")
def hosts_file_and_search(w: World) -> None:
    hosts = _hosts(w, "10.1.1.1 headless-svc")
    conf = w.conf(w.dns)
    with w.watch("headless-svc", nameservers=None, resolv_conf=str(conf), hosts=hosts) as svc:
        w.is_well(svc, ["10.1.1.1"])
    assert w.dns.count() == 0


@row('The hosts file has the name, and `port="http"`', "SRV questions do not look there: DNS has the ports")
def hosts_file_and_srv(w: World) -> None:
    hosts = _hosts(w, f"10.1.1.1 {NAME} web-0.{NAME} _http._tcp.{NAME}")
    for port in ("http", "auto"):
        with w.watch(port=port, hosts=hosts) as svc:
            w.is_well(svc)
    w.dns.record("db.example.com", "A", 30, "10.9.9.9")
    w.dns.add_zone("example.com")
    assert w.resolve("db.example.com", "auto", hosts=_hosts(w, "10.1.1.1 db.example.com")).addresses == ("10.1.1.1",)


@row("The hosts file has one of several names, and a literal is a third", "Each from where it is")
def hosts_file_and_others(w: World) -> None:
    hosts = _hosts(w, "10.1.1.1 db")
    with w.watch(f"db,{NAME},10.2.2.2", hosts=hosts) as svc:
        w.is_well(svc, ["10.1.1.1", "10.2.2.2", *w.web.addresses])


@row("`localhost`, and names that end in it", "Loopback; DNS is not asked, whatever the server and the hosts file")
def localhost(w: World) -> None:
    w.dns.add_zone(".")
    w.dns.record("*.localhost", "A", 30, "10.6.6.6")
    w.dns.record("localhost", "A", 30, "10.6.6.6")
    for name in ("localhost", "localhost.", "LocalHost", "db.localhost", "a.b.localhost."):
        for options in ({}, {"nameservers": NOWHERE}, {"hosts": None}, {"hosts": str(w.tmp_path / "none")}):
            with w.watch(name, **options) as svc:
                w.is_well(svc, ["127.0.0.1"])
                assert svc.peers()[0].endpoint == ("127.0.0.1", 8080)
        assert w.resolve(name, family="ipv6").addresses == ("::1",)
        assert set(w.resolve(name, family="any").addresses) == {"127.0.0.1", "::1"}
    conf = w.conf(w.dns)
    assert w.resolve("localhost", nameservers=None, resolv_conf=str(conf)).addresses == ("127.0.0.1",)
    assert w.dns.count() == 0


@row("Names that only look like it: `localhost.example.com`, `mylocalhost`", "DNS is asked")
def not_localhost(w: World) -> None:
    w.dns.add_zone(".")
    for name in ("localhost.example.com", "mylocalhost", "xlocalhost.example"):
        w.dns.record(name, "A", 30, "10.9.9.9")
        assert w.resolve(name).addresses == ("10.9.9.9",)
