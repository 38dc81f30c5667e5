"""Pitch, loudness, speech rate and pauses of a voice. Pitch is measured by Praat (`praat-parselmouth`, extra `prosody`)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from vatrace.media.mixing import TARGET_LEVEL
from vatrace.media.reading import SAMPLING_RATE
from vatrace.media.transcripts import Word
from vatrace.timeline import steps_at

PROSODY = ("voice_pitch", "voice_loudness", "speech_rate", "pause")
"""The columns."""
LOWEST, HIGHEST = 75.0, 600.0
"""Hz between which pitch is searched for: Praat's own range."""
PITCH_STEP, MIN_VOICED = 0.01, 0.5
"""Seconds from one measurement of the pitch to the next, and share of those in a row that must be voiced."""
SEMITONE_ZERO = 100.0
"""Hz of 0 semitones, as in Praat."""
QUIETEST = -60.0
"""dB below the recording's speech at which the loudness ends, so that digital silence has one."""
RATE_DUR = 5.0
"""Seconds over which words are counted for the speech rate: one or two sentences."""
SHORTEST_PAUSE, LONGEST_PAUSE = 0.25, 2.0
"""Seconds of silence within one person's speech that are a pause. Shorter ones also occur within words, in front of plosives
(Goldman-Eisler 1968); longer ones are the end of what somebody says."""


def pitch_and_loudness(blocks: Iterable[NDArray[np.float32]], rate: float, num_steps: int) -> NDArray[np.float64]:
    """Measure all audio of a recording.

    Args:
        blocks: audio (N,), 16 kHz, one after the other from 0 s, with the speech at TARGET_LEVEL.
        rate: steps a second.
        num_steps: T.

    Returns:
        (T, 2) The median pitch in semitones above SEMITONE_ZERO, NaN where less than MIN_VOICED of a step is voiced; and the
        loudness in dB, relative to the mean of the recording's speech.
    """
    from parselmouth import Sound

    pitches: list[NDArray[np.float64]] = []
    power, count, first = np.zeros(num_steps), np.zeros(num_steps), 0
    for block in blocks:
        places = np.clip(steps_at((first + np.arange(len(block))) / SAMPLING_RATE, rate), 0, num_steps - 1)
        power += np.bincount(places, np.square(block, dtype=np.float64), num_steps)
        count += np.bincount(places, minlength=num_steps)
        if len(block) > 4 * SAMPLING_RATE / LOWEST:  # Praat needs three periods
            found = Sound(block.astype(np.float64), SAMPLING_RATE).to_pitch_ac(PITCH_STEP, LOWEST, pitch_ceiling=HIGHEST)
            pitches.append(np.stack([found.xs() + first / SAMPLING_RATE, found.selected_array["frequency"]]))
        first += len(block)
    level = 10 * np.log10(np.maximum(power / np.maximum(count, 1), 1e-20)) - TARGET_LEVEL
    loudness = np.where(count > 0, np.maximum(level, QUIETEST), np.nan)
    times, hertz = np.concatenate(pitches, axis=1) if pitches else np.zeros((2, 0))
    return np.stack([_medians(steps_at(times, rate), hertz, num_steps), loudness], axis=-1)


def _medians(steps: NDArray[np.int64], hertz: NDArray[np.float64], num_steps: int) -> NDArray[np.float64]:
    """The median pitch (T,) of each step in semitones, from frequencies (F,) of which 0 means unvoiced."""
    found = np.full(num_steps, np.nan)
    edges = np.searchsorted(steps, np.arange(num_steps + 1))
    for step, (start, end) in enumerate(pairwise(edges.tolist())):
        voiced = hertz[start:end][hertz[start:end] > 0]
        if len(voiced) and len(voiced) >= MIN_VOICED * (end - start):
            found[step] = 12 * np.log2(np.median(voiced) / SEMITONE_ZERO)
    return found


def speech_rate(words: Sequence[Word], speech: NDArray[np.bool_], rate: float) -> NDArray[np.float64]:
    """Words a second of speech (T,) within RATE_DUR around each step with speech; NaN elsewhere.

    Args:
        words: the person's.
        speech: (T,) where the person speaks.
        rate: steps a second.
    """
    spoken = np.zeros(len(speech))
    for word in words:
        spoken[int(np.clip(steps_at(np.array((word.start + word.end) / 2), rate), 0, len(speech) - 1))] += 1
    half = max(1, round(RATE_DUR * rate / 2))
    window = np.ones(2 * half + 1)
    numbers, seconds = (np.convolve(values, window)[half : half + len(speech)] for values in (spoken, speech / rate))
    return np.where(speech, numbers / np.maximum(seconds, 1 / rate), np.nan)


def pauses(speech: NDArray[np.bool_], others: NDArray[np.bool_], rate: float) -> NDArray[np.float64]:
    """1 where a person pauses (T,): silence from SHORTEST_PAUSE to LONGEST_PAUSE between two parts of their speech, else 0.

    Args:
        speech: (T,) where the person speaks.
        others: (T,) where somebody else does.
        rate: steps a second.
    """
    found = np.zeros(len(speech))
    edges = np.flatnonzero(np.diff(speech.astype(int), prepend=0, append=0)).reshape(-1, 2)
    for (_, end), (start, _) in pairwise(edges.tolist()):
        lasts = SHORTEST_PAUSE <= (start - end) / rate <= LONGEST_PAUSE
        found[end:start] = float(lasts and not others[end:start].any())
    return found
