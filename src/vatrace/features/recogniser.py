"""Speech recognition with one Whisper model, and the language that is spoken."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vatrace.accelerator import whisper_device
from vatrace.errors import MissingWeightsError
from vatrace.features.doubt import Decoded, Guess
from vatrace.languages import ENGLISH, WITHOUT_SPACES
from vatrace.media.segmentation import split_words
from vatrace.media.transcripts import Word

BEAM_SIZE = 5
NUM_MELS = 80
"""Mel bands of most Whisper models, and of the voice encoder; the largest ones have more."""
OPENING, CLOSING = "\"'“¿([{-", "\"'.。,，!！?？:：”)]}、،؛؟۔।॥"
"""Punctuation that belongs to the following and to the preceding word."""

Mels = NDArray[np.float32]


class Recogniser:
    """Recognises words, and the language if the model is multilingual.

    Args:
        weights: a folder with a Whisper model in CTranslate2 form, or the contents of its files by name.
        threads: CPU threads.
        compute_type: of CTranslate2: the precision of the matrices.

    Attributes:
        is_multilingual: whether it knows languages other than English.

    Raises:
        MissingWeightsError: if the weights can't be read.
    """

    def __init__(self, weights: Path | Mapping[str, bytes], threads: int = 1, compute_type: str = "float32") -> None:
        from faster_whisper import WhisperModel
        from faster_whisper.transcribe import get_suppressed_tokens

        name, files = (str(weights), None) if isinstance(weights, Path) else ("Whisper", dict(weights))
        try:
            self._whisper: Any = WhisperModel(
                name, **whisper_device(), compute_type=compute_type, cpu_threads=threads, files=files
            )
        except (RuntimeError, ValueError) as error:
            raise MissingWeightsError(f"{name}: CTranslate2 can't read this Whisper model ({error})") from error
        self.is_multilingual: bool = self._whisper.model.is_multilingual
        self._suppressed = get_suppressed_tokens(self._tokenizer(ENGLISH), [-1])

    def mels(self, audio: NDArray[np.float32]) -> Mels:
        """The log-mel frames (M, F), 100 a second, of audio (N,) at 16 kHz."""
        return np.asarray(self._whisper.feature_extractor(audio)[:, :-1], np.float32)

    def takes(self, mels: Mels) -> bool:
        """Whether log-mel frames have the number of bands that this model needs."""
        return self._whisper.model.n_mels == len(mels)

    def languages(self, mels: Mels) -> dict[str, float]:
        """The probability of each language, by its code, in log-mel frames (M, F) of speech; only if it is multilingual."""
        (found,) = self._whisper.model.detect_language(self._whisper.encode(mels))
        return {token[2:-2]: float(probability) for token, probability in found}

    def decode(self, mels: Mels, language: str = ENGLISH) -> Decoded:
        """Everything that is recognised in log-mel frames (M, F), with times from the start of the audio.

        Args:
            mels: of at most 30 s.
            language: the code of the language that is spoken; English-only models take no other.
        """
        from faster_whisper.audio import pad_or_trim
        from faster_whisper.transcribe import merge_punctuations

        tokenizer = self._tokenizer(language)
        encoded = self._whisper.encode(pad_or_trim(mels))
        prompt = self._whisper.get_prompt(tokenizer, [], without_timestamps=True)
        (result,) = self._whisper.model.generate(
            encoded,
            [prompt],
            beam_size=BEAM_SIZE,
            max_length=self._whisper.max_length,
            suppress_blank=True,
            suppress_tokens=self._suppressed,
            return_scores=True,
            return_no_speech_prob=True,
        )
        tokens = result.sequences_ids[0]
        if not tokens:
            return Decoded([], 0.0, 1.0, language)
        (alignment,) = self._whisper.find_alignment(tokenizer, [tokens], encoded, mels.shape[-1])
        merge_punctuations(alignment, OPENING, CLOSING)
        if language in WITHOUT_SPACES:
            alignment = _whole_words(alignment, language)
        said = None if language == ENGLISH else language
        guesses = [
            Guess(
                Word(word["word"].strip(), float(word["start"]), float(word["end"]), language=said), float(word["probability"])
            )
            for word in alignment
            if word["word"].strip()
        ]
        return Decoded(guesses, float(result.scores[0]), float(result.no_speech_prob), language)

    def _tokenizer(self, language: str) -> Any:
        from faster_whisper.tokenizer import Tokenizer

        many = self.is_multilingual
        return Tokenizer(self._whisper.hf_tokenizer, many, "transcribe" if many else None, language if many else None)


def _whole_words(units: list[dict[str, Any]], language: str) -> list[dict[str, Any]]:
    """Whisper's units of text without spaces, which can be single letters, joined to words."""
    text = "".join(unit["word"] for unit in units)
    ends, place = [], 0
    for word in split_words(text, language):
        place = text.index(word, place) + len(word)
        ends.append(place)
    groups: list[list[dict[str, Any]]] = []
    place, index = 0, -1
    for unit in units:
        first = place + len(unit["word"]) - len(unit["word"].lstrip())
        place += len(unit["word"])
        owner = int(np.searchsorted(ends, first, side="right"))
        if owner != index or not groups:
            groups.append([])
            index = owner
        groups[-1].append(unit)
    return [
        {
            "word": "".join(unit["word"] for unit in group),
            "start": group[0]["start"],
            "end": group[-1]["end"],
            "probability": float(np.mean([unit["probability"] for unit in group])),
        }
        for group in groups
    ]
