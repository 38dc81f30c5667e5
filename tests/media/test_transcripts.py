import os
import time
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from properties import searched
from vatrace.errors import MediaError
from vatrace.media.captions import ROLLING_DURATION
from vatrace.media.folders import is_result
from vatrace.media.recording import open_recording
from vatrace.media.transcripts import MAX_HOLD, MIN_SPEAKING_RATE, Word, read_transcript, sentences

SRT = "1\n00:00:01,000 --> 00:00:03,000\nHello <i>there</i>\n\n2\n00:00:04,500 --> 00:00:05,000\nyou.\n"
VTT = "WEBVTT\n\n00:01.000 --> 00:03.000\nHello there\n\n00:04.500 --> 00:05.000\nyou.\n"


@pytest.mark.parametrize(("name", "content"), [("a.srt", SRT), ("a.vtt", VTT), ("bom.srt", "\ufeff" + SRT)])
def test_words_share_the_time_of_their_caption(tmp_path: Path, name: str, content: str) -> None:
    path = tmp_path / name
    path.write_text(content, encoding="utf-8")
    transcript = read_transcript(path)
    assert transcript.words == (Word("Hello", 1.0, 2.0), Word("there", 2.0, 3.0), Word("you.", 4.5, 5.0))
    assert transcript.notes == ()


def test_automatic_captions_that_roll_are_read_once(tmp_path: Path) -> None:
    path = tmp_path / "auto.vtt"
    cues = [
        ("00:00.000", "00:02.000", " \nhello my friends"),
        ("00:02.000", "00:02.010", "hello my friends\n "),
        ("00:02.010", "00:04.000", "hello my friends\nhow are you"),
        ("00:04.000", "00:06.000", "no"),
        ("00:06.000", "00:08.000", "no"),
    ]
    path.write_text("WEBVTT\n\n" + "\n\n".join(f"{start} --> {end}\n{text}" for start, end, text in cues))
    assert " ".join(word.text for word in read_transcript(path).words) == "hello my friends how are you no no"


@pytest.mark.parametrize("content", [b"", b"no captions here\n", b"\xff\xfe\x00\x01" * 20])
def test_what_is_no_transcript_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.srt"
    path.write_bytes(content)
    with pytest.raises(MediaError, match=r"captions|transcript"):
        read_transcript(path)


VTT_PARTS = """WEBVTT - a title
Kind: captions

STYLE
::cue { color: red }

NOTE a comment
of two lines

intro
00:00:01.000 --> 00:00:03.000 align:start position:0%
Hello <v Anna>there</v>

NOTE another comment

second cue
00:04.500 --> 00:05.000
you.

42
00:06.000 --> 00:07.000
Bye.
"""


def test_comments_styles_and_names_of_cues_are_no_words(tmp_path: Path) -> None:
    path = tmp_path / "a.vtt"
    path.write_text(VTT_PARTS)
    words = read_transcript(path).words
    assert [(word.text, word.start, word.speaker) for word in words] == [
        ("Hello", 1.0, None),
        ("there", 2.0, "Anna"),
        ("you.", 4.5, None),
        ("Bye.", 6.0, None),
    ]


def test_numbers_of_captions_are_no_words_even_without_empty_lines(tmp_path: Path) -> None:
    path = tmp_path / "a.srt"
    path.write_text("1\n00:00:01,000 --> 00:00:02,000\nHello\n2\n00:00:02,000 --> 00:00:03,000\n\nthere\n\nyou.\n")
    assert [word.text for word in read_transcript(path).words] == ["Hello", "there", "you."]


@pytest.mark.parametrize(
    "times",
    ["00:00:01.500 --> 00:00:02", "0:01,5 --> 0:02,0", "00:00:01,500-->00:00:02,000", "00: 00: 01,500 -> 00: 00: 02,000"],
)
def test_times_as_programs_write_them(tmp_path: Path, times: str) -> None:
    path = tmp_path / "a.srt"
    path.write_text(f"1\r\n{times}\r\nHello\r\n")
    assert read_transcript(path).words == (Word("Hello", 1.5, 2.0),)


ASS = """[Script Info]
ScriptType: v4.00+

[V4+ Styles]
Format: Name, Fontname, Fontsize
Style: Default,Arial,20
Style: Sign,Arial,20

[Events]
Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text
Comment: 0,0:00:00.00,0:00:01.00,Default,,0,0,0,,a comment
Dialogue: 0,0:00:01.00,0:00:02.00,Default,Anna,0,0,0,,{\\an8}Hello\\Nthere
Dialogue: 0,0:00:02.00,0:00:03.00,Sign,,0,0,0,,A SHOP
Dialogue: 0,0:00:02.00,0:00:03.00,Default,,0,0,0,,{\\p1}m 0 0 l 100 0 100 100{\\p0}
Dialogue: 0,0:00:03.00,0:00:04.00,Default,,0,0,0,,you.
"""


@pytest.mark.parametrize("name", ["a.ass", "a.ssa", "a.srt"])  # the content says what it is
def test_substation_alpha_has_speakers_signs_and_drawings(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_text(ASS)
    assert [(word.text, word.speaker) for word in read_transcript(path).words] == [
        ("Hello", "Anna"),
        ("there", "Anna"),
        ("you.", None),
    ]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
def test_unicode_in_any_form_is_read(tmp_path: Path, encoding: str, ending: str) -> None:
    path = tmp_path / "a.srt"
    path.write_bytes(SRT.replace("you", "café").replace("\n", ending).encode(encoding))
    transcript = read_transcript(path)
    assert [word.text for word in transcript.words] == ["Hello", "there", "café."] and transcript.notes == ()


def test_western_european_text_is_read_with_a_note(tmp_path: Path) -> None:
    path = tmp_path / "a.srt"
    path.write_bytes(SRT.replace("you", "café – “naïve”").encode("cp1252"))
    transcript = read_transcript(path)
    assert [word.text for word in transcript.words][-1] == "“naïve”."
    (note,) = transcript.notes
    assert note == "a.srt: not in UTF-8, so read as Windows-1252: if letters are wrong, name its encoding with --encoding"


OTHERS = {
    "ru": "Привет, как дела сегодня? Я очень рад тебя видеть, но времени мало.",
    "pl": "Dziękuję, proszę przyjść później, bo źle się czuję",
    "ja": "これはとても楽しい一日でした",
    "zh": "今天天气很好，我们去公园散步吧",
    "ar": "مرحبا كيف حالك اليوم",
}


@pytest.mark.parametrize(
    ("language", "encoding"),
    [
        ("ru", "cp1251"),
        ("ru", "koi8-r"),
        ("pl", "cp1250"),
        ("ja", "shift-jis"),
        ("ja", "euc-jp"),
        ("zh", "gb18030"),
        ("ar", "cp1256"),
    ],
)
def test_other_encodings_are_read_where_the_language_is_known_or_they_are_told(
    tmp_path: Path, language: str, encoding: str
) -> None:
    path, expected = tmp_path / "a.srt", "".join(OTHERS[language].split())
    path.write_bytes("\n".join(f"00:00:0{i},000 --> 00:00:0{i},900\n{OTHERS[language]}\n" for i in range(3)).encode(encoding))
    told = read_transcript(path, language, encoding)
    assert "".join(word.text for word in told.words) == 3 * expected and told.notes == ()
    guessed = read_transcript(path, language)
    assert guessed.words == told.words and all(word.language == language for word in told.words)
    assert [note for note in guessed.notes if "not in UTF-8, so read as" in note]


def test_a_wrong_encoding_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.srt"
    path.write_bytes(SRT.replace("Hello", OTHERS["ru"]).encode("cp1251"))
    for encoding in ("utf-8", "no such encoding"):
        with pytest.raises(MediaError, match=f"a\\.srt: the transcript isn't in the encoding {encoding}"):
            read_transcript(path, encoding=encoding)


@pytest.mark.parametrize(
    ("name", "text", "language", "note"),
    [
        ("a.srt", "I love it, and you?", None, None),
        ("a.de.srt", "Ich liebe es", "de", "a.de.srt: the text is in German"),
        ("a.srt", "今天天气很好", "zh", "a.srt: the text is in Chinese"),
        ("a.srt", "Ich war sehr froh, dass du da bist. " * 5, "und", "a.srt: the text isn't in English: name its language"),
    ],
)
def test_the_language_of_a_transcript(tmp_path: Path, name: str, text: str, language: str | None, note: str | None) -> None:
    path = tmp_path / name
    path.write_text(f"00:00:00,000 --> 00:00:20,000\n{text}", encoding="utf-8")
    transcript = read_transcript(path)
    assert {word.language for word in transcript.words} == {language}
    assert (not transcript.notes) if note is None else transcript.notes[0].startswith(note)
    assert {word.language for word in read_transcript(path, "it").words} == {"it"}


def captions_at(path: Path, *times: tuple[str, str]) -> Path:
    path.write_text("\n\n".join(f"{start} --> {end}\nI love it" for start, end in times))
    return path


def test_captions_that_end_before_they_start_are_corrected(tmp_path: Path) -> None:
    exchanged = read_transcript(captions_at(tmp_path / "a.srt", ("00:00:05,400", "00:00:04,800")))
    assert (exchanged.words[0].start, exchanged.words[-1].end) == (4.8, 5.4)
    assert exchanged.notes == ("a.srt: 1 caption ends before it starts: corrected",)
    times = [("00:01:05,000", "00:00:08,000"), ("00:01:05,300", "00:01:06,000")]  # not exchanged: it would last a minute
    guessed = read_transcript(captions_at(tmp_path / "b.srt", *times))
    assert (guessed.words[0].start, guessed.words[2].end) == (65.0, 65.3)


def test_captions_before_the_start_are_cut(tmp_path: Path) -> None:
    times = [("-00:00:03,000", "-00:00:02,000"), ("-00:00:01,000", "00:00:00,500"), ("00:00:05,000", "00:00:06,000")]
    transcript = read_transcript(captions_at(tmp_path / "a.srt", *times))
    assert [word.start for word in transcript.words][::3] == [0.0, 5.0]
    assert transcript.notes == ("a.srt: 2 captions start before 0 s: cut there; check whether all times are right",)


def test_captions_after_the_end_are_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    path = captions_at(tmp_path / "a.srt", ("01:00:04,800", "01:00:06,100"))
    with pytest.raises(
        MediaError, match=r"a\.srt: the captions start at 3604\.8 s, but the recording ends at 10\.0 s; .*subtract 3600 s"
    ):
        read_transcript(path).fitted(10.0)
    with pytest.raises(MediaError, match=r"start at 3604\.8 s, but the recording ends at 4\.0 s; shift their times"):
        read_transcript(path).fitted(4.0)


def test_captions_that_go_on_after_the_end_are_cut_with_a_note(tmp_path: Path) -> None:
    path = captions_at(tmp_path / "a.srt", ("00:00:01,000", "00:00:02,000"), ("00:00:08,000", "00:00:09,000"))
    whole = read_transcript(path)
    assert whole.fitted(8.8).words[-1].end == 8.8 and whole.fitted(8.8).notes == ()  # within rounding
    cut = whole.fitted(5.0)
    assert len(cut.words) == 3
    (note,) = cut.notes
    assert note.startswith("a.srt: the captions end at 9.0 s, but the recording ends at 5.0 s; 3 of 6 words were left out")
    assert whole.fitted(100.0).notes == (
        "a.srt: the captions end at 9.0 s, the recording at 100.0 s: it has no words in between",
    )


def test_what_nobody_says_is_noted(tmp_path: Path) -> None:
    path = tmp_path / "a.srt"
    path.write_text("1\n00:00:01,000 --> 00:00:02,000\n[MUSIC] Hello ?\n")
    transcript = read_transcript(path)
    assert [word.text for word in transcript.words] == ["Hello?"]
    assert transcript.notes == ("a.srt: left out, because it isn't speech: 1 description of a sound",)
    path.write_text("1\n00:00:01,000 --> 00:00:02,000\n[MUSIC]\n")
    with pytest.raises(MediaError, match=r"a\.srt: contains captions, but no speech: only 1 description of a sound"):
        read_transcript(path)


def test_sentences_end_where_the_speaker_changes() -> None:
    words = [Word("I", 0, 0.2, "ANNA"), Word("know", 0.2, 0.4, "ANNA"), Word("what", 0.4, 0.6)]
    assert [[word.text for word in sentence] for sentence in sentences(words)] == [["I", "know"], ["what"]]


def test_sentences_end_where_the_language_changes() -> None:
    words = [Word("สวัสดี", 0, 0.4, language="th"), Word("Hello", 0.5, 0.8), Word("there", 0.8, 1.0)]
    assert [[word.text for word in sentence] for sentence in sentences(words)] == [["สวัสดี"], ["Hello", "there"]]


def test_sentences_end_at_full_stops_and_pauses() -> None:
    words = [Word("So", 0, 0.2), Word("what?", 0.2, 0.5), Word("Then", 0.6, 0.8), Word("nothing", 3.0, 3.4)]
    assert [[word.text for word in sentence] for sentence in sentences(words)] == [["So", "what?"], ["Then"], ["nothing"]]


def test_sentences_have_a_greatest_length() -> None:
    words = [Word("la", i * 0.2, i * 0.2 + 0.2) for i in range(130)]
    assert [len(sentence) for sentence in sentences(words)] == [60, 60, 10]


TOKENS = st.builds(
    str.__add__,
    st.characters(categories=["Ll", "Nd"], max_codepoint=0xDFF),
    st.text(st.characters(categories=["L", "Nd"], max_codepoint=0xDFF, include_characters=".,!?'-"), max_size=7),
)
"""Words without markup."""


@st.composite
def captions(draw: st.DrawFn) -> list[tuple[int, int, str]]:
    """Start and end in milliseconds, one after the other, and a line of text."""
    found, time = [], 0
    for _ in range(draw(st.integers(1, 6))):
        start = time + draw(st.integers(0, 5_000_000))
        time = start + draw(st.integers(round(ROLLING_DURATION * 1000) + 1, 20_000))
        found.append((start, time, " ".join(draw(st.lists(TOKENS, min_size=1, max_size=8)))))
    return found


def stamp(milliseconds: int, point: str) -> str:
    seconds, rest = divmod(milliseconds, 1000)
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}{point}{rest:03d}"


def written(path: Path, cues: list[tuple[int, int, str]]) -> Path:
    point = "," if path.suffix == ".srt" else "."
    blocks = [
        f"{number}\n{stamp(start, point)} --> {stamp(end, point)}\n{text}\n"
        for number, (start, end, text) in enumerate(cues, 1)
    ]
    path.write_text("\n".join(blocks if path.suffix == ".srt" else ["WEBVTT\n", *blocks]), encoding="utf-8")
    return path


@searched
@given(cues=captions(), suffix=st.sampled_from([".srt", ".vtt"]), random=st.randoms(use_true_random=False))
def test_any_captions_come_back_in_order_with_each_word_inside_its_own(
    tmp_path: Path, cues: list[tuple[int, int, str]], suffix: str, random: Random
) -> None:
    words = read_transcript(written(tmp_path / f"a{suffix}", random.sample(cues, len(cues)))).words
    expected = [(token, start / 1000, end / 1000) for start, end, text in cues for token in text.split()]
    assert [word.text for word in words] == [token for token, _, _ in expected]
    for word, (_, start, end) in zip(words, expected, strict=True):
        assert start - 1e-9 <= word.start < word.end <= end + 1e-9
    assert all(before.end <= after.start + 1e-9 for before, after in pairwise(words))


PIECES = st.sampled_from(
    [
        *("WEBVTT", "NOTE", "STYLE", "1", "00:00:01,000 --> 00:00:02,000", "00:05.000 --> 00:01.000", "99:99:99,999", "-->"),
        *(
            "<i>",
            "</b>",
            "<c.red>",
            "<00:01.500>",
            r"{\an8}",
            r"\N",
            "&amp;",
            "&#xFFFFFFFF;",
            "&#0;",
            "hello",
            "\0",
            "\u2028",
            "",
        ),
    ]
)


@searched
@given(
    content=st.one_of(st.binary(max_size=200), st.lists(PIECES, max_size=25).map(lambda lines: "\n".join(lines).encode())),
    suffix=st.sampled_from([".srt", ".vtt"]),
)
def test_bytes_of_any_kind_are_words_or_an_error_that_names_the_file(tmp_path: Path, content: bytes, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    path.write_bytes(content)
    try:
        words = read_transcript(path).words
    except MediaError as error:
        assert str(error).startswith(f"{path}: ")
    else:
        assert words and all(word.text and 0 <= word.start <= word.end for word in words)


def test_a_caption_of_99_hours_lasts_as_long_as_its_text_can_take(tmp_path: Path) -> None:
    path = tmp_path / "a.srt"
    path.write_text("1\n00:00:01,000 --> 99:00:00,000\nHello there\n")
    transcript = read_transcript(path)
    assert transcript.words[-1].end == pytest.approx(1 + MAX_HOLD + len("Hello there") / MIN_SPEAKING_RATE)
    assert transcript.notes == ("a.srt: 1 caption lasts much longer than the text takes to say: cut",)


def test_a_short_transcript_that_reaches_99_hours_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.srt"
    path.write_text("1\n00:00:01,000 --> 00:00:02,000\nHello\n\n2\n99:00:01,000 --> 99:00:02,000\nyou\n")
    with pytest.raises(MediaError, match=r"a\.srt: its time stamps are wrong: they reach 356402 s"):
        open_recording(path)


def test_more_words_than_anybody_can_speak_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.srt"
    path.write_text("1\n00:00:01,000 --> 00:00:02,000\n" + "hello you " * 10_000)
    with pytest.raises(MediaError, match=r"a\.srt: 20000 words in captions that last 1 s"):
        read_transcript(path)


def test_a_transcript_of_100_megabytes_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "a.srt"
    with path.open("wb") as file:
        file.truncate(100_000_000)
    with pytest.raises(MediaError, match=r"a\.srt: 100 MB; a transcript has at most 32 MB"):
        read_transcript(path)


BACKWARDS = "".join(
    f"{i}\n{i // 3600:02}:{i // 60 % 60:02}:{i % 60:02},000 --> 00:00:00,000\nhello\n\n" for i in range(100, 20_000)
)
LINES = "1\n00:00:01,000 --> 00:00:02,000\n" + "hello\n" * 30_000
SECOND = "\n2\n00:00:02,000 --> 00:00:03,000\n" + "hello\n" * 30_000


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(BACKWARDS, id="backwards"),
        pytest.param(LINES + SECOND, id="lines"),
        pytest.param(LINES + "\n" * 100_000 + SECOND, id="empty lines"),
        pytest.param(LINES.replace("hello", "hello [<v a"), id="open brackets"),
        pytest.param(LINES.replace("\nhello", "\n- what? - "), id="dialogue"),
        pytest.param(LINES.replace("hello", "9" * 50 + ":00:00,000 -->"), id="digits"),
    ],
)
def test_the_time_to_read_a_transcript_grows_with_its_length_alone(tmp_path: Path, content: str) -> None:
    path = tmp_path / "a.srt"
    path.write_text(content)
    started = time.process_time()
    with suppress(MediaError):
        read_transcript(path)
    assert time.process_time() - started < 3


def test_a_pipe_is_no_transcript(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.vtt")
    with pytest.raises(MediaError, match=r"a\.vtt: not a file"):
        read_transcript(tmp_path / "a.vtt")
    assert not is_result(tmp_path / "a.vtt")
