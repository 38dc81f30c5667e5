from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest
import torch

from made_plugins import MINE, MODULE, add_module
from vatrace.errors import ConfigError
from vatrace.models.affect import AffectModel, ModelConfig
from vatrace.models.attention import TimeAttention
from vatrace.training.config import PRESETS, RunConfig, read_config
from vatrace.training.data import Batch
from vatrace.training.loop import Epoch, fit


@pytest.mark.parametrize("name", PRESETS)
def test_presets_make_models(name: str) -> None:
    model = AffectModel(read_config(name).model)
    assert model.causal == (name == "streaming")


def test_the_default_preset_is_the_residual_default() -> None:
    preset, built = AffectModel(read_config("default").model), AffectModel(ModelConfig(residual=True))
    assert {name: value.shape for name, value in preset.state_dict().items()} == {
        name: value.shape for name, value in built.state_dict().items()
    }
    assert (preset.fusion.num_recursions, preset.fusion.causal) == (built.fusion.num_recursions, built.fusion.causal)
    reaches = {module.reach for model in (preset, built) for module in model.modules() if isinstance(module, TimeAttention)}
    assert reaches == {50}
    assert read_config("default").train == RunConfig().train


def test_the_paper_preset_is_as_printed() -> None:
    config = read_config("paper")
    model = config.model
    assert (model.fusion, model.num_levels, model.kernel_size, model.head_dim) == ("rcma", 4, 5, 256)
    assert (model.dropout, model.fusion_dropout) == (0.1, 0.6)
    options = {"axis": "time", "num_recursions": 3, "shared_weights": True, "joint_dim": 512}
    assert model.fusion_options == options
    assert (config.train.squared_error, config.train.max_grad_norm) == (0, 0)
    assert config.model.feature_dims == {"face": 512, "voice": 128, "words": 768}
    assert config.model.widths == {"face": 256, "voice": 128, "words": 128}
    assert config.model.outputs == ("valence", "arousal") and config.train.separate
    train = config.train
    assert (train.optimizer, train.learning_rate, train.weight_decay, train.batch_size) == ("adam", 1e-5, 1e-3, 12)
    assert (train.win_len, train.hop_len, train.num_epochs, train.early_stop) == (300, 200, 100, 50)
    assert (train.schedule, train.warmup_epochs, train.patience, train.factor, train.min_learning_rate) == (
        "plateau",
        5,
        5,
        0.1,
        1e-8,
    )


@pytest.mark.parametrize("output", ["valence", "arousal"])
def test_the_paper_preset_trains_a_model_for_each_output(output: Literal["valence", "arousal"]) -> None:
    config = read_config("paper")
    torch.manual_seed(0)
    model = AffectModel(replace(config.model, outputs=(output,)))
    features = {name: torch.randn(2, config.train.win_len, dim) for name, dim in config.model.feature_dims.items()}
    valid = {name: torch.rand(2, config.train.win_len) < 0.8 for name in features}
    target = torch.tanh(features["face"][:, :, :1])
    batch = Batch(features, valid, target, torch.ones(2, config.train.win_len, dtype=torch.bool))
    before = [value.clone() for value in model.parameters()]
    epochs: list[Epoch] = []
    fit(model, lambda number: [batch] * 2, 2, lambda model: {output: 0.0}, replace(config.train, num_epochs=1), epochs.append)
    assert 0 < epochs[0].loss < 2
    assert epochs[0].learning_rate == pytest.approx(1e-5 / 5)  # the first of five epochs of warm-up
    assert all(not torch.equal(old, new) for old, new in zip(before, model.parameters(), strict=True))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[model\n", "not TOML"),
        ("[modle]\n", "modle is unknown; known names are model, train, backbone"),
        ('[model]\nfusoin = "rcma"\n', "model.fusoin is unknown; known names are feature_dims, widths, "),
        ('[model]\nfusion = "rcam"\n', "model: fusion must be one of recursive_cross_attention, .*, not 'rcam'"),
        ("[model.feature_dims]\nvalid = 3\n", "model: 'valid' is reserved: give the modality another name"),
        ("[model.fusion_options]\nreach = true\n", "model: fusion_options.reach must be a valid integer, not True"),
        ("[train]\nbatch_size = 0\n", "train.batch_size: must be greater than 0, not 0"),
        ('[train]\nlearning_rate = "fast"\n', "train.learning_rate: must be a valid number, not 'fast'"),
        ("[train]\nhop_len = 400\n", r"train: hop_len must be at most win_len \(300\), not 400"),
        ("model = 3\n", "model must be a table, not 3"),
        ('[backbone]\nweights = "w.pth"\n', "backbone.network: is missing"),
        (
            '[backbone]\nnetwork = "ir50"\nweights = "w.pth"\n',
            "backbone ir50 gives 512 channels: set model.feature_dims.face to 512$",
        ),
        (
            '[backbone]\nnetwork = "ferplus"\nweights = "w.pth"\n[model]\nfusion = "concat"\n[model.feature_dims]\nvoice = 3\n',
            "backbone ferplus gives 128 channels: set model.feature_dims.face to 128$",
        ),
        (
            "[train]\nbatch_size = 0\nwin_len = 0\n",
            "train.batch_size: must be greater than 0, not 0; train.win_len: must be greater than 0, not 0$",
        ),
        ('[model]\nfusion = "nowhere_at_all:Mine"\n', "model.fusion: nowhere_at_all:Mine: can't be imported"),
    ],
)
def test_faults_are_named(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "run.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=f"^{path}: {message}") as caught:
        read_config(path)
    assert "\n" not in str(caught.value) and "Value error" not in str(caught.value)


def test_a_fusion_from_outside_and_a_modality_of_any_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    add_module(tmp_path, monkeypatch)
    path = tmp_path / "run.toml"
    path.write_text(
        f'[model]\nfusion = "{MINE}"\n[model.fusion_options]\ndim = 3\n[model.feature_dims]\nphysiology = 5\nface = 128\n'
    )
    config = read_config(path).model
    assert config.modalities == ("face", "physiology") and config.widths == {"face": 64, "physiology": 64}
    assert AffectModel(config).fusion.out_dim == 3
    path.write_text(f'[model]\nfusion = "{MODULE}:NoForward"\n')
    with pytest.raises(ConfigError, match=rf"run\.toml: model\.fusion: {MODULE}:NoForward: lacks forward"):
        read_config(path)


def test_a_backbone_has_its_weights_next_to_the_file(tmp_path: Path) -> None:
    path = tmp_path / "run.toml"
    path.write_text('[backbone]\nnetwork = "ferplus"\nweights = "w.pth"\n')
    backbone = read_config(path).backbone
    assert backbone is not None and backbone.weights == str(tmp_path / "w.pth")


def test_a_preset_is_read_by_its_path_and_other_encodings_are_refused(tmp_path: Path) -> None:
    assert read_config(Path("default")) == read_config("default")
    (tmp_path / "latin.toml").write_bytes("# Gefühl".encode("latin-1"))
    with pytest.raises(ConfigError, match=r"latin\.toml: not TOML"):
        read_config(tmp_path / "latin.toml")


def test_a_missing_file_is_named_with_the_presets() -> None:
    with pytest.raises(ConfigError, match=r"nothing\.toml: no such file or preset \(default, streaming, paper\)"):
        read_config("nothing.toml")
