"""Training windows from a store's recordings."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from vatrace.names import DIMENSIONS
from vatrace.store import StoredRecording
from vatrace.timeline import windows

CHUNK = 4096
"""Steps read at a time for statistics."""
Sample = tuple[dict[str, np.ndarray], dict[str, np.ndarray], np.ndarray, np.ndarray]
"""Features (T, ...) and validity (T,) by modality, target (T, K), and a mask of the labelled steps (T,)."""


@dataclass(frozen=True)
class Batch:
    """A batch of recordings or windows.

    Attributes:
        features: (B, T, D_m) by modality.
        valid: (B, T) bool by modality.
        target: (B, T, K) in -1..1.
        labelled: (B, T) bool, where the target is known.
    """

    features: dict[str, Tensor]
    valid: dict[str, Tensor]
    target: Tensor
    labelled: Tensor

    def to(self, device: torch.device) -> Batch:
        """Copy the batch to a device."""
        features = {name: x.to(device) for name, x in self.features.items()}
        valid = {name: x.to(device) for name, x in self.valid.items()}
        return Batch(features, valid, self.target.to(device), self.labelled.to(device))


@dataclass(frozen=True)
class Crops:
    """How face crops are cut for a face network that is trained too.

    Attributes:
        size: side in pixels, at most 48. In training, position and mirroring are random; otherwise the centre is taken.
    """

    size: int

    def take(self, crops: np.ndarray, rng: np.random.Generator | None = None) -> np.ndarray:
        """Cut crops (n, 48, 48, 3) to (n, size, size, 3), all at the same position; at the centre if `rng` is None."""
        room = crops.shape[1] - self.size
        top, left = (room // 2, room // 2) if rng is None else rng.integers(0, room + 1, 2)
        taken = crops[:, top : top + self.size, left : left + self.size]
        return np.ascontiguousarray(taken[:, :, ::-1] if rng is not None and rng.random() < 0.5 else taken)


def read_inputs(
    recording: StoredRecording,
    modalities: Sequence[str],
    start: int,
    stop: int,
    crops: Crops | None,
    rng: np.random.Generator | None = None,
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Features (n, D) float32, or face crops uint8, and validity (n,) of some steps of a recording, by modality."""
    valid = recording.valid(start, stop)
    features: dict[str, np.ndarray] = {}
    for name in modalities:
        if name == "face" and crops is not None:
            features[name] = crops.take(recording.crops(start, stop), rng)
        else:
            features[name] = recording.features(name, start, stop).astype(np.float32)
    return features, {name: valid[name] for name in modalities}


class Windows(Dataset[Sample]):
    """Overlapping windows that contain at least one label. A window is read from disk when it is used.

    Args:
        recordings: the training recordings.
        modalities: the model's modalities.
        outputs: the model's outputs.
        win_len: length of a window in steps.
        hop_len: steps from one window to the next.
        modality_dropout: probability that a modality is removed from a window; one is always kept.
        seed: all random numbers depend only on the seed, the epoch and the window.
        crops: how face crops are cut, to be used instead of face features; None for features.
    """

    def __init__(  # eight parameters: each describes the windows, and the last three have defaults
        self,
        recordings: Sequence[StoredRecording],
        modalities: Sequence[str],
        outputs: Sequence[str],
        win_len: int,
        hop_len: int,
        modality_dropout: float = 0.0,
        seed: int = 0,
        crops: Crops | None = None,
    ) -> None:
        self.modalities, self.modality_dropout, self.seed, self.crops = tuple(modalities), modality_dropout, seed, crops
        self.columns = [DIMENSIONS.index(name) for name in outputs]
        self.windows = [
            (recording, start, stop)
            for recording in recordings
            for known in [self._known(recording.labels())]
            for start, stop in windows(recording.num_steps, win_len, hop_len)
            if known[start:stop].any()
        ]

    def _known(self, labels: np.ndarray) -> np.ndarray:
        return np.asarray(~np.isnan(labels[:, self.columns]).any(axis=1))

    def __len__(self) -> int:
        return len(self.windows)

    def __getitem__(self, key: tuple[int, int]) -> Sample:
        """The window of (epoch, index)."""
        epoch, index = key
        recording, start, stop = self.windows[index]
        rng = np.random.default_rng([self.seed, epoch, index])
        features, valid = read_inputs(recording, self.modalities, start, stop, self.crops, rng)
        for name in self._removed(valid, rng):
            valid[name] = np.zeros_like(valid[name])
        labels = recording.labels(start, stop)
        known = self._known(labels)
        return features, valid, np.where(known[:, None], labels, 0)[:, self.columns], known

    def _removed(self, valid: dict[str, np.ndarray], rng: np.random.Generator) -> list[str]:
        present = [name for name in self.modalities if valid[name].any()]
        removed = [name for name in present if rng.random() < self.modality_dropout]
        if len(removed) == len(present) and removed:
            removed.remove(removed[rng.integers(len(removed))])
        return removed

    def batches(
        self, epoch: int, batch_size: int, rank: int = 0, num_processes: int = 1, num_workers: int = 0
    ) -> Iterator[Batch]:
        """The batches of an epoch, in an order that depends on the seed and the epoch.

        Each window occurs at most once; windows that don't fill the last batch are left out.

        Args:
            epoch: number of the epoch, from 1.
            batch_size: windows per batch, over all processes.
            rank: index of this process, which gets every `num_processes`-th window of each batch.
            num_processes: number of processes that train together.
            num_workers: number of processes that read ahead.
        """
        order = np.random.default_rng([self.seed, epoch]).permutation(len(self)).tolist()
        keys = [
            [(epoch, index) for index in order[start + rank : start + self._batch_size(batch_size) : num_processes]]
            for start in range(0, self.num_batches(batch_size) * self._batch_size(batch_size), self._batch_size(batch_size))
        ]
        return iter(DataLoader(self, batch_sampler=keys, collate_fn=collate, num_workers=num_workers))

    def num_batches(self, batch_size: int) -> int:
        """The number of batches in an epoch."""
        return len(self) // self._batch_size(batch_size)

    def _batch_size(self, batch_size: int) -> int:
        return min(batch_size, len(self))


def collate(samples: Sequence[Sample]) -> Batch:
    """Make a batch of windows. Shorter windows are padded with steps without modalities and labels."""
    steps = max(len(known) for *_, known in samples)

    def stack(arrays: Sequence[np.ndarray]) -> Tensor:
        filled = np.zeros((len(arrays), steps, *arrays[0].shape[1:]), arrays[0].dtype)
        for row, array in zip(filled, arrays, strict=True):
            row[: len(array)] = array
        return torch.from_numpy(filled)

    features, valid, targets, known = zip(*samples, strict=True)
    return Batch(
        {name: stack([sample[name] for sample in features]) for name in features[0]},
        {name: stack([sample[name] for sample in valid]) for name in valid[0]},
        stack(targets),
        stack(known),
    )


def statistics(recordings: Sequence[StoredRecording], modalities: Sequence[str]) -> dict[str, tuple[Tensor, Tensor]]:
    """Mean and standard deviation (D,) of the valid features of the recordings, by modality; 0 and 1 if none are valid."""
    result = {}
    for name in modalities:
        count, sums = 0, np.zeros((2, recordings[0].schema.dims[name]))
        for recording in recordings:
            for start in range(0, recording.num_steps, CHUNK):
                stop = min(start + CHUNK, recording.num_steps)
                values = recording.features(name, start, stop)[recording.valid(start, stop)[name]].astype(np.float64)
                count += len(values)
                sums += [values.sum(axis=0), (values**2).sum(axis=0)]
        mean, square = sums / max(count, 1)
        deviation = np.sqrt(np.maximum(square - mean**2, 0)) if count else np.ones_like(mean)
        result[name] = (torch.from_numpy(mean).float(), torch.from_numpy(deviation).float())
    return result
