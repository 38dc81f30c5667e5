"""What a corpus is: recordings, who annotated them, and how they are split. Its readers are `affwild2` and `folder`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from vatrace.prediction import Side

Split = Literal["train", "dev", "test"]
SPLITS: tuple[Split, ...] = ("train", "dev", "test")


class CorpusError(ValueError):
    """A corpus can't be used as it is; the message names the file and what to do."""


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
