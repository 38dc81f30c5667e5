"""Recursive cross-modal attention: RCMA and RJCMA (Praveen & Alam 2024, arXiv 2403.13659), along time or along channels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn

from vatrace.models.attention import TimeAttention
from vatrace.models.fusions.base import Features, Fusion, Validity, side_by_side
from vatrace.models.memory import Memory

Axis = Literal["time", "channel"]


class TimeCorrelation(nn.Module):
    """One modality attends along time to a joint representation, as printed but for any number of steps.

    With X (T, D) of the modality and J (T, d): C = tanh(X W Jᵀ / √d), H = ReLU(C X W_c), X <- X + H W_h. The printed W_c
    mixes the K steps of one window length; here it mixes channels. C X is divided by the number of valid steps.
    """

    def __init__(self, dim: int, joint_dim: int, dropout: float, attention: TimeAttention) -> None:
        super().__init__()
        self.attention = attention
        self.correlate = nn.Linear(dim, joint_dim, bias=False)
        self.channels = nn.Linear(dim, dim, bias=False)
        self.update = nn.Linear(dim, dim, bias=False)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, joint: Tensor, valid: Tensor, memory: Memory | None = None) -> Tensor:
        """X (B, T, D), joint (B, T, d), valid (B, T) bool -> (B, T, D)."""
        attended = self.attention(self.correlate(x), joint, x, valid, memory)
        return x + self.dropout(self.update(torch.relu(self.channels(attended))))


class ChannelCorrelation(nn.Module):
    """One modality is projected by the correlation of its channels with those of a joint representation.

    With X (T, D) and J (T, d): A = tanh(mean over t of (x_t W)ᵀ j_t), D x d; H = ReLU(tanh(X V A)); X <- X +
    Dropout(ReLU(FC(H))). The authors' code has a learned mixture along exactly 300 steps and a factor 1/√d instead of W and
    the mean; the rest is the same. If causal, the mean is over the steps so far. Each step then has its own
    correlation, so a whole sequence needs memory for T x D x d values (a stream only for D x d).
    """

    def __init__(self, dim: int, joint_dim: int, dropout: float, causal: bool) -> None:
        super().__init__()
        self.causal = causal
        self.correlate = nn.Linear(dim, dim, bias=False)
        self.value = nn.Linear(dim, dim)
        self.update = nn.Linear(joint_dim, dim)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, joint: Tensor, valid: Tensor, memory: Memory | None = None) -> Tensor:
        """X (B, T, D), joint (B, T, d), valid (B, T) bool -> (B, T, D)."""
        present, projected = valid[:, :, None].to(x.dtype), self.value(x)
        correlated = self.correlate(x) * present
        if self.causal:
            totals, counts = self._so_far(correlated, joint, present[:, :, 0], memory or Memory())
            attended = (projected[:, :, None] @ torch.tanh(totals / counts.clamp(min=1)[:, :, None, None]))[:, :, 0]
        else:
            total, count = correlated.transpose(1, 2) @ joint, present.sum(dim=1, keepdim=True)
            attended = projected @ torch.tanh(total / count.clamp(min=1))
        return x + self.dropout(torch.relu(self.update(torch.relu(torch.tanh(attended)))))

    def _so_far(self, correlated: Tensor, joint: Tensor, present: Tensor, memory: Memory) -> tuple[Tensor, Tensor]:
        """At each step, the sum of the products so far (B, T, D, d), and the number of valid steps so far (B, T)."""
        products = correlated[:, :, :, None] * joint[:, :, None, :]
        totals = memory.take(torch.zeros_like(products[:, 0]))[:, None] + products.cumsum(dim=1)
        counts = memory.take(torch.zeros_like(present[:, :1])) + present.cumsum(dim=1)
        memory.keep(totals[:, -1])
        memory.keep(counts[:, -1:])
        return totals, counts


class Recursion(nn.Module):
    """One recursion: each modality attends to its joint representation."""

    def __init__(
        self, dims: dict[str, int], joint_dim: int, of_others: bool, make: Callable[[int], TimeCorrelation | ChannelCorrelation]
    ) -> None:
        super().__init__()
        self.of_others = of_others
        total = sum(dims.values())
        if of_others:
            self.joint = nn.ModuleDict({name: nn.Linear(total - dim, joint_dim) for name, dim in dims.items()})
        else:
            self.joint = nn.ModuleDict({"all": nn.Linear(total, joint_dim)})
        self.attend = nn.ModuleDict({name: make(dim) for name, dim in dims.items()})

    def _joint(self, features: Features, valid: Validity) -> dict[str, Tensor]:
        if not self.of_others:
            joint = self.joint["all"](side_by_side(features, valid, self.attend))
            return dict.fromkeys(self.attend, joint)
        return {
            name: self.joint[name](side_by_side(features, valid, [other for other in self.attend if other != name]))
            for name in self.attend
        }

    def _present(self, valid: Validity) -> dict[str, Tensor]:
        """Where both sides of a correlation are present: the modality, and one or more of its joint representation."""
        if not self.of_others:
            return dict(valid)
        others = {name: [valid[other] for other in self.attend if other != name] for name in self.attend}
        return {name: valid[name] & torch.stack(others[name]).any(dim=0) for name in self.attend}

    def forward(self, features: Features, valid: Validity, memory: Memory | None = None) -> dict[str, Tensor]:
        """Features (B, T, D_m) and validity (B, T) by modality -> features (B, T, D_m) by modality."""
        joint, present = self._joint(features, valid), self._present(valid)
        return {name: attend(features[name], joint[name], present[name], memory) for name, attend in self.attend.items()}


class _RecursiveAttention(Fusion):
    """Base of RCMA and RJCMA, which differ in `of_others`."""

    of_others: bool

    def __init__(  # a fusion's options are flat keys in TOML
        self,
        dims: dict[str, int],
        dropout: float,
        *,
        axis: Axis = "time",
        num_recursions: int = 3,
        shared_weights: bool = True,
        joint_dim: int = 64,
        causal: bool = False,
        reach: int | None = None,
    ) -> None:
        """Construct the fusion.

        Args:
            dims: channels D_m by modality.
            dropout: dropout on each update.
            axis: the axis of the correlation: "time" as printed, "channel" as in the authors' code.
            num_recursions: number of recursions; 3 are best in the paper, the authors' code has 2.
            shared_weights: whether all recursions have the same weights.
            joint_dim: channels d of the joint representation.
            causal: whether attention covers only current and past steps.
            reach: for axis "time", steps within which it attends; None for the whole sequence.
        """
        super().__init__()
        if axis not in {"time", "channel"}:
            raise ValueError(f"axis must be time or channel, not {axis!r}")
        if axis == "channel" and reach is not None:
            raise ValueError("reach is for axis = time: the channel correlation covers the whole sequence")
        if num_recursions < 1:
            raise ValueError(f"num_recursions must be at least 1, not {num_recursions}")
        if self.of_others and len(dims) < 2:
            raise ValueError("rcma attends to the other modalities: it needs at least two (concat takes one)")

        def make(dim: int) -> TimeCorrelation | ChannelCorrelation:
            if axis == "time":
                return TimeCorrelation(dim, joint_dim, dropout, TimeAttention("tanh", reach, causal))
            return ChannelCorrelation(dim, joint_dim, dropout, causal)

        self.names, self.out_dim, self.causal = tuple(dims), sum(dims.values()), causal
        self.num_recursions = num_recursions
        self.layers = nn.ModuleList(
            Recursion(dims, joint_dim, self.of_others, make) for _ in range(1 if shared_weights else num_recursions)
        )

    def recursions(self, features: Features, valid: Validity, memory: Memory | None = None) -> list[Tensor]:
        """The concatenated features after 0, 1, ..., num_recursions recursions, each (B, T, out_dim)."""
        joined = [torch.cat([features[name] for name in self.names], dim=-1)]
        for index in range(self.num_recursions):
            features = self.layers[index % len(self.layers)](features, valid, memory)
            joined.append(torch.cat([features[name] for name in self.names], dim=-1))
        return joined


class RCMA(_RecursiveAttention):
    """Recursive cross-modal attention, arXiv 2403.13659 version 1: each modality attends to a joint of the *others*."""

    of_others = True


class RJCMA(_RecursiveAttention):
    """Recursive joint cross-modal attention, arXiv 2403.13659 later versions: each modality attends to a joint of *all*."""

    of_others = False
