import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from command import run as run_command
from made_stores import CONFIG, make_store
from vatrace.errors import RunError, StoreError
from vatrace.evaluation.bootstrap import ccc_of_moments, interval, moments, resample_counts, resampled_ccc
from vatrace.evaluation.compare import compare
from vatrace.evaluation.evaluate import evaluate, spells, text_table
from vatrace.evaluation.page import write_page
from vatrace.metrics import concordance_cc
from vatrace.store import Store, StoredRecording
from vatrace.training.config import read_config
from vatrace.training.run import Run
from vatrace.training.train import train_run


def ccc(x: np.ndarray, y: np.ndarray) -> float:
    return 2 * np.mean((x - x.mean()) * (y - y.mean())) / (x.var() + y.var() + (x.mean() - y.mean()) ** 2)


def made_pairs(count: int, seed: int = 0) -> list[tuple[np.ndarray, np.ndarray]]:
    rng = np.random.default_rng(seed)
    pairs = []
    for _ in range(count):
        truth = rng.normal(rng.normal(), 1, (int(rng.integers(30, 90)), 2))
        truth[rng.random(truth.shape) < 0.1] = np.nan
        pairs.append((truth, 0.7 * np.nan_to_num(truth) + rng.normal(0, 0.5, truth.shape)))
    return pairs


def test_ccc_from_sums_is_ccc() -> None:
    pairs = made_pairs(5)
    found = ccc_of_moments(moments(pairs, list("aabbc")).sum(axis=0))
    for column in range(2):
        x = np.concatenate([truth[:, column] for truth, _ in pairs])
        y = np.concatenate([prediction[:, column] for _, prediction in pairs])
        known = ~np.isnan(x)
        assert found[column] == pytest.approx(ccc(x[known], y[known]), abs=1e-12)


def test_resamples_are_those_of_whole_units() -> None:
    pairs, units = made_pairs(6), list("aabbcc")
    counts = resample_counts(3, 20)
    assert (counts.sum(axis=1) == 3).all() and (counts == resample_counts(3, 20)).all()
    found = resampled_ccc(moments(pairs, units), counts)
    for resample, row in zip(counts, found, strict=True):
        drawn = [pairs[2 * unit + k] for unit in range(3) for _ in range(resample[unit]) for k in range(2)]
        for column in range(2):
            x, y = (np.concatenate([pair[i][:, column] for pair in drawn]) for i in range(2))
            assert row[column] == pytest.approx(ccc(x[~np.isnan(x)], y[~np.isnan(x)]), abs=1e-10)
        assert row[2] == pytest.approx(row[:2].mean())


def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    """CCC of recordings drawn anew, again and again, against the value of very many."""
    rng = np.random.default_rng(0)

    def draw(count: int) -> list[tuple[np.ndarray, np.ndarray]]:
        offsets = rng.normal(0, 0.5, (count, 1, 2))
        truths = rng.normal(0, 1, (count, 20, 2))
        return [(truth, truth + offset) for truth, offset in zip(truths, offsets, strict=True)]

    many = draw(20_000)
    expected = ccc_of_moments(moments(many, [""] * len(many)))[0, 0]
    held = 0
    for _ in range(200):
        unit_moments = moments(draw(40), [str(i) for i in range(40)])
        low, high = interval(resampled_ccc(unit_moments, resample_counts(40, 400))[:, 0])
        held += low <= expected <= high
    assert 0.88 <= held / 200 <= 0.99  # 95 % nominal; percentile intervals of 40 units are a little short


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return make_store(tmp_path_factory.mktemp("store") / "s", subjects={"e": "x", "f": "y"})


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
    assert of_one_person.num_units == 1 and np.isnan(of_one_person.scores["valence"].ccc_low)  # it says nothing of others


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
def test_spells_take_away_the_share_they_say(share: float) -> None:
    away = spells(3000, 10.0, share, seed=1)
    assert away.mean() == pytest.approx(share, abs=0.01)
    edges = np.flatnonzero(np.diff(away.astype(int), prepend=0, append=0))
    assert (np.diff(edges)[::2] % 30 == 0).all()


@pytest.fixture(scope="module")
def run(store: Store, tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("run")
    (folder / "run.toml").write_text(CONFIG.replace("num_epochs = 4", "num_epochs = 10") + "modality_dropout = 0.2\n")
    run = train_run(read_config(folder / "run.toml"), store, folder / "r")
    assert run is not None
    return run


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
    assert page.count("data:image/png;base64,") == 4 and "http" not in page.replace("http-equiv", "")
    again = run_command("evaluate", run.folder, "--store", store.path, "--out", tmp_path / "report")
    assert again.status == 1 and "already exists" in again.err


def test_the_test_split_is_locked_and_each_look_is_logged(run: Run, store: Store) -> None:
    locked = run_command("evaluate", run.folder, "--store", store.path, "--split", "test")
    assert locked.status == 1 and "--unlock-test" in locked.err and locked.err.count("\n") == 1
    assert not (store.path / "test-log.jsonl").exists()
    opened = run_command("evaluate", run.folder, "--store", store.path, "--split", "test", "--unlock-test")
    assert opened.status == 0 and "1 recordings" in opened.out
    for folder in (store.path, run.folder):
        (line,) = (folder / "test-log.jsonl").read_text().splitlines()
        assert json.loads(line)["why"] == str(run.folder)


def test_a_better_run_is_found_to_be_better(run: Run, store: Store, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    pairs = {f"r{i}": pair for i, pair in enumerate(made_pairs(20))}
    worse = {name: (truth, prediction + rng.normal(0, 1, truth.shape)) for name, (truth, prediction) in pairs.items()}
    found = compare([pairs, pairs, worse], ["a", "same", "worse"], {})
    assert (found["same"]["mean"].difference, found["same"]["mean"].low, found["same"]["mean"].high) == (0, 0, 0)
    assert found["worse"]["valence"].high < 0 and found["worse"]["valence"].better == 0
    assert found["a"]["valence"].ccc - found["worse"]["valence"].ccc == pytest.approx(-found["worse"]["valence"].difference)
    with pytest.raises(RunError, match=r"b: not evaluated on the same recordings as a \(such as r0\)"):
        compare([pairs, {name: pair for name, pair in pairs.items() if name != "r0"}], ["a", "b"], {})
    shutil.copytree(run.folder, tmp_path / "copy")
    result = run_command("compare", run.folder, tmp_path / "copy", "--store", store.path)
    assert result.status == 0 and "+0.000 [+0.000, +0.000]" in result.out
    assert result.out.endswith("are rough and too narrow.\n")
    for named_wrong in ([run.folder], [run.folder, run.folder]):
        assert "at least two runs, each once" in run_command("compare", *named_wrong, "--store", store.path).err


def test_runs_are_compared_by_the_same_steps_and_outputs_only() -> None:
    pairs = {f"r{i}": pair for i, pair in enumerate(made_pairs(4))}
    elsewhere = {name: (truth, prediction * (np.nan if name == "r2" else 1)) for name, (truth, prediction) in pairs.items()}
    with pytest.raises(RunError, match=r"b: not evaluated on the same recordings as a \(such as r2\)"):
        compare([pairs, elsewhere], ["a", "b"], {})
    only_valence = {name: (truth, prediction * [1, np.nan]) for name, (truth, prediction) in pairs.items()}
    found = compare([pairs, only_valence], ["a", "b"], {})["b"]
    assert found["valence"].difference == 0
    for column in ("arousal", "mean"):
        assert np.isnan([found[column].ccc, found[column].difference, found[column].low, found[column].better]).all()


def test_equal_constants_have_no_ccc() -> None:
    pair = (np.full((7, 2), 0.1), np.full((7, 2), 0.1))
    assert np.isnan(ccc_of_moments(moments([pair] * 3, ["a"] * 3)[0])).all()


def test_recordings_that_were_learned_from_are_refused(run: Run, tmp_path: Path) -> None:
    """As when splits.csv was changed after training."""
    for split, named in (("dev", "a"), ("test", "e")):
        store = make_store(tmp_path / split)
        moved = {name: replace(member, split=split) if name == named else member for name, member in store.members.items()}
        store.write_corpus(moved, {})
        result = run_command("evaluate", run.folder, "--store", store.path, "--split", split, "--unlock-test")
        assert result.status == 1 and f"was trained with {named}, now in {split}" in result.err
        assert not (store.path / "test-log.jsonl").exists()


def test_features_of_another_make_are_refused(run: Run, tmp_path: Path) -> None:
    other = make_store(tmp_path / "s")
    content = json.loads((other.path / "store.json").read_text())
    content["encoders"]["voice"]["version"] = "voice-2"
    (other.path / "store.json").write_text(json.dumps(content))
    result = run_command("evaluate", run.folder, "--store", other.path)
    assert result.status == 1 and "voice features are voice-2" in result.err


def test_nothing_labelled_and_one_output_are_no_accident(store: Store, tmp_path: Path) -> None:
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
