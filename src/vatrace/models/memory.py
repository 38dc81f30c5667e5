"""The memory of a stream: what the layers of a model keep between two calls."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor


class Memory:
    """The tensors that the layers of a causal model kept in the last call, in the order in which the layers run.

    Each layer takes as many tensors as it keeps, with the same shapes in every call, so the size of a memory does not depend on
    the length of the stream. A memory belongs to one stream; start a new one after an error.

    Args:
        tensors: the tensors that the last call kept, or zeros of these shapes; empty before the first call.

    Attributes:
        tensors: the tensors that the last completed call kept.
    """

    def __init__(self, tensors: Iterable[Tensor] = ()) -> None:
        self.tensors = list(tensors)
        self._num_taken = 0
        self._kept: list[Tensor] = []

    def take(self, initial: Tensor) -> Tensor:
        """Return the next kept tensor, or in the first call `initial`, which must be zeros."""
        if not self.tensors:
            return initial
        self._num_taken += 1
        return self.tensors[self._num_taken - 1]

    def keep(self, tensor: Tensor) -> None:
        """Keep a tensor for the next call."""
        self._kept.append(tensor)

    def extend(self, x: Tensor, num_steps: int) -> Tensor:
        """Prepend the last `num_steps` steps to x, and keep the last `num_steps` steps of the result.

        Args:
            x: (B, T, D).
            num_steps: number of past steps.

        Returns:
            (B, num_steps + T, D); steps before the start are 0.
        """
        joined = torch.cat([self.take(x.new_zeros(x.shape[0], num_steps, x.shape[2])), x], dim=1)
        self.keep(joined[:, joined.shape[1] - num_steps :])
        return joined

    def end_call(self) -> None:
        """Make the tensors kept in this call available to the next. The model calls this after its last layer."""
        self.tensors, self._kept, self._num_taken = self._kept, [], 0
