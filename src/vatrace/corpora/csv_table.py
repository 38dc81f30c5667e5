"""Tables as people write them: comma, semicolon or tab, with or without a byte order mark, headers in any case."""

from __future__ import annotations

import codecs
import csv
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from vatrace.errors import CorpusError, reason

DELIMITERS = (",", ";", "\t")
UNKNOWN = frozenset({"", "nan", "na", "n/a", "null"})
"""Contents that count as an empty cell, in lower case."""


def read_table(path: Path, required: Sequence[str], optional: Sequence[str] = ()) -> Iterator[tuple[int, list[str]]]:
    """Read some columns of a CSV file. Empty lines are skipped.

    Args:
        path: the file, in UTF-8, or in UTF-16 as Excel's "Unicode text".
        required: names of columns that must exist, in lower case.
        optional: names of columns that may exist.

    Yields:
        The line's number from 1, and the cells of `required` and then `optional`, stripped of spaces: "" where there
        are none.

    Raises:
        CorpusError: if it can't be read, a column is missing, or a line has more cells than the header.
    """
    try:
        with path.open(encoding=_encoding(path), newline="") as file:
            delimiter, found = _header(file.readline(), path)
            missing = [name for name in required if name not in found]
            if missing:
                names = ", ".join(found) if any(found) else "nothing"
                raise CorpusError(f"{path}: line 1: no column {missing[0]!r} (needed: {', '.join(required)}; found: {names})")
            places = [found.index(name) if name in found else None for name in (*required, *optional)]
            reader = csv.reader(file, delimiter=delimiter, skipinitialspace=True)
            for row in reader:
                line = reader.line_num + 1  # the reader doesn't count the header
                if any(cell.strip() for cell in row[len(found) :]):
                    raise CorpusError(f"{path}: line {line}: {len(row)} cells, but {len(found)} columns; decimals need a point")
                if any(cell.strip() for cell in row):
                    yield line, ["" if at is None or at >= len(row) else row[at].strip() for at in places]
    except OSError as error:
        raise CorpusError(f"{path}: {reason(error)}") from error
    except UnicodeError as error:
        raise CorpusError(f"{path}: not UTF-8; save it as CSV in UTF-8") from error
    except csv.Error as error:
        raise CorpusError(f"{path}: not a readable CSV table ({error})") from error


def column_names(path: Path) -> list[str]:
    """The names in a CSV file's first line, in lower case.

    Raises:
        CorpusError: if it can't be read.
    """
    try:
        with path.open(encoding=_encoding(path), newline="") as file:
            return _header(file.readline(), path)[1]
    except OSError as error:
        raise CorpusError(f"{path}: {reason(error)}") from error
    except UnicodeError as error:
        raise CorpusError(f"{path}: not UTF-8; save it as CSV in UTF-8") from error


def _encoding(path: Path) -> str:
    if path.exists() and not path.is_file():  # reading from a pipe would wait for ever
        raise CorpusError(f"{path}: not a file")
    with path.open("rb") as file:
        return "utf-16" if file.read(2) in {codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE} else "utf-8-sig"


def _header(line: str, path: Path) -> tuple[str, list[str]]:
    """The delimiter and the names of the columns. Those of text files may be separated by spaces."""
    delimiter = max(DELIMITERS, key=line.count)
    if path.suffix.lower() == ".txt" and delimiter not in line:
        return " ", [name.strip('"').lower() for name in line.split()]
    return delimiter, [name.strip().strip('"').strip().lower() for name in line.split(delimiter)]


def number(cell: str) -> float:
    """The number in a cell, with a point or a comma for its decimals; NaN where the cell is empty or one of `UNKNOWN`.

    Raises:
        ValueError: if it is something else; the message names it.
    """
    try:
        return np.nan if cell.lower() in UNKNOWN else float(cell.replace(",", "."))
    except ValueError as error:
        raise ValueError(f"{cell[:40]!r} is not a number") from error
