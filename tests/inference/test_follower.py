"""The live trace, fed from a real clip as a camera and a microphone would."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from vatrace.errors import ModelError
from vatrace.inference.ears import HOP_DUR
from vatrace.inference.follower import ABSENT_DUR, MAX_WAIT, RATE, START_DUR, Follower, Value
from vatrace.inference.model import load_model
from vatrace.media.demo import make_demo
from vatrace.media.reading import SAMPLING_RATE, AudioReader, VideoReader
from vatrace.models.affect import AffectModel, ModelConfig
from vatrace.training.export import export_onnx
from vatrace.weights import package_file

FACTS = {"rate": RATE, "win_len": 300}


@pytest.fixture(scope="module")
def fusion(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained streaming model."""
    path = tmp_path_factory.mktemp("model") / "streaming.onnx"
    export_onnx(AffectModel(ModelConfig(fusion_options={"reach": 50, "causal": True})), path, streaming=True, metadata=FACTS)
    return path


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """30 s of a man who seems to read aloud."""
    path = tmp_path_factory.mktemp("demo") / "demo.mp4"
    make_demo(path)
    return path


def follow(follower: Follower, video: Path, seconds: float, hop: float = 0.5) -> list[Value]:
    """Frames and audio in order of time, the audio in blocks."""
    frames = [frame for frame in VideoReader(video, RATE) if frame.time < seconds]
    audio = np.concatenate(list(AudioReader(video, 1.0)))[: round(seconds * SAMPLING_RATE)]
    values: list[Value] = []
    for start in np.arange(0, seconds, hop):
        for frame in [frame for frame in frames if start <= frame.time < start + hop]:
            follower.add_frame(frame.image, frame.time)
        follower.add_audio(audio[round(start * SAMPLING_RATE) : round((start + hop) * SAMPLING_RATE)])
        values += follower.values(start + hop)
    return values


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> None:
    """Values come from 0 s on, whatever is present."""
    monkeypatch.setattr("vatrace.inference.follower.START_DUR", 0.0)


def test_a_clip_is_followed_as_it_comes(fusion: Path, demo: Path, started: None) -> None:
    follower = Follower(fusion)
    values = follow(follower, demo, 12.0)
    np.testing.assert_allclose([value.time for value in values], np.arange(120) / RATE)
    assert all(-1 <= value.valence <= 1 and -1 <= value.arousal <= 1 for value in values)
    whole = load_model().predict(demo)
    seen = np.array([value.presence["face"] for value in values])
    heard = np.array([value.presence["voice"] for value in values])
    assert (seen == whole.presence["face"][:120]).mean() > 0.95
    assert (heard == whole.presence["voice"][:120]).mean() > 0.85  # speech is known a little after it has begun
    understood = " ".join(word.text for word in follower.words).lower()
    assert "best of times" in understood and "worst of times" in understood
    assert any(value.presence["words"] for value in values)
    assert {value.low for value in values} == {None}


def test_without_audio_it_is_not_waited_for_long(fusion: Path, demo: Path, started: None) -> None:
    follower = Follower(fusion)
    for frame in VideoReader(demo, RATE):
        if frame.time > ABSENT_DUR + 1:
            break
        follower.add_frame(frame.image, frame.time)
        values = follower.values(frame.time)
        if frame.time == pytest.approx(2.0):  # it may still come
            assert values[-1].time == pytest.approx(2.0 - MAX_WAIT - 1 / RATE)
    assert values[-1].time == pytest.approx(ABSENT_DUR + 1 - 1 / RATE)  # there is no microphone
    assert values[-1].presence == {"face": True, "voice": False, "words": False}
    assert values[-1].late == ()
    assert follower.values(ABSENT_DUR + 1) == []


def test_what_comes_too_late_is_told_from_what_is_absent(fusion: Path, demo: Path, started: None) -> None:
    follower = Follower(fusion)
    audio = next(iter(AudioReader(demo, 3.0)))
    follower.add_audio(audio[: 2 * SAMPLING_RATE])
    late = {round(value.time, 1): value.late for value in follower.values(2.5 + MAX_WAIT)}
    assert late == {step / 10: ("voice",) if step >= 20 else () for step in range(25)}
    follower.add_audio(audio[2 * SAMPLING_RATE :])  # too late for its first half
    assert [value.late for value in follower.values(3.0)] == []
    assert {value.late for value in follower.values(3.0 + MAX_WAIT)} == {()}


def test_nothing_is_waited_for_or_late_once_it_has_ended(fusion: Path, demo: Path, started: None) -> None:
    follower = Follower(fusion)
    follower.end("face")
    follower.add_audio(next(iter(AudioReader(demo, 2.0))))
    assert len(follower.values(2.0)) == 20
    follower.end("voice")
    assert [value.late for value in follower.values(9.0)] == [()] * 70


def test_one_that_does_not_listen_needs_no_whisper_and_waits_for_nothing(fusion: Path, demo: Path, tmp_path: Path) -> None:
    follower = Follower(fusion, whisper=tmp_path, has_audio=False)
    follower.add_frame(next(iter(VideoReader(demo, RATE))).image, 0.0)
    assert [value.presence["face"] for value in follower.values(0.1)] == [True]
    with pytest.raises(ValueError, match="has_audio=False"):
        follower.add_audio(np.zeros(SAMPLING_RATE, np.float32))


def test_a_model_without_words_or_of_another_rate(demo: Path, tmp_path: Path) -> None:
    both = {"face": 128, "voice": 128}
    config = ModelConfig(fusion="concat", feature_dims=both, widths=dict.fromkeys(both, 16))
    export_onnx(AffectModel(config), tmp_path / "both.onnx", streaming=True, metadata=FACTS)
    values = follow(Follower(tmp_path / "both.onnx"), demo, 4.0)
    assert any(value.presence["voice"] for value in values) and not any(value.presence["words"] for value in values)
    export_onnx(AffectModel(config), tmp_path / "fast.onnx", streaming=True, metadata=FACTS | {"rate": 25})
    with pytest.raises(ModelError, match=r"live needs a model of 10 steps a second .* not one of 25"):
        Follower(tmp_path / "fast.onnx")


def test_audio_that_is_skipped_is_late_not_silence(fusion: Path, demo: Path, started: None) -> None:
    follower = Follower(fusion)
    follower.end("face")
    audio = next(iter(AudioReader(demo, 4.0)))
    follower.add_audio(audio[:SAMPLING_RATE])
    follower.skip_audio(1.0)
    follower.add_audio(audio[2 * SAMPLING_RATE :])
    values = follower.values(4.0)
    assert [value.late for value in values] == [("voice",) if 10 <= step < 20 else () for step in range(40)]
    assert not any(value.presence["voice"] for value in values[10:20]) and any(value.presence["voice"] for value in values[20:])


def test_a_frame_that_is_still_processed_is_waited_for(fusion: Path, demo: Path, started: None) -> None:
    follower = Follower(fusion)
    frames = [frame for frame in VideoReader(demo, RATE) if frame.time <= 1]
    follower.add_audio(np.zeros(2 * SAMPLING_RATE, np.float32))
    for frame in frames:
        follower.add_frame(frame.image, frame.time)
    assert [value.presence["face"] for value in follower.values(2.0)] == [True] * 11
    later = {round(value.time, 1): value.presence["face"] for value in follower.values(1.5 + MAX_WAIT)}
    assert later == {1.1: True, 1.2: True, 1.3: True, 1.4: False}  # none has come: the last one counts for a while


def test_a_face_that_is_gone_does_not_stay(fusion: Path, demo: Path, started: None) -> None:
    follower = Follower(fusion)
    frames = [frame for frame in VideoReader(demo, RATE) if frame.time < 1]
    for frame in frames:
        follower.add_frame(frame.image, frame.time)
    blank = frames[0].image.point(lambda level: 0)
    for index in range(10, 30):
        follower.add_frame(blank, index / RATE)
    seen = [value.presence["face"] for value in follower.values(7.0)]
    assert all(seen[:10]) and not any(seen[11:])


def test_what_is_kept_does_not_grow_where_nobody_asks_for_values(
    fusion: Path, speech: NDArray[np.float32], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vatrace.inference.ears.AUDIO_DUR", 3.0)
    monkeypatch.setattr("vatrace.inference.ears.KEEP_DUR", 3.0)
    follower = Follower(fusion, transcribe=False)
    for second in range(6):
        follower.add_audio(speech[second * SAMPLING_RATE : (second + 1) * SAMPLING_RATE])
    ears = follower._ears
    assert len(ears._audio) == 3 * SAMPLING_RATE
    assert 3 * RATE <= min(ears.voice) < max(ears.voice) < 6 * RATE


@pytest.fixture(scope="module")
def clip(demo: Path) -> tuple[list[tuple[float, NDArray[np.uint8]]], NDArray[np.float32]]:
    """10 s of frames, as arrays, and audio."""
    frames = [(frame.time, np.asarray(frame.image)) for frame in VideoReader(demo, 4) if frame.time < 10]
    return frames, np.concatenate(list(AudioReader(demo, 1.0)))[: 10 * SAMPLING_RATE]


def fed_in_blocks(fusion: Path | None, clip: tuple, size: int) -> tuple[list[Value], list[str]]:
    """The values and the words where audio comes in blocks of some samples, and frames and questions at their times."""
    follower, (frames, audio) = Follower(fusion), clip
    waiting, values = list(frames), []
    for start in range(0, len(audio), size):
        follower.add_audio(audio[start : start + size])
        now = min((start + size) / SAMPLING_RATE, len(audio) / SAMPLING_RATE)
        while waiting and waiting[0][0] < now:
            time, image = waiting.pop(0)
            follower.add_frame(image, time)
        values += follower.values(now)
    for modality in ("face", "voice"):
        follower.end(modality)
    return values + follower.values(len(audio) / SAMPLING_RATE), [word.text for word in follower.words]


def test_the_values_do_not_depend_on_the_lengths_of_the_blocks(clip: tuple) -> None:
    values, words = fed_in_blocks(None, clip, SAMPLING_RATE)
    assert len(words) > 10 and any(value.presence["words"] for value in values)
    assert values[-1].time == pytest.approx(9.9)  # the tail as well
    for size in (160, 592, len(clip[1])):  # 10 ms, 37 ms, all at once
        others, other_words = fed_in_blocks(None, clip, size)
        assert other_words == words and [value.time for value in others] == [value.time for value in values]
        assert [value.presence for value in others] == [value.presence for value in values]
        for name in ("valence", "arousal"):
            found, expected = ([getattr(value, name) for value in one] for one in (others, values))
            np.testing.assert_allclose(found, expected, atol=1e-4)


def test_a_face_that_comes_late_makes_no_jump(clip: tuple) -> None:
    frames, audio = clip
    late = [(time, image) for time, image in frames if time >= 1.2]
    values, _ = fed_in_blocks(None, (late, audio[: 5 * SAMPLING_RATE]), SAMPLING_RATE // 2)
    assert values[0].presence["face"] and values[0].time == pytest.approx(1.3)  # the first frame is at 1.25 s
    np.testing.assert_allclose([value.time for value in values], values[0].time + np.arange(len(values)) / RATE)
    assert values[-1].time == pytest.approx(4.9)


def test_a_person_who_is_silent_at_first_is_followed_from_the_start(fusion: Path, clip: tuple) -> None:
    values, _ = fed_in_blocks(fusion, (clip[0], np.zeros(2 * SAMPLING_RATE, np.float32)), SAMPLING_RATE // 10)
    assert [value.time for value in values] == pytest.approx(np.arange(20) / RATE)
    assert all(value.presence == {"face": True, "voice": False, "words": False} for value in values)


@pytest.mark.parametrize("seconds", [1, 4])
def test_where_no_face_comes_all_values_come_after_a_stated_time_or_at_the_end(fusion: Path, clip: tuple, seconds: int) -> None:
    follower, audio = Follower(fusion), clip[1]
    for second in range(seconds):
        follower.add_audio(audio[second * SAMPLING_RATE : (second + 1) * SAMPLING_RATE])
        assert follower.values(second + 1) == []  # a face may still come
    values = follower.values(seconds + MAX_WAIT)
    assert bool(values) == (seconds > START_DUR)
    follower.end("face")
    follower.end("voice")
    values += follower.values(seconds)
    assert [value.time for value in values] == pytest.approx(np.arange(10 * seconds) / RATE)


def test_without_a_camera_none_is_expected(fusion: Path, clip: tuple) -> None:
    follower = Follower(fusion)
    follower.end("face")
    follower.add_audio(clip[1][: 2 * SAMPLING_RATE])
    assert [value.time for value in follower.values(2.0)] == pytest.approx(np.arange(20) / RATE)


def test_a_block_shorter_than_a_hop_costs_nothing_until_the_hop_is_complete(fusion: Path, clip: tuple) -> None:
    follower = Follower(fusion)
    samples = clip[1][: round(HOP_DUR * SAMPLING_RATE)]
    follower.add_audio(samples[:-1])
    assert follower._ears.time == 0 and len(follower._ears._pending) == len(samples) - 1
    follower.add_audio(samples[-1:])
    assert follower._ears.time == pytest.approx(HOP_DUR)
    follower.add_audio([])
    follower.add_audio(samples[:100])
    follower.end("voice")
    assert len(follower._ears._pending) == 0


def test_in_a_hurry_hops_are_processed_together(fusion: Path, clip: tuple, monkeypatch: pytest.MonkeyPatch) -> None:
    found = {}
    for hurry in (False, True):
        follower = Follower(fusion, transcribe=False)
        listener, calls = follower._ears._listener, []
        monkeypatch.setattr(
            listener, "encode", lambda audio, encode=listener.encode, calls=calls: calls.append(1) or encode(audio)
        )
        follower.add_audio(clip[1][: 3 * SAMPLING_RATE], hurry)
        found[hurry] = len(calls), set(follower._ears.voice)
    assert found[True][0] == 1 < found[False][0] <= 6
    assert len(found[True][1] & found[False][1]) > 0.8 * len(found[True][1] | found[False][1])


def test_arrays_of_other_kinds_are_read_or_refused(fusion: Path, clip: tuple) -> None:
    follower, audio = Follower(fusion), clip[1][: 2 * SAMPLING_RATE].copy()
    whole = Follower(fusion)
    follower.add_audio((audio * 32768).round().clip(-32768, 32767).astype(np.int16))
    whole.add_audio(audio)
    assert follower._ears.voice.keys() == whole._ears.voice.keys() != set()
    audio[100:110], audio[200] = np.nan, np.inf
    broken = Follower(fusion)
    broken.add_audio(audio)
    assert broken._ears.voice and all(np.isfinite(vector).all() for vector in broken._ears.voice.values())
    with pytest.raises(ValueError, match=r"one dimension.*\(10, 2\)"):
        follower.add_audio(np.zeros((10, 2), np.float32))
    with pytest.raises(ValueError, match=r"uint8, not \(4, 4\) of float64"):
        follower.add_frame(np.zeros((4, 4)), 0.0)
    follower.add_frame(Image.new("L", (64, 64)), 0.0)


def test_a_model_for_whole_recordings_is_refused_and_the_other_way_round(fusion: Path) -> None:
    with pytest.raises(ModelError, match=r"fusion\.onnx: is for whole recordings, but one for a live"):
        Follower(package_file("fusion.onnx"))
    with pytest.raises(ModelError, match=r"streaming\.onnx: is for a live stream, but one for whole recordings"):
        load_model(fusion)


@pytest.mark.parametrize("decibels", [-40, 20])
def test_the_level_of_the_microphone_hardly_matters(demo: Path, decibels: int) -> None:
    audio = np.concatenate(list(AudioReader(demo, 8.0)))[: 8 * SAMPLING_RATE]
    traces = []
    for gain in (1.0, 10 ** (decibels / 20)):
        follower = Follower()
        follower.end("face")
        for start in range(0, len(audio), SAMPLING_RATE // 2):
            follower.add_audio(audio[start : start + SAMPLING_RATE // 2] * np.float32(gain))
        values = follower.values(8.0)
        assert any(value.presence["voice"] for value in values)
        traces.append([(value.valence, value.arousal) for value in values])
    np.testing.assert_allclose(*traces, atol=0.05)


def test_samples_that_are_no_numbers_are_silence_live(fusion: Path, demo: Path) -> None:
    audio = np.concatenate(list(AudioReader(demo, 4.0)))[: 4 * SAMPLING_RATE]
    audio[[20000, 40000]] = np.nan, 3e38
    follower = Follower(fusion)
    follower.end("face")
    for start in range(0, len(audio), SAMPLING_RATE):
        follower.add_audio(audio[start : start + SAMPLING_RATE])
    values = follower.values(4.0)
    assert any(value.presence["voice"] for value in values)
    assert all(np.isfinite([value.valence, value.arousal]).all() for value in values)
