"""The tables of an analysis: all findings, and the values of participants that they were computed from."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import numpy as np

from vatrace.analysis.analyse import Analysis
from vatrace.analysis.curves import MeanCurve
from vatrace.analysis.findings import COLUMNS
from vatrace.metrics import concordance_cc, pearson_cc
from vatrace.names import DIMENSIONS
from vatrace.output.columns import UNIT_RANGE, Column

if TYPE_CHECKING:
    import pandas as pd

OFFSET = Column("at", "seconds after the event, or seconds by which the second person follows the first", "s", "any")
UNSUPPORTED = "nothing supports the values there"

CODEBOOK: dict[str, tuple[Column, ...]] = {
    "results": COLUMNS,
    "participants": (
        Column("participant", "the participant"),
        Column("condition", "the condition"),
        Column("recordings", "number of recordings of this participant in this condition", "", "1.."),
        Column("seconds", "supported time in them", "s", "0.."),
        *(Column(name, f"mean {name} over this time", "", UNIT_RANGE) for name in DIMENSIONS),
        *(
            Column(f"{name}_{end}", f"mean of the {side} end of the model's 90 % interval", "", UNIT_RANGE, "no intervals")
            for name in DIMENSIONS
            for end, side in (("low", "lower"), ("high", "upper"))
        ),
    ),
    "bands": (
        Column("analysis", "events or synchrony"),
        Column("dimension", "valence or arousal"),
        Column("term", "the event, or synchrony"),
        OFFSET,
        Column("mean", "mean over participants or pairs", "", "any", UNSUPPORTED),
        Column("low", "lower end of the pointwise 95 % band", "", "any", UNSUPPORTED),
        Column("high", "upper end of the pointwise 95 % band", "", "any", UNSUPPORTED),
        Column("low_all", "lower end of the 95 % band that contains the whole curve", "", "any", "too few, or not tested"),
        Column("high_all", "upper end of the 95 % band that contains the whole curve", "", "any", "too few, or not tested"),
    ),
    "event_curves": (
        Column("event", "the event"),
        Column("participant", "the participant"),
        OFFSET,
        *(Column(name, f"mean {name} minus that before the event", "", "-2..2", UNSUPPORTED) for name in DIMENSIONS),
    ),
    "synchrony_curves": (
        Column("cluster", "the pair, or the group of pairs that share participants"),
        Column("dimension", "valence or arousal"),
        OFFSET,
        Column("synchrony", "mean correlation in windows (Fisher's z) minus that of shuffled windows", "", "any"),
    ),
    "pairs": (
        Column("pair", "the pair"),
        Column("first", "the first participant"),
        Column("second", "the second participant"),
        Column("dimension", "valence or arousal"),
        Column("windows", "number of windows used", "", "3.."),
        Column("synchrony", "largest synchrony above chance over the lags, in absolute value", "", "any"),
        Column("at", "the lag there: seconds by which the second follows the first", "s", "-5..5"),
        Column("p", "of this pair alone, by shuffling; not adjusted for the number of pairs", "", "0..1", "too few windows"),
    ),
    "rated": (
        Column("recording", "the recording"),
        Column("participant", "the participant"),
        Column("time", "time from the start of the recording", "s", "0.."),
        *(
            Column(f"{name}{end}", f"{name}: {meaning}", "", UNIT_RANGE, "not rated")
            for name in DIMENSIONS
            for end, meaning in (("", "the trace"), ("_rated", "mean rating, with the lags of the raters removed"))
        ),
    ),
    "agreement": (
        Column("recording", "the recording"),
        Column("person", "the person"),
        Column("participant", "the participant"),
        Column("dimension", "valence or arousal"),
        Column("rows", "number of rows that were compared", "", "1.."),
        Column("ccc", "CCC of the trace with the mean rating", "", UNIT_RANGE, "undefined, because both are constant"),
        Column("r", "Pearson correlation", "", UNIT_RANGE, "undefined, because one of the two is constant"),
    ),
}
"""What the columns of each table mean; tables without rows aren't written."""


def tables(found: Analysis) -> dict[str, pd.DataFrame]:
    """The tables that have rows, by name, with the columns of `CODEBOOK`."""
    import pandas as pd

    rows = {
        "results": [asdict(row) for row in found.findings],
        "participants": [_cell(found, index) for index in range(len(found.cells))],
        "bands": _bands(found),
        "pairs": _pairs(found),
        "agreement": _agreement(found),
    }
    made = {name: pd.DataFrame(part) for name, part in rows.items()}
    made |= {"event_curves": _event_curves(found), "synchrony_curves": _synchrony_curves(found), "rated": _rated(found)}
    wanted = {name: [column.name for column in columns] for name, columns in CODEBOOK.items()}
    return {name: made[name][wanted[name]] for name in CODEBOOK if len(made[name])}


def _cell(found: Analysis, index: int) -> dict[str, object]:
    cell = found.cells[index]
    row: dict[str, object] = {"participant": cell.participant, "condition": cell.condition}
    row |= {"recordings": cell.recordings, "seconds": round(cell.seconds, 3)}
    for column, name in enumerate(DIMENSIONS):
        low, high = cell.bounds[column]
        row |= {name: float(cell.means[column]), f"{name}_low": float(low), f"{name}_high": float(high)}
    return row


def _bands(found: Analysis) -> list[dict[str, object]]:
    curves = [("events", one.dimension, one.event, one.offsets, one.found) for one in found.responses]
    curves += [("synchrony", one.dimension, "synchrony", one.lags, one.found) for one in found.together]
    rows: list[dict[str, object]] = []
    for analysis, dimension, term, places, mean in curves:
        if isinstance(mean, MeanCurve):
            ends = [mean.mean, mean.mean - mean.half, mean.mean + mean.half]
            ends += [mean.mean - mean.half_all, mean.mean + mean.half_all]
            names = ("mean", "low", "high", "low_all", "high_all")
            for index, at in enumerate(places):
                row = {"analysis": analysis, "dimension": dimension, "term": term, "at": round(float(at), 4)}
                rows.append(row | {name: float(values[index]) for name, values in zip(names, ends, strict=True)})
    return rows


def _pairs(found: Analysis) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = []
    for pair in found.pairs:
        peak = int(np.argmax(np.abs(pair.curve)))
        row: dict[str, object] = {"pair": pair.name, "first": pair.first, "second": pair.second, "dimension": pair.dimension}
        row |= {
            "windows": pair.windows,
            "synchrony": float(pair.curve[peak]),
            "at": round(float(pair.lags[peak]), 4),
            "p": pair.p,
        }
        rows.append(row)
    return rows


def _agreement(found: Analysis) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = []
    for one in found.compared:
        for column, name in enumerate(DIMENSIONS):
            truth, values = one.ratings[:, column], one.values[:, column]
            known = ~np.isnan(truth) & ~np.isnan(values)
            if known.any():
                row: dict[str, object] = {"recording": one.trace.recording, "person": one.trace.person}
                row |= {"participant": one.trace.participant, "dimension": name, "rows": int(known.sum())}
                rows.append(
                    row | {"ccc": concordance_cc(truth[known], values[known]), "r": pearson_cc(truth[known], values[known])}
                )
    return rows


def _event_curves(found: Analysis) -> pd.DataFrame:
    import pandas as pd

    parts = []
    for valence, arousal in zip(found.responses[::2], found.responses[1::2], strict=True):
        for participant, *both in zip(valence.participants, valence.curves, arousal.curves, strict=True):
            curves = dict(zip(DIMENSIONS, both, strict=True))
            about = {"event": valence.event, "participant": participant, "at": np.round(valence.offsets, 4)}
            parts.append(pd.DataFrame(about | curves))
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


def _synchrony_curves(found: Analysis) -> pd.DataFrame:
    import pandas as pd

    parts = []
    for mean in found.together:
        for cluster, curve in zip(mean.clusters, mean.curves, strict=True):
            about = {"cluster": cluster, "dimension": mean.dimension, "at": np.round(mean.lags, 4), "synchrony": curve}
            parts.append(pd.DataFrame(about))
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


def _rated(found: Analysis) -> pd.DataFrame:
    import pandas as pd

    parts = []
    for one in found.compared:
        known = ~np.isnan(one.ratings).all(axis=1)
        columns = {"recording": one.trace.recording, "participant": one.trace.participant, "time": one.trace.times[known]}
        for column, name in enumerate(DIMENSIONS):
            columns |= {name: one.values[known, column], f"{name}_rated": one.ratings[known, column]}
        parts.append(pd.DataFrame(columns))
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()
