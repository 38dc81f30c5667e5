"""Valence and arousal from a live camera and microphone.

A value is based on the face at its time, the voice up to a moment after it, and the words recognised so far. The wait for them
is limited: late modalities are left out. The first value is that of the first step at which the face is present and the audio
has been processed: a camera opens later than a microphone, and values from the voice alone would jump once the face counts. If
one of them doesn't come within START_DUR, all values from 0 s on are returned then.
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
from numpy.typing import ArrayLike, NDArray

from vatrace.encoders import DEFAULT_ENCODERS
from vatrace.errors import ModelError
from vatrace.features.speech import Listener, open_listener
from vatrace.inference.ears import Ears
from vatrace.inference.eyes import Eyes, Place, as_image
from vatrace.inference.fusion import open_fusion
from vatrace.inference.intervals import MEMORY, bounds, situations
from vatrace.languages import AUTO, check_language
from vatrace.media.transcripts import Word
from vatrace.names import MODALITIES
from vatrace.timeline import TOLERANCE

if TYPE_CHECKING:
    from PIL import Image

RATE = 10.0
"""Values a second."""
MAX_WAIT = 1.5
"""Seconds after which a step's value is returned without a face or voice that is still being processed."""
ABSENT_DUR = 10.0
"""Seconds without any frame, or audio, after which none is waited for, because there is no camera, or no microphone.

More than twice `vatrace.inference.streamer.MAX_BACKLOG`: on a slow machine, as much is being processed as is waiting."""
START_DUR = 3.0
"""Seconds after which values are returned although there has been no face, or no audio."""


@dataclass(frozen=True)
class Value:
    """One step of a live trace.

    Attributes:
        time: seconds since the start.
        valence: unpleasant -1 .. pleasant 1.
        arousal: calm -1 .. excited 1.
        presence: whether face, voice and words were present.
        late: those of face and voice that were still being processed when the value had to be returned, or were skipped.
            Whether they were present isn't known, and they count as absent. Nothing is marked late until the first frame, or
            the first audio, has been processed.
        low: lower ends of 90 % intervals for valence and arousal; None if the model wasn't calibrated.
        high: their upper ends.
        person: number of the person whose face is followed, 1 for the first; 0 before the first is seen.
        others: number of other people in view. Their faces aren't used.
    """

    time: float
    valence: float
    arousal: float
    presence: dict[str, bool]
    late: tuple[str, ...] = ()
    low: tuple[float, float] | None = None
    high: tuple[float, float] | None = None
    person: int = 0
    others: int = 0


class Follower:
    """Follows one person live, by their looks, as long as they don't stay away for `vatrace.inference.eyes.NEW_PERSON_SECONDS`.

    It works in the threads that call it; `vatrace.inference.streamer.Streamer` gives it threads of its own.
    Frames and audio may come from two threads; neither waits for the other's work.

    Its arguments and errors are those of `Streamer`, which describes them.

    Attributes:
        words: the latest 1000 words that were recognised.
    """

    def __init__(
        self,
        fusion: Path | None = None,
        whisper: str | Path | None = None,
        threads: int | None = None,
        transcribe: bool = True,
        has_audio: bool = True,
        listener: Listener | None = None,
        language: str = AUTO,
    ) -> None:
        check_language(language)
        threads = threads or os.cpu_count() or 1
        self.words: deque[Word] = deque(maxlen=1000)
        self._fusion = _LiveFusion(fusion, threads)
        self._eyes = Eyes(RATE)
        if has_audio and listener is None:
            listener = open_listener(whisper, max(1, threads - 1))
        listener = listener if has_audio else None
        if listener is not None and transcribe:
            listener.check_knows(language)
        self._ears = Ears(listener, transcribe, RATE, language)
        self._lock = Lock()
        self._step = 0
        self._expected = set(self._fusion.takes) & ({"face", "voice"} if has_audio else {"face"})
        self._held: list[Value] | None = []  # until the first value is returned

    @property
    def place(self) -> Place | None:
        """Where the face is in the latest frame; None if it isn't in view."""
        return self._eyes.place

    def add_frame(self, image: Image.Image | NDArray[np.uint8], time: float) -> None:
        """Add the next frame.

        Args:
            image: RGB, or an array (H, W, 3) of it, 0..255.
            time: when it was taken, in seconds since the start; later than the previous frame.

        Raises:
            ValueError: if an array is of another kind.
        """
        self._eyes.add_frame(as_image(image), time)

    def add_audio(self, samples: ArrayLike, hurry: bool = False) -> None:
        """Add the next audio, which follows the previous audio without a gap; the first starts at 0 s.

        Each half second is processed as soon as it is complete, so that the values don't depend on the lengths of the blocks.
        This takes 0.1 to 0.3 s on two CPU cores while somebody speaks.

        Args:
            samples: (N,) 16 kHz mono, -1..1, or integers, which are scaled to it. Any number of them.
            hurry: whether to process all half seconds in it together, for a source that is behind its time.

        Raises:
            ValueError: if the samples have another shape, or the streamer was made with has_audio=False.
        """
        for word in self._ears.add_audio(samples, hurry):
            self.words.append(word)

    def skip_audio(self, seconds: float) -> None:
        """Leave out the next audio: whether somebody speaks in it stays unknown."""
        self.words.extend(self._ears.skip(seconds))

    def end(self, modality: str) -> None:
        """Announce that no more frames ("face") or audio ("voice") will come: nothing is waited for any longer, or late."""
        if not (self._eyes if modality == "face" else self._ears).time:  # none came: no camera, or no microphone
            self._expected.discard(modality)
        if modality == "face":
            self._eyes.time = math.inf
        else:
            self.words.extend(self._ears.end())

    def values(self, now: float) -> list[Value]:
        """The values of the steps that have become known, in order, each once.

        Steps before the first value are left out (see above).

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
                self._ears.given = step + 1
                moment = step / RATE
                seen = self._eyes.at(moment)
                vectors = {
                    "face": seen.vector,
                    "voice": self._ears.voice.pop(step, None),
                    "words": self._ears.word(step),
                }
                unknown = {name for name, time in waited_for.items() if 0 < time <= moment}
                skipped_from, skipped_until = self._ears.skipped
                if skipped_from <= moment < skipped_until:
                    unknown.add("voice")
                late = tuple(name for name in MODALITIES if name in unknown and vectors[name] is None)
                value = replace(self._fusion.step(moment, vectors), late=late, person=seen.person, others=seen.others)
                known_now = {"face": vectors["face"] is not None, "voice": known_until["voice"] > moment}
                found += self._released(value, all(known_now[name] for name in self._expected))
            if self._held and min(known_until.values()) == math.inf:  # nothing more will come
                found, self._held = [*self._held, *found], None
            self._step = max(stop, self._step)
            self._eyes.forget(self._step / RATE)
            return found

    def _released(self, value: Value, complete: bool) -> list[Value]:
        """The values that can be returned with this one, which is complete if it is based on all expected modalities."""
        if self._held is None:
            return [value]
        if complete:
            self._held = None
            return [value]
        held = self._held = [*self._held, value]
        if value.time < START_DUR - TOLERANCE:
            return []
        self._held = None
        return held


class _LiveFusion:
    """A streaming fusion model, and the presence of the past few seconds, which its intervals depend on."""

    def __init__(self, file: Path | None, threads: int) -> None:
        self._model = open_fusion(file, streams=True, threads=threads)
        if self._model.rate != RATE or any(spec != DEFAULT_ENCODERS[name] for name, spec in self._model.encoders.items()):
            raise ModelError(
                f"{self._model.name}: live needs a model of {RATE:g} steps a second for the package's own encoders, "
                f"not one of {self._model.rate:g} for {', '.join(spec.name for spec in self._model.encoders.values())}"
            )
        self._past: deque[dict[str, bool]] = deque(maxlen=round(MEMORY * RATE) + 1)

    @property
    def takes(self) -> frozenset[str]:
        """The modalities that it was trained with."""
        return frozenset(self._model.encoders)

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
