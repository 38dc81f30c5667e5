"""Batch norm that counts only valid steps."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vatrace.models.distributed import total


class MaskedBatchNorm(nn.Module):
    """Batch norm (Ioffe & Szegedy 2015, arXiv 1502.03167) with statistics over valid steps only.

    If all steps are valid, it equals `torch.nn.BatchNorm1d`. A batch with fewer than two valid steps is normalised by the
    running statistics and doesn't change them. If several processes train together, the statistics are over all of them.

    Args:
        dim: channels.
        momentum: weight of the newest batch in the running statistics.
        epsilon: added to the variance.
    """

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, dim: int, momentum: float = 0.1, epsilon: float = 1e-5) -> None:
        super().__init__()
        self.momentum, self.epsilon = momentum, epsilon
        self.weight = nn.Parameter(torch.ones(dim))
        self.bias = nn.Parameter(torch.zeros(dim))
        self.register_buffer("running_mean", torch.zeros(dim))
        self.register_buffer("running_var", torch.ones(dim))

    def forward(self, x: Tensor, valid: Tensor) -> Tensor:
        """Normalise.

        Args:
            x: (B, T, C).
            valid: (B, T) bool. All steps are normalised; only valid ones count in the statistics.

        Returns:
            (B, T, C).
        """
        mean, var = self._batch_statistics(x, valid) if self.training else (self.running_mean, self.running_var)
        scale = self.weight * torch.rsqrt(var + self.epsilon)
        return torch.addcmul((self.bias - mean * scale).to(x), x, scale.to(x))

    def _batch_statistics(self, x: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and variance (C,), always in float32, even with mixed precision."""
        rows, weight = x.reshape(-1, x.shape[-1]).float(), valid.reshape(-1, 1).float()
        count = total(weight.sum())
        steps = count.clamp(min=1)
        mean = total((rows * weight).sum(dim=0)) / steps
        var = total(((rows - mean).square() * weight).sum(dim=0)) / steps
        enough = count > 1
        with torch.no_grad():
            momentum = self.momentum * enough
            self.running_mean.lerp_(mean, momentum)
            self.running_var.lerp_(var * steps / (steps - 1).clamp(min=1), momentum)
        return torch.where(enough, mean, self.running_mean), torch.where(enough, var, self.running_var)
