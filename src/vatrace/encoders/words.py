"""MiniLM, fine-tuned on EmoBank (`recipes/words.py`), on ONNX Runtime: a vector for each word in its sentence."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from vatrace.media.transcripts import Word, sentences
from vatrace.timeline import step_range
from vatrace.weights import onnx_session, package_file

if TYPE_CHECKING:
    from tokenizers import Tokenizer

    from vatrace.encoders import WordEncoder

MAX_TOKENS = 512


@cache
def _tokenizer() -> Tokenizer:
    """The package's own tokenizer, which is shared by all encoders."""
    from tokenizers import Tokenizer

    found = Tokenizer.from_file(str(package_file("words_tokenizer.json")))
    found.no_padding()
    found.enable_truncation(MAX_TOKENS)
    return found


class MiniLMEncoder:
    """Turns words into vectors.

    Args:
        path: ONNX file made by `recipes/words.py`; None for the package's own.
        threads: CPU threads.

    Raises:
        CheckpointError: if the file can't be opened.
    """

    dim = 384

    def __init__(self, path: Path | None = None, threads: int = 1) -> None:
        self._tokenizer = _tokenizer()
        self._session = onnx_session(path or "words.onnx", threads)

    def __call__(self, words: Sequence[str]) -> NDArray[np.float32]:
        """The words of one sentence to (num_words, 384): the mean of each word's token vectors."""
        encoding = self._tokenizer.encode(" ".join(words))
        (tokens,) = self._run("tokens", encoding.ids)
        ends = np.cumsum([len(word) + 1 for word in words])
        vectors = np.tile(tokens.mean(axis=0), (len(words), 1))  # words without a token keep the mean
        owner = np.array(
            [
                -1 if special else np.searchsorted(ends, start, side="right")
                for (start, _), special in zip(encoding.offsets, encoding.special_tokens_mask, strict=True)
            ]
        )
        for index in np.unique(owner[owner >= 0]):
            vectors[index] = tokens[owner == index].mean(axis=0)
        return vectors

    def valence_arousal(self, text: str) -> tuple[float, float]:
        """Valence and arousal in -1..1 of one text, on EmoBank's scale (most texts lie within -0.4..0.4)."""
        valence, arousal = self._run("valence_arousal", self._tokenizer.encode(text).ids)[0]
        return float(valence), float(arousal)

    def _run(self, output: str, ids: list[int]) -> NDArray[np.float32]:
        token_ids = np.array([ids], dtype=np.int64)
        (result,) = self._session.run([output], {"token_ids": token_ids, "mask": np.ones_like(token_ids)})
        return np.asarray(result, dtype=np.float32)


def words_on_grid(words: Sequence[Word], encoder: WordEncoder, rate: float) -> Iterator[tuple[range, NDArray[np.float32]]]:
    """Encode words sentence by sentence.

    Args:
        words: words with times, in order.
        encoder: encodes one sentence.
        rate: grid steps a second.

    Yields:
        For each word, the steps that it spans and its vector (D,).
    """
    for sentence in sentences(list(words)):
        for word, vector in zip(sentence, encoder([word.text for word in sentence]), strict=True):
            yield step_range(word.start, word.end, rate), vector
