"""MP4 files for browsers and players: H.264 at a constant frame rate, and AAC."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vatrace.media.reading import SAMPLING_RATE, AudioReader, VideoReader
from vatrace.media.recording import Recording

Block = NDArray[np.float32]
"""16 kHz mono audio (N,) in -1..1."""

PREVIEW_SIDE, PREVIEW_RATE, PREVIEW_QUALITY = 480, 15, 30
"""A preview's longer side in pixels, frames per second, and x264 rate factor: about 1 MB per minute of a talking person."""


def write_video(
    path: Path, images: Iterable[Image.Image] | None, rate: int, audio: Iterable[Block] | None, quality: int = 23
) -> None:
    """Write images and audio, both starting at 0 s, as they arrive; little is kept in memory.

    Args:
        path: an MP4 file.
        images: RGB images of the same size; odd sides lose a pixel. None for audio alone.
        rate: images per second.
        audio: blocks of audio; None for a video without audio.
        quality: x264's constant rate factor, 0..51; lower is better and larger.
    """
    import av

    with av.open(str(path), "w", format="mp4", options={"movflags": "+faststart"}) as container:
        streams: list[Any] = []
        sound: Any = None
        remaining = iter(images or ())
        first = next(remaining, None)
        if first is not None:
            video = container.add_stream("libx264", rate=rate, options={"crf": str(quality), "preset": "veryfast"})
            video.width, video.height = first.width // 2 * 2, first.height // 2 * 2
            video.pix_fmt = "yuv420p"
            streams.append(video)
            remaining = chain([first], remaining)
        if audio is not None:
            sound = container.add_stream("aac", rate=SAMPLING_RATE, layout="mono")
            streams.append(sound)
        parts = _audio_frames(audio or ())
        written = 0.0
        for index, image in enumerate(remaining):
            frame = av.VideoFrame.from_image(image.crop((0, 0, video.width, video.height)))
            frame.pts, frame.time_base = index, Fraction(1, rate)
            container.mux(video.encode(frame))
            while written <= index / rate and (part := next(parts, None)) is not None:  # players need interleaved streams
                written += part.samples / SAMPLING_RATE
                container.mux(sound.encode(part))
        for part in parts:
            container.mux(sound.encode(part))
        for stream in streams:
            container.mux(stream.encode(None))


def _audio_frames(audio: Iterable[Block]) -> Iterator[Any]:
    """Yield frames of the encoder's length."""
    import av

    fifo = av.AudioFifo()
    position = 0
    for block in audio:
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(block[None]), format="fltp", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = SAMPLING_RATE, position, Fraction(1, SAMPLING_RATE)
        position += len(block)
        fifo.write(frame)
        while (part := fifo.read(1024)) is not None:
            yield part
    while (part := fifo.read(1024, partial=True)) is not None:
        yield part


def images_at(recording: Recording, rate: int, max_side: int, progress: Callable[[float], None]) -> Iterator[Image.Image]:
    """Yield the image shown at each step i / rate of a video, black before the first; `progress` gets the share done."""
    step, image = 0, None
    for frame in VideoReader(recording.path, rate, max_side):
        if image is None:
            image = Image.new("RGB", frame.image.size)
        for _ in range(step, frame.steps.start):  # before the first frame, and in long gaps
            yield image
        image = frame.image if frame.image.size == image.size else frame.image.resize(image.size)
        for _ in range(max(step, frame.steps.start), frame.steps.stop):
            yield image
        step = frame.steps.stop
        progress(min(frame.time / recording.duration, 1.0) if recording.duration else 0.0)


def preview_type(recording: Recording) -> str:
    """The media type of a recording's preview."""
    return {"image": "image/jpeg", "video": "video/mp4", "audio": "audio/mp4"}[recording.kind]


def write_preview(recording: Recording, path: Path, progress: Callable[[float], None] = lambda share: None) -> None:
    """Write a small copy for browsers, with the timing of the trace: MP4, or JPEG for an image.

    Args:
        recording: the recording, not a transcript.
        path: path of the copy.
        progress: called with the share done, 0..1.

    Raises:
        MediaError: if the recording can't be decoded.
    """
    if recording.kind == "image":
        next(iter(VideoReader(recording.path, 1, PREVIEW_SIDE))).image.save(path, "JPEG", quality=85)
        return
    images = images_at(recording, PREVIEW_RATE, PREVIEW_SIDE, progress) if recording.has_frames else None
    audio = AudioReader(recording.path, 1.0) if recording.has_audio else None
    write_video(path, images, PREVIEW_RATE, audio, PREVIEW_QUALITY)
