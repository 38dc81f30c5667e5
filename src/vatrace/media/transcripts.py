"""Words with their times, and transcripts that the user has (SRT, WebVTT)."""

from __future__ import annotations

import html
import re
from dataclasses import dataclass
from pathlib import Path

from vatrace.errors import MediaError, reason

TRANSCRIPT_SUFFIXES = frozenset({".srt", ".vtt"})
SENTENCE_END = re.compile(r"[.!?…][\"'”’)]*$")
MAX_SENTENCE_WORDS = 60
MAX_PAUSE = 1.0
"""Seconds of silence that end a sentence without a full stop."""


ROLLING_DURATION = 0.05
"""Seconds of the shortest captions. Automatic captions roll: each repeats the previous line above its own, and between the two
the line is shown alone for a moment."""


@dataclass(frozen=True)
class Word:
    """One spoken word.

    Attributes:
        text: as written, with its punctuation, without spaces around it.
        start: seconds.
        end: seconds.
    """

    text: str
    start: float
    end: float


def is_transcript(path: Path) -> bool:
    """Whether a file is a transcript, by its suffix."""
    return path.suffix.lower() in TRANSCRIPT_SUFFIXES


def read_transcript(path: Path) -> list[Word]:
    """Read SRT or WebVTT. A caption's words share its time in proportion to their length.

    Raises:
        MediaError: if the file can't be read or contains no captions.
    """
    import pysubs2

    try:
        subtitles = pysubs2.load(str(path), encoding="utf-8-sig", format_=path.suffix.lower().lstrip("."))
    except OSError as error:
        raise MediaError(f"{path}: {reason(error)}") from error
    except (UnicodeDecodeError, ValueError, pysubs2.exceptions.Pysubs2Error) as error:
        raise MediaError(f"{path}: not a transcript that can be read (SRT or WebVTT in UTF-8)") from error
    words: list[Word] = []
    before = ""
    for caption in sorted(subtitles, key=lambda caption: caption.start):
        lines = [line.strip() for line in html.unescape(caption.plaintext).splitlines() if line.strip()]
        rolling = caption.duration <= ROLLING_DURATION * 1000 or len(lines) > 1
        if lines and rolling and lines[0] == before:
            lines = lines[1:]
        if lines:
            end = max(caption.start, caption.end)  # some captions end before they start
            words.extend(_share(" ".join(lines), caption.start / 1000, end / 1000))
            before = lines[-1]
    if not words:
        raise MediaError(f"{path}: contains no captions")
    return words


def _share(text: str, start: float, end: float) -> list[Word]:
    tokens = text.split()
    total = sum(len(token) + 1 for token in tokens)
    words, position = [], 0
    for token in tokens:
        at = [start + (end - start) * place / total for place in (position, position + len(token) + 1)]
        words.append(Word(token, *at))
        position += len(token) + 1
    return words


def sentences(words: list[Word]) -> list[list[Word]]:
    """Split words at full stops, at long pauses and at a maximum length, into what is encoded together."""
    result: list[list[Word]] = []
    for word in words:
        previous = result[-1][-1] if result else None
        if (
            previous is None
            or SENTENCE_END.search(previous.text)
            or word.start - previous.end > MAX_PAUSE
            or len(result[-1]) >= MAX_SENTENCE_WORDS
        ):
            result.append([])
        result[-1].append(word)
    return result
