"""Attention against its equation, step by step, with loops."""

import math

import pytest
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from vatrace.models.attention import TimeAttention


def by_hand(attention: TimeAttention, query: Tensor, key: Tensor, value: Tensor, valid: Tensor) -> Tensor:
    """One recording: query, key (N, D), value (N, V), valid (N,)."""
    results = []
    heads, tokens = attention.num_heads, attention.num_tokens
    for i in range(len(query)):
        near = []
        for j in range(len(key)):
            back = i // tokens - j // tokens
            within = attention.reach is None or abs(back) < attention.reach
            if valid[j] and within and not (attention.causal and back < 0):
                near.append((j, abs(back)))
        if attention.weighting == "tanh":
            weights = [torch.tanh(query[i] @ key[j] / math.sqrt(query.shape[1])) / len(near) for j, _ in near]
            results.append(sum((w * value[j] for w, (j, _) in zip(weights, near, strict=True)), torch.zeros_like(value[0])))
            continue
        parts = []
        for head in range(heads):
            q, k, v = (x.chunk(heads, dim=-1)[head] for x in (query[i], key, value))
            slope = 2 ** (-8 * (head + 1) / heads)
            scores = [math.exp(float(q @ k[j]) / math.sqrt(len(q)) - slope * back) for j, back in near]
            total = 1 + sum(scores)  # the empty key has the score exp(0)
            parts.append(sum((s / total * v[j] for s, (j, _) in zip(scores, near, strict=True)), torch.zeros_like(v[0])))
        results.append(torch.cat(parts))
    return torch.stack(results)


@pytest.mark.parametrize("num_steps", [1, 3, 4, 5, 23])
@pytest.mark.parametrize(("reach", "causal"), [(None, False), (4, False), (4, True), (1, True), (50, True)])
@pytest.mark.parametrize(("weighting", "num_heads", "num_tokens"), [("tanh", 1, 1), ("softmax", 1, 1), ("softmax", 2, 3)])
def test_it_is_its_equation(
    weighting: str, num_heads: int, num_tokens: int, reach: int | None, causal: bool, num_steps: int
) -> None:
    torch.manual_seed(0)
    attention = TimeAttention(weighting, reach, causal, num_heads, num_tokens)  # type: ignore[arg-type]
    query, key, value = torch.randn(3, 2, num_steps * num_tokens, 4)
    valid = torch.rand(2, num_steps * num_tokens) < 0.6
    found = attention(query, key, value, valid)
    for i in range(2):
        torch.testing.assert_close(found[i], by_hand(attention, query[i], key[i], value[i], valid[i]), rtol=0, atol=1e-5)


@pytest.mark.parametrize(("reach", "growth"), [(8, 4), (None, 16)])
def test_with_a_reach_work_grows_with_the_steps_without_one_with_their_square(reach: int | None, growth: int) -> None:
    flops = []
    for steps in (64, 256):
        x = torch.randn(1, steps, 4)
        with FlopCounterMode(display=False) as counter:
            TimeAttention("tanh", reach, causal=False)(x, x, x, torch.ones(1, steps, dtype=torch.bool))
        flops.append(counter.get_total_flops())
    assert flops[1] == pytest.approx(growth * flops[0], rel=0.05)
