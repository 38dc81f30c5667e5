"""Tables of a whole study: as CSV, Parquet or SPSS, each with a codebook and a side file that says how it was made."""

from __future__ import annotations

import csv
import io
import json
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vatrace import __version__
from vatrace.errors import UsageError, require
from vatrace.files import harmless, sha256, shown, write_json, written_whole
from vatrace.output.cells import harmless_table
from vatrace.output.columns import YES_NO, Column
from vatrace.output.provenance import SCHEMA, command_line, library_versions, now

if TYPE_CHECKING:
    import pandas as pd

LIBRARIES = {".csv": "", ".parquet": "pyarrow", ".sav": "pyreadstat"}
"""The library that each kind of table needs from the `formats` extra, by suffix."""
CODEBOOK_HEADER = ("table", "column", "meaning", "unit", "range", "missing")


def check_kind(path: Path) -> None:
    """Check that a table of this name can be written, before any work is done.

    Raises:
        UsageError: if its suffix isn't known.
        MissingExtraError: if its library is missing.
    """
    suffix = path.suffix.lower()
    if suffix not in LIBRARIES:
        raise UsageError(f"{path}: must end in {', '.join(LIBRARIES)}")
    if LIBRARIES[suffix]:
        require(str(path), [LIBRARIES[suffix]], "formats")


def side_of(path: Path) -> Path:
    """The side file of a table."""
    return path.with_suffix(".json")


def codebook_of(path: Path) -> Path:
    """The codebook of a table."""
    return path.with_suffix(".codebook.csv")


def check_replaceable(path: Path, out: Path, recordings: Iterable[str]) -> None:
    """Check that a table may be written: it is new, or an unedited one of some of the same results.

    Args:
        path: of the table.
        out: the folder of the results.
        recordings: the names of those that it will have.

    Raises:
        FileExistsError: if it may not.
    """
    files = [file for file in (path, side_of(path), codebook_of(path)) if file.exists()]
    if not files:
        return
    try:
        content = json.loads(side_of(path).read_text(encoding="utf-8"))
        known = set(content["recordings"]) <= {shown(name) for name in recordings}
        same = content["results"] == _folder(path, out) and (not path.exists() or content["sha256"] == sha256(path))
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        known = same = False
    if not (known and same):
        raise FileExistsError(
            f"{files[0]}: already exists, and isn't made from these results: choose another name, or add --overwrite"
        )


def _folder(path: Path, out: Path) -> str:
    try:
        return Path(shown(os.path.relpath(out.absolute(), path.absolute().parent))).as_posix()
    except ValueError:  # another drive
        return shown(out.absolute())


def write_study_table(table: pd.DataFrame, path: Path, columns: Sequence[Column], out: Path, facts: Mapping[str, Any]) -> None:
    """Write a table, its codebook and its side file, each whole or not at all.

    Args:
        table: the rows.
        path: ends in .csv, .parquet or .sav.
        columns: what its columns mean.
        out: the folder of the results that it was made from.
        facts: for the side file: `recordings`, and how the rows were made.
    """
    made = {"vatrace": __version__, "schema": SCHEMA, "created": now(), "command": command_line()}
    made |= {"results": _folder(path, out), "libraries": library_versions(), **facts}
    with written_whole(path) as temporary:
        _WRITERS[path.suffix.lower()](table, temporary, columns, made)
        made["sha256"] = sha256(temporary)
    write_codebook(codebook_of(path), {str(facts.get("table", path.stem)): columns})
    write_json(side_of(path), made)


def _write_csv(table: pd.DataFrame, path: Path, columns: Sequence[Column], made: Mapping[str, Any]) -> None:
    harmless_table(table).to_csv(path, index=False, float_format="%.10g")


def _write_parquet(table: pd.DataFrame, path: Path, columns: Sequence[Column], made: Mapping[str, Any]) -> None:
    import pyarrow
    import pyarrow.parquet

    found = pyarrow.Table.from_pandas(table, preserve_index=False)
    facts = {b"vatrace": shown(json.dumps(dict(made))).encode()}
    pyarrow.parquet.write_table(found.replace_schema_metadata({**(found.schema.metadata or {}), **facts}), path)


def _write_sav(table: pd.DataFrame, path: Path, columns: Sequence[Column], made: Mapping[str, Any]) -> None:
    """SPSS, with the meaning of each column as its label; names of columns get the letters that SPSS allows."""
    import pyreadstat

    names = [re.sub(r"^(?=[^A-Za-z])", "v", re.sub(r"[^A-Za-z0-9_.]", "_", str(name))) for name in table.columns]
    labels = {column.name: f"{column.meaning}{f' [{column.unit}]' if column.unit else ''}" for column in columns}
    flags: dict[str, dict[int | float, str]]
    flags = {new: {0: "no", 1: "yes"} for new, column in zip(names, columns, strict=True) if column.range == YES_NO}
    pyreadstat.write_sav(
        table.set_axis(names, axis=1),
        str(path),
        file_label=f"vatrace {made['vatrace']}"[:64],
        column_labels=[labels[str(name)][:255] for name in table.columns],
        note=_notes(made["command"]),
        variable_value_labels=flags,
    )


def _notes(command: str) -> list[str]:
    """A command as lines of a document in SPSS, which have at most 80 bytes."""
    text = shown(command).encode("ascii", "replace").decode()
    return [text[start : start + NOTE] for start in range(0, min(len(text), MAX_NOTES * NOTE), NOTE)]


NOTE, MAX_NOTES = 80, 20
"""Bytes of a line, and the most lines that are kept."""

_WRITERS = {".csv": _write_csv, ".parquet": _write_parquet, ".sav": _write_sav}


def write_codebook(path: Path, tables: Mapping[str, Sequence[Column]]) -> None:
    """Write what the columns of some tables mean, as CSV; a file that already says so is left alone."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(CODEBOOK_HEADER)
    for name, columns in tables.items():
        rows = ((name, col.name, col.meaning, col.unit, col.range, col.missing) for col in columns)
        writer.writerows([harmless(shown(cell)) for cell in row] for row in rows)
    content = text.getvalue().encode()
    if not path.is_file() or path.read_bytes() != content:
        with written_whole(path) as temporary:
            temporary.write_bytes(content)


def is_codebook(path: Path) -> bool:
    """Whether a file is a codebook of vatrace, so that it may be replaced."""
    try:
        with path.open(encoding="utf-8") as file:
            return file.readline().rstrip("\r\n") == ",".join(CODEBOOK_HEADER)
    except (OSError, UnicodeError):
        return False
