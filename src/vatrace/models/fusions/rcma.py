"""Recursive cross-modal attention: RCMA and RJCMA (Praveen & Alam 2024, arXiv 2403.13659), along time or along channels."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Literal

import torch
from torch import Tensor, nn

from vatrace.models.attention import TimeAttention
from vatrace.models.fusions.base import Features, Fusion, Validity, side_by_side

Axis = Literal["time", "channel"]


class TimeCorrelation(nn.Module):
    """One modality attends along time to a joint representation, as printed but for any number of steps.

    With X (T, D) of the modality and J (T, d): C = tanh(X W Jᵀ / √d), H = ReLU(C X W_c), X <- X + H W_h. The printed W_c
    mixes the K steps of one window length; here it mixes channels. C X is divided by the number of valid steps.
    """

    def __init__(self, dim: int, joint_dim: int, dropout: float, attention: TimeAttention) -> None:
        super().__init__()
        self.attention = attention
        self.dims = (joint_dim, dim)
        self.correlate = nn.Linear(dim, joint_dim, bias=False)
        self.channels = nn.Linear(dim, dim, bias=False)
        self.update = nn.Linear(dim, dim, bias=False)
        self.dropout = nn.Dropout(dropout)

    def _updated(self, x: Tensor, attended: Tensor) -> Tensor:
        return x + self.dropout(self.update(torch.relu(self.channels(attended))))

    def forward(self, x: Tensor, joint: Tensor, valid: Tensor) -> Tensor:
        """X (B, T, D), joint (B, T, d), valid (B, T) bool -> (B, T, D)."""
        return self._updated(x, self.attention(self.correlate(x), joint, x, valid))

    def initial_state(self, batch_size: int) -> list[Tensor]:
        """An empty window of the joint, the features and their validity."""
        return self.attention.initial_state(batch_size, *self.dims, like=self.update.weight)

    def step(self, x: Tensor, joint: Tensor, valid: Tensor, state: Iterator[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """The same for the next steps of a stream."""
        attended, remembered = self.attention.step(self.correlate(x), joint, x, valid, state)
        return self._updated(x, attended), remembered


class ChannelCorrelation(nn.Module):
    """One modality is projected by the correlation of its channels with those of a joint representation.

    With X (T, D) and J (T, d): A = tanh(mean over t of (x_t W)ᵀ j_t), D x d; H = ReLU(tanh(X V A)); X <- X +
    Dropout(ReLU(FC(H))). It is what the authors' code does, but that a learned mixture along exactly 300 steps, and 1/√d,
    stand there in place of W and the mean. If causal, the mean is over the steps so far: a correlation for each step, so that
    a whole sequence takes memory for T x D x d values (a stream only for D x d).
    """

    def __init__(self, dim: int, joint_dim: int, dropout: float, causal: bool) -> None:
        super().__init__()
        self.causal = causal
        self.dims = (dim, joint_dim)
        self.correlate = nn.Linear(dim, dim, bias=False)
        self.value = nn.Linear(dim, dim)
        self.update = nn.Linear(joint_dim, dim)
        self.dropout = nn.Dropout(dropout)

    def _updated(self, x: Tensor, correlation: Tensor) -> Tensor:
        """X (B, T, D), correlation (B, D, d) or at each step (B, T, D, d)."""
        projected = self.value(x)
        at_each_step = correlation.dim() == 4
        attended = (projected[:, :, None] @ correlation)[:, :, 0] if at_each_step else projected @ correlation
        return x + self.dropout(torch.relu(self.update(torch.relu(torch.tanh(attended)))))

    def forward(self, x: Tensor, joint: Tensor, valid: Tensor) -> Tensor:
        """X (B, T, D), joint (B, T, d), valid (B, T) bool -> (B, T, D)."""
        if self.causal:
            return self.step(x, joint, valid, iter(self.initial_state(x.shape[0])))[0]
        there = valid[:, :, None].to(x.dtype)
        total = (self.correlate(x) * there).transpose(1, 2) @ joint
        return self._updated(x, torch.tanh(total / there.sum(dim=1, keepdim=True).clamp(min=1)))

    def initial_state(self, batch_size: int) -> list[Tensor]:
        """The sum (B, D, d) and the number (B, 1) of no steps."""
        like = self.update.weight
        return [like.new_zeros(batch_size, *self.dims), like.new_zeros(batch_size, 1)]

    def step(self, x: Tensor, joint: Tensor, valid: Tensor, state: Iterator[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """The same for the next steps of a stream."""
        there = valid[:, :, None].to(x.dtype)
        products = (self.correlate(x) * there)[:, :, :, None] * joint[:, :, None, :]  # (B, T, D, d)
        totals = next(state)[:, None] + products.cumsum(dim=1)
        counts = next(state) + there[:, :, 0].cumsum(dim=1)  # (B, T)
        correlation = torch.tanh(totals / counts.clamp(min=1)[:, :, None, None])
        return self._updated(x, correlation), [totals[:, -1], counts[:, -1:]]


class Recursion(nn.Module):
    """All modalities once attend, each to its joint representation."""

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

    def _there(self, valid: Validity) -> dict[str, Tensor]:
        """Where both sides of a correlation are: the modality, and one at least of those that its joint is of."""
        if not self.of_others:
            return dict(valid)
        others = {name: [valid[other] for other in self.attend if other != name] for name in self.attend}
        return {name: valid[name] & torch.stack(others[name]).any(dim=0) for name in self.attend}

    def forward(self, features: Features, valid: Validity) -> dict[str, Tensor]:
        """Features (B, T, D_m) and validity (B, T) by modality -> features (B, T, D_m) by modality."""
        joint, there = self._joint(features, valid), self._there(valid)
        return {name: attend(features[name], joint[name], there[name]) for name, attend in self.attend.items()}

    def initial_state(self, batch_size: int) -> list[Tensor]:
        """Those of all modalities, one after the other."""
        return [tensor for attend in self.attend.values() for tensor in attend.initial_state(batch_size)]

    def step(self, features: Features, valid: Validity, state: Iterator[Tensor]) -> tuple[dict[str, Tensor], list[Tensor]]:
        """The same for the next steps of a stream."""
        joint, there, attended, remembered = self._joint(features, valid), self._there(valid), {}, []
        for name, attend in self.attend.items():
            attended[name], new = attend.step(features[name], joint[name], there[name], state)
            remembered += new
        return attended, remembered


class _RecursiveAttention(Fusion):
    """What RCMA and RJCMA share; `of_others` tells them apart."""

    of_others: bool

    def __init__(
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
        """Set up.

        Args:
            dims: channels D_m by modality.
            dropout: dropout on each update.
            axis: what is correlated: "time" as printed, "channel" as in the authors' code.
            num_recursions: how often the attended features go in again; printed best 3, 2 in the authors' code.
            shared_weights: one set of weights for all recursions, so that it is one function applied again.
            joint_dim: channels d of the joint representation.
            causal: look back only.
            reach: for axis "time": steps within which it looks; None for the whole sequence.
        """
        super().__init__()
        if axis not in {"time", "channel"}:
            raise ValueError(f"axis must be time or channel, not {axis!r}")
        if axis == "channel" and reach is not None:
            raise ValueError("reach is for axis = time: along channels, the correlation is of the whole sequence so far")
        if num_recursions < 1:
            raise ValueError(f"num_recursions must be at least 1, not {num_recursions}")
        if self.of_others and len(dims) < 2:
            raise ValueError("rcma attends to the other modalities: it needs two at least (concat takes one)")

        def make(dim: int) -> TimeCorrelation | ChannelCorrelation:
            if axis == "time":
                return TimeCorrelation(dim, joint_dim, dropout, TimeAttention("tanh", reach, causal))
            return ChannelCorrelation(dim, joint_dim, dropout, causal)

        self.out_dim, self.causal, self.num_recursions = sum(dims.values()), causal, num_recursions
        self.layers = nn.ModuleList(
            Recursion(dims, joint_dim, self.of_others, make) for _ in range(1 if shared_weights else num_recursions)
        )

    def _passes(self) -> list[nn.Module]:
        return [self.layers[index % len(self.layers)] for index in range(self.num_recursions)]

    def _join(self, features: Features) -> Tensor:
        return torch.cat([features[name] for name in self.layers[0].attend], dim=-1)

    def recursions(self, features: Features, valid: Validity) -> list[Tensor]:
        """The features side by side after 0, 1, ..., num_recursions recursions, each (B, T, out_dim)."""
        results = [self._join(features)]
        for attend in self._passes():
            features = attend(features, valid)
            results.append(self._join(features))
        return results

    def initial_state(self, batch_size: int) -> list[Tensor]:
        """Those of all recursions, one after the other."""
        return [tensor for attend in self._passes() for tensor in attend.initial_state(batch_size)]

    def step(self, features: Features, valid: Validity, state: Iterator[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """Fuse the next steps of a stream."""
        remembered = []
        for attend in self._passes():
            features, new = attend.step(features, valid, state)
            remembered += new
        return self._join(features), remembered


class RCMA(_RecursiveAttention):
    """Recursive cross-modal attention, arXiv 2403.13659 version 1: each modality attends to the joint of all *others*."""

    of_others = True


class RJCMA(_RecursiveAttention):
    """Recursive joint cross-modal attention, arXiv 2403.13659 later versions: each attends to the joint of *all*."""

    of_others = False
