"""Audio without its long pauses, which mislead speech recognition, and the conversion to times of the recording."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from vatrace.features.doubt import Guess
from vatrace.media.voice_activity import RATE, Span, Spans

MAX_PAUSE = 0.6
"""Seconds of the longest pause that is kept. In longer ones, Whisper's aligner stretches words, and its decoder drops
sentences."""
PAUSE = 0.6
"""Seconds of silence in place of a longer pause, in addition to the 0.2 s that each span has before and after its speech.
Without it, the decoder merged repeated sentences: 223 of 288 words in 48 sentences were right, with it 226."""
MAX_CROSSING = 0.2
"""Seconds by which a word may extend into both of two pieces: the margin that each has around its speech."""
QUIET = 0.1
"""Seconds whose loudness says where a piece is best cut."""
STOPS = (".", ",", "?", "!", ";", ":")
"""Ends of words after which a pause is likely."""
MIN_WORD_DUR = 0.04
"""Seconds of the shortest word: two of Whisper's frames. Its aligner gives some words no duration at all."""


def pieces_of(spans: Spans) -> Spans:
    """Spans of speech, joined where the pause between them is kept."""
    pieces: Spans = []
    for start, end in spans:
        if pieces and start - pieces[-1][1] <= MAX_PAUSE:
            pieces[-1] = (pieces[-1][0], end)
        else:
            pieces.append((start, end))
    return pieces


@dataclass(frozen=True)
class Cut:
    """Pieces of audio, one after the other, with `PAUSE` after each.

    Attributes:
        audio: (N,) 16 kHz.
        pieces: (start, end) of each in seconds of the uncut audio.
    """

    audio: NDArray[np.float32]
    pieces: Spans

    @property
    def starts(self) -> NDArray[np.float64]:
        """(P,) When each piece starts in the cut audio, in seconds."""
        return np.cumsum([0.0, *(end - start + PAUSE for start, end in self.pieces[:-1])])

    def crossed(self, guesses: Sequence[Guess]) -> set[int]:
        """The pieces whose words can't be trusted, because one of them continues from one piece into the next.

        This happens if the decoder has skipped a sentence: the aligner then spreads the others over all of the audio.
        """
        found: set[int] = set()
        for guess in guesses:
            for index, border in enumerate(self.starts[1:]):
                if guess.word.start < border - PAUSE - MAX_CROSSING and border + MAX_CROSSING < guess.word.end:
                    found |= {index, index + 1}
        return found

    def restored(self, guesses: Sequence[Guess]) -> list[list[Guess]]:
        """The words of each piece of the cut audio, with times in the uncut audio, within that piece."""
        found: list[list[Guess]] = [[] for _ in self.pieces]
        starts = self.starts
        ends = starts + [end - start for start, end in self.pieces]
        index, text = 0, ""
        for guess in guesses:
            overlaps = np.minimum(guess.word.end, ends) - np.maximum(guess.word.start, starts)
            # words without duration pile up where a pause ends; in the middle of a sentence, they belong before it
            if overlaps.max() > 0 or text.endswith(STOPS):
                index = max(index, int(np.argmax(overlaps)))
            text = guess.word.text
            first, last = self.pieces[index]
            times = np.clip(np.array([guess.word.start, guess.word.end]) - starts[index] + first, first, last)
            found[index].append(_moved(guess, *times))
        return [_shared(words) for words in found]


def halves(audio: NDArray[np.float32], piece: Span) -> Spans:
    """Cut a piece of audio (N,), in seconds of it, at the quietest moment of its middle half."""
    size = round(QUIET * RATE)
    first = round((piece[0] + (piece[1] - piece[0]) / 4) * RATE)
    middle = audio[first : round((piece[1] - (piece[1] - piece[0]) / 4) * RATE)].astype(np.float64)
    power = np.convolve(middle**2, np.ones(size), "valid") if len(middle) >= size else np.zeros(1)
    border = (first + int(power.argmin()) + min(size, len(middle)) / 2) / RATE
    return [(piece[0], border), (border, piece[1])]


def _moved(guess: Guess, start: float, end: float) -> Guess:
    return replace(guess, word=replace(guess.word, start=float(start), end=float(end)))


def _shared(guesses: list[Guess]) -> list[Guess]:
    """Words of one piece; those without duration share their neighbour's, in proportion to the lengths of both."""
    result = list(guesses)
    for index in range(len(result)):
        if result[index].word.end - result[index].word.start >= MIN_WORD_DUR or len(result) == 1:
            continue
        left = min(index, len(result) - 2)
        words = [result[left].word, result[left + 1].word]
        start, end = words[0].start, max(words[1].end, words[0].start + 2 * MIN_WORD_DUR)
        border = start + (end - start) * len(words[0].text) / len(words[0].text + words[1].text)
        result[left : left + 2] = [_moved(result[left], start, border), _moved(result[left + 1], border, end)]
    return result


def cut_pauses(audio: NDArray[np.float32], pieces: Spans) -> Cut:
    """Join pieces (start, end) in seconds of audio (N,)."""
    silence = np.zeros(round(PAUSE * RATE), np.float32)
    parts = [np.concatenate([audio[round(start * RATE) : round(end * RATE)], silence]) for start, end in pieces]
    return Cut(np.concatenate(parts), list(pieces))
