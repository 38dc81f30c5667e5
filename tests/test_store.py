import json
from pathlib import Path

import numpy as np
import pytest

from vatrace.errors import StoreError
from vatrace.media.transcripts import Word
from vatrace.store import CHUNK, EncoderInfo, Membership, Meta, Schema, Store, StoredRecording

SCHEMA = Schema(10.0, {"face": EncoderInfo("f", "f-1", 3), "voice": EncoderInfo("v", "v-1", 2)}, crops=True)


def put(store: Store, name: str, steps: int = 7, seed: int = 0) -> dict[str, np.ndarray]:
    """A recording of random values; returns what was given."""
    rng = np.random.default_rng(seed)
    given = {name: rng.normal(size=(steps, dim)).astype(np.float16) for name, dim in store.schema.dims.items()}
    valid = {name: rng.random(steps) < 0.7 for name in store.schema.dims}
    crops = rng.integers(0, 256, (steps, 48, 48, 3)).astype(np.uint8)
    store.write(
        Meta(name, 10.0, steps, {"media": "abc"}, [Word("hé", 0.1, 0.2, "ANNA", "fr")], ["a note"]),
        valid,
        lambda start, stop: {name: values[start:stop] for name, values in given.items()},
        np.arange(steps) / 25,
        lambda start, stop: crops[start:stop],
    )
    return given | {f"{name}_valid": mask for name, mask in valid.items()} | {"crops": crops}


def test_what_is_written_is_read_back_whole_and_in_part(tmp_path: Path) -> None:
    store = Store.create(tmp_path / "store", SCHEMA)
    given = put(store, "ä b", steps=CHUNK + 9)
    recording = Store(tmp_path / "store").recording("ä b")
    assert recording.meta == Meta("ä b", 10.0, CHUNK + 9, {"media": "abc"}, [Word("hé", 0.1, 0.2, "ANNA", "fr")], ["a note"])
    for start, stop in ((0, None), (CHUNK - 3, CHUNK + 5)):
        valid = recording.valid(start, stop)
        for name in SCHEMA.dims:
            mask = given[f"{name}_valid"][start:stop]
            np.testing.assert_array_equal(valid[name], mask)
            np.testing.assert_array_equal(recording.features(name, start, stop), given[name][start:stop] * mask[:, None])
        np.testing.assert_array_equal(recording.crops(start, stop), given["crops"][start:stop])
        assert np.isnan(recording.labels(start, stop)).all()
    np.testing.assert_array_equal(recording.frame_times, np.arange(CHUNK + 9) / 25)


def test_a_recording_that_breaks_off_leaves_no_trace_and_the_one_before(tmp_path: Path) -> None:
    store = Store.create(tmp_path / "store", SCHEMA)
    given = put(store, "a")

    def breaks(start: int, stop: int) -> dict[str, np.ndarray]:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store.write(Meta("a", 10.0, 7), {name: np.ones(7, bool) for name in SCHEMA.dims}, breaks, np.zeros(0), breaks)
    with pytest.raises(KeyboardInterrupt):
        store.write(Meta("b", 10.0, 7), {name: np.ones(7, bool) for name in SCHEMA.dims}, breaks, np.zeros(0), breaks)
    assert store.names == ["a"]
    assert [path.name for path in (tmp_path / "store" / "recordings").iterdir()] == ["a"]
    np.testing.assert_array_equal(store.recording("a").crops(), given["crops"])


def test_what_a_killed_writer_leaves_is_no_recording_and_is_removed(tmp_path: Path) -> None:
    store = Store.create(tmp_path / "store", SCHEMA)
    put(store, "a")
    left = tmp_path / "store" / "recordings" / ".b-123"
    left.mkdir()
    (left / "meta.json").write_text("{}")
    assert store.names == ["a"] and "b" not in store
    store.remove_unfinished()
    assert not left.exists() and store.names == ["a"]


@pytest.mark.parametrize(
    ("other", "named"),
    [
        (Schema(25.0, SCHEMA.encoders, True), "rate 10.0, not 25.0"),
        (Schema(10.0, SCHEMA.encoders, False), "crops"),
        (Schema(10.0, SCHEMA.encoders | {"voice": EncoderInfo("v", "v-2", 2)}, True), "v-2"),
    ],
)
def test_a_store_of_another_kind_is_not_mixed_with(tmp_path: Path, other: Schema, named: str) -> None:
    Store.create(tmp_path / "store", SCHEMA)
    assert Store.create(tmp_path / "store", SCHEMA).schema == SCHEMA
    with pytest.raises(StoreError, match=named):
        Store.create(tmp_path / "store", other)


def test_what_is_no_store_is_said(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="not a store"):
        Store(tmp_path)
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(StoreError, match="exists, but is not a store"):
        Store.create(tmp_path, SCHEMA)
    store = Store.create(tmp_path / "store", SCHEMA)
    with pytest.raises(StoreError, match="'x'"):
        store.recording("x")
    (tmp_path / "store" / "store.json").write_text(json.dumps({"format": 99}))
    with pytest.raises(StoreError, match="format 99"):
        Store(tmp_path / "store")


def test_without_crops_asking_for_them_says_what_to_do(tmp_path: Path) -> None:
    store = Store.create(tmp_path / "store", Schema(10.0, SCHEMA.encoders))
    put(store, "a")
    with pytest.raises(StoreError, match="--crops"):
        store.recording("a").crops()


def labels_of(recording: StoredRecording) -> np.ndarray:
    return recording.labels()


def test_labels_of_test_are_locked_and_each_look_is_logged(tmp_path: Path) -> None:
    store = Store.create(tmp_path / "store", SCHEMA)
    for name in ("a", "b", "c", "d"):
        put(store, name)
        store.write_labels(name, np.full((7, 2), 0.5))
    members = {"a": Membership("train", "s1"), "b": Membership("dev"), "c": Membership("test"), "d": Membership(None)}
    store.write_corpus(members | {"not extracted": Membership("train")}, {"kind": "folder"})
    assert store.members == members and store.corpus_facts == {"kind": "folder"}
    assert [r.name for r in store.split("train")] == ["a"] and (labels_of(store.split("train")[0]) == 0.5).all()
    assert store.names_in("test") == ["c"]
    for locked in (store.recording("c"), *store.split("test", labels=False)):
        assert locked.name == "c" and locked.features("face").shape == (7, 3)
        with pytest.raises(StoreError, match="c: its labels are locked"):
            locked.labels()
    with pytest.raises(StoreError, match="test split is locked"):
        store.split("test")
    with pytest.raises(StoreError, match="a: its labels are locked"):
        store.split("train", labels=False)[0].labels()
    log = tmp_path / "store" / "test-log.jsonl"
    assert not log.exists()
    for count in (1, 2):
        (recording,) = store.unlock_test("recipes/one")
        assert recording.name == "c" and (labels_of(recording) == 0.5).all()
        lines = [json.loads(line) for line in log.read_text().splitlines()]
        assert len(lines) == count and lines[-1]["why"] == "recipes/one"
    with pytest.raises(ValueError, match="train, dev, test"):
        store.split("validation")  # type: ignore[arg-type]


def test_new_features_have_no_old_labels(tmp_path: Path) -> None:
    store = Store.create(tmp_path / "store", SCHEMA)
    put(store, "a")
    store.write_labels("a", np.zeros((7, 2)))
    put(store, "a", steps=9)
    assert store.recording("a").labels().shape == (9, 2) and np.isnan(store.recording("a").labels()).all()
    store.write_labels("a", np.zeros((7, 2)))
    with pytest.raises(StoreError, match=r"a\.npy: its number of steps differs"):
        store.recording("a").labels()


def test_modalities_of_any_name_are_stored_after_the_three_known_ones(tmp_path: Path) -> None:
    encoders = {name: EncoderInfo(name, f"{name}-1", 2) for name in ("physiology", "words", "eeg", "face")}
    store = Store.create(tmp_path / "store", Schema(10.0, encoders))
    assert list(store.schema.dims) == ["face", "words", "eeg", "physiology"]
    given = put(store, "a")
    recording = Store(store.path).recording("a")
    for name in encoders:
        np.testing.assert_array_equal(recording.valid()[name], given[f"{name}_valid"])
        np.testing.assert_array_equal(recording.features(name), given[name] * given[f"{name}_valid"][:, None])
    for name in ("valid", "frame_times", "crops", "Heart Rate"):
        with pytest.raises(ValueError, match=name):
            Schema(10.0, {name: EncoderInfo("x", "x-1", 2)})


@pytest.mark.parametrize(
    "content", ["", "{", "[]", "{}", '{"format": 1}', '{"format": 1, "rate": 10, "encoders": {"face": 1}}']
)
def test_a_damaged_file_is_named(tmp_path: Path, content: str) -> None:
    store = Store.create(tmp_path / "store", SCHEMA)
    put(store, "a")
    store.write_corpus({"a": Membership("train")}, {})
    folder = store.path / "recordings" / "a"
    for file, read in (
        (folder / "meta.json", lambda: store.recording("a")),
        (store.path / "corpus.json", lambda: store.members),
        (store.path / "store.json", lambda: Store(store.path)),
    ):
        kept = file.read_bytes()
        file.write_text(content)
        with pytest.raises(StoreError, match=file.name):
            read()
        file.write_bytes(kept)
    (folder / "face.npy").write_bytes((folder / "face.npy").read_bytes()[:90])
    with pytest.raises(StoreError, match=r"face\.npy: damaged"):
        store.recording("a").features("face")
