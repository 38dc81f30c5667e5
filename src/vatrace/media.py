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
PICTURE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp"})


class MediaError(ValueError):
    """A recording can't be read; the message names the file and what is wrong."""


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
        container = av.open(str(path), metadata_errors="replace")
    except (av.FFmpegError, OSError, ValueError) as error:
        raise MediaError(f"{path}: not a video, sound or picture that can be read ({_reason(error)})") from error
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


class VideoReader:
    """The pictures of a recording that a regular grid needs.

    Every picture is decoded, since later ones need earlier ones, but only those on show at a step are turned to RGB.

    Args:
        path: the recording.
        rate: steps a second.

    Attributes:
        end: when the last picture ends, in seconds; known after iteration.
        damage: why decoding stopped early, or None.
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
        for frame, time in self._decode():
            if previous is not None:
                yield from self._shown(*previous, until=time)
            previous = (frame, time)
            self.end = time + self._duration(frame)
        if previous is None:
            raise MediaError(f"{self.path}: no picture in it can be decoded ({self.damage or 'no frames'})")
        yield from self._shown(*previous, until=max(self.end, previous[1] + 1e-6))

    def _decode(self) -> Iterator[tuple[Any, float]]:
        import av

        with _open(self.path) as container:
            stream = _video_stream(container)
            if stream is None:
                raise MediaError(f"{self.path}: no pictures in it")
            stream.thread_type = "AUTO"
            start = _start(container)
            self._frame_duration = float(1 / stream.average_rate) if stream.average_rate else 0.04
            latest: float | None = None
            frames = container.decode(stream)
            while True:
                try:
                    frame = next(frames, None)
                except av.FFmpegError as error:
                    self.damage = _reason(error)
                    return
                if frame is None:
                    return
                expected = 0.0 if latest is None else latest + self._frame_duration
                time = expected if frame.time is None else frame.time - start
                if latest is None and time < self._frame_duration:  # less than a frame late, or early, is on time
                    time = 0.0
                if latest is None or time > latest:  # else its timestamp is broken, and it can't be placed
                    latest = time
                    yield frame, time

    def _duration(self, frame: Any) -> float:
        stated = float(frame.duration * frame.time_base) if frame.duration and frame.time_base else 0.0
        return stated or self._frame_duration

    def _shown(self, frame: Any, time: float, until: float) -> Iterator[Frame]:
        tolerance = 1e-6  # timestamps are rounded to the container's clock
        first, stop = (int(np.ceil((moment - tolerance) * self.rate)) for moment in (time, until))
        if first < stop:
            yield Frame(_upright(frame), time, range(first, stop))


def _upright(frame: Any) -> Image.Image:
    shrink = min(1.0, MAX_SIDE / max(frame.width, frame.height))
    image: Image.Image = frame.to_image(width=round(frame.width * shrink), height=round(frame.height * shrink))
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
        damage: why decoding stopped early, or None.
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
            if abs(gap) <= 0.02 * SAMPLING_RATE:  # rounding of timestamps and the resampler's delay
                gap = 0
            for start in range(0, gap, self.block_size):
                yield np.zeros(min(self.block_size, gap - start), dtype=np.float32)
            kept = samples[max(-gap, 0) :]
            position += max(gap, 0) + len(kept)
            self.end = position / SAMPLING_RATE
            yield kept

    def _decode(self) -> Iterator[tuple[NDArray[np.float32], float]]:
        import av

        with _open(self.path) as container:
            start = _start(container)
            frames = container.decode(container.streams.audio[0])
            resampler = av.AudioResampler(format="fltp", rate=SAMPLING_RATE)
            position: float | None = None
            while True:
                try:
                    frame = next(frames, None)
                    if frame is not None and frame.time is not None:
                        # the resampler holds some samples back: place by input times, go on by output lengths
                        expected = frame.time - start
                        if position is None or abs(expected - position) > 0.05:
                            position = expected
                    resampled = resampler.resample(frame)
                except av.FFmpegError as error:
                    self.damage = _reason(error)
                    return
                for part in resampled:
                    samples = part.to_ndarray().mean(axis=0)  # FFmpeg's own downmix can go beyond 1
                    yield samples, position or 0.0
                    position = (position or 0.0) + len(samples) / SAMPLING_RATE
                if frame is None:
                    return
