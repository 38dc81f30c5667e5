"""Which recognised words are believed. Whisper makes up English where another language is spoken, or nobody speaks."""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field

from vatrace.media.transcripts import Word

MIN_SCORE = -0.62
"""Mean log probability of the tokens of one pass, below which its words are doubtful. At speech of -28 dBFS, the passes of 113
English files (GRID, RAVDESS's training actors, a reading) had -0.52 and more, except one cry ("Get!", -1.63); 95 % of 40 files
each in German, Italian, Korean, Polish and Urdu had -0.61 and less."""
MIN_PROBABILITY = 0.5
"""Mean probability of the words of one piece of speech, below which they are doubtful: 0.66 and more in the same English files.
It is for pieces that the score of a long pass doesn't tell."""
MAX_NO_SPEECH, MIN_SURE_SCORE = 0.25, -0.35
"""Probability that nobody speaks, above which the words of a pass are doubtful if their score is below the other value. Joined
German, where one pass decodes several sentences, had 0.30 and a score of -0.61, joined Italian 0.38 and -0.40; joined English
had up to 0.32, but a score of -0.14."""
MAX_COMPRESSION_RATIO = 2.4
"""Of a piece's text by zlib, above which it loops; Whisper's own threshold (Radford et al. 2022, arXiv 2212.04356, §4.5)."""
MIN_STOCK_PROBABILITY = 0.8
"""Mean probability from which a stock phrase is believed."""
STOCK_PHRASES = re.compile(
    r"thank(s| you)( (so|very) much)? for (watching|listening|viewing)|\bsubscribe\b|see you (in the )?next (video|time)|"
    r"subtitles by|^thank you( (so|very) much)?$|^bye(-bye| bye)?$",
    re.IGNORECASE,
)
"""What Whisper writes for noise, music and other languages: its training data are captioned videos."""


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
    """

    guesses: Sequence[Guess]
    score: float
    no_speech: float


@dataclass(frozen=True)
class Text:
    """What is said.

    Attributes:
        words: those that are believed.
        num_doubtful: how many others were recognised.
    """

    words: list[Word] = field(default_factory=list)
    num_doubtful: int = 0


def without_doubtful(decoded: Decoded) -> Text:
    """The words of one piece of speech, all or none of them.

    Single words aren't left out: of names and letters, Whisper is as unsure as of words never said.

    Args:
        decoded: the words of the piece, with the score of the pass that recognised them.
    """
    words = [guess.word for guess in decoded.guesses]
    return Text([], len(words)) if words and is_doubtful(decoded) else Text(words)


def is_doubtful(decoded: Decoded) -> bool:
    """Whether the words of a piece of speech may never have been said."""
    text = text_of(decoded)
    probability = sum(guess.probability for guess in decoded.guesses) / len(decoded.guesses)
    stock = STOCK_PHRASES.search(text.strip(" .!?")) is not None and probability < MIN_STOCK_PROBABILITY
    min_score = MIN_SURE_SCORE if decoded.no_speech > MAX_NO_SPEECH else MIN_SCORE
    unsure = decoded.score < min_score or probability < MIN_PROBABILITY
    return unsure or is_looping(text) or stock


def text_of(decoded: Decoded) -> str:
    """The words, with spaces between them."""
    return " ".join(guess.word.text for guess in decoded.guesses)


def is_looping(text: str) -> bool:
    """Whether a text repeats itself so much that the decoder may have got into a loop, of whose words it is too sure."""
    return len(text.encode()) / len(zlib.compress(text.encode())) > MAX_COMPRESSION_RATIO
