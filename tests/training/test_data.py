from pathlib import Path

import numpy as np
import pytest
import torch

from made_stores import DIMS, make_store
from vatrace.store import Store
from vatrace.training.data import Batch, Crops, Windows, collate, statistics

MODALITIES, OUTPUTS = ("face", "voice", "words"), ("valence", "arousal")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return make_store(tmp_path_factory.mktemp("store") / "s", crops=True)


def test_windows_cover_every_label_and_match_the_store(store: Store) -> None:
    recordings = store.split("train")
    windows = Windows(recordings, MODALITIES, OUTPUTS, 40, 30)
    covered = {recording.name: np.zeros(recording.num_steps, bool) for recording in recordings}
    for index, (recording, start, stop) in enumerate(windows.windows):
        covered[recording.name][start:stop] = True
        features, valid, target, known = windows[1, index]
        labels = recording.labels()[start:stop]
        np.testing.assert_array_equal(known, ~np.isnan(labels[:, 0]))
        np.testing.assert_array_equal(target[known], labels[known])
        for name in MODALITIES:
            np.testing.assert_array_equal(valid[name], recording.valid()[name][start:stop])
            np.testing.assert_array_equal(features[name], recording.features(name)[start:stop].astype(np.float32))
    assert all(mask.all() for mask in covered.values())


def test_windows_without_a_label_are_left_out(tmp_path: Path) -> None:
    store = make_store(tmp_path / "s", {"a": "train"}, steps=200)
    labels = np.full((200, 2), np.nan)
    labels[90:95] = 0.1
    store.write_labels("a", labels)
    spans = [(start, stop) for _, start, stop in Windows(store.split("train"), MODALITIES, OUTPUTS, 40, 20).windows]
    assert spans == [(60, 100), (80, 120)]


def test_an_output_that_is_not_annotated_does_not_hide_the_other(tmp_path: Path) -> None:
    store = make_store(tmp_path / "s", {"a": "train"})
    labels = store.recording("a").labels()
    labels[:, 1] = np.nan
    store.write_labels("a", labels)
    assert len(Windows(store.split("train"), MODALITIES, ("valence",), 40, 20)) > 0
    assert len(Windows(store.split("train"), MODALITIES, OUTPUTS, 40, 20)) == 0


def keys(batches: list[Batch]) -> list[bytes]:
    return [row.numpy().tobytes() for batch in batches for row in batch.target]


def test_each_epoch_has_its_own_order_and_every_window_once(store: Store) -> None:
    windows = Windows(store.split("train"), MODALITIES, OUTPUTS, 40, 20, seed=3)
    one, again, two = (keys(list(windows.batches(epoch, 5))) for epoch in (1, 1, 2))
    assert one == again != two
    assert len(one) == len(windows) // 5 * 5 == windows.num_batches(5) * 5
    assert len(set(one)) == len(one)


def test_a_batch_is_the_same_by_however_many_processes_it_is_read(store: Store) -> None:
    windows = Windows(store.split("train"), MODALITIES, OUTPUTS, 40, 20, modality_dropout=0.5, seed=3)
    whole = list(windows.batches(2, 6))
    parts = [list(windows.batches(2, 6, rank, 2)) for rank in range(2)]
    workers = list(windows.batches(2, 6, num_workers=2))
    for index, batch in enumerate(whole):
        for rank in range(2):
            assert torch.equal(parts[rank][index].target, batch.target[rank::2])
            assert all(torch.equal(parts[rank][index].valid[name], batch.valid[name][rank::2]) for name in MODALITIES)
        assert all(torch.equal(workers[index].valid[name], batch.valid[name]) for name in MODALITIES)


def test_modalities_are_removed_as_often_as_stated_and_never_all(store: Store) -> None:
    windows = Windows(store.split("train"), MODALITIES, OUTPUTS, 40, 20, modality_dropout=0.3, seed=1)
    left = np.array(
        [[windows[epoch, i][1][name].any() for name in MODALITIES] for epoch in range(60) for i in range(len(windows))]
    )
    there = np.array(
        [
            [windows.windows[i][0].valid()[n][slice(*windows.windows[i][1:])].any() for n in MODALITIES]
            for i in range(len(windows))
        ]
    )
    there = np.tile(there, (60, 1))
    assert left.any(axis=1).all()
    full = there.all(axis=1)
    gone = 1 - left[full].mean()
    expected = 0.3 - 0.3**3 / 3  # of three, one is kept where chance would remove all
    assert gone == pytest.approx(expected, abs=4 * np.sqrt(0.3 * 0.7 / left[full].size))


def test_shorter_windows_are_padded_with_steps_that_do_not_count() -> None:
    def sample(steps: int) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray], np.ndarray, np.ndarray]:
        values = np.ones((steps, 3), np.float32)
        return {"face": values}, {"face": np.ones(steps, bool)}, values[:, :2], np.ones(steps, bool)

    batch = collate([sample(4), sample(7)])
    assert batch.features["face"].shape == (2, 7, 3)
    assert batch.valid["face"].tolist() == batch.labelled.tolist() == [[True] * 4 + [False] * 3, [True] * 7]


def test_statistics_are_of_valid_train_features_only(store: Store) -> None:
    found = statistics(store.split("train"), MODALITIES)
    for name in DIMS:
        values = np.concatenate([r.features(name)[r.valid()[name]] for r in store.split("train")]).astype(np.float64)
        np.testing.assert_allclose(found[name][0], values.mean(axis=0), atol=1e-6)
        np.testing.assert_allclose(found[name][1], values.std(axis=0), atol=1e-6)


def test_crops_are_cut_alike_within_a_window_and_centred_without_a_generator() -> None:
    crops = np.random.default_rng(0).integers(0, 256, (5, 48, 48, 3)).astype(np.uint8)
    np.testing.assert_array_equal(Crops(40).take(crops), crops[:, 4:44, 4:44])
    np.testing.assert_array_equal(Crops(48).take(crops), crops)
    seen = set()
    for seed in range(300):
        taken = Crops(40).take(crops, np.random.default_rng(seed))
        places = [
            (top, left, mirrored)
            for top in range(9)
            for left in range(9)
            for mirrored in (False, True)
            if np.array_equal(taken, crops[:, top : top + 40, left : left + 40][:, :, :: -1 if mirrored else 1])
        ]
        assert len(places) == 1
        seen |= set(places)
    assert len(seen) > 120  # of 162


def test_windows_have_crops_instead_of_features_on_request(store: Store) -> None:
    windows = Windows(store.split("train"), MODALITIES, OUTPUTS, 40, 20, crops=Crops(40))
    batch = next(iter(windows.batches(1, 3)))
    assert batch.features["face"].shape == (3, 40, 40, 40, 3) and batch.features["face"].dtype == torch.uint8
