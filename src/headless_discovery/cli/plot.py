"""`pick --plot`: what the terminal shows, as a picture. Drawn by matplotlib, the extra `plot`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import typer

from .simulate import Step, needed
from .spread import Spread

FORMATS = (".svg", ".png", ".pdf")
BARS = 60  # of more peers than so many, a curve is drawn
SHADES = ("#08519c", "#4292c6", "#9ecae1", "#6a51a3", "#9e9ac8")

Draw = Callable[[Sequence[Step], Sequence[list[Spread]]], None]


def drawing(path: Path) -> Draw:
    """What draws into `path`. Raises `typer.BadParameter` at once where that will not do."""
    if path.suffix.lower() not in FORMATS:
        raise typer.BadParameter(f"{path}: the name has to end in {', '.join(FORMATS)}", param_hint="--plot")
    if not path.absolute().parent.is_dir():
        raise typer.BadParameter(f"{path}: there is no such folder", param_hint="--plot")
    if find_spec("matplotlib") is None:
        raise typer.BadParameter("pip install 'headless-discovery[plot]' first: matplotlib draws", param_hint="--plot")
    return lambda sets, found: _save(path, _shares(found[0]) if len(sets) == 1 else _moves(sets, found))


def _figure(height: float) -> tuple[Any, Any]:
    matplotlib: Any = import_module("matplotlib")  # typed or not there, as the machine has it
    # Text stays text, and the same figures give the same file.
    matplotlib.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "headless-discovery", "font.size": 9})
    figure = import_module("matplotlib.figure").Figure(figsize=(7.2, height), layout="constrained")
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _shares(spreads: Sequence[Spread]) -> Any:
    """Keys by peer: bars, a group for each peer, or, where there are many, a curve from the busiest to the idlest."""
    peers = sorted(spreads[0].picks)
    mean = sum(spreads[0].picks.values()) / len(peers)
    if len(peers) > BARS:
        figure, axes = _figure(3.8)
        for spread in spreads:
            axes.plot(range(1, len(peers) + 1), sorted(spread.picks.values(), reverse=True), label=spread.strategy)
        axes.axhline(mean, color="#000", linewidth=0.8, linestyle=":")
        axes.set_xlabel("peers, the busiest first")
        axes.set_ylabel("keys")
    else:
        figure, axes = _figure(min(24.0, 0.9 + len(peers) * (0.16 + 0.12 * len(spreads))))
        thickness = 0.8 / len(spreads)
        for number, spread in enumerate(spreads):
            at = [row + (number - (len(spreads) - 1) / 2) * thickness for row in range(len(peers))]
            shade = SHADES[number % len(SHADES)]
            axes.barh(at, [spread.picks[peer] for peer in peers], thickness, color=shade, label=spread.strategy)
        axes.axvline(mean, color="#000", linewidth=0.8, linestyle=":")
        axes.set_yticks(range(len(peers)), [peer.identity.partition(".")[0] if peer.ordinal is not None
                                            else peer.identity for peer in peers])  # fmt: skip
        axes.invert_yaxis()
        axes.set_xlabel("keys; dotted: the mean")
    figure.legend(loc="outside upper right", ncols=4, frameon=False)
    return figure


def _moves(sets: Sequence[Step], found: Sequence[list[Spread]]) -> Any:
    """Share of the keys that moved, a group of bars for each strategy, a bar for each step."""
    keyed = [spread.strategy for spread in found[0] if spread.by_key]
    figure, axes = _figure(1.0 + len(keyed) * (0.2 + 0.14 * (len(sets) - 1)))
    thickness = 0.8 / (len(sets) - 1)
    for number, (before, after, spreads) in enumerate(zip(sets, sets[1:], found[1:], strict=False)):
        moved = {spread.strategy: 100 * (spread.moved or 0.0) for spread in spreads}
        at = [row + (number - (len(sets) - 2) / 2) * thickness for row in range(len(keyed))]
        shade = SHADES[number % len(SHADES)]
        ideal = needed(before.peers, after.peers)
        label = f"{after.title} ({ideal:.0%} needed)"
        axes.barh(at, [moved[name] for name in keyed], thickness, color=shade, label=label)
    axes.set_yticks(range(len(keyed)), keyed)
    axes.invert_yaxis()
    axes.set_xlabel("keys that moved, %")
    figure.legend(loc="outside upper right", ncols=3, frameon=False)
    return figure


def _save(path: Path, figure: Any) -> None:
    metadata = {".svg": {"Date": None, "Creator": None}, ".pdf": {"CreationDate": None}}.get(path.suffix.lower())
    try:
        figure.savefig(path, facecolor="white", metadata=metadata)
    except OSError as error:
        raise typer.BadParameter(str(error), param_hint="--plot") from None
