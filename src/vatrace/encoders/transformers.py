"""Speech networks of the `transformers` library from a local folder: wav2vec 2.0, HuBERT, WavLM and similar."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vatrace.encoders.state_dict import set_torch_threads
from vatrace.errors import CheckpointError, missing
from vatrace.media.reading import SAMPLING_RATE
from vatrace.timeline import frames_on_grid, num_steps, steps_at

WINDOW_DUR, CONTEXT_DUR = 20.0, 2.0
"""Seconds that the network processes at once, and how much of that is context on either side."""


def load_network(folder: Path, preprocessor: str, kind: str, unused: tuple[str, ...]) -> tuple[Any, Any]:
    """Load a network and its preprocessor from a local folder; no code in the folder is run.

    Args:
        folder: config.json, model.safetensors or pytorch_model.bin, and the preprocessor's files.
        preprocessor: class of the preprocessor, such as "AutoTokenizer".
        kind: kind of the folder, with its files, for the message.
        unused: prefixes of weights that may be missing because their outputs are not used.

    Returns:
        The preprocessor and the network, float32, in evaluation mode.

    Raises:
        CheckpointError: if the folder can't be read or weights are missing.
        MissingExtraError: if PyTorch or transformers is not installed.
    """
    try:
        import torch
        import transformers
    except ImportError as error:
        raise missing("this encoder needs PyTorch and transformers", "train") from error
    if not folder.is_dir():  # transformers would search its cache for a model of this name
        raise CheckpointError(f"{folder}: not a {kind}: no such folder")
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    local: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
    try:
        prepare = getattr(transformers, preprocessor).from_pretrained(folder, **local)
        network, info = transformers.AutoModel.from_pretrained(folder, dtype=torch.float32, output_loading_info=True, **local)
    except Exception as error:  # transformers has no base class for its errors
        raise CheckpointError(f"{folder}: not a {kind}: {error}") from error
    absent = sorted(name for name in info["missing_keys"] if not name.startswith(unused))
    if absent:
        raise CheckpointError(f"{folder}: not a {kind}: {absent[0]} is missing ({len(absent)} missing in all)")
    return prepare, network.eval()


class TransformersVoiceEncoder:
    """Turns audio into the last hidden states of a self-supervised speech network, averaged over each step of the grid.

    Args:
        path: folder as on the Hugging Face Hub: config.json, preprocessor_config.json, and model.safetensors or
            pytorch_model.bin.
        threads: CPU threads.

    Raises:
        CheckpointError: if the folder can't be read or is of another kind.
        MissingExtraError: if PyTorch or transformers is not installed.
    """

    def __init__(self, path: Path, threads: int = 1) -> None:
        set_torch_threads(threads)
        kind = "wav2vec2-like folder (config.json, preprocessor_config.json, model.safetensors)"
        self._prepare, self._network = load_network(path, "AutoFeatureExtractor", kind, ("masked_spec_embed",))
        config = self._network.config
        if not hasattr(config, "conv_kernel") or self._prepare.sampling_rate != SAMPLING_RATE:
            raise CheckpointError(f"{path}: not a {kind}: it must take audio at {SAMPLING_RATE} Hz")
        self._hop = math.prod(config.conv_stride)  # samples between frames
        self._field = 1  # samples that each frame spans
        for kernel, stride in zip(reversed(config.conv_kernel), reversed(config.conv_stride), strict=True):
            self._field = (self._field - 1) * stride + kernel
        self._context = round(CONTEXT_DUR * SAMPLING_RATE / self._hop)  # frames
        self._core = round((WINDOW_DUR - 2 * CONTEXT_DUR) * SAMPLING_RATE / self._hop)
        found = self._embed(np.zeros(self._num_samples(50), np.float32))
        if len(found) != 50:
            raise CheckpointError(f"{path}: not a {kind}: its frames don't match its convolutions")
        self.dim = found.shape[1]

    def steps(self, blocks: Iterable[NDArray[np.float32]], rate: float) -> Iterator[tuple[int, NDArray[np.float32]]]:
        """Average the frames over each step; above the network's own rate (usually 50 a second), take the current frame.

        Args:
            blocks: successive parts (N,) of 16 kHz mono audio; the first starts at 0 s.
            rate: grid steps a second.

        Yields:
            The first step, and vectors (n, D) for it and the following steps, up to the end of the audio.
        """
        frame_rate = SAMPLING_RATE / self._hop
        waiting, start = np.zeros((0, self.dim), np.float32), 0  # frames of the last step, and the index of the first
        step, num_samples = 0, 0
        for frames, num_samples in self._frames(blocks):  # noqa: B007 (used below)
            waiting = np.concatenate([waiting, frames])
            step, vectors = frames_on_grid(start / frame_rate, waiting, rate, frame_rate)
            if len(vectors) > 1:
                yield step, vectors[:-1]
            step += len(vectors) - 1
            done = np.searchsorted(steps_at((start + np.arange(len(waiting))) / frame_rate, rate), step)
            waiting, start = waiting[done:], start + int(done)
        if len(waiting):
            _, vectors = frames_on_grid(start / frame_rate, waiting, rate, frame_rate)
            yield step, vectors.repeat(num_steps(num_samples / SAMPLING_RATE, rate) - step, axis=0)

    def _frames(self, blocks: Iterable[NDArray[np.float32]]) -> Iterator[tuple[NDArray[np.float32], int]]:
        """Yield successive frames (n, D) from 0 s on, with the number of samples read so far."""
        waiting, before, total = np.zeros(0, np.float32), 0, 0  # `before`: number of context frames at the start of `waiting`
        for block in blocks:
            waiting, total = np.concatenate([waiting, block]), total + len(block)
            while len(waiting) >= self._num_samples(before + self._core + self._context):
                window = waiting[: self._num_samples(before + self._core + self._context)]
                yield self._embed(window)[before : before + self._core], total
                waiting = waiting[(before + self._core - self._context) * self._hop :]
                before = self._context
        num_frames = math.ceil(len(waiting) / self._hop)
        if num_frames > before:
            silence = np.zeros(max(self._num_samples(num_frames) - len(waiting), 0), np.float32)
            yield self._embed(np.concatenate([waiting, silence]))[before:num_frames], total

    def _num_samples(self, num_frames: int) -> int:
        return (num_frames - 1) * self._hop + self._field

    def _embed(self, audio: NDArray[np.float32]) -> NDArray[np.float32]:
        import torch

        values = self._prepare(audio, sampling_rate=SAMPLING_RATE, return_tensors="pt").input_values
        with torch.inference_mode():
            return np.asarray(self._network(values).last_hidden_state[0].numpy())
