"""Which of the people in a recording get a trace."""

from __future__ import annotations

from collections.abc import Sequence

from vatrace.features.identity import View
from vatrace.features.people import MIN_SHARE_OF_OTHERS, Person, people_like
from vatrace.features.perceived import Perceived
from vatrace.names import MAX_PEOPLE, People

MIN_SPEECH = 1.0
"""Seconds of speech from which somebody who is hardly ever visible still counts as one of the people."""


def spoken(perceived: Perceived, person: int | None) -> float:
    """Seconds for which a person speaks alone. None stands for off-screen speakers."""
    return sum(turn.end - turn.start for turn in perceived.turns if turn.person == person and turn.voice is not None)


def candidates(perceived: Perceived) -> list[int]:
    """The indices of the people who are neither photographs nor silent passers-by, the most prominent first.

    If there is nobody else, it is the most prominent of those.
    """
    times = [_presence(person, spoken(perceived, index)) for index, person in enumerate(perceived.people)]
    enough = MIN_SHARE_OF_OTHERS * max(times, default=0)
    found = [
        index
        for index, person in enumerate(perceived.people)
        if not person.is_still and (times[index] > enough or (person.tracks and spoken(perceived, index) >= MIN_SPEECH))
    ]
    return found or list(range(min(1, len(perceived.people))))


def _presence(person: Person, speech: float) -> float:
    """How long a person is visible, in steps; for a voice, how long it is heard, in seconds; 0 for a photograph."""
    if person.is_still:
        return 0.0
    return len(person.steps) if person.tracks else speech


def choose(perceived: Perceived, people: People) -> list[int]:
    """The indices of the people asked for (see `Model.predict`), the most prominent first; empty if there is nobody."""
    found = candidates(perceived)
    if isinstance(people, int):
        return found[:people]
    if people in {"left", "right"} and len(found) > 1 and perceived.people[found[1]].tracks:
        left, right = sorted(found[:2], key=lambda index: perceived.people[index].centre)
        return [left if people == "left" else right]
    return found[: MAX_PEOPLE if people == "all" else 1]


def several_faces(picture: str, num_faces: int) -> list[str]:
    """What the user should know about a picture of the person to follow, in which this many faces were found."""
    return [f"{picture} shows {num_faces} faces: the largest one is used"] if num_faces > 1 else []


def find_person(people: Sequence[Person], view: View, picture: str) -> tuple[int | None, list[str]]:
    """The index of the person in a picture, or None if nobody looks like them; and the reasons for doubt."""
    alike = people_like(people, view)
    doubts = [f"{len(alike)} people look like the one in {picture}: the most similar one is used"] if len(alike) > 1 else []
    return next(iter(alike), None), doubts
