"""A recording in, its `Prediction` out."""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from vatrace.errors import MediaError, UsageError
from vatrace.features.perceiver import Perceiver, Percept, Progress, Sight, Sound
from vatrace.inference.explain import Explanation, modality_shares, recursion_changes
from vatrace.inference.fusion import open_fusion
from vatrace.inference.intervals import bounds, situations
from vatrace.inference.prediction import NOBODY, Prediction
from vatrace.media.reading import MediaInfo, probe
from vatrace.media.transcripts import TRANSCRIPT_SUFFIXES, Word, read_transcript
from vatrace.names import MODALITIES, Side
from vatrace.timeline import num_steps, overlap_add, resample, resample_mask

if TYPE_CHECKING:
    from vatrace.features.faces import Person

DEFAULT_RATE = 10.0
MAX_RATE = 100.0
MIN_SHARE_OF_OTHERS = 0.1
"""Other people count when they are on show for this share of the time of the one who is seen most: else they pass by."""


class Model:
    """All the parts that turn recordings into predictions; each is loaded when it is first needed, then kept.

    Args:
        fusion: an ONNX file like the package's `fusion.onnx`; None for that one.
        whisper: a folder with Whisper tiny.en in CTranslate2 form; None to look for it (see `vatrace.weights`).
        threads: CPU threads; None for one a core.

    Raises:
        MissingWeightsError: if `fusion` is not a fusion model, or for encoders that need a file of the user's.
    """

    def __init__(self, fusion: Path | None = None, whisper: Path | None = None, threads: int | None = None) -> None:
        self._fusion = open_fusion(fusion, "fusion.onnx", threads or os.cpu_count() or 1)
        self._perceiver = Perceiver(self._fusion.encoders, whisper, threads)
        self.rate = self._fusion.rate

    def predict(
        self,
        source: str | Path,
        *,
        rate: float = DEFAULT_RATE,
        modalities: Collection[str] = MODALITIES,
        transcript: str | Path | None = None,
        side: Side | None = None,
        explain: bool = False,
        progress: Progress | None = None,
    ) -> Prediction:
        """Predict valence and arousal over one recording.

        Args:
            source: a video, sound, picture, or transcript (SRT, WebVTT).
            rate: rows a second, up to 100. The model runs at its own rate; other rates are interpolated.
            modalities: which of face, voice and words to use.
            transcript: SRT or WebVTT to use for the words in place of speech recognition.
            side: whose face to follow, of the two people seen longest and largest; None for the one seen most. Voice and words
                are those of the whole recording.
            explain: also say what the values rest on (`Prediction.explanation`).
            progress: told how far each stage is.

        Raises:
            MediaError: if the recording or the transcript can't be read, or holds none of the modalities asked for.
            MissingWeightsError: if Whisper's weights are needed and missing.
            ValueError: if the rate, a modality, a side or a transcript is not one of those possible.
        """
        source = Path(source)
        if not 0 < rate <= MAX_RATE:
            raise ValueError(f"rate must be above 0 and at most {MAX_RATE:g}, not {rate:g}")
        if isinstance(modalities, str) or not modalities or not set(modalities) <= set(MODALITIES):
            raise ValueError(f"modalities are a list of {', '.join(MODALITIES)}, not {modalities!r}")
        if side not in {None, "left", "right"}:
            raise ValueError(f"side is left or right, not {side!r}")
        is_transcript = source.suffix.lower() in TRANSCRIPT_SUFFIXES
        if (transcript is not None or is_transcript) and "words" not in self._fusion.encoders:
            raise UsageError(f"{transcript or source}: this model was trained without words")
        if transcript is not None and ("words" not in modalities or is_transcript):
            raise UsageError(f"{transcript}: a transcript is for the words of a video or sound, which are not wanted here")
        report = progress or (lambda stage, share: None)

        if is_transcript:
            if "words" not in modalities:
                raise MediaError(f"{source}: a transcript holds words only, and words were not asked for")
            words = read_transcript(source)
            sight, sound = self._perceiver.new_sight(), self._perceiver.new_sound()
            sound.words, sound.end = words, max(word.end for word in words)
            return self._predict(source, sight, sound, {"words"}, rate, source, None, explain, report)

        info = probe(source)
        given = None if transcript is None else read_transcript(Path(transcript))
        usable = self._usable(info, modalities, given)
        if not usable:
            raise MediaError(f"{source}: nothing in it to use for {', '.join(m for m in MODALITIES if m in modalities)}")
        sight, sound = self._perceiver.perceive(info, self.rate, usable, "words" in usable and given is None, report)
        if given is not None:
            sound.words = given
        absent = [name for name in modalities if name not in self._fusion.encoders]
        if absent:
            sight.notes.append(f"this model was trained without {' and '.join(absent)}")
        if "face" in modalities and not info.has_video:
            sight.notes.append("no pictures in it")
        if {"voice", "words"} & set(modalities) and not info.has_audio:
            sound.notes.append("no sound in it")
        return self._predict(source, sight, sound, usable, rate, transcript, side, explain, report)

    def _usable(self, info: MediaInfo, modalities: Collection[str], given: list[Word] | None) -> set[str]:
        there = {"face": info.has_video, "voice": info.has_audio, "words": info.has_audio or given is not None}
        return {name for name in modalities if there[name] and name in self._fusion.encoders}

    def _predict(
        self,
        source: Path,
        sight: Sight,
        sound: Sound,
        usable: set[str],
        rate: float,
        transcript: str | Path | None,
        side: Side | None,
        explain: bool,
        report: Progress,
    ) -> Prediction:
        from vatrace.features.faces import person_at

        people = [p for p in sight.people if len(p.steps) > MIN_SHARE_OF_OTHERS * len(sight.people[0].steps)]
        percept = self._perceiver.combine(sight, sound, person_at(people, side), self.rate, usable)
        report("fusion", 0.0)
        passes = self._run(percept, percept.valid)
        times = np.arange(num_steps(percept.duration, rate)) / rate
        explanation = self._explain(passes, percept, times) if explain else None
        report("fusion", 1.0)
        values = passes[-1]
        ends, notes = None, percept.notes + _notes(people, side, percept.valid, usable)
        if self._fusion.half_widths:
            low, high = bounds(values, situations(percept.valid, self.rate), self._fusion.half_widths)
            ends = (_resample(low, self.rate, times), _resample(high, self.rate, times))
        else:
            notes.append("no intervals: this model was not calibrated")
        return Prediction(
            source=source,
            times=times,
            valence=resample(values[:, 0], self.rate, times),
            arousal=resample(values[:, 1], self.rate, times),
            presence={name: resample_mask(mask, self.rate, times) for name, mask in percept.valid.items()},
            explanation=explanation,
            bounds=ends,
            words=percept.words,
            notes=notes,
            made_by=self._made_by(usable, transcript, side if "face" in usable else None),
        )

    def _made_by(self, usable: set[str], transcript: str | Path | None, side: Side | None) -> dict[str, str]:
        from vatrace import __version__

        names = "+".join(name for name in MODALITIES if name in usable)
        options = {"transcript": transcript and Path(transcript).name, "side": side}
        made_by = {"vatrace": __version__, "model": self._fusion.name, "modalities": names}
        return made_by | {name: value for name, value in options.items() if value}

    def _run(self, percept: Percept, valid: dict[str, NDArray[np.bool_]]) -> NDArray[np.float64]:
        """Valence and arousal after 0, 1, ..., R recursions (R + 1, T, 2), from overlapping windows; the last counts."""
        names = list(self._fusion.encoders)
        masks = np.stack([valid[name] for name in names], axis=-1)

        def apply(start: int, stop: int) -> NDArray[np.float32]:
            features = percept.features(start, stop)
            inputs = {name: features[name][None].astype(np.float32) for name in names}
            (recursions,) = self._fusion.session.run(["recursions"], inputs | {"valid": masks[None, start:stop]})
            return np.concatenate(np.asarray(recursions)[:, 0], axis=-1)  # (steps, 2 (R + 1))

        joined = overlap_add(len(masks), self._fusion.win_len, self._fusion.win_len // 2, apply)
        return joined.reshape(len(masks), -1, 2).transpose(1, 0, 2)

    def _explain(self, passes: NDArray[np.float64], percept: Percept, times: NDArray[np.float64]) -> Explanation:
        without = {
            name: self._run(percept, percept.valid | {name: np.zeros_like(mask)})[-1] if mask.any() else passes[-1]
            for name, mask in percept.valid.items()
        }
        shares = modality_shares(passes[-1], without)
        return Explanation(
            shares={name: resample(share, self.rate, times) for name, share in shares.items()},
            changes=np.array([resample(change, self.rate, times) for change in recursion_changes(passes)]).reshape(
                -1, len(times)
            ),
        )


def _resample(values: NDArray[np.float64], rate: float, times: NDArray[np.float64]) -> NDArray[np.float64]:
    """Both columns of a trace (T, 2) at other times."""
    return np.stack([resample(values[:, column], rate, times) for column in range(2)], axis=-1)


def _notes(people: list[Person], side: Side | None, valid: dict[str, NDArray[np.bool_]], usable: set[str]) -> list[str]:
    notes = []
    if len(people) > 1:
        followed = f"on the {side}" if side else "seen longest and largest"
        notes.append(f"{len(people)} people seen: the trace follows the one {followed}")
    elif side and "face" in usable:
        notes.append("not two people seen: there is no choice between left and right")
    for name, absent in (("face", "no face found"), ("voice", "no speech heard"), ("words", "no words understood")):
        if name in usable and not valid[name].any():
            notes.append(absent)
    if not any(mask.any() for mask in valid.values()):
        notes.append(NOBODY)
    return notes


def load_model(fusion: str | Path | None = None, whisper: str | Path | None = None, threads: int | None = None) -> Model:
    """Load a model once, to predict many recordings with it.

    Args:
        fusion: a fusion model in ONNX; None for the package's own.
        whisper: a folder with Whisper tiny.en in CTranslate2 form; None to look for it.
        threads: CPU threads; None for one a core.
    """
    return Model(None if fusion is None else Path(fusion), None if whisper is None else Path(whisper), threads)


def predict(
    source: str | Path,
    *,
    rate: float = DEFAULT_RATE,
    modalities: Collection[str] = MODALITIES,
    transcript: str | Path | None = None,
    side: Side | None = None,
    explain: bool = False,
    model: Model | None = None,
) -> Prediction:
    """Predict valence and arousal over one recording; see `Model.predict`. For many, pass a `model` from `load_model`."""
    chosen = model or load_model()
    return chosen.predict(source, rate=rate, modalities=modalities, transcript=transcript, side=side, explain=explain)
