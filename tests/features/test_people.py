import numpy as np
import pytest

from vatrace.features.faces import Detection
from vatrace.features.landmarker import Roi
from vatrace.features.people import (
    MIN_SHARE_OF_OTHERS,
    Person,
    Track,
    group_tracks,
    person_at,
    prominent,
    rows_on_grid,
)


def track(steps: range, portrait: list[float], size: float = 10.0, centre: float = 0.0) -> Track:
    return Track(
        steps=list(steps),
        sizes=[size] * len(steps),
        centres=[centre] * len(steps),
        rows=[2 * step for step in steps],
        portrait=np.array(portrait),
    )


def person(steps: range, size: float = 10.0, centre: float = 0.0) -> Person:
    return Person([track(steps, [1, 0], size, centre)], set(steps))


def test_a_detection_counts_at_every_step_at_which_its_frame_is_shown() -> None:
    followed = Track()
    followed.add(Detection(0, Roi(50.0, 40.0, 30.0, 0.0), np.full(768, 2.0)), range(3, 5), row=7)
    followed.add(Detection(0, Roi(60.0, 40.0, 20.0, 0.0), np.full(768, 1.0)), range(5, 6), row=9)
    assert (followed.steps, followed.rows) == ([3, 4, 5], [7, 7, 9])
    assert (followed.sizes, followed.centres) == ([30.0, 30.0, 20.0], [50.0, 50.0, 60.0])
    np.testing.assert_array_equal(followed.portrait, np.full(768, 3.0))


def test_people_who_return_again_and_again_are_told_apart() -> None:
    rng = np.random.default_rng(0)
    looks = rng.normal(size=(5, 768))
    tracks = [track(range(30 * i, 30 * i + 30), list(looks[i % 5] + rng.normal(0, 0.1, 768))) for i in range(1000)]
    people = group_tracks(tracks, 30_000)
    assert sorted(len(person.tracks) for person in people) == [200] * 5


def test_faces_visible_at_the_same_time_are_never_one_person() -> None:
    assert len(group_tracks([track(range(10), [1, 0]), track(range(5, 15), [1, 0])], 15)) == 2
    assert len(group_tracks([track(range(10), [1, 0]), track(range(10, 15), [1, 0.1])], 15)) == 1


def test_faces_that_look_different_are_two_people() -> None:
    assert len(group_tracks([track(range(10), [1, 0]), track(range(10, 15), [1, 1])], 15)) == 2


def test_people_are_ranked_by_time_and_size() -> None:
    small, large = track(range(100), [1, 0], size=10), track(range(60), [0, 1], size=30)
    assert [found.tracks for found in group_tracks([small, large], 100)] == [[large], [small]]


@pytest.mark.parametrize(("num_steps", "num_people"), [(1, 1), (2, 1), (3, 0), (100, 0)])
def test_a_face_in_two_steps_of_many_is_a_false_detection(num_steps: int, num_people: int) -> None:
    assert len(group_tracks([track(range(min(2, num_steps)), [1, 0])], num_steps)) == num_people


def test_no_tracks_are_nobody() -> None:
    assert group_tracks([], 10) == []


def test_who_passes_by_is_not_prominent() -> None:
    first = person(range(100))
    passing, staying = person(range(round(100 * MIN_SHARE_OF_OTHERS))), person(range(round(100 * MIN_SHARE_OF_OTHERS) + 1))
    assert prominent([first, staying, passing]) == [first, staying]
    assert prominent([]) == []


def test_a_side_chooses_between_the_first_two_people() -> None:
    first, second, third = person(range(9), centre=200), person(range(9), centre=100), person(range(9), centre=0)
    everybody = [first, second, third]
    assert person_at(everybody, None) is first
    assert person_at(everybody, "left") is second and person_at(everybody, "right") is first
    assert person_at([third], "right") is third
    assert person_at([], None) is None and person_at([], "left") is None


def test_rows_on_grid_are_at_their_steps_and_those_beyond_the_end_are_dropped() -> None:
    found = Person([track(range(3, 8), [1, 0]), track(range(0, 1), [1, 0])], set())
    assert rows_on_grid(found, 6).tolist() == [0, -1, -1, 6, 8, 10]
