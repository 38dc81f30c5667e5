"""PyTorch weights from other people's files, read without running code from them, and checked name by name."""

from __future__ import annotations

import io
import pickle
import pickletools
import zipfile
from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from vatrace.errors import CheckpointError, missing

if TYPE_CHECKING:
    from torch import Tensor, nn

PREFIXES = ("module.", "backbone.")
"""Prefixes that training code adds to the names."""
WEIGHTS_MODULES = frozenset({"torch", "collections", "numpy", "_codecs"})
"""Modules of what weights consist of. PyTorch allows only some of their classes."""
MAX_PARTS = 4
"""Pickles at the start of a file of old versions of PyTorch; the last contains the weights."""
MAX_PICKLE = 50_000_000
"""Bytes of names and shapes that are searched."""


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
    if code := _code_in(path):
        raise CheckpointError(
            f"{path}: contains Python objects ({code}), whose code is not run; save only the weights: "
            "torch.save(model.state_dict(), FILE)"
        )
    import torch

    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:  # PyTorch's message advises to run the code
        raise CheckpointError(f"{path}: can't be read as PyTorch weights (damaged, or with Python objects in it)") from error
    except (OSError, RuntimeError, EOFError, ValueError, KeyError, AttributeError, TypeError, AssertionError) as error:
        problem = (str(error) or repr(error)).splitlines()[0]
        raise CheckpointError(f"{path}: can't be read as PyTorch weights ({problem})") from error
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


def _code_in(path: Path) -> str:
    """A class or function that a file of torch.save would import, other than those of weights; "" if there is none.

    This takes no time and runs nothing, so that such a file is refused before PyTorch is loaded.
    """
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                name = next((name for name in archive.namelist() if name.endswith("/data.pkl")), None)
                if name is None or archive.getinfo(name).file_size > MAX_PICKLE:
                    return ""
                content = archive.read(name)
        else:
            with path.open("rb") as file:
                content = file.read(MAX_PICKLE)
        texts: list[str] = []
        stream = io.BytesIO(content)
        parts = (pickletools.genops(stream) for _ in range(MAX_PARTS))  # each ends where the next one begins
        for operation, argument, _ in chain.from_iterable(parts):
            if operation.name == "GLOBAL":
                found = str(argument).split(" ")
            elif operation.name == "STACK_GLOBAL":
                found = texts[-2:]
            else:
                texts += [argument] if isinstance(argument, str) else []
                continue
            if found[0].split(".")[0] not in WEIGHTS_MODULES:
                return ".".join(found)
    except (OSError, ValueError, IndexError, KeyError, zipfile.BadZipFile, NotImplementedError, RuntimeError):
        return ""  # damaged, which PyTorch will notice
    return ""
