import os
import shutil
from pathlib import Path

import pytest

from vatrace.errors import MediaError
from vatrace.files import shown
from vatrace.media.folders import find_transcripts, in_folder, is_media, missing_content
from vatrace.media.recording import open_recording
from vatrace.output.writers import MADE_BY


@pytest.mark.parametrize(
    "name", ["00001.MTS", "VTS_01_1.VOB", "a.qt", "a.ogv", "a.aiff", "a.wma", "a.m2ts", "a.3gp", "a.amr", "a.opus"]
)
def test_recordings_are_known_by_their_suffix(tmp_path: Path, name: str) -> None:
    (tmp_path / name).touch()
    assert is_media(tmp_path / name)


@pytest.mark.parametrize("name", ["video", "video.xyz", "video.dat", "video.mp4.1"])
def test_what_the_suffix_does_not_say_is_found_out(tmp_path: Path, talking: Path, name: str) -> None:
    path = shutil.copy(talking, tmp_path / name)
    assert is_media(path)


@pytest.mark.parametrize(
    "content", [b"", b"hello there\n" * 100, bytes(range(256)) * 40, b"\0" * 5000, b"MThd\0\0\0\6\0\1\0\2" * 20]
)
@pytest.mark.parametrize("name", ["a", "a.dat", "a.xyz"])
def test_what_contains_no_recording_is_none(tmp_path: Path, content: bytes, name: str) -> None:
    (tmp_path / name).write_bytes(content)
    assert not is_media(tmp_path / name)


def test_a_table_or_picture_is_not_opened(tmp_path: Path, talking: Path) -> None:
    assert not is_media(shutil.copy(talking, tmp_path / "a.csv"))
    (tmp_path / "folder.mp4").mkdir()
    assert not is_media(tmp_path / "folder.mp4")


def test_junk_is_no_part_of_a_folder(tmp_path: Path) -> None:
    for name in (".DS_Store", "Thumbs.db", "._x.mp4", "desktop.ini", "~$x.docx", "x.tmp", "x.mp4~", "talk.mp4"):
        (tmp_path / name).touch()
    (tmp_path / "@eaDir").mkdir()
    assert in_folder(tmp_path) == [tmp_path / "talk.mp4"]


def test_content_that_lies_elsewhere_is_named(tmp_path: Path) -> None:
    (tmp_path / "annexed.mp4").symlink_to(".git/annex/objects/x1/y2/SHA256E-s100--ab.mp4")
    (tmp_path / "gone.mp4").symlink_to("nowhere.mp4")
    (tmp_path / "unlocked.mp4").write_text("/annex/objects/SHA256E-s100--ab.mp4\n")
    (tmp_path / "lfs.mp4").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 100\n")
    expected = {
        "annexed": "git annex get",
        "gone": "a link to nowhere.mp4, which doesn't exist",
        "unlocked": "git annex get",
        "lfs": "git lfs pull",
    }
    for name, what in expected.items():
        path = tmp_path / f"{name}.mp4"
        assert is_media(path) and what in missing_content(path)
        with pytest.raises(MediaError, match=f"{name}.*{what}"):
            open_recording(path)


def test_names_that_are_not_utf8_can_be_shown() -> None:
    assert shown(os.fsdecode(b"caf\xe9.mp4")) == "caf\ufffd.mp4" and shown("café.mp4") == "café.mp4"


@pytest.mark.parametrize(
    ("names", "chosen", "others"),
    [
        (["talk.srt"], "talk.srt", []),
        (["talk.mp4.srt"], "talk.mp4.srt", []),
        (["TALK.SRT"], "TALK.SRT", []),
        (["talk.en.vtt"], "talk.en.vtt", []),
        (["talk.en-US.sdh.srt"], "talk.en-US.sdh.srt", []),
        (["talk.de.srt", "talk.en.srt"], "talk.en.srt", ["talk.de.srt"]),
        (["talk.srt", "talk.en.srt"], "talk.en.srt", ["talk.srt"]),
        (["talk.vtt", "talk.ass", "talk.srt"], "talk.srt", ["talk.vtt", "talk.ass"]),
        (["talk.en.forced.srt", "talk.en.vtt"], "talk.en.vtt", ["talk.en.forced.srt"]),
        (["talk.de.srt"], None, ["talk.de.srt"]),
        (["talk.hi.srt"], None, ["talk.hi.srt"]),
        (["talk2.srt", "talk.part2.srt", "other.srt", "talk.txt"], None, []),
    ],
)
def test_the_transcript_beside_a_recording(tmp_path: Path, names: list[str], chosen: str | None, others: list[str]) -> None:
    found = find_transcripts(tmp_path / "talk.mp4", [tmp_path / name for name in names])
    assert (found.path and found.path.name, [path.name for path in found.others]) == (chosen, others)


def test_accents_may_be_written_in_two_ways(tmp_path: Path) -> None:
    assert find_transcripts(tmp_path / "Mu\u0308ller.mp4", [tmp_path / "M\u00fcller.srt"]).path is not None


def test_subtitles_that_vatrace_wrote_are_no_transcript(tmp_path: Path) -> None:
    path = tmp_path / "talk.vtt"
    path.write_text(f"WEBVTT\n\n{MADE_BY} wrote these\n\n00:01.000 --> 00:02.000\nHello\n")
    assert find_transcripts(tmp_path / "talk.mp4", [path]).path is None
