"""Losses for training, in PyTorch."""

from __future__ import annotations

import torch
from torch import Tensor

from vatrace.models.distributed import total

EPSILON = 1e-6
"""Added to the denominator, so that constant labels give a finite loss with a finite gradient."""


def ccc_loss(truth: Tensor, prediction: Tensor, valid: Tensor | None = None) -> Tensor:
    """1 - CCC (Lin 1989), with population moments over valid values; mean over the outputs.

    If several processes train together, the moments are over the values of all.

    Args:
        truth: (..., K) values in -1..1.
        prediction: (..., K) values in -1..1.
        valid: (...) bool, False where a label is missing; all valid if None.

    Returns:
        A scalar in 0..2.
    """
    num_outputs = truth.shape[-1]
    x, y = truth.reshape(-1, num_outputs), prediction.reshape(-1, num_outputs)
    weight = torch.ones_like(x[:, :1]) if valid is None else valid.reshape(-1, 1).to(x.dtype)
    x, y = torch.where(weight > 0, x, 0), torch.where(weight > 0, y, 0)
    count = total(weight.sum()).clamp(min=1)
    mean_x, mean_y = total(torch.stack([x.sum(0), y.sum(0)])) / count
    dx, dy = (x - mean_x) * weight, (y - mean_y) * weight
    covariance, squares = total(torch.stack([(dx * dy).sum(0), (dx.square() + dy.square()).sum(0)])) / count
    return (1 - 2 * covariance / (squares + (mean_x - mean_y).square() + EPSILON)).mean()
