from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from conftest import CODECS, write_movie
from signals import grey, level, onset, tone
from vatrace.media.reading import MAX_SIDE, SAMPLING_RATE, AudioReader, VideoReader
from vatrace.media.recording import open_recording


@pytest.mark.parametrize("suffix", CODECS)
def test_every_container_keeps_frames_and_audio_at_their_times(tmp_path: Path, suffix: str) -> None:
    images = [grey(40 if index < 25 else 200) for index in range(50)]  # it becomes light at 1 s
    path = write_movie(tmp_path / f"a.{suffix}", images, sound=tone(1.5, 2.0))
    info = open_recording(path)
    assert info.has_frames and info.has_audio and info.kind == "video"
    reader = VideoReader(path, rate=25)
    frames = list(reader)
    light = {step: level(frame.image) > 120 for frame in frames for step in frame.steps}
    assert set(light) >= set(range(50)) and set(light) <= set(range(51))  # muxers of old containers shift by up to a frame
    assert {step: light[step] for step in range(50) if step != 25} == {step: step > 25 for step in range(50) if step != 25}
    assert reader.end == pytest.approx(2.0, abs=0.05)
    assert onset(np.concatenate(list(AudioReader(path, 1)))) == pytest.approx(1.5, abs=0.03)


def test_each_step_shows_the_frame_that_is_on_show_in_variable_frame_rate(tmp_path: Path) -> None:
    times = [0.0, 0.05, 0.3, 0.35, 1.2, 1.25, 1.9]
    images = [grey(20 + 30 * index) for index in range(len(times))]
    path = write_movie(tmp_path / "vfr.mkv", images, times)
    shown = {step: level(frame.image) for frame in VideoReader(path, rate=10) for step in frame.steps}
    expected = {step: 20 + 30 * int(np.searchsorted(times, step / 10 + 1e-9, side="right") - 1) for step in range(19)}
    assert {step: shown[step] for step in expected} == pytest.approx(expected, abs=6)


def test_frames_that_start_late_leave_the_first_steps_empty(tmp_path: Path) -> None:
    path = write_movie(tmp_path / "late.mkv", [grey(100)] * 5, [1.0, 1.1, 1.2, 1.3, 1.4], sound=tone(0, 2))
    assert next(iter(VideoReader(path, rate=10))).steps.start == 10


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_audio_that_starts_late_is_preceded_by_silence(tmp_path: Path, suffix: str) -> None:
    path = write_movie(tmp_path / f"late.{suffix}", [grey(100)] * 75, sound=tone(0, 1.5), sound_start=1.0)
    reader = AudioReader(path, block_dur=0.4)
    audio = np.concatenate(list(reader))
    assert onset(audio) == pytest.approx(1.0, abs=0.03)
    assert reader.end == pytest.approx(2.5, abs=0.05)


def test_frames_inside_spans_come_at_the_videos_own_rate_or_at_most_at_a_given_one(tmp_path: Path) -> None:
    path = write_movie(tmp_path / "a.mp4", [grey(5 * index) for index in range(50)])
    frames = list(VideoReader(path, rate=10).between([(0.2, 0.4), (1.0, 1.2)], 30))
    assert [time for _, time in frames] == pytest.approx([0.2, 0.24, 0.28, 0.32, 0.36, 1.0, 1.04, 1.08, 1.12, 1.16])
    assert [level(image) for image, _ in frames] == pytest.approx([125 * time for _, time in frames], abs=4)
    slower = [time for _, time in VideoReader(path, rate=10).between([(0.0, 1.0)], 15)]
    assert slower == pytest.approx(np.arange(0, 1, 0.08))


def test_audio_blocks_have_the_length_asked_for_and_join_to_the_whole(talking: Path) -> None:
    blocks = list(AudioReader(talking, block_dur=0.7))
    assert {len(block) for block in blocks[:-1]} == {round(0.7 * SAMPLING_RATE)}
    np.testing.assert_array_equal(np.concatenate(blocks), np.concatenate(list(AudioReader(talking, block_dur=60))))


def test_stereo_is_averaged_and_stays_within_one(tmp_path: Path) -> None:
    path = tmp_path / "stereo.wav"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=SAMPLING_RATE, layout="stereo")
        both = np.stack([np.full(8000, 0.9), np.full(8000, 0.5)]).astype(np.float32)
        frame = av.AudioFrame.from_ndarray((both.T.reshape(1, -1) * 32767).astype(np.int16), format="s16", layout="stereo")
        frame.sample_rate = SAMPLING_RATE
        container.mux(stream.encode(frame))
    assert np.concatenate(list(AudioReader(path, 60))) == pytest.approx(0.7, abs=1e-3)


def test_large_frames_are_made_smaller_with_their_shape_kept(tmp_path: Path) -> None:
    path = write_movie(tmp_path / "uhd.mp4", [grey(90, (3840, 2160))])
    assert next(iter(VideoReader(path, 10))).image.size == (MAX_SIDE, 720)


def test_damage_in_the_middle_costs_only_what_is_damaged(tmp_path: Path, talking: Path) -> None:
    path = tmp_path / "damaged.mp3"
    audio = np.concatenate(list(AudioReader(talking, 60)))
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mp3", rate=SAMPLING_RATE, layout="mono")
        frame = av.AudioFrame.from_ndarray(audio[None], format="fltp", layout="mono")
        frame.sample_rate = SAMPLING_RATE
        for part in av.AudioResampler(stream.codec_context.format, "mono", SAMPLING_RATE, 576).resample(frame):
            container.mux(stream.encode(part))
        container.mux(stream.encode(None))
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 1500] = np.random.default_rng(0).bytes(1500)
    path.write_bytes(data)
    reader = AudioReader(path, 60)
    heard = np.concatenate(list(reader))
    assert reader.damage
    assert len(heard) == pytest.approx(len(audio), rel=0.15)
    tail = slice(-SAMPLING_RATE, -SAMPLING_RATE // 10)
    assert np.abs(heard[tail]).mean() == pytest.approx(np.abs(audio[tail]).mean(), rel=0.3)


def test_joined_recordings_go_on_though_their_timestamps_restart(tmp_path: Path, face_images: list[Image.Image]) -> None:
    part = write_movie(tmp_path / "part.mpg", face_images[:50], sound=tone(0.5, 2.0))
    joined = tmp_path / "joined.mpg"
    joined.write_bytes(part.read_bytes() * 2)
    video, audio = VideoReader(joined, 10), AudioReader(joined, 60)
    steps = [step for frame in video for step in frame.steps]
    assert steps == list(range(len(steps))) and len(steps) == pytest.approx(40, abs=1)
    heard = np.concatenate(list(audio))
    assert audio.end == pytest.approx(4.0, abs=0.1)
    assert onset(heard) == pytest.approx(0.5, abs=0.05)
    assert onset(heard[round(2.1 * SAMPLING_RATE) :]) == pytest.approx(0.4, abs=0.1)


def test_audio_that_changes_its_kind_is_read_on(tmp_path: Path) -> None:
    joined = b""
    for index, layout in enumerate(("mono", "stereo")):
        path = tmp_path / f"{index}.mp2"
        with av.open(str(path), "w") as container:
            stream = container.add_stream("mp2", rate=44100, layout=layout)
            frame = av.AudioFrame.from_ndarray(tone(0, 1.0)[None], format="fltp", layout="mono")
            frame.sample_rate = SAMPLING_RATE
            for part in av.AudioResampler(stream.codec_context.format, layout, 44100, 1152).resample(frame):
                container.mux(stream.encode(part))
            container.mux(stream.encode(None))
        joined += path.read_bytes()
    path = tmp_path / "both.mp2"
    path.write_bytes(joined)
    reader = AudioReader(path, 60)
    assert np.abs(np.concatenate(list(reader))[-4000:-2000]).max() > 0.3
    assert reader.end == pytest.approx(2.0, abs=0.15)


def test_pixels_that_are_not_square_are_shown_as_they_should_be(tmp_path: Path) -> None:
    path = tmp_path / "pal.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 720, 576, "yuv420p"
        stream.codec_context.sample_aspect_ratio = Fraction(64, 45)
        container.mux(stream.encode(av.VideoFrame.from_image(grey(99, (720, 576)))))
        container.mux(stream.encode(None))
    assert next(iter(VideoReader(path, 10))).image.size == (1024, 576)


def test_a_truncated_video_gives_what_is_there(tmp_path: Path, face_images: list[Image.Image]) -> None:
    path = write_movie(tmp_path / "whole.mkv", face_images[:100])
    cut = tmp_path / "cut.mkv"
    cut.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    reader = VideoReader(cut, 10)
    assert 5 < len(list(reader)) < 35
    assert 0.5 < reader.end < 3.5
