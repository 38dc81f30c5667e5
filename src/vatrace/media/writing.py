"""Writing MP4 that browsers and players take: H.264 pictures at a steady rate, AAC sound."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vatrace.media.reading import SAMPLING_RATE, AudioReader, MediaInfo, VideoReader

Block = NDArray[np.float32]
"""Sound, (N,) 16 kHz mono in -1..1."""


def write_film(
    path: Path, pictures: Iterable[Image.Image] | None, rate: int, sound: Iterable[Block] | None, quality: int = 23
) -> None:
    """Write pictures and sound, both from 0 s on, as they come: little is held in memory.

    Args:
        path: an MP4 file.
        pictures: of one size, RGB; odd sides lose a pixel. None for sound alone.
        rate: pictures a second.
        sound: blocks; None for silent pictures.
        quality: x264's constant rate factor, 0..51; lower is better and larger.
    """
    import av

    with av.open(str(path), "w", format="mp4", options={"movflags": "+faststart"}) as container:
        streams: list[Any] = []
        voice: Any = None
        shown = iter(pictures or ())
        first = next(shown, None)
        if first is not None:
            film = container.add_stream("libx264", rate=rate, options={"crf": str(quality), "preset": "veryfast"})
            film.width, film.height = first.width // 2 * 2, first.height // 2 * 2
            film.pix_fmt = "yuv420p"
            streams.append(film)
            shown = chain([first], shown)
        if sound is not None:
            voice = container.add_stream("aac", rate=SAMPLING_RATE, layout="mono")
            streams.append(voice)
        parts = _frames_of_sound(sound or ())
        heard = 0.0
        for index, picture in enumerate(shown):
            frame = av.VideoFrame.from_image(picture.crop((0, 0, film.width, film.height)))
            frame.pts, frame.time_base = index, Fraction(1, rate)
            container.mux(film.encode(frame))
            while heard <= index / rate and (part := next(parts, None)) is not None:  # players want both side by side
                heard += part.samples / SAMPLING_RATE
                container.mux(voice.encode(part))
        for part in parts:
            container.mux(voice.encode(part))
        for stream in streams:
            container.mux(stream.encode(None))


def pictures_at(info: MediaInfo, rate: int, max_side: int, report: Callable[[float], None]) -> Iterator[Image.Image]:
    """What is on show at each step i / rate of a video, black before its first picture; `report` is told the share done."""
    step, size = 0, None
    for frame in VideoReader(info.path, rate, max_side):
        if size is None:
            size = frame.image.size
            for _ in range(frame.steps.start):
                yield Image.new("RGB", size)
        image = frame.image if frame.image.size == size else frame.image.resize(size)
        for _ in range(max(step, frame.steps.start), frame.steps.stop):
            yield image
        step = frame.steps.stop
        report(min(frame.time / info.duration, 1.0) if info.duration else 0.0)


def _frames_of_sound(sound: Iterable[Block]) -> Iterator[Any]:
    """Frames of the length that the encoder takes."""
    import av

    fifo = av.AudioFifo()
    position = 0
    for block in sound:
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(block[None]), format="fltp", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = SAMPLING_RATE, position, Fraction(1, SAMPLING_RATE)
        position += len(block)
        fifo.write(frame)
        while (part := fifo.read(1024)) is not None:
            yield part
    while (part := fifo.read(1024, partial=True)) is not None:
        yield part


PREVIEW_SIDE, PREVIEW_RATE, PREVIEW_QUALITY = 480, 15, 30
"""Pixels, pictures a second and x264's rate factor: about 1 MB a minute of someone who talks."""


def kind_of(info: MediaInfo) -> str:
    """The media type of the copy."""
    if info.is_still:
        return "image/jpeg"
    return "video/mp4" if info.has_video else "audio/mp4"


def write_preview(info: MediaInfo, path: Path, report: Callable[[float], None] = lambda share: None) -> None:
    """Write the copy: MP4, or JPEG of a still picture.

    Args:
        info: the recording.
        path: the copy.
        report: told the share done, 0..1.

    Raises:
        MediaError: if the recording can't be decoded.
    """
    if info.is_still:
        next(iter(VideoReader(info.path, 1, PREVIEW_SIDE))).image.save(path, "JPEG", quality=85)
        return
    pictures = pictures_at(info, PREVIEW_RATE, PREVIEW_SIDE, report) if info.has_video else None
    sound = AudioReader(info.path, 1.0) if info.has_audio else None
    write_film(path, pictures, PREVIEW_RATE, sound, PREVIEW_QUALITY)
