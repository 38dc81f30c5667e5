"""Words with their times, and the user's own transcripts (SRT, WebVTT, SubStation Alpha)."""

from __future__ import annotations

import codecs
import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from vatrace.errors import MediaError, TooLongError, reason
from vatrace.files import shown
from vatrace.languages import AUTO, ENGLISH, UNKNOWN, check_language, language_of, name_of
from vatrace.media.captions import Caption, spoken, unrolled
from vatrace.media.container import LONGEST, too_long
from vatrace.media.segmentation import split_words
from vatrace.media.text_language import text_language

TRANSCRIPT_SUFFIXES = (".srt", ".vtt", ".ass", ".ssa")
"""In the order in which they are preferred."""
KINDS = "SRT, WebVTT or SubStation Alpha"
SENTENCE_END = re.compile(r"[.!?…。！？｡؟۔।॥][\"'”’)」』）]*$")
MAX_SENTENCE_WORDS = 60
MAX_PAUSE = 1.0
"""Seconds of silence that end a sentence without a full stop."""

TIME = r"(?P<{0}sign>-?)(?:(?P<{0}h>\d{{1,6}})\s?:\s?)?" + (
    r"(?P<{0}m>\d{{1,3}})\s?:\s?(?P<{0}s>\d{{1,2}})(?:\s?[.,]\s?(?P<{0}f>\d{{1,6}}))?"
)
TIMING = re.compile(rf"^\s*{TIME.format('a')}\s*[-–—]{{1,2}}>\s*{TIME.format('b')}(?![\d:])")
CLOSING = re.compile(r"[?!.,;:…»\"”’)。！？，、；：؟،؛۔।॥]+")
"""Punctuation that some languages and programs separate from the preceding word."""
SIGNS = re.compile(r"\b(signs?|titles?|credits?|songs?|lyrics?|karaoke|opening|ending|op|ed)\b", re.IGNORECASE)
"""Names of styles, in SubStation Alpha, of text that is shown but not spoken."""

SPEAKING_RATE = 15.0
"""Characters a second, to estimate the length of a caption without a usable end."""
LONGEST_CAPTION = 15.0
"""Seconds of the longest caption whose start and end are swapped if they are in the wrong order."""
MAX_SIZE = 32_000_000
"""Bytes of the largest transcript that is read. Captions of 24 hours of speech have about 5 MB."""
MAX_HOLD, MIN_SPEAKING_RATE = 60.0, 1.0
"""A caption may last this many seconds, and one more for each `MIN_SPEAKING_RATE` characters; longer ones are cut."""
MAX_WORDS, MAX_WORD_RATE = 200, 20.0
"""A transcript may have this many words, and `MAX_WORD_RATE` more for each second. Fast speech has 7 words a second."""
MAX_GAP, MAX_GAP_RATE = 3600.0, 20.0
"""A transcript without a recording may last this many seconds, and `MAX_GAP_RATE` more for each of its bytes."""
TOLERANCE = 0.5
"""Seconds by which captions may outlast their recording, by rounding or because the last caption stays on screen."""
MOST_SILENT = 0.5
"""Share of a recording after its last caption that causes a note, if it is longer than `LONGEST_SILENCE` s."""
LONGEST_SILENCE = 30.0
MOST_FOREIGN = 0.15
"""Share of letters outside ASCII up to which text is taken for Western European."""
SYMBOLS = re.compile(
    "(?<=[^\\W\\d_]){0}|{0}(?=[^\\W\\d_])|[\u2500-\u259f\ufffd]".format(
        "[\u00a1-\u00a9\u00ac-\u00b1\u00b4\u00b6\u00b8\u00d7\u00f7]",
    )
)
"""Symbols next to letters, frames and replacement characters: text that was read in a wrong encoding."""
ENCODINGS = {
    **dict.fromkeys(("bs", "cs", "hr", "hu", "pl", "ro", "sk", "sl", "sq"), ("cp1250", "iso8859_2")),
    **dict.fromkeys(("be", "bg", "mk", "ru", "sr", "uk"), ("cp1251", "koi8_r", "koi8_u", "iso8859_5")),
    **dict.fromkeys(("et", "lt", "lv"), ("cp1257",)),
    **dict.fromkeys(("tr", "az"), ("cp1254",)),
    **dict.fromkeys(("ar", "fa", "ur"), ("cp1256", "iso8859_6")),
    **dict.fromkeys(("he", "yi"), ("cp1255",)),
    **dict.fromkeys(("zh", "yue"), ("gb18030", "big5")),
    **{"el": ("cp1253", "iso8859_7"), "ja": ("cp932", "euc_jp", "iso2022_jp"), "ko": ("cp949",), "th": ("cp874",)},
    "vi": ("cp1258",),
}
"""The encodings in which a language is usually written, if it isn't Windows-1252, the most frequent one first."""


@dataclass(frozen=True)
class Word:
    """One spoken word.

    Attributes:
        text: as written, with its punctuation, without spaces around it.
        start: seconds.
        end: seconds.
        speaker: the name in the transcript; None where unknown.
        language: the code of its language (see `vatrace.languages`); None for English.
    """

    text: str
    start: float
    end: float
    speaker: str | None = None
    language: str | None = None


@dataclass(frozen=True)
class Transcript:
    """A transcript's words.

    Attributes:
        path: the file.
        words: in order of time.
        language: the code of their language.
        notes: what was left out or corrected, in plain sentences.
    """

    path: Path
    words: tuple[Word, ...]
    notes: tuple[str, ...] = ()
    language: str = ENGLISH

    def fitted(self, end: float) -> Transcript:
        """The transcript for a recording that ends at `end` seconds: later words are left out, with a note.

        Raises:
            MediaError: if all of it lies after the end.
        """
        first, last = self.words[0].start, max(word.end for word in self.words)
        if first >= end:
            raise MediaError(
                f"{self.path}: the captions start at {first:.1f} s, but the recording ends at {end:.1f} s"
                f"{_shift(first, last, end)}"
            )
        notes = list(self.notes)
        name = shown(self.path.name)
        inside = tuple(word for word in self.words if word.start < end)
        if last > end + TOLERANCE:
            notes.append(
                f"{name}: the captions end at {last:.1f} s, but the recording ends at {end:.1f} s; "
                f"{len(self.words) - len(inside)} of {len(self.words)} words were left out: is it this recording's transcript?"
            )
        elif end - last > max(LONGEST_SILENCE, MOST_SILENT * end):
            notes.append(f"{name}: the captions end at {last:.1f} s, the recording at {end:.1f} s: it has no words in between")
        return replace(self, words=tuple(replace(word, end=min(word.end, end)) for word in inside), notes=tuple(notes))


def _shift(first: float, last: float, end: float) -> str:
    """What to do about captions that lie after the end, as the rest of a sentence."""
    hours = int(first // 3600)
    if hours and last - 3600 * hours <= end + TOLERANCE:
        return f"; their clock starts at {hours:02d}:00:00: subtract {3600 * hours} s from them, or leave the transcript out"
    return "; shift their times, or leave the transcript out if it is another recording's"


def is_transcript(path: Path) -> bool:
    """Whether a file is a transcript, by its suffix."""
    return path.suffix.lower() in TRANSCRIPT_SUFFIXES


def read_transcript(path: Path, language: str = AUTO, encoding: str | None = None) -> Transcript:
    """Read SRT, WebVTT or SubStation Alpha. A caption's words share its time in proportion to their length.

    Only speech becomes words (see `captions`). A caption that ends before it starts, or starts before 0 s, is corrected, with a
    note.

    Args:
        path: the file.
        language: the code of its language (see `vatrace.languages`); AUTO to take it from the file's name, as in `talk.de.srt`,
            or from the text.
        encoding: of the text, as Python names it; None to find out.

    Raises:
        MediaError: if the file can't be read or contains no speech.
    """
    check_language(language)
    try:
        size = path.stat().st_size
        if not path.is_file() or size > MAX_SIZE:
            what = f"{size / 1e6:.0f} MB; a transcript has at most {MAX_SIZE / 1e6:.0f} MB" if path.is_file() else "not a file"
            raise MediaError(f"{path}: {what}")
        content = path.read_bytes()
    except OSError as error:
        raise MediaError(f"{path}: {reason(error)}") from error
    known = _tagged(path) if language == AUTO else language
    text, notes = _decoded(content, path, encoding, known)
    captions = list(_read(path, text))
    if not captions:
        raise MediaError(f"{path}: contains no captions (transcripts are {KINDS})")
    mended, doubts = _mended(captions)
    turns, left_out = spoken(unrolled(mended))
    if language == AUTO:
        language = known or text_language(" ".join(text for turn in turns for _, text in turn.texts))
        if language == UNKNOWN:
            notes.append("the text isn't in English: name its language with --language")
        elif language != ENGLISH:
            notes.append(f"the text is in {name_of(language)}")
    words = [word for turn in turns for word in _share(turn.texts, turn.start, turn.end, language)]
    if not words:
        raise MediaError(f"{path}: contains captions, but no speech" + (f": only {left_out}" if str(left_out) else ""))
    dur = sum(caption.end - caption.start for caption in mended)
    if len(words) > MAX_WORDS + MAX_WORD_RATE * dur:
        raise MediaError(f"{path}: {len(words)} words in captions that last {dur:.0f} s: more than anybody can speak")
    notes += doubts
    if str(left_out):
        notes.append(f"left out, because it isn't speech: {left_out}")
    return Transcript(path, tuple(words), tuple(f"{shown(path.name)}: {note}" for note in notes), language)


def check_length(path: Path, words: Sequence[Word]) -> None:
    """Check that a transcript without a recording isn't longer than its size allows.

    Raises:
        TooLongError: if it is.
    """
    end, most = max(word.end for word in words), min(LONGEST, MAX_GAP + MAX_GAP_RATE * path.stat().st_size)
    if end > most:
        raise TooLongError(f"{path}: {too_long(end, most)}")


def _tagged(path: Path) -> str | None:
    """The language in a file's name, such as `de` in talk.de.srt; None if there is none."""
    tags = path.stem.lower().split(".")[1:]
    found = [language_of(tag) for tag in tags if tag != "hi"]  # "hearing impaired"
    return next((language for language in found if language), None)


def _decoded(content: bytes, path: Path, encoding: str | None, language: str | None) -> tuple[str, list[str]]:
    """The text of a file, in the encoding that is told, else by its byte order mark, as UTF-8, or as it seems; and notes."""
    marks = {
        codecs.BOM_UTF8: "utf-8-sig",
        codecs.BOM_UTF32_LE: "utf-32",
        codecs.BOM_UTF32_BE: "utf-32",
        codecs.BOM_UTF16_LE: "utf-16",
        codecs.BOM_UTF16_BE: "utf-16",
    }
    if encoding is not None:
        try:
            return _lines(content.decode(encoding).removeprefix("\ufeff")), []
        except (LookupError, UnicodeError) as error:
            raise MediaError(f"{path}: the transcript isn't in the encoding {encoding} ({error})") from error
    encoding = next((name for mark, name in marks.items() if content.startswith(mark)), "utf-8")
    if encoding == "utf-8" and content[:200].count(0) > len(content[:200]) // 4:  # UTF-16 without a mark
        encoding = "utf-16-le" if content[1:2] == b"\0" else "utf-16-be"
    try:
        return _lines(content.decode(encoding)), []
    except UnicodeDecodeError as error:
        if b"\0" in content:
            raise MediaError(f"{path}: not a readable transcript ({KINDS})") from error
        guess = None if encoding != "utf-8" else _guessed(content, language)
        if guess is None:
            raise MediaError(
                f"{path}: the transcript isn't in UTF-8; save it as UTF-8, or name its encoding with --encoding"
            ) from error
        name, text = guess
        return _lines(text), [f"not in UTF-8, so read as {name}: if letters are wrong, name its encoding with --encoding"]


def _lines(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _guessed(content: bytes, language: str | None) -> tuple[str, str] | None:
    """The likely encoding of text that isn't UTF-8, by its name, and the text; None if it isn't clear."""
    import charset_normalizer

    known = ENCODINGS.get(language or ENGLISH, ("cp1252",))
    if len(known) > 1:
        best = charset_normalizer.from_bytes(content, cp_isolation=list(known)).best()
        return None if best is None or SYMBOLS.search(str(best)) else (_title(best.encoding), str(best))
    try:
        text = content.decode(known[0])
    except UnicodeDecodeError:
        text = ""
    letters = [letter for letter in text if letter.isalpha()]
    mostly_ascii = letters and sum(map(str.isascii, letters)) >= (1 - MOST_FOREIGN) * len(letters)
    if text and (mostly_ascii or language not in {None, ENGLISH}) and not SYMBOLS.search(text):
        return _title(known[0]), text
    best = charset_normalizer.from_bytes(content).best()
    return None if best is None or SYMBOLS.search(str(best)) else (_title(best.encoding), str(best))


def _title(encoding: str) -> str:
    """The usual name of an encoding."""
    return encoding.replace("cp125", "Windows-125") if encoding.startswith("cp125") else encoding


def _read(path: Path, text: str) -> Iterator[Caption]:
    """The captions of a file as they are; its content shows the format."""
    if "[Script Info]" in text[:2000] or "\n[Events]" in text:
        return _read_substation(path, text)
    return _read_blocks(text)


def _read_blocks(text: str) -> Iterator[Caption]:
    """SRT and WebVTT: a line with times, then lines of text. WebVTT's end at an empty line; comments and styles may follow."""
    strict = text.lstrip("\ufeff \n").startswith("WEBVTT")
    current: re.Match[str] | None = None
    lines: list[str] = []

    def caption() -> Iterator[Caption]:
        if current is not None:
            yield Caption(_seconds(current, "a"), _seconds(current, "b"), "\n".join(lines).replace(r"\N", "\n").strip("\n"))

    for line in text.split("\n"):
        timing = TIMING.match(line)
        if timing is not None:
            if lines and (lines[-1].strip().isdigit() or (len(lines) > 1 and not lines[-2])):
                lines.pop()  # the number or the name of this caption
            yield from caption()
            current, lines = timing, []
        elif strict and not line:
            yield from caption()
            current, lines = None, []
        else:
            lines.append(line)
    yield from caption()


def _seconds(match: re.Match[str], name: str) -> float:
    hours, minutes, seconds = (int(match[f"{name}{part}"] or 0) for part in "hms")
    time = 3600 * hours + 60 * minutes + seconds + float(f"0.{match[f'{name}f'] or 0}")
    return -time if match[f"{name}sign"] else time


def _read_substation(path: Path, text: str) -> Iterator[Caption]:
    import pysubs2

    try:
        events = pysubs2.SSAFile.from_string(text).events
    except Exception as error:  # it raises many kinds for damaged files
        raise MediaError(f"{path}: not a readable transcript ({error})") from error
    for event in events:
        if not event.is_comment and not event.is_drawing and not SIGNS.search(event.style):
            text = event.text.replace(r"\N", "\n").replace(r"\n", "\n").replace(r"\h", " ")
            yield Caption(event.start / 1000, event.end / 1000, text, event.name.strip() or None)


def _mended(captions: Sequence[Caption]) -> tuple[list[Caption], list[str]]:
    """Captions, corrected so that none ends before it starts or starts before 0 s; and notes."""
    starts = sorted(caption.start for caption in captions)
    mended: list[Caption] = []
    backwards = early = long = 0
    for caption in captions:
        start, end = caption.start, caption.end
        if end < start:
            backwards += 1
            if end >= 0 and start - end <= LONGEST_CAPTION:
                start, end = end, start
            else:
                following = bisect_right(starts, start)
                end = start + len(caption.text) / SPEAKING_RATE
                end = min(end, starts[following]) if following < len(starts) else end
        most = MAX_HOLD + len(caption.text) / MIN_SPEAKING_RATE
        if end - max(start, 0.0) > most:
            long += 1
            end = max(start, 0.0) + most
        if start < 0:
            early += 1
        if end >= 0:
            mended.append(replace(caption, start=max(start, 0.0), end=end))
    notes = [_count(backwards, "ends before it starts", "end before they start") + ": corrected"] if backwards else []
    if long:
        notes.append(_count(long, "lasts", "last") + " much longer than the text takes to say: cut")
    if early:
        notes.append(_count(early, "starts", "start") + " before 0 s: cut there; check whether all times are right")
    return mended, notes


def _count(number: int, singular: str, plural: str) -> str:
    return f"1 caption {singular}" if number == 1 else f"{number} captions {plural}"


def _share(texts: Iterable[tuple[str | None, str]], start: float, end: float, language: str) -> list[Word]:
    tokens: list[tuple[str | None, str]] = []
    for speaker, text in texts:
        for token in split_words(text, language):
            if any(map(str.isalnum, token)):
                tokens.append((speaker, token))
            elif tokens and CLOSING.fullmatch(token):
                tokens[-1] = (tokens[-1][0], tokens[-1][1] + token)
    total = sum(len(token) + 1 for _, token in tokens)
    words, position = [], 0
    for speaker, token in tokens:
        first, last = (start + (end - start) * place / total for place in (position, position + len(token) + 1))
        words.append(Word(token, first, last, speaker, None if language == ENGLISH else language))
        position += len(token) + 1
    return words


def sentences(words: Sequence[Word]) -> list[list[Word]]:
    """Split words into sentences: at full stops, long pauses, changes of speaker or language, and a maximum length."""
    result: list[list[Word]] = []
    for word in words:
        previous = result[-1][-1] if result else None
        if (
            previous is None
            or SENTENCE_END.search(previous.text)
            or word.start - previous.end > MAX_PAUSE
            or (word.speaker, word.language) != (previous.speaker, previous.language)
            or len(result[-1]) >= MAX_SENTENCE_WORDS
        ):
            result.append([])
        result[-1].append(word)
    return result
