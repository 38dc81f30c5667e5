"""Datasets in BIDS: names and metadata by its own schema, and traces that are those of the tables."""

import gzip
import io
import json
import re
import shutil
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pandas as pd
import pytest
from bidsschematools.rules import regexify_all
from bidsschematools.schema import load_schema
from PIL import Image

from command import Result, run
from conftest import side_by_side, write_movie
from vatrace.files import sha256

HEADER = "recording,participant,session,task,run,age,condition,start"
LINES = ("a.mp4,P01,1,rest,1,30,calm,", "b.mp4,P01,1,rest,2,30,tense,0.5", "c.mp4,P02,2,,,,calm,")
NAMES = [
    "sub-P01/ses-1/beh/sub-P01_ses-1_task-rest_run-1_recording-vatrace_physio",
    "sub-P01/ses-1/beh/sub-P01_ses-1_task-rest_run-2_recording-vatrace_physio",
    "sub-P02/ses-2/beh/sub-P02_ses-2_task-unspecified_recording-vatrace_physio",
]


def predict(folder: Path, *options: object) -> Result:
    """The dataset of the list in a folder."""
    return run(*("predict", "--list", folder / "list.csv", "--out", folder / "out", "--bids", "--modalities", "face"), *options)


def listed(folder: Path, *lines: str) -> None:
    (folder / "list.csv").write_text("\n".join(lines) + "\n")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, face_images: list[Image.Image]) -> Path:
    """A study of three recordings of 1 s and its results."""
    folder = tmp_path_factory.mktemp("made")
    for number, name in enumerate("abc"):
        write_movie(folder / f"{name}.mp4", face_images[20 * number : 20 * number + 25])
    listed(folder, HEADER, *LINES)
    result = predict(folder)
    assert (result.status, result.err) == (0, "") and f"3 recordings -> {folder / 'out' / 'bids'}" in result.out
    return folder


@pytest.fixture
def study(made: Path, tmp_path: Path) -> Path:
    """A copy of the study, with its results and the times of its files, which a test may change."""
    return Path(shutil.copytree(made, tmp_path / "study"))


def states(dataset: Path) -> dict[str, tuple[int, str]]:
    return {str(path.relative_to(dataset)): (path.stat().st_mtime_ns, sha256(path)) for path in dataset.rglob("*_physio*")}


def is_of_type(value: object, schema: Any) -> bool:
    kinds: dict[str, Any] = {"string": str, "number": (int, float), "array": list, "object": dict}
    return isinstance(value, kinds[schema["type"]]) and value in schema.get("enum", [value])


def test_names_and_metadata_follow_the_schema_of_bids(made: Path) -> None:
    dataset = made / "out" / "bids"
    rules, schema = regexify_all()[0], load_schema()
    files = sorted(path.relative_to(dataset).as_posix() for path in dataset.rglob("*") if path.is_file())
    assert files == sorted(
        ["dataset_description.json", "participants.tsv", *(f"{name}.{end}" for name in NAMES for end in ("json", "tsv.gz"))]
    )
    assert [name for name in files if not any(re.match(rule["regex"], name) for rule in rules)] == []
    wrong = NAMES[0].replace("_run-1", "").replace("_physio", "_run-1_physio") + ".tsv.gz"
    assert not any(re.match(rule["regex"], wrong) for rule in rules)

    description = json.loads((dataset / "dataset_description.json").read_text())
    for part in ("dataset_description", "derivative_description"):
        required = [name for name, level in schema.rules.json.dataset[part].fields.items() if level == "required"]
        assert set(required) <= set(description)
    assert description["BIDSVersion"] in schema.meta.versions and description["DatasetType"] == "derivative"
    assert description["GeneratedBy"][0]["Name"] == "vatrace"
    for name in NAMES:
        side = json.loads((dataset / f"{name}.json").read_text())
        fields = schema.rules.sidecars.continuous
        required = [field for field, level in fields.Continuous.fields.items() if level == "required"]
        assert len(required) == 3 and set(required) <= set(side)
        assert all(is_of_type(side[field], schema.objects.metadata[field]) for field in (*required, "PhysioType"))
        assert all(set(side[column]) <= {"Description", "Units", "Range", "Missing"} for column in side["Columns"])
        assert not set(side["Columns"]) & {"time", "person", "participant", "age"}


def test_traces_are_those_of_the_tables(made: Path) -> None:
    for name, result in zip(NAMES, "abc", strict=True):
        path = made / "out" / "bids" / name
        side = json.loads(path.with_suffix(".json").read_text())
        text = gzip.decompress(path.with_suffix(".tsv.gz").read_bytes()).decode()
        trace = pd.read_csv(io.StringIO(text), sep="\t", header=None, names=side["Columns"], na_values=["n/a"])
        table = pd.read_csv(made / "out" / f"{result}.csv")
        pd.testing.assert_frame_equal(trace, table[side["Columns"]], check_exact=True)
        assert set(table.columns) - set(trace.columns) == {"time", "person", *HEADER.split(",")[1:-1]}
        times = side["StartTime"] + np.arange(len(trace)) / side["SamplingFrequency"]
        np.testing.assert_allclose(times, table["time"], atol=1e-4)
        assert ("\tn/a" in text) == table[side["Columns"]].isna().to_numpy().any() and ",," not in text
        made_by = side["provenance"]
        assert made_by["results"][f"{path.name}.tsv.gz"]["sha256"] == sha256(path.with_suffix(".tsv.gz"))
        assert (path.parent / made_by["recording"]["path"]).resolve() == (made / f"{result}.mp4").resolve()
        assert side["summary"][0]["condition"] == table["condition"][0]
    assert json.loads((made / "out" / "bids" / f"{NAMES[1]}.json").read_text())["StartTime"] == 0.5


def test_participants_have_the_columns_that_never_differ_and_what_is_added(study: Path) -> None:
    path = study / "out" / "bids" / "participants.tsv"
    assert path.read_text() == "participant_id\tage\nsub-P01\t30\nsub-P02\tn/a\n"
    path.write_text('participant_id\tage\tsex\nsub-P01\t30\tF\nsub-P09\t40\t"M\n')
    description = study / "out" / "bids" / "dataset_description.json"
    description.write_text(json.dumps(json.loads(description.read_text()) | {"License": "CC0"}))
    assert predict(study).status == 0
    assert path.read_text() == 'participant_id\tage\tsex\nsub-P01\t30\tF\nsub-P09\t40\t"M\nsub-P02\tn/a\tn/a\n'
    assert json.loads(description.read_text())["License"] == "CC0"
    path.write_text("participant_id\tage\nsub-P01\t30\tF\n")
    assert "isn't a table of participants in BIDS" in predict(study).err


def test_only_what_has_changed_is_written_again(study: Path) -> None:
    dataset = study / "out" / "bids"
    before = states(dataset)
    again = predict(study)
    assert (again.status, again.err) == (0, "") and "3 of 3 recordings already done" in again.out
    assert states(dataset) == before and len(before) == 6
    shutil.copy(study / "a.mp4", study / "c.mp4")
    (dataset / f"{NAMES[1]}.tsv.gz").unlink()
    assert predict(study).status == 0
    after = states(dataset)
    assert after[f"{NAMES[1]}.tsv.gz"][1] == before[f"{NAMES[1]}.tsv.gz"][1]
    changed = {name for name in before if after[name][1] != before[name][1]}
    assert changed == {f"{NAMES[2]}.json", f"{NAMES[2]}.tsv.gz"}
    listed(study, HEADER, *LINES[:2])
    assert "recordings that aren't in" in predict(study).err


def test_edited_files_are_kept(study: Path) -> None:
    trace = study / "out" / "bids" / f"{NAMES[0]}.tsv.gz"
    original = trace.read_bytes()
    trace.write_bytes(gzip.compress(b"mine"))
    refused = predict(study, "--rate", "5")
    assert refused.status == 1 and "has been changed since vatrace wrote it" in refused.err and "->" not in refused.out
    trace.unlink()
    (study / "out" / "a.csv").write_text((study / "out" / "a.csv").read_text() + "\n")
    warned = predict(study)
    assert "these tables were edited" in warned.err and not trace.exists()
    assert predict(study, "--overwrite").err == "" and trace.read_bytes() == original
    (study / "out" / "bids" / "dataset_description.json").write_text('{"Name": "other", "GeneratedBy": [{"Name": "fMRIPrep"}]}')
    assert "describes another dataset" in predict(study).err


def test_a_dataset_that_was_stopped_between_two_files_is_finished(study: Path) -> None:
    """The side file is in place, but its trace isn't yet."""
    dataset = study / "out" / "bids"
    before, replaced = states(dataset), Path.replace

    def stopped(temporary: Path, path: Path) -> Path:
        if path.name.endswith("physio.tsv.gz"):
            raise KeyboardInterrupt
        return replaced(temporary, path)

    shutil.copy(study / "b.mp4", study / "a.mp4")
    with patch.object(Path, "replace", stopped):
        assert predict(study).status != 0
    side = dataset / f"{NAMES[0]}.json"
    assert sha256(side) != before[side.relative_to(dataset).as_posix()][1] and not Path(f"{side}"[:-5] + ".tsv.gz").exists()
    again = predict(study)
    assert (again.status, again.err) == (0, "")
    assert json.loads(side.read_text())["provenance"]["results"][f"{side.stem}.tsv.gz"]["sha256"] == sha256(
        side.with_suffix(".tsv.gz")
    )


def test_columns_in_which_a_participant_has_two_values_by_now_are_removed(study: Path) -> None:
    path = study / "out" / "bids" / "participants.tsv"
    listed(study, HEADER, LINES[0], LINES[2])
    shutil.rmtree(path.parent)
    assert predict(study).status == 0
    assert path.read_text() == "participant_id\tage\tcondition\nsub-P01\t30\tcalm\nsub-P02\tn/a\tcalm\n"
    listed(study, HEADER, *LINES)
    assert predict(study).status == 0
    assert path.read_text() == "participant_id\tage\nsub-P01\t30\nsub-P02\tn/a\n"


def test_a_trace_can_be_made_again_from_its_side_file(study: Path) -> None:
    side = study / "out" / "bids" / f"{NAMES[1]}.json"
    again = run("again", side)
    assert (again.status, again.err) == (0, "") and "the same result" in again.out
    shutil.copy(study / "a.mp4", study / "b.mp4")
    other = run("again", side)
    assert other.status == 1 and other.out == f"{side}: the result differs\n"


def test_each_person_of_a_dyad_is_a_participant(tmp_path: Path, face_images: list[Image.Image]) -> None:
    left, right = face_images[:25], [image.transpose(Image.Transpose.FLIP_LEFT_RIGHT) for image in face_images[25:50]]
    write_movie(tmp_path / "dyad.mp4", [side_by_side(pair) for pair in zip(left, right, strict=True)])
    listed(tmp_path, "recording,task,couple,person", "dyad.mp4,talk,7,all")
    (tmp_path / "names.csv").write_text("recording,person,name\ndyad.mp4,1,A7\ndyad.mp4,2,B7\ndyad.mp4,3,C7\n")
    result = predict(tmp_path, "--names", tmp_path / "names.csv")
    assert result.status == 0 and "not in it, because they have no trace: C7 in dyad" in result.err
    dataset, table = tmp_path / "out" / "bids", pd.read_csv(tmp_path / "out" / "dyad.csv")
    assert (dataset / "participants.tsv").read_text() == "participant_id\tcouple\nsub-A7\t7\nsub-B7\t7\n"
    for name in ("A7", "B7"):
        path = dataset / f"sub-{name}" / "beh" / f"sub-{name}_task-talk_recording-vatrace_physio"
        side = json.loads(path.with_suffix(".json").read_text())
        assert [row["person"] for row in side["summary"]] == [name]
        text = gzip.decompress(path.with_suffix(".tsv.gz").read_bytes()).decode()
        trace = pd.read_csv(io.StringIO(text), sep="\t", header=None, names=side["Columns"], na_values=["n/a"])
        own = table[table["person"] == name].reset_index(drop=True)
        pd.testing.assert_frame_equal(trace, own[side["Columns"]], check_exact=True)
    (tmp_path / "names.csv").write_text("recording,person,name\ndyad.mp4,1,A7\ndyad.mp4,2,B 7\n")
    assert (
        "line 2: the name 'B 7' of a person in it must be only letters"
        in predict(tmp_path, "--names", tmp_path / "names.csv").err
    )
    (tmp_path / "names.csv").write_text("recording,person,name\ndyad.mp4,1,A7\n")
    assert "no name in" in predict(tmp_path, "--names", tmp_path / "names.csv", "--overwrite").err


@pytest.mark.parametrize(
    ("lines", "options", "message"),
    [
        (("recording,who", "a.mp4,P01"), (), "line 1: no column 'participant', which --bids needs"),
        (
            ("recording,participant", "a.mp4,P-01"),
            (),
            "line 2, column participant: must be only letters from A to Z and digits",
        ),
        (("recording,participant", "a.mp4,"), (), "line 2, column participant: must be only letters"),
        (("recording,participant,task", "a.mp4,P1,é"), (), "line 2, column task: must be only letters"),
        (("recording,participant,run", "a.mp4,P1,x"), (), "line 2, column run: must be a whole number for --bids, not 'x' (1 "),
        (("recording,participant", "a.mp4,P1", "b.mp4,P1"), (), "line 3: would have the same name in BIDS as line 2"),
        (("recording,participant,task", "a.mp4,P1,a", "b.mp4,P1,A"), (), "line 3: would have the same name in BIDS as line 2"),
        (("recording,participant,task", "a.mp4,P1,a", "b.mp4,p1,b"), (), "p1 differs from P1 only in upper and lower case"),
        (("recording,participant", "a.mp4,P1"), ("--people", "2"), "line 2: --bids has to know who is who"),
        (("recording,participant,person", "a.mp4,P1,all"), (), "line 2: --bids has to know who is who"),
        (("recording,participant", "a.mp4,P1"), ("--format", "elan"), "add csv or parquet to --format"),
    ],
)
def test_mistakes_get_one_line_before_anything_is_processed(
    made: Path, tmp_path: Path, lines: tuple[str, ...], options: tuple[str, ...], message: str
) -> None:
    for name in "ab":
        shutil.copy(made / f"{name}.mp4", tmp_path)
    listed(tmp_path, *lines)
    result = predict(tmp_path, *options)
    assert result.status == 1 and message in result.err and len(result.err.splitlines()) == 1
    assert not list((tmp_path / "out").rglob("*.*"))
