"""Traces that annotators drew while they watched: a CSV per annotator, ten rows per second, in the format of corpora.

    time,valence,arousal
    0.0,0.1234,
    0.1,0.1301,-0.0400

A cell is empty where nothing was drawn. A trace that is drawn again replaces the earlier one.
"""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from vatrace.files import written_whole
from vatrace.inference.prediction import Prediction
from vatrace.metrics import concordance_cc
from vatrace.names import DIMENSIONS

RATE = 10.0
"""Rows per second."""
MAX_GAP = 0.5
"""Seconds between two samples up to which the trace is interpolated."""
NAME = re.compile(r"[\w-]{1,40}")
"""Valid names of annotators, which become part of file names."""
MODEL = "model"
"""The name of the model's trace among those of annotators."""


def read(path: Path) -> pd.DataFrame:
    """Read a trace (time, valence, arousal); it has no rows if the file doesn't exist."""
    return pd.read_csv(path) if path.is_file() else pd.DataFrame(columns=["time", *DIMENSIONS], dtype=float)


def add(path: Path, dimension: str, samples: Sequence[tuple[float, float]]) -> None:
    """Add samples to a trace, on the grid.

    Args:
        path: the annotator's CSV; it is created if it doesn't exist.
        dimension: valence or arousal.
        samples: times in seconds, ascending, and values, which are clipped to -1..1.
    """
    times, values = np.array(samples, np.float64).reshape(-1, 2).T
    steps = np.arange(np.ceil(times[0] * RATE - 1e-6), np.floor(times[-1] * RATE + 1e-6) + 1)
    before = np.searchsorted(times, steps / RATE + 1e-6, side="right") - 1
    after = np.searchsorted(times, steps / RATE - 1e-6, side="left")
    steps = steps[times[after] - times[before] <= MAX_GAP]  # no row where the trace was interrupted
    table = read(path).set_index("time")
    table.index = np.round(table.index.to_numpy(np.float64) * RATE).astype(int)
    table = table.reindex(table.index.union(steps.astype(int)))
    table.loc[steps.astype(int), dimension] = np.interp(steps / RATE, times, np.clip(values, -1, 1))
    path.parent.mkdir(exist_ok=True)
    table.index = pd.Index(table.index / RATE, name="time")
    with written_whole(path) as temporary:
        table.to_csv(temporary, float_format="%.4f")


def read_all(folder: Path) -> dict[str, pd.DataFrame]:
    """Read the traces of a folder, by annotator."""
    return {path.stem: read(path) for path in sorted(folder.glob("*.csv"))}


def as_lists(table: pd.DataFrame) -> dict[str, list[float | None]]:
    """The columns of a trace as the page draws them, with None for empty cells."""
    columns = table[["time", *DIMENSIONS]].astype(object)
    return dict(columns.where(table[["time", *DIMENSIONS]].notna(), None).to_dict("list"))


def agreement(found: dict[str, pd.DataFrame], prediction: Prediction) -> list[dict[str, object]]:
    """CCC of each pair of annotators, and of each with the model, over the rows in which both have values; None for NaN."""
    grids = {name: _on_grid(table) for name, table in found.items()}
    times = np.arange(max([len(prediction.times), *(len(grid) for grid in grids.values())])) / RATE
    model = [np.interp(times, prediction.times, values) for values in (prediction.valence, prediction.arousal)]
    grids[MODEL] = np.where((times <= prediction.times[-1])[:, None], np.stack(model, axis=-1), np.nan)
    names, rows = list(grids), []
    for index, one in enumerate(names):
        for other in names[index + 1 :]:
            length = min(len(grids[one]), len(grids[other]))
            row: dict[str, object] = {"one": one, "other": other}
            for column, dimension in enumerate(DIMENSIONS):
                x, y = (grids[name][:length, column] for name in (one, other))
                both = ~np.isnan(x) & ~np.isnan(y)
                value = concordance_cc(x[both], y[both]) if both.sum() > 1 else np.nan
                row[dimension] = None if np.isnan(value) else round(float(value), 3)
                row[f"{dimension}_seconds"] = round(float(both.sum() / RATE), 1)
            rows.append(row)
    return rows


def _on_grid(table: pd.DataFrame) -> NDArray[np.float64]:
    """(T, 2) from 0 s on, NaN for empty cells."""
    steps = np.round(table["time"].to_numpy(np.float64) * RATE).astype(int)
    grid = np.full((int(steps.max(initial=-1)) + 1, 2), np.nan)
    grid[steps] = table[list(DIMENSIONS)].to_numpy(np.float64)
    return grid


def archive(folders: Iterable[tuple[str, Path]]) -> bytes:
    """A ZIP of `annotations/NAME.ANNOTATOR.csv`, to be unpacked in the folder of the recordings.

    Args:
        folders: each recording's name without suffix, and the folder of its annotations.
    """
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as file:
        for name, folder in folders:
            for path in sorted(folder.glob("*.csv")):
                file.write(path, f"annotations/{name}.{path.name}")
    return content.getvalue()
