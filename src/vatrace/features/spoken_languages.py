"""Which language is spoken, in all of a recording and in each stretch of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from vatrace.features.recogniser import Mels, Recogniser
from vatrace.languages import AUTO, ENGLISH, LANGUAGES
from vatrace.media.voice_activity import Span, Spans

CODES = tuple(LANGUAGES)
PLACE_OF_ENGLISH = CODES.index(ENGLISH)
COMMON = frozenset(
    [
        "ar",
        "bg",
        "bn",
        "ca",
        "cs",
        "da",
        "de",
        "el",
        "en",
        "es",
        "fa",
        "fi",
        "fr",
        "he",
        "hi",
        "hr",
        "hu",
        "id",
        "it",
        "ja",
        "ko",
        "lt",
        "lv",
        "ms",
        "nl",
        "no",
        "pl",
        "pt",
        "ro",
        "ru",
        "sk",
        "sl",
        "sr",
        "sv",
        "ta",
        "th",
        "tl",
        "tr",
        "uk",
        "ur",
        "vi",
        "zh",
    ]
)
"""
    Languages that are spoken in many recordings. On short speech, Whisper often takes these for a rare one, such as Latin.
    """
RARE = 0.05
"""Prior probability of each other language, relative to a common one."""
LOOK_DUR = 10.0
"""Seconds of the windows in which the language is looked for; longer pieces of speech have several, whose probabilities are
averaged. Whisper base finds it as well in windows of 10 s, which are not padded to 30 s, in a tenth of the time."""
FULL_DUR = 4.0
"""Seconds of speech from which a piece counts fully; the log probabilities of shorter ones are weighted by their length."""
SWITCH = 0.02
"""Probability that the language changes from one piece of speech to the next. With this, one clear piece of 4 s is a stretch of
its own (log probabilities of 9.2, by FLOOR, outweigh two changes), but not one of 2 s."""
FLOOR = 1e-4
"""Lowest probability of a language in a window, so that no single window decides."""


CLEAR = 0.95
"""Probability from which a piece's language needs no second look."""
ENGLISH_ODDS = {True: 40.0, False: 0.05}
"""By how much the odds of English change if the English model is sure of its words in a piece, or if it isn't. It was sure of
all 24 English pieces (GRID, RAVDESS's training actors, a reading), three of which weren't clear, and of 1 of 45
others (German, Italian, Korean, Polish) that weren't clear."""


@dataclass(frozen=True)
class Stretch:
    """A stretch of speech in one language.

    Attributes:
        start: seconds.
        end: seconds.
        language: its code.
        probability: mean over its speech, 0..1, as the speech recognition gives it; None if the user named the language.
    """

    start: float
    end: float
    language: str
    probability: float | None = None


@dataclass
class SpokenLanguages:
    """Finds out which language is spoken in successive pieces of speech of one recording, and keeps it.

    Args:
        choice: the code of the language that is spoken, or AUTO to find out.
        recogniser: a multilingual model; needed only to find out.

    Attributes:
        stretches: what was found, in order of the pieces.
    """

    choice: str
    recogniser: Recogniser | None = None
    stretches: list[Stretch] = field(default_factory=list)
    _total: NDArray[np.float64] = field(default_factory=lambda: np.zeros(len(CODES)))

    def add(
        self, pieces: Spans, offset: float, mels_of: Callable[[Span], Mels], sounds_english: Callable[[Span], bool]
    ) -> list[str]:
        """Find the language of each of several pieces of speech.

        Each is decided together with the others and with what was found before, because short speech alone is often mistaken.

        Args:
            pieces: their starts and ends in seconds.
            offset: seconds to add to them.
            mels_of: makes the log-mel frames (80, F) of a piece.
            sounds_english: whether the English model is sure of its words in a piece; asked where the language isn't clear.

        Returns:
            The code of each piece.
        """
        if self.choice != AUTO or self.recogniser is None or not pieces:
            self.stretches += [Stretch(start + offset, end + offset, self.choice) for start, end in pieces]
            return [self.choice] * len(pieces)
        found = np.array([self._probabilities(self.recogniser, mels_of(piece)) for piece in pieces])  # (P, L)
        for row in np.flatnonzero(found.max(axis=1) < CLEAR):
            found[row, PLACE_OF_ENGLISH] *= ENGLISH_ODDS[sounds_english(pieces[row])]
            found[row] /= found[row].sum()
        durs = np.array([end - start for start, end in pieces])
        before = self._total / self._total.sum() if self._total.any() else np.zeros(len(CODES))
        path = most_likely(found, durs, before)
        self._total += (found * durs[:, None]).sum(axis=0)
        for (start, end), place, probabilities in zip(pieces, path, found, strict=True):
            self.stretches.append(Stretch(start + offset, end + offset, CODES[place], float(probabilities[place])))
        return [CODES[place] for place in path]

    def _probabilities(self, recogniser: Recogniser, mels: Mels) -> NDArray[np.float64]:
        """(L,) The probability of each language in a piece of speech, weighted by the prior; the mean over its windows."""
        size = round(100 * LOOK_DUR)
        starts = range(0, max(mels.shape[-1] - size // 2, 1), size)  # the last window may be longer, but not very short
        windows = [mels[:, start : start + size if start + 3 * size // 2 <= mels.shape[-1] else None] for start in starts]
        result = np.zeros(len(CODES))
        for window in windows:
            known = recogniser.languages(window)
            weighted = np.array([known.get(code, 0.0) * (1.0 if code in COMMON else RARE) for code in CODES])
            result += weighted / weighted.sum() / len(windows)
        return result


def most_likely(found: NDArray[np.float64], durs: NDArray[np.float64], before: NDArray[np.float64]) -> list[int]:
    """The most likely sequence of languages (Viterbi, 1967).

    Args:
        found: (P, L) the probability of each language in each piece.
        durs: (P,) seconds of each piece.
        before: (L,) mean probability of each language in earlier pieces; zeros if there are none.

    Returns:
        The index of the language of each piece.
    """
    weights = np.minimum(durs / FULL_DUR, 1.0)[:, None]
    evidence = weights * np.log(np.maximum(found, FLOOR))
    score = evidence[0] + (np.log(before + SWITCH) if before.any() else 0.0)
    origins = []
    for row in evidence[1:]:
        best = int(score.argmax())
        jumps = score[best] + np.log(SWITCH) > score
        origins.append(np.where(jumps, best, np.arange(len(score))))
        score = np.where(jumps, score[best] + np.log(SWITCH), score) + row
    path = [int(score.argmax())]
    for origin in reversed(origins):
        path.append(int(origin[path[-1]]))
    return path[::-1]


def merged(stretches: Sequence[Stretch]) -> list[Stretch]:
    """Stretches in order of time, with successive ones in the same language joined; probabilities are weighted by length."""
    result: list[Stretch] = []
    speech: list[float] = []
    for stretch in sorted(stretches, key=lambda found: found.start):
        dur = stretch.end - stretch.start
        if result and result[-1].language == stretch.language:
            last = result[-1]
            if last.probability is None or stretch.probability is None:
                probability = None
            else:
                probability = (last.probability * speech[-1] + stretch.probability * dur) / (speech[-1] + dur)
            result[-1] = replace(last, end=max(last.end, stretch.end), probability=probability)
            speech[-1] += dur
        else:
            result.append(stretch)
            speech.append(dur)
    return result


def languages_at(stretches: Sequence[Stretch], times: NDArray[np.float64]) -> NDArray[np.str_]:
    """The code (T,) of the language that is spoken at each of `times` (T,) in seconds.

    Before, between and after stretches, it is that of the stretch before, or of the first. Without any, it is English.
    """
    if not stretches:
        return np.full(len(times), ENGLISH)
    ordered = sorted(stretches, key=lambda found: found.start)
    rows = np.searchsorted([stretch.start for stretch in ordered], times, side="right") - 1
    return np.array([stretch.language for stretch in ordered])[np.maximum(rows, 0)]


def shares(stretches: Sequence[Stretch]) -> dict[str, float]:
    """The seconds of each language, the longest first."""
    totals: dict[str, float] = {}
    for stretch in stretches:
        totals[stretch.language] = totals.get(stretch.language, 0.0) + stretch.end - stretch.start
    return dict(sorted(totals.items(), key=lambda item: -item[1]))


def mean_probability(stretches: Sequence[Stretch], language: str) -> float | None:
    """The mean probability of a language over the speech in it; None if it isn't known."""
    own = [(stretch.probability, stretch.end - stretch.start) for stretch in stretches if stretch.language == language]
    known = [(probability, dur) for probability, dur in own if probability is not None]
    total = sum(dur for _, dur in known)
    return sum(probability * dur for probability, dur in known) / total if total else None
