"""The top level of the package: what is public, and that it costs nothing until it is used."""

from __future__ import annotations

import inspect
import subprocess
import sys

import pytest

import vatrace
from vatrace import errors


def python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


def test_importing_it_loads_neither_numpy_nor_the_pipeline() -> None:
    code = "import sys, vatrace; print(sorted(n for n in sys.modules if n == 'numpy' or n.startswith('vatrace')))"
    assert python(code).stdout == "['vatrace']\n"


def test_all_its_names_are_found_without_pytorch() -> None:
    code = "import sys; sys.modules['torch'] = None\nfrom vatrace import *\nprint(predict, Streamer, FaceEncoder)"
    result = python(code)
    assert result.returncode == 0, result.stderr
    assert set(vatrace.__all__) <= set(dir(vatrace))
    with pytest.raises(AttributeError, match="has no attribute 'frobnicate'"):
        vatrace.frobnicate  # noqa: B018


def test_every_error_is_public() -> None:
    family = {name for name, value in vars(errors).items() if inspect.isclass(value) and value.__module__ == errors.__name__}
    assert family == {name for name in vatrace.__all__ if name.endswith("Error")}
    assert all(issubclass(getattr(vatrace, name), vatrace.VatraceError) for name in family)


def test_no_module_has_the_name_of_a_function() -> None:
    result = python("import vatrace; vatrace.predict; import vatrace.predict")
    assert result.returncode == 1 and "No module named 'vatrace.predict'" in result.stderr
