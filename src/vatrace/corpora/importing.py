"""From features of other tools to features in a store: on its grid, with masks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vatrace.corpora.corpus import Source
from vatrace.corpora.extract import Outcome, fingerprints, is_done
from vatrace.corpora.feature_files import FeatureRows, check_width, interval, read_features, widths
from vatrace.errors import CorpusError, VatraceError, report_bug
from vatrace.store import EncoderInfo, Meta, Schema, Store
from vatrace.timeline import TOLERANCE, num_steps, steps_at

DEFAULT_NAME = "imported"
MAX_GAP = 1.5
"""Intervals between two rows up to which the first one applies until the second."""


@dataclass(frozen=True)
class ImportOptions:
    """How features are imported.

    Attributes:
        feature_rate: rows a second of files without a column `time`; None if there are none.
        name: of the tool that made the features, with its version. It becomes their version in the store: features are mixed
            in a store, and used by a run or model, only if their name and number of channels are the same.
        names: by modality, for those that were made by another tool.
    """

    feature_rate: float | None = None
    name: str = DEFAULT_NAME
    names: Mapping[str, str] = field(default_factory=dict)


def import_schema(sources: Sequence[Source], rate: float, options: ImportOptions) -> Schema:
    """The schema of a store for some features.

    Args:
        sources: with features.
        rate: steps a second of the store's grid.
        options: how they are imported.

    Raises:
        CorpusError: if no file can be read.
    """
    dims = {modality: dim for modality, (dim, _) in widths(sources).items()}
    if not dims:
        path = next((path for source in sources for path in source.features.values()), None)
        if path is not None:
            read_features(path)  # raises the reason
        raise CorpusError("none of the recordings has features")
    names = {modality: options.names.get(modality, options.name) for modality in dims}
    return Schema(rate, {modality: EncoderInfo(name, name, dims[modality]) for modality, name in names.items()})


def import_features(
    sources: Sequence[Source],
    store: Store,
    options: ImportOptions,
    progress: Callable[[float], None] = lambda done: None,
) -> Iterator[Outcome]:
    """Put features into a store; recordings that are already in it, with the same content and rate, are left as they are.

    Args:
        sources: with features.
        store: of the schema from `import_schema`.
        options: how they are imported.
        progress: called with the share done, 0..1, after each recording.

    Yields:
        The outcome of each recording that was not in the store.
    """
    examples = widths(sources)
    for index, source in enumerate(sources):
        outcome = _import(source, store, options, examples)
        if outcome is not None:
            yield outcome
        progress((index + 1) / len(sources))


def _import(source: Source, store: Store, options: ImportOptions, examples: Mapping[str, tuple[int, Path]]) -> Outcome | None:
    """Import one recording; None if it is already in the store."""
    facts = {"feature_rate": options.feature_rate}
    try:
        if not source.features:
            raise CorpusError("no features of this name")
        if is_done(source, store, facts):
            return None
        prints = fingerprints(source) | facts  # before reading: a file that changes in the meantime is imported again next time
        rows = {}
        for modality, path in source.features.items():
            rows[modality] = read_features(path)
            check_width(path, rows[modality], *examples[modality])
            if rows[modality].times is None and options.feature_rate is None:
                raise CorpusError(f"{path}: no column `time`: give the rows' rate with --feature-rate")
        duration, notes = _write(source.name, rows, store, options, prints)
        return Outcome(source.name, None, notes, duration)
    except (VatraceError, OSError) as error:
        return Outcome(source.name, str(error))
    except Exception as error:  # one recording must not stop the others
        return Outcome(source.name, report_bug(error, source.name))


def _write(
    name: str, rows: Mapping[str, FeatureRows], store: Store, options: ImportOptions, prints: Mapping[str, object]
) -> tuple[float, tuple[str, ...]]:
    """Put the rows of one recording on the grid and into the store; its length in seconds, and notes."""
    rate = store.schema.rate
    assert rate is not None
    duration = max(one.end(options.feature_rate) or 0.0 for one in rows.values())
    steps = num_steps(duration, rate)
    features, valid = {}, {}
    for modality, dim in store.schema.dims.items():
        features[modality], valid[modality] = np.zeros((steps, dim), np.float32), np.zeros(steps, bool)
        if modality in rows:
            features[modality], valid[modality] = on_grid(rows[modality], options.feature_rate, rate, steps)
    meta = Meta(name, rate, steps, dict(prints))
    store.write(
        meta,
        valid,
        lambda start, stop: {modality: values[start:stop] for modality, values in features.items()},
        np.empty(0),
    )
    return duration, tuple(f"no {modality}" for modality, mask in valid.items() if not mask.any())


def on_grid(
    rows: FeatureRows, feature_rate: float | None, rate: float, steps: int
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Put rows on a grid.

    If rows are more frequent than the grid's steps, a step is the mean of the rows in it; else it is the row that is current
    when the step starts. A row is current until the next one, or for one usual interval if the next one is more than 1.5 usual
    intervals away. Rows with NaN are missing, and so are steps without a row.

    Args:
        rows: N rows with D channels.
        feature_rate: rows a second, if the rows have no times.
        rate: steps a second of the grid.
        steps: T.

    Returns:
        Features (T, D), zeros where missing, and where they are present (T,).
    """
    times = rows.times if rows.times is not None else np.arange(len(rows.values)) / (feature_rate or rate)
    usual = interval(times) or 1 / (feature_rate or rate)
    ends = np.append(times[1:], times[-1] + usual)
    ends = np.where(ends - times > MAX_GAP * usual, times + usual, ends)
    known = np.logical_not(np.isnan(rows.values).any(axis=1))
    starts = np.arange(steps) / rate
    current = np.searchsorted(times, starts + TOLERANCE, side="right") - 1
    valid = (current >= 0) & (starts < ends[current] - TOLERANCE) & known[current]
    features = np.where(valid[:, None], rows.values[current], 0)
    if usual * rate < 1:
        index = steps_at(times, rate)
        means = np.zeros(features.shape)
        counts = np.bincount(index[known], minlength=steps)[:steps]
        inside = known & (index < steps)
        np.add.at(means, index[inside], rows.values[inside])
        contains = np.bincount(index, minlength=steps)[:steps] > 0
        features = np.where(contains[:, None], means / np.maximum(counts, 1)[:, None], features)
        valid = np.where(contains, counts > 0, valid)
    return np.where(valid[:, None], features, 0).astype(np.float32), valid
