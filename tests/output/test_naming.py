from dataclasses import replace

from made_people import composed
from vatrace.inference.prediction import OFF_SCREEN, SEVERAL, Turn, renamed
from vatrace.output.naming import colour_numbers, personal_notes, speakers, title


def test_a_number_keeps_its_colour_whoever_else_is_shown() -> None:
    everybody = composed(3)
    assert colour_numbers(everybody) == {"1": 1, "2": 2, "3": 3}
    third = replace(everybody.people["3"], turns=[])
    assert colour_numbers(third) == {"3": 3}
    assert colour_numbers(replace(third, turns=[Turn(0, 1, "10"), Turn(1, 2, "2"), Turn(2, 3, SEVERAL)])) == {
        "2": 2,
        "3": 3,
    }
    assert speakers(replace(third, turns=[Turn(0, 1, "10"), Turn(1, 2, "2")])) == ["2", "10"]


def test_people_with_other_names_have_colours_in_their_order() -> None:
    assert colour_numbers(renamed(composed(3), {"1": "Zoe", "2": "P01", "3": "P02"})) == {"Zoe": 1, "P01": 2, "P02": 3}
    assert [title(name) for name in ("2", "P01", OFF_SCREEN)] == ["Person 2", "P01", OFF_SCREEN]


def test_notes_are_told_apart_by_whom_they_are_about_and_name_people_as_the_table_does() -> None:
    made = composed(3)
    notes = {"1": ["person 2 looks like person 1", "a"], "2": ["person 2 looks like person 1", "b"], "3": []}
    first, *others = (replace(made.people[name], notes=["the one in person 1.jpg", *notes[name]]) for name in notes)
    shared, own = personal_notes(renamed(replace(first, others=tuple(others)), {"1": "P07"}))
    assert shared == ["the one in person 1.jpg"]
    assert own == {"person 2 looks like person P07": ["P07", "2"], "a": ["P07"], "b": ["2"]}


def test_speakers_are_listed_only_if_a_reader_could_mistake_them() -> None:
    assert speakers(composed(2)) == ["1", "2", OFF_SCREEN, SEVERAL]
    alone = replace(composed(1), turns=[Turn(0, 1, "1")])
    assert speakers(alone) == speakers(replace(alone, turns=[])) == []
    assert speakers(replace(alone, turns=[Turn(0, 1, OFF_SCREEN), Turn(1, 2, "1")])) == ["1", OFF_SCREEN]
    assert speakers(replace(composed(2), turns=[Turn(0, 1, "2")])) == ["2"]
