from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Event

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from conftest import write_movie
from vatrace.features.attribution import Attribution, attribute
from vatrace.features.faces import FaceTracker, box_in
from vatrace.features.landmarker import Landmarker
from vatrace.features.mouths import Mouth, watch_mouths
from vatrace.features.people import Person, Track, group_tracks
from vatrace.features.speakers import ENVELOPE_RATE
from vatrace.features.turns import Turn
from vatrace.media.reading import SAMPLING_RATE, AudioReader, VideoReader

TIMES = np.arange(0, 40, 1 / 25)


def syllables(seed: int) -> NDArray[np.float64]:
    """A level of 1 to 6 Hz between 0 and 1 at TIMES, as of speech."""
    rng = np.random.default_rng(seed)
    waves = sum(np.sin(2 * np.pi * (rate * TIMES + rng.random())) for rate in rng.uniform(1, 6, 8))
    return np.asarray(np.clip(0.5 + waves / 5, 0, 1))


@dataclass
class Scene:
    """Speech and mouths in a made recording: `speaks` gives (start, end, voice, whose mouth moves with it)."""

    speaks: Sequence[tuple[float, float, int, int | None]]
    people: int = 2
    lag: float = 0.0

    def __post_init__(self) -> None:
        rng = np.random.default_rng(0)
        speech = syllables(1)
        self.sound = np.full(len(TIMES), 0.001)
        self.openings = 0.002 * rng.random((self.people, len(TIMES)))
        for start, end, _, whose in self.speaks:
            inside = (start <= TIMES) & (end > TIMES)
            late = (start + self.lag <= TIMES) & (end + self.lag > TIMES)
            self.sound[late] = 0.02 + 0.2 * np.interp(TIMES[late] - self.lag, TIMES, speech)
            if whose is not None:
                self.openings[whose, inside] = 0.25 * speech[inside]

    def attribute(self, hidden: Sequence[tuple[int, float, float]] = (), still: Sequence[int] = ()) -> Attribution:
        """Attribute the turns; `hidden` gives (person, start, end) out of sight."""
        mouths = []
        for index in range(self.people):
            seen = np.ones(len(TIMES), bool)
            for whose, start, end in hidden:
                seen &= (whose != index) | (start > TIMES) | (end <= TIMES)
            mouths.append(Mouth(TIMES[seen], self.openings[index, seen]))
        people = [StillPerson([Track()], set()) if index in still else Person([Track()], set()) for index in range(self.people)]
        envelope = np.interp(np.arange(4000) / ENVELOPE_RATE, TIMES, self.sound).astype(np.float32)
        turns = [Turn(start, end, voice) for start, end, voice, _ in self.speaks]
        return attribute(turns, envelope, people, mouths)


class StillPerson(Person):
    moves = False  # type: ignore[assignment]


ALTERNATING = [(1.0, 3.0, 0, 0), (4.0, 6.0, 1, 1), (7.0, 9.0, 0, 0), (10.0, 12.0, 1, 1), (13.0, 15.0, 0, 0)]


@pytest.mark.parametrize("lag", [-0.2, 0.0, 0.2])
@pytest.mark.parametrize("voices", [(0, 1), (0, 0)])
def test_a_turn_belongs_to_the_mouth_that_moves_with_it(lag: float, voices: tuple[int, int]) -> None:
    scene = Scene([(start, end, voices[voice], whose) for start, end, voice, whose in ALTERNATING], lag=lag)
    chewing = 0.1 * syllables(2)
    rests = np.ones((2, len(TIMES)), bool)
    for start, end, _, whose in ALTERNATING:
        rests[whose, (start - 0.3 < TIMES) & (end + 0.3 > TIMES)] = False
    scene.openings = np.where(rests, chewing, scene.openings)
    found = scene.attribute()
    assert [turn.person for turn in found.turns] == [0, 1, 0, 1, 0]
    assert found.alike == []


def test_nobody_gets_a_voice_that_no_mouth_moves_to() -> None:
    scene = Scene([*ALTERNATING, (16.0, 18.0, 2, None), (19.0, 21.0, 2, None), (22.0, 24.0, 2, None)])
    found = scene.attribute()
    assert [turn.person for turn in found.turns] == [0, 1, 0, 1, 0, None, None, None]
    assert found.unclear == 0


def test_a_listener_who_chews_seldom_gets_a_voice_off_screen() -> None:
    wrong = 0
    for seed in range(3, 23):
        scene = Scene([*ALTERNATING, (16.0, 18.0, 2, None), (19.0, 21.0, 2, None), (22.0, 24.0, 2, None)])
        scene.openings[1] = np.where(TIMES > 15.5, 0.05 * syllables(seed), scene.openings[1])
        turns = scene.attribute().turns
        assert [turn.person for turn in turns[:5]] == [0, 1, 0, 1, 0]
        wrong += sum(turn.person is not None for turn in turns[5:])
    assert wrong <= 0.25 * 20 * 3  # three turns are few to find out that a mouth moves by chance


def test_a_voice_stays_its_owners_while_they_are_out_of_sight_or_hide_their_mouth() -> None:
    scene = Scene(ALTERNATING)
    assert [turn.person for turn in scene.attribute(hidden=[(0, 12.5, 16.0)]).turns] == [0, 1, 0, 1, 0]
    scene.openings[0, TIMES > 12.5] = np.nan
    assert [turn.person for turn in scene.attribute().turns] == [0, 1, 0, 1, 0]


def test_a_turn_is_cut_where_the_speaker_changes() -> None:
    scene = Scene([(1.0, 4.0, 0, 0), (4.0, 7.0, 0, 1), (8.0, 10.0, 0, 0), (11.0, 13.0, 0, 1)])
    scene.sound[(TIMES > 3.9) & (TIMES < 4.1)] = 0.001
    scene.speaks = [(1.0, 7.0, 0, None), *scene.speaks[2:]]
    turns = scene.attribute().turns
    assert [(turn.person, turn.voice) for turn in turns] == [(0, 0), (1, 0), (0, 0), (1, 0)]
    assert (turns[0].start, turns[1].end) == (1.0, 7.0) and turns[0].end == turns[1].start == pytest.approx(4.0, abs=0.15)


def test_overlapping_speech_belongs_to_nobody() -> None:
    scene = Scene(ALTERNATING)
    turns = [Turn(start, end, voice) for start, end, voice, _ in ALTERNATING]
    turns[1] = replace(turns[1], voice=None)
    people = [Person([Track()], set())] * 2
    envelope = np.interp(np.arange(4000) / ENVELOPE_RATE, TIMES, scene.sound).astype(np.float32)
    found = attribute(turns, envelope, people, [Mouth(TIMES, openings) for openings in scene.openings])
    assert found.turns[1] == Turn(4.0, 6.0, None, None)


def test_of_a_face_and_its_mirror_image_the_more_prominent_one_speaks_and_it_is_said() -> None:
    scene = Scene([(1.0, 3.0, 0, 1), (4.0, 6.0, 0, 1), (7.0, 9.0, 0, 1)])
    scene.openings[0] = scene.openings[1] * 1.05
    found = scene.attribute()
    assert [turn.person for turn in found.turns] == [0, 0, 0] and found.alike == [(0, 1)]


def test_photographs_never_speak_unless_their_mouth_moves() -> None:
    scene = Scene([(1.0, 3.0, 0, None), (4.0, 6.0, 0, None)])
    scene.openings[0] = 0.14 + 0.02 * np.random.default_rng(0).random(len(TIMES))  # a smile in a shaking picture
    assert [turn.person for turn in scene.attribute(still=[0]).turns] == [None, None]
    assert [turn.person for turn in Scene(ALTERNATING).attribute(still=[0]).turns] == [0, 1, 0, 1, 0]


def test_without_turns_or_people_nothing_is_attributed() -> None:
    assert Scene([]).attribute() == Attribution([])
    found = attribute([Turn(0.0, 2.0, 0)], np.ones(200, np.float32), [], [])
    assert found.turns == [Turn(0.0, 2.0, 0, None)]


def test_real_people_who_speak_in_turn_with_one_voice(tmp_path: Path, shared: Path) -> None:
    clips = [shared / "clips" / f"{name}.mpg" for name in ("lbax4n", "pwij3p")]
    spans = [(0.41, 2.03), (0.47, 2.2)]
    images = [[frame.image for frame in VideoReader(clip, 25)][:72] for clip in clips]
    sounds = [np.concatenate(list(AudioReader(clip, 10)))[: round(2.88 * SAMPLING_RATE)] for clip in clips]
    frames = []
    for speaker in (0, 1, 1, 0):
        for index in range(72):
            both = [images[side][index] if side == speaker else images[side][-1] for side in (0, 1)]
            frames.append(Image.fromarray(np.concatenate([np.asarray(image) for image in both], axis=1)))
    path = write_movie(tmp_path / "two.mp4", frames)
    sound = np.concatenate([sounds[speaker] / sounds[speaker].std() for speaker in (0, 1, 1, 0)])
    envelope = np.sqrt((sound.reshape(-1, SAMPLING_RATE // ENVELOPE_RATE) ** 2).mean(axis=1)).astype(np.float32)
    turns = [Turn(2.88 * i + spans[who][0], 2.88 * i + spans[who][1], 0) for i, who in enumerate((0, 1, 1, 0))]
    landmarker, tracks, boxes = Landmarker(), dict[int, Track](), []
    tracker = FaceTracker(landmarker)
    for frame in VideoReader(path, 10):
        for found in tracker.update(frame.image, frame.time):
            tracks.setdefault(found.track, Track()).add(found, frame.steps, len(boxes))
            boxes.append(box_in(found.square, frame.image.size))
    people = group_tracks(list(tracks.values()), 116)
    assert len(people) == 2
    left = int(people[0].centre > people[1].centre)
    heard = [(turn.start, turn.end) for turn in turns]
    mouths = watch_mouths(VideoReader(path, 10), people, boxes, heard, landmarker, lambda share: None, Event())
    assert [turn.person for turn in attribute(turns, envelope, people, mouths).turns] == [left, 1 - left, 1 - left, left]
