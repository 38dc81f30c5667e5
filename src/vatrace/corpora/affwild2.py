"""Aff-Wild2 as the ABAW challenges distribute it, with its parts anywhere below one folder.

    .../Train_Set/NAME.txt, .../Validation_Set/NAME.txt    header `valence,arousal`, a row a frame, -5 where not annotated
    .../NAME.mp4 (or .avi)                                 the raw videos, in `batch1`, `batch2`, `new_vids` or elsewhere
    .../cropped_aligned/NAME/00001.jpg                     faces, by the frame's number from 1, with gaps
    .../Valence_Arousal_..._test_set_release.txt           the test set's names, or the sample of a submission
    subjects.csv                                           not part of Aff-Wild2: recording,subject, if you know them

Row k of the annotations, counted from 0, is video frame k and face picture k + 1. `NAME_left` and `NAME_right` are two people
in the video NAME; if one of them has no such ending, it is the other side.
"""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vatrace.corpora.affwild2_files import has_header, raw_rows, read_listing, read_rows
from vatrace.corpora.corpus import (
    MISMATCH,
    Annotation,
    Corpus,
    Finding,
    MediaTimes,
    Notes,
    Severity,
    Source,
    in_several_splits,
)
from vatrace.corpora.csv_table import read_table
from vatrace.corpora.label_notes import MOST_MISSING, value_notes
from vatrace.corpora.scales import Scale, scale_of
from vatrace.errors import CorpusError, reason
from vatrace.features.cropped_faces import numbered_images
from vatrace.media.folders import VIDEO_SUFFIXES, is_junk, key
from vatrace.media.picture import STILL_FORMATS
from vatrace.names import Side, Split

SPLIT_FOLDERS: dict[str, Split] = {
    "train_set": "train",
    "training_set": "train",
    "validation_set": "dev",
    "val_set": "dev",
    "test_set": "test",
}
"""Names of the folders of annotations over the years, in lower case."""

PICTURE = re.compile(r"(\d{5,})\.(jpe?g|png)", re.IGNORECASE)
CROPPED = re.compile(r"crop|align|face", re.IGNORECASE)
"""A folder of numbered pictures contains faces if its path has such a name; folders of whole frames look the same."""
TEST_LIST = re.compile(r"(^|[^a-z])(va|valence)[^a-z](.*[^a-z])?test.?set", re.IGNORECASE)


@dataclass(frozen=True)
class Layout:
    """Where the parts of the corpus are; of several with the same name, the first is used.

    Attributes:
        root: the folder that was searched.
        videos: by name.
        faces: folders of face pictures, by recording: first aligned ones, then others, empty ones last.
        labels: annotation files with their splits, by recording.
        listed: recordings in lists of the test set, each with the last picture that a submission must contain; 0 if only its
            name is listed.
        pictures: folders that contain folders of numbered pictures, but are not called cropped, aligned or faces.
        problems: why a recording's annotations can't be used, by recording; "" for files of the whole corpus.
    """

    root: Path
    videos: dict[str, list[Path]]
    faces: dict[str, list[Path]]
    labels: dict[str, list[tuple[Split, Path]]]
    listed: dict[str, int]
    pictures: tuple[Path, ...]
    problems: dict[str, list[str]]

    def splits(self, name: str) -> set[Split]:
        """The splits that a recording is listed in; it should be one."""
        listed = {split for split, _ in self.labels.get(name, [])}
        return listed | {"test"} if name in self.listed else listed

    def person(self, name: str) -> tuple[str, Side | None]:
        """The name of a recording's video, and which of two people its name says it is."""
        if name not in self.videos:  # else the video itself has this name
            for side in ("left", "right"):
                if name.endswith(f"_{side}"):
                    return name.removesuffix(f"_{side}"), side
        return name, None


def find(root: Path) -> Layout:
    """Search a folder and its subfolders. Folders of face pictures are not read beyond their first picture.

    Files and folders that can't be read are left out, and kept as problems.

    Raises:
        CorpusError: if the folder itself can't be read.
    """
    problems: dict[str, list[str]] = defaultdict(list)
    videos, faces, empty, labels = (defaultdict[str, list[Path]](list) for _ in range(4))
    listed: dict[str, int] = {}
    pictures: set[Path] = set()
    for folder, files, numbered in _walk(root, problems[""]):
        cropped = CROPPED.search(str(folder.relative_to(root)))
        if numbered and cropped:
            faces[key(folder.name)].append(folder)
        elif numbered:
            pictures.add(folder.parent)
        elif cropped:
            empty[key(folder.name)].append(folder)
        for path in files:
            if path.suffix.lower() in VIDEO_SUFFIXES:
                videos[key(path.stem)].append(path)
        texts = [path for path in files if path.suffix.lower() == ".txt"]
        if folder.name.lower() in SPLIT_FOLDERS and any(has_header(path) for path in texts):
            for path in texts:
                labels[key(path.stem)].append(path)
        else:
            for path in (path for path in texts if TEST_LIST.search(path.stem)):
                _add_listing(path, listed, problems[""])
    for name in {*labels, *listed} & set(empty):
        faces[name] += empty[name]
    for folders in faces.values():
        folders.sort(
            key=lambda folder: (folder in empty[key(folder.name)], "align" not in str(folder.relative_to(root)).lower(), folder)
        )
    return Layout(
        root=root,
        videos={name: sorted(paths) for name, paths in videos.items()},
        faces=dict(faces),
        labels={name: _with_splits(name, paths, problems) for name, paths in labels.items()},
        listed=listed,
        pictures=tuple(sorted(pictures)),
        problems={name: found for name, found in problems.items() if found},
    )


def _add_listing(path: Path, listed: dict[str, int], problems: list[str]) -> None:
    """Add the recordings of a list of the test set, each with its last picture."""
    try:
        listing = read_listing(path)
    except CorpusError as error:
        problems.append(f"{error}; this list isn't used")
        return
    last = np.zeros(len(listing.names), np.int64)
    np.maximum.at(last, listing.recording, listing.picture)
    for name, picture in zip(listing.names, last.tolist(), strict=True):
        listed[name] = max(listed.get(name, 0), picture)


def _with_splits(name: str, paths: list[Path], problems: dict[str, list[str]]) -> list[tuple[Split, Path]]:
    """The annotation files of one recording with the splits that their folders name."""
    said = sorted((SPLIT_FOLDERS[path.parent.name.lower()], path) for path in paths)
    for (split, path), (other, second) in pairwise(said):
        if split == other:
            problems[name].append(f"{second}: also in {path}; keep one release of the annotations")
    return said


def _walk(root: Path, problems: list[str]) -> list[tuple[Path, list[Path], bool]]:
    """Folders with their files, and whether they contain numbered pictures, which are not read further. Sorted.

    Folders that can't be read are added to the problems.
    """
    found: list[tuple[Path, list[Path], bool]] = []
    waiting, seen = [root], set()
    while waiting:
        folder = waiting.pop()
        files: list[Path] = []
        numbered = False
        try:
            if (real := folder.resolve()) in seen:  # links may form a loop
                continue
            seen.add(real)
            with os.scandir(folder) as entries:
                for entry in entries:
                    if PICTURE.fullmatch(entry.name):
                        files, numbered = [], True
                        break
                    if is_junk(Path(entry.path)):
                        continue
                    (waiting if Path(entry.path).is_dir() else files).append(Path(entry.path))  # not a link to itself
        except (OSError, RuntimeError) as error:  # before Python 3.13, a link to itself is a RuntimeError
            if folder == root:
                raise CorpusError(f"{folder}: {reason(error)}") from error
            problems.append(f"{folder}: {reason(error)}; its contents aren't used")
            continue
        found.append((folder, files, numbered))
    return sorted(found)


def open_affwild2(root: Path) -> Corpus | None:
    """Open Aff-Wild2: the recordings that are annotated or listed for the test. None if there is none below the folder.

    Annotations have one value for each frame of the video: extra rows are left out, and frames without a row have NaN. The
    lag of the labels is 0, because the challenge compares with the labels as they are.

    Raises:
        CorpusError: if the folder can't be read.
    """
    layout = find(root)
    if not layout.labels and not layout.listed.keys() & {*layout.videos, *layout.faces}:
        return None

    def annotations(source: Source, times: NDArray[np.float64]) -> list[Annotation]:
        if source.name not in layout.labels:
            return []
        _refuse(layout, source.name)
        rows = read_rows(layout.labels[source.name][0][1])[: len(times)]
        values = np.full((len(times), 2), np.nan)
        values[: len(rows)] = rows
        return [Annotation("", times, values)]

    def notes(source: Source, media: MediaTimes | None) -> Notes:
        return _notes(layout, source, media)

    def scale() -> Scale | None:
        return scale_of(rows for parts in layout.labels.values() for _, path in parts for rows in raw_rows(path))

    sources = _sources(layout)
    return Corpus(root, "affwild2", sources, annotations, tuple(_findings(layout, sources)), notes, 0.0, cache(scale))


def _refuse(layout: Layout, name: str) -> None:
    """Raise CorpusError if there are problems with a recording's annotation files."""
    if name in layout.problems:
        raise CorpusError("; ".join(layout.problems[name]))


def _sources(layout: Layout) -> tuple[Source, ...]:
    """All recordings; one that is listed in two splits is in none."""
    subjects = {key(name): subject for _, name, subject in _subjects(layout)[0]}
    names = sorted({*layout.labels, *layout.listed})
    people: dict[str, list[Side | None]] = defaultdict(list)
    for name in names:
        video, side = layout.person(name)
        people[video].append(side)

    def source(name: str) -> Source:
        video, side = layout.person(name)
        if side is None and len(people[video]) == 2:
            side = "left" if "right" in people[video] else "right"
        splits, faces = layout.splits(name), layout.faces.get(name)
        return Source(
            name=name,
            media=layout.videos[video][0] if video in layout.videos else None,
            split=splits.pop() if len(splits) == 1 else None,
            subject=subjects.get(name) or subjects.get(video) or video,
            face_folder=faces[0] if faces else None,
            person=side,
        )

    return tuple(source(name) for name in names)


def _subjects(layout: Layout) -> tuple[list[tuple[int, str, str]], str]:
    """The lines of the table of subjects, with recording and subject; and why it can't be read, "" if it can."""
    table = layout.root / "subjects.csv"
    if not (table.exists() or table.is_symlink()):
        return [], ""
    try:
        return [(line, name, subject) for line, (name, subject) in read_table(table, ["recording", "subject"])], ""
    except CorpusError as error:
        return [], f"{error}; none of its subjects is used"


def _findings(layout: Layout, sources: tuple[Source, ...]) -> Iterator[Finding]:
    """Findings about what the reader left out or chose."""
    names = {source.name for source in sources}
    used = {layout.person(name)[0] for name in names}
    rows, problem = _subjects(layout)
    yield from (Finding("", "error", what) for what in [*layout.problems.get("", []), *filter(None, [problem])])
    yield from (in_several_splits(name, layout.splits(name)) for name in names if len(layout.splits(name)) > 1)
    for name in names:
        videos, faces = layout.videos.get(layout.person(name)[0], []), layout.faces.get(name, [])
        for kind, paths in (("video", videos), ("folder of faces", faces)):
            if len(paths) > 1:
                others = ", ".join(str(path) for path in paths[1:])
                yield Finding(name, "warning", f"more than one {kind}: {paths[0]} is used, not {others}")
    unused = "a video that is neither annotated nor in a list of the test set; it is left out"
    yield from (Finding(name, "info", unused) for name in layout.videos if name not in used)
    for place in layout.pictures:
        what = f"images in {place} are not used as faces, because no folder of their path is called cropped, aligned or faces"
        yield Finding("", "info", what)
    for line, name, _ in rows:
        if key(name) not in names | used:
            yield Finding(name, "info", f"in line {line} of {layout.root / 'subjects.csv'}, but there is no such recording")


def _notes(layout: Layout, source: Source, media: MediaTimes | None) -> Notes:
    if media and not len(media.times):
        yield "error", f"{source.media} contains no video"
        return
    if source.face_folder:
        yield from _face_notes(source.face_folder, media)
    elif layout.faces:
        yield "info", "no folder of cropped faces; faces will be detected in the video"
    yield from _label_notes(layout, source, media)


def _face_notes(folder: Path, media: MediaTimes | None) -> Notes:
    """Findings from the names of face images, and whether the first can be read."""
    by_number = numbered_images(folder)
    numbers = np.array(sorted(by_number), dtype=np.int64)
    if not len(numbers):
        yield "warning", f"no images named like 00001.jpg in {folder}; the face will be missing"
        return
    first = by_number[int(numbers[0])]
    try:
        with Image.open(first, formats=STILL_FORMATS) as image:
            image.verify()
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        yield "warning", f"{first} can't be read ({error})"
    if numbers[0] == 0:
        yield "error", f"images in {folder} are counted from 0, not from 1; rename them"
    if media is None:
        return
    num_frames = len(media.times)
    beyond = int(numbers[-1]) - num_frames
    if beyond > 0:
        yield (
            "warning",
            f"the last cropped face is of frame {numbers[-1]}, but the video has {num_frames}; is it the same video? "
            f"The last {int((numbers > num_frames).sum())} are left out",
        )
    missing = 1 - len(numbers[numbers <= num_frames]) / max(num_frames, 1)
    if missing > 0:
        yield "warning" if missing > MOST_MISSING else "info", f"{missing:.1%} of the frames have no cropped face"


def _label_notes(layout: Layout, source: Source, media: MediaTimes | None) -> Notes:
    num_frames = len(media.times) if media else 0
    asked = layout.listed.get(source.name, 0)
    if media and asked and asked != num_frames:
        yield "warning", f"a submission must have frames up to {asked}, but the video has {num_frames}"
    if source.name not in layout.labels:
        return  # only listed for the test
    _refuse(layout, source.name)
    rows = read_rows(layout.labels[source.name][0][1])
    if media and len(rows) != num_frames:
        more = len(rows) - num_frames
        seconds = abs(more) * media.interval
        severity: Severity = "warning" if seconds > MISMATCH else "info"
        if more > 0:
            what = f"the last {more} rows ({seconds:.2f} s) are left out"
        else:
            what = f"the last {-more} frames ({seconds:.2f} s) count as not annotated"
        yield severity, f"{len(rows)} rows of annotations for {num_frames} frames; {what}"
    yield from value_notes(rows)
