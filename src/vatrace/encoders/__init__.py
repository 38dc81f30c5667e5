"""Encoders turn face crops, voice and words into feature vectors.

`ENCODERS` lists the package's own encoders and those for the user's files. A class from outside is named
`package.module:Class`; docs/encoders.md explains how to write one.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from vatrace.errors import MissingWeightsError, PluginError, UsageError
from vatrace.files import sha256
from vatrace.languages import ENGLISH, LANGUAGES
from vatrace.names import MODALITIES
from vatrace.plugins import is_plugin, load_class
from vatrace.weights import has_e5, package_file

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class FaceEncoder(Protocol):
    """Turns aligned face crops into vectors.

    Attributes:
        dim: channels D of the vectors.
        crop_size: side S of the crops in pixels; 48 for the package's own encoder.
    """

    dim: int
    crop_size: int

    def __call__(self, crops: NDArray[np.uint8], /) -> NDArray[np.float32]:
        """Encode crops (N, S, S, 3), RGB, values 0..255, N >= 1.

        Returns:
            Vectors (N, D) float32. A crop's vector must not depend on the other crops.
        """


@runtime_checkable
class ExpressionEncoder(Protocol):
    """A face encoder that also knows the probabilities of `vatrace.encoders.face.EXPRESSIONS`."""

    def with_expressions(self, crops: NDArray[np.uint8], /) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Encode crops as `FaceEncoder` does -> vectors (N, D), probabilities (N, 8)."""


class SpeechEncoder(Protocol):
    """Turns Whisper's frames of a stretch of speech into vectors. A voice encoder without `steps` is of this kind.

    Attributes:
        dim: channels D of its vectors.
    """

    dim: int

    def __call__(self, frames: NDArray[np.float32], /) -> NDArray[np.float32]:
        """Encode frames (N, 384) of Whisper tiny.en's encoder, 50 a second, N >= 1.

        Returns:
            Vectors (N, D) float32, one for each frame.
        """


class VoiceEncoder(Protocol):
    """Turns audio into vectors. A voice encoder is of this kind if its class has `steps`.

    Attributes:
        dim: channels D of its vectors.
    """

    dim: int

    def steps(self, blocks: Iterable[NDArray[np.float32]], rate: float, /) -> Iterator[tuple[int, NDArray[np.float32]]]:
        """Encode a whole recording onto the grid, in memory that doesn't grow with its length.

        Args:
            blocks: successive parts (N,) of 16 kHz mono audio in -1..1, of any lengths; the first starts at 0 s.
            rate: grid steps a second; step i is at i / rate seconds.

        Yields:
            The first step, and vectors (n, D) float32 for it and the following steps, in ascending order. Steps that are left
            out count as steps without voice.
        """


class WordEncoder(Protocol):
    """Turns words into vectors.

    Attributes:
        dim: channels D of its vectors.
    """

    dim: int

    def __call__(self, words: Sequence[str], /) -> NDArray[np.float32]:
        """Encode the words of one sentence, at least one, with their punctuation.

        Returns:
            Vectors (num_words, D) float32.
        """


@dataclass(frozen=True)
class EncoderEntry:
    """An entry in the table of encoders.

    Attributes:
        modality: face, voice or words.
        target: the class, as `package.module:Class`; it is called with (path, threads), and imported when it is needed.
        dim: channels of the vectors; None if known only after it is built.
        file: name of the package's own weights; None if the user names a file.
        languages: codes of the languages that an encoder of words understands; None if any may do.
    """

    modality: str
    target: str
    dim: int | None = None
    file: str | None = None
    languages: frozenset[str] | None = None


E5_LANGUAGES = frozenset(LANGUAGES) - {
    *("ba", "bo", "fo", "haw", "ht", "lb", "ln", "mi", "mt", "nn", "oc", "sn", "tg", "tk", "tt", "yo", "yue")
}
"""The languages that XLM-RoBERTa, and therefore multilingual-E5, was trained on (Conneau et al. 2020, arXiv 1911.02116)."""

ENCODERS = {
    "ferplus": EncoderEntry("face", "vatrace.encoders.face:FerPlusEncoder", 128, "face.onnx"),
    "ir50": EncoderEntry("face", "vatrace.encoders.ir50:IR50Encoder", 512),
    "onnx": EncoderEntry("face", "vatrace.encoders.onnx:OnnxFaceEncoder"),
    "ravdess": EncoderEntry("voice", "vatrace.encoders.voice:RavdessEncoder", 128, "voice.onnx"),
    "whisper": EncoderEntry("voice", "vatrace.encoders.voice:WhisperFrames", 384, "voice_frames.onnx"),
    "vggish": EncoderEntry("voice", "vatrace.encoders.vggish:VGGishEncoder", 128),
    "hf": EncoderEntry("voice", "vatrace.encoders.transformers:TransformersVoiceEncoder"),
    "minilm": EncoderEntry("words", "vatrace.encoders.words:MiniLMEncoder", 384, "words.onnx", frozenset({ENGLISH})),
    "e5": EncoderEntry("words", "vatrace.encoders.e5:E5Encoder", 384, "words_e5.npz", E5_LANGUAGES),
    "bert": EncoderEntry("words", "vatrace.encoders.bert:BertEncoder"),
}
"""All encoders by name. The first of each modality is the package's own, used by default."""

PROTOCOLS: dict[str, type] = {"face": FaceEncoder, "voice": SpeechEncoder, "words": WordEncoder}
"""The protocol of each modality's encoders; a voice encoder with `steps` must be a `VoiceEncoder` instead."""


@dataclass(frozen=True)
class EncoderSpec:
    """Which encoder makes the features of one modality.

    Attributes:
        modality: face, voice or words.
        name: one of `ENCODERS`, or `package.module:Class` for a class from outside.
        path: its weights; None for the package's own, or for a class without a file.
    """

    modality: str
    name: str
    path: Path | None = None

    def build(self, threads: int) -> Any:
        """Load the encoder, an object with the protocol of its modality.

        Args:
            threads: number of CPU threads.

        Raises:
            CheckpointError: if its weights can't be read or don't fit.
            MissingExtraError: if it needs a library that is not installed.
            PluginError: if a class from outside can't be imported or doesn't fit the protocol.
        """
        encoder = self.find_class()(self.path, threads)
        for name in ("dim", "crop_size") if self.modality == "face" else ("dim",):
            value = getattr(encoder, name, None)
            if not isinstance(value, int) or value < 1:
                raise PluginError(f"{self.name}: its `{name}` must be a whole number of at least 1, not {value!r}")
        return encoder

    def find_class(self) -> type:
        """Import the class; one from outside is checked against the protocol of its modality.

        Raises:
            PluginError: if a class from outside can't be imported or doesn't fit; the message lists the missing parts.
        """
        target = self._entry.target
        if self.name in ENCODERS:
            if self._entry.file is None and self.path is None:
                raise ValueError(f"the encoder {self.name} has no weights of its own: path must name them")
            module, _, name = target.partition(":")
            return getattr(import_module(module), name)
        found = load_class(target, object)
        takes_audio = self.modality == "voice" and hasattr(found, "steps")
        load_class(target, VoiceEncoder if takes_audio else PROTOCOLS[self.modality])
        try:
            inspect.signature(found).bind(self.path, 1)
        except TypeError as error:
            raise PluginError(f"{target}: must be constructed with (path, threads): {error}") from error
        return found

    @cached_property
    def dim(self) -> int:
        """Channels of the vectors; builds the encoder if the table doesn't list them."""
        return self._entry.dim or int(self.build(threads=1).dim)

    @property
    def on_whisper(self) -> bool:
        """Whether it is a voice encoder that takes Whisper's frames instead of audio."""
        return self.modality == "voice" and not hasattr(self.find_class(), "steps")

    def understands(self, language: str | None) -> bool:
        """Whether an encoder of words understands a language, by its code; None for English."""
        return self._entry.languages is None or (language or ENGLISH) in self._entry.languages

    def for_language(self, language: str | None) -> EncoderSpec | None:
        """The encoder of words in a language, by its code; None for English.

        Returns:
            This one if it understands the language; `foreign` if that one does; otherwise None.
        """
        return next((spec for spec in (self, self.foreign) if spec is not None and spec.understands(language)), None)

    @property
    def foreign(self) -> EncoderSpec | None:
        """E5 for the package's own encoder of English words, if the extra `languages` is installed; otherwise None."""
        return EncoderSpec("words", "e5") if self == DEFAULT_ENCODERS["words"] and has_e5() else None

    @cached_property
    def version(self) -> str:
        """The name, and the start of the SHA-256 of the weights, or of the source file of a class without weights."""
        return f"{self.name}-{sha256(*self._files())[:12]}"

    @property
    def _entry(self) -> EncoderEntry:
        return ENCODERS.get(self.name) or EncoderEntry(self.modality, self.name)

    def _files(self) -> list[Path]:
        """The files from which the version is computed."""
        if self.path is None and self._entry.file is not None:
            return [package_file(self._entry.file)]
        found: Any = self.find_class()
        if self.path is None:
            return [_source(self.name, found)]
        if hasattr(found, "weight_files"):
            return list(found.weight_files(self.path))
        return sorted(file for file in self.path.iterdir() if file.is_file()) if self.path.is_dir() else [self.path]


def _source(name: str, found: type) -> Path:
    try:
        return Path(inspect.getfile(found))
    except (TypeError, OSError) as error:
        raise PluginError(f"{name}: its source file can't be found; define the class in a module") from error


DEFAULT_ENCODERS = {
    modality: EncoderSpec(modality, next(name for name, entry in ENCODERS.items() if entry.modality == modality))
    for modality in MODALITIES
}
"""The package's own encoders, by modality."""
FEATURE_DIMS = {modality: spec.dim for modality, spec in DEFAULT_ENCODERS.items()}
"""Channels of the package's own encoders, by modality."""


def own_encoder(modality: str, version: str) -> EncoderSpec | None:
    """The package's own encoder of this version, or None. Nothing from outside the package is imported."""
    names = [name for name, entry in ENCODERS.items() if entry.modality == modality and entry.file is not None]
    return next((spec for name in names if (spec := EncoderSpec(modality, name)).version == version), None)


def parse_encoders(text: str) -> dict[str, EncoderSpec]:
    """Read a choice of encoders such as `face=ir50:res50_ir_0.887.pth,voice=none`.

    Args:
        text: MODALITY=NAME or MODALITY=NAME:FILE, separated by commas. NAME is one of `ENCODERS`, or `package.module:Class`,
            which is imported. Other modalities keep the package's own encoder; `none` leaves one out.

    Returns:
        The encoders by modality, in the order of `MODALITIES`.

    Raises:
        UsageError: if a name is unknown, or a file is not named or not allowed; the message lists the choices.
        MissingWeightsError: if a file does not exist.
        PluginError: if a class from outside can't be imported or doesn't fit the protocol.
    """
    chosen: dict[str, EncoderSpec | None] = dict(DEFAULT_ENCODERS)
    for part in filter(None, (part.strip() for part in text.split(","))):
        modality, _, choice = part.partition("=")
        if modality not in chosen or not choice:
            raise UsageError(f"encoders are given as face=NAME, voice=NAME:FILE and the like, not {part!r}")
        chosen[modality] = None if choice == "none" else _parse_encoder(modality, choice)
    kept = {modality: spec for modality, spec in chosen.items() if spec is not None}
    if not kept:
        raise UsageError("no encoder is left: keep at least one of face, voice and words")
    return kept


def _parse_encoder(modality: str, choice: str) -> EncoderSpec:
    """Read NAME, NAME:FILE, package.module:Class or package.module:Class:FILE."""
    name, _, file = choice.partition(":")
    entry = ENCODERS.get(name)
    if entry is None:
        attribute, _, file = file.partition(":")
        name = f"{name}:{attribute}"
    fits = is_plugin(name) if entry is None else entry.modality == modality
    if not fits:
        names = ", ".join(name for name, entry in ENCODERS.items() if entry.modality == modality)
        raise UsageError(f"{modality} has the encoders {names}, package.module:Class and none, not {choice!r}")
    if entry is not None and (entry.file is None) != bool(file):
        advice = "it has its own weights: give no file" if file else f"name its weights: {modality}={name}:FILE"
        raise UsageError(f"{modality}={choice}: {advice}")
    if file and not Path(file).exists():
        raise MissingWeightsError(f"{file}: no such file, for {modality}={name}")
    spec = EncoderSpec(modality, name, Path(file).absolute() if file else None)
    if entry is None:
        spec.find_class()
    return spec
