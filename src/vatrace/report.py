"""A prediction for people to look at: a picture of the traces, and a page that explains it."""

from __future__ import annotations

import base64
import html
import io
import os
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from vatrace.prediction import MODALITIES, Prediction

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Okabe & Ito's colours, told apart by colour-blind people too
COLOURS = {"valence": "#0072B2", "arousal": "#D55E00", "face": "#009E73", "voice": "#CC79A7", "words": "#E69F00"}
MAX_POINTS = 4000


def figure(prediction: Prediction) -> Figure:
    """Valence and arousal over time, and under them when face, voice and words were there.

    Where nothing was there, the traces are faint.
    """
    from matplotlib.figure import Figure

    drawn = Figure(figsize=(11, 4.6), layout="constrained")
    above, below = drawn.subplots(2, 1, sharex=True, height_ratios=[4, 1])
    times, supported = prediction.times, prediction.supported
    step = float(times[1] - times[0]) if len(times) > 1 else 0.1
    thin = max(1, len(times) // MAX_POINTS)
    above.axhline(0, color="0.75", linewidth=0.8, zorder=1)
    for column, name in enumerate(("valence", "arousal")):
        values = getattr(prediction, name)
        if prediction.bounds is not None:
            low, high = (ends[::thin, column] for ends in prediction.bounds)
            above.fill_between(times[::thin], low, high, color=COLOURS[name], alpha=0.12, linewidth=0)
        style = {"color": COLOURS[name], "marker": "o" if len(times) == 1 else None}
        above.plot(times[::thin], values[::thin], alpha=0.25, linewidth=1, **style)
        shown = np.where(supported, values, np.nan)
        above.plot(times[::thin], shown[::thin], linewidth=1.8, label=name, **style)
    above.set(
        ylim=(-1, 1),
        ylabel="valence, arousal",
    )
    above.set_title(os.fsencode(prediction.source.name).decode("utf-8", "replace"), parse_math=False)
    above.set_yticks([-1, -0.5, 0, 0.5, 1])
    above.legend(loc="upper right", frameon=False, ncols=2)
    above.spines[["top", "right"]].set_visible(False)
    for row, name in enumerate(MODALITIES):
        edges = np.flatnonzero(np.diff(prediction.presence[name].astype(int), prepend=0, append=0)).reshape(-1, 2)
        spans = [(times[a], (b - a) * step) for a, b in edges]
        below.broken_barh(spans, (len(MODALITIES) - row - 1.4, 0.8), color=COLOURS[name])
    below.set(ylim=(-0.6, len(MODALITIES) - 0.4), xlim=(0, max(times[-1] + step, step)), xlabel="time in s")
    below.set_yticks(range(len(MODALITIES)), reversed(MODALITIES))
    below.tick_params(axis="y", length=0)
    below.spines[["top", "right", "left"]].set_visible(False)
    return drawn


def write_picture(prediction: Prediction, path: Path | io.BytesIO) -> None:
    """The figure as a PNG of about 1650 x 690 pixels."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph")  # a file name in a script that the font hasn't shows boxes
        figure(prediction).savefig(path, dpi=150, format="png")


def summary(prediction: Prediction) -> str:
    """One line: length, mean and range of both traces where something was there, share of each modality."""
    duration = prediction.times[-1] + (prediction.times[1] if len(prediction.times) > 1 else 0)
    where = prediction.supported if prediction.supported.any() else np.ones(len(prediction.times), bool)
    parts = [f"{duration:.1f} s"]
    for name in ("valence", "arousal"):
        values = getattr(prediction, name)[where]
        parts.append(f"{name} {values.mean():+.2f} ({values.min():+.2f}..{values.max():+.2f})")
    parts += [f"{name} {prediction.presence[name].mean():.0%}" for name in MODALITIES]
    return ", ".join(parts)


STYLE = """:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 70rem; margin: 2rem auto; padding: 0 1rem; }
img { width: 100%; background: #fff; border-radius: 6px; }
table { border-collapse: collapse; margin-bottom: 1rem; }
td, th { padding: .2rem 1rem .2rem 0; text-align: right; font-variant-numeric: tabular-nums; }
th:first-child { text-align: left; }
footer { margin-top: 2rem; border-top: 1px solid #8888; padding-top: .5rem; font-size: .9em; }
"""
"""How pages look, light and dark."""

PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title} · vatrace</title>
<style>
{style}</style></head><body>
<h1>{title}</h1>
<img alt="Valence and arousal over time, and when face, voice and words were there" src="data:image/png;base64,{picture}">
<h2>Numbers</h2>
{numbers}
{notes}
<h2>Words</h2>
<p>{transcript}</p>
<footer>Valence runs from unpleasant (−1) to pleasant (1), arousal from calm (−1) to excited (1). These are guesses of how a
person's face, voice and words would be rated by others, not of what the person feels. They are not made for decisions about
people. See the model card.</footer>
</body></html>
"""


def _numbers(prediction: Prediction) -> str:
    import pandas as pd

    supported = prediction.to_pandas()[prediction.supported]
    if supported.empty:
        return "<p>Nothing was there to go by.</p>"
    rows = supported[["valence", "arousal"]].agg(["mean", "std", "min", "max"]).T
    table = rows.rename(columns={"std": "SD"}).to_html(
        border=0, float_format="{:+.2f}".format, formatters={"SD": "{:.2f}".format}
    )
    shares = pd.DataFrame({"share of time": {name: f"{prediction.presence[name].mean():.0%}" for name in MODALITIES}})
    return str(table) + str(shares.to_html(border=0))


def write_page(prediction: Prediction, path: Path) -> None:
    """One self-contained HTML file with the picture, numbers, notes and transcript; it needs no network."""
    picture = io.BytesIO()
    write_picture(prediction, picture)
    notes = "".join(f"<li>{html.escape(note)}</li>" for note in prediction.notes)
    path.write_text(
        PAGE.format(
            title=html.escape(prediction.source.name),
            style=STYLE,
            picture=base64.b64encode(picture.getvalue()).decode(),
            numbers=_numbers(prediction),
            notes=f"<h2>Notes</h2><ul>{notes}</ul>" if notes else "",
            transcript=html.escape(" ".join(word.text for word in prediction.words)) or "None.",
        ),
        encoding="utf-8",
    )
