import csv
import io
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from properties import searched
from vatrace.corpora.csv_table import DELIMITERS, UNKNOWN, column_names, number, read_table
from vatrace.errors import CorpusError

COLUMNS = ("time", "valence", "arousal")
CELLS = st.text(st.characters(codec="utf-8", exclude_characters="\0\r"), max_size=12)
"""Without a carriage return, which Python before 3.13 writes without quotes."""
NUMBERS = st.floats(-1e6, 1e6)


def written(path: Path, rows: list[list[str]], delimiter: str, bom: bool, quoting: int, newline: str) -> Path:
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=delimiter, quoting=quoting, lineterminator=newline).writerows(rows)
    path.write_bytes((("\ufeff" if bom else "") + text.getvalue()).encode())
    return path


def styles() -> st.SearchStrategy[dict[str, object]]:
    return st.fixed_dictionaries(
        {
            "delimiter": st.sampled_from(DELIMITERS),
            "bom": st.booleans(),
            "quoting": st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
            "newline": st.sampled_from(["\n", "\r\n"]),
        }
    )


@searched
@given(style=styles(), rows=st.lists(st.lists(CELLS, min_size=3, max_size=3), max_size=8), order=st.permutations(range(3)))
def test_cells_come_back_whatever_the_delimiter_the_quotes_and_the_order(
    tmp_path: Path, style: dict[str, object], rows: list[list[str]], order: list[int]
) -> None:
    header = [COLUMNS[place].title() for place in order]
    path = written(tmp_path / "a.csv", [header, *([row[place] for place in order] for row in rows)], **style)
    expected = [[cell.strip() for cell in row] for row in rows]
    assert [cells for _, cells in read_table(path, COLUMNS)] == [row for row in expected if any(row)]
    assert column_names(path) == [name.lower() for name in header]


@searched
@given(style=styles(), rows=st.lists(st.tuples(NUMBERS, NUMBERS, NUMBERS), min_size=1, max_size=8), comma=st.booleans())
def test_numbers_come_back_with_points_and_with_commas(
    tmp_path: Path, style: dict[str, object], rows: list[tuple[float, float, float]], comma: bool
) -> None:
    cells = [[repr(value).replace(".", "," if comma else ".") for value in row] for row in rows]
    path = written(tmp_path / "a.csv", [list(COLUMNS), *cells], **style)
    assert [tuple(map(number, found)) for _, found in read_table(path, COLUMNS)] == rows


@searched
@given(content=st.binary(max_size=200), header=st.sampled_from([b"", b"time\n", b"time;valence\n", b'"time"\t"valence"\r\n']))
def test_bytes_of_any_kind_are_rows_or_an_error_that_names_the_file(tmp_path: Path, content: bytes, header: bytes) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(header + content)
    for read in (lambda: list(read_table(path, ["time"], ["valence"])), lambda: column_names(path)):
        try:
            read()
        except CorpusError as error:
            assert str(error).startswith(f"{path}: ")
    try:
        rows = list(read_table(path, ["time"], ["valence"]))
    except CorpusError:
        return
    assert all(len(cells) == 2 for _, cells in rows) and [line for line, _ in rows] == sorted(line for line, _ in rows)


@searched
@given(text=st.one_of(st.text(max_size=60), st.text("0123456789.,-+e", max_size=12)))
def test_a_cell_is_a_number_or_an_error_that_names_it(text: str) -> None:
    try:
        value = number(text)
    except ValueError as error:
        assert str(error) == f"{text[:40]!r} is not a number"
    else:
        assert math.isnan(value) if text.lower() in UNKNOWN else isinstance(value, float)


@pytest.mark.parametrize("cell", ["", "nan", "NaN", "NA", "n/a", "null"])
def test_an_empty_cell_is_not_a_number(cell: str) -> None:
    assert np.isnan(number(cell))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("time,valence\n0,0,5\n", r"line 2: 3 cells, but 2 columns; decimals need a point"),
        ("time,arousal\n", r"line 1: no column 'valence' \(needed: time, valence; found: time, arousal\)"),
        ("", r"line 1: no column 'time' \(needed: time, valence; found: nothing\)"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "a.csv"
    path.write_text(text)
    with pytest.raises(CorpusError, match=message):
        list(read_table(path, ["time", "valence"]))


def test_lines_are_counted_from_the_header_and_empty_ones_are_skipped(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("time,valence\n\n1\n ,\n2,0.5\n")
    assert list(read_table(path, ["time"], ["valence", "comment"])) == [(3, ["1", "", ""]), (5, ["2", "0.5", ""])]


def test_a_file_that_is_missing_or_not_utf8_is_named(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"a\.csv: no such file"):
        list(read_table(tmp_path / "a.csv", ["time"]))
    (tmp_path / "a.csv").write_bytes("time;Ärger\n".encode("cp1252"))
    with pytest.raises(CorpusError, match=r"a\.csv: not UTF-8"):
        column_names(tmp_path / "a.csv")
