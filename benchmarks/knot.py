"""One Knot server on loopback with a zone for each competitor, which counts the queries that each of them makes."""

from __future__ import annotations

import contextlib
import re
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from harness import Missing
from shared import ORIGIN, Knot, Record, find, master_file


def program(called: str, package: str) -> Path:
    found = find(called)
    if found is None:
        raise Missing(f"{called} is not installed: apt-get install {package}")
    return found


def origin(number: int) -> str:
    """Zones whose names are as long as CoreDNS's, and so are the messages about them."""
    return ORIGIN.replace("cluster", f"clust-{number}")


def in_zone(origin: str, records: Iterable[Record]) -> list[Record]:
    return [replace(r, name=r.name.replace(ORIGIN, origin), data=r.data.replace(ORIGIN, origin)) for r in records]


def with_ttl(ttl: int, records: Iterable[Record]) -> list[Record]:
    return [replace(record, ttl=ttl) for record in records]


class Counting(Knot):
    """`zones`: records of `ORIGIN`, by the origin under which they are served."""

    modules = ("mod-stats",)

    def __init__(self, folder: Path, zones: Mapping[str, list[Record]]) -> None:
        self.origins = (ORIGIN, *zones)  # type: ignore[misc]
        super().__init__(program(self.program, self.package), folder)
        for zone, records in zones.items():
            self._replace(self.zone_file(zone), master_file(in_zone(zone, records), 1, zone))

    def counts(self, origin: str) -> dict[str, int]:
        """Queries for names of this zone so far, by transport: {"udp": 3, "tcp": 1}."""
        command = [program("knotc", "knot"), "-s", self.folder / "knot.sock", "zone-stats", origin, "mod-stats"]
        told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        found = re.findall(r"request-protocol\[(udp|tcp)\d\] = (\d+)", told)
        return {kind: sum(int(count) for each, count in found if each == kind) for kind in ("udp", "tcp")}


@contextlib.contextmanager
def knot(zones: Mapping[str, list[Record]]) -> Iterator[Counting]:
    with tempfile.TemporaryDirectory(prefix="knot-") as folder:
        server = Counting(Path(folder), zones)
        server.start()
        try:
            yield server
        finally:
            server.stop()
