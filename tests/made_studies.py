"""Simulated studies, as tables of `vatrace predict --table`: traces that wander, with or without planted effects."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.signal import lfilter

from vatrace.analysis.design import Study, Trace

RATE = 10.0
MEMORY = 0.98
"""Of a row for the row before, 0.1 s earlier: a trace forgets in about 5 s."""


@dataclass
class MadeStudy:
    """A study as it is made, recording by recording."""

    rng: np.random.Generator
    traces: list[Trace] = field(default_factory=list)

    def add(self, recording: str, values: NDArray[np.float64], person: str = "1", **about: str) -> None:
        """Add the trace (T, 2) of a person, and a line of the design."""
        bounds = np.stack([values - 0.3, values + 0.3], axis=-1)
        cells = [about.get(name, "") for name in ("participant", "condition", "pair")]
        self.traces.append(Trace(recording, person, *cells, np.arange(len(values)) / RATE, values, bounds))

    @property
    def study(self) -> Study:
        """As it is after reading its files."""
        return Study(tuple(self.traces))

    @property
    def table(self) -> pd.DataFrame:
        parts = []
        for trace in self.traces:
            part = pd.DataFrame({"recording": trace.recording, "person": trace.person, "time": trace.times})
            for column, name in enumerate(("valence", "arousal")):
                part[name] = trace.values[:, column]
                part[f"{name}_low"], part[f"{name}_high"] = trace.bounds[:, column].T
            parts.append(part.assign(supported=1))
        return pd.concat(parts, ignore_index=True)

    @property
    def design_table(self) -> pd.DataFrame:
        names = ("recording", "person", "participant", "condition", "pair")
        return pd.DataFrame([[getattr(trace, name) for name in names] for trace in self.traces], columns=names)


def wandering(rng: np.random.Generator, seconds: float, spread: float = 0.15) -> NDArray[np.float64]:
    """Two independent stationary autoregressions (T, 2)."""
    noise = rng.normal(size=(round(seconds * RATE), 2)) * spread
    noise[1:] *= np.sqrt(1 - MEMORY**2)
    return np.asarray(lfilter([1.0], [1.0, -MEMORY], noise, axis=0))


def conditions_study(
    rng: np.random.Generator, effect: float = 0.0, participants: int = 12, within: bool = True, seconds: float = 20.0
) -> MadeStudy:
    """Participants who differ, in three conditions; the last one raises valence by `effect`.

    Within participants, some have two recordings of a condition, and some miss one; between participants, each has one. The
    values of the last condition also differ more.
    """
    study = MadeStudy(rng)
    names = ("rest", "film", "talk")
    for number in range(participants):
        own = rng.normal(size=2) * 0.2
        for place, name in enumerate(names):
            if not within and number % 3 != place:
                continue
            if within and number % 4 == 3 and place == number % 3:
                continue
            moved = own + rng.normal(size=2) * (0.05 + 0.1 * place)
            moved[0] += effect * (place == 2)
            for again in range(2 if within and number % 5 == 0 else 1):
                trace = wandering(rng, seconds) + moved
                study.add(f"P{number:02}/{name}{again or ''}", trace, participant=f"P{number:02}", condition=name)
    return study


def response(seconds: NDArray[np.float64]) -> NDArray[np.float64]:
    """What a planted event does to valence: a rise that is largest, 1, after 1.5 s."""
    late = np.maximum(seconds, 0) / 1.5
    return np.asarray(late * np.exp(1 - late))


def events_study(
    rng: np.random.Generator, effect: float = 0.0, participants: int = 12, events: int = 8
) -> tuple[MadeStudy, pd.DataFrame]:
    """One recording of 90 s per participant, with events; and the table of events."""
    study, lines = MadeStudy(rng), []
    for number in range(participants):
        trace, size = wandering(rng, 90), effect * (1 + rng.normal() * 0.3)
        times = np.arange(len(trace)) / RATE
        for start in np.round(np.sort(rng.uniform(5, 80, size=events)), 1):
            trace[:, 0] += size * response(times - start)
            lines.append({"recording": f"P{number:02}", "time": start, "event": "joke"})
        study.add(f"P{number:02}", trace, participant=f"P{number:02}")
    return study, pd.DataFrame(lines)


def pairs_study(rng: np.random.Generator, coupling: float = 0.0, pairs: int = 10, seconds: float = 220.0) -> MadeStudy:
    """Two people in each recording; the second follows the first in valence by 1 s. Both rise by the same trend."""
    study, lag = MadeStudy(rng), round(1.0 * RATE)
    for number in range(pairs):
        first, second = wandering(rng, seconds), wandering(rng, seconds)
        second[lag:, 0] = coupling * first[:-lag, 0] + np.sqrt(1 - coupling**2) * second[lag:, 0]
        trend = np.linspace(-0.2, 0.2, len(first))[:, None]
        study.add(f"D{number:02}", first + trend, participant=f"A{number:02}")
        study.add(f"D{number:02}", second + trend, person="2", participant=f"B{number:02}")
    return study
