"""Recurrent fusion."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vatrace.models.fusions.base import Features, Fusion, Validity
from vatrace.models.memory import Memory


class LSTM(Fusion):
    """A long short-term memory over the concatenated features (Hochreiter & Schmidhuber 1997, Neural Computation 9(8)).

    It represents the recurrent fusions that arXiv 2403.13659 cites as earlier work (for instance Nicolaou et al. 2011, IEEE
    Transactions on Affective Computing 2(2)).
    """

    def __init__(self, dims: dict[str, int], dropout: float, *, hidden_dim: int = 128) -> None:
        super().__init__()
        self.names, self.out_dim = tuple(dims), hidden_dim
        self.lstm = nn.LSTM(sum(dims.values()), hidden_dim, batch_first=True)
        self.dropout = nn.Dropout(dropout)

    def forward(self, features: Features, valid: Validity, memory: Memory | None = None) -> Tensor:
        """Features (B, T, D_m) by modality -> (B, T, hidden_dim)."""
        joined, memory = torch.cat([features[name] for name in self.names], dim=-1), memory or Memory()
        zeros = self.lstm.weight_hh_l0.new_zeros(joined.shape[0], self.out_dim)
        fused, state = self.lstm(joined, (memory.take(zeros)[None], memory.take(zeros)[None]))
        for tensor in state:  # hidden and cell state
            memory.keep(tensor[0])
        return self.dropout(fused)
