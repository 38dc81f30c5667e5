"""Which recognised words to keep: Whisper invents English where another language is spoken, or nobody speaks."""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field

from vatrace.languages import ENGLISH, joined
from vatrace.media.transcripts import Word

MIN_SCORE = -0.62
"""Mean log probability of the tokens of one pass, below which its words are doubtful. With speech at -28 dBFS, the passes of
113 English files (GRID, RAVDESS's training actors, a reading) had -0.52 or more, except one cry ("Get!", -1.63); 95 % of 40
files each in German, Italian, Korean, Polish and Urdu had -0.61 or less."""
MIN_PROBABILITY = 0.5
"""Mean probability of the words of one piece of speech, below which they are doubtful: 0.66 or more in the same English files.
It finds doubtful pieces in a long pass whose score is good."""
MAX_NO_SPEECH, MIN_SURE_SCORE = 0.25, -0.35
"""Probability that nobody speaks, above which the words of a pass are doubtful if their score is below the other value. Joined
German, where one pass decodes several sentences, had 0.30 and a score of -0.61, joined Italian 0.38 and -0.40; joined English
had up to 0.32, but a score of -0.14."""
MAYBE_LOOPING, LOOPING = 2.4, 3.0
"""Compression ratios (zlib) of a text above which it may loop, and does. The first is Whisper's own (Radford et al. 2022, arXiv
2212.04356, §4.5), which the opening of "A Tale of Two Cities" exceeds. A sentence said five times has 3.5 or more."""
MIN_AGREEMENT = 0.5
"""Share of the words recognised in a part of a looping text, alone, that occur in that text; with less, the text was invented.
Sentences of three speakers that were repeated six or eight times had 0.6 or more in every part; of eight loops in German,
Korean, Polish and Urdu, four were doubtful for another reason, and the others had a part with 0.44 or less."""
MIN_STOCK_PROBABILITY = 0.8
"""Mean probability from which a stock phrase is kept."""
STOCK_PHRASES = re.compile(
    r"thank(s| you)( (so|very) much)? for (watching|listening|viewing)|\bsubscribe\b|see you (in the )?next (video|time)|"
    r"subtitles by|^thank you( (so|very) much)?$|^bye(-bye| bye)?$",
    re.IGNORECASE,
)
"""Phrases that Whisper writes for noise, music and other languages, because it was trained on captioned videos."""


@dataclass(frozen=True)
class Guess:
    """A word as it was recognised.

    Attributes:
        word: the word.
        probability: the mean of its tokens', 0..1.
    """

    word: Word
    probability: float


@dataclass(frozen=True)
class Decoded:
    """What one pass of Whisper's decoder recognised.

    Attributes:
        guesses: the words.
        score: mean log probability of the tokens.
        no_speech: probability that nobody speaks, 0..1.
        language: the code of the language in which it was recognised.
    """

    guesses: Sequence[Guess]
    score: float
    no_speech: float
    language: str = ENGLISH


@dataclass(frozen=True)
class Text:
    """The recognised words of a piece of speech.

    Attributes:
        words: those that are kept.
        num_doubtful: number of those that are left out.
    """

    words: list[Word] = field(default_factory=list)
    num_doubtful: int = 0


def without_doubtful(decoded: Decoded) -> Text:
    """The words of one piece of speech, all or none of them.

    Single words aren't left out, because Whisper is as unsure of names and letters as of words never said.

    Args:
        decoded: the words of the piece, with the score of the pass that recognised them.
    """
    words = [guess.word for guess in decoded.guesses]
    return Text([], len(words)) if words and is_doubtful(decoded) else Text(words)


def is_doubtful(decoded: Decoded) -> bool:
    """Whether the words of a piece of speech may never have been said."""
    return is_unsure(decoded) or loops(decoded)


def is_unsure(decoded: Decoded) -> bool:
    """Whether the decoder itself is unsure of the words, or they are a phrase that it likes to invent."""
    probability = sum(guess.probability for guess in decoded.guesses) / max(len(decoded.guesses), 1)
    stock = STOCK_PHRASES.search(text_of(decoded).strip(" .!?")) is not None and probability < MIN_STOCK_PROBABILITY
    min_score = MIN_SURE_SCORE if decoded.no_speech > MAX_NO_SPEECH else MIN_SCORE
    return decoded.score < min_score or probability < MIN_PROBABILITY or stock


def loops(decoded: Decoded) -> bool:
    """Whether the words repeat themselves as those of a decoder that is stuck, or of somebody who repeats a sentence."""
    return compression(text_of(decoded)) > LOOPING


def agrees(part: Decoded, whole: Decoded) -> bool:
    """Whether what was recognised in a part, alone, is what was recognised there in the whole."""
    known = {plain(guess.word.text) for guess in whole.guesses}
    shared = sum(plain(guess.word.text) in known for guess in part.guesses)
    return shared >= MIN_AGREEMENT * len(part.guesses)


def plain(text: str) -> str:
    """A word without capitals and punctuation."""
    return re.sub(r"\W", "", text.lower())


def text_of(decoded: Decoded) -> str:
    """The words as running text."""
    return joined(guess.word.text for guess in decoded.guesses)


def compression(text: str) -> float:
    """Compression ratio (zlib) of a text, which is high if it repeats itself. Of a loop's words, the decoder is too sure."""
    return len(text.encode()) / len(zlib.compress(text.encode()))
