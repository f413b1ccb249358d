"""Where the time of a refresh goes: an unchanged answer over real sockets, from a Knot server on loopback.

make profile                                 # 3 A, 1000 A and 800 SRV
make profile ARGS="5000A --seconds 10"       # this one

By module and by function, with what C functions take (system calls, too) counted where they are called. The call trees
go to build/profile, to be opened in a browser. The profiler itself makes calls look dearer than they are.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from harness import Missing
from knot import Counting
from refreshes import LIBRARY, Case, competitors, served

OUT = Path(__file__).resolve().parent.parent / "build" / "profile"
INTERVAL = 0.001  # seconds between samples
WAITING = "(waiting for the server)"


def case(text: str) -> Case:
    found = re.fullmatch(r"(\d+)(A|SRV)", text)
    if found is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not like 1000A or 800SRV")
    return Case(found[2], int(found[1]))


async def profiled(case: Case, server: Counting, seconds: float) -> tuple[Any, int]:
    """The profiler, and how many refreshes it saw."""
    from pyinstrument import Profiler

    async with competitors(case, server) as racing:
        refresh = racing.refresh[LIBRARY]
        for _ in range(20):
            await refresh()
        profiler = Profiler(interval=INTERVAL, async_mode="disabled")
        count = 0
        profiler.start()
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            await refresh()
            count += 1
        profiler.stop()
    return profiler, count


def own_times(frame: Any, caller: tuple[str, str] = ("", "")) -> Iterator[tuple[str, str, float]]:
    """Module, function and the seconds spent in itself, for each place in the tree. C functions are their caller's."""
    path = Path(frame.file_path or "")
    if path.suffix != ".py":
        place = caller
    elif path.parent.name == "headless_discovery":
        place = f"headless_discovery.{path.stem}", frame.function
    elif path.stem == "selectors" and frame.function == "select":
        place = WAITING, ""
    else:
        place = "asyncio" if path.parent.name == "asyncio" else path.stem, frame.function
    yield *place, frame.time - sum(child.time for child in frame.children)
    for child in frame.children:
        yield from own_times(child, place)


def table(title: str, found: Counter[str], total: float, count: int, most: int) -> None:
    print(f"\n  {title:<58}{'%':>7}{'µs':>9}")
    for what, seconds in found.most_common(most):
        print(f"  {what:<58}{100 * seconds / total:7.1f}{1e6 * seconds / count:9.1f}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="*", type=case, metavar="RECORDS", help="such as 1000A or 800SRV")
    parser.add_argument("--seconds", type=float, default=3.0, help="for each (default: 3)")
    options = parser.parse_args()
    cases = options.cases or [Case("A", 3), Case("A", 1000), Case("SRV", 800)]
    OUT.mkdir(parents=True, exist_ok=True)
    try:
        with served(cases) as server:
            for each in cases:
                profiler, count = asyncio.run(profiled(each, server, options.seconds))
                root = profiler.last_session.root_frame()
                modules: Counter[str] = Counter()
                functions: Counter[str] = Counter()
                for module, function, seconds in own_times(root):
                    modules[module] += seconds
                    functions[f"{module}: {function}" if function else module] += seconds
                tree = OUT / f"{each.size}{each.records}.html"
                tree.write_text(profiler.output_html())
                took = f"{count:,} refreshes of {1e6 * root.time / count:,.0f} µs"
                print(f"\n{each}: {took}; the tree is in {tree.relative_to(OUT.parent.parent)}")
                table("module", modules, root.time, count, 14)
                table("function", functions, root.time, count, 20)
    except Missing as missing:
        print(missing, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
