"""The recording as a video with its trace below the picture."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageColor, ImageDraw, ImageFont

from vatrace.errors import MediaError
from vatrace.inference.prediction import Prediction
from vatrace.media.reading import AudioReader
from vatrace.media.recording import Recording
from vatrace.media.writing import images_at, write_video
from vatrace.names import DIMENSIONS
from vatrace.output.colours import BOX, BOX_EDGE, DARK

RATE, MAX_SIDE = 25, 960
"""Pictures a second, and pixels of the recording's longer side."""
STRIP = 0.28
"""Height of the strip relative to its width."""
SPAN = 20.0
"""Seconds that the strip shows, half of them still to come."""
SMOOTH = 2
"""The strip is drawn this much larger, then scaled down, so that lines have soft edges."""


def write_overlay(
    prediction: Prediction, recording: Recording, path: Path, progress: Callable[[float], None] = lambda share: None
) -> None:
    """Write an MP4 with the trace below the picture, moving along, and a box around the face; for audio, the trace alone.

    Args:
        prediction: of the recording.
        recording: a video or audio file.
        path: the MP4.
        progress: called with the share done, 0..1.

    Raises:
        MediaError: if the recording is a transcript or an image, or can't be read.
    """
    if recording.kind not in {"video", "audio"}:
        raise MediaError(f"{recording.path}: an overlay needs a video or audio file")
    audio = AudioReader(recording.path, 1.0) if recording.has_audio else None
    if recording.has_frames:
        images = images_at(recording, RATE, MAX_SIDE, progress)
    else:
        images = iter([Image.new("RGB", (MAX_SIDE, 0))] * round(prediction.duration * RATE))
    write_video(path, _with_trace(images, prediction), RATE, audio)


def _with_trace(images: Iterator[Image.Image], prediction: Prediction) -> Iterator[Image.Image]:
    for index, image in enumerate(images):
        strip = draw_strip(prediction, index / RATE, image.width)
        whole = Image.new("RGB", (image.width, image.height + strip.height))
        whole.paste(image, (0, 0))
        draw_box(whole, image.size, prediction.box_at(index / RATE))
        whole.paste(strip, (0, image.height))
        yield whole


def draw_box(picture: Image.Image, size: tuple[int, int], box: tuple[float, ...] | None) -> None:
    """Draw the box of a face (left, top, right, bottom as shares of `size`, width and height in pixels), if there is one."""
    if box is None:
        return
    corners = [share * (side - 1) for share, side in zip(box, size * 2, strict=True)]
    thick = max(2, round(max(size) / 320))
    canvas = ImageDraw.Draw(picture)
    canvas.rectangle(corners, outline=BOX_EDGE, width=thick + 1)  # visible on bright pictures as well
    canvas.rectangle(corners, outline=BOX, width=thick)


def draw_strip(prediction: Prediction, time: float, width: int) -> Image.Image:
    """Both traces from 10 s before a time (s) to 10 s after it, -1..1 from bottom to top, with the values at that time.

    No trace is drawn where nothing supports the values.
    """
    wide, high = width * SMOOTH, round(width * STRIP) * SMOOTH
    strip = Image.new("RGB", (wide, high), DARK["paper"])
    canvas = ImageDraw.Draw(strip, "RGBA")
    font = ImageFont.load_default(high / 11)
    for level in (-1, 0, 1):
        canvas.line([(0, _y(level, high)), (wide, _y(level, high))], DARK["line"], SMOOTH)
    shown = np.flatnonzero(abs(prediction.times - time) <= SPAN / 2 + 1)
    x = ((prediction.times[shown] - time) / SPAN + 0.5) * wide
    runs = np.split(np.arange(len(shown)), np.flatnonzero(np.diff(prediction.supported[shown])) + 1)
    drawn = [run for run in runs if len(run) > 1 and prediction.supported[shown[run[0]]]]
    labels = []
    for column, name in enumerate(DIMENSIONS):
        colour = DARK[name]
        values = getattr(prediction, name)
        for run in drawn:
            rows = shown[run]
            if prediction.bounds is not None:
                low, top = (_y(ends[rows, column], high) for ends in prediction.bounds)
                outline = [*zip(x[run], top, strict=True), *zip(x[run][::-1], low[::-1], strict=True)]
                canvas.polygon(outline, (*ImageColor.getrgb(colour), 50))
            canvas.line([*zip(x[run], _y(values[rows], high), strict=True)], colour, 2 * SMOOTH, joint="curve")
        row = int(np.argmin(abs(prediction.times - time)))
        here = f"{values[row]:+.2f}" if prediction.supported[row] else "?"
        labels.append(((wide / 2 + 8 * SMOOTH, high * (0.01 + 0.12 * column)), f"{name} {here}", colour))
    for place, text, colour in labels:  # over both traces
        canvas.rectangle(canvas.textbbox(place, text, font), (*ImageColor.getrgb(DARK["paper"]), 200))
        canvas.text(place, text, colour, font)
    canvas.line([(wide / 2, 0), (wide / 2, high)], DARK["ink"], SMOOTH)
    return strip.resize((width, high // SMOOTH), Image.Resampling.BOX)


def _y(value: Any, high: int) -> Any:
    """Pixels from the top at which a value in -1..1 is drawn."""
    return (0.5 - 0.47 * value) * high
