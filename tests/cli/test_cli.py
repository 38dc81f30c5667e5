"""The table of commands, their help, and the ways in which every command ends."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from command import run
from vatrace.cli import COMMANDS

PAGES = [Path(__file__).parents[2] / "README.md", *sorted((Path(__file__).parents[2] / "docs").glob("*.md"))]

IMPORTS = """
import sys
from vatrace.cli import COMMANDS, main
for arguments in [["--help"], *([name, "--help"] for name in COMMANDS)]:
    try:
        main(arguments)
    except SystemExit as end:
        assert end.code == 0
    heavy = {"numpy", "PIL", "av", "pandas", "torch", "onnxruntime", "rich", "fastapi"} & set(sys.modules)
    own = [name for name in sys.modules if re.match(r"vatrace\\.(models|corpora|training|evaluation|features|web)", name)]
    assert not heavy and not own, (arguments, heavy, own)
"""


def test_help_imports_neither_numpy_nor_the_pipeline() -> None:
    result = subprocess.run([sys.executable, "-c", f"import re\n{IMPORTS}"], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


def test_the_list_of_commands_is_the_table() -> None:
    result = run("--help")
    assert result.status == 0 and "examples:" in result.out
    listed = re.findall(r"^    (\w+)  +(.+)$", result.out, re.MULTILINE)
    assert listed == [(name, text) for name, (_, text) in COMMANDS.items()]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_examples_and_is_documented(name: str) -> None:
    result = run(name, "--help")
    assert result.status == 0 and result.out.startswith(f"usage: vatrace {name} ")
    assert f"examples:\n  vatrace {name}" in result.out
    assert any(f"vatrace {name} " in page.read_text() or f"vatrace {name}`" in page.read_text() for page in PAGES)


def test_every_command_that_runs_networks_takes_a_device_and_threads() -> None:
    for name in COMMANDS:
        options = set(re.findall(r"^  (--[a-z-]+)", run(name, "--help").out, re.MULTILINE))
        both = {"--device", "--threads"} & options
        assert "--log-level" in options and both == (
            set() if name in {"analyse", "check", "import"} else {"--device", "--threads"}
        )


def test_a_wrong_command_is_refused_with_the_choices() -> None:
    for arguments in (["frobnicate"], [], ["--frobnicate"]):
        result = run(*arguments)
        assert result.status == 2 and "usage: vatrace" in result.err and "Traceback" not in result.err
    assert "'predict'" in run("frobnicate").err


def test_the_version_is_printed() -> None:
    import vatrace

    assert run("--version").out == f"vatrace {vatrace.__version__}\n"


def test_as_a_module_it_is_the_same_program() -> None:
    command = [sys.executable, "-m", "vatrace.cli", "--version"]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == run("--version").out
