import numpy as np
import pytest

from vatrace.features.fbank import HOP, fbank

BANDS = [0, 10, 30, 50, 79]
KALDI = {0: [10.641, 17.067, 10.326, 14.826, 11.431], 30: [10.117, 10.488, 23.648, 14.833, 12.046]}
"""Frames 0 and 30 of kaldi-native-fbank for the signal below: 80 bands from 20 Hz, Hamming window, no dither."""


def test_it_is_kaldis() -> None:
    time = np.arange(8000) / 16_000
    sweep = 0.1 * np.sin(2 * np.pi * (200 + 1500 * time) * time) + 0.05 * np.sin(2 * np.pi * 3000 * time) + 0.01
    found = fbank(sweep.astype(np.float32))
    assert found.shape == (48, 80)
    for frame, values in KALDI.items():
        np.testing.assert_allclose(found[frame, BANDS], values, atol=2e-3)


def test_ten_times_the_amplitude_is_the_same_step_in_every_band(speech: np.ndarray) -> None:
    quiet, loud = fbank(speech[:16_000] * 0.1), fbank(speech[:16_000])
    heard = quiet > 5  # above Kaldi's floor
    np.testing.assert_allclose((loud - quiet)[heard], 2 * np.log(10), atol=0.01)


@pytest.mark.parametrize(("num_samples", "num_frames"), [(0, 0), (399, 0), (400, 1), (400 + HOP - 1, 1), (400 + HOP, 2)])
def test_frames_lie_within_the_audio(num_samples: int, num_frames: int) -> None:
    assert fbank(np.ones(num_samples, np.float32)).shape == (num_frames, 80)
