"""What all fusions have in common."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import torch
from torch import Tensor, nn

Features = Mapping[str, Tensor]
"""(B, T, D_m) by modality."""
Validity = Mapping[str, Tensor]
"""(B, T) bool by modality."""


def side_by_side(features: Features, valid: Validity, names: Iterable[str]) -> Tensor:
    """Join modalities (B, T, sum of D_m) for others to attend to, with 0 where one is missing."""
    return torch.cat([features[name] * valid[name][:, :, None].to(features[name].dtype) for name in names], dim=-1)


class Fusion(nn.Module):
    """Joins the features of all modalities, step by step or looking at other steps too.

    A fusion that looks at other steps overrides `initial_state` and `step` as well as `forward`.

    Attributes:
        out_dim: channels of what comes out.
        causal: whether no step depends on a later one.
    """

    out_dim: int
    causal: bool = True

    def forward(self, features: Features, valid: Validity) -> Tensor:
        """Fuse whole sequences.

        Args:
            features: (B, T, D_m) by modality, of every modality.
            valid: (B, T) bool by modality.

        Returns:
            (B, T, out_dim).
        """
        return self.recursions(features, valid)[-1]

    def recursions(self, features: Features, valid: Validity) -> list[Tensor]:
        """What there is after 0, 1, 2, ... recursions, each (B, T, out_dim); one alone if it has none."""
        return [self(features, valid)]

    def initial_state(self, batch_size: int) -> list[Tensor]:
        """What a causal fusion remembers before the first step: zeros."""
        return []

    def step(self, features: Features, valid: Validity, state: Iterator[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """Fuse the next T steps of a stream, given the state of the call before; causal fusions only.

        Each part takes its own tensors from `state`, in the order in which `initial_state` gives them.
        """
        return self(features, valid), []
