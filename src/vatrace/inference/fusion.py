"""Fusion models in ONNX files, as `vatrace.training.export` writes them: opened, checked, and run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from vatrace.encoders import DEFAULT_ENCODERS, EncoderSpec, own_encoder
from vatrace.errors import ModelError
from vatrace.files import sha256_once, shown
from vatrace.inference.intervals import HalfWidths
from vatrace.names import DIMENSIONS, MAX_RATE, in_order
from vatrace.weights import onnx_session, package_file
from vatrace.weights.external import external_files

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

Vectors = Mapping[str, NDArray[np.floating]]
Masks = Mapping[str, NDArray[np.bool_]]

MAX_SIZE, MAX_DIM = 500_000_000, 100_000
"""Bytes of the largest model file, and channels of the largest input. The package's own have 16 MB and 384."""
MIN_RATE, MAX_WIN_LEN = 0.1, 100_000
"""Steps a second of the slowest model, and steps of the longest window: an hour at 25 steps a second."""
TRIED = 3
"""Steps on which a model is tried when it is opened."""


class FusionModel:
    """An open fusion model that gives valence and arousal, from whole recordings (`run`) or from a stream (`step`).

    Args:
        path: an ONNX file.
        encoders: those that the user names, by modality; needed by a model that was trained on features of other encoders
            than the package's own.
        threads: CPU threads.

    Attributes:
        encoders: of its features, by modality. A modality that can't be extracted from a recording has none.
        dims: channels of its features by modality, in the order of its masks.
        rate: steps a second.
        win_len: steps of the windows that it was trained on.
        half_widths: of its intervals; empty if it wasn't calibrated.
        sha256: of the file.
        name: the file's name and the start of its SHA-256.
        streams: whether it takes a stream.

    Raises:
        ModelError: if the file is missing, isn't such a model, or needs other encoders.
    """

    def __init__(self, path: Path, encoders: Mapping[str, EncoderSpec], threads: int) -> None:
        if not path.is_file():
            raise ModelError(f"{path}: no such model file")
        if path.stat().st_size > MAX_SIZE:
            raise ModelError(f"{path}: {path.stat().st_size / 1e6:.0f} MB; a fusion model has at most {MAX_SIZE / 1e6:.0f} MB")
        if outside := external_files(path):
            raise ModelError(f"{path}: keeps weights in another file ({shown(outside[0])}); save it as one file")
        try:
            self._session: InferenceSession = onnx_session(path, threads)
            facts = self._session.get_modelmeta().custom_metadata_map
        except Exception as error:  # ONNX Runtime has no public base class for what it raises
            raise ModelError(f"{path}: not a vatrace fusion model ({_one_line(error, path)})") from error
        self.rate, self.win_len, versions, self.half_widths = _read_facts(path, facts)
        outputs = facts["outputs"]
        if outputs != ",".join(DIMENSIONS):
            raise ModelError(f"{path}: predicts {outputs}, but {','.join(DIMENSIONS)} is needed")
        shapes = {value.name: value.shape for value in self._session.get_inputs()}
        states = {name: shape[1:] for name, shape in shapes.items() if name.startswith("state_")}
        names = in_order(shapes.keys() - states.keys() - {"valid"})
        sizes = [size for name in names for size in shapes[name][-1:]] + [size for shape in states.values() for size in shape]
        fits = all(isinstance(size, int) and 0 < size <= MAX_DIM for size in sizes) and all(
            len(shapes[name]) == 3 for name in names
        )
        if not names or shapes.get("valid", [0])[-1:] != [len(names)] or not fits:
            found = ", ".join(f"{name} {shape}" for name, shape in shapes.items())
            raise ModelError(f"{path}: not a vatrace fusion model: its inputs are {found}")
        self._state = {name: np.zeros((1, *shape), np.float32) for name, shape in states.items()}
        self.dims = {name: int(shapes[name][-1]) for name in names}
        self.encoders = {
            name: _encoder(path, name, self.dims[name], versions.get(name), encoders)
            for name in names
            if name in DEFAULT_ENCODERS
        }
        self.sha256 = sha256_once(path)
        self.name = f"{path.name} {self.sha256[:12]}"
        self._try(path)

    def _try(self, path: Path) -> None:
        """Run it on a few steps, so that one that can't be run is refused at once.

        Raises:
            ModelError: if it fails, or doesn't return valence and arousal for each step.
        """
        state = self._state
        features = {name: np.zeros((TRIED, dim), np.float32) for name, dim in self.dims.items()}
        valid = {name: np.ones(TRIED, bool) for name in self.dims}
        try:
            shape = self.step(features, valid).shape if self.streams else self.run(features, valid).shape[1:]
        except ModelError:
            raise
        except Exception as error:  # ONNX Runtime has no public base class for what it raises
            raise ModelError(f"{path}: fails on {TRIED} steps ({_one_line(error, path)})") from error
        if shape != (TRIED, len(DIMENSIONS)):
            raise ModelError(f"{path}: not a vatrace fusion model: its values for {TRIED} steps have the shape {shape}")
        self._state = state

    @property
    def streams(self) -> bool:
        """Whether it takes a stream, step by step, rather than whole recordings."""
        return bool(self._state)

    def run(self, features: Vectors, valid: Masks) -> NDArray[np.float64]:
        """Predict a window of a recording.

        Args:
            features: (n, D) by modality; a modality without features is missing.
            valid: (n,) bool by modality.

        Returns:
            (R + 1, n, 2) valence and arousal after 0, 1, ..., R recursions; the last is the model's answer.

        Raises:
            ModelError: if they aren't numbers.
        """
        (recursions,) = self._session.run(["recursions"], self._inputs(features, valid))
        return self._finite(np.asarray(recursions, np.float64)[:, 0])

    def step(self, features: Vectors, valid: Masks) -> NDArray[np.float64]:
        """Predict the next n steps of the one stream that this model follows; the arguments are as in `run`.

        Returns:
            (n, 2) valence and arousal.

        Raises:
            ModelError: if they aren't numbers; the stream can go on.
        """
        values, *state = self._session.run(None, self._inputs(features, valid) | self._state)
        found = self._finite(np.asarray(values, np.float64)[0])
        self._state = dict(zip(self._state, state, strict=True))
        return found

    def _finite(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        if not np.isfinite(values).all():
            raise ModelError(f"{self.name}: predicts values that are not numbers; train or export the model again")
        return values

    def _inputs(self, features: Vectors, valid: Masks) -> dict[str, NDArray[np.generic]]:
        steps = len(next(iter(valid.values())))
        inputs: dict[str, NDArray[np.generic]] = {}
        for name, dim in self.dims.items():
            given = features.get(name)
            inputs[name] = np.zeros((1, steps, dim), np.float32) if given is None else given[None].astype(np.float32)
        masks = [valid.get(name, np.zeros(steps, bool)) for name in self.dims]
        return inputs | {"valid": np.stack(masks, axis=-1)[None]}


def _one_line(error: Exception, path: Path) -> str:
    """What ONNX Runtime says, without the path."""
    return " ".join(str(error).removeprefix(f"{path}: ").split())[:200]


def _read_facts(path: Path, facts: Mapping[str, str]) -> tuple[float, int, dict[str, str], HalfWidths]:
    """The rate, the length of a window, the versions of encoders and the half-widths in a file's metadata.

    Raises:
        ModelError: if one is missing, or isn't possible; the message names it.
    """
    for name in ("rate", "win_len", "outputs"):
        if name not in facts:
            raise ModelError(f"{path}: not a vatrace fusion model: its metadata has no {name}")
    try:
        rate, win_len = float(facts["rate"]), int(facts["win_len"])
        versions, widths = (json.loads(facts.get(name, "{}")) for name in ("encoders", "intervals"))
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{path}: its metadata is damaged ({error})") from error
    if not MIN_RATE <= rate <= MAX_RATE:
        raise ModelError(f"{path}: its rate is {facts['rate']}, but must be from {MIN_RATE:g} to {MAX_RATE:g} steps a second")
    if not 2 <= win_len <= MAX_WIN_LEN:
        raise ModelError(f"{path}: its win_len is {facts['win_len']}, but must be from 2 to {MAX_WIN_LEN} steps")
    if not isinstance(versions, dict) or not all(isinstance(version, str) for version in versions.values()):
        raise ModelError(f"{path}: its encoders must be names by modality, not {facts['encoders'][:80]}")
    if not isinstance(widths, dict) or not all(_is_pair(pair) for pair in widths.values()):
        raise ModelError(f"{path}: its intervals must be two half-widths by situation, not {facts['intervals'][:80]}")
    return rate, win_len, versions, {name: (float(pair[0]), float(pair[1])) for name, pair in widths.items()}


def _is_pair(pair: object) -> bool:
    return (
        isinstance(pair, list) and len(pair) == 2 and all(type(value) in {int, float} and 0 <= value < np.inf for value in pair)
    )


def open_fusion(
    path: Path | None, streams: bool, threads: int, encoders: Mapping[str, EncoderSpec] = DEFAULT_ENCODERS
) -> FusionModel:
    """Open a fusion model for whole recordings, or for a stream; the package's own where `path` is None.

    Raises:
        ModelError: as `FusionModel`, or if the model is of the other kind.
    """
    kinds = {False: ("whole recordings", "fusion.onnx"), True: ("a live stream", "streaming.onnx")}
    model = FusionModel(package_file(kinds[streams][1]) if path is None else path, encoders, threads)
    if model.streams != streams:
        raise ModelError(f"{path}: is for {kinds[not streams][0]}, but one for {kinds[streams][0]} is needed")
    return model


def _encoder(path: Path, modality: str, dim: int, version: str | None, given: Mapping[str, EncoderSpec]) -> EncoderSpec:
    """The encoder whose features a model was trained on: one that needs nothing from the user, or the one that they name.

    A name in the file is only compared with, never imported.
    """
    named, own = given.get(modality, DEFAULT_ENCODERS[modality]), DEFAULT_ENCODERS[modality]
    encoder = own if version is None else named if named.version == version else own_encoder(modality, version)
    if encoder is None:
        raise ModelError(
            f"{path}: was trained on {modality} features of {version}, but the encoder here is {named.version}; name the right "
            f"one with --encoders {modality}=..., or predict recordings in a store of its features with vatrace evaluate"
        )
    if encoder.dim != dim:
        raise ModelError(f"{path}: needs {dim} channels of {modality}, but {encoder.name} provides {encoder.dim}")
    return encoder
