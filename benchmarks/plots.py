"""Plots of what was measured, as SVG in docs/images. The same figures give the same file, byte for byte."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

IMAGES = Path(__file__).resolve().parent.parent / "docs" / "images"
SHADES = ("#9ecae1", "#4292c6", "#08519c")


def _figure(width: float, height: float, rows: int = 1, columns: int = 1, *, share: bool = True) -> tuple[Any, Any]:
    import matplotlib

    matplotlib.use("svg")
    # Text stays text, names of clip paths and markers do not change from run to run.
    matplotlib.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "headless-discovery", "font.size": 9})
    from matplotlib import pyplot

    figure, grid = pyplot.subplots(
        rows, columns, figsize=(width, height), layout="constrained", sharex=share, sharey=share, squeeze=False
    )
    for axes in grid.flat:
        axes.spines[["top", "right"]].set_visible(False)
    return figure, grid[0][0] if grid.size == 1 else grid


def _save(figure: Any, name: str) -> None:
    from matplotlib import pyplot

    IMAGES.mkdir(parents=True, exist_ok=True)
    path = IMAGES / f"{name}.svg"
    figure.savefig(path, format="svg", facecolor="white", metadata={"Date": None, "Creator": None})
    pyplot.close(figure)
    path.write_text("\n".join(line.rstrip() for line in path.read_text().splitlines()) + "\n")


def bars(name: str, found: Mapping[str, Mapping[int, float]], label: str) -> None:
    """A group of bars for each of `found`, one for each number of peers."""
    figure, axes = _figure(7.2, 0.38 * len(found) + 1)
    sizes = sorted({size for of_one in found.values() for size in of_one})
    height = 0.8 / len(sizes)
    for place, (size, shade) in enumerate(zip(sizes, SHADES, strict=True)):
        where = [row + (place - 1) * height for row in range(len(found))]
        axes.barh(where, [of_one[size] for of_one in found.values()], height, color=shade, label=f"{size} peers")
    axes.set_yticks(range(len(found)), list(found))
    axes.invert_yaxis()
    axes.set_xscale("log")
    axes.set_xlabel(label)
    axes.legend(frameon=False)
    _save(figure, name)


def lines(
    name: str,
    found: Mapping[str, Mapping[int, float]],
    label: str,
    *,
    log: bool = False,
    dashed: Sequence[str] = (),
    top: float | None = None,
) -> None:
    """A line for each of `found`, over the number of peers. What goes above `top` says in the legend how far."""

    def named(what: str, of_one: Mapping[int, float]) -> str:
        highest = max(of_one, key=lambda size: of_one[size])
        beyond = top is not None and of_one[highest] > top
        return f"{what}\n({of_one[highest]:.2g} at {highest:,} peers)" if beyond else what

    figure, axes = _figure(7.2, 3.8)
    for what, of_one in found.items():
        style = "--" if what in dashed else "-"
        axes.plot(list(of_one), list(of_one.values()), style, marker="o", markersize=3, label=named(what, of_one))
    axes.set_xscale("log")
    if log:
        axes.set_yscale("log")
    if top is not None:
        lowest = min(value for of_one in found.values() for value in of_one.values())
        axes.set_ylim(lowest - (top - lowest) / 30, top)
    ticks = sorted({size for of_one in found.values() for size in of_one})
    # Two labels nearer than a factor of 2 would overlap.
    crowded = {tick for tick, following in pairwise(ticks) if following < 2 * tick}
    axes.set_xticks(ticks, ["" if tick in crowded else f"{tick:,}" for tick in ticks])
    axes.minorticks_off()
    axes.set_xlabel("peers (logarithmic)")
    axes.set_ylabel(label)
    axes.grid(axis="y", alpha=0.3)
    axes.legend(frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
    _save(figure, name)


def over_time(
    name: str,
    columns: Mapping[str, Mapping[str, Sequence[float]]],
    label: str,
    *,
    step: float,
    begin: float = 0.0,
    shaded: tuple[float, float] | None = None,
) -> None:
    """A panel for each series, `step` seconds from value to value, all on one scale. Columns have the same rows."""
    rows = list(next(iter(columns.values())))
    figure, grid = _figure(7.2, 1.25 * len(rows) + 0.7, len(rows), len(columns))
    for column, (title, found) in enumerate(columns.items()):
        for row, what in enumerate(rows):
            axes = grid[row][column]
            values = found[what]
            # Corners alone, or the file gets large.
            kept = [n for n, value in enumerate(values) if not value == values[n - 1] == values[(n + 1) % len(values)]]
            kept = sorted({0, *kept, len(values) - 1})
            times = [begin + step * n for n in kept]
            axes.fill([times[0], *times, times[-1]], [0, *(values[n] for n in kept), 0], linewidth=0, color=SHADES[1])
            axes.set_title(what, fontsize=8, loc="left", pad=2)
            axes.margins(x=0)
            axes.grid(axis="y", alpha=0.3)
            axes.yaxis.set_major_formatter("{x:,.0f}")
            if shaded:
                axes.axvspan(*shaded, color="#d55e00", alpha=0.12, linewidth=0)
        grid[0][column].set_title(f"{title}\n{rows[0]}", fontsize=8, loc="left", pad=2)
        grid[-1][column].set_xlabel("seconds")
    grid[0][0].set_ylim(bottom=0)
    figure.supylabel(label, fontsize=9)
    _save(figure, name)


def shares(
    name: str, found: Mapping[str, Mapping[str, Sequence[float]]], axis: Mapping[str, tuple[str, float]]
) -> None:
    """A panel for each of `found`, in it a line for each of its own: the share of its values that time has passed.
    `axis` has the label of each panel's times, and where they end.
    """
    figure, grid = _figure(8.6, 3.6, columns=len(found), share=False)
    for axes, (share, lines) in zip(grid[0], found.items(), strict=True):
        label, end = axis[share]
        for what, values in lines.items():
            steps = sorted(value for value in values if value <= end)
            heights = [100 * number / len(values) for number in range(len(steps) + 1)]
            axes.step([0, *steps, end], [*heights, heights[-1]], where="post", label=what)
        axes.set_xlim(0, end)
        axes.set_ylim(0, 102)
        axes.set_xlabel(label)
        axes.set_ylabel(f"% {share}")
        axes.grid(alpha=0.3)
    figure.legend(*grid[0][0].get_legend_handles_labels(), loc="outside lower center", ncols=2, frameon=False)
    _save(figure, name)
