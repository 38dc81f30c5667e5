from pathlib import Path

import pytest

from vatrace.errors import MediaError, UsageError
from vatrace.inference.batch import find_recordings, match_transcripts, result_names


def touch(folder: Path, *names: str) -> list[Path]:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return [folder / name for name in names]


def test_a_folder_stands_for_its_visible_videos_and_audio_files(tmp_path: Path) -> None:
    touch(tmp_path, "b.MP4", "a.wav", "notes.txt", "talk.srt", "._a.mp4", "sub.ts/inside.mp4")
    assert [path.name for path in find_recordings(tmp_path)] == ["a.wav", "b.MP4"]
    assert find_recordings(tmp_path / "none.mp4") == [tmp_path / "none.mp4"]
    (tmp_path / "empty").mkdir()
    with pytest.raises(MediaError, match="empty: no video or audio files in this folder"):
        find_recordings(tmp_path / "empty")


@pytest.mark.parametrize(
    ("paths", "names"),
    [
        (["a/talk.mp4", "a/talk.wav", "b.mp4"], ["talk.mp4", "talk.wav", "b"]),
        (["P01/talk.mp4", "P02/talk.mp4"], ["P01_talk", "P02_talk"]),
        (["a/talk.mp4", "a/talk.wav", "b/talk.mp4"], ["a_talk.mp4", "talk.wav", "b_talk"]),
        ([], []),
    ],
)
def test_results_have_the_shortest_names_that_differ(paths: list[str], names: list[str]) -> None:
    assert result_names([Path(path) for path in paths]) == names


@pytest.mark.parametrize(
    "paths",
    [
        ["a/talk.mp4", "a/talk.wav", "a/talk.mp4.wav"],
        ["P01/talk.mp4", "P02/talk.mp4", "all/P01_talk.mp4"],
        ["a/P01/talk.mp4", "b/P01/talk.mp4"],
    ],
)
def test_names_that_would_meet_are_refused(paths: list[str]) -> None:
    with pytest.raises(MediaError, match="another recording has the same name"):
        result_names([Path(path) for path in paths])


def test_transcripts_belong_to_the_recordings_of_their_names(tmp_path: Path) -> None:
    anna, ben = touch(tmp_path, "anna.mp4", "ben.mp4")
    (found,) = touch(tmp_path / "srt", "anna.srt")
    touch(tmp_path / "srt", ".ben.srt", "ben.txt")
    assert match_transcripts(tmp_path / "srt", [anna, ben]) == [found, None]
    assert match_transcripts(found, [ben]) == [found]
    assert match_transcripts(None, [anna, ben]) == [None, None]


def test_transcripts_that_fit_no_recording_or_several_are_refused(tmp_path: Path) -> None:
    one, two, other = touch(tmp_path, "P01/talk.mp4", "P02/talk.mp4", "other.mp4")
    (srt,) = touch(tmp_path / "srt", "talk.srt")
    with pytest.raises(UsageError, match=r"talk\.srt: is one transcript for 2 recordings"):
        match_transcripts(srt, [one, other])
    with pytest.raises(UsageError, match=r"talk\.srt: 2 recordings are called talk"):
        match_transcripts(srt.parent, [one, two])
    with pytest.raises(UsageError, match=r"named after a recording, such as other\.srt"):
        match_transcripts(srt.parent, [other])
    touch(tmp_path / "srt", "talk.vtt")
    with pytest.raises(UsageError, match=r"both talk\.srt and talk\.vtt are transcripts of talk: keep one"):
        match_transcripts(srt.parent, [one])
