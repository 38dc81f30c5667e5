"""The table of output formats; their writers are imported when they are used."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from vatrace.errors import require

if TYPE_CHECKING:
    from vatrace.inference.prediction import Prediction


@dataclass(frozen=True)
class Format:
    """A format for the traces of one recording.

    Attributes:
        suffix: of the file's name, after its dot.
        writer: a function in `vatrace.output.writers` that takes a prediction and a path.
        library: the module that it needs from the `formats` extra; "" if it needs none.
        has_rows: whether it is the table of the trace, which can also be written as one file for each person.
    """

    suffix: str
    writer: str
    library: str = ""
    has_rows: bool = False

    def write(self, prediction: Prediction, path: Path) -> None:
        """Write a prediction in this format."""
        getattr(import_module("vatrace.output.writers"), self.writer)(prediction, path)


FORMATS = {
    "csv": Format("csv", "write_csv", has_rows=True),
    "parquet": Format("parquet", "write_parquet", "pyarrow", has_rows=True),
    "json": Format("json", "write_json"),
    "turns": Format("turns.csv", "write_turns"),
    "elan": Format("eaf", "write_elan", "pympi"),
    "textgrid": Format("TextGrid", "write_textgrid", "praatio"),
    "vtt": Format("vtt", "write_subtitles"),
}


def check_formats(names: Iterable[str]) -> None:
    """Import the libraries of some formats, so that missing ones are reported before any work is done.

    Raises:
        MissingExtraError: if one is missing or can't be imported; the message names the cause.
    """
    for name in names:
        if FORMATS[name].library:
            require(name, [FORMATS[name].library], "formats")
