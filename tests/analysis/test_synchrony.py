"""Windowed cross-correlation against shuffled windows."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from vatrace.analysis.design import Trace
from vatrace.analysis.synchrony import _correlations, synchrony

RATE = 5.0


def trace(person: str, values: NDArray[np.float64], participant: str = "") -> Trace:
    return Trace("R", person, participant or f"P{person}", "", "", np.arange(len(values)) / RATE, values)


def test_the_scores_are_those_of_numpy() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.normal(size=(4, 20)), rng.normal(size=(4, 24))
    found = _correlations(first, second, 5)
    assert found is not None and found.shape == (5, 4, 4)
    wanted = np.arctanh(np.corrcoef(first[1], second[3, 2:22])[0, 1])
    assert found[2, 1, 3] == pytest.approx(wanted)


def test_a_common_trend_is_chance_and_a_delayed_copy_is_not() -> None:
    rng = np.random.default_rng(1)
    rows = round(600 * RATE)
    trend = (np.arange(rows) % round(30 * RATE))[:, None] / (30 * RATE)  # the same rise in every window
    first, second = (rng.normal(size=(rows, 2)) * 0.1 + trend for _ in range(2))
    raw = np.corrcoef(first[: round(30 * RATE), 1], second[: round(30 * RATE), 1])[0, 1]
    assert raw > 0.8
    lag = round(2 * RATE)
    second[lag:, 0] = first[:-lag, 0]
    pairs, means, notes = synchrony([("R", trace("1", first), trace("2", second))])
    valence, arousal = pairs
    assert valence.lags[np.argmax(valence.curve)] == pytest.approx(2.0) and valence.p < 0.01
    assert np.abs(arousal.curve).max() < 0.1 and arousal.p > 0.01
    assert valence.windows == 19  # 600 s without the lags at both ends
    assert means[0].found is None and any("a test needs 6" in note for note in notes)


def test_pairs_that_share_somebody_are_one_cluster_and_short_ones_are_left_out() -> None:
    rng = np.random.default_rng(2)
    names = [("A", "B"), ("C", "D"), ("D", "E"), ("F", "G")]
    couples = [
        (f"{a}{b}", trace("1", rng.normal(size=(800, 2)), a), trace("2", rng.normal(size=(800, 2)), b)) for a, b in names
    ]
    short = ("short", trace("1", rng.normal(size=(300, 2)), "X"), trace("2", rng.normal(size=(300, 2)), "Y"))
    pairs, means, notes = synchrony([*couples, short])
    assert len(pairs) == 8 and means[0].clusters == ("A+B", "C+D+E", "F+G")
    both = [pair.curve for pair in pairs if pair.dimension == "valence" and "D" in pair.name]
    assert means[0].curves[1] == pytest.approx(np.mean(both, axis=0))
    assert any("short" in note for note in notes)
