import io
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from vatrace.corpora import open_corpus
from vatrace.inference.prediction import Prediction
from vatrace.metrics import concordance_cc
from vatrace.web.annotations import Gap, add, agreement, archive, as_lists, fill, gaps, overall, read, read_all, widest
from vatrace.web.archive import different


def samples(start: float, stop: float, value: float | None = None) -> list[tuple[float, float]]:
    """Every 1/30 s: a slow sine, or a constant."""
    return [(t, np.sin(t) if value is None else value) for t in np.arange(start, stop, 1 / 30).tolist()]


def test_samples_are_put_on_the_grid(tmp_path: Path) -> None:
    add(tmp_path / "annotations" / "ada.csv", "valence", samples(0, 3.01))
    table = read(tmp_path / "annotations" / "ada.csv")
    np.testing.assert_allclose(table["time"], np.arange(31) / 10)
    np.testing.assert_allclose(table["valence"], np.sin(np.arange(31) / 10), atol=2e-3)
    assert table["arousal"].isna().all()


def test_what_is_traced_again_replaces_and_the_rest_stays(tmp_path: Path) -> None:
    path = tmp_path / "ada.csv"
    add(path, "valence", samples(0, 4))
    add(path, "arousal", samples(1, 2.01, 0.5))
    add(path, "valence", samples(1, 2.01, -2.0))
    table = read(path).set_index("time")
    assert (table.loc[1.0:2.0, "valence"] == -1).all() and (table.loc[1.0:2.0, "arousal"] == 0.5).all()
    assert table.loc[0.5, "valence"] == pytest.approx(np.sin(0.5), abs=2e-3) and np.isnan(table.loc[2.5, "arousal"])
    assert not table.index.duplicated().any() and table.index.is_monotonic_increasing


def test_nothing_is_made_up_where_the_trace_was_interrupted(tmp_path: Path) -> None:
    add(tmp_path / "ada.csv", "valence", [(0.0, 0.1), (0.1, 0.1), (3.0, 0.9), (3.1, 0.9)])
    table = read(tmp_path / "ada.csv")
    np.testing.assert_allclose(table["time"], [0, 0.1, 3.0, 3.1])


def test_agreement_is_over_what_both_traced(tmp_path: Path) -> None:
    times = np.arange(40) / 10
    presence = dict.fromkeys(("face", "voice", "words"), np.ones(40, bool))
    model = Prediction(Path("a.mp4"), 10.0, times, np.cos(times), np.zeros(40), presence)
    add(tmp_path / "ada.csv", "valence", samples(0, 5))
    add(tmp_path / "bob.csv", "valence", samples(2, 4.01))
    rows = {(row["one"], row["other"]): row for row in agreement([(read_all(tmp_path), model)])}
    assert set(rows) == {("ada", "bob"), ("ada", "model"), ("bob", "model")}
    assert rows["ada", "bob"]["valence"] == pytest.approx(1, abs=1e-3) and rows["ada", "bob"]["valence_seconds"] == 2.1
    expected = concordance_cc(np.sin(times), np.cos(times))
    assert rows["ada", "model"]["valence"] == pytest.approx(expected, abs=0.005) and rows["ada", "model"]["arousal"] is None
    assert agreement([({}, model)]) == [] and overall([(read_all(tmp_path), model)])["pairs"]["valence"] == 1.0


def test_the_archive_is_a_corpus_beside_its_recordings(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    add(tmp_path / "x" / "annotations" / "ada.csv", "valence", samples(0, 2))
    add(tmp_path / "x" / "annotations" / "bob.csv", "arousal", samples(0, 2))
    (tmp_path / "corpus").mkdir()
    (tmp_path / "corpus" / "talk.mp4").touch()
    with zipfile.ZipFile(io.BytesIO(archive([("talk", tmp_path / "x" / "annotations")]))) as file:
        file.extractall(tmp_path / "corpus")
    corpus = open_corpus(tmp_path / "corpus")
    found = corpus.annotations(corpus.sources[0], np.empty(0))
    assert [annotation.annotator for annotation in found] == ["ada", "bob"]
    np.testing.assert_allclose(found[0].values[:, 0], np.sin(found[0].times), atol=2e-3)
    assert np.isnan(found[0].values[:, 1]).all()


def test_lists_for_the_page_have_none_where_there_is_nothing() -> None:
    table = pd.DataFrame({"time": [0.0, 0.1], "valence": [np.nan, 0.5], "arousal": [0.1, np.nan]})
    assert as_lists(table) == {"time": [0.0, 0.1], "valence": [None, 0.5], "arousal": [0.1, None]}


def prediction(seconds: float, half_widths: np.ndarray | float = 0.3) -> Prediction:
    times = np.arange(round(seconds * 10)) / 10
    presence = dict.fromkeys(("face", "voice", "words"), np.ones(len(times), bool))
    values = np.stack([np.cos(times), np.zeros(len(times))], axis=-1)
    width = np.broadcast_to(half_widths, len(times))[:, None]
    bounds = (values - width, values + width)
    return Prediction(Path("a.mp4"), 10.0, times, values[:, 0], values[:, 1], presence, bounds=bounds)


def test_agreement_of_a_project_is_that_of_its_recordings_end_to_end(tmp_path: Path) -> None:
    recordings = []
    for name, shift in (("one", 0.0), ("two", 0.5)):
        add(tmp_path / name / "ada.csv", "valence", samples(0, 5.01))
        add(tmp_path / name / "bob.csv", "valence", [(t, value / 2 - shift) for t, value in samples(0, 3.01)])
        recordings.append((read_all(tmp_path / name), prediction(5)))
    (row,) = [row for row in agreement(recordings) if row["one"] == "ada" and row["other"] == "bob"]
    ada = np.sin(np.arange(31) / 10)
    expected = concordance_cc(np.tile(ada, 2), np.concatenate([ada / 2, ada / 2 - 0.5]))
    assert row["valence"] == pytest.approx(expected, abs=2e-3) and row["valence_seconds"] == 6.2
    assert overall(recordings)["num_annotators"] == 2 and overall(recordings)["pairs"]["valence"] == row["valence"]


def test_what_comes_from_the_model_is_marked_and_counts_for_no_agreement(tmp_path: Path) -> None:
    path = tmp_path / "ada.csv"
    add(path, "valence", samples(0, 2.01))
    add(path, "valence", samples(2, 4.01), source="model")
    add(path, "valence", samples(3, 4.01, 0.9), source="corrected")
    table = read(path).set_index("time")
    assert table.loc[1.0:1.9, "valence_source"].isna().all() and (table.loc[2.0:2.9, "valence_source"] == "model").all()
    assert (table.loc[3.0:4.0, "valence_source"] == "corrected").all()
    (row,) = agreement([(read_all(tmp_path), prediction(5))])
    assert row["valence_seconds"] == 2.0
    add(path, "valence", samples(0, 4.01))  # traced without the model after all
    assert "valence_source" not in read(path)


def test_other_dimensions_and_unbounded_traces_have_columns_of_their_own_which_corpora_ignore(tmp_path: Path) -> None:
    folder = tmp_path / "annotations"
    add(folder / "talk.ada.csv", "tension", samples(0, 2))
    add(folder / "talk.ada.csv", "valence", [(t, 20 * t) for t, _ in samples(0, 2)], bounded=False)
    add(folder / "talk.bob.csv", "valence", [(t, 3 + t / 10) for t, _ in samples(0, 2)], bounded=False)
    tables = read_all(folder)
    assert tables["talk.ada"]["valence_unbounded"].max() == pytest.approx(38, abs=0.5)
    row = agreement([(tables, prediction(3))])[0]
    assert row["valence_unbounded"] == 1.0 and row["valence"] is None  # the scales of two people have no common unit
    (tmp_path / "talk.mp4").touch()
    corpus = open_corpus(tmp_path)
    assert np.isnan(corpus.annotations(corpus.sources[0], np.empty(0))[0].values).all()


def test_a_late_start_gaps_and_an_early_end_are_found_and_filled_on_request(tmp_path: Path) -> None:
    path = tmp_path / "ada.csv"
    add(path, "valence", [(1.2, 0.2), (1.6, 0.2)])
    add(path, "valence", [(3.0, 0.6), (3.4, 0.6)])
    add(path, "valence", [(3.8, 0.0), (4.0, 0.0)])  # 0.3 s without rows are no gap
    found = gaps(read(path), "valence", 9.0)
    assert found == [Gap(0.0, 1.2, "late start"), Gap(1.7, 3.0, "gap"), Gap(4.1, 9.0, "early end")]
    assert gaps(read(path), "arousal", 9.0) == [] and gaps(read(path), "valence", 5.0) == found[:2]
    for gap in found[:2]:
        fill(path, "valence", gap)
    table = read(path).set_index("time")
    assert table.loc[0.6, "valence"] == 0.2 and table.loc[2.3, "valence"] == pytest.approx(0.4, abs=1e-3)
    (tmp_path / "corpus" / "annotations").mkdir(parents=True)
    (tmp_path / "corpus" / "ada.mp4").touch()
    path.replace(path := tmp_path / "corpus" / "annotations" / "ada.csv")
    findings = [finding.what for finding in open_corpus(tmp_path / "corpus").findings]
    assert any("valence_source" in what for what in findings)
    assert (table["valence_source"] == "filled").sum() == 25 and gaps(read(path), "valence", 5.0) == []


def test_the_next_part_is_the_one_with_the_widest_interval_that_is_not_yet_rated(tmp_path: Path) -> None:
    widths = np.repeat([0.2, 0.5, 0.4], 100)
    path = tmp_path / "ada.csv"
    assert [part.start for part in widest(prediction(30, widths), read(path), "valence")] == [10, 20, 0]
    add(path, "valence", samples(9, 17))
    assert [(part.start, part.half_width) for part in widest(prediction(30, widths), read(path), "valence")] == [
        (20, 0.4),
        (0, 0.2),
    ]
    assert widest(prediction(30, widths), read(path), "tension") == []
    rest = prediction(30.5, np.append(widths, np.full(5, 0.9)))
    assert [part.start for part in widest(rest, read(path), "valence")] == [20, 0]  # half a second isn't worth a part


def test_a_trace_is_read_again_when_it_has_changed_and_can_t_be_changed_in_memory(tmp_path: Path) -> None:
    path = tmp_path / "ada.csv"
    add(path, "valence", samples(0, 1))
    table = read(path)
    table["valence"] = 7.0
    assert read(path)["valence"].max() < 1
    for value in (0.25, 0.5):
        add(path, "valence", [(0.0, value), (0.5, value)])
        assert read(path)["valence"].iloc[0] == value


def test_recordings_of_the_same_name_get_different_ones() -> None:
    assert list(different(["a", "b", "A", "a"])) == ["a", "b", "A-2", "a-3"]
