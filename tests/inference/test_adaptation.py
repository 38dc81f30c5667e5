import json
from pathlib import Path

import numpy as np
import pytest

from vatrace import Model, ModelError, load_model
from vatrace.inference.adaptation import Adaptation, Correction, read_adaptation, write_adaptation

CORRECTIONS = {"valence": Correction(2.0, -0.1, 1.5), "arousal": Correction(0.5, 0.3, 0.25)}


@pytest.fixture
def mine(model: Model, tmp_path: Path) -> Path:
    """An adaptation of the package's own model."""
    path = tmp_path / "mine.json"
    write_adaptation(path, Adaptation(model.sha256, CORRECTIONS, {"model": model.name, "lags": {"anna": 1.2}}))
    return path


def test_values_and_widths_are_corrected() -> None:
    adaptation = Adaptation("", CORRECTIONS)
    np.testing.assert_allclose(adaptation.values(np.array([[0.2, 0.2], [0.9, -1.0]])), [[0.3, 0.4], [1.0, -0.2]])
    assert adaptation.half_widths({"face": (0.2, 0.4)}) == {"face": pytest.approx((0.3, 0.1))}
    assert list(adaptation.half_widths({}).values()) == [(1.5, 0.25)]  # of a model without intervals


def test_what_was_written_is_read(mine: Path, model: Model) -> None:
    found = read_adaptation(mine)
    assert (found.sha256, found.corrections) == (model.sha256, CORRECTIONS)
    assert found.facts == {"model": model.name, "lags": {"anna": 1.2}} and found.name.startswith("mine.json ")
    assert json.loads(mine.read_text())["valence"] == {"scale": 2.0, "shift": -0.1, "interval": 1.5}


def test_predictions_are_corrected_and_say_so(mine: Path, model: Model, talking: Path) -> None:
    plain = model.predict(talking, explain=True)
    adapted = load_model(adapt=mine).predict(talking, explain=True)
    np.testing.assert_allclose(adapted.valence, 2 * plain.valence - 0.1, atol=1e-6)
    np.testing.assert_allclose(adapted.arousal, 0.5 * plain.arousal + 0.3, atol=1e-6)
    assert plain.bounds and adapted.bounds and np.abs(adapted.bounds).max() < 1  # so that nothing is clipped
    was, now = (high - low for low, high in (plain.bounds, adapted.bounds))
    np.testing.assert_allclose(now, was * [1.5, 0.25], atol=1e-6)
    assert plain.explanation and adapted.explanation
    assert not np.allclose(adapted.explanation.changes, plain.explanation.changes)
    (note,) = set(adapted.notes) - set(plain.notes)
    assert note.startswith("adapted by mine.json ") and "valence × 2.00 -0.10" in note
    assert adapted.made_by["adapt"].startswith("mine.json ") and "adapt" not in plain.made_by


def test_a_file_for_another_model_is_refused(mine: Path, model: Model) -> None:
    content = json.loads(mine.read_text())
    mine.write_text(json.dumps(content | {"model_sha256": "f" * 64, "model": "model.onnx ffffffffffff"}))
    with pytest.raises(ModelError, match=rf"fitted for the model model.onnx f{{12}}, not for {model.name}"):
        load_model(adapt=mine)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": "another"}, "not a file of vatrace adapt"),
        ({"valence": None}, "damaged"),
        ({"valence": {"scale": "x"}}, "damaged"),
        ({"valence": {"scales": 1}}, "damaged"),
        ({"arousal": {"scale": -1}}, "at least 0"),
        ({"arousal": {"shift": float("nan")}}, "must be numbers"),
    ],
)
def test_a_damaged_file_is_refused(mine: Path, change: dict[str, object], message: str) -> None:
    mine.write_text(json.dumps(json.loads(mine.read_text()) | change))
    with pytest.raises(ModelError, match=message):
        read_adaptation(mine)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no such adaptation"):
        load_model(adapt=tmp_path / "none.json")
    (tmp_path / "text.json").write_text("{")
    with pytest.raises(ModelError, match="damaged"):
        load_model(adapt=tmp_path / "text.json")
