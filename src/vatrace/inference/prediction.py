"""A prediction: valence and arousal over time, and what they are based on."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vatrace.errors import MediaError
from vatrace.features.spoken_languages import Stretch
from vatrace.inference.explain import Explanation
from vatrace.media.transcripts import Word
from vatrace.names import DIMENSIONS, MODALITIES
from vatrace.timeline import steps_at

if TYPE_CHECKING:
    import pandas as pd

NOBODY = "nothing supports the values: no face, voice or words were found"
"""The note for a recording in which no face, speech or words were detected."""

OFF_SCREEN, SEVERAL = "off screen", "several"
"""`Turn.person` for speech by an off-screen speaker, and for overlapping speech."""


ROUNDING = 1e-6
"""Seconds by which a row may lie beside the start or the end of a part, because of rounding."""


@dataclass(frozen=True)
class Turn:
    """A stretch of speech in a recording.

    Attributes:
        start: seconds.
        end: seconds.
        person: who speaks: "1", "2", ... as in `Prediction.people`, OFF_SCREEN or SEVERAL.
        words: the words said in it; empty if none were recognised.
    """

    start: float
    end: float
    person: str
    words: tuple[Word, ...] = ()


@dataclass(frozen=True)
class Prediction:
    """The trace of one person in one recording, T rows, and those of others if they were asked for.

    Attributes:
        source: the recording's path.
        rate: rows a second.
        times: (T,) seconds, every 1 / rate from 0.
        valence: (T,) unpleasant -1 .. pleasant 1.
        arousal: (T,) calm -1 .. excited 1.
        presence: (T,) bool by modality: whether face, voice and words were present.
        words: the person's words, with times.
        words_left_out: number of recognised words that were left out, because they may never have been said.
        words_unused: number of words in the recording that did not count, because the words network doesn't understand their
            language.
        languages: which languages are spoken in the recording, and when; empty if it isn't known.
        notes: what the user should know about this recording, in plain sentences.
        explanation: what the values are based on, if it was asked for.
        bounds: lower and upper ends (T, 2) of 90 % intervals for valence and arousal; None if the model wasn't calibrated.
        boxes: (T, 4) left, top, right and bottom of the face that the trace follows, as shares of the upright picture, 0..1;
            NaN where it isn't visible. None if no face was found.
        made_by: the version of vatrace, the fusion model's file with the start of its SHA-256, and the options.
        person: "1" for the most prominent person in the recording, "2" for the next, and so on, whoever was asked for; or the
            name given by `renamed`.
        speaking: (T,) bool: whether the person speaks, alone; None if nothing was listened to.
        turns: all speech in the recording, in order, whoever speaks.
        others: the traces of the other people who were asked for.
        about: what the user says about the recording, such as {"participant": "P01"}: more columns of every table.
        provenance: how it was made, for the files that are written (`vatrace.output.provenance`); empty if nobody asked.
        also: (T,) further columns by name, such as `expression_happiness`; NaN where they aren't known.
        span: start and end in seconds of the part that counts (see `within`); None for the whole recording.
    """

    source: Path
    rate: float
    times: NDArray[np.float64]
    valence: NDArray[np.float64]
    arousal: NDArray[np.float64]
    presence: dict[str, NDArray[np.bool_]]
    words: list[Word] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    explanation: Explanation | None = None
    bounds: tuple[NDArray[np.float64], NDArray[np.float64]] | None = None
    made_by: dict[str, str] = field(default_factory=dict)
    words_left_out: int = 0
    boxes: NDArray[np.float64] | None = None
    person: str = "1"
    speaking: NDArray[np.bool_] | None = None
    turns: list[Turn] = field(default_factory=list)
    others: tuple[Prediction, ...] = ()
    words_unused: int = 0
    languages: list[Stretch] = field(default_factory=list)
    about: dict[str, str] = field(default_factory=dict)
    provenance: dict[str, Any] = field(default_factory=dict)
    span: tuple[float, float] | None = None
    also: dict[str, NDArray[np.float64]] = field(default_factory=dict)

    @property
    def people(self) -> dict[str, Prediction]:
        """The trace of each person who was asked for, this one first, each alone (without `others`)."""
        return {found.person: found for found in (replace(self, others=()), *self.others)}

    @property
    def supported(self) -> NDArray[np.bool_]:
        """(T,) Where at least one modality was present; elsewhere nothing supports the values."""
        return np.logical_or.reduce(list(self.presence.values()))

    @property
    def duration(self) -> float:
        """Seconds, to the end of the last row."""
        return len(self.times) / self.rate

    @property
    def counted(self) -> NDArray[np.bool_]:
        """(T,) The rows in the part of the recording that counts."""
        start, end = self.span or (-np.inf, np.inf)
        return (self.times >= start - ROUNDING) & (self.times < end - ROUNDING)

    def share(self, name: str) -> float:
        """The share (0..1) of the part that counts in which a modality was present."""
        return float(self.presence[name][self.counted].mean())

    def spans(self, name: str) -> NDArray[np.float64]:
        """(N, 2) When a modality appears and disappears, in seconds."""
        edges = np.flatnonzero(np.diff(self.presence[name].astype(int), prepend=0, append=0)).reshape(-1, 2)
        return np.append(self.times, self.duration)[edges]

    def at(self, time: float) -> tuple[float, float]:
        """Valence and arousal in the row nearest to a time in seconds."""
        row = int(np.argmin(np.abs(self.times - time)))
        return float(self.valence[row]), float(self.arousal[row])

    def box_at(self, time: float) -> tuple[float, float, float, float] | None:
        """The box of the face in the row at a time in seconds; None where there is none."""
        if self.boxes is None:
            return None
        left, top, right, bottom = self.boxes[min(int(steps_at(np.array(time), self.rate)), len(self.boxes) - 1)].tolist()
        return None if math.isnan(left) else (left, top, right, bottom)

    def statistics(self) -> dict[str, dict[str, float]]:
        """Mean, SD, minimum and maximum (inner keys) of valence and arousal (outer keys) where supported.

        They are NaN where there are too few rows: none, or one for the SD (of the sample, with N - 1).
        """
        found: dict[str, dict[str, float]] = {}
        for name in DIMENSIONS:
            values = getattr(self, name)[self.supported]
            found[name] = dict.fromkeys(("mean", "SD", "min", "max"), np.nan)
            if len(values):
                found[name] |= {"mean": float(values.mean()), "min": float(values.min()), "max": float(values.max())}
            if len(values) > 1:
                found[name]["SD"] = float(values.std(ddof=1))
        return found

    def to_pandas(self) -> pd.DataFrame:
        """A table with the columns time, valence, arousal, and face, voice, words (1 where the modality was present, else 0).

        Then valence_low, valence_high, arousal_low, arousal_high if the model was calibrated, supported (1 where any
        modality was present, else 0), person, and speaking (1 where the person speaks, else 0; NaN if it isn't known). With an
        explanation also face_share, voice_share, words_share (0..1, NaN where no modality matters) and recursion_1, ... (how
        far each recursion moved the point); then those of `also`, and one for each entry of `about`. The rows of each
        person come after those of the one before. Rows outside of `span` are left out.
        """
        import pandas as pd

        tables = [pd.DataFrame(found.columns()) for found in self.people.values()]
        return pd.concat(tables, ignore_index=True) if self.others else tables[0]

    def columns(self) -> dict[str, NDArray[Any]]:
        """The columns of `to_pandas` by name, each (T,), of this person alone."""
        columns: dict[str, NDArray[Any]] = {"time": self.times, "valence": self.valence, "arousal": self.arousal}
        columns |= {name: self.presence[name].astype(np.int8) for name in MODALITIES}
        if self.bounds:
            for column, name in enumerate(DIMENSIONS):
                columns |= {
                    f"{name}_{end}": values[:, column] for end, values in zip(("low", "high"), self.bounds, strict=True)
                }
        columns["supported"] = self.supported.astype(np.int8)
        columns["person"] = np.full(len(self.times), self.person, dtype=object)
        columns["speaking"] = np.full(len(self.times), np.nan) if self.speaking is None else self.speaking.astype(np.int8)
        if self.explanation:
            columns |= {f"{name}_share": self.explanation.shares[name] for name in MODALITIES}
            columns |= {f"recursion_{i}": change for i, change in enumerate(self.explanation.changes, start=1)}
        columns |= self.also
        columns |= {name: np.full(len(self.times), value, dtype=object) for name, value in self.about.items()}
        return columns if self.span is None else {name: values[self.counted] for name, values in columns.items()}


def renamed(prediction: Prediction, names: Mapping[str, str]) -> Prediction:
    """The same prediction with other names for its people, such as {"1": "P01"}; people who aren't in it keep theirs."""

    def named(found: re.Match[str]) -> str:
        return f"person {names.get(found[1], found[1])}"

    # only notes that begin with a person are about people: others can contain the name of a file
    notes = [re.sub(r"\bperson (\d+)\b", named, note) if note.startswith("person ") else note for note in prediction.notes]
    turns = [replace(turn, person=names.get(turn.person, turn.person)) for turn in prediction.turns]
    others = tuple(renamed(other, names) for other in prediction.others)
    person = names.get(prediction.person, prediction.person)
    return replace(prediction, person=person, notes=notes, turns=turns, others=others)


def for_everyone(prediction: Prediction, **changes: Any) -> Prediction:
    """The same prediction with other values for some attributes, in the trace of every person."""
    return replace(prediction, **changes, others=tuple(for_everyone(other, **changes) for other in prediction.others))


def within(prediction: Prediction, start: float, end: float) -> Prediction:
    """The same prediction with only a part of the recording: what lies outside is neither supported nor in any table.

    Outside, there are no boxes and no shares of the explanation either. Its times remain those of the recording, and people
    keep their numbers, which depend on the whole recording.

    Args:
        prediction: of the whole recording.
        start: seconds.
        end: seconds; infinity for the end of the recording.

    Raises:
        MediaError: if the part is empty, lies between two rows, or reaches beyond the recording by more than `SLACK`.
    """
    length = prediction.duration
    if not 0 <= start < min(end, length) or (end != math.inf and end > length + SLACK):
        raise MediaError(f"{prediction.source}: lasts {length:.1f} s; it has no part from {start:g} to {end:g} s")
    span = (start, min(end, length))
    cut = replace(prediction, span=span)
    if not cut.counted.any():
        every = 1 / prediction.rate
        raise MediaError(f"{prediction.source}: has no row from {start:g} to {end:g} s, only one every {every:g} s")
    words = [word for word in prediction.words if word.end > span[0] and word.start < span[1]]
    presence = {name: mask & cut.counted for name, mask in prediction.presence.items()}
    speaking = None if prediction.speaking is None else prediction.speaking & cut.counted
    turns = [
        replace(turn, start=max(turn.start, span[0]), end=min(turn.end, span[1]))
        for turn in prediction.turns
        if turn.end > span[0] and turn.start < span[1]
    ]
    languages = [
        replace(found, start=max(found.start, span[0]), end=min(found.end, span[1]))
        for found in prediction.languages
        if found.end > span[0] and found.start < span[1]
    ]
    boxes = None if prediction.boxes is None else np.where(cut.counted[:, None], prediction.boxes, np.nan)
    explanation = prediction.explanation
    if explanation is not None:
        given = {name: np.where(cut.counted, share, np.nan) for name, share in explanation.shares.items()}
        explanation = replace(explanation, shares=given)
    others = tuple(within(other, start, end) for other in prediction.others)
    cut = replace(cut, words=words, presence=presence, speaking=speaking, turns=turns, languages=languages)
    return replace(cut, boxes=boxes, explanation=explanation, others=others)


SLACK = 0.5
"""Seconds by which a given end may lie after that of the recording: players and tables round."""
