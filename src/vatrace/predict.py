"""A recording in, its `Prediction` out."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from vatrace.encoders import FEATURE_DIMS
from vatrace.explain import Explanation, modality_shares, recursion_changes
from vatrace.media import AudioReader, MediaError, MediaInfo, VideoReader, probe
from vatrace.prediction import MODALITIES, Prediction
from vatrace.spool import Spool
from vatrace.timeline import num_steps, overlap_add, resample, resample_mask, spans_to_mask
from vatrace.transcripts import TRANSCRIPT_SUFFIXES, Word, read_transcript
from vatrace.weights import MissingWeightsError, find_whisper, onnx_session, package_file

if TYPE_CHECKING:
    from vatrace.encoders.face import FaceEncoder
    from vatrace.encoders.words import WordEncoder
    from vatrace.faces import Person
    from vatrace.landmarker import Landmarker
    from vatrace.speech import Listener

Progress = Callable[[str, float], None]
"""Called with a stage ("face", "voice and words", "fusion") and how much of it is done, 0..1, from more than one thread."""

Features = Callable[[int, int], dict[str, NDArray[np.float16]]]
"""Features (stop - start, D) by modality of the steps from start to stop."""

DEFAULT_RATE = 10.0
MAX_RATE = 100.0
MAX_SHORTFALL = 1.0
"""Seconds by which a recording may be shorter than it says before that is worth a note."""
MIN_SHARE_OF_OTHERS = 0.1
"""Other people are worth a note when they are on show for this share of the time of the one who is followed."""


@dataclass
class _Seen:
    people: list[Person] = field(default_factory=list)
    embeddings: Spool = field(default_factory=lambda: Spool(FEATURE_DIMS["face"]))
    end: float = 0.0
    notes: list[str] = field(default_factory=list)


@dataclass
class _Heard:
    frames: Spool = field(default_factory=lambda: Spool(FEATURE_DIMS["voice"]))
    covered: list[range] = field(default_factory=list)
    spans: list[tuple[float, float]] = field(default_factory=list)
    words: list[Word] = field(default_factory=list)
    end: float = 0.0
    notes: list[str] = field(default_factory=list)


class Model:
    """All the parts that turn recordings into predictions; each is loaded when it is first needed, then kept.

    Args:
        fusion: an ONNX file like the package's `fusion.onnx`; None for that one.
        whisper: a folder with Whisper tiny.en in CTranslate2 form; None to look for it (see `vatrace.weights`).
        threads: CPU threads; None for one a core.

    Raises:
        MissingWeightsError: if `fusion` is not a fusion model for the package's encoders.
    """

    def __init__(self, fusion: Path | None = None, whisper: Path | None = None, threads: int | None = None) -> None:
        self._whisper = whisper
        self._threads = threads or os.cpu_count() or 1
        path = package_file("fusion.onnx") if fusion is None else fusion
        if not path.is_file():
            raise MissingWeightsError(f"{path}: no such model file")
        try:
            self._fusion = onnx_session(path, self._threads)
            meta = self._fusion.get_modelmeta().custom_metadata_map
            self.rate, self._win_len, outputs = float(meta["rate"]), int(meta["win_len"]), meta["outputs"]
            dims = {value.name: value.shape[-1] for value in self._fusion.get_inputs()}
        except Exception as error:  # ONNX Runtime has no public base class for what it raises
            raise MissingWeightsError(
                f"{path}: not a vatrace fusion model (ONNX with its rate, win_len and outputs)"
            ) from error
        if outputs != "valence,arousal":
            raise MissingWeightsError(f"{path}: gives {outputs}, where valence,arousal is needed")
        if dims != FEATURE_DIMS | {"valid": len(MODALITIES)}:
            raise MissingWeightsError(f"{path}: not for these encoders, its inputs are {dims}")

    @cached_property
    def _landmarker(self) -> Landmarker:
        from vatrace.landmarker import Landmarker

        return Landmarker()

    @cached_property
    def _face_encoder(self) -> FaceEncoder:
        from vatrace.encoders.face import FaceEncoder

        return FaceEncoder()

    @cached_property
    def _word_encoder(self) -> WordEncoder:
        from vatrace.encoders.words import WordEncoder

        return WordEncoder(self._threads)

    @cached_property
    def _listener(self) -> Listener:
        from vatrace.speech import Listener

        return Listener(find_whisper(self._whisper), threads=max(1, self._threads - 1))

    def predict(
        self,
        source: str | Path,
        *,
        rate: float = DEFAULT_RATE,
        modalities: Collection[str] = MODALITIES,
        transcript: str | Path | None = None,
        explain: bool = False,
        progress: Progress | None = None,
    ) -> Prediction:
        """Predict valence and arousal over one recording.

        Args:
            source: a video, sound, picture, or transcript (SRT, WebVTT).
            rate: rows a second, up to 100. The model runs at its own rate; other rates are interpolated.
            modalities: which of face, voice and words to use.
            transcript: SRT or WebVTT to use for the words in place of speech recognition.
            explain: also say what the values rest on (`Prediction.explanation`).
            progress: told how far each stage is.

        Raises:
            MediaError: if the recording or the transcript can't be read, or holds none of the modalities asked for.
            MissingWeightsError: if Whisper's weights are needed and missing.
            ValueError: if the rate, a modality or a transcript is not one of those possible.
        """
        source = Path(source)
        if not 0 < rate <= MAX_RATE:
            raise ValueError(f"rate must be above 0 and at most {MAX_RATE:g}, not {rate:g}")
        if isinstance(modalities, str) or not modalities or not set(modalities) <= set(MODALITIES):
            raise ValueError(f"modalities are a list of {', '.join(MODALITIES)}, not {modalities!r}")
        if transcript is not None and ("words" not in modalities or source.suffix.lower() in TRANSCRIPT_SUFFIXES):
            raise ValueError(f"{transcript}: a transcript is for the words of a video or sound, which are not wanted here")
        report = progress or (lambda stage, share: None)

        if source.suffix.lower() in TRANSCRIPT_SUFFIXES:
            if "words" not in modalities:
                raise MediaError(f"{source}: a transcript holds words only, and words were not asked for")
            words = read_transcript(source)
            heard = _Heard(words=words, end=max(word.end for word in words))
            return self._fuse(source, _Seen(), heard, {"words"}, rate, explain, report)

        info = probe(source)
        given = None if transcript is None else read_transcript(Path(transcript))
        usable = self._usable(info, modalities, given)
        if not usable:
            raise MediaError(f"{source}: nothing in it to use for {', '.join(m for m in MODALITIES if m in modalities)}")
        seen, heard = self._perceive(info, usable, transcribe="words" in usable and given is None, report=report)
        if given is not None:
            heard.words = given
        if "face" in modalities and not info.has_video:
            seen.notes.append("no pictures in it")
        if {"voice", "words"} & set(modalities) and not info.has_audio:
            heard.notes.append("no sound in it")
        return self._fuse(source, seen, heard, usable, rate, explain, report)

    def _usable(self, info: MediaInfo, modalities: Collection[str], given: list[Word] | None) -> set[str]:
        there = {"face": info.has_video, "voice": info.has_audio, "words": info.has_audio or given is not None}
        return {name for name in modalities if there[name]}

    def _perceive(self, info: MediaInfo, usable: set[str], transcribe: bool, report: Progress) -> tuple[_Seen, _Heard]:
        """Look and listen at the same time."""
        stop = Event()
        # loaded here, so that missing weights are known at once
        listener = self._listener if info.has_audio and ("voice" in usable or transcribe) else None
        with ThreadPoolExecutor(1) as pool:
            hearing = pool.submit(self._hear, info, listener, transcribe, stop, report) if listener else None
            try:
                seen = self._see(info, stop, report) if "face" in usable else _Seen()
                heard = hearing.result() if hearing else _Heard()
            finally:  # an error or ctrl-C on this side: the other must not go on
                stop.set()
        end = max(seen.end, heard.end)
        if not end and listener is None and "face" not in usable:  # words from a transcript: nothing was decoded
            heard.end = info.duration or 0.0
        elif not end and not info.is_still:
            reasons = "; ".join(seen.notes + heard.notes) or "it is empty"
            raise MediaError(f"{info.path}: nothing in it can be decoded ({reasons})")
        elif info.duration and end < info.duration - MAX_SHORTFALL and ("face" in usable or not info.has_video):
            heard.notes.append(f"it ends at {end:.1f} s, though it says that it lasts {info.duration:.1f} s")
        return seen, heard

    def _see(self, info: MediaInfo, stop: Event, report: Progress) -> _Seen:
        from vatrace.faces import FaceTracker, people

        reader = VideoReader(info.path, self.rate)
        seen = _Seen()
        tracker = FaceTracker(self._landmarker, self._face_encoder, seen.embeddings)
        report("face", 0.0)
        try:
            for frame in reader:
                if stop.is_set():
                    break
                tracker.update(frame.image, frame.time, frame.steps)
                if info.duration:
                    report("face", min(frame.time / info.duration, 1.0))
        except MediaError as error:
            if not info.has_audio:
                raise
            seen.notes.append(str(error).removeprefix(f"{info.path}: "))
        else:
            if reader.damage:
                seen.notes.append(f"some pictures are damaged and were left out ({reader.damage})")
        report("face", 1.0)
        seen.people, seen.end = people(tracker.tracks, num_steps(reader.end, self.rate)), reader.end
        return seen

    def _hear(self, info: MediaInfo, listener: Listener, transcribe: bool, stop: Event, report: Progress) -> _Heard:
        from vatrace.speech import BLOCK_DUR, frames_on_grid

        reader = AudioReader(info.path, BLOCK_DUR)
        heard = _Heard()
        report("voice and words", 0.0)

        def blocks() -> Iterator[NDArray[np.float32]]:
            for block in reader:
                if stop.is_set():
                    return
                yield block
                if info.duration:
                    report("voice and words", min(reader.end / info.duration, 1.0))

        try:
            for window in listener.listen(blocks(), transcribe):
                if stop.is_set():
                    break
                start, frames = frames_on_grid(window, self.rate)
                heard.frames.write(start, frames)
                heard.covered.append(range(start, start + len(frames)))
                heard.spans += window.spans
                heard.words += window.words
        except BaseException:
            stop.set()  # looking on would be in vain
            raise
        heard.end = reader.end
        if reader.damage:
            heard.notes.append(f"some sound is damaged and was left out ({reader.damage})")
        report("voice and words", 1.0)
        return heard

    def _fuse(
        self, source: Path, seen: _Seen, heard: _Heard, usable: set[str], rate: float, explain: bool, report: Progress
    ) -> Prediction:
        duration = max(seen.end, heard.end)
        steps = num_steps(duration, self.rate)
        valid = {name: np.zeros(steps, bool) for name in MODALITIES}
        rows = np.full(steps, -1)
        if "face" in usable and seen.people:
            from vatrace.faces import rows_on_grid

            rows = rows_on_grid(seen.people[0], steps)
            valid["face"] = rows >= 0
        if "voice" in usable:
            for covered in heard.covered:
                valid["voice"][covered.start : covered.stop] = True
            valid["voice"] &= spans_to_mask(heard.spans, steps, self.rate)
        vectors = Spool(FEATURE_DIMS["words"])
        if "words" in usable and heard.words:
            from vatrace.encoders.words import words_on_grid

            for inside, vector in words_on_grid(heard.words, self._word_encoder, self.rate):
                vectors.write(inside.start, np.repeat(vector[None], len(inside), axis=0))
                valid["words"][inside.start : inside.stop] = True

        def features(start: int, stop: int) -> dict[str, NDArray[np.float16]]:
            return {
                "face": _gather(seen.embeddings, rows[start:stop]),
                "voice": heard.frames.read(start, stop),
                "words": vectors.read(start, stop),
            }

        report("fusion", 0.0)
        passes = self._run(features, valid)
        times = np.arange(num_steps(duration, rate)) / rate
        explanation = self._explain(passes, features, valid, times) if explain else None
        report("fusion", 1.0)
        values = passes[-1]
        return Prediction(
            source=source,
            times=times,
            valence=resample(values[:, 0], self.rate, times),
            arousal=resample(values[:, 1], self.rate, times),
            presence={name: resample_mask(mask, self.rate, times) for name, mask in valid.items()},
            explanation=explanation,
            words=heard.words,
            notes=seen.notes + heard.notes + _notes(seen.people, valid, usable),
        )

    def _run(self, features: Features, valid: dict[str, NDArray[np.bool_]]) -> NDArray[np.float64]:
        """Valence and arousal after 0, 1, ..., R recursions (R + 1, T, 2), from overlapping windows; the last counts."""
        masks = np.stack([valid[name] for name in MODALITIES], axis=-1)

        def apply(start: int, stop: int) -> NDArray[np.float32]:
            inputs = {name: values[None].astype(np.float32) for name, values in features(start, stop).items()}
            (recursions,) = self._fusion.run(["recursions"], inputs | {"valid": masks[None, start:stop]})
            return np.concatenate(np.asarray(recursions)[:, 0], axis=-1)  # (steps, 2 (R + 1))

        joined = overlap_add(len(masks), self._win_len, self._win_len // 2, apply)
        return joined.reshape(len(masks), -1, 2).transpose(1, 0, 2)

    def _explain(
        self,
        passes: NDArray[np.float64],
        features: Features,
        valid: dict[str, NDArray[np.bool_]],
        times: NDArray[np.float64],
    ) -> Explanation:
        without = {
            name: self._run(features, valid | {name: np.zeros_like(mask)})[-1] if mask.any() else passes[-1]
            for name, mask in valid.items()
        }
        shares = modality_shares(passes[-1], without)
        return Explanation(
            shares={name: resample(share, self.rate, times) for name, share in shares.items()},
            changes=np.array([resample(change, self.rate, times) for change in recursion_changes(passes)]).reshape(
                -1, len(times)
            ),
        )


def _gather(spool: Spool, rows: NDArray[np.int64]) -> NDArray[np.float16]:
    """The given rows of a spool (n, D), zeros for -1. Rows of one window lie close together."""
    there = rows >= 0
    if not there.any():
        return np.zeros((len(rows), FEATURE_DIMS["face"]), np.float16)
    first = rows[there].min()
    found = spool.read(first, rows.max() + 1)[np.where(there, rows - first, 0)]
    found[~there] = 0
    return found


def _notes(people: list[Person], valid: dict[str, NDArray[np.bool_]], usable: set[str]) -> list[str]:
    notes = []
    if people:
        others = sum(len(person.steps) > MIN_SHARE_OF_OTHERS * len(people[0].steps) for person in people[1:])
        if others:
            notes.append(f"{others + 1} people seen: the trace follows the one seen longest and largest")
    for name, absent in (("face", "no face found"), ("voice", "no speech heard"), ("words", "no words understood")):
        if name in usable and not valid[name].any():
            notes.append(absent)
    if not any(mask.any() for mask in valid.values()):
        notes.append("nothing supports the values: they are what the model says of nobody")
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
    explain: bool = False,
    model: Model | None = None,
) -> Prediction:
    """Predict valence and arousal over one recording; see `Model.predict`. For many, pass a `model` from `load_model`."""
    return (model or load_model()).predict(source, rate=rate, modalities=modalities, transcript=transcript, explain=explain)
