import numpy as np
import pytest
from numpy.typing import NDArray

from vatrace.features.identity import DIM, SAME_PERSON, Identity, View
from vatrace.features.same_people import MARGIN, match_people


def at(*place: float, weight: float = 1.0) -> Identity:
    """Somebody whose views are at a place in the first dimensions, so that distances are known."""
    known = Identity()
    known.add(View(np.pad(np.array(place, dtype=float), (0, DIM - len(place))), weight))
    return known


def groups(people: list[list[Identity]]) -> list[list[int]]:
    return [[match.group for match in inside] for inside in match_people(people)]


def test_people_are_numbered_as_they_appear() -> None:
    assert groups([[at(0), at(5)], [], [at(5.1), at(9)], [at(0.2)]]) == [[0, 1], [], [1, 2], [0]]
    assert match_people([]) == [] and match_people([[]]) == [[]]


def test_two_people_of_one_recording_are_never_the_same() -> None:
    # the nearest pair is of one recording; each joins its own group
    assert groups([[at(0), at(0.1)], [at(0.02), at(0.08)]]) == [[0, 1], [0, 1]]


def test_linkage_is_by_the_mean_distance() -> None:
    # 0.64 is 0.44 from the nearest, but 0.54 from both on average: single linkage would join it
    people = [[at(0.0)], [at(0.2)], [at(0.64)]]
    assert groups(people) == [[0], [0], [1]]
    matches = [match for (match,) in match_people(people)]
    assert matches[0].distance == pytest.approx(0.2) and matches[2].distance is None
    assert matches[2].next_group == 0 and matches[2].next_distance == pytest.approx(0.54)
    # three of which each pair is closer than the threshold are one
    assert groups([[at(0.0)], [at(0.2)], [at(0.45)]]) == [[0], [0], [0]]


def test_doubts_are_about_distances_near_the_threshold_and_faces_never_seen_from_the_front() -> None:
    near, far = SAME_PERSON - MARGIN, SAME_PERSON + MARGIN

    def doubts(apart: float) -> list[tuple[str, ...]]:
        return [match.doubts for (match,) in match_people([[at(0)], [at(apart)]])]

    assert doubts(near - 0.01) == doubts(far + 0.01) == [(), ()]
    assert doubts(near + 0.01) == [("looks different in other recordings",)] * 2
    assert doubts(far - 0.01) == [("looks like somebody else",)] * 2
    assert [match.doubts for match in match_people([[at(0), at(0.3)]])[0]] == [("looks like somebody else",)] * 2
    ((profile,),) = match_people([[at(0, weight=0.1)]])
    assert profile.doubts == ("never seen from the front",)


def test_average_linkage_is_that_of_scipy() -> None:
    hierarchy = pytest.importorskip("scipy.cluster.hierarchy")
    rng = np.random.default_rng(0)
    places: NDArray[np.float64] = rng.normal(0, 0.3, (40, 3))
    found = [match.group for (match,) in match_people([[at(*place)] for place in places])]
    expected = hierarchy.fcluster(hierarchy.linkage(places, "average"), SAME_PERSON - 1e-9, "distance")
    assert len(set(found)) == len(set(expected)) == len(set(zip(found, expected.tolist(), strict=True)))
