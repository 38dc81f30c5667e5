import json
from pathlib import Path

import numpy as np
import pytest
import torch

from made_stores import make_store
from vatrace.errors import RunError
from vatrace.store import Store
from vatrace.timeline import windows
from vatrace.training.checkpoint import load_model
from vatrace.training.run import Predictor, Run, predict_recording


def test_a_prediction_is_the_mean_of_overlapping_windows(run: Run, store: Store) -> None:
    model, _ = load_model(run.members[0].weights)
    recording = store.split("dev")[0]
    total, weight = np.zeros((recording.num_steps, 2)), np.zeros(recording.num_steps)
    for start, stop in windows(recording.num_steps, run.win_len, run.win_len // 2):
        inputs = {n: torch.from_numpy(recording.features(n, start, stop).astype(np.float32))[None] for n in model.modalities}
        valid = {n: torch.from_numpy(mask)[None] for n, mask in recording.valid(start, stop).items()}
        with torch.inference_mode():
            values = model(inputs, valid)[0].numpy()
        triangle = np.minimum(np.arange(1, stop - start + 1), np.arange(stop - start, 0, -1))
        total[start:stop] += values * triangle[:, None]
        weight[start:stop] += triangle
    np.testing.assert_allclose(Predictor(run).predict(recording), total / weight[:, None], atol=1e-6)


def test_masks_can_be_changed_for_a_prediction(run: Run, store: Store) -> None:
    predictor, recording = Predictor(run), store.split("dev")[0]

    def without_face(masks: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        return masks | {"face": np.zeros_like(masks["face"])}

    changed = predictor.predict(recording, change=without_face)
    model, _ = load_model(run.members[0].weights)
    assert np.abs(changed - predictor.predict(recording)).max() > 0.05
    np.testing.assert_array_equal(changed, predict_recording(model, recording, run.win_len, without_face))


def test_a_store_of_another_rate_does_not_fit(run: Run, tmp_path: Path) -> None:
    other = make_store(tmp_path / "s")
    content = json.loads((other.path / "store.json").read_text())
    (other.path / "store.json").write_text(json.dumps(content | {"rate": 30.0}))
    with pytest.raises(RunError, match=r"has 30 steps per second, but .* was trained with 10"):
        run.check_fits(Store(other.path))


def changed_store(path: Path, **changes: object) -> Store:
    """A store whose voice encoder differs from the run's."""
    store = make_store(path)
    content = json.loads((path / "store.json").read_text())
    content["encoders"]["voice"] |= changes
    (path / "store.json").write_text(json.dumps(content))
    return Store(store.path)


def test_features_of_another_version_or_width_do_not_fit(run: Run, store: Store, tmp_path: Path) -> None:
    run.check_fits(store)
    with pytest.raises(RunError, match=r"its voice features are voice-2 \(5 channels\), .* voice-1 \(5 channels\)"):
        run.check_fits(changed_store(tmp_path / "version", version="voice-2"))
    with pytest.raises(RunError, match=r"its voice features are voice-1 \(9 channels\)"):
        run.check_fits(changed_store(tmp_path / "dim", dim=9))


@pytest.mark.parametrize("damage", ["", "{", "[1]", '{"format": 1}', '{"format": 1, "members": [{"folder": "model"}]}'])
def test_a_damaged_run_is_named(tmp_path: Path, damage: str) -> None:
    (tmp_path / "run.json").write_text(damage)
    with pytest.raises(RunError, match=r"run\.json: damaged"):
        Run.open(tmp_path)


def test_without_folds_all_models_predict_what_is_held_out(run: Run, store: Store) -> None:
    predictor, recording = Predictor(run), store.split("dev")[0]
    np.testing.assert_array_equal(predictor.predict_held_out(recording, "dev"), predictor.predict(recording))
