"""When people blink: in measurements with known blinks, on a face whose lids were closed by computer, and in a real clip."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from conftest import write_movie
from made_faces import SIDE, closing, mesh_of, square
from vatrace import Model
from vatrace.features.blinks import LID_RATE, Openness, blinks, joined
from vatrace.features.landmarker import Landmarker

OPEN, CLOSED = 0.35, 0.1


def test_blinks_are_short_closures_between_open_eyes() -> None:
    openness = np.full(100, OPEN)
    openness[[10, 11, 30, 99]] = CLOSED  # a blink of two frames, one of one frame, and one that doesn't end
    openness[50:56] = CLOSED  # 0.6 s: not a blink
    openness[70:73] = 0.2  # lowered, not closed
    times = np.arange(100) / 10
    assert blinks(times, openness).tolist() == [1.0, 3.0]
    known = np.r_[0:80, 83:100]  # the face isn't visible for 0.3 s
    openness[[79, 90]] = CLOSED
    assert blinks(times[known], openness[known]).tolist() == [1.0, 3.0, 9.0]
    assert blinks(np.empty(0), np.empty(0)).tolist() == []


def test_the_frames_of_several_tracks_are_put_in_order() -> None:
    first, second = Openness(), Openness()
    for track, times in ((second, (2.0, 2.1)), (first, (1.0, 1.1))):
        for time in times:
            track.add(time, time / 10)
    times, values = joined([second, first])
    assert times.tolist() == [1.0, 1.1, 2.0, 2.1]
    np.testing.assert_allclose(values, times / 10)


def openness_at(times: NDArray[np.float64], starts: NDArray[np.float64], duration: float) -> NDArray[np.float64]:
    last = starts[np.clip(np.searchsorted(starts, times, side="right") - 1, 0, None)]
    return np.where((times >= last) & (times < last + duration), CLOSED, OPEN)


@pytest.mark.parametrize(("rate", "duration", "share"), [(25, 0.08, 1.0), (30, 0.05, 1.0), (15, 0.08, 1.0), (10, 0.05, 0.5)])
def test_all_blinks_as_long_as_a_frame_are_found(rate: float, duration: float, share: float) -> None:
    starts = np.random.default_rng(0).uniform(0, 1, 1000) + 3 * np.arange(1000)
    times = np.arange(3000 * rate) / rate
    found = blinks(times, openness_at(times, starts, duration))
    assert len(found) / 1000 == pytest.approx(share, abs=0.05)
    late = found - starts[np.searchsorted(starts, found, side="right") - 1]
    assert late.min() >= 0 and late.max() <= 1 / rate


def test_blinks_of_a_face_are_counted_in_every_frame(tmp_path: Path, face_images: list[Image.Image], model: Model) -> None:
    """Lids that close by computer for two to five frames at 30 a second: most lie between the rows of the trace."""
    face, landmarker = square(face_images[0]), Landmarker()
    points = mesh_of(landmarker, face).points
    shut, half = closing(face, points, 0.9), closing(face, points, 0.4)
    starts, images = {10: 2, 22: 2, 34: 5, 49: 3}, [face] * 60
    for start, length in starts.items():
        images[start - 1] = images[start + length] = half
        images[start : start + length] = [shut] * length
    path = write_movie(tmp_path / "blinks.mp4", images, frame_rate=30)
    found = model.predict(path, modalities=["face"], also=["face"], rate=30)
    rows = np.flatnonzero(found.also["blink"] == 1)
    assert rows.tolist() == pytest.approx(list(starts), abs=1) and len(rows) == len(starts)
    assert np.nansum(model.predict(path, modalities=["face"], also=["face"]).also["blink"]) == len(starts)
    assert face.size == (SIDE, SIDE) and LID_RATE >= 30
