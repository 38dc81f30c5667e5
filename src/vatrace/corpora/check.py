"""What is wrong with a corpus, or worth knowing, before hours are spent on it.

Files are looked at by their headers and packets, pictures by their names; nothing is decoded.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vatrace.corpora import affwild2, folder
from vatrace.corpora.corpus import MISMATCH, Corpus, Source, see_that_it_ends
from vatrace.corpora.tables import read_table
from vatrace.errors import CorpusError, MediaError
from vatrace.features.crops import numbered_images
from vatrace.media.recording import audio_span, frame_times, open_recording
from vatrace.names import Split

Severity = Literal["error", "warning", "info"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "info")

UNEVEN = 0.25
"""How far an interval between frames may be from the usual, as a share of it, in a constant frame rate with rounded times."""
SPAN = 1.0
"""Seconds by which annotators of one recording may start or end apart."""
MOST_MISSING = 0.5
"""Share of missing labels or faces from which it is a warning."""


@dataclass(frozen=True)
class Finding:
    """One thing that was noticed.

    Attributes:
        recording: its name; "" where it is of the whole corpus.
        severity: "error" where a recording or the split can't be used as it is, "warning" where data is lost or in doubt,
            "info" where it is handled.
        what: a plain sentence.
    """

    recording: str
    severity: Severity
    what: str


Notes = Iterator[tuple[Severity, str]]
"""Findings of one recording, without its name."""


@dataclass(frozen=True)
class _Media:
    """What the packets of a file say: times (F,) of its frames (empty for sound alone), and when its sound starts and ends."""

    times: NDArray[np.float64]
    sound: tuple[float, float] | None

    @property
    def interval(self) -> float:
        """The usual seconds from a frame to the next; 0 for fewer than two."""
        return float(np.median(np.diff(self.times))) if len(self.times) > 1 else 0.0

    @property
    def is_variable(self) -> bool:
        """Whether more than a few intervals are unlike the usual."""
        uneven = np.abs(np.diff(self.times) - self.interval) > UNEVEN * self.interval
        return bool(uneven.sum() > max(1, len(self.times) / 100))

    @property
    def rate(self) -> float:
        """Frames a second, for two or more."""
        if self.is_variable:
            return (len(self.times) - 1) / float(self.times[-1] - self.times[0])
        return 1 / self.interval

    @property
    def end(self) -> float:
        """When the last picture or the sound ends, whichever is later."""
        return max(self.pictures_end, self.sound[1] if self.sound else 0.0)

    @property
    def pictures_end(self) -> float:
        """When the last picture ends; 0 where there is none."""
        return float(self.times[-1]) + self.interval if len(self.times) else 0.0


Reader = Callable[[Source, _Media | None], Notes]


def check(corpus: Corpus, progress: Callable[[float], None] = lambda done: None) -> list[Finding]:
    """Look for all that can be wrong without decoding. A recording that can't be read doesn't stop it.

    Args:
        corpus: what `open_corpus` gave.
        progress: is told the share that is done, 0..1, after each recording.

    Returns:
        Errors first, then warnings, then the rest; each by recording.
    """
    if corpus.kind == "affwild2":
        findings, notes = _affwild2(affwild2.find(corpus.root), corpus)
    else:
        findings, notes = _folder(folder.find(corpus.root), corpus)
    findings += _splits(corpus)
    known: dict[Path, _Media | str] = {}
    rates: dict[str, int] = {}
    for index, source in enumerate(corpus.sources):
        if source.media is not None and source.media not in known:
            known[source.media] = _look(source.media)
        media = known[source.media] if source.media is not None else "annotated or listed, but no video or sound is called so"
        findings += [Finding(source.name, severity, what) for severity, what in _recording(source, media, notes)]
        if isinstance(media, _Media) and media.interval:
            rates[source.name] = round(media.rate)
        progress((index + 1) / len(corpus.sources))
    usual, count = Counter(rates.values()).most_common(1)[0] if rates else (0, 0)
    if count > len(rates) / 2:
        odd = {name: rate for name, rate in rates.items() if rate != usual}
        findings += [Finding(name, "info", f"{rate} frames a second; most have {usual}") for name, rate in odd.items()]
    return sorted(findings, key=lambda finding: (SEVERITIES.index(finding.severity), finding.recording))


def _look(path: Path) -> _Media | str:
    """The file's times, or why it can't be used."""
    try:
        recording = open_recording(path)
        return _Media(frame_times(path) if recording.has_frames else np.empty(0), audio_span(path))
    except (MediaError, OSError) as error:
        return str(error)


def _splits(corpus: Corpus) -> Iterator[Finding]:
    """What concerns splits and subjects."""
    splits = {source.split for source in corpus.sources}
    for split in ("train", "dev"):
        if splits != {None} and split not in splits:
            yield Finding("", "warning", f"no recording is in {split}")
    if splits == {None}:
        people = {source.subject or source.name for source in corpus.sources}
        then = "folds can be made, or features extracted" if len(people) > 1 else "of one person alone nothing can be learned"
        yield Finding("", "info", f"no recording is in a split; {then}")
    by_subject: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for source in corpus.sources:
        if source.subject and source.split:
            by_subject[source.subject][source.split].append(source.name)
    for subject, in_splits in sorted(by_subject.items()):
        if len(in_splits) > 1:
            where = "; ".join(f"{split}: {', '.join(names)}" for split, names in in_splits.items())
            yield Finding("", "error", f"subject {subject} is in {len(in_splits)} splits ({where})")
    unknown = sum(not source.subject for source in corpus.sources)
    if unknown:
        yield Finding("", "info", f"the subject of {unknown} recordings is not known; each is taken for a person of its own")
    by_media: dict[Path, set[str]] = defaultdict(set)
    for source in corpus.sources:
        if source.media:
            by_media[source.media].add(source.subject)
    for media, subjects in by_media.items():
        if len(subjects) > 1:
            said = ", ".join(sorted(subjects))
            yield Finding("", "warning", f"{media} is of several subjects ({said}), so its sound can get into several folds")


def _affwild2(layout: affwild2.Layout, corpus: Corpus) -> tuple[list[Finding], Reader]:
    """What the reader passed over or chose, and what tells of one recording."""
    names = {source.name for source in corpus.sources}
    used = {layout.person(name)[0] for name in names}
    findings = [_twofold(name, layout.splits(name)) for name in names if len(layout.splits(name)) > 1]
    for name in names:
        videos, faces = layout.videos.get(layout.person(name)[0], []), layout.faces.get(name, [])
        for kind, paths in (("video", videos), ("folder of faces", faces)):
            if len(paths) > 1:
                others = ", ".join(str(path) for path in paths[1:])
                findings.append(Finding(name, "warning", f"more than one {kind}: {paths[0]} is used, not {others}"))
    unused = "a video that is neither annotated nor in a list of the test set; it is left out"
    findings += [Finding(name, "info", unused) for name in layout.videos if name not in used]
    for place in layout.pictures:
        what = f"pictures in {place} are not taken for faces: no folder is called cropped, aligned or faces"
        findings.append(Finding("", "info", what))
    table = layout.root / "subjects.csv"
    for line, (name,) in read_table(table, ["recording"]) if table.exists() else ():
        if name not in names | used:
            findings.append(Finding(name, "info", f"in line {line} of {table}, but there is no such recording"))

    def notes(source: Source, media: _Media | None) -> Notes:
        if media and not len(media.times):
            yield "error", f"no pictures in {source.media}"
            return
        if source.face_folder:
            yield from _faces(source.face_folder, media)
        elif layout.faces:
            yield "info", "no folder of cropped faces; faces will be looked for in the video"
        yield from _affwild2_labels(layout, source, media)

    return findings, notes


def _folder(layout: folder.Layout, corpus: Corpus) -> tuple[list[Finding], Reader]:
    """What the reader passed over, and what tells of one recording."""
    findings = [_twofold(name, splits) for name, splits in layout.splits.items() if len(splits) > 1]
    unknown = "in splits.csv, but no video or sound is called so"
    findings += [Finding(name, "warning", unknown) for name in layout.splits if name not in layout.media]
    if layout.splits:
        left_out = "not in splits.csv, so it is in no split"
        findings += [Finding(name, "warning", left_out) for name in layout.media if name not in layout.splits]
    for name, subjects in layout.subjects.items():
        if len(subjects) > 1:
            findings.append(Finding(name, "error", f"splits.csv says several subjects ({', '.join(sorted(subjects))})"))

    def notes(source: Source, media: _Media | None) -> Notes:
        if layout.files or layout.rows:  # else the corpus is for features only
            yield from _folder_labels(corpus, source, media)

    return findings, notes


def _twofold(name: str, splits: set[Split]) -> Finding:
    return Finding(name, "error", f"in {len(splits)} splits ({', '.join(sorted(splits))}), so it is used in none")


def _recording(source: Source, media: _Media | str, notes: Reader) -> Notes:
    """What concerns one recording alone."""
    if isinstance(media, _Media):
        yield from _media(media)
    else:
        yield "error", media
    try:
        yield from notes(source, media if isinstance(media, _Media) else None)
    except (CorpusError, OSError) as error:
        yield "error", str(error)


def _media(media: _Media) -> Notes:
    if media.sound is None:
        yield "warning", "no sound; voice and words will be missing"
    if len(media.times) > 2:
        intervals = np.diff(media.times)
        if media.is_variable:
            shortest, longest = (round(1000 * value) for value in (intervals.min(), intervals.max()))
            yield (
                "info",
                f"variable frame rate ({shortest}..{longest} ms from frame to frame); frames are placed by their own times",
            )
        elif intervals.max() > MISMATCH:
            at = int(intervals.argmax())
            yield "info", f"no pictures from {media.times[at] + media.interval:.1f} to {media.times[at + 1]:.1f} s"
    if media.sound and len(media.times):
        start, end = media.sound
        if start > MISMATCH:
            yield "info", f"the sound starts at {start:.1f} s"
        if media.times[0] > MISMATCH:
            yield "info", f"the pictures start at {media.times[0]:.1f} s"
        late = end - media.pictures_end
        if abs(late) > MISMATCH:
            yield "warning", f"the sound ends {abs(late):.1f} s {'after' if late > 0 else 'before'} the pictures"


def _faces(pictures: Path, media: _Media | None) -> Notes:
    """What the names of face pictures say, and whether the first can be read."""
    by_number = numbered_images(pictures)
    numbers = np.array(sorted(by_number), dtype=np.int64)
    if not len(numbers):
        yield "warning", f"no pictures called like 00001.jpg in {pictures}; the face will be missing"
        return
    first = by_number[int(numbers[0])]
    try:
        with Image.open(first) as image:
            image.verify()
    except (OSError, SyntaxError) as error:
        yield "warning", f"{first} can't be read ({error})"
    if numbers[0] == 0:
        yield "error", f"pictures in {pictures} are counted from 0, not from 1; rename them"
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


def _affwild2_labels(layout: affwild2.Layout, source: Source, media: _Media | None) -> Notes:
    num_frames = len(media.times) if media else 0
    asked = layout.listed.get(source.name, 0)
    if media and asked and asked != num_frames:
        yield "warning", f"a submission must have frames up to {asked}, but the video has {num_frames}"
    if source.name not in layout.labels:
        return  # then it is listed for the test
    rows = affwild2.read_rows(layout.labels[source.name][0][1])
    if media and len(rows) != num_frames:
        more = len(rows) - num_frames
        seconds = abs(more) * media.interval
        severity: Severity = "warning" if seconds > MISMATCH else "info"
        if more > 0:
            what = f"the last {more} rows ({seconds:.2f} s) are left out"
        else:
            what = f"the last {-more} frames ({seconds:.2f} s) count as not annotated"
        yield severity, f"{len(rows)} rows of annotations for {num_frames} frames; {what}"
    yield from _values(rows)


def _folder_labels(corpus: Corpus, source: Source, media: _Media | None) -> Notes:
    found = [one for one in corpus.annotations(source, media.times if media else np.empty(0)) if len(one.times)]
    if not found:
        yield "warning", "not annotated"
    for annotation in found:
        who = f"{annotation.annotator}: " if annotation.annotator else ""
        yield from ((severity, who + what) for severity, what in _values(annotation.values))
        if media is None:
            continue
        last = float(annotation.times[-1])
        try:
            excess = see_that_it_ends(annotation, media.end)
        except CorpusError as error:
            yield "error", str(error)
            continue
        if excess:
            yield "warning", excess
        elif last < media.end * MOST_MISSING:
            yield "warning", f"{who}annotated up to {last:.1f} s only; the recording ends at {media.end:.1f} s"
    for side, index in (("starts", 0), ("ends", -1)):
        moments = {annotation.annotator: float(annotation.times[index]) for annotation in found}
        if moments and max(moments.values()) - min(moments.values()) > SPAN:
            said = ", ".join(f"{name} at {moment:.1f} s" for name, moment in sorted(moments.items()))
            yield "warning", f"annotators cover different spans; it {side} for {said}"


def _values(values: NDArray[np.float64]) -> Notes:
    """What is noticed of the values (N, 2) of one annotator."""
    missing = np.isnan(values)
    if missing.all():
        yield "warning", "not one value is annotated"
        return
    share = missing[:, ~missing.all(axis=0)].any(axis=1).mean()
    if share > 0:
        yield "warning" if share > MOST_MISSING else "info", f"{share:.1%} of the rows are not annotated"
    for name, column in zip(("valence", "arousal"), values.T, strict=True):
        known = column[~np.isnan(column)]
        if not len(known):
            yield "warning", f"{name} is annotated nowhere"
        elif known.min() == known.max():
            yield "warning", f"{name} is {known[0]:g} throughout"
