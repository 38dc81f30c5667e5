"""The config of a run, a TOML file: what the model is and how it is trained."""

from __future__ import annotations

import tomllib
from dataclasses import field, fields, replace
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from vatrace.errors import ConfigError, PluginError, one_line
from vatrace.models.affect import ModelConfig, fault_text
from vatrace.models.backbone import BackboneConfig, check_backbone
from vatrace.training.loop import TrainConfig

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

PRESETS = ("default", "streaming", "paper")
"""`default` is the package's own model, `streaming` its causal form, and `paper` arXiv 2403.13659 as printed."""


@dataclass(frozen=True, config={"extra": "forbid"})
class RunConfig:
    """The tables [model] and [train] of the TOML file, and [backbone] if a face network is trained too."""

    model: ModelConfig = field(default_factory=ModelConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    backbone: BackboneConfig | None = None

    def __post_init__(self) -> None:
        if self.backbone is not None:
            check_backbone(self.model, self.backbone)


def read_config(source: str | Path) -> RunConfig:
    """Read a run's TOML file, or one of PRESETS by its name. Paths in a file are relative to it.

    A fusion from outside that the file names is imported, so read only files that the user trusts.

    Raises:
        ConfigError: if there is no such file, or it is not TOML, or it has unknown names or impossible values; the message
            names each.
    """
    if str(source) in PRESETS:
        content = files(__package__).joinpath("presets", f"{source}.toml").read_bytes()
    elif Path(source).is_file():
        content = Path(source).read_bytes()
    else:
        raise ConfigError(f"{source}: no such file or preset ({', '.join(PRESETS)})")
    try:
        config = TypeAdapter(RunConfig).validate_python(tomllib.loads(content.decode()))
        if config.backbone is not None:
            weights = str(Path(source).absolute().parent / config.backbone.weights)
            config = replace(config, backbone=replace(config.backbone, weights=weights))
        return config
    except ValidationError as error:
        raise ConfigError(f"{source}: {one_line('; '.join(map(_located, error.errors())))}") from error
    except (ValueError, RecursionError) as error:  # of TOML: wrong, not UTF-8, too many brackets or digits
        raise ConfigError(f"{source}: not TOML: {error}") from error
    except PluginError as error:
        raise ConfigError(f"{source}: model.fusion: {error}") from error


def _located(fault: ErrorDetails) -> str:
    """Describe a fault, with the names of its table and key."""
    place = ".".join(map(str, fault["loc"]))
    if fault["type"] == "unexpected_keyword_argument":
        tables = {"model": ModelConfig, "train": TrainConfig, "backbone": BackboneConfig}
        known = [entry.name for entry in fields(tables.get(str(fault["loc"][0]), RunConfig))]
        return f"{place} is unknown; known names are {', '.join(known)}"
    if fault["type"] == "dataclass_type":
        return f"{place} must be a table, not {fault['input']!r}"
    return f"{place}: {fault_text(fault)}" if place else fault_text(fault)
