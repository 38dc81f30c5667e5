"""A live camera and microphone in, valence and arousal as they come.

What is known of a step when its value is given out: the face at that moment; the voice up to a moment after it; and the words
of what was said before, which count from when they are understood. Nothing waits without bound: what is late is left out.
"""

from __future__ import annotations

import math
import os
from collections import deque
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from vatrace.encoders import DEFAULT_ENCODERS
from vatrace.errors import ModelError
from vatrace.features.faces import REJOIN_SECONDS, Detection, FaceTracker, face_crop
from vatrace.features.landmarker import Landmarker
from vatrace.features.level import RunningLevel
from vatrace.features.speech import FRAME_RATE, Listener
from vatrace.inference.fusion import open_fusion
from vatrace.inference.intervals import MEMORY, bounds, situations
from vatrace.media.reading import SAMPLING_RATE
from vatrace.media.samples import MAX_SAMPLE
from vatrace.media.transcripts import Word
from vatrace.names import MODALITIES
from vatrace.timeline import TOLERANCE, frames_on_grid
from vatrace.weights import find_whisper

if TYPE_CHECKING:
    from PIL import Image

RATE = 10.0
"""Values a second."""
MAX_WAIT = 1.5
"""Seconds after which a step's value is given out without the face or voice that is still being processed."""
ABSENT_DUR = 10.0
"""Seconds without any frame, or audio, after which none is waited for: there is no camera, or no microphone.

More than twice `vatrace.inference.feed.MAX_BACKLOG`: on a slow machine as much is being processed as is waiting."""
MEMORY_DUR = 12.0
"""Seconds of audio that are kept: more than the longest stretch that is processed at once."""
MAX_TALK_DUR = 8.0
"""Seconds after which speech is transcribed even if it continues."""
PAUSE_DUR = 0.5
"""Seconds of silence that end an utterance."""
MAX_FACE_AGE = 0.35
"""Seconds for which a face counts after the frame that showed it."""


@dataclass(frozen=True)
class Value:
    """One step of a live trace.

    Attributes:
        time: seconds since the start.
        valence: unpleasant -1 .. pleasant 1.
        arousal: calm -1 .. excited 1.
        presence: whether face, voice and words were present.
        late: those of face and voice that were still being processed when the value had to be given out, or were skipped.
            Whether they were present isn't known, and they count as absent. Nothing is marked late until the first frame, or
            the first audio, has been processed.
        low: lower ends of 90 % intervals for valence and arousal; None if the model wasn't calibrated.
        high: their upper ends.
    """

    time: float
    valence: float
    arousal: float
    presence: dict[str, bool]
    late: tuple[str, ...] = ()
    low: tuple[float, float] | None = None
    high: tuple[float, float] | None = None


class Streamer:
    """Follows one person live. Frames and audio may come from two threads; neither waits for the other's work.

    Args:
        fusion: a streaming fusion model in ONNX (see `vatrace.training.export`); None for the package's own.
        whisper: a folder with Whisper tiny.en in CTranslate2 form; None to look for it.
        threads: CPU threads; None for one a core.
        transcribe: whether to recognise words.
        has_audio: whether there will be audio; without it, Whisper isn't needed.

    Attributes:
        words: the latest 1000 words that were recognised.

    Raises:
        MissingWeightsError: if Whisper's weights are missing.
        ModelError: if `fusion` is not a streaming model for the package's own encoders at RATE.
    """

    def __init__(
        self,
        fusion: Path | None = None,
        whisper: Path | None = None,
        threads: int | None = None,
        transcribe: bool = True,
        has_audio: bool = True,
    ) -> None:
        threads = threads or os.cpu_count() or 1
        self.words: deque[Word] = deque(maxlen=1000)
        self._fusion = _LiveFusion(fusion, threads)
        self._eyes = _Eyes()
        self._ears = _Ears(Listener(find_whisper(whisper), max(1, threads - 1)) if has_audio else None, transcribe)
        self._lock = Lock()
        self._step = 0

    def add_frame(self, image: Image.Image, time: float) -> None:
        """Add the next frame.

        Args:
            image: RGB.
            time: when it was taken, in seconds since the start; later than the frame before.
        """
        self._eyes.add_frame(image, time)

    def add_audio(self, samples: NDArray[np.float32]) -> None:
        """Add the next audio, which follows what came before without a gap; the first starts at 0 s.

        Args:
            samples: (N,) 16 kHz mono, -1..1. What comes in one call is processed together: half a second to a second is best.

        Raises:
            ValueError: if the streamer was made with has_audio=False.
        """
        self.words.extend(self._ears.add_audio(samples))

    def skip_audio(self, seconds: float) -> None:
        """Leave out the next audio: whether somebody speaks in it stays unknown."""
        self._ears.skip(seconds)

    def end(self, modality: str) -> None:
        """Announce that no more frames ("face") or audio ("voice") will come: nothing is waited for any longer, or late."""
        if modality == "face":
            self._eyes.time = math.inf
        else:
            self._ears.time = math.inf

    def values(self, now: float) -> list[Value]:
        """The values of the steps that have become known, in order, each once.

        Args:
            now: seconds since the start.
        """
        with self._lock:
            known_until = {"face": self._eyes.time, "voice": self._ears.time}
            waited_for = {name: time for name, time in known_until.items() if now - time <= ABSENT_DUR}
            known = min([now, *(max(time, now - MAX_WAIT) for time in waited_for.values())])
            stop = int(np.floor((known + TOLERANCE) * RATE))
            found = []
            for step in range(self._step, stop):
                moment = step / RATE
                vectors = {
                    "face": self._eyes.at(moment),
                    "voice": self._ears.voice.pop(step, None),
                    "words": self._ears.next_word(),
                }
                unknown = {name for name, time in waited_for.items() if 0 < time <= moment}
                skipped_from, skipped_until = self._ears.skipped
                if skipped_from <= moment < skipped_until:
                    unknown.add("voice")
                late = tuple(name for name in MODALITIES if name in unknown and vectors[name] is None)
                found.append(replace(self._fusion.step(moment, vectors), late=late))
            self._step = max(stop, self._step)
            self._eyes.forget(self._step / RATE)
            return found


class _Eyes:
    """The face of the person who is followed, as of the latest frames."""

    def __init__(self) -> None:
        self.time = 0.0
        self._encoder = DEFAULT_ENCODERS["face"].build(1)
        self._tracker = FaceTracker(Landmarker())
        self._main: int | None = None
        self._main_seen = 0.0
        self._beside: set[int] = set()
        self._seen: deque[tuple[float, NDArray[np.float32] | None]] = deque(maxlen=round(30 * MEMORY_DUR))

    def add_frame(self, image: Image.Image, time: float) -> None:
        detections = self._tracker.update(image, time)
        followed = self._choose(detections, time)
        vector = None
        if followed is not None:
            self._main_seen = time
            vector = self._encoder(face_crop(image, followed.square, self._encoder.crop_size)[None])[0]
        self._seen.append((time, vector))
        self.time = time + 1 / RATE  # steps before this are known

    def _choose(self, detections: list[Detection], time: float) -> Detection | None:
        """The detection of the person who is followed; None if they aren't in this frame."""
        main = next((found for found in detections if found.track == self._main), None)
        if main is not None:
            self._beside = {found.track for found in detections} - {main.track}
            return main
        # a face that wasn't seen beside the person who is followed can be theirs, with a new track
        gone = self._main is None or time - self._main_seen > REJOIN_SECONDS
        others = [found for found in detections if gone or found.track not in self._beside]
        chosen = max(others, key=lambda found: found.square.side, default=None)
        if chosen is not None:
            self._main = chosen.track
        elif gone:
            self._main = None
        return chosen

    def at(self, moment: float) -> NDArray[np.float32] | None:
        """The face at a moment: that of the latest frame before it, unless it is too old."""
        latest = [item for item in tuple(self._seen) if item[0] <= moment + TOLERANCE]
        return latest[-1][1] if latest and moment - latest[-1][0] <= MAX_FACE_AGE else None

    def forget(self, moment: float) -> None:
        """Drop the frames that no step from this moment on needs."""
        while len(self._seen) > 1 and self._seen[1][0] <= moment:
            self._seen.popleft()


class _Ears:
    """The voice at each step, and the words once they are understood."""

    def __init__(self, listener: Listener | None, transcribe: bool) -> None:
        self.voice: dict[int, NDArray[np.float32]] = {}
        self.time = 0.0 if listener else math.inf
        self.skipped = (0.0, 0.0)
        self._listener, self._transcribe = listener, transcribe
        self._voice_encoder = DEFAULT_ENCODERS["voice"].build(1)
        self._word_encoder = DEFAULT_ENCODERS["words"].build(1)
        self._audio = np.zeros(0, np.float32)
        self._level = RunningLevel()
        self._talk_start: float | None = None
        self._vectors: deque[NDArray[np.float32]] = deque(maxlen=round(10 * RATE))

    def add_audio(self, samples: NDArray[np.float32]) -> list[Word]:
        """Process the next audio; the words that have been understood."""
        if self._listener is None:
            raise ValueError("this Streamer was made with has_audio=False")
        samples = np.where(np.abs(samples) <= MAX_SAMPLE, samples, np.float32(0))  # what isn't a number is silence
        before, end = self.time, self.time + len(samples) / SAMPLING_RATE
        self._audio = np.concatenate([self._audio, samples])[-round(MEMORY_DUR * SAMPLING_RATE) :]
        origin = end - len(self._audio) / SAMPLING_RATE
        found = self._listener.speech_spans(self._level.searched(self._audio))
        self._level.add(samples, [(origin - before + start, origin - before + stop) for start, stop in found])
        spans = [(origin + start, origin + stop) for start, stop in found]
        words: list[Word] = []
        latest = [span for span in spans if span[1] > before - PAUSE_DUR]
        if latest:
            words = self._understand(self._listener, latest, before, end, origin)
        elif self._talk_start is not None:
            self._talk_start = None
        for step in [step for step in list(self.voice) if step / RATE < end - MEMORY_DUR]:  # nobody has asked for it
            self.voice.pop(step, None)
        self.time = end
        return words

    def skip(self, seconds: float) -> None:
        """Continue after a gap."""
        self.skipped = (self.time, self.time + seconds)
        self.time += seconds
        self._audio, self._talk_start = np.zeros(0, np.float32), None

    def _understand(
        self, listener: Listener, spans: list[tuple[float, float]], before: float, end: float, origin: float
    ) -> list[Word]:
        start = max(self._talk_start if self._talk_start is not None else spans[0][0], origin)
        self._talk_start = start
        heard = self._audio[round((start - origin) * SAMPLING_RATE) :]
        if len(heard) < SAMPLING_RATE // FRAME_RATE:
            return []
        encoding = listener.encode(heard * np.float32(self._level.gain))
        first, vectors = frames_on_grid(start, self._voice_encoder(encoding.frames), RATE)
        for step, vector in enumerate(vectors, first):
            inside = any(a - TOLERANCE <= step / RATE < b for a, b in spans)
            if inside and before - TOLERANCE <= step / RATE:
                self.voice[step] = vector
        self.time = end  # what follows takes long, and the voice need not wait for it
        ended = spans[-1][1] < end - PAUSE_DUR
        if not ended and end - start < MAX_TALK_DUR:
            return []
        self._talk_start = None if ended else end
        words = listener.text(encoding, (start, start + len(heard) / SAMPLING_RATE)).words if self._transcribe else []
        if words:
            for word, vector in zip(words, self._word_encoder([word.text for word in words]), strict=True):
                self._vectors.extend([vector] * max(1, round((word.end - word.start) * RATE)))
        return words

    def next_word(self) -> NDArray[np.float32] | None:
        """The vector of the word that counts at the next step; each is taken once."""
        return self._vectors.popleft() if self._vectors else None


class _LiveFusion:
    """A streaming fusion model, and the presence of the past few seconds, which its intervals depend on."""

    def __init__(self, file: Path | None, threads: int) -> None:
        self._model = open_fusion(file, streams=True, threads=threads)
        if self._model.rate != RATE or any(spec != DEFAULT_ENCODERS[name] for name, spec in self._model.encoders.items()):
            raise ModelError(
                f"{self._model.name}: live takes models of {RATE:g} steps a second for the package's own encoders, "
                f"not of {self._model.rate:g} for {', '.join(spec.name for spec in self._model.encoders.values())}"
            )
        self._past: deque[dict[str, bool]] = deque(maxlen=round(MEMORY * RATE) + 1)

    def step(self, time: float, vectors: dict[str, NDArray[np.float32] | None]) -> Value:
        given = {name: vector[None] for name, vector in vectors.items() if vector is not None and name in self._model.encoders}
        present = {name: name in given for name in MODALITIES}
        values = self._model.step(given, {name: np.array([name in given]) for name in self._model.dims})
        self._past.append(present)
        low = high = None
        if self._model.half_widths:
            past = {name: np.array([known[name] for known in self._past]) for name in MODALITIES}
            ends = bounds(values, situations(past, RATE, ahead=False)[-1:], self._model.half_widths)
            low, high = ((float(end[0, 0]), float(end[0, 1])) for end in ends)
        return Value(time, float(values[0, 0]), float(values[0, 1]), present, low=low, high=high)
