from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from properties import searched
from vatrace.timeline import (
    TOLERANCE,
    frames_on_grid,
    num_steps,
    overlap_add,
    resample,
    resample_mask,
    spans_to_mask,
    step_range,
    steps_at,
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


RATES = st.one_of(st.sampled_from([1.0, 4.0, 10.0, 24.0, 25.0, 29.97, 30.0, 50.0, 60.0, 100.0]), st.floats(0.1, 100))
TIMES = st.floats(0, 1e5)
TRACES = st.lists(st.floats(-1, 1), min_size=1, max_size=60).map(np.array)
LENGTHS = st.integers(1, 400)
WINDOWS = st.integers(1, 60).flatmap(lambda win_len: st.tuples(st.just(win_len), st.integers(1, win_len)))
"""Lengths of a window and of a hop."""


@searched
@given(duration=TIMES, rate=RATES)
def test_the_last_step_starts_before_the_end_and_the_next_would_not(duration: float, rate: float) -> None:
    steps = num_steps(duration, rate)
    assert steps >= 1 and steps / rate >= duration - 2 * TOLERANCE
    assert steps == 1 or (steps - 1) / rate < duration


@searched
@given(start=TIMES, length=st.floats(0, 100), rate=RATES)
def test_a_step_range_has_all_steps_of_a_span_and_at_least_one(start: float, length: float, rate: float) -> None:
    end = start + length
    found = step_range(start, end, rate)
    assert len(found) >= 1 and found.start >= 0
    assert (found.start - 1) / rate < start and found.stop / rate >= end - 2 * TOLERANCE  # none is left out
    if len(found) > 1:
        assert found.start / rate >= start - 2 * TOLERANCE and (found.stop - 1) / rate < end
    else:
        assert abs(found.start / rate - (start + end) / 2) <= 1 / rate


@searched
@given(spans=st.lists(st.tuples(st.floats(-10, 60), st.floats(0, 20))), steps=st.integers(1, 500), rate=RATES)
def test_a_mask_is_marked_in_its_spans_only_and_never_beyond_its_ends(
    spans: list[tuple[float, float]], steps: int, rate: float
) -> None:
    spans = [(start, start + length) for start, length in spans]
    mask = spans_to_mask(spans, steps, rate)
    assert mask.shape == (steps,) and mask.dtype == bool
    inside = {step for start, end in spans for step in step_range(start, end, rate)}
    assert set(np.flatnonzero(mask)) == {step for step in inside if step < steps}


@searched
@given(trace=TRACES, rate=RATES, times=st.lists(st.floats(-5, 100), max_size=20).map(np.array))
def test_a_resampled_trace_stays_within_its_range_and_keeps_its_own_steps(
    trace: np.ndarray, rate: float, times: np.ndarray
) -> None:
    found = resample(trace, rate, times)
    assert found.shape == times.shape
    assert ((found >= trace.min() - 1e-12) & (found <= trace.max() + 1e-12)).all()
    np.testing.assert_allclose(resample(trace, rate, np.arange(len(trace)) / rate), trace, atol=1e-12)


@searched
@given(mask=st.lists(st.booleans(), min_size=1, max_size=60).map(np.array), rate=RATES)
def test_a_resampled_mask_keeps_its_own_steps_and_its_ends(mask: np.ndarray, rate: float) -> None:
    steps = np.arange(len(mask)) / rate
    np.testing.assert_array_equal(resample_mask(mask, rate, steps), mask)
    np.testing.assert_array_equal(resample_mask(mask, rate, np.array([-1.0, 1e4])), mask[[0, -1]])


@searched
@given(length=LENGTHS, lengths=WINDOWS)
def test_any_windows_cover_everything_in_order(length: int, lengths: tuple[int, int]) -> None:
    win_len, hop_len = lengths
    parts = windows(length, win_len, hop_len)
    assert parts[0][0] == 0 and parts[-1][1] == length
    assert all(stop - start == min(win_len, length) for start, stop in parts)
    assert all(0 < after[0] - before[0] <= hop_len for before, after in pairwise(parts))


@searched
@given(length=LENGTHS, lengths=WINDOWS, constant=st.floats(-1e3, 1e3))
def test_overlap_add_of_a_constant_is_the_constant(length: int, lengths: tuple[int, int], constant: float) -> None:
    joined = overlap_add(length, *lengths, lambda start, stop: np.full((stop - start, 2), constant))
    assert joined.shape == (length, 2)
    np.testing.assert_allclose(joined, constant, rtol=1e-12)


@searched
@given(length=LENGTHS, lengths=WINDOWS, seed=st.integers(0, 1000))
def test_overlap_add_lies_between_the_windows_that_it_joins(length: int, lengths: tuple[int, int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    lowest, highest = np.full(length, np.inf), np.full(length, -np.inf)

    def apply(start: int, stop: int) -> np.ndarray:
        values = rng.normal(size=stop - start)
        lowest[start:stop] = np.minimum(lowest[start:stop], values)
        highest[start:stop] = np.maximum(highest[start:stop], values)
        return values[:, None]

    joined = overlap_add(length, *lengths, apply)[:, 0]
    assert ((joined >= lowest - 1e-9) & (joined <= highest + 1e-9)).all()


@searched
@given(start=st.integers(0, 16_000 * 3600), count=st.integers(1, 300), rate=RATES)
def test_each_step_has_the_mean_of_its_frames_or_the_current_one(start: int, count: int, rate: float) -> None:
    seconds = start / 16_000  # as audio is cut
    frames = np.random.default_rng(count).normal(size=(count, 2)).astype(np.float32)
    first, found = frames_on_grid(seconds, frames, rate)
    steps = steps_at(seconds + np.arange(count) / 50, rate)
    assert found.dtype == np.float32 and found.shape == (steps[-1] - steps[0] + 1, 2) and first == steps[0]
    for step, vector in enumerate(found, first):
        inside = frames[steps == step]
        if rate <= 50:
            np.testing.assert_allclose(vector, inside.mean(axis=0), atol=1e-5)
        else:
            current = np.flatnonzero(steps <= step)[-1]
            assert any(np.array_equal(vector, frames[near]) for near in (max(current - 1, 0), current))
