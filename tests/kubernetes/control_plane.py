"""The control plane: four real programs, stand-ins for scheduler and kubelet, and those who watch what happens."""

from __future__ import annotations

import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from types import TracebackType

import dns.exception
import dns.message
import dns.query
import httpx

from .api import TOKEN, Api, AsyncApi, Object, Refused
from .isolation import FOLDER, SERVICE_NETWORK, SERVICE_NETWORK_V6
from .kubelet import NODES, Image, Kubelet
from .parts import Parts
from .pods import HttpPod
from .slices import Slices
from .wire import Wire

API_ADDRESS, OTHER_API_ADDRESS, API_PORT = "10.0.0.1", "10.0.0.2", 6443  # one server; the other way to it may be cut
ETCD = "http://127.0.0.1:2379"
DNS_ADDRESS = "10.96.0.10"  # as nearly everywhere
ZONE = "cluster.local"
START_DEADLINE = 60.0  # s; all is there in three, on a machine that has nothing else to do
# As clusters have it. `zonal` adds names and changes none.
COREFILE = """\
.:53 {{
    errors
    kubernetes {zone} in-addr.arpa ip6.arpa {{
        kubeconfig {kubeconfig} k
        pods insecure
        ttl {ttl}
        zonal
    }}
    cache {cache}
    loadbalance
}}
"""
KUBECONFIG = """\
apiVersion: v1
kind: Config
clusters:
  - name: k
    cluster: {{server: "https://{address}:{port}", tls-server-name: kubernetes, certificate-authority: {certificate}}}
users: [{{name: admin, user: {{token: {token}}}}}]
contexts: [{{name: k, context: {{cluster: k, user: admin}}}}]
current-context: k
"""


class Process:
    """One program of the control plane, which may be killed and started again. Its output is in `log`."""

    def __init__(self, name: str, command: list[str], folder: Path, **files: str) -> None:
        """`files`: what it reads, by name of the file in `folder`."""
        self.name = name
        self.log = folder / f"{name}.log"
        self._command = command
        self._files = {folder / file: text for file, text in files.items()}
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        assert not self.running
        for path, text in self._files.items():
            path.write_text(text)
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(self._command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def kill(self) -> None:
        """As the kernel does when memory runs out. Nothing is worth an orderly end: all files are in memory."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def tail(self, lines: int = 10) -> str:
        text = self.log.read_text(errors="replace") if self.log.exists() else ""
        return f"--- {self.name}\n" + "\n".join(text.splitlines()[-lines:])


class ControlPlane:
    """`with ControlPlane(parts) as cluster`: ready when the block begins, gone when it ends.

    Only within `isolate`. `ttl` and `cache` (seconds) are CoreDNS's: its own default, and that of a cluster as it
    comes. `image` is what runs in pods: called with a name, addresses and ports, it makes something with coroutines
    `start()` and `stop()`.
    """

    def __init__(self, parts: Parts, *, ttl: int = 5, cache: int = 30, image: Image = HttpPod) -> None:
        self.parts = parts
        self.ttl = ttl
        self.cache = cache
        self.folder = FOLDER / "control-plane"
        self._certificate = self.folder / "apiserver.crt"
        self._pauses = threading.Event()
        self._nameservers = self._others = 0
        self.etcd = self._process("etcd", parts.etcd, *self._etcd())
        self.api_server = self._process("kube-apiserver", parts.kube_apiserver, *self._api_server())
        self.controllers = self._process("kube-controller-manager", parts.kube_controller_manager, *self._controllers())
        self.coredns = self.make_coredns("coredns")
        self.processes = [self.etcd, self.api_server, self.controllers, self.coredns]
        url = f"https://{API_ADDRESS}:{API_PORT}"
        self.kubelet = Kubelet(lambda: AsyncApi(url, self._certificate), image)
        self.slices = Slices(lambda: AsyncApi(url, self._certificate))
        self._url = url
        self._opened: list[Api | Wire] = []

    # Starting and stopping.

    def __enter__(self) -> ControlPlane:
        begun = time.monotonic()
        try:
            self._start()
        except BaseException:
            self.stop()
            raise
        self.started_in = time.monotonic() - begun
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _start(self) -> None:
        self.folder.mkdir()
        key = self.folder / "service-accounts.key"
        subprocess.run([self.parts.openssl, "genrsa", "-out", key, "2048"], check=True, capture_output=True)
        (self.folder / "tokens").write_text(f"{TOKEN},admin,admin,system:masters\n")
        for name, address in (("kubeconfig", API_ADDRESS), ("other-kubeconfig", OTHER_API_ADDRESS)):
            text = KUBECONFIG.format(address=address, port=API_PORT, certificate=self._certificate, token=TOKEN)
            (self.folder / name).write_text(text)
        self.etcd.start()
        self.api_server.start()
        # It makes a certificate for itself, then the key: when that is there, the certificate is whole.
        self.wait(self._certificate.with_suffix(".key").exists, f"a certificate\n{self.api_server.tail()}")
        self.api = Api(self._url, self._certificate)
        self._opened.append(self.api)
        self.wait_for_api()
        self.controllers.start()
        self.coredns.start()
        for node, zone in NODES.items():
            labels = {"topology.kubernetes.io/zone": zone, "kubernetes.io/hostname": node}
            self.api.create({"apiVersion": "v1", "kind": "Node", "metadata": {"name": node, "labels": labels}})
        self.kubelet.start()
        self.slices.start()
        self.wire = Wire()
        self._opened.append(self.wire)
        self.wait_for_dns()

    def stop(self) -> None:
        with ExitStack() as last:  # from the bottom up; one that raises keeps none from its turn
            last.callback(shutil.rmtree, self.folder, ignore_errors=True)
            for opened in self._opened:
                last.callback(opened.close)
            for process in self.processes:
                last.callback(process.kill)
            last.callback(self.slices.stop)
            last.callback(self.kubelet.stop)

    def _process(self, name: str, *command: str | Path, **files: str) -> Process:
        return Process(name, list(map(str, command)), self.folder, **files)

    def _etcd(self) -> list[str]:
        peers = "http://127.0.0.1:2380"
        return [
            f"--data-dir={self.folder}/etcd",
            "--unsafe-no-fsync",
            f"--listen-client-urls={ETCD}",
            f"--advertise-client-urls={ETCD}",
            f"--listen-peer-urls={peers}",
            f"--initial-advertise-peer-urls={peers}",
            f"--initial-cluster=default={peers}",
        ]

    def _api_server(self) -> list[str]:
        key = self.folder / "service-accounts.key"
        return [
            f"--etcd-servers={ETCD}",
            "--bind-address=0.0.0.0",
            f"--secure-port={API_PORT}",
            f"--advertise-address={API_ADDRESS}",
            f"--cert-dir={self.folder}",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-key-file={key}",
            f"--service-account-signing-key-file={key}",
            f"--token-auth-file={self.folder}/tokens",
            "--authorization-mode=AlwaysAllow",
            f"--service-cluster-ip-range={SERVICE_NETWORK},{SERVICE_NETWORK_V6}",
            "--disable-admission-plugins=ServiceAccount",
            "--feature-gates=SizeBasedListCostEstimate=false",  # it wants an etcd newer than Debian's
        ]

    def _controllers(self) -> list[str]:
        wanted = ("statefulset", "deployment", "replicaset", "endpointslice", "namespace")
        return [
            f"--kubeconfig={self.folder}/kubeconfig",
            "--leader-elect=false",
            "--secure-port=0",
            "--controllers=" + ",".join(f"{name}-controller" for name in wanted),
            "--kube-api-qps=200",
            "--kube-api-burst=400",
        ]

    def make_coredns(self, name: str, corefile: str = COREFILE, *, kubeconfig: str = "kubeconfig") -> Process:
        """A CoreDNS that is not started yet. It listens on all addresses, and two of them share each (SO_REUSEPORT),
        as replicas behind one Service do; unless its Corefile says `bind`.
        """
        corefile = corefile.format(zone=ZONE, kubeconfig=self.folder / kubeconfig, ttl=self.ttl, cache=self.cache)
        file = f"{name}.corefile"
        return self._process(name, self.parts.coredns, "-conf", self.folder / file, **{file: corefile})

    @contextmanager
    def another_coredns(self, corefile: str, address: str, **options: str) -> Iterator[Process]:
        """A CoreDNS that listens at `address` alone, where this Corefile says `bind ADDRESS`. In the block it does."""
        self._others += 1
        process = self.make_coredns(f"coredns-{self._others}", corefile.replace("ADDRESS", address), **options)

        def listens() -> bool:  # until it does, the one that listens everywhere answers
            assert process.running, process.tail()
            return address in process.tail()

        process.start()
        try:
            self.wait(listens, "it listens")
            yield process
        finally:
            process.kill()

    # Waiting.

    def wait(self, condition: Callable[[], object], what: str, deadline: float = START_DEADLINE) -> None:
        """Look until it holds. Raises `AssertionError` after `deadline` seconds."""
        until = time.monotonic() + deadline
        while not condition():
            if time.monotonic() > until:
                raise AssertionError(f"not in {deadline:g} s: {what}")
            self._pauses.wait(0.02)

    def wait_for_endpoints(self, namespace: str, number: int, service: str = "headless-svc") -> None:
        """Until the service has so many IPv4 endpoints that are to be published."""

        def there() -> bool:
            return len(self.slices.addresses((namespace, service))) == number

        self.wait(there, f"{number} endpoints of {service}.{namespace}")

    def wait_for_api(self) -> None:
        def ready() -> bool:
            try:
                self.api.request("GET", "/readyz?exclude=none")
            except ValueError:  # it says "ok", which is not JSON
                return True
            except (httpx.TransportError, Refused):
                return False
            return True

        self.wait(ready, f"the API server is ready\n{self.api_server.tail()}\n{self.etcd.tail()}")

    def wait_for_dns(self) -> None:
        self.wait(
            lambda: (answer := self.ask(f"kubernetes.default.svc.{ZONE}")) and answer.answer,
            f"CoreDNS answers\n{self.coredns.tail()}",
        )

    def ask(self, name: str, rdtype: str = "A", server: str = DNS_ADDRESS) -> dns.message.Message | None:
        """One question to CoreDNS; None where nobody answers."""
        query = dns.message.make_query(name, rdtype)
        try:
            return dns.query.udp_with_fallback(query, server, timeout=1)[0]
        except (dns.exception.DNSException, OSError, EOFError):
            return None

    # What tests and other programs need.

    def nameserver(self) -> str:
        """An address to ask DNS at that nobody else was given: so `wire` tells clients apart."""
        self._nameservers += 1
        high, low = divmod(self._nameservers + 10, 250)
        return f"10.96.{high}.{low}"

    def resolv_conf(self, namespace: str, nameserver: str, *fallbacks: str) -> Path:
        """A file as the kubelet writes it for pods of this namespace (`dnsPolicy: ClusterFirst`); with `fallbacks`, as
        some write it by `dnsConfig: {nameservers: [...]}`.
        """
        path = self.folder / f"resolv.conf-{namespace}-{nameserver}"
        servers = "".join(f"nameserver {server}\n" for server in (nameserver, *fallbacks))
        path.write_text(f"search {namespace}.svc.{ZONE} svc.{ZONE} {ZONE}\n{servers}options ndots:5\n")
        return path

    @contextmanager
    def as_in_a_pod(self, namespace: str, nameserver: str = DNS_ADDRESS, *fallbacks: str) -> Iterator[None]:
        """/etc/resolv.conf is such a file inside the block: for everything that takes the system's."""
        path = self.resolv_conf(namespace, nameserver, *fallbacks)
        subprocess.run(["mount", "--bind", path, "/etc/resolv.conf"], check=True)
        try:
            yield
        finally:
            subprocess.run(["umount", "/etc/resolv.conf"], check=True)

    def namespace(self, name: str) -> str:
        """Make a namespace."""
        self.api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
        return name

    def end_namespace(self, name: str) -> None:
        """Delete it with all that is in it; its pods end at once."""
        self.kubelet.drop(name)
        with suppress(Refused):
            self.api.delete("Namespace", None, name)

    def apply(self, *things: Object) -> None:
        for thing in things:
            self.api.create(thing)

    def firewall(self, *commands: str) -> None:
        """Packet filters of the namespace (nftables): `add ...`, `delete ...`, `flush ruleset`."""
        subprocess.run([self.parts.nft, "-f", "-"], input="\n".join(commands), text=True, check=True)

    def repair(self) -> None:
        """Start what has ended, and let all packets pass."""
        self.firewall("flush ruleset")
        for process in self.processes:
            if not process.running:
                process.start()
        self.wait_for_api()
        self.wait_for_dns()

    def logs(self) -> str:
        return "\n".join(process.tail() for process in self.processes)
