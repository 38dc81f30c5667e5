"""The device that models are trained and evaluated on."""

from __future__ import annotations

from vatrace.errors import UsageError, require


def check_device(device: str, threads: int | None = None) -> None:
    """Check that PyTorch is installed and can use a device, before any other work.

    Args:
        device: the device, as PyTorch names it, such as "cuda:1".
        threads: CPU threads that PyTorch may use; None for its own choice, one for each core.

    Raises:
        MissingExtraError: if PyTorch or another library for training is missing.
        UsageError: if this machine has no such device.
    """
    require("training", ("torch", "pydantic", "safetensors"), "train")
    import torch

    try:
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise UsageError(f"device {device}: not available on this machine ({str(error).splitlines()[0]})") from error
    if threads is not None:
        torch.set_num_threads(threads)
