"""Feature vectors on disk while a recording is worked on, so that memory doesn't grow with its length."""

from __future__ import annotations

import tempfile

import numpy as np
from numpy.typing import NDArray


class Spool:
    """Rows of float16 in a temporary file that goes when this object does.

    Args:
        dim: values in a row.

    Attributes:
        length: one more than the last row written.
    """

    def __init__(self, dim: int) -> None:
        self.length = 0
        self._dim = dim
        self._row_size = dim * np.dtype(np.float16).itemsize
        self._file = tempfile.TemporaryFile(prefix="vatrace-")  # noqa: SIM115 - it lives as long as this object

    def write(self, start: int, rows: NDArray[np.floating]) -> None:
        """Put rows (n, dim) at `start`, over what is there."""
        self._file.seek(start * self._row_size)
        self._file.write(np.ascontiguousarray(rows, dtype=np.float16).tobytes())
        self.length = max(self.length, start + len(rows))

    def read(self, start: int, stop: int) -> NDArray[np.float16]:
        """Rows `start` to `stop` (stop - start, dim); zeros where none was written."""
        self._file.seek(start * self._row_size)
        found = np.frombuffer(self._file.read((stop - start) * self._row_size), dtype=np.float16).reshape(-1, self._dim)
        rows = np.zeros((stop - start, self._dim), dtype=np.float16)
        rows[: len(found)] = found
        return rows
