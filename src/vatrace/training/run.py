"""A run: models trained from one config on one store, in one folder, and their predictions.

    RUN/run.json                    config, seed, the store's schema, and the members
    RUN/MEMBER/model.safetensors    the best weights, with config and facts needed to use them, which model.json shows
    RUN/MEMBER/state.safetensors    the state after the last epoch, to continue from
    RUN/MEMBER/log.csv, tensorboard/
    RUN/model.onnx                  for `vatrace predict --model`, if the only member has both outputs

A member is one model. A run has one, or one for each fold, each output, or each fold and output.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from vatrace.errors import RunError, one_line, reason
from vatrace.files import read_json, sha256_once
from vatrace.models.affect import Output
from vatrace.models.backbone import EndToEndModel
from vatrace.names import DIMENSIONS, Split
from vatrace.records import record, typed
from vatrace.store import EncoderInfo, Schema, Store, StoredRecording
from vatrace.timeline import overlap_add
from vatrace.training.checkpoint import Model, load_model
from vatrace.training.data import Crops, read_inputs

FORMAT = 1
MAX_WIN_LEN = 1_000_000
"""Steps of the longest window that a run can have."""
Masks = dict[str, NDArray[np.bool_]]
ChangeMasks = Callable[[Masks], Mapping[str, NDArray[np.bool_]]]
"""Changes where each modality counts as present, (T,) by modality."""


@dataclass(frozen=True)
class Member:
    """One model of a run.

    Attributes:
        folder: folder of its files.
        outputs: valence, arousal, or both.
        dev: names of the recordings that its weights were selected on.
        train: names of the recordings that it was trained on.
    """

    folder: Path
    outputs: tuple[Output, ...]
    dev: tuple[str, ...]
    train: tuple[str, ...]

    @property
    def weights(self) -> Path:
        """Its best weights."""
        return self.folder / "model.safetensors"


@dataclass(frozen=True)
class Run:
    """A finished run.

    Attributes:
        folder: folder of the run.
        members: its models.
        has_folds: whether its models were trained on folds, so that they have different dev recordings.
        win_len: length of a window in steps, in prediction.
        content: content of run.json.
    """

    folder: Path
    members: tuple[Member, ...]
    has_folds: bool
    win_len: int
    content: dict[str, Any]

    @classmethod
    def open(cls, folder: str | Path) -> Run:
        """Open a run.

        Raises:
            RunError: if the folder is not a run, or the run is damaged or unfinished.
        """
        folder = Path(folder)
        content = read_run_file(folder)
        if content is None:
            raise RunError(f"{folder}: not a run (make one with: vatrace train RUN.toml --store STORE --out {folder})")
        members = read_members(folder, content)
        finished = content["finished"] and all(member.weights.is_file() for member in members)
        run = cls(folder, members, content["folds"] > 0, content["config"]["train"]["win_len"], content)
        if not finished:
            raise RunError(f"{folder}: this run is unfinished; continue it with the same vatrace train command")
        return run

    def check_fits(self, store: Store) -> None:
        """Raise RunError if a store's features differ in kind from those that the run was trained on."""
        trained, stored = self.content["schema"]["encoders"], store.schema.encoders
        rate = self.content["schema"]["rate"]
        if rate != store.schema.rate:
            rates = [f"{value:g} steps per second" if value else "one step per frame" for value in (store.schema.rate, rate)]
            raise RunError(f"{store.path}: has {rates[0]}, but {self.folder} was trained with {rates[1]}")
        for name in self.content["config"]["model"]["feature_dims"]:
            wanted, found = EncoderInfo(**trained[name]), stored.get(name)
            if found is None or (found.version, found.dim) != (wanted.version, wanted.dim):
                described = "none" if found is None else f"{found.version} ({found.dim} channels)"
                learned = one_line(f"{wanted.version} ({wanted.dim} channels)")
                raise RunError(
                    f"{store.path}: its {name} features are {one_line(described)}, but {self.folder} was trained on {learned}"
                )

    def check_held_out(self, names: Sequence[str], split: str) -> None:
        """Raise RunError if the run was trained on recordings that are now in dev or test, as after a change of splits.

        Test recordings must not have been used to select weights either. In a run with folds, every dev recording has models
        that were not trained on it.
        """
        learned = set() if self.has_folds else {name for member in self.members for name in member.train}
        if split == "test":
            learned = {name for member in self.members for name in (*member.train, *member.dev)}
        known = sorted(learned & set(names))
        if known:
            raise RunError(f"{self.folder}: was trained on {', '.join(known[:5])}, now in {split}: train again")


def read_run_file(folder: Path) -> dict[str, Any] | None:
    """The content of run.json; None if there is none.

    Raises:
        RunError: if it is damaged, or was written by another version of vatrace.
    """
    file = folder / "run.json"
    if not file.is_file():
        return None
    content = read_json(file, RunError)
    if content.get("format") != FORMAT:
        raise RunError(f"{file}: written by another version of vatrace: train again into another folder")
    try:
        _check(content)
    except (KeyError, TypeError, ValueError) as error:
        raise RunError(f"{file}: damaged ({error!r}); train again into another folder") from error
    return content


@dataclass(frozen=True)
class _Listed:
    """A member as run.json lists it."""

    folder: str
    outputs: list[Output]
    dev: list[str]
    train: list[str]


def _check(content: Mapping[str, Any]) -> None:
    """Check what the package reads in run.json.

    Raises:
        KeyError: if something is missing.
        TypeError: if something is of the wrong kind.
        ValueError: if something isn't possible.
    """
    schema = record(Schema, content["schema"])
    for name, kind in (("finished", bool), ("seed", int), ("folds", int), ("data", str), ("train_mean", tuple[float, float])):
        typed(kind, content[name])
    config = typed(dict[str, dict[str, Any] | None], content["config"])
    if not 1 <= typed(int, typed(dict[str, Any], config["train"])["win_len"]) <= MAX_WIN_LEN:
        raise ValueError("win_len")
    used = typed(dict[str, int], typed(dict[str, Any], config["model"])["feature_dims"])
    if not used or not used.keys() <= schema.encoders.keys():
        raise ValueError("feature_dims")
    listed = typed(list[_Listed], content["members"])
    if not listed or not all(one.outputs and Path(one.folder).name == one.folder for one in listed):
        raise ValueError("members")


def read_members(folder: Path, content: Mapping[str, Any]) -> tuple[Member, ...]:
    """The members that run.json names."""
    return tuple(
        Member(folder / m["folder"], *(tuple(m[key]) for key in ("outputs", "dev", "train"))) for m in content["members"]
    )


def crops_of(model: Model) -> Crops | None:
    """How face crops are cut for a model; None if it takes features."""
    return Crops(model.backbone.size) if isinstance(model, EndToEndModel) else None


def masks_of(model: Model, recording: StoredRecording) -> Masks:
    """Where each of the model's modalities is present in a recording, (T,); its store may have others."""
    return {name: mask for name, mask in recording.valid().items() if name in model.modalities}


def predict_recording(
    model: Model, recording: StoredRecording, win_len: int, change: ChangeMasks | None = None
) -> NDArray[np.float64]:
    """A model's prediction (T, K) for a recording, from windows that overlap by half."""
    device = next(model.parameters()).device
    masks = masks_of(model, recording)
    valid = masks if change is None else change(masks)
    crops = crops_of(model)

    def apply(start: int, stop: int) -> NDArray[np.floating]:
        features, _ = read_inputs(recording, model.modalities, start, stop, crops)
        inputs = {name: torch.from_numpy(values)[None].to(device) for name, values in features.items()}
        present = {name: torch.from_numpy(np.asarray(valid[name][start:stop]))[None].to(device) for name in inputs}
        with torch.inference_mode():
            return model(inputs, present)[0].float().cpu().numpy()

    return overlap_add(recording.num_steps, win_len, max(win_len // 2, 1), apply)


class Predictor:
    """All models of a run, loaded once.

    Args:
        run: the run.
        device: the device to run on, as PyTorch names it.
        plugins: classes from outside that the run's models may import (see `load_model`).

    Raises:
        CheckpointError: if a model can't be read.
        PluginError: if a model needs a class from outside that is not in `plugins`.
    """

    def __init__(self, run: Run, device: str = "cpu", plugins: Collection[str] = ()) -> None:
        self.run = run
        place = torch.device(device)
        self._models = {member.folder: load_model(member.weights, place, plugins)[0] for member in run.members}

    def predict(
        self, recording: StoredRecording, members: Sequence[Member] | None = None, change: ChangeMasks | None = None
    ) -> NDArray[np.float64]:
        """Valence and arousal (T, 2) of a recording: the mean over the models with that output, NaN if no model has it.

        Args:
            recording: a recording of a store that fits the run (`Run.check_fits`).
            members: the models to use; all if None.
            change: changes where modalities count as present.
        """
        sums, counts = np.zeros((recording.num_steps, 2)), np.zeros(2)
        for member in self.run.members if members is None else members:
            values = predict_recording(self._models[member.folder], recording, self.run.win_len, change)
            for column, output in enumerate(member.outputs):
                sums[:, DIMENSIONS.index(output)] += values[:, column]
                counts[DIMENSIONS.index(output)] += 1
        return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)

    def predict_held_out(
        self, recording: StoredRecording, split: Split, change: ChangeMasks | None = None
    ) -> NDArray[np.float64]:
        """As `predict`; but if the run has folds, dev recordings are predicted only by models that weren't trained on them."""
        if not self.run.has_folds or split != "dev":
            return self.predict(recording, change=change)
        held_out = [member for member in self.run.members if recording.name in member.dev]
        return self.predict(recording, held_out, change)


WEIGHTS_KEY = "backbone weights"
"""In run.json: the SHA-256 of the file that a face network begins with. Runs of 0.1.0 don't have it."""


def backbone_digest(config: Any) -> dict[str, str]:
    """The SHA-256 of the weights that the run's face network begins with, as in run.json; empty without such a network.

    Raises:
        RunError: if they can't be read.
    """
    if config.backbone is None:
        return {}
    path = Path(config.backbone.weights)
    try:
        return {WEIGHTS_KEY: sha256_once(path)}
    except OSError as error:
        raise RunError(f"{path}: can't be read ({reason(error)}); these are the weights of [backbone]") from error


def run_content(config: Any, store: Store, seed: int, folds: int, members: Sequence[Member]) -> dict[str, Any]:
    """The content of run.json when a run begins. `data` is a digest of the labels and of the features' input files."""
    data, sums, counts = hashlib.sha256(), np.zeros(2), np.zeros(2)
    learned = {name for member in members for name in member.train}
    for name in sorted(learned | {name for member in members for name in member.dev}):
        recording = store.recording(name)
        labels = recording.labels()
        data.update(json.dumps([name, recording.meta.inputs], sort_keys=True).encode() + labels.tobytes())
        if name in learned:
            sums += np.nansum(labels, axis=0, dtype=np.float64)
            counts += (~np.isnan(labels)).sum(axis=0)
    listed = [{"folder": m.folder.name, "outputs": m.outputs, "dev": m.dev, "train": m.train} for m in members]
    content = {
        "format": FORMAT,
        "finished": False,
        "seed": seed,
        "folds": folds,
        "config": asdict(config),
        "schema": asdict(store.schema),
        "data": data.hexdigest(),
        "train_mean": (sums / np.maximum(counts, 1)).tolist(),
        "members": listed,
        **backbone_digest(config),
    }
    return dict(json.loads(json.dumps(content)))  # as it will be when read from the file
