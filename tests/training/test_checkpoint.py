import json
import sys
from pathlib import Path

import pytest
import torch

from made_plugins import MINE, MODULE, add_module, forget_module
from vatrace.errors import CheckpointError, PluginError
from vatrace.models.affect import AffectModel, ModelConfig
from vatrace.training.checkpoint import load_model, load_tensors, save_model, save_tensors

DIMS = {"face": 6, "physiology": 5}


def saved(folder: Path, fusion: str) -> tuple[AffectModel, Path]:
    model, path = AffectModel(ModelConfig(feature_dims=DIMS, fusion=fusion)), folder / "model.safetensors"
    save_model(path, model, {"rate": 10})
    return model.eval(), path


def test_a_model_comes_back_with_its_facts(tmp_path: Path) -> None:
    model, path = saved(tmp_path, "gated")
    again, facts = load_model(path)
    assert again.config == model.config and facts == {"rate": 10} and not again.training
    assert all(torch.equal(value, again.state_dict()[name]) for name, value in model.state_dict().items())
    assert json.loads(path.with_suffix(".json").read_text())["model"]["fusion"] == "gated"


def test_a_class_from_outside_is_imported_only_when_the_user_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    add_module(tmp_path, monkeypatch)
    model, path = saved(tmp_path, MINE)
    forget_module(monkeypatch)
    for plugins in ((), ("another.module:Mine",), (MODULE,)):
        with pytest.raises(PluginError, match=rf"model\.safetensors: .*{MINE}.* add --plugin {MINE} if you trust it"):
            load_model(path, plugins=plugins)
    assert MODULE not in sys.modules
    again, _ = load_model(path, plugins=[MINE])
    features = {name: torch.randn(1, 9, dim) for name, dim in DIMS.items()}
    valid = {name: torch.ones(1, 9, dtype=torch.bool) for name in DIMS}
    assert torch.equal(again(features, valid), model(features, valid))


@pytest.mark.parametrize("change", [{"fusion": "magic"}, {"fusion": None}, {"head_dim": 3}, {"smell": 1}, {"outputs": 5}])
def test_a_config_that_does_not_fit_is_a_fault_of_the_file(tmp_path: Path, change: dict[str, object]) -> None:
    _, path = saved(tmp_path, "gated")
    tensors, facts = load_tensors(path)
    save_tensors(path, tensors, facts | {"model": facts["model"] | change})
    with pytest.raises(CheckpointError, match=r"model\.safetensors: not a model of this version of vatrace"):
        load_model(path)


def test_tensors_alone_are_not_a_model(tmp_path: Path) -> None:
    save_tensors(tmp_path / "state.safetensors", {"x": torch.zeros(2)}, {})
    with pytest.raises(CheckpointError, match=r"state\.safetensors: not a model"):
        load_model(tmp_path / "state.safetensors")
