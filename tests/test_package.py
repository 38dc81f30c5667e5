"""The top level of the package: what is public, and that it costs nothing until it is used."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import vatrace
from vatrace import errors

ROOT = Path(__file__).parents[1]


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


def test_the_dockerfile_copies_files_that_exist_and_installs_extras_that_exist() -> None:
    steps = [line.split() for line in (ROOT / "Dockerfile").read_text().splitlines() if line and not line.startswith("#")]
    copied = [name for step in steps if step[0] == "COPY" for name in step[1:-1]]
    assert copied == ["pyproject.toml", "README.md", "LICENSE", "src"] and all((ROOT / name).exists() for name in copied)
    assert {f"!{name}" for name in copied} <= set((ROOT / ".dockerignore").read_text().split())
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    (installed,) = re.findall(r"'\.\[([\w,]+)\]'", (ROOT / "Dockerfile").read_text())
    assert set(installed.split(",")) == extras.keys() - {"dev", "docs", "prosody", "ray", "train"}


def test_what_ci_names_exists() -> None:
    workflow = (ROOT / ".github/workflows/tests.yml").read_text()
    named = re.findall(r"(?:tests|\.ci)/[\w/]+(?:\.py)?", workflow + (ROOT / ".ci/matrix").read_text())
    for folder, names, end in re.findall(r"(tests/[\w/]*)\{([\w,]+)\}(\.py)", (ROOT / ".ci/matrix").read_text()):
        named += [f"{folder}{name}{end}" for name in names.split(",")]
    assert len(named) > 15 and [name for name in named if not list(ROOT.glob(f"{name}*"))] == []


def test_the_hooks_before_a_commit_have_the_ruff_of_the_project() -> None:
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]["dev"]
    (ruff,) = (name for name in wanted if name.startswith("ruff"))
    assert re.findall(r'additional_dependencies: \["([^"]+)"\]', (ROOT / ".pre-commit-config.yaml").read_text()) == [ruff] * 2
