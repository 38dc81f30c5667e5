"""Recurrent fusion."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from vatrace.models.fusions.base import Features, Fusion, Validity


class LSTM(Fusion):
    """A long short-term memory over the features side by side (Hochreiter & Schmidhuber 1997, Neural Computation 9(8)).

    It stands for the recurrent fusions that arXiv 2403.13659 names as earlier work (for instance Nicolaou et al. 2011, IEEE
    Transactions on Affective Computing 2(2)).
    """

    def __init__(self, dims: dict[str, int], dropout: float, *, hidden_dim: int = 128) -> None:
        super().__init__()
        self.names, self.out_dim = tuple(dims), hidden_dim
        self.lstm = nn.LSTM(sum(dims.values()), hidden_dim, batch_first=True)
        self.dropout = nn.Dropout(dropout)

    def forward(self, features: Features, valid: Validity) -> Tensor:
        """Features (B, T, D_m) by modality -> (B, T, hidden_dim)."""
        return self.step(features, valid, iter(self.initial_state(features[self.names[0]].shape[0])))[0]

    def initial_state(self, batch_size: int) -> list[Tensor]:
        """The hidden and the cell state, (B, hidden_dim) of zeros each."""
        return [self.lstm.weight_hh_l0.new_zeros(batch_size, self.out_dim) for _ in range(2)]

    def step(self, features: Features, valid: Validity, state: Iterator[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """Fuse the next steps of a stream."""
        joined = torch.cat([features[name] for name in self.names], dim=-1)
        fused, (hidden, cell) = self.lstm(joined, (next(state)[None], next(state)[None]))
        return self.dropout(fused), [hidden[0], cell[0]]
