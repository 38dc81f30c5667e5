"""Flags of traces, and the sketch of a trace."""

import re
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from vatrace.features.perceived import DAMAGED
from vatrace.features.spoken_languages import Stretch
from vatrace.inference.notes import OVEREXPOSED
from vatrace.inference.prediction import OFF_SCREEN, Prediction, Turn, for_everyone
from vatrace.media.transcripts import Word
from vatrace.output.flags import FLAGS, flags, losses
from vatrace.output.sketch import HEIGHT, POINTS, WIDTH, drawn, sketch


@pytest.fixture
def minute() -> Prediction:
    """One minute in which the face is always visible; the values rise from -1 to 1."""
    values = np.linspace(-1, 1, 600)
    presence = {"face": np.ones(600, bool), "voice": np.zeros(600, bool), "words": np.zeros(600, bool)}
    return Prediction(Path("a.mp4"), 10.0, np.arange(600) / 10, values, -values, presence)


def seen(prediction: Prediction, *hidden: tuple[float, float]) -> Prediction:
    """The same, with the face hidden from each start to each end."""
    face = np.ones(600, bool)
    for start, end in hidden:
        face[round(10 * start) : round(10 * end)] = False
    return replace(prediction, presence=prediction.presence | {"face": face})


def test_an_ordinary_trace_has_no_flags(minute: Prediction) -> None:
    turns = [Turn(0, 30, "1"), Turn(30, 30.4, OFF_SCREEN)]
    usual = replace(minute, turns=turns, languages=[Stretch(0, 30, "en", 0.99)], words_left_out=2)
    assert flags(usual) == flags(seen(usual, (10, 12), (20, 22), (30, 32), (0, 5), (55, 60))) == []


def test_each_flag_is_raised_by_its_reason(minute: Prediction) -> None:
    reasons = {
        "low support": seen(minute, (0, 31)),
        "other language": replace(minute, languages=[Stretch(0, 8, "en", 0.9), Stretch(8, 10, "de", 0.9)]),
        "several people": replace(minute, turns=[Turn(0, 30, "1"), Turn(30, 30.6, OFF_SCREEN)]),
        "face lost often": seen(minute, *((start, start + 0.5) for start in (10, 20, 30, 40))),
        "overexposed": replace(minute, notes=[OVEREXPOSED]),
        "damaged": replace(minute, notes=[f"{DAMAGED} (2 of 600)"]),
    }
    assert list(reasons) == list(FLAGS)
    for name, prediction in reasons.items():
        assert flags(prediction) == [name]


def test_doubtful_words_suggest_another_language_if_they_outnumber_the_others(minute: Prediction) -> None:
    words = [Word("hello", time, time + 0.2) for time in range(5)]
    assert flags(replace(minute, words=words, words_left_out=5)) == []
    assert flags(replace(minute, words=words, words_left_out=6)) == ["other language"]
    assert flags(replace(minute, words_left_out=2)) == []


def test_other_people_are_known_from_turns_traces_and_notes(minute: Prediction) -> None:
    both = replace(minute, others=(replace(minute, person="2"),))
    assert flags(both) == ["several people"]
    for noted in ("2 people seen: the trace follows the most prominent one", "3 voices heard: each has a trace"):
        assert flags(for_everyone(minute, notes=[noted])) == ["several people"]


def test_short_gaps_and_the_time_before_and_after_are_no_losses(minute: Prediction) -> None:
    assert losses(minute) == losses(seen(minute, (0, 60))) == 0
    assert losses(seen(minute, *((start, start + 0.4) for start in range(5, 55)))) == 0
    assert losses(seen(minute, (0, 20), (25, 26), (30, 31), (40, 60))) == pytest.approx(2 * 60 / 20)


def test_only_the_part_that_counts_is_flagged(minute: Prediction) -> None:
    assert flags(replace(seen(minute, (0, 50)), span=(50.0, 60.0))) == []
    assert flags(replace(seen(minute, (55, 60)), span=(50.0, 60.0))) == []
    assert flags(replace(seen(minute, (54, 60)), span=(50.0, 60.0))) == ["low support"]


def test_a_sketch_follows_the_trace_and_is_interrupted_without_support(minute: Prediction) -> None:
    found = sketch(seen(minute, (30, 40)))
    assert len(found["valence"]) == POINTS
    expected = [minute.valence[10 * part : 10 * part + 10].mean() for part in range(POINTS)]
    for part, value in enumerate(found["valence"]):
        assert value is None if 30 <= part < 40 else value == pytest.approx(expected[part], abs=0.0051)
    tree = ElementTree.fromstring(drawn(found, "a"))  # our own text
    zero, valence, arousal = (path.get("d") for path in tree)
    assert zero == f"M0 {HEIGHT / 2:g}H{WIDTH}" and valence is not None and arousal is not None
    points = [(float(x), float(y)) for x, y in re.findall(r"[ML]([\d.]+) ([\d.]+)", valence)]
    assert valence.count("M") == 2 and points[0] == pytest.approx((0, HEIGHT * 0.99), abs=0.1)
    assert all(0 <= x <= WIDTH and 0 <= y <= HEIGHT for x, y in points)
    heights = [y for _, y in points]
    assert heights == sorted(heights, reverse=True)  # it rises


def test_short_and_empty_traces_have_sketches(minute: Prediction) -> None:
    short = replace(minute, span=(0.0, 0.3))
    assert [len(values) for values in sketch(short).values()] == [3, 3]
    assert drawn(sketch(seen(minute, (0, 60))), "a").count('d=""') == 2
