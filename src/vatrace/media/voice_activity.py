"""Voice activity detection with Silero VAD, which faster-whisper contains."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

RATE = 16_000
"""Hz of the audio it needs."""
MAX_SPEECH_DUR = 27.0
"""Seconds of the longest span; longer speech is split. Whisper takes 30."""
VAD = {"min_silence_duration_ms": 500, "speech_pad_ms": 200, "max_speech_duration_s": MAX_SPEECH_DUR}

Span = tuple[float, float]
"""Start and end in seconds."""
Spans = list[Span]

CHUNK = 512
"""Samples that each of its probabilities is about."""
MIN_PEAK = 1e-4
"""Audio that never exceeds this (-80 dBFS) is silence: in 16 bits, it is little more than rounding errors."""


def speech_spans(audio: NDArray[np.float32]) -> Spans:
    """The spans of speech in audio (N,) at 16 kHz, each with up to 0.2 s before and after it."""
    from faster_whisper.vad import VadOptions, get_speech_timestamps

    found = get_speech_timestamps(audio, VadOptions(**VAD)) if len(audio) else []
    return [(span["start"] / RATE, span["end"] / RATE) for span in found]


def speech_mask(audio: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Whether each sample of audio (N,) belongs to speech, regardless of the level."""
    peak = float(np.abs(audio).max(initial=0.0))
    mask = np.zeros(len(audio), bool)
    if peak < MIN_PEAK:
        return mask
    for start, end in speech_spans(audio * np.float32(0.5 / peak)):
        mask[round(start * RATE) : round(end * RATE)] = True
    return mask


def speech_probabilities(audio: NDArray[np.float32]) -> NDArray[np.float32]:
    """The probability, 0..1, that somebody speaks in each `CHUNK` samples of audio (N,) at 16 kHz, (N // CHUNK + 1,)."""
    from faster_whisper.vad import get_vad_model

    return np.asarray(get_vad_model()(np.pad(audio, (0, CHUNK - len(audio) % CHUNK))), np.float32).ravel()
