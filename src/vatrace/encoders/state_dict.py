"""PyTorch weights from other people's files: read without running any code in them, and checked name by name."""

from __future__ import annotations

import pickle
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from vatrace.errors import CheckpointError, missing

if TYPE_CHECKING:
    from torch import Tensor, nn

PREFIXES = ("module.", "backbone.")
"""What training code puts before the names."""


def read_state_dict(path: Path, network: nn.Module, ignore: Sequence[str] = ()) -> dict[str, Tensor]:
    """Read weights for a network.

    Args:
        path: a file of torch.save: the weights by name, or a dict that has them under "state_dict".
        network: that they are for.
        ignore: beginnings of names that are left out.

    Raises:
        ImportError: if PyTorch is not installed.
        CheckpointError: if it can't be read, or names or shapes differ from the network's.
    """
    try:
        import torch
    except ImportError as error:
        raise missing("this encoder needs PyTorch", "train") from error
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
    faults += [f"{name} is not known" for name in found if name not in wanted]
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
