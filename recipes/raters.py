"""How well `vatrace adapt` works, on composed recordings with simulated raters.

    python recipes/banks.py DATA --out BANKS
    python recipes/raters.py BANKS

A recording consists of pieces of composed dev recordings. A rater's values are a scale and a shift of the target, with slow
noise, and an offset in each recording. For two raters, the model's values are also made flatter and noisier, as they are for
voices that are unlike those of training. The first table has the agreement on new recordings with the model as it is and
adapted; the second, the lines of other choices than POWER, SHIFT_SD and SCALE_SD; the third, what adaptive conformal inference
would do if raters drift. About 6 minutes on two CPU cores.
"""

from __future__ import annotations

import argparse
from bisect import insort
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from composed import RATE
from composed_fusion import fixed_recordings, load
from evaluate import Fusion
from vatrace.evaluation import adapt
from vatrace.evaluation.adapt import Rated, fit, fitted_line, samples_of
from vatrace.inference.intervals import COVERAGE, half_widths_at, situations
from vatrace.metrics import concordance_cc, rmse
from vatrace.names import DIMENSIONS

NUM_PIECES, SEED = 600, 3
"""Pieces of 30 s. The seed differs from those for model selection, evaluation and calibration."""
NUM_NEW, NUM_RUNS = 40, 20
"""New recordings to test on, and repetitions with other recordings and noise."""


@dataclass(frozen=True)
class Rater:
    """A simulated rater, and how much the model knows.

    Attributes:
        scale: of the ratings.
        shift: of the ratings.
        noise: standard deviation of noise that is slow (time constant 5 s).
        offset: standard deviation of an offset in each recording.
        flatter: the model's values are multiplied by this.
        noisier: standard deviation of slow noise (3 s) that is added to them.
    """

    scale: float = 1.0
    shift: float = 0.0
    noise: float = 0.1
    offset: float = 0.1
    flatter: float = 1.0
    noisier: float = 0.0


RATERS = {
    "like the targets": Rater(noise=0.0, offset=0.0),
    "wider, and pleased": Rater(1.6, 0.2),
    "narrower, and displeased": Rater(0.6, -0.2),
    "unlike training": Rater(shift=0.2, flatter=0.4, noisier=0.12),
    "hardly related": Rater(noise=0.2, flatter=0.25, noisier=0.2),
}
SIZES = ((1, 1), (3, 1), (3, 3), (10, 1), (10, 5))
"""Minutes and recordings that are rated."""

CHOICES = ((1.0, 1.0), (0.5, 1.0), (0.0, 1.0), (0.5, 0.3), (0.5, 3.0), (0.5, 100.0))
"""POWER, and what SHIFT_SD and SCALE_SD are multiplied by."""

NUM_RATED, NUM_NEXT, NUM_DRIFTS = 10, 4, 60
"""Pieces that are rated, and that follow, in the third table, and its repetitions."""
START = 60
"""Seconds of errors before adaptive conformal inference begins."""


@dataclass(frozen=True)
class Pieces:
    """Composed recordings with the model's values, (N, T, 2) each."""

    values: NDArray[np.float64]
    targets: NDArray[np.float64]
    half_widths: NDArray[np.float64]


def pieces(banks: Path) -> Pieces:
    """The pieces that recordings are made of."""
    fusion = Fusion("fusion.onnx")
    found = []
    for recording in fixed_recordings(load(banks, "dev"), NUM_PIECES, SEED):
        widths = half_widths_at(situations(recording.valid, RATE), fusion.half_widths)
        found.append((fusion(recording).astype(np.float64), recording.target.astype(np.float64), widths))
    return Pieces(*(np.array(part) for part in zip(*found, strict=True)))


def slow(rng: np.random.Generator, steps: int, seconds: float) -> NDArray[np.float64]:
    """Noise (T, 2) of standard deviation 1, whose correlation falls to 1 / e in so many seconds."""
    keep = np.exp(-1 / (seconds * RATE))
    trace = rng.normal(size=(steps, 2))
    for step in range(1, steps):
        trace[step] = keep * trace[step - 1] + np.sqrt(1 - keep**2) * trace[step]
    return trace


def recordings(source: Pieces, rater: Rater, seed: int, minutes: int, count: int) -> Iterator[Rated]:
    """Rated recordings: `count` that last `minutes` together, then NUM_NEW of a minute."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(NUM_PIECES)
    lengths = [2 * minutes // count] * count + [2] * NUM_NEW
    for index, (start, length) in enumerate(zip(np.cumsum([0, *lengths]), lengths, strict=False)):
        chosen = order[start : start + length]
        values, targets, widths = (part[chosen].reshape(-1, 2) for part in (source.values, source.targets, source.half_widths))
        steps = len(values)
        values = rater.flatter * values + rater.noisier * slow(rng, steps, 3)
        ratings = rater.scale * targets + rater.shift + rater.noise * slow(rng, steps, 5) + rater.offset * rng.normal(size=2)
        yield Rated(str(index), RATE, values, widths, np.clip(ratings, -1, 1))


def scores(new: Sequence[Rated], column: int, scale: float, shift: float, interval: float) -> tuple[float, float, float]:
    """CCC, RMSE and coverage on new recordings."""
    ratings, values, widths = (
        np.concatenate([getattr(one, part)[:, column] for one in new]) for part in ("ratings", "values", "half_widths")
    )
    values = np.clip(scale * values + shift, -1, 1)
    inside = np.abs(ratings - values) <= interval * widths
    return concordance_cc(ratings, values), rmse(ratings, values), float(inside.mean())


def line(source: Pieces, rater: Rater, minutes: int, count: int) -> NDArray[np.float64]:
    """CCC, RMSE and coverage before and after, how often a scale and shift were used, and the cross-validated coverage.

    These are means over the runs and both dimensions.
    """
    rows = []
    for seed in range(NUM_RUNS):
        made = list(recordings(source, rater, seed, minutes, count))
        found = fit(made[:count], calibrated=True).found
        for column, name in enumerate(DIMENSIONS):
            fitted = found[name]
            assert fitted is not None
            change = fitted.correction
            before = scores(made[count:], column, 1, 0, 1)
            after = scores(made[count:], column, change.scale, change.shift, change.interval)
            rows.append([*before, *after, float(fitted.tried is None), fitted.after.coverage])
    return np.mean(rows, axis=0)


def choices(source: Pieces, rater: Rater) -> NDArray[np.float64]:
    """CCC and RMSE (C, 2) of lines by each of CHOICES, on new recordings: means over the runs and both dimensions."""
    chosen = adapt.POWER, adapt.SHIFT_SD, adapt.SCALE_SD
    found = []
    for seed in range(NUM_RUNS):
        made = list(recordings(source, rater, seed, 3, 3))
        for column in range(len(DIMENSIONS)):
            rows = []
            for power, spread in CHOICES:
                adapt.POWER, adapt.SHIFT_SD, adapt.SCALE_SD = power, chosen[1] * spread, chosen[2] * spread
                scale, shift = fitted_line([samples_of(one, column) for one in made[:3]])
                rows.append(scores(made[3:], column, scale, shift, 1)[:2])
            found.append(rows)
    adapt.POWER, adapt.SHIFT_SD, adapt.SCALE_SD = chosen
    return np.mean(found, axis=0)


def adapted_level(errors: NDArray[np.float64], gain: float) -> float:
    """The level at the end of adaptive conformal inference along errors (N,) (Gibbs & Candes 2021, NeurIPS)."""
    first = round(START * RATE)
    known, level = sorted(errors[:first].tolist()), COVERAGE
    for error in errors[first:].tolist():
        inside = error <= known[min(int(np.clip(level, 0, 1) * len(known)), len(known) - 1)]
        level += gain * (COVERAGE - inside)
        insort(known, error)
    return float(np.clip(level, 0, 1))


def drifting(source: Pieces, name: str, seed: int) -> NDArray[np.float64]:
    """Errors (N,) along rated recordings and those that follow, without the mean of the rated ones."""
    rng = np.random.default_rng(seed)
    chosen, column = rng.permutation(NUM_PIECES)[: NUM_RATED + NUM_NEXT], seed % len(DIMENSIONS)
    errors = (source.targets[chosen, :, column] - source.values[chosen, :, column]).ravel()
    time = np.linspace(0, 1, len(errors))
    drifts = {"none": 0 * time, "steady": 0.5 * time, "step": 0.3 * (time > 0.4), "wave": 0.2 * np.sin(4 * np.pi * time)}
    errors = errors * (0.7 + 1.2 * time) if name == "growing errors" else errors + drifts[name]
    rated = len(errors) * NUM_RATED // (NUM_RATED + NUM_NEXT)
    return np.abs(errors - errors[:rated].mean())


def drift_row(source: Pieces, name: str) -> dict[str, tuple[float, float]]:
    """Coverage of what follows, and its mean distance from COVERAGE, by method."""
    found: dict[str, list[float]] = {}
    for seed in range(NUM_DRIFTS):
        errors = drifting(source, name, seed)
        rated, new = np.split(errors, [len(errors) * NUM_RATED // (NUM_RATED + NUM_NEXT)])
        recent = rated[-round(START * RATE) :]
        widths = {"plain": np.quantile(rated, COVERAGE), f"last {START} s": np.quantile(recent, COVERAGE)}
        for gain in (0.001, 0.005, 0.02):
            widths[f"gain {gain}"] = np.quantile(rated, adapted_level(rated, gain))
        for method, width in widths.items():
            found.setdefault(method, []).append(float((new <= width).mean()))
    return {method: (float(np.mean(x)), float(np.abs(np.array(x) - COVERAGE).mean())) for method, x in found.items()}


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("banks", type=Path)
    source = pieces(parser.parse_args().banks)
    print("rater                     minutes in  used  CCC            RMSE           coverage       cross-validated")
    for name, rater in RATERS.items():
        for minutes, count in SIZES:
            *pairs, used, promised = line(source, rater, minutes, count)
            cells = [f"{before:.3f}->{after:.3f}" for before, after in zip(pairs[:3], pairs[3:], strict=True)]
            print(f"{name:26}{minutes:5} {count:3}  {used:.2f}  {'  '.join(cells)}  {promised:.3f}", flush=True)
    print(f"\nCCC and RMSE of other lines from 3 minutes in 3 recordings: {', '.join(RATERS)}")
    columns = [choices(source, rater) for rater in RATERS.values()]
    for index, (power, spread) in enumerate(CHOICES):
        cells = ["{:.3f} {:.3f}".format(*column[index]) for column in columns]
        print(f"POWER {power:3}, SDs times {spread:5}:  {'   '.join(cells)}")
    print("\nCoverage of the 2 minutes after 5 rated ones, and its mean distance from 0.9, if raters drift")
    for name in ("none", "steady", "step", "wave", "growing errors"):
        row = drift_row(source, name)
        print(
            f"{name:15}  " + "   ".join(f"{method}: {mean:.3f} {away:.3f}" for method, (mean, away) in row.items()), flush=True
        )


if __name__ == "__main__":
    main()
