"""Annotations, splits and subjects in a folder, as people write them in CSV tables or ELAN documents.

    annotations.csv                      recording,time,valence,arousal[,annotator]; or instead of it:
    annotations/NAME.csv                 time,valence,arousal; or NAME.eaf, of ELAN (see `elan`)
    annotations/NAME.ANNOTATOR.csv       the same, with several annotators
    annotations/ANNOTATOR/NAME.csv       the same
    splits.csv                           recording,split[,subject], where split is train, dev or test

Times are seconds; valence and arousal are in -1..1, and empty where not annotated. All files may be missing. The readers of
recordings and of features made elsewhere share this.
"""

from __future__ import annotations

from array import array
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vatrace.corpora.corpus import Annotation, Finding, Notes, excess, in_several_splits
from vatrace.corpora.elan import check_readable, read_elan
from vatrace.corpora.tables import number, read_table
from vatrace.errors import CorpusError
from vatrace.names import DIMENSIONS, Split

SPLIT_NAMES: dict[str, Split] = {
    "train": "train",
    "training": "train",
    "dev": "dev",
    "devel": "dev",
    "development": "dev",
    "val": "dev",
    "valid": "dev",
    "validation": "dev",
    "test": "test",
}
ROUNDING = 1e-6
"""How far beyond -1..1 a value may be, from the rounding of the program that wrote it."""
SPAN = 1.0
"""Seconds by which annotators of one recording may start or end apart."""
MOST_MISSING = 0.5
"""Share of missing labels from which it is a warning."""

Keys = Mapping[str, Sequence[str]]
"""The recordings that a word in a table can mean; it should be one."""


@dataclass
class Rows:
    """The rows of one annotator for one recording, as they are read.

    Attributes:
        times: seconds.
        values: valence and arousal in turn.
        problem: the first row that can't be used, as a message; None where all can.
    """

    times: array[float] = field(default_factory=lambda: array("d"))
    values: array[float] = field(default_factory=lambda: array("d"))
    problem: str | None = None

    def add(self, where: str, time: str, valence: str, arousal: str) -> None:
        """Add a row, or keep why it can't be used, so that one bad recording doesn't affect the others."""
        try:
            values = [number(cell) for cell in (time, valence, arousal)]
        except ValueError as error:
            self.problem = self.problem or f"{where}: {error}"
            return
        if not np.isfinite(values[0]):
            self.problem = self.problem or f"{where}: no time; each row needs one, in seconds"
        wrong = next((value for value in values[1:] if abs(value) > 1 + ROUNDING), None)
        if wrong is not None:
            self.problem = self.problem or f"{where}: {wrong:g} is not in -1..1; rescale the annotations to -1..1"
        self.times.append(values[0])
        self.values.extend(values[1:])

    def annotation(self, annotator: str, where: str) -> Annotation:
        """The rows in order of time.

        Raises:
            CorpusError: if one can't be used, there are none, or a time is given twice.
        """
        if self.problem:
            raise CorpusError(self.problem)
        if not self.times:
            raise CorpusError(f"{where}: contains no rows; fill it or remove it")
        times, values = np.array(self.times), np.clip(np.array(self.values).reshape(-1, 2), -1, 1)
        order = np.argsort(times, kind="stable")
        times, values = times[order], values[order]
        twice = np.flatnonzero(np.diff(times) == 0)
        if len(twice):
            raise CorpusError(f"{where}: the time {times[twice[0]]:g} is given twice; several annotators need a name each")
        return Annotation(annotator, times, values)


@dataclass(frozen=True)
class Tables:
    """The annotations and splits of a folder.

    Attributes:
        root: the folder.
        files: annotation files by recording, then by annotator ("" where none is named).
        rows: the content of `annotations.csv`, by recording, then by annotator.
        splits: by recording, all that `splits.csv` gives; it should be one.
        subjects: by recording, all that `splits.csv` gives; it should be one.
    """

    root: Path
    files: Mapping[str, Mapping[str, Path]]
    rows: Mapping[str, Mapping[str, Rows]]
    splits: Mapping[str, set[Split]]
    subjects: Mapping[str, set[str]]

    @property
    def names(self) -> set[str]:
        """The recordings that are annotated."""
        return {*self.files, *self.rows}

    def split(self, name: str) -> Split | None:
        """A recording's split; None where none is given, or more than one."""
        splits = self.splits.get(name, set())
        return next(iter(splits)) if len(splits) == 1 else None

    def subject(self, name: str) -> str:
        """A recording's subject, "" where none is given."""
        return min(self.subjects.get(name, set()), default="")

    def annotations(self, name: str) -> list[Annotation]:
        """The annotations of a recording, in the order of the annotators' names.

        Raises:
            CorpusError: if a file can't be used; the message names the line.
        """
        table = f"{self.root / 'annotations.csv'}: {name}"
        found = [rows.annotation(annotator, table) for annotator, rows in sorted(self.rows.get(name, {}).items())]
        for annotator, path in sorted(self.files.get(name, {}).items()):
            rows = Rows()
            for where, cells in FORMATS[path.suffix.lower()](path):
                rows.add(f"{path}: {where}", *cells)
            found.append(rows.annotation(annotator, str(path)))
        return found

    def findings(self, recordings: Iterable[str]) -> list[Finding]:
        """What a check of `splits.csv` finds, given the recordings that exist."""
        names = sorted(recordings)
        findings = [in_several_splits(name, splits) for name, splits in self.splits.items() if len(splits) > 1]
        unknown = "in splits.csv, but there is no recording of this name"
        findings += [Finding(name, "warning", unknown) for name in self.splits if name not in names]
        if self.splits:
            left_out = "not in splits.csv, so it is in no split"
            findings += [Finding(name, "warning", left_out) for name in names if name not in self.splits]
        for name, subjects in self.subjects.items():
            if len(subjects) > 1:
                findings.append(Finding(name, "error", f"splits.csv gives several subjects ({', '.join(sorted(subjects))})"))
        return findings


def read_tables(root: Path, keys: Keys) -> Tables:
    """Read the tables of a folder.

    Args:
        root: the folder.
        keys: the names of the recordings that a word in a table can mean.

    Raises:
        CorpusError: if a table can't be read, there are two annotations of one recording and annotator, or a table's name
            for a recording is ambiguous.
        MissingExtraError: if there are ELAN documents, and the library that reads them is missing.
    """
    files: dict[str, dict[str, Path]] = defaultdict(dict)
    for path in sorted((root / "annotations").rglob("*")):
        if path.name.startswith(".") or path.suffix.lower() not in FORMATS:
            continue
        if FORMATS[path.suffix.lower()] is read_elan:
            check_readable(path)  # now, not after hours of extraction
        name, annotator = _whose(path.relative_to(root / "annotations").with_suffix("").as_posix(), keys, path)
        if annotator in files[name]:
            raise CorpusError(f"{path}: {files[name][annotator]} is of the same recording and annotator; remove one")
        files[name][annotator] = path
    rows = _read_long(root / "annotations.csv", keys) if (root / "annotations.csv").exists() else {}
    if rows and files:
        raise CorpusError(f"{root}: annotations are in annotations.csv and in annotations/; keep one of them")
    splits, subjects = read_splits(root / "splits.csv", keys) if (root / "splits.csv").exists() else ({}, {})
    return Tables(root, dict(files), rows, splits, subjects)


def read_splits(path: Path, keys: Keys) -> tuple[dict[str, set[Split]], dict[str, set[str]]]:
    """Read the splits and subjects of recordings from a table; there should be one of each.

    Raises:
        CorpusError: if the table can't be read, or a split or recording in it is unknown or ambiguous.
    """
    splits: dict[str, set[Split]] = defaultdict(set)
    subjects: dict[str, set[str]] = defaultdict(set)
    for line, (key, split, subject) in read_table(path, ["recording", "split"], ["subject"]):
        name = _resolved(key, keys, f"{path}: line {line}")
        if split and split.lower() not in SPLIT_NAMES:
            raise CorpusError(f"{path}: line {line}: {split!r} is no split; use train, dev or test")
        splits[name] |= {SPLIT_NAMES[split.lower()]} if split else set()
        subjects[name] |= {subject} if subject else set()
    return dict(splits), dict(subjects)


def _resolved(key: str, keys: Keys, where: str) -> str:
    """The name of the recording that `key` means; `key` itself where there is no such recording."""
    key = key.replace("\\", "/")
    names = keys.get(key, [key.replace("/", "__")])
    if len(names) > 1:
        raise CorpusError(f"{where}: {key!r} could be any of {', '.join(names)}; write one of these")
    return names[0]


def _whose(key: str, keys: Keys, path: Path) -> tuple[str, str]:
    """Recording and annotator of an annotation file, by its path below `annotations` without its suffix."""
    stem, _, last = key.rpartition(".")
    first, _, rest = key.partition("/")
    for recording, annotator in ((key, ""), (stem, last), (rest, first)):
        if recording in keys:
            return _resolved(recording, keys, str(path)), annotator
    return _resolved(key, keys, str(path)), ""


def _read_long(path: Path, keys: Keys) -> dict[str, dict[str, Rows]]:
    rows: dict[str, dict[str, Rows]] = defaultdict(lambda: defaultdict(Rows))
    columns = ["recording", "time", "valence", "arousal"]
    for line, (key, time, valence, arousal, annotator) in read_table(path, columns, ["annotator"]):
        where = f"{path}: line {line}"
        rows[_resolved(key, keys, where)][annotator].add(where, time, valence, arousal)
    return {name: dict(parts) for name, parts in rows.items()}


def _read_csv(path: Path) -> Iterator[tuple[str, list[str]]]:
    return ((f"line {line}", cells) for line, cells in read_table(path, ["time", "valence", "arousal"]))


FORMATS: dict[str, Callable[[Path], Iterator[tuple[str, list[str]]]]] = {".csv": _read_csv, ".eaf": read_elan}
"""By a file's suffix, what yields the place of each row, and its time, valence and arousal as they are written."""


def label_notes(annotations: Sequence[Annotation], end: float | None) -> Notes:
    """What a check of one recording's annotations finds.

    Args:
        annotations: of the recording.
        end: of the recording, seconds; None where it is unknown.
    """
    found = [annotation for annotation in annotations if len(annotation.times)]
    if not found:
        yield "warning", "not annotated"
    for annotation in found:
        who = f"{annotation.annotator}: " if annotation.annotator else ""
        yield from ((severity, who + what) for severity, what in value_notes(annotation.values))
        if end is None:
            continue
        last = float(annotation.times[-1])
        try:
            too_long = excess(annotation, end)
        except CorpusError as error:
            yield "error", str(error)
            continue
        if too_long:
            yield "warning", too_long
        elif last < end * MOST_MISSING:
            yield "warning", f"{who}annotated up to {last:.1f} s only; the recording ends at {end:.1f} s"
    for side, index in (("starts", 0), ("ends", -1)):
        moments = {annotation.annotator: float(annotation.times[index]) for annotation in found}
        if moments and max(moments.values()) - min(moments.values()) > SPAN:
            listed = ", ".join(f"{name} at {moment:.1f} s" for name, moment in sorted(moments.items()))
            yield "warning", f"annotators cover different spans; it {side} for {listed}"


def value_notes(values: NDArray[np.float64]) -> Notes:
    """What a check of the values (N, 2) of one annotator finds."""
    missing = np.isnan(values)
    if missing.all():
        yield "warning", "not one value is annotated"
        return
    share = missing[:, ~missing.all(axis=0)].any(axis=1).mean()
    if share > 0:
        yield "warning" if share > MOST_MISSING else "info", f"{share:.1%} of the rows are not annotated"
    for name, column in zip(DIMENSIONS, values.T, strict=True):
        known = column[~np.isnan(column)]
        if not len(known):
            yield "warning", f"{name} is annotated nowhere"
        elif known.min() == known.max():
            yield "warning", f"{name} is {known[0]:g} throughout"
