from itertools import pairwise
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from properties import searched
from vatrace.errors import MediaError
from vatrace.media.captions import ROLLING_DURATION
from vatrace.media.transcripts import Word, read_transcript, sentences

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


def test_sentences_end_at_full_stops_and_pauses() -> None:
    words = [Word("So", 0, 0.2), Word("what?", 0.2, 0.5), Word("Then", 0.6, 0.8), Word("nothing", 3.0, 3.4)]
    assert [[word.text for word in sentence] for sentence in sentences(words)] == [["So", "what?"], ["Then"], ["nothing"]]


def test_sentences_have_a_greatest_length() -> None:
    words = [Word("la", i * 0.2, i * 0.2 + 0.2) for i in range(130)]
    assert [len(sentence) for sentence in sentences(words)] == [60, 60, 10]


TOKENS = st.builds(
    str.__add__,
    st.characters(categories=["Ll", "Nd"]),
    st.text(st.characters(categories=["L", "Nd"], include_characters=".,!?'-"), max_size=7),
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
