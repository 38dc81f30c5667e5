"""Speech through Whisper: the encoder's frames for the voice, and the words decoded from them, with their times."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import chain, pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from vatrace.accelerator import whisper_device
from vatrace.encoders import ENCODERS
from vatrace.errors import MissingWeightsError
from vatrace.features.doubt import (
    MAYBE_LOOPING,
    Decoded,
    Guess,
    Text,
    agrees,
    compression,
    is_unsure,
    loops,
    text_of,
    without_doubtful,
)
from vatrace.features.pauses import PAUSE, Cut, cut_pauses, halves, pieces_of
from vatrace.media.reading import SAMPLING_RATE
from vatrace.media.transcripts import Word
from vatrace.media.voice_activity import Span, Spans, speech_spans
from vatrace.weights import onnx_session

FRAME_RATE = 50
"""Encoder frames a second."""
BLOCK_DUR = 60.0
"""Seconds of audio that are processed at once."""
MAX_WINDOW_DUR = 28.0
"""Seconds of the longest stretch that is encoded at once; Whisper accepts 30."""
LEAD_DUR = 0.5
"""Seconds kept before a stretch that continues in the next block."""

BEAM_SIZE = 5
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
    """Finds and transcribes speech.

    Args:
        folder: Whisper tiny.en in CTranslate2 form.
        threads: CPU threads.

    Raises:
        MissingWeightsError: if the weights can't be read, or are not those of Whisper tiny.en.
    """

    def __init__(self, folder: Path, threads: int = 1) -> None:
        from faster_whisper import WhisperModel
        from faster_whisper.tokenizer import Tokenizer
        from faster_whisper.transcribe import get_suppressed_tokens

        try:
            self._whisper: Any = WhisperModel(str(folder), **whisper_device(), compute_type="float32", cpu_threads=threads)
        except (RuntimeError, ValueError) as error:
            raise MissingWeightsError(f"{folder}: CTranslate2 can't read this Whisper model ({error})") from error
        width = np.array(self._whisper.encode(np.zeros((self._whisper.model.n_mels, 100), np.float32))).shape[-1]
        if self._whisper.model.is_multilingual or width != ENCODERS["whisper"].dim:
            raise MissingWeightsError(f"{folder}: the voice model needs Whisper tiny.en, but this is another model")
        self._tokenizer = Tokenizer(self._whisper.hf_tokenizer, multilingual=False)
        self._suppressed = get_suppressed_tokens(self._tokenizer, [-1])
        self._first_layers = onnx_session("voice_frames.onnx", threads)

    def listen(self, blocks: Iterable[NDArray[np.float32]], transcribe: bool = True) -> Iterator[SpeechWindow]:
        """Find speech in successive blocks (N,) of 16 kHz audio, the first at 0 s; transcribe it if asked to."""
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
            yield from self._hear(audio, offset, groups, transcribe)
            done = groups[-1][-1][1] if groups else 0.0
            cut = round(max(done, resume - LEAD_DUR) * SAMPLING_RATE)
            waiting, offset = audio[cut:], offset + cut / SAMPLING_RATE

    def speech_spans(self, audio: NDArray[np.float32]) -> Spans:
        """The spans of speech in audio (N,), by Silero's voice activity detection: (start, end) in seconds."""
        return speech_spans(audio)

    def _hear(self, audio: Audio, offset: float, groups: list[Spans], transcribe: bool) -> Iterator[SpeechWindow]:
        """The windows of groups of spans, in seconds of audio (N,), which itself starts at `offset` seconds."""
        encodings = [self.encode(_excerpt(audio, (group[0][0], group[-1][1]))) for group in groups]
        whole: dict[Span, Encoding] = {}  # pieces of speech that need no second pass of the encoder
        of_group = [pieces_of(group) for group in groups]
        for pieces, encoding in zip(of_group, encodings, strict=True):
            if len(pieces) == 1:
                whole[pieces[0]] = encoding
        texts: dict[Span, Text] = {}
        if transcribe:
            for batch in batches([piece for pieces in of_group for piece in pieces], MAX_WINDOW_DUR):
                texts |= self._texts(audio, batch, whole)
        for group, pieces, encoding in zip(groups, of_group, encodings, strict=True):
            said = [texts[piece] for piece in pieces] if transcribe else []
            words = [replace(word, start=word.start + offset, end=word.end + offset) for text in said for word in text.words]
            spans = [(start + offset, end + offset) for start, end in group]
            yield SpeechWindow(spans[0][0], encoding.frames, spans, words, sum(text.num_doubtful for text in said))

    def _texts(self, audio: Audio, pieces: Spans, whole: Mapping[Span, Encoding]) -> dict[Span, Text]:
        """The words of several pieces, which are decoded together, because context helps with short ones."""
        if len(pieces) == 1:
            return {pieces[0]: self._text(audio, pieces[0], whole.get(pieces[0]))}
        cut = cut_pauses(audio, pieces)
        decoded = self._decode(self._mels(cut.audio))
        found, crossed = cut.restored(decoded.guesses), cut.crossed(decoded.guesses)
        texts: dict[Span, Text] = {}
        looping = compression(text_of(decoded)) > MAYBE_LOOPING  # or somebody repeats a sentence
        for index, (piece, guesses) in enumerate(zip(pieces, found, strict=True)):
            spoken = sum(guess.word.end - guess.word.start for guess in guesses)
            if looping or index in crossed or spoken < MIN_SPOKEN_SHARE * (piece[1] - piece[0]):
                texts |= self._texts(audio, [piece], whole)
            else:
                texts[piece] = without_doubtful(replace(decoded, guesses=guesses))
        return texts

    def _text(self, audio: Audio, piece: Span, encoding: Encoding | None) -> Text:
        """The words of one piece. A text that repeats itself is kept if its parts, decoded alone, have the same words."""
        mels = encoding.mels if encoding else self._mels(_excerpt(audio, piece))
        decoded = self._decode_piece(mels, piece)
        said = self._repeated(audio, piece, decoded) if loops(decoded) and not is_unsure(decoded) else None
        return Text(said) if said else without_doubtful(decoded)

    def _repeated(self, audio: Audio, piece: Span, whole: Decoded) -> list[Word] | None:
        """The words of the parts of a piece that repeats itself; None if they aren't those recognised in the whole."""
        said: list[Word] = []
        for part in halves(audio, piece):
            if part[1] - part[0] < MIN_PART_DUR:
                return None
            decoded = self._decode_piece(self._mels(_excerpt(audio, part)), part)
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
        mels = self._whisper.feature_extractor(audio).astype(np.float32)
        even = np.pad(mels, ((0, 0), (0, 1)), mode="edge")[None, :, : 2 * num_frames]
        (frames,) = self._first_layers.run(None, {"mels": even})
        return Encoding(np.asarray(frames, np.float32), mels[:, :-1])

    def _mels(self, audio: Audio) -> NDArray[np.float32]:
        return np.asarray(self._whisper.feature_extractor(audio)[:, :-1], np.float32)

    def text(self, encoding: Encoding, piece: Span) -> Text:
        """The words of one piece of audio, without doubtful ones.

        Args:
            encoding: of the piece.
            piece: its start and end in seconds; the words' times stay within it.
        """
        return without_doubtful(self._decode_piece(encoding.mels, piece))

    def _decode_piece(self, mels: NDArray[np.float32], piece: Span) -> Decoded:
        """Everything that Whisper recognises in the log-mel frames (80, M) of one piece, with times within it."""
        decoded = self._decode(mels)
        (guesses,) = Cut(np.zeros(0, np.float32), [piece]).restored(decoded.guesses)
        return replace(decoded, guesses=guesses)

    def _decode(self, mels: NDArray[np.float32]) -> Decoded:
        """Everything that Whisper recognises in log-mel frames (80, M), with times from the start of the audio."""
        from faster_whisper.audio import pad_or_trim
        from faster_whisper.transcribe import merge_punctuations

        encoded = self._whisper.encode(pad_or_trim(mels))
        prompt = self._whisper.get_prompt(self._tokenizer, [], without_timestamps=True)
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
            return Decoded([], 0.0, 1.0)
        (alignment,) = self._whisper.find_alignment(self._tokenizer, [tokens], encoded, mels.shape[-1])
        merge_punctuations(alignment, "\"'“¿([{-", "\"'.。,，!！?？:：”)]}、")
        guesses = [
            Guess(Word(word["word"].strip(), float(word["start"]), float(word["end"])), float(word["probability"]))
            for word in alignment
            if word["word"].strip()
        ]
        return Decoded(guesses, float(result.scores[0]), float(result.no_speech_prob))
