"""Words as lines of limited width, for subtitles."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

from vatrace.languages import joined

MAX_WIDTH = 42
"""Columns of a line of subtitles, as Netflix and others limit it; Chinese, Japanese and Korean characters take two."""


def broken(words: Sequence[str]) -> list[str]:
    """Words as lines of about equal width, at most `MAX_WIDTH` columns if no word is wider, broken between words."""
    most = -(-width(joined(words)) // MAX_WIDTH)
    narrowest = _filled(words, MAX_WIDTH)
    for limit in range(width(joined(words)) // max(most, 1), MAX_WIDTH):  # the narrowest lines that aren't more in number
        lines = _filled(words, limit)
        if len(lines) <= len(narrowest):
            return lines
    return narrowest


def _filled(words: Sequence[str], limit: int) -> list[str]:
    lines: list[list[str]] = []
    for word in words:
        if lines and width(joined([*lines[-1], word])) <= limit:
            lines[-1].append(word)
        else:
            lines.append([word])
    return [joined(line) for line in lines]


def width(text: str) -> int:
    """The columns that a text takes: two for wide characters, none for marks above and below letters."""
    return sum(_columns(character) for character in text)


def _columns(character: str) -> int:
    if unicodedata.category(character) in {"Mn", "Me", "Cf"}:
        return 0
    return 2 if unicodedata.east_asian_width(character) in {"W", "F"} else 1
