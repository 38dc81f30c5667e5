from pathlib import Path

import numpy as np
import pytest

from made_stores import make_store
from vatrace.corpora.affwild2_files import read_listing
from vatrace.corpora.submission import write_submission
from vatrace.errors import StoreError
from vatrace.store import Store, StoredRecording


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return make_store(tmp_path / "s", {"v1": "test", "v2_left": "test"}, steps=20)  # 30 frames and 10 steps a second


def read(path: Path) -> dict[str, tuple[float, float]]:
    header, *lines = path.read_text().splitlines()
    assert header == "image_location,valence,arousal"
    rows = [line.split(",") for line in lines]
    assert len({row[0] for row in rows}) == len(rows)
    return {row[0]: (float(row[1]), float(row[2])) for row in rows}


def locked(store: Store) -> list[StoredRecording]:
    return store.split("test", labels=False)


def predictions(store: Store) -> dict[str, np.ndarray]:
    return {r.name: np.stack([np.arange(r.num_steps) / 20, -np.arange(r.num_steps) / 10], 1) for r in locked(store)}


def test_every_frame_has_the_value_of_its_time(store: Store, tmp_path: Path) -> None:
    assert write_submission(tmp_path / "out.txt", locked(store), predictions(store)) == []
    rows = read(tmp_path / "out.txt")
    assert list(rows) == [f"{r.name}/{k:05d}.jpg" for r in locked(store) for k in range(1, len(r.frame_times) + 1)]
    # frame 13 is shown at 0.4 s: step 4; frame 14 a third of the way to step 5
    assert rows["v1/00013.jpg"] == pytest.approx((0.2, -0.4), abs=1e-6)
    assert rows["v1/00014.jpg"] == pytest.approx((0.2 + 0.05 / 3, -0.4 - 0.1 / 3), abs=1e-6)
    assert min(value for row in rows.values() for value in row) == -1  # cut off


def test_listed_frames_are_all_there_in_their_order_and_no_others(store: Store, tmp_path: Path) -> None:
    frames = ["v2_left/00003.jpg", "v2_left/00001.jpg", "v1/00061.jpg"]
    listed = [*frames, frames[0]]  # one of them twice
    (tmp_path / "sample.txt").write_text("image_location,valence,arousal\n" + "".join(f"{frame},0,0\n" for frame in listed))
    listing = read_listing(tmp_path / "sample.txt")
    notes = write_submission(tmp_path / "out.txt", locked(store), predictions(store), listing)
    rows = read(tmp_path / "out.txt")
    assert list(rows) == frames
    assert notes == ["v1: 1 listed frames beyond its end have the last value"]
    assert rows["v1/00061.jpg"] == pytest.approx((19 / 20, -1))


def test_names_alone_ask_for_all_their_frames(store: Store, tmp_path: Path) -> None:
    (tmp_path / "names.txt").write_text("v2_left\n")
    write_submission(tmp_path / "out.txt", locked(store), predictions(store), read_listing(tmp_path / "names.txt"))
    assert {row.split("/")[0] for row in read(tmp_path / "out.txt")} == {"v2_left"}


def test_a_listed_recording_that_is_not_there_is_named(store: Store, tmp_path: Path) -> None:
    (tmp_path / "names.txt").write_text("v1\nv9\n")
    with pytest.raises(StoreError, match="v9: listed, but not in the test split"):
        write_submission(tmp_path / "out.txt", locked(store), predictions(store), read_listing(tmp_path / "names.txt"))
    assert not (tmp_path / "out.txt").exists()


def test_what_can_not_be_submitted_is_refused(store: Store, tmp_path: Path) -> None:
    only_valence = {name: values * [1, np.nan] for name, values in predictions(store).items()}
    with pytest.raises(StoreError, match="v1: valence or arousal is not predicted"):
        write_submission(tmp_path / "out.txt", locked(store), only_valence)
    (tmp_path / "sample.txt").write_text("image_location,valence,arousal\nv1/00000.jpg,0,0\n")
    with pytest.raises(StoreError, match="counted from 1"):
        write_submission(tmp_path / "out.txt", locked(store), predictions(store), read_listing(tmp_path / "sample.txt"))
    assert not (tmp_path / "out.txt").exists()
