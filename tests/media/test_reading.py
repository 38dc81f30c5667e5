from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from conftest import CODECS, write_movie
from vatrace.errors import MediaError
from vatrace.media.reading import MAX_SIDE, SAMPLING_RATE, AudioReader, VideoReader
from vatrace.media.recording import audio_span, frame_times, open_recording


def grey(level: float, size: tuple[int, int] = (64, 48)) -> Image.Image:
    return Image.new("RGB", size, (round(level),) * 3)


def level(image: Image.Image) -> float:
    return float(np.asarray(image.convert("L")).mean())


def tone(start: float, duration: float) -> np.ndarray:
    time = np.arange(round(duration * SAMPLING_RATE)) / SAMPLING_RATE
    return np.where(time >= start, 0.5 * np.sin(2 * np.pi * 440 * time), 0).astype(np.float32)


def onset(sound: np.ndarray) -> float:
    return float(np.argmax(np.abs(sound) > 0.2)) / SAMPLING_RATE


@pytest.mark.parametrize("suffix", CODECS)
def test_every_container_keeps_pictures_and_sound_at_their_times(tmp_path: Path, suffix: str) -> None:
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


def test_each_step_shows_the_picture_that_is_on_show_in_variable_frame_rate(tmp_path: Path) -> None:
    times = [0.0, 0.05, 0.3, 0.35, 1.2, 1.25, 1.9]
    images = [grey(20 + 30 * index) for index in range(len(times))]
    path = write_movie(tmp_path / "vfr.mkv", images, times)
    shown = {step: level(frame.image) for frame in VideoReader(path, rate=10) for step in frame.steps}
    expected = {step: 20 + 30 * int(np.searchsorted(times, step / 10 + 1e-9, side="right") - 1) for step in range(19)}
    assert {step: shown[step] for step in expected} == pytest.approx(expected, abs=6)


def decoded_times(path: Path) -> list[float]:
    return [frame.time for frame in VideoReader(path, rate=1000)]  # so fine that every picture is on show at a step


@pytest.mark.parametrize("suffix", CODECS)
@pytest.mark.parametrize("frame_rate", [25, 30])
def test_frame_times_are_those_of_the_decoded_frames(tmp_path: Path, suffix: str, frame_rate: int) -> None:
    images = [grey(20 + 3 * index) for index in range(50)]
    path = write_movie(tmp_path / f"a.{suffix}", images, sound=tone(0.5, 2.0), frame_rate=frame_rate)
    times = frame_times(path)
    assert len(times) == 50
    np.testing.assert_allclose(times, decoded_times(path), rtol=0, atol=1e-9)


def packet_times(path: Path) -> list[int]:
    import av

    with av.open(str(path)) as container:
        return [packet.pts for packet in container.demux(video=0) if packet.pts is not None]


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_frame_times_of_reordered_and_uneven_pictures(tmp_path: Path, suffix: str) -> None:
    times = [0.0, 0.05, 0.3, 0.35, 1.2, 1.25, 1.9]
    path = write_movie(tmp_path / f"vfr.{suffix}", [grey(20 + 30 * index) for index in range(len(times))], times)
    order = packet_times(path)
    assert order != sorted(order)  # the file does hold B-frames
    assert frame_times(path) == pytest.approx(times, abs=1e-3)
    assert frame_times(path) == pytest.approx(decoded_times(path), abs=1e-9)


def test_pictures_in_avi_that_were_stored_in_the_order_of_decoding_are_all_seen_in_time(tmp_path: Path) -> None:
    import av

    path = tmp_path / "b-frames.avi"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height = grey(0).size
        stream.pix_fmt, stream.options = "yuv420p", {"bf": "3", "b-adapt": "0"}
        for index in range(75):
            frame = av.VideoFrame.from_image(grey(20 + 3 * index))
            frame.pts, frame.time_base = index, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with av.open(str(path)) as container:
        order = [frame.pts for frame in container.decode(video=0)]
    assert order != sorted(order)
    frames = list(VideoReader(path, 25))
    assert [frame.steps for frame in frames] == [range(index, index + 1) for index in range(75)]
    assert [level(frame.image) for frame in frames] == pytest.approx([20 + 3 * index for index in range(75)], abs=2)
    np.testing.assert_allclose(frame_times(path), np.arange(75) / 25, atol=1e-9)


def test_frame_times_of_late_pictures_and_of_joined_files_are_those_of_the_reader(tmp_path: Path) -> None:
    images = [grey(20 + 3 * index) for index in range(50)]
    late = write_movie(tmp_path / "late.mkv", images[:5], [1.0, 1.1, 1.2, 1.3, 1.4], sound=tone(0, 2))
    assert frame_times(late) == pytest.approx([1.0, 1.1, 1.2, 1.3, 1.4], abs=1e-3)
    part = write_movie(tmp_path / "part.mpg", images, sound=tone(0.5, 2.0))
    joined = tmp_path / "joined.mpg"
    joined.write_bytes(part.read_bytes() * 2)
    assert len(frame_times(joined)) == 100
    assert frame_times(joined) == pytest.approx(decoded_times(joined), abs=1e-9)


def test_frame_times_where_the_file_has_none_follow_from_the_frame_rate(tmp_path: Path) -> None:
    import av

    path = tmp_path / "raw.h264"
    with av.open(str(path), "w", format="h264") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for index in range(20):
            container.mux(stream.encode(av.VideoFrame.from_image(grey(10 * index))))
        container.mux(stream.encode(None))
    assert frame_times(path) == pytest.approx(np.arange(20) / 25)


def test_sound_alone_has_no_frame_times(tmp_path: Path) -> None:
    path = write_movie(tmp_path / "sound.mp4", sound=tone(0, 1))
    with pytest.raises(MediaError, match="no pictures"):
        frame_times(path)


def test_pictures_that_start_late_leave_the_first_steps_empty(tmp_path: Path) -> None:
    path = write_movie(tmp_path / "late.mkv", [grey(100)] * 5, [1.0, 1.1, 1.2, 1.3, 1.4], sound=tone(0, 2))
    assert next(iter(VideoReader(path, rate=10))).steps.start == 10


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_sound_that_starts_late_is_preceded_by_silence(tmp_path: Path, suffix: str) -> None:
    path = write_movie(tmp_path / f"late.{suffix}", [grey(100)] * 75, sound=tone(0, 1.5), sound_start=1.0)
    reader = AudioReader(path, block_dur=0.4)
    sound = np.concatenate(list(reader))
    assert onset(sound) == pytest.approx(1.0, abs=0.03)
    assert reader.end == pytest.approx(2.5, abs=0.05)


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_the_span_of_the_sound_is_known_from_its_packets(tmp_path: Path, suffix: str) -> None:
    path = write_movie(tmp_path / f"late.{suffix}", [grey(100)] * 75, sound=tone(0, 1.5), sound_start=1.0)
    assert audio_span(path) == pytest.approx((1.0, 2.5), abs=0.05)
    assert audio_span(write_movie(tmp_path / f"silent.{suffix}", [grey(100)] * 5)) is None


def test_audio_blocks_have_the_length_asked_for_and_join_to_the_whole(talking: Path) -> None:
    blocks = list(AudioReader(talking, block_dur=0.7))
    assert {len(block) for block in blocks[:-1]} == {round(0.7 * SAMPLING_RATE)}
    np.testing.assert_array_equal(np.concatenate(blocks), np.concatenate(list(AudioReader(talking, block_dur=60))))


def test_stereo_is_averaged_and_stays_within_one(tmp_path: Path) -> None:
    import av

    path = tmp_path / "stereo.wav"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=SAMPLING_RATE, layout="stereo")
        both = np.stack([np.full(8000, 0.9), np.full(8000, 0.5)]).astype(np.float32)
        frame = av.AudioFrame.from_ndarray((both.T.reshape(1, -1) * 32767).astype(np.int16), format="s16", layout="stereo")
        frame.sample_rate = SAMPLING_RATE
        container.mux(stream.encode(frame))
    assert np.concatenate(list(AudioReader(path, 60))) == pytest.approx(0.7, abs=1e-3)


def turned(path: Path, matrix: tuple[int, ...]) -> Path:
    """Write the turn into the MP4's track header, as a phone does."""
    data = bytearray(path.read_bytes())
    at = data.index(b"tkhd") + 4 + 40  # version 0: the matrix follows 40 bytes of other fields
    data[at : at + 36] = b"".join(value.to_bytes(4, "big", signed=True) for value in matrix)
    path.write_bytes(data)
    return path


ONE, W = 1 << 16, 1 << 30


@pytest.mark.parametrize(
    ("matrix", "bright_corner"),
    [
        ((ONE, 0, 0, 0, ONE, 0, 0, 0, W), "top left"),
        ((0, ONE, 0, -ONE, 0, 0, 48 * ONE, 0, W), "top right"),  # shown turned by 90 degrees clockwise
        ((-ONE, 0, 0, 0, -ONE, 0, 64 * ONE, 48 * ONE, W), "bottom right"),
        ((0, -ONE, 0, ONE, 0, 0, 0, 64 * ONE, W), "bottom left"),
    ],
)
def test_turned_phone_video_is_upright(tmp_path: Path, matrix: tuple[int, ...], bright_corner: str) -> None:
    pixels = np.zeros((48, 64, 3), np.uint8)
    pixels[:16, :16] = 255
    path = turned(write_movie(tmp_path / "phone.mp4", [Image.fromarray(pixels)] * 5), matrix)
    image = next(iter(VideoReader(path, rate=10))).image
    grey_pixels = np.asarray(image.convert("L"), float)
    corners = {
        "top left": grey_pixels[:10, :10],
        "top right": grey_pixels[:10, -10:],
        "bottom left": grey_pixels[-10:, :10],
        "bottom right": grey_pixels[-10:, -10:],
    }
    assert max(corners, key=lambda name: corners[name].mean()) == bright_corner


def test_large_pictures_are_made_smaller_with_their_shape_kept(tmp_path: Path) -> None:
    path = write_movie(tmp_path / "uhd.mp4", [grey(90, (3840, 2160))])
    assert next(iter(VideoReader(path, 10))).image.size == (MAX_SIDE, 720)


def test_a_still_picture_is_one_frame_without_time(tmp_path: Path) -> None:
    grey(120).save(tmp_path / "a.png")
    grey(120).save(tmp_path / "a.jpg")
    for path in tmp_path.iterdir():
        info = open_recording(path)
        assert info.kind == "image" and not info.has_audio
        assert next(iter(VideoReader(path, 10))).steps.start == 0


def test_a_cover_picture_does_not_make_music_a_video(tmp_path: Path, talking: Path) -> None:
    import av

    cover = tmp_path / "cover.png"
    grey(50).save(cover)
    path = tmp_path / "song.m4a"
    with av.open(str(talking)) as source, av.open(str(cover)) as art, av.open(str(path), "w", format="mp4") as song:
        audio = song.add_stream_from_template(source.streams.audio[0])
        picture = song.add_stream_from_template(art.streams.video[0])
        picture.disposition = av.stream.Disposition.attached_pic
        for packet in art.demux():
            if packet.dts is not None:
                packet.stream = picture
                song.mux(packet)
        for packet in source.demux(audio=0):
            if packet.dts is not None:
                packet.stream = audio
                song.mux(packet)
    info = open_recording(path)
    assert info.has_audio and not info.has_frames


def test_damage_in_the_middle_costs_only_what_is_damaged(tmp_path: Path, talking: Path) -> None:
    path = tmp_path / "damaged.mp3"
    import av

    sound = np.concatenate(list(AudioReader(talking, 60)))
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mp3", rate=SAMPLING_RATE, layout="mono")
        frame = av.AudioFrame.from_ndarray(sound[None], format="fltp", layout="mono")
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
    assert len(heard) == pytest.approx(len(sound), rel=0.15)
    tail = slice(-SAMPLING_RATE, -SAMPLING_RATE // 10)
    assert np.abs(heard[tail]).mean() == pytest.approx(np.abs(sound[tail]).mean(), rel=0.3)


def test_joined_recordings_go_on_though_their_timestamps_start_anew(tmp_path: Path, face_images: list[Image.Image]) -> None:
    part = write_movie(tmp_path / "part.mpg", face_images[:50], sound=tone(0.5, 2.0))
    joined = tmp_path / "joined.mpg"
    joined.write_bytes(part.read_bytes() * 2)
    pictures, sound = VideoReader(joined, 10), AudioReader(joined, 60)
    steps = [step for frame in pictures for step in frame.steps]
    assert steps == list(range(len(steps))) and len(steps) == pytest.approx(40, abs=1)
    heard = np.concatenate(list(sound))
    assert sound.end == pytest.approx(4.0, abs=0.1)
    assert onset(heard) == pytest.approx(0.5, abs=0.05)
    assert onset(heard[round(2.1 * SAMPLING_RATE) :]) == pytest.approx(0.4, abs=0.1)


def test_sound_that_changes_its_kind_is_read_on(tmp_path: Path) -> None:
    import av

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
    from fractions import Fraction

    import av

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


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("none.mp4", None, "no such file"),
        ("empty.mp4", b"", "the file is empty"),
        ("notes.txt", b"a transcript with the wrong ending\n" * 200, "text file"),
        ("text.mp4", b"this is a letter, not a film\n" * 50, "not a video, sound or picture"),
    ],
)
def test_what_is_no_recording_is_refused_by_name(tmp_path: Path, name: str, content: bytes | None, message: str) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(MediaError, match=message) as error:
        open_recording(path)
    assert str(path) in str(error.value)
