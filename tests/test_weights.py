import hashlib
import re
from pathlib import Path

import pytest

from vatrace.weights import package_file

RECIPES = Path(__file__).parents[1] / "recipes" / "README.md"
LISTED = dict(re.findall(r"\| `(\w+\.(?:onnx|json))` \| `([0-9a-f]{64})` \|", RECIPES.read_text(encoding="utf-8")))


def test_the_recipes_list_every_weight_file() -> None:
    assert set(LISTED) == {
        path.name for path in package_file("face.onnx").parent.iterdir() if path.suffix in {".onnx", ".json"}
    }


@pytest.mark.parametrize("name", LISTED)
def test_each_weight_file_is_the_one_that_is_listed(name: str) -> None:
    assert hashlib.sha256(package_file(name).read_bytes()).hexdigest() == LISTED[name]


def test_all_weights_together_stay_small() -> None:
    assert sum(path.stat().st_size for path in package_file("face.onnx").parent.iterdir()) < 40e6
