"""Training: one plain loop over batches, with the optimiser and the learning rate as a config says."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass as plain_dataclass
from typing import Annotated, Literal

import torch
from pydantic import Field, NonNegativeInt, PositiveInt
from pydantic.dataclasses import dataclass
from torch import Tensor, nn
from torch.optim.lr_scheduler import ReduceLROnPlateau

from vatrace.losses import ccc_loss
from vatrace.models.affect import AffectModel

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]


@dataclass(frozen=True, config={"extra": "forbid"})
class TrainConfig:
    """How a model is trained.

    Attributes:
        optimizer: "adam" or "adamw".
        learning_rate: after warm-up.
        weight_decay: of the optimiser.
        schedule: "cosine" to 0 over all epochs, or "plateau": times `factor` after more than `patience`
            epochs without a better score.
        warmup_epochs: over which the learning rate rises linearly.
        num_epochs: at most.
        patience: of the plateau schedule, epochs.
        factor: of the plateau schedule, 0..1.
        min_learning_rate: of the plateau schedule.
        early_stop: epochs without a better score after which training ends.
        batch_size: recordings or windows a step.
        win_len: steps of a window, also at prediction.
        squared_error: weight of the mean squared error beside 1 - CCC.
        max_grad_norm: gradients are clipped to it; 0 for not at all.
    """

    optimizer: Literal["adam", "adamw"] = "adamw"
    learning_rate: Positive = 1e-3
    weight_decay: NonNegative = 1e-3
    schedule: Literal["cosine", "plateau"] = "cosine"
    warmup_epochs: NonNegativeInt = 1
    num_epochs: PositiveInt = 16
    patience: NonNegativeInt = 5
    factor: Annotated[float, Field(gt=0, lt=1)] = 0.1
    min_learning_rate: NonNegative = 1e-8
    early_stop: PositiveInt = 50
    batch_size: PositiveInt = 24
    win_len: PositiveInt = 300
    squared_error: NonNegative = 1.0
    max_grad_norm: NonNegative = 1.0


@plain_dataclass(frozen=True)
class Batch:
    """Recordings or windows side by side.

    Attributes:
        features: (B, T, D_m) by modality.
        valid: (B, T) bool by modality.
        target: (B, T, K) in -1..1.
        labelled: (B, T) bool, where the target counts.
    """

    features: dict[str, Tensor]
    valid: dict[str, Tensor]
    target: Tensor
    labelled: Tensor

    def to(self, device: torch.device) -> Batch:
        """The same on a device."""
        features = {name: x.to(device) for name, x in self.features.items()}
        valid = {name: x.to(device) for name, x in self.valid.items()}
        return Batch(features, valid, self.target.to(device), self.labelled.to(device))


@plain_dataclass(frozen=True)
class Epoch:
    """What one epoch came to: its number from 1, the mean loss, the score, and the learning rate that it ended with."""

    number: int
    loss: float
    score: float
    learning_rate: float


class LearningRate:
    """Sets the learning rate: linear warm-up, then the schedule. Warm-up and cosine go by the share of an epoch that is done.

    Args:
        optimizer: whose learning rate.
        config: the schedule.
    """

    def __init__(self, optimizer: torch.optim.Optimizer, config: TrainConfig) -> None:
        self.optimizer, self.config = optimizer, config
        self.plateau = ReduceLROnPlateau(
            optimizer, "max", config.factor, config.patience, threshold=0, min_lr=config.min_learning_rate
        )

    @property
    def value(self) -> float:
        """The learning rate as it is."""
        return float(self.optimizer.param_groups[0]["lr"])

    def before_step(self, epochs: float) -> None:
        """Set it for the training step that ends after this many epochs."""
        config = self.config
        if epochs <= config.warmup_epochs:
            factor = epochs / config.warmup_epochs
        elif config.schedule == "cosine":
            factor = 1.0
        else:
            return
        if config.schedule == "cosine":
            factor *= 0.5 * (1 + math.cos(math.pi * min(epochs / config.num_epochs, 1)))
        for group in self.optimizer.param_groups:
            group["lr"] = factor * config.learning_rate

    def after_epoch(self, number: int, score: float) -> None:
        """Tell it how an epoch (from 1) went."""
        if self.config.schedule == "plateau" and number >= self.config.warmup_epochs:
            self.plateau.step(score)


def make_optimizer(model: nn.Module, config: TrainConfig) -> torch.optim.Optimizer:
    """Adam or AdamW over all parameters that are to be trained."""
    kind = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[config.optimizer]
    parameters = [value for value in model.parameters() if value.requires_grad]
    return kind(parameters, lr=config.learning_rate, weight_decay=config.weight_decay)


def batch_loss(model: AffectModel, batch: Batch, squared_error: float) -> Tensor:
    """1 - CCC over labelled steps, mean over outputs, and `squared_error` times the mean squared error."""
    prediction = model(batch.features, batch.valid)
    loss = ccc_loss(batch.target, prediction, batch.labelled)
    if squared_error:
        errors = torch.where(batch.labelled[:, :, None], batch.target - prediction, 0)
        num_labels = batch.labelled.sum() * batch.target.shape[-1]
        loss = loss + squared_error * errors.square().sum() / num_labels.clamp(min=1)
    return loss


def fit(
    model: AffectModel,
    batches: Callable[[int], Iterable[Batch]],
    batches_per_epoch: int,
    evaluate: Callable[[AffectModel], float],
    config: TrainConfig,
    report: Callable[[Epoch], None] = lambda epoch: None,
) -> AffectModel:
    """Train, and keep the weights of the epoch with the best score.

    Args:
        model: trained in place, on the device that it is on.
        batches: the training batches of an epoch, given its number from 1.
        batches_per_epoch: how many they are.
        evaluate: the score of a model on dev, larger is better; the model is in evaluation mode.
        config: how.
        report: told of each epoch.

    Returns:
        The model, in evaluation mode, with its best weights.

    Raises:
        FloatingPointError: if every score was NaN.
    """
    device = next(model.parameters()).device
    optimizer = make_optimizer(model, config)
    rate = LearningRate(optimizer, config)
    best, best_epoch, best_weights = -math.inf, 0, dict[str, Tensor]()
    for number in range(1, config.num_epochs + 1):
        losses = []
        for index, batch in enumerate(batches(number)):
            model.train()
            rate.before_step(number - 1 + (index + 1) / batches_per_epoch)
            loss = batch_loss(model, batch.to(device), config.squared_error)
            optimizer.zero_grad()
            loss.backward()
            if config.max_grad_norm:
                nn.utils.clip_grad_norm_(model.parameters(), config.max_grad_norm)
            optimizer.step()
            losses.append(loss.item())
        score = evaluate(model.eval())
        report(Epoch(number, sum(losses) / len(losses), score, rate.value))
        rate.after_epoch(number, score)
        if score > best:
            best, best_epoch = score, number
            best_weights = {name: value.clone() for name, value in model.state_dict().items()}
        if number - best_epoch >= config.early_stop:
            break
    if not best_weights:
        raise FloatingPointError(f"no score in {number} epochs was a number: nothing has been learned")
    model.load_state_dict(best_weights)
    return model.eval()
