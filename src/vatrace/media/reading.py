"""Pictures and sound of a recording with their times; the only module that knows containers and codecs.

Times are seconds from the start of the container, by its presentation timestamps: variable frame rates, sound that starts late
and turned phone video come out right.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vatrace.errors import MediaError, reason

SAMPLING_RATE = 16_000
"""Hz of all sound in this package."""

MAX_SIDE = 1280
"""Larger pictures are made smaller as they are converted; faces need no more."""

VIDEO_SUFFIXES = frozenset({".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".ts", ".wmv", ".flv", ".3gp"})
SOUND_SUFFIXES = frozenset({".wav", ".flac", ".mp3", ".m4a", ".aac", ".ogg", ".opus"})

MAX_DRIFT = 0.05
"""Seconds by which sound may be off its timestamps before it is put right: they are rounded, and resampling holds some back."""

TIME_JUMP, LONGEST_GAP = 1.0, 600.0
"""Seconds that timestamps may go back, or ahead from one frame to the next, and still be believed; beyond, they have started
anew, as in files that were joined, and time goes on from where it was."""


CLOCK_TOLERANCE = 2e-3
"""Seconds by which a picture may be late at a step and still be on show: containers round times, Matroska to milliseconds."""


MAX_REORDER = 16
"""Frames by which the order of decoding and that of presentation can differ, as H.264 has it."""


@dataclass(frozen=True)
class MediaInfo:
    """What a file says of itself.

    Attributes:
        path: the file.
        has_video: whether there are pictures.
        num_sounds: sound tracks; the first is the one that is read.
        duration: length in seconds as the container states it; None where it doesn't, and for a still picture.
        is_still: whether it is one picture without time.
        frame_rate: pictures a second as the container states it or implies; None where there are none.
    """

    path: Path
    has_video: bool
    num_sounds: int
    duration: float | None
    is_still: bool
    frame_rate: float | None = None

    @property
    def has_audio(self) -> bool:
        """Whether there is sound."""
        return self.num_sounds > 0


@dataclass(frozen=True)
class Frame:
    """One picture and the grid steps at which it is on show.

    Attributes:
        image: RGB, turned upright, its longest side at most the reader's `max_side`.
        time: seconds.
        steps: the steps i with `time` <= i / rate < the next picture's time.
    """

    image: Image.Image
    time: float
    steps: range


def _open(path: Path) -> Any:
    import av

    try:
        size = path.stat().st_size
    except OSError as error:
        raise MediaError(f"{path}: {reason(error)}") from error
    if size == 0:
        raise MediaError(f"{path}: the file is empty")
    try:
        # "file:": a colon in a name is no protocol. PyAV before 19 raises on metadata that isn't UTF-8 unless told otherwise
        options: dict[str, Any] = {} if int(av.__version__.split(".")[0]) >= 19 else {"metadata_errors": "replace"}
        container = av.open(f"file:{path}", **options)
    except (av.FFmpegError, OSError, ValueError) as error:
        raise MediaError(f"{path}: not a video, sound or picture that can be read ({reason(error)})") from error
    if container.format.name == "tty":  # FFmpeg would show a text file as a film of a terminal
        container.close()
        raise MediaError(f"{path}: not a video, sound or picture but a text file (transcripts end in .srt or .vtt)")
    return container


def _start(container: Any) -> float:
    """The container's time zero in seconds."""
    return container.start_time / 1e6 if container.start_time is not None else 0.0


def _video_stream(container: Any) -> Any | None:
    """The first stream of moving pictures; a cover image in a music file is none."""
    import av.stream

    for stream in container.streams.video:
        if not stream.disposition & av.stream.Disposition.attached_pic:
            return stream
    return None


def probe(path: Path) -> MediaInfo:
    """Look at a file without decoding it.

    Raises:
        MediaError: if it can't be opened or has neither pictures nor sound.
    """
    with _open(path) as container:
        video, num_sounds = _video_stream(container), len(container.streams.audio)
        if video is None and not num_sounds:
            raise MediaError(f"{path}: neither pictures nor sound in it (format {container.format.name})")
        is_still = video is not None and ("image2" in container.format.name or container.format.name.endswith("_pipe"))
        duration = container.duration / 1e6 if container.duration is not None and not is_still else None
        rate = float(video.average_rate) if video is not None and video.average_rate and not is_still else None
        return MediaInfo(path, video is not None, num_sounds, duration, is_still, rate)


class _Clock:
    """Times from the container's start that go on where timestamps start anew or are missing.

    Args:
        start: the container's time zero in seconds; None for the first frame's.
    """

    def __init__(self, start: float | None) -> None:
        self._offset = None if start is None else -start
        self._expected = 0.0

    def time(self, stamp: float | None, duration: float) -> float:
        """The time of a frame with this timestamp (None: it follows the one before) and duration, in seconds."""
        if self._offset is None and stamp is not None:
            self._offset = -stamp
        time = self._expected if stamp is None or self._offset is None else stamp + self._offset
        if not -TIME_JUMP < time - self._expected < LONGEST_GAP:
            self._offset = (self._offset or 0.0) + self._expected - time
            time = self._expected
        self._expected = time + duration
        return time


def _has_decoding_times(container: Any, stream: Any) -> bool:
    """Whether timestamps say when pictures are decoded, not when they are shown: AVI knows no other, and counts the delay."""
    return bool(container.format.name == "avi" and stream.codec_context.has_b_frames)


def _picture_clock(container: Any, stream: Any) -> _Clock:
    return _Clock(None if _has_decoding_times(container, stream) else _start(container))


def _usual_duration(stream: Any) -> float:
    """Seconds that a picture of this stream lasts where nothing else is said."""
    return float(1 / stream.average_rate) if stream.average_rate else 0.04


def frame_times(path: Path) -> NDArray[np.float64]:
    """When each picture of a video is shown, by its packets alone: nothing is decoded, so an hour takes a second.

    They are the times of the frames that `VideoReader` sees, but that a picture which can't be decoded is counted here.

    Args:
        path: the video.

    Returns:
        (F,) seconds from the container's start, ascending, one for each picture.

    Raises:
        MediaError: if it can't be opened or there are no pictures in it.
    """
    times: list[float] = []
    with _open(path) as container:
        stream = _video_stream(container)
        if stream is None:
            raise MediaError(f"{path}: no pictures in it")
        clock, usual = _picture_clock(container, stream), _usual_duration(stream)
        for stamp, duration in _stamps(container, stream):
            time = clock.time(stamp, duration or usual)
            if not times and time < usual:  # as in VideoReader
                time = 0.0
            if not times or time > times[-1]:
                times.append(time)
    if not times:
        raise MediaError(f"{path}: no pictures in it")
    return np.array(times)


def sound_span(path: Path) -> tuple[float, float] | None:
    """When a recording's sound starts and ends, in seconds from the container's start, by its packets alone; None without any.

    Raises:
        MediaError: if it can't be opened.
    """
    with _open(path) as container:
        if not container.streams.audio:
            return None
        clock = _Clock(_start(container))
        spans = [(clock.time(stamp, length), length) for stamp, length in _stamps(container, container.streams.audio[0])]
    return (max(spans[0][0], 0.0), spans[-1][0] + spans[-1][1]) if spans else None


def packets_end(info: MediaInfo) -> float:
    """When the last picture or sound ends, in seconds, by the packets alone; for files that don't say how long they are."""
    ends = [0.0]
    if info.has_video:
        ends.append(float(frame_times(info.path)[-1]) + (1 / info.frame_rate if info.frame_rate else 0.0))
    if info.has_audio:
        ends += (sound_span(info.path) or (0.0, 0.0))[1:]
    return max(ends)


def _stamps(container: Any, stream: Any) -> Iterator[tuple[float | None, float]]:
    """Presentation time (None where unknown) and duration of each packet, in seconds and in the order of presentation.

    Packets come in the order of decoding. They are sorted between two jumps of the decoding time, so that the pictures of files
    that were joined aren't mixed.
    """
    import av

    part: list[tuple[float | None, float]] = []
    previous: float | None = None

    def in_order() -> list[tuple[float | None, float]]:
        return part if any(stamp is None for stamp, _ in part) else sorted(part, key=lambda item: item[0] or 0.0)

    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets, None)
        except av.FFmpegError:  # a damaged end: what comes before it stands
            packet = None
        if packet is None:
            break
        if packet.size == 0 or packet.is_discard:
            continue
        decoding, showing = (None if value is None else float(value * packet.time_base) for value in (packet.dts, packet.pts))
        if decoding is not None:
            if previous is not None and not -TIME_JUMP < decoding - previous < LONGEST_GAP:
                yield from in_order()
                part = []
            previous = decoding
        part.append((decoding if showing is None else showing, float((packet.duration or 0) * packet.time_base)))
    yield from in_order()


def _frames(container: Any, stream: Any) -> Iterator[tuple[Any, str | None]]:
    """Decode a stream past damaged packets: frames, or None with the reason where a packet can't be decoded."""
    import av

    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets, None)
        except av.FFmpegError as error:
            yield None, reason(error)
            return
        if packet is None:
            return
        try:
            yield from ((frame, None) for frame in packet.decode())
        except av.FFmpegError as error:
            yield None, reason(error)


def _in_order(frames: Iterator[tuple[Any, str | None]], depth: int) -> Iterator[tuple[Any, float | None, str | None]]:
    """Frames with their timestamps, put right where these are of decoding.

    Decoders give frames in the order of presentation, so that each has the earliest time of the next `depth`, at least.
    """
    waiting: deque[Any] = deque()
    stamps: list[float] = []
    for frame, damage in frames:
        if frame is None or depth == 0 or frame.time is None:
            yield frame, None if frame is None else frame.time, damage
            continue
        waiting.append(frame)
        heapq.heappush(stamps, frame.time)
        if len(stamps) > depth:
            yield waiting.popleft(), heapq.heappop(stamps), None
    while waiting:
        yield waiting.popleft(), heapq.heappop(stamps), None


class VideoReader:
    """The pictures of a recording that a regular grid needs.

    Every picture is decoded, since later ones need earlier ones, but only those on show at a step are turned to RGB.

    Args:
        path: the recording.
        rate: steps a second.
        max_side: larger pictures are made smaller, to this many pixels at their longest side.

    Attributes:
        end: when the last picture ends, in seconds; known after iteration.
        damage: the first thing that could not be decoded, or None.
    """

    def __init__(self, path: Path, rate: float, max_side: int = MAX_SIDE) -> None:
        self.path, self.rate, self.max_side = path, rate, max_side
        self.end = 0.0
        self.damage: str | None = None

    def __iter__(self) -> Iterator[Frame]:
        """Yield a `Frame` for each picture that is on show at one step or more.

        Raises:
            MediaError: if not one picture can be decoded.
        """
        previous: tuple[Any, float] | None = None
        for frame, time, duration in self._decode():
            if previous is not None:
                yield from self._shown(*previous, until=time)
            previous = (frame, time)
            self.end = time + duration
        if previous is None:
            raise MediaError(f"{self.path}: no picture in it can be decoded ({self.damage or 'no frames'})")
        yield from self._shown(*previous, until=max(self.end, previous[1] + 2 * CLOCK_TOLERANCE))

    def _decode(self) -> Iterator[tuple[Any, float, float]]:
        """Frames with their times and durations in seconds."""
        with _open(self.path) as container:
            stream = _video_stream(container)
            if stream is None:
                raise MediaError(f"{self.path}: no pictures in it")
            stream.thread_type = "AUTO"
            clock = _picture_clock(container, stream)
            self._aspect = float(stream.sample_aspect_ratio or 1)  # old cameras' pixels are not square
            usual = _usual_duration(stream)
            latest: float | None = None
            decoding_times = _has_decoding_times(container, stream)
            for frame, stamp, damage in _in_order(_frames(container, stream), MAX_REORDER if decoding_times else 0):
                if frame is None:
                    self.damage = self.damage or damage
                    continue
                duration = float(frame.duration * frame.time_base) if frame.duration and frame.time_base else usual
                time = clock.time(stamp, duration)
                if latest is None and time < usual:  # less than a frame late, or early, is on time
                    time = 0.0
                if latest is None or time > latest:
                    latest = time
                    yield frame, time, duration

    def _shown(self, frame: Any, time: float, until: float) -> Iterator[Frame]:
        first, stop = (int(np.ceil((moment - CLOCK_TOLERANCE) * self.rate)) for moment in (time, until))
        if first < stop:
            yield Frame(_upright(frame, self._aspect, self.max_side), time, range(first, stop))


def _upright(frame: Any, aspect: float, max_side: int) -> Image.Image:
    """The picture as it is shown; `aspect` is the width of a pixel by its height."""
    width, height = frame.width * aspect, frame.height
    shrink = min(1.0, max_side / max(width, height))
    image: Image.Image = frame.to_image(width=round(width * shrink), height=round(height * shrink))
    turns = {90: Image.Transpose.ROTATE_90, 180: Image.Transpose.ROTATE_180, 270: Image.Transpose.ROTATE_270}
    turn = turns.get(round(frame.rotation) % 360)
    return image if turn is None else image.transpose(turn)


class AudioReader:
    """The sound of a recording as 16 kHz mono blocks without holes.

    Args:
        path: the recording.
        block_dur: length of a block in seconds; the last may be shorter.

    Attributes:
        end: when the sound ends, in seconds; known after iteration.
        damage: the first thing that could not be decoded, or None.
    """

    def __init__(self, path: Path, block_dur: float) -> None:
        self.path = path
        self.block_size = round(block_dur * SAMPLING_RATE)
        self.end = 0.0
        self.damage: str | None = None

    def __iter__(self) -> Iterator[NDArray[np.float32]]:
        """Yield blocks (N,) float32 in -1..1; the first starts at 0 s, missing sound is silence."""
        pieces: list[NDArray[np.float32]] = []
        size = 0
        for piece in self._placed():
            pieces.append(piece)
            size += len(piece)
            while size >= self.block_size:
                joined = np.concatenate(pieces)
                yield joined[: self.block_size]
                pieces, size = [joined[self.block_size :]], size - self.block_size
        if size:
            yield np.concatenate(pieces)

    def _placed(self) -> Iterator[NDArray[np.float32]]:
        """Pieces in sequence, with silence where the timestamps leave a hole and without what overlaps."""
        position = 0
        for samples, time in self._decode():
            gap = round(time * SAMPLING_RATE) - position
            if abs(gap) <= MAX_DRIFT * SAMPLING_RATE:
                gap = 0
            for start in range(0, gap, self.block_size):
                yield np.zeros(min(self.block_size, gap - start), dtype=np.float32)
            kept = samples[max(-gap, 0) :]
            position += max(gap, 0) + len(kept)
            self.end = position / SAMPLING_RATE
            yield kept

    def _decode(self) -> Iterator[tuple[NDArray[np.float32], float]]:
        """Mono pieces with their times: one after the other, but where a timestamp says that there is a hole or overlap."""
        import av

        resampler: Any = None
        kind, position = None, 0.0
        with _open(self.path) as container:
            clock = _Clock(_start(container))
            for frame, damage in _frames(container, container.streams.audio[0]):
                if frame is None:
                    self.damage = self.damage or damage
                    continue
                parts: list[Any] = []
                if kind != (frame.format.name, frame.layout.name, frame.sample_rate):  # a resampler takes one kind of sound
                    parts += resampler.resample(None) if resampler else []
                    kind = (frame.format.name, frame.layout.name, frame.sample_rate)
                    resampler = av.AudioResampler(format="fltp", rate=SAMPLING_RATE)
                time = clock.time(frame.time, frame.samples / frame.sample_rate)
                if abs(time - position) > MAX_DRIFT:
                    position = time
                for part in [*parts, *resampler.resample(frame)]:
                    yield part.to_ndarray().mean(axis=0), position  # FFmpeg's own downmix can go beyond 1
                    position += part.samples / SAMPLING_RATE
            for part in resampler.resample(None) if resampler else []:
                yield part.to_ndarray().mean(axis=0), position
                position += part.samples / SAMPLING_RATE
