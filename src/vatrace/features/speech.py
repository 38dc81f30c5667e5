"""Speech through Whisper: the encoder's frames for the voice, and the words decoded from them, with their times."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain, groupby, pairwise
from operator import itemgetter
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from vatrace.errors import MissingExtraError
from vatrace.features.doubt import (
    MAYBE_LOOPING,
    Decoded,
    Text,
    agrees,
    compression,
    is_unsure,
    loops,
    text_of,
    without_doubtful,
)
from vatrace.features.pauses import PAUSE, Cut, cut_pauses, halves, pieces_of
from vatrace.features.recogniser import Mels, Recogniser
from vatrace.features.spoken_languages import SpokenLanguages
from vatrace.languages import AUTO, ENGLISH, name_of
from vatrace.media.reading import SAMPLING_RATE
from vatrace.media.transcripts import Word
from vatrace.media.voice_activity import Span, Spans, speech_spans
from vatrace.weights import INSTALL_LANGUAGES, find_whisper, has_languages, multilingual_whisper, onnx_session

FRAME_RATE = 50
"""Encoder frames a second."""
BLOCK_DUR = 60.0
"""Seconds of audio that are processed at once."""
MAX_WINDOW_DUR = 28.0
"""Seconds of the longest stretch that is encoded at once; Whisper accepts 30."""
LEAD_DUR = 0.5
"""Seconds kept before a stretch that continues in the next block."""

MULTILINGUAL_TYPE = "int8"
"""Precision of Whisper base's matrices. 30 files of Emo-DB and of nEMO had word error rates of 0.18 and 0.34 with float32, and
of 0.18 and 0.32 with this, in three quarters of the time."""
MIN_SPOKEN_SHARE = 0.3
"""Share of a piece of speech that words must cover; otherwise it is decoded once more, alone."""
MIN_PART_DUR = 1.0
"""Seconds of the shortest part of a repeated text that is decoded alone."""

Audio = NDArray[np.float32]


class Encoding(NamedTuple):
    """At most 30 s of audio, as the voice encoder and Whisper take it.

    Attributes:
        frames: (N, 384) output of the first layers of Whisper's encoder, 50 a second, for the voice.
        mels: (80, M) log-mel frames, 100 a second, for the words.
    """

    frames: NDArray[np.float32]
    mels: NDArray[np.float32]


@dataclass(frozen=True)
class SpeechWindow:
    """A stretch of audio that contains speech.

    Attributes:
        start: time of the first frame, in seconds.
        frames: (N, 384) frames for the voice encoder, 50 a second.
        spans: (start, end) in seconds of speech within it.
        words: the words; empty without transcription, or if nothing was understood.
        num_doubtful: number of recognised words that were left out as doubtful.
    """

    start: float
    frames: NDArray[np.float32]
    spans: Spans
    words: list[Word]
    num_doubtful: int = 0


def pack(spans: Spans, max_dur: float) -> list[Spans]:
    """Group successive spans of speech into windows at most `max_dur` seconds long."""
    groups: list[Spans] = []
    for span in spans:
        if groups and span[1] - groups[-1][0][0] <= max_dur:
            groups[-1].append(span)
        else:
            groups.append([span])
    return groups


def batches(pieces: Spans, max_dur: float) -> list[Spans]:
    """Group successive pieces of speech that are decoded together: with short pauses, at most `max_dur` seconds."""
    groups: list[Spans] = []
    total = 0.0
    for piece in pieces:
        dur = piece[1] - piece[0] + PAUSE
        if groups and total + dur <= max_dur:
            groups[-1].append(piece)
        else:
            groups.append([piece])
            total = 0.0
        total += dur
    return groups


def _excerpt(audio: Audio, span: Span) -> Audio:
    return audio[round(span[0] * SAMPLING_RATE) : round(span[1] * SAMPLING_RATE)]


class Listener:
    """Finds speech, encodes it for the voice, and transcribes it.

    Args:
        whisper: a folder with a Whisper model in CTranslate2 form; None if nothing will be transcribed. If it is
            multilingual, it recognises all languages; else it recognises English.
        threads: CPU threads.
        others: makes the files of a multilingual model for other languages; None if there is none.

    Raises:
        MissingWeightsError: if the weights can't be read.
    """

    def __init__(
        self, whisper: Path | None = None, threads: int = 1, others: Callable[[], Mapping[str, bytes]] | None = None
    ) -> None:
        from faster_whisper.feature_extractor import FeatureExtractor

        self._mel_frames = FeatureExtractor()
        self._first_layers = onnx_session("voice_frames.onnx", threads)
        self._threads, self._others = threads, others
        self._english = None if whisper is None else Recogniser(whisper, threads)

    @cached_property
    def multilingual(self) -> Recogniser | None:
        """The model for languages other than English; None if there is none."""
        if self._english is not None and self._english.is_multilingual:
            return self._english
        return None if self._others is None else Recogniser(self._others(), self._threads, MULTILINGUAL_TYPE)

    def check_knows(self, language: str) -> None:
        """Check that speech in a language can be recognised; AUTO is always possible.

        Raises:
            MissingExtraError: if it isn't English, and there is no multilingual model.
        """
        if language not in {AUTO, ENGLISH} and self.multilingual is None:
            raise MissingExtraError(f"speech in {name_of(language)} needs the extra `languages`: {INSTALL_LANGUAGES}")

    def _recogniser(self, language: str) -> Recogniser:
        found = self._english if language == ENGLISH else self.multilingual
        assert found is not None, "this Listener was made without a model for words"
        return found

    def listen(
        self, blocks: Iterable[NDArray[np.float32]], transcribe: bool = True, spoken: SpokenLanguages | None = None
    ) -> Iterator[SpeechWindow]:
        """Find speech in successive blocks (N,) of 16 kHz audio, the first at 0 s; transcribe it if asked to.

        Args:
            blocks: the audio.
            transcribe: whether to recognise words.
            spoken: finds out which languages are spoken, and keeps them; None for English.
        """
        waiting, offset = np.zeros(0, dtype=np.float32), 0.0
        for block, following in pairwise(chain(blocks, [None])):
            assert block is not None
            audio = np.concatenate([waiting, block])
            duration = len(audio) / SAMPLING_RATE
            groups = pack(self.speech_spans(audio), MAX_WINDOW_DUR)
            resume = duration
            if following is None:
                pass
            elif groups and duration - groups[-1][0][0] < MAX_WINDOW_DUR:  # the next block may continue it
                resume = groups.pop()[0][0]
            elif groups and len(groups[-1]) > 1 and duration - groups[-1][-1][1] < LEAD_DUR:  # it may be cut off
                resume = groups[-1].pop()[0]
            yield from self._hear(audio, offset, groups, spoken or SpokenLanguages(ENGLISH) if transcribe else None)
            done = groups[-1][-1][1] if groups else 0.0
            cut = round(max(done, resume - LEAD_DUR) * SAMPLING_RATE)
            waiting, offset = audio[cut:], offset + cut / SAMPLING_RATE

    def speech_spans(self, audio: NDArray[np.float32]) -> Spans:
        """The spans of speech in audio (N,), by Silero's voice activity detection: (start, end) in seconds."""
        return speech_spans(audio)

    def _hear(self, audio: Audio, offset: float, groups: list[Spans], spoken: SpokenLanguages | None) -> Iterator[SpeechWindow]:
        """The windows of groups of spans, in seconds of audio (N,), which itself starts at `offset` seconds."""
        encodings = [self.encode(_excerpt(audio, (group[0][0], group[-1][1]))) for group in groups]
        whole: dict[Span, Encoding] = {}  # pieces of speech that need no second pass of the encoder
        of_group = [pieces_of(group) for group in groups]
        for pieces, encoding in zip(of_group, encodings, strict=True):
            if len(pieces) == 1:
                whole[pieces[0]] = encoding
        texts: dict[Span, Text] = {}
        if spoken is not None:
            every = [piece for pieces in of_group for piece in pieces]
            languages = spoken.add(
                every,
                offset,
                lambda piece: self._mels(_excerpt(audio, piece)),
                lambda piece: self._sounds_english(_excerpt(audio, piece)),
            )
            for language, run in groupby(zip(languages, every, strict=True), key=itemgetter(0)):
                for batch in batches([piece for _, piece in run], MAX_WINDOW_DUR):
                    texts |= self._texts(audio, batch, whole, language)
        for group, pieces, encoding in zip(groups, of_group, encodings, strict=True):
            said = [texts[piece] for piece in pieces] if spoken else []
            words = [replace(word, start=word.start + offset, end=word.end + offset) for text in said for word in text.words]
            spans = [(start + offset, end + offset) for start, end in group]
            yield SpeechWindow(spans[0][0], encoding.frames, spans, words, sum(text.num_doubtful for text in said))

    def _texts(self, audio: Audio, pieces: Spans, whole: Mapping[Span, Encoding], language: str) -> dict[Span, Text]:
        """The words of several pieces, which are decoded together, because context helps with short ones."""
        if len(pieces) == 1:
            return {pieces[0]: self._text(audio, pieces[0], whole.get(pieces[0]), language)}
        cut = cut_pauses(audio, pieces)
        decoded = self._decode(cut.audio, language)
        found, crossed = cut.restored(decoded.guesses), cut.crossed(decoded.guesses)
        texts: dict[Span, Text] = {}
        looping = compression(text_of(decoded)) > MAYBE_LOOPING  # or somebody repeats a sentence
        for index, (piece, guesses) in enumerate(zip(pieces, found, strict=True)):
            spoken = sum(guess.word.end - guess.word.start for guess in guesses)
            if looping or index in crossed or spoken < MIN_SPOKEN_SHARE * (piece[1] - piece[0]):
                texts |= self._texts(audio, [piece], whole, language)
            else:
                texts[piece] = without_doubtful(replace(decoded, guesses=guesses))
        return texts

    def _sounds_english(self, audio: Audio) -> bool:
        """Whether the words that are recognised in audio (N,), taken for English, aren't doubtful."""
        return bool(without_doubtful(self._decode(audio, ENGLISH)).words)

    def _text(self, audio: Audio, piece: Span, encoding: Encoding | None, language: str) -> Text:
        """The words of one piece. A text that repeats itself is kept if its parts, decoded alone, have the same words."""
        decoded = self._decode_piece(_excerpt(audio, piece), piece, language, encoding.mels if encoding else None)
        said = self._repeated(audio, piece, decoded) if loops(decoded) and not is_unsure(decoded) else None
        return Text(said) if said else without_doubtful(decoded)

    def _repeated(self, audio: Audio, piece: Span, whole: Decoded) -> list[Word] | None:
        """The words of the parts of a piece that repeats itself; None if they aren't those recognised in the whole."""
        said: list[Word] = []
        for part in halves(audio, piece):
            if part[1] - part[0] < MIN_PART_DUR:
                return None
            decoded = self._decode_piece(_excerpt(audio, part), part, whole.language)
            words: list[Word] | None = [guess.word for guess in decoded.guesses]
            if words and (is_unsure(decoded) or not agrees(decoded, whole)):
                words = None
            elif compression(text_of(decoded)) > MAYBE_LOOPING:
                words = self._repeated(audio, part, decoded)
            if words is None:
                return None
            said += words
        return said

    def encode(self, audio: Audio) -> Encoding:
        """Encode audio (N,) at 16 kHz, at most 30 s."""
        num_frames = -(-len(audio) * FRAME_RATE // SAMPLING_RATE)
        mels = self._mel_frames(audio).astype(np.float32)
        even = np.pad(mels, ((0, 0), (0, 1)), mode="edge")[None, :, : 2 * num_frames]
        (frames,) = self._first_layers.run(None, {"mels": even})
        return Encoding(np.asarray(frames, np.float32), mels[:, :-1])

    def _mels(self, audio: Audio) -> Mels:
        return np.asarray(self._mel_frames(audio)[:, :-1], np.float32)

    def text(self, audio: Audio, encoding: Encoding, piece: Span, language: str = AUTO) -> Text:
        """The words of one piece of audio (N,) at 16 kHz, without doubtful ones.

        Args:
            audio: the piece.
            encoding: of the piece.
            piece: its start and end in seconds; the words' times stay within it.
            language: the code of the language that is spoken, or AUTO to find out, if there is a multilingual model.
        """
        if language == AUTO and self.multilingual is None:
            language = ENGLISH
        elif language == AUTO:
            found = SpokenLanguages(AUTO, self.multilingual)
            (language,) = found.add([piece], 0.0, lambda piece: encoding.mels, lambda piece: self._sounds_english(audio))
        return without_doubtful(self._decode_piece(audio, piece, language, encoding.mels))

    def _decode_piece(self, audio: Audio, piece: Span, language: str, mels: Mels | None = None) -> Decoded:
        """Everything that Whisper recognises in one piece of audio (N,), with times within it; `mels`: its frames."""
        decoded = self._decode(audio, language, mels)
        (guesses,) = Cut(np.zeros(0, np.float32), [piece]).restored(decoded.guesses)
        return replace(decoded, guesses=guesses)

    def _decode(self, audio: Audio, language: str, mels: Mels | None = None) -> Decoded:
        """Everything that Whisper recognises in audio (N,), with times from its start."""
        recogniser = self._recogniser(language)
        mels = self._mels(audio) if mels is None else mels
        return recogniser.decode(mels if recogniser.takes(mels) else recogniser.mels(audio), language)


def open_listener(whisper: str | Path | None, threads: int) -> Listener:
    """A listener with the models that are installed.

    Args:
        whisper: as in `vatrace.weights.find_whisper`.
        threads: CPU threads.

    Raises:
        MissingWeightsError: if Whisper's weights are missing or can't be read.
    """
    return Listener(find_whisper(whisper), threads, multilingual_whisper if has_languages() else None)
