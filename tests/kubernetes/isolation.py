"""Network, process and mount namespaces for a whole program, so that nothing of it is left when it ends.

The control plane listens on fixed addresses, its pods have addresses of their own, and packets are dropped on purpose:
all that must not meet the machine's own network. And where a test run is killed, the kernel ends all its processes and
takes interfaces, packet filters, mounts and files with it (namespaces(7), pid_namespaces(7)).
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from .parts import MissingPart, Parts, build, program

INSIDE = "HEADLESS_DISCOVERY_NAMESPACES"  # the file descriptor that closes when the program outside ends
# Private to the namespaces: a file system of memory. Every Linux has the folder, and no checkout or cache is in it.
FOLDER = Path("/dev/shm")
POD_NETWORK, POD_NETWORK_V6 = "10.244.0.0/16", "fd00:10:244::/64"
SERVICE_NETWORK, SERVICE_NETWORK_V6 = "10.96.0.0/16", "fd00:10:96::/112"
HOST_NETWORK = "10.0.0.0/24"  # nodes, and the addresses of the API server
PATIENCE = 20.0  # s for a Ctrl-C to be obeyed


def isolate(main: Callable[[Parts], int], command: Sequence[str] | None = None) -> int:
    """Build what is missing, then run this program once more in namespaces, where `main(parts)` is called.

    To be called first in a program: `sys.exit(isolate(main))`. `command` is what runs inside, by default what was
    started now. As root, or where users may make namespaces. Returns what `main` returned. Raises `MissingPart`.
    """
    parts = build()
    if inside():
        _furnish(parts)
        return main(parts)
    flags = ["--net", "--pid", "--fork", "--kill-child", "--mount-proc"]
    if os.geteuid() != 0:
        flags += ["--user", "--map-root-user"]
    unshare = [str(program("unshare", "util-linux")), *flags]
    _try(unshare)
    read, write = os.pipe()
    process = subprocess.Popen(
        [*unshare, "--", *(command or [sys.executable, *sys.orig_argv[1:]])],
        env={**os.environ, INSIDE: str(read)},
        pass_fds=[read],
    )
    os.close(read)
    try:
        return process.wait()
    except KeyboardInterrupt:  # those inside were interrupted, too, and may have a last word
        return process.wait(PATIENCE)
    finally:
        os.close(write)
        process.wait()


def inside() -> bool:
    return INSIDE in os.environ


def _try(unshare: list[str]) -> None:
    done = subprocess.run([*unshare, "true"], capture_output=True, text=True, check=False)
    if done.returncode:
        raise MissingPart(
            f"no namespaces here, they need root or a kernel that lets users make them: {done.stderr.strip()}"
        )


def _furnish(parts: Parts) -> None:
    """What a new namespace lacks. All addresses of the cluster are this host's own: a pod needs only to bind."""
    threading.Thread(target=_end_with, args=[int(os.environ[INSIDE])], daemon=True).start()
    _run("mount", "-t", "tmpfs", "control-plane", str(FOLDER))
    _run(str(parts.ip), "link", "set", "lo", "up")
    for network in (POD_NETWORK, SERVICE_NETWORK, HOST_NETWORK):
        _run(str(parts.ip), "route", "add", "local", network, "dev", "lo")
    if not Path("/proc/sys/net/ipv6").exists():
        raise MissingPart("this kernel has no IPv6, and pods have addresses of both families")
    Path("/proc/sys/net/ipv6/ip_nonlocal_bind").write_text("1")  # binding to a local route needs it in IPv6
    for network in (POD_NETWORK_V6, SERVICE_NETWORK_V6):
        _run(str(parts.ip), "-6", "route", "add", "local", network, "dev", "lo")


def _end_with(lifeline: int) -> None:
    """Process 1 of the namespace ends when the program outside does, however that ended; then the kernel ends all."""
    os.read(lifeline, 1)
    os._exit(1)


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise MissingPart(f"{' '.join(command)}: {done.stderr.strip()}")
