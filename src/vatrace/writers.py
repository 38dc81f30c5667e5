"""A prediction as a file: CSV, Parquet, JSON. Each is written whole or not at all."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from vatrace.prediction import Prediction


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """Give a temporary path beside `path`, which takes its place when the block ends well and vanishes when it doesn't."""
    handle, name = tempfile.mkstemp(prefix=".vatrace-", suffix=path.suffix, dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o666 & ~_umask())  # mkstemp makes files for the user alone
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def write_csv(prediction: Prediction, path: Path) -> None:
    """The columns of `Prediction.to_pandas`, with four decimals."""
    prediction.to_pandas().to_csv(path, index=False, float_format="%.4f")


def write_parquet(prediction: Prediction, path: Path) -> None:
    """The columns of the CSV in full precision."""
    prediction.to_pandas().to_parquet(path, index=False)


def write_json(prediction: Prediction, path: Path) -> None:
    """The columns of the CSV as lists (null where undefined), and the words with their times and the notes."""
    table = prediction.to_pandas().round(4)
    columns = {str(name): [None if np.isnan(x) else x for x in column.tolist()] for name, column in table.items()}
    words = [{"text": word.text, "start": round(word.start, 3), "end": round(word.end, 3)} for word in prediction.words]
    content = {"source": prediction.source.name, **columns, "transcript": words, "notes": prediction.notes}
    path.write_text(json.dumps(content, ensure_ascii=False) + "\n", encoding="utf-8")


FORMATS: dict[str, Callable[[Prediction, Path], None]] = {
    "csv": write_csv,
    "parquet": write_parquet,
    "json": write_json,
}


def check_formats(formats: list[str]) -> None:
    """See before any work is done whether it can be written after it.

    Raises:
        ImportError: if Parquet is among the formats and its library is missing.
    """
    if "parquet" in formats and find_spec("pyarrow") is None:
        raise ImportError("Parquet needs pyarrow: pip install pyarrow")
