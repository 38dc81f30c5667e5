import numpy as np
import pytest

from vatrace.corpora.corpus import Annotation, excess
from vatrace.errors import CorpusError


def said(times: np.ndarray, annotator: str = "") -> Annotation:
    return Annotation(annotator, times, np.zeros((len(times), 2)))


SECONDS = np.arange(0, 20, 0.1)


def test_annotations_that_end_with_the_recording_are_quiet() -> None:
    assert excess(said(SECONDS), 20.0) == ""
    assert excess(said(SECONDS), 19.5) == ""  # the last half second is how programs round
    assert excess(said(np.zeros(0)), 20.0) == ""


def test_a_tail_is_worth_a_warning() -> None:
    text = excess(said(SECONDS, "ann"), 14.95)
    assert text == "ann: annotated up to 19.9 s, but the recording ends at 14.9 s"


def test_rows_without_values_do_not_count() -> None:
    annotation = said(SECONDS)
    annotation.values[SECONDS > 10] = np.nan
    assert excess(annotation, 10.0) == ""
    annotation.values[:] = np.nan
    assert excess(annotation, 1.0) == ""


@pytest.mark.parametrize(
    ("times", "hint"),
    [
        (SECONDS * 1000, "are the times milliseconds? They should be seconds"),
        (SECONDS * 25, "are the times numbers of frames? They should be seconds"),
        (SECONDS * 60, "are the times numbers of frames? They should be seconds"),
        (SECONDS + 100, "the recording ends at 20.0 s; most of it lies after that"),  # of another recording
    ],
)
def test_other_units_are_refused(times: np.ndarray, hint: str) -> None:
    with pytest.raises(CorpusError, match=f"{hint.replace('?', '[?]')}$"):
        excess(said(times), 20.0)
