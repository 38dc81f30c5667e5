"""The frames and the audio of a recording with their times.

Times are seconds from the start of the container, by its presentation timestamps: variable frame rates, audio that starts late
and rotated phone video come out right.
"""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vatrace.errors import MediaError
from vatrace.media import voice_activity
from vatrace.media.container import (
    MAX_REORDER,
    Clock,
    decoded_frames,
    has_decoding_times,
    in_presentation_order,
    is_still,
    open_container,
    placed,
    start_time,
    stated_duration,
    usual_duration,
    video_clock,
    video_stream,
)
from vatrace.media.mixing import Mix, choose_mix
from vatrace.media.picture import stream_look, to_image
from vatrace.media.samples import Resampler, cleaned

SAMPLING_RATE = voice_activity.RATE
"""Hz of all audio in this package."""

MAX_SIDE = 1280
"""Pixels of the longer side: larger frames are scaled down when they are converted, since faces need no more."""

MAX_DRIFT = 0.05
"""Seconds by which audio may be off its timestamps before it is moved: they are rounded, and resampling delays some audio."""

MAX_HOLD = 10.0
"""Seconds for which a frame is shown at most. After a longer gap in the time stamps, nobody knows who was in the picture."""

CLOCK_TOLERANCE = 2e-3
"""Seconds by which a frame may be late at a step and still be shown there: containers round times, Matroska to milliseconds."""


@dataclass(frozen=True)
class Frame:
    """One video frame and the grid steps at which it is shown.

    Attributes:
        image: RGB, upright, its longer side at most the reader's `max_side`.
        time: seconds.
        steps: the steps i with `time` <= i / rate < the next frame's time, at most `MAX_HOLD` later; none for a frame that is
            shown between steps (`VideoReader.max_rate`).
    """

    image: Image.Image
    time: float
    steps: range


class VideoReader:
    """The frames of a recording that a regular grid needs.

    Every frame is decoded, since later ones depend on earlier ones, but only those shown at a step are converted to RGB. Of
    frames with the same time, the last is shown.

    Args:
        path: the recording.
        rate: steps a second.
        max_side: larger frames are scaled down to this many pixels at their longer side.
        max_rate: also yield frames that are shown between steps, up to this many frames a second in all; 0 for none.

    Attributes:
        end: when the last frame ends, in seconds; known after iteration.
        times: when each frame decoded so far is shown, in seconds, never descending. The k-th frame is also the k-th that other
            decoders, such as OpenCV, return.
        damage: the first thing that could not be decoded, or None.
    """

    def __init__(self, path: Path, rate: float, max_side: int = MAX_SIDE, max_rate: float = 0.0) -> None:
        self.path, self.rate, self.max_side, self.max_rate = path, rate, max_side, max_rate
        self._last = -np.inf  # the time of the last frame that was yielded
        self.end = 0.0
        self.times = array("d")
        self.damage: str | None = None

    def __iter__(self) -> Iterator[Frame]:
        """Yield a `Frame` for each frame that is shown at one step or more, and for others up to `max_rate`.

        Raises:
            MediaError: if no frame can be decoded.
        """
        previous: tuple[Any, float] | None = None
        self.times, self._last = array("d"), -np.inf
        for frame, time, duration in self._decode():
            if previous is not None:
                yield from self._shown(*previous, until=time)
            previous = (frame, time)
            self.end = time + duration
        if previous is None:
            raise MediaError(f"{self.path}: none of its frames can be decoded ({self.damage or 'no frames'})")
        yield from self._shown(*previous, until=max(self.end, previous[1] + 2 * CLOCK_TOLERANCE))

    def _decode(self) -> Iterator[tuple[Any, float, float]]:
        """Frames with their times and durations in seconds."""
        with open_container(self.path) as container:
            stream = video_stream(container)
            if stream is None:
                raise MediaError(f"{self.path}: contains no video")
            stream.thread_type = "AUTO"
            clock = video_clock(self.path, container, stream)
            self._look = stream_look(stream, self.path if is_still(container) else None)
            usual = usual_duration(stream)
            decoding_times = has_decoding_times(container, stream)
            for frame, stamp, damage in in_presentation_order(
                decoded_frames(container, stream), MAX_REORDER if decoding_times else 0
            ):
                if frame is None:
                    self.damage = self.damage or damage
                    continue
                duration = stated_duration(frame, usual)
                time = placed(self.times, clock.time(stamp, duration), usual)
                yield frame, time, duration

    def between(self, spans: Sequence[tuple[float, float]], max_rate: float) -> Iterator[tuple[Image.Image, float]]:
        """The frames inside spans at the video's own rate, each with its time in seconds. Other frames aren't converted.

        Args:
            spans: (start, end) in seconds, in order, without overlaps.
            max_rate: frames a second; of a faster video, only some are converted.
        """
        self.times = array("d")
        remaining, last = deque(spans), -np.inf
        for frame, time, _ in self._decode():
            while remaining and remaining[0][1] <= time:
                remaining.popleft()
            if not remaining:
                return
            if remaining[0][0] <= time and time >= last + 1 / max_rate - CLOCK_TOLERANCE:
                last = time
                yield to_image(frame, self._look, self.max_side), time

    def decode_all(self) -> NDArray[np.float64]:
        """Decode all frames without converting them; their times (F,) in seconds, empty if none can be decoded."""
        self.times = array("d")
        for _, time, duration in self._decode():
            self.end = time + duration
        return np.array(self.times)

    def _shown(self, frame: Any, time: float, until: float) -> Iterator[Frame]:
        until = min(until, time + MAX_HOLD)
        first, stop = (int(np.ceil((moment - CLOCK_TOLERANCE) * self.rate)) for moment in (time, until))
        between = self.max_rate > 0 and until > time >= self._last + 1 / self.max_rate - CLOCK_TOLERANCE
        if first < stop or between:
            self._last = time
            yield Frame(to_image(frame, self._look, self.max_side), time, range(first, max(first, stop)))


class AudioReader:
    """The audio of a recording as 16 kHz mono blocks without gaps.

    Args:
        path: the recording.
        block_dur: length of a block in seconds; the last may be shorter.
        mix: track, channels and level; None to choose them (`choose_mix`) on reading.

    Attributes:
        start: when the audio starts, in seconds; None before iteration, and if nothing can be decoded.
        end: when the audio ends, in seconds; known after iteration.
        damage: the first thing that could not be decoded, or None.
        num_silenced: number of samples replaced by silence, because they weren't finite or were too large to be sound.
        silenced_from: time of the first of them, in seconds.
    """

    def __init__(self, path: Path, block_dur: float, mix: Mix | None = None) -> None:
        self.path, self._mix = path, mix
        self.block_size = round(block_dur * SAMPLING_RATE)
        self.start: float | None = None
        self.end = 0.0
        self.damage: str | None = None
        self.num_silenced, self.silenced_from = 0, 0.0

    def __iter__(self) -> Iterator[NDArray[np.float32]]:
        """Yield blocks (N,) float32 in -1..1; the first starts at 0 s, and silence fills gaps."""
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
        """Pieces in sequence, with silence where the timestamps leave a gap, and without overlaps."""
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
        """Mono pieces with their times: contiguous except where a timestamp shows a gap or an overlap."""
        mix = self._mix or choose_mix(self.path)
        resampler, position = Resampler(), 0.0
        with open_container(self.path) as container:
            stream = container.streams.audio[mix.track]
            if stream.codec_context is None:
                self.damage = "FFmpeg has no decoder for it"
                return
            clock = Clock(start_time(container), self.path)
            for frame, damage in decoded_frames(container, stream):
                if frame is None:
                    self.damage = self.damage or damage
                    continue
                sound, num_silenced = cleaned(frame, mix.limit)
                time = clock.time(frame.time, frame.samples / frame.sample_rate)
                self.start = max(time, 0.0) if self.start is None else self.start
                if num_silenced:
                    self.silenced_from = self.silenced_from if self.num_silenced else time
                    self.num_silenced += num_silenced
                if abs(time - position) > MAX_DRIFT:
                    position = time
                for part in resampler.resample(sound):
                    yield _mixed(part, mix), position
                    position += part.samples / SAMPLING_RATE
            for part in resampler.resample(None):
                yield _mixed(part, mix), position
                position += part.samples / SAMPLING_RATE


def _mixed(part: Any, mix: Mix) -> NDArray[np.float32]:
    return mix.mixed(part.to_ndarray(), part.layout.name, [channel.name for channel in part.layout.channels])
