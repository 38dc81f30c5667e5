"""Any corpus as a folder of videos or sounds, in subfolders too, with annotations and splits in CSV tables.

    .../NAME.mp4 (or another video or sound)      the recordings
    .../NAME.srt (or .vtt) beside it              its words, where there is a transcript
    annotations.csv                               recording,time,valence,arousal[,annotator]; or instead of it:
    annotations/NAME.csv                          time,valence,arousal; or NAME.eaf, of ELAN (see `elan`)
    annotations/NAME.ANNOTATOR.csv                the same, where there are several annotators
    annotations/ANNOTATOR/NAME.csv                or so
    splits.csv                                    recording,split[,subject], the split being train, dev or test

A recording is called by its file's stem; where two have the same, by the file's name or its path below the folder. Times are
seconds; valence and arousal are in -1..1, and empty where not annotated. All tables may be missing.
"""

from __future__ import annotations

import os
from array import array
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vatrace.corpora.corpus import Annotation, Corpus, Source
from vatrace.corpora.elan import read_elan, see_that_it_can_be_read
from vatrace.corpora.tables import number, read_table
from vatrace.errors import CorpusError, reason
from vatrace.media.recording import MEDIA_SUFFIXES
from vatrace.media.transcripts import is_transcript
from vatrace.names import Split

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
"""How far beyond -1..1 a value may be by the rounding of the program that wrote it."""


@dataclass
class Rows:
    """The rows of one annotator for one recording in a long table, as they are read.

    Attributes:
        times: seconds.
        values: valence and arousal in turn.
        problem: the first row that can't be used, as a message; None where all can.
    """

    times: array[float] = field(default_factory=lambda: array("d"))
    values: array[float] = field(default_factory=lambda: array("d"))
    problem: str | None = None


@dataclass(frozen=True)
class Layout:
    """What was found in a folder.

    Attributes:
        root: the folder that was searched.
        media: by the recordings' names.
        transcripts: by the recordings' names.
        files: annotation files by recording, then by annotator ("" where none is named).
        rows: what `annotations.csv` says, by recording, then by annotator.
        splits: by recording, all that are said in `splits.csv`; it should be one.
        subjects: by recording, all that are said; it should be one.
    """

    root: Path
    media: dict[str, Path]
    transcripts: dict[str, Path]
    files: dict[str, dict[str, Path]]
    rows: dict[str, dict[str, Rows]]
    splits: dict[str, set[Split]]
    subjects: dict[str, set[str]]


def find(root: Path) -> Layout:
    """Search a folder and those below it, and read the tables that lie in it.

    Raises:
        CorpusError: if a folder or table can't be read, two annotation tables are of one recording and annotator, or what a
            table calls a recording could be several.
        ImportError: if there are ELAN documents, and what reads them is missing.
    """
    media_files, transcripts = _walk(root)
    media, keys = _names(root, media_files)
    files: dict[str, dict[str, Path]] = defaultdict(dict)
    for path in sorted((root / "annotations").rglob("*")):
        if path.name.startswith(".") or path.suffix.lower() not in READERS:
            continue
        if READERS[path.suffix.lower()] is read_elan:
            see_that_it_can_be_read(path)  # now, not after hours of extraction
        name, annotator = _whose(path.relative_to(root / "annotations").with_suffix("").as_posix(), keys, path)
        if annotator in files[name]:
            raise CorpusError(f"{path}: {files[name][annotator]} is of the same recording and annotator; remove one")
        files[name][annotator] = path
    rows = _read_long(root / "annotations.csv", keys) if (root / "annotations.csv").exists() else {}
    if rows and files:
        raise CorpusError(f"{root}: annotations are in annotations.csv and in annotations/; keep one of them")
    splits, subjects = _read_splits(root / "splits.csv", keys) if (root / "splits.csv").exists() else ({}, {})
    beside = {name: transcripts[path.with_suffix("")] for name, path in media.items() if path.with_suffix("") in transcripts}
    return Layout(root, media, beside, dict(files), rows, splits, subjects)


def _walk(root: Path) -> tuple[list[Path], dict[Path, Path]]:
    """Media, and transcripts by their path without its ending; but for what lies in `annotations`."""
    media, transcripts = [], {}

    def refuse(error: OSError) -> None:
        raise CorpusError(f"{error.filename}: {reason(error)}")

    for folder, folders, names in os.walk(root, onerror=refuse):
        folders[:] = sorted(name for name in folders if not name.startswith(".") and Path(folder, name) != root / "annotations")
        for path in (Path(folder, name) for name in sorted(names) if not name.startswith(".")):
            if path.suffix.lower() in MEDIA_SUFFIXES:
                media.append(path)
            elif is_transcript(path):
                transcripts[path.with_suffix("")] = path
    return media, transcripts


def _names(root: Path, media: list[Path]) -> tuple[dict[str, Path], dict[str, list[str]]]:
    """Media by name; and the names of the recordings that can be meant by a word in a table."""
    stems, files = Counter(path.stem for path in media), Counter(path.name for path in media)
    paths = Counter(path.with_suffix("") for path in media)
    named: dict[str, Path] = {}
    keys: dict[str, list[str]] = defaultdict(list)
    for path in media:
        below = path.relative_to(root)
        name = path.stem
        if stems[path.stem] > 1 and files[path.name] == 1:
            name = path.name
        elif stems[path.stem] > 1:
            name = (below.with_suffix("") if paths[path.with_suffix("")] == 1 else below).as_posix().replace("/", "__")
        if name in named:
            raise CorpusError(f"{path}: can't be told from {named[name]}; rename one of them")
        named[name] = path
        for key in {name, path.stem, path.name, below.as_posix(), below.with_suffix("").as_posix()}:
            keys[key].append(name)
    return named, keys


def _called(key: str, keys: dict[str, list[str]], where: str) -> str:
    """The name of the recording that `key` means; `key` itself where there is no such recording."""
    key = key.replace("\\", "/")
    names = keys.get(key, [key.replace("/", "__")])
    if len(names) > 1:
        raise CorpusError(f"{where}: {key!r} could be any of {', '.join(names)}; write one of these")
    return names[0]


def _whose(key: str, keys: dict[str, list[str]], path: Path) -> tuple[str, str]:
    """Recording and annotator of an annotation file, by its path below `annotations` without its ending."""
    stem, _, last = key.rpartition(".")
    first, _, rest = key.partition("/")
    for recording, annotator in ((key, ""), (stem, last), (rest, first)):
        if recording in keys:
            return _called(recording, keys, str(path)), annotator
    return _called(key, keys, str(path)), ""


def _read_long(path: Path, keys: dict[str, list[str]]) -> dict[str, dict[str, Rows]]:
    rows: dict[str, dict[str, Rows]] = defaultdict(lambda: defaultdict(Rows))
    for line, (key, time, valence, arousal, annotator) in read_table(
        path, ["recording", "time", "valence", "arousal"], ["annotator"]
    ):
        part = rows[_called(key, keys, f"{path}: line {line}")][annotator]
        _add(part, f"{path}: line {line}", time, valence, arousal)
    return {name: dict(parts) for name, parts in rows.items()}


def _add(rows: Rows, where: str, time: str, valence: str, arousal: str) -> None:
    """Add a row, or note why it can't be used, so that one bad recording leaves the others as they are."""
    try:
        values = [number(cell) for cell in (time, valence, arousal)]
    except ValueError as error:
        rows.problem = rows.problem or f"{where}: {error}"
        return
    if not np.isfinite(values[0]):
        rows.problem = rows.problem or f"{where}: no time; each row needs one, in seconds"
    wrong = next((value for value in values[1:] if abs(value) > 1 + ROUNDING), None)
    if wrong is not None:
        rows.problem = rows.problem or f"{where}: {wrong:g} is not in -1..1; rescale the annotations to -1..1"
    rows.times.append(values[0])
    rows.values.extend(values[1:])


def _read_splits(path: Path, keys: dict[str, list[str]]) -> tuple[dict[str, set[Split]], dict[str, set[str]]]:
    splits: dict[str, set[Split]] = defaultdict(set)
    subjects: dict[str, set[str]] = defaultdict(set)
    for line, (key, split, subject) in read_table(path, ["recording", "split"], ["subject"]):
        name = _called(key, keys, f"{path}: line {line}")
        if split and split.lower() not in SPLIT_NAMES:
            raise CorpusError(f"{path}: line {line}: {split!r} is no split; use train, dev or test")
        splits[name] |= {SPLIT_NAMES[split.lower()]} if split else set()
        subjects[name] |= {subject} if subject else set()
    return dict(splits), dict(subjects)


def _annotation(annotator: str, rows: Rows, where: str) -> Annotation:
    """The rows in order of time."""
    if rows.problem:
        raise CorpusError(rows.problem)
    if not rows.times:
        raise CorpusError(f"{where}: no rows in it; fill it or remove it")
    times, values = np.array(rows.times), np.clip(np.array(rows.values).reshape(-1, 2), -1, 1)
    order = np.argsort(times, kind="stable")
    times, values = times[order], values[order]
    twice = np.flatnonzero(np.diff(times) == 0)
    if len(twice):
        raise CorpusError(f"{where}: the time {times[twice[0]]:g} comes twice; several annotators need a name each")
    return Annotation(annotator, times, values)


def _read_file(path: Path) -> Rows:
    rows = Rows()
    for where, cells in READERS[path.suffix.lower()](path):
        _add(rows, f"{path}: {where}", *cells)
    return rows


def _read_csv(path: Path) -> Iterator[tuple[str, list[str]]]:
    return ((f"line {line}", cells) for line, cells in read_table(path, ["time", "valence", "arousal"]))


READERS: dict[str, Callable[[Path], Iterator[tuple[str, list[str]]]]] = {".csv": _read_csv, ".eaf": read_elan}
"""By a file's ending, what yields where a row is in it, and its time, valence and arousal as they are written."""


def as_corpus(layout: Layout) -> Corpus:
    """All recordings, and those that are annotated but have no video or sound. One that is in two splits is given to none."""

    def source(name: str) -> Source:
        splits, subjects = layout.splits.get(name, set()), layout.subjects.get(name, set())
        return Source(
            name=name,
            media=layout.media.get(name),
            split=next(iter(splits)) if len(splits) == 1 else None,
            subject=min(subjects, default=""),
            transcript=layout.transcripts.get(name),
        )

    def annotations(source: Source, times: NDArray[np.float64]) -> list[Annotation]:
        long = layout.root / "annotations.csv"
        found = [
            _annotation(annotator, rows, f"{long}: {source.name}")
            for annotator, rows in sorted(layout.rows.get(source.name, {}).items())
        ]
        for annotator, path in sorted(layout.files.get(source.name, {}).items()):
            found.append(_annotation(annotator, _read_file(path), str(path)))
        return found

    names = sorted({*layout.media, *layout.files, *layout.rows})
    return Corpus(layout.root, "folder", tuple(source(name) for name in names), annotations)
