"""Fusion models in ONNX files, as `vatrace.export` writes them: opened, and checked to be what this package can feed."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vatrace.encoders import DEFAULT_ENCODERS, EncoderSpec, own_encoder
from vatrace.errors import ModelError
from vatrace.inference.intervals import HalfWidths
from vatrace.names import MODALITIES
from vatrace.weights import onnx_session, package_file


@dataclass(frozen=True)
class FusionFile:
    """An open fusion model that gives valence and arousal.

    Attributes:
        session: takes features by modality and `valid`, and if it streams also `state_0`, ...
        encoders: that make its features, by modality, in the order of MODALITIES.
        rate: steps a second.
        win_len: steps of the windows that it learned from.
        half_widths: of its intervals; empty if it was not calibrated.
        name: of the file, with the start of its SHA-256.
        state_shapes: of what it remembers from step to step, by name; empty if it takes whole recordings.
    """

    session: Any
    encoders: dict[str, EncoderSpec]
    rate: float
    win_len: int
    half_widths: HalfWidths
    name: str
    state_shapes: dict[str, tuple[int, ...]]


def open_fusion(file: Path | None, own: str, threads: int) -> FusionFile:
    """Open a fusion model for encoders that need no file of the user's.

    Args:
        file: an ONNX file; None for the package's.
        own: the name of the package's.
        threads: CPU threads.

    Raises:
        MissingWeightsError: if it is not there or another kind of file.
    """
    path = package_file(own) if file is None else file
    if not path.is_file():
        raise ModelError(f"{path}: no such model file")
    try:
        session = onnx_session(path, threads)
        facts = session.get_modelmeta().custom_metadata_map
        rate, win_len, outputs = float(facts["rate"]), int(facts["win_len"]), facts["outputs"]
        versions, half_widths = (json.loads(facts.get(key, "{}")) for key in ("encoders", "intervals"))
    except Exception as error:  # ONNX Runtime has no public base class for what it raises
        raise ModelError(f"{path}: not a vatrace fusion model (ONNX with its rate, win_len and outputs)") from error
    inputs = {value.name: value.shape for value in session.get_inputs()}
    states = {name: (1, *shape[1:]) for name, shape in inputs.items() if name.startswith("state_")}
    dims = {name: shape[-1] for name, shape in inputs.items() if name not in states}
    if outputs != "valence,arousal":
        raise ModelError(f"{path}: gives {outputs}, where valence,arousal is needed")
    encoders = {name: _encoder(path, name, dims[name], versions.get(name)) for name in MODALITIES if name in dims}
    if set(dims) != {*encoders, "valid"} or dims["valid"] != len(encoders):
        raise ModelError(f"{path}: not a vatrace fusion model, its inputs are {', '.join(inputs)}")
    if bool(states) != (own == "streaming.onnx"):
        kinds = ("whole recordings", "a live stream")
        raise ModelError(f"{path}: is for {kinds[bool(states)]}, here one for {kinds[not states]} is needed")
    name = f"{path.name} {hashlib.sha256(path.read_bytes()).hexdigest()[:12]}"
    return FusionFile(session, encoders, rate, win_len, half_widths, name, states)


def _encoder(path: Path, modality: str, dim: int, version: str | None) -> EncoderSpec:
    """The encoder that a model learned from; the package's where it doesn't say."""
    own = DEFAULT_ENCODERS[modality]
    encoder = own if version is None else own_encoder(modality, version)
    if encoder is None:
        raise ModelError(
            f"{path}: was trained on {modality} features of {version}, this vatrace's are {own.version}; "
            "recordings in a store of its features can be predicted with vatrace.run.Predictor"
        )
    if encoder.dim != dim:
        raise ModelError(f"{path}: not for these encoders, it takes {dim} channels of {modality}, not {encoder.dim}")
    return encoder
