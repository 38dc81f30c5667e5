"""PyTorch weights from other people's files, read without running code from them, and checked name by name."""

from __future__ import annotations

import pickle
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from vatrace.errors import CheckpointError, missing

if TYPE_CHECKING:
    from torch import Tensor, nn

PREFIXES = ("module.", "backbone.")
"""Prefixes that training code adds to the names."""


def set_torch_threads(threads: int) -> None:
    """Set the number of CPU threads of PyTorch, for the whole process.

    Raises:
        MissingExtraError: if PyTorch is not installed.
    """
    try:
        import torch
    except ImportError as error:
        raise missing("this encoder needs PyTorch", "train") from error
    torch.set_num_threads(threads)


def read_state_dict(path: Path, network: nn.Module, ignore: Sequence[str] = ()) -> dict[str, Tensor]:
    """Read weights for a network.

    Args:
        path: a file written by torch.save: the weights by name, or a dict with the weights under "state_dict".
        network: the network for the weights.
        ignore: prefixes of names to leave out.

    Returns:
        The weights by the network's names.

    Raises:
        CheckpointError: if the file can't be read, or names or shapes differ from the network's.
    """
    import torch

    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, ValueError, pickle.UnpicklingError) as error:
        raise CheckpointError(f"{path}: can't be read as PyTorch weights ({str(error).splitlines()[0]})") from error
    if isinstance(content, Mapping) and isinstance(content.get("state_dict"), Mapping):
        content = content["state_dict"]
    if not isinstance(content, Mapping) or not all(isinstance(value, torch.Tensor) for value in content.values()):
        raise CheckpointError(f"{path}: not weights by name, but {type(content).__name__}")
    found = {}
    for key, value in content.items():
        name = str(key)
        for prefix in PREFIXES:
            name = name.removeprefix(prefix)
        if not name.startswith(tuple(ignore)):
            found[name] = value
    wanted = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    faults = [f"{name} is missing" for name in wanted if name not in found]
    faults += [f"{name} is unknown" for name in found if name not in wanted]
    faults += [
        f"{name} has shape {tuple(value.shape)}, not {wanted[name]}"
        for name, value in found.items()
        if name in wanted and tuple(value.shape) != wanted[name]
    ]
    if faults:
        raise CheckpointError(
            f"{path}: not the weights of {type(network).__name__}: {'; '.join(faults[:3])} ({len(faults)} faults)"
        )
    return found
