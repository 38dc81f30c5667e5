"""Pictures and sound of a recording with their times; the only module that knows containers and codecs.

Times are seconds from the start of the container, by its presentation timestamps: variable frame rates, sound that starts late
and turned phone video come out right.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

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


class MediaError(ValueError):
    """A recording or transcript can't be read; the message names the file and what is wrong."""


@dataclass(frozen=True)
class MediaInfo:
    """What a file says of itself.

    Attributes:
        path: the file.
        has_video: whether there are pictures.
        has_audio: whether there is sound.
        duration: length in seconds as the container states it; None where it doesn't, and for a still picture.
        is_still: whether it is one picture without time.
    """

    path: Path
    has_video: bool
    has_audio: bool
    duration: float | None
    is_still: bool


@dataclass(frozen=True)
class Frame:
    """One picture and the grid steps at which it is on show.

    Attributes:
        image: RGB, turned upright, longest side at most `MAX_SIDE`.
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
        raise MediaError(f"{path}: {error.strerror.lower() if error.strerror else error}") from error
    if size == 0:
        raise MediaError(f"{path}: the file is empty")
    try:
        container = av.open(f"file:{path}", metadata_errors="replace")  # a colon in a name is no protocol
    except (av.FFmpegError, OSError, ValueError) as error:
        raise MediaError(f"{path}: not a video, sound or picture that can be read ({_reason(error)})") from error
    if container.format.name == "tty":  # FFmpeg would show a text file as a film of a terminal
        container.close()
        raise MediaError(f"{path}: not a video, sound or picture but a text file (transcripts end in .srt or .vtt)")
    return container


def _reason(error: BaseException) -> str:
    text = getattr(error, "strerror", None) or str(error)
    return str(text).lower()


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
        video, has_audio = _video_stream(container), bool(container.streams.audio)
        if video is None and not has_audio:
            raise MediaError(f"{path}: neither pictures nor sound in it (format {container.format.name})")
        is_still = video is not None and ("image2" in container.format.name or container.format.name.endswith("_pipe"))
        duration = container.duration / 1e6 if container.duration is not None and not is_still else None
        return MediaInfo(path, video is not None, has_audio, duration, is_still)


class _Clock:
    """Times from the container's start that go on where timestamps start anew or are missing.

    Args:
        start: the container's time zero in seconds.
    """

    def __init__(self, start: float) -> None:
        self._offset = -start
        self._expected = 0.0

    def time(self, stamp: float | None, duration: float) -> float:
        """The time of a frame with this timestamp (None: it follows the one before) and duration, in seconds."""
        time = self._expected if stamp is None else stamp + self._offset
        if not -TIME_JUMP < time - self._expected < LONGEST_GAP:
            self._offset += self._expected - time
            time = self._expected
        self._expected = time + duration
        return time


def _frames(container: Any, stream: Any) -> Iterator[tuple[Any, str | None]]:
    """Decode a stream past damaged packets: frames, or None with the reason where a packet can't be decoded."""
    import av

    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets, None)
        except av.FFmpegError as error:
            yield None, _reason(error)
            return
        if packet is None:
            return
        try:
            yield from ((frame, None) for frame in packet.decode())
        except av.FFmpegError as error:
            yield None, _reason(error)


class VideoReader:
    """The pictures of a recording that a regular grid needs.

    Every picture is decoded, since later ones need earlier ones, but only those on show at a step are turned to RGB.

    Args:
        path: the recording.
        rate: steps a second.

    Attributes:
        end: when the last picture ends, in seconds; known after iteration.
        damage: the first thing that could not be decoded, or None.
    """

    def __init__(self, path: Path, rate: float) -> None:
        self.path, self.rate = path, rate
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
        yield from self._shown(*previous, until=max(self.end, previous[1] + 1e-6))

    def _decode(self) -> Iterator[tuple[Any, float, float]]:
        """Frames with their times and durations in seconds."""
        with _open(self.path) as container:
            stream = _video_stream(container)
            if stream is None:
                raise MediaError(f"{self.path}: no pictures in it")
            stream.thread_type = "AUTO"
            clock = _Clock(_start(container))
            self._aspect = float(stream.sample_aspect_ratio or 1)  # old cameras' pixels are not square
            usual = float(1 / stream.average_rate) if stream.average_rate else 0.04
            latest: float | None = None
            for frame, damage in _frames(container, stream):
                if frame is None:
                    self.damage = self.damage or damage
                    continue
                duration = float(frame.duration * frame.time_base) if frame.duration and frame.time_base else usual
                time = clock.time(frame.time, duration)
                if latest is None and time < usual:  # less than a frame late, or early, is on time
                    time = 0.0
                if latest is None or time > latest:
                    latest = time
                    yield frame, time, duration

    def _shown(self, frame: Any, time: float, until: float) -> Iterator[Frame]:
        tolerance = 1e-6  # timestamps are rounded to the container's clock
        first, stop = (int(np.ceil((moment - tolerance) * self.rate)) for moment in (time, until))
        if first < stop:
            yield Frame(_upright(frame, self._aspect), time, range(first, stop))


def _upright(frame: Any, aspect: float) -> Image.Image:
    """The picture as it is shown; `aspect` is the width of a pixel by its height."""
    width, height = frame.width * aspect, frame.height
    shrink = min(1.0, MAX_SIDE / max(width, height))
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
