import subprocess
import sys

import numpy as np
import pytest

from vatrace.errors import ModelError
from vatrace.features.spool import Spool


def test_rows_are_read_back_and_what_was_not_written_is_zero() -> None:
    spool = Spool((3,))
    rows = np.arange(12, dtype=np.float32).reshape(4, 3)
    spool.write(5, rows)
    assert spool.length == 9
    np.testing.assert_array_equal(spool.read(4, 8), np.concatenate([np.zeros((1, 3)), rows[:3]]))
    np.testing.assert_array_equal(spool.read(8, 12), np.concatenate([rows[3:], np.zeros((3, 3))]))
    spool.write(6, -rows[:1])
    np.testing.assert_array_equal(spool.read(6, 7), -rows[:1])
    assert spool.length == 9


def test_an_empty_spool_reads_as_zeros() -> None:
    assert not Spool((2,)).read(100, 103).any()


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e5])
def test_features_that_are_no_numbers_are_refused(value: float) -> None:
    spool = Spool((2,), maker="voice encoder mine.onnx")
    with pytest.raises(ModelError, match=r"voice encoder mine\.onnx: its features are not finite, or too large"):
        spool.write(0, np.array([[1.0, value]]))
    assert spool.length == 0


@pytest.mark.skipif(sys.platform == "win32", reason="limits are those of POSIX")
@pytest.mark.parametrize("size", [1000, 1001])
def test_a_disk_that_fills_up_within_rows_is_an_error(size: int) -> None:
    """The system writes what fits, and reports an error only for the next byte."""
    code = (
        f"import resource, numpy; resource.setrlimit(resource.RLIMIT_FSIZE, ({size}, {size}))\n"
        "from vatrace.features.spool import Spool\n"
        "Spool((10,)).write(0, numpy.ones((100, 10)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "can't hold the temporary features (file too large)" in done.stderr
