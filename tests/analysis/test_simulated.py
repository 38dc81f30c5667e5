"""Effects that were planted in simulated studies are found, and absent ones are not; larger: `python benchmarks/analyse.py`."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

QUICK = 8
"""Studies of each kind in the quick test."""


@pytest.fixture(scope="module")
def simulation() -> Iterator[ModuleType]:
    folder = str(Path(__file__).parents[2] / "benchmarks")
    sys.path.insert(0, folder)
    yield importlib.import_module("analyse")
    sys.path.remove(folder)
    sys.modules.pop("analyse")


@pytest.mark.parametrize("kind", ["conditions, within, 12 participants", "events, 12 participants", "synchrony, 10 pairs"])
def test_planted_effects_are_found_in_most_of_a_few_studies(simulation: ModuleType, kind: str) -> None:
    found, absent, _ = simulation.rates(kind, True, QUICK)
    assert found >= 0.6
    assert absent <= 0.4  # with a rate of 5 %, 4 of 8 come with a probability of 0.04 %


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "studies"),
    [
        ("conditions, within, 12 participants", 200),
        ("conditions, between, 24 participants", 600),
        ("events, 12 participants", 200),
        ("synchrony, 10 pairs", 300),
    ],
)
def test_absent_effects_are_found_in_3_to_7_percent_of_many_studies(simulation: ModuleType, kind: str, studies: int) -> None:
    valence, arousal, covered = simulation.rates(kind, False, studies)
    assert 0.03 <= (valence + arousal) / 2 <= 0.07
    assert np.isnan(covered) or covered >= 0.91
