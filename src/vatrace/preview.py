"""A small copy of a recording that every browser plays, on the same time as the trace."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from vatrace.film import pictures_at, write_film
from vatrace.media import AudioReader, MediaInfo, VideoReader

MAX_SIDE, RATE, QUALITY = 480, 15, 30
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
        next(iter(VideoReader(info.path, 1, MAX_SIDE))).image.save(path, "JPEG", quality=85)
        return
    pictures = pictures_at(info, RATE, MAX_SIDE, report) if info.has_video else None
    sound = AudioReader(info.path, 1.0) if info.has_audio else None
    write_film(path, pictures, RATE, sound, QUALITY)
