"""Any ONNX network on an aligned face crop, from the user's file.

The preparation of crops is stated in the file's metadata, or in a TOML file that names it:

    model = "net.onnx"             # relative to the TOML file
    crop_size = 112                # pixels; may be left out if the network's input states it
    mean = [123.7, 116.3, 103.5]   # of red, green and blue in 0..255, or one number for all
    scale = 0.0171                 # the network's input is (pixel - mean) * scale; one number or three as well
    output = "embedding"           # needed only if the network has several outputs

In the metadata, the values are JSON under the same names.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vatrace.errors import CheckpointError, reason
from vatrace.weights import onnx_session
from vatrace.weights.external import with_external

KEYS = ("crop_size", "mean", "scale", "output")
BATCH = 64


class OnnxFaceEncoder:
    """Turns face crops into the output of an ONNX network.

    The network has one float32 input: (N, 3, S, S), or (N, S, S, 3) if that is its shape; N is dynamic or 1. Its output is
    (N, D).

    Args:
        path: the ONNX file with metadata, or a TOML file that names it.
        threads: CPU threads.

    Raises:
        CheckpointError: if a file can't be read, a value is missing, or the network doesn't fit.
    """

    def __init__(self, path: Path, threads: int = 1) -> None:
        content = _read_toml(path) if path.suffix == ".toml" else {}
        self._session = onnx_session(_network(path), threads)
        known = _metadata(path, self._session.get_modelmeta().custom_metadata_map) | content
        lacking = [key for key in ("mean", "scale") if key not in known]
        if lacking:
            raise CheckpointError(f"{path}: {' and '.join(lacking)} not stated: write it into the ONNX metadata or a TOML file")
        self._path, self._mean, self._scale = path, _channels(path, known, "mean"), _channels(path, known, "scale")
        self._input, self._channels_last, self._batch, size = _check_input(path, self._session.get_inputs())
        self.crop_size = _crop_size(path, known.get("crop_size"), size)
        self._output = _check_output(path, known.get("output"), [value.name for value in self._session.get_outputs()])
        self.dim = self(np.zeros((1, self.crop_size, self.crop_size, 3), np.uint8)).shape[1]

    @staticmethod
    def weight_files(path: Path) -> list[Path]:
        """The files that determine the vectors: the TOML file (if any), the ONNX file, and the files it refers to."""
        return [*([path] if path.suffix == ".toml" else []), *with_external(_network(path))]

    def __call__(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        """(N, S, S, 3) RGB 0..255 -> (N, D)."""
        starts = range(0, len(crops), self._batch)
        return np.concatenate([self._run(crops[start : start + self._batch]) for start in starts])

    def _run(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        faces = ((crops - self._mean) * self._scale).astype(np.float32)
        faces = faces if self._channels_last else np.ascontiguousarray(faces.transpose(0, 3, 1, 2))
        try:
            (vectors,) = self._session.run([self._output], {self._input: faces})
        except Exception as error:  # ONNX Runtime has no public base class for its errors
            raise CheckpointError(f"{self._path}: the network fails on crops of {self.crop_size} pixels ({error})") from error
        if vectors.ndim != 2 or len(vectors) != len(crops):
            raise CheckpointError(
                f"{self._path}: output {self._output} has shape {vectors.shape}, not ({len(crops)}, channels)"
            )
        return np.asarray(vectors, dtype=np.float32)


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise CheckpointError(f"{path}: {reason(error)}") from error
    except (ValueError, RecursionError) as error:  # not TOML, or not UTF-8
        raise CheckpointError(f"{path}: not a TOML file ({error})") from error
    unknown = sorted(set(content) - {"model", *KEYS})
    if unknown:
        raise CheckpointError(f"{path}: unknown name {', '.join(unknown)}; known names are model, {', '.join(KEYS)}")
    if not isinstance(content.get("model"), str):
        raise CheckpointError(f'{path}: the ONNX file is not stated: model = "NAME.onnx"')
    return content


def _network(path: Path) -> Path:
    """The ONNX file, which may be named in a TOML file."""
    return path.parent / str(_read_toml(path)["model"]) if path.suffix == ".toml" else path


def _metadata(path: Path, metadata: Mapping[str, str]) -> dict[str, Any]:
    """Read the values in the ONNX metadata, which are JSON; the output's name may lack quotes."""
    known: dict[str, Any] = {}
    for key in (key for key in KEYS if key in metadata):
        try:
            known[key] = json.loads(metadata[key])
        except (ValueError, RecursionError) as error:
            if key != "output":
                raise CheckpointError(f"{path}: {key} in the metadata is not a number or a list: {metadata[key]!r}") from error
            known[key] = metadata[key]
    return known


def _channels(path: Path, known: Mapping[str, Any], key: str) -> NDArray[np.float32]:
    """Read a value for red, green and blue, (3,)."""
    try:
        return np.broadcast_to(np.asarray(known[key], dtype=np.float32), (3,))
    except (TypeError, ValueError) as error:
        raise CheckpointError(f"{path}: {key} must be a number or a list of three, not {known[key]!r}") from error


def _check_input(path: Path, inputs: list[Any]) -> tuple[str, bool, int, int | None]:
    """Return the input's name, whether channels are last, the largest batch, and S if it is static."""
    if len(inputs) != 1 or inputs[0].type != "tensor(float)" or len(inputs[0].shape) != 4:
        found = ", ".join(f"{value.name} {value.type} {value.shape}" for value in inputs)
        raise CheckpointError(f"{path}: must have one float32 input (N, 3, S, S), not {found}")
    batch, *rest = (value if isinstance(value, int) else None for value in inputs[0].shape)
    channels_last = rest[2] == 3 and rest[0] != 3
    channels, sides = (rest[2], rest[:2]) if channels_last else (rest[0], rest[1:])
    static = {side for side in sides if side is not None}
    if channels not in (None, 3) or batch not in (None, 1) or len(static) > 1:
        raise CheckpointError(f"{path}: input {inputs[0].name} must be (N, 3, S, S) or (N, S, S, 3), not {inputs[0].shape}")
    return inputs[0].name, channels_last, batch or BATCH, next(iter(static), None)


def _crop_size(path: Path, stated: object, static: int | None) -> int:
    size = static if stated is None else stated
    if size is None:
        raise CheckpointError(f"{path}: crop_size not stated: write it into the ONNX metadata or a TOML file")
    if not isinstance(size, int) or size < 1:
        raise CheckpointError(f"{path}: crop_size must be a whole number of pixels, not {size!r}")
    if static not in (None, size):
        raise CheckpointError(f"{path}: crop_size is {size}, but the network takes {static} pixels")
    return size


def _check_output(path: Path, stated: object, outputs: list[str]) -> str:
    if stated is None and len(outputs) == 1:
        return outputs[0]
    if stated not in outputs:
        problem = "has several outputs" if stated is None else f"has no output {stated!r}"
        raise CheckpointError(f"{path}: {problem}: state one of {', '.join(outputs)} as output")
    return str(stated)
