import sys
import tempfile
from pathlib import Path

import pytest

from vatrace.errors import MissingExtraError, report_bug, require


def failed(error: BaseException) -> BaseException:
    """The error with a traceback."""
    try:
        raise error
    except type(error) as raised:
        return raised


def test_a_bug_report_names_a_file_with_all_that_is_needed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(sys, "argv", ["vatrace", "predict", f"{Path.home()}/private/talk.mp4"])
    line = report_bug(failed(TypeError("two operands\nand a second line")), "talk.mp4")
    (file,) = tmp_path.iterdir()
    assert line == f"talk.mp4: a bug in vatrace (TypeError: two operands); please report it with {file}"
    text = file.read_text()
    assert "Traceback" in text and "raise error" in text and "and a second line" in text
    assert "vatrace predict ~/private/talk.mp4" in text and sys.version.split()[0] in text
    assert str(Path.home()) not in text


def test_without_room_for_a_file_the_traceback_is_logged(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "none"))
    assert report_bug(failed(KeyError()), "live").endswith("(KeyError); please report it with the traceback above")
    assert "Traceback" in caplog.text


def test_too_little_memory_is_no_bug(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    cpu = RuntimeError("could not create a primitive")  # oneDNN's, seen under a limit of the address space
    for error in (MemoryError(), torch.OutOfMemoryError("CUDA out of memory.\nmore"), cpu):
        assert report_bug(error, "talk.mp4").startswith("talk.mp4: out of memory (")
    assert list(tmp_path.iterdir()) == []


def test_a_library_that_can_not_be_imported_is_told_from_a_missing_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "too_new.py").write_text("raise AttributeError('needs NumPy 2')")
    (tmp_path / "needs_another.py").write_text("import the_other_one")
    monkeypatch.syspath_prepend(tmp_path)
    require("csv", ["json"], "formats")
    with pytest.raises(MissingExtraError, match=r"parquet needs too_new, .* \(AttributeError: needs NumPy 2\): pip install"):
        require("parquet", ["too_new"], "formats")
    with pytest.raises(MissingExtraError, match="needs no_such_one, no_such_two; it comes with the `web` extra"):
        require("the page", ["no_such_one", "no_such_two"], "web")
    with pytest.raises(MissingExtraError, match=r"needs_another, .* \(ModuleNotFoundError: No module named 'the_other_one'\)"):
        require("parquet", ["needs_another"], "formats")
