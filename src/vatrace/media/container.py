"""Containers and their streams through FFmpeg: opened with clear errors, and with time stamps put right.

Times are seconds from the start of the container, by presentation timestamps.
"""

from __future__ import annotations

import heapq
from array import array
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from vatrace.errors import MediaError, reason

TIME_JUMP, LONGEST_GAP = 1.0, 600.0
"""Seconds by which timestamps may jump back, or ahead, from one frame to the next. Beyond that they have restarted, as in
joined files, and time continues from where it was."""

MAX_REORDER = 16
"""Frames by which decoding order and presentation order can differ, as in H.264."""

DEFAULT = 1
OTHER = 1 << 10 | 1 << 11 | 1 << 19
"""FFmpeg's flags of the default stream of its kind, and of covers, thumbnails and parts of a larger image."""

MIN_AREA = 64 * 64
"""A video track with fewer pixels than this is a thumbnail if there is another track."""


def open_container(path: Path) -> Any:
    """Open a file for reading.

    Raises:
        MediaError: if FFmpeg can't read it, or it is empty or a text file.
    """
    import av

    try:
        size = path.stat().st_size
    except OSError as error:
        raise MediaError(f"{path}: {reason(error)}") from error
    if size == 0:
        raise MediaError(f"{path}: the file is empty")
    try:
        # "file:", because a name with a colon looks like a URL. PyAV before 19 raises on metadata that isn't UTF-8 by default
        options: dict[str, Any] = {} if int(av.__version__.split(".")[0]) >= 19 else {"metadata_errors": "replace"}
        container = av.open(f"file:{path}", **options)
    except (av.FFmpegError, OSError, ValueError) as error:
        raise MediaError(f"{path}: not a readable video, audio or image file ({reason(error)})") from error
    if container.format.name == "tty":  # FFmpeg renders a text file as video of a terminal
        container.close()
        raise MediaError(f"{path}: a text file, not video, audio or an image (transcripts end in .srt, .vtt, .ass or .ssa)")
    return container


def is_still(container: Any) -> bool:
    """Whether it is an image file."""
    return "image2" in container.format.name or container.format.name.endswith("_pipe")


def start_time(container: Any) -> float:
    """The container's time zero in seconds."""
    return container.start_time / 1e6 if container.start_time is not None else 0.0


def video_streams(container: Any) -> list[Any]:
    """The candidates for the main video stream, the most likely first.

    Covers of music files, thumbnails, tiles of a larger image and streams without a decoder are excluded. As far as the headers
    allow, the order is that of FFmpeg's players: the default stream first, then by pixels per second.
    """
    streams = [stream for stream in container.streams.video if not _flags(stream) & OTHER and stream.codec_context is not None]

    def likelihood(stream: Any) -> tuple[bool, bool, float]:
        area = stream.width * stream.height
        return area >= MIN_AREA, bool(_flags(stream) & DEFAULT), area * float(stream.average_rate or 1)

    return sorted(streams, key=likelihood, reverse=True)  # stable: the first of equals


def _flags(stream: Any) -> int:
    flags = stream.disposition
    return int(getattr(flags, "value", flags))  # PyAV before 17 has flags that are no numbers


def video_stream(container: Any) -> Any | None:
    """The main video stream; None if there is none."""
    return next(iter(video_streams(container)), None)


class Clock:
    """Times from the container's start that continue where timestamps restart or are missing.

    Args:
        start: the container's time zero in seconds; None to take the first frame's.
    """

    def __init__(self, start: float | None) -> None:
        self._offset = None if start is None else -start
        self._expected = 0.0

    def time(self, stamp: float | None, duration: float) -> float:
        """The time of a frame with this timestamp (None: it follows the previous frame) and duration, in seconds."""
        if self._offset is None and stamp is not None:
            self._offset = -stamp
        time = self._expected if stamp is None or self._offset is None else stamp + self._offset
        if not -TIME_JUMP < time - self._expected < LONGEST_GAP:
            self._offset = (self._offset or 0.0) + self._expected - time
            time = self._expected
        self._expected = time + duration
        return time


def has_decoding_times(container: Any, stream: Any) -> bool:
    """Whether timestamps are decoding times, not presentation times: AVI has only these, which include the delay."""
    return bool(container.format.name == "avi" and stream.codec_context.has_b_frames)


def video_clock(container: Any, stream: Any) -> Clock:
    """The clock of a container's video stream."""
    return Clock(None if has_decoding_times(container, stream) else start_time(container))


def usual_duration(stream: Any) -> float:
    """Duration of a frame in seconds if its packet doesn't state one."""
    return float(1 / stream.average_rate) if stream.average_rate else 0.04


def placed(times: array[float], time: float, usual: float) -> float:
    """Append a frame's time. A first frame that is early, or less than a frame late, gets 0 s, and times never go back."""
    if times:
        time = max(time, times[-1])
    elif time < usual:
        time = 0.0
    times.append(time)
    return time


def starts_whole(container: Any, stream: Any) -> bool:
    """Whether the first packet and all that are shown after it can be decoded, unless they are damaged.

    They can't in a broadcast that was cut within a group of frames, or whose first frames refer to frames before the cut.
    The container must be opened again afterwards.
    """
    first: Any = None
    for number, packet in enumerate(container.demux(stream)):
        if packet.size == 0 or packet.is_discard:
            continue
        if first is None:
            if not packet.is_keyframe:
                return False
            first = packet.pts
        elif first is not None and packet.pts is not None and packet.pts < first:
            return False
        if number > MAX_REORDER:
            break
    return True


def packet_times(container: Any, stream: Any) -> Iterator[tuple[float | None, float]]:
    """Presentation time (None where unknown) and duration of each packet, in seconds and in the order of presentation.

    Packets come in decoding order. They are sorted between two jumps of the decoding time, so that the frames of joined files
    aren't mixed.
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
        except av.FFmpegError:  # a damaged end: keep what precedes it
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


def decoded_frames(container: Any, stream: Any) -> Iterator[tuple[Any, str | None]]:
    """Decode a stream, skipping damaged packets: each frame, or None and the reason where a packet can't be decoded."""
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


def in_presentation_order(
    frames: Iterator[tuple[Any, str | None]], depth: int
) -> Iterator[tuple[Any, float | None, str | None]]:
    """Frames with their timestamps, which are reordered if they are decoding times.

    Decoders return frames in presentation order, so each frame has the earliest time among the next `depth`.
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
