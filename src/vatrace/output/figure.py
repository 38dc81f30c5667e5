"""A figure of the traces of a prediction."""

from __future__ import annotations

import io
import os
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from vatrace.inference.prediction import NOBODY, SEVERAL, Prediction
from vatrace.names import DIMENSIONS, MODALITIES
from vatrace.output.colours import LIGHT, PEOPLE
from vatrace.output.naming import NOT_PEOPLE, colour_numbers, speakers, title

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MAX_POINTS = 4000
"""Maximum number of points drawn per trace: twice as many as a figure or a page has pixels."""
MAX_PEOPLE = len(PEOPLE)
"""Maximum number of people drawn: as many as there are colours, and as `vatrace predict` follows."""
ROW = 0.24
"""Height of a row of bars in inches: one of 8 pt text."""


def figure(prediction: Prediction) -> Figure:
    """Valence and arousal over time with their intervals, and below them the presence of face, voice and words.

    Each of several people has a pair of panels. The last panel shows who speaks when, unless the only person is also the only
    speaker. The traces are faint where no modality was detected.
    """
    from matplotlib.figure import Figure

    people = list(prediction.people.values())[:MAX_PEOPLE]
    several, rows = len(people) > 1, speakers(prediction)
    heights = [1.25, ROW * len(MODALITIES)] * len(people) if several else [3.1, 0.78]
    if rows:
        heights.append(ROW * len(rows))
    drawn = Figure(figsize=(11, sum(heights) + 0.72 + 0.09 * len(heights)), layout="constrained")
    panels = drawn.subplots(len(heights), 1, sharex=True, height_ratios=heights)
    for person, above, below in zip(people, panels[0::2], panels[1::2], strict=False):
        _draw_traces(above, person)
        _draw_presence(below, person)
        if several:
            above.set_yticks([-1, 0, 1])
            above.set_ylabel(title(person.person), color=LIGHT[f"person-{colour_numbers(prediction)[person.person]}"])
            below.tick_params(axis="y", labelsize="x-small")
    if rows:
        _draw_turns(panels[-1], prediction, rows)
        panels[-1].tick_params(axis="y", labelsize="x-small" if several else "medium")
    _add_legend(panels[0], prediction)
    panels[-1].set(xlim=(0, prediction.duration), xlabel="time in s")
    name = os.fsencode(prediction.source.name).decode("utf-8", "replace")
    if not several and rows:
        name += f", {title(people[0].person)}"
    drawn.suptitle(name, x=0.01, ha="left", fontsize="large", parse_math=False)
    return drawn


def _draw_traces(axes: Axes, person: Prediction) -> None:
    times, supported = person.times, person.supported
    thin = max(1, len(times) // MAX_POINTS)
    axes.axhline(0, color="0.75", linewidth=0.8, zorder=1)
    for column, name in enumerate(DIMENSIONS):
        values, colour = getattr(person, name), LIGHT[name]
        if person.bounds is not None:
            low, high = (ends[::thin, column] for ends in person.bounds)
            for where, alpha in ((supported, 0.14), (~supported, 0.04)):
                axes.fill_between(times[::thin], low, high, where[::thin], color=colour, alpha=alpha, linewidth=0)
        marker = "o" if len(times) == 1 else None
        axes.plot(times[::thin], values[::thin], alpha=0.25, linewidth=1, color=colour, marker=marker)
        shown = np.where(supported, values, np.nan)
        axes.plot(times[::thin], shown[::thin], linewidth=1.8, label=name, color=colour, marker=marker)
    axes.set(ylim=(-1, 1), ylabel="valence, arousal")
    axes.set_yticks([-1, -0.5, 0, 0.5, 1])
    axes.spines[["top", "right"]].set_visible(False)


def _draw_presence(axes: Axes, person: Prediction) -> None:
    for row, name in enumerate(MODALITIES):
        spans = [(start, end - start) for start, end in person.spans(name)]
        axes.broken_barh(spans, (len(MODALITIES) - row - 1.4, 0.8), color=LIGHT[name])
    if not person.supported.any():
        axes.text(0.5, 0.5, NOBODY, transform=axes.transAxes, ha="center", va="center", color="0.3")
    _style_rows(axes, MODALITIES)


def _draw_turns(axes: Axes, prediction: Prediction, rows: list[str]) -> None:
    numbers = colour_numbers(prediction)
    for row, name in enumerate(rows):
        colour = LIGHT[f"person-{numbers[name]}"] if name in numbers else LIGHT["soft"]
        spans = [(turn.start, turn.end - turn.start) for turn in prediction.turns if turn.person == name]
        hatch, ground = ("//////", "none") if name == SEVERAL else (None, colour)
        axes.broken_barh(spans, (len(rows) - row - 1.4, 0.8), linewidth=0.5, facecolor=ground, edgecolor=colour, hatch=hatch)
    _style_rows(axes, [name if name in NOT_PEOPLE else f"{title(name)} speaks" for name in rows])


def _style_rows(axes: Axes, names: list[str] | tuple[str, ...]) -> None:
    axes.set(ylim=(-0.6, len(names) - 0.4))
    axes.set_yticks(range(len(names)), reversed(names))
    axes.tick_params(axis="y", length=0)
    axes.spines[["top", "right", "left"]].set_visible(False)


def _add_legend(axes: Axes, prediction: Prediction) -> None:
    from matplotlib.patches import Patch

    handles = axes.get_legend_handles_labels()[0]
    if prediction.bounds is not None:
        handles.append(Patch(color="0.5", alpha=0.3, linewidth=0, label="90 % interval"))
    axes.legend(handles=handles, loc="lower right", bbox_to_anchor=(1, 1), frameon=False, ncols=3, borderaxespad=0.2)


def write_picture(prediction: Prediction, path: Path | io.BytesIO) -> None:
    """Write the figure as a PNG, 1650 pixels wide: about 690 high for one person, about 310 per person for several."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph")  # characters that the font lacks are drawn as boxes
        figure(prediction).savefig(path, dpi=150, format="png")
