"""Train all models of a run on a store, or continue an interrupted run."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from vatrace.encoders.state_dict import read_state_dict
from vatrace.errors import ModelError, RunError
from vatrace.files import unwritable, write_json, written_whole
from vatrace.free_memory import check_memory
from vatrace.inference.intervals import half_widths, metadata, situations
from vatrace.metrics import concordance_cc
from vatrace.models.affect import AffectModel, Output
from vatrace.models.backbone import BackboneConfig, EndToEndModel, GreyFaceNet
from vatrace.models.distributed import gather, num_processes, process_group, rank
from vatrace.names import DIMENSIONS
from vatrace.store import Store, StoredRecording
from vatrace.training.checkpoint import Model, save_model
from vatrace.training.config import RunConfig
from vatrace.training.data import Windows, statistics
from vatrace.training.folds import make_folds
from vatrace.training.loop import Epoch, fit
from vatrace.training.run import (
    WEIGHTS_KEY,
    Member,
    Run,
    backbone_digest,
    crops_of,
    masks_of,
    predict_recording,
    read_run_file,
    run_content,
)

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter


@dataclass(frozen=True)
class Report:
    """Functions that are called while a run is trained.

    Attributes:
        epoch: called with the member's name and each epoch, including those before an interruption.
        step: called after each batch, with the member's name and the number of epochs done.
        note: called with anything else that the user should know.
    """

    epoch: Callable[[str, Epoch], None] = lambda member, epoch: None
    step: Callable[[str, float], None] = lambda member, epochs: None
    note: Callable[[str], None] = lambda text: None


@dataclass(frozen=True)
class RunOptions:
    """How and where a run is trained.

    Attributes:
        folds: number of folds over all labelled recordings that are not in test; 0 to train on train and select on dev.
        seed: seed of weights, order and dropout.
        device: the device, as PyTorch names it.
        num_workers: number of processes that read windows ahead.
    """

    folds: int = 0
    seed: int = 0
    device: str = "cpu"
    num_workers: int = 0


@dataclass(frozen=True)
class _Planned:
    """One model to be trained, with its recordings and seed."""

    member: Member
    train: list[StoredRecording]
    dev: list[StoredRecording]
    seed: int


def train_run(
    config: RunConfig, store: Store, out: Path, options: RunOptions = RunOptions(), report: Report = Report()
) -> Run | None:
    """Train the models of a config; after an interruption, the same call continues.

    Under torchrun, all processes train together; only the first writes files and returns the run.

    Args:
        config: the config of the models and their training.
        store: the store with features and labels.
        out: the run's folder.
        options: how and where to train.
        report: functions to call during training.

    Raises:
        RunError: if the folder contains another run, or the store does not fit the config.
        TrainingError: if the loss is not finite, or no score is a number.
    """
    with process_group(torch.device(options.device)) as place:
        _check_fits(config, store)
        planned = _plan(config, store, out, options)
        content = run_content(config, store, options.seed, options.folds, [one.member for one in planned])
        existing = _with_digest(read_run_file(out), content, out, report)
        if existing is not None and existing | {"finished": False} != content:
            differing = ", ".join(key for key in content if key != "finished" and existing.get(key) != content[key])
            raise RunError(f"{out}: contains another run (different {differing}): give another --out, or delete it")
        if existing is not None and existing["finished"] and all(one.member.weights.is_file() for one in planned):
            report.note(f"{out} is already finished: nothing is left to train")
            return Run.open(out) if rank() == 0 else None
        if rank() == 0:
            out.mkdir(parents=True, exist_ok=True)
            write_json(out / "run.json", existing or content)
        for one in planned:
            if content != content | backbone_digest(config):
                raise RunError(f"{out}: the weights of [backbone] have been replaced since this run began")
            model = _train_member(config, one, place, options.num_workers, report)
        if rank() > 0:
            return None
        if len(planned) == 1 and isinstance(model, AffectModel) and model.config.outputs == DIMENSIONS:
            _export(model, _facts(config, one.train), one.dev, out, report)
        write_json(out / "run.json", content | {"finished": True})
        return Run.open(out)


def _with_digest(existing: dict[str, Any] | None, content: dict[str, Any], out: Path, report: Report) -> dict[str, Any] | None:
    """The content of run.json with the digest of the weights of [backbone]: one of 0.1.0 has none, and gets the present one."""
    if existing is None or WEIGHTS_KEY not in content or WEIGHTS_KEY in existing:
        return existing
    if not existing["finished"]:
        report.note(f"{out}: begun by an earlier version, so it can't be checked that the weights of [backbone] are the same")
    return existing | {WEIGHTS_KEY: content[WEIGHTS_KEY]}


def _check_fits(config: RunConfig, store: Store) -> None:
    dims = store.schema.dims
    wanted = config.model.feature_dims
    if any(dims.get(name) != dim for name, dim in wanted.items() if not (name == "face" and config.backbone)):
        tables = ["[model.feature_dims]", *(f"{name} = {dim}" for name, dim in dims.items())]
        tables += ["[model.widths]", *(f"{name} = {config.model.widths.get(name, 64)}" for name in dims)]
        raise RunError("\n".join([f"{store.path}: its features don't fit the config, which should have:", *tables]))
    if config.backbone and not store.schema.crops:
        raise RunError(f"{store.path}: [backbone] needs face crops: extract into another store with --crops")


def _plan(config: RunConfig, store: Store, out: Path, options: RunOptions) -> list[_Planned]:
    """Plan all models of the run."""
    models: list[tuple[Output, ...]] = [config.model.outputs]
    if config.train.separate:
        models = [(output,) for output in config.model.outputs]
    members = store.members
    recordings = {name: store.recording(name) for name, member in members.items() if member.split != "test"}
    if options.folds:
        sizes = {name: max(_num_labelled(recording, outputs) for outputs in models) for name, recording in recordings.items()}
        sizes = {name: size for name, size in sizes.items() if size > 0}
        subjects = {name: members[name].subject for name in sizes}
        parts = [
            (f"fold-{i}", [name for name in sizes if name not in part], part)
            for i, part in enumerate(make_folds(sizes, subjects, options.folds), start=1)
        ]
    else:
        train, dev = ([name for name in recordings if members[name].split == split] for split in ("train", "dev"))
        parts = [("", train, dev)]
    planned: list[_Planned] = []
    for name, train, dev in parts:
        for outputs in models:
            labelled: dict[str, list[StoredRecording]] = {}
            for split, names in (("train", train), ("dev", dev)):
                labelled[split] = [recordings[key] for key in names if _num_labelled(recordings[key], outputs) > 0]
                if not labelled[split]:
                    why = _what_is_missing(split, outputs, [recordings[key] for key in names])
                    raise RunError(f"{store.path}: {why}")
            folder = "-".join(filter(None, [name, *(outputs if config.train.separate else ())])) or "model"
            names_in = {split: tuple(recording.name for recording in found) for split, found in labelled.items()}
            member = Member(out / folder, outputs, names_in["dev"], names_in["train"])
            planned.append(_Planned(member, labelled["train"], labelled["dev"], options.seed + len(planned)))
    return planned


def _num_labelled(recording: StoredRecording, outputs: Sequence[str]) -> int:
    columns = [DIMENSIONS.index(name) for name in outputs]
    return int((~np.isnan(recording.labels()[:, columns]).any(axis=1)).sum())


def _what_is_missing(split: str, outputs: Sequence[Output], recordings: Sequence[StoredRecording]) -> str:
    """Explain why a split has no labels for these outputs, and what to do."""
    others = [name for name in DIMENSIONS if any(_num_labelled(recording, [name]) for recording in recordings)]
    if others:
        advice = "separate = true in [train]" if set(outputs) <= set(others) else f"outputs = {json.dumps(others)} in [model]"
        wanted = f"both {' and '.join(outputs)}" if len(outputs) > 1 else outputs[0]
        return f"no step in {split} is annotated in {wanted}: the config should have {advice}"
    return f"no recording with labels in {split}: name the splits in splits.csv and extract again, or use --folds"


def _facts(config: RunConfig, train: Sequence[StoredRecording]) -> dict[str, Any]:
    """The facts that are needed, besides the weights, to use a model."""
    schema = train[0].schema
    return {
        "rate": schema.rate or float(np.median([recording.meta.rate for recording in train])),
        "win_len": config.train.win_len,
        "encoders": {name: schema.encoders[name].version for name in config.model.feature_dims},
    }


def _train_member(config: RunConfig, planned: _Planned, device: torch.device, num_workers: int, report: Report) -> Model:
    member, seed = planned.member, planned.seed
    torch.manual_seed(seed)
    model = _new_model(config, member)
    crops = crops_of(model)
    measured = [name for name in model.modalities if not (name == "face" and crops)]
    affect = model.affect if isinstance(model, EndToEndModel) else model
    affect.standardise_by(statistics(planned.train, measured))
    model.to(device)
    options = config.train
    windows = Windows(
        planned.train, model.modalities, member.outputs, options.win_len, options.hop_len, options.modality_dropout, seed, crops
    )
    if min(options.batch_size, len(windows)) < num_processes():
        raise RunError(f"{len(windows)} windows in batches of {options.batch_size} are too few for {num_processes()} processes")
    log = _Log(member.folder, member.outputs) if rank() == 0 else None

    def on_epoch(epoch: Epoch) -> None:
        if log:
            log.add(epoch)
        report.epoch(member.folder.name, epoch)

    fit(
        model,
        lambda epoch: windows.batches(epoch, options.batch_size, rank(), num_processes(), num_workers),
        windows.num_batches(options.batch_size),
        lambda model: dev_scores(model, planned.dev, member.outputs, options.win_len),
        options,
        on_epoch,
        seed=seed,
        state_file=member.folder / "state.safetensors",
        on_batch=lambda epochs: report.step(member.folder.name, epochs),
    )
    if log:
        log.close()
        save_model(member.weights, model, _facts(config, planned.train))
    return model


def _new_model(config: RunConfig, member: Member) -> Model:
    affect = AffectModel(replace(config.model, outputs=member.outputs))
    if config.backbone is None:
        return affect
    model = EndToEndModel(affect, config.backbone)
    model.backbone.load_state_dict(_backbone_weights(config.backbone))
    return model


def _backbone_weights(config: BackboneConfig) -> Mapping[str, torch.Tensor]:
    if config.network == "ir50":
        from vatrace.encoders.ir50 import load_ir50

        return load_ir50(Path(config.weights)).state_dict()
    return read_state_dict(Path(config.weights), GreyFaceNet())


def _export(model: AffectModel, facts: dict[str, Any], dev: Sequence[StoredRecording], out: Path, report: Report) -> None:
    """Write model.onnx for predict, and streaming.onnx for live if the model is causal."""
    from vatrace.training.export import export_onnx

    facts = facts | {"encoders": json.dumps(facts["encoders"])}  # ONNX metadata is text
    streaming = {"model.onnx": False} | ({"streaming.onnx": True} if model.causal else {})
    intervals = {name: _intervals(model, dev, facts["win_len"], ahead=not streams) for name, streams in streaming.items()}
    for name, streams in streaming.items():
        try:
            export_onnx(model.cpu(), out / name, streaming=streams, metadata=facts | intervals[name])
        except ModelError as error:
            report.note(f"no {name}: {error}")


def dev_scores(model: Model, recordings: Sequence[StoredRecording], outputs: Sequence[str], win_len: int) -> dict[str, float]:
    """CCC by output over all labelled steps of the recordings. Several processes share the work."""
    columns = [DIMENSIONS.index(name) for name in outputs]
    pairs = []
    for recording in recordings[rank() :: num_processes()]:
        truth = recording.labels()[:, columns]
        known = ~np.isnan(truth).any(axis=1)
        pairs.append((truth[known], predict_recording(model, recording, win_len)[known]))
    truths, predictions = zip(*gather(pairs), strict=True)
    truth, prediction = np.concatenate(truths), np.concatenate(predictions)
    return {name: concordance_cc(truth[:, k], prediction[:, k]) for k, name in enumerate(outputs)}


def _intervals(model: Model, recordings: Sequence[StoredRecording], win_len: int, ahead: bool) -> dict[str, object]:
    """Half-widths by situation, from the errors on dev, which are slightly small because dev selected the weights."""
    found = []
    for recording in recordings:
        errors = recording.labels() - predict_recording(model, recording, win_len)
        found.append((errors, situations(masks_of(model, recording), recording.meta.rate, ahead)))
    return metadata(half_widths(found))


class _Log:
    """Writes the epochs as CSV and for TensorBoard; both are rewritten when a training continues."""

    def __init__(self, folder: Path, outputs: Sequence[str]) -> None:
        from torch.utils.tensorboard import SummaryWriter

        folder.mkdir(parents=True, exist_ok=True)
        self._events = folder / "tensorboard"
        shutil.rmtree(self._events, ignore_errors=True)
        check_memory()
        with self._named():
            self._writer: SummaryWriter = SummaryWriter(str(self._events))
        self._file = folder / "log.csv"
        self._rows: list[list[str]] = [["epoch", "loss", *(f"dev_ccc_{name}" for name in outputs), "learning_rate"]]

    def add(self, epoch: Epoch) -> None:
        with self._named():
            self._writer.add_scalar("loss", epoch.loss, epoch.number)
            self._writer.add_scalar("learning rate", epoch.learning_rate, epoch.number)
            for name, score in epoch.scores.items():
                self._writer.add_scalar(f"dev CCC {name}", score, epoch.number)
            self._writer.flush()
        scores = [f"{score:.6f}" for score in epoch.scores.values()]
        self._rows.append([str(epoch.number), f"{epoch.loss:.6f}", *scores, f"{epoch.learning_rate:.6g}"])
        with written_whole(self._file) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows(self._rows)

    def close(self) -> None:
        with self._named():
            self._writer.close()

    @contextmanager
    def _named(self) -> Iterator[None]:
        """Name TensorBoard's folder in errors: it writes in a thread of its own, and its errors name no file."""
        try:
            yield
        except OSError as error:
            raise unwritable(self._events, error) from error
