import pytest

from vatrace.errors import RunError
from vatrace.training.folds import make_folds

SIZES = {f"r{i:02d}": 100 + 37 * i % 90 for i in range(30)}
SUBJECTS = {name: f"s{int(name[1:]) // 2}" if int(name[1:]) < 12 else "" for name in SIZES}


def test_each_recording_is_in_one_fold_and_no_subject_in_two() -> None:
    folds = make_folds(SIZES, SUBJECTS, 6)
    assert sorted(name for fold in folds for name in fold) == sorted(SIZES)
    for subject in set(SUBJECTS.values()) - {""}:
        assert sum(any(SUBJECTS[name] == subject for name in fold) for fold in folds) == 1


def test_folds_are_about_the_same_size_and_the_same_again() -> None:
    folds = make_folds(SIZES, SUBJECTS, 6)
    totals = [sum(SIZES[name] for name in fold) for fold in folds]
    largest = max(sum(SIZES[n] for n in SIZES if SUBJECTS[n] == s) for s in set(SUBJECTS.values()) - {""})
    assert max(totals) - min(totals) <= largest
    assert make_folds(dict(reversed(SIZES.items())), SUBJECTS, 6) == folds


@pytest.mark.parametrize("num_folds", [1, 4])
def test_more_folds_than_subjects_are_refused(num_folds: int) -> None:
    with pytest.raises(RunError, match="at least 2 subjects with labels outside the test split, but there are 1"):
        make_folds({"a": 1, "b": 1}, {"a": "x", "b": "x"}, 2)
    with pytest.raises(RunError, match=f"3 subjects with labels can be divided into 2 to 3 folds, not {num_folds}"):
        make_folds({"a": 1, "b": 1, "c": 1, "d": 1}, {"a": "x", "b": "x", "c": "", "d": ""}, num_folds)
