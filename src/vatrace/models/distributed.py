"""Training with several processes, started by `torchrun`: each has a share of every batch, and all have the same weights."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


@contextmanager
def process_group(device: torch.device) -> Iterator[torch.device]:
    """Join the processes that torchrun started, if any; yield the device of this process."""
    if "RANK" not in os.environ:
        yield device
        return
    # imported before the group exists: DistributedDataParallel would import it later, and its functions' defaults would then
    # hold the group forever; the group's threads would outlive it, and sometimes abort the process when Python exits
    import torch.distributed.nn

    if device.type == "cuda":
        device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield device
    finally:
        dist.destroy_process_group()


def num_processes() -> int:
    """The number of processes that train together."""
    return dist.get_world_size() if dist.is_initialized() else 1


def rank() -> int:
    """The index of this process, from 0; only the first writes files."""
    return dist.get_rank() if dist.is_initialized() else 0


class _Total(torch.autograd.Function):
    """The sum over all processes. Its gradient is a sum too, since every process uses the sum."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        x = x.clone()
        dist.all_reduce(x)
        return x

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return _Total.apply(gradients[0])


def total(x: Tensor) -> Tensor:
    """The sum over all processes, through which gradients flow."""
    return x if num_processes() == 1 else _Total.apply(x)


def gather(items: list[Any]) -> list[Any]:
    """The items of all processes in the order of their ranks, the same in each process."""
    if num_processes() == 1:
        return items
    parts: list[Any] = [None] * num_processes()
    dist.all_gather_object(parts, items)
    return [item for part in parts for item in part]
