"""How often vatrace analyse finds effects in simulated studies: planted ones, and where there are none.

    python benchmarks/analyse.py                  200 studies of each kind without an effect, and 50 with one
    python benchmarks/analyse.py --studies 1000

Every kind of study has valence, in which an effect is planted or not, and arousal, which never has one. A test at 5 % should
reject in 5 % of the studies without an effect; with 200 studies and both dimensions, chance alone gives 3 to 7 %. Coverage is
the share of studies whose 95 % interval contains the true value: of a difference between conditions, or of a whole response.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from made_studies import (  # type: ignore[import-not-found]  # in tests/
    conditions_study,
    events_study,
    pairs_study,
    response,
)
from vatrace.analysis.conditions import OVERALL, cells, compare_conditions
from vatrace.analysis.design import pairs as pairs_of
from vatrace.analysis.events import Moment, event_findings, responses
from vatrace.analysis.synchrony import synchrony, synchrony_findings

STUDIES = 200
PLANTED = 50
"""Studies with an effect: how often it is found needn't be known as exactly."""
EFFECTS = {"conditions": 0.3, "events": 0.1, "synchrony": 0.5}
"""Planted in valence: a difference of means, the height of a response, a correlation."""


def conditions(rng: np.random.Generator, effect: float, participants: int, within: bool) -> list[float]:
    """The p values of valence and of arousal, and whether the interval of the difference contains the effect."""
    found, _ = compare_conditions(cells(conditions_study(rng, effect, participants, within, seconds=5).study))
    rows = {(row.dimension, row.term): row for row in found}
    difference = rows["valence", "talk - rest"]
    ps = [rows[name, OVERALL].p for name in ("valence", "arousal")]
    return [*ps, float(difference.low <= effect <= difference.high)]


def events(rng: np.random.Generator, effect: float, participants: int) -> list[float]:
    """Like `conditions`; the last value is whether the band after the event contains the whole planted response."""
    study, lines = events_study(rng, effect, participants)
    moments = [Moment(0, line.recording, "", line.time, line.event) for line in lines.itertuples()]
    found, _ = responses(study.study, moments, Path("events.csv"))
    valence = found[0]
    assert valence.found is not None
    after = valence.offsets >= 0
    truth = effect * (response(valence.offsets)[after] if effect else np.zeros(after.sum()))
    covered = np.abs(valence.found.mean[after] - truth) <= valence.found.half_all[after]
    return [*(row.p for row in event_findings(found)), float(covered.all())]


def together(rng: np.random.Generator, effect: float, pairs: int) -> list[float]:
    """Like `conditions`, but without an interval."""
    couples, _ = pairs_of(pairs_study(rng, effect, pairs).study)
    return [*(row.p for row in synchrony_findings(synchrony(couples)[1])), float("nan")]


KINDS: dict[str, Callable[[np.random.Generator, float], list[float]]] = {
    "conditions, within, 12 participants": lambda rng, effect: conditions(rng, effect, 12, True),
    "conditions, within, 6 participants": lambda rng, effect: conditions(rng, effect, 6, True),
    "conditions, between, 24 participants": lambda rng, effect: conditions(rng, effect, 24, False),
    "conditions, between, 12 participants": lambda rng, effect: conditions(rng, effect, 12, False),
    "events, 12 participants": lambda rng, effect: events(rng, effect, 12),
    "events, 7 participants": lambda rng, effect: events(rng, effect, 7),
    "synchrony, 10 pairs": lambda rng, effect: together(rng, effect, 10),
}


def rates(kind: str, planted: bool, studies: int) -> tuple[float, float, float]:
    """Shares of rejections at 5 % for valence and for arousal, and of coverage."""
    effect = EFFECTS[kind.split(",", maxsplit=1)[0]] if planted else 0.0
    found = np.array([KINDS[kind](np.random.default_rng([number, planted]), effect) for number in range(studies)])
    valence, arousal = (found[:, :2] < 0.05).mean(axis=0)
    return float(valence), float(arousal), float(found[:, 2].mean())


def main(argv: Sequence[str] | None = None) -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, default=STUDIES, help=f"of each kind (default: {STUDIES})")
    parser.add_argument("--only", default="", help="kinds that start with this")
    args = parser.parse_args(argv)
    print(f"{'kind':<40}{'effect':>8}{'found':>9}{'arousal':>9}{'both':>8}{'covered':>9}{'seconds':>9}")
    for kind in [kind for kind in KINDS if kind.startswith(args.only)]:
        for planted in (False, True):
            start = time.perf_counter()
            valence, arousal, covered = rates(kind, planted, min(args.studies, PLANTED) if planted else args.studies)
            both = f"{(valence + arousal) / 2:8.1%}" if not planted else " " * 8
            text = f"{kind:<40}{'yes' if planted else 'no':>8}{valence:9.1%}{arousal:9.1%}{both}{covered:9.1%}"
            print(f"{text}{time.perf_counter() - start:9.0f}", flush=True)


if __name__ == "__main__":
    main()
