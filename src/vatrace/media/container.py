"""Containers and their streams through FFmpeg: opened with clear errors, and with time stamps put right.

Times are seconds from the start of the container, by presentation timestamps. What a file states about itself isn't trusted:
its length and the size of its pictures are limited, and it can't make FFmpeg open another file.
"""

from __future__ import annotations

import heapq
from array import array
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from stat import S_ISDIR, S_ISREG
from typing import Any

from vatrace.errors import MediaError, TooLongError, reason
from vatrace.free_memory import DECODER, check_memory
from vatrace.watcher import working_on

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
MAX_PIXELS = 120_000_000
"""Of the largest picture that is decoded: above the 108 megapixels of phones, and 360 MB as RGB."""

LONGEST = 24 * 3600.0
"""Seconds of the longest recording."""
SLACK, MIN_BYTE_RATE = 600.0, 20.0
"""A recording may last `SLACK` seconds, and one more for each `MIN_BYTE_RATE` bytes of its file. Codecs need more, even for
silence: the headers of FLAC at 16 kHz alone are 55 bytes a second. A file that claims to be longer has wrong time stamps."""
STALL = 60.0
"""Seconds that FFmpeg may take to open a file, or to find the next packet in it."""

FORMATS = """
mov matroska webm avi flv live_flv mpeg mpegts mpegtsraw mpegvideo m4v h264 hevc h263 h261 vvc obu ivf ogg asf asf_o rm rmvb
dv mxf mxg gxf nut nuv wtv ty yuv4mpegpipe mjpeg mjpeg_2000 smjpeg vc1 vc1test cavsvideo dirac dnxhd lxf apng gif

aac ac3 ac4 eac3 dts dtshd truehd mlp flac mp3 wav w64 aiff au amr amrnb amrwb ape caf gsm tta wv mpc mpc8 voc tak shn dsf dss
iff aea oma loas latm sox spdif qcp ircam wve sbc aptx g722 g726 pvf avr nistsphere act ilbc codec2 xwma wsd alaw mulaw

image2 bmp_pipe dds_pipe dpx_pipe exr_pipe gif_pipe hdr_pipe j2k_pipe jpeg_pipe jpegls_pipe jpegxl_pipe jpegxl_anim pam_pipe
pbm_pipe pcx_pipe pfm_pipe pgm_pipe ppm_pipe png_pipe psd_pipe qoi_pipe sgi_pipe sunrast_pipe tiff_pipe webp_pipe xbm_pipe
"""
"""FFmpeg's names of the formats that are read: of video, audio and images. Playlists, scripts, texts and streams of networks
are not among them, since they open other files, or addresses."""


def open_container(path: Path) -> Any:
    """Open a file for reading.

    Raises:
        MediaError: if it is not a file in one of `FORMATS`, FFmpeg can't read it, or it is empty or a text file.
    """
    import av

    try:
        status = path.stat()
    except (OSError, ValueError) as error:
        raise MediaError(f"{path}: {reason(error)}") from error
    if not S_ISREG(status.st_mode):
        raise MediaError(f"{path}: {'a folder' if S_ISDIR(status.st_mode) else 'a device or a pipe'}, not a file")
    if status.st_size == 0:
        raise MediaError(f"{path}: the file is empty")
    options = {
        "format_whitelist": ",".join(FORMATS.split()),
        "protocol_whitelist": "file",
        "pattern_type": "none",  # otherwise, image%d.jpg stands for many files
        "max_pixels": str(MAX_PIXELS),
    }
    try:
        # "file:", because a name with a colon looks like a URL. PyAV before 19 raises on metadata that isn't UTF-8 by default
        more: dict[str, Any] = {} if int(av.__version__.split(".")[0]) >= 19 else {"metadata_errors": "replace"}
        with working_on(path):
            container = av.open(f"file:{path}", options=options, timeout=STALL, **more)
    except av.ExitError as error:
        raise MediaError(f"{path}: given up, because FFmpeg couldn't open it within {STALL:g} s") from error
    except MemoryError:
        raise
    except (av.FFmpegError, OSError, ValueError) as error:
        if is_text(path):
            hint = "playlists aren't read; transcripts end in .srt, .vtt, .ass or .ssa"
            raise MediaError(f"{path}: not a readable video, audio or image file but text ({hint})") from error
        raise MediaError(f"{path}: not a readable video, audio or image file ({reason(error)})") from error
    for stream in container.streams.video:
        if stream.codec_context is None:
            continue
        if stream.width * stream.height > MAX_PIXELS:
            container.close()
            size = f"{stream.width} x {stream.height}"
            raise MediaError(
                f"{path}: a picture of {size} pixels; at most {MAX_PIXELS / 1e6:g} megapixels are read: scale it down"
            )
        stream.codec_context.options = {"max_pixels": str(MAX_PIXELS)}  # of pictures that are larger than the headers state
    return container


def is_text(path: Path) -> bool:
    """Whether a file starts like a text in UTF-8."""
    try:
        with path.open("rb") as file:
            start = file.read(1024)
    except OSError:
        return False
    text = start.decode("utf-8", "ignore")
    return len(text.encode()) > len(start) - 4 and all(letter.isprintable() or letter.isspace() for letter in text)


def longest(path: Path) -> float:
    """Seconds that a file's recording can last at most, by its size."""
    return min(LONGEST, SLACK + path.stat().st_size / MIN_BYTE_RATE)


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
        path: the file, whose size limits the times.
    """

    def __init__(self, start: float | None, path: Path | None = None) -> None:
        self._path, self._longest = path, LONGEST if path is None else longest(path)
        self._offset = None if start is None else -start
        self._expected = 0.0

    def time(self, stamp: float | None, duration: float) -> float:
        """The time of a frame with this timestamp (None: it follows the previous frame) and duration, in seconds.

        Raises:
            TooLongError: if it is later than the recording can last.
        """
        if self._offset is None and stamp is not None:
            self._offset = -stamp
        time = self._expected if stamp is None or self._offset is None else stamp + self._offset
        if not -TIME_JUMP < time - self._expected < LONGEST_GAP:
            self._offset = (self._offset or 0.0) + self._expected - time
            time = self._expected
        self._expected = time + duration
        if time > self._longest:
            raise TooLongError(f"{self._path}: {too_long(time, self._longest)}")
        return time


def too_long(time: float, most: float) -> str:
    """Why a recording that reaches `time` seconds can't be used, as the rest of a sentence."""
    if most < LONGEST:
        return f"its time stamps are wrong: they reach {time:.0f} s, but a file of this size is at most {most:.0f} s long"
    return f"longer than {LONGEST / 3600:g} hours, the longest recording that is read: cut it into parts"


def has_decoding_times(container: Any, stream: Any) -> bool:
    """Whether timestamps are decoding times, not presentation times: AVI has only these, which include the delay."""
    return bool(container.format.name == "avi" and stream.codec_context.has_b_frames)


def video_clock(path: Path, container: Any, stream: Any) -> Clock:
    """The clock of a container's video stream."""
    return Clock(None if has_decoding_times(container, stream) else start_time(container), path)


def usual_duration(stream: Any) -> float:
    """Duration of a frame in seconds if its packet doesn't state one."""
    duration = float(1 / stream.average_rate) if stream.average_rate and stream.average_rate > 0 else 0.04
    return duration if duration < LONGEST_GAP else 0.04


def stated_duration(part: Any, usual: float) -> float:
    """Duration of a frame or packet in seconds; `usual` if it states none, or an implausible one."""
    duration = float(part.duration * part.time_base) if part.duration and part.time_base else usual
    return duration if 0 < duration < LONGEST_GAP else usual


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
        except MemoryError:  # PyAV's is an FFmpegError too, but no damage of the file
            raise
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
        part.append((decoding if showing is None else showing, stated_duration(packet, 0.0)))
    yield from in_order()


def decoded_frames(container: Any, stream: Any) -> Iterator[tuple[Any, str | None]]:
    """Decode a stream, skipping damaged packets: each frame, or None and the reason where a packet can't be decoded.

    Raises:
        MemoryError: if there isn't enough memory, also for the decoder's threads.
    """
    import av

    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets, None)
        except MemoryError:  # PyAV's is an FFmpegError too, but no damage of the file
            raise
        except av.FFmpegError as error:
            check_memory(DECODER)
            yield None, f"nothing more within {STALL:g} s" if isinstance(error, av.ExitError) else reason(error)
            return
        if packet is None:
            return
        try:
            yield from ((frame, None) for frame in packet.decode())
        except MemoryError:
            raise
        except BlockingIOError as error:
            raise MemoryError("no memory for the decoder's threads") from error
        except av.FFmpegError as error:
            check_memory(DECODER)
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
