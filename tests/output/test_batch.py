import shutil
from pathlib import Path

import pytest

from vatrace.errors import MediaError, UsageError
from vatrace.output.batch import Choice, Result, find_recordings, match_transcripts, result_files, result_names


def touch(folder: Path, *names: str) -> list[Path]:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return [folder / name for name in names]


def test_a_folder_stands_for_its_visible_videos_and_audio_files(tmp_path: Path) -> None:
    touch(tmp_path, "b.MP4", "a.wav", "notes.txt", "talk.srt", "._a.mp4", "Thumbs.db", "sub.ts/inside.mp4")
    (tmp_path / "gone.mts").symlink_to("nowhere.mts")
    found = find_recordings(tmp_path)
    assert [str(path.relative_to(tmp_path)) for path in found.recordings] == ["a.wav", "b.MP4", "gone.mts", "sub.ts/inside.mp4"]
    assert found.others == ("notes.txt", "talk.srt")
    assert find_recordings(tmp_path / "none.mp4").recordings == (tmp_path / "none.mp4",)
    (tmp_path / "empty").mkdir()
    with pytest.raises(MediaError, match=r"empty: no video or audio files in this folder$"):
        find_recordings(tmp_path / "empty")
    touch(tmp_path / "empty", "a.docx", "card/notes.txt")
    with pytest.raises(MediaError, match=r"in this folder; it contains a\.docx, card/notes\.txt$"):
        find_recordings(tmp_path / "empty")


def test_results_inside_of_a_study_are_not_recordings(tmp_path: Path) -> None:
    touch(
        tmp_path,
        "P1/talk.mp4",
        "traces/P1/talk.overlay.mp4",
        "traces/P1/talk.csv",
        "old/P1/talk.overlay.mp4",
        "old/P1/talk.json",
    )
    found = find_recordings(tmp_path, tmp_path / "traces")
    assert [str(path.relative_to(tmp_path)) for path in found.recordings] == ["P1/talk.mp4"]
    assert find_recordings(tmp_path / "P1", tmp_path).recordings == (tmp_path / "P1" / "talk.mp4",)  # results go to the parent


def test_results_mirror_the_subfolders_that_were_searched() -> None:
    study, other = Path("study"), Path("other")
    paths = [study / "a.mp4", study / "P1" / "talk.mp4", study / "P1" / "talk.wav", study / "P2" / "x" / "talk.mp4"]
    roots = dict.fromkeys(paths, study)
    assert result_names(paths, roots) == ["a", "P1/talk.mp4", "P1/talk.wav", "P2/x/talk"]
    twice = [study / "P1" / "talk.mp4", other / "P1" / "talk.mp4"]
    assert result_names(twice, dict(zip(twice, (study, other), strict=True))) == ["study/P1/talk", "other/P1/talk"]


def test_results_and_transcripts_of_a_recording_are_neither_recordings_nor_named(tmp_path: Path) -> None:
    touch(tmp_path, "talk.mp4", "talk.csv", "talk.png", "talk.html", "talk.overlay.mp4", "talk.en.srt", "talk.de.vtt")
    found = find_recordings(tmp_path)
    assert ([path.name for path in found.recordings], found.others) == (["talk.mp4"], ())
    (tmp_path / "talk.mp4").unlink()
    assert [path.name for path in find_recordings(tmp_path).recordings] == ["talk.overlay.mp4"]  # then it is all there is


def test_tables_of_turns_and_of_each_person_are_results(tmp_path: Path) -> None:
    touch(
        tmp_path, "Dr. Who.mp4", "Dr. Who.turns.csv", "Dr. Who.1.csv", "Dr. Who.Mr. X.parquet", "Dr. Who.notes.docx", "Dr.1.csv"
    )
    found = find_recordings(tmp_path)
    assert [path.name for path in found.recordings] == ["Dr. Who.mp4"] and found.others == ("Dr. Who.notes.docx", "Dr.1.csv")


def test_results_of_each_person_have_names_of_their_own(tmp_path: Path) -> None:
    kinds = ["csv", "json", "turns", "png", "overlay"]
    assert [(file.kind, file.path.name) for file in result_files(tmp_path, "talk", kinds)] == [
        ("csv", "talk.csv"),
        ("json", "talk.json"),
        ("turns", "talk.turns.csv"),
        ("png", "talk.png"),
        ("overlay", "talk.overlay.mp4"),
    ]
    people = ["1", "a/b", "a:b", "A_B", "turns", "x" * 300]
    found = result_files(tmp_path, "talk", ["csv", "turns"], people)
    names = [file.path.name for file in found]
    assert names[:6] == ["talk.turns.csv", "talk.1.csv", "talk.a_b.csv", "talk.a_b_.csv", "talk.A_B__.csv", "talk.turns_.csv"]
    assert found[2] == Result("csv", tmp_path / "talk.a_b.csv", "a/b") and found[0].person is None
    for file in found:
        file.path.touch()  # the file system takes every name
    assert len(list(tmp_path.iterdir())) == 7


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
    assert match_transcripts(tmp_path / "srt", [anna, ben]) == [Choice(found), Choice(None)]
    assert match_transcripts(found, [ben]) == [Choice(found)]
    assert match_transcripts(None, [anna, ben]) == [Choice(None, given=False)] * 2


def test_the_transcript_beside_a_recording_is_found(tmp_path: Path) -> None:
    anna, ben = touch(tmp_path, "anna.mp4", "ben.mp4")
    english, german, plain = touch(tmp_path, "anna.en.vtt", "anna.de.srt", "ben.srt")
    assert match_transcripts(None, [anna, ben, tmp_path / "nowhere" / "c.mp4", plain]) == [
        Choice(english, given=False, others=(german,)),
        Choice(plain, given=False),
        Choice(None, given=False),
        Choice(None),
    ]


def test_transcripts_that_fit_no_recording_or_several_are_refused(tmp_path: Path) -> None:
    one, two, other = touch(tmp_path, "P01/talk.mp4", "P02/talk.mp4", "other.mp4")
    (srt,) = touch(tmp_path / "srt", "talk.srt")
    with pytest.raises(UsageError, match=r"talk\.srt: one transcript for 2 recordings"):
        match_transcripts(srt, [one, other])
    with pytest.raises(UsageError, match=r"talk\.srt: 2 recordings are called talk"):
        match_transcripts(srt.parent, [one, two])
    with pytest.raises(UsageError, match=r"named after a recording, such as other\.srt"):
        match_transcripts(srt.parent, [other])
    (vtt,) = touch(tmp_path / "srt", "talk.vtt")
    assert match_transcripts(srt.parent, [one]) == [Choice(srt, others=(vtt,))]


def captions(path: Path, start: str) -> Path:
    path.write_text(f"1\n{start},000 --> {start},500\nI love it\n")
    return path


def test_a_transcript_beside_a_recording_is_used_with_a_note(tmp_path: Path, talking: Path) -> None:
    media = Path(shutil.copy(talking, tmp_path / "talk.mp4"))
    srt = captions(tmp_path / "talk.srt", "00:00:01")
    touch(tmp_path, "talk.de.srt")
    (choice,) = match_transcripts(None, [media])
    recording = choice.open(media)
    assert recording.transcript == srt and recording.words is not None and len(recording.words) == 3
    assert recording.transcript_notes == (
        "the words are from talk.srt in the same folder (--transcript none recognises speech)",
        "not used: talk.de.srt (one transcript is enough; choose one with --transcript)",
    )


def test_a_transcript_beside_a_recording_that_cant_be_used_is_left_out_but_not_one_that_was_given(
    tmp_path: Path, talking: Path
) -> None:
    media = Path(shutil.copy(talking, tmp_path / "talk.mp4"))
    srt = captions(tmp_path / "talk.srt", "01:00:01")
    (choice,) = match_transcripts(None, [media])
    recording = choice.open(media)
    assert recording.words is None and recording.transcript is None
    (note,) = recording.transcript_notes
    assert note.startswith(
        "talk.srt in the same folder was not used: the captions start at 3601.0 s, but the recording ends at 4.0 s"
    )
    srt.unlink()
    srt.symlink_to("nowhere.srt")
    (choice,) = match_transcripts(None, [media])
    assert choice.open(media).transcript_notes == ("talk.srt in the same folder was not used: no such file or directory",)
    srt.unlink()
    captions(srt, "01:00:01")
    (given,) = match_transcripts(srt, [media])
    with pytest.raises(MediaError, match=r"talk\.srt: the captions start at 3601\.0 s"):
        given.open(media)
