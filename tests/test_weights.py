import hashlib
import re
from pathlib import Path

import pytest

from vatrace.errors import CheckpointError
from vatrace.weights import onnx_session, package_file

RECIPES = Path(__file__).parents[1] / "recipes" / "README.md"
LISTED = dict(re.findall(r"\| `(\w+\.(?:onnx|json|npz))` \| `([0-9a-f]{64})` \|", RECIPES.read_text(encoding="utf-8")))


def test_the_recipes_list_every_weight_file() -> None:
    assert set(LISTED) == {
        path.name for path in package_file("face.onnx").parent.iterdir() if path.suffix in {".onnx", ".json", ".npz"}
    }


@pytest.mark.parametrize("name", LISTED)
def test_each_weight_file_is_the_one_that_is_listed(name: str) -> None:
    assert hashlib.sha256(package_file(name).read_bytes()).hexdigest() == LISTED[name]


def test_all_weights_together_stay_small() -> None:
    assert sum(path.stat().st_size for path in package_file("face.onnx").parent.iterdir()) < 60e6


def test_the_packages_files_are_opened_by_name_and_others_by_path(tmp_path: Path) -> None:
    copy = tmp_path / "copy.onnx"
    copy.write_bytes(package_file("voice.onnx").read_bytes())
    for file in ("voice.onnx", copy):
        assert [value.name for value in onnx_session(file).get_inputs()] == ["frames"]


@pytest.mark.parametrize("content", [None, b"no network"])
def test_a_file_that_is_no_network_is_named(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "net.onnx").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"net\.onnx: can't be opened as an ONNX model"):
        onnx_session(tmp_path / "net.onnx")
