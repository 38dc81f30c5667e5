"""A small copy of a recording that every browser plays, on the same time as the trace."""

from __future__ import annotations

import io
import tempfile
from pathlib import Path

from vatrace.film import pictures_at, write_film
from vatrace.media import AudioReader, MediaInfo, VideoReader

MAX_SIDE, RATE, QUALITY = 480, 15, 30
"""Pixels, pictures a second and x264's rate factor: about 1 MB a minute of someone who talks."""


def preview(info: MediaInfo) -> tuple[str, bytes]:
    """The media type and the content of the copy: video/mp4, audio/mp4, or image/jpeg of a still picture.

    Raises:
        MediaError: if the recording can't be decoded.
    """
    if info.is_still:
        content = io.BytesIO()
        next(iter(VideoReader(info.path, 1, MAX_SIDE))).image.save(content, "JPEG", quality=85)
        return "image/jpeg", content.getvalue()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "preview.mp4"
        write_preview(info, path)
        return ("video/mp4" if info.has_video else "audio/mp4"), path.read_bytes()


def write_preview(info: MediaInfo, path: Path) -> None:
    """Write the copy of a video or sound as MP4."""
    pictures = pictures_at(info, RATE, MAX_SIDE) if info.has_video else None
    sound = AudioReader(info.path, 1.0) if info.has_audio else None
    write_film(path, pictures, RATE, sound, QUALITY)
