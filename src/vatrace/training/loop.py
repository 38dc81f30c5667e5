"""Training: one plain loop over batches, with the optimiser and learning rate of a config."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, field
from dataclasses import dataclass as plain_dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import torch
from pydantic import Field, NonNegativeInt, PositiveInt
from pydantic.dataclasses import dataclass
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim.lr_scheduler import ReduceLROnPlateau

from vatrace.errors import CheckpointError, TrainingError
from vatrace.models.backbone import EndToEndModel
from vatrace.models.distributed import num_processes, rank, total
from vatrace.models.losses import ccc_loss
from vatrace.training.checkpoint import Model, load_tensors, save_tensors
from vatrace.training.data import Batch

PLATEAU_STATE = ("best", "num_bad_epochs", "cooldown_counter", "last_epoch")
"""The state of ReduceLROnPlateau that changes in training."""
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]


@dataclass(frozen=True, config={"extra": "forbid"})
class TrainConfig:
    """How a model is trained.

    Attributes:
        optimizer: "adam" or "adamw".
        learning_rate: learning rate after warm-up.
        weight_decay: weight decay of the optimiser.
        schedule: "cosine" to 0 over all epochs, or "plateau", which multiplies the learning rate by `factor` after more than
            `patience` epochs without a better score.
        warmup_epochs: epochs over which the learning rate rises linearly.
        num_epochs: maximum number of epochs.
        patience: epochs without a better score that the plateau schedule tolerates.
        factor: factor of the plateau schedule, 0..1.
        min_learning_rate: lowest learning rate of the plateau schedule.
        early_stop: epochs without a better score after which training ends.
        batch_size: windows per step, over all processes.
        win_len: length of a window in steps, in prediction too.
        hop_len: steps from one training window to the next.
        modality_dropout: probability that a modality is removed from a training window; one is always kept.
        squared_error: weight of the mean squared error, which is added to 1 - CCC.
        max_grad_norm: norm to which gradients are clipped; 0 for no clipping.
        precision: "bfloat16" for mixed precision on a GPU; the loss is always computed in float32.
        separate: whether each output has its own model, as in the paper.
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
    hop_len: PositiveInt = 150
    modality_dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    squared_error: NonNegative = 1.0
    max_grad_norm: NonNegative = 1.0
    precision: Literal["float32", "bfloat16"] = "float32"
    separate: bool = False

    def __post_init__(self) -> None:
        if self.hop_len > self.win_len:
            raise ValueError(f"hop_len must be at most win_len ({self.win_len}), not {self.hop_len}")


@plain_dataclass(frozen=True)
class Epoch:
    """The result of one epoch.

    Attributes:
        number: number of the epoch, from 1.
        loss: mean loss over its batches.
        scores: scores on dev by output; larger is better.
        learning_rate: learning rate at its end.
    """

    number: int
    loss: float
    scores: dict[str, float]
    learning_rate: float

    @property
    def score(self) -> float:
        """The mean of the scores, by which weights are selected."""
        return sum(self.scores.values()) / len(self.scores)


class LearningRate:
    """Sets the learning rate: linear warm-up, then the schedule. Warm-up and cosine change it at every step.

    Args:
        optimizer: the optimiser whose learning rate is set.
        config: the config with the schedule.
    """

    def __init__(self, optimizer: torch.optim.Optimizer, config: TrainConfig) -> None:
        self.optimizer, self.config = optimizer, config
        for group in optimizer.param_groups:
            group.setdefault("initial_lr", group["lr"])
        self.plateau = ReduceLROnPlateau(
            optimizer, "max", config.factor, config.patience, threshold=0, min_lr=config.min_learning_rate
        )

    @property
    def value(self) -> float:
        """The current learning rate."""
        return float(self.optimizer.param_groups[0]["lr"])

    def before_step(self, epochs: float) -> None:
        """Set the learning rate for a training step.

        Args:
            epochs: epochs completed at the end of this step, such as 1.5.
        """
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
            group["lr"] = factor * group["initial_lr"]

    def after_epoch(self, number: int, score: float) -> None:
        """Update the plateau schedule with the score of an epoch, numbered from 1."""
        if self.config.schedule == "plateau" and number >= self.config.warmup_epochs:
            self.plateau.step(score)


def make_optimizer(model: Model, config: TrainConfig) -> torch.optim.Optimizer:
    """Make Adam or AdamW for a model. Frozen weights have no gradient, and stay as they are."""
    kind = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[config.optimizer]
    if not isinstance(model, EndToEndModel):
        return kind(model.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay)
    backbone_rate = config.learning_rate * model.backbone_config.learning_rate
    groups = [
        {"params": list(model.affect.parameters()), "lr": config.learning_rate},
        {"params": list(model.backbone.parameters()), "lr": backbone_rate},
    ]
    return kind(groups, weight_decay=config.weight_decay)


def batch_loss(prediction: Tensor, batch: Batch, squared_error: float) -> Tensor:
    """1 - CCC over labelled steps, mean over outputs, plus `squared_error` times the mean squared error.

    Args:
        prediction: (B, T, K).
        batch: the batch with the targets.
        squared_error: weight of the mean squared error.
    """
    loss = ccc_loss(batch.target, prediction, batch.labelled)
    if squared_error:
        errors = torch.where(batch.labelled[:, :, None], batch.target - prediction, 0)
        num_labels = total(batch.labelled.sum().float()) * batch.target.shape[-1]
        loss = loss + squared_error * total(errors.square().sum()) / num_labels.clamp(min=1)
    return loss


@plain_dataclass
class Progress:
    """How far a training has come.

    Attributes:
        history: the completed epochs.
        best_epoch: number of the epoch with the best score; 0 before the first.
        best_weights: weights of that epoch.
    """

    history: list[Epoch] = field(default_factory=list)
    best_epoch: int = 0
    best_weights: dict[str, Tensor] = field(default_factory=dict)

    def has_ended(self, config: TrainConfig) -> bool:
        """Whether no epoch is left to train."""
        done = len(self.history)
        return done >= config.num_epochs or done - self.best_epoch >= config.early_stop


def fit(  # nine parameters: the model, its data and its training; only runs set the last three
    model: Model,
    batches: Callable[[int], Iterable[Batch]],
    batches_per_epoch: int,
    evaluate: Callable[[Model], Mapping[str, float]],
    config: TrainConfig,
    on_epoch: Callable[[Epoch], None] = lambda epoch: None,
    *,
    seed: int = 0,
    state_file: Path | None = None,
    on_batch: Callable[[float], None] = lambda epochs: None,
) -> Progress:
    """Train, and keep the weights of the epoch with the best score.

    All random numbers in an epoch depend only on the seed and the epoch, so a training that continues from its state file ends
    like one that was never interrupted.

    Args:
        model: the model, trained in place on its device; at the end it is in evaluation mode and has its best weights.
        batches: returns the training batches of an epoch, by its number from 1.
        batches_per_epoch: number of batches in an epoch.
        evaluate: returns the scores of a model on dev by output; larger is better. The model is in evaluation mode.
        config: the config of the training.
        on_epoch: called with each epoch.
        seed: seed of dropout.
        state_file: file to which the state is written after each epoch, and from which it is read at the start if it exists.
        on_batch: called after each batch with the number of epochs done, such as 1.5.

    Raises:
        TrainingError: if the loss of a batch is not finite, or no score was a number.
    """
    device = next(model.parameters()).device
    optimizer = make_optimizer(model, config)
    rate = LearningRate(optimizer, config)
    progress = Progress()
    if state_file is not None and state_file.is_file():
        progress = load_state(state_file, model, optimizer, rate)
        for epoch in progress.history:
            on_epoch(epoch)
    while not progress.has_ended(config):
        number = len(progress.history) + 1
        torch.manual_seed(int(np.random.SeedSequence([seed, number, rank()]).generate_state(1)[0]))
        if isinstance(model, EndToEndModel):
            model.release(number - 1)
        trained = DistributedDataParallel(model, forward_sync_buffers=False) if num_processes() > 1 else model
        losses = []
        for index, batch in enumerate(batches(number), start=1):
            epochs = number - 1 + index / batches_per_epoch
            model.train()
            rate.before_step(epochs)
            losses.append(_train_step(trained, batch.to(device), optimizer, config))
            if not math.isfinite(losses[-1]):
                raise TrainingError(f"the loss became {losses[-1]} in epoch {number}: try a lower learning_rate")
            on_batch(epochs)
        epoch = Epoch(number, sum(losses) / len(losses), dict(evaluate(model.eval())), rate.value)
        rate.after_epoch(number, epoch.score)
        progress.history.append(epoch)
        best = progress.history[progress.best_epoch - 1].score if progress.best_epoch else -math.inf
        if epoch.score > best:
            progress.best_epoch = number
            progress.best_weights = {name: value.clone() for name, value in model.state_dict().items()}
        if state_file is not None and rank() == 0:
            save_state(state_file, model, optimizer, rate, progress)
        on_epoch(epoch)
    if not progress.best_weights:
        raise TrainingError(f"no model was trained: the score was NaN in all {len(progress.history)} epochs")
    model.load_state_dict(progress.best_weights)
    model.eval()
    return progress


def _train_step(model: nn.Module, batch: Batch, optimizer: torch.optim.Optimizer, config: TrainConfig) -> float:
    """Do one step of the optimiser, unless the loss isn't finite; return the loss."""
    device = batch.target.device
    with torch.autocast(device.type, torch.bfloat16, enabled=config.precision == "bfloat16"):
        prediction = model(batch.features, batch.valid)
    loss = batch_loss(prediction.float(), batch, config.squared_error)
    value = loss.item()
    if math.isfinite(value):
        optimizer.zero_grad()
        loss.backward()
        if config.max_grad_norm:
            nn.utils.clip_grad_norm_(model.parameters(), config.max_grad_norm)
        optimizer.step()
    return value


def save_state(path: Path, model: Model, optimizer: torch.optim.Optimizer, rate: LearningRate, progress: Progress) -> None:
    """Write everything that is needed to continue a training."""
    state = optimizer.state_dict()
    tensors = {f"model/{name}": value for name, value in model.state_dict().items()}
    tensors |= {f"best/{name}": value for name, value in progress.best_weights.items()}
    tensors |= {f"optimizer/{i}/{name}": value for i, values in state["state"].items() for name, value in values.items()}
    facts = {
        "history": [asdict(epoch) for epoch in progress.history],
        "best_epoch": progress.best_epoch,
        "groups": state["param_groups"],
        "plateau": {key: value for key, value in rate.plateau.state_dict().items() if key in PLATEAU_STATE},
    }
    save_tensors(path, tensors, facts)


def load_state(path: Path, model: Model, optimizer: torch.optim.Optimizer, rate: LearningRate) -> Progress:
    """Restore the model, its optimiser and its learning rate from a file of `save_state`.

    Raises:
        CheckpointError: if it can't be read or does not fit the model.
    """
    tensors, facts = load_tensors(path)
    parts: dict[str, dict[str, Tensor]] = {"model": {}, "best": {}, "optimizer": {}}
    try:
        for key, value in tensors.items():
            part, _, name = key.partition("/")
            parts[part][name] = value
        model.load_state_dict(parts["model"])
        moments: dict[int, dict[str, Tensor]] = {}
        for key, value in parts["optimizer"].items():
            index, _, name = key.partition("/")
            moments.setdefault(int(index), {})[name] = value
        optimizer.load_state_dict({"state": moments, "param_groups": facts["groups"]})
        rate.plateau.load_state_dict(facts["plateau"])
        device = next(model.parameters()).device
        best = {name: value.to(device) for name, value in parts["best"].items()}
        return Progress([Epoch(**epoch) for epoch in facts["history"]], facts["best_epoch"], best)
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise CheckpointError(f"{path}: does not fit this run ({error}): delete it to train this model again") from error
