"""Pitch, loudness, speech rate and pauses, of sounds that were made with known ones."""

import numpy as np
import pytest
from numpy.typing import NDArray

from vatrace.features.prosody import pauses, pitch_and_loudness, speech_rate
from vatrace.media.mixing import TARGET_LEVEL
from vatrace.media.reading import SAMPLING_RATE
from vatrace.media.transcripts import Word

pytest.importorskip("parselmouth")


def voice(hertz: NDArray[np.float64]) -> NDArray[np.float32]:
    """A sound with ten harmonics, whose pitch at each sample is given, with the level of usual speech."""
    phase = 2 * np.pi * np.cumsum(hertz) / SAMPLING_RATE
    sound = np.sum([np.sin(number * phase) / number for number in range(1, 11)], axis=0)
    return np.asarray(sound / np.sqrt(np.mean(sound**2)) * 10 ** (TARGET_LEVEL / 20), np.float32)


def test_a_pitch_that_rises_an_octave_is_measured_in_semitones() -> None:
    times = np.arange(4 * SAMPLING_RATE) / SAMPLING_RATE
    sound = voice(110 * 2 ** (times / 4))
    found = pitch_and_loudness(np.split(sound, [SAMPLING_RATE + 77, 3 * SAMPLING_RATE]), 10.0, 40)[:, 0]
    expected = 12 * np.log2(1.1) + 12 * (np.arange(40) + 0.5) / 40
    known = ~np.isnan(found)
    assert known.sum() >= 37  # but perhaps not at the edges of blocks
    np.testing.assert_allclose(found[known], expected[known], atol=0.15)


def test_loudness_is_relative_to_speech_and_silence_and_noise_have_no_pitch() -> None:
    sound = voice(np.full(SAMPLING_RATE, 200.0))
    noise = np.random.default_rng(0).normal(0, 0.02, SAMPLING_RATE).astype(np.float32)
    found = pitch_and_loudness([sound, sound / 2, np.zeros_like(sound), noise], 10.0, 45)
    pitch, loudness = found.T
    np.testing.assert_allclose(loudness[:10], 0, atol=0.2)
    np.testing.assert_allclose(loudness[10:20], -6.02, atol=0.2)
    assert (loudness[20:30] == -60).all() and np.isnan(loudness[40:]).all()
    np.testing.assert_allclose(pitch[:20], 12, atol=0.05)
    assert np.isnan(pitch[20:30]).all() and np.isnan(pitch[30:40]).mean() >= 0.9


def test_no_audio_has_neither() -> None:
    assert np.isnan(pitch_and_loudness([], 10.0, 5)).all()
    assert np.isnan(pitch_and_loudness([np.zeros(10, np.float32)], 10.0, 5)[1:]).all()


def test_the_speech_rate_counts_words_by_seconds_of_speech() -> None:
    speech = np.zeros(200, bool)
    speech[50:150] = True  # from 5 to 15 s: three words a second, then one
    words = [Word("a", time - 0.1, time + 0.1) for time in [*np.arange(5, 10, 1 / 3) + 0.1, *np.arange(10, 15) + 0.5]]
    found = speech_rate(words, speech, 10.0)
    assert np.isnan(found[~speech]).all()
    assert found[60] == pytest.approx(3, abs=0.3) and found[140] == pytest.approx(1, abs=0.15)


def test_pauses_lie_between_parts_of_ones_own_speech() -> None:
    speech, others = np.ones(200, bool), np.zeros(200, bool)
    for start, end in ((0, 20), (40, 42), (60, 63), (80, 100), (120, 141), (160, 170), (190, 200)):
        speech[start:end] = False
    others[162:164] = True  # somebody else speaks in the sixth gap
    found = pauses(speech, others, 10.0)
    assert np.flatnonzero(found).tolist() == [*range(60, 63), *range(80, 100)]
