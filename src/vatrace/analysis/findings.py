"""Findings as rows of one table."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from vatrace.analysis.curves import MeanCurve, Values
from vatrace.analysis.robust import Estimate, holm
from vatrace.output.columns import UNIT_RANGE, Column

NAN = float("nan")
CONFIDENCE = "the 95 % interval"
NOT_TESTED = "not tested"

COLUMNS = (
    Column("analysis", "conditions, events, synchrony or agreement"),
    Column("dimension", "valence or arousal"),
    Column("term", "what was estimated: a condition, a difference, an event, or a measure of agreement"),
    Column("estimate", "the estimate", "", "any", "the term has none, like an F test"),
    Column("se", "its standard error", "", "0..", "none"),
    Column("low", f"the lower end of {CONFIDENCE}", "", "any", "none"),
    Column("high", f"the upper end of {CONFIDENCE}", "", "any", "none"),
    Column("statistic", "t, F, or for curves the largest absolute t", "", "any", NOT_TESTED),
    Column("df", "degrees of freedom of t, or of the numerator of F", "", "0..", "a permutation test, or not tested"),
    Column("df2", "degrees of freedom of the denominator of F", "", "0..", "no F test"),
    Column("p", "two-sided p value", "", "0..1", NOT_TESTED),
    Column("p_holm", "p adjusted for the tests of the same kind and dimension (Holm)", "", "0..1", NOT_TESTED),
    Column("clusters", "number of participants, or of independent pairs", "", "0.."),
    Column("at", "where a curve is largest: seconds after the event, or by which the second follows", "s", "any", "none"),
    Column("trace_low", "mean of the lower ends of the model's 90 % intervals", "", UNIT_RANGE, "not a mean of traces"),
    Column("trace_high", "mean of the upper ends of the model's 90 % intervals", "", UNIT_RANGE, "not a mean of traces"),
)
"""Of results.csv."""


@dataclass(frozen=True)
class Finding:
    """A row of the table; its fields are explained in `COLUMNS`, NaN for an empty cell."""

    analysis: str
    dimension: str
    term: str
    estimate: float = NAN
    se: float = NAN
    low: float = NAN
    high: float = NAN
    statistic: float = NAN
    df: float = NAN
    df2: float = NAN
    p: float = NAN
    p_holm: float = NAN
    clusters: int = 0
    at: float = NAN
    trace_low: float = NAN
    trace_high: float = NAN

    @property
    def significant(self) -> bool:
        """Whether it was tested, and the adjusted p value is below 0.05."""
        return self.p_holm < 0.05


def of_curve(found: MeanCurve, analysis: str, dimension: str, term: str, places: Values) -> Finding:
    """A row for the peak of a mean curve, whose points are at `places` (T,), in seconds."""
    value, half = float(found.mean[found.peak]), float(found.half_all[found.peak])
    return Finding(
        analysis,
        dimension,
        term,
        value,
        low=value - half,
        high=value + half,
        statistic=found.largest,
        p=found.p,
        p_holm=found.p,
        clusters=found.clusters,
        at=float(places[found.peak]),
    )


def of_estimate(found: Estimate, analysis: str, dimension: str, term: str, clusters: int, tested: bool) -> Finding:
    """The row of an estimate with a t test, if it is to be tested."""
    row = Finding(
        analysis, dimension, term, found.value, found.error, found.low, found.high, df=found.freedom, clusters=clusters
    )
    return replace(row, statistic=found.statistic, p=found.p, p_holm=found.p) if tested else row


def adjusted(rows: Sequence[Finding], belongs: Callable[[Finding], bool] = lambda row: True) -> list[Finding]:
    """The rows, those that belong together with p values adjusted for each other."""
    places = [index for index, row in enumerate(rows) if belongs(row) and not math.isnan(row.p)]
    found = list(rows)
    for index, value in zip(places, holm([rows[index].p for index in places]), strict=True):
        found[index] = replace(rows[index], p_holm=value)
    return found
