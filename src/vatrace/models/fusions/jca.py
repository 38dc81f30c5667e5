"""Joint cross-attention."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vatrace.models.attention import TimeAttention
from vatrace.models.fusions.base import Features, Fusion, Validity, side_by_side
from vatrace.models.memory import Memory


class JCA(Fusion):
    """Joint cross-attention, one pass (Praveen et al. 2022, arXiv 2203.14779), here for any number of modalities and steps.

    With J, the concatenation of all features: C_m = tanh(X_m W_jm Jᵀ / √d), H_m = ReLU(X_m W_m + C_m X_m W_cm), X_m <- X_m +
    H_m W_hm. As in `rcma`, the maps that the paper applies along a fixed number of steps are applied along channels, and C_m
    X_m is a mean over valid steps.

    Args:
        dims: channels D_m by modality.
        dropout: dropout on the update.
        hidden_dim: channels of H_m.
        causal: whether attention covers only current and past steps.
        reach: steps within which it attends; None for the whole sequence.
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

    def recursions(self, features: Features, valid: Validity, memory: Memory | None = None) -> list[Tensor]:
        """The concatenated features before and after attention, each (B, T, out_dim)."""
        joint, results = side_by_side(features, valid, self.dims), []
        for name in self.dims:
            x = features[name]
            attended = self.attention(self.correlate[name](x), joint, x, valid[name], memory)
            hidden = torch.relu(self.own[name](x) + self.attended[name](attended))
            results.append(x + self.dropout(self.update[name](hidden)))
        return [torch.cat([features[name] for name in self.dims], dim=-1), torch.cat(results, dim=-1)]
