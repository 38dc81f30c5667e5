"""Names that a study gives to the people in its recordings, from a table."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from vatrace.corpora.csv_table import read_table
from vatrace.errors import UsageError
from vatrace.files import as_meant, shown
from vatrace.inference.prediction import OFF_SCREEN, SEVERAL
from vatrace.media.folders import key, passed_over
from vatrace.names import MAX_PEOPLE, whole_number

COLUMNS = ("recording", "person", "name")


def read_names(path: Path, recordings: Sequence[Path]) -> tuple[list[dict[str, str]], list[str], list[str]]:
    """Read a CSV with the columns recording, person ("1", "2", ...) and name.

    Args:
        path: the table. Its `recording` is a path, from the folder of the table, or only the name of a file.
        recordings: the batch.

    Returns:
        Names by person for each recording of the batch, empty where the table has none; the table's recordings that aren't in
        the batch; and the recordings of the batch that aren't in the table.

    Raises:
        CorpusError: if the table can't be read, or lacks a column.
        UsageError: if a line can't be understood, people of one recording would have the same name, or no recording of the
            batch is in the table.
    """
    found: list[dict[str, str]] = [{} for _ in recordings]
    absent, unlisted = [], set(range(len(recordings)))
    for recording, names in _read(path).items():
        place = _place(path, recording, recordings)
        if place is None:
            absent.append(shown(recording))
        elif found[place]:
            raise UsageError(f"{path}: refers to {shown(recordings[place])} in two ways; use one of them")
        else:
            found[place] = names
            unlisted.discard(place)
    if not any(found):
        listed = f"it names {passed_over(absent)}" if absent else "it is empty"
        raise UsageError(f"{path}: has no names for {passed_over([shown(path.name) for path in recordings])}; {listed}")
    return found, absent, [shown(recordings[place].name) for place in sorted(unlisted)]


def _read(path: Path) -> dict[str, dict[str, str]]:
    """The names by person of each recording, as the table calls it."""
    rows: dict[str, dict[str, str]] = defaultdict(dict)
    for line, (recording, number, name) in read_table(path, COLUMNS):
        recording, name = as_meant(recording), as_meant(name)  # noqa: PLW2901 - as `write_people` wrote them
        person, written, names = number.removesuffix(".0"), " ".join(name.split()), rows[recording]
        wrong = ""
        if recording and not number and not written:  # nobody was seen there
            continue
        if not recording:
            wrong = "no recording"
        elif not whole_number(person):
            wrong = f"person must be a number from 1, not {number!r}"
        elif not written or written in {OFF_SCREEN, SEVERAL}:
            wrong = f"{written!r} can't be a person's name"
        elif str(int(person)) in names:
            wrong = f"person {int(person)} of {shown(recording)} already has a name"
        elif written in names.values():
            wrong = f"{written} is already the name of another person in {shown(recording)}"
        if wrong:
            raise UsageError(f"{path}: line {line}: {wrong}")
        names[str(int(person))] = written
    numbers = set(map(str, range(1, MAX_PEOPLE + 1)))
    for recording, names in rows.items():
        for name in names.values():
            if name in numbers and name not in names:  # a person with this number may be in the recording
                raise UsageError(f"{path}: {shown(recording)}: {name} is another person's number; name that person too")
    return rows


def _place(path: Path, name: str, recordings: Sequence[Path]) -> int | None:
    """The index of the recording that a table refers to; None if there is none.

    Raises:
        UsageError: if several have the name.
    """
    whole = (path.parent / name).resolve()
    exact = [place for place, recording in enumerate(recordings) if recording.resolve() == whole]
    if exact:
        return exact[0]
    same = [place for place, recording in enumerate(recordings) if key(recording.name) == key(name)]
    if len(same) > 1:
        raise UsageError(f"{path}: {len(same)} recordings are called {shown(name)}: give their paths from the table's folder")
    return same[0] if same else None
