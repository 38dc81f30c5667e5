"""The recording as a video with its trace below the picture."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageColor, ImageDraw, ImageFont

from vatrace.errors import MediaError
from vatrace.inference.prediction import SEVERAL, Prediction
from vatrace.media.reading import AudioReader
from vatrace.media.recording import Recording
from vatrace.media.transcripts import Word, sentences
from vatrace.media.writing import images_at, write_video
from vatrace.names import DIMENSIONS, MODALITIES
from vatrace.output.colours import BOX, BOX_EDGE, DARK
from vatrace.output.naming import colour_numbers, speakers, title
from vatrace.timeline import steps_at

RATE, MAX_SIDE = 25, 960
"""Pictures a second, and pixels of the recording's longer side."""
STRIP = 0.28
"""Height of the strip relative to its width."""
MAX_STRIPS = 3
"""People who have a strip each; of more, which would need more room than the picture, the first has one."""
LOW_STRIP, TURNS = 0.17, 0.03
"""Heights, relative to the width, of the strip of each of several people, and of the row that shows who speaks."""
WORDS = 0.05
"""Height, relative to the width, of the row of words, which recordings with words have."""
HOLD = 1.0
"""Seconds for which a sentence stays after its last word."""
SPAN = 20.0
"""Seconds that the strip shows, half of them still to come."""
SMOOTH = 2
"""The strip is drawn this much larger, then scaled down, so that lines have soft edges."""


def write_overlay(
    prediction: Prediction, recording: Recording, path: Path, progress: Callable[[float], None] = lambda share: None
) -> None:
    """Write an MP4 with the trace below the picture, moving along, and a box around the face; for audio, the trace alone.

    Next to the trace are its scale and which of face, voice and words are detected, below it the sentence that is spoken.
    Several people have a box and a number each, and up to MAX_STRIPS a trace each. If anybody but the only person speaks, a row
    below the traces shows who speaks when.

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
        time = index / RATE
        strips = list(_strips(prediction, time, image.width))
        whole = Image.new("RGB", (image.width, image.height + sum(strip.height for strip in strips)))
        whole.paste(image, (0, 0))
        _draw_boxes(whole, image.size, prediction, time)
        top = image.height
        for strip in strips:
            whole.paste(strip, (0, top))
            top += strip.height
        yield whole


def _strips(prediction: Prediction, time: float, width: int) -> Iterator[Image.Image]:
    """What is drawn below the picture, from top to bottom."""
    people = list(prediction.people.values())
    if not prediction.others:
        yield draw_strip(prediction, time, width)
    else:
        for person in people if len(people) <= MAX_STRIPS else people[:1]:
            yield draw_strip(person, time, width, LOW_STRIP, title(person.person))
    if rows := speakers(prediction):
        yield draw_turns(prediction, rows, time, width)
    if words := [word for person in people for word in person.words]:
        yield draw_words(words, time, width)


def _draw_boxes(picture: Image.Image, size: tuple[int, int], prediction: Prediction, time: float) -> None:
    """Draw the boxes of all faces at a time in seconds; numbers and colours if several people are followed or speak."""
    if not prediction.others and not speakers(prediction):
        draw_box(picture, size, prediction.box_at(time))
        return
    numbers = colour_numbers(prediction)
    for name, person in reversed(prediction.people.items()):  # the first on top
        row = min(int(steps_at(np.array(time), person.rate)), len(person.times) - 1)
        speaks = person.speaking is not None and bool(person.speaking[row])
        draw_box(picture, size, person.box_at(time), DARK[f"person-{numbers[name]}"], name, speaks)


def draw_box(  # what is drawn, where and how
    picture: Image.Image,
    size: tuple[int, int],
    box: tuple[float, ...] | None,
    colour: str = BOX,
    label: str = "",
    speaks: bool = False,
) -> None:
    """Draw the box of a face, if there is one.

    Args:
        picture: what to draw it on.
        size: width and height of the recording's picture in pixels.
        box: left, top, right and bottom as shares of `size`.
        colour: of the box.
        label: the person's name, which is written in the upper left corner.
        speaks: whether the person speaks: the box is thicker then, and the label is filled.
    """
    if box is None:
        return
    corners = [share * (side - 1) for share, side in zip(box, size * 2, strict=True)]
    thick = max(2, round(max(size) / 320)) * (2 if speaks else 1)
    canvas = ImageDraw.Draw(picture)
    canvas.rectangle(corners, outline=BOX_EDGE, width=thick + 1)  # visible on bright pictures as well
    canvas.rectangle(corners, outline=colour, width=thick)
    if label:
        font = ImageFont.load_default(max(12, max(size) / 48))
        place = (corners[0] + thick + 3, corners[1] + thick)
        right, bottom = canvas.textbbox(place, label, font)[2:]
        ground, text = (colour, BOX_EDGE) if speaks else (BOX_EDGE, colour)
        canvas.rectangle((corners[0] + thick, corners[1] + thick, right + 3, bottom + 3), ground)
        canvas.text(place, label, text, font)


def draw_turns(prediction: Prediction, rows: list[str], time: float, width: int) -> Image.Image:
    """Who speaks from 10 s before a time (s) to 10 s after it, as bars in the people's colours.

    Names are written where they fit. Speech off screen is grey, and that of several people at once is hatched.
    """
    wide, high = width * SMOOTH, round(width * TURNS) * SMOOTH
    strip = Image.new("RGB", (wide, high), DARK["panel"])
    font, numbers = ImageFont.load_default(high * 0.7), colour_numbers(prediction)
    for turn in prediction.turns:
        left, right = (round(((end - time) / SPAN + 0.5) * wide) for end in (turn.start, turn.end))
        if right <= 0 or left >= wide or turn.person not in rows:
            continue
        colour = DARK[f"person-{numbers[turn.person]}"] if turn.person in numbers else DARK["soft"]
        bar = Image.new("RGB", (max(right - left, 1), high), DARK["panel"] if turn.person == SEVERAL else colour)
        canvas = ImageDraw.Draw(bar)
        if turn.person == SEVERAL:
            for x in range(-high, bar.width, 8 * SMOOTH):
                canvas.line([(x, high), (x + high, 0)], colour, SMOOTH)
        elif canvas.textlength(turn.person, font) < bar.width:
            canvas.text((bar.width / 2, high / 2), turn.person, BOX_EDGE, font, anchor="mm")
        strip.paste(bar, (left, 0))
    ImageDraw.Draw(strip).line([(wide / 2, 0), (wide / 2, high)], DARK["ink"], SMOOTH)
    return strip.resize((width, high // SMOOTH), Image.Resampling.BOX)


def draw_words(words: Sequence[Word], time: float, width: int) -> Image.Image:
    """The sentence at a time (s), with the word that is spoken emphasised; its beginning is left out if it is too long."""
    wide, high = width * SMOOTH, round(width * WORDS) * SMOOTH
    strip = Image.new("RGB", (wide, high), DARK["paper"])
    canvas, font = ImageDraw.Draw(strip), ImageFont.load_default(high * 0.55)
    spoken = [sentence for sentence in sentences(words) if sentence[0].start <= time < sentence[-1].end + HOLD]
    if not spoken:
        return strip.resize((width, high // SMOOTH), Image.Resampling.BOX)
    sentence, space = spoken[-1], canvas.textlength(" ", font)
    widths = [canvas.textlength(word.text, font) + space for word in sentence]
    said = sum(word.start <= time for word in sentence)
    first = 0
    while first < said - 1 and sum(widths[first:said]) > 0.9 * wide:
        first += 1
    x = max(wide / 2 - sum(widths[first:]) / 2, 8.0 * SMOOTH)
    for word, length in zip(sentence[first:], widths[first:], strict=True):
        here = word.start <= time < word.end
        canvas.text((x, high / 2), word.text, DARK["ink" if here else "soft"], font, anchor="lm")
        x += length
    return strip.resize((width, high // SMOOTH), Image.Resampling.BOX)


def _draw_presence(canvas: ImageDraw.ImageDraw, prediction: Prediction, row: int, wide: int, letter: float) -> None:
    """Which modalities are detected in a row, in the upper right corner: a disc for those that are, and a ring for others."""
    font, x = ImageFont.load_default(0.75 * letter), wide - 8.0 * SMOOTH
    for name in reversed(MODALITIES):
        present = bool(prediction.presence[name][row])
        x -= canvas.textlength(name, font)
        box = canvas.textbbox((x, 0.1 * letter), name, font)
        left, size = x - 0.7 * letter, 0.5 * letter
        disc = (left, box[1], left + size, box[1] + size)
        canvas.rectangle((left - 4, 0, box[2] + 4, box[3] + 4), (*ImageColor.getrgb(DARK["paper"]), 200))
        canvas.text((x, 0.1 * letter), name, DARK["ink" if present else "soft"], font)
        canvas.ellipse(disc, DARK[name] if present else None, DARK[name if present else "soft"], SMOOTH)
        x = left - 0.5 * letter


def draw_strip(prediction: Prediction, time: float, width: int, share: float = STRIP, name: str = "") -> Image.Image:
    """Both traces from 10 s before a time (s) to 10 s after it, -1..1 from bottom to top, with the values at that time.

    No trace is drawn where nothing supports the values. The upper right corner shows what is detected. The height is a share of
    the width; the name is that of the person.
    """
    wide, high = width * SMOOTH, round(width * share) * SMOOTH
    strip = Image.new("RGB", (wide, high), DARK["paper"])
    canvas = ImageDraw.Draw(strip, "RGBA")
    letter = wide * STRIP / 11
    font = ImageFont.load_default(letter)
    for level in (-1, 0, 1):
        canvas.line([(0, _y(level, high)), (wide, _y(level, high))], DARK["line"], SMOOTH)
    shown = np.flatnonzero(abs(prediction.times - time) <= SPAN / 2 + 1)
    x = ((prediction.times[shown] - time) / SPAN + 0.5) * wide
    runs = np.split(np.arange(len(shown)), np.flatnonzero(np.diff(prediction.supported[shown])) + 1)
    drawn = [run for run in runs if len(run) > 1 and prediction.supported[shown[run[0]]]]
    labels = [((8.0 * SMOOTH, high * 0.01), name, DARK["ink"])] if name else []
    for column, dimension in enumerate(DIMENSIONS):
        colour = DARK[dimension]
        values = getattr(prediction, dimension)
        for run in drawn:
            rows = shown[run]
            if prediction.bounds is not None:
                low, top = (_y(ends[rows, column], high) for ends in prediction.bounds)
                outline = [*zip(x[run], top, strict=True), *zip(x[run][::-1], low[::-1], strict=True)]
                canvas.polygon(outline, (*ImageColor.getrgb(colour), 50))
            canvas.line([*zip(x[run], _y(values[rows], high), strict=True)], colour, 2 * SMOOTH, joint="curve")
        row = int(np.argmin(abs(prediction.times - time)))
        here = f"{values[row]:+.2f}" if prediction.supported[row] else "?"
        labels.append(((wide / 2 + 8 * SMOOTH, high * 0.01 + 1.3 * letter * column), f"{dimension} {here}", colour))
    scale = ImageFont.load_default(0.6 * letter)
    for level, anchor in ((1, "la"), (0, "lm"), (-1, "ld")):
        if not (name and level == 1):  # where the name of the person is
            canvas.text((4.0 * SMOOTH, _y(level, high)), f"{level:+d}".replace("+0", "0"), DARK["soft"], scale, anchor)
    _draw_presence(canvas, prediction, int(np.argmin(abs(prediction.times - time))), wide, letter)
    for place, text, colour in labels:  # over both traces
        canvas.rectangle(canvas.textbbox(place, text, font), (*ImageColor.getrgb(DARK["paper"]), 200))
        canvas.text(place, text, colour, font)
    canvas.line([(wide / 2, 0), (wide / 2, high)], DARK["ink"], SMOOTH)
    return strip.resize((width, high // SMOOTH), Image.Resampling.BOX)


def _y(value: Any, high: int) -> Any:
    """Pixels from the top at which a value in -1..1 is drawn."""
    return (0.5 - 0.47 * value) * high
