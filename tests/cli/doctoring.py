"""`doctor` without its command line: what it finds, by code."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from headless_discovery.cli.doctor.finding import Finding
from headless_discovery.cli.doctor.gather import examine
from headless_discovery.cli.doctor.report import Diagnosis
from headless_discovery.settings import Settings
from headless_discovery.target import parse
from headless_discovery.testing import DNSServer


def diagnose(
    dns: DNSServer | None,
    target: str,
    port: int | str | None = None,
    *,
    connect: bool = False,
    exclude_self: bool = False,
    protocol: str = "tcp",
    zone: str | None = None,
    zone_policy: str = "prefer",
    **settings: Any,
) -> list[Diagnosis]:
    """`dns` None: the servers are those of `resolv_conf=`, or there are none to ask."""
    servers = None if dns is None else [dns.nameserver]
    asked = Settings.of(
        nameservers=servers,
        resolv_conf=settings.pop("resolv_conf", "/nonexistent/resolv.conf"),
        allow_networks=settings.pop("allow_networks", None),
        **settings,
    )
    parsed = parse(target, port, protocol=protocol, nameservers=asked.nameservers, zone=zone, zone_policy=zone_policy)
    return asyncio.run(examine(parsed, asked, exclude_self=exclude_self, connect=connect, told=lambda doing: None))


def findings(dns: DNSServer | None, target: str, port: int | str | None = None, **options: Any) -> dict[str, Finding]:
    """The findings about a target of one name, by their codes."""
    (diagnosis,) = diagnose(dns, target, port, **options)
    for finding in diagnosis.findings:
        assert finding.what
        assert finding.why
        assert finding.cures
        assert finding.evidence, f"{finding.code} is without evidence"
    return {finding.code: finding for finding in diagnosis.findings}


def resolv_conf(path: Path, *servers: str, search: str = "", ndots: int = 5) -> str:
    file = path / "resolv.conf"
    lines = [f"nameserver {server}" for server in servers]
    file.write_text("\n".join([*lines, f"search {search}", f"options ndots:{ndots}", ""]))
    return str(file)
