"""What a corpus is: recordings, their annotations, and their splits; and what a check of it reports."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from vatrace.corpora.scales import Scale
from vatrace.errors import CorpusError
from vatrace.names import Side, Split

Severity = Literal["error", "warning", "info"]
"""Error: a recording or the split can't be used as it is. Warning: data is lost or doubtful. Info: the rest."""

UNEVEN = 0.25
"""Deviation of a frame interval from the usual one, as a share of it, that rounded times explain at a constant frame rate."""
MISMATCH = 0.5
"""Seconds by which lengths may differ before it is reported."""
MOST_AFTER = 0.5
"""Share of an annotation after its recording's end from which its times can't be seconds of this recording."""
OTHER_UNITS = {"numbers of frames": (8.0, 130.0), "milliseconds": (500.0, 2000.0)}
"""Length of annotations, in multiples of their recording's, if their times are in another unit."""

NO_PICTURE = "person {}: there is no such picture; write left, right, a number from 1, or the path of a picture"
"""The problem of a recording whose person isn't known."""


@dataclass(frozen=True)
class Source:
    """Where one recording of a corpus comes from: one person, in one video or audio file, or features made elsewhere.

    Attributes:
        name: unique in the corpus, and a file name.
        media: the video or audio; None where it is missing. Recordings of two people may share one.
        split: None where none is given, or more than one.
        subject: recordings with people in common have the same; they never go to different folds.
        face_folder: cropped faces of this person as images named by the frame's number from 1 (`00001.jpg`);
            None to detect faces in the video.
        person: who it is, of several people in the recording: on the left or the right of two; a number from 1, as in
            predictions of all people; or a picture. None for the main person. With cropped faces, it decides only whose voice
            and words are used, if that can't be told from the faces.
        transcript: SRT, WebVTT or ASS; None for speech recognition.
        features: files of features made elsewhere, by modality; such a recording has no media.
    """

    name: str
    media: Path | None
    split: Split | None = None
    subject: str = ""
    face_folder: Path | None = None
    person: Side | int | Path | None = None
    transcript: Path | None = None
    features: Mapping[str, Path] = field(default_factory=dict)


@dataclass(frozen=True)
class Annotation:
    """One annotator's ratings of one recording.

    Attributes:
        annotator: a name; "" where there is only one.
        times: (N,) seconds, ascending.
        values: (N, 2) valence and arousal in -1..1, NaN where not annotated.
    """

    annotator: str
    times: NDArray[np.float64]
    values: NDArray[np.float64]


@dataclass(frozen=True)
class Finding:
    """One result of a check.

    Attributes:
        recording: its name; "" where it concerns the whole corpus.
        severity: error, warning or info.
        what: a plain sentence.
    """

    recording: str
    severity: Severity
    what: str


Notes = Iterable[tuple[Severity, str]]
"""Findings about one recording, without its name."""


@dataclass(frozen=True)
class MediaTimes:
    """The times of a video or audio file, by its packets alone.

    Attributes:
        times: (F,) when each frame is shown, seconds; empty for audio alone.
        audio: when the audio starts and ends, seconds; None where there is none.
    """

    times: NDArray[np.float64]
    audio: tuple[float, float] | None

    @property
    def interval(self) -> float:
        """The usual seconds from one frame to the next; 0 for fewer than two."""
        return float(np.median(np.diff(self.times))) if len(self.times) > 1 else 0.0

    @property
    def is_variable(self) -> bool:
        """Whether more than a few intervals differ from the usual."""
        uneven = np.abs(np.diff(self.times) - self.interval) > UNEVEN * self.interval
        return bool(uneven.sum() > max(1, len(self.times) / 100))

    @property
    def rate(self) -> float:
        """Frames a second, for two or more."""
        if self.is_variable:
            return (len(self.times) - 1) / float(self.times[-1] - self.times[0])
        return 1 / self.interval

    @property
    def video_end(self) -> float:
        """When the last frame ends, seconds; 0 without video."""
        return float(self.times[-1]) + self.interval if len(self.times) else 0.0

    @property
    def end(self) -> float:
        """When the last frame or the audio ends, whichever is later, seconds."""
        return max(self.video_end, self.audio[1] if self.audio else 0.0)


@dataclass(frozen=True)
class Corpus:
    """The recordings of a corpus.

    Attributes:
        root: its folder.
        kind: name of the reader that recognised it.
        sources: in ascending order of their names.
        annotations: returns the annotations of a source, given the times (F,) in seconds of its video's frames; an empty list
            if there are none. Raises CorpusError if a file can't be read.
        findings: about the whole corpus, for its check.
        notes: returns findings about one source, given the times of its media (None if it can't be read), for its check.
        lag: seconds by which the labels are late, if that is fixed for such a corpus; None to estimate it.
        scale: returns the scale of all annotations together, if it doesn't seem to be -1..1. It reads them all.
    """

    root: Path
    kind: str
    sources: tuple[Source, ...]
    annotations: Callable[[Source, NDArray[np.float64]], list[Annotation]]
    findings: tuple[Finding, ...] = ()
    notes: Callable[[Source, MediaTimes | None], Notes] = lambda source, media: ()
    lag: float | None = None
    scale: Callable[[], Scale | None] = lambda: None


class Reader(Protocol):
    """Opens the corpora of one layout."""

    def __call__(self, root: Path, /) -> Corpus | None:
        """Find the recordings below a folder, with their annotations and splits. No video is opened.

        Returns:
            The corpus, or None if the folder doesn't have this layout.

        Raises:
            CorpusError: if the folder or a table in it can't be read.
        """


def excess(annotation: Annotation, end: float) -> str:
    """A warning about an annotation that continues after the end of its recording; "" if it doesn't.

    Args:
        annotation: of the recording.
        end: of the recording, seconds.

    Raises:
        CorpusError: if most of it lies after the end, so that its times can't be seconds of this recording.
    """
    times = annotation.times[~np.isnan(annotation.values).all(axis=1)]
    last = float(times[-1]) if len(times) else 0.0
    if last <= end + MISMATCH:
        return ""
    who = f"{annotation.annotator}: " if annotation.annotator else ""
    text = f"{who}annotated up to {last:.1f} s, but the recording ends at {end:.1f} s"
    if (times > end + MISMATCH).mean() < MOST_AFTER:
        return text
    guesses = [unit for unit, (low, high) in OTHER_UNITS.items() if low * end <= last <= high * end]
    raise CorpusError(
        f"{text}; most of it lies after that" + "".join(f"; are the times {unit}? They should be seconds" for unit in guesses)
    )


def in_several_splits(name: str, splits: Iterable[Split]) -> Finding:
    """The finding about a recording that is listed in more than one split."""
    listed = sorted(splits)
    return Finding(name, "error", f"in {len(listed)} splits ({', '.join(listed)}), so it is used in none")
