"""Self-attention over the tokens of all modalities."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vatrace.models.attention import TimeAttention
from vatrace.models.fusions.base import Features, Fusion, Validity
from vatrace.models.memory import Memory


class _Layer(nn.Module):
    """Pre-norm self-attention and feed-forward (Vaswani et al. 2017, arXiv 1706.03762)."""

    def __init__(self, dim: int, dropout: float, attention: TimeAttention) -> None:
        super().__init__()
        self.attention = attention
        self.first_norm, self.second_norm = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.project = nn.Linear(dim, 3 * dim, bias=False)
        self.gathered = nn.Linear(dim, dim)
        self.feed_forward = nn.Sequential(nn.Linear(dim, 2 * dim), nn.GELU(), nn.Linear(2 * dim, dim))
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, valid: Tensor, memory: Memory | None = None) -> Tensor:
        """X (B, N, D), valid (B, N) -> (B, N, D)."""
        query, key, value = self.project(self.first_norm(x)).chunk(3, dim=-1)
        x = x + self.dropout(self.gathered(self.attention(query, key, value, valid, memory)))
        return x + self.dropout(self.feed_forward(self.second_norm(x)))


class Transformer(Fusion):
    """Self-attention between tokens, one for each modality and step (Vaswani et al. 2017, arXiv 1706.03762).

    Each modality has its own projection, whose bias marks its tokens. A penalty on distance (`TimeAttention`) replaces
    positional encoding.

    Args:
        dims: channels D_m by modality.
        dropout: dropout on each update.
        token_dim: channels of a token, a multiple of num_heads.
        num_layers: number of layers.
        num_heads: number of heads.
        causal: whether attention covers only current and past steps.
        reach: steps within which it attends; None for the whole sequence.
    """

    def __init__(
        self,
        dims: dict[str, int],
        dropout: float,
        *,
        token_dim: int = 64,
        num_layers: int = 2,
        num_heads: int = 4,
        causal: bool = False,
        reach: int | None = None,
    ) -> None:
        super().__init__()
        if num_heads < 1 or token_dim % num_heads:
            raise ValueError(f"token_dim must be a multiple of num_heads ({num_heads}), not {token_dim}")
        if num_layers < 1:
            raise ValueError(f"num_layers must be at least 1, not {num_layers}")
        self.names, self.out_dim, self.causal = tuple(dims), token_dim * len(dims), causal
        self.project = nn.ModuleDict({name: nn.Linear(dim, token_dim) for name, dim in dims.items()})
        self.layers = nn.ModuleList(
            _Layer(token_dim, dropout, TimeAttention("softmax", reach, causal, num_heads=num_heads, num_tokens=len(dims)))
            for _ in range(num_layers)
        )
        self.norm = nn.LayerNorm(token_dim)

    def forward(self, features: Features, valid: Validity, memory: Memory | None = None) -> Tensor:
        """Features (B, T, D_m) and validity (B, T) by modality -> (B, T, M x token_dim)."""
        tokens = torch.stack([self.project[name](features[name]) for name in self.names], dim=2).flatten(1, 2)
        mask = torch.stack([valid[name] for name in self.names], dim=2).flatten(1, 2)
        for layer in self.layers:  # (B, T x M, token_dim); the tokens of one step are adjacent
            tokens = layer(tokens, mask, memory)
        return self.norm(tokens).unflatten(1, (-1, len(self.names))).flatten(2)
