"""Recursive cross-modal attention (Praveen & Alam 2024, arXiv 2403.13659 v1), for any number of steps and missing data."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


class CrossModalAttention(nn.Module):
    """One modality attends, over time, to the joint representation of the others.

    As printed, with X (B, T, D) of this modality and J (B, T, D) of the others:

        C = tanh(X W Jᵀ / √D),  H = ReLU(C X W_c),  X <- X + H W_h

    Two things differ, both so that T may be anything: W_c acts on channels, not on the T steps of one window length; and
    C X is divided by the number of valid steps, so that it doesn't grow with them. Steps where the modality is missing
    give nothing to the sum.
    """

    def __init__(self, dim: int, dropout: float) -> None:
        super().__init__()
        self.scale = 1 / math.sqrt(dim)
        self.correlate = nn.Linear(dim, dim, bias=False)
        self.channels = nn.Linear(dim, dim, bias=False)
        self.update = nn.Linear(dim, dim, bias=False)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, joint: Tensor, valid: Tensor) -> Tensor:
        """Attend.

        Args:
            x: (B, T, D) features of the modality.
            joint: (B, T, D) joint representation of the others.
            valid: (B, T) float, 1 where the modality is there.

        Returns:
            (B, T, D) attended features.
        """
        correlation = torch.tanh(self.correlate(x) @ joint.transpose(1, 2) * self.scale)  # (B, T, T)
        num_valid = valid.sum(dim=1).clamp(min=1)[:, None, None]
        attended = correlation @ (x * valid[:, :, None]) / num_valid  # (B, T, D)
        return x + self.dropout(self.update(torch.relu(self.channels(attended))))


class RCMA(nn.Module):
    """Recursive cross-modal attention: each modality attends to the joint of all others, `num_recursions` times.

    The weights are shared by the recursions, so that it is one function applied again.

    Args:
        modalities: names, in the order of the concatenated output.
        dim: channels D of each modality.
        num_recursions: how often the attended features go in again.
        dropout: dropout on each update.
    """

    def __init__(self, modalities: tuple[str, ...], dim: int, num_recursions: int, dropout: float) -> None:
        super().__init__()
        self.num_recursions = num_recursions
        others = dim * (len(modalities) - 1)
        self.joint = nn.ModuleDict({name: nn.Linear(others, dim) for name in modalities})
        self.attention = nn.ModuleDict({name: CrossModalAttention(dim, dropout) for name in modalities})

    def forward(self, features: dict[str, Tensor], valid: dict[str, Tensor]) -> dict[str, Tensor]:
        """Features (B, T, D) and validity (B, T) by modality -> attended features (B, T, D) by modality."""
        for _ in range(self.num_recursions):
            features = {
                name: self.attention[name](
                    x, self.joint[name](torch.cat([features[o] for o in features if o != name], dim=-1)), valid[name]
                )
                for name, x in features.items()
            }
        return features
