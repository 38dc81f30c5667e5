"""Names that a study gives to the people in its recordings, from a table."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from vatrace.corpora.csv_table import read_table
from vatrace.errors import UsageError
from vatrace.files import shown
from vatrace.inference.prediction import OFF_SCREEN, SEVERAL
from vatrace.media.folders import key

COLUMNS = ("recording", "person", "name")


def read_names(path: Path, recordings: Sequence[Path]) -> tuple[list[dict[str, str]], list[str]]:
    """Read a CSV with the columns recording, person ("1", "2", ...) and name.

    Args:
        path: the table. Its `recording` is a path, from the folder of the table, or only the name of a file.
        recordings: the batch.

    Returns:
        Names by person for each recording of the batch, empty where the table has none; and the table's recordings that aren't
        in the batch.

    Raises:
        CorpusError: if the table can't be read, or lacks a column.
        UsageError: if a line can't be understood, people of one recording would have the same name, or no recording of the batch
            is in the table.
    """
    rows: dict[str, dict[str, str]] = defaultdict(dict)
    for line, (recording, number, name) in read_table(path, COLUMNS):
        where, person, written = f"{path}: line {line}", number.removesuffix(".0"), " ".join(name.split())
        if not recording:
            raise UsageError(f"{where}: no recording")
        if not (person.isdecimal() and int(person)):
            raise UsageError(f"{where}: person must be a number from 1, not {number!r}")
        if not written or written in {OFF_SCREEN, SEVERAL}:
            raise UsageError(f"{where}: {written!r} can't be a person's name")
        person = str(int(person))
        if person in rows[recording]:
            raise UsageError(f"{where}: person {person} of {shown(recording)} has a name already")
        if written in rows[recording].values():
            raise UsageError(f"{where}: {written} is the name of two people in {shown(recording)}")
        rows[recording][person] = written
    for recording, names in rows.items():
        for name in names.values():  # the person with that number may be in the recording
            if name.isdecimal() and name not in names:
                raise UsageError(f"{path}: {shown(recording)}: {name} is another person's number; give that person a name too")
    found: list[dict[str, str]] = [{} for _ in recordings]
    absent = []
    for recording, names in rows.items():
        place = _place(path, recording, recordings)
        if place is None:
            absent.append(shown(recording))
        elif found[place]:
            raise UsageError(f"{path}: names {shown(recordings[place])} in two ways; use one of them")
        else:
            found[place] = names
    if recordings and not any(found):
        raise UsageError(
            f"{path}: none of its recordings is to be predicted; the first is {absent[0] if absent else 'missing'}"
        )
    return found, absent


def _place(path: Path, name: str, recordings: Sequence[Path]) -> int | None:
    """Which recording a table means; None if none.

    Raises:
        UsageError: if several have the name.
    """
    whole = (path.parent / name).resolve()
    exact = [place for place, recording in enumerate(recordings) if recording.resolve() == whole]
    if exact:
        return exact[0]
    same = [place for place, recording in enumerate(recordings) if key(recording.name) == key(name)]
    if len(same) > 1:
        raise UsageError(
            f"{path}: {len(same)} recordings are called {shown(name)}: write their paths from the folder of the table"
        )
    return same[0] if same else None
