"""The results of perceiving a recording: those of everybody in it, and those of one person on the grid."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from vatrace.features.spoken_languages import Stretch
from vatrace.features.spool import Spool
from vatrace.features.turns import Turn, turn_at
from vatrace.media.transcripts import Word
from vatrace.timeline import num_steps

if TYPE_CHECKING:
    from vatrace.features.attribution import Attribution
    from vatrace.features.people import Person
    from vatrace.features.speakers import Voices

Features = Callable[[int, int], dict[str, NDArray[np.float16]]]
"""Takes start and stop; returns the features (stop - start, D) of these steps by modality."""

DAMAGED = "some frames are damaged and were left out"
"""How the note on damaged frames begins."""
DARK_PICTURE = "the picture is dark, so faces may have been missed"
"""The note on a recording that is dark at most steps, and in which no face is visible there."""


@dataclass
class Sight:
    """What was seen in a recording.

    Attributes:
        embeddings: of all faces, one row for each face in each frame.
        crops: of all faces in the same rows, (48, 48, 3); None where they aren't kept.
        expressions: of all faces in the same rows, (8,) probabilities; None where they aren't wanted.
        measures: of all faces in the same rows, those of `vatrace.features.face_meter.MEASURES`; None where they aren't wanted.
        boxes: of all faces in the same rows: left, top, right, bottom as shares of the upright picture; none for cropped faces.
        people: those who were seen, the most prominent first.
        end: when the last frame ends, in seconds.
        frame_times: (F,) when each decoded frame is shown, in seconds; empty where none was decoded.
        notes: what the user should know.
    """

    embeddings: Spool
    crops: Spool | None = None
    expressions: Spool | None = None
    measures: Spool | None = None
    boxes: list[tuple[float, float, float, float]] = field(default_factory=list)
    people: list[Person] = field(default_factory=list)
    end: float = 0.0
    frame_times: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))
    notes: list[str] = field(default_factory=list)


@dataclass
class Sound:
    """What was heard in a recording.

    Attributes:
        frames: the voice's features on the grid.
        covered: the steps at which they are known.
        spans: (start, end) in seconds of what counts as voice.
        voices: who speaks when, by voice alone; None if the audio was not processed.
        words: the words that were said.
        num_doubtful: number of recognised words that were left out, because they may never have been said.
        languages: which languages are spoken, and when; empty if it isn't known.
        num_unused: number of words in languages that no words encoder understands.
        end: when the audio ends, in seconds.
        notes: what the user should know.
        prosody: (T, 2) pitch and loudness of all audio (`vatrace.features.prosody`); None where they aren't wanted.
    """

    frames: Spool
    covered: list[range] = field(default_factory=list)
    spans: list[tuple[float, float]] = field(default_factory=list)
    voices: Voices | None = None
    words: list[Word] = field(default_factory=list)
    num_doubtful: int = 0
    languages: list[Stretch] = field(default_factory=list)
    num_unused: int = 0
    end: float = 0.0
    notes: list[str] = field(default_factory=list)
    prosody: NDArray[np.float64] | None = None


@dataclass(frozen=True)
class Perceived:
    """What was seen and heard of everyone in a recording.

    Attributes:
        rate: steps a second.
        modalities: those that were perceived.
        sight: what was seen.
        sound: what was heard.
        people: those who can be followed, the most prominent first: the people who were seen or, if nobody was, the voices;
            then photographs.
        attribution: all speaker turns, assigned to people.
    """

    rate: float
    modalities: frozenset[str]
    sight: Sight
    sound: Sound
    people: list[Person]
    attribution: Attribution

    @property
    def turns(self) -> list[Turn]:
        """All speech, in order."""
        return self.attribution.turns

    def is_theirs(self, person: int | None, times: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Whether the audio at times (N,), in seconds, belongs to a person, given by their index in `people`.

        It belongs to everybody where no turns are known.
        """
        if not self.turns:
            return np.ones(len(times), bool)
        speakers = np.array([-1 if turn.person is None else turn.person for turn in self.turns])
        return speakers[turn_at(self.turns, times)] == (np.nan if person is None else person)

    @property
    def notes(self) -> list[str]:
        """What the user should know, in plain sentences."""
        return self.sight.notes + self.sound.notes

    @property
    def duration(self) -> float:
        """Seconds."""
        return max(self.sight.end, self.sound.end)


@dataclass(frozen=True)
class Percept:
    """The features of one person on the grid.

    Attributes:
        rate: steps a second.
        duration: seconds.
        valid: (T,) bool by modality: where it is present.
        features: reads features.
        crops: reads face crops (stop - start, 48, 48, 3), zeros where there is no face; None where they aren't kept.
        words: what the person said.
        speaking: (T,) bool: whether this person alone speaks; None if it isn't known.
        boxes: (T, 4) left, top, right and bottom of the face as shares of the upright picture, 0..1; NaN where there is none.
        also: (T,) further columns by name; NaN where they aren't known.
        blinks: (N,) when blinks begin, in seconds; None if nobody asked for them.
    """

    rate: float
    duration: float
    valid: dict[str, NDArray[np.bool_]]
    features: Features
    crops: Callable[[int, int], NDArray[np.uint8]] | None
    words: list[Word]
    speaking: NDArray[np.bool_] | None
    boxes: NDArray[np.float64]
    also: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)
    blinks: NDArray[np.float64] | None = None

    @property
    def num_steps(self) -> int:
        """T."""
        return num_steps(self.duration, self.rate)
