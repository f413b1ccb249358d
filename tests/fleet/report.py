"""The tables of docs/scale.md out of results.json, and its plots."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from .run import A_SECOND
from .scenarios import (
    COUNTING,
    DECOUPLED,
    FIXED,
    LIBRARY,
    MANY,
    MINUTES,
    NAIVE,
    OUTAGES,
    PATIENT,
    SIZES,
    TTLS,
    WITHOUT,
    Row,
    bounds,
)
from .servers import BUCKET

HERE = Path(__file__).resolve().parent
RESULTS, SERIES = HERE / "results.json", HERE / "series.json"
PAGE = HERE.parents[1] / "docs" / "scale.md"
MARK = re.compile(r"(<!-- fleet: (\w+) -->\n).*?(<!-- fleet: end -->)", re.DOTALL)

Results = Mapping[str, Sequence[Row]]
Series = Mapping[str, Sequence[Sequence[int]]]  # for each row, queries in each 0.1 s; empty where no plot shows it


def page(text: str, results: Results) -> str:
    """The page with new tables between its marks."""
    return MARK.sub(lambda match: f"{match[1]}\n{SECTIONS[match[2]](results)}\n{match[3]}", text)


def _table(headings: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    lines = [headings, ["---"] * len(headings), *([_cell(value) for value in row] for row in rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"
    return f"{value:,}" if isinstance(value, int) else str(value)


RATE = ("mean", "worst second", "worst 0.1 s", "worst second to mean", "worst 0.1 s to mean")
KNOWN = ("a change is known after, s: mean", "at most")


def _rate(row: Row) -> list[Any]:
    return [row[key] for key in ("mean", "peak", "tenth", "peak_to_mean", "tenth_to_mean")]


def _known(row: Row) -> list[Any]:
    return [row["known"], row["known_at_most"]]


def short(results: Results) -> str:
    """Queries a second for each 1,000 clients, from the fleets of 100,000."""
    share = 1_000 / SIZES[-1]
    steady = {(row["ttl"], row["who"]): row for row in results["steady"] if row["clients"] == SIZES[-1]}
    rows = []
    for ttl in TTLS:
        found = [(COUNTING, steady[ttl, LIBRARY]), (f"the same, `min_ttl={ttl}`", steady[ttl, DECOUPLED])]
        found += [(r["where"], r) for r in results["place"] if (r["ttl"], r["clients"]) == (ttl, SIZES[-1])]
        for where, row in found:
            rows.append([ttl, where, row["mean"] * share, row["peak"] * share, row["tenth"] * share, *_known(row)])
    return _table(["TTL", "where", *RATE[:3], *KNOWN], rows)


def steady(results: Results) -> str:
    rows = [[r["ttl"], r["clients"], r["who"], *_rate(r), *_known(r)] for r in results["steady"]]
    return _table(["TTL", "clients", "client", *RATE, *KNOWN], rows)


def place(results: Results) -> str:
    rows = [[r["ttl"], r["clients"], r["where"], *_rate(r), *_known(r)] for r in results["place"]]
    return _table(["TTL", "clients", "queries to", *RATE, *KNOWN], rows)


def start(results: Results) -> str:
    rows = [[r["where"], r["who"], *(r[f"minute_{minute}"] for minute in MINUTES)] for r in results["start"]]
    return _table(["where", "client", *(f"minute {minute}" for minute in MINUTES)], rows)


def instant(results: Results) -> str:
    return _table(["clients", "client", *RATE], [[r["clients"], r["who"], *_rate(r)] for r in results["instant"]])


def outage(results: Results) -> str:
    keys = ("before", "before_peak", "during", "during_peak", "after_peak", "later_peak", "known_at_most")
    headings = ["before: mean", "worst second", "in the outage: mean", "worst second"]
    headings += ["10 s after it: worst second", "later: worst second", "oldest data, s"]
    rows = [[r["ttl"], r["how"], r["who"], *(r[key] for key in keys)] for r in results["outage"]]
    return _table(["TTL", "outage", "client", *headings], rows)


def floor(results: Results) -> str:
    rows = [[r["ttl"], r["min_ttl"], r["mean"], r["peak"], r["peak_to_mean"], *_known(r)] for r in results["floor"]]
    return _table(["TTL", "`min_ttl`", *RATE[:2], RATE[3], *KNOWN], rows)


def compared(results: Results) -> str:
    rows = [[r["ttl"], r["who"], r["where"], r["way"], *_rate(r), *_known(r)] for r in results["compared"]]
    return _table(["TTL", "client", "where", "run", *RATE, *KNOWN], rows)


def name(results: Results) -> str:
    headings = ["", "from namespace", "first lookup", "each later one", "each, while nobody is ready"]
    keys = ("namespace", "first", "later", "empty")
    return _table(headings, [[f"`{r['written']}`", *(r[key] for key in keys)] for r in results["name"]])


def promised(results: Results) -> str:
    found: dict[tuple[str, str, int], dict[int, tuple[float, float]]] = {}
    for row in results["steady"]:
        for what, value, limit in bounds(row):
            found.setdefault((row["who"], what, row["ttl"]), {})[row["clients"]] = (value, limit)
    rows = []
    for (who, what, ttl), values in found.items():
        cells = [f"{_cell(values[n][0])} of {_cell(values[n][1])}" if n in values else None for n in SIZES]
        rows.append([who, what, ttl, *cells])
    return _table(["client", "", "TTL", *(f"{size:,} clients" for size in SIZES)], rows)


TITLES = {COUNTING: "caches that count down", WITHOUT: "no caches"}
SECTIONS: Mapping[str, Callable[[Results], str]] = {
    each.__name__: each for each in (short, steady, place, start, instant, outage, floor, compared, name, promised)
}


def plots(results: Results, series: Series) -> None:
    """docs/images/fleet-*.svg. Wants matplotlib, and benchmarks/ in `sys.path`."""
    from plots import over_time

    def panels(table: str, **chosen: Any) -> dict[str, list[int]]:
        found = {
            row["who"].replace("`", ""): [A_SECOND * count for count in buckets]
            for row, buckets in zip(results[table], series[table], strict=True)
            if all(row[key] == value for key, value in chosen.items())
        }
        order = [who.replace("`", "") for who in (NAIVE, FIXED, LIBRARY, DECOUPLED, PATIENT)]
        return {who: found[who] for who in order if who in found}

    every = f"queries a second, {SIZES[-1]:,} clients"
    many = f"queries a second, {MANY:,} clients"
    steady = {f"TTL {ttl} s": panels("steady", ttl=ttl, clients=SIZES[-1]) for ttl in TTLS}
    over_time("fleet-steady", steady, every, step=BUCKET)
    start = {title: panels("start", where=where) for where, title in TITLES.items()}
    over_time("fleet-start", start, many, step=BUCKET)
    outage = {how: panels("outage", ttl=5, how=how) for how in OUTAGES}
    over_time("fleet-outage", outage, many, step=BUCKET, begin=-15, shaded=(0, 60))
