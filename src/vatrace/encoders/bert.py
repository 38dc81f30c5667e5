"""The paper's word network, BERT, from the user's folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vatrace.encoders.state_dict import set_torch_threads
from vatrace.encoders.transformers import load_network

MAX_TOKENS = 512
NUM_LAYERS = 4
"""Number of last layers that are summed."""


class BertEncoder:
    """Turns the words of a sentence into vectors.

    Args:
        path: folder as on the Hugging Face Hub: config.json, model.safetensors or pytorch_model.bin, vocab.txt.
        threads: CPU threads.

    Raises:
        CheckpointError: if the folder can't be read.
        MissingExtraError: if PyTorch or transformers is not installed.
    """

    def __init__(self, path: Path, threads: int = 1) -> None:
        set_torch_threads(threads)
        kind = "BERT folder (config.json, model.safetensors, vocab.txt)"
        self._tokenizer, self._network = load_network(path, "AutoTokenizer", kind, ("pooler.",))
        self.dim = int(self._network.config.hidden_size)

    def __call__(self, words: Sequence[str]) -> NDArray[np.float32]:
        """The words of one sentence to (num_words, D).

        Each vector is the sum of the last four layers, averaged over the word's pieces. Words without pieces, or beyond 512
        pieces, get the average of the sentence.
        """
        import torch

        pieces = self._tokenizer(
            list(words), is_split_into_words=True, truncation=True, max_length=MAX_TOKENS, return_tensors="pt"
        )
        with torch.inference_mode():
            layers = self._network(**pieces, output_hidden_states=True).hidden_states[-NUM_LAYERS:]
        tokens = torch.stack(layers).sum(dim=0)[0].numpy()
        owner = np.array([-1 if index is None else index for index in pieces.word_ids(0)])
        vectors = np.tile(tokens.mean(axis=0), (len(words), 1))
        for index in np.unique(owner[owner >= 0]):
            vectors[index] = tokens[owner == index].mean(axis=0)
        return np.asarray(vectors, dtype=np.float32)
