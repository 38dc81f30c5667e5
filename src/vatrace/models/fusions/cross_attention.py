"""Pairwise cross-modal attention with a softmax."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vatrace.models.attention import TimeAttention
from vatrace.models.fusions.base import Features, Fusion, Validity
from vatrace.models.memory import Memory


class _Pair(nn.Module):
    """One modality's queries to another's keys and values."""

    def __init__(self, dim: int, source_dim: int, attention_dim: int, attention: TimeAttention) -> None:
        super().__init__()
        self.attention = attention
        self.query = nn.Linear(dim, attention_dim, bias=False)
        self.key = nn.Linear(source_dim, attention_dim, bias=False)
        self.value = nn.Linear(source_dim, attention_dim)
        self.update = nn.Linear(attention_dim, dim)

    def forward(self, x: Tensor, source: Tensor, valid: Tensor, memory: Memory | None = None) -> Tensor:
        """X (B, T, D), source (B, T, D_s), its validity (B, T) -> the values that x gathers, (B, T, D)."""
        return self.update(self.attention(self.query(x), self.key(source), self.value(source), valid, memory))


class _PairwiseAttention(Fusion):
    """Base of the two fusions: every modality gathers from every other, num_recursions times."""

    def __init__(
        self,
        dims: dict[str, int],
        dropout: float,
        attention_dim: int,
        num_heads: int,
        num_recursions: int,
        causal: bool,
        reach: int | None,
    ) -> None:
        super().__init__()
        if len(dims) < 2:
            raise ValueError("attention to the other modalities needs at least two (concat takes one)")
        if num_recursions < 1:
            raise ValueError(f"num_recursions must be at least 1, not {num_recursions}")
        if num_heads < 1 or attention_dim % num_heads:
            raise ValueError(f"attention_dim must be a multiple of num_heads ({num_heads}), not {attention_dim}")
        self.names, self.out_dim, self.causal = tuple(dims), sum(dims.values()), causal
        self.num_recursions = num_recursions
        self.norm = nn.ModuleDict({name: nn.LayerNorm(dim) for name, dim in dims.items()})
        attention = TimeAttention("softmax", reach, causal, num_heads=num_heads)
        self.pairs = nn.ModuleDict(
            {
                name: nn.ModuleDict(
                    {
                        source: _Pair(dim, source_dim, attention_dim, attention)
                        for source, source_dim in dims.items()
                        if source != name
                    }
                )
                for name, dim in dims.items()
            }
        )
        self.dropout = nn.Dropout(dropout)

    def _join(self, features: Features) -> Tensor:
        return torch.cat([features[name] for name in self.names], dim=-1)

    def _pass(self, features: Features, valid: Validity, memory: Memory | None) -> dict[str, Tensor]:
        """One recursion: each modality gathers from all others."""
        normed = {name: self.norm[name](features[name]) for name in self.names}
        results = {}
        for name in self.names:
            gathered = [pair(normed[name], normed[source], valid[source], memory) for source, pair in self.pairs[name].items()]
            results[name] = features[name] + self.dropout(torch.stack(gathered).sum(dim=0))
        return results

    def recursions(self, features: Features, valid: Validity, memory: Memory | None = None) -> list[Tensor]:
        """The concatenated features after 0, 1, ..., num_recursions recursions, each (B, T, out_dim)."""
        results = [self._join(features)]
        for _ in range(self.num_recursions):
            features = self._pass(features, valid, memory)
            results.append(self._join(features))
        return results


class CrossAttention(_PairwiseAttention):
    """Each modality attends once to each other modality with a softmax, as in MulT (Tsai et al. 2019, arXiv 1906.00295).

    Pre-norm, one layer, without MulT's convolutions and self-attention, which the TCNs replace.

    Args:
        dims: channels D_m by modality.
        dropout: dropout on the gathered values.
        attention_dim: channels of queries, keys and values of a pair, a multiple of num_heads.
        num_heads: number of heads.
        causal: whether attention covers only current and past steps.
        reach: steps within which it attends; None for the whole sequence.
    """

    def __init__(
        self,
        dims: dict[str, int],
        dropout: float,
        *,
        attention_dim: int = 64,
        num_heads: int = 4,
        causal: bool = False,
        reach: int | None = None,
    ) -> None:
        super().__init__(dims, dropout, attention_dim, num_heads, 1, causal, reach)


class RecursiveCrossAttention(_PairwiseAttention):
    """This project's default: recursive cross-modal attention with a softmax and a penalty on distance in time.

    As in RCMA, each modality attends to the others, and attention is applied again to its own result with the same weights.
    Instead of tanh correlations between all steps, it has a softmax over the valid steps within reach (see `TimeAttention`), so
    that time and memory grow linearly with the number of steps.

    Args:
        dims: channels D_m by modality.
        dropout: dropout on the gathered values.
        attention_dim: channels of queries, keys and values of a pair, a multiple of num_heads.
        num_heads: number of heads.
        num_recursions: number of times that attention is applied.
        causal: whether attention covers only current and past steps.
        reach: steps within which it attends; None for the whole sequence.
    """

    def __init__(
        self,
        dims: dict[str, int],
        dropout: float,
        *,
        attention_dim: int = 64,
        num_heads: int = 4,
        num_recursions: int = 2,
        causal: bool = False,
        reach: int | None = 50,
    ) -> None:
        super().__init__(dims, dropout, attention_dim, num_heads, num_recursions, causal, reach)
