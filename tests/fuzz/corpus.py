"""The seeds. `python tests/fuzz/corpus.py` makes them anew, out of what real servers and the project's own answer.

Needs the server programs of tests/interop (apt-get install knot bind9 unbound dnsmasq-base pdns-backend-bind nsd).
"""

from __future__ import annotations

import random
import shutil
import struct
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).resolve().parent
FOLDER = HERE / "corpus"
if __name__ == "__main__":
    sys.path[0] = str(HERE.parent)

import dns.message  # noqa: E402
import dns.query  # noqa: E402

from fuzz.targets import NAME, script  # noqa: E402
from headless_discovery.testing import DNSServer  # noqa: E402

QUESTIONS = [  # of tests/interop/zones.py, where each is something else
    ("a3", "A"),
    ("_http._tcp.srv3", "SRV"),
    ("_http._tcp.srv20", "SRV"),
    ("_http._tcp.pods11", "SRV"),  # dual stack: NSD leaves out some of the IPv6 glue
    ("six", "AAAA"),
    ("six", "A"),
    ("chain-1", "A"),
    ("text-only", "TXT"),
    ("nobody", "A"),
]


def seeds(target: str) -> list[Path]:
    return sorted((FOLDER / target).iterdir())


def load(target: str) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in seeds(target)}


def of_real_servers() -> Iterator[tuple[str, bytes]]:
    from interop.servers import SERVERS
    from interop.zones import name

    for kind, server_class in SERVERS.items():
        program = shutil.which(server_class.program, path="/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin")
        assert program is not None, f"apt-get install {server_class.package}"
        with tempfile.TemporaryDirectory() as folder:
            server = server_class(Path(program), Path(folder))
            server.start()
            try:
                for owner, rdtype in QUESTIONS:
                    query = dns.message.make_query(name(owner), rdtype, use_edns=0, payload=1232, id=7)
                    yield f"{kind}-{owner.lstrip('_')}-{rdtype}".lower(), exchanged(query, server.port)
            finally:
                server.stop()


def of_our_own() -> Iterator[tuple[str, bytes]]:
    """As CoreDNS writes them: no compression where it fits, glue, SRV of the bare name; and what faults make of it."""
    with DNSServer(seed=1) as dns_server:
        web = dns_server.service("headless-svc", "moon", pods=4, ports={"http": 8080})
        dns_server.service("big", "moon", pods=90)
        dns_server.service("dashed", "moon", pods=3, ports={"http": 8080}, hostnames=None)
        dns_server.service("dual", "moon", pods=2, ports={"http": 8080}, family="dual")
        dns_server.record("alias.example", "CNAME", 10, NAME)

        def ask(owner: str, rdtype: str, edns: int = 0) -> bytes:
            query = dns.message.make_query(owner, rdtype, use_edns=edns, payload=1232, id=7)
            return exchanged(query, dns_server.port)

        for kind, owner, rdtype in [
            ("a", NAME, "A"),
            ("aaaa", NAME, "AAAA"),
            ("srv-bare", NAME, "SRV"),
            ("srv", f"_http._tcp.{NAME}", "SRV"),
            ("pod", f"web-0.{NAME}", "A"),
            ("big", NAME.replace("headless-svc", "big"), "A"),
            ("dashed", NAME.replace("headless-svc", "dashed"), "SRV"),
            ("dual", NAME.replace("headless-svc", "dual"), "SRV"),
            ("gone", NAME.replace("headless-svc", "gone"), "A"),
            ("alias", "alias.example", "A"),
        ]:
            yield f"own-{kind}", ask(owner, rdtype)
        yield "own-no-edns", ask(NAME, "A", -1)
        for fault in ("truncate", "lame", "unsynced", "edns-formerr", "edns-badvers", "nodata", "short", "garbage"):
            with dns_server.fail(fault):
                yield f"own-{fault}", ask(NAME, "A")
        web.scale(20)
        dns_server.forget()
        yield "own-srv-cut", ask(NAME, "SRV")


def exchanged(query: dns.message.Message, port: int) -> bytes:
    """The answer's bytes, whatever they are."""
    import socket

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(5)
        sock.connect(("127.0.0.1", port))
        sock.send(query.to_wire())
        return sock.recv(65535)


def by_hand() -> Iterator[tuple[str, bytes]]:
    """Legal, and written by nobody: names that are pointers alone, OPT in odd places, a chain of CNAMEs backwards."""
    query = dns.message.make_query(NAME, "SRV", use_edns=-1, id=7).to_wire()
    owner, root = b"\xc0\x0c", 12 + len(NAME) + 1
    header = struct.pack("!6H", 7, 0x8400, 1, 2, 0, 1)

    def record(rdtype: int, data: bytes) -> bytes:
        return owner + struct.pack("!HHIH", rdtype, 1, 5, len(data)) + data

    for kind, at in (("own", 12), ("parent", 25), ("root", root), ("header", 4)):
        pointer = struct.pack("!H", 0xC000 | at)
        records = record(33, struct.pack("!3H", 0, 1, 8080) + pointer) * 2 + record(1, bytes((10, 0, 0, 1)))
        yield f"hand-pointer-to-{kind}", header + query[12:] + records
    chain = record(5, b"\1a" + owner) + b"\1a" + owner + struct.pack("!HHIH", 5, 1, 5, 2) + owner
    yield "hand-loop", struct.pack("!6H", 7, 0x8400, 1, 2, 0, 1) + query[12:] + chain + b"\0\0\x29\4\xd0" + bytes(6)


def scripts(found: dict[str, bytes]) -> Iterator[tuple[str, bytes]]:
    """Lookups in a row: joining, leaving, cut off, silent, in error, empty, with and without glue."""

    def step(kind: str) -> bytes:
        return b"f" + found[kind]

    ok, none, cut, bare = map(step, ("own-a", "own-gone", "own-truncate", "own-nodata"))
    srv, big, srv_cut, one, v6 = map(step, ("own-srv", "own-big", "own-srv-cut", "own-pod", "knot-six-aaaa"))
    alias, dashed, dual = map(step, ("own-alias", "own-dashed", "own-dual"))
    yield "a", script(0, ok, ok, step("own-no-edns"), ok)
    yield "a-cut", script(0, cut, ok, cut, big, step("own-edns-formerr"), ok)
    yield "a-empty", script(0x80, ok, none, ok, bare, none, none, none)
    yield "a-trouble", script(0x10, ok, b"t", b"r", step("own-lame"), b"w" + found["own-a"], b"t", ok)
    yield "a-sample", script(0x40, big, ok, one, none)
    yield "alias", script(0, alias, step("knot-chain-1-a"), ok)
    yield "any", script(0x04, ok, v6, step("own-unsynced"), v6, ok, bare)
    yield "v6", script(0x0C, v6, bare, v6)
    yield "srv", script(1, srv, step("knot-http._tcp.srv3-srv"), b"t", srv)
    yield "srv-glue", script(1, step("bind-http._tcp.srv20-srv"), ok, one, none, one, srv, srv_cut, srv_cut)
    yield "srv-cut", script(1, srv, srv_cut, srv_cut, srv_cut, srv_cut, srv_cut, none, one)
    yield "auto", script(2, srv, dashed, bare, ok)
    yield "dual", script(2, dual, dual, dashed)
    some, all_glue, cut_srv = map(
        step, ("nsd-http._tcp.pods11-srv", "pdns-http._tcp.pods11-srv", "pdns-http._tcp.srv20-srv")
    )
    yield "dual-glue", script(1, some, all_glue, v6, some, cut_srv, none, all_glue)
    yield "dual-glue-any", script(0x05, some, v6, all_glue, some, ok, some)
    yield "dual-glue-v6", script(0x0D, some, v6, some, bare, all_glue, some)
    yield "search", script(0x20, none, ok, bare, none, ok)
    yield "hostile", script(0, b"f" + hostile_addresses(), step("own-garbage"), step("own-short"), ok)


def hostile_addresses() -> bytes:
    """Metadata, loopback, multicast and unspecified addresses, as a service's."""
    header = struct.pack("!6H", 7, 0x8400, 1, 5, 0, 0)
    question = b"\1a\0" + struct.pack("!2H", 1, 1)
    bad = [(169, 254, 169, 254), (127, 0, 0, 1), (224, 0, 0, 1), (0, 0, 0, 0), (10, 0, 0, 1)]
    return header + question + b"".join(b"\xc0\x0c\0\1\0\1\0\0\0\5\0\4" + bytes(octets) for octets in bad)


def mutated(data: bytes, rng: random.Random, others: list[bytes]) -> bytes:
    """Some octets changed, cut, put in, repeated, or taken from elsewhere: those that mean something more often."""
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 3, 5, 8))):
        at = rng.randrange(len(changed) + 1)
        match rng.randrange(8):
            case 0:
                changed[at : at + 1] = bytes([rng.randrange(256)])
            case 1:
                changed[at : at + 1] = bytes([rng.choice((0, 1, 2, 4, 5, 6, 16, 28, 33, 41, 63, 64, 0x80, 0xC0, 0xFF))])
            case 2:
                del changed[at : at + rng.choice((1, 2, 4, 10, 16, len(changed)))]
            case 3:
                changed[at:at] = rng.randbytes(rng.randrange(1, 20))
            case 4:
                changed[at:at] = changed[at : at + rng.choice((2, 12, 16, 40))]
            case 5:
                changed[at : at + 2] = struct.pack("!H", 0xC000 | rng.choice((4, 12, at, rng.randrange(256))))
            case 6:
                other = rng.choice(others)
                start = rng.randrange(len(other) + 1)
                changed[at : at + rng.randrange(40)] = other[start : start + rng.randrange(60)]
            case 7:
                header = rng.randrange(12)
                if header < len(changed):
                    changed[header] ^= 1 << rng.randrange(8)
    return bytes(changed)


def main() -> None:
    found = dict([*of_our_own(), *of_real_servers(), *by_hand()])
    for target, inputs in (("messages", found), ("services", dict(scripts(found)))):
        folder = FOLDER / target
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        for file, data in inputs.items():
            (folder / file).write_bytes(data)


if __name__ == "__main__":
    main()
