"""One TOML file says what a model is and how it is trained."""

from __future__ import annotations

import tomllib
from dataclasses import field, replace
from importlib.resources import files
from pathlib import Path

from pydantic import TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from vatrace.errors import ConfigError
from vatrace.models.affect import ModelConfig
from vatrace.models.backbone import BackboneConfig
from vatrace.training.loop import TrainConfig

PRESETS = ("default", "streaming", "paper")
"""`default` is the package's own model; `streaming` the same, looking back only; `paper` is arXiv 2403.13659 as printed."""


@dataclass(frozen=True, config={"extra": "forbid"})
class RunConfig:
    """A run: the tables [model] and [train] of the TOML file, and [backbone] where a face network is trained along."""

    model: ModelConfig = field(default_factory=ModelConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    backbone: BackboneConfig | None = None


def read_config(source: str | Path) -> RunConfig:
    """Read a run's TOML file, or one of PRESETS by its name. Paths in a file are relative to it.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is not TOML, has a name that is not known, or a value that can't be; the message names each.
    """
    if str(source) in PRESETS:
        content = files(__package__).joinpath("presets", f"{source}.toml").read_bytes()
    elif Path(source).is_file():
        content = Path(source).read_bytes()
    else:
        raise ConfigError(f"{source}: no such file, nor a preset ({', '.join(PRESETS)})")
    try:
        config = TypeAdapter(RunConfig).validate_python(tomllib.loads(content.decode()))
        if config.backbone is not None:
            weights = str(Path(source).absolute().parent / config.backbone.weights)
            config = replace(config, backbone=replace(config.backbone, weights=weights))
        return config
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{source}: not TOML: {error}") from error
    except ValidationError as error:
        faults = [f"{'.'.join(map(str, fault['loc'])) or 'run'}: {fault['msg']}" for fault in error.errors()]
        raise ConfigError(f"{source}: {'; '.join(faults)}") from error
