"""Looking and listening: a recording in, features of face, voice and words on one grid out."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vatrace.encoders import DEFAULT_ENCODERS, ON_WHISPER, EncoderSpec
from vatrace.errors import MediaError
from vatrace.features.spool import Spool
from vatrace.media.reading import AudioReader, MediaInfo, VideoReader, packets_end
from vatrace.media.transcripts import Word
from vatrace.names import MODALITIES
from vatrace.timeline import num_steps, spans_to_mask
from vatrace.weights import find_whisper

if TYPE_CHECKING:
    from vatrace.features.faces import Person
    from vatrace.features.landmarker import Landmarker
    from vatrace.features.speech import Listener

Progress = Callable[[str, float], None]
"""Called with a stage ("face", "voice and words", "fusion") and how much of it is done, 0..1, from more than one thread."""

Features = Callable[[int, int], dict[str, NDArray[np.float16]]]
"""Features (stop - start, D) by modality of the steps from start to stop."""

MAX_SHORTFALL = 1.0
"""Seconds by which a recording may be shorter than it says before that is worth a note."""


@dataclass
class Sight:
    """What was seen.

    Attributes:
        people: who, the one seen longest and largest first.
        embeddings: of all faces; the rows are known to the people's tracks.
        crops: of all faces, where they are kept, in the same rows.
        end: of the pictures, in seconds.
        notes: what the user should know.
    """

    embeddings: Spool
    crops: Spool | None = None
    people: list[Person] = field(default_factory=list)
    end: float = 0.0
    notes: list[str] = field(default_factory=list)


@dataclass
class Sound:
    """What was heard.

    Attributes:
        frames: the voice's features on the grid.
        covered: steps that they are known of.
        spans: (start, end) in seconds of what counts as voice.
        words: what was said.
        end: of the sound, in seconds.
        notes: what the user should know.
    """

    frames: Spool
    covered: list[range] = field(default_factory=list)
    spans: list[tuple[float, float]] = field(default_factory=list)
    words: list[Word] = field(default_factory=list)
    end: float = 0.0
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Percept:
    """What is known of one person in one recording.

    Attributes:
        rate: steps a second.
        duration: seconds.
        valid: (T,) bool by modality: where it was there.
        features: reads features.
        crops: reads face crops (stop - start, 48, 48, 3), zeros where there is no face; None where they are not kept.
        words: what was said.
        notes: what the user should know.
    """

    rate: float
    duration: float
    valid: dict[str, NDArray[np.bool_]]
    features: Features
    crops: Callable[[int, int], NDArray[np.uint8]] | None
    words: list[Word]
    notes: list[str]

    @property
    def num_steps(self) -> int:
        """T."""
        return num_steps(self.duration, self.rate)


class Perceiver:
    """Eyes and ears: all parts that turn recordings into features. Each is loaded when it is first needed, then kept.

    Args:
        encoders: by modality; a modality that is not among them is left out. The package's own by default.
        whisper: a folder with Whisper tiny.en in CTranslate2 form; None to look for it (see `vatrace.weights`).
        threads: CPU threads; None for one a core.
        keep_crops: whether face crops are kept beside their embeddings.
    """

    def __init__(
        self,
        encoders: Mapping[str, EncoderSpec] = DEFAULT_ENCODERS,
        whisper: Path | None = None,
        threads: int | None = None,
        keep_crops: bool = False,
    ) -> None:
        self.encoders = dict(encoders)
        self.keep_crops = keep_crops
        self._whisper = whisper
        self._threads = threads or os.cpu_count() or 1

    @cached_property
    def _landmarker(self) -> Landmarker:
        from vatrace.features.landmarker import Landmarker

        return Landmarker()

    @cached_property
    def _face_encoder(self) -> Any:
        return self.encoders["face"].build(1)

    @cached_property
    def _voice_encoder(self) -> Any:
        return self.encoders["voice"].build(self._threads)

    @cached_property
    def _word_encoder(self) -> Any:
        return self.encoders["words"].build(self._threads)

    @cached_property
    def _listener(self) -> Listener:
        from vatrace.features.speech import Listener

        return Listener(find_whisper(self._whisper), threads=max(1, self._threads - 1))

    def _dim(self, modality: str) -> int:
        return self.encoders[modality].dim if modality in self.encoders else 1

    def new_sight(self) -> Sight:
        """Nothing seen yet."""
        return Sight(Spool((self._dim("face"),)), Spool((48, 48, 3), np.uint8) if self.keep_crops else None)

    def new_sound(self) -> Sound:
        """Nothing heard yet."""
        return Sound(Spool((self._dim("voice"),)))

    def perceive(
        self, info: MediaInfo, rate: float, usable: Collection[str], transcribe: bool, report: Progress
    ) -> tuple[Sight, Sound]:
        """Look and listen at the same time.

        Args:
            info: the recording.
            rate: steps a second.
            usable: modalities that are wanted and that it can have.
            transcribe: whether words are to be recognised.
            report: told how far each stage is.

        Raises:
            MediaError: if nothing in it can be decoded.
            MissingWeightsError: if Whisper's weights are needed and missing.
        """
        stop = Event()
        wants_voice = info.has_audio and "voice" in usable
        on_whisper = wants_voice and self.encoders["voice"].name in ON_WHISPER
        # loaded here, so that missing weights are known at once
        listener = self._listener if on_whisper or (info.has_audio and transcribe) else None
        encoder = self._voice_encoder if wants_voice else None
        with ThreadPoolExecutor(1) as pool:
            hearing = pool.submit(self._hear, info, rate, listener, encoder, on_whisper, transcribe, stop, report)
            try:
                sight = self._see(info, rate, stop, report) if "face" in usable else self.new_sight()
                sound = hearing.result()
            finally:  # an error or ctrl-C on this side: the other must not go on
                stop.set()
        end = max(sight.end, sound.end)
        if not end and not wants_voice and listener is None and "face" not in usable:  # nothing was decoded
            sound.end = info.duration or packets_end(info)
        elif not end and not info.is_still:
            reasons = "; ".join(sight.notes + sound.notes) or "it is empty"
            raise MediaError(f"{info.path}: nothing in it can be decoded ({reasons})")
        elif info.duration and end < info.duration - MAX_SHORTFALL and ("face" in usable or not info.has_video):
            sound.notes.append(f"it ends at {end:.1f} s, though it says that it lasts {info.duration:.1f} s")
        return sight, sound

    def look_at_crops(self, folder: Path, times: NDArray[np.float64], rate: float, end: float) -> Sight:
        """See one person in pictures of the cropped face that are named by the number of the video's frame, from 1.

        Args:
            folder: of `00001.jpg`, ...; where there is no picture there was no face.
            times: (F,) when each frame is shown, seconds.
            rate: steps a second.
            end: of the video, in seconds.
        """
        from vatrace.features.crops import read_crops
        from vatrace.features.faces import CROP_SIZE, Person, Track
        from vatrace.features.landmarker import Roi

        sight, track = self.new_sight(), Track(Roi(0, 0, CROP_SIZE, 0))
        for steps, crops in read_crops(folder, times, rate, num_steps(end, rate)):
            first = sight.embeddings.length
            sight.embeddings.write(first, self._face_encoder(crops))
            if sight.crops is not None:
                sight.crops.write(first, crops)
            track.steps += steps
            track.rows += range(first, first + len(steps))
        sight.people, sight.end = [Person([track], set(track.steps))], end
        return sight

    def _see(self, info: MediaInfo, rate: float, stop: Event, report: Progress) -> Sight:
        from vatrace.features.faces import FaceTracker, people

        reader = VideoReader(info.path, rate)
        sight = self.new_sight()
        tracker = FaceTracker(self._landmarker, self._face_encoder, sight.embeddings, sight.crops)
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
            sight.notes.append(str(error).removeprefix(f"{info.path}: "))
        else:
            if reader.damage:
                sight.notes.append(f"some pictures are damaged and were left out ({reader.damage})")
        report("face", 1.0)
        sight.people, sight.end = people(tracker.tracks, num_steps(reader.end, rate)), reader.end
        return sight

    def _hear(
        self,
        info: MediaInfo,
        rate: float,
        listener: Listener | None,
        encoder: Any,
        on_whisper: bool,
        transcribe: bool,
        stop: Event,
        report: Progress,
    ) -> Sound:
        """Words from `listener`, and what `encoder` makes of the listener's frames, or else of the sound itself."""
        from vatrace.features.speech import BLOCK_DUR, frames_on_grid

        sound = self.new_sound()
        if listener is None and encoder is None:
            return sound
        report("voice and words", 0.0)

        def blocks(reader: AudioReader) -> Iterator[NDArray[np.float32]]:
            for block in reader:
                if stop.is_set():
                    return
                yield block
                if info.duration:
                    report("voice and words", min(reader.end / info.duration, 1.0))

        try:
            reader = AudioReader(info.path, BLOCK_DUR)
            for window in listener.listen(blocks(reader), transcribe) if listener else []:
                if stop.is_set():
                    break
                sound.words += window.words
                if on_whisper:
                    start, frames = frames_on_grid(window.start, encoder(window.frames), rate)
                    sound.frames.write(start, frames)
                    sound.covered.append(range(start, start + len(frames)))
                    sound.spans += window.spans
            if encoder is not None and not on_whisper:
                reader = AudioReader(info.path, BLOCK_DUR)
                for start, vectors in encoder.steps(blocks(reader), rate):
                    sound.frames.write(start, vectors)
                    sound.covered.append(range(start, start + len(vectors)))
                sound.spans = [(0.0, reader.end)]
        except BaseException:
            stop.set()  # looking on would be in vain
            raise
        sound.end = reader.end
        if info.num_sounds > 1:
            sound.notes.append(f"it has {info.num_sounds} sound tracks: the first was heard")
        if reader.damage:
            sound.notes.append(f"some sound is damaged and was left out ({reader.damage})")
        report("voice and words", 1.0)
        return sound

    def combine(self, sight: Sight, sound: Sound, who: Person | None, rate: float, wanted: Collection[str]) -> Percept:
        """Put on the grid what was seen of one person and heard.

        Args:
            sight: what was seen.
            sound: what was heard.
            who: of the people in sight, the one who is meant.
            rate: steps a second.
            wanted: modalities that count.
        """
        duration = max(sight.end, sound.end)
        steps = num_steps(duration, rate)
        valid = {name: np.zeros(steps, bool) for name in MODALITIES}
        rows = np.full(steps, -1)
        if "face" in wanted and who is not None:
            from vatrace.features.faces import rows_on_grid

            rows = rows_on_grid(who, steps)
            valid["face"] = rows >= 0
        if "voice" in wanted:
            for covered in sound.covered:
                valid["voice"][covered.start : covered.stop] = True
            valid["voice"] &= spans_to_mask(sound.spans, steps, rate)
        vectors = Spool((self._dim("words"),))
        if "words" in wanted and sound.words:
            from vatrace.encoders.words import words_on_grid

            for inside, vector in words_on_grid(sound.words, self._word_encoder, rate):
                vectors.write(inside.start, np.repeat(vector[None], len(inside), axis=0))
                valid["words"][inside.start : inside.stop] = True

        def features(start: int, stop: int) -> dict[str, NDArray[np.float16]]:
            return {
                "face": _gather(sight.embeddings, rows[start:stop]),
                "voice": sound.frames.read(start, stop),
                "words": vectors.read(start, stop),
            }

        def crops(start: int, stop: int) -> NDArray[np.uint8]:
            assert sight.crops is not None
            return _gather(sight.crops, rows[start:stop])

        return Percept(
            rate, duration, valid, features, crops if self.keep_crops else None, sound.words, sight.notes + sound.notes
        )


def _gather(spool: Spool, rows: NDArray[np.int64]) -> NDArray[Any]:
    """The given rows of a spool (n, ...), zeros for -1. Rows of one window lie close together."""
    there = rows >= 0
    if not there.any():
        return np.zeros((len(rows), *spool.shape), spool.dtype)
    first = rows[there].min()
    found = spool.read(first, rows.max() + 1)[np.where(there, rows - first, 0)]
    found[~there] = 0
    return found
