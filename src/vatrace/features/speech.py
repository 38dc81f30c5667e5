"""Speech through one pass of Whisper's encoder: its frames for the voice, and from them the words with their times."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vatrace.encoders import ENCODERS
from vatrace.errors import MissingWeightsError
from vatrace.media.reading import SAMPLING_RATE
from vatrace.media.transcripts import Word
from vatrace.media.voice_activity import Spans, speech_spans

FRAME_RATE = 50
"""Encoder frames a second."""
BLOCK_DUR = 60.0
"""Seconds of audio that are processed at once."""
MAX_WINDOW_DUR = 28.0
"""Seconds of the longest stretch that is encoded at once; Whisper takes 30."""
LEAD_DUR = 0.5
"""Seconds kept before a stretch that continues in the next block."""

BEAM_SIZE = 5
MAX_COMPRESSION_RATIO, MIN_LOG_PROBABILITY, MAX_NO_SPEECH = 2.4, -1.0, 0.6
"""Whisper's own thresholds (Radford et al. 2022, arXiv 2212.04356, §4.5): text that loops, or is uncertain where no speech
is heard, is discarded."""


@dataclass(frozen=True)
class SpeechWindow:
    """A stretch of audio that contains speech.

    Attributes:
        start: time of the first frame, in seconds.
        frames: (N, 384) encoder frames, 50 a second.
        spans: (start, end) in seconds of speech within it.
        words: what is said; empty if no transcription was asked for, or nothing was understood.
    """

    start: float
    frames: NDArray[np.float32]
    spans: Spans
    words: list[Word]


def pack(spans: Spans, max_dur: float) -> list[Spans]:
    """Group successive spans of speech into windows at most `max_dur` seconds long."""
    groups: list[Spans] = []
    for span in spans:
        if groups and span[1] - groups[-1][0][0] <= max_dur:
            groups[-1].append(span)
        else:
            groups.append([span])
    return groups


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
            self._whisper: Any = WhisperModel(str(folder), device="cpu", compute_type="float32", cpu_threads=threads)
        except (RuntimeError, ValueError) as error:
            raise MissingWeightsError(f"{folder}: CTranslate2 can't read this Whisper ({error})") from error
        width = np.array(self._whisper.encode(np.zeros((self._whisper.model.n_mels, 100), np.float32))).shape[-1]
        if self._whisper.model.is_multilingual or width != ENCODERS["whisper"].dim:
            raise MissingWeightsError(f"{folder}: the voice model needs Whisper tiny.en, this is another one")
        self._tokenizer = Tokenizer(self._whisper.hf_tokenizer, multilingual=False)
        self._suppressed = get_suppressed_tokens(self._tokenizer, [-1])

    def listen(self, blocks: Iterable[NDArray[np.float32]], transcribe: bool = True) -> Iterator[SpeechWindow]:
        """Find speech in successive blocks (N,) of 16 kHz audio, the first at 0 s; transcribe it if asked to."""
        waiting, offset = np.zeros(0, dtype=np.float32), 0.0
        for block in blocks:
            audio = np.concatenate([waiting, block])
            duration = len(audio) / SAMPLING_RATE
            groups = pack(self.speech_spans(audio), MAX_WINDOW_DUR)
            resume = duration
            if groups and duration - groups[-1][0][0] < MAX_WINDOW_DUR:  # the next block may continue it
                resume = groups.pop()[0][0]
            elif groups and len(groups[-1]) > 1 and duration - groups[-1][-1][1] < LEAD_DUR:  # it may be cut off
                resume = groups[-1].pop()[0]
            yield from (self._hear(audio, offset, group, transcribe) for group in groups)
            done = groups[-1][-1][1] if groups else 0.0
            cut = round(max(done, resume - LEAD_DUR) * SAMPLING_RATE)
            waiting, offset = audio[cut:], offset + cut / SAMPLING_RATE
        yield from (
            self._hear(waiting, offset, group, transcribe) for group in pack(self.speech_spans(waiting), MAX_WINDOW_DUR)
        )

    def speech_spans(self, audio: NDArray[np.float32]) -> Spans:
        """The spans of speech in audio (N,), by Silero's voice activity detection: (start, end) in seconds."""
        return speech_spans(audio)

    def _hear(self, audio: NDArray[np.float32], offset: float, spans: Spans, transcribe: bool) -> SpeechWindow:
        start, end = spans[0][0], spans[-1][1]
        frames, encoded, num_mels = self.encode(audio[round(start * SAMPLING_RATE) : round(end * SAMPLING_RATE)])
        start += offset
        words = self.words(encoded, num_mels, start) if transcribe else []
        return SpeechWindow(start, frames, [(a + offset, b + offset) for a, b in spans], words)

    def encode(self, audio: NDArray[np.float32]) -> tuple[NDArray[np.float32], Any, int]:
        """Encode at most 30 s.

        Args:
            audio: (N,) 16 kHz.

        Returns:
            Frames (N / 320, 384); the encoder's whole output, for decoding; and the number of mel frames that contain audio.
        """
        from faster_whisper.audio import pad_or_trim

        mels = self._whisper.feature_extractor(audio)[..., :-1]
        encoded = self._whisper.encode(pad_or_trim(mels))
        num_frames = -(-len(audio) * FRAME_RATE // SAMPLING_RATE)
        return np.array(encoded)[0, :num_frames].astype(np.float32), encoded, mels.shape[-1]

    def words(self, encoded: Any, num_mels: int, start: float) -> list[Word]:
        """The words in a stretch of audio that begins at `start` seconds, from what `encode` returned for it."""
        from faster_whisper.transcribe import merge_punctuations

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
        text = self._tokenizer.decode(tokens).strip().encode()
        looping = len(text) / max(len(zlib.compress(text)), 1) > MAX_COMPRESSION_RATIO
        unheard = result.no_speech_prob > MAX_NO_SPEECH and result.scores[0] < MIN_LOG_PROBABILITY
        if not text or looping or unheard:
            return []
        (alignment,) = self._whisper.find_alignment(self._tokenizer, [tokens], encoded, num_mels)
        merge_punctuations(alignment, "\"'“¿([{-", "\"'.。,，!！?？:：”)]}、")
        return [
            Word(word["word"].strip(), start + float(word["start"]), start + float(word["end"]))
            for word in alignment
            if word["word"].strip()
        ]
