"""From face crops, voice and words to feature vectors: the package's own networks, and the paper's, from a user's files."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from vatrace.errors import UsageError
from vatrace.names import MODALITIES
from vatrace.weights import WHISPER_SHA256, package_file

DIMS = {"ferplus": 128, "ravdess": 128, "whisper": 384, "minilm": 384, "ir50": 512, "vggish": 128}
"""Channels of each encoder's vectors; BERT's are as its files say."""
FEATURE_DIMS = {"face": DIMS["ferplus"], "voice": DIMS["ravdess"], "words": DIMS["minilm"]}
"""Channels of each modality's features by the package's own encoders."""


def _ferplus(path: Path | None, threads: int) -> Any:
    from vatrace.encoders.face import FaceEncoder

    return FaceEncoder(threads)


def _ir50(path: Path | None, threads: int) -> Any:
    from vatrace.encoders.ir50 import IR50Encoder

    assert path is not None
    return IR50Encoder(path, threads)


def _ravdess(path: Path | None, threads: int) -> Any:
    from vatrace.encoders.voice import VoiceEncoder

    return VoiceEncoder(threads)


def _whisper(path: Path | None, threads: int) -> Any:
    from vatrace.encoders.voice import WhisperFrames

    return WhisperFrames()


def _vggish(path: Path | None, threads: int) -> Any:
    from vatrace.encoders.vggish import VGGishEncoder

    assert path is not None
    return VGGishEncoder(path, threads)


def _minilm(path: Path | None, threads: int) -> Any:
    from vatrace.encoders.words import WordEncoder

    return WordEncoder(threads)


def _bert(path: Path | None, threads: int) -> Any:
    from vatrace.encoders.bert import BertEncoder

    assert path is not None
    return BertEncoder(path, threads)


ENCODERS: dict[str, dict[str, Callable[[Path | None, int], Any]]] = {
    "face": {"ferplus": _ferplus, "ir50": _ir50},
    "voice": {"ravdess": _ravdess, "whisper": _whisper, "vggish": _vggish},
    "words": {"minilm": _minilm, "bert": _bert},
}
"""By modality and name; the first of each is the package's own.

Faces: (N, 48, 48, 3) uint8 RGB -> (N, D). Voices: Whisper's frames (N, 384) of a stretch of speech -> (N, D); VGGish:
`steps(blocks, rate)` takes 16 kHz blocks from 0 s on and yields the first step and vectors (n, D). Words: the words of one
sentence -> (num_words, D). All float32.
"""
ON_WHISPER = ("ravdess", "whisper")
"""Voice encoders that take Whisper's frames."""
OWN_FILES = {"ferplus": "face.onnx", "ravdess": "voice.onnx", "minilm": "words.onnx"}
OWN = ("whisper", *OWN_FILES)
"""Encoders that need no file of the user's."""


@dataclass(frozen=True)
class EncoderSpec:
    """Which encoder makes the features of one modality.

    Attributes:
        modality: face, voice or words.
        name: one of `ENCODERS[modality]`.
        path: its weights; None for the package's own.
    """

    modality: str
    name: str
    path: Path | None = None

    def build(self, threads: int) -> Any:
        """Load it."""
        return ENCODERS[self.modality][self.name](self.path, threads)

    @property
    def dim(self) -> int:
        """Channels of its vectors."""
        if self.name == "bert":
            assert self.path is not None
            return int(json.loads((self.path / "config.json").read_text(encoding="utf-8"))["hidden_size"])
        return DIMS[self.name]

    @cached_property
    def version(self) -> str:
        """Its name and the beginning of its weights' SHA-256: what makes its vectors what they are."""
        if self.name == "whisper":
            return f"whisper-{WHISPER_SHA256[:12]}"
        path = self.path or package_file(OWN_FILES[self.name])
        digest = hashlib.sha256()
        for file in sorted(path.iterdir()) if path.is_dir() else [path]:
            if file.is_file():
                digest.update(file.read_bytes())
        return f"{self.name}-{digest.hexdigest()[:12]}"


DEFAULT_ENCODERS = {modality: EncoderSpec(modality, next(iter(names))) for modality, names in ENCODERS.items()}
"""The package's own."""


def own_encoder(modality: str, version: str) -> EncoderSpec | None:
    """The encoder of this version, if it is one that needs no file of the user's."""
    specs = [EncoderSpec(modality, name) for name in ENCODERS[modality] if name in OWN]
    return next((spec for spec in specs if spec.version == version), None)


def parse_encoders(text: str) -> dict[str, EncoderSpec]:
    """Read a choice of encoders such as `face=ir50:res50_ir_0.887.pth,voice=none`.

    Args:
        text: MODALITY=NAME or MODALITY=NAME:FILE, separated by commas. Modalities that are not named have the package's own;
            `none` leaves one out.

    Raises:
        ValueError: if a name is not known, or a file is missing or not wanted; the message lists the choices.
        FileNotFoundError: if there is no such file.
    """
    chosen: dict[str, EncoderSpec | None] = dict(DEFAULT_ENCODERS)
    for part in filter(None, (part.strip() for part in text.split(","))):
        modality, _, choice = part.partition("=")
        name, _, file = choice.partition(":")
        if modality not in ENCODERS or not name:
            raise UsageError(f"encoders are given as face=NAME, voice=NAME:FILE and the like, not {part!r}")
        if name == "none":
            chosen[modality] = None
            continue
        names = ENCODERS[modality]
        if name not in names:
            raise UsageError(f"{modality} has the encoders {', '.join(names)} and none, not {name!r}")
        if (name in OWN) == bool(file):
            advice = "it has its own weights, give no file" if name in OWN else f"name its weights: {modality}={name}:FILE"
            raise UsageError(f"{part}: {advice}")
        if file and not Path(file).exists():
            raise FileNotFoundError(f"{file}: no such file, for {modality}={name}")
        chosen[modality] = EncoderSpec(modality, name, Path(file).absolute() if file else None)
    left = {modality: spec for modality in MODALITIES if (spec := chosen[modality]) is not None}
    if not left:
        raise UsageError("no encoder is left: keep at least one of face, voice and words")
    return left
