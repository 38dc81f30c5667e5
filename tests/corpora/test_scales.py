from pathlib import Path

import numpy as np
import pytest

from conftest import write_movie
from made_stores import make_store
from vatrace.corpora import open_corpus
from vatrace.corpora.check import check
from vatrace.corpora.labels import label_store
from vatrace.corpora.scales import scale_of


def values(low: float, high: float, count: int = 200) -> np.ndarray:
    return np.stack([np.linspace(low, high, count), np.linspace(high, low, count)], axis=1)


@pytest.mark.parametrize(
    ("low", "high", "scale", "formula"),
    [
        (1, 5, "1..5", "(x - 3) / 2"),
        (1.5, 8.7, "1..9", "(x - 5) / 4"),
        (0, 10, "0..10", "(x - 5) / 5"),
        (0.2, 98, "0..100", "(x - 50) / 50"),
        (-90, 80, "-100..100", "x / 100"),
        (-3, 2.5, "-3..3", "x / 3"),
        (-950, 900, "-1000..1000", "x / 1000"),
    ],
)
def test_other_scales_are_guessed(low: float, high: float, scale: str, formula: str) -> None:
    found = scale_of([values(low, high)])
    assert found is not None and found.certain
    assert f"on a scale of {scale}? If so, convert with {formula}," in found.what


def test_a_formula_brings_the_ends_of_its_scale_to_one() -> None:
    for low, high in ((1, 5), (1, 9), (0, 100), (-100, 100)):
        found = scale_of([values(low, high)])
        assert found is not None
        formula = found.what.split("convert with ")[1].split(",")[0]
        assert [eval(formula, {"x": x}) for x in (low, high)] == [-1, 1]


@pytest.mark.parametrize("low", [-0.01, -1.0])
def test_values_on_the_scale_raise_no_question(low: float) -> None:
    assert scale_of([values(low, 1)]) is None
    assert scale_of([]) is None and scale_of([np.full((9, 2), np.nan)]) is None


def test_a_single_mistake_is_no_scale() -> None:
    rows = values(-0.8, 0.9)
    rows[3] = 40
    assert scale_of([rows]) is None


def test_many_values_that_are_never_negative_are_asked_about() -> None:
    found = scale_of([values(0.02, 0.9, 80), values(0, 1, 80)])
    assert found is not None and not found.certain
    assert (
        found.what
        == "valence and arousal are never below 0 in the whole corpus: are they annotated on 0..1? If so, convert with 2x - 1"
    )
    assert scale_of([values(0, 1, 20)]) is None  # few
    assert scale_of([values(0, 1, 80), values(-0.5, 0.5, 80)]) is None  # not the whole corpus
    assert scale_of([values(0, 0.2)]) is None
    one = np.stack([np.linspace(-1, 1, 200), np.linspace(0, 1, 200)], axis=1)
    found = scale_of([one])
    assert found is not None and found.what.startswith("arousal is never below 0 in the whole corpus: is it annotated on 0..1?")


def write_corpus(root: Path, tables: dict[str, np.ndarray]) -> Path:
    (root / "annotations").mkdir()
    sound = (0.1 * np.sin(np.arange(2 * 16000) / 10)).astype(np.float32)
    for name, rows in tables.items():
        write_movie(root / f"{name}.mp4", sound=sound)
        lines = [f"{index * 0.01:.2f},{a:g},{b:g}" for index, (a, b) in enumerate(rows)]
        (root / "annotations" / f"{name}.csv").write_text("\n".join(["time,valence,arousal", *lines]) + "\n")
    return root


def test_the_guess_is_one_for_the_whole_corpus(tmp_path: Path) -> None:
    root = write_corpus(tmp_path, {"a": values(1, 9), "b": values(2, 4), "c": np.ones((200, 2))})  # c alone could be on -1..1
    guesses = [finding for finding in check(open_corpus(root)) if "on a scale of" in finding.what]
    assert [(finding.recording, finding.severity) for finding in guesses] == [("", "error")]
    assert "on a scale of 1..9?" in guesses[0].what


def test_a_corpus_on_0_to_1_is_a_warning_of_its_check(tmp_path: Path) -> None:
    root = write_corpus(tmp_path, {"a": values(0, 0.9), "b": values(0.2, 1)})
    (found,) = [finding for finding in check(open_corpus(root)) if "annotated on 0..1" in finding.what]
    assert (found.recording, found.severity) == ("", "warning")


def test_no_label_is_made_from_another_scale(tmp_path: Path) -> None:
    root = write_corpus(tmp_path, {"a": values(1, 9), "c": np.ones((200, 2))})
    store = make_store(tmp_path / "store", {"a": "train", "c": "train"})
    labelling = label_store(open_corpus(root), store)
    assert labelling.num_labelled == 0
    assert "is not in -1..1" in labelling.failures["a"] and "on a scale of 1..9?" in labelling.failures["c"]
