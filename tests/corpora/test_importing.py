import os
from pathlib import Path

import numpy as np
import pytest

from command import run
from vatrace.corpora import open_corpus
from vatrace.corpora.extract import Outcome
from vatrace.corpora.feature_files import FeatureRows
from vatrace.corpora.importing import ImportOptions, import_features, import_schema, on_grid
from vatrace.errors import CorpusError
from vatrace.store import Store


def rows(values: list[float], times: list[float] | None = None) -> FeatureRows:
    return FeatureRows(None if times is None else np.array(times), np.array(values, np.float32)[:, None])


NAN = float("nan")
AT_25_HZ = ImportOptions(25.0)


@pytest.mark.parametrize(
    ("given", "feature_rate", "expected"),
    [
        (rows([1, 3, 5, 7]), 4.0, [2, 6, NAN]),  # two rows in each step: their means
        (rows([1, NAN, NAN, NAN]), 4.0, [1, NAN, NAN]),  # a missing row is left out of a mean
        (rows([1, 2]), 1.0, [1, 1, 2]),  # a row in two steps: the current one
        (rows([1, NAN, 3]), 1.0, [1, 1, NAN, NAN, 3, 3]),
        (rows([1, 2, 3], [0.25, 1.25, 2.25]), None, [NAN, 1, 1, 2, 2, 3, 3, NAN]),  # it starts late
        (rows([1, 2, 3, 9], [0, 1, 2, 8]), None, [1, 1, 2, 2, 3, 3, NAN, NAN]),  # a gap is missing
        (rows([1, 2, 3, 4], [0, 0.2, 0.4, 1.6]), None, [2, 3, NAN, 4]),  # the row before a gap holds for 0.2 s
        (rows([1, 2, 3], [0, 1.3, 2.0]), None, [1, 1, 1, 2, 3, 3]),  # jitter is no gap
        (rows([5], [0.5]), None, [NAN, 5, NAN]),
    ],
)
def test_rows_are_put_on_the_grid(given: FeatureRows, feature_rate: float | None, expected: list[float]) -> None:
    """Two steps a second."""
    features, valid = on_grid(given, feature_rate, 2.0, len(expected))
    np.testing.assert_array_equal(valid, ~np.isnan(expected))
    np.testing.assert_allclose(features[:, 0], np.nan_to_num(expected))


@pytest.mark.parametrize("rate", [3.0, 7.0, 10.0, 24.0, 25.0, 29.97, 100.0])
def test_features_at_the_rate_of_the_grid_are_kept_as_they_are(rate: float) -> None:
    values = np.random.default_rng(0).normal(size=(997, 3)).astype(np.float32)
    times = np.arange(997) / rate
    for one in (FeatureRows(None, values), FeatureRows(times, values), FeatureRows(times.round(6), values)):
        features, valid = on_grid(one, rate, rate, 997)
        assert valid.all()
        np.testing.assert_array_equal(features, values)


def write(root: Path, scale: float = 1.0) -> None:
    (root / "voice").mkdir(parents=True, exist_ok=True)
    (root / "physiology").mkdir(exist_ok=True)
    for index, name in enumerate("abc"):
        rng = np.random.default_rng(index)
        np.save(root / "voice" / f"{name}.npy", scale * rng.normal(size=(125 + 25 * index, 3)))
        lines = [f"{time / 4},{value}" for time, value in enumerate(rng.normal(size=20))]
        (root / "physiology" / f"{name}.csv").write_text("\n".join(["time,x", *lines]) + "\n")


def imported(root: Path, store: Path, options: ImportOptions = AT_25_HZ) -> list[Outcome]:
    sources = open_corpus(root).sources
    return list(import_features(sources, Store.create(store, import_schema(sources, 10.0, options)), options))


def test_lengths_masks_and_values_in_the_store(tmp_path: Path) -> None:
    write(tmp_path / "f")
    (tmp_path / "f" / "physiology" / "b.csv").unlink()
    outcomes = imported(tmp_path / "f", tmp_path / "s")
    assert {outcome.name: outcome.error for outcome in outcomes} == {"a": None, "b": None, "c": None}
    assert {outcome.name: outcome.seconds for outcome in outcomes} == pytest.approx({"a": 5, "b": 6, "c": 7})
    assert {outcome.name: outcome.notes for outcome in outcomes}["b"] == ("no physiology",)
    store = Store(tmp_path / "s")
    assert store.schema.rate == 10.0 and store.schema.dims == {"voice": 3, "physiology": 1}
    longer, lacking = store.recording("c"), store.recording("b")
    assert longer.num_steps == 70 and len(longer.frame_times) == 0
    np.testing.assert_array_equal(longer.valid()["physiology"], np.arange(70) < 50)
    assert not lacking.valid()["physiology"].any() and (lacking.features("physiology") == 0).all()
    given = np.load(tmp_path / "f" / "voice" / "c.npy")
    step = np.floor(np.arange(175) / 25 * 10 + 1e-6).astype(int)
    means = [given[step == index].mean(axis=0) for index in range(70)]
    np.testing.assert_allclose(longer.features("voice"), means, atol=2e-3)


def test_only_what_has_changed_is_imported_again(tmp_path: Path) -> None:
    write(tmp_path / "f")
    assert len(imported(tmp_path / "f", tmp_path / "s")) == 3
    assert imported(tmp_path / "f", tmp_path / "s") == []
    os.utime(tmp_path / "f" / "voice" / "a.npy", (1, 1))
    assert imported(tmp_path / "f", tmp_path / "s") == []
    np.save(tmp_path / "f" / "voice" / "b.npy", np.zeros((100, 3)))
    assert [outcome.name for outcome in imported(tmp_path / "f", tmp_path / "s")] == ["b"]
    (tmp_path / "f" / "physiology" / "c.csv").unlink()
    assert [outcome.name for outcome in imported(tmp_path / "f", tmp_path / "s")] == ["c"]
    assert len(imported(tmp_path / "f", tmp_path / "s", ImportOptions(50.0))) == 3


def test_one_bad_file_does_not_stop_the_others(tmp_path: Path) -> None:
    write(tmp_path / "f")
    np.save(tmp_path / "f" / "voice" / "b.npy", np.zeros((100, 4)))
    (tmp_path / "f" / "physiology" / "c.csv").write_text("time,x\n0,1\n0.5,high\n")
    failed = {outcome.name: outcome.error or "" for outcome in imported(tmp_path / "f", tmp_path / "s") if outcome.error}
    assert set(failed) == {"b", "c"}
    assert "b.npy: 4 columns of features, but" in failed["b"] and "c.csv: line 3: 'high'" in failed["c"]
    assert Store(tmp_path / "s").names == ["a"]


def test_without_a_rate_rows_without_times_are_refused(tmp_path: Path) -> None:
    write(tmp_path / "f")
    outcomes = imported(tmp_path / "f", tmp_path / "s", ImportOptions())
    assert all("no column `time`: give the rows' rate with --feature-rate" in (outcome.error or "") for outcome in outcomes)


def test_where_nothing_can_be_read_the_first_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "f" / "voice").mkdir(parents=True)
    (tmp_path / "f" / "voice" / "a.npy").write_text("torn")
    with pytest.raises(CorpusError, match=r"a\.npy: can't be read"):
        imported(tmp_path / "f", tmp_path / "s")


def test_the_command_reports_like_extract(tmp_path: Path) -> None:
    write(tmp_path / "f")
    table = [f"{name},{time / 10},0.5,{time / 100}" for name in "ab" for time in range(40)]
    (tmp_path / "f" / "annotations.csv").write_text("\n".join(["recording,time,valence,arousal", *table]) + "\n")
    arguments = ("import", tmp_path / "f", "--store", tmp_path / "s", "--feature-rate", 25, "--lag", 0)
    done = run(*arguments)
    assert (done.status, done.err) == (0, "") and done.out == f"{tmp_path / 's'}: 3 recordings, 2 with labels; 0 failed\n"
    assert Store(tmp_path / "s").recording("a").labels()[7] == pytest.approx([0.5, 0.07])
    (tmp_path / "f" / "voice" / "a.npy").write_text("torn")
    again = run(*arguments)
    assert again.status == 1 and "2 of 3 recordings are already in" in again.out
    assert "a.npy: can't be read" in again.out and again.out.endswith("1 failed\n")
    wrong = run(*arguments, "--name", "a,b")
    assert wrong.status == 1 and "--name takes NAME" in wrong.err
    unknown = run(*arguments, "--name", "vioce=a")
    assert unknown.status == 1 and "--name vioce=a:" in unknown.err and "has no features of vioce" in unknown.err
    extracted = run("extract", tmp_path / "f", "--store", tmp_path / "t")
    assert extracted.status == 1 and "use vatrace import" in extracted.err
