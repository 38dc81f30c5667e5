"""Annotations, splits and subjects in a folder, as people write them in CSV tables or ELAN documents.

    annotations.csv                      recording,time,valence,arousal[,annotator]; or instead of it:
    annotations/NAME.csv                 time,valence,arousal; or .tsv, .txt; or NAME.eaf, of ELAN (see `elan`)
    annotations/NAME.ANNOTATOR.csv       the same, with several annotators
    annotations/ANNOTATOR/NAME.csv       the same
    splits.csv                           recording,split[,subject][,person], where split is train, dev or test, and person is
                                         left, right, a number or a picture, where several people are in the recording

Times are seconds; valence and arousal are in -1..1, and empty where not annotated. All files are optional, and their names may
be in any case. A file that can't be read doesn't affect others. The readers of recordings and of imported features share this.
"""

from __future__ import annotations

from array import array
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vatrace.corpora.corpus import Annotation, Finding, in_several_splits
from vatrace.corpora.csv_table import column_names, number, read_table
from vatrace.corpora.elan import check_readable, linked_media, read_elan
from vatrace.corpora.scales import Scale, scale_of
from vatrace.errors import CorpusError, reason
from vatrace.files import shown
from vatrace.media.folders import in_folder, key, passed_over, walk
from vatrace.names import Side, Split, whole_number

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
"""How far a value may be outside -1..1, because the program that wrote it rounded it."""

Keys = Mapping[str, Sequence[str]]
"""The recordings that a word in a table can mean; it should be one."""


@dataclass
class Rows:
    """The rows of one annotator for one recording, as they are read.

    Attributes:
        times: seconds.
        values: valence and arousal in turn.
        problem: message about the first row that can't be used; None if all can.
    """

    times: array[float] = field(default_factory=lambda: array("d"))
    values: array[float] = field(default_factory=lambda: array("d"))
    problem: str | None = None

    def add(self, where: str, time: str, valence: str, arousal: str) -> None:
        """Add a row, or the reason why it can't be used, so that one bad recording doesn't affect the others."""
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
            raise CorpusError(f"{where}: the time {times[twice[0]]:g} appears twice; give several annotators a name each")
        return Annotation(annotator, times, values)


@dataclass(frozen=True)
class Tables:
    """The annotations and splits of a folder.

    Attributes:
        root: the folder.
        files: annotation files by recording, then by annotator ("" where none is named).
        rows: the content of `annotations.csv`, by recording, then by annotator.
        splits: all splits in `splits.csv`, by recording; it should be one each.
        subjects: all subjects in `splits.csv`, by recording; it should be one each.
        people: who is annotated, as it is written in `splits.csv`, by recording; it should be one each.
        problems: why a recording's annotations can't be used, by recording.
        found: findings about files that can't be used as they are, or weren't read.
    """

    root: Path
    files: Mapping[str, Mapping[str, Path]]
    rows: Mapping[str, Mapping[str, Rows]]
    splits: Mapping[str, set[Split]]
    subjects: Mapping[str, set[str]]
    people: Mapping[str, set[str]]
    problems: Mapping[str, Sequence[str]] = field(default_factory=dict)
    found: Sequence[Finding] = ()

    @property
    def names(self) -> set[str]:
        """The recordings that are annotated."""
        return {*self.files, *self.rows, *self.problems}

    def split(self, name: str) -> Split | None:
        """A recording's split; None where none is given, or more than one."""
        splits = self.splits.get(name, set())
        return next(iter(splits)) if len(splits) == 1 else None

    def subject(self, name: str) -> str:
        """A recording's subject, "" where none is given."""
        return min(self.subjects.get(name, set()), default="")

    def person(self, name: str) -> Side | int | Path | None:
        """Who is annotated in a recording, as in `Source`: anything but a side or a number from 1 is taken for a picture."""
        return parse_person(min(self.people.get(name, set()), default=""), self.root)

    def annotations(self, name: str, media: Path | None = None) -> list[Annotation]:
        """The annotations of a recording, in the order of the annotators' names.

        Args:
            name: of the recording.
            media: its file, which an ELAN document may name.

        Raises:
            CorpusError: if a file can't be used; the message names the line.
        """
        if name in self.problems:
            raise CorpusError("; ".join(self.problems[name]))
        table = f"{self.root / 'annotations.csv'}: {name}"
        found = [rows.annotation(annotator, table) for annotator, rows in sorted(self.rows.get(name, {}).items())]
        for annotator, path in sorted(self.files.get(name, {}).items()):
            found.append(_read(path, name, media).annotation(annotator, str(path)))
        return found

    def scale(self) -> Scale | None:
        """The scale of all annotations together, if it isn't -1..1."""

        def values() -> Iterator[NDArray[np.float64]]:
            for rows in (rows for parts in self.rows.values() for rows in parts.values()):
                yield np.array(rows.values).reshape(-1, 2)
            for name, path in ((name, path) for name, parts in self.files.items() for path in parts.values()):
                try:
                    yield np.array(_read(path, name).values).reshape(-1, 2)
                except CorpusError:
                    continue  # reported where the recording is read

        return scale_of(values())

    def findings(self, recordings: Iterable[str]) -> list[Finding]:
        """Problems with files of the whole corpus, given the recordings that exist."""
        names = sorted(recordings)
        findings = [*self.found, *(in_several_splits(name, splits) for name, splits in self.splits.items() if len(splits) > 1)]
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
    """Read the tables of a folder. Their problems are kept for the recordings concerned, and for `Tables.findings`.

    Args:
        root: the folder.
        keys: the names of the recordings that a word in a table can mean.

    Raises:
        MissingExtraError: if there are ELAN documents, and the library that reads them is missing.
        OSError: if the folder can't be read.
    """
    found: list[Finding] = []
    problems: dict[str, list[str]] = defaultdict(list)
    files: dict[str, dict[str, Path]] = defaultdict(dict)
    for folder in (path for path in in_folder(root) if is_annotations(path) and path.is_dir()):
        _find_files(folder, keys, files, problems, found)
    for name, path in ((name, path) for name, parts in files.items() for path in parts.values()):
        if marked := _marked(path):
            what = f"{path.name}: some values come from a model, or were filled (see {', '.join(marked)}); they count as well"
            found.append(Finding(name, "warning", what))
    rows: dict[str, dict[str, Rows]] = {}
    for path in _named(root, "annotations", found):
        try:
            rows = _read_long(path, keys, found)
        except CorpusError as error:
            found.append(Finding("", "error", f"{error}; none of its annotations is used"))
    for name in rows.keys() & files.keys():
        problems[name].append("annotated in annotations.csv and in annotations/; keep one of them")
    listed = Listed()
    for path in _named(root, "splits", found):
        listed = read_splits(path, keys)
        found += listed.found
    for name, people in listed.people.items():
        what = f"splits.csv gives several persons ({', '.join(sorted(people))})"
        if len(people) > 1 and (name in files or name in rows):  # labels must not be paired with somebody else's face
            problems[name].append(what)
        elif len(people) > 1:
            found.append(Finding(name, "error", what))
    return Tables(root, dict(files), rows, listed.splits, listed.subjects, listed.people, dict(problems), tuple(found))


def is_annotations(path: Path) -> bool:
    """Whether a folder contains annotation files, by its name."""
    return path.name.lower() == "annotations"


def is_table(path: Path) -> bool:
    """Whether a file has the name of a table of the whole corpus."""
    return path.stem.lower() in {"annotations", "splits"} and path.suffix.lower() in TABLE_SUFFIXES


def _named(root: Path, stem: str, found: list[Finding]) -> list[Path]:
    """The table of this name, in any case and with any suffix of a table; [] if there is none."""
    paths = [path for path in in_folder(root) if path.stem.lower() == stem and not path.is_dir()]
    tables = [path for path in paths if path.suffix.lower() in TABLE_SUFFIXES]
    for path in tables[1:] + [path for path in paths if path.suffix.lower() in SPREADSHEETS]:
        why = f"{tables[0].name} is" if path in tables else f"save it as {stem}.csv"
        found.append(Finding("", "error", f"{path}: not used: {why}"))
    folders = [path for path in in_folder(root) if is_table(path) and path.is_dir() and path.stem.lower() == stem]
    found += [Finding("", "error", f"{path}: a folder, not a table") for path in folders]
    return tables[:1]


def _find_files(
    folder: Path,
    keys: Keys,
    files: dict[str, dict[str, Path]],
    problems: dict[str, list[str]],
    found: list[Finding],
) -> None:
    """Add the annotation files in a folder and its subfolders."""
    unread: list[str] = []
    other: dict[Path, tuple[str, Path]] = {}

    def refuse(error: OSError) -> None:
        found.append(Finding("", "error", f"{error.filename}: {reason(error)}"))

    for path in (path for _, inside in walk(folder, refuse) for path in inside):
        below = path.relative_to(folder)
        suffix = path.suffix.lower()
        try:
            name, annotator, known = _whose(below.with_suffix("").as_posix(), keys, path)
        except CorpusError as error:
            found.append(Finding("", "error", f"{error}; it isn't used"))
            continue
        if suffix in BACKUPS or (suffix[1:].isdigit() and path.stem.endswith(".eaf")):
            continue
        if suffix not in TABLE_READERS:
            other[below] = (name if known else "", path)
        elif suffix == ".txt" and not known:  # perhaps notes about the annotations
            unread.append(shown(below.as_posix()))
        elif annotator in files[name]:
            problems[name].append(f"{path}: {files[name][annotator]} is of the same recording and annotator; remove one")
        else:
            if suffix == ".eaf":
                check_readable(path)  # now, not after hours of extraction
            files[name][annotator] = path
    for below, (name, path) in other.items():
        if name and name not in files:
            problems[name].append(
                f"{path}: not read; {HOW_TO_SAVE.get(path.suffix.lower(), 'annotations are CSV or ELAN documents')}"
            )
        else:
            unread.append(shown(below.as_posix()))
    if unread:
        what = "annotations are CSV or ELAN documents that are named after a recording"
        found.append(Finding("", "warning", f"{folder}: not read: {passed_over(unread)}; {what}"))


def _marked(path: Path) -> list[str]:
    """The columns of a CSV file that say which values nobody has traced, as the annotation page writes them."""
    try:
        return [name for name in column_names(path) if name.endswith("_source")] if path.suffix.lower() == ".csv" else []
    except CorpusError:
        return []  # reported where the annotations are read


@dataclass(frozen=True)
class Listed:
    """What a table of splits says about each recording, by its name; it should be one of each.

    Attributes:
        splits: where it belongs.
        subjects: with whom it has people in common.
        people: who is annotated, as it is written.
        found: problems of the table.
    """

    splits: Mapping[str, set[Split]] = field(default_factory=dict)
    subjects: Mapping[str, set[str]] = field(default_factory=dict)
    people: Mapping[str, set[str]] = field(default_factory=dict)
    found: Sequence[Finding] = ()


def parse_person(written: str, root: Path) -> Side | int | Path | None:
    """Who is annotated, as in `Source`: anything but a side or a number from 1 is the path of a picture below a folder."""
    if written.lower() in {"left", "right"}:
        return "left" if written.lower() == "left" else "right"
    if whole_number(written):
        return whole_number(written)
    return root / written.replace("\\", "/") if written else None


def read_splits(path: Path, keys: Keys) -> Listed:
    """Read the splits, subjects and people of recordings from a table.

    A line that can't be used is left out; if the table can't be read to its end, all lines are.
    """
    splits: dict[str, set[Split]] = defaultdict(set)
    subjects, people = (defaultdict[str, set[str]](set) for _ in range(2))
    found: list[Finding] = []
    try:
        for line, (word, split, subject, person) in read_table(path, ["recording", "split"], ["subject", "person"]):
            try:
                name = _resolved(word, keys, f"{path}: line {line}")
            except CorpusError as error:
                found.append(Finding("", "error", str(error)))
                continue
            member = SPLIT_NAMES.get(split.lower())
            if split and member is None:
                what = f"{path}: line {line}: {split!r} is not a split, so it is in none; use train, dev or test"
                found.append(Finding(name, "error", what))
            splits[name] |= {member} if member else set()
            subjects[name] |= {subject} if subject else set()
            people[name] |= {person} if person else set()
    except CorpusError as error:
        return Listed(found=[Finding("", "error", f"{error}; none of its splits is used")])
    return Listed(dict(splits), dict(subjects), dict(people), found)


def _resolved(word: str, keys: Keys, where: str) -> str:
    """The name of the recording that a word means; the word itself if there is no such recording."""
    word = key(word.replace("\\", "/"))
    names = keys.get(word, [word.replace("/", "__")])
    if len(names) > 1:
        raise CorpusError(f"{where}: {word!r} could be any of {', '.join(names)}; write one of these")
    return names[0]


def _whose(path_below: str, keys: Keys, path: Path) -> tuple[str, str, bool]:
    """The recording and annotator of an annotation file, by its path below `annotations` without suffix; and whether it exists.

    An ELAN document with another name belongs to the recording it is linked with.
    """
    word = key(shown(path_below))
    stem, _, last = word.rpartition(".")
    first, _, rest = word.partition("/")
    for recording, annotator in ((word, ""), (stem, last), (rest, first)):
        if recording in keys:
            return _resolved(recording, keys, str(path)), annotator, True
    if path.suffix.lower() == ".eaf":
        check_readable(path)
        linked = {name for media, _ in linked_media(path) for name in (media, media.rpartition(".")[0]) if name in keys}
        if linked:
            return _resolved(max(linked, key=len), keys, str(path)), "", True
    return _resolved(word, keys, str(path)), "", False


def _read_long(path: Path, keys: Keys, found: list[Finding]) -> dict[str, dict[str, Rows]]:
    rows: dict[str, dict[str, Rows]] = defaultdict(lambda: defaultdict(Rows))
    columns = ["recording", "time", "valence", "arousal"]
    unclear: dict[str, str] = {}
    for line, (word, time, valence, arousal, annotator) in read_table(path, columns, ["annotator"]):
        where = f"{path}: line {line}"
        try:
            rows[_resolved(word, keys, where)][annotator].add(where, time, valence, arousal)
        except CorpusError as error:
            unclear.setdefault(word, str(error))
    found += [Finding("", "error", what) for what in unclear.values()]
    return {name: dict(parts) for name, parts in rows.items()}


def _read_csv(path: Path, recording: Collection[str]) -> Iterator[tuple[str, list[str]]]:
    return ((f"line {line}", cells) for line, cells in read_table(path, ["time", "valence", "arousal"]))


TABLE_SUFFIXES = (".csv", ".tsv", ".txt")
SPREADSHEETS = (".xlsx", ".xls", ".xlsm", ".ods", ".numbers", ".sav")
BACKUPS = (".bak", ".etf", ".pfsx", ".psfx")
"""Files that ELAN, and the library that writes its documents, leave next to them, in addition to NAME.eaf.001 and so on."""
HOW_TO_SAVE = dict.fromkeys(SPREADSHEETS, "save it as CSV")
TABLE_READERS: dict[str, Callable[[Path, Collection[str]], Iterator[tuple[str, list[str]]]]] = {
    **dict.fromkeys(TABLE_SUFFIXES, _read_csv),
    ".eaf": read_elan,
}
"""Readers by suffix, which yield the place of each row, and its time, valence and arousal as they are written."""


def _read(path: Path, name: str, media: Path | None = None) -> Rows:
    """The rows of an annotation file of one recording.

    Raises:
        CorpusError: if it can't be read.
    """
    rows = Rows()
    for where, cells in TABLE_READERS[path.suffix.lower()](path, {name} if media is None else {name, media.name, media.stem}):
        rows.add(f"{path}: {where}", *cells)
    return rows
