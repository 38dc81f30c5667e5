import numpy as np
import pytest
from numpy.typing import NDArray

from vatrace.features.voices import MIN_VOICE_DUR, Speech, tree, voices_of

RNG = np.random.default_rng(0)
PEOPLE = RNG.standard_normal((4, 256))


def said(start: float, end: float, person: int | None, speakers: tuple[int, ...] = (0,)) -> Speech:
    """A turn of somebody, which resembles the others of theirs as turns of one voice do (distance 0.45)."""
    vector = None if person is None else PEOPLE[person] + 0.9 * RNG.standard_normal(256)
    return Speech(start, end, speakers, vector)


def in_a_row(people: list[int], dur: float = 2.0) -> list[Speech]:
    return [said(3.0 * place, 3.0 * place + dur, person) for place, person in enumerate(people)]


def test_voices_are_numbered_by_how_long_they_speak() -> None:
    voices, embeddings = voices_of(in_a_row([2, 1, 1, 0, 1, 2, 1, 0, 2]))
    assert voices == [1, 0, 0, 2, 0, 1, 0, 2, 1]
    likeness = embeddings @ (PEOPLE / np.linalg.norm(PEOPLE, axis=1, keepdims=True)).T
    assert likeness[:, :3].argmax(axis=1).tolist() == [1, 2, 0]
    np.testing.assert_allclose(np.linalg.norm(embeddings, axis=1), 1)


def test_one_speaker_is_one_voice() -> None:
    voices, embeddings = voices_of(in_a_row([0] * 30))
    assert set(voices) == {0} and len(embeddings) == 1


def test_a_voice_of_a_moment_is_no_voice() -> None:
    short = said(100.0, 100.0 + MIN_VOICE_DUR - 0.1, 1)
    assert set(voices_of([*in_a_row([0] * 6), short])[0]) == {0}
    assert voices_of([*in_a_row([0] * 6), short, said(110.0, 112.0, 1)])[0][-2:] == [1, 1]
    many = in_a_row([0] * 100)  # 200 s: less than 5 % is no voice, but 10 s are one
    assert set(voices_of([*many, *in_a_row([1] * 3, dur=3.0)])[0]) == {0}
    assert set(voices_of([*many, *in_a_row([1] * 4, dur=3.0)])[0]) == {0, 1}


def test_speech_too_short_for_a_vector_takes_the_voice_of_its_speaker() -> None:
    turns = [said(3.0 * k, 3.0 * k + 2, k % 2, (k % 2,)) for k in range(8)]
    voices, _ = voices_of([*turns, said(24.0, 24.1, None, (0,)), said(24.2, 24.3, None, (9,))])
    assert voices[8] == voices[0]
    assert voices[9] == voices[7]  # of a speaker that has said nothing else: the nearest


def test_several_at_once_are_nobody_unless_they_are_one_voice() -> None:
    turns = [said(3.0 * k, 3.0 * k + 2, k % 2, (k % 2,)) for k in range(8)]
    assert voices_of([*turns, said(24.0, 25.0, None, (0, 1))])[0][-1] is None
    alone = [said(3.0 * k, 3.0 * k + 2, 0, (k % 2,)) for k in range(8)]
    assert voices_of([*alone, said(24.0, 25.0, None, (0, 1))])[0][-1] == 0


def test_nothing_and_speech_without_vectors() -> None:
    assert voices_of([])[0] == [] and voices_of([])[1].shape == (0, 256)
    assert voices_of([said(0.0, 0.1, None), said(1.0, 1.1, None, (0, 1))])[0] == [0, None]


def mean_between(distances: NDArray[np.float64], one: list[int], other: list[int]) -> float:
    return float(distances[np.ix_(one, other)].mean())


@pytest.mark.parametrize("size", [1, 2, 7, 40])
def test_the_tree_joins_by_the_mean_distance(size: int) -> None:
    points = RNG.standard_normal((size, 3))
    distances = np.linalg.norm(points[:, None] - points[None], axis=2)
    waiting, seen = [tree(distances)], 0
    assert sorted(waiting[0].rows) == list(range(size))
    while waiting:
        group = waiting.pop()
        seen += 1
        rows = distances[np.ix_(group.rows, group.rows)]
        assert group.within == pytest.approx(rows.sum() / 2)
        if group.parts:
            one, other = group.parts
            assert group.between == pytest.approx(mean_between(distances, one.rows, other.rows))
            assert all(part.between <= group.between + 1e-9 for part in group.parts)  # the nearest were joined first
            waiting += group.parts
    assert seen == 2 * size - 1
