"""Words in text that is written without spaces."""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING

from vatrace.languages import NO_SPACES, continues

if TYPE_CHECKING:
    from collections.abc import Callable

RUNS = re.compile(f"(?:{NO_SPACES.pattern})+|\\S+?(?=\\s|{NO_SPACES.pattern}|\\Z)")
"""Text in a script without spaces, or a word in another one."""
WHOLE = re.compile("[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff]+")
"""Thai, Lao, Burmese and Khmer, in which single letters are no words."""
CLOSING = re.compile(
    "[\u3001\u3002\u3009\u300b\u300d\u300f\u3011\u3015\uff01\uff09\uff0c\uff0e\uff1a\uff1b\uff1f\uff5d\u0e2f\u0e46]"
)
"""Punctuation, and signs for repetition and abbreviation, that belong to the word before them."""


def split_words(text: str, language: str | None = None) -> list[str]:
    """The words of a text, which together are the text without its spaces.

    Words in scripts without spaces are those of BudouX (extra `languages`): words in Chinese and Thai, phrases in Japanese.
    Without it, and in other such scripts, Chinese and Japanese characters stand alone, and the rest isn't divided.

    Args:
        text: one line.
        language: its code; None if it isn't known.
    """
    words: list[str] = []
    for run in RUNS.findall(text):
        parts = _divided(run, language) if NO_SPACES.match(run) else [run]
        for part in parts:
            if words and (continues(part) or CLOSING.match(part)):
                words[-1] += part
            else:
                words.append(part)
    return words


def _divided(run: str, language: str | None) -> list[str]:
    parser = _parser(_script(run, language))
    if parser is not None:
        return parser(run)
    return [part for part in re.findall(f"{WHOLE.pattern}|.", run) if part]


def _script(run: str, language: str | None) -> str:
    """The language whose rules divide a text, by its characters."""
    if re.search("[\u0e00-\u0e7f]", run):
        return "th"
    return "ja" if language == "ja" or re.search("[\u3041-\u30ff]", run) else "zh"


@cache
def _parser(language: str) -> Callable[[str], list[str]] | None:
    """BudouX's function that divides a text; None if it isn't installed."""
    try:
        import budoux
    except ImportError:
        return None
    load = {
        "th": budoux.load_default_thai_parser,
        "ja": budoux.load_default_japanese_parser,
        "zh": budoux.load_default_simplified_chinese_parser,
    }
    return load[language]().parse
