"""The traces of a whole study in one table: a row for each time, or for each stretch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from vatrace.errors import UsageError
from vatrace.names import DIMENSIONS
from vatrace.output.baseline import Baseline, subtract_baselines
from vatrace.output.columns import BASELINE, MEASURED_MEANS, PERSON, RECORDING, STRETCHES, TRACE, Column, described
from vatrace.output.stretches import By, check_events, measured, stretch_rows
from vatrace.output.traces import Trace, read_traces, recording_name

if TYPE_CHECKING:
    import pandas as pd


def long_table(
    results: Sequence[tuple[str, Path]], by: By | None = None, baseline: Baseline | None = None
) -> tuple[pd.DataFrame, list[Column]]:
    """The table, and what its columns mean.

    Args:
        results: the name and the side file of each recording.
        by: the stretches that have a row; None for all rows of the traces.
        baseline: what is subtracted; None for nothing.

    Raises:
        UsageError: if a result has no trace, an event lies outside of its recording, or somebody has no baseline.
    """
    import pandas as pd

    def traces() -> Iterator[Trace]:
        for name, side in results:
            yield from read_traces(name, side)

    if by is not None and by.events:
        check_events(by, [(name, recording_name(side)) for name, side in results])
    subtract = None if baseline is None else subtract_baselines(traces, baseline)
    parts = []
    for trace in traces():
        before: dict[str, object] = {"recording": trace.recording, **trace.about, "person": trace.person}
        if subtract is not None and baseline is not None:
            means = subtract(trace)
            before |= {"baseline": baseline.name} | {f"{name}_baseline": round(means[name], 4) for name in DIMENSIONS}
        if by is None:
            part = trace.table
        else:
            _check_own(by, trace)
            names = [*by.own, *(column.name for column in STRETCHES)]
            names += [f"{name}_mean" for name in measured(trace)]
            part = pd.DataFrame(stretch_rows(trace, by), columns=names)
        firsts = pd.DataFrame({name: [value] * len(part) for name, value in before.items()}, index=part.index)
        parts.append(pd.concat([firsts, part], axis=1))
    filled = [part for part in parts if len(part)] or parts[:1]
    table = pd.concat(filled, ignore_index=True) if filled else pd.DataFrame()
    known = (RECORDING, PERSON, *BASELINE, *(TRACE if by is None else (*STRETCHES, *MEASURED_MEANS)))
    columns = described(map(str, table.columns), known)
    if baseline is not None:
        columns = [_as_difference(column) for column in columns]
    return table, columns


def _check_own(by: By, trace: Trace) -> None:
    for name in by.own:
        if name in trace.about:
            raise UsageError(f"{by.name}: line 1: the column {name!r} is also in the list of recordings: rename one of them")


def _as_difference(column: Column) -> Column:
    """A column of values as one of differences from the baseline."""
    from dataclasses import replace

    moved = column.name.startswith(DIMENSIONS) and not column.name.endswith(("_sd", "_slope", "_baseline", "_share"))
    return replace(column, meaning=f"{column.meaning}; minus the person's baseline", range="-2..2") if moved else column
