"""Feature vectors on disk while a recording is processed, so that memory doesn't grow with its length."""

from __future__ import annotations

import math
import tempfile
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from vatrace.errors import ModelError, reason


class Spool:
    """Rows of one shape in a temporary file that is deleted with this object.

    Args:
        shape: of a row.
        dtype: of its values.
        maker: what computes them, for the message if they aren't finite.

    Attributes:
        length: one more than the last row written.
    """

    def __init__(self, shape: tuple[int, ...], dtype: DTypeLike = np.float16, maker: str = "") -> None:
        self.length = 0
        self.shape, self.dtype, self._maker = shape, np.dtype(dtype), maker
        self._row_size = math.prod(shape) * self.dtype.itemsize
        self._file = tempfile.TemporaryFile(prefix="vatrace-", buffering=0)  # noqa: SIM115 - it lives as long as this object

    def write(self, start: int, rows: NDArray[Any]) -> None:
        """Write rows (n, ...) from row `start` on, replacing what was written before.

        Raises:
            ModelError: if a value is not finite, or too large for `dtype`.
            OSError: if the disk with the temporary folder is full; the message names the folder.
        """
        with np.errstate(over="ignore"):
            kept = np.ascontiguousarray(rows, dtype=self.dtype)
        if not np.isfinite(kept).all():
            raise ModelError(f"{self._maker}: its features are not finite, or too large (beyond {np.finfo(self.dtype).max:g})")
        try:
            self._file.seek(start * self._row_size)
            content = kept.tobytes()
            while content:  # of the part that fills the disk, only some bytes are written, without an error
                content = content[self._file.write(content) :]
        except OSError as error:
            raise OSError(f"{tempfile.gettempdir()}: can't hold the temporary features ({reason(error)})") from error
        self.length = max(self.length, start + len(rows))

    def read(self, start: int, stop: int) -> NDArray[Any]:
        """Rows `start` to `stop` (stop - start, ...); zeros where nothing was written."""
        self._file.seek(start * self._row_size)
        content = self._file.read((stop - start) * self._row_size)
        found = np.frombuffer(content, dtype=self.dtype).reshape(-1, *self.shape)
        rows = np.zeros((stop - start, *self.shape), dtype=self.dtype)
        rows[: len(found)] = found
        return rows
