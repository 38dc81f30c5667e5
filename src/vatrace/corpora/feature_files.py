"""A corpus as a folder of features from other tools, one file for each recording and modality.

    MODALITY/NAME.npy                            (N, D) rows at a stated rate; (N,) counts as D = 1
    MODALITY/NAME.csv, MODALITY/NAME.parquet     D columns of numbers, and a column `time` in seconds, or rows at a stated rate
    annotations.csv, annotations/, splits.csv    see `annotations`

MODALITY is any name that `check_modality` accepts. An empty cell, or NaN, makes its row missing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tokenize import TokenError
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vatrace.corpora.annotations import is_annotations, read_tables
from vatrace.corpora.corpus import MISMATCH, Annotation, Corpus, MediaTimes, Notes, Source
from vatrace.corpora.csv_table import column_names, number, read_table
from vatrace.corpora.label_notes import MOST_MISSING, label_notes
from vatrace.errors import CorpusError, missing, reason
from vatrace.media.folders import in_folder, key
from vatrace.names import check_modality, in_order

SUFFIXES = (".npy", ".csv", ".parquet")
TIME = "time"
"""The column of a table that contains seconds."""
MAX_VALUE = float(np.finfo(np.float16).max)
"""The largest number that fits into a store."""


@dataclass(frozen=True)
class FeatureRows:
    """The content of one file.

    Attributes:
        times: (N,) seconds, ascending; None without a column `time`.
        values: (N, D) float32, rows with NaN are missing.
    """

    times: NDArray[np.float64] | None
    values: NDArray[np.float32]

    def end(self, rate: float | None) -> float | None:
        """When the last row ends, seconds; None if neither times nor a rate are known."""
        if self.times is not None:
            return float(self.times[-1] + interval(self.times))
        return None if rate is None else len(self.values) / rate


def interval(times: NDArray[np.float64]) -> float:
    """The usual seconds from one row to the next; 0 for a single row."""
    return float(np.median(np.diff(times))) if len(times) > 1 else 0.0


def open_features(root: Path) -> Corpus | None:
    """Open a folder of features; None if no folder in it contains any.

    Raises:
        CorpusError: if a modality has an impossible name, or two files are of the same recording.
        MissingExtraError: if there are ELAN documents, and the library that reads them is missing.
    """
    files = _find(root)
    if not files:
        return None
    keys: dict[str, list[str]] = defaultdict(list)
    for name, by_modality in files.items():
        for word in {name, *(key(path.name) for path in by_modality.values())}:
            keys[word].append(name)
    tables = read_tables(root, keys)
    sources = tuple(
        Source(name, None, tables.split(name), tables.subject(name), features=files.get(name, {}))
        for name in sorted({*files, *tables.names})
    )

    dims = cache(lambda: widths(sources))  # reads files, which only a check needs

    def annotations(source: Source, times: NDArray[np.float64]) -> list[Annotation]:
        return tables.annotations(source.name)

    def notes(source: Source, media: MediaTimes | None) -> Notes:
        yield from _file_notes(source, dims())
        if tables.names:
            yield from label_notes(tables.annotations(source.name), None)

    return Corpus(root, "features", sources, annotations, tuple(tables.findings(files)), notes, scale=cache(tables.scale))


def _find(root: Path) -> dict[str, dict[str, Path]]:
    """The files by recording and modality; once a folder has one of SUFFIXES, its other files are listed as well."""
    found: dict[str, dict[str, Path]] = defaultdict(dict)
    for folder in (path for path in in_folder(root) if path.is_dir() and not is_annotations(path)):
        paths = [path for path in in_folder(folder) if not path.is_dir()]
        if not any(path.suffix.lower() in SUFFIXES for path in paths):
            continue
        try:
            check_modality(folder.name)
        except ValueError as error:
            raise CorpusError(f"{folder}: contains features, but {error}") from error
        for path in paths:
            name = key(path.stem)
            other = found[name].get(folder.name)
            if other is not None:
                raise CorpusError(f"{path}: {other} is of the same recording and modality; remove one")
            found[name][folder.name] = path
    return {name: {modality: found[name][modality] for modality in in_order(found[name])} for name in sorted(found)}


def widths(sources: Iterable[Source]) -> dict[str, tuple[int, Path]]:
    """The number of channels of each modality, and the file that it is taken from: the first readable one."""
    found: dict[str, tuple[int, Path]] = {}
    for source in sources:
        for modality, path in source.features.items():
            if modality not in found:
                try:
                    found[modality] = (read_features(path).values.shape[1], path)
                except (CorpusError, OSError):
                    continue  # reported when the recording is read
    return {modality: found[modality] for modality in in_order(found)}


def check_width(path: Path, rows: FeatureRows, dim: int, example: Path) -> None:
    """Raise CorpusError if a file has another number of channels than its modality, as in the file `example`."""
    found = rows.values.shape[1]
    if found != dim:
        raise CorpusError(f"{path}: {found} columns of features, but {example} has {dim}; all must have the same number")


def read_features(path: Path) -> FeatureRows:
    """Read one file.

    Raises:
        CorpusError: if it can't be read, has no rows or columns, contains text or numbers that are too large, or its times
            don't ascend; the message names the file, and in a CSV table the line.
        MissingExtraError: for a Parquet file without pyarrow.
    """
    readers = {".npy": _read_npy, ".csv": _read_csv, ".parquet": _read_parquet}
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise CorpusError(f"{path}: unknown suffix; features are {', '.join(SUFFIXES)} files")
    try:
        times, values = reader(path)
    except OSError as error:
        raise CorpusError(f"{path}: {reason(error)}") from error
    if not values.shape[1]:
        raise CorpusError(f"{path}: contains no columns of features")
    if not len(values):
        raise CorpusError(f"{path}: contains no rows; fill it or remove it")
    largest = np.abs(values[~np.isnan(values)]).max(initial=0)
    if largest > MAX_VALUE:
        raise CorpusError(f"{path}: contains {largest:g}, but a store takes numbers up to {MAX_VALUE:g}; rescale the features")
    if times is not None:
        wrong = np.flatnonzero(~np.isfinite(times) | (times < 0) | (np.diff(times, prepend=-1) <= 0))
        if len(wrong):
            what = "a time in seconds, 0 or later, is needed" if not times[wrong[0]] >= 0 else "times must ascend"
            raise CorpusError(f"{path}: row {wrong[0] + 1}: {what}, not {times[wrong[0]]:g}")
    return FeatureRows(times, values.astype(np.float32))


Read = tuple[NDArray[np.float64] | None, NDArray[np.float64]]
"""Times (N,) or None, and values (N, D)."""


def _read_npy(path: Path) -> Read:
    try:
        values: NDArray[Any] = np.load(path, allow_pickle=False)
    except (ValueError, EOFError, SyntaxError, TokenError, MemoryError) as error:  # of headers that claim too much, too
        raise CorpusError(f"{path}: can't be read as an array of numbers ({error})") from error
    if values.dtype.kind not in "fiub" or values.ndim not in {1, 2}:
        raise CorpusError(f"{path}: must be numbers (rows, channels), not {values.dtype} {values.shape}")
    return None, (values if values.ndim == 2 else values[:, None]).astype(np.float64)


def _read_csv(path: Path) -> Read:
    names = column_names(path)
    _check_names(path, names)
    rows = []
    for line, cells in read_table(path, names):
        try:
            rows.append([number(cell) for cell in cells])
        except ValueError as error:
            raise CorpusError(f"{path}: line {line}: {error}") from error
    return _split_time(names, np.array(rows).reshape(len(rows), len(names)))


def _read_parquet(path: Path) -> Read:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise missing(f"{path}: Parquet files need pyarrow", "formats") from error
    try:
        table = parquet.read_table(path)
    except pyarrow.ArrowException as error:
        raise CorpusError(f"{path}: can't be read as Parquet ({str(error).splitlines()[0]})") from error
    names = [name.strip().lower() for name in table.column_names]
    _check_names(path, names)
    columns = []
    for name, column in zip(table.column_names, table.columns, strict=True):
        try:
            columns.append(column.cast(pyarrow.float64()).to_numpy())
        except pyarrow.ArrowException as error:
            raise CorpusError(f"{path}: column {name!r}: not numbers but {column.type}") from error
    return _split_time(names, np.stack(columns, axis=1) if columns else np.empty((table.num_rows, 0)))


def _check_names(path: Path, names: list[str]) -> None:
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise CorpusError(f"{path}: two columns are named {twice[0]!r}; rename one")
    try:
        numbers = [number(name) for name in names]
    except ValueError:
        return
    if numbers and not np.isnan(numbers).all():
        raise CorpusError(f"{path}: the first line has numbers; it must name the columns")


def _split_time(names: list[str], values: NDArray[np.float64]) -> Read:
    if TIME not in names:
        return None, values
    at = names.index(TIME)
    return values[:, at], np.delete(values, at, axis=1)


def _file_notes(source: Source, dims: Mapping[str, tuple[int, Path]]) -> Notes:
    """Findings about one recording's files, given the `widths` of the corpus."""
    if not source.features:
        yield "error", "annotated, but there are no features of this name"
    absent = [modality for modality in dims if modality not in source.features]
    if absent and source.features:
        yield "warning", f"no file of {' and '.join(absent)}, which will be missing"
    ends = {}
    for modality, path in source.features.items():
        try:
            rows = read_features(path)
            check_width(path, rows, *dims[modality])
        except CorpusError as error:
            yield "error", str(error)
            continue
        share = np.isnan(rows.values).any(axis=1).mean()
        if share > 0:
            yield "warning" if share > MOST_MISSING else "info", f"{share:.1%} of the rows of {modality} are missing"
        end = rows.end(None)
        if end is not None:
            ends[modality] = end
    if ends and max(ends.values()) - min(ends.values()) > MISMATCH:
        listed = ", ".join(f"{modality} at {end:.1f} s" for modality, end in ends.items())
        yield "warning", f"modalities end at different times: {listed}"
