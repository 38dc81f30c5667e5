from pathlib import Path
from typing import Protocol

import pytest

from made_plugins import add_module
from vatrace.errors import PluginError
from vatrace.plugins import is_plugin, load_class

SOURCE = """
class Whole:
    def one(self): ...
    def two(self): ...

class Half:
    def one(self): ...

function = len
"""


class Needed(Protocol):
    def one(self) -> None: ...
    def two(self) -> None: ...


Needed.__module__ = "vatrace.needed"  # as of a protocol of the package


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("package.module:Class", True),
        ("module:Class", True),
        ("Class", False),
        ("package.module", False),
        ("ir50:weights.pth", False),
        ("onnx:/models/face.onnx", False),
        (":Class", False),
        ("module:", False),
        ("package..module:Class", False),
        ("module:Class:more", False),
    ],
)
def test_a_plugin_is_a_class_of_a_module(name: str, expected: bool) -> None:
    assert is_plugin(name) == expected


def test_a_class_is_loaded_when_it_has_all_methods(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    add_module(tmp_path, monkeypatch, "outside", SOURCE)
    assert load_class("outside:Whole", Needed).__name__ == "Whole"
    with pytest.raises(PluginError, match="outside:Half: lacks two, which a Needed must have"):
        load_class("outside:Half", Needed)
    with pytest.raises(PluginError, match="outside:function: no such class in outside"):
        load_class("outside:function", Needed)


def test_whatever_goes_wrong_in_the_import_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    add_module(tmp_path, monkeypatch, "broken", "1 / 0")
    with pytest.raises(PluginError, match=r"broken:Mine: can't be imported \(ZeroDivisionError: division by zero\)"):
        load_class("broken:Mine", Needed)
    with pytest.raises(PluginError, match=r"absent\.module:Mine: can't be imported .* PYTHONPATH"):
        load_class("absent.module:Mine", Needed)
