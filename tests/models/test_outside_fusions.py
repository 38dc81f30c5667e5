"""Fusions from outside the package."""

from pathlib import Path
from typing import Any

import pytest
import torch

from made_plugins import MINE, MODULE, add_module
from vatrace.errors import PluginError
from vatrace.models.affect import AffectModel, ModelConfig

DIMS = {"face": 6, "voice": 5}


@pytest.fixture(autouse=True)
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    add_module(tmp_path, monkeypatch)


def config(fusion: str, **options: Any) -> ModelConfig:
    return ModelConfig(feature_dims=DIMS, fusion=fusion, fusion_options=options)


@pytest.mark.parametrize("fusion", [MINE, f"{MODULE}:NoBase"])
def test_it_trains_and_streams_like_any_other(fusion: str) -> None:
    torch.manual_seed(0)
    model = AffectModel(config(fusion, dim=3))
    features = {name: torch.randn(2, 20, dim) for name, dim in DIMS.items()}
    valid = {name: torch.rand(2, 20) < 0.7 for name in DIMS}
    model(features, valid).sum().backward()
    assert all(value.grad is not None for value in model.fusion.parameters())
    memory, parts = model.eval().new_memory(), []
    with torch.inference_mode():
        for span in (slice(0, 3), slice(3, 4), slice(4, 20)):
            parts.append(model(*({name: x[:, span] for name, x in given.items()} for given in (features, valid)), memory))
        torch.testing.assert_close(torch.cat(parts, dim=1), model(features, valid), rtol=0, atol=1e-5)


def test_its_options_are_passed_and_others_refused() -> None:
    assert AffectModel(config(MINE, dim=3)).fusion.out_dim == 3
    assert AffectModel(config(MINE)).fusion.out_dim == 7
    with pytest.raises(ValueError, match=r"Mine has no option 'width'; it has dim"):
        config(MINE, width=3)
    with pytest.raises(ValueError, match=r"fusion_options\.dim must be a valid integer, not 'three'"):
        config(MINE, dim="three")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("NoForward", "lacks forward"),
        ("NoWidth", r"lacks out_dim \(int\)"),
        ("NoMemory", r"forward must take \(features, valid, memory=None\)"),
        ("NoDropout", r"can't be constructed with \(dims, dropout, \*\*fusion_options\)"),
        ("NoRecursions", "lacks recursions"),
        ("NoModule", r"must derive from vatrace\.models\.fusions\.Fusion or torch\.nn\.Module"),
        ("Absent", f"no such class in {MODULE}"),
    ],
)
def test_missing_parts_are_named(name: str, message: str) -> None:
    with pytest.raises(PluginError, match=f"{MODULE}:{name}: {message}"):
        config(f"{MODULE}:{name}")


def test_a_module_that_is_not_installed_is_named() -> None:
    with pytest.raises(PluginError, match=r"nowhere_at_all:Mine: can't be imported \(No module named 'nowhere_at_all'\)"):
        config("nowhere_at_all:Mine")
