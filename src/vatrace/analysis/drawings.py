"""The figures of an analysis, on a light or on a dark ground."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import numpy as np

from vatrace.analysis.analyse import Analysis
from vatrace.analysis.conditions import conditions_of
from vatrace.analysis.curves import MeanCurve
from vatrace.analysis.findings import Finding
from vatrace.names import DIMENSIONS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Colours = Mapping[str, str]

MAX_EVENTS = 12
"""Maximum number of kinds of events that are drawn; all are in the tables."""


def drawings(found: Analysis) -> dict[str, Callable[[Colours], Figure]]:
    """A function for each figure that the analysis has, by the name of its file."""
    made: dict[str, Callable[[Colours], Figure]] = {}
    if found.of("conditions"):
        made["conditions"] = lambda colours: _conditions(found, colours)
    if any(response.found for response in found.responses):
        made["events"] = lambda colours: _events(found, colours)
    if any(mean.found for mean in found.together):
        made["synchrony"] = lambda colours: _synchrony(found, colours)
    if found.of("agreement"):
        made["agreement"] = lambda colours: _agreement(found, colours)
    return made


def _figure(width: float, height: float, rows: int, colours: Colours) -> tuple[Figure, list[list[Axes]]]:
    from matplotlib.figure import Figure

    drawn = Figure(figsize=(width, height), layout="constrained", facecolor=colours["paper"])
    panels = [list(row) for row in drawn.subplots(rows, len(DIMENSIONS), squeeze=False)]
    for axes in (axes for row in panels for axes in row):
        axes.set_facecolor(colours["paper"])
        axes.spines[["top", "right"]].set_visible(False)
        for spine in axes.spines.values():
            spine.set_color(colours["soft"])
        axes.tick_params(colors=colours["ink"], labelcolor=colours["ink"])
        axes.xaxis.label.set_color(colours["ink"])
        axes.yaxis.label.set_color(colours["ink"])
    return drawn, panels


def _title(axes: Axes, text: str, colours: Colours) -> None:
    axes.set_title(text, fontsize="medium", loc="left", color=colours["ink"], parse_math=False)


def _conditions(found: Analysis, colours: Colours) -> Figure:
    """The value of each participant in each condition, joined by lines, and the means with their 95 % intervals."""
    names = conditions_of(found.cells)
    rows = {(row.dimension, row.term): row for row in found.of("conditions")}
    drawn, (panels,) = _figure(max(8.0, 2.2 + 1.5 * len(names)), 4.2, 1, colours)
    for column, (axes, dimension) in enumerate(zip(panels, DIMENSIONS, strict=True)):
        by_person: dict[str, list[tuple[int, float]]] = {}
        for cell in found.cells:
            by_person.setdefault(cell.participant, []).append((names.index(cell.condition), float(cell.means[column])))
        for points in by_person.values():
            x, y = zip(*sorted(points), strict=True)
            axes.plot(x, y, "o-", color=colours["soft"], alpha=0.35, linewidth=0.8, markersize=3)
        for place, name in enumerate(names):
            row = rows.get((dimension, name))
            if row is not None:
                ends = [[row.estimate - row.low], [row.high - row.estimate]]
                axes.errorbar(
                    [place],
                    [row.estimate],
                    ends,
                    fmt="o",
                    color=colours[dimension],
                    markersize=9,
                    capsize=5,
                    linewidth=2.2,
                    zorder=5,
                )
        axes.axhline(0, color=colours["line"], linewidth=0.8, zorder=0)
        axes.set_xticks(range(len(names)), [_short(name) for name in names])
        axes.set(xlim=(-0.5, len(names) - 0.5), ylabel=f"mean {dimension}")
        _title(axes, dimension, colours)
    return drawn


def _short(text: str) -> str:
    text = text.replace("$", r"\$")
    return text if len(text) <= 16 else f"{text[:15]}…"


def _band(axes: Axes, places: np.ndarray, mean: MeanCurve, colour: str, colours: Colours) -> None:
    for half, alpha in ((mean.half_all, 0.16), (mean.half, 0.28)):
        axes.fill_between(places, mean.mean - half, mean.mean + half, color=colour, alpha=alpha, linewidth=0)
    axes.plot(places, mean.mean, color=colour, linewidth=2)
    axes.axhline(0, color=colours["soft"], linewidth=0.8)
    axes.axvline(0, color=colours["soft"], linewidth=0.8, linestyle=":")


def _legend(drawn: Figure, colours: Colours) -> None:
    from matplotlib.patches import Patch

    labels = ((0.44, "pointwise 95 %"), (0.16, "simultaneous 95 %"))
    handles = [Patch(color=colours["ink"], alpha=alpha, linewidth=0, label=label) for alpha, label in labels]
    legend = drawn.legend(handles=handles, loc="outside upper right", frameon=False, ncols=2, fontsize="small")
    for text in legend.get_texts():
        text.set_color(colours["ink"])


def _events(found: Analysis, colours: Colours) -> Figure:
    """The mean response to each kind of event, with both bands."""
    events = list(dict.fromkeys(response.event for response in found.responses))[:MAX_EVENTS]
    drawn, panels = _figure(10, 0.5 + 2.8 * len(events), len(events), colours)
    for response in found.responses:
        if response.event in events and response.found is not None:
            axes = panels[events.index(response.event)][DIMENSIONS.index(response.dimension)]
            _band(axes, response.offsets, response.found, colours[response.dimension], colours)
            _title(axes, f"{response.event}: {response.dimension}, {response.found.clusters} participants", colours)
            axes.set(xlim=(response.offsets[0], response.offsets[-1]), ylabel="change")
    for axes in panels[-1]:
        axes.set_xlabel("seconds after the event")
    _legend(drawn, colours)
    return drawn


def _synchrony(found: Analysis, colours: Colours) -> Figure:
    """Synchrony above chance over the lag, with both bands."""
    drawn, (panels,) = _figure(10, 3.6, 1, colours)
    for axes, mean in zip(panels, found.together, strict=True):
        if mean.found is not None:
            _band(axes, mean.lags, mean.found, colours[mean.dimension], colours)
            _title(axes, f"{mean.dimension}, {mean.found.clusters} pairs", colours)
        axes.set(xlim=(mean.lags[0], mean.lags[-1]), xlabel="seconds by which the second follows", ylabel="above chance")
    _legend(drawn, colours)
    return drawn


def _agreement(found: Analysis, colours: Colours) -> Figure:
    """Mean rating against trace; darker means more rows."""
    from matplotlib.colors import LinearSegmentedColormap

    drawn, (panels,) = _figure(9, 4.4, 1, colours)
    for column, (axes, dimension) in enumerate(zip(panels, DIMENSIONS, strict=True)):
        truth = np.concatenate([one.ratings[:, column] for one in found.compared])
        values = np.concatenate([one.values[:, column] for one in found.compared])
        known = ~np.isnan(truth) & ~np.isnan(values)
        if known.any():
            cmap = LinearSegmentedColormap.from_list("", [colours["line"], colours[dimension]])
            axes.hexbin(truth[known], values[known], gridsize=40, extent=(-1, 1, -1, 1), bins="log", mincnt=1, cmap=cmap)
        axes.plot([-1, 1], [-1, 1], color=colours["soft"], linewidth=0.8, linestyle="--")
        axes.set(xlim=(-1, 1), ylim=(-1, 1), xlabel=f"{dimension}, rated", ylabel=f"{dimension}, trace", aspect="equal")
        row = next((row for row in found.of("agreement") if row.dimension == dimension and row.term == "CCC"), None)
        _title(axes, _scored(dimension, row), colours)
    return drawn


def _scored(dimension: str, row: Finding | None) -> str:
    return dimension if row is None else f"{dimension}: CCC {row.estimate:.2f}"
