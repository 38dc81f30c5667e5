from pathlib import Path

import pytest

from vatrace.errors import CorpusError, UsageError
from vatrace.output.person_names import read_names


def written(path: Path, *rows: str, header: str = "recording,person,name") -> Path:
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return path


def recordings(root: Path, *names: str) -> list[Path]:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return [root / name for name in names]


def test_names_belong_to_a_path_or_to_a_file_s_name(tmp_path: Path) -> None:
    batch = recordings(tmp_path / "study", "P01/talk.mp4", "P02/talk.mp4", "Mu\u0308ller.mp4", "none.mp4")
    rows = [
        "P01/talk.mp4,1,Anna",
        "P02/talk.mp4,1,Ben  Maier",
        "P02/talk.mp4,2,1024",
        "M\u00fcller.mp4,2.0,Cleo",
        "gone.mp4,1,X",
    ]
    table = written(tmp_path / "study" / "people.csv", *rows)
    found, *others = read_names(table, batch)
    assert found == [{"1": "Anna"}, {"1": "Ben Maier", "2": "1024"}, {"2": "Cleo"}, {}]
    assert others == [["gone.mp4"], ["none.mp4"]]
    nobody_there = written(tmp_path / "study" / "people.csv", *rows, "none.mp4,,")
    assert read_names(nobody_there, batch)[1:] == (["gone.mp4"], [])
    elsewhere = written(tmp_path / "people.csv", "1;m\u00fcller;none.mp4", header="person;NAME;recording")
    assert read_names(elsewhere, batch)[0] == [{}, {}, {}, {"1": "m\u00fcller"}]


def test_people_may_change_their_numbers(tmp_path: Path) -> None:
    (talk,) = recordings(tmp_path, "talk.mp4")
    swapped = written(tmp_path / "people.csv", "talk.mp4,1,2", "talk.mp4,2,1")
    assert read_names(swapped, [talk])[0] == [{"1": "2", "2": "1"}]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (["talk.mp4,x,Anna"], "line 2: person must be a number from 1, not 'x'"),
        ([f"talk.mp4,{'9' * 5000},Anna"], "line 2: person must be a number from 1, not '999"),  # more digits than int() takes
        (["talk.mp4,0,Anna"], "line 2: person must be a number from 1, not '0'"),
        (["talk.mp4,1,Anna", "talk.mp4,1,Ben"], "line 3: person 1 of talk.mp4 already has a name"),
        (["talk.mp4,1,Anna", "talk.mp4,2,Anna"], "line 3: Anna is already the name of another person in talk.mp4"),
        (["talk.mp4,1,2"], "talk.mp4: 2 is another person's number; name that person too"),
        (["talk.mp4,1,off screen"], "line 2: 'off screen' can't be a person's name"),
        (["talk.mp4,1,"], "line 2: '' can't be a person's name"),
        ([",1,Anna"], "line 2: no recording"),
        (["other.mp4,1,Anna"], "has no names for talk.mp4, talk.mp4; it names other.mp4"),
        ([], "has no names for talk.mp4, talk.mp4; it is empty"),
        (["talk.mp4,1,Anna"], "2 recordings are called talk.mp4: give their paths"),
        (["a/talk.mp4,1,Anna", "a/../a/talk.mp4,2,Ben"], "a/talk.mp4 in two ways"),
    ],
)
def test_tables_that_leave_doubt_are_refused(tmp_path: Path, rows: list[str], message: str) -> None:
    batch = recordings(tmp_path, "a/talk.mp4", "b/talk.mp4")
    with pytest.raises(UsageError, match=message.replace("(", r"\(")):
        read_names(written(tmp_path / "people.csv", *rows), batch)


def test_a_missing_column_is_named(tmp_path: Path) -> None:
    table = written(tmp_path / "people.csv", "talk.mp4,Anna", header="recording,name")
    with pytest.raises(CorpusError, match=r"people.csv: line 1: no column 'person' \(needed: recording, person, name"):
        read_names(table, recordings(tmp_path, "talk.mp4"))
    with pytest.raises(CorpusError, match=r"none.csv: no such file"):
        read_names(tmp_path / "none.csv", [])
