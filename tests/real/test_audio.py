"""Recordings whose audio isn't one clean track of English speech: values as of the clean file, or a note that says why not."""

from __future__ import annotations

import json
import re
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from sounds import Audio, hum, music, noise, timecode, write_tracks
from vatrace import Model, Prediction
from vatrace.media.reading import SAMPLING_RATE, AudioReader
from vatrace.media.recording import open_recording
from vatrace.output.report import embedded, write_page
from vatrace.weights import has_e5

CLOSE = 0.05
"""How far the mean of valence and of arousal may be from that of the clean file."""


@pytest.fixture(scope="module")
def voice(speech: Audio) -> Audio:
    """5 s of one voice."""
    return speech[: 5 * SAMPLING_RATE]


@pytest.fixture(scope="module")
def clean(model: Model, voice: Audio, tmp_path_factory: pytest.TempPathFactory) -> Prediction:
    prediction = model.predict(write_tracks(tmp_path_factory.mktemp("clean") / "clean.wav", [voice[None]], ["mono"]))
    assert prediction.presence["voice"].any() and prediction.presence["words"].any() and prediction.words_left_out == 0
    return prediction


@pytest.fixture(scope="module")
def cases(shared: Path) -> Path:
    """The folder of recordings that once went wrong."""
    folder = shared.parent / "cases"
    if not folder.is_dir():
        pytest.skip("the cases are not here")
    return folder


def means(prediction: Prediction) -> NDArray[np.float64]:
    return np.array([prediction.valence[prediction.supported].mean(), prediction.arousal[prediction.supported].mean()])


def check_same(found: Prediction, expected: Prediction, *, noted: str | None = None) -> None:
    np.testing.assert_allclose(means(found), means(expected), atol=CLOSE)
    assert found.presence["voice"].sum() == pytest.approx(expected.presence["voice"].sum(), rel=0.1)
    assert found.presence["words"].sum() == pytest.approx(expected.presence["words"].sum(), rel=0.2)
    numbers = found.to_pandas().select_dtypes("number").filter(regex="^(?!.*_share)")  # shares of what is absent are empty
    assert np.isfinite(numbers.to_numpy()).all()
    if noted is not None:
        assert any(re.search(noted, note) for note in found.notes), found.notes


@pytest.mark.parametrize("suffix", ["wav", "aac"])
def test_an_inverted_channel(model: Model, clean: Prediction, voice: Audio, tmp_path: Path, suffix: str) -> None:
    pair = np.stack([voice, -voice])
    if suffix == "aac":
        path = write_tracks(tmp_path / "a.mp4", [pair], codec="aac", bit_rate=64000)
    else:
        path = write_tracks(tmp_path / "a.wav", [pair])
    check_same(model.predict(path), clean, noted="one was inverted")


@pytest.mark.parametrize("kind", [hum, timecode, noise, music])
def test_a_channel_of_something_else(model: Model, clean: Prediction, voice: Audio, tmp_path: Path, kind: object) -> None:
    assert callable(kind)
    path = write_tracks(tmp_path / "a.wav", [np.stack([kind(len(voice)), voice])])
    check_same(model.predict(path), clean, noted="only the right one, which contains the speech, was used")


def test_a_dead_channel(model: Model, clean: Prediction, voice: Audio, tmp_path: Path) -> None:
    check_same(model.predict(write_tracks(tmp_path / "a.wav", [np.stack([0 * voice, voice])])), clean)


def test_two_microphones_with_a_voice_each(model: Model, speech: Audio, tmp_path: Path) -> None:
    first, second = speech[: 4 * SAMPLING_RATE], speech[4 * SAMPLING_RATE : 9 * SAMPLING_RATE]
    pair = np.stack([np.concatenate([first, 0 * second]), np.concatenate([0 * first, second])])
    apart = model.predict(write_tracks(tmp_path / "apart.wav", [pair]))
    check_same(apart, model.predict(write_tracks(tmp_path / "together.wav", [pair.sum(axis=0)[None]], ["mono"])))


def test_the_voice_in_the_centre_of_surround_sound(model: Model, clean: Prediction, voice: Audio, tmp_path: Path) -> None:
    six = np.zeros((6, len(voice)), np.float32)
    six[2], six[3] = voice, hum(len(voice))  # the centre; the low frequencies
    check_same(model.predict(write_tracks(tmp_path / "a.wav", [six], ["5.1"])), clean)


def test_a_silent_first_track(model: Model, clean: Prediction, voice: Audio, tmp_path: Path) -> None:
    """As recorders of a screen write it: what the computer plays, and the microphone."""
    pair = np.stack([voice, voice])
    path = write_tracks(tmp_path / "a.mka", [0 * pair, pair], codec="pcm_s16le")
    check_same(model.predict(path), clean, noted="contains 2 audio tracks: the second was used, which contains the speech")


@pytest.mark.parametrize("name", ["aud_def2.mkv", "obs_tracks.mp4", "two_aud_unk.mp4"])
def test_the_track_that_is_heard(model: Model, cases: Path, name: str) -> None:
    expected = model.predict(cases / "base.mp4", modalities=["voice", "words"])
    found = model.predict(cases / "slides_first" / name, modalities=["voice", "words"])
    check_same(found, expected, noted="contains 2 audio tracks: the second was used")


@pytest.mark.parametrize("value", [np.nan, np.inf, 3e38, 50.0])
def test_samples_that_are_no_sound(model: Model, clean: Prediction, voice: Audio, tmp_path: Path, value: float) -> None:
    dirty = voice.copy()
    dirty[40000] = value
    path = write_tracks(tmp_path / "a.wav", [dirty[None]], ["mono"])
    found = model.predict(path, explain=True)
    check_same(found, clean, noted=r"1 audio sample was replaced by silence \(at 2\.\d s\): not finite, or too large for sound")
    recording = open_recording(path)
    write_page(found, tmp_path / "a.html", embedded(recording, lambda share: None))
    assert (tmp_path / "a.html").stat().st_size > 10_000


@pytest.mark.parametrize("decibels", [-40, -20, 20])
def test_the_level_of_a_recording(model: Model, clean: Prediction, voice: Audio, tmp_path: Path, decibels: int) -> None:
    louder = voice * np.float32(10 ** (decibels / 20))
    check_same(model.predict(write_tracks(tmp_path / "a.wav", [louder[None]], ["mono"])), clean)


def test_long_pauses(model: Model, cases: Path) -> None:
    """Twelve phrases of a known text, with pauses of 2..5 s."""
    prediction = model.predict(cases / "pauses" / "pauses.wav")
    phrases = json.loads((cases / "pauses" / "pauses.json").read_text(encoding="utf-8"))
    for word in prediction.words:
        assert word.end > word.start
        assert any(start - 0.3 <= word.start and word.end <= end + 0.3 for start, end in phrases), word
    for start, end in phrases:
        assert any(start - 0.3 <= word.start <= end for word in prediction.words), (start, end)
    for (_, end), (start, _) in pairwise(phrases):
        assert not prediction.presence["words"][(prediction.times > end + 0.3) & (prediction.times < start - 0.3)].any()


def test_repeated_sentences_with_long_pauses(model: Model, cases: Path) -> None:
    said = ["kids are talking by the door", "dogs are sitting by the door"]
    spoken = [(0.9, 2.8), (9.4, 11.5), (18.2, 19.9), (26.5, 28.5)]  # as the case's README has them
    words = [word for turn in model.predict(cases / "pauses" / "spaced.flac").turns for word in turn.words]
    for start, end in spoken:
        inside = [word.text.lower().strip(".,") for word in words if start - 0.3 <= word.start and word.end <= end + 0.3]
        assert " ".join(inside) in said
    assert len(words) == 24


def test_clips_joined_end_to_end(model: Model, shared: Path, tmp_path: Path) -> None:
    clips = sorted((shared / "clips").glob("*.mpg"))[:6]
    joined = tmp_path / "joined.ts"
    with av.open(str(joined), "w", format="mpegts") as target:
        stream = target.add_stream("mp2", rate=44100)
        position = 0
        for clip in clips:
            audio = np.concatenate(list(AudioReader(clip, 60)))
            frame = av.AudioFrame.from_ndarray(audio[None], format="fltp", layout="mono")
            frame.sample_rate = SAMPLING_RATE
            resampler = av.AudioResampler(stream.codec_context.format, stream.codec_context.layout, 44100, 1152)
            for part in [*resampler.resample(frame), *resampler.resample(None)]:
                part.pts = position
                position += part.samples
                target.mux(stream.encode(part))
        target.mux(stream.encode(None))
    words = [word for turn in model.predict(joined).turns for word in turn.words]
    for index in range(len(clips)):  # each clip lasts 3 s and holds one sentence
        assert 3 <= len([word for word in words if 3 * index <= word.start < 3 * index + 3]) <= 7
    assert all(0 < word.end - word.start < 1.5 for word in words)


@pytest.mark.parametrize("language", ["de", "zh"])
def test_other_languages(model: Model, shared: Path, language: str) -> None:
    prediction = model.predict(shared / "real" / f"speech_{language}.flac")
    assert prediction.presence["voice"].any() and prediction.presence["words"].any() == has_e5()
    assert {stretch.language for stretch in prediction.languages} == {language}
    assert (prediction.words_unused == 0) == has_e5() and {word.language for word in prediction.words} == {language}


def test_no_word_of_english_is_lost(model: Model, shared: Path) -> None:
    predictions = [model.predict(path, modalities=["words"]) for path in sorted((shared / "clips").glob("*.mpg"))]
    kept, left_out = (sum(counts) for counts in zip(*[(len(p.words), p.words_left_out) for p in predictions], strict=True))
    assert kept > 40 and left_out <= 0.02 * (kept + left_out)


@pytest.mark.parametrize("kind", [noise, music, hum])
@pytest.mark.parametrize("amplitude", [0.001, 0.3])
def test_what_is_no_speech(model: Model, tmp_path: Path, kind: object, amplitude: float) -> None:
    assert callable(kind)
    path = write_tracks(tmp_path / "a.wav", [kind(8 * SAMPLING_RATE, amplitude)[None]], ["mono"])
    prediction = model.predict(path)
    assert not prediction.presence["voice"].any() and not prediction.words


def test_a_word_that_loops(model: Model, voice: Audio, tmp_path: Path) -> None:
    """A damaged player repeats half a second: what is recognised doesn't grow beyond what fits the time."""
    looped = np.tile(voice[8000:16000], 20)
    prediction = model.predict(write_tracks(tmp_path / "a.wav", [looped[None]], ["mono"]))
    assert len(prediction.words) <= 5 * prediction.duration
    assert all(word.end > word.start for word in prediction.words)
