import numpy as np
import pytest

from vatrace.timeline import (
    frames_on_grid,
    num_steps,
    overlap_add,
    resample,
    resample_mask,
    spans_to_mask,
    step_range,
    windows,
)


@pytest.mark.parametrize(
    ("duration", "rate", "expected"),
    [(3.0, 10, 30), (3.0000001, 10, 30), (3.01, 10, 31), (0.0, 10, 1), (0.04, 10, 1), (1 / 3, 30, 10)],
)
def test_num_steps_counts_steps_that_start_before_the_end(duration: float, rate: float, expected: int) -> None:
    assert num_steps(duration, rate) == expected


def test_step_range_covers_the_span_and_never_nothing() -> None:
    assert step_range(0.1, 0.4, 10) == range(1, 4)
    assert step_range(0.31, 0.33, 10) == range(3, 4)
    assert step_range(0.0, 0.0, 10) == range(0, 1)


def test_spans_to_mask_marks_inside_only() -> None:
    assert spans_to_mask([(0.2, 0.4), (0.7, 5.0)], 10, 10).tolist() == [i in {2, 3, 7, 8, 9} for i in range(10)]


@pytest.mark.parametrize("length", [1, 7, 20, 21, 29, 30, 95])
@pytest.mark.parametrize(("win_len", "hop_len"), [(20, 10), (20, 20), (7, 3), (5, 1)])
def test_windows_cover_everything_with_full_windows(length: int, win_len: int, hop_len: int) -> None:
    parts = windows(length, win_len, hop_len)
    assert {i for start, stop in parts for i in range(start, stop)} == set(range(length))
    assert all(stop - start == min(win_len, length) for start, stop in parts)


def test_windows_refuses_a_hop_that_leaves_holes() -> None:
    with pytest.raises(ValueError, match=r"hop_len must be in 1\.\.5"):
        windows(10, 5, 6)


@pytest.mark.parametrize("length", [1, 2, 10, 31, 64, 100])
def test_overlap_add_of_windows_that_agree_is_what_they_agree_on(length: int) -> None:
    truth = np.random.default_rng(0).normal(size=(length, 2))
    joined = overlap_add(length, 20, 10, lambda start, stop: truth[start:stop])
    np.testing.assert_allclose(joined, truth)


def test_overlap_add_weighs_the_middle_of_a_window_most() -> None:
    joined = overlap_add(6, 4, 2, lambda start, stop: np.full((stop - start, 1), start))  # 0..4 says 0, 2..6 says 2
    np.testing.assert_allclose(joined[:, 0], [0, 0, 2 * 1 / (2 + 1), 2 * 2 / (1 + 2), 2, 2])


def test_resample_interpolates_and_resample_mask_holds() -> None:
    times = np.arange(5) / 20
    np.testing.assert_allclose(resample(np.array([0.0, 1.0, 0.0]), 10, times), [0, 0.5, 1, 0.5, 0])
    assert resample_mask(np.array([True, False, True]), 10, times).tolist() == [True, True, False, False, True]


def test_frames_on_grid_averages_what_falls_in_each_step() -> None:
    frames = np.arange(23, dtype=np.float32)[:, None] * np.ones((1, 3), np.float32)
    start, means = frames_on_grid(2.04, frames, rate=10)
    # frames at 2.04, 2.06, 2.08 | 2.10 .. 2.18 | ...
    assert start == 20
    assert means[:3, 0] == pytest.approx([1.0, 5.0, 10.0])
    assert len(means) == len({int(np.floor((2.04 + i / 50) * 10 + 1e-6)) for i in range(23)})


@pytest.mark.parametrize("rate", [60.0, 100.0])
def test_above_fifty_steps_a_second_each_step_has_the_current_frame(rate: float) -> None:
    frames = np.arange(100, dtype=np.float32)[:, None]
    first, found = frames_on_grid(1.5, frames, rate)
    assert first == round(1.5 * rate)
    for step, value in enumerate(found[:, 0], start=first):
        assert value == np.floor((step / rate - 1.5) * 50 + 1e-4)
