"""Cameras and microphones through FFmpeg, or files played at their own pace."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vatrace.errors import MediaError, reason
from vatrace.media.folders import MEDIA_SUFFIXES
from vatrace.media.reading import SAMPLING_RATE, AudioReader, VideoReader
from vatrace.media.recording import open_recording

CAMERAS = {"linux": ("v4l2", "/dev/video{}"), "darwin": ("avfoundation", "{}:none"), "win32": ("dshow", "video={}")}
MICROPHONES = {"linux": ("alsa", "{}"), "darwin": ("avfoundation", "none:{}"), "win32": ("dshow", "audio={}")}
"""FFmpeg's input formats by system, and the pattern of a device's address, with its number or name."""
BLOCK_DUR = 0.1
"""Length of a block of a file's audio, in seconds."""


def is_file(name: str) -> bool:
    """Whether a camera or microphone is a file.

    Raises:
        MediaError: if it has the suffix of a media file and doesn't exist.
    """
    exists = Path(name).is_file()
    if not exists and Path(name).suffix.lower() in MEDIA_SUFFIXES:
        raise MediaError(f"{name}: no such file")
    return exists


def read_camera(camera: str, start: float, stop: Event) -> Iterator[tuple[Image.Image, float]]:
    """Yield frames, and when they were taken, in seconds after `start`.

    Args:
        camera: number or name of a device, or a video file.
        start: start on the clock of `time.monotonic`.
        stop: ends the iteration when it is set.

    Raises:
        MediaError: if the device or file can't be opened or read.
    """
    if is_file(camera):
        open_recording(Path(camera))
        for frame in VideoReader(Path(camera), 30.0):
            if stop.wait(max(start + frame.time - time.monotonic(), 0)):
                return
            yield frame.image, frame.time
        return
    with _device("camera", camera, CAMERAS) as container:
        for frame in _decoded(container, container.streams.video, "camera", camera):
            if stop.is_set():
                return
            yield frame.to_image(), time.monotonic() - start


def read_microphone(microphone: str, start: float, stop: Event) -> Iterator[tuple[NDArray[np.float32], float]]:
    """Yield blocks (N,) of 16 kHz mono audio, and when they arrived, in seconds after `start`.

    A device's first block is silence, for the time until it was opened.

    Args:
        microphone: name of a device, or a file with audio.
        start: start on the clock of `time.monotonic`.
        stop: ends the iteration when it is set.

    Raises:
        MediaError: if the device or file can't be opened or read.
    """
    if is_file(microphone):
        if not open_recording(Path(microphone)).has_audio:
            raise MediaError(f"{microphone}: contains no audio")
        position = 0.0
        for block in AudioReader(Path(microphone), BLOCK_DUR):
            position += len(block) / SAMPLING_RATE
            if stop.wait(max(start + position - time.monotonic(), 0)):
                return
            yield block, position
        return
    import av

    resampler = av.AudioResampler(format="fltp", layout="mono", rate=SAMPLING_RATE)
    with _device("microphone", microphone, MICROPHONES) as container:
        opened = time.monotonic() - start
        yield np.zeros(round(opened * SAMPLING_RATE), np.float32), opened
        for frame in _decoded(container, container.streams.audio, "microphone", microphone):
            if stop.is_set():
                return
            for part in resampler.resample(frame):
                yield part.to_ndarray()[0], time.monotonic() - start


def _device(kind: str, name: str, devices: dict[str, tuple[str, str]]) -> Any:
    import av

    if sys.platform not in devices:
        raise MediaError(f"{kind} {name}: devices are not supported on {sys.platform}; name a file")
    container_format, pattern = devices[sys.platform]
    address = name if Path(name).is_absolute() else pattern.format(name)
    try:
        return av.open(address, format=container_format)
    except (av.FFmpegError, OSError, ValueError) as error:
        raise MediaError(f"{kind} {name}: can't be opened ({address}: {reason(error)})") from error


def _decoded(container: Any, streams: Any, kind: str, name: str) -> Iterator[Any]:
    import av

    if not streams:
        raise MediaError(f"{kind} {name}: provides no {'video' if kind == 'camera' else 'audio'}")
    try:
        yield from container.decode(streams[0])
    except av.FFmpegError as error:
        raise MediaError(f"{kind} {name}: has ended ({reason(error)})") from error
