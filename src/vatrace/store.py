"""Features of a corpus's recordings on disk, with their masks and labels, to train from. Numpy only.

    STORE/store.json                  the grid's rate, and what made the features
    STORE/recordings/NAME/meta.json   where a recording comes from
    STORE/recordings/NAME/*.npy       face, voice, words (T, D) float16; valid (T, M); crops (T, 48, 48, 3); frame_times (F,)
    STORE/corpus.json                 splits and subjects
    STORE/labels/NAME.npy             valence and arousal (T, 2), NaN where there is no label
    STORE/test-log.jsonl              who looked at the test split, and when

A recording is written beside its place and then moved there, so that none is ever there by half.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vatrace.errors import StoreError
from vatrace.files import write_json, written_whole
from vatrace.media.transcripts import Word
from vatrace.names import MODALITIES, SPLITS, Split

FORMAT = 1
CHUNK = 4096
"""Steps that are written at once."""


@dataclass(frozen=True)
class EncoderInfo:
    """What made the features of one modality.

    Attributes:
        name: as it was chosen.
        version: changes with its weights.
        dim: channels.
    """

    name: str
    version: str
    dim: int


@dataclass(frozen=True)
class Schema:
    """What is alike in all recordings of a store.

    Attributes:
        rate: steps a second; None where each recording has one step for each frame of its video.
        encoders: by modality, those that are in the store.
        crops: whether face crops are kept as well, (T, 48, 48, 3).
    """

    rate: float | None
    encoders: dict[str, EncoderInfo]
    crops: bool = False

    @property
    def dims(self) -> dict[str, int]:
        """Channels by modality."""
        return {name: self.encoders[name].dim for name in MODALITIES if name in self.encoders}


@dataclass(frozen=True)
class Meta:
    """What is known of one recording beside its features.

    Attributes:
        name: unique in the store.
        rate: steps a second.
        num_steps: T.
        inputs: fingerprints of the files that it was made of, by what they are.
        words: what was said, with times.
        notes: what was noticed, in plain sentences.
    """

    name: str
    rate: float
    num_steps: int
    inputs: dict[str, Any] = field(default_factory=dict)
    words: list[Word] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Membership:
    """A recording's place in the corpus: its split (None for none), and its subject ("" where unknown)."""

    split: Split | None
    subject: str = ""


@dataclass(frozen=True)
class Recording:
    """One recording in a store. Arrays are read from disk where and when they are asked for, and not kept.

    Attributes:
        folder: its arrays.
        label_file: its labels.
        schema: of its store.
        meta: where it comes from.
    """

    folder: Path
    label_file: Path
    schema: Schema
    meta: Meta

    @property
    def name(self) -> str:
        """Its name."""
        return self.meta.name

    @property
    def num_steps(self) -> int:
        """Its length T."""
        return self.meta.num_steps

    def features(self, name: str, start: int = 0, stop: int | None = None) -> NDArray[np.float16]:
        """Features (n, D) of one modality from step `start` to `stop`; zeros where it is missing."""
        return self._read(f"{name}.npy", start, stop)

    def valid(self, start: int = 0, stop: int | None = None) -> dict[str, NDArray[np.bool_]]:
        """Where each modality is there, (n,) by modality."""
        mask = self._read("valid.npy", start, stop)
        return {name: mask[:, index] for index, name in enumerate(self.schema.dims)}

    def crops(self, start: int = 0, stop: int | None = None) -> NDArray[np.uint8]:
        """Face crops (n, 48, 48, 3) RGB, zeros where there is no face.

        Raises:
            StoreError: if the store has none.
        """
        if not self.schema.crops:
            raise StoreError(f"{self.folder.parents[1]}: no face crops in this store; extract again with --crops")
        return self._read("crops.npy", start, stop)

    def labels(self, start: int = 0, stop: int | None = None) -> NDArray[np.float32]:
        """Valence and arousal (n, 2) in -1..1, NaN where there is no label.

        Raises:
            StoreError: if the labels are not of these features.
        """
        stop = self.num_steps if stop is None else stop
        if not self.label_file.is_file():
            return np.full((stop - start, 2), np.nan, np.float32)
        if len(np.load(self.label_file, mmap_mode="r")) != self.num_steps:
            raise StoreError(f"{self.label_file}: not of as many steps as the features; run the same vatrace extract again")
        return _read(self.label_file, start, stop)

    @cached_property
    def frame_times(self) -> NDArray[np.float64]:
        """When each frame of its video is shown, (F,) seconds; empty for sound."""
        return np.load(self.folder / "frame_times.npy")

    def _read(self, file: str, start: int, stop: int | None) -> NDArray[Any]:
        return _read(self.folder / file, start, self.num_steps if stop is None else stop)


def _read(path: Path, start: int, stop: int) -> NDArray[Any]:
    """Rows of a file, copied, so that its pages don't count as this process's memory for longer than this call."""
    return np.array(np.load(path, mmap_mode="r")[start:stop])


class Store:
    """A folder of recordings' features.

    Args:
        path: of a store that is there; `Store.create` makes one.

    Raises:
        StoreError: if it is not a store, or one of another version.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        file = self.path / "store.json"
        if not file.is_file():
            raise StoreError(f"{self.path}: not a store (make one with: vatrace extract VIDEOS --store {self.path})")
        content = json.loads(file.read_text(encoding="utf-8"))
        if content.get("format") != FORMAT:
            raise StoreError(f"{file}: format {content.get('format')}, where this vatrace reads {FORMAT}: extract again")
        encoders = {name: EncoderInfo(**info) for name, info in content["encoders"].items()}
        self.schema = Schema(content["rate"], encoders, content["crops"])

    @classmethod
    def create(cls, path: str | Path, schema: Schema) -> Store:
        """Make an empty store, or open the one that is there if it is of the same schema.

        Raises:
            StoreError: if something else is there, or a store of another schema; the message says what differs.
        """
        path = Path(path)
        if (path / "store.json").is_file():
            store = cls(path)
            for name, there, wanted in [
                ("rate", store.schema.rate or "frames", schema.rate or "frames"),
                ("crops", store.schema.crops, schema.crops),
                ("encoders", _versions(store.schema), _versions(schema)),
            ]:
                if there != wanted:
                    raise StoreError(f"{path}: has {name} {there}, not {wanted}: give another --store, or delete this one")
            return store
        if path.exists() and (not path.is_dir() or any(path.iterdir())):
            raise StoreError(f"{path}: already there, and not a store: give another --store")
        path.mkdir(parents=True, exist_ok=True)
        write_json(path / "store.json", {"format": FORMAT, **asdict(schema)})
        return cls(path)

    @property
    def names(self) -> list[str]:
        """The recordings that are there, ascending."""
        return sorted(file.parent.name for file in self.path.glob("recordings/*/meta.json") if _is_name(file.parent.name))

    def __contains__(self, name: str) -> bool:
        return (self.path / "recordings" / name / "meta.json").is_file()

    def recording(self, name: str) -> Recording:
        """One recording.

        Raises:
            StoreError: if it is not there.
        """
        folder = self.path / "recordings" / name
        try:
            content = json.loads((folder / "meta.json").read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            raise StoreError(f"{self.path}: no recording {name!r} in this store") from error
        content["words"] = [Word(*word) for word in content["words"]]
        return Recording(folder, self.path / "labels" / f"{name}.npy", self.schema, Meta(**content))

    def write(
        self,
        meta: Meta,
        valid: Mapping[str, NDArray[np.bool_]],
        features: Callable[[int, int], Mapping[str, NDArray[np.floating]]],
        frame_times: NDArray[np.float64],
        crops: Callable[[int, int], NDArray[np.uint8]] | None = None,
    ) -> None:
        """Put a recording into the store, in place of one of the same name.

        Args:
            meta: of the recording.
            valid: (T,) by modality.
            features: (stop - start, D) by modality of the steps from start to stop.
            frame_times: (F,) seconds, empty for sound.
            crops: (stop - start, 48, 48, 3) of the steps from start to stop, where the schema has them.
        """
        folder = self.path / "recordings" / meta.name
        temporary = folder.with_name(f".{meta.name}-{os.getpid()}")
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        try:
            steps = meta.num_steps
            np.save(temporary / "valid.npy", np.stack([valid[name] for name in self.schema.dims], axis=-1))
            np.save(temporary / "frame_times.npy", frame_times)
            files = {
                name: _new_array(temporary / f"{name}.npy", np.float16, (steps, n)) for name, n in self.schema.dims.items()
            }
            for start in range(0, steps, CHUNK):
                stop = min(start + CHUNK, steps)
                values = features(start, stop)
                for name, file in files.items():
                    file[start:stop] = np.where(valid[name][start:stop, None], values[name], 0)
            if self.schema.crops:
                assert crops is not None
                pictures = _new_array(temporary / "crops.npy", np.uint8, (steps, 48, 48, 3))
                for start in range(0, steps, CHUNK):
                    stop = min(start + CHUNK, steps)
                    pictures[start:stop] = crops(start, stop)
            content = asdict(meta) | {"words": [[word.text, word.start, word.end] for word in meta.words]}
            write_json(temporary / "meta.json", content)
            self.remove_labels(meta.name)  # they are of the features before
            shutil.rmtree(folder, ignore_errors=True)
            temporary.rename(folder)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)

    def remove_unfinished(self) -> None:
        """Delete what a killed extraction has left. Nobody else may be writing."""
        for folder in self.path.glob("recordings/.*"):
            shutil.rmtree(folder, ignore_errors=True)

    def write_labels(self, name: str, labels: NDArray[np.floating]) -> None:
        """Write the labels (T, 2) of a recording, NaN where there is none."""
        (self.path / "labels").mkdir(exist_ok=True)
        with written_whole(self.path / "labels" / f"{name}.npy") as temporary:
            np.save(temporary, np.asarray(labels, dtype=np.float32))

    def remove_labels(self, name: str) -> None:
        """Forget the labels of a recording."""
        (self.path / "labels" / f"{name}.npy").unlink(missing_ok=True)

    def write_corpus(self, members: Mapping[str, Membership], facts: Mapping[str, Any]) -> None:
        """Write the splits and subjects of all recordings, and facts about the labels (see `corpus_facts`)."""
        recordings = {name: asdict(member) for name, member in members.items()}
        write_json(self.path / "corpus.json", {**facts, "recordings": recordings})

    @property
    def corpus_facts(self) -> dict[str, Any]:
        """What is known of the labels, such as the agreement between annotators."""
        return {key: value for key, value in self._corpus().items() if key != "recordings"}

    @property
    def members(self) -> dict[str, Membership]:
        """Split and subject of each recording that is in the store."""
        there = set(self.names)
        return {name: Membership(**member) for name, member in self._corpus()["recordings"].items() if name in there}

    def without_features(self, split: Split) -> list[str]:
        """Recordings of a split that are not in the store, since they could not be extracted."""
        there = set(self.names)
        listed = self._corpus()["recordings"].items()
        return sorted(name for name, member in listed if member["split"] == split and name not in there)

    def split(self, split: Split) -> list[Recording]:
        """The recordings of train or dev, and of test without their labels.

        To evaluate on test there is `unlock_test`: nothing that trains or chooses can come by its labels by accident.

        Raises:
            ValueError: if there is no such split.
        """
        if split not in SPLITS:
            raise ValueError(f"split must be one of {', '.join(SPLITS)}, not {split!r}")
        chosen = [self.recording(name) for name, member in self.members.items() if member.split == split]
        if split == "test":
            return [Recording(r.folder, r.folder / "locked", r.schema, r.meta) for r in chosen]
        return chosen

    def unlock_test(self, why: str) -> list[Recording]:
        """The recordings of test with their labels. Each call is written to the store's test-log.jsonl with its time.

        Args:
            why: what looks at them, such as the run's folder.
        """
        log_look(self.path, why)
        return [self.recording(recording.name) for recording in self.split("test")]

    def _corpus(self) -> dict[str, Any]:
        file = self.path / "corpus.json"
        return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {"recordings": {}}


def log_look(folder: Path, why: str) -> None:
    """Write to a store's or a run's test-log.jsonl that its test split is looked at."""
    line = json.dumps({"time": datetime.now(UTC).isoformat(timespec="seconds"), "why": why})
    with (folder / "test-log.jsonl").open("a", encoding="utf-8") as file:
        file.write(line + "\n")


def num_looks(folder: Path) -> int:
    """How often its test split has been looked at."""
    log = folder / "test-log.jsonl"
    return len(log.read_text(encoding="utf-8").splitlines()) if log.is_file() else 0


def _is_name(name: str) -> bool:
    return not name.startswith(".")


def _versions(schema: Schema) -> dict[str, str]:
    return {name: info.version for name, info in schema.encoders.items()}


def _new_array(path: Path, dtype: type, shape: tuple[int, ...]) -> NDArray[Any]:
    return np.lib.format.open_memmap(path, mode="w+", dtype=dtype, shape=shape)
