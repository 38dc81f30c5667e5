"""The paper's word network, BERT, from a folder that the user has."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vatrace.errors import CheckpointError, missing

MAX_TOKENS = 512
NUM_LAYERS = 4
"""Last layers that are added up."""


class BertEncoder:
    """The words of a sentence to vectors.

    Args:
        folder: as the Hugging Face hub gives it out: config.json, model.safetensors or pytorch_model.bin, vocab.txt.
        threads: CPU threads.

    Raises:
        ImportError: if transformers is not installed.
        CheckpointError: if the folder can't be read.
    """

    def __init__(self, folder: Path, threads: int = 1) -> None:
        try:
            import torch
            from transformers import AutoModel, AutoTokenizer
        except ImportError as error:
            raise missing("this encoder needs PyTorch and transformers", "train") from error
        torch.set_num_threads(threads)
        try:
            self._tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, use_fast=True)
            self._network = AutoModel.from_pretrained(folder, local_files_only=True).eval()
        except (OSError, ValueError, KeyError) as error:
            raise CheckpointError(
                f"{folder}: not a BERT folder (config.json, model.safetensors, vocab.txt): {error}"
            ) from error

    def __call__(self, words: Sequence[str]) -> NDArray[np.float32]:
        """The words of one sentence to (num_words, dim).

        Each vector is the sum of the last four layers, mean over the word's pieces; words that have none, or lie beyond 512
        pieces, have the mean of the sentence.
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
