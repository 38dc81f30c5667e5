"""From a recording to its `Prediction`."""

from __future__ import annotations

import logging
import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vatrace.encoders import DEFAULT_ENCODERS, EncoderSpec
from vatrace.errors import MediaError, UsageError, require
from vatrace.features.choice import choose, find_person, several_faces
from vatrace.features.identity import View
from vatrace.features.perceived import Perceived, Percept
from vatrace.features.perceiver import Perceiver
from vatrace.features.spoken_languages import Stretch, languages_at
from vatrace.files import sha256_once, shown
from vatrace.inference.adaptation import Adaptation, read_adaptation
from vatrace.inference.explain import Explanation, modality_shares, recursion_changes
from vatrace.inference.fusion import Masks, open_fusion
from vatrace.inference.intervals import bounds, situations
from vatrace.inference.notes import people_notes, person_notes, speech_notes
from vatrace.inference.prediction import Prediction
from vatrace.inference.spoken import label, spoken_turns
from vatrace.languages import AUTO, check_language
from vatrace.media.arrays import Source, opened
from vatrace.media.recording import Recording
from vatrace.names import ALSO, DEFAULT_RATE, MAX_PEOPLE, MAX_RATE, MODALITIES, People, Progress
from vatrace.timeline import num_steps, overlap_add, resample, resample_mask, steps_at

logger = logging.getLogger("vatrace")


class Model:
    """All the parts that turn recordings into predictions. Each is loaded when it is first needed, and then kept.

    Args:
        fusion: an ONNX file like the package's `fusion.onnx`; None for that one.
        whisper: a folder with a Whisper model in CTranslate2 form, or the name of one that faster-whisper downloads; None for
            tiny.en, and base for languages other than English if it is installed (see `vatrace.weights`).
        threads: CPU threads; None for one a core.
        encoders: by modality, if the fusion model was trained on features of other encoders than the package's own.
        active_speaker: an ONNX network that decides which visible person speaks (docs/active-speaker.md); None to decide by
            the motion of mouths.
        adapt: a file of `vatrace adapt`, whose corrections are applied to all predictions; None for none.

    Attributes:
        rate: steps a second at which the fusion model runs.
        half_widths: of the fusion model's own intervals, by situation; empty if it wasn't calibrated.
        sha256: of the fusion model's file.
        loaded: the SHA-256 of each file that it was made with, by role: model, active_speaker, adapt.
        name: of the fusion model's file, and the start of its SHA-256.

    Raises:
        ModelError: if `fusion` is not a fusion model, or needs other encoders, or `adapt` was fitted for another model.
        CheckpointError: if `active_speaker` can't be read or doesn't fit.
    """

    def __init__(
        self,
        fusion: Path | None = None,
        whisper: str | Path | None = None,
        threads: int | None = None,
        encoders: Mapping[str, EncoderSpec] = DEFAULT_ENCODERS,
        active_speaker: Path | None = None,
        adapt: Path | None = None,
    ) -> None:
        self._fusion = open_fusion(fusion, streams=False, threads=threads or os.cpu_count() or 1, encoders=encoders)
        self._perceiver = Perceiver(self._fusion.encoders, whisper, threads, active_speaker=active_speaker)
        self.rate, self.half_widths = self._fusion.rate, self._fusion.half_widths
        self.sha256, self.name = self._fusion.sha256, self._fusion.name
        self._adaptation: Adaptation | None = None
        if adapt is not None:
            self._adaptation = read_adaptation(adapt)
            self._adaptation.check_fits(self.name, self.sha256)
        given = {"model": fusion, "active_speaker": active_speaker, "adapt": adapt}
        self.loaded = {role: sha256_once(path) for role, path in given.items() if path is not None}

    @property
    def modalities(self) -> tuple[str, ...]:
        """Those that it was trained with and can perceive."""
        return tuple(self._fusion.encoders)

    @property
    def encoders(self) -> Mapping[str, EncoderSpec]:
        """The encoders of its features, by modality."""
        return self._fusion.encoders

    def predict(  # its options are those of one call, which callers expect to be flat
        self,
        source: Source,
        *,
        rate: float = DEFAULT_RATE,
        modalities: Collection[str] = MODALITIES,
        transcript: str | Path | None = None,
        people: People = "main",
        person: str | Path | None = None,
        explain: bool = False,
        language: str = AUTO,
        also: Collection[str] = (),
        progress: Progress = lambda stage, share: None,
    ) -> Prediction:
        """Predict valence and arousal over one recording.

        Args:
            source: a video, audio, image, or transcript (SRT, WebVTT, ASS): its path, its content as bytes, a file that is open
                for reading bytes, an open `Recording`; or frames, audio and words in `Arrays`.
            rate: rows a second, up to 100. The model runs at its own rate; other rates are interpolated.
            modalities: which of face, voice and words to use.
            transcript: SRT, WebVTT or ASS to use for the words instead of speech recognition.
            people: whose traces to make: "main", the most prominent person; "all"; "left" or "right", the person on that side
                of the two most prominent; or a number, for that many of the most prominent. A person's voice and words are
                those of their own turns. If nobody is visible, each voice is a person, the one that speaks longest first.
            person: an image of the person to follow instead.
            explain: whether to measure what the values are based on (`Prediction.explanation`).
            language: the code of the language of the speech and the transcript (see `vatrace.languages`); "auto" to find out.
            also: what else to measure: "emotions", the probabilities of eight facial expressions; "face", the pose of the head,
                gaze, blinks, how far eyes and mouth are open, and 52 blendshapes; "voice", pitch, loudness, speech rate and
                pauses (`Prediction.also`, docs/output.md).
            progress: called with the progress of each stage.

        Returns:
            The trace of the most prominent person of those asked for, with the others in `Prediction.people`.

        Raises:
            MediaError: if the recording, the transcript or the image can't be read, the recording has none of the modalities
                asked for, or the person in the image isn't in it.
            MissingWeightsError: if Whisper's weights are needed and missing.
            UsageError: if the model or the modalities don't use the transcript, or can't measure what `also` names.
            ValueError: if the rate, a modality, the people or something in `also` are not one of the choices, or the source has
                words already and there is a transcript as well.
        """
        check_options(rate, modalities, people, language, also)
        self.check_also(also, modalities)
        named = shown(Path(person).name) if person else ""
        view, notes = (None, []) if person is None else self._view_of(Path(person))
        with opened(source, transcript, language) as recording:
            prediction = self._predict(
                recording, rate, modalities, people, view, notes, named, explain, language, also, progress
            )
        return prediction if isinstance(source, str | Path | Recording) else _named(prediction)

    def _predict(  # one call of `predict`, with the recording opened and the person found in the picture
        self,
        recording: Recording,
        rate: float,
        modalities: Collection[str],
        people: People,
        view: View | None,
        notes: list[str],
        named: str,
        explain: bool,
        language: str,
        also: Collection[str],
        progress: Progress,
    ) -> Prediction:
        usable = self._usable(recording, modalities)
        started = monotonic()
        if view is not None and "face" not in usable:
            raise MediaError(f"{recording.path}: the person in {named} can't be found, because faces are not used")
        perceived = self._perceiver.perceive(recording, self.rate, usable, progress, language=language, also=also)
        logger.info("%s: perceived in %.1f s", recording.path, monotonic() - started)
        chosen = choose(perceived, people)
        if view is not None:
            found, doubts = find_person(perceived.people, view, named)
            if found is None:
                raise MediaError(f"{recording.path}: the person in {named} was not found in it")
            chosen, notes = [found], notes + doubts
        notes += perceived.notes + self._notes(recording, modalities) + list(recording.transcript_notes)
        notes += people_notes(perceived, people, chosen, named) + speech_notes(perceived, chosen)
        if self._adaptation is not None:
            notes.append(self._adaptation.note)
        elif not self.half_widths:
            notes.append("no intervals: this model was not calibrated")
        asked_for = {"people": "" if people == "main" else str(people), "person": named}
        asked_for |= {} if language == AUTO else {"language": language}
        made_by = self._made_by(recording, usable, asked_for) | self._foreign_words(perceived)
        named_language = [] if language == AUTO else [Stretch(0.0, perceived.duration, language)]
        spoken = perceived.sound.languages or named_language
        traces: list[Prediction] = []
        whom: list[int | None] = [*chosen] or [None]
        for index in whom:
            progress("fusion", len(traces) / len(whom))
            percept = self._perceiver.percept(perceived, index)
            own = person_notes(perceived, index, percept.valid)
            trace = self._fuse(recording.path, percept, spoken, rate, explain)
            traces.append(replace(trace, person=label(index or 0), notes=notes + own))
        progress("fusion", 1.0)
        logger.info("%s: %d traces after %.1f s", recording.path, len(traces), monotonic() - started)
        sound = perceived.sound
        shared: dict[str, Any] = {"made_by": made_by, "turns": spoken_turns(perceived), "languages": spoken}
        shared |= {"words_left_out": sound.num_doubtful, "words_unused": sound.num_unused}
        first, *others = (replace(trace, **shared) for trace in traces)
        return replace(first, others=tuple(others))

    def check_also(self, also: Collection[str], modalities: Collection[str] = MODALITIES) -> None:
        """Check before any recording is processed that what `also` names can be measured.

        Raises:
            UsageError: if it can't.
            MissingExtraError: if a library is missing.
        """
        face = self._fusion.encoders.get("face")
        for name in sorted({"emotions", "face"} & set(also)):
            if "face" not in modalities or face is None:
                raise UsageError(f"{name}: needs the face, which is not among the modalities")
        if "voice" in also:
            if "voice" not in modalities or "voice" not in self._fusion.encoders:
                raise UsageError("voice: needs the voice, which is not among the modalities")
            require("the pitch of the voice", ["parselmouth"], "prosody")
        if "emotions" in also and face is not None and not hasattr(face.find_class(), "with_expressions"):
            raise UsageError(f"emotions need the package's own face encoder, and this model uses {face.name}")

    def check_picture(self, picture: Path) -> list[str]:
        """Check a picture of the person to follow before any recording is processed, and return what the user should know.

        Raises:
            MediaError: if it isn't an image, or shows no face.
        """
        return self._view_of(picture)[1]

    def _view_of(self, picture: Path) -> tuple[View, list[str]]:
        view, num_faces = self._perceiver.view_of(picture)
        return view, several_faces(shown(picture.name), num_faces)

    def _usable(self, recording: Recording, modalities: Collection[str]) -> set[str]:
        """The modalities that are wanted, and that the recording and the model can have."""
        given = f"{recording.transcript}: a transcript provides words" if recording.transcript else "words are given"
        if recording.words is not None and "words" not in self._fusion.encoders:
            raise UsageError(f"{given}, and this model was trained without words")
        if recording.words is not None and "words" not in modalities:
            raise UsageError(f"{given}, and words are not among the modalities")
        possible = {"face": recording.has_frames, "voice": recording.has_audio}
        possible["words"] = recording.has_audio or recording.words is not None
        usable = {name for name in modalities if possible[name] and name in self._fusion.encoders}
        if not usable:
            wanted = ", ".join(name for name in MODALITIES if name in modalities)
            raise MediaError(f"{recording.path}: contains nothing to use for {wanted}")
        return usable

    def _notes(self, recording: Recording, modalities: Collection[str]) -> list[str]:
        """Notes on requested modalities that the recording or the model lacks."""
        notes = []
        untrained = [name for name in modalities if name not in self._fusion.encoders]
        if untrained:
            notes.append(f"this model was trained without {' and '.join(untrained)}")
        unseen = [name for name in self._fusion.dims if name not in self._fusion.encoders]
        if unseen:
            notes.append(f"this model also uses {' and '.join(unseen)}, which can't be extracted from a recording")
        if recording.kind == "transcript":
            return notes
        if "face" in modalities and not recording.has_frames:
            notes.append("contains no video")
        if {"voice", "words"} & set(modalities) and not recording.has_audio:
            notes.append("contains no audio")
        return notes

    def _fuse(self, source: Path, percept: Percept, spoken: Sequence[Stretch], rate: float, explain: bool) -> Prediction:
        """The prediction of one person at `rate`, without notes."""
        times = np.arange(num_steps(percept.duration, rate)) / rate
        passes = self._run(percept, percept.valid)
        values, ends = passes[-1], None
        widths = self.half_widths if self._adaptation is None else self._adaptation.half_widths(self.half_widths)
        if widths:
            languages = languages_at(spoken, np.arange(percept.num_steps) / self.rate)
            low, high = bounds(values, situations(percept.valid, self.rate, languages=languages), widths)
            ends = (self._resampled(low, times), self._resampled(high, times))
        valence, arousal = self._resampled(values, times).T
        return Prediction(
            source=source,
            rate=rate,
            times=times,
            valence=valence,
            arousal=arousal,
            presence={name: resample_mask(mask, self.rate, times) for name, mask in percept.valid.items()},
            words=percept.words,
            explanation=self._explain(passes, percept, times) if explain else None,
            bounds=ends,
            boxes=percept.boxes[self._current(times, percept.num_steps)] if percept.valid["face"].any() else None,
            speaking=None if percept.speaking is None else resample_mask(percept.speaking, self.rate, times),
            also=self._also(percept, times, rate),
        )

    def _also(self, percept: Percept, times: NDArray[np.float64], rate: float) -> dict[str, NDArray[np.float64]]:
        """The further columns at `times`, `rate` a second: those of the current step, and blinks in the rows they begin in."""
        found = {name: column[self._current(times, percept.num_steps)] for name, column in percept.also.items()}
        if percept.blinks is not None:
            found["blink"] = np.where(np.isnan(found["eye_openness"]), np.nan, 0.0)
            found["blink"][np.clip(steps_at(percept.blinks, rate), 0, len(times) - 1)] = 1.0
        return found

    def _current(self, times: NDArray[np.float64], num_steps: int) -> NDArray[np.int64]:
        """The model's step that is current at each of `times` in seconds."""
        return np.clip(steps_at(times, self.rate), 0, num_steps - 1)

    def _resampled(self, values: NDArray[np.float64], times: NDArray[np.float64]) -> NDArray[np.float64]:
        """The columns of a trace (T, 2) at other times."""
        return np.stack([resample(column, self.rate, times) for column in values.T], axis=-1)

    def _run(self, percept: Percept, valid: Masks) -> NDArray[np.float64]:
        """Valence and arousal after 0, 1, ..., R recursions (R + 1, T, 2), from overlapping windows; the last counts."""

        def apply(start: int, stop: int) -> NDArray[np.float64]:
            inside = {name: mask[start:stop] for name, mask in valid.items()}
            return np.concatenate(self._fusion.run(percept.features(start, stop), inside), axis=-1)  # (steps, 2 (R + 1))

        joined = overlap_add(percept.num_steps, self._fusion.win_len, self._fusion.win_len // 2, apply)
        passes = joined.reshape(percept.num_steps, -1, 2).transpose(1, 0, 2)
        return passes if self._adaptation is None else self._adaptation.values(passes)

    def _explain(self, passes: NDArray[np.float64], percept: Percept, times: NDArray[np.float64]) -> Explanation:
        without = {
            name: self._run(percept, percept.valid | {name: np.zeros_like(mask)})[-1] if mask.any() else passes[-1]
            for name, mask in percept.valid.items()
        }
        shares = modality_shares(passes[-1], without, percept.valid)
        current = self._current(times, percept.num_steps)
        changes = [resample(change, self.rate, times) for change in recursion_changes(passes)]
        return Explanation(
            shares={name: share[current] for name, share in shares.items()},
            changes=np.array(changes).reshape(-1, len(times)),
        )

    def _made_by(self, recording: Recording, usable: Collection[str], asked_for: Mapping[str, str]) -> dict[str, str]:
        from vatrace import __version__

        names = "+".join(name for name in MODALITIES if name in usable)
        transcript = shown(recording.transcript.name) if recording.transcript else ""
        network = self._perceiver.active_speaker
        adapted = "" if self._adaptation is None else self._adaptation.name
        options = {"adapt": adapted, "transcript": transcript, "active_speaker": network.name if network else "", **asked_for}
        made_by = {"vatrace": __version__, "model": self.name, "modalities": names}
        return made_by | {name: value for name, value in options.items() if value}

    def _foreign_words(self, perceived: Perceived) -> dict[str, str]:
        """The version of the encoder of words in other languages, if any were encoded, for `Prediction.made_by`."""
        own = self.encoders.get("words")
        foreign = own.foreign if own else None
        used = own is not None and foreign in {own.for_language(word.language) for word in perceived.sound.words}
        return {"foreign words": foreign.version} if used and foreign else {}


def _named(prediction: Prediction) -> Prediction:
    """A prediction from a temporary file, without its path."""
    path = prediction.source
    name = Path(path.name)
    notes = [note.replace(str(path), name.name) for note in prediction.notes]
    return replace(prediction, source=name, notes=notes, others=tuple(map(_named, prediction.others)))


def check_options(rate: float, modalities: Collection[str], people: People, language: str, also: Collection[str]) -> None:
    """Make sure that `Model.predict` can use these options.

    Raises:
        ValueError: if one of them isn't one of the choices; the message names it.
    """
    check_language(language)
    if not 0 < rate <= MAX_RATE:
        raise ValueError(f"rate must be above 0 and at most {MAX_RATE:g}, not {rate:g}")
    if isinstance(modalities, str) or not modalities or not set(modalities) <= set(MODALITIES):
        raise ValueError(f"modalities must be a list of {', '.join(MODALITIES)}, not {modalities!r}")
    if people not in {"main", "all", "left", "right", *range(1, MAX_PEOPLE + 1)} or isinstance(people, bool):
        raise ValueError(f"people must be main, all, left, right or a number up to {MAX_PEOPLE}, not {people!r}")
    if isinstance(also, str) or not set(also) <= set(ALSO):
        raise ValueError(f"also must be a list of {', '.join(ALSO)}, not {also!r}")


def load_model(
    fusion: str | Path | None = None,
    whisper: str | Path | None = None,
    threads: int | None = None,
    encoders: Mapping[str, EncoderSpec] = DEFAULT_ENCODERS,
    active_speaker: str | Path | None = None,
    adapt: str | Path | None = None,
) -> Model:
    """Load a model once, to predict many recordings with it; the arguments are those of `Model`."""
    fusion, active_speaker, adapt = (None if path is None else Path(path) for path in (fusion, active_speaker, adapt))
    return Model(fusion, whisper, threads, encoders, active_speaker, adapt)


def predict(source: Source, *, model: Model | None = None, **options: Any) -> Prediction:
    """Predict valence and arousal over one recording.

    Args:
        source: a video, audio, image, or transcript; see `Model.predict`.
        model: from `load_model`, to be used for many recordings; None to load the package's own.
        **options: see `Model.predict`.
    """
    return (model or load_model()).predict(source, **options)
