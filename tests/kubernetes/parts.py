"""The programs of a control plane: built once from pinned Go modules into a cache, etcd from the distribution.

The versions are in parts/kubernetes/go.mod and parts/coredns/go.mod, and nowhere else. Each is a Go module without
code: its `tool` lines name the programs, `go.sum` has the checksums of everything they are made of. To go to another
version, change it there and run `go mod tidy` (all `k8s.io/X => k8s.io/X v0.N` lines follow `k8s.io/kubernetes v1.N`).
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
CHECKOUT = HERE.parents[1]
CACHE = "KUBERNETES_CACHE"  # the environment variable that names another cache folder, for several checkouts to share
MODULES = ("coredns", "kubernetes")
SBIN = os.pathsep.join(
    [os.environ.get("PATH", os.defpath), "/usr/local/go/bin", "/usr/local/sbin", "/usr/sbin", "/sbin"]
)
NOTE_EVERY = 20.0  # s between two lines about a build that goes on


class MissingPart(RuntimeError):
    """Something that the control plane needs is not on this machine; the text says what and how to get it."""


@dataclass(frozen=True)
class Parts:
    """Paths of the programs."""

    etcd: Path
    kube_apiserver: Path
    kube_controller_manager: Path
    coredns: Path
    ip: Path
    nft: Path
    openssl: Path

    @property
    def versions(self) -> str:
        found = "etcd " + _said([str(self.etcd), "--version"], r"etcd Version: (\S+)")
        for module, name in (("coredns", "github.com/coredns/coredns"), ("kubernetes", "k8s.io/kubernetes")):
            found += f", {module} {required(module, name)}"
        return found


def required(module: str, dependency: str) -> str:
    """The version that a go.mod asks for."""
    text = (HERE / "parts" / module / "go.mod").read_text()
    found = re.search(rf"^(?:require)?\s*{re.escape(dependency)} (v\S+)", text, re.MULTILINE)
    assert found is not None, f"{module}/go.mod does not require {dependency}"
    return found[1]


def cache_folder() -> Path:
    return Path(os.environ.get(CACHE) or CHECKOUT / ".cache" / "kubernetes").absolute()


def build() -> Parts:
    """Find everything, and build what the cache has not got. Tells on stdout what takes long. Raises `MissingPart`."""
    etcd = program("etcd", "etcd-server")
    ip, nft, openssl = program("ip", "iproute2"), program("nft", "nftables"), program("openssl", "openssl")
    folders = {module: _built(module) for module in MODULES}
    return Parts(
        etcd=etcd,
        kube_apiserver=folders["kubernetes"] / "kube-apiserver",
        kube_controller_manager=folders["kubernetes"] / "kube-controller-manager",
        coredns=folders["coredns"] / "coredns",
        ip=ip,
        nft=nft,
        openssl=openssl,
    )


def program(name: str, package: str) -> Path:
    found = shutil.which(name, path=SBIN)
    if found is None:
        raise MissingPart(f"{name} is not installed: apt-get install {package}")
    return Path(found)


def _built(module: str) -> Path:
    """The folder with the programs of one module, named after what they are made from."""
    source = HERE / "parts" / module
    made_from = (source / "go.mod").read_bytes() + (source / "go.sum").read_bytes()
    cache = cache_folder()
    folder = cache / f"{module}-{hashlib.sha256(made_from).hexdigest()[:16]}"
    if folder.exists():
        return folder
    cache.mkdir(parents=True, exist_ok=True)
    with _alone(cache / f"{module}.lock"):
        if not folder.exists():  # another run may have built it while this one waited
            unfinished = folder.with_suffix(".unfinished")
            shutil.rmtree(unfinished, ignore_errors=True)
            _go_build(module, source, unfinished)
            unfinished.rename(folder)
    return folder


def _go_build(module: str, source: Path, into: Path) -> None:
    go = _go((source / "go.mod").read_text())
    print(f"Building {module} in {cache_folder()} (once; minutes where Go's build cache is cold) ...", flush=True)
    begun = noted = time.monotonic()
    # -buildvcs=false: the checkout's own commit has no place in them. -s -w: no symbols, so that linking is quick.
    command = [go, "build", "-v", "-mod=readonly", "-buildvcs=false", "-ldflags=-s -w", f"-o={into}/", "tool"]
    packages, said = 0, []
    with subprocess.Popen(command, cwd=source, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            packages += 1
            said = [*said[-40:], line]
            if time.monotonic() - noted > NOTE_EVERY:
                noted = time.monotonic()
                print(f"  {noted - begun:4.0f} s: {packages} packages, now {line.strip()}", flush=True)
    if process.returncode:
        shutil.rmtree(into, ignore_errors=True)
        raise MissingPart(f"go build of {module} failed:\n{''.join(said)}")
    print(f"  {module} was built in {time.monotonic() - begun:.0f} s, {packages} packages anew.", flush=True)


def _go(go_mod: str) -> str:
    wanted = re.search(r"^go (\d+)\.(\d+)", go_mod, re.MULTILINE)
    assert wanted is not None
    name = f"Go {wanted[1]}.{wanted[2]} or later"
    go = shutil.which("go", path=SBIN)
    if go is None:
        raise MissingPart(f"Go is not installed; the control plane is built with {name}: https://go.dev/dl/")
    found = re.search(r"go(\d+)\.(\d+)", _said([go, "env", "GOVERSION"], r"(.*)"))
    older = found is None or (int(found[1]), int(found[2])) < (int(wanted[1]), int(wanted[2]))
    # Go fetches the version it needs by itself, unless it was told not to.
    if older and _said([go, "env", "GOTOOLCHAIN"], r"(.*)") == "local":
        raise MissingPart(f"{go} is too old, the control plane is built with {name}: https://go.dev/dl/")
    return go


def _said(command: list[str], pattern: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, cwd="/", check=False)
    found = re.search(pattern, done.stdout)
    return found[1] if found else "?"


@contextmanager
def _alone(lock: Path) -> Iterator[None]:
    with lock.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"Waiting for another run that builds ({lock}) ...", file=sys.stderr, flush=True)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
