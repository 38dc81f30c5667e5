"""What fits a model to somebody's ratings, as `vatrace adapt` finds it: a scale and a shift, and how wide intervals must be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vatrace.errors import ModelError, one_line
from vatrace.files import read_json, shown, write_json
from vatrace.files import sha256 as file_sha256
from vatrace.inference.intervals import NOTHING, HalfWidths
from vatrace.names import DIMENSIONS

FORMAT = "vatrace adaptation 1"

UNCALIBRATED: HalfWidths = {NOTHING: (1.0, 1.0)}
"""Half-widths of a model without intervals of its own: an adaptation's factors are then half-widths themselves."""


@dataclass(frozen=True)
class Correction:
    """What is done to one dimension.

    Attributes:
        scale: the model's value is multiplied by this ...
        shift: ... and then this is added.
        interval: the half-width of the model's interval is multiplied by this.
    """

    scale: float = 1.0
    shift: float = 0.0
    interval: float = 1.0

    def values(self, values: NDArray[np.floating]) -> NDArray[np.float64]:
        """The model's values of this dimension, of any shape, corrected and clipped to -1..1."""
        return np.clip(np.asarray(values, np.float64) * self.scale + self.shift, -1, 1)


@dataclass(frozen=True)
class Adaptation:
    """Corrections for one model.

    Attributes:
        sha256: of the fusion model's file.
        corrections: by dimension.
        facts: what it was fitted on, and how well that works; for readers of the file.
        name: of its file, and the start of that file's SHA-256; "" before it is written.
    """

    sha256: str
    corrections: Mapping[str, Correction]
    facts: Mapping[str, Any] = field(default_factory=dict)
    name: str = ""

    @property
    def note(self) -> str:
        """A sentence for the notes of a prediction."""
        changes = [f"{name} × {found.scale:.2f} {found.shift:+.2f}" for name, found in self.corrections.items()]
        widths = ", ".join(f"{name} × {found.interval:.2f}" for name, found in self.corrections.items())
        return f"adapted by {self.name or 'vatrace adapt'}: {', '.join(changes)}; width of intervals: {widths}"

    def values(self, values: NDArray[np.floating]) -> NDArray[np.float64]:
        """The model's values (..., 2), corrected and clipped to -1..1."""
        return np.stack([self.corrections[name].values(values[..., column]) for column, name in enumerate(DIMENSIONS)], axis=-1)

    def half_widths(self, model: HalfWidths) -> HalfWidths:
        """The half-widths of a model, corrected; also for a model that has none."""
        first, second = (self.corrections[name].interval for name in DIMENSIONS)
        return {name: (wide * first, high * second) for name, (wide, high) in (model or UNCALIBRATED).items()}

    def check_fits(self, model: str, sha256: str) -> None:
        """Check that it was fitted for this model.

        Raises:
            ModelError: if it wasn't.
        """
        if self.sha256 != sha256:
            other = self.facts.get("model", f"with the SHA-256 {self.sha256[:12]}")
            raise ModelError(f"{self.name}: was fitted for the model {other}, not for {model}; fit it again with vatrace adapt")


def write_adaptation(path: Path, adaptation: Adaptation) -> None:
    """Write an adaptation as JSON, whole or not at all."""
    corrections = {name: vars(found) for name, found in adaptation.corrections.items()}
    write_json(path, {"format": FORMAT, "model_sha256": adaptation.sha256, **corrections, **adaptation.facts})


def read_adaptation(path: Path) -> Adaptation:
    """Read what `write_adaptation` wrote.

    Raises:
        ModelError: if the file is missing or isn't an adaptation.
    """
    if not path.is_file():
        raise ModelError(f"{path}: no such adaptation file")
    content = read_json(path, ModelError)
    if content.pop("format", None) != FORMAT:
        raise ModelError(f"{path}: not a file of vatrace adapt")
    try:
        sha256 = str(content.pop("model_sha256"))
        corrections = {
            str(name): Correction(**{part: float(x) for part, x in content.pop(name).items()}) for name in DIMENSIONS
        }
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ModelError(f"{path}: damaged ({one_line(error)}); fit it again with vatrace adapt") from error
    numbers = np.array([[found.scale, found.shift, found.interval] for found in corrections.values()])
    if not (np.isfinite(numbers).all() and (numbers[:, [0, 2]] >= 0).all()):
        raise ModelError(f"{path}: scales and intervals must be numbers of at least 0")
    return Adaptation(sha256, corrections, content, f"{shown(path.name)} {file_sha256(path)[:12]}")
