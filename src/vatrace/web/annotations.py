"""Traces that annotators drew while they watched: a CSV per annotator, ten rows per second, in the format of corpora.

    time,valence,arousal,tension,valence_source
    0.0,0.1234,,,
    0.1,0.1301,-0.0400,0.5,model

A cell is empty where nothing was drawn. A trace that is drawn again replaces the earlier one. Further dimensions have columns
of their own, and unbounded traces are in columns such as `valence_unbounded`, which corpora don't read. `valence_source` says
where a value comes from: it is empty where the annotator traced it, and otherwise one of SOURCES.
"""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from vatrace.corpora import annotators
from vatrace.files import written_whole
from vatrace.inference.prediction import Prediction
from vatrace.metrics import concordance_cc, pearson_cc
from vatrace.names import DIMENSIONS
from vatrace.timeline import num_steps

RATE = 10.0
"""Rows per second."""
MAX_GAP = 0.5
"""Seconds between two samples up to which the trace is interpolated."""
NAME = re.compile(r"[\w-]{1,40}")
"""Valid names of annotators, which become part of file names."""
MODEL = "model"
"""The name of the model's trace among those of annotators."""
DIMENSION = re.compile(r"(?!time$)[a-z][a-z0-9-]{0,29}")
"""Valid names of dimensions, which become columns. An underscore begins the end of a column's name."""
SOURCE, UNBOUNDED = "_source", "_unbounded"
"""Ends of the names of columns: where the values of a dimension come from; traces without ends."""
SOURCES = ("model", "corrected", "filled")
"""Values of the model that the annotator left as they were, or corrected; values that were interpolated over a gap."""
MAX_FILL = 5.0
"""Seconds of the longest gap that may be filled without tracing it: emotions change within longer ones."""
END_SLACK = 1.0
"""Seconds before the end of the recording at which a trace may end: players stop a little early."""
MAX_KEPT = 1000
"""Traces that are kept in memory, a minute in 20 kB: those of 50 recordings by 5 annotators take half a second to read."""
PART = 10.0
"""Seconds of the parts among which the next one to rate is chosen."""
MIN_PART = 1.0
"""Seconds of the shortest rest at the end of a recording that is a part of its own."""


@dataclass(frozen=True)
class Gap:
    """A stretch of a recording that an annotator hasn't traced.

    Attributes:
        start: seconds.
        end: seconds.
        kind: "late start", "gap" or "early end".
    """

    start: float
    end: float
    kind: str


@dataclass(frozen=True)
class Part:
    """A part of a recording that is worth rating.

    Attributes:
        start: seconds.
        end: seconds.
        half_width: mean half width of the model's interval in it.
    """

    start: float
    end: float
    half_width: float


def read(path: Path) -> pd.DataFrame:
    """Read a trace (time, valence, arousal, further columns); it has no rows if the file doesn't exist."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return pd.DataFrame(columns=["time", *DIMENSIONS], dtype=float)
    return _read(path, found.st_ino, found.st_mtime_ns, found.st_size).copy()


@lru_cache(maxsize=MAX_KEPT)
def _read(path: Path, *version: int) -> pd.DataFrame:
    """Read a file; it is written as a new file each time, so that its number and date tell one version from another."""
    return pd.read_csv(path)


def add(path: Path, dimension: str, samples: Sequence[tuple[float, float]], source: str = "", bounded: bool = True) -> None:
    """Add samples to a trace, on the grid.

    Args:
        path: the annotator's CSV; it is created if it doesn't exist.
        dimension: valence, arousal, or any other name that DIMENSION allows.
        samples: times in seconds, ascending, and values, which are clipped to -1..1 if they are bounded.
        source: where the values come from, one of SOURCES; "" if the annotator traced them.
        bounded: whether the scale has ends.
    """
    times, values = np.array(samples, np.float64).reshape(-1, 2).T
    if bounded:
        values = np.clip(values, -1, 1)
    steps = np.arange(np.ceil(times[0] * RATE - 1e-6), np.floor(times[-1] * RATE + 1e-6) + 1)
    before = np.searchsorted(times, steps / RATE + 1e-6, side="right") - 1
    after = np.searchsorted(times, steps / RATE - 1e-6, side="left")
    steps = steps[times[after] - times[before] <= MAX_GAP]  # no row where the trace was interrupted
    _put(path, column_of(dimension, bounded), steps.astype(int), np.interp(steps / RATE, times, values), source)


def column_of(dimension: str, bounded: bool = True) -> str:
    """The column of a dimension's trace."""
    return dimension if bounded else dimension + UNBOUNDED


def _put(path: Path, column: str, steps: NDArray[np.int_], values: NDArray[np.float64], source: str) -> None:
    """Write values into a column, in rows that are added where they are missing."""
    table = read(path).set_index("time")
    table.index = np.round(table.index.to_numpy(np.float64) * RATE).astype(int)
    table = table.reindex(table.index.union(steps))
    table.loc[steps, column] = values
    if source or column + SOURCE in table:
        if column + SOURCE not in table:
            table[column + SOURCE] = pd.Series(np.nan, table.index, dtype=object)
        table[column + SOURCE] = table[column + SOURCE].astype(object)
        table.loc[steps, column + SOURCE] = source or np.nan
        if not table[column + SOURCE].notna().any():
            del table[column + SOURCE]
    path.parent.mkdir(exist_ok=True)
    table.index = pd.Index(table.index / RATE, name="time")
    with written_whole(path) as temporary:
        table.to_csv(temporary, float_format="%.4f")


def gaps(table: pd.DataFrame, column: str, duration: float) -> list[Gap]:
    """What an annotator left out: a late start, gaps, and an early end; nothing if the column is empty.

    Args:
        table: the trace.
        column: of a dimension.
        duration: of the recording, in seconds.
    """
    if column not in table or not table[column].notna().any():
        return []
    steps = np.round(table["time"][table[column].notna()].to_numpy(np.float64) * RATE).astype(int)
    found = []
    if steps[0] / RATE > MAX_GAP:
        found.append(Gap(0.0, float(steps[0] / RATE), "late start"))
    for before, after in pairwise(steps.tolist()):
        if (after - before - 1) / RATE > MAX_GAP:
            found.append(Gap((before + 1) / RATE, after / RATE, "gap"))
    if duration - (steps[-1] + 1) / RATE > END_SLACK:
        found.append(Gap(float((steps[-1] + 1) / RATE), round(duration, 1), "early end"))
    return found


def fill(path: Path, column: str, gap: Gap) -> None:
    """Fill a gap: by a straight line between its neighbours, or by the only neighbour; the values are marked as filled."""
    table = read(path)
    known = table[table[column].notna()]
    steps = np.arange(round(gap.start * RATE), round(gap.end * RATE))
    values = np.interp(steps / RATE, known["time"].to_numpy(np.float64), known[column].to_numpy(np.float64))
    _put(path, column, steps, values, "filled")


def widest(prediction: Prediction, table: pd.DataFrame, dimension: str) -> list[Part]:
    """The parts of a recording that an annotator hasn't rated, those first in which the model is least certain.

    Args:
        prediction: of the recording.
        table: the annotator's trace.
        dimension: valence or arousal; nothing is known about others.
    """
    if prediction.bounds is None or dimension not in DIMENSIONS:
        return []
    low, high = (ends[:, DIMENSIONS.index(dimension)] for ends in prediction.bounds)
    rated = np.zeros(len(low), bool)
    steps = np.round(table["time"][table[dimension].notna()].to_numpy(np.float64) * prediction.rate).astype(int)
    rated[steps[steps < len(rated)]] = True
    length = max(round(PART * prediction.rate), 1)
    spread = max(round(prediction.rate / RATE), 1)  # rows of the prediction that one row of a trace rates
    found = []
    for start in range(0, len(low), length):
        part = slice(start, start + length)
        is_rest = start > 0 and len(rated[part]) < MIN_PART * prediction.rate
        if not is_rest and prediction.supported[part].any() and rated[part].sum() * spread < 0.5 * len(rated[part]):
            ends = (start / prediction.rate, min(start + length, len(low)) / prediction.rate)
            found.append(Part(*ends, round(float((high - low)[part].mean() / 2), 3)))
    return sorted(found, key=lambda part: -part.half_width)


def read_all(folder: Path) -> dict[str, pd.DataFrame]:
    """Read the traces of a folder, by annotator."""
    return {path.stem: read(path) for path in sorted(folder.glob("*.csv"))}


def shares(table: pd.DataFrame, duration: float) -> dict[str, float]:
    """The share of a recording of this length that is traced, 0..1, for each dimension of which anything is."""
    rows = max(duration * RATE, 1)
    return {
        name: min(float(table[name].notna().sum() / rows), 1.0) for name in dimensions([table]) if table[name].notna().any()
    }


def as_lists(table: pd.DataFrame) -> dict[str, list[float | None]]:
    """The columns of a trace as the page draws them, with None for empty cells."""
    columns = table[["time", *dimensions([table])]].astype(object)
    return dict(columns.where(columns.notna(), None).to_dict("list"))


def sources(table: pd.DataFrame) -> list[str]:
    """The columns in which some values come from the model, or were filled."""
    return [name.removesuffix(SOURCE) for name in table if name.endswith(SOURCE) and table[name].notna().any()]


def dimensions(tables: Iterable[pd.DataFrame]) -> list[str]:
    """The columns of the dimensions that are traced in any of the tables; valence and arousal first."""
    others = {str(name) for table in tables for name in table if _is_dimension(str(name))}
    return [*DIMENSIONS, *sorted(others - set(DIMENSIONS))]


def _is_dimension(column: str) -> bool:
    return bool(DIMENSION.fullmatch(column.removesuffix(UNBOUNDED)))


Recording = tuple[Mapping[str, pd.DataFrame], Prediction]
"""The traces of one recording, by annotator, and the model's."""


def agreement(recordings: Sequence[Recording]) -> list[dict[str, object]]:
    """Agreement of each pair of annotators, and of each with the model, over all rows in which both have values; None for NaN.

    It is the CCC, and for unbounded traces Pearson's r, since everybody's scale is their own. Values that come from the model,
    or were filled, don't count.

    Args:
        recordings: one, or all of a project, whose rows are put end to end.
    """
    columns = dimensions(table for found, _ in recordings for table in found.values())
    grids = _end_to_end(recordings, columns, with_model=True)
    names, rows = list(grids), []
    for index, one in enumerate(names):
        for other in names[index + 1 :]:
            row: dict[str, object] = {"one": one, "other": other}
            for column, dimension in enumerate(columns):
                x, y = (grids[name][:, column] for name in (one, other))
                both = ~np.isnan(x) & ~np.isnan(y)
                measure = pearson_cc if dimension.endswith(UNBOUNDED) else concordance_cc
                value = measure(x[both], y[both]) if both.sum() > 1 else np.nan
                row[dimension] = None if np.isnan(value) else round(float(value), 3)
                row[f"{dimension}_seconds"] = round(float(both.sum() / RATE), 1)
            rows.append(row)
    return rows


def overall(recordings: Sequence[Recording]) -> dict[str, object] | None:
    """The agreement of all annotators in valence and arousal, without the model; None if there are fewer than two.

    Returns:
        `pairs` and `others`, each with a CCC for each dimension or None (see `vatrace.corpora.annotators.Agreement`), and
        `num_annotators`.
    """
    grids = _end_to_end(recordings, DIMENSIONS, with_model=False)
    if len(grids) < 2:
        return None
    found = annotators.agreement(grids)

    def known(values: Mapping[str, float]) -> dict[str, float | None]:
        return {name: None if np.isnan(value) else round(value, 3) for name, value in values.items()}

    return {"num_annotators": found.num_annotators, "pairs": known(found.pairs), "others": known(found.others)}


def _end_to_end(recordings: Sequence[Recording], columns: Sequence[str], with_model: bool) -> dict[str, NDArray[np.float64]]:
    """(T, D) by annotator, NaN where nothing was traced, of all recordings end to end; the model's trace last."""
    names = sorted({name for found, _ in recordings for name in found}) + [MODEL] * with_model
    parts: dict[str, list[NDArray[np.float64]]] = {name: [] for name in names}
    for found, prediction in recordings:
        grids = {name: _on_grid(table, columns) for name, table in found.items()}
        length = max([num_steps(prediction.duration, RATE), *(len(grid) for grid in grids.values())])
        times = np.arange(length) / RATE
        model = np.full((length, len(columns)), np.nan)
        for column, dimension in enumerate(columns):
            if dimension.removesuffix(UNBOUNDED) in DIMENSIONS:
                values = np.interp(times, prediction.times, getattr(prediction, dimension.removesuffix(UNBOUNDED)))
                model[:, column] = np.where(times <= prediction.times[-1], values, np.nan)
        grids[MODEL] = model
        for name in names:
            part = np.full((length, len(columns)), np.nan)
            if name in grids:
                part[: len(grids[name])] = grids[name]
            parts[name].append(part)
    return {name: np.concatenate(grids) for name, grids in parts.items() if grids}


def _on_grid(table: pd.DataFrame, columns: Sequence[str]) -> NDArray[np.float64]:
    """(T, D) from 0 s on, NaN for cells that are empty, or that the annotator didn't trace."""
    steps = np.round(table["time"].to_numpy(np.float64) * RATE).astype(int)
    grid = np.full((int(steps.max(initial=-1)) + 1, len(columns)), np.nan)
    for column, name in enumerate(columns):
        if name in table:
            grid[steps, column] = table[name].to_numpy(np.float64)
            if name + SOURCE in table:
                grid[steps[table[name + SOURCE].notna()], column] = np.nan
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
