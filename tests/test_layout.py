"""How the package is laid out: what may import what, and how long files and functions may be."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "src" / "vatrace"
MODULES = {path.relative_to(PACKAGE).with_suffix("").as_posix(): path for path in sorted(PACKAGE.rglob("*.py"))}
"""Files by their path in the package, such as "media/reading"."""

GROUND = frozenset(
    {
        *("accelerator", "names", "languages", "files", "records", "errors", "plugins", "timeline", "metrics", "weights"),
        *("workers", "watcher", "free_memory"),
    }
)
LAYERS = (
    GROUND,
    *(
        frozenset({name})
        for name in (
            *("media", "store", "encoders", "features", "models", "corpora", "inference", "output", "training", "evaluation"),
            *("analysis", "web", "cli"),
        )
    ),
)
"""From the ground up: a module imports from its own layer and from those below."""

WITHOUT_TORCH = ("timeline", "store", "metrics", "output")
"""They never import PyTorch."""
WITH_TORCH = ("models", "training", "encoders/networks")
"""They may import PyTorch as soon as they are imported; all others inside functions only."""

MAX_MODULE, MAX_FUNCTION, MAX_PARAMETERS = 600, 60, 7


def part(module: str) -> str:
    """The folder, or the file beside the folders, that a module belongs to."""
    return module.split("/", maxsplit=1)[0]


def imports(module: str) -> Iterator[tuple[int, str]]:
    """Line and dotted name of all that a module imports, in functions and for type checking too."""
    for node in ast.walk(ast.parse(MODULES[module].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0 and node.module, f"{module}: line {node.lineno}: imports are absolute"
            yield node.lineno, node.module
            if node.module == "vatrace":
                yield from ((node.lineno, f"vatrace.{alias.name}") for alias in node.names)


def in_parts(module: str, parts: tuple[str, ...]) -> bool:
    return any(module == name or module.startswith(f"{name}/") for name in parts)


def importing(parts: tuple[str, ...], forbidden: set[str]) -> list[str]:
    """Where modules of some parts import a forbidden name, or what is in it."""
    return [
        f"{module}:{line} imports {name}"
        for module in MODULES
        if in_parts(module, parts)
        for line, name in imports(module)
        if any(name == other or name.startswith(f"{other}.") for other in forbidden)
    ]


def test_every_module_has_its_layer() -> None:
    assert {part(module) for module in MODULES} - {"__init__"} == frozenset().union(*LAYERS)


@pytest.mark.parametrize("level", range(len(LAYERS)))
def test_imports_only_go_down(level: int) -> None:
    above = {f"vatrace.{name}" for parts in LAYERS[level + 1 :] for name in parts}
    assert importing(tuple(LAYERS[level]), above) == []


def test_parts_that_need_no_torch_never_import_it() -> None:
    assert importing(WITHOUT_TORCH, {"torch"}) == []


def test_models_never_touch_files() -> None:
    files = {"pathlib", "io", "shutil", "tempfile", "vatrace.files", "vatrace.weights", "vatrace.store"}
    assert importing(("models",), files) == []
    opened = [module for module in MODULES if in_parts(module, ("models",)) and "open(" in MODULES[module].read_text("utf-8")]
    assert opened == []


def test_all_other_modules_can_be_imported_without_torch() -> None:
    names = [
        "vatrace" if module == "__init__" else f"vatrace.{module.removesuffix('/__init__').replace('/', '.')}"
        for module in MODULES
        if not in_parts(module, WITH_TORCH) and module != "cli/__main__"
    ]
    code = "import importlib, sys; sys.modules['torch'] = None; [importlib.import_module(name) for name in sys.argv[1:]]"
    done = subprocess.run([sys.executable, "-c", code, *names], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_no_two_modules_share_a_name_unless_they_are_one_thing_at_two_levels() -> None:
    places = defaultdict(list)
    for module in MODULES:
        if not in_parts(module, ("cli", "web", "encoders/networks")):  # named after what they show, or are the network of
            places[module.rsplit("/", maxsplit=1)[-1]].append(module)
    places.pop("__init__")
    assert [found for found in places.values() if len(found) > 1] == []


def functions(text: str) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Those whose `def` line has no comment, which would give the reason for their size."""
    lines = text.splitlines()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not re.search(r"#\s*\w", lines[node.lineno - 1]):
            yield node


def num_parameters(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    given = function.args
    names = [argument.arg for argument in (*given.posonlyargs, *given.args, *given.kwonlyargs)]
    return len([name for name in names if name not in {"self", "cls"}])


def test_files_and_functions_are_short_or_say_why_not() -> None:
    found = []
    for module, path in MODULES.items():
        text = path.read_text(encoding="utf-8")
        if len(text.splitlines()) > MAX_MODULE:
            found.append(f"{module}: {len(text.splitlines())} lines")
        for function in functions(text):
            length = function.end_lineno - function.lineno + 1
            if length > MAX_FUNCTION:
                found.append(f"{module}: {function.name}: {length} lines")
            if num_parameters(function) > MAX_PARAMETERS:
                found.append(f"{module}: {function.name}: {num_parameters(function)} parameters")
    assert found == []


def test_a_comment_beside_def_is_the_reason_for_many_parameters() -> None:
    long = "def f(a, b, c, d, e, f, g, h): {}pass"
    assert [num_parameters(function) for function in functions(long.format(""))] == [8]
    assert list(functions(long.replace("{}", "  # flat, as callers expect\n    "))) == []
