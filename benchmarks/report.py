"""docs/benchmarks.md out of results.json: figures are never typed by hand."""

from __future__ import annotations

from typing import Any

HEAD = """\
# Benchmarks

Written by `make bench` from [results.json](../benchmarks/results.json); do not edit. Figures are medians, with the
quartiles in brackets. Ratios are to what stands in the first row, measured in the same run. Absolute times depend on
the machine, ratios hardly do.
"""


def render(results: dict[str, Any]) -> str:
    """The page. `results` maps the name of a benchmark to its `Result.to_json()`."""
    parts = [HEAD]
    machines = [found["machine"] for found in results.values()]
    same = all(found == machines[0] for found in machines)
    if machines and same:
        parts.append(f"Measured on {_machine(machines[0])}.\n")
    parts.append(_goals(results))
    for name, found in results.items():
        parts.append(f"## {found['title']}\n\n{found['text'].strip()}\n")
        parts.append(table(list(found["columns"].values()), [_cells(found["columns"], row) for row in found["rows"]]))
        for picture, shown in found.get("pictures", {}).items():
            parts.append(f"![{shown}](images/{picture}.svg)\n")
        if not same:
            parts.append(f"Measured on {_machine(found['machine'])}.\n")
        parts.append(f'Again: `make bench ARGS="--only {name}"`\n')
    return "\n".join(parts)


def _goals(results: dict[str, Any]) -> str:
    rows = []
    for found in results.values():
        for goal in found["goals"]:
            sign = "at least" if goal["floor"] else "at most"
            met = "met" if goal["met"] else "**missed**"
            rows.append([goal["text"], f"{sign} {_number(goal['limit'])}", _number(goal["value"]), met])
    return "## Goals\n\n" + table(["goal", "bound", "measured", ""], rows)


def _machine(found: dict[str, Any]) -> str:
    return f"{found['cpus']} CPUs ({found['architecture']}), {found['system']}, {found['python']}"


def _cells(columns: dict[str, str], row: dict[str, Any]) -> list[str]:
    return [_cell(row.get(key)) for key in columns]


def _cell(value: Any) -> str:
    if isinstance(value, dict):
        return f"{_number(value['median'])} ({_number(value['low'])} - {_number(value['high'])})"
    if isinstance(value, int | float):
        return _number(value)
    return "" if value is None else str(value)


def _number(value: float) -> str:
    if value == int(value) or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.2f}" if abs(value) >= 1 else f"{value:.3f}"


def table(headings: list[str], rows: list[list[str]]) -> str:
    lines = [headings, ["---"] + ["---:"] * (len(headings) - 1), *rows]
    return "".join("| " + " | ".join(cells) + " |\n" for cells in lines)
