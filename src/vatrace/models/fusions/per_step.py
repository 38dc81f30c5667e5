"""Fusions of each step alone. The features depend on earlier steps through the TCNs."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vatrace.models.fusions.base import Features, Fusion, Validity
from vatrace.models.memory import Memory


class Concat(Fusion):
    """Concatenated features, the baseline for all other fusions. With one modality it is the single-modality model."""

    def __init__(self, dims: dict[str, int], dropout: float) -> None:
        super().__init__()
        self.names, self.out_dim = tuple(dims), sum(dims.values())
        self.dropout = nn.Dropout(dropout)

    def forward(self, features: Features, valid: Validity, memory: Memory | None = None) -> Tensor:
        """Features (B, T, D_m) by modality -> (B, T, sum of D_m)."""
        return self.dropout(torch.cat([features[name] for name in self.names], dim=-1))


class Gated(Fusion):
    """A weighted mean of the modalities, with weights that a gate computes at each step.

    Like the gated multimodal unit (Arevalo et al. 2017, arXiv 1702.01992), with a softmax over the modalities present and the
    choice "none". With h_m = tanh(W_m x_m) and g = the softmax of a linear map of all x, the result is the sum of g_m h_m.
    """

    def __init__(self, dims: dict[str, int], dropout: float, *, gated_dim: int = 128) -> None:
        super().__init__()
        self.names, self.out_dim = tuple(dims), gated_dim
        self.project = nn.ModuleDict({name: nn.Linear(dim, gated_dim) for name, dim in dims.items()})
        self.gate = nn.Linear(sum(dims.values()), len(dims))
        self.dropout = nn.Dropout(dropout)

    def gates(self, features: Features, valid: Validity) -> Tensor:
        """The weight of each modality, (B, T, M), 0..1; they sum to 1 minus the weight of "none"."""
        logits = self.gate(torch.cat([features[name] for name in self.names], dim=-1))
        present = torch.stack([valid[name] for name in self.names], dim=-1)
        return torch.softmax(F.pad(torch.where(present, logits, -math.inf), (0, 1)), dim=-1)[..., :-1]

    def forward(self, features: Features, valid: Validity, memory: Memory | None = None) -> Tensor:
        """Features (B, T, D_m) and validity (B, T) by modality -> (B, T, gated_dim)."""
        hidden = torch.stack([torch.tanh(self.project[name](features[name])) for name in self.names], dim=-1)
        gates = self.gates(features, valid)
        return self.dropout((hidden @ gates[..., None])[..., 0])


class LeaderFollower(Fusion):
    """Leader-follower attention (LFAN: Zhang et al. 2021, arXiv 2107.01175, and the authors' later challenge entries).

    At each step, each modality attends to all modalities present (softmax over modalities). The gathered values are added to
    its own value, normalised, and concatenated with the features of the leader.
    """

    def __init__(self, dims: dict[str, int], dropout: float, *, leader: str | None = None, attention_dim: int = 32) -> None:
        super().__init__()
        self.names, self.leader = tuple(dims), leader or next(iter(dims))
        if self.leader not in dims:
            raise ValueError(f"leader must be one of {', '.join(dims)}, not {leader!r}")
        self.out_dim = dims[self.leader] + attention_dim * len(dims)
        self.query, self.key, self.value = (
            nn.ModuleDict({name: nn.Linear(dim, attention_dim) for name, dim in dims.items()}) for _ in range(3)
        )
        self.norm = nn.LayerNorm([len(dims), attention_dim])
        self.dropout = nn.Dropout(dropout)

    def forward(self, features: Features, valid: Validity, memory: Memory | None = None) -> Tensor:
        """Features (B, T, D_m) and validity (B, T) by modality -> (B, T, D_leader + M x attention_dim)."""
        query, key, value = (
            torch.stack([part[name](features[name]) for name in self.names], dim=2)  # (B, T, M, attention_dim)
            for part in (self.query, self.key, self.value)
        )
        present = torch.stack([valid[name] for name in self.names], dim=-1)[:, :, None, :]
        scores = (query @ key.transpose(2, 3) / math.sqrt(key.shape[-1])).masked_fill(~present, -math.inf)
        weights = torch.softmax(F.pad(scores, (0, 1)), dim=-1)[..., :-1]  # the padding is for steps without any modality
        followers = self.norm(value + weights @ value).flatten(2)
        return self.dropout(torch.cat([features[self.leader], followers], dim=-1))
