"""One training over several processes, as `torchrun` starts them: each has a share of every batch, all the same weights."""

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
    """Join the processes that torchrun started, if it did; gives the device of this one."""
    if "RANK" not in os.environ:
        yield device
        return
    # imported once there is a group, as DistributedDataParallel does, it holds that group for good in its functions' defaults;
    # the group's threads then outlive it, and now and then abort the process as Python ends
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
    """How many processes train together."""
    return dist.get_world_size() if dist.is_initialized() else 1


def rank() -> int:
    """Which of them this is, from 0; the first is the one that writes."""
    return dist.get_rank() if dist.is_initialized() else 0


class _Total(torch.autograd.Function):
    """The sum over all processes; so is its gradient, since each process goes on with the sum."""

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
    """The items of all processes, in the order of their ranks, in each process."""
    if num_processes() == 1:
        return items
    parts: list[Any] = [None] * num_processes()
    dist.all_gather_object(parts, items)
    return [item for part in parts for item in part]
