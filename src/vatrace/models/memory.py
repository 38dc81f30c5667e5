"""What the layers of a model keep of a stream between two calls."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor


class Memory:
    """The tensors that the layers of a causal model kept in the last call, in the order in which the layers run.

    Each layer takes as many tensors as it keeps, of the same shapes in every call, so that the size of a memory does not
    depend on the length of the stream. A memory belongs to one stream; start another one after an error.

    Args:
        tensors: what the last call kept, or zeros of these shapes; nothing before the first call.

    Attributes:
        tensors: what the last completed call kept.
    """

    def __init__(self, tensors: Iterable[Tensor] = ()) -> None:
        self.tensors = list(tensors)
        self._num_taken = 0
        self._kept: list[Tensor] = []

    def take(self, initial: Tensor) -> Tensor:
        """The next of the kept tensors, or `initial`, which must be zeros, in the first call."""
        if not self.tensors:
            return initial
        self._num_taken += 1
        return self.tensors[self._num_taken - 1]

    def keep(self, tensor: Tensor) -> None:
        """Keep a tensor for the next call."""
        self._kept.append(tensor)

    def extend(self, x: Tensor, num_steps: int) -> Tensor:
        """Put the `num_steps` steps of the past before x, and keep the last `num_steps` of the result.

        Args:
            x: (B, T, D).
            num_steps: how many steps of the past.

        Returns:
            (B, num_steps + T, D); steps before the start are 0.
        """
        joined = torch.cat([self.take(x.new_zeros(x.shape[0], num_steps, x.shape[2])), x], dim=1)
        self.keep(joined[:, joined.shape[1] - num_steps :])
        return joined

    def end_call(self) -> None:
        """Make what this call kept available to the next one. The model calls this after its last layer."""
        self.tensors, self._kept, self._num_taken = self._kept, [], 0
