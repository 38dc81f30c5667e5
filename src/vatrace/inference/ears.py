"""Live audio: the voice at each step, and the words once they are recognised."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vatrace.encoders import DEFAULT_ENCODERS
from vatrace.features.level import RunningLevel
from vatrace.features.speech import FRAME_RATE, Listener
from vatrace.languages import AUTO
from vatrace.media.reading import SAMPLING_RATE
from vatrace.media.samples import as_mono
from vatrace.media.transcripts import Word
from vatrace.timeline import TOLERANCE, frames_on_grid

HOP_DUR = 0.5
"""Seconds of audio that are processed together, regardless of the lengths of its blocks."""
AUDIO_DUR = 12.0
"""Seconds of audio that are kept: MAX_TALK_DUR, and the hops that are processed together in a hurry."""
KEEP_DUR = 600.0
"""Seconds for which faces and voices are kept if their values aren't requested."""
MAX_TALK_DUR = 8.0
"""Seconds after which speech is transcribed even if it continues."""
PAUSE_DUR = 0.5
"""Seconds of silence that end an utterance."""
MAX_WORD_LAG = 10.0
"""Seconds after recognition beyond which words no longer count, because those before them took so long."""


class Ears:
    """The voice and the words at each step of one stream.

    Args:
        listener: finds and transcribes speech; None without audio.
        transcribe: whether to recognise words.
        rate: steps a second.
        language: the code of the language that is spoken, or AUTO to find out.

    Attributes:
        voice: the vector (D,) of the voice by step, where somebody speaks.
        time: seconds until which the voice is known; infinite once no more audio comes.
        skipped: start and end of the latest audio that was left out, in seconds.
        given: the first step whose value hasn't been returned; words can't count before it.
    """

    def __init__(self, listener: Listener | None, transcribe: bool, rate: float, language: str = AUTO) -> None:
        self.voice: dict[int, NDArray[np.float32]] = {}
        self.time = 0.0 if listener else math.inf
        self.skipped = (0.0, 0.0)
        self.given = 0
        self._listener, self._transcribe, self._rate, self._language = listener, transcribe, rate, language
        self._voice_encoder = DEFAULT_ENCODERS["voice"].build(1)
        self._word_encoders = {DEFAULT_ENCODERS["words"]: DEFAULT_ENCODERS["words"].build(1)}
        self._pending = np.zeros(0, np.float32)
        self._audio = np.zeros(0, np.float32)
        self._level = RunningLevel()
        self._talk_start: float | None = None
        self._words: dict[int, NDArray[np.float32]] = {}
        self._words_end = 0

    def add_audio(self, samples: ArrayLike, hurry: bool = False) -> Iterator[Word]:
        """Process all whole hops of the audio so far; the rest waits for more.

        Args:
            samples: (N,) 16 kHz mono, -1..1; what isn't sound counts as 0 (see `as_mono`).
            hurry: whether to process the hops together, which is faster but a little less accurate.

        Yields:
            The words that have been recognised.

        Raises:
            ValueError: if the samples have more than one dimension, or there is no listener.
        """
        if self._listener is None:
            raise ValueError("made with has_audio=False, and given audio")
        self._pending = np.concatenate([self._pending, as_mono(samples)])
        hop = round(HOP_DUR * SAMPLING_RATE)
        if hurry:
            hop *= max(min(len(self._pending) // hop, round((AUDIO_DUR - MAX_TALK_DUR) / HOP_DUR)), 1)
        while len(self._pending) >= hop:
            block, self._pending = self._pending[:hop], self._pending[hop:]
            yield from self._hear(self._listener, block)

    def end(self) -> Iterator[Word]:
        """Process the rest; no more audio will come. Yields the last words."""
        if self._listener is not None and self.time < math.inf:
            yield from self._hear(self._listener, self._flushed(), last=True)
        self.time = math.inf

    def skip(self, seconds: float) -> Iterator[Word]:
        """Process the audio before a gap, and continue after it. Yields the words before it."""
        if self._listener is not None:
            yield from self._hear(self._listener, self._flushed(), last=True)
        self.skipped = (self.time, self.time + seconds)
        self.time += seconds
        self._audio, self._talk_start = np.zeros(0, np.float32), None

    def word(self, step: int) -> NDArray[np.float32] | None:
        """The vector (D,) of the word that counts at a step; each is taken once."""
        return self._words.pop(step, None)

    def _flushed(self) -> NDArray[np.float32]:
        block, self._pending = self._pending, np.zeros(0, np.float32)
        return block

    def _hear(self, listener: Listener, block: NDArray[np.float32], last: bool = False) -> list[Word]:
        """Process the next audio, and return the words that have been recognised; after the last, nothing is waited for."""
        before, end = self.time, self.time + len(block) / SAMPLING_RATE
        self._audio = np.concatenate([self._audio, block])[-round(AUDIO_DUR * SAMPLING_RATE) :]
        origin = end - len(self._audio) / SAMPLING_RATE
        found = listener.speech_spans(self._level.searched(self._audio))
        self._level.add(block, [(origin - before + start, origin - before + stop) for start, stop in found])
        spans = [(origin + start, origin + stop) for start, stop in found]
        words: list[Word] = []
        latest = [span for span in spans if span[1] > before - PAUSE_DUR]
        if latest:
            words = self._understand(listener, latest, (before, end), origin, last)
        elif self._talk_start is not None:
            self._talk_start = None
        for step in [step for step in list(self.voice) if step / self._rate < end - KEEP_DUR]:  # nobody has asked for it
            self.voice.pop(step, None)
        self.time = end
        return words

    def _understand(
        self, listener: Listener, spans: list[tuple[float, float]], hop: tuple[float, float], origin: float, last: bool
    ) -> list[Word]:
        """Update the voice, and return the words of an utterance that ends in this hop (start and end in seconds)."""
        before, end = hop
        start = max(self._talk_start if self._talk_start is not None else spans[0][0], origin)
        self._talk_start = start
        heard = self._audio[round((start - origin) * SAMPLING_RATE) :]
        if len(heard) < SAMPLING_RATE // FRAME_RATE:
            return []
        heard = heard * np.float32(self._level.gain)
        encoding = listener.encode(heard)
        first, vectors = frames_on_grid(start, self._voice_encoder(encoding.frames), self._rate)
        for step, vector in enumerate(vectors, first):
            inside = any(a - TOLERANCE <= step / self._rate < b for a, b in spans)
            if inside and before - TOLERANCE <= step / self._rate:
                self.voice[step] = vector
        self.time = end  # recognition takes long, and the voice need not wait for it
        ended = last or spans[-1][1] < end - PAUSE_DUR
        if not ended and end - start < MAX_TALK_DUR:
            return []
        self._talk_start = None if ended else end
        piece = (start, start + len(heard) / SAMPLING_RATE)
        words = listener.text(heard, encoding, piece, self._language).words if self._transcribe else []
        spec = DEFAULT_ENCODERS["words"].for_language(words[0].language) if words else None  # an utterance has one language
        if spec is not None:
            if spec not in self._word_encoders:
                self._word_encoders[spec] = spec.build(1)
            self._place(words, self._word_encoders[spec]([word.text for word in words]), end)
        return words

    def _place(self, words: list[Word], vectors: NDArray[np.float32], end: float) -> None:
        """Let words count from `end` seconds on, when they became known, or from the next step whose value is returned."""
        first = max(math.ceil((end - TOLERANCE) * self._rate), self.given)
        step = max(first, self._words_end)
        for word, vector in zip(words, vectors, strict=True):
            stop = min(step + max(1, round((word.end - word.start) * self._rate)), first + round(MAX_WORD_LAG * self._rate))
            self._words |= dict.fromkeys(range(step, stop), vector)
            step = max(stop, step)
        self._words_end = step
