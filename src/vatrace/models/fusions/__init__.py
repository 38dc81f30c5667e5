"""Fusions, which join the modalities: those of the package by name, and classes from outside."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from torch import nn

from vatrace.errors import PluginError
from vatrace.models.fusions.base import Fusion
from vatrace.models.fusions.cross_attention import CrossAttention, RecursiveCrossAttention
from vatrace.models.fusions.jca import JCA
from vatrace.models.fusions.lstm import LSTM
from vatrace.models.fusions.per_step import Concat, Gated, LeaderFollower
from vatrace.models.fusions.rcma import RCMA, RJCMA
from vatrace.models.fusions.transformer import Transformer
from vatrace.plugins import is_plugin, load_class

FUSIONS: dict[str, type[Fusion]] = {
    "recursive_cross_attention": RecursiveCrossAttention,
    "rcma": RCMA,
    "rjcma": RJCMA,
    "concat": Concat,
    "lstm": LSTM,
    "cross_attention": CrossAttention,
    "jca": JCA,
    "leader_follower": LeaderFollower,
    "transformer": Transformer,
    "gated": Gated,
}
"""All fusions by name. Each is constructed with the channels by modality, a dropout probability, and its own options."""

__all__ = ["FUSIONS", "Fusion", "fusion_class", "make_fusion"]


def fusion_class(name: str) -> type[Fusion]:
    """Find the class of a fusion.

    Args:
        name: a name in FUSIONS, or `package.module:Class`, which is imported: a name that comes from a file must not be given
            unless the user named the class too.

    Raises:
        ValueError: if the name is neither.
        PluginError: if the class can't be imported, or lacks what a `Fusion` must have.
    """
    if name in FUSIONS:
        return FUSIONS[name]
    if not is_plugin(name):
        raise ValueError(f"fusion must be one of {', '.join(FUSIONS)}, or package.module:Class, not {name!r}")
    found: type[Fusion] = load_class(name, Fusion)
    if not issubclass(found, nn.Module):
        raise PluginError(f"{name}: must derive from vatrace.models.fusions.Fusion or torch.nn.Module")
    inherited = found.recursions is Fusion.recursions
    if found.forward is nn.Module.forward or (found.forward is Fusion.forward and inherited):
        raise PluginError(f"{name}: lacks forward, which a Fusion must have")
    for method in ("forward", "recursions"):
        try:
            inspect.signature(getattr(found, method)).bind("self", "features", "valid", "memory")
        except TypeError as error:
            raise PluginError(f"{name}: {method} must take (features, valid, memory=None): {error}") from error
    return found


def make_fusion(name: str, dims: Mapping[str, int], dropout: float, options: Mapping[str, Any]) -> Fusion:
    """Make a fusion.

    Args:
        name: as in `fusion_class`.
        dims: channels D_m by modality.
        dropout: dropout probability.
        options: keyword arguments of the class.

    Raises:
        ValueError: if an option is impossible.
        PluginError: if a class from outside can't be constructed, or lacks what a `Fusion` must have.
    """
    found = fusion_class(name)
    if name in FUSIONS:
        return found(dict(dims), dropout, **options)
    try:
        fusion = found(dict(dims), dropout, **options)
    except ValueError:  # the class refuses its options
        raise
    except Exception as error:
        raise PluginError(f"{name}: can't be constructed with (dims, dropout, **fusion_options): {error}") from error
    for attribute, kind in (("out_dim", int), ("causal", bool)):
        if not isinstance(getattr(fusion, attribute, None), kind):
            raise PluginError(f"{name}: lacks {attribute} ({kind.__name__}), which a Fusion must have")
    return fusion
