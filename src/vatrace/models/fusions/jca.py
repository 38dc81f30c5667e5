"""Joint cross-attention."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from vatrace.models.attention import TimeAttention
from vatrace.models.fusions.base import Features, Fusion, Validity, side_by_side


class JCA(Fusion):
    """Joint cross-attention, one pass (Praveen et al. 2022, arXiv 2203.14779), here for any number of modalities and steps.

    With J = all features side by side: C_m = tanh(X_m W_jm Jᵀ / √d), H_m = ReLU(X_m W_m + C_m X_m W_cm), X_m <- X_m + H_m
    W_hm. As in `rcma`, what the paper mixes along a fixed number of steps is mixed along channels, and C_m X_m is a mean over
    valid steps.

    Args:
        dims: channels D_m by modality.
        dropout: dropout on the update.
        hidden_dim: channels of H_m.
        causal: look back only.
        reach: steps within which it looks; None for the whole sequence.
    """

    def __init__(
        self, dims: dict[str, int], dropout: float, *, hidden_dim: int = 64, causal: bool = False, reach: int | None = None
    ) -> None:
        super().__init__()
        self.dims, self.out_dim, self.causal = dict(dims), sum(dims.values()), causal

        def linear(num_inputs: dict[str, int], num_outputs: dict[str, int]) -> nn.ModuleDict:
            return nn.ModuleDict({name: nn.Linear(num_inputs[name], num_outputs[name], bias=False) for name in dims})

        joint, hidden = dict.fromkeys(dims, self.out_dim), dict.fromkeys(dims, hidden_dim)
        self.correlate, self.own, self.attended = linear(self.dims, joint), linear(self.dims, hidden), linear(self.dims, hidden)
        self.update = linear(hidden, self.dims)
        self.attention = TimeAttention("tanh", reach, causal)
        self.dropout = nn.Dropout(dropout)

    def _updated(self, name: str, x: Tensor, attended: Tensor) -> Tensor:
        hidden = torch.relu(self.own[name](x) + self.attended[name](attended))
        return x + self.dropout(self.update[name](hidden))

    def recursions(self, features: Features, valid: Validity) -> list[Tensor]:
        """The features side by side before and after, each (B, T, out_dim)."""
        joint, results = side_by_side(features, valid, self.dims), []
        for name in self.dims:
            x = features[name]
            results.append(self._updated(name, x, self.attention(self.correlate[name](x), joint, x, valid[name])))
        return [torch.cat([features[name] for name in self.dims], dim=-1), torch.cat(results, dim=-1)]

    def initial_state(self, batch_size: int) -> list[Tensor]:
        """Empty windows of the joint, each modality's features and their validity."""
        like = next(self.parameters())
        return [
            tensor
            for name, dim in self.dims.items()
            for tensor in self.attention.initial_state(batch_size, self.out_dim, dim, like)
        ]

    def step(self, features: Features, valid: Validity, state: Iterator[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """Fuse the next steps of a stream."""
        joint, results, remembered = side_by_side(features, valid, self.dims), [], []
        for name in self.dims:
            x = features[name]
            attended, new = self.attention.step(self.correlate[name](x), joint, x, valid[name], state)
            results.append(self._updated(name, x, attended))
            remembered += new
        return torch.cat(results, dim=-1), remembered
