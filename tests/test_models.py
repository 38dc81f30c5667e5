from pathlib import Path

import pytest
import torch
from torch import Tensor

from vatrace.losses import ccc_loss
from vatrace.models.affect import AffectModel, ModelConfig
from vatrace.models.rcma import CrossModalAttention
from vatrace.models.tcn import TCN
from vatrace.prediction import MODALITIES

CONFIG = ModelConfig(feature_dims={"face": 6, "voice": 10, "words": 8}, dim=16, head_dim=32)


def data(batch: int, steps: int, seed: int = 0) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    generator = torch.Generator().manual_seed(seed)
    features = {name: torch.randn(batch, steps, dim, generator=generator) for name, dim in CONFIG.feature_dims.items()}
    valid = {name: torch.rand(batch, steps, generator=generator) < 0.7 for name in MODALITIES}
    return features, valid


@pytest.fixture
def model() -> AffectModel:
    torch.manual_seed(0)
    model = AffectModel(CONFIG)
    with torch.no_grad():  # a fresh batch norm is close to the identity: give it something to do
        for value in model.parameters():
            value.add_(0.05 * torch.randn_like(value))
    return model.eval()


@pytest.mark.parametrize("steps", [1, 2, 17, 300, 1000])
def test_any_length_gives_finite_values_in_range(model: AffectModel, steps: int) -> None:
    with torch.inference_mode():
        output = model(*data(2, steps))
    assert output.shape == (2, steps, 2)
    assert output.abs().max() <= 1


def test_a_batch_equals_its_recordings_alone(model: AffectModel) -> None:
    features, valid = data(3, 40)
    with torch.inference_mode():
        together = model(features, valid)
        for i in range(3):
            alone = model(
                {name: value[i : i + 1] for name, value in features.items()},
                {name: value[i : i + 1] for name, value in valid.items()},
            )
            torch.testing.assert_close(alone[0], together[i], rtol=0, atol=1e-5)


def test_values_at_missing_steps_do_not_matter(model: AffectModel) -> None:
    features, valid = data(2, 50)
    changed = {name: torch.where(valid[name][:, :, None], value, 1e3) for name, value in features.items()}
    with torch.inference_mode():
        torch.testing.assert_close(model(features, valid), model(changed, valid), rtol=0, atol=1e-6)


@pytest.mark.parametrize("absent", [("face",), ("voice", "words"), MODALITIES])
def test_missing_modalities_give_finite_values(model: AffectModel, absent: tuple[str, ...]) -> None:
    features, valid = data(2, 30)
    for name in absent:
        valid[name] = torch.zeros_like(valid[name])
    with torch.inference_mode():
        assert torch.isfinite(model(features, valid)).all()


def test_every_parameter_gets_a_gradient(model: AffectModel) -> None:
    model.train()
    features, valid = data(4, 60)
    model(features, valid).square().sum().backward()
    without = [name for name, value in model.named_parameters() if value.grad is None or not value.grad.abs().sum() > 0]
    assert without == []


def test_standardisation_takes_the_given_statistics_out(model: AffectModel) -> None:
    features, valid = data(2, 30)
    with torch.inference_mode():
        before = model(features, valid)
        statistics = {name: (torch.full((dim,), 3.0), torch.full((dim,), 2.0)) for name, dim in CONFIG.feature_dims.items()}
        model.standardise_by(statistics)
        after = model({name: value * 2 + 3 for name, value in features.items()}, valid)
    torch.testing.assert_close(before, after, rtol=0, atol=1e-5)


def test_config_refuses_unknown_modalities() -> None:
    with pytest.raises(ValueError, match="face, voice, words"):
        ModelConfig(feature_dims={"face": 1, "smell": 2})


def test_tcn_is_causal_with_the_printed_receptive_field() -> None:
    torch.manual_seed(0)
    tcn = TCN(3, 8).eval()
    x = torch.randn(1, 200, 3)
    x.requires_grad_()
    tcn(x)[0, 150].sum().backward()
    assert x.grad is not None
    touched = torch.nonzero(x.grad[0].abs().sum(dim=1) > 0)[:, 0]
    assert touched.max() == 150
    assert touched.min() == 150 - 120  # 2 (5 - 1)(1 + 2 + 4 + 8) + 1 = 121 steps


def test_cross_modal_attention_is_the_printed_equation() -> None:
    torch.manual_seed(0)
    layer = CrossModalAttention(4, dropout=0.0).eval()
    x, joint = torch.randn(2, 1, 7, 4)
    w, w_c, w_h = (linear.weight.T for linear in (layer.correlate, layer.channels, layer.update))
    correlation = torch.tanh(x[0] @ w @ joint[0].T / 4**0.5)
    expected = x[0] + torch.relu(correlation @ x[0] / 7 @ w_c) @ w_h
    torch.testing.assert_close(layer(x, joint, torch.ones(1, 7))[0], expected)


def test_it_can_learn_a_toy_set() -> None:
    torch.manual_seed(0)
    model = AffectModel(CONFIG)
    features, valid = data(8, 40)
    valid["face"][:] = True
    target = torch.tanh(torch.stack([features["face"][:, :, 0], features["face"][:, :, 1]], dim=-1))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for _ in range(250):
        loss = ccc_loss(target, model(features, valid))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    model.eval()
    with torch.inference_mode():
        assert 1 - ccc_loss(target, model(features, valid)) > 0.95


def test_onnx_equals_pytorch_at_any_length(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: AffectModel) -> None:
    monkeypatch.syspath_prepend(Path(__file__).parents[1] / "runs")
    from fusion import export

    export(model, CONFIG, tmp_path / "fusion.onnx")  # it raises if any length differs by more than 1e-4
    assert (tmp_path / "fusion.onnx").stat().st_size > 10_000
