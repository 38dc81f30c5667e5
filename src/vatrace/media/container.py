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
"""Seconds that timestamps may go back, or ahead from one frame to the next, and still be believed. Beyond that they have
restarted, as in files that were joined, and time continues from where it was."""

MAX_REORDER = 16
"""Frames by which the order of decoding and that of presentation can differ, as in H.264."""

DEFAULT = 1
OTHER = 1 << 10 | 1 << 11 | 1 << 19
"""FFmpeg's flags of the default stream of its kind, and of those that are a cover, a thumbnail, or part of a larger image."""

MIN_AREA = 64 * 64
"""Pixels below which a video track is a thumbnail if there is another."""


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
        # "file:": a colon in a name is no protocol. PyAV before 19 raises on metadata that isn't UTF-8 unless told otherwise
        options: dict[str, Any] = {} if int(av.__version__.split(".")[0]) >= 19 else {"metadata_errors": "replace"}
        container = av.open(f"file:{path}", **options)
    except (av.FFmpegError, OSError, ValueError) as error:
        raise MediaError(f"{path}: not a video, audio or image file that can be read ({reason(error)})") from error
    if container.format.name == "tty":  # FFmpeg would show a text file as a film of a terminal
        container.close()
        raise MediaError(f"{path}: not a video, audio or image file but a text file (transcripts end in .srt or .vtt)")
    return container


def is_still(container: Any) -> bool:
    """Whether it is an image file."""
    return "image2" in container.format.name or container.format.name.endswith("_pipe")


def start_time(container: Any) -> float:
    """The container's time zero in seconds."""
    return container.start_time / 1e6 if container.start_time is not None else 0.0


def video_streams(container: Any) -> list[Any]:
    """The video streams of which one may be what the recording shows, the most likely first.

    Covers of music files, thumbnails, tiles of a larger image and streams without a decoder don't count. The order is that of
    FFmpeg's players as far as the headers go: the one flagged as the default, then the one with the most pixels a second.
    """
    streams = [stream for stream in container.streams.video if not _flags(stream) & OTHER and stream.codec_context is not None]

    def likelihood(stream: Any) -> tuple[bool, bool, float]:
        area = stream.width * stream.height
        return area >= MIN_AREA, bool(_flags(stream) & DEFAULT), area * float(stream.average_rate or 1)

    return sorted(streams, key=likelihood, reverse=True)  # stable: of equals the first


def _flags(stream: Any) -> int:
    flags = stream.disposition
    return int(getattr(flags, "value", flags))  # PyAV before 17 has flags that are no numbers


def video_stream(container: Any) -> Any | None:
    """The video stream that the recording shows; None if there is none."""
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
        """The time of a frame with this timestamp (None: it follows the one before) and duration, in seconds."""
        if self._offset is None and stamp is not None:
            self._offset = -stamp
        time = self._expected if stamp is None or self._offset is None else stamp + self._offset
        if not -TIME_JUMP < time - self._expected < LONGEST_GAP:
            self._offset = (self._offset or 0.0) + self._expected - time
            time = self._expected
        self._expected = time + duration
        return time


def has_decoding_times(container: Any, stream: Any) -> bool:
    """Whether timestamps give the time of decoding, not of presentation: AVI has no other, and includes the delay."""
    return bool(container.format.name == "avi" and stream.codec_context.has_b_frames)


def video_clock(container: Any, stream: Any) -> Clock:
    """The clock of a container's video stream."""
    return Clock(None if has_decoding_times(container, stream) else start_time(container))


def usual_duration(stream: Any) -> float:
    """Seconds that a frame of this stream lasts where its packet doesn't say."""
    return float(1 / stream.average_rate) if stream.average_rate else 0.04


def placed(times: array[float], time: float, usual: float) -> float:
    """Add a frame's time to those before it: less than a frame late, or early, at the start is on time, and none goes back."""
    if times:
        time = max(time, times[-1])
    elif time < usual:
        time = 0.0
    times.append(time)
    return time


def starts_whole(container: Any, stream: Any) -> bool:
    """Whether the first packet can be decoded, and so can all that are shown after it, unless they are damaged.

    It can't in a broadcast that was cut in the middle of a group of frames, nor in one whose first frames refer to frames
    before the cut. The container must be opened again afterwards.
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

    Packets come in the order of decoding. They are sorted between two jumps of the decoding time, so that the frames of files
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
    """Frames with their timestamps, reordered where these are times of decoding.

    Decoders give frames in the order of presentation, so each frame has the earliest time among the next `depth`.
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
