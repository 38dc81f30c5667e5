import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch

from vatrace.errors import TrainingError
from vatrace.models.affect import AffectModel, ModelConfig
from vatrace.models.losses import ccc_loss
from vatrace.training.checkpoint import Model
from vatrace.training.data import Batch
from vatrace.training.loop import Epoch, LearningRate, TrainConfig, batch_loss, fit, make_optimizer

CONFIG = ModelConfig(feature_dims={"face": 4}, widths={"face": 8}, head_dim=16, fusion="concat")


def batch(seed: int = 0) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(4, 30, 4, generator=generator)
    return Batch({"face": x}, {"face": torch.ones(4, 30, dtype=torch.bool)}, torch.tanh(x[:, :, :2]), torch.rand(4, 30) < 0.8)


def rates(config: TrainConfig, scores: list[float], steps: int = 4) -> list[float]:
    """The learning rate at each training step."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=config.learning_rate)
    rate, seen = LearningRate(optimizer, config), []
    for number, score in enumerate(scores, start=1):
        for step in range(steps):
            rate.before_step(number - 1 + (step + 1) / steps)
            seen.append(rate.value)
        rate.after_epoch(number, score)
    return seen


def test_warm_up_is_linear_across_epochs() -> None:
    seen = rates(TrainConfig(schedule="plateau", warmup_epochs=2, patience=0, learning_rate=1.0), [0.3, 0.2, 0.4, 0.4])
    assert seen[:8] == pytest.approx([i / 8 for i in range(1, 9)])  # a worse score in warm-up lowers nothing
    assert seen[8:] == [1.0] * 8


def test_the_plateau_lowers_it_after_so_many_epochs_without_a_better_score() -> None:
    config = TrainConfig(schedule="plateau", warmup_epochs=0, learning_rate=1.0, patience=2, factor=0.1, min_learning_rate=0.05)
    seen = rates(config, [0.5, 0.6, 0.6, 0.6, 0.6, 0.6, 0.6, 0.6, 0.6], steps=1)
    assert seen == pytest.approx([1, 1, 1, 1, 1, 0.1, 0.1, 0.1, 0.05])


def test_the_cosine_ends_near_zero() -> None:
    seen = rates(TrainConfig(schedule="cosine", warmup_epochs=1, learning_rate=2.0, num_epochs=4), [0.0] * 4)
    expected = [min(i / 4, 1) * (1 + math.cos(math.pi * i / 16)) for i in range(1, 17)]
    assert seen == pytest.approx(expected)
    assert seen[-1] == pytest.approx(0, abs=1e-12)


def test_unlabelled_steps_do_not_count_in_the_loss() -> None:
    model, one = AffectModel(CONFIG).eval(), batch()
    other = replace(one, target=torch.where(one.labelled[:, :, None], one.target, math.nan))
    prediction = model(one.features, one.valid)
    assert batch_loss(prediction, one, 1.0) == batch_loss(prediction, other, 1.0)
    expected = ccc_loss(one.target, prediction, one.labelled)
    errors = (one.target - prediction)[one.labelled]
    torch.testing.assert_close(batch_loss(prediction, one, 0.5), expected + 0.5 * errors.square().mean())


def endless(number: int) -> Iterator[Batch]:
    return (batch(10 * number + i) for i in range(5))


def test_it_learns_reports_and_keeps_the_best() -> None:
    torch.manual_seed(0)
    held_out, epochs, scores = batch(999), list[Epoch](), []

    def score(model: Model) -> dict[str, float]:
        assert not model.training
        with torch.inference_mode():
            scores.append(1 - ccc_loss(held_out.target, model(held_out.features, held_out.valid)).item())
        return {"both": scores[-1]}

    model = AffectModel(CONFIG)
    progress = fit(model, endless, 5, score, TrainConfig(num_epochs=8, learning_rate=1e-2), epochs.append)
    assert progress.history == epochs
    assert [epoch.number for epoch in epochs] == list(range(1, 9))
    assert epochs[-1].loss < 0.5 * epochs[0].loss
    best = max(scores)
    assert best > 0.7
    assert score(model)["both"] == pytest.approx(best, abs=1e-6)


def test_no_score_at_all_is_an_error() -> None:
    with pytest.raises(TrainingError, match="the score was NaN in all 2 epochs"):
        fit(AffectModel(CONFIG), endless, 5, lambda model: {"valence": math.nan}, TrainConfig(num_epochs=2))


def test_it_stops_early_and_goes_back_to_the_best() -> None:
    torch.manual_seed(0)
    given, seen, weights = [0.1, 0.5, 0.4, 0.3, 0.2, 0.9], list[Epoch](), []

    def score(model: Model) -> dict[str, float]:
        weights.append({name: value.clone() for name, value in model.state_dict().items()})
        return {"valence": given[len(weights) - 1]}

    model = AffectModel(CONFIG)
    fit(model, endless, 5, score, TrainConfig(num_epochs=6, early_stop=3), seen.append)
    assert len(seen) == 5  # the best was the second; the third, fourth and fifth were not better
    assert all(torch.equal(value, weights[1][name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize(("name", "kind"), [("adam", torch.optim.Adam), ("adamw", torch.optim.AdamW)])
def test_the_optimiser_is_the_one_named_and_leaves_frozen_weights(name: Any, kind: type) -> None:
    model = AffectModel(CONFIG)
    model.tcn.requires_grad_(False)
    optimizer = make_optimizer(model, TrainConfig(optimizer=name, learning_rate=0.5, weight_decay=0.25))
    assert type(optimizer) is kind
    assert (optimizer.param_groups[0]["lr"], optimizer.param_groups[0]["weight_decay"]) == (0.5, 0.25)
    one, frozen = batch(), [value.clone() for value in model.tcn.parameters()]
    head = model.output.weight.clone()
    batch_loss(model(one.features, one.valid), one, 1.0).backward()
    optimizer.step()
    assert all(torch.equal(value, before) for value, before in zip(model.tcn.parameters(), frozen, strict=True))
    assert not torch.equal(model.output.weight, head)


@pytest.mark.parametrize(("limit", "clipped"), [(1e-3, True), (0.0, False)])
def test_gradients_are_clipped_to_the_given_norm(limit: float, clipped: bool) -> None:
    model = AffectModel(CONFIG)
    config = TrainConfig(num_epochs=1, max_grad_norm=limit)
    fit(model, endless, 5, lambda model: {"valence": 0.0}, config)
    norm = math.sqrt(sum(value.grad.square().sum().item() for value in model.parameters() if value.grad is not None))
    assert (norm <= 1.001e-3) == clipped


def test_mixed_precision_learns_too_and_keeps_its_loss_in_full() -> None:
    torch.manual_seed(0)
    model, epochs = AffectModel(CONFIG), list[Epoch]()
    config = TrainConfig(num_epochs=6, learning_rate=1e-2, precision="bfloat16")
    fit(model, endless, 5, lambda model: {"valence": 0.0}, config, epochs.append)
    assert epochs[-1].loss < 0.6 * epochs[0].loss
    assert all(value.dtype == torch.float32 for value in model.parameters())
