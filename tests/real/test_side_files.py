"""Files beside recordings, as people have them: one test for each kind."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from command import Result, run

LIMIT = 0.05
"""How far a value may be from that of the clean file."""


def clock(seconds: float, point: str = ",") -> str:
    sign = "-" if seconds < 0 else ""
    milliseconds = round(1000 * abs(seconds))
    minutes, rest = divmod(milliseconds, 60_000)
    return f"{sign}{minutes // 60:02d}:{minutes % 60:02d}:{rest // 1000:02d}{point}{rest % 1000:03d}"


def srt(path: Path, *captions: tuple[float, float, str], encoding: str = "utf-8") -> Path:
    blocks = [f"{n}\n{clock(a)} --> {clock(b)}\n{text}\n" for n, (a, b, text) in enumerate(captions, 1)]
    path.write_bytes("\n".join(blocks).encode(encoding))
    return path


SPEECH = ((0.5, 3, "This was a wonderful day,"), (3, 6, "and I am so happy with it."), (7, 9.5, "I hate it, it was horrible."))


def trace(path: Path, folder: Path) -> pd.DataFrame:
    result = run("predict", path, "--out", folder, "--overwrite")
    assert (result.status, result.err) == (0, "")
    return pd.read_csv(folder / f"{path.stem}.csv")


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    folder = tmp_path_factory.mktemp("clean")
    return trace(srt(folder / "clean.srt", *SPEECH), folder)


def same(found: pd.DataFrame, clean: pd.DataFrame) -> bool:
    columns = ["valence", "arousal", "words"]
    return len(found) == len(clean) and bool(np.abs(found[columns] - clean[columns]).max().max() < LIMIT)


def test_captions_for_the_hard_of_hearing(tmp_path: Path, clean: pd.DataFrame) -> None:
    path = srt(
        tmp_path / "sdh.srt",
        (0.5, 3, "[DRAMATIC MUSIC] This was a wonderful day,"),
        (3, 6, "(SOBBING) and I am so happy with it."),
        (7, 9.5, "MAN: (LAUGHS) I hate it, it was horrible."),
        (12, 18, "[GUNSHOTS, SCREAMING]"),
        (18, 20, "♪ I love you so ♪"),
    )
    assert same(trace(path, tmp_path), clean)


def test_captions_of_the_web_with_comments_speakers_and_names(tmp_path: Path, clean: pd.DataFrame) -> None:
    blocks = ["WEBVTT", "STYLE\n::cue { color: red }", "NOTE draft, please correct"]
    for number, (start, end, text) in enumerate(SPEECH):
        who = "Anna" if number == 2 else ""
        said = f"<v {who}>{text}</v>" if who else f"<c.yellow>{text}</c>"
        blocks.append(f"cue-{number}\n{clock(start, '.')} --> {clock(end, '.')} align:start\n{said}")
    path = tmp_path / "talk.vtt"
    path.write_text("\n\n".join([*blocks, "NOTE the end"]) + "\n")
    assert same(trace(path, tmp_path), clean)
    assert run("predict", path, "--out", tmp_path / "json", "--format", "json").status == 0
    words = json.loads((tmp_path / "json" / "talk.json").read_text())["transcript"]
    assert [word["text"] for word in words if word.get("speaker") == "Anna"] == SPEECH[2][2].split()


def test_captions_that_roll_up(tmp_path: Path, clean: pd.DataFrame) -> None:
    (a, b, one), (c, d, two), last = SPEECH
    assert same(trace(srt(tmp_path / "roll.srt", (a, b, one), (c, d, f"{one}\n{two}"), last), tmp_path), clean)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-8-sig"])
def test_unicode_of_windows(tmp_path: Path, clean: pd.DataFrame, encoding: str) -> None:
    assert same(trace(srt(tmp_path / "a.srt", *SPEECH, encoding=encoding), tmp_path), clean)


def predicted(media: Path, *options: object) -> tuple[Result, list[str]]:
    """The result of predicting the words of a recording, and its notes."""
    result = run("predict", media, "--out", media.parent / "out", "--overwrite", "--modalities", "words", *options)
    lines = [line for line in result.out.splitlines() if line.startswith("  note: ")]
    return result, [line.removeprefix("  note: ") for line in lines]


@pytest.fixture
def media(tmp_path: Path, talking: Path) -> Path:
    """A recording of 4 s."""
    return Path(shutil.copy(talking, tmp_path / "talk.mp4"))


def test_captions_with_a_broadcast_clock(media: Path) -> None:
    path = srt(media.with_name("given.srt"), (3601, 3602, "I love this day"))
    result, _ = predicted(media, "--transcript", path)
    assert result.status == 1
    assert "the captions start at 3601.0 s, but the recording ends at 4.0 s" in result.err and "subtract 3600 s" in result.err


def test_captions_with_impossible_times(media: Path) -> None:
    path = srt(media.with_name("given.srt"), (-1, 0.5, "I love"), (2, 1.5, "this day"), (3, 9, "very much indeed"))
    result, notes = predicted(media, "--transcript", path)
    assert result.status == 0
    assert notes == [
        "given.srt: 1 caption ends before it starts: corrected",
        "given.srt: 1 caption starts before 0 s: cut there; check whether all times are right",
        "given.srt: the captions end at 9.0 s, but the recording ends at 4.0 s; 2 of 7 words were left out: "
        "is it this recording's transcript?",
    ]


def test_a_transcript_beside_the_recording(media: Path) -> None:
    english = srt(media.with_name("talk.en.srt"), (1, 2, "I love this day"))
    srt(media.with_name("talk.de.srt"), (1, 2, "Ich liebe diesen Tag"))
    result, notes = predicted(media, "--format", "json")
    assert result.status == 0
    assert notes[0] == "the words are from talk.en.srt in the same folder (--transcript none recognises speech)"
    assert notes[1].startswith("not used: talk.de.srt")
    content = json.loads((media.parent / "out" / "talk.json").read_text())
    assert " ".join(word["text"] for word in content["transcript"]) == "I love this day"
    assert content["made_by"]["transcript"] == english.name
    result, notes = predicted(media, "--transcript", "none", "--format", "json")
    content = json.loads((media.parent / "out" / "talk.json").read_text())
    assert notes == [] and "transcript" not in content["made_by"] and len(content["transcript"]) > 4


def test_results_never_replace_a_transcript(media: Path) -> None:
    path = media.with_name("talk.vtt")
    path.write_text("WEBVTT\n\n00:01.000 --> 00:02.000\nI love this day\n")
    result = run("predict", media, "--out", media.parent, "--overwrite", "--modalities", "words", "--format", "vtt")
    assert result.status == 1 and "talk.vtt: its own result would replace it" in result.err
    assert "valence" not in path.read_text()


def test_a_folder_from_a_camera_a_disk_and_a_repository(tmp_path: Path, talking: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for name in ("ok.mp4", "CLIP.qt", "noending", os.fsdecode(b"caf\xe9.mp4")):
        shutil.copy(talking, folder / name)
    for name in (".DS_Store", "Thumbs.db", "._ok.mp4", "desktop.ini", "notes.docx"):
        (folder / name).write_bytes(b"x" * 100)
    (folder / "annexed.mp4").symlink_to(".git/annex/objects/a/b/c")
    result = run("predict", folder, "--out", tmp_path / "out", "--modalities", "voice", "--summary", tmp_path / "all.csv")
    assert result.status == 1 and "4 of 5 recordings done" in result.out
    assert f"warning: {folder}: ignored (neither video nor audio): notes.docx\n" in result.err
    assert "annexed.mp4: its content hasn't been fetched (git-annex)" in result.err
    table = pd.read_csv(tmp_path / "all.csv")
    assert sorted(table["recording"]) == ["CLIP", "annexed", "caf\ufffd", "noending", "ok"]
    done = table[table["error"].isna()]
    assert done["valence_mean"].nunique() == 1 and len(done) == 4


def test_the_cases_that_were_found(tmp_path: Path, shared: Path) -> None:
    """The captions of the case `sdh` against those without descriptions, within 0.05."""
    folder = shared.parent / "cases" / "sdh"
    if not folder.is_dir():
        pytest.skip("the case is not here")
    assert same(trace(folder / "sdhL.srt", tmp_path), trace(folder / "sdhL_clean.srt", tmp_path))
