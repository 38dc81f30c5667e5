"""The whole analysis of a study, from its table and its design to all findings."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from vatrace.analysis.agreement import Compared, agreement_findings, compare_with_ratings, read_ratings
from vatrace.analysis.conditions import Cell, cells, compare_conditions
from vatrace.analysis.design import Study, pairs, read_study
from vatrace.analysis.events import AFTER, BEFORE, Response, event_findings, read_moments, responses
from vatrace.analysis.findings import Finding
from vatrace.analysis.synchrony import Pair, Together, synchrony, synchrony_findings
from vatrace.errors import UsageError, require

UNCERTAINTY = (
    "The traces are estimates of a model. Its errors that differ at random between participants are contained in the intervals "
    "and tests, because they make the participants differ more. Errors that all recordings of a condition share (because of a "
    "room, a light, a camera, a language or a text) are left out of them: they move the mean of the condition, and no test of "
    "these traces can tell them from an effect. The means of the ends of the model's 90 % intervals (trace_low and trace_high "
    "in results.csv) show how far they could move a mean in the worst case, in which the errors are the same everywhere. An "
    "error that is constant in a recording has no influence on event-locked averages and synchrony, which use changes only."
)
"""How the uncertainty of the traces enters the findings."""


@dataclass(frozen=True)
class Options:
    """What to analyse, besides conditions and pairs.

    Attributes:
        events: a table of events.
        ratings: a table of human ratings.
        before: seconds of the window before an event.
        after: seconds of the window after an event.
    """

    events: Path | None = None
    ratings: Path | None = None
    before: float = BEFORE
    after: float = AFTER


@dataclass(frozen=True)
class Analysis:
    """All that was found.

    Attributes:
        study: its traces.
        findings: the rows of the table.
        notes: what the reader should know.
        cells: the value of each participant in each condition.
        responses: to events.
        pairs: the synchrony of each pair.
        together: the mean synchrony.
        compared: traces and ratings.
    """

    study: Study
    findings: tuple[Finding, ...]
    notes: tuple[str, ...]
    cells: list[Cell] = field(default_factory=list)
    responses: list[Response] = field(default_factory=list)
    pairs: list[Pair] = field(default_factory=list)
    together: list[Together] = field(default_factory=list)
    compared: list[Compared] = field(default_factory=list)

    def of(self, analysis: str) -> list[Finding]:
        """The findings of one of the analyses."""
        return [row for row in self.findings if row.analysis == analysis]


def analyse(table: Path, design: Path | None, options: Options) -> Analysis:
    """Analyse a study.

    Args:
        table: all traces, by `vatrace predict --table`, as CSV or Parquet.
        design: who was recorded in which condition; None if the table has these columns.
        options: events and ratings.

    Raises:
        MissingExtraError: if statsmodels is missing.
        UsageError: if the files don't fit together, or there is nothing to analyse.
        CorpusError: if a file can't be read.
    """
    require("vatrace analyse", ["scipy", "statsmodels"], "analysis")
    study = read_study(table, design)
    if options.ratings is not None and study.baseline:
        raise UsageError(
            f"{table}: a baseline ({study.baseline}) was subtracted, so the values can't be compared with ratings: make the "
            "table again without --baseline"
        )
    found_cells = cells(study)
    couples, notes = pairs(study)
    if not (found_cells or couples or options.events or options.ratings):
        raise UsageError(
            f"{design or table}: there is nothing to analyse: add a column condition or pair, or name --events or --ratings"
        )
    notes = [*study.notes, *notes]
    findings: list[Finding] = []
    if found_cells:
        rows, more = compare_conditions(found_cells)
        findings, notes = [*findings, *rows], [*notes, *more]
    found_responses: list[Response] = []
    if options.events is not None:
        moments = read_moments(options.events)
        found_responses, more = responses(study, moments, options.events, options.before, options.after)
        findings, notes = [*findings, *event_findings(found_responses)], [*notes, *more]
    each, together, more = synchrony(couples) if couples else ([], [], [])
    findings, notes = [*findings, *synchrony_findings(together)], [*notes, *more]
    compared: list[Compared] = []
    if options.ratings is not None:
        compared, more = compare_with_ratings(study, read_ratings(options.ratings, study))
        rows, caution = agreement_findings(compared)
        findings, notes = [*findings, *rows], [*notes, *more, *caution]
    if not findings:
        raise UsageError(f"{table}: nothing could be estimated: {'; '.join(notes)}")
    return Analysis(study, tuple(findings), tuple(notes), found_cells, found_responses, each, together, compared)
