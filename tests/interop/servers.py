"""Real DNS servers as child processes on loopback, as any user, with their own configuration and nobody else's.

All of them get the same records (zones.py), and differ as they do in the field:

* **Knot** is authoritative (AA). Adds glue to SRV answers as far as it fits; what does not fit is left out without TC,
  as RFC 2181, 9 allows, and as all but PowerDNS do. It turns the order at each answer, so other targets lack their
  glue each time, and a few have one address of two.
* **BIND** is authoritative. It refuses more than 100 records of one name and type (CVE-2024-1737) unless
  `max-records-per-type` says otherwise, and adds no glue at all to a set of more than 13 (CVE-2024-11187), also over
  TCP: no option changes that.
* **Unbound** is what stands between a pod and an authoritative server: a recursive cache (RA, not AA) that counts TTLs
  down. It resolves from its own copy of the zone, so no query leaves it. By default (`minimal-responses: yes`) it
  strips glue from SRV answers; here it is told not to.
* **dnsmasq** knows no zones: addresses come from a hosts file and everything else from options, one TTL holds for all,
  and its NXDOMAIN and NODATA have no SOA. Its messages of more than 16 KiB are malformed if they have glue: a
  compression pointer has 14 bits (RFC 1035, 4.1.4), and version 2.90 writes larger ones.
* **PowerDNS** is authoritative. If a record does not fit, be it glue, it sends TC and no record at all. It does not
  send an answer of more than 64 KiB over TCP: it closes the connection (4.7) or sets TC. It shuffles all sections.
* **NSD** is authoritative. It adds NS records to each answer, with their glue. To SRV answers it adds the A records
  of all targets, then the AAAA records. It leaves out what does not fit and does not set TC, so a dual-stack target
  shows its IPv4 address alone. If the answer section does not fit, it sends TC and no record.
"""

from __future__ import annotations

import grp
import os
import pwd
import shutil
import signal
import socket
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import ClassVar

import dns.exception
import dns.flags
import dns.message
import dns.query
import dns.rcode
import dns.rdatatype

from .zones import LIVE_TTL, ORIGIN, TTL, Record, dnsmasq_hosts, dnsmasq_options, master_file, name, version, zone

START_DEADLINE = 20.0  # s; BIND on a busy machine takes two
STOP_DEADLINE = 10.0


def has_ipv6_loopback() -> bool:
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


def free_port(hosts: Iterable[str]) -> int:
    """A port free now for UDP and TCP on all of these addresses; should another take it first, `start` tries anew."""
    for _ in range(100):
        port = 0
        sockets: list[socket.socket] = []
        try:
            for host in hosts:
                for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
                    sockets.append(socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, kind))
                    sockets[-1].bind((host, port))
                    port = sockets[-1].getsockname()[1]
            return port
        except OSError:
            continue
        finally:
            for opened in sockets:
                opened.close()
    raise RuntimeError("no port is free on loopback")


class Server(ABC):
    """One server program. `start()` returns once it answers; `stop()` once it is gone."""

    program: ClassVar[str]
    package: ClassVar[str]  # of Debian
    authoritative: ClassVar[bool] = True
    negative_soa: ClassVar[bool] = True
    sends_part_with_tc: ClassVar[bool] = False
    max_pods: ClassVar[int] = 700  # of a dual-stack StatefulSet: beyond, its SRV answer is not usable, also over TCP
    ttl: ClassVar[int] = TTL
    live_ttl: ClassVar[int] = LIVE_TTL

    def __init__(self, program: Path, folder: Path, *, small_zone: bool = False) -> None:
        self._small_zone = small_zone
        self.folder = folder
        self.log = folder / "server.log"
        self.hosts = ["127.0.0.1", "::1"] if has_ipv6_loopback() else ["127.0.0.1"]
        self.port = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._serial = 1
        # AppArmor profiles of Debian and Ubuntu go by path, and would keep named and unbound out of our folder.
        self._program = Path(shutil.copy(program, folder / program.name))
        self._write(zone(serial=self._serial, small=small_zone))

    @property
    def nameserver(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def nameserver_v6(self) -> str:
        return f"[::1]:{self.port}"

    def start(self) -> None:
        """Also after `stop()`: then on the same port."""
        again = self.port != 0
        for attempt in range(5):
            if not again:
                self.port = free_port(self.hosts)
            command = [str(self._program), *self.configure()]
            # So that a test run that is killed leaves no server behind (prctl(2); a change of user or group undoes it).
            setpriv = shutil.which("setpriv")
            if setpriv is not None:
                command = [setpriv, "--pdeathsig", "KILL", "--", *command]
            with self.log.open("ab") as log:
                self._process = subprocess.Popen(
                    command, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log
                )
            try:
                self._wait_until(lambda: self._ready(tcp=True) and self._ready(tcp=False))
                return
            except ServerDied:
                self.stop()
                if attempt == 4:
                    raise
            except BaseException:
                self.stop()
                raise

    def stop(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate()
        try:
            process.wait(STOP_DEADLINE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def publish(self, live: int) -> None:
        """Serve `live` pods of the `live` service from now on; returns when they are served."""
        self._serial += 1
        self._write(zone(live, self._serial, small=self._small_zone))
        self._reload()
        self._wait_until(lambda: self._addresses("version") == [version(self._serial)])

    def ask(
        self, owner: str, rdtype: str, *, tcp: bool = False, payload: int = 1232, timeout: float = 5.0
    ) -> dns.message.Message:
        query = dns.message.make_query(owner, rdtype, use_edns=0, payload=payload)
        over = dns.query.tcp if tcp else dns.query.udp
        return over(query, "127.0.0.1", timeout=timeout, port=self.port)

    def tail(self, lines: int = 60) -> str:
        text = self.log.read_text(errors="replace") if self.log.exists() else ""
        return "\n".join(text.splitlines()[-lines:])

    @abstractmethod
    def configure(self) -> list[str]:
        """Write the configuration for `self.port` into `self.folder`; the command's arguments."""

    def _reload(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGHUP)

    def _write(self, records: list[Record]) -> None:
        self._replace("zone.db", master_file(records, self._serial))

    def _replace(self, filename: str, text: str) -> Path:
        # By rename: no server reads half a file.
        path = self.folder / filename
        path.with_suffix(".new").write_text(text)
        path.with_suffix(".new").replace(path)
        return path

    def _ready(self, tcp: bool) -> bool:
        return self._addresses("version", tcp=tcp) is not None

    def _addresses(self, service: str, tcp: bool = False) -> list[str] | None:
        try:
            answer = self.ask(name(service), "A", tcp=tcp, timeout=0.5)
        except (dns.exception.DNSException, OSError, EOFError):
            return None
        return [rdata.to_text() for rrset in answer.answer for rdata in rrset] or None

    def _wait_until(self, condition: Callable[[], bool]) -> None:
        assert self._process is not None
        deadline = time.monotonic() + START_DEADLINE
        while not condition():
            try:
                code = self._process.wait(0.05)  # the pause between two tries, cut short when there is nobody to ask
            except subprocess.TimeoutExpired:
                code = None
            if code is not None:
                raise ServerDied(f"{self.program} ended with {code}:\n{self.tail()}")
            if time.monotonic() > deadline:
                raise TimeoutError(f"{self.program} did not answer within {START_DEADLINE} s:\n{self.tail()}")


class ServerDied(RuntimeError):
    pass


class Knot(Server):
    program = "knotd"
    package = "knot"
    origins: ClassVar[tuple[str, ...]] = (ORIGIN,)  # the zone of each is in `zone_file`
    modules: ClassVar[tuple[str, ...]] = ()

    def zone_file(self, origin: str) -> str:
        return "zone.db" if origin == ORIGIN else f"{origin}.db"

    def configure(self) -> list[str]:
        zones = "".join(f'  - domain: {o}\n    file: "{self.folder}/{self.zone_file(o)}"\n' for o in self.origins)
        modules = f"    module: [{', '.join(self.modules)}]\n" if self.modules else ""
        listen = ", ".join(f"{host}@{self.port}" for host in self.hosts)
        conf = f"""
server:
    rundir: "{self.folder}"
    listen: [{listen}]
    udp-workers: 1
    tcp-workers: 1
    background-workers: 1
    answer-rotation: on
log:
  - target: stderr
    any: info
database:
    storage: "{self.folder}/db"
template:
  - id: default
    zonefile-sync: -1
    zonefile-load: whole
    journal-content: none
{modules}zone:
{zones}"""
        return ["-c", str(self._replace("knot.conf", conf))]


class Bind(Server):
    program = "named"
    package = "bind9"

    def configure(self) -> list[str]:
        v6 = "::1;" if "::1" in self.hosts else ""
        conf = f"""
options {{
    directory "{self.folder}";
    listen-on port {self.port} {{ 127.0.0.1; }};
    listen-on-v6 port {self.port} {{ {v6 or "none;"} }};
    pid-file none;
    lock-file none;
    session-keyfile none;
    recursion no;
    empty-zones-enable no;
    dnssec-validation no;
    notify no;
    max-cache-size 16m;
    max-records-per-type 0;
    minimal-responses no;
    rrset-order {{ order random; }};
}};
controls {{ }};
zone "{ORIGIN}" {{ type primary; file "{self.folder}/zone.db"; }};
"""
        return ["-g", "-n", "1", "-U", "1", "-c", str(self._replace("named.conf", conf))]


class Unbound(Server):
    program = "unbound"
    package = "unbound"
    authoritative = False

    def configure(self) -> list[str]:
        listen = "\n".join(f"    interface: {host}" for host in self.hosts)
        conf = f"""
server:
    directory: "{self.folder}"
    chroot: ""
    username: ""
    pidfile: ""
    use-syslog: no
    logfile: ""
    verbosity: 1
    num-threads: 1
    port: {self.port}
{listen}
    outgoing-interface: 127.0.0.1
    do-not-query-localhost: yes
    module-config: "iterator"
    minimal-responses: no
    rrset-roundrobin: yes
    access-control: 127.0.0.0/8 allow
    access-control: ::1/128 allow
auth-zone:
    name: "{ORIGIN}."
    zonefile: "{self.folder}/zone.db"
    for-downstream: no
    for-upstream: yes
    fallback-enabled: no
remote-control:
    control-enable: no
"""
        return ["-d", "-p", "-c", str(self._replace("unbound.conf", conf))]


class Dnsmasq(Server):
    program = "dnsmasq"
    package = "dnsmasq-base"
    negative_soa = False
    sends_part_with_tc = True
    max_pods = 290  # 56 bytes an SRV record, up to 16 KiB
    ttl = LIVE_TTL

    def _write(self, records: list[Record]) -> None:
        self._replace("hosts", dnsmasq_hosts(records))
        self._options = "\n".join(dnsmasq_options(records))

    def configure(self) -> list[str]:
        listen = "\n".join(f"listen-address={host}" for host in self.hosts)
        conf = f"""
port={self.port}
{listen}
bind-interfaces
user={pwd.getpwuid(os.getuid()).pw_name}
group={grp.getgrgid(os.getgid()).gr_name}
pid-file=
no-resolv
no-hosts
no-poll
addn-hosts={self.folder}/hosts
local=/{ORIGIN}/
local-ttl={self.ttl}
log-facility=-
{self._options}
"""
        return ["--keep-in-foreground", f"--conf-file={self._replace('dnsmasq.conf', conf)}"]


class PowerDNS(Server):
    program = "pdns_server"
    package = "pdns-backend-bind"  # depends on pdns-server
    max_pods = 650  # about 98 bytes a pod, up to 64 KiB

    def configure(self) -> list[str]:
        self._replace("named.conf", f'zone "{ORIGIN}" {{ type master; file "{self.folder}/zone.db"; }};\n')
        conf = f"""
launch=bind
bind-config={self.folder}/named.conf
bind-check-interval=0
local-address={",".join(self.hosts)}
local-port={self.port}
socket-dir={self.folder}
daemon=no
guardian=no
write-pid=no
disable-syslog=yes
loglevel=4
receiver-threads=1
distributor-threads=1
cache-ttl=0
query-cache-ttl=0
negquery-cache-ttl=0
security-poll-suffix=
webserver=no
"""
        self._replace("pdns.conf", conf)
        return [f"--config-dir={self.folder}"]

    def _reload(self) -> None:
        """SIGHUP ends PowerDNS, and `bind-check-interval` misses a second change within a second."""
        control = ["pdns_control", f"--config-dir={self.folder}", "bind-reload-now", ORIGIN]
        subprocess.run(control, check=True, capture_output=True)


class NSD(Server):
    program = "nsd"
    package = "nsd"

    def configure(self) -> list[str]:
        listen = "\n".join(f"    ip-address: {host}@{self.port}" for host in self.hosts)
        conf = f"""
server:
    server-count: 1
{listen}
    username: ""
    chroot: ""
    zonesdir: "{self.folder}"
    database: ""
    zonelistfile: "{self.folder}/zone.list"
    xfrdfile: ""
    xfrdir: "{self.folder}"
    pidfile: ""
    verbosity: 1
    round-robin: yes
    rrl-ratelimit: 0
    rrl-whitelist-ratelimit: 0
remote-control:
    control-enable: no
zone:
    name: "{ORIGIN}"
    zonefile: "{self.folder}/zone.db"
"""
        return ["-d", "-c", str(self._replace("nsd.conf", conf))]


SERVERS: dict[str, type[Server]] = {
    "knot": Knot,
    "bind": Bind,
    "unbound": Unbound,
    "dnsmasq": Dnsmasq,
    "pdns": PowerDNS,
    "nsd": NSD,
}
