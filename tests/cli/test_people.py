import csv
import shutil
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from command import run
from conftest import side_by_side, write_movie
from vatrace.features.perceiver import Perceiver
from vatrace.media.reading import SAMPLING_RATE, VideoReader
from vatrace.media.recording import open_recording
from vatrace.output.person_names import read_names

SPEAKERS = ("bbaf2n", "brbk7n", "lbax4n", "lbbc2a", "pwij3p")
"""Five different people of GRID."""


def lit(image: Image.Image, factor: float) -> Image.Image:
    return Image.fromarray((np.asarray(image) * factor).clip(0, 255).astype(np.uint8))


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory, face_images: list[Image.Image], speech: NDArray[np.float32]) -> Path:
    """One man in two videos, in the second from 1 s on; audio alone; a file that is no video; and an empty picture."""
    folder = tmp_path_factory.mktemp("study")
    write_movie(folder / "a.mp4", face_images[:60], frame_rate=30)
    empty = Image.new("RGB", face_images[0].size, "gray")
    write_movie(folder / "b.mp4", [empty] * 30 + [lit(image, 0.6) for image in face_images[60:90]], frame_rate=30)
    write_movie(folder / "c.mp4", [empty] * 10, frame_rate=30)
    write_movie(folder / "talk.mp4", sound=speech[:SAMPLING_RATE]).rename(folder / "talk.m4a")
    (folder / "broken.mp4").write_text("not a video")
    return folder


def test_the_same_person_has_one_name_and_bad_files_do_not_stop_it(study: Path, tmp_path: Path) -> None:
    result = run("people", study, "--out", tmp_path)
    assert result.status == 1 and "broken.mp4" in result.err
    assert "1 person in 5 recordings" in result.out
    rows = rows_of(tmp_path / "people.csv")
    assert [(row["recording"], row["person"], row["name"]) for row in rows] == [
        ("a.mp4", "1", "P01"),
        ("b.mp4", "1", "P01"),
        ("c.mp4", "", ""),
        ("talk.m4a", "", ""),
    ]
    first, second, empty, audio = rows
    assert (first["seconds"], first["share"], first["first_seen"], first["note"]) == ("2.0", "1.000", "0.0", "")
    assert float(second["first_seen"]) == pytest.approx(1.0, abs=0.11)
    assert float(second["seconds"]) == pytest.approx(1.0, abs=0.11) and float(second["share"]) == pytest.approx(0.5, abs=0.06)
    assert first["distance"] == second["distance"] and 0 < float(first["distance"]) < 0.5
    assert empty["note"] == "no face found" and audio["note"] == "contains no video: voices are not compared"
    with Image.open(tmp_path / "people.png") as sheet:
        colours = np.asarray(sheet.convert("RGB")).reshape(-1, 3)
    assert len(np.unique(colours, axis=0)) > 1000  # faces
    assert sorted(path.name for path in tmp_path.iterdir()) == ["people.csv", "people.png"]  # no embeddings


def test_an_edited_table_is_kept_and_gives_predictions_its_names(study: Path, tmp_path: Path) -> None:
    run("people", study / "a.mp4", study / "b.mp4", study / "c.mp4", "--out", tmp_path)
    table = tmp_path / "people.csv"
    edited = table.read_text().replace("P01", "Ada")
    table.write_text(edited)
    again = run("people", study, "--out", tmp_path)
    assert again.status == 1 and "--overwrite" in again.err and table.read_text() == edited
    found, absent, _ = read_names(table, [study / "b.mp4", study / "a.mp4"])
    assert found == [{"1": "Ada"}, {"1": "Ada"}]
    assert absent == ["c.mp4"]
    assert run("people", study / "a.mp4", "--out", tmp_path, "--overwrite").status == 0
    assert "Ada" not in table.read_text()


def test_recordings_of_the_same_name_are_told_apart_by_path(study: Path, tmp_path: Path) -> None:
    for folder in ("s1", "s2"):
        (tmp_path / folder).mkdir()
        shutil.copy(study / "a.mp4", tmp_path / folder)
    (tmp_path / "out").mkdir()
    assert run("people", "s1", "s2", "--out", "out", cwd=tmp_path).status == 0
    table = tmp_path / "out" / "people.csv"
    assert [row["recording"] for row in rows_of(table)] == ["../s1/a.mp4", "../s2/a.mp4"]
    assert read_names(table, [tmp_path / "s2" / "a.mp4"])[0] == [{"1": "P01"}]


def test_without_anybody_there_is_a_table_but_no_picture(study: Path, tmp_path: Path) -> None:
    result = run("people", study / "c.mp4", "--out", tmp_path)
    assert result.status == 0 and "0 people in 1 recording" in result.out
    assert [path.name for path in tmp_path.iterdir()] == ["people.csv"]


@pytest.mark.slow
def test_speakers_are_one_person_each_in_other_light_and_next_to_each_other(shared: Path, tmp_path: Path) -> None:
    videos = tmp_path / "videos"
    videos.mkdir()
    images = {name: [frame.image for frame in VideoReader(shared / "clips" / f"{name}.mpg", 25)] for name in SPEAKERS}
    for name, frames in images.items():
        shutil.copy(shared / "clips" / f"{name}.mpg", videos)
        write_movie(videos / f"{name}_dark.mp4", [lit(image, 0.45) for image in frames])
        write_movie(videos / f"{name}_bright.mp4", [lit(image, 1.5) for image in frames])
    for one, other in (("bbaf2n", "lbbc2a"), ("pwij3p", "brbk7n")):
        both = [side_by_side(pair) for pair in zip(images[one], images[other], strict=True)]
        write_movie(videos / f"{one}+{other}.mp4", both)
    assert run("people", videos, "--out", tmp_path).status == 0
    names: dict[str, set[str]] = defaultdict(set)
    in_pairs: dict[str, dict[str, str]] = defaultdict(dict)
    for row in rows_of(tmp_path / "people.csv"):
        assert row["note"] == ""
        if "+" in row["recording"]:
            in_pairs[row["recording"].removesuffix(".mp4")][row["person"]] = row["name"]
        else:
            names[row["recording"][:6]].add(row["name"])
    assert [len(found) for found in names.values()] == [1] * 5 and len(set.union(*names.values())) == 5
    for pair, found in in_pairs.items():
        perceived = Perceiver().perceive(open_recording(videos / f"{pair}.mp4"), 10.0, {"face"})
        from_left = sorted(found, key=lambda number: perceived.people[int(number) - 1].centre)  # the numbers of predict
        assert [{found[number]} for number in from_left] == [names[name] for name in pair.split("+")]
