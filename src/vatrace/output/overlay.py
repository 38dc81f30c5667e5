"""The recording as a film with its trace under it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageColor, ImageDraw, ImageFont

from vatrace.errors import MediaError
from vatrace.inference.prediction import Prediction
from vatrace.media.reading import AudioReader, probe
from vatrace.media.transcripts import TRANSCRIPT_SUFFIXES
from vatrace.media.writing import pictures_at, write_film

RATE, MAX_SIDE = 25, 960
"""Pictures a second, and pixels of the recording's longer side."""
STRIP = 0.28
"""Height of the strip by its width."""
SPAN = 20.0
"""Seconds that the strip shows, half of them still to come."""
SMOOTH = 2
"""The strip is drawn this much larger, then made smaller: lines have soft edges."""
COLOURS = {"valence": "#56B4E9", "arousal": "#F2884B"}
PAPER, INK, LINE = "#14171A", "#E8EAED", "#3B4148"


def write_overlay(prediction: Prediction, path: Path, report: Callable[[float], None] = lambda share: None) -> None:
    """Write an MP4 with the trace under the pictures, moving with them; of sound alone, the trace alone.

    Args:
        prediction: of a recording that can still be read.
        path: the film.
        report: told the share done, 0..1.

    Raises:
        MediaError: for a transcript or a still picture, which nothing moves in, or if the recording can't be read.
    """
    if prediction.source.suffix.lower() in TRANSCRIPT_SUFFIXES or (info := probe(prediction.source)).is_still:
        raise MediaError(f"{prediction.source}: an overlay needs a video or sound")
    sound = AudioReader(info.path, 1.0) if info.has_audio else None
    if info.has_video:
        pictures = pictures_at(info, RATE, MAX_SIDE, report)
    else:
        pictures = iter([Image.new("RGB", (MAX_SIDE, 0))] * round(prediction.duration * RATE))
    write_film(path, _with_trace(pictures, prediction), RATE, sound)


def _with_trace(pictures: Iterator[Image.Image], prediction: Prediction) -> Iterator[Image.Image]:
    for index, picture in enumerate(pictures):
        strip = draw_strip(prediction, index / RATE, picture.width)
        whole = Image.new("RGB", (picture.width, picture.height + strip.height))
        whole.paste(picture, (0, 0))
        whole.paste(strip, (0, picture.height))
        yield whole


def draw_strip(prediction: Prediction, time: float, width: int) -> Image.Image:
    """Both traces from 10 s before a time (s) to 10 s after it, -1..1 from bottom to top, with the values at that time.

    Where nothing was there, there is no trace.
    """
    wide, high = width * SMOOTH, round(width * STRIP) * SMOOTH
    strip = Image.new("RGB", (wide, high), PAPER)
    canvas = ImageDraw.Draw(strip, "RGBA")
    font = ImageFont.load_default(high / 11)
    for level in (-1, 0, 1):
        canvas.line([(0, _y(level, high)), (wide, _y(level, high))], LINE, SMOOTH)
    shown = np.flatnonzero(abs(prediction.times - time) <= SPAN / 2 + 1)
    x = ((prediction.times[shown] - time) / SPAN + 0.5) * wide
    runs = np.split(np.arange(len(shown)), np.flatnonzero(np.diff(prediction.supported[shown])) + 1)
    there = [run for run in runs if len(run) > 1 and prediction.supported[shown[run[0]]]]
    labels = []
    for column, (name, colour) in enumerate(COLOURS.items()):
        values = getattr(prediction, name)
        for run in there:
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
        canvas.rectangle(canvas.textbbox(place, text, font), (*ImageColor.getrgb(PAPER), 200))
        canvas.text(place, text, colour, font)
    canvas.line([(wide / 2, 0), (wide / 2, high)], INK, SMOOTH)
    return strip.resize((width, high // SMOOTH), Image.Resampling.BOX)


def _y(value: Any, high: int) -> Any:
    """Pixels from the top at which a value in -1..1 is drawn."""
    return (0.5 - 0.47 * value) * high
