"""Parts of the installation that not everybody needs."""

from __future__ import annotations

CPU_TORCH = "pip install torch==2.13.0 --index-url https://download.pytorch.org/whl/cpu"


def missing(what: str, extra: str) -> ImportError:
    """The error for something that an extra is missing for.

    Args:
        what: with what it needs, such as "training needs PyTorch".
        extra: as pyproject.toml calls it.
    """
    hint = f" (without an NVIDIA GPU, first: {CPU_TORCH})" if extra == "train" else ""
    return ImportError(f"{what}; it comes with the `{extra}` extra: pip install '.[{extra}]' in a checkout of vatrace{hint}")
