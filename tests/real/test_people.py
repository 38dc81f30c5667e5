"""Everyone in the picture, and who speaks: several people, nobody, and what only looks like a person."""

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageOps

from conftest import side_by_side, write_movie
from networks import MovesWhileLoud, write_speaker
from vatrace import Model, load_model
from vatrace.encoders import DEFAULT_ENCODERS
from vatrace.features.perceiver import Perceiver
from vatrace.inference.prediction import OFF_SCREEN, Prediction
from vatrace.media.reading import SAMPLING_RATE, AudioReader, VideoReader
from vatrace.media.recording import open_recording

Clips = dict[str, tuple[list[Image.Image], NDArray[np.float32]]]
"""Frames and 16 kHz audio of each speaker."""
CLIP_DUR = 2.88
"""Seconds of each GRID clip that are used: 72 frames."""
SAYS = {"lbax4n": "x", "pwij3p": "please"}
"""A word of each speaker's sentence that the other doesn't say."""


@pytest.fixture(scope="module")
def clips(shared: Path) -> Clips:
    found = {}
    for name in SAYS:
        path = shared / "clips" / f"{name}.mpg"
        audio = np.concatenate(list(AudioReader(path, 10)))[: round(CLIP_DUR * SAMPLING_RATE)]
        found[name] = [frame.image for frame in VideoReader(path, 25)][:72], audio
    return found


def conversation(clips: Clips, speakers: Sequence[str]) -> list[Image.Image]:
    """Both side by side: whoever doesn't speak is shown before their sentence, with their mouth at rest."""
    frames = []
    for speaker in speakers:
        for index in range(72):
            frames.append(
                side_by_side([images[index if name == speaker else index % 3] for name, (images, _) in clips.items()])
            )
    return frames


def said(words: Sequence[str]) -> str:
    return " ".join(words).lower()


def test_two_people_speak_in_turn(model: Model, clips: Clips, tmp_path: Path) -> None:
    speakers = ["lbax4n", "pwij3p", "lbax4n", "pwij3p"]
    sound = np.concatenate([clips[speaker][1] for speaker in speakers])
    video = write_movie(tmp_path / "two.mp4", conversation(clips, speakers), sound=sound)
    prediction = model.predict(video, people="all")
    assert len(prediction.people) == 2
    order = sorted(prediction.people.values(), key=lambda one: np.nanmean(one.boxes[:, 0]))  # from left to right, as in `clips`
    for person, name in zip(order, clips, strict=True):
        own = np.array([speakers[min(int(time / CLIP_DUR), 3)] == name for time in prediction.times])
        assert person.presence["face"].mean() > 0.95
        assert person.presence["voice"][own].mean() > 0.5 and not person.presence["voice"][~own].any()
        assert person.speaking is not None and not person.speaking[~own].any()
        assert all(turn.person == person.person for turn in prediction.turns if speakers[int(turn.start / CLIP_DUR)] == name)
        other = next(word for speaker, word in SAYS.items() if speaker != name)
        assert other not in said([word.text for word in person.words])
    assert not np.logical_and(order[0].presence["voice"], order[1].presence["voice"]).any()


def test_the_words_of_a_labelled_speaker_belong_to_one_person_though_captions_are_late(
    model: Model, clips: Clips, tmp_path: Path
) -> None:
    speakers = ["lbax4n", "pwij3p", "lbax4n", "pwij3p"]
    sound = np.concatenate([clips[speaker][1] for speaker in speakers])
    video = write_movie(tmp_path / "two.mp4", conversation(clips, speakers), sound=sound)
    captions = []
    for place, speaker in enumerate(speakers):
        start = place * CLIP_DUR + 1.0  # the speech begins at about 0.4 s
        captions.append(
            f"00:00:{start:06.3f} --> 00:00:{min(start + 2.4, 11.5):06.3f}\n{speaker.upper()}: One two three four five six.\n"
        )
    (tmp_path / "two.vtt").write_text("WEBVTT\n\n" + "\n".join(captions))
    prediction = model.predict(video, people="all", transcript=tmp_path / "two.vtt")
    whose = {person.person: {word.speaker for word in person.words} for person in prediction.people.values()}
    assert sorted(map(sorted, whose.values())) == [["LBAX4N"], ["PWIJ3P"]]
    assert [turn.person for turn in prediction.turns] == [name for _ in range(2) for name in _left_first(prediction)]
    assert all({word.speaker for word in turn.words} <= whose[turn.person] for turn in prediction.turns)
    assert sum(len(turn.words) for turn in prediction.turns) == 24
    assert not any("transcript" in note and "disagree" in note for note in prediction.notes)


def test_faces_can_be_added_to_what_was_heard(clips: Clips, tmp_path: Path) -> None:
    speakers = ["lbax4n", "pwij3p"]
    sound = np.concatenate([clips[speaker][1] for speaker in speakers])
    recording = open_recording(write_movie(tmp_path / "two.mp4", conversation(clips, speakers), sound=sound))
    perceiver = Perceiver({name: spec for name, spec in DEFAULT_ENCODERS.items() if name != "words"})
    heard = perceiver.perceive(recording, 10.0, {"voice"})
    both, at_once = perceiver.see_as_well(recording, heard), perceiver.perceive(recording, 10.0, {"face", "voice"})
    assert len(both.people) == 2 and both.turns == at_once.turns and both.sound.spans == at_once.sound.spans
    assert (both.modalities, both.duration, both.notes) == (at_once.modalities, at_once.duration, at_once.notes)


def _left_first(prediction: Prediction) -> list[str]:
    """The people from left to right, as in `clips`."""
    return [one.person for one in sorted(prediction.people.values(), key=lambda one: np.nanmean(one.boxes[:, 0]))]


def test_a_voice_off_screen_is_not_the_listener_s(model: Model, clips: Clips, tmp_path: Path) -> None:
    guest, (_, question) = clips["lbax4n"][0], clips["pwij3p"]
    answer = clips["lbax4n"][1]
    frames = [picture for _ in range(2) for picture in ([guest[index % 3] for index in range(72)] + guest)]
    sound = np.concatenate([question, answer] * 2)
    prediction = model.predict(write_movie(tmp_path / "interview.mp4", frames, sound=sound))
    answers = np.array([int(time / CLIP_DUR) % 2 == 1 for time in prediction.times])
    assert prediction.presence["voice"][answers].mean() > 0.5 and not prediction.presence["voice"][~answers].any()
    assert "please" not in said([word.text for word in prediction.words])
    assert {turn.person for turn in prediction.turns} == {"1", OFF_SCREEN}
    assert any("of off-screen speech was left out" in note for note in prediction.notes)


def test_a_listener_who_holds_still_is_followed_and_a_cover_is_not(model: Model, clips: Clips, tmp_path: Path) -> None:
    """The face before the first word, to and fro, or one frame that is slowly enlarged; both with somebody else's voice."""
    images, sound = clips["lbax4n"][0], np.tile(clips["pwij3p"][1], 2)
    listener = [images[-1 - abs(9 - step % 18)] for step in range(144)]
    prediction = model.predict(write_movie(tmp_path / "listener.mp4", listener, sound=sound))
    assert prediction.presence["face"].all() and not prediction.presence["voice"].any()
    assert any("of off-screen speech was left out" in note for note in prediction.notes)
    width, height = images[0].size
    cover = []
    for step in range(144):
        scale = 1 / (1 + 0.001 * step)
        map_back = (scale, 0, width / 2 * (1 - scale), 0, scale, height / 2 * (1 - scale))
        cover.append(images[0].transform(images[0].size, Image.Transform.AFFINE, map_back, Image.Resampling.BICUBIC))
    prediction = model.predict(write_movie(tmp_path / "cover.mp4", cover, sound=sound))
    assert prediction.presence["voice"].any() and not prediction.presence["face"].any()
    assert any("probably a photograph; the trace is based on the audio" in note for note in prediction.notes)


def test_a_mirror_is_noted_and_does_not_speak(model: Model, clips: Clips, tmp_path: Path) -> None:
    images, sound = clips["lbax4n"]
    video = write_movie(
        tmp_path / "mirror.mp4", [side_by_side([image, ImageOps.mirror(image)]) for image in images], sound=sound
    )
    prediction = model.predict(video, people="all")
    assert [person.presence["voice"].any() for person in prediction.people.values()] == [True, False]
    assert any(note.startswith("person 2 looks like person 1 (") for note in prediction.notes)
    assert any("the speech was attributed to person 1" in note for note in prediction.notes)
    assert prediction.people["2"].notes[len(prediction.notes) :] == ["none of the speech was attributed to this person"]


def test_nobody_in_sight_is_a_voice(model: Model, clips: Clips, tmp_path: Path) -> None:
    blank = [Image.new("RGB", (320, 240), (70, 80, 90))] * 72
    prediction = model.predict(write_movie(tmp_path / "blank.mp4", blank, sound=clips["lbax4n"][1]), people="all")
    assert list(prediction.people) == ["1"] and prediction.boxes is None
    assert prediction.presence["voice"].any() and "no face found" in prediction.notes


def test_dubbed_speech_is_the_only_person_s(model: Model, clips: Clips, tmp_path: Path) -> None:
    """A mouth that moves as in speech, though not with the sound."""
    prediction = model.predict(write_movie(tmp_path / "dubbed.mp4", clips["lbax4n"][0], sound=clips["pwij3p"][1]))
    assert prediction.presence["voice"].any() and prediction.notes == []


def test_of_a_crowd_the_eight_largest_are_followed(model: Model, clips: Clips, tmp_path: Path) -> None:
    faces = [[image.crop((80, 40, 280, 260)).resize((160, 176)) for image in images] for images, _ in clips.values()]
    frames = []
    for index in range(25):
        scene = Image.new("RGB", (1280, 760))
        for place in range(32):
            scene.paste(faces[place % 2][(index + 7 * place) % 72], (160 * (place % 8), 190 * (place // 8)))
        frames.append(scene)
    prediction = model.predict(write_movie(tmp_path / "crowd.mp4", frames), people="all", modalities=["face"])
    assert len(prediction.people) <= 8
    assert any("faces seen at once: the 8 largest are followed" in note for note in prediction.notes)


@pytest.mark.parametrize("sign", [1, -1])
def test_an_active_speaker_network_decides_whose_turn_it_is(clips: Clips, tmp_path: Path, sign: int) -> None:
    """Whose mouth moves while it is loud; with the opposite sign, whose doesn't, which nothing else would say."""
    speakers = ["lbax4n", "pwij3p", "lbax4n", "pwij3p"]
    frames = [
        side_by_side([images[index if name == speaker else 0] for name, (images, _) in clips.items()])
        for speaker in speakers
        for index in range(72)
    ]
    video = write_movie(tmp_path / "two.mp4", frames, sound=np.concatenate([clips[speaker][1] for speaker in speakers]))
    network = write_speaker(tmp_path / "speaker.onnx", MovesWhileLoud(sign))
    prediction = load_model(active_speaker=network).predict(video, people="all", modalities=["face", "voice"])
    left, right = sorted(prediction.people, key=lambda name: float(np.nanmean(prediction.people[name].boxes[:, 0])))
    who = [turn.person for turn in prediction.turns]
    assert who == ([left, right, left, right] if sign > 0 else [right, left, right, left])
    assert re.fullmatch(r"speaker\.onnx [0-9a-f]{12}", prediction.made_by["active_speaker"])
