"""Fusion models in ONNX files, as `vatrace.export` writes them: opened, and checked to be what this package can feed."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vatrace.encoders import DEFAULT_ENCODERS, FEATURE_DIMS
from vatrace.intervals import HalfWidths
from vatrace.prediction import MODALITIES
from vatrace.weights import MissingWeightsError, onnx_session, package_file


@dataclass(frozen=True)
class FusionFile:
    """An open fusion model that gives valence and arousal.

    Attributes:
        session: takes features by modality and `valid`, and if it streams also `state_0`, ...
        rate: steps a second.
        win_len: steps of the windows that it learned from.
        half_widths: of its intervals; empty if it was not calibrated.
        name: of the file, with the start of its SHA-256.
        state_shapes: of what it remembers from step to step, by name; empty if it takes whole recordings.
    """

    session: Any
    rate: float
    win_len: int
    half_widths: HalfWidths
    name: str
    state_shapes: dict[str, tuple[int, ...]]


def open_fusion(file: Path | None, own: str, threads: int) -> FusionFile:
    """Open a fusion model for the package's own encoders.

    Args:
        file: an ONNX file; None for the package's.
        own: the name of the package's.
        threads: CPU threads.

    Raises:
        MissingWeightsError: if it is not there or another kind of file.
    """
    path = package_file(own) if file is None else file
    if not path.is_file():
        raise MissingWeightsError(f"{path}: no such model file")
    try:
        session = onnx_session(path, threads)
        facts = session.get_modelmeta().custom_metadata_map
        rate, win_len, outputs = float(facts["rate"]), int(facts["win_len"]), facts["outputs"]
        encoders, half_widths = (json.loads(facts.get(key, "{}")) for key in ("encoders", "intervals"))
    except Exception as error:  # ONNX Runtime has no public base class for what it raises
        raise MissingWeightsError(f"{path}: not a vatrace fusion model (ONNX with its rate, win_len and outputs)") from error
    inputs = {value.name: value.shape for value in session.get_inputs()}
    states = {name: (1, *shape[1:]) for name, shape in inputs.items() if name.startswith("state_")}
    dims = {name: shape[-1] for name, shape in inputs.items() if name not in states}
    if outputs != "valence,arousal":
        raise MissingWeightsError(f"{path}: gives {outputs}, where valence,arousal is needed")
    if dims != FEATURE_DIMS | {"valid": len(MODALITIES)}:
        raise MissingWeightsError(f"{path}: not for these encoders, its inputs are {dims}")
    for name, version in encoders.items():
        if version != DEFAULT_ENCODERS[name].version:
            raise MissingWeightsError(
                f"{path}: was trained on {name} features of {version}, this vatrace's are {DEFAULT_ENCODERS[name].version}"
            )
    if bool(states) != (own == "streaming.onnx"):
        kinds = ("whole recordings", "a live stream")
        raise MissingWeightsError(f"{path}: is for {kinds[bool(states)]}, here one for {kinds[not states]} is needed")
    name = f"{path.name} {hashlib.sha256(path.read_bytes()).hexdigest()[:12]}"
    return FusionFile(session, rate, win_len, half_widths, name, states)
