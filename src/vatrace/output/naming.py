"""Names, order and colours of the people in a prediction, the same in reports, figures and videos."""

from __future__ import annotations

from vatrace.inference.prediction import OFF_SCREEN, SEVERAL, Prediction
from vatrace.names import whole_number
from vatrace.output.colours import PEOPLE

NOT_PEOPLE = (OFF_SCREEN, SEVERAL)
"""The values of `Turn.person` that are not people, in the order in which they are listed."""


def title(name: str) -> str:
    """A person's name for readers: "Person 1" for "1"; other names are kept."""
    return f"Person {name}" if name.isdecimal() else name


def _in_order(prediction: Prediction) -> list[str]:
    """Each person who is followed or speaks, in the order of their numbers."""
    names = dict.fromkeys([*prediction.people, *(turn.person for turn in prediction.turns if turn.person not in NOT_PEOPLE)])
    return sorted(names, key=lambda name: whole_number(name) or 0)


def colour_numbers(prediction: Prediction) -> dict[str, int]:
    """The colour, 1 .. len(PEOPLE), of each person who is followed or speaks, in the order of their numbers.

    The colour of "3" is always the third, so that it stays the same whoever else is shown. People with other names get theirs
    in order. After the last, colours repeat for people who are followed; those who only speak have none.
    """
    numbers = [
        (name, number - 1 if (number := whole_number(name)) else place) for place, name in enumerate(_in_order(prediction))
    ]
    return {name: number % len(PEOPLE) + 1 for name, number in numbers if number < len(PEOPLE) or name in prediction.people}


def personal_notes(prediction: Prediction) -> tuple[list[str], dict[str, list[str]]]:
    """The notes that all traces share; and for each other note, the people whose traces have it."""
    people = prediction.people
    shared = [note for note in prediction.notes if all(note in found.notes for found in people.values())]
    others: dict[str, list[str]] = {}
    for name, found in people.items():
        for note in found.notes:
            if note not in shared:
                others.setdefault(note, []).append(name)
    return shared, others


def speakers(prediction: Prediction) -> list[str]:
    """Everybody who has a turn: people in the order of their numbers, then off-screen speakers, then overlapping speech.

    It is empty if the only person with a trace is the only speaker: a list of one would add nothing.
    """
    found = {turn.person for turn in prediction.turns}
    if not prediction.others and found <= {prediction.person}:
        return []
    return [name for name in (*_in_order(prediction), *NOT_PEOPLE) if name in found]
