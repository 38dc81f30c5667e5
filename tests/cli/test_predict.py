import hashlib
import json
import os
import signal
import subprocess
import sys
import time
import wave
from pathlib import Path

import numpy as np
import pandas as pd
import pympi
import pytest
from numpy.typing import NDArray
from PIL import Image

import vatrace
from command import run
from conftest import side_by_side, write_movie
from made_faults import DEADLY, HALF, with_a_bug, with_crashes
from made_plugins import add_module, forget_module
from vatrace.errors import UsageError
from vatrace.inference.prediction import Prediction, Turn
from vatrace.media.reading import SAMPLING_RATE
from vatrace.output.formats import FORMATS
from vatrace.output.results import named
from vatrace.output.writers import SUMMARY_COLUMNS, read_json
from vatrace.weights import package_file


def test_predict_writes_table_and_picture(talking: Path, tmp_path: Path) -> None:
    out = tmp_path / "new" / "folder"
    result = run("predict", talking, "--out", out, "--format", ",".join(FORMATS), "--report", "--overlay")
    assert (result.status, result.err) == (0, "")
    assert len(result.out.splitlines()) == 1
    assert sorted(path.name for path in out.glob("talking.*")) == [
        f"talking.{suffix}"
        for suffix in ("TextGrid", "csv", "eaf", "html", "json", "overlay.mp4", "parquet", "png", "turns.csv", "vtt")
    ]
    table = pd.read_csv(out / "talking.csv")
    bounds = ["valence_low", "valence_high", "arousal_low", "arousal_high"]
    columns = ["time", "valence", "arousal", "face", "voice", "words", *bounds, "supported", "person", "speaking"]
    assert list(table.columns) == columns and set(table["person"]) == {1}
    assert len(table) in {40, 41}  # AAC rounds 4 s up to its frames
    assert table["time"].tolist() == pytest.approx([i / 10 for i in range(len(table))])
    assert set(table["face"]) <= {0, 1}
    with Image.open(out / "talking.png") as picture:
        assert picture.width > 1000


def test_explain_adds_columns(talking: Path, tmp_path: Path) -> None:
    assert run("predict", talking, "--out", tmp_path, "--modalities", "face", "--explain").status == 0
    table = pd.read_csv(tmp_path / "talking.csv")
    assert {"face_share", "voice_share", "words_share", "recursion_1"} < set(table.columns)


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory, face_images: list[Image.Image], speech: NDArray[np.float32]) -> Path:
    """A man, and from 1 s on his smaller mirror image to the left of him, 3 s with speech."""
    scenes = []
    for index, face in enumerate(face_images[:90]):
        scene = Image.new("RGB", (384, 144), (60, 70, 80))
        scene.paste(face, (192, 0))
        if index >= 30:
            scene.paste(face.transpose(Image.Transpose.FLIP_LEFT_RIGHT).resize((160, 120)), (10, 10))
        scenes.append(scene)
    path = tmp_path_factory.mktemp("two") / "two.mp4"
    return write_movie(path, scenes, sound=speech[: 3 * SAMPLING_RATE], frame_rate=30)


def test_everyone_is_in_every_format_and_in_the_summary(two: Path, tmp_path: Path) -> None:
    arguments = ["--people", "all", "--format", ",".join(FORMATS), "--summary", tmp_path / "all.csv"]
    result = run("predict", two, "--out", tmp_path, *arguments)
    assert (result.status, result.err) == (0, "")
    first, second, files = [line for line in result.out.splitlines() if not line.startswith("  note")]
    assert first.startswith("two.mp4, person 1: 3.") and second.startswith("two.mp4, person 2: 3.")
    assert files.startswith("two.mp4: 2 people -> ") and str(tmp_path / "two.turns.csv") in files
    table = pd.read_csv(tmp_path / "two.csv", dtype={"person": str})
    steps = len(table) // 2
    assert table["person"].tolist() == ["1"] * steps + ["2"] * steps
    faces = table.groupby("person")["face"].mean()
    assert faces["1"] > 0.95 and 0.5 < faces["2"] < 0.75
    summary = pd.read_csv(tmp_path / "all.csv", dtype={"person": str})
    assert summary["recording"].tolist() == ["two", "two"] and summary["person"].tolist() == ["1", "2"]
    assert summary["people"].tolist() == ["all", "all"] and summary["face"].tolist() == pytest.approx(faces.tolist(), abs=1e-4)
    assert list(read_json(tmp_path / "two.json").people) == ["1", "2"]
    tiers = pympi.Eaf(str(tmp_path / "two.eaf")).get_tier_names()
    assert {"1 valence", "2 valence", "turns"} <= set(tiers)
    turns = pd.read_csv(tmp_path / "two.turns.csv", dtype={"person": str})
    assert len(turns) and set(turns["person"]) <= {"1", "2", "off screen", "several"}
    assert (turns["end"] > turns["start"]).all() and turns["end"].max() < 3.3


def test_each_person_has_a_table_on_request_and_the_names_of_a_study(two: Path, tmp_path: Path) -> None:
    assert run("predict", two, "--out", tmp_path, "--people", "2", "--modalities", "face").status == 0
    (tmp_path / "people.csv").write_text("recording,person,name\ntwo.mp4,1,Anna: a/b\nother.mp4,1,Ben\n")
    options = ["--people", "2", "--modalities", "face", "--per-person", "--names", tmp_path / "people.csv"]
    result = run("predict", two, "--out", tmp_path / "out", "--format", "csv,json", *options)
    rest = "names people of recordings that are not processed now: other.mp4"
    assert (result.status, result.err) == (0, f"warning: {tmp_path / 'people.csv'}: {rest}\n")
    assert sorted(path.name for path in (tmp_path / "out").glob("two.*")) == [
        "two.2.csv",
        "two.Anna_ a_b.csv",
        "two.json",
        "two.png",
    ]
    whole = pd.read_csv(tmp_path / "two.csv", dtype={"person": str})
    for name, part, person in (("Anna_ a_b", "1", "Anna: a/b"), ("2", "2", "2")):
        table = pd.read_csv(tmp_path / "out" / f"two.{name}.csv", dtype={"person": str})
        expected = whole[whole["person"] == part].reset_index(drop=True).assign(person=person)
        pd.testing.assert_frame_equal(table, expected)
    assert "two.mp4, person Anna: a/b: " in result.out
    again = run("predict", two, "--out", tmp_path / "out", *options)
    assert again.status == 0 and "1 of 1 recording already done" in again.out
    (tmp_path / "out" / "two.3.csv").touch()
    again = run("predict", two, "--out", tmp_path / "out", *options, "--overwrite")
    rest = f"{tmp_path / 'out'}: still contains results of people from an earlier run who aren't in this one: two.3.csv"
    assert again.status == 0 and rest in again.err
    (tmp_path / "out" / "two.3.csv").unlink()
    (tmp_path / "out" / "two.png").unlink()
    (tmp_path / "out" / "two.2.csv").unlink()
    again = run("predict", two, "--out", tmp_path / "out", *options)
    assert again.status == 0 and "two: done again, because of changes: some files are missing" in again.out
    assert (tmp_path / "out" / "two.2.csv").exists() and (tmp_path / "out" / "two.png").exists()


def test_names_that_would_join_two_people_are_refused() -> None:
    made = Prediction(
        **{"source": Path("a.mp4"), "rate": 10.0, "presence": {"face": np.ones(2, bool)}},
        **dict.fromkeys(("times", "valence", "arousal"), np.zeros(2)),
        turns=[Turn(0.0, 0.1, "9"), Turn(0.1, 0.2, "off screen")],
    )
    assert named(made, {"1": "Anna", "9": "1"}, Path("people.csv")).turns[0].person == "1"
    with pytest.raises(UsageError, match=r"a.mp4: 9 would be the name of two people; change people.csv"):
        named(made, {"1": "9"}, Path("people.csv"))


def test_the_person_at_a_side_or_in_a_picture_is_followed(two: Path, tmp_path: Path, face_images: list[Image.Image]) -> None:
    face_images[100].resize((768, 576)).save(tmp_path / "man.jpg")
    found = {}
    for options in (["--people", "left"], ["--people", "right"], ["--person", tmp_path / "man.jpg"]):
        out = tmp_path / options[1] if options[0] == "--people" else tmp_path / "picture"
        arguments = ["--modalities", "face", "--summary", tmp_path / f"{out.name}.csv"]
        result = run("predict", two, "--out", out, *options, *arguments)
        assert (result.status, result.err) == (0, "")
        found[out.name] = pd.read_csv(tmp_path / f"{out.name}.csv", dtype={"person": str}).loc[0]
    assert (found["left"]["person"], found["right"]["person"]) == ("2", "1")
    assert (found["left"]["people"], found["right"]["people"]) == ("left", "right")
    assert found["picture"]["person picture"] == "man.jpg" and found["picture"]["person"] in {"1", "2"}
    Image.new("RGB", (400, 400)).save(tmp_path / "black.jpg")
    result = run("predict", two, two, "--out", tmp_path / "out", "--person", tmp_path / "black.jpg", "--modalities", "face")
    assert (result.status, result.err) == (1, f"error: {tmp_path / 'black.jpg'}: no face was found in it\n")
    side_by_side([face_images[100].resize((768, 576))] * 2).save(tmp_path / "pair.png")
    result = run("predict", two, "--out", tmp_path / "out", "--person", tmp_path / "pair.png", "--modalities", "face")
    several = "pair.png shows 2 faces: the largest one is used"
    assert (result.status, result.err) == (0, f"warning: {several}\n") and f"  note: {several}\n" in result.out
    result = run("predict", two, "--out", tmp_path / "heard", "--person", tmp_path / "man.jpg", "--modalities", "voice")
    assert result.status == 1 and "the person in man.jpg can't be found, because faces are not used" in result.err


def test_no_result_takes_the_place_of_another_or_of_a_picture(tmp_path: Path, face_images: list[Image.Image]) -> None:
    for name in ("talk.jpg", "talk.turns.jpg", "talk.png"):
        face_images[0].save(tmp_path / name)
    result = run("predict", "talk.jpg", "talk.turns.jpg", "--format", "csv,turns", "--out", "out", cwd=tmp_path)
    assert result.status == 1 and "out/talk.turns.csv: would be a result of two recordings" in result.err
    result = run("predict", "talk.jpg", "--person", "talk.png", "--overwrite", cwd=tmp_path)
    assert result.status == 1 and "talk.png: its own result would replace it" in result.err
    table = "recording,person,name\ntalk.jpg,1,Anna\n"
    (tmp_path / "talk.csv").write_text(table)
    result = run(
        "predict", "talk.jpg", "--names", "talk.csv", "--summary", "talk.csv", "--out", "out", "--overwrite", cwd=tmp_path
    )
    assert result.status == 1 and "talk.csv: is an input of this command" in result.err
    assert (tmp_path / "talk.csv").read_text() == table and not (tmp_path / "out" / "talk.csv").exists()


def test_a_batch_goes_on_past_bad_files_and_says_so(tmp_path: Path, face_images: list[Image.Image]) -> None:
    folder = tmp_path / "videos"
    folder.mkdir()
    (folder / "a.mp4").write_text("not a film")
    (folder / "b.mp4").touch()
    write_movie(folder / "c.mp4", face_images[:30])
    (folder / "notes.txt").write_text("not a recording")
    result = run("predict", folder, tmp_path / "none.mp4", "--out", tmp_path / "out", "--modalities", "face")
    assert result.status == 1
    warning, *errors = result.err.splitlines()
    assert warning == f"warning: {folder}: ignored (neither video nor audio): notes.txt"
    assert len(errors) == 3 and all(line.startswith("error: ") for line in errors)
    assert "a.mp4" in errors[0] and "b.mp4" in errors[1] and "none.mp4" in errors[2]
    assert "1 of 4 recordings done" in result.out
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "c.csv",
        "c.json",
        "c.png",
        "codebook.csv",
        "quality.html",
        "vatrace.log",
    ]


def test_a_bug_is_said_to_be_one_and_the_batch_goes_on(
    tmp_path: Path, face_images: list[Image.Image], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vatrace.cli.batch.work", with_a_bug)
    (tmp_path / "tmp").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    (tmp_path / "a.srt").write_text("1\n00:00:00,000 --> 00:00:04,000\nhello there\n")
    face_images[0].save(tmp_path / "b.jpg")
    result = run("predict", "a.srt", "b.jpg", "--out", "out", "--summary", "all.csv", cwd=tmp_path)
    assert result.status == 1 and "1 of 2 recordings done" in result.out
    (file,) = (tmp_path / "tmp").glob("vatrace-bug-*")
    (line,) = result.err.splitlines()
    assert line.startswith("error: a.srt: a bug in vatrace (ValueError: operands could not be broadcast together")
    assert line.endswith(f"; please report it with {file}")
    assert "Traceback" in file.read_text() and "wrong_for_long" in file.read_text()
    assert pd.read_csv(tmp_path / "all.csv")["error"][0] == line.removeprefix("error: ")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "b.csv",
        "b.json",
        "b.png",
        "codebook.csv",
        "quality.html",
        "vatrace.log",
    ]


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_crash_of_a_codec_costs_one_recording(
    tmp_path: Path, face_images: list[Image.Image], monkeypatch: pytest.MonkeyPatch, jobs: int
) -> None:
    monkeypatch.setattr("vatrace.cli.batch.work", with_crashes)
    (tmp_path / "tmp").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    for name in ("a", DEADLY, "f", HALF, "z"):
        write_movie(tmp_path / f"{name}.mp4", face_images[:30], frame_rate=30)
    arguments = ["predict", ".", "--out", "out", "--modalities", "face", "--report", "--jobs", jobs, "--summary", "all.csv"]
    result = run(*arguments, cwd=tmp_path)
    assert result.status == 1 and "3 of 5 recordings done" in result.out
    why = f"its process crashed (SIGSEGV){', even when it ran alone' if jobs > 1 else ''}"
    assert sorted(result.err.splitlines()) == [f"error: {name}.mp4: {why}" for name in (DEADLY, HALF)]
    errors = pd.read_csv(tmp_path / "all.csv").set_index("recording")["error"].dropna()
    assert errors.to_dict() == {name: f"{name}.mp4: {why}" for name in (DEADLY, HALF)}
    assert {path.stem for path in (tmp_path / "out").glob("*.html")} == {"a", "f", "z", "quality"}
    assert not [*(tmp_path / "out").glob(".*"), *(tmp_path / "tmp").iterdir()]
    for name in (DEADLY, HALF):
        assert not (tmp_path / "out" / f"{name}.json").exists()


def test_a_bug_of_a_whole_command_has_a_status_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr("vatrace.output.batch.result_names", lambda recordings, roots: recordings.none)
    result = run("predict", "a.srt")
    assert result.status == 70 and result.err.startswith("error: vatrace predict: a bug in vatrace (AttributeError")
    assert len(list(tmp_path.glob("vatrace-bug-*"))) == 1


ENCODER = """
import numpy as np


class Mean:
    dim, crop_size = 3, 48

    def __init__(self, path, threads):
        pass

    def __call__(self, crops):
        return crops.mean(axis=(1, 2)).astype(np.float32) / 255
"""


def test_a_model_with_an_encoder_from_outside_runs_if_the_user_names_it(
    tmp_path: Path, face_images: list[Image.Image], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("torch")
    from vatrace.encoders import parse_encoders
    from vatrace.models.affect import AffectModel, ModelConfig
    from vatrace.training.export import export_onnx

    add_module(tmp_path, monkeypatch, "outside_encoders", ENCODER)
    named = "face=outside_encoders:Mean"
    config = ModelConfig(fusion="concat", feature_dims={"face": 3, "words": 384}, widths={"face": 4, "words": 4})
    versions = {name: spec.version for name, spec in parse_encoders(named).items() if name in config.feature_dims}
    facts = {"rate": 10, "win_len": 100, "encoders": json.dumps(versions)}
    export_onnx(AffectModel(config).eval(), tmp_path / "model.onnx", metadata=facts)
    face_images[0].save(tmp_path / "face.jpg")
    forget_module(monkeypatch, "outside_encoders")
    refused = run("predict", "face.jpg", "--model", "model.onnx", "--out", "out", cwd=tmp_path)
    assert refused.status == 1 and "outside_encoders:Mean" in refused.err and "outside_encoders" not in sys.modules
    result = run("predict", "face.jpg", "--model", "model.onnx", "--out", "out", "--encoders", named, cwd=tmp_path)
    assert (result.status, result.err) == (0, "") and pd.read_csv(tmp_path / "out" / "face.csv")["face"].tolist() == [1]
    typo = run("predict", "face.jpg", "--model", "model.onnx", "--out", "out", "--encoders", "nose=ir50", cwd=tmp_path)
    assert typo.status == 1 and "nose=ir50" in typo.err


def test_existing_results_are_kept_unless_told(tmp_path: Path, face_images: list[Image.Image]) -> None:
    face_images[0].save(tmp_path / "face.png")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "face.csv").write_text("precious")
    result = run("predict", tmp_path / "face.png", "--out", tmp_path / "out")
    assert result.status == 1 and "already exists: choose another name or folder, or replace it with --overwrite" in result.err
    assert (tmp_path / "out" / "face.csv").read_text() == "precious"
    assert run("predict", tmp_path / "face.png", "--out", tmp_path / "out", "--overwrite").status == 0
    assert (tmp_path / "out" / "face.csv").read_text() != "precious"


def test_a_picture_in_this_folder_is_not_taken_for_its_own_result(tmp_path: Path, face_images: list[Image.Image]) -> None:
    face_images[0].save(tmp_path / "face.png")
    before = (tmp_path / "face.png").read_bytes()
    for extra in ([], ["--overwrite"]):
        result = run("predict", "face.png", *extra, cwd=tmp_path)
        assert result.status == 1 and "--out" in result.err
        assert (tmp_path / "face.png").read_bytes() == before


def test_two_recordings_of_one_name_do_not_overwrite_each_other(tmp_path: Path, face_images: list[Image.Image]) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        face_images[0].save(tmp_path / name / "face.jpg")
    face_images[0].save(tmp_path / "one" / "face.bmp")
    out = tmp_path / "out"
    result = run("predict", tmp_path / "one" / "face.jpg", tmp_path / "two" / "face.jpg", "--out", out)
    assert (result.status, result.err) == (0, "")
    assert sorted(path.name for path in out.glob("*face*.csv")) == ["one_face.csv", "two_face.csv"]
    out = tmp_path / "more"
    assert run("predict", tmp_path / "one" / "face.jpg", tmp_path / "one" / "face.bmp", "--out", out).status == 0
    assert sorted(path.name for path in out.glob("*face*.csv")) == ["face.bmp.csv", "face.jpg.csv"]


def test_names_with_anything_in_them_work(tmp_path: Path, face_images: list[Image.Image]) -> None:
    names = ["a$\\x$b", "访谈 [id]", "14:30:12", "x" * 240]
    for name in names:
        face_images[0].save(tmp_path / f"{name}.jpg")
    result = run("predict", *(tmp_path / f"{name}.jpg" for name in names), "--out", tmp_path / "out", "--report")
    assert (result.status, result.err) == (0, "")
    assert len(list((tmp_path / "out").glob("*.html"))) == 5  # and the page on the batch


def test_a_batch_has_its_transcripts_and_one_table(tmp_path: Path, face_images: list[Image.Image]) -> None:
    folder = tmp_path / "videos"
    folder.mkdir()
    for name in ("anna", "ben"):
        write_movie(folder / f"{name}.mp4", face_images[:20], frame_rate=10)
    write_movie(folder / "cleo.mp4", [Image.new("RGB", (64, 64))] * 5)
    (folder / "dan.mp4").write_text("broken")
    (tmp_path / "srt").mkdir()
    (tmp_path / "srt" / "anna.srt").write_text("1\n00:00:00,500 --> 00:00:01,500\nI love this\n")
    options = ["--modalities", "face,words", "--transcript", tmp_path / "srt", "--summary", tmp_path / "new" / "all.csv"]
    result = run("predict", folder, "--out", tmp_path / "out", "--format", "csv,json", *options)
    assert result.status == 1 and "dan.mp4" in result.err
    assert "warning: " in result.err and "no transcript for ben.mp4, cleo.mp4, dan.mp4" in result.err
    columns = (tmp_path / "new" / "all.csv").read_text().partition("\n")[0].split(",")
    assert columns == list(SUMMARY_COLUMNS)
    table = pd.read_csv(tmp_path / "new" / "all.csv").set_index("recording")
    assert list(table.index) == ["anna", "ben", "cleo", "dan"]
    for name in ("anna", "ben"):
        trace = pd.read_csv(tmp_path / "out" / f"{name}.csv")
        row, there = table.loc[name], trace[trace["supported"] == 1]
        assert row["duration"] == pytest.approx(2.0) and np.isnan(row["error"])
        for dimension in ("valence", "arousal"):
            expected = [there[dimension].mean(), there[dimension].std(), there[dimension].min(), there[dimension].max()]
            found = [row[f"{dimension}_{statistic}"] for statistic in ("mean", "sd", "min", "max")]
            assert found == pytest.approx(expected, abs=2e-4)
        assert row["words"] == trace["words"].mean() and row["face"] == trace["face"].mean()
    assert table.loc["anna", "words"] == 0.5 and table.loc["anna", "transcript"] == "anna.srt"
    assert np.isnan(table.loc["cleo", "valence_mean"]) and table.loc["cleo", "supported"] == 0
    assert "nothing supports the values" in table.loc["cleo", "notes"] and "dan.mp4" in table.loc["dan", "error"]
    made_by = json.loads((tmp_path / "out" / "anna.json").read_text())["made_by"]
    digest = hashlib.sha256(package_file("fusion.onnx").read_bytes()).hexdigest()
    assert made_by == {
        "vatrace": vatrace.__version__,
        "model": f"fusion.onnx {digest[:12]}",
        "modalities": "face+words",
        "transcript": "anna.srt",
    }
    one = run("predict", folder / "ben.mp4", "--out", tmp_path / "one", *options[:2], "--summary", tmp_path / "one.csv")
    assert one.status == 0 and list(pd.read_csv(tmp_path / "one.csv")) == columns  # whatever is in the batch
    again = run("predict", folder / "ben.mp4", "--out", tmp_path / "more", *options[:2], *options[4:])
    assert (
        again.status == 1
        and "all.csv: already exists, and isn't made from these" in again.err
        and not (tmp_path / "more" / "ben.csv").exists()
    )


@pytest.mark.parametrize("name", ["out/face.csv", "out/../face.jpg"])
def test_a_summary_takes_no_other_file_s_place(tmp_path: Path, face_images: list[Image.Image], name: str) -> None:
    face_images[0].save(tmp_path / "face.jpg")
    (tmp_path / "out").mkdir()
    result = run("predict", "face.jpg", "--out", "out", "--summary", name, "--overwrite", cwd=tmp_path)
    assert result.status == 1 and f"{name}: is a recording or one of its results" in result.err
    assert list((tmp_path / "out").iterdir()) == [] and Image.open(tmp_path / "face.jpg").size == face_images[0].size


def test_transcripts_that_could_be_of_several_recordings_are_refused(tmp_path: Path, face_images: list[Image.Image]) -> None:
    for part in ("P01", "P02"):
        (tmp_path / part).mkdir()
        face_images[0].save(tmp_path / part / "talk.jpg")
    (tmp_path / "talk.srt").write_text("1\n00:00:00,000 --> 00:00:01,000\nhello\n")
    options = ["--transcript", tmp_path, "--out", tmp_path / "out"]
    result = run("predict", tmp_path / "P01" / "talk.jpg", tmp_path / "P02" / "talk.jpg", *options)
    assert result.status == 1 and "talk.srt: 2 recordings are called talk: predict them one by one" in result.err
    (tmp_path / "talk.vtt").write_text("WEBVTT\n\n00:00.000 --> 00:01.000\nbye\n")
    result = run("predict", tmp_path / "P01" / "talk.jpg", *options)
    assert result.status == 0 and "note: not used: talk.vtt (one transcript is enough" in result.out


def test_hidden_files_and_folders_in_a_folder_are_left_alone(tmp_path: Path, face_images: list[Image.Image]) -> None:
    folder = tmp_path / "videos"
    (folder / "sub.ts").mkdir(parents=True)
    (folder / "sub.ts" / "notes.docx").touch()
    (folder / "._a.mp4").write_bytes(b"resource fork")
    write_movie(folder / "a.mp4", face_images[:10])
    result = run("predict", folder, "--out", tmp_path / "out", "--modalities", "face")
    assert result.status == 0
    assert result.err == f"warning: {folder}: ignored (neither video nor audio): sub.ts/notes.docx\n"
    result = run("predict", folder, tmp_path / "out", "--out", tmp_path / "more", "--modalities", "face")
    assert result.status == 1 and "no video or audio files" in result.err and (tmp_path / "more" / "a.csv").exists()


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["predict", "empty"], 1, "no video or audio files in this folder"),
        (["predict", "none.mp4"], 1, "no such file"),
        (["predict", "face.jpg", "--out", "file.txt"], 1, "can't be written to"),
        (["predict", "face.jpg", "--format", "xlsx"], 2, "csv, parquet, json"),
        (["predict", "face.jpg", "--format", ""], 2, "csv, parquet, json"),
        (["predict", "file.txt"], 1, "not a readable video, audio or image file"),
        (["predict", "face.jpg", "--modalities", "face,smell"], 2, "face, voice, words"),
        (["predict", "face.jpg", "--rate", "-3"], 2, "a number above 0"),
        (["predict", "face.jpg", "--model", "none.onnx"], 1, "no such model file"),
        (["predict", "face.jpg", "--modalities", "voice"], 1, "contains nothing to use for voice"),
        (["predict", "talk.wav", "--whisper", "empty"], 1, "not a folder with Whisper"),
        (["predict", "talk.wav", "--active-speaker", "none.onnx"], 1, "none.onnx: no such file"),
        (["predict", "talk.wav", "--active-speaker", "file.txt"], 1, "file.txt: can't be opened as an ONNX model"),
        (["predict", "face.jpg", "--modalities", "face", "--transcript", "a.srt"], 1, "words are not among the modalities"),
        (["predict", "face.jpg", "file.txt", "--transcript", "a.srt"], 1, "a.srt: one transcript for 2 recordings"),
        (
            ["predict", "face.jpg", "--transcript", "empty"],
            1,
            "is named after a recording, such as face.srt",
        ),
        (["predict", "face.jpg", "--summary", "file.txt"], 1, "file.txt: must end in .csv, .parquet, .sav"),
        (["predict", "face.jpg", "--fps", "5"], 2, "vatrace predict: error: unrecognized arguments: --fps 5"),
        (["predict", "face.jpg", "--transcript", "none.srt"], 1, "none.srt: no such file"),
        (["predict", "face.jpg", "--people", "9"], 2, "main, all, left, right, or a number from 1 to 8, not '9'"),
        (["predict", "face.jpg", "--people", "middle"], 2, "not 'middle'"),
        (["predict", "face.jpg", "--people", "all", "--person", "face.jpg"], 2, "not allowed with argument --people"),
        (["predict", "face.jpg", "--side", "left"], 2, "unrecognized arguments: --side left"),
        (["predict", "face.jpg", "--person", "none.jpg"], 1, "none.jpg: no such picture"),
        (["predict", "face.jpg", "--per-person"], 1, "--per-person is for several people: add --people all"),
        (["predict", "face.jpg", "--per-person", "--people", "1"], 1, "--per-person is for several people"),
        (
            ["predict", "face.jpg", "--per-person", "--people", "all", "--format", "json,turns"],
            1,
            "add csv or parquet to --format",
        ),
        (["predict", "face.jpg", "--names", "none.csv"], 1, "none.csv: no such file"),
        (["predict", "face.jpg", "--names", "file.txt"], 1, "file.txt: line 1: no column 'recording'"),
        (["predict", "face.jpg", "--ray", "--jobs", "1"], 1, "--ray starts those of the cluster: choose one"),
        (["predict", "face.jpg", "--ray", "--threads", "4"], 1, "--threads has no effect with --ray"),
        (["predict", "face.jpg", "--explain", "--format", "vtt,turns"], 1, "adds columns to csv, json, parquet"),
        (["predict", "face.jpg", "--also", "face", "--format", "elan"], 1, "--also adds columns to csv, json, parquet"),
        (["predict", "face.jpg", "--encoding", "utf-8"], 1, "--encoding is of transcripts, and no recording has one"),
        (["extract", "empty", "--store", "store", "--ray", "--workers", "1"], 1, "--ray starts those of the cluster"),
        (["live", "--microphone", "none", "--language", "de"], 1, "--language is for speech, and there is no microphone"),
        (["live", "--microphone", "none", "--whisper", "small"], 1, "--whisper is for speech, and there is no microphone"),
        (["compare", "a", "b", "--store", "store", "--unlock-test"], 1, "--unlock-test has no effect without --split test"),
        (["evaluate", "a", "--store", "store", "--unlock-test"], 1, "--unlock-test has no effect without --split test"),
        (["frobnicate"], 2, "invalid choice"),
    ],
)
def test_mistakes_get_one_clear_line(
    tmp_path: Path, face_images: list[Image.Image], arguments: list[str], status: int, message: str
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file.txt").write_text("a file")
    (tmp_path / "a.srt").write_text("1\n00:00:00,000 --> 00:00:01,000\nhello\n")
    face_images[0].save(tmp_path / "face.jpg")
    with wave.open(str(tmp_path / "talk.wav"), "wb") as sound:
        sound.setparams((1, 2, SAMPLING_RATE, 0, "NONE", ""))
        sound.writeframes(bytes(SAMPLING_RATE))
    result = run(*arguments, cwd=tmp_path)
    assert result.status == status
    assert message in result.err.splitlines()[-1]
    assert "Traceback" not in result.err
    assert not list(tmp_path.glob("*.csv"))


@pytest.mark.slow
def test_ctrl_c_stops_soon_and_leaves_no_half_file(
    tmp_path: Path, face_images: list[Image.Image], speech: NDArray[np.float32]
) -> None:
    path = write_movie(tmp_path / "long.mp4", face_images * 30, sound=np.tile(speech, 4), frame_rate=30)
    out = tmp_path / "out"
    command = [sys.executable, "-m", "vatrace.cli", "predict", str(path), "--out", str(out)]
    process = subprocess.Popen(
        command,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # SIGINT is ignored where tests run in the background
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
    )
    while not out.exists() and process.poll() is None:
        time.sleep(0.1)
    time.sleep(2)
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    assert errors.splitlines() == ["stopped; finished work is kept"]
    assert list(out.iterdir()) == []


@pytest.mark.slow
def test_demo_makes_everything_it_names(tmp_path: Path) -> None:
    result = run("demo", "--out", tmp_path / "demo")
    assert (result.status, result.err) == (0, "")
    assert sorted(path.name for path in (tmp_path / "demo").iterdir()) == [
        *("demo.csv", "demo.html", "demo.json", "demo.mp4", "demo.png")
    ]
    table = pd.read_csv(tmp_path / "demo" / "demo.csv")
    assert len(table) == pytest.approx(300, abs=2)
    assert table["face"].mean() > 0.95 and table["voice"].mean() > 0.5 and table["words"].mean() > 0.4
    assert run("demo", "--out", tmp_path / "demo").status == 1


def test_a_closed_pipe_ends_quietly(tmp_path: Path, face_images: list[Image.Image]) -> None:
    for name in "ab":
        face_images[0].save(tmp_path / f"{name}.jpg")
    command = f"{sys.executable} -m vatrace.cli predict a.jpg b.jpg --out out | true"
    result = subprocess.run(command, shell=True, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert result.stderr == ""


def test_a_full_disk_leaves_nothing_half_written(tmp_path: Path, face_images: list[Image.Image]) -> None:
    import resource

    face_images[0].save(tmp_path / "face.jpg")
    command = [sys.executable, "-m", "vatrace.cli", "predict", str(tmp_path / "face.jpg"), "--out", str(tmp_path / "out")]

    def small_files_only() -> None:  # a file that grows beyond 10 kB fails, as on a full disk
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))

    result = subprocess.run(command, capture_output=True, text=True, check=False, preexec_fn=small_files_only)
    assert result.returncode == 1
    assert result.stderr.startswith(f"error: {tmp_path / 'face.jpg'}: can't write its results to {tmp_path / 'out'}")
    assert list((tmp_path / "out").iterdir()) == []


def test_no_library_keeps_a_diary_of_its_use(tmp_path: Path, talking: Path) -> None:
    """ONNX Runtime would leave a device ID and a queue of events in the home folder, to be sent later."""
    home = {**os.environ, "HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / ".cache")}
    home.pop("ORT_DISABLE_TELEMETRY", None)
    code = f"import vatrace; vatrace.predict({str(talking)!r})"
    subprocess.run([sys.executable, "-c", code], check=True, env=home)
    assert [path for path in tmp_path.rglob("*") if "onnxruntime" in path.name.lower() or path.name == "Microsoft"] == []


def test_without_an_error_stream_it_works(tmp_path: Path, face_images: list[Image.Image]) -> None:
    face_images[0].save(tmp_path / "face.jpg")
    command = f"{sys.executable} -m vatrace.cli predict face.jpg --out out 2>&-"
    subprocess.run(command, shell=True, check=True, cwd=tmp_path, stdout=subprocess.DEVNULL)
