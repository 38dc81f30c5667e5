from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from signals import tone
from sounds import write_tracks
from vatrace.media.reading import AudioReader


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 3e38, -1000.0])
@pytest.mark.parametrize("channels", [1, 2])
def test_samples_that_are_no_sound_are_silence(tmp_path: Path, value: float, channels: int) -> None:
    clean = np.stack([tone(0, 3.0)] * channels)
    dirty = clean.copy()
    dirty[:, 32000:32003] = value
    layout = ["mono", "stereo"][channels - 1]
    paths = [write_tracks(tmp_path / f"{name}.wav", [track], [layout]) for name, track in (("a", clean), ("b", dirty))]
    readers = [AudioReader(path, 60) for path in paths]
    first, second = (np.concatenate(list(reader)) for reader in readers)
    different = np.flatnonzero(first != second)
    assert set(different) <= set(range(32000, 32003)) and not second[32000:32003].any()
    assert readers[0].num_silenced == 0 and readers[1].num_silenced == 3 * channels
    assert readers[1].silenced_from == pytest.approx(2.0, abs=0.1)


@pytest.mark.parametrize("scale", [10.0, 32768.0, 2.0**31])
def test_a_file_on_another_scale_is_heard(tmp_path: Path, scale: float) -> None:
    """As when integers were stored as floats, or far too much gain was given."""
    clean = tone(1, 3.0)
    reader = AudioReader(write_tracks(tmp_path / "a.wav", [clean[None] * np.float32(scale)], ["mono"]), 60)
    audio = np.concatenate(list(reader))
    assert reader.num_silenced == 0 and np.abs(audio).max() == pytest.approx(1.0)
    np.testing.assert_allclose(audio, 2 * clean, atol=1e-3)
