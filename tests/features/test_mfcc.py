import numpy as np

from vatrace.features.mfcc import mfcc

N = np.arange(1600)
SOUND = np.round(8000 * np.sin(2 * np.pi * 440 * N / 16000) + 3000 * np.sin(2 * np.pi * 1800 * N / 16000 * (1 + N / 3200)))
REFERENCE = """
 20.387   7.1   -25.111  6.255   3.457 -61.1   -55.824   9.388  12.124 -14.008  12.025 33.925 11.696
 20.835   8.483 -27.137 31.269 -35.438 -60.406   2.25  -14.727 -32.575  31.202  25.675 -1.545 19.202
 20.276  -5.148   5.602 16.606 -53.972 -15.322  -7.29  -41.321  18.947   7.845  -2.786 33.036 -1.434
"""
"""Frames 0, 4 and 9 by `mfcc(np.pad(SOUND, (0, 160)), 16000)` of python_speech_features 0.6, rounded."""


def test_the_coefficients_are_those_of_python_speech_features() -> None:
    found = mfcc((SOUND / 32768).astype(np.float32))
    assert found.shape == (10, 13) and found.dtype == np.float32
    expected = np.array([line.split() for line in REFERENCE.strip().splitlines()], dtype=float)
    np.testing.assert_allclose(found[[0, 4, 9]], expected, atol=1e-3)


def test_silence_is_finite() -> None:
    found = mfcc(np.zeros(640, np.float32))
    assert found.shape == (4, 13) and np.isfinite(found).all()
    assert len(mfcc(np.zeros(100, np.float32))) == 0
