"""A live camera and microphone in, valence and arousal as they come.

What is known of a step when it is given out: the face at that moment; the voice up to a moment after it; and the words of what
was said before, which count from when they are understood. Nothing waits without bound: what is late is left out.
"""

from __future__ import annotations

import math
import os
from collections import deque
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vatrace.encoders import DEFAULT_ENCODERS, FEATURE_DIMS
from vatrace.errors import ModelError
from vatrace.features.faces import REJOIN_SECONDS, FaceTracker, Track
from vatrace.features.landmarker import Landmarker
from vatrace.features.speech import FRAME_RATE, Listener, frames_on_grid
from vatrace.inference.fusion import open_fusion
from vatrace.inference.intervals import MEMORY, bounds, situations
from vatrace.media.reading import SAMPLING_RATE
from vatrace.media.transcripts import Word
from vatrace.names import MODALITIES
from vatrace.timeline import TOLERANCE
from vatrace.weights import find_whisper

if TYPE_CHECKING:
    from PIL import Image

RATE = 10.0
"""Values a second."""
MAX_WAIT = 1.5
"""Seconds after which a step is given out without the face or voice that is still being looked at or heard."""
ABSENT_DUR = 10.0
"""Seconds without any picture, or sound, after which none is waited for: there is no camera, or no microphone.

More than twice `vatrace.live.MAX_BACKLOG`: on a machine that is too slow, so much is being heard, and so much waits."""
MEMORY_DUR = 12.0
"""Seconds of sound that are kept: more than the longest stretch that is looked at together."""
MAX_TALK_DUR = 8.0
"""Seconds after which what is said is written down, even if it goes on."""
PAUSE_DUR = 0.5
"""Seconds of silence that end what is said."""
MAX_FACE_AGE = 0.35
"""Seconds for which a face counts after the picture that showed it."""


@dataclass(frozen=True)
class Value:
    """One step of a live trace.

    Attributes:
        time: seconds since the start.
        valence: unpleasant -1 .. pleasant 1.
        arousal: calm -1 .. excited 1.
        presence: whether face, voice and words were there.
        late: of face and voice, what was still being looked at or heard when the step had to be given out, or what was skipped:
            whether it was there is not known, and it counts as absent. Nothing is, before the first of its kind is known.
        low: lower ends of 90 % intervals for valence and arousal; None where the model was not calibrated.
        high: their upper ends.
    """

    time: float
    valence: float
    arousal: float
    presence: dict[str, bool]
    late: tuple[str, ...] = ()
    low: tuple[float, float] | None = None
    high: tuple[float, float] | None = None


@dataclass
class _LatestRows:
    """Takes the place of a `Spool` of embeddings: it keeps those of the latest picture only."""

    shape: tuple[int, ...]
    length: int = 0
    first: int = 0
    rows: NDArray[np.float32] = field(default_factory=lambda: np.zeros((0, 0), np.float32))

    def write(self, start: int, values: NDArray[np.float32]) -> None:
        self.first, self.rows, self.length = start, values, start + len(values)


class Streamer:
    """Follows one person live. Pictures and sound may come from two threads; neither waits for the other's work.

    Args:
        fusion: a streaming fusion model in ONNX (see `vatrace.export`); None for the package's own.
        whisper: a folder with Whisper tiny.en in CTranslate2 form; None to look for it.
        threads: CPU threads; None for one a core.
        transcribe: whether words are written down.
        hears: whether there will be sound; without, no Whisper is needed.

    Raises:
        MissingWeightsError: if Whisper's weights are missing, or `fusion` is not a streaming model for the package's encoders
            and RATE.
    """

    def __init__(
        self,
        fusion: Path | None = None,
        whisper: Path | None = None,
        threads: int | None = None,
        transcribe: bool = True,
        hears: bool = True,
    ) -> None:
        threads = threads or os.cpu_count() or 1
        self.words: deque[Word] = deque(maxlen=1000)
        self._fusion = _Fusion(fusion, threads)
        self._eyes = _Eyes()
        self._ears = _Ears(Listener(find_whisper(whisper), max(1, threads - 1)) if hears else None, transcribe)
        self._lock = Lock()
        self._step = 0

    def see(self, picture: Image.Image, time: float) -> None:
        """Look at a picture that was taken at a time in seconds since the start; times only grow."""
        self._eyes.see(picture, time)

    def hear(self, sound: NDArray[np.float32]) -> None:
        """Hear the next 16 kHz mono sound (N,), -1..1, that follows the sound before without a hole; the first starts at 0 s.

        What comes in one call is looked at together: half a second to a second is a good length.

        Raises:
            ValueError: if it was made not to hear.
        """
        self.words.extend(self._ears.hear(sound))

    def skip(self, seconds: float) -> None:
        """The next sound is left out: whether somebody speaks in it stays unknown."""
        self._ears.skip(seconds)

    def end(self, modality: str) -> None:
        """No more pictures ("face") or sound ("voice") will come: nothing is waited for any longer, and nothing is late."""
        if modality == "face":
            self._eyes.time = math.inf
        else:
            self._ears.time = math.inf

    def values(self, now: float) -> list[Value]:
        """The steps that have become known, in order, each once.

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
    """The face of the one who is followed, as of the latest pictures."""

    def __init__(self) -> None:
        self.time = 0.0
        self._rows = _LatestRows((FEATURE_DIMS["face"],))
        encoder: Any = DEFAULT_ENCODERS["face"].build(1)
        self._tracker = FaceTracker(Landmarker(), encoder, self._rows)  # type: ignore[arg-type]
        self._main: Track | None = None
        self._beside: list[Track] = []
        self._seen: deque[tuple[float, NDArray[np.float32] | None]] = deque(maxlen=round(30 * MEMORY_DUR))

    def see(self, picture: Image.Image, time: float) -> None:
        before = self._rows.length
        self._tracker.update(picture, time, range(0, 1))
        here = [track for track in self._tracker.tracks if track.rows and track.rows[-1] >= before]
        if any(track is self._main for track in here):
            self._beside = [track for track in here if track is not self._main]
        else:  # who was not seen beside the one who is followed can be the same person come back
            gone = self._main is None or time - self._main.last_seen > REJOIN_SECONDS
            others = [track for track in here if gone or all(track is not beside for beside in self._beside)]
            self._main = max(others, key=lambda track: track.sizes[-1], default=None if gone else self._main)
        found = None
        if self._main is not None and self._main.rows[-1] >= before:
            found = self._rows.rows[self._main.rows[-1] - self._rows.first]
        self._tracker.tracks[:] = [t for t in self._tracker.tracks if time - t.last_seen <= REJOIN_SECONDS or t is self._main]
        for track in self._tracker.tracks:  # they remember every step, which a stream has no end of
            for past in (track.steps, track.sizes, track.centres, track.rows):
                del past[:-1]
        self._seen.append((time, found))
        self.time = time + 1 / RATE  # steps before this are known

    def at(self, moment: float) -> NDArray[np.float32] | None:
        """The face at a moment: that of the latest picture before it, if that is not too old."""
        latest = [item for item in tuple(self._seen) if item[0] <= moment + TOLERANCE]
        return latest[-1][1] if latest and moment - latest[-1][0] <= MAX_FACE_AGE else None

    def forget(self, moment: float) -> None:
        """Drop the pictures that no step from this moment on needs."""
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
        self._sound = np.zeros(0, np.float32)
        self._talk_start: float | None = None
        self._vectors: deque[NDArray[np.float32]] = deque(maxlen=round(10 * RATE))

    def hear(self, sound: NDArray[np.float32]) -> list[Word]:
        """Hear on; the words that have been understood."""
        if self._listener is None:
            raise ValueError("this Streamer was made with hears=False")
        before, end = self.time, self.time + len(sound) / SAMPLING_RATE
        self._sound = np.concatenate([self._sound, sound])[-round(MEMORY_DUR * SAMPLING_RATE) :]
        origin = end - len(self._sound) / SAMPLING_RATE
        spans = [(origin + start, origin + stop) for start, stop in self._listener.speech_spans(self._sound)]
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
        """Go on after a hole."""
        self.skipped = (self.time, self.time + seconds)
        self.time += seconds
        self._sound, self._talk_start = np.zeros(0, np.float32), None

    def _understand(
        self, listener: Listener, spans: list[tuple[float, float]], before: float, end: float, origin: float
    ) -> list[Word]:
        start = max(self._talk_start if self._talk_start is not None else spans[0][0], origin)
        self._talk_start = start
        heard = self._sound[round((start - origin) * SAMPLING_RATE) :]
        if len(heard) < SAMPLING_RATE // FRAME_RATE:
            return []
        frames, encoded, num_mels = listener.encode(heard)
        first, vectors = frames_on_grid(start, self._voice_encoder(frames), RATE)
        for step, vector in enumerate(vectors, first):
            inside = any(a - TOLERANCE <= step / RATE < b for a, b in spans)
            if inside and before - TOLERANCE <= step / RATE:
                self.voice[step] = vector
        self.time = end  # what follows takes long, and the voice need not wait for it
        ended = spans[-1][1] < end - PAUSE_DUR
        if not ended and end - start < MAX_TALK_DUR:
            return []
        self._talk_start = None if ended else end
        words = listener.words(encoded, num_mels, start) if self._transcribe else []
        if words:
            for word, vector in zip(words, self._word_encoder([word.text for word in words]), strict=True):
                self._vectors.extend([vector] * max(1, round((word.end - word.start) * RATE)))
        return words

    def next_word(self) -> NDArray[np.float32] | None:
        """The vector of the word that counts at the next step; each is taken once."""
        return self._vectors.popleft() if self._vectors else None


class _Fusion:
    """A streaming fusion model and what it remembers."""

    def __init__(self, file: Path | None, threads: int) -> None:
        self._file = open_fusion(file, "streaming.onnx", threads)
        if self._file.rate != RATE or any(spec != DEFAULT_ENCODERS[name] for name, spec in self._file.encoders.items()):
            raise ModelError(
                f"{self._file.name}: live takes models of {RATE:g} steps a second for the package's own encoders, "
                f"not of {self._file.rate:g} for {', '.join(spec.name for spec in self._file.encoders.values())}"
            )
        self._state = {name: np.zeros(shape, np.float32) for name, shape in self._file.state_shapes.items()}
        self._past: deque[dict[str, bool]] = deque(maxlen=round(MEMORY * RATE) + 1)

    def step(self, time: float, vectors: dict[str, NDArray[np.float32] | None]) -> Value:
        there = {name: vectors[name] is not None and name in self._file.encoders for name in MODALITIES}
        features = {name: _or_zeros(vectors[name], FEATURE_DIMS[name]) for name in self._file.encoders}
        valid = np.array([[[there[name] for name in self._file.encoders]]])
        values, *state = self._file.session.run(None, features | {"valid": valid} | self._state)
        self._state = dict(zip(self._state, state, strict=True))
        self._past.append(there)
        valence, arousal = np.asarray(values)[0, 0].astype(float)
        low = high = None
        if self._file.half_widths:
            past = {name: np.array([known[name] for known in self._past]) for name in MODALITIES}
            ends = bounds(np.array([[valence, arousal]]), situations(past, RATE, ahead=False)[-1:], self._file.half_widths)
            low, high = ((float(end[0, 0]), float(end[0, 1])) for end in ends)
        return Value(time, float(valence), float(arousal), there, low=low, high=high)


def _or_zeros(vector: NDArray[np.float32] | None, dim: int) -> NDArray[np.float32]:
    return (np.zeros(dim, np.float32) if vector is None else vector.astype(np.float32))[None, None]
