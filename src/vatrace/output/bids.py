"""A study's traces as a derivative dataset in BIDS, with a continuous recording for each trace.

The names and the metadata follow the schema of BIDS (https://bids-specification.readthedocs.io), with which
tests/output/test_bids.py checks them.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from vatrace import __version__
from vatrace.errors import UsageError
from vatrace.files import remove_earlier, shown, write_json, written_whole
from vatrace.output.columns import TRACE, described
from vatrace.output.provenance import Provenance, all_there, check_ours, file_facts, moved, read_provenance
from vatrace.output.recordings_list import Listed
from vatrace.output.traces import edited_tables, read_traces
from vatrace.output.writers import meaning, write_entries

VERSION = "1.11.1"
"""Of BIDS."""
FOLDER = "bids"
"""The dataset below the folder of the results, apart from files that BIDS doesn't know."""
ENTITIES = {"participant": "sub", "session": "ses", "task": "task", "run": "run"}
"""Columns of the list that name files, with their keys in BIDS, in the order of names."""
NO_TASK = "unspecified"
"""The label of the task where the list has none: BIDS requires one."""
ENDING = "recording-vatrace_physio"
DESCRIPTION, PARTICIPANTS = "dataset_description.json", "participants.tsv"
MISSING = "n/a"
KIND = "bids"
"""The kind of these results in provenance."""


@dataclass(frozen=True)
class Entry:
    """A trace of the dataset.

    Attributes:
        listed: the line of its recording in the list.
        side: its side file, next to its trace.
        participant: the label of the person.
        person: the person's name in the tables of the recording; None if it has one trace.
    """

    listed: Listed
    side: Path
    participant: str
    person: str | None = None

    @property
    def trace(self) -> Path:
        """The trace, a table without a header."""
        return self.side.with_suffix(".tsv.gz")


def entries(
    table: Path, listed: Sequence[Listed], dataset: Path, names: Sequence[Mapping[str, str] | None] | None = None
) -> list[list[Entry]]:
    """The traces of all recordings in a dataset, with their names.

    Args:
        table: the list, for messages.
        listed: its lines.
        dataset: the folder.
        names: for each line, the names of its people by number, which are the participants; None for a line with one trace.

    Raises:
        UsageError: if a label is missing or isn't one of BIDS, or two traces would have the same name.
    """
    own, names = listed[0].about, names or [None] * len(listed)
    if "participant" not in own and None in names:
        raise UsageError(f"{table}: line 1: no column 'participant', which --bids needs")
    if "participant_id" in own:
        raise UsageError(f"{table}: line 1: the column 'participant_id' would be mistaken for that of BIDS: rename it")
    found: dict[str, Entry] = {}
    spelled: dict[str, str] = {}
    result = []
    for row, people in zip(listed, names, strict=True):
        labels = {key: _label(table, row, column) for column, key in ENTITIES.items() if column != "participant"}
        labels["task"] = labels["task"] or NO_TASK
        result.append(
            [_entry(table, dataset, row, {"sub": _label(table, row, "participant")} | labels, None)]
            if people is None
            else [_entry(table, dataset, row, {"sub": _named(table, row, name)} | labels, name) for name in people.values()]
        )
        for entry in result[-1]:
            if spelled.setdefault(entry.participant.casefold(), entry.participant) != entry.participant:
                where = "column participant" if people is None else "in the table of --names"
                raise UsageError(
                    f"{table}: line {row.line}, {where}: {entry.participant} differs from "
                    f"{spelled[entry.participant.casefold()]} only in upper and lower case"
                )
            other = found.setdefault(str(entry.side).casefold(), entry)
            if other is not entry:
                raise UsageError(
                    f"{table}: line {row.line}: would have the same name in BIDS as line {other.listed.line} "
                    f"({entry.side.stem}): tell them apart by the columns session, task or run"
                )
    return result


def _entry(table: Path, dataset: Path, row: Listed, labels: Mapping[str, str], person: str | None) -> Entry:
    parts = [f"{key}-{label}" for key, label in labels.items() if label]
    folders = [part for part in parts if part.startswith(("sub-", "ses-"))]
    side = dataset.joinpath(*folders, "beh", "_".join([*parts, ENDING]) + ".json")
    return Entry(row, side, labels["sub"], person)


def _named(table: Path, row: Listed, name: str) -> str:
    """The label of a person with a name from the table of `--names`."""
    if not re.fullmatch(r"[0-9A-Za-z]+", name):
        raise UsageError(
            f"{table}: line {row.line}: the name {shown(name)!r} of a person in it must be only letters from A to Z and digits "
            "for --bids"
        )
    return name


def _label(table: Path, row: Listed, column: str) -> str:
    cell = row.about.get(column, "")
    if column == "run":
        pattern, rule, example = r"[0-9]*", "a whole number", "1"
    else:
        pattern, rule, example = r"[0-9A-Za-z]*", "only letters from A to Z and digits", re.sub(r"[^0-9A-Za-z]", "", cell)
    if (column == "participant" and not cell) or not re.fullmatch(pattern, cell):
        instead = f" ({example} would do)" if example and cell else ""
        raise UsageError(
            f"{table}: line {row.line}, column {column}: must be {rule} for --bids, not {shown(cell) or 'empty'!r}{instead}"
        )
    return cell


def check_dataset(dataset: Path, entries: Iterable[Entry], overwrite: bool) -> None:
    """Check that all files of the dataset may be written, before any work is done.

    Raises:
        FileExistsError: if a file exists that vatrace didn't write, or that was edited, and `overwrite` is false; or if the
            folder contains another dataset.
        OSError: if a file can't be read.
    """
    _description(dataset)
    _participants(dataset / PARTICIPANTS)
    for entry in entries if not overwrite else ():
        side = entry.side
        earlier = read_provenance(side) if side.is_file() else None
        existing = [path for path in (side, entry.trace) if path.exists()]
        if earlier is None and existing:
            raise FileExistsError(f"{existing[0]}: already exists, but vatrace didn't write it: move it, or add --overwrite")
        if earlier is not None:
            found = earlier[0]
            recording = file_facts(entry.listed.path, side.parent, found.recording)
            check_ours(side, found, replace(found, recording=recording), [entry.trace.name])


def _description(dataset: Path) -> dict[str, Any]:
    """The description of the dataset: what somebody added to it remains."""
    ours = {"Name": "vatrace", "Version": __version__}
    content: dict[str, Any] = {"Name": "Valence and arousal over time", "BIDSVersion": VERSION, "DatasetType": "derivative"}
    path = dataset / DESCRIPTION
    if not path.exists():
        return content | {"GeneratedBy": [ours]}
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        others = [made for made in found["GeneratedBy"] if made["Name"] != ours["Name"]]
        if len(others) == len(found["GeneratedBy"]):
            raise KeyError(ours["Name"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise FileExistsError(f"{path}: describes another dataset: choose another folder with --out") from error
    return content | found | {"GeneratedBy": [*others, ours]}


def _participants(path: Path) -> dict[str, dict[str, str]]:
    """The participants who are already in the dataset, by their identifiers."""
    if not path.exists():
        return {}
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file, delimiter="\t", restval=MISSING, quoting=csv.QUOTE_NONE))
        if any(None in row for row in rows):
            raise ValueError("a line is longer than the header")
        return {row["participant_id"]: row for row in rows}
    except (ValueError, KeyError, csv.Error) as error:
        raise FileExistsError(f"{path}: isn't a table of participants in BIDS: move it") from error


def write_dataset(dataset: Path, done: Sequence[tuple[Entry, str, Path]]) -> tuple[list[Path], list[str]]:
    """Write the dataset, or what has changed in it.

    Args:
        dataset: the folder.
        done: for each trace of a recording that didn't fail its entry, the name of the results, and their side file.

    Returns:
        Tables that were edited, so that their recordings were left out; and people who have no trace in a recording that
        should show them.

    Raises:
        UsageError: if a result has no table of the trace.
        OSError: if a file can't be written.
    """
    edited: list[Path] = []
    missing, written = [], []
    for entry, name, source in done:
        found = read_provenance(source)
        assert found is not None  # it was written or checked just now
        made, rows = found
        earlier = read_provenance(entry.side) if entry.side.is_file() else None
        if earlier is not None:
            old = earlier[0]
            current = (old.created, old.trace) == (made.created, made.trace)
            if current and all_there(entry.side, old, [entry.trace.name]):
                written.append(entry)
                continue
        if changed := edited_tables(source):
            edited += changed
            written.append(entry)
            continue
        if not _write_entry(entry, name, source, made, rows):
            missing.append(f"{entry.person} in {name}")
            continue
        written.append(entry)
    _write_participants(dataset / PARTICIPANTS, [(entry.participant, entry.listed.about) for entry in written])
    write_json(dataset / DESCRIPTION, _description(dataset))
    return list(dict.fromkeys(edited)), missing


def others_in(dataset: Path, entries: Iterable[Entry]) -> list[str]:
    """The names of traces in a dataset that are of none of these recordings."""
    ours = {entry.trace for entry in entries}
    return sorted(shown(path.name) for path in dataset.rglob(f"*_{ENDING}.tsv.gz") if path not in ours)


def _write_entry(entry: Entry, name: str, source: Path, made: Provenance, rows: Sequence[Mapping[str, Any]]) -> bool:
    """Write a trace and its side file, which has the layout of other side files; False if the person has no trace."""
    trace = next((found for found in read_traces(name, source) if entry.person in {None, found.person}), None)
    if trace is None:
        return False
    rows = [row for row in rows if entry.person is None or row["person"] == entry.person]
    entry.side.parent.mkdir(parents=True, exist_ok=True)
    start = float(trace.table["time"].iloc[0])
    table = trace.table.drop(columns="time")  # BIDS has it as StartTime and SamplingFrequency
    names = list(map(str, table.columns))
    text = table.to_csv(None, sep="\t", header=False, index=False, na_rep=MISSING, float_format="%.10g", lineterminator="\n")
    packed = gzip.compress(text.encode(), mtime=0)
    facts = {"kind": KIND, "person": trace.person, "size": len(packed), "sha256": hashlib.sha256(packed).hexdigest()}
    results: dict[str, dict[str, Any]] = {entry.trace.name: facts, entry.side.name: {"kind": "side"}}
    content: dict[str, object] = {
        "provenance": replace(moved(made, source, entry.side.parent), results=results).as_dict(),
        "summary": [{key: value for key, value in row.items() if key != "sketch"} for row in rows],
        "Description": "Valence and arousal of a person over time, estimated from face, voice and words by vatrace",
        "PhysioType": "generic",
        "SamplingFrequency": trace.rate,
        "StartTime": start,
        "Columns": names,
    }
    content |= {column.name: meaning(column) for column in described(names, TRACE)}
    with written_whole(entry.trace) as packed_file, written_whole(entry.side) as side_file:
        packed_file.write_bytes(packed)
        write_entries(content, side_file)
        remove_earlier([entry.trace])
    return True


def _write_participants(path: Path, about: Sequence[tuple[str, Mapping[str, str]]]) -> None:
    """Add participants, with the user's columns of their recordings, to the table.

    Those of other batches and columns that somebody added remain. The columns are those of the list in which no participant has
    two values; where a participant has two by now, the value of an earlier batch is removed.
    """
    rows = _participants(path)
    values: dict[str, dict[str, set[str]]] = {}
    for participant, cells in about:
        person = values.setdefault(f"sub-{participant}", {})
        for name, cell in cells.items():
            person.setdefault(name, set()).add(" ".join(shown(cell).split()) or MISSING)
    own = [name for name in (about[0][1] if about else ()) if name not in ENTITIES]
    constant = [name for name in own if all(len(person[name]) == 1 for person in values.values())]
    for identifier, person in values.items():
        ours = {name: next(iter(person[name])) for name in constant}
        kept = {name: cell for name, cell in rows.get(identifier, {}).items() if name in ours or name not in own}
        rows[identifier] = {"participant_id": identifier} | kept | ours
    header = dict.fromkeys(["participant_id", *(name for row in rows.values() for name in row)])
    with written_whole(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(
            file,
            list(header),
            restval=MISSING,
            delimiter="\t",
            lineterminator="\n",
            quoting=csv.QUOTE_NONE,
            quotechar=None,
        )
        table.writeheader()
        table.writerows(rows.values())
