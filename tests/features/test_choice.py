from collections.abc import Sequence

import pytest

from vatrace.features.attribution import Attribution
from vatrace.features.choice import candidates, choose, spoken
from vatrace.features.people import Person, Track, voices_only
from vatrace.features.perceived import Perceived, Sight, Sound
from vatrace.features.spool import Spool
from vatrace.features.turns import Turn
from vatrace.names import MAX_PEOPLE, People


def person(num_steps: int, centre: float = 0.0) -> Person:
    steps = list(range(num_steps))
    return Person([Track(steps, [10.0] * num_steps, [centre] * num_steps, steps)], set(steps))


def perceived(people: list[Person], turns: Sequence[Turn] = ()) -> Perceived:
    sight, sound = Sight(Spool((1,))), Sound(Spool((1,)))
    return Perceived(10.0, frozenset({"face"}), sight, sound, people, Attribution(list(turns)))


def test_silent_passers_by_are_left_out_and_speaking_ones_are_not() -> None:
    people = [person(100), person(50), person(10), person(9)]
    assert candidates(perceived(people)) == [0, 1]
    speech = [Turn(0, 3, 0, 0), Turn(4, 5.5, 1, 3), Turn(6, 6.5, 2, 2), Turn(7, 9, None)]
    scene = perceived(people, speech)
    assert candidates(scene) == [0, 1, 3]
    assert [spoken(scene, who) for who in (0, 1, 2, 3, None)] == [3, 0, 0.5, 1.5, 0]


def test_voices_that_say_next_to_nothing_are_left_out() -> None:
    turns = [Turn(0, 30, 0, 0), Turn(30, 36, 1, 1), Turn(36, 38, 2, 2)]
    scene = perceived(voices_only(turns), turns)
    assert candidates(scene) == [0, 1]
    assert choose(scene, "left") == choose(scene, "right") == [0]  # voices have no sides


@pytest.mark.parametrize(
    ("people", "expected"),
    [("main", [0]), ("all", [*range(MAX_PEOPLE)]), ("left", [1]), ("right", [0]), (1, [0]), (3, [0, 1, 2])],
)
def test_people_are_chosen_by_place_and_number(people: People, expected: list[int]) -> None:
    scene = perceived([person(100 - index, centre=100 - 10 * index) for index in range(10)])
    assert choose(scene, people) == expected


@pytest.mark.parametrize("people", ["main", "all", "left", 2])
def test_somebody_alone_is_chosen_whoever_is_asked_for(people: People) -> None:
    assert choose(perceived([person(5)]), people) == [0]
    assert choose(perceived([]), people) == []
