"""The traces of finished results, read back from their files."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vatrace.errors import UsageError, one_line
from vatrace.files import harmless, sha256
from vatrace.inference.prediction import Turn
from vatrace.media.transcripts import Word
from vatrace.output.provenance import Provenance, read_provenance
from vatrace.output.writers import read_words

if TYPE_CHECKING:
    import pandas as pd

TABLE_KINDS = ("parquet", "csv", "json")
"""The kinds of results that hold a trace; the first has full precision, the others four decimals."""


@dataclass(frozen=True)
class Trace:
    """The trace of one person in one recording.

    Attributes:
        recording: the name of its results.
        file: the name of the recording's file.
        about: the study's own columns.
        person: as in the tables.
        alone: whether it is the only trace of the recording.
        table: the columns of the trace from `time` on, without `person` and those of `about`.
        words: the person's.
        turns: the person's.
        rate: rows a second.
    """

    recording: str
    file: str
    about: dict[str, str]
    person: str
    alone: bool
    table: pd.DataFrame
    words: list[Word]
    turns: list[Turn]
    rate: float


def read_traces(name: str, side: Path) -> Iterator[Trace]:
    """Read the traces of everybody in the results of a recording.

    Args:
        name: of the results.
        side: their side file.

    Raises:
        UsageError: if the results contain no table of the trace, or one without the person, or are damaged.
        OSError: if they can't be read.
    """
    try:
        yield from _read_traces(name, side)
    except (AttributeError, KeyError, RecursionError, TypeError, ValueError) as error:
        raise UsageError(f"{side}: damaged ({one_line(error)}); vatrace predict --overwrite makes it again") from error


def _read_traces(name: str, side: Path) -> Iterator[Trace]:
    content = json.loads(side.read_text(encoding="utf-8"))
    about: dict[str, str] = content.get("about", {})
    parts = content.get("people", [content])
    for part in parts:
        person = part["person"]
        table = _table(side, content, part, person, len(parts)).drop(columns=["person", *about], errors="ignore")
        turns = [Turn(turn["start"], turn["end"], person, tuple(read_words(turn["words"]))) for turn in _turns(content, person)]
        words = read_words(part["transcript"])
        yield Trace(name, content["source"], about, person, len(parts) == 1, table, words, turns, float(content["rate"]))


def _turns(content: dict[str, Any], person: str) -> list[dict[str, Any]]:
    return [turn for turn in content["turns"] if turn["person"] == person]


def _table(side: Path, content: dict[str, Any], part: dict[str, Any], person: str, num_people: int) -> pd.DataFrame:
    import pandas as pd

    results = content["provenance"]["results"]
    for kind in TABLE_KINDS[:2]:
        for file, facts in results.items():
            if facts["kind"] == kind and facts["person"] in {None, person} and (side.parent / file).is_file():
                path = side.parent / file
                if kind == "parquet":
                    return _rows_of(pd.read_parquet(path), person, path)
                table = pd.read_csv(path, dtype={"person": str}, keep_default_na=False, na_values=[""])  # "NA" may be a name
                return _rows_of(table, harmless(person), path)
    if "time" in part:
        names = [name for name in content["columns"] if name in part and name != "person"]
        return pd.DataFrame({name: part[name] for name in names})
    raise UsageError(f"{side}: its results have no table: add csv or parquet to --format")


def _rows_of(table: pd.DataFrame, person: str, path: Path) -> pd.DataFrame:
    found = table[table["person"].astype(str) == person].reset_index(drop=True) if "person" in table else table[:0]
    if not {"time", "valence", "arousal", "supported"} <= set(found.columns) or not len(found):
        raise UsageError(f"{path}: has no rows of person {person}; was it edited? vatrace predict --overwrite makes it again")
    return found


def recording_name(side: Path) -> str:
    """The name of the file that results were made from, by the start of their side file alone."""
    return Path(_provenance(side).recording.path).name


def _provenance(side: Path) -> Provenance:
    found = read_provenance(side)
    if found is None:
        raise UsageError(f"{side}: not a side file of vatrace predict, or one of an earlier version")
    return found[0]


def edited_tables(side: Path) -> list[Path]:
    """The tables of a result that were changed since they were written."""
    tables = {side.parent / name: facts for name, facts in _provenance(side).results.items() if facts["kind"] in TABLE_KINDS}
    return [path for path, facts in tables.items() if "sha256" in facts and path.is_file() and sha256(path) != facts["sha256"]]
