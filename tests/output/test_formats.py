import inspect
import sys
from pathlib import Path

import pytest

from vatrace.errors import MissingExtraError
from vatrace.output import writers
from vatrace.output.formats import FORMATS, check_formats


def test_every_writer_is_in_the_table_once() -> None:
    found = {
        name
        for name, function in inspect.getmembers(writers, inspect.isfunction)
        if list(inspect.signature(function).parameters) == ["prediction", "path"]
    }
    assert found == {*(entry.writer for entry in FORMATS.values()), "write_side"}  # the latter is always written
    assert len({entry.suffix for entry in FORMATS.values()}) == len(FORMATS)


@pytest.mark.parametrize(("name", "library"), [("parquet", "pyarrow"), ("elan", "pympi"), ("textgrid", "praatio")])
def test_a_missing_library_is_found_before_the_work(name: str, library: str, monkeypatch: pytest.MonkeyPatch) -> None:
    check_formats(FORMATS)
    monkeypatch.setitem(sys.modules, library, None)
    check_formats(["csv", "json", "vtt"])
    with pytest.raises(MissingExtraError, match=f"{name} needs {library}; .*formats"):
        check_formats([name])


def test_a_library_that_does_not_fit_the_others_is_found_before_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pyarrow.py").write_text("raise ImportError('numpy.core.multiarray failed to import')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "pyarrow", raising=False)
    with pytest.raises(MissingExtraError, match=r"parquet needs pyarrow, .*numpy\.core\.multiarray failed.*\): pip install"):
        check_formats(["csv", "parquet"])
