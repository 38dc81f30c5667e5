import io
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from vatrace.corpora import open_corpus
from vatrace.inference.prediction import Prediction
from vatrace.metrics import concordance_cc
from vatrace.web.annotations import add, agreement, archive, as_lists, read, read_all


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
    rows = {(row["one"], row["other"]): row for row in agreement(read_all(tmp_path), model)}
    assert set(rows) == {("ada", "bob"), ("ada", "model"), ("bob", "model")}
    assert rows["ada", "bob"]["valence"] == pytest.approx(1, abs=1e-3) and rows["ada", "bob"]["valence_seconds"] == 2.1
    expected = concordance_cc(np.sin(times), np.cos(times))
    assert rows["ada", "model"]["valence"] == pytest.approx(expected, abs=0.005) and rows["ada", "model"]["arousal"] is None
    assert agreement({}, model) == []


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
