"""What a corpus is: recordings, who annotated them, and how they are split. Its readers are `affwild2` and `folder`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vatrace.errors import CorpusError
from vatrace.names import Side, Split


@dataclass(frozen=True)
class Source:
    """Where one recording of a corpus comes from: one person, in one video or sound.

    Attributes:
        name: unique in the corpus, and a file name.
        media: the video or sound; None where it is missing. Recordings of two people may share one.
        split: None where nothing is said, or more than one.
        subject: recordings with people in common have the same; they never go to different folds.
        face_folder: cropped faces of this person as pictures named by the frame's number from 1 (`00001.jpg`);
            None for finding faces in the video.
        side: which of two people in the picture this is, where faces are to be found in the video.
        transcript: SRT or WebVTT; None for speech recognition.
    """

    name: str
    media: Path | None
    split: Split | None = None
    subject: str = ""
    face_folder: Path | None = None
    side: Side | None = None
    transcript: Path | None = None


@dataclass(frozen=True)
class Annotation:
    """What one annotator says of one recording.

    Attributes:
        annotator: who; "" where there is only one.
        times: (N,) seconds, ascending.
        values: (N, 2) valence and arousal in -1..1, NaN where not annotated.
    """

    annotator: str
    times: NDArray[np.float64]
    values: NDArray[np.float64]


@dataclass(frozen=True)
class Corpus:
    """The recordings of a corpus.

    Attributes:
        root: its folder.
        kind: which reader found it: "affwild2" or "folder".
        sources: by name, ascending.
        annotations: reads what was annotated of a source, given the times (F,) in seconds of its video's frames;
            raises CorpusError where a file can't be read. An empty list where nothing is annotated.
    """

    root: Path
    kind: str
    sources: tuple[Source, ...]
    annotations: Callable[[Source, NDArray[np.float64]], list[Annotation]]


MISMATCH = 0.5
"""Seconds by which lengths may differ before it is worth a word."""
MOST_AFTER = 0.5
"""Share of an annotation after the end of its recording from which its times can't be seconds of this recording."""
OTHER_UNITS = {"numbers of frames": (8.0, 130.0), "milliseconds": (500.0, 2000.0)}
"""How many times as long as their recording annotations are when their times are in another unit."""


def see_that_it_ends(annotation: Annotation, end: float) -> str:
    """What is to be said of an annotation that goes on after its recording has ended; "" where it doesn't.

    Args:
        annotation: of it.
        end: of the recording, seconds.

    Raises:
        CorpusError: if most of it lies after the end, so that its times are no seconds of this recording.
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
