"""A study's list of recordings: a table with their files, whose traces to make, and columns of the study's own."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from vatrace.corpora.csv_table import column_names, number, read_table
from vatrace.errors import CorpusError, UsageError
from vatrace.files import shown
from vatrace.names import MAX_PEOPLE, whole_number
from vatrace.output.columns import RESERVED

COLUMNS = ("recording", "transcript", "person", "start", "end")
"""Columns with a meaning; `recording` is required. All others are the study's own."""
MAX_OWN = 1000
"""Columns of the user's own. They are repeated in each row of all tables: with 20,000, a recording of 2 s takes 16 s longer."""

WHO = frozenset({"main", "all", "left", "right"})
"""As a person, besides a number or a picture."""

NONE = "none"
"""As a transcript: to use none."""


@dataclass(frozen=True)
class Listed:
    """A recording of the list.

    Attributes:
        path: of the recording.
        line: in the list, from 1.
        about: the study's own columns.
        transcript: its transcript; None if the list has none.
        no_transcript: whether speech is recognised even if there is a transcript in the folder.
        people: whose traces to make: main, all, left, right, or the number of a person; "" if the list doesn't say.
        picture: of the person to follow.
        span: start and end in seconds of the part to use; None for the whole recording.
    """

    path: Path
    line: int
    about: Mapping[str, str] = field(default_factory=dict)
    transcript: Path | None = None
    no_transcript: bool = False
    people: str = ""
    picture: Path | None = None
    span: tuple[float, float] | None = None


def read_list(path: Path) -> list[Listed]:
    """Read a list of recordings. Paths in it start from its folder.

    Raises:
        CorpusError: if the table can't be read, or has no column `recording`.
        UsageError: if a cell can't be understood, a file is listed twice or is missing, or a column has the name of one that
            vatrace writes; the message names the line and the column.
    """
    names = column_names(path)
    if "recording" not in names:
        found = ", ".join(filter(None, names)) or "nothing"
        raise CorpusError(f"{path}: line 1: no column 'recording' (found: {found})")
    own = [name for name in names if name and name not in COLUMNS]
    if len(own) > MAX_OWN:
        raise UsageError(f"{path}: line 1: {len(own)} columns of your own; at most {MAX_OWN} are taken")
    for name in own:
        if name in RESERVED:
            raise UsageError(f"{path}: line 1: the column {name!r} would be mistaken for one that vatrace writes: rename it")
        if own.count(name) > 1:
            raise UsageError(f"{path}: line 1: two columns are called {name!r}")
    listed: list[Listed] = []
    lines: dict[Path, int] = {}
    for line, cells in read_table(path, COLUMNS[:1], (*COLUMNS[1:], *own)):
        found_here = _listed(path, line, cells[: len(COLUMNS)], dict(zip(own, cells[len(COLUMNS) :], strict=True)))
        real = found_here.path.resolve()
        if real in lines:
            raise UsageError(f"{path}: line {line}, column recording: {cells[0]} is already in line {lines[real]}")
        lines[real] = line
        listed.append(found_here)
    if not listed:
        raise UsageError(f"{path}: has no recordings")
    return listed


def _listed(table: Path, line: int, cells: list[str], about: Mapping[str, str]) -> Listed:
    """One line of the list."""
    recording, transcript, person, *times = cells

    def wrong(column: str, what: str) -> UsageError:
        return UsageError(f"{table}: line {line}, column {column}: {what}")

    def file(column: str, name: str) -> Path:
        if not name:
            raise wrong(column, "is empty")
        path = table.parent / name
        try:
            exists = path.is_file()
        except OSError:  # the name is too long
            exists = False
        if not exists:
            raise wrong(column, f"{shown(path)}: no such file")
        return path

    start, end = _seconds(times[0], 0.0), _seconds(times[1], math.inf)
    for column, cell, value in zip(("start", "end"), times, (start, end), strict=True):
        if value is None or value < 0:
            raise wrong(column, f"must be seconds from the start of the recording, not {cell!r}")
    assert start is not None and end is not None
    if end <= start:
        raise wrong("end", f"must be after the start ({start:g}), not {times[1]}")
    people, picture = person, None
    digits = person.removesuffix(".0")
    if digits.isdecimal():
        people = str(whole_number(digits))
        if not 1 <= (whole_number(digits) or 0) <= MAX_PEOPLE:
            raise wrong("person", f"the number of a person, from 1 to {MAX_PEOPLE}, not {person}")
    elif person and person not in WHO:
        people, picture = "", file("person", person)
    return Listed(
        path=file("recording", recording),
        line=line,
        about=about,
        transcript=file("transcript", transcript) if transcript and transcript != NONE else None,
        no_transcript=transcript == NONE,
        people=people,
        picture=picture,
        span=None if not (times[0] or times[1]) else (start, end),
    )


def _seconds(cell: str, default: float) -> float | None:
    """A time in seconds, `default` in an empty cell; None if it is no number."""
    try:
        found = number(cell)
    except ValueError:
        return None
    return default if math.isnan(found) else found
