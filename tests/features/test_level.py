from __future__ import annotations

import numpy as np
import pytest

from vatrace.features.level import MEMORY_DUR, MIN_DUR, RunningLevel
from vatrace.media.mixing import MAX_GAIN, TARGET_LEVEL
from vatrace.media.voice_activity import RATE


def sound(decibels: float, dur: float) -> np.ndarray:
    """Noise of a level (RMS, dBFS)."""
    noise = np.random.default_rng(0).normal(size=round(dur * RATE))
    return (10 ** (decibels / 20) * noise / np.sqrt(np.mean(noise**2))).astype(np.float32)


@pytest.mark.parametrize("decibels", [-70.0, -40.0, -10.0])
def test_speech_is_brought_to_the_target(decibels: float) -> None:
    level = RunningLevel()
    level.add(sound(decibels, 2.0), [(0.5, 1.5)])
    assert 20 * np.log10(level.gain) == pytest.approx(TARGET_LEVEL - decibels, abs=0.3)


def test_what_is_no_speech_changes_nothing() -> None:
    level = RunningLevel()
    level.add(sound(-60, 5.0), [])
    level.add(sound(-60, MIN_DUR / 2), [(0.0, MIN_DUR / 2)])  # too short to be known
    assert level.gain == 1.0
    level.add(sound(-40, 1.0), [(0.0, 1.0)])
    gain = level.gain
    level.add(sound(-10, 9.0), [(-3.0, -1.0)])  # speech that was added before
    assert level.gain == gain


def test_the_gain_is_bounded_and_changes_slowly() -> None:
    level = RunningLevel()
    level.add(sound(-120, 2.0), [(0.0, 2.0)])
    assert 20 * np.log10(level.gain) == pytest.approx(MAX_GAIN)
    level = RunningLevel()
    for _ in range(round(MEMORY_DUR)):
        level.add(sound(-40, 1.0), [(0.0, 1.0)])
    before = level.gain
    level.add(sound(-30, 1.0), [(0.0, 1.0)])  # one louder second
    # the mean power of 30 s, of which 1 s is ten times the power of the others
    assert (before / level.gain) ** 2 == pytest.approx((29 + 10) / 30, rel=0.02)


def test_quiet_audio_is_searched_at_a_level_at_which_speech_is_found() -> None:
    level = RunningLevel()
    assert np.abs(level.searched(sound(-70, 1.0))).max() == pytest.approx(0.5)
    assert not level.searched(np.zeros(100, np.float32)).any()
