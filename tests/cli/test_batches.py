"""Batches: subfolders, what is done and what is done again, lists, several processes."""

import json
import math
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import patch

import numpy as np
import onnx
import pandas as pd
import pytest
from PIL import Image

from command import Result, run
from conftest import write_movie
from networks import Scaled, move_weights, write_speaker
from vatrace.cli.batch import plan
from vatrace.files import sha256
from vatrace.output.provenance import read_provenance
from vatrace.output.report import QUADRANTS
from vatrace.weights import has_e5, package_file

FACE = ("--modalities", "face")


@pytest.fixture
def study(tmp_path: Path, face_images: list[Image.Image]) -> Path:
    """Three short recordings without sound in two folders."""
    folder = tmp_path / "study"
    for number, name in enumerate(("P1/talk.mp4", "P2/talk.mp4", "P2/rest.mp4")):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        write_movie(folder / name, face_images[10 * number : 10 * number + 10])
    return folder


def changes(out: Path) -> dict[str, int]:
    return {str(path.relative_to(out)): path.stat().st_mtime_ns for path in out.rglob("*") if path.suffix in {".csv", ".json"}}


def test_a_finished_batch_is_skipped_and_only_changes_are_done_again(study: Path, tmp_path: Path) -> None:
    out, arguments = tmp_path / "out", ["--summary", tmp_path / "all.csv", *FACE]
    first = run("predict", study, "--out", out, *arguments)
    assert (first.status, first.err) == (0, "") and "3 of 3 recordings done" in first.out
    made = changes(out)
    assert {"P1/talk.csv", "P1/talk.json", "P2/rest.csv", "P2/talk.json"} < set(made)
    summary = pd.read_csv(tmp_path / "all.csv")
    assert summary["recording"].tolist() == ["P1/talk", "P2/rest", "P2/talk"]

    again = run("predict", study, "--out", out, *arguments)
    assert (again.status, again.err) == (0, "") and changes(out) == made
    assert again.out.splitlines() == [
        "3 of 3 recordings already done, with the same files, options and versions",
        "3 of 3 recordings done",
    ]
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "all.csv"), summary)

    (study / "P1" / "talk.mp4").touch()  # the same content
    shutil.copy(study / "P2" / "rest.mp4", study / "P2" / "talk.mp4")
    changed = run("predict", study, "--out", out, *FACE)
    assert (changed.status, changed.err) == (0, "")
    assert "2 of 3 recordings already done" in changed.out
    assert "P2/talk: done again, because of changes: the recording\n" in changed.out
    new = changes(out)
    assert {name for name in new if new[name] != made[name]} == {"P2/talk.csv", "P2/talk.json"}

    other = run("predict", study, "--out", out, *FACE, "--rate", "5")
    assert other.status == 0 and other.out.count("because of changes: rate 10.0 -> 5.0") == 3
    assert len(pd.read_csv(out / "P1" / "talk.csv")) == 2


def test_the_page_on_a_batch_has_all_recordings_of_the_command(study: Path, tmp_path: Path) -> None:
    out, page = tmp_path / "out", tmp_path / "out" / "quality.html"
    assert run("predict", study / "P1", "--out", out, *FACE, "--report").status == 0
    assert not page.exists()  # one recording is no batch
    shutil.rmtree(out)
    assert run("predict", study, "--out", out, *FACE).status == 0
    made = page.read_text()
    assert [made.count(f">{name}</th>") for name in ("P1/talk", "P2/rest", "P2/talk")] == [1, 1, 1]
    assert made.count('<svg class="sketch"') == 3
    (study / "P2" / "rest.mp4").write_text("broken")
    (study / "P2" / "talk.mp4").unlink()
    (out / "P1" / "talk.html").write_text("its report")
    assert run("predict", study, "--out", out, *FACE).status == 1  # P1/talk is skipped
    made = page.read_text()
    assert made.count('<a href="P1/talk.html">P1/talk</a>') == made.count('<svg class="sketch"') == 1
    assert "P2/talk" not in made and '<span class="flag">failed</span>' in made
    page.write_text("mine")
    kept = run("predict", study, "--out", out, *FACE)
    assert "quality.html: not replaced, because it isn't a page of vatrace" in kept.err and page.read_text() == "mine"


def test_results_that_were_edited_or_are_of_another_recording_are_kept(study: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert run("predict", study / "P1", "--out", out, *FACE).status == 0
    edited = (out / "talk.csv").read_text() + "# corrected\n"
    (out / "talk.csv").write_text(edited)
    assert run("predict", study / "P1", "--out", out, *FACE).status == 0
    refused = run("predict", study / "P1", "--out", out, *FACE, "--rate", "5")
    assert refused.status == 1 and "talk.csv: has been changed since vatrace wrote it: rename it" in refused.err
    other = run("predict", study / "P2" / "talk.mp4", "--out", out, *FACE)
    assert other.status == 1 and "already exists, for another recording" in other.err
    assert (out / "talk.csv").read_text() == edited
    assert run("predict", study / "P2" / "talk.mp4", "--out", out, *FACE, "--overwrite").status == 0
    assert (out / "talk.csv").read_text() != edited
    shutil.copytree(study / "P2", tmp_path / "moved")
    same = run("predict", tmp_path / "moved" / "talk.mp4", "--out", out, *FACE)
    assert same.status == 0 and "1 of 1 recording already done" in same.out


@pytest.mark.parametrize("number", range(4))
def test_results_whose_replacement_was_interrupted_are_made_again(study: Path, tmp_path: Path, number: int) -> None:
    video, out = study / "P1" / "talk.mp4", tmp_path / "out"
    assert run("predict", video, "--out", out, *FACE, "--rate", "5").status == 0
    replaced, replace = 0, Path.replace

    def interrupted(path: Path, target: Path) -> Path:
        nonlocal replaced
        if replaced == number:
            raise KeyboardInterrupt
        replaced += 1
        return replace(path, target)

    with patch.object(Path, "replace", interrupted):
        assert run("predict", video, "--out", out, *FACE, "--rate", "20").status == (0 if number == 3 else 130)
    again = run("predict", video, "--out", out, *FACE, "--rate", "20")
    assert again.status == 0 and again.err == ""
    found = read_provenance(out / "talk.json")
    assert found is not None and found[0].options["rate"] == 20 and (out / "talk.png").exists()
    assert sha256(out / "talk.csv") == found[0].results["talk.csv"]["sha256"]


def test_another_recording_of_the_same_size_and_time_is_predicted(tmp_path: Path) -> None:
    for name, text in (("a", "wonderful day"), ("b", "miserable day")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "talk.srt").write_text(f"1\n00:00:00,000 --> 00:00:02,000\n{text}\n")
        os.utime(tmp_path / name / "talk.srt", (1, 1))
    assert run("predict", tmp_path / "a" / "talk.srt", "--out", tmp_path / "out").status == 0
    other = run("predict", tmp_path / "b" / "talk.srt", "--out", tmp_path / "out")
    assert other.status == 1 and "already exists, for another recording" in other.err


def test_weights_next_to_a_network_are_part_of_how_results_were_made(study: Path, tmp_path: Path) -> None:
    network, out = write_speaker(tmp_path / "speaker.onnx", Scaled()), tmp_path / "out"
    command = ("predict", study / "P1" / "talk.mp4", "--out", out, *FACE, "--active-speaker", network)
    move_weights(network)
    assert run(*command).status == 0 and "already done" in run(*command).out
    move_weights(network, 2.0)
    again = run(*command)
    assert again.status == 0 and "active speaker" in again.out + again.err and "already done" not in again.out


def test_a_model_that_changes_after_it_was_loaded_is_not_said_to_be_the_new_one(tmp_path: Path) -> None:
    model, out = tmp_path / "lab.onnx", tmp_path / "out"
    model.write_bytes(package_file("fusion.onnx").read_bytes())
    (tmp_path / "a.srt").write_text("1\n00:00:00,000 --> 00:00:02,000\nwonderful day\n")

    def trained_meanwhile(*arguments: object) -> Iterator[object]:
        changed = onnx.load(model)
        changed.doc_string = "another"
        onnx.save(changed, model)
        return plan(*arguments)  # type: ignore[arg-type]

    with patch("vatrace.cli.batch.plan", trained_meanwhile):
        refused = run("predict", tmp_path / "a.srt", "--model", model, "--out", out)
    assert refused.status == 1 and "lab.onnx has been changed since it was loaded" in refused.err
    assert run("predict", tmp_path / "a.srt", "--model", model, "--out", out).status == 0


def test_more_formats_are_added_by_doing_it_again(study: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert run("predict", study / "P1", "--out", out, *FACE).status == 0
    more = run("predict", study / "P1", "--out", out, *FACE, "--format", "csv,json")
    assert more.status == 0 and "valence" in json.loads((out / "talk.json").read_text())
    assert "already done" in run("predict", study / "P1", "--out", out, *FACE).out


def test_the_side_file_says_how_it_was_made(study: Path, tmp_path: Path) -> None:
    assert run("predict", study, "--out", tmp_path / "out", *FACE).status == 0
    side = tmp_path / "out" / "P1" / "talk.json"
    content = json.loads(side.read_text())
    made = content["provenance"]
    assert made["recording"]["path"] == "../../study/P1/talk.mp4"
    assert made["recording"]["sha256"] == sha256(study / "P1" / "talk.mp4")
    assert made["results"]["talk.csv"]["sha256"] == sha256(tmp_path / "out" / "P1" / "talk.csv") == made["trace"]
    assert made["options"]["modalities"] == ["face"] and made["rate"] == 10 and made["people"] == ["1"]
    assert set(made["libraries"]) >= {"numpy", "onnxruntime", "av"} and "fusion.onnx" in made["models"]
    assert content["columns"]["valence"] == {"Description": "valence, from unpleasant (-1) to pleasant (1)", "Range": "-1..1"}
    assert content["columns"]["time"]["Units"] == "s"
    found = read_provenance(side)
    assert found is not None and found[0].as_dict() == made and found[1] == content["summary"]


def test_a_batch_on_ray_gives_the_same_tables_and_reports_what_fails(study: Path, tmp_path: Path) -> None:
    pytest.importorskip("ray")
    (study / "P1" / "broken.mp4").write_text("broken")
    for out, more in ((tmp_path / "plain", ()), (tmp_path / "ray", ("--ray",))):
        found = run("predict", study, "--out", out, *FACE, "--summary", out / "all.csv", *more)
        assert found.status == 1 and "broken.mp4" in found.err, found.err
        assert (out / "quality.html").exists()
    for name in ("P1/talk.csv", "P2/rest.csv", "P2/talk.csv"):
        assert (tmp_path / "ray" / name).read_text() == (tmp_path / "plain" / name).read_text()
    summaries = [pd.read_csv(tmp_path / out / "all.csv") for out in ("plain", "ray")]
    pd.testing.assert_frame_equal(*summaries)
    again = run("predict", study, "--out", tmp_path / "ray", *FACE, "--ray")
    assert "3 of 4 recordings already done" in again.out


def write_list(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(lines) + "\n")
    return path


def test_the_columns_of_a_list_are_in_every_table(study: Path, tmp_path: Path) -> None:
    listed = write_list(
        study / "list.csv",
        "recording;participant;condition;start;end",
        "P1/talk.mp4;P1;=1+1;;",
        "P2/talk.mp4;P2;rest;0,1;0.3",
    )
    out = tmp_path / "out"
    options = ["--out", out, *FACE, "--format", "csv,parquet,json,turns", "--summary", out / "all.csv"]
    result = run("predict", "--list", listed, *options)
    assert (result.status, result.err) == (0, "")
    first, second = (pd.read_csv(out / name / "talk.csv") for name in ("P1", "P2"))
    assert set(first["condition"]) == {"'=1+1"} and set(second["participant"]) == {"P2"}
    assert second["time"].tolist() == [0.1, 0.2] and len(first) == 4
    assert set(pd.read_parquet(out / "P1" / "talk.parquet")["condition"]) == {"=1+1"}
    assert json.loads((out / "P2" / "talk.json").read_text())["about"] == {"participant": "P2", "condition": "rest"}
    summary = pd.read_csv(out / "all.csv")
    assert summary.columns[:3].tolist() == ["recording", "participant", "condition"]
    assert summary["duration"].tolist() == [0.4, 0.2] and summary["participant"].tolist() == ["P1", "P2"]
    again = run("predict", "--list", listed, *options, "--overwrite", "--jobs", "2")
    assert again.status == 0
    pd.testing.assert_frame_equal(pd.read_csv(out / "all.csv"), summary)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["file", "a.jpg"], "line 1: no column 'recording' (found: file)"),
        (["recording,valence", "a.jpg,1"], "line 1: the column 'valence' would be mistaken"),
        (["recording,group,group", "a.jpg,1,1"], "line 1: two columns are called 'group'"),
        (["recording", "a.jpg", "", "./a.jpg"], "line 4, column recording: ./a.jpg is already in line 2"),
        (["recording", "b.jpg"], "line 2, column recording: b.jpg: no such file"),
        (["recording,person", f"a.jpg,{'9' * 5000}"], "line 2, column person: the number of a person, from 1 to 8, not 999"),
        (["recording," + ",".join(map(str, range(1001))), "a.jpg"], "line 1: 1001 columns of your own; at most 1000 are taken"),
        (["recording,person", "a.jpg,9"], "line 2, column person: the number of a person, from 1 to 8, not 9"),
        (["recording,person", "a.jpg,anna.jpg"], "line 2, column person: anna.jpg: no such file"),
        (["recording,transcript", "a.jpg,a.srt"], "line 2, column transcript: a.srt: no such file"),
        (["recording,start,end", "a.jpg,5,1"], "line 2, column end: must be after the start (5), not 1"),
        (["recording,start,end", "a.jpg,soon,1"], "line 2, column start: must be seconds from the start"),
        (["recording"], "has no recordings"),
    ],
)
def test_mistakes_in_a_list_are_named_by_line_and_column(
    tmp_path: Path, face_images: list[Image.Image], lines: list[str], message: str
) -> None:
    face_images[0].save(tmp_path / "a.jpg")
    write_list(tmp_path / "list.csv", *lines)
    result = run("predict", "--list", "list.csv", "--out", "out", cwd=tmp_path)
    assert result.status == 1 and len(result.err.splitlines()) == 1
    assert message in result.err and not (tmp_path / "out").exists()


def test_a_list_names_transcripts_and_people(study: Path, tmp_path: Path) -> None:
    for name in ("P1/given.srt", "P2/talk.srt", "P2/rest.srt"):
        (study / name).write_text("1\n00:00:00,000 --> 00:00:00,300\nI love this\n")
    lines = ("P1/talk.mp4,P1/given.srt,right", "P2/talk.mp4,none,1", "P2/rest.mp4,,2")
    listed = write_list(study / "list.csv", "recording,transcript,person", *lines)
    options = ["--modalities", "face,words", "--summary", tmp_path / "all.csv"]
    result = run("predict", "--list", listed, "--out", tmp_path / "out", *options)
    assert result.status == 1 and result.err == f"error: {study / 'P2' / 'rest.mp4'}: has no person 2, only 1\n"
    table = pd.read_csv(tmp_path / "all.csv", keep_default_na=False).set_index("recording")
    assert table["transcript"].tolist() == ["given.srt", "", ""] and table["people"].tolist()[0] == "right"
    assert float(table.loc["P1/talk", "words"]) > 0 == float(table.loc["P2/talk", "words"])


def test_a_part_beyond_the_recording_is_an_error_of_that_recording(study: Path, tmp_path: Path) -> None:
    listed = write_list(study / "list.csv", "recording,start,end", "P1/talk.mp4,1,9", "P2/talk.mp4,,")
    result = run("predict", "--list", listed, "--out", tmp_path / "out", *FACE)
    assert result.status == 1 and "P1/talk.mp4: lasts 0.4 s; it has no part from 1 to 9 s" in result.err
    assert not (tmp_path / "out" / "P1" / "talk.csv").exists() and (tmp_path / "out" / "P2" / "talk.csv").exists()


def test_all_results_describe_the_part_that_counts(tmp_path: Path, face_images: list[Image.Image]) -> None:
    nobody = Image.new("RGB", face_images[0].size, (90, 110, 100))
    write_movie(tmp_path / "talk.mp4", [*face_images[:25], *[nobody] * 25])  # a face for 1 of 2 s
    listed = write_list(tmp_path / "list.csv", "recording,start,end", "talk.mp4,0.2,0.8")
    out, options = tmp_path / "out", ["--report", "--also", "emotions", "--baseline", "first:0.3"]
    options += ["--overlay", "--table", tmp_path / "table.csv", "--summary", tmp_path / "all.csv"]
    result = run("predict", "--list", listed, "--out", out, *FACE, *options)
    assert (result.status, result.err) == (0, "")
    trace = pd.read_csv(out / "talk.csv")
    assert trace["time"].tolist() == [0.2, 0.3, 0.4, 0.5, 0.6, 0.7] and trace["face"].all()
    assert f"talk.mp4: 0.6 s, valence {trace['valence'].mean():+.2f} (from" in result.out
    assert "face 100%, voice 0%" in result.out

    page = (out / "talk.html").read_text()
    numbers = dict(re.findall(r"<th>([^<]+)</th>\s*<td>([^<]+)</td>", page))
    signs = [(trace["valence"] > 0) == pleasant for pleasant in (False, True)]
    shares = [f"{(one & ((trace['arousal'] > 0) == excited)).mean():.0%}" for excited in (True, False) for one in signs]
    assert [numbers[name] for name in QUADRANTS] == shares
    assert [numbers[name] for name in ("face", "voice", "words")] == ["100%", "0%", "0%"]
    assert "outside of the part from 0.2 to 0.8 s" in page
    view = json.loads(page.partition('id="view">')[2].partition("</script>")[0])
    (person,) = view["people"]
    assert view["duration"] == 2.0 and person["presence"]["face"] == [[0.2, 0.8]]
    inside = [0.2 <= time < 0.75 for time in view["time"]]
    assert [box is not None for box in person["boxes"]["rows"]] == inside
    assert [share is not None for share in person["shares"]["face"]] == inside

    side = json.loads((out / "talk.json").read_text())
    row, table = pd.read_csv(tmp_path / "all.csv").iloc[0], pd.read_csv(tmp_path / "table.csv")
    assert side["span"] == [0.2, 0.8] and (row["duration"], row["face"], row["supported"]) == (0.6, 1.0, 1.0)
    early = trace["valence"][:3].mean()
    np.testing.assert_allclose(table["valence"], trace["valence"] - early, atol=1e-4)
    by = run("predict", "--list", listed, "--out", out, *FACE, *options[:3], "--overlay", "--by", "seconds:0.4", *options[-4:])
    assert by.status == 0
    stretches = pd.read_csv(tmp_path / "table.csv")
    assert stretches[["start", "end", "rows"]].to_numpy().tolist() == [[0.2, 0.6, 4], [0.6, 0.8, 2]]
    assert stretches["valence_mean"][0] == pytest.approx(trace["valence"][:4].mean(), abs=1e-4)
    assert pd.read_csv(out / "talk.csv").shape == trace.shape and (out / "talk.overlay.mp4").is_file()


def test_a_part_between_two_rows_is_an_error_of_that_recording(study: Path, tmp_path: Path) -> None:
    listed = write_list(study / "list.csv", "recording,start,end", "P1/talk.mp4,0.12,0.18")
    result = run("predict", "--list", listed, "--out", tmp_path / "out", *FACE)
    assert result.status == 1 and "P1/talk.mp4: has no row from 0.12 to 0.18 s, only one every 0.1 s" in result.err


def test_several_processes_make_the_same_and_report_failures(study: Path, tmp_path: Path) -> None:
    (study / "P3.mp4").write_text("broken")
    one = run("predict", study, "--out", tmp_path / "one", *FACE, "--summary", tmp_path / "one.csv")
    two = run("predict", study, "--out", tmp_path / "two", *FACE, "--summary", tmp_path / "two.csv", "--jobs", "2")
    assert one.status == two.status == 1 and one.err == two.err and "P3.mp4" in two.err
    assert "3 of 4 recordings done" in two.out
    assert (tmp_path / "one.csv").read_text() == (tmp_path / "two.csv").read_text()
    for name in ("P1/talk.csv", "P2/rest.csv"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    log = (tmp_path / "two" / "vatrace.log").read_text().splitlines()
    assert "4 recordings to process" in log[0] and len(log) == 5 and "4 of 4, 0 s left: " in log[4]


def test_a_result_can_be_made_again_and_is_the_same(study: Path, tmp_path: Path) -> None:
    listed = write_list(study / "list.csv", "recording,participant,start,end", "P1/talk.mp4,P1,0.1,")
    out = tmp_path / "out"
    assert run("predict", "--list", listed, "--out", out, *FACE, "--rate", "20", "--explain").status == 0
    before = changes(out)
    again = run("again", out / "P1" / "talk.json")
    assert (again.status, again.err) == (0, "") and "the same result" in again.out and changes(out) == before
    shutil.copy(study / "P2" / "talk.mp4", study / "P1" / "talk.mp4")
    other = run("again", out / "P1" / "talk.json")
    assert other.status == 1 and "changed since then: the recording" in other.err
    assert "the result differs: valence by up to 0." in other.out
    (study / "P1" / "talk.mp4").unlink()
    gone = run("again", out / "P1" / "talk.json")
    assert gone.status == 1 and "talk.mp4: no such file" in gone.err and len(gone.err.splitlines()) == 1
    assert "not a side file" in run("again", out / "P1" / "talk.csv").err


def test_options_in_a_side_file_that_cannot_be_used_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.srt").write_text("1\n00:00:00,000 --> 00:00:02,000\nwonderful day\n")
    assert run("predict", tmp_path / "a.srt", "--out", tmp_path).status == 0
    side = tmp_path / "a.json"
    written = json.loads(side.read_text())
    options = written["provenance"]["options"]
    wrong = {"rate": math.inf, "modalities": [], "people": 0, "kept": "x", "span": [1], "also": ["x"], "encoders": "face=x:y"}
    impossible = [*((name, value) for name in options for value in ([1], {"x": {}}, -1.5)), *wrong.items()]
    refused = 0
    for name, value in impossible:
        written["provenance"]["options"] = options | {name: value}
        lines = [json.dumps(written["provenance"]), json.dumps(written["summary"])]
        side.write_text(f'{{\n"provenance": {lines[0]},\n"summary": {lines[1]}\n}}\n')
        again = run("again", side)
        assert again.status in {0, 1} and len(again.err.splitlines()) <= 1 and "bug" not in again.err, (name, value, again.err)
        refused += f"{side}: an option in it can't be used (" in again.err
    assert refused > len(impossible) / 2


@pytest.fixture(scope="module")
def two_participants(tmp_path_factory: pytest.TempPathFactory, face_images: list[Image.Image]) -> Path:
    """The results of two recordings of 2 s, whose list names their participants."""
    folder = tmp_path_factory.mktemp("two_participants")
    for number, name in enumerate(("a", "b")):
        write_movie(folder / f"{name}.mp4", face_images[50 * number : 50 * number + 50])
    write_list(folder / "list.csv", "recording,participant", "a.mp4,P1", "b.mp4,P2")
    result = run("predict", "--list", folder / "list.csv", "--out", folder / "out", *FACE)
    assert (result.status, result.err) == (0, "")
    return folder


def tabled(folder: Path, table: Path, *options: object) -> str:
    """The errors of a table of the results."""
    result = run("predict", "--list", folder / "list.csv", "--out", folder / "out", *FACE, "--table", table, *options)
    assert "already done" in result.out and result.status == int(bool(result.err))
    return result.err


def test_all_traces_are_in_one_table(two_participants: Path, tmp_path: Path) -> None:
    for name in ("study.csv", "study.parquet", "study.sav"):
        assert tabled(two_participants, tmp_path / name) == ""
        (tmp_path / "study.json").rename(tmp_path / f"{name}.json")
        (tmp_path / "study.codebook.csv").rename(tmp_path / f"{name}.codebook.csv")
    table = pd.read_csv(tmp_path / "study.csv")
    assert table.columns[:5].tolist() == ["recording", "participant", "person", "time", "valence"]
    for name, participant in (("a", "P1"), ("b", "P2")):
        trace = pd.read_csv(two_participants / "out" / f"{name}.csv")
        rows = table[table["participant"] == participant].reset_index(drop=True)
        pd.testing.assert_frame_equal(rows[["time", "valence", "face"]], trace[["time", "valence", "face"]])
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "study.parquet")[["time", "arousal"]], table[["time", "arousal"]])
    codebook = pd.read_csv(tmp_path / "study.csv.codebook.csv")
    assert codebook["column"].tolist() == table.columns.tolist() and codebook["meaning"].notna().all()
    assert json.loads((tmp_path / "study.csv.json").read_text())["recordings"] == ["a", "b"]
    pyreadstat = pytest.importorskip("pyreadstat")
    read, meta = pyreadstat.read_sav(str(tmp_path / "study.sav"))
    assert (
        read["valence"].tolist() == table["valence"].tolist() and read["participant"].tolist() == table["participant"].tolist()
    )
    assert meta.column_names_to_labels["time"] == "time from the start of the recording [s]"
    assert meta.variable_value_labels["face"] == {0: "no", 1: "yes"}


def test_statistics_of_stretches_are_those_of_the_rows(two_participants: Path, tmp_path: Path) -> None:
    assert tabled(two_participants, tmp_path / "t.csv", "--by", "seconds:0.8") == ""
    table = pd.read_csv(tmp_path / "t.csv")
    trace = pd.read_csv(two_participants / "out" / "a.csv")
    assert table["stretch"].tolist() == [1, 2, 3, 1, 2, 3] and table["rows"].tolist() == [8, 8, 4] * 2
    rows, row = trace[(trace["time"] > 0.75) & (trace["time"] < 1.55)], table.loc[1]
    expected = [rows["valence"].mean(), rows["valence"].std(), rows["valence"].min(), rows["valence"].max()]
    found = [row[f"valence_{name}"] for name in ("mean", "sd", "min", "max")]
    assert found == pytest.approx(expected, abs=1e-6) and (row["start"], row["end"]) == (0.8, 1.6)
    assert row["valence_slope"] == pytest.approx(np.polyfit(rows["time"], rows["valence"], 1)[0], abs=1e-6)
    assert row["valence_low"] == pytest.approx(rows["valence_low"].mean(), abs=1e-6)
    write_list(tmp_path / "events.csv", "recording,start,end,event,trial", "b.mp4,0.5,1,film,7", ",1,1.5,all,8")
    assert tabled(two_participants, tmp_path / "e.csv", "--by", tmp_path / "events.csv") == ""
    events = pd.read_csv(tmp_path / "e.csv")
    assert events[["recording", "text", "trial", "start"]].to_numpy().tolist() == [
        ["a", "all", 8, 1.0],
        ["b", "film", 7, 0.5],
        ["b", "all", 8, 1.0],
    ]
    assert set(pd.read_csv(tmp_path / "e.codebook.csv")["column"]) == set(events.columns)


def test_a_baseline_is_subtracted_and_named(two_participants: Path, tmp_path: Path) -> None:
    trace = pd.read_csv(two_participants / "out" / "a.csv")
    write_list(tmp_path / "rest.csv", "recording,start,end", "a,0.5,1", "b,0,1")
    wholes = {"first:0.5": trace["valence"][:5], "person": trace["valence"], tmp_path / "rest.csv": trace["valence"][5:10]}
    for number, (baseline, rows) in enumerate(wholes.items()):
        path = tmp_path / f"{number}.csv"
        assert tabled(two_participants, path, "--baseline", baseline) == ""
        table = pd.read_csv(path)
        first = table[table["recording"] == "a"]
        assert first["valence"].tolist() == pytest.approx((trace["valence"] - rows.mean()).tolist(), abs=1e-9)
        assert first["valence_low"].tolist() == pytest.approx((trace["valence_low"] - rows.mean()).tolist(), abs=1e-9)
        assert set(table["baseline"]) == {str(baseline)} and json.loads(path.with_suffix(".json").read_text())["baseline"]
        meanings = pd.read_csv(tmp_path / f"{number}.codebook.csv").set_index("column")["meaning"]
        assert "minus the person's baseline" in meanings["valence"] and "minus" not in meanings["face"]


@pytest.mark.parametrize(
    ("options", "files", "message"),
    [
        (["--by", "seconds:0"], [], "--by seconds:0: the length must be a number of seconds above 0"),
        (["--by", "seconds:1e-9"], [], "--by seconds:1e-9: at least 0.01 s are needed"),  # billions of rows otherwise
        (["--by", "nix.csv"], [], "--by nix.csv: no such file"),
        (["--baseline", "nix.csv"], [], "--baseline nix.csv: no such file"),
        (["--by", "phrase"], [], "--by phrase: must be segment, sentence, turn, word, seconds:5, or a CSV"),
        (["--by", "e.csv"], ["start,end", "0,1", "1,9"], "e.csv: line 3, column end: lies outside of a (0 to 2 s)"),
        (["--by", "e.csv"], ["start,end", "1,0"], "e.csv: line 2, column end: must be after the start (1), not 0"),
        (["--by", "e.csv"], ["start,end,recording", "0,1,c"], "e.csv: line 2, column recording: c is not in this batch"),
        (["--by", "e.csv"], ["start,end,valence", "0,1,c"], "e.csv: line 1: the column 'valence' would be mistaken"),
        (["--by", "e.csv"], ["start,end,participant", "0,1,c"], "e.csv: line 1: the column 'participant' is also in the list"),
        (["--by", "e.csv"], ["start", "0"], "e.csv: line 1: no column 'end'"),
        (["--baseline", "e.csv"], ["recording,start,end", "a,0,1"], "participant P2 has no baseline"),
        (["--baseline", "last:3"], [], "--baseline last:3: must be first:30, person, or a CSV"),
    ],
)
def test_mistakes_in_tables_get_one_line_and_leave_nothing(
    two_participants: Path, tmp_path: Path, options: list[str], files: list[str], message: str
) -> None:
    (tmp_path / "e.csv").write_text("\n".join(files) + "\n")
    arguments = [
        "--list",
        two_participants / "list.csv",
        "--out",
        two_participants / "out",
        *FACE,
        "--table",
        "t.csv",
        *options,
    ]
    result = run("predict", *arguments, cwd=tmp_path)
    assert result.status == 1 and len(result.err.splitlines()) == 1 and message in result.err
    assert [path.name for path in tmp_path.iterdir()] == ["e.csv"]


def test_a_table_is_replaced_only_if_it_is_an_unedited_one_of_these_results(
    two_participants: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "t.csv"
    assert tabled(two_participants, path) == "" == tabled(two_participants, path, "--by", "seconds:1")
    edited = path.read_text() + "#"
    path.write_text(edited)
    assert "already exists, and isn't made from these results" in run_tabled(two_participants, path).err
    assert path.read_text() == edited
    path.unlink()

    def locked(self: Path, target: Path) -> Path:
        raise PermissionError(13, "in use", str(target)) if Path(target).name == "t.csv" else AssertionError(target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", locked)
        result = run_tabled(two_participants, path)
    assert result.status == 1 and result.err == f"error: {path}: can't be replaced; is it open in another program?\n"
    assert "--table study.csv" in run("predict", "--list", two_participants / "list.csv", "--by", "word").err


def test_a_batch_that_is_stopped_between_two_results_of_a_recording_continues(
    study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace = Path.replace

    def stopping(self: Path, target: Path) -> Path:
        if any((tmp_path / "out").glob("talk.*")):
            raise KeyboardInterrupt
        return replace(self, target)

    arguments = ["predict", study / "P1" / "talk.mp4", "--out", tmp_path / "out", *FACE, "--format", "csv,json,vtt"]
    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", stopping)
        assert run(*arguments).status == 130
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["talk.json"]  # which says that others are missing
    assert run(*arguments).status == 0
    assert {path.suffix for path in (tmp_path / "out").glob("talk.*")} == {".csv", ".json", ".png", ".vtt"}


def test_edited_tables_are_used_with_a_warning_and_broken_ones_refused(study: Path, tmp_path: Path) -> None:
    out, table = tmp_path / "out", tmp_path / "t.csv"
    (tmp_path / "names.csv").write_text("recording,person,name\ntalk.mp4,1,NA\n")
    arguments = ["predict", study / "P1", "--out", out, *FACE, "--names", tmp_path / "names.csv", "--table", table]
    assert run(*arguments).status == 0
    assert pd.read_csv(table, keep_default_na=False)["person"].tolist() == ["NA"] * 4
    lines = (out / "talk.csv").read_text().splitlines()
    (out / "talk.csv").write_text("\n".join(lines[:-1]) + "\n")
    edited = run(*arguments)
    assert edited.status == 0 and "contains tables that were edited" in edited.err and len(pd.read_csv(table)) == 3
    (out / "talk.csv").write_text("time;valence\n0;1\n")
    broken = run(*arguments)
    assert broken.status == 1 and "talk.csv: has no rows of person NA; was it edited?" in broken.err


def test_a_table_that_is_open_in_a_spreadsheet_is_kept_whole(two_participants: Path, tmp_path: Path) -> None:
    table = tmp_path / "study.csv"
    assert run_tabled(two_participants, table).status == 0
    before = {path.name: path.read_bytes() for path in tmp_path.glob("study*")}
    replace = Path.replace

    def refuse(self: Path, target: Path) -> Path:
        """As Windows does for a file that another program has open."""
        if Path(target) == table:
            raise PermissionError(13, "The process cannot access the file", str(self))
        return replace(self, target)

    with patch.object(Path, "replace", refuse):
        found = run_tabled(two_participants, table)
    assert (
        found.status == 1 and found.err.splitlines()[-1] == f"error: {table}: can't be replaced; is it open in another program?"
    )
    assert "Traceback" not in found.err and {path.name for path in tmp_path.iterdir() if path.name.startswith(".")} == set()
    assert {path.name: path.read_bytes() for path in tmp_path.glob("study*")} == before


def run_tabled(folder: Path, table: Path) -> Result:
    return run("predict", "--list", folder / "list.csv", "--out", folder / "out", *FACE, "--table", table)


def test_methods_name_what_was_used(two_participants: Path) -> None:
    out = two_participants / "out"
    result = run("predict", "--list", two_participants / "list.csv", "--out", out, *FACE, "--methods")
    assert result.status == 0
    text = (out / "methods.md").read_text()
    digest = sha256(package_file("fusion.onnx"))[:12]
    assert "2 recordings with vatrace" in text.replace("\n", " ") and digest in text and "arXiv:2403.13659" in text
    (out / "methods.md").write_text("edited")
    kept = run("predict", "--list", two_participants / "list.csv", "--out", out, *FACE, "--methods")
    assert kept.status == 0 and "methods.md: not replaced" in kept.err and (out / "methods.md").read_text() == "edited"
    assert "Whisper" not in text.partition("## References")[0] and "has not been validated" in text


def test_stretches_and_methods_have_the_columns_of_also(two_participants: Path, tmp_path: Path) -> None:
    table, out = tmp_path / "s.csv", tmp_path / "out"
    options = ("--also", "face,emotions", "--table", table, "--by", "seconds:0.5", "--methods")
    result = run("predict", "--list", two_participants / "list.csv", "--out", out, *FACE, *options)
    assert (result.status, result.err) == (0, "")
    rows, traces = pd.read_csv(table), {name: pd.read_csv(out / f"{name}.csv") for name in ("a", "b")}
    for row in rows.to_dict("records"):
        trace = traces[row["recording"]]
        inside = trace[(trace["time"] > row["start"] - 1e-6) & (trace["time"] < row["end"] - 1e-6)]
        for name in ("head_yaw", "eye_openness", "blink", "expression_happiness"):
            assert row[f"{name}_mean"] == pytest.approx(inside[name].mean(), abs=1e-5, nan_ok=True)
    known = pd.read_csv(table.with_suffix(".codebook.csv")).set_index("column")
    assert known.loc["head_yaw_mean", "unit"] == "deg" and "own list" not in known.loc["blink_mean", "meaning"]
    lines = (out / "a.csv").read_text().splitlines()
    place = lines[0].split(",").index("blink")
    assert {line.split(",")[place] for line in lines[1:]} <= {"0", "1", ""} and traces["a"]["blink"].notna().any()
    assert {json.dumps(value) for value in json.loads((out / "a.json").read_text()).get("blink", [])} <= {"0", "1", "null"}
    text = (out / "methods.md").read_text()
    assert "Also measured were" in text and "FER+ (Barsoum et al., 2016)" in text and "arXiv:1907.06724" in text
    assert "Praat" not in text


def test_language_and_encoding_reach_workers_results_and_again(tmp_path: Path) -> None:
    unused = 0 if has_e5() else 5
    text = "1\n00:00:01,000 --> 00:00:04,000\nЯ очень рад этому, спасибо.\n"
    for name in ("one.srt", "two.srt"):
        (tmp_path / name).write_bytes(text.encode("windows-1251"))
    listed = write_list(tmp_path / "list.csv", "recording,participant", "one.srt,P1", "two.srt,P2")
    out = tmp_path / "out"
    options = ("--list", listed, "--out", out, "--encoding", "windows-1251", "--methods")
    first = run("predict", *options, "--language", "ru", "--jobs", "2", "--summary", out / "all.csv")
    assert first.status == 0, first.err
    summary = pd.read_csv(out / "all.csv")
    assert summary["language"].tolist() == ["ru", "ru"] and summary["words_unused"].tolist() == [unused] * 2
    meanings = pd.read_csv(out / "all.codebook.csv", index_col="column")["meaning"]
    assert {"language", "language_probability", "words_unused"} <= set(meanings.index)
    assert "Speech in Russian" in (out / "methods.md").read_text(encoding="utf-8")
    side = json.loads((out / "one.json").read_text(encoding="utf-8"))
    assert side["transcript"][0] == {"text": "Я", "start": 1.0, "end": 1.214, "language": "ru"}
    assert side["words_unused"] == unused
    assert [found["language"] for found in side["languages"]] == ["ru"]
    again = run("again", out / "one.json")
    assert again.status == 0 and "the same result" in again.out and "changed since" not in again.err
    other = run("predict", *options, "--language", "uk")
    assert "one: done again, because of changes: language ru -> uk" in other.out
