"""A run: models trained from one config on one store, in one folder, and what they predict.

    RUN/run.json                    config, seed, the store's schema, and the members
    RUN/MEMBER/model.safetensors    the best weights, with all that is needed to use them; model.json to read
    RUN/MEMBER/state.safetensors    to go on from after the last epoch
    RUN/MEMBER/log.csv, tensorboard/
    RUN/model.onnx                  for `vatrace predict --model`, where there is one member with both outputs

A member is one model: there is one, or one for each fold, for each output, or for each of both.
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

from vatrace.errors import RunError
from vatrace.models.affect import Output
from vatrace.models.backbone import EndToEndModel
from vatrace.names import DIMENSIONS
from vatrace.store import Store, StoredRecording
from vatrace.timeline import overlap_add
from vatrace.training.checkpoint import Model, load_model
from vatrace.training.data import Crops, read_inputs

FORMAT = 1
Masks = dict[str, NDArray[np.bool_]]
ChangeMasks = Callable[[Masks], Mapping[str, NDArray[np.bool_]]]
"""Takes and gives where each modality is there, (T,) by modality."""


@dataclass(frozen=True)
class Member:
    """One model of a run.

    Attributes:
        folder: of its files.
        outputs: what it gives, of valence and arousal.
        dev: names of the recordings that chose its weights.
        train: names of the recordings that it learned from.
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
    """A run that has ended.

    Attributes:
        folder: of the run.
        members: its models.
        has_folds: whether the members of one output have different dev recordings.
        win_len: steps of a window at prediction.
        content: of run.json.
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
            RunError: if it is none, or has not ended.
        """
        folder = Path(folder)
        content = read_run_file(folder)
        if content is None:
            raise RunError(f"{folder}: not a run (make one with: vatrace train RUN.toml --store STORE --out {folder})")
        members = read_members(folder, content)
        missing = [member.folder.name for member in members if not member.weights.is_file()]
        if not content["finished"] or missing:
            raise RunError(f"{folder}: this run has not ended; go on with it by the same vatrace train")
        return cls(folder, members, content["folds"] > 0, content["config"]["train"]["win_len"], content)

    def see_that_it_fits(self, store: Store) -> None:
        """Raise RunError if a store's features are not made as those that the run was trained on."""
        trained, there = self.content["schema"]["encoders"], store.schema.encoders
        rate = self.content["schema"]["rate"]
        if rate != store.schema.rate:
            said = [f"{value:g} steps a second" if value else "a step a frame" for value in (store.schema.rate, rate)]
            raise RunError(f"{store.path}: has {said[0]}, {self.folder} was trained with {said[1]}")
        for name in self.content["config"]["model"]["feature_dims"]:
            if name not in there or there[name].version != trained[name]["version"]:
                found = there[name].version if name in there else "none"
                raise RunError(
                    f"{store.path}: its {name} features are {found}, those that {self.folder} was trained on are "
                    f"{trained[name]['version']}"
                )

    def see_that_they_are_new(self, names: Sequence[str], split: str) -> None:
        """Raise RunError if recordings that are now in dev or test were learned from, as when splits changed in between.

        Those of test must not even have chosen weights; in a run with folds each has models that did not learn from it.
        """
        learned = set() if self.has_folds else {name for member in self.members for name in member.train}
        if split == "test":
            learned = {name for member in self.members for name in (*member.train, *member.dev)}
        known = sorted(learned & set(names))
        if known:
            raise RunError(f"{self.folder}: was trained with {', '.join(known[:5])}, now in {split}: train it anew")


def read_run_file(folder: Path) -> dict[str, Any] | None:
    """What run.json says; None where there is none.

    Raises:
        RunError: if it is of another version.
    """
    file = folder / "run.json"
    if not file.is_file():
        return None
    content: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    if content.get("format") != FORMAT:
        raise RunError(f"{file}: of another version of vatrace")
    return content


def read_members(folder: Path, content: Mapping[str, Any]) -> tuple[Member, ...]:
    """The members that run.json names."""
    return tuple(
        Member(folder / m["folder"], *(tuple(m[key]) for key in ("outputs", "dev", "train"))) for m in content["members"]
    )


def crops_of(model: Model) -> Crops | None:
    """How a model wants face crops; None where it takes features."""
    return Crops(model.backbone.size) if isinstance(model, EndToEndModel) else None


def predict_recording(
    model: Model, recording: StoredRecording, win_len: int, change: ChangeMasks | None = None
) -> NDArray[np.float64]:
    """What a model says of a recording, from windows that overlap by half, (T, K)."""
    device = next(model.parameters()).device
    masks = {name: mask for name, mask in recording.valid().items() if name in model.modalities}
    valid = masks if change is None else change(masks)
    crops = crops_of(model)

    def apply(start: int, stop: int) -> NDArray[np.floating]:
        features, _ = read_inputs(recording, model.modalities, start, stop, crops)
        inputs = {name: torch.from_numpy(values)[None].to(device) for name, values in features.items()}
        there = {name: torch.from_numpy(np.asarray(valid[name][start:stop]))[None].to(device) for name in inputs}
        with torch.inference_mode():
            return model(inputs, there)[0].float().cpu().numpy()

    return overlap_add(recording.num_steps, win_len, max(win_len // 2, 1), apply)


class Predictor:
    """All models of a run, loaded once.

    Args:
        run: which.
        device: where they work.
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
        """Valence and arousal (T, 2) of a recording: the mean of the models that give it, NaN where none does.

        Args:
            recording: of a store with the features that the run was trained on.
            members: which models; all if None.
            change: alters where modalities count as there.
        """
        sums, counts = np.zeros((recording.num_steps, 2)), np.zeros(2)
        for member in self.run.members if members is None else members:
            values = predict_recording(self._models[member.folder], recording, self.run.win_len, change)
            for column, output in enumerate(member.outputs):
                sums[:, DIMENSIONS.index(output)] += values[:, column]
                counts[DIMENSIONS.index(output)] += 1
        return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)

    def out_of_fold(self, recording: StoredRecording, change: ChangeMasks | None = None) -> NDArray[np.float64]:
        """The same by those models only that were not trained on the recording."""
        held_out = [member for member in self.run.members if recording.name in member.dev]
        return self.predict(recording, held_out, change)


def run_content(config: Any, store: Store, seed: int, folds: int, members: Sequence[Member]) -> dict[str, Any]:
    """What run.json holds when a run begins; `data` changes with the labels and with what the features are made of."""
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
    }
    return dict(json.loads(json.dumps(content)))  # as it is read again
