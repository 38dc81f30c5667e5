from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from conftest import CODECS, write_movie
from signals import grey, level, tone
from vatrace.errors import MediaError
from vatrace.media.reading import VideoReader
from vatrace.media.recording import Recording, audio_span, frame_times, open_recording, packets_end
from vatrace.media.transcripts import Word


def decoded_times(path: Path) -> list[float]:
    return [frame.time for frame in VideoReader(path, rate=1000)]  # so fine that every frame is shown at a step


@pytest.mark.parametrize("suffix", CODECS)
@pytest.mark.parametrize("frame_rate", [25, 30])
def test_frame_times_are_those_of_the_decoded_frames(tmp_path: Path, suffix: str, frame_rate: int) -> None:
    images = [grey(20 + 3 * index) for index in range(50)]
    path = write_movie(tmp_path / f"a.{suffix}", images, sound=tone(0.5, 2.0), frame_rate=frame_rate)
    times = frame_times(path)
    assert len(times) == 50
    np.testing.assert_allclose(times, decoded_times(path), rtol=0, atol=1e-9)


def packet_times(path: Path) -> list[int]:
    with av.open(str(path)) as container:
        return [packet.pts for packet in container.demux(video=0) if packet.pts is not None]


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_frame_times_of_reordered_and_uneven_frames(tmp_path: Path, suffix: str) -> None:
    times = [0.0, 0.05, 0.3, 0.35, 1.2, 1.25, 1.9]
    path = write_movie(tmp_path / f"vfr.{suffix}", [grey(20 + 30 * index) for index in range(len(times))], times)
    order = packet_times(path)
    assert order != sorted(order)  # the file does hold B-frames
    assert frame_times(path) == pytest.approx(times, abs=1e-3)
    assert frame_times(path) == pytest.approx(decoded_times(path), abs=1e-9)


def test_frames_in_avi_that_were_stored_in_the_order_of_decoding_are_all_seen_in_time(tmp_path: Path) -> None:
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


def test_frame_times_of_late_frames_and_of_joined_files_are_those_of_the_reader(tmp_path: Path) -> None:
    images = [grey(20 + 3 * index) for index in range(50)]
    late = write_movie(tmp_path / "late.mkv", images[:5], [1.0, 1.1, 1.2, 1.3, 1.4], sound=tone(0, 2))
    assert frame_times(late) == pytest.approx([1.0, 1.1, 1.2, 1.3, 1.4], abs=1e-3)
    part = write_movie(tmp_path / "part.mpg", images, sound=tone(0.5, 2.0))
    joined = tmp_path / "joined.mpg"
    joined.write_bytes(part.read_bytes() * 2)
    assert len(frame_times(joined)) == 100
    assert frame_times(joined) == pytest.approx(decoded_times(joined), abs=1e-9)


def test_frames_with_the_time_of_the_one_before_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "repeated.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mjpeg", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuvj420p"
        for index in range(20):
            packets = stream.encode(av.VideoFrame.from_image(grey(100 + 5 * index)))
            for packet in packets:
                packet.pts = packet.dts = 40 * (index - (index in {5, 6}))
                packet.time_base = Fraction(1, 1000)
            container.mux(packets)
    expected = [0.04 * (index - (index in {5, 6})) for index in range(20)]
    assert frame_times(path) == pytest.approx(expected, abs=1e-3)
    reader = VideoReader(path, 25)
    shown = {step: level(frame.image) for frame in reader for step in frame.steps}
    assert reader.times.tolist() == pytest.approx(expected, abs=1e-3)
    assert shown[4] == pytest.approx(100 + 5 * 5, abs=2)  # of the two frames at this time, the last
    assert shown[7] == pytest.approx(100 + 5 * 7, abs=2)


@pytest.mark.parametrize(("suffix", "codec"), [("ts", "libx264"), ("mpg", "mpeg2video")])
@pytest.mark.parametrize("cut", [3, 5])
def test_frames_that_nobody_can_decode_are_not_counted(tmp_path: Path, suffix: str, codec: str, cut: int) -> None:
    whole, part = tmp_path / f"whole.{suffix}", tmp_path / f"part.{suffix}"
    noise = np.random.default_rng(0)
    with av.open(str(whole), "w") as container:
        stream = container.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.codec_context.gop_size, stream.codec_context.max_b_frames = 25, 2
        for index in range(100):
            frame = av.VideoFrame.from_ndarray(noise.integers(0, 255, (48, 64, 3)).astype(np.uint8), format="rgb24")
            frame.pts, frame.time_base = index, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    data = whole.read_bytes()
    part.write_bytes(data[len(data) // cut // 188 * 188 :])
    with av.open(str(part)) as container:
        decodable = 0
        for packet in container.demux(video=0):
            try:
                decodable += len(packet.decode())
            except av.FFmpegError:
                continue
    times = frame_times(part)
    assert 50 < len(times) == decodable < 100
    reader = VideoReader(part, 25)
    assert list(reader) and np.array_equal(np.array(reader.times), times)


def test_frame_times_where_the_file_has_none_follow_from_the_frame_rate(tmp_path: Path) -> None:
    path = tmp_path / "raw.h264"
    with av.open(str(path), "w", format="h264") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for index in range(20):
            container.mux(stream.encode(av.VideoFrame.from_image(grey(10 * index))))
        container.mux(stream.encode(None))
    assert frame_times(path) == pytest.approx(np.arange(20) / 25)


def test_audio_alone_has_no_frame_times(tmp_path: Path) -> None:
    path = write_movie(tmp_path / "audio.mp4", sound=tone(0, 1))
    with pytest.raises(MediaError, match="contains no video"):
        frame_times(path)


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_the_span_of_the_audio_is_known_from_its_packets(tmp_path: Path, suffix: str) -> None:
    path = write_movie(tmp_path / f"late.{suffix}", [grey(100)] * 75, sound=tone(0, 1.5), sound_start=1.0)
    assert audio_span(path) == pytest.approx((1.0, 2.5), abs=0.05)
    assert audio_span(write_movie(tmp_path / f"silent.{suffix}", [grey(100)] * 5)) is None


def test_a_still_image_is_one_frame_without_time(tmp_path: Path) -> None:
    for name in ("a.png", "a.jpg"):
        path = tmp_path / name
        grey(120).save(path)
        info = open_recording(path)
        assert info.kind == "image" and not info.has_audio
        assert next(iter(VideoReader(path, 10))).steps.start == 0


def test_a_cover_image_does_not_make_music_a_video(tmp_path: Path, talking: Path) -> None:
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


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("none.mp4", None, "no such file"),
        ("empty.mp4", b"", "the file is empty"),
        ("notes.txt", b"a transcript with the wrong ending\n" * 200, "file but text"),
        ("text.mp4", b"this is a letter, not a film\n" * 50, "not a readable video, audio or image"),
    ],
)
def test_what_is_no_recording_is_refused_by_name(tmp_path: Path, name: str, content: bytes | None, message: str) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(MediaError, match=message) as error:
        open_recording(path)
    assert str(path) in str(error.value)


SRT = "1\n00:00:00,000 --> 00:00:02,000\nWell well\n"


def test_what_a_container_states_is_known_without_decoding(talking: Path) -> None:
    recording = open_recording(str(talking))
    assert (recording.path, recording.kind, recording.num_audio_tracks) == (talking, "video", 1)
    assert recording.duration == pytest.approx(4.0, abs=0.1) and recording.frame_rate == pytest.approx(30)
    assert recording.words is None and recording.transcript is None


def test_audio_alone_has_no_frames(tmp_path: Path) -> None:
    recording = open_recording(write_movie(tmp_path / "audio.mp4", sound=tone(0, 1)))
    assert (recording.kind, recording.has_frames, recording.has_audio) == ("audio", False, True)
    assert recording.frame_rate is None and recording.duration == pytest.approx(1.0, abs=0.1)


def test_a_transcript_is_a_recording_or_belongs_to_one(tmp_path: Path, talking: Path) -> None:
    transcript = tmp_path / "talk.SRT"
    transcript.write_text(SRT)
    words = (Word("Well", 0.0, 1.0), Word("well", 1.0, 2.0))
    assert open_recording(transcript) == Recording(transcript, "transcript", words=words, transcript=transcript)
    given = open_recording(talking, transcript)
    assert (given.kind, given.words, given.transcript) == ("video", words, transcript)


def test_a_transcript_of_a_transcript_is_refused(tmp_path: Path) -> None:
    for name in ("one.srt", "other.srt"):
        (tmp_path / name).write_text(SRT)
    with pytest.raises(MediaError, match=r"one\.srt: already a transcript; leave out .*other\.srt"):
        open_recording(tmp_path / "one.srt", tmp_path / "other.srt")


def test_the_end_is_known_from_packets_where_the_container_does_not_state_it(tmp_path: Path) -> None:
    late = write_movie(tmp_path / "late.mkv", [grey(100)] * 75, sound=tone(0, 3.5))
    assert packets_end(open_recording(late)) == pytest.approx(3.5, abs=0.05)
    silent = write_movie(tmp_path / "silent.mkv", [grey(100)] * 75)
    assert packets_end(open_recording(silent)) == pytest.approx(3.0, abs=0.01)
