"""The speech in captions, without markup, descriptions of sounds, songs and credits; and who speaks.

Captions for the deaf and hard of hearing describe what is heard, in brackets ("[DRAMATIC MUSIC]", "(sobbing)"), mark songs with
notes, and name who speaks ("MAN: ..."). None of this is spoken.
"""

from __future__ import annotations

import html
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

TAGS = re.compile(r"</?[a-zA-Z][^<>]*>|<[\d:.]+>|\{[^{}]*\}")
"""Tags of HTML and WebVTT, WebVTT's times within a caption, and overrides and comments of SubStation Alpha."""
VOICE = re.compile(r"<v(?:\.[^\s>]*)?\s+([^<>]+)>(.*?)(?=</v>|<v[.\s]|\Z)", re.DOTALL)
GLOSS = re.compile(r"<rt\b[^<>]*>.*?(</rt>|\Z)", re.DOTALL)
"""Ruby text: how a word is pronounced, in small print above it."""
INVISIBLE = re.compile("[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff\x00-\x08\x0b\x0e-\x1f]")

NAMED_BRACKET = re.compile(r"^\s*[\[(]([A-Z][\w .'’-]{0,30})[\])]\s*:\s*")
"""A speaker in brackets: "[ANNA]: ..."."""
BRACKETS = re.compile(r"\[[^\[\]]*\]|\([^()]*\)|（[^（）]*）|【[^【】]*】|［[^［］]*］|｟[^｟｠]*｠")
OPENED, CLOSED = re.compile(r"\[[^\[\]]*$"), re.compile(r"^[^\[\]]*\]")
"""The two parts of a description that starts in one caption and ends in the next."""
STARS = re.compile(r"\*[^*\n]{1,60}\*")
NOTES = "♪♫♬♩🎵🎶"
SONG = re.compile(rf"[{NOTES}][^{NOTES}]*[{NOTES}]|[{NOTES}][^\n]*|^[^\n{NOTES}]*[{NOTES}][ ]*$", re.MULTILINE)
SONG_LINE = re.compile(r"^[^\S\n]*#\s.*", re.MULTILINE)
"""Song in British captions: "# Happy birthday to you #"."""
CREDIT = re.compile(
    r"^\W*((sub(title)?s|captions?|captioned|captioning|subtitled|synced|sync|transcribed|transcript|translated|corrected|ripped)"
    r"\b[^.!?]{0,40}\bby\b|©)|opensubtitles|addic7ed|amara\.org|subscene|downloaded from|https?://|^\s*www\.\S+\s*$",
    re.IGNORECASE,
)

DIALOGUE = re.compile(r"^\s*(?:[-–—‐‑―]+(?!\d)\s*|>{2,3}\s*)")
"""The mark of a change of speaker, at the start of a line."""
NEXT_SPEAKER = re.compile(r"(?<=[.!?…])\s+(?=[-–—]\s?\w)")
"""Where the second speaker starts in a line of dialogue: "- Why? - Because."."""
UPPER = "A-ZÀ-ÖØ-Þ"
CAPITALS = re.compile(rf"^([{UPPER}][{UPPER}0-9.'’#&/-]*(?: [{UPPER}0-9#&][{UPPER}0-9.'’#&/-]*){{0,4}}) ?:(?:\s+|$)")
NAME = re.compile(rf"^((?:[{UPPER}][\w.'’-]*)(?: (?:[{UPPER}][\w.'’-]*|\d+|of|de|van|von|der)){{0,3}}) ?:(?:\s+|$)")
NO_NAMES = frozenset(
    re.findall(
        r"\w+",
        """you he she we they it so look listen remember note question answer yes no and but or well now then first
        second third because example also still today tomorrow yesterday here there this that these those what why how
        who when where wait see think okay ok please thus however again finally result problem fact warning rule
        reason""",
    )
)
"""Words that can precede a colon without being a speaker's name, in lower case."""

CONTINUES = 0.5
"""Longest gap in seconds between two captions of which the second can repeat lines of the first."""
MAX_REPEATED = 20
"""Lines of a caption that are compared with the previous one; on a screen, there are four at most."""
ROLLING_DURATION = 0.05
"""Seconds of the shortest captions: between two rolling captions, the line that they share is shown alone for a moment."""
MOST_GROW = 0.5
"""Captions grow word by word if more than this share of them start with the whole of the previous one."""
MOST_SHOUTED = 0.8
"""A transcript is written in capitals if more than this share of its lines are."""
LONGEST_BREAK = 2.0
"""Seconds of silence after which an unfinished sentence no longer passes its speaker on."""
SENTENCE_END = re.compile(r"[.!?…][\"'”’)\]]*$")


@dataclass(frozen=True)
class Caption:
    """One caption as it is in the file.

    Attributes:
        start: seconds.
        end: seconds.
        text: with markup; lines are separated by line feeds.
        speaker: the name that the file gives outside the text; None if it gives none.
    """

    start: float
    end: float
    text: str
    speaker: str | None = None


@dataclass(frozen=True)
class Turn:
    """The speech in one caption.

    Attributes:
        start: of the caption, seconds.
        end: of the caption, seconds.
        texts: who speaks (None where unknown) and the words, in order.
    """

    start: float
    end: float
    texts: tuple[tuple[str | None, str], ...]


KINDS = {
    "sound": ("description of a sound", "descriptions of sounds"),
    "song": ("line of a song", "lines of songs"),
    "credit": ("credit or address", "credits or addresses"),
}
"""Text in captions that isn't spoken: each kind, with its singular and plural for messages."""


@dataclass
class LeftOut:
    """Counts of the text in captions that isn't spoken.

    Attributes:
        counts: by the names in `KINDS`.
        opened: whether the previous caption ended within a description of a sound.
    """

    counts: Counter[str] = field(default_factory=Counter)
    opened: bool = False

    def take(self, pattern: re.Pattern[str], kind: str, text: str) -> str:
        """Remove the matches of a pattern from the text, and count them."""
        text, count = pattern.subn(" ", text)
        self.counts[kind] += count
        return text

    def __str__(self) -> str:
        return " and ".join(f"{count} {KINDS[kind][count > 1]}" for kind, count in self.counts.items() if count)


def spoken(captions: Sequence[Caption]) -> tuple[list[Turn], LeftOut]:
    """The speech in captions, in their order.

    Returns:
        The captions that contain speech, and what was left out.
    """
    left_out = LeftOut()
    lines = [_lines(caption, left_out) for caption in captions]
    names = _speakers([text for group in lines for _, text in group])
    turns: list[Turn] = []
    carried: str | None = None
    for caption, group in zip(captions, lines, strict=True):
        texts: list[tuple[str | None, str]] = []
        speaker = carried if turns and caption.start - turns[-1].end <= LONGEST_BREAK else None
        for given, line in group:
            speaker, text = _labelled(line, given or caption.speaker or speaker, names)
            text = " ".join(DIALOGUE.sub("", text).split())
            if any(map(str.isalnum, text)):
                texts.append((speaker, text))
        if texts:
            turns.append(Turn(caption.start, caption.end, tuple(texts)))
            marked = caption.speaker is not None or any(given for given, _ in group)  # then every caption is
            carried = None if marked or SENTENCE_END.search(texts[-1][1]) else speaker  # a sentence continues
    return turns, left_out


def _lines(caption: Caption, left_out: LeftOut) -> list[tuple[str | None, str]]:
    """The spoken lines of a caption, each with the speaker that its markup names."""
    text = GLOSS.sub("", caption.text)
    result: list[tuple[str | None, str]] = []
    place = 0
    for voice in VOICE.finditer(text):
        result += [(None, line) for line in _plain(text[place : voice.start()], left_out)]
        result += [(html.unescape(voice[1]).strip(), line) for line in _plain(voice[2], left_out)]
        place = voice.end()
    return result + [(None, line) for line in _plain(text[place:], left_out)]


def _plain(text: str, left_out: LeftOut) -> list[str]:
    text = INVISIBLE.sub("", html.unescape(TAGS.sub("", text)))
    if CREDIT.search(text):
        left_out.counts["credit"] += 1
        return []
    text = "\n".join(NAMED_BRACKET.sub(r"\1: ", line) for line in text.split("\n"))
    for pattern in (SONG, SONG_LINE):
        text = left_out.take(pattern, "song", text)
    for pattern in (BRACKETS, BRACKETS, STARS):  # twice, for nested brackets
        text = left_out.take(pattern, "sound", text)
    if left_out.opened:
        text = CLOSED.sub(" ", text)
    left_out.opened = OPENED.search(text) is not None
    text = left_out.take(OPENED, "sound", text)
    lines = [part for line in text.split("\n") for part in (NEXT_SPEAKER.split(line) if DIALOGUE.match(line) else [line])]
    return [line for line in (" ".join(line.split()) for line in lines) if line]


def _speakers(lines: Sequence[str]) -> set[str]:
    """The names of speakers that label the lines of a transcript.

    A label in capitals is a name (of two words at most, if the whole transcript is in capitals), and so are two or more
    capitalised words. One capitalised word is a name if the transcript has several labels, and it isn't in `NO_NAMES`.
    """
    plain = [DIALOGUE.sub("", line) for line in lines]
    written = [line for line in plain if any(map(str.isalpha, line))]
    shouted = sum(line.upper() == line for line in written) > MOST_SHOUTED * len(written)
    sure: set[str] = set()
    perhaps: Counter[str] = Counter()
    for line in plain:
        match = CAPITALS.match(line) or NAME.match(line)
        if match is None or set(match[1].lower().split()) & NO_NAMES:
            continue
        name = match[1]
        capitals = name.upper() == name and len(name) > 1
        if " " in name if not capitals else not shouted or len(name.split()) <= 2:
            sure.add(name)
        else:
            perhaps[name] += 1
    return sure | set(perhaps) if sure or perhaps.total() > 1 else set()


def _labelled(line: str, speaker: str | None, names: set[str]) -> tuple[str | None, str]:
    """The speaker of a line (`speaker` unless the line names another), and the line without this label."""
    changes = DIALOGUE.match(line)
    text = DIALOGUE.sub("", line)
    match = CAPITALS.match(text) or NAME.match(text)
    if match is not None and match[1] in names:
        return match[1], text[match.end() :]
    return (None if changes else speaker), text


def unrolled(captions: Sequence[Caption]) -> list[Caption]:
    """Captions in order of time, without repeated lines and words.

    Live and automatic captions roll: they repeat a line above the next one, and alone for a moment between the two. Others grow
    word by word. A caption that is in the file twice, with the same times, is kept once.
    """
    ordered = sorted(dict.fromkeys(captions), key=lambda caption: (caption.start, caption.end))
    grow = _grow(ordered)
    result: list[Caption] = []
    shown: list[str] = []
    end = 0.0
    for caption in ordered:
        lines = [line for line in map(str.strip, caption.text.split("\n")) if line]
        if not lines:
            continue
        bare = [_bare(line) for line in lines]
        fresh = lines
        if caption.start - end <= CONTINUES and shown:
            most = min(len(lines), MAX_REPEATED)
            again = max((count for count in range(1, most + 1) if shown[-count:] == bare[:count]), default=0)
            if again < len(lines) or len(lines) > 1 or caption.end - caption.start <= ROLLING_DURATION:
                fresh = lines[again:]
            if grow and fresh and bare[-1].startswith(f"{shown[-1]} "):
                fresh = [bare[-1].removeprefix(f"{shown[-1]} ")]
        if fresh:
            result.append(Caption(caption.start, caption.end, "\n".join(fresh), caption.speaker))
        shown, end = bare, caption.end
    return result


def _bare(line: str) -> str:
    return " ".join(TAGS.sub("", line).split())


def _grow(captions: Sequence[Caption]) -> bool:
    """Whether captions grow word by word."""
    following = [
        (_bare(before.text), _bare(after.text))
        for before, after in pairwise(captions)
        if after.start - before.end <= CONTINUES and before.text.strip()
    ]
    num_grown = sum(after.startswith(f"{before} ") for before, after in following)
    return num_grown > max(2, MOST_GROW * len(following))
