"""Weights on disk: safetensors, with the config and other facts as JSON in its header. Nothing is pickled."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from vatrace.errors import CheckpointError, PluginError
from vatrace.files import written_whole
from vatrace.models.affect import AffectModel, ModelConfig
from vatrace.models.backbone import BackboneConfig, EndToEndModel
from vatrace.plugins import is_plugin

FORMAT = 1
Model = AffectModel | EndToEndModel


def save_tensors(path: Path, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
    """Write tensors and facts (JSON values) into one file, whole or not at all.

    Raises:
        OSError: if it can't be written, for instance because the disk is full.
    """
    header = {"vatrace": json.dumps({"format": FORMAT, **facts})}
    with written_whole(path) as temporary:
        try:
            save_file({name: value.detach().cpu().contiguous() for name, value in tensors.items()}, temporary, header)
        except SafetensorError as error:  # the disk is full
            raise OSError(f"{path}: can't be written ({error})") from error


def load_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read what `save_tensors` wrote.

    Raises:
        CheckpointError: if it can't be read, or was not written by this package in this format.
    """
    try:
        with safe_open(path, framework="pt") as file:
            header = (file.metadata() or {}).get("vatrace")
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{path}: can't be read as safetensors ({error})") from error
    except Exception as error:  # the library raises other kinds for some damaged files
        raise CheckpointError(f"{path}: damaged ({error}); restore it, or train again") from error
    try:
        facts = json.loads(header) if header else {}
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path}: its header is damaged ({error}); restore it, or train again") from error
    if not isinstance(facts, dict) or facts.pop("format", None) != FORMAT:
        raise CheckpointError(f"{path}: not a checkpoint of this version of vatrace")
    return tensors, facts


def save_model(path: Path, model: Model, facts: Mapping[str, Any]) -> None:
    """Write a model's weights, config and `facts`, and a JSON file next to it with only the config and facts."""
    backbone = model.backbone_config if isinstance(model, EndToEndModel) else None
    content = {**facts, "model": asdict(model.config), "backbone": None if backbone is None else asdict(backbone)}
    save_tensors(path, model.state_dict(), content)
    with written_whole(path.with_suffix(".json")) as temporary:
        temporary.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def load_model(path: Path, device: torch.device | None = None, plugins: Collection[str] = ()) -> tuple[Model, dict[str, Any]]:
    """Read what `save_model` wrote.

    Args:
        path: the safetensors file.
        device: the device to put the model on; the CPU if None.
        plugins: classes from outside, `package.module:Class`, that the user trusts. Others that the file names are not
            imported.

    Returns:
        The model in evaluation mode, and the facts.

    Raises:
        CheckpointError: if the file can't be read, or its config and weights don't fit each other.
        PluginError: if the model's fusion is a class from outside that is not in `plugins`, or can't be used.
    """
    tensors, facts = load_tensors(path)
    broken = [name for name, tensor in tensors.items() if tensor.is_floating_point() and not tensor.isfinite().all()]
    if broken:
        raise CheckpointError(f"{path}: {broken[0]} contains values that are not numbers; restore it, or train again")
    try:
        content, backbone = facts.pop("model"), facts.pop("backbone")
        fusion = str(content["fusion"])
        if is_plugin(fusion) and fusion not in plugins:
            raise PluginError(
                f"{path}: its fusion is the class {fusion}, whose code is run only on request: add --plugin {fusion} if you "
                "trust it"
            )
        affect = AffectModel(ModelConfig(**content | {"outputs": tuple(content["outputs"])}))
        model: Model = affect
        if backbone is not None:
            epochs = tuple(backbone["release_epochs"])
            model = EndToEndModel(affect, BackboneConfig(**backbone | {"release_epochs": epochs}))
        model.load_state_dict(tensors)
    except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        raise CheckpointError(f"{path}: not a model of this version of vatrace ({error})") from error
    return model.eval().to(device or torch.device("cpu")), facts
