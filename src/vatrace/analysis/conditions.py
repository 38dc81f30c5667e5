"""Means by condition: a linear mixed model with participant as random effect, tested by cluster-robust t and F tests.

Each participant has one value per condition, the mean over all supported time. So it doesn't matter how long the recordings are
or how their rows depend on each other, and a participant with many recordings doesn't count more.
"""

from __future__ import annotations

import warnings
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from vatrace.analysis.design import Study
from vatrace.analysis.findings import NAN, Finding, adjusted, of_estimate
from vatrace.analysis.robust import RobustModel
from vatrace.errors import UsageError
from vatrace.names import DIMENSIONS

Values = NDArray[np.float64]

MAX_SHARE = 1e6
"""Largest variance of participants relative to that within them. Above, values within participants are as good as constant."""
OVERALL = "all conditions equal"
"""The term of the F test."""


@dataclass(frozen=True)
class Cell:
    """The mean of a participant in a condition.

    Attributes:
        participant: the participant.
        condition: the condition.
        recordings: number of recordings.
        seconds: supported time.
        means: (2,) of valence and arousal.
        bounds: (2, 2) the means of the ends of the 90 % intervals, by dimension; NaN if there are none.
    """

    participant: str
    condition: str
    recordings: int
    seconds: float
    means: Values
    bounds: Values


def cells(study: Study) -> list[Cell]:
    """One value per participant and condition. Traces without a condition are left out.

    Raises:
        UsageError: if a condition has one participant.
    """
    groups = defaultdict(list)
    for trace in study.traces:
        if trace.condition:
            groups[trace.participant, trace.condition].append(trace)
    found = []
    for (participant, condition), traces in groups.items():
        weights = np.concatenate([np.full(len(trace.times), 1 / trace.rate) for trace in traces])
        values = np.concatenate([trace.values for trace in traces])
        known = ~np.isnan(values[:, 0])
        seconds = float(weights[known].sum())
        means = weights[known] @ values[known] / seconds
        bounds = np.full((2, 2), NAN)
        if all(trace.bounds is not None for trace in traces):
            ends = np.concatenate([trace.bounds for trace in traces if trace.bounds is not None])[known]
            bounds = np.tensordot(weights[known], ends, axes=1) / seconds
        found.append(Cell(participant, condition, len({trace.recording for trace in traces}), seconds, means, bounds))
    for condition in conditions_of(found):
        people = [cell.participant for cell in found if cell.condition == condition]
        if len(people) == 1:
            raise UsageError(
                f"the condition {condition} has only one participant ({people[0]}): at least 2 are needed; empty the cells of "
                "the condition to leave these recordings out"
            )
    return found


def conditions_of(found: Sequence[Cell]) -> list[str]:
    """The conditions, in the order of the design."""
    return list(dict.fromkeys(cell.condition for cell in found))


def compare_conditions(found: Sequence[Cell]) -> tuple[list[Finding], list[str]]:
    """The mean of each condition, an F test of all, and their differences; and notes.

    Args:
        found: from `cells`; every condition has at least two participants.
    """
    names = conditions_of(found)
    participants = [cell.participant for cell in found]
    num_participants = len(set(participants))
    design = np.array([[cell.condition == name for name in names] for cell in found], dtype=np.float64)
    rows: list[Finding] = []
    notes = []
    for column, dimension in enumerate(DIMENSIONS):
        outcome = np.array([cell.means[column] for cell in found])
        inside = [outcome[design[:, index] == 1] for index in range(len(names))]
        if any(np.ptp(values) < 1e-9 for values in inside):
            constant = names[[np.ptp(values) < 1e-9 for values in inside].index(True)]
            notes.append(f"conditions: {dimension} is left out, because it is the same for all participants in {constant}")
            continue
        model = RobustModel(design, outcome, participants, variance_share(design, outcome, participants))
        bounds = np.array([cell.bounds[column] for cell in found])
        for index, name in enumerate(names):
            people = int(design[:, index].sum())
            mean = model.contrast(np.eye(len(names))[index])
            if mean is None:
                notes.append(f"conditions: the mean {dimension} of {name} is left out, because it has no error")
                continue
            row = of_estimate(mean, "conditions", dimension, name, people, tested=False)
            low, high = bounds[design[:, index] == 1].mean(axis=0)
            rows.append(replace(row, trace_low=float(low), trace_high=float(high)))
        if len(names) < 2:
            continue
        differences, terms = [], []
        for first, second in combinations(range(len(names)), 2):
            differences.append(np.eye(len(names))[second] - np.eye(len(names))[first])
            terms.append(f"{names[second]} - {names[first]}")
        if len(names) > 2:
            test = model.joint(np.stack(differences[: len(names) - 1]))
            if isinstance(test, str):
                notes.append(f"conditions: no F test of {dimension}: {test}")
            else:
                (df, df2), stat, p = test.freedom, test.statistic, test.p
                overall = Finding("conditions", dimension, OVERALL, statistic=stat, df=df, df2=df2, p=p, p_holm=p)
                rows.append(replace(overall, clusters=num_participants))
        pairwise = []
        for weights, term in zip(differences, terms, strict=True):
            difference = model.contrast(weights)
            if difference is None:
                notes.append(f"conditions: {term} is left out for {dimension}, because it is the same for all participants")
                continue
            pairwise.append(of_estimate(difference, "conditions", dimension, term, num_participants, tested=True))
        rows += adjusted(pairwise)
    if len(names) < 2:
        notes.append("conditions: there is only one, so nothing is compared")
    return rows, notes


def variance_share(design: Values, outcome: Values, participants: Sequence[str]) -> float:
    """The variance between participants divided by that within them, by REML in a mixed model.

    Args:
        design: (N, P) which condition each value is of.
        outcome: (N,).
        participants: of each value.

    Returns:
        0 if every participant has one value, because the two variances can't be told apart then.
    """
    import statsmodels.api as sm

    if len(set(participants)) == len(participants):
        return 0.0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that the variance is at its bound of 0, which is a result like any other
        try:
            fitted = sm.MixedLM(outcome / outcome.std(), design, np.asarray(participants)).fit(reml=True)
            share = float(fitted.cov_re[0][0] / fitted.scale)
        except (np.linalg.LinAlgError, ValueError, ZeroDivisionError):
            return 0.0  # the tests hold with any working covariance
    return min(share, MAX_SHARE) if np.isfinite(share) else 0.0
