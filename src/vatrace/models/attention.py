"""Attention over time within a reach of steps: in blocks for whole sequences, with a window of past steps for streams.

All fusions that attend to other steps use `TimeAttention`. With a reach, cost and memory grow linearly with the
number of steps; without one, with its square.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vatrace.models.memory import Memory

Weighting = Literal["tanh", "softmax"]


class TimeAttention(nn.Module):
    """Each step's query gathers values from the valid steps within reach. There are no parameters.

    "tanh" weights a value by tanh(q k / √d) / n, where n is the number of valid steps in reach (Praveen & Alam 2024, arXiv
    2403.13659: a correlation, so it may be negative; the division is ours, so that the sum doesn't grow with n). "softmax" is
    scaled dot-product attention (Vaswani et al. 2017, arXiv 1706.03762) with a linear penalty on distance in each head
    (ALiBi: Press et al. 2022, arXiv 2108.12409) and an additional empty key, so that a step with nothing in reach gathers 0.

    Args:
        weighting: "tanh" or "softmax".
        reach: steps back that attention covers, including the current one, and as many ahead if not causal; None for all.
        causal: whether attention covers only current and past steps. This needs a reach, which bounds the memory of a stream.
        num_heads: number of heads of the softmax.
        num_tokens: tokens per step, which are adjacent in the sequence.

    Raises:
        ValueError: if causal without a reach, or the reach is below 1.
    """

    block_bias: Tensor

    def __init__(self, weighting: Weighting, reach: int | None, causal: bool, num_heads: int = 1, num_tokens: int = 1) -> None:
        super().__init__()
        if reach is not None and reach < 1:
            raise ValueError(f"reach must be at least 1 step, not {reach}")
        if causal and reach is None:
            raise ValueError("causal attention needs a reach (in steps), which bounds the memory of a stream")
        self.weighting, self.reach, self.causal, self.num_tokens = weighting, reach, causal, num_tokens
        self.num_heads = num_heads
        if reach is not None:  # the same for every block of a sequence
            size, num_blocks = reach * num_tokens, 2 if causal else 3
            self.register_buffer("block_bias", self._bias(size, num_blocks * size, size), persistent=False)

    def forward(self, query: Tensor, key: Tensor, value: Tensor, valid: Tensor, memory: Memory | None = None) -> Tensor:
        """Attend within a whole sequence, or with a memory within a stream.

        Args:
            query: (B, N, D), N = T x num_tokens.
            key: (B, N, D).
            value: (B, N, V).
            valid: (B, N) bool, whether each key and value is present.
            memory: keeps the keys, values and validity of past steps within reach; only for causal attention.

        Returns:
            (B, N, V).
        """
        num_queries, first = query.shape[1], 0
        if memory is not None:
            assert self.causal and self.reach is not None
            first = self.reach * self.num_tokens
            key, value, mask = (memory.extend(x, first) for x in (key, value, valid[:, :, None].to(query.dtype)))
            valid = mask[:, :, 0] > 0.5
        elif self.reach is not None:
            return self._in_blocks(query, key, value, valid, self.reach * self.num_tokens)
        return self._attend(query, key, value, valid, self._bias(num_queries, key.shape[1], first, query.device))

    def _in_blocks(self, query: Tensor, key: Tensor, value: Tensor, valid: Tensor, size: int) -> Tensor:
        """Attend from each block of `size` tokens to itself and its neighbours, which contain all steps within reach."""
        ahead = 0 if self.causal else 1
        batch, length = query.shape[0], query.shape[1]
        blocks = (length + size - 1) // size

        def split(x: Tensor, before: int, after: int) -> Tensor:
            """(B, N, D) -> (B, before + blocks + after, size, D)."""
            x = F.pad(x, (0, 0, before * size, (after + 1) * size))[:, : (before + blocks + after) * size]
            return x.reshape(batch, before + blocks + after, size, x.shape[-1])

        def around(x: Tensor) -> Tensor:
            """Each block with its neighbours, (B x blocks, (2 + ahead) x size, D)."""
            parts = split(x, 1, ahead)
            joined = torch.cat([parts[:, i : i + blocks] for i in range(2 + ahead)], dim=2)
            return joined.reshape(batch * blocks, (2 + ahead) * size, x.shape[-1])

        mask = around(valid[:, :, None].to(query.dtype))[:, :, 0] > 0.5
        blocked = split(query, 0, 0).reshape(batch * blocks, size, query.shape[-1])
        attended = self._attend(blocked, around(key), around(value), mask, self.block_bias)
        return attended.reshape(batch, blocks * size, value.shape[-1])[:, :length]

    def _bias(self, num_queries: int, num_keys: int, first: int, device: torch.device | None = None) -> Tensor:
        """The effect of distance in time; the first query is at the same step as key number `first`.

        For "tanh", (Q, K): 1 for keys within reach, 0 for others. For "softmax", (heads, Q, K): the term added to the scores.
        """
        queries, keys = torch.arange(num_queries, device=device) + first, torch.arange(num_keys, device=device)
        if self.num_tokens > 1:
            queries, keys = queries // self.num_tokens, keys // self.num_tokens
        back = queries[:, None] - keys  # steps
        if self.reach is None:
            within = torch.ones_like(back, dtype=torch.bool)
        else:
            within = (back < self.reach) & (back >= 0 if self.causal else back > -self.reach)
        if self.weighting == "tanh":
            return within.float()
        slopes = 2.0 ** (-8 * torch.arange(1, self.num_heads + 1, device=device) / self.num_heads)
        return torch.where(within, -back.abs() * slopes[:, None, None], -math.inf)

    def _attend(self, query: Tensor, key: Tensor, value: Tensor, valid: Tensor, bias: Tensor) -> Tensor:
        bias = bias.to(query.dtype)
        if self.weighting == "tanh":
            present = valid[:, :, None].to(query.dtype)
            weights = torch.tanh(query @ key.transpose(1, 2) * (1 / math.sqrt(query.shape[-1])))
            if self.reach is None:
                return weights @ (value * present) / present.sum(dim=1, keepdim=True).clamp(min=1)
            return (weights * bias) @ (value * present) / (bias @ present).clamp(min=1)

        def heads(x: Tensor) -> Tensor:
            """(B, N, D) -> (B, heads, 1 + N, D / heads), an empty key or value first."""
            return F.pad(x, (0, 0, 1, 0)).unflatten(2, (self.num_heads, -1)).transpose(1, 2)

        bias = F.pad(torch.where(valid[:, None, None, :], bias, -math.inf), (1, 0))
        split_query = query.unflatten(2, (self.num_heads, -1)).transpose(1, 2)
        attended = F.scaled_dot_product_attention(split_query, heads(key), heads(value), attn_mask=bias)
        return attended.transpose(1, 2).flatten(2)
