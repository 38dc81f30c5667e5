"""The store: features, masks and labels of a corpus on disk, for training. docs/store.md describes the format in full.

    STORE/store.json                  format, rate of the grid, and the encoder of each modality
    STORE/recordings/NAME/meta.json   facts about one recording
    STORE/recordings/NAME/*.npy       MODALITY (T, D) float16; valid (T, M); frame_times (F,); crops (T, 48, 48, 3)
    STORE/corpus.json                 splits and subjects
    STORE/labels/NAME.npy             valence and arousal (T, 2), NaN where unlabelled
    STORE/test-log.jsonl              when and why the test split was unlocked

A recording is written into a temporary folder that is then renamed, so a store never contains half a recording. NumPy only.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from tokenize import TokenError
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from vatrace.errors import StoreError, reason
from vatrace.files import locked, read_json, unfinished, unwritable, write_json, written_whole
from vatrace.media.transcripts import Word
from vatrace.names import SPLITS, Split, check_modality, in_order
from vatrace.records import record, typed

FORMAT = 1
CHUNK = 4096
"""Steps written at a time."""
WORD = ("text", "start", "end", "speaker", "language")
"""The fields of a word, in the order in which meta.json lists them."""
MAX_STORE_RATE = 1000.0
"""Steps a second of the fastest store."""


@dataclass(frozen=True)
class EncoderInfo:
    """The encoder that made the features of one modality.

    Attributes:
        name: name of the encoder, as it was chosen.
        version: version, which changes with the weights; features of different versions must not be mixed.
        dim: channels D.
    """

    name: str
    version: str
    dim: int


@dataclass(frozen=True)
class Schema:
    """Facts that all recordings of a store have in common.

    Attributes:
        rate: steps per second; None if each recording has one step per video frame.
        encoders: encoders by modality, which may have any name that `check_modality` accepts.
        crops: whether face crops are stored as well.

    Raises:
        ValueError: if a modality has an impossible name.
    """

    rate: float | None
    encoders: dict[str, EncoderInfo]
    crops: bool = False

    def __post_init__(self) -> None:
        if self.rate is not None and not 0 < self.rate <= MAX_STORE_RATE:
            raise ValueError(f"the rate must be above 0 and at most {MAX_STORE_RATE:g}, not {self.rate:g}")
        for name, info in self.encoders.items():
            check_modality(name)
            if info.dim < 1:
                raise ValueError(f"{name} must have at least 1 channel, not {info.dim}")

    @property
    def dims(self) -> dict[str, int]:
        """Channels by modality, in the order of the columns of `valid.npy`."""
        return {name: self.encoders[name].dim for name in in_order(self.encoders)}


@dataclass(frozen=True)
class Meta:
    """Facts about one recording.

    Attributes:
        name: name, unique in the store.
        rate: steps per second.
        num_steps: length T in steps.
        inputs: fingerprints of the files that it was made from, by role.
        words: the spoken words, with times.
        notes: sentences for the user.
    """

    name: str
    rate: float
    num_steps: int
    inputs: dict[str, Any] = field(default_factory=dict)
    words: list[Word] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Membership:
    """A recording's split (None if it has none) and subject ("" where unknown)."""

    split: Split | None
    subject: str = ""


@dataclass(frozen=True)
class StoredRecording:
    """One recording in a store. Each call reads from disk; nothing is kept in memory.

    Attributes:
        folder: folder of its arrays.
        label_file: file of its labels; None while they are locked because the recording is in the test split.
        schema: schema of the store.
        meta: facts about the recording.
    """

    folder: Path
    label_file: Path | None
    schema: Schema
    meta: Meta

    @property
    def name(self) -> str:
        """Its name, unique in the store."""
        return self.meta.name

    @property
    def num_steps(self) -> int:
        """Its length T in steps."""
        return self.meta.num_steps

    def features(self, name: str, start: int = 0, stop: int | None = None) -> NDArray[np.float16]:
        """Features (n, D) of one modality from step `start` to `stop`; zeros where it is missing."""
        return self._read(f"{name}.npy", start, stop)

    def valid(self, start: int = 0, stop: int | None = None) -> dict[str, NDArray[np.bool_]]:
        """Where each modality is present, (n,) by modality."""
        mask = self._read("valid.npy", start, stop)
        return {name: mask[:, index] for index, name in enumerate(self.schema.dims)}

    def crops(self, start: int = 0, stop: int | None = None) -> NDArray[np.uint8]:
        """Face crops (n, 48, 48, 3) RGB, zeros where no face is present.

        Raises:
            StoreError: if the store has no crops.
        """
        if not self.schema.crops:
            raise StoreError(f"{self.folder.parents[1]}: no face crops in this store; extract again with --crops")
        return self._read("crops.npy", start, stop)

    def labels(self, start: int = 0, stop: int | None = None) -> NDArray[np.float32]:
        """Valence and arousal (n, 2) in -1..1, NaN where unlabelled.

        Raises:
            StoreError: if the labels are locked, or were made for features of another length.
        """
        if self.label_file is None:
            raise StoreError(f"{self.name}: its labels are locked because it is in the test split; use Store.unlock_test")
        stop = self.num_steps if stop is None else stop
        if not self.label_file.is_file():
            return np.full((stop - start, 2), np.nan, np.float32)
        labels = _load(self.label_file)
        if labels.shape[1:] != (2,) or labels.dtype.kind != "f":
            raise StoreError(f"{self.label_file}: damaged (its shape is {labels.shape}); run the same vatrace extract again")
        if len(labels) != self.num_steps:
            raise StoreError(
                f"{self.label_file}: its number of steps differs from that of the features; run the same vatrace extract again"
            )
        return np.array(labels[start:stop])

    @cached_property
    def frame_times(self) -> NDArray[np.float64]:
        """The presentation time of each video frame, (F,) seconds; empty without video."""
        path = self.folder / "frame_times.npy"
        times = _load(path, mapped=False)
        if times.ndim != 1 or times.dtype.kind != "f":
            raise StoreError(f"{path}: damaged (its shape is {times.shape}); delete its folder and extract or import again")
        return times

    def _read(self, file: str, start: int, stop: int | None) -> NDArray[Any]:
        """Read rows of a file as a copy, so that mapped pages don't count as this process's memory after the call."""
        path, width = self.folder / file, self._widths.get(file.removesuffix(".npy"))
        rows = _load(path)
        if len(rows) != self.num_steps or rows.shape[1:] != width:
            problem = f"its shape is {rows.shape}, not {(self.num_steps, *(width or ()))}"
            raise StoreError(f"{path}: damaged ({problem}); delete its folder and run the same vatrace extract or import again")
        return np.array(rows[start : self.num_steps if stop is None else stop])

    @cached_property
    def _widths(self) -> dict[str, tuple[int, ...]]:
        """The shape of a row of each array."""
        dims = self.schema.dims
        return {**{name: (dim,) for name, dim in dims.items()}, "valid": (len(dims),), "crops": (48, 48, 3)}


def _load(path: Path, mapped: bool = True) -> NDArray[Any]:
    """Load an array, mapped so that only the rows used are read; an empty array can't be mapped."""
    try:
        return np.load(path, mmap_mode="r" if mapped else None, allow_pickle=False)
    except OSError as error:
        raise StoreError(
            f"{path}: {reason(error)}; delete its folder and run the same vatrace extract or import again"
        ) from error
    except (ValueError, EOFError, SyntaxError, TokenError, MemoryError) as error:  # of headers that claim too much, too
        raise StoreError(f"{path}: damaged ({error}); delete it and run the same vatrace extract or import again") from error


class Store:
    """A folder with the features of recordings.

    Args:
        path: folder of an existing store; `Store.create` makes one.

    Raises:
        StoreError: if it is not a store, is damaged, or has another format version.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        file = self.path / "store.json"
        if not file.is_file():
            raise StoreError(f"{self.path}: not a store (make one with: vatrace extract VIDEOS --store {self.path})")
        content = read_json(file, StoreError)
        if content.get("format") != FORMAT:
            raise StoreError(f"{file}: format {content.get('format')}, but this vatrace reads {FORMAT}: extract again")
        try:
            self.schema = record(Schema, {name: value for name, value in content.items() if name != "format"})
        except (TypeError, ValueError) as error:
            raise StoreError(f"{file}: damaged ({error}); extract again into another --store") from error

    @classmethod
    def create(cls, path: str | Path, schema: Schema) -> Store:
        """Make an empty store, or open an existing one with the same schema.

        Raises:
            StoreError: if the folder contains something else, or a store with another schema; the message names the difference.
        """
        path = Path(path)
        if (path / "store.json").is_file():
            store = cls(path)
            for name, found, wanted in [
                ("rate", store.schema.rate or "frames", schema.rate or "frames"),
                ("crops", store.schema.crops, schema.crops),
                ("encoders", _versions(store.schema), _versions(schema)),
                ("channels", store.schema.dims, schema.dims),
            ]:
                if found != wanted:
                    raise StoreError(f"{path}: has {name} {found}, not {wanted}: give another --store, or delete this one")
            return store
        if path.exists() and (not path.is_dir() or any(file.name != ".lock" for file in path.iterdir())):
            raise StoreError(f"{path}: exists, but is not a store: give another --store")
        path.mkdir(parents=True, exist_ok=True)
        write_json(path / "store.json", {"format": FORMAT, **asdict(schema)})
        return cls(path)

    @property
    def names(self) -> list[str]:
        """The names of its recordings, ascending."""
        folders = (file.parent.name for file in self.path.glob("recordings/*/meta.json"))
        return sorted(name for name in folders if not name.startswith("."))

    def __contains__(self, name: str) -> bool:
        return (self.path / "recordings" / name / "meta.json").is_file()

    def recording(self, name: str) -> StoredRecording:
        """Open a recording; if it is in the test split, its labels are locked.

        Raises:
            StoreError: if the store has no such recording, or it is damaged.
        """
        return self._open(name, locked=self._listed().get(name, Membership(None)).split == "test")

    def _open(self, name: str, locked: bool) -> StoredRecording:
        if name not in self:
            raise StoreError(f"{self.path}: no recording {name!r} in this store")
        folder = self.path / "recordings" / name
        content = read_json(folder / "meta.json", StoreError)
        try:
            words = [record(Word, dict(zip(WORD, word, strict=False))) for word in typed(list[list[Any]], content.get("words"))]
            meta = replace(record(Meta, content | {"words": []}), words=words)
            if meta.name != name or meta.num_steps < 1 or not 0 < meta.rate <= MAX_STORE_RATE:
                raise TypeError(f"{meta.name}, {meta.num_steps} steps, {meta.rate:g} a second")
        except TypeError as error:
            raise StoreError(f"{folder / 'meta.json'}: damaged ({error}); delete {folder} and extract again") from error
        return StoredRecording(folder, None if locked else self.path / "labels" / f"{name}.npy", self.schema, meta)

    def write(
        self,
        meta: Meta,
        valid: Mapping[str, NDArray[np.bool_]],
        features: Callable[[int, int], Mapping[str, NDArray[np.floating]]],
        frame_times: NDArray[np.float64],
        crops: Callable[[int, int], NDArray[np.uint8]] | None = None,
    ) -> None:
        """Write a recording into the store; one of the same name is replaced, and its labels are deleted.

        Args:
            meta: facts about the recording.
            valid: masks (T,) by modality.
            features: returns the features (stop - start, D) by modality, of the steps from start to stop.
            frame_times: (F,) seconds; empty without video.
            crops: returns the face crops (stop - start, 48, 48, 3) of these steps, if the schema has crops.
        """
        folder = self.path / "recordings" / meta.name
        temporary = folder.with_name(f".{meta.name}-{os.getpid()}")
        shutil.rmtree(temporary, ignore_errors=True)
        try:
            with unfinished(temporary):
                temporary.mkdir(parents=True)
                self._write_files(temporary, meta, valid, features, frame_times, crops)
                self.remove_labels(meta.name)  # they belong to the old features
                (folder / "meta.json").unlink(missing_ok=True)  # first: a half-deleted recording isn't in the store
                shutil.rmtree(folder, ignore_errors=True)
                temporary.rename(folder)
        except OSError as error:
            if error.strerror is None or (error.filename is not None and Path(error.filename).parent != temporary):
                raise  # it names its file, which is another one
            raise unwritable(folder, error) from error

    def _write_files(
        self,
        folder: Path,
        meta: Meta,
        valid: Mapping[str, NDArray[np.bool_]],
        features: Callable[[int, int], Mapping[str, NDArray[np.floating]]],
        frame_times: NDArray[np.float64],
        crops: Callable[[int, int], NDArray[np.uint8]] | None,
    ) -> None:
        """Write the files of a recording into a folder, as in `write`."""
        steps = meta.num_steps
        _write_array(folder / "valid.npy", np.stack([valid[name] for name in self.schema.dims], axis=-1))
        _write_array(folder / "frame_times.npy", frame_times)
        with ExitStack() as opened:
            files = {
                name: opened.enter_context(_new_array(folder / f"{name}.npy", np.float16, (steps, n)))
                for name, n in self.schema.dims.items()
            }
            for start in range(0, steps, CHUNK):
                stop = min(start + CHUNK, steps)
                values = features(start, stop)
                for name, file in files.items():
                    kept = np.where(valid[name][start:stop, None], values[name], 0)
                    file.write(kept.astype(np.float16).tobytes())
        if self.schema.crops:
            assert crops is not None
            with _new_array(folder / "crops.npy", np.uint8, (steps, 48, 48, 3)) as file:
                for start in range(0, steps, CHUNK):
                    file.write(crops(start, min(start + CHUNK, steps)).tobytes())
        content = asdict(meta) | {"words": [[getattr(word, name) for name in WORD] for word in meta.words]}
        write_json(folder / "meta.json", content)

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Keep other commands from writing into the store during the block, and delete what killed processes left unfinished.

        Raises:
            OSError: if another command is writing.
        """
        with locked(self.path, "another vatrace extract or import"):
            self.remove_unfinished()
            try:
                yield
            finally:
                self.remove_unfinished()

    def remove_unfinished(self) -> None:
        """Delete unfinished recordings of killed processes. No other process may be writing."""
        for folder in self.path.glob("recordings/.*"):
            shutil.rmtree(folder, ignore_errors=True)

    def write_labels(self, name: str, labels: NDArray[np.floating]) -> None:
        """Write the labels (T, 2) of a recording, in -1..1, NaN where unlabelled."""
        (self.path / "labels").mkdir(exist_ok=True)
        with written_whole(self.path / "labels" / f"{name}.npy") as temporary:
            _write_array(temporary, np.asarray(labels, dtype=np.float32))

    def remove_labels(self, name: str) -> None:
        """Delete the labels of a recording."""
        (self.path / "labels" / f"{name}.npy").unlink(missing_ok=True)

    def write_corpus(self, members: Mapping[str, Membership], facts: Mapping[str, Any]) -> None:
        """Write the splits and subjects of all recordings, and facts about the labels (see `corpus_facts`)."""
        recordings = {name: asdict(member) for name, member in members.items()}
        write_json(self.path / "corpus.json", {**facts, "recordings": recordings})

    @property
    def corpus_facts(self) -> dict[str, Any]:
        """Facts about the labels, such as the agreement between annotators."""
        return {key: value for key, value in self._corpus().items() if key != "recordings"}

    @property
    def members(self) -> dict[str, Membership]:
        """Split and subject of each recording in the store that the corpus lists."""
        stored = set(self.names)
        return {name: member for name, member in self._listed().items() if name in stored}

    def names_in(self, split: Split) -> list[str]:
        """The names of a split's recordings, including test.

        Raises:
            ValueError: if there is no such split.
        """
        if split not in SPLITS:
            raise ValueError(f"split must be one of {', '.join(SPLITS)}, not {split!r}")
        return [name for name, member in self.members.items() if member.split == split]

    def without_features(self, split: Split) -> list[str]:
        """The names of a split's recordings that are not in the store, for instance because their extraction failed."""
        stored = set(self.names)
        return sorted(name for name, member in self._listed().items() if member.split == split and name not in stored)

    def split(self, split: Split, labels: bool = True) -> list[StoredRecording]:
        """Open the recordings of a split.

        Test is locked, so that training and model selection can't read its labels by accident: open it with `labels=False`, or
        unlock it with `unlock_test`.

        Args:
            split: train, dev, or, without labels, test.
            labels: False to lock the labels.

        Raises:
            StoreError: for test with labels.
            ValueError: if there is no such split.
        """
        if labels and split == "test":
            raise StoreError(f"{self.path}: the test split is locked; Store.unlock_test unlocks its labels and logs that")
        return [self._open(name, locked=not labels) for name in self.names_in(split)]

    def unlock_test(self, why: str) -> list[StoredRecording]:
        """Open the recordings of test with their labels. Each call is logged with its time in the store's test-log.jsonl.

        Args:
            why: the reason, such as the run's folder.
        """
        log_look(self.path, why)
        return [self._open(name, locked=False) for name in self.names_in("test")]

    def _corpus(self) -> dict[str, Any]:
        file = self.path / "corpus.json"
        return read_json(file, StoreError) if file.is_file() else {"recordings": {}}

    def _listed(self) -> dict[str, Membership]:
        """Split and subject of each recording that the corpus lists, whether in the store or not."""
        try:
            return typed(dict[str, Membership], self._corpus().get("recordings"))
        except TypeError as error:
            raise StoreError(f"{self.path / 'corpus.json'}: damaged ({error}); run the same vatrace extract again") from error


def log_look(folder: Path, why: str) -> None:
    """Log an evaluation on the test split in the test-log.jsonl of a store or run."""
    line = json.dumps({"time": datetime.now(UTC).isoformat(timespec="seconds"), "why": why})
    with (folder / "test-log.jsonl").open("a", encoding="utf-8") as file:
        file.write(line + "\n")


def num_looks(folder: Path) -> int:
    """The number of evaluations on the test split of a store or run."""
    log = folder / "test-log.jsonl"
    return len(log.read_text(encoding="utf-8").splitlines()) if log.is_file() else 0


def _versions(schema: Schema) -> dict[str, str]:
    return {name: info.version for name, info in schema.encoders.items()}


@contextmanager
def _new_array(path: Path, dtype: type, shape: tuple[int, ...]) -> Iterator[BinaryIO]:
    """Yield a file to which the content of an array is written, in order.

    It is written as it comes, not mapped into memory: on a full disk, a mapped file ends the process.
    """
    with path.open("wb") as file:
        described = {"descr": np.lib.format.dtype_to_descr(np.dtype(dtype)), "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, described)
        yield file


def _write_array(path: Path, values: NDArray[Any]) -> None:
    """Write an array; NumPy's own errors for a full disk state no reason."""
    with _new_array(path, values.dtype.type, values.shape) as file:
        file.write(np.ascontiguousarray(values).tobytes())
