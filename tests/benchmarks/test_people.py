"""The benchmark of people: its scenes are what their truth says, and its measures are right where the answer is known."""

from __future__ import annotations

import importlib
import itertools
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from vatrace.features.faces import FaceTracker, box_in
from vatrace.features.landmarker import Landmarker
from vatrace.media.reading import SAMPLING_RATE, AudioReader, VideoReader


@pytest.fixture(scope="module")
def people() -> Iterator[ModuleType]:
    folder = str(Path(__file__).parents[2] / "benchmarks")
    sys.path.insert(0, folder)
    yield importlib.import_module("people")
    sys.path.remove(folder)


@pytest.fixture(scope="module")
def scenes(people: ModuleType) -> ModuleType:
    return sys.modules["scenes"]


def test_nobody_is_in_both_splits(scenes: ModuleType) -> None:
    assert not set(scenes.SPEAKERS["tuning"]) & set(scenes.SPEAKERS["test"])
    assert not set(scenes.ACTORS["tuning"]) & set(scenes.ACTORS["test"])
    seeds = [{seed for _, seed in scenes.scenes_of(split)} for split in ("tuning", "test")]
    assert not seeds[0] & seeds[1] and all(len(found) == 30 for found in seeds)


@pytest.mark.slow
def test_a_scene_shows_and_sounds_as_its_truth_says(
    scenes: ModuleType, shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scenes, "NUM_TURNS", (6, 6))
    truth = scenes.make_scene("return", "tuning", 1, shared, tmp_path)
    assert scenes.read_truth(tmp_path / f"{truth.name}.json") == truth
    assert len(truth.turns) == 6 and all(one.end + 0.2 <= two.start for one, two in itertools.pairwise(truth.turns))
    tracker = FaceTracker(Landmarker())
    for frame in VideoReader(tmp_path / f"{truth.name}.mp4", 2):
        found = [box_in(face.square, frame.image.size) for face in tracker.update(frame.image, frame.time)]
        boxes = [sight.box for sight in truth.sights if sight.start <= frame.time < sight.end]
        assert len(found) == len(boxes) and np.allclose(sorted(found), sorted(boxes), atol=0.04)
    assert {len({s.person for s in truth.sights if s.start <= t < s.end}) for t in np.arange(0, truth.duration, 0.5)} == {1, 2}

    audio, alone = (np.concatenate(list(AudioReader(tmp_path / f"{truth.name}{end}.mp4", 1.0))) for end in ("", "-alone"))
    edges = [0.0, *(edge for turn in truth.turns for edge in (turn.start, turn.end)), truth.duration]
    spans = [slice(round(a * SAMPLING_RATE), round(b * SAMPLING_RATE)) for a, b in itertools.pairwise(edges)]
    levels = [10 * np.log10((audio[span] ** 2).mean()) for span in spans]
    assert min(levels[1::2]) > max(levels[::2]) + 10  # turns are every other span
    for turn, span, level in zip(truth.turns, spans[1::2], levels[1::2], strict=True):
        gain = 10 * np.log10((alone[span] ** 2).mean()) - level
        assert abs(gain) < 0.5 if turn.person == truth.main else gain < -20


def test_everybody_speaks_and_nobody_who_is_away(scenes: ModuleType, shared: Path) -> None:
    for seed in range(3):
        truth = scenes.plan("return", "tuning", seed, shared).truth
        for turn in truth.turns:
            assert any(s.person == turn.person and s.start <= turn.start and turn.end <= s.end for s in truth.sights)
        assert {turn.person for turn in truth.turns} == {sight.person for sight in truth.sights}
    truth = scenes.plan("listener", "tuning", 0, shared).truth
    assert {turn.person for turn in truth.turns} == {scenes.OFF_SCREEN} and len(truth.sights) == 1


def test_purity_counts_mixed_numbers_and_completeness_split_ones(people: ModuleType, scenes: ModuleType) -> None:
    left, right = (0.1, 0.1, 0.3, 0.5), (0.6, 0.1, 0.8, 0.5)
    sights = [scenes.Seen(0.0, 10.0, "anna", left), scenes.Seen(0.0, 10.0, "ben", right)]
    times = np.arange(100) / 10
    shown = np.array([left] * 60 + [right] * 40)  # "1" is Anna, then jumps to Ben
    rest = np.array([right] * 50 + [(np.nan,) * 4] * 40 + [(0.4, 0.6, 0.5, 0.9)] * 10)  # Ben, then nobody's face
    found = people.identity(*people.count_faces(sights, {"1": shown, "2": rest}, times))
    assert found == {"purity": (60 + 50, 100 + 60), "completeness": (60 + 50, 200)}
    counts, ghosts, num_faces = people.count_faces(sights, {}, times)
    assert people.identity(counts, ghosts, num_faces)["completeness"] == (0, 200)


def test_overlap_is_intersection_over_union(people: ModuleType) -> None:
    boxes = np.array([[0, 0, 1, 1], [0.5, 0, 1.5, 1], [2, 2, 3, 3], [np.nan] * 4])
    np.testing.assert_allclose(people.overlaps(boxes, (0, 0, 1, 1)), [1, 1 / 3, 0, 0])


def test_the_best_pairs_are_the_best_of_all(people: ModuleType) -> None:
    rng = np.random.default_rng(0)
    for num_rows, num_columns in ((1, 3), (4, 2), (3, 3), (6, 4), (0, 2)):
        shared = rng.integers(0, 9, (num_rows, num_columns))
        rows = people.best_pairs(shared)
        taken = [row for row in rows if row >= 0]
        assert len(rows) == num_columns and len(set(taken)) == len(taken)
        choices = itertools.permutations([*range(num_rows), *[-1] * num_columns], num_columns)
        most = max(sum(shared[r, c] for c, r in enumerate(choice) if r >= 0) for choice in choices)
        assert sum(shared[r, c] for c, r in enumerate(rows) if r >= 0) == most


def test_the_error_rate_adds_what_is_missed_invented_and_confused(people: ModuleType, scenes: ModuleType) -> None:
    truth = [scenes.Said(1, 4, "anna"), scenes.Said(5, 8, "ben"), scenes.Said(9, 11, "anna")]
    assert people.diarization(truth, [(1, 4, 7), (5, 8, 3), (9, 11, 7)], None, 12)["error rate"] == (0, 800)
    turns = [(0.5, 4, 0), (5, 7, 1), (7, 8, None), (9, 10, 0), (10, 11, 1)]
    found = people.diarization(truth, turns, None, 12)
    assert found == {
        "error rate": (250, 800),
        "missed": (100, 800),
        "no speech there": (50, 800),
        "somebody else": (100, 800),
    }
    assert people.diarization(truth, [], None, 12)["error rate"] == (800, 800)


def test_speech_belongs_to_the_person_whose_face_it_is(people: ModuleType, scenes: ModuleType) -> None:
    box = (0.1, 0.1, 0.3, 0.5)
    sights = [scenes.Seen(0, 6, "anna", box), scenes.Seen(6, 12, "ben", box)]
    turns = [
        scenes.Said(0, 4, "anna"),
        scenes.Said(4, 6, "ben"),
        scenes.Said(6, 8, "ben"),
        scenes.Said(8, 12, scenes.OFF_SCREEN),
    ]
    truth = scenes.Truth("x", "cuts", 12.0, "anna", turns, sights)
    named = people.names({"1": {"anna": 50, "ben": 2}, "2": {"ben": 60}})
    given = [(0, 3, "1"), (3, 4, "several"), (4, 5, "2"), (5, 6, "1"), (6, 8, "2"), (8, 9, "1"), (9, 11, "off screen")]
    assert people.attribution(truth, given, named) == {
        "right person, in sight": (500, 600),
        "right person, out of sight for the moment": (100, 200),
        "nobody, for speech off screen": (300, 400),
    }


def test_a_distance_counts_only_where_both_have_support(people: ModuleType) -> None:
    one = {"valence": [0.0, 0.5, 0.2], "arousal": [0.1, 0.1, 0.1], "supported": [True, True, False]}
    other = {"valence": [0.1, 0.1, 0.9, 0.9], "arousal": [0.1, 0.3, 0.9, 0.9], "supported": [True] * 4}
    found = people.distance(one, other)
    assert found["valence"] == (pytest.approx(0.5), 2) and found["arousal"] == (pytest.approx(0.2), 2)


def test_the_table_adds_scenes_up_and_its_interval_contains_the_value(people: ModuleType) -> None:
    results = {f"tuning-two-{i}": {"purity": (90.0 + i, 100.0), "nobody, for speech off screen": (0.0, 0.0)} for i in range(6)}
    lines = people.table(results).splitlines()
    name, value, low, _, high, *_ = lines[1].split()
    assert (name, value) == ("purity", "0.925") and 0.9 <= float(low) < 0.925 < float(high) <= 0.95
    assert not any(line.startswith("nobody") for line in lines)


@pytest.mark.slow
def test_two_versions_are_timed_and_give_their_traces(people: ModuleType, talking: Path) -> None:
    source = Path(sys.modules["vatrace"].__file__ or "").parents[1]
    with people.version_in(source) as one, people.version_in(source) as other:
        assert people.distance(one.predict(talking), other.predict(talking))["valence"] == (0, 41)
        line = people.cost(one, other, {"talking": talking}).splitlines()[1].split()
    assert line[0] == "talking" and float(line[1]) > 0 and 0.2 < float(line[3]) < 5
    assert one.process.returncode is not None
