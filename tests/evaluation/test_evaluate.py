import json
from pathlib import Path

import numpy as np
import pytest

from command import run as run_command
from made_pairs import ccc
from made_stores import CONFIG, make_store
from vatrace.errors import StoreError
from vatrace.evaluation.evaluate import evaluate, spells, text_table
from vatrace.evaluation.held_out import evaluate_run
from vatrace.evaluation.page import write_page
from vatrace.metrics import concordance_cc
from vatrace.store import Store, StoredRecording
from vatrace.training.config import read_config
from vatrace.training.run import Predictor, Run
from vatrace.training.train import train_run


def perfect(recording: StoredRecording, change: object) -> np.ndarray:
    return np.nan_to_num(recording.labels())


def test_a_perfect_prediction_has_perfect_scores(store: Store) -> None:
    found, pairs = evaluate(perfect, store.split("dev"), {}, np.zeros(2))
    for score in found.scores.values():
        assert (score.ccc, score.pearson, score.accuracy, score.scale, score.sign_agreement) == pytest.approx((1,) * 5)
        assert (score.rmse, score.shift) == pytest.approx((0, 0))
        assert score.ccc_low == pytest.approx(1) and score.ccc_high == pytest.approx(1)
    assert set(pairs) == {"e", "f"} and found.num_recordings == 2 and found.num_units == 2
    assert max(found.lag, key=lambda lag: found.lag[lag]["valence"]) == 0
    assert found.num_steps == sum(recording.num_steps - 5 for recording in store.split("dev"))
    of_one_person = evaluate(perfect, store.split("dev"), {"e": "x", "f": "x"}, np.zeros(2))[0]
    assert of_one_person.num_units == 1 and np.isnan(of_one_person.scores["valence"].ccc_low)  # one person has no interval


def test_a_late_prediction_is_found_to_be_late(store: Store) -> None:
    def late(recording: StoredRecording, change: object) -> np.ndarray:
        return np.roll(np.nan_to_num(recording.labels()), 8, axis=0)

    def early(recording: StoredRecording, change: object) -> np.ndarray:
        return np.roll(np.nan_to_num(recording.labels()), -8, axis=0)

    for predict, lag in ((late, -0.8), (early, 0.8)):  # labels 0.8 s late are explained by a prediction that is early
        found = evaluate(predict, store.split("dev"), {}, np.zeros(2))[0].lag
        assert max(found, key=lambda key: found[key]["valence"]) == pytest.approx(lag)


def test_scores_are_those_of_their_equations(store: Store) -> None:
    def flat(recording: StoredRecording, change: object) -> np.ndarray:
        return 0.5 * np.nan_to_num(recording.labels()) + 0.1

    found, pairs = evaluate(flat, store.split("dev"), {}, np.array([0.2, -0.1]))
    truth = np.concatenate([pair[0] for pair in pairs.values()])
    truth = truth[~np.isnan(truth[:, 0])].astype(np.float64)
    for column, name in enumerate(("valence", "arousal")):
        x, score = truth[:, column], found.scores[name]
        y = 0.5 * x + 0.1
        assert score.ccc == pytest.approx(ccc(x, y), abs=1e-6)
        assert score.scale == pytest.approx(0.5, abs=1e-6)
        assert score.shift == pytest.approx((y.mean() - x.mean()) / np.sqrt(x.std() * y.std()), abs=1e-6)
        assert score.ccc == pytest.approx(score.pearson * score.accuracy, abs=1e-9)
        within = [concordance_cc(p[0][5:, column], p[1][5:, column]) for p in pairs.values()]
        assert score.ccc_by_recording == pytest.approx(np.mean(within), abs=1e-6)
        mean = [0.2, -0.1][column]
        assert found.baselines["train mean (RMSE)"][name] == pytest.approx(np.sqrt(np.mean((x - mean) ** 2)), abs=1e-6)
    assert [row["name"] for row in found.recordings] in (["e", "f"], ["f", "e"])


@pytest.mark.parametrize("share", [0.25, 0.5, 1.0])
def test_spells_remove_the_stated_share(share: float) -> None:
    away = spells(3000, 10.0, share, seed=1)
    assert away.mean() == pytest.approx(share, abs=0.01)
    edges = np.flatnonzero(np.diff(away.astype(int), prepend=0, append=0))
    assert (np.diff(edges)[::2] % 30 == 0).all()


def test_what_was_planted_is_found_by_ablation(run: Run, store: Store, tmp_path: Path) -> None:
    """Valence is in face and voice, arousal in voice and words."""
    result = run_command("evaluate", run.folder, "--store", store.path, "--out", tmp_path / "report")
    assert result.status == 0, result.err
    found = json.loads((tmp_path / "report" / "evaluation.json").read_text())
    ablation = found["ablation"]
    assert ablation["only face"]["valence"] > 0.5 and ablation["only face"]["arousal"] < 0.25
    assert ablation["only words"]["arousal"] > 0.5 and ablation["only words"]["valence"] < 0.25
    assert ablation["without words"]["valence"] == pytest.approx(ablation["all"]["valence"], abs=0.1)
    curve = found["robustness"]["voice"]
    assert curve["0.0"] == ablation["all"] and curve["1.0"] == ablation["without voice"]
    assert curve["0.0"]["valence"] > curve["1.0"]["valence"]
    low, value, high = (found["scores"]["valence"][key] for key in ("ccc_low", "ccc", "ccc_high"))
    assert low <= value <= high
    assert f"{value:.3f}" in result.out
    page = (tmp_path / "report" / "evaluation.html").read_text()
    parts = page.split('<script type="application/json">')[1:]
    charts = {chart["title"]: chart for part in parts for chart in json.loads(part.partition("</script>")[0])}
    lag = charts["CCC by lag of the labels"]
    drawn = dict(zip(lag["x"], lag["series"][0]["values"], strict=True))
    assert drawn == pytest.approx({float(key): values["valence"] for key, values in found["lag"].items()}, abs=5e-4)
    cells = np.array(charts["Valence"]["cells"])
    assert cells.sum() == found["num_steps"] and len(charts) == 2 + 2 * min(3, found["num_recordings"]) + 3
    again = run_command("evaluate", run.folder, "--store", store.path, "--out", tmp_path / "report")
    assert again.status == 1 and "already exists" in again.err


def test_a_run_is_evaluated_on_its_own_modalities(store: Store, tmp_path: Path) -> None:
    """The store has words as well, which the run doesn't use."""
    text = CONFIG.replace("words = 4\n", "").replace("words = 8\n", "")
    (tmp_path / "run.toml").write_text(text.replace("num_epochs = 4", "num_epochs = 1"))
    run = train_run(read_config(tmp_path / "run.toml"), store, tmp_path / "r")
    assert run is not None
    found, _ = evaluate_run(Predictor(run), store)
    assert set(found.ablation) == {"all", "only face", "only voice", "without face", "without voice"}
    assert set(found.robustness) == {"face", "voice"}
    known = [~np.isnan(recording.labels()[:, 0]) for recording in store.split("dev")]
    present = [recording.valid()["face"] | recording.valid()["voice"] for recording in store.split("dev")]
    absent = sum((mask & ~seen).sum() for mask, seen in zip(known, present, strict=True))
    assert absent > 0 and found.unsupported == pytest.approx(absent / found.num_steps)


def test_a_split_without_labels_and_a_run_with_one_output(store: Store, tmp_path: Path) -> None:
    unlabelled = make_store(tmp_path / "s", {"a": "dev"})
    unlabelled.remove_labels("a")
    with pytest.raises(StoreError, match="no recording of this split has labels"):
        evaluate(perfect, unlabelled.split("dev"), {}, np.zeros(2))

    def only_valence(recording: StoredRecording, change: object) -> np.ndarray:
        return perfect(recording, change) * [1, np.nan]

    ceiling = {"num_annotators": 3, "others": {"valence": 0.812, "arousal": 0.734}, "pairs": {"valence": 0.7, "arousal": 0.6}}
    found, pairs = evaluate(only_valence, store.split("dev"), {}, np.zeros(2), ceiling)
    assert np.isnan(found.scores["arousal"].ccc) and found.mean_ccc[0] == pytest.approx(1)
    assert "nan" in text_table(found)
    write_page(tmp_path / "page.html", "x", [], found, pairs, dict.fromkeys(pairs, 10.0))
    for shown in (text_table(found), (tmp_path / "page.html").read_text()):
        assert "0.812" in shown and "0.734" in shown  # what annotators agree on
