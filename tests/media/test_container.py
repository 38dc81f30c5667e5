import errno
import os
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import av
import pytest

from conftest import write_movie
from signals import grey, tone
from vatrace.errors import MediaError
from vatrace.media.container import (
    MAX_REORDER,
    TIME_JUMP,
    Clock,
    decoded_frames,
    in_presentation_order,
    open_container,
    packet_times,
    video_stream,
)
from vatrace.media.recording import open_recording


def test_a_clock_starts_at_the_containers_time_zero() -> None:
    clock = Clock(start=5.0)
    assert [clock.time(stamp, 0.1) for stamp in (5.0, 5.1, 5.3)] == pytest.approx([0.0, 0.1, 0.3])


def test_a_clock_without_a_start_takes_the_first_frames() -> None:
    clock = Clock(None)
    assert [clock.time(stamp, 0.1) for stamp in (7.0, 7.5)] == pytest.approx([0.0, 0.5])


def test_a_clock_continues_where_timestamps_restart_or_are_missing() -> None:
    clock = Clock(0.0)
    stamps = [0.0, 1.0, None, 0.0, 0.5, None, 9000.0, 9000.1]
    assert [clock.time(stamp, 0.5) for stamp in stamps] == pytest.approx([0.0, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 3.6])


def test_a_clock_believes_small_steps_back() -> None:
    clock = Clock(0.0)
    clock.time(3.0, 0.1)
    assert clock.time(3.1 - 0.9 * TIME_JUMP, 0.1) == pytest.approx(3.1 - 0.9 * TIME_JUMP)


def frames(stamps: list[float | None]) -> Iterator[tuple[SimpleNamespace, None]]:
    return ((SimpleNamespace(time=stamp, index=index), None) for index, stamp in enumerate(stamps))


def test_frames_with_times_of_decoding_get_those_of_presentation() -> None:
    decoding = [0.0, 3.0, 1.0, 2.0, 6.0, 4.0, 5.0]
    found = [(frame.index, stamp) for frame, stamp, _ in in_presentation_order(frames(decoding), MAX_REORDER)]
    assert found == [(index, float(index)) for index in range(len(decoding))]


def test_frames_whose_times_are_right_keep_them() -> None:
    stamps = [0.0, None, 3.0, 1.0]
    assert [stamp for _, stamp, _ in in_presentation_order(frames(stamps), 0)] == stamps


def test_packets_are_given_in_the_order_of_presentation(tmp_path: Path) -> None:
    path = write_movie(tmp_path / "a.mkv", [grey(20 + 3 * index) for index in range(50)])
    with open_container(path) as container:
        stream = video_stream(container)
        stored = [packet.pts * Fraction(packet.time_base) for packet in container.demux(stream) if packet.pts is not None]
    with open_container(path) as container:
        times = [stamp for stamp, _ in packet_times(container, video_stream(container))]
    assert stored != sorted(stored)  # the file does hold B-frames
    assert times == pytest.approx([float(stamp) for stamp in sorted(stored)])


def test_a_colon_in_a_name_is_no_protocol(tmp_path: Path) -> None:
    path = write_movie(tmp_path / "a.mp4", [grey(99)] * 3).rename(tmp_path / "http:a.mp4")
    with open_container(path) as container:
        assert len([frame for frame, _ in decoded_frames(container, video_stream(container))]) == 3


def test_audio_alone_has_no_video_stream(tmp_path: Path) -> None:
    with open_container(write_movie(tmp_path / "a.mp4", sound=tone(0, 1))) as container:
        assert video_stream(container) is None


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("none.mp4", None, "no such file"),
        ("empty.mp4", b"", "the file is empty"),
        ("notes.txt", b"a transcript with the wrong suffix\n" * 200, "file but text"),
        ("text.mp4", b"this is a letter, not a film\n" * 50, "file but text"),
    ],
)
def test_what_is_no_recording_is_refused_by_name(tmp_path: Path, name: str, content: bytes | None, message: str) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(MediaError, match=message) as error:
        open_container(path)
    assert str(path) in str(error.value)


Track = tuple[int, int, int, bool]
"""Width, height, frames a second, and whether it is flagged as the default."""


@pytest.mark.parametrize(
    ("tracks", "chosen"),
    [
        ([(64, 48, 25, True)], 0),
        ([(640, 360, 1, False), (320, 240, 25, True)], 1),  # slides, and the default
        ([(32, 24, 25, True), (320, 240, 25, False)], 1),  # a thumbnail, though flagged
        ([(640, 360, 1, True), (320, 240, 25, True)], 1),  # pixels a second
        ([(320, 240, 25, True), (320, 240, 25, True)], 0),
        ([(320, 240, 25, True), (640, 480, 25, False)], 0),
    ],
)
def test_of_several_video_tracks_the_default_or_the_largest_is_read(tmp_path: Path, tracks: list[Track], chosen: int) -> None:
    path = tmp_path / "tracks.mkv"
    with av.open(str(path), "w") as container:
        streams = []
        for width, height, rate, default in tracks:
            stream = container.add_stream("mpeg4", rate=rate)
            stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
            stream.disposition = int(default)
            streams.append(stream)
        for stream, (width, height, rate, _) in zip(streams, tracks, strict=True):
            for index in range(rate):
                frame = av.VideoFrame.from_image(grey(100, (width, height)))
                frame.pts, frame.time_base = index, Fraction(1, rate)
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
    with open_container(path) as container:
        assert video_stream(container).index == chosen
    note = open_recording(path).video_track
    if len(tracks) == 1:
        assert note is None
    else:
        assert note is not None and f"2 video tracks: number {chosen + 1} was used ({tracks[chosen][0]} x" in note


@pytest.mark.parametrize(("kind", "number"), [(av.error.MemoryError, errno.ENOMEM), (av.error.BlockingIOError, errno.EAGAIN)])
def test_too_little_memory_is_not_taken_for_damage(kind: type[Exception], number: int) -> None:
    error = kind(number, os.strerror(number))

    def failing() -> list[av.VideoFrame]:
        raise error

    damaged = SimpleNamespace(demux=lambda stream: iter([SimpleNamespace(decode=failing)]))
    with pytest.raises(MemoryError):
        list(decoded_frames(damaged, None))
