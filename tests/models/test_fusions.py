"""Properties that every fusion must have."""

import inspect
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from vatrace.models.affect import AffectModel, ModelConfig
from vatrace.models.attention import TimeAttention
from vatrace.models.fusions import FUSIONS
from vatrace.models.fusions.rcma import ChannelCorrelation, Recursion, TimeCorrelation
from vatrace.models.losses import ccc_loss
from vatrace.models.memory import Memory
from vatrace.training.export import export_onnx

CONFIG = ModelConfig(
    feature_dims={"face": 6, "voice": 10, "words": 8}, widths={"face": 16, "voice": 12, "words": 8}, head_dim=32
)
NEAR: dict[str, Any] = {"reach": 9}
CAUSAL: dict[str, Any] = {"causal": True, "reach": 9}
OPTIONS: dict[str, list[dict[str, Any]]] = {
    "recursive_cross_attention": [{}, CAUSAL | {"num_recursions": 3}],
    "rcma": [{}, NEAR, CAUSAL, {"axis": "channel", "shared_weights": False}, {"axis": "channel", "causal": True}],
    "rjcma": [{}, {"shared_weights": False, "num_recursions": 2}, CAUSAL, {"axis": "channel"}],
    "jca": [{}, NEAR, CAUSAL],
    "cross_attention": [{}, NEAR, CAUSAL],
    "transformer": [{}, NEAR, CAUSAL],
}
VARIANTS = {
    "-".join([name, *(f"{key}={value}" for key, value in options.items())]): replace(
        CONFIG, fusion=name, fusion_options=options
    )
    for name in FUSIONS
    for options in OPTIONS.get(name, [{}])
}
VARIANTS |= {
    f"residual-{name}": replace(CONFIG, fusion=name, fusion_options=options, residual=True)
    for name, options in {"recursive_cross_attention": CAUSAL, "transformer": NEAR, "concat": {}}.items()
}
NEED_OTHERS = ("rcma", "cross_attention", "recursive_cross_attention")
STREAMING = [name for name, config in VARIANTS.items() if AffectModel(config).causal]

Batch = tuple[dict[str, Tensor], dict[str, Tensor]]


def build(config: ModelConfig) -> AffectModel:
    torch.manual_seed(0)
    model = AffectModel(config)
    with torch.no_grad():  # a new batch norm is close to the identity, and a new missing vector is 0: give them other values
        for value in model.parameters():
            value.add_(0.05 * torch.randn_like(value))
    return model.eval()


@pytest.fixture(params=VARIANTS)
def model(request: pytest.FixtureRequest) -> AffectModel:
    return build(VARIANTS[request.param])


def data(batch: int, steps: int, seed: int = 0) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    features = {name: torch.randn(batch, steps, dim, generator=generator) for name, dim in CONFIG.feature_dims.items()}
    return features, {name: torch.rand(batch, steps, generator=generator) < 0.7 for name in features}


def part(values: dict[str, Tensor], *index: slice) -> dict[str, Tensor]:
    return {name: value[index] for name, value in values.items()}


def predict(model: AffectModel, batch: Batch, memory: Memory | None = None) -> Tensor:
    with torch.inference_mode():
        return model(*batch, memory)


def test_options_that_decide_what_a_fusion_attends_to_have_several_values() -> None:
    assert set(OPTIONS) <= set(FUSIONS)
    for name, fusion in FUSIONS.items():
        for option, parameter in inspect.signature(fusion).parameters.items():
            if option in {"axis", "causal", "reach", "shared_weights"}:
                tried = {options.get(option, parameter.default) for options in OPTIONS.get(name, [{}])}
                assert len(tried) > 1, f"{name}: {option}"


@pytest.mark.parametrize("steps", [1, 2, 17, 300, 1000])
def test_any_length_gives_finite_values_in_range(model: AffectModel, steps: int) -> None:
    output = predict(model, data(2, steps))
    assert output.shape == (2, steps, 2)
    assert output.abs().max() <= 1


def test_padding_changes_nothing_before_it(model: AffectModel) -> None:
    features, valid = data(2, 60)
    for mask in valid.values():
        mask[1, 40:] = False
    together = predict(model, (features, valid))
    alone = predict(model, (part(features, slice(1, 2), slice(40)), part(valid, slice(1, 2), slice(40))))
    torch.testing.assert_close(together[1, :40], alone[0], rtol=0, atol=1e-5)


def test_padding_changes_nothing_in_training(model: AffectModel) -> None:
    """Batch norm must count valid steps only: compared without dropout, and by the running statistics too."""
    config = replace(model.config, dropout=0.0, fusion_dropout=0.0)
    short, long = build(config).train(), build(config).train()
    features, valid = data(3, 40)
    padded_features = {name: torch.cat([x, torch.randn_like(x)], dim=1) for name, x in features.items()}
    padded_valid = {name: torch.cat([x, torch.zeros_like(x)], dim=1) for name, x in valid.items()}
    torch.testing.assert_close(long(padded_features, padded_valid)[:, :40], short(features, valid), rtol=0, atol=1e-5)
    for name, value in short.named_buffers():
        torch.testing.assert_close(long.get_buffer(name), value, rtol=0, atol=1e-5)


def test_a_batch_equals_its_recordings_alone(model: AffectModel) -> None:
    features, valid = data(3, 40)
    together = predict(model, (features, valid))
    for i in range(3):
        alone = predict(model, (part(features, slice(i, i + 1)), part(valid, slice(i, i + 1))))
        torch.testing.assert_close(alone[0], together[i], rtol=0, atol=1e-5)


def test_causal_where_claimed_and_only_there(model: AffectModel) -> None:
    features, valid = data(2, 60)
    before = predict(model, (features, valid))
    for name, x in features.items():
        x[:, 45:] += 1
        valid[name][:, 45:] = True
    after = predict(model, (features, valid))
    unchanged = torch.allclose(before[:, :45], after[:, :45], rtol=0, atol=1e-6)
    assert unchanged == model.causal
    assert not torch.allclose(before[:, 45:], after[:, 45:], atol=1e-3)


def test_the_order_of_the_dictionary_does_not_matter(model: AffectModel) -> None:
    features, valid = data(2, 30)
    turned = {name: features[name] for name in reversed(features)}, {name: valid[name] for name in reversed(valid)}
    assert torch.equal(predict(model, (features, valid)), predict(model, turned))


def test_the_order_in_the_config_does_not_matter(model: AffectModel) -> None:
    turned = dict(reversed(CONFIG.feature_dims.items()))
    other = AffectModel(replace(model.config, feature_dims=turned)).eval()
    other.load_state_dict(model.state_dict())
    assert torch.equal(predict(model, data(2, 30)), predict(other, data(2, 30)))


def test_values_at_missing_steps_do_not_matter(model: AffectModel) -> None:
    features, valid = data(2, 50)
    changed = {name: torch.where(valid[name][:, :, None], x, 1e3) for name, x in features.items()}
    assert torch.equal(predict(model, (features, valid)), predict(model, (changed, valid)))


def test_missing_values_affect_no_other_step(model: AffectModel) -> None:
    """Apart from the learned vectors, the features at missing steps must not affect any other step."""
    torch.manual_seed(1)
    widths = model.config.widths
    features = {name: torch.randn(2, 40, width) for name, width in widths.items()}
    valid = {name: torch.rand(2, 40) < 0.7 for name in widths}
    for missing in (["face"], ["voice", "words"], ["face", "voice", "words"]):
        gone = {name: mask & ~((torch.arange(40) >= 10) & (torch.arange(40) < 20)) for name, mask in valid.items()}
        masks = {name: gone[name] if name in missing else valid[name] for name in widths}
        changed = dict(features)
        for name in missing:
            changed[name] = features[name].clone()
            changed[name][:, 10:20] += 1
        with torch.inference_mode():
            before, after = model.fusion(features, masks), model.fusion(changed, masks)
        moved = ((before - after).abs() > 1e-5).any(dim=-1).any(dim=0)
        if model.config.fusion != "lstm":  # a recurrence remembers the vectors that replace missing steps
            assert not moved[:10].any() and not moved[20:].any()


def test_mixed_precision_trains(model: AffectModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        torch.backends.mkldnn, "enabled", False
    )  # oneDNN has a bfloat16 LSTM for some CPUs only, PyTorch for all
    features, valid = data(2, 30)
    with torch.autocast("cpu", torch.bfloat16):
        output = model.train()(features, valid)
    ccc_loss(torch.rand(2, 30, 2), output.float()).backward()
    assert all(torch.isfinite(value.grad).all() for value in model.parameters() if value.grad is not None)
    assert all(value.dtype == torch.float32 for value in model.buffers())


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("absent", [("face",), ("voice", "words"), ("face", "voice", "words")])
def test_missing_modalities_give_finite_values_and_gradients(
    model: AffectModel, absent: tuple[str, ...], training: bool
) -> None:
    features, valid = data(2, 30)
    for name in absent:
        valid[name] = torch.zeros_like(valid[name])
    model.train(training)
    output = model(features, valid)
    output.sum().backward()
    assert torch.isfinite(output).all()
    assert all(torch.isfinite(value.grad).all() for value in model.parameters() if value.grad is not None)
    assert all(torch.isfinite(value).all() for name, value in model.named_buffers() if "running" in name)


def test_every_parameter_gets_a_gradient(model: AffectModel) -> None:
    model.train()
    model(*data(4, 60)).square().sum().backward()
    without = [name for name, value in model.named_parameters() if value.grad is None or not value.grad.abs().sum() > 0]
    assert without == []


def test_constant_labels_give_no_nan(model: AffectModel) -> None:
    optimizer = torch.optim.SGD(model.train().parameters(), lr=0.1)
    for _ in range(3):
        loss = ccc_loss(torch.full((2, 30, 2), 0.25), model(*data(2, 30)))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert torch.isfinite(loss)
    assert all(torch.isfinite(value).all() for value in model.parameters())


def learn(config: ModelConfig, num_steps: int) -> tuple[list[float], float]:
    """Losses, and the final CCC, of overfitting a small set, with no more steps than needed."""
    torch.manual_seed(0)
    model = AffectModel(config)
    features, valid = data(8, 40)
    valid["face"][:] = True
    target = torch.tanh(torch.stack([features["face"][:, :, 0], features["face"][:, :, 1]], dim=-1))
    optimizer = torch.optim.AdamW(model.train().parameters(), lr=1e-2)
    losses = []
    for _ in range(num_steps):
        loss = ccc_loss(target, model(features, valid))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        if loss < 0.02:
            break
    return losses, 1 - ccc_loss(target, predict(model.eval(), (features, valid))).item()


@pytest.mark.parametrize("name", VARIANTS)
def test_it_can_learn_a_toy_set(name: str) -> None:
    assert learn(VARIANTS[name], 250)[1] > 0.95


@pytest.mark.parametrize("name", VARIANTS)
def test_the_same_seed_gives_the_same_losses(name: str) -> None:
    assert learn(VARIANTS[name], 5)[0] == learn(VARIANTS[name], 5)[0]


@pytest.mark.parametrize("chunk", [1, 7, 64])
@pytest.mark.parametrize("name", STREAMING)
def test_a_stream_equals_the_whole(name: str, chunk: int) -> None:
    model = build(VARIANTS[name])
    features, valid = data(2, 150)
    valid["words"][:, 30:90] = False
    memory, outputs, sizes = model.new_memory(), [], set()
    with torch.inference_mode():
        for start in range(0, 150, chunk):
            span = slice(start, start + chunk)
            outputs.append(model(part(features, slice(None), span), part(valid, slice(None), span), memory))
            sizes.add(tuple(tensor.shape for tensor in memory.tensors))
    assert len(sizes) == 1  # the memory doesn't grow
    torch.testing.assert_close(torch.cat(outputs, dim=1), predict(model, (features, valid)), rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", [name for name in VARIANTS if name not in STREAMING])
def test_a_fusion_that_is_not_causal_refuses_to_stream(name: str) -> None:
    with pytest.raises(ValueError, match="not causal"):
        build(VARIANTS[name]).new_memory()
    with pytest.raises(ValueError, match="not causal"):
        predict(build(VARIANTS[name]), data(1, 5), Memory())


@pytest.mark.parametrize("name", STREAMING)
def test_onnx_stream_equals_pytorch(tmp_path: Path, name: str) -> None:
    export_onnx(build(VARIANTS[name]), tmp_path / "stream.onnx", streaming=True)  # it raises if they differ by more than 1e-4


def test_onnx_equals_pytorch(tmp_path: Path, model: AffectModel) -> None:
    export_onnx(model, str(tmp_path / "model.onnx"))  # it raises if any of four lengths differs by more than 1e-4


@pytest.mark.parametrize("modality", ["face", "voice", "words"])
@pytest.mark.parametrize("name", [name for name in VARIANTS if VARIANTS[name].fusion not in NEED_OTHERS])
def test_a_single_modality_works_too(name: str, modality: str) -> None:
    config = replace(VARIANTS[name], feature_dims={modality: 6}, widths={modality: 8})
    features = {modality: torch.randn(2, 20, 6)}
    valid = {modality: torch.rand(2, 20) < 0.7}
    assert torch.isfinite(predict(build(config), (features, valid))).all()


@pytest.mark.parametrize("fusion", NEED_OTHERS)
def test_attention_to_other_modalities_needs_two(fusion: str) -> None:
    with pytest.raises(ValueError, match="two"):
        AffectModel(ModelConfig(feature_dims={"face": 6}, widths={"face": 8}, fusion=fusion))


def test_recursions_end_with_the_output(model: AffectModel) -> None:
    batch = data(2, 30)
    with torch.inference_mode():
        results = model.recursions(*batch)
        torch.testing.assert_close(results[-1], model(*batch), rtol=0, atol=1e-6)
    default = {"rcma": 3, "rjcma": 3, "jca": 1, "cross_attention": 1, "recursive_cross_attention": 2}.get(
        model.config.fusion, 0
    )
    assert len(results) == 1 + int(model.config.fusion_options.get("num_recursions", default))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"axis": "frequency"}, "fusion_options.axis must be 'time' or 'channel', not 'frequency'"),
        ({"num_recursions": 0}, "num_recursions must be at least 1"),
        ({"causal": True}, "needs a reach"),
        ({"reach": 0}, "reach must be at least 1"),
        ({"axis": "channel", "reach": 5}, "reach is for axis = time"),
    ],
)
def test_impossible_options_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        AffectModel(replace(CONFIG, fusion="rcma", fusion_options=options))


def test_time_correlation_is_the_printed_equation() -> None:
    torch.manual_seed(0)
    layer = TimeCorrelation(4, 3, 0.0, TimeAttention("tanh", None, causal=False)).eval()
    x, joint = torch.randn(1, 7, 4), torch.randn(1, 7, 3)
    w, w_c, w_h = (linear.weight.T for linear in (layer.correlate, layer.channels, layer.update))
    correlation = torch.tanh(x[0] @ w @ joint[0].T / 3**0.5)
    expected = x[0] + torch.relu(correlation @ x[0] / 7 @ w_c) @ w_h
    torch.testing.assert_close(layer(x, joint, torch.ones(1, 7, dtype=torch.bool))[0], expected)


def test_channel_correlation_is_its_equation() -> None:
    torch.manual_seed(0)
    layer = ChannelCorrelation(4, 3, 0.0, causal=False).eval()
    x, joint = torch.randn(1, 7, 4), torch.randn(1, 7, 3)
    valid = torch.tensor([[True, True, False, True, True, False, True]])
    products = [torch.outer(layer.correlate.weight @ x[0, t], joint[0, t]) for t in range(7) if valid[0, t]]
    correlation = torch.tanh(torch.stack(products).mean(dim=0))
    expected = x[0] + torch.relu(layer.update(torch.relu(torch.tanh(layer.value(x[0]) @ correlation))))
    torch.testing.assert_close(layer(x, joint, valid)[0], expected)


@pytest.mark.parametrize(("of_others", "seen"), [(True, {"voice", "words"}), (False, {"face", "voice", "words"})])
def test_the_joint_representation_is_of_the_others_in_rcma_and_of_all_in_rjcma(of_others: bool, seen: set[str]) -> None:
    layer = Recursion(
        {"face": 4, "voice": 3, "words": 2}, 5, of_others, lambda dim: ChannelCorrelation(dim, 5, 0.0, causal=False)
    )
    features = {name: torch.randn(1, 6, dim, requires_grad=True) for name, dim in {"face": 4, "voice": 3, "words": 2}.items()}
    joint = layer._joint(features, {name: torch.ones(1, 6, dtype=torch.bool) for name in features})["face"]
    gradients = torch.autograd.grad(joint.sum(), list(features.values()), allow_unused=True)
    assert {name for name, gradient in zip(features, gradients, strict=True) if gradient is not None} == seen


def test_shared_weights_are_one_function_applied_again() -> None:
    shared = build(replace(CONFIG, fusion="rjcma", fusion_options={"num_recursions": 2}))
    separate = build(replace(CONFIG, fusion="rjcma", fusion_options={"num_recursions": 2, "shared_weights": False}))
    assert len(shared.fusion.layers) == 1
    assert len(separate.fusion.layers) == 2
    weights = dict(shared.state_dict())
    for name, value in shared.state_dict().items():
        weights[name.replace("fusion.layers.0", "fusion.layers.1")] = value
    separate.load_state_dict(weights)
    torch.testing.assert_close(predict(shared, data(2, 20)), predict(separate, data(2, 20)))


def test_causal_channel_correlation_is_a_running_mean() -> None:
    torch.manual_seed(0)
    causal, whole = ChannelCorrelation(4, 3, 0.0, causal=True).eval(), ChannelCorrelation(4, 3, 0.0, causal=False).eval()
    whole.load_state_dict(causal.state_dict())
    x, joint, valid = torch.randn(1, 7, 4), torch.randn(1, 7, 3), torch.rand(1, 7) < 0.6
    found = causal(x, joint, valid)
    for t in range(1, 8):  # at step t - 1, the mean is over the steps before t
        torch.testing.assert_close(found[:, t - 1], whole(x[:, :t], joint[:, :t], valid[:, :t])[:, -1])


def test_jca_is_its_equation() -> None:
    torch.manual_seed(0)
    dims = {"face": 4, "voice": 3}
    fusion = FUSIONS["jca"](dims, 0.0, hidden_dim=5).eval()
    features = {name: torch.randn(1, 6, dim) for name, dim in dims.items()}
    joint, expected = torch.cat(list(features.values()), dim=-1)[0], []
    for name, x in features.items():
        w_j, w, w_c, w_h = (part[name].weight.T for part in (fusion.correlate, fusion.own, fusion.attended, fusion.update))
        correlation = torch.tanh(x[0] @ w_j @ joint.T / 7**0.5)
        expected.append(x[0] + torch.relu(x[0] @ w + correlation @ x[0] / 6 @ w_c) @ w_h)
    found = fusion(features, {name: torch.ones(1, 6, dtype=torch.bool) for name in dims})
    torch.testing.assert_close(found[0], torch.cat(expected, dim=-1))


def test_gates_are_a_softmax_over_the_modalities_present_and_none() -> None:
    torch.manual_seed(0)
    dims = {"face": 4, "voice": 3, "words": 2}
    fusion = FUSIONS["gated"](dims, 0.0, gated_dim=5).eval()
    features = {name: torch.randn(1, 2, dim) for name, dim in dims.items()}
    valid = {name: torch.tensor([[True, name == "voice"]]) for name in dims}
    logits = fusion.gate(torch.cat(list(features.values()), dim=-1))[0].exp().detach()
    first = logits[0] / (1 + logits[0].sum())
    second = torch.zeros(3)
    second[1] = logits[1, 1] / (1 + logits[1, 1])
    torch.testing.assert_close(fusion.gates(features, valid)[0], torch.stack([first, second]))
    hidden = {name: torch.tanh(fusion.project[name](x))[0] for name, x in features.items()}
    expected = torch.stack(
        [sum(g * hidden[name][0] for g, name in zip(first, dims, strict=True)), second[1] * hidden["voice"][1]]
    )
    torch.testing.assert_close(fusion(features, valid)[0], expected)


def test_followers_attend_to_the_modalities_present() -> None:
    torch.manual_seed(0)
    dims = {"face": 4, "voice": 3, "words": 2}
    fusion = FUSIONS["leader_follower"](dims, 0.0, leader="voice", attention_dim=5).eval()
    features = {name: torch.randn(1, 1, dim) for name, dim in dims.items()}
    valid = {name: torch.tensor([[name != "words"]]) for name in dims}
    query, key, value = (
        {name: part[name](x)[0, 0] for name, x in features.items()} for part in (fusion.query, fusion.key, fusion.value)
    )
    rows = []
    for name in dims:
        weights = {other: torch.exp(query[name] @ key[other] / 5**0.5) for other in ("face", "voice")}
        total = 1 + sum(weights.values())
        rows.append(value[name] + sum(weight / total * value[other] for other, weight in weights.items()))
    expected = torch.cat([features["voice"][0, 0], fusion.norm(torch.stack(rows)).flatten()])
    torch.testing.assert_close(fusion(features, valid)[0, 0], expected)
