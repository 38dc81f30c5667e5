from pathlib import Path

import pytest

from vatrace.errors import MediaError
from vatrace.media.transcripts import Word, read_transcript, sentences

SRT = "1\n00:00:01,000 --> 00:00:03,000\nHello <i>there</i>\n\n2\n00:00:04,500 --> 00:00:05,000\nyou.\n"
VTT = "WEBVTT\n\n00:01.000 --> 00:03.000\nHello there\n\n00:04.500 --> 00:05.000\nyou.\n"


@pytest.mark.parametrize(("name", "content"), [("a.srt", SRT), ("a.vtt", VTT), ("bom.srt", "\ufeff" + SRT)])
def test_words_share_the_time_of_their_caption(tmp_path: Path, name: str, content: str) -> None:
    path = tmp_path / name
    path.write_text(content, encoding="utf-8")
    assert read_transcript(path) == [Word("Hello", 1.0, 2.0), Word("there", 2.0, 3.0), Word("you.", 4.5, 5.0)]


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
    assert " ".join(word.text for word in read_transcript(path)) == "hello my friends how are you no no"


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
