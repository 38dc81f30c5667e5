"""What all fusions have in common."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

from vatrace.models.memory import Memory

Features = Mapping[str, Tensor]
"""(B, T, D_m) by modality."""
Validity = Mapping[str, Tensor]
"""(B, T) bool by modality."""


def side_by_side(features: Features, valid: Validity, names: Iterable[str]) -> Tensor:
    """Concatenate modalities, (B, T, sum of D_m), with 0 where one is missing, to be attended to."""
    return torch.cat([features[name] * valid[name][:, :, None].to(features[name].dtype) for name in names], dim=-1)


class Fusion(nn.Module):
    """Joins the features of all modalities, at each step alone or across steps.

    A fusion is constructed with the channels D_m by modality, a dropout probability, and its own options as keywords. It
    overrides `forward`, or `recursions` where it has several stages. One from outside the package may derive from this class or
    be another `torch.nn.Module` with the same attributes and methods.

    Attributes:
        out_dim: channels of the fused features.
        causal: whether no step depends on a later one. A causal fusion must accept a memory.
    """

    out_dim: int
    causal: bool = True

    def forward(self, features: Features, valid: Validity, memory: Memory | None = None) -> Tensor:
        """Fuse whole sequences, or with a memory the next steps of a stream.

        Args:
            features: (B, T, D_m) by modality, of every modality.
            valid: (B, T) bool by modality.
            memory: the memory of a stream; None for whole sequences.

        Returns:
            (B, T, out_dim).
        """
        return self.recursions(features, valid, memory)[-1]

    def recursions(self, features: Features, valid: Validity, memory: Memory | None = None) -> list[Tensor]:
        """The fused features after 0, 1, 2, ... recursions, each (B, T, out_dim); only one for a fusion without recursions."""
        return [self(features, valid, memory)]
