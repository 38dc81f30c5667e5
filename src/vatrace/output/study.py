"""The people in the recordings of a study, as a table and a contact sheet that are checked and corrected by hand.

Faces are compared in memory. What is written contains pictures of faces, but no embeddings.
"""

from __future__ import annotations

import csv
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from vatrace.errors import MediaError
from vatrace.features.choice import candidates, choose
from vatrace.features.identity import Identity
from vatrace.features.people import Person, rows_on_grid
from vatrace.features.perceived import Perceived
from vatrace.features.perceiver import Perceiver
from vatrace.features.same_people import Match, match_people
from vatrace.files import harmless, shown
from vatrace.inference.spoken import label
from vatrace.media.reading import VideoReader
from vatrace.media.recording import open_recording
from vatrace.names import Progress
from vatrace.output.colours import LIGHT
from vatrace.timeline import num_steps

RATE = 10.0
"""Steps per second, as in prediction: with another rate, other frames are used, and people could get other numbers."""

COLUMNS = ("recording", "person", "name", "seconds", "share", "first_seen", "distance", "next_name", "next_distance", "note")

PORTRAIT_STEPS = 300
"""The portrait is the largest face in this many steps, from the first on: more would cost decoding time for little gain."""
PORTRAIT_SIDE, PORTRAIT_MARGIN = 112, 0.35
"""Side of a portrait in pixels, and the margin around the face's box, in shares of the box's longer side."""
PER_ROW, NAME_WIDTH, CAPTION, GAP = 8, 90, 30, 8
"""Faces in a row of the contact sheet; and in pixels: width of the column of names, height of a caption, gap."""


@dataclass(frozen=True)
class Seen:
    """A person in one recording.

    Attributes:
        number: what the person is called in predictions of this recording: "1", "2", ...
        identity: how the person looks.
        seconds: time visible.
        share: of the recording, 0..1.
        first_seen: seconds.
        portrait: a picture of the face, PORTRAIT_SIDE pixels wide and high.
    """

    number: str
    identity: Identity
    seconds: float
    share: float
    first_seen: float
    portrait: Image.Image


@dataclass(frozen=True)
class Attendance:
    """The people in one recording.

    Attributes:
        recording: its path.
        people: those who are visible, the most prominent first.
        note: what the user should know; "" for nothing.
    """

    recording: Path
    people: tuple[Seen, ...]
    note: str = ""


@dataclass(frozen=True)
class Row:
    """A row of the table.

    Attributes:
        attendance: of the recording.
        seen: the person; None if nobody was seen.
        match: who it is; None if nobody was seen.
    """

    attendance: Attendance
    seen: Seen | None = None
    match: Match | None = None

    @property
    def name(self) -> str:
        """The person's name in the whole study; "" if nobody was seen."""
        return "" if self.match is None else group_name(self.match.group)

    @property
    def note(self) -> str:
        """Why the row should be checked; "" if there is no doubt."""
        return self.attendance.note if self.match is None else "; ".join(self.match.doubts)


def group_name(group: int) -> str:
    """The name of a person in the whole study, by the number of the group."""
    return f"P{group + 1:02}"


def attend(path: Path, perceiver: Perceiver, progress: Progress = lambda stage, share: None) -> Attendance:
    """Follow the faces of a recording as prediction does.

    Raises:
        MediaError: if it can't be read.
    """
    recording = open_recording(path)
    if not recording.has_frames:
        return Attendance(path, (), "contains no video: voices are not compared")
    perceived = perceiver.perceive(recording, RATE, {"face"}, progress)
    found = [index for index in choose(perceived, "all") if not perceived.people[index].is_still]
    if not found:
        note = "only faces that never move, probably photographs" if perceived.people else "no face found"
        return Attendance(path, (), note)
    portraits = _portraits(path, perceived, [perceived.people[index] for index in found])
    people = []
    for index, portrait in zip(found, portraits, strict=True):
        person = perceived.people[index]
        seconds = len(person.steps) / RATE
        share = min(len(person.steps) / max(num_steps(perceived.duration, RATE), 1), 1.0)
        people.append(Seen(label(index), person.identity, seconds, share, min(person.steps) / RATE, portrait))
    total = len(candidates(perceived))
    note = f"{total} people seen: the {len(people)} most prominent are listed" if total > len(people) else ""
    return Attendance(path, tuple(people), note)


def _portraits(path: Path, perceived: Perceived, people: Sequence[Person]) -> list[Image.Image]:
    """A portrait of each person: the largest face in the first PORTRAIT_STEPS steps at which the person is visible."""
    boxes = {}
    for place, person in enumerate(people):
        rows = rows_on_grid(person, max(person.steps) + 1)
        early = np.flatnonzero(rows >= 0)[:PORTRAIT_STEPS]
        sizes = [_area(perceived.sight.boxes[rows[step]]) for step in early]
        step = int(early[np.argmax(sizes)])
        boxes[place] = (step, perceived.sight.boxes[rows[step]])
    found = [Image.new("RGB", (PORTRAIT_SIDE, PORTRAIT_SIDE))] * len(people)
    last = max(step for step, _ in boxes.values())
    for frame in VideoReader(path, RATE):
        for place, (step, box) in boxes.items():
            if step in frame.steps:
                found[place] = _cut_out(frame.image, box)
        if frame.steps.stop > last:
            break
    return found


def _area(box: tuple[float, ...]) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])


def _cut_out(image: Image.Image, box: tuple[float, ...]) -> Image.Image:
    """The part of an image around a box, left, top, right and bottom as shares of its sides."""
    left, top, right, bottom = (share * side for share, side in zip(box, image.size * 2, strict=True))
    reach = (0.5 + PORTRAIT_MARGIN) * max(right - left, bottom - top)
    x, y = (left + right) / 2, (top + bottom) / 2
    square = image.crop((round(x - reach), round(y - reach), round(x + reach), round(y + reach)))
    return square.resize((PORTRAIT_SIDE, PORTRAIT_SIDE), Image.Resampling.LANCZOS)


def compare(attendances: Sequence[Attendance]) -> list[Row]:
    """Find the same people in all recordings; the rows are in the order of the recordings."""
    matches = match_people([[seen.identity for seen in attendance.people] for attendance in attendances])
    rows = []
    for attendance, found in zip(attendances, matches, strict=True):
        rows += [Row(attendance, seen, match) for seen, match in zip(attendance.people, found, strict=True)]
        rows += [] if attendance.people else [Row(attendance)]
    return rows


def write_people(rows: Sequence[Row], path: Path, folder: Path) -> None:
    """Write the table.

    Args:
        rows: from `compare`.
        path: of the CSV.
        folder: where the CSV will be; recordings with the same file name are given by their paths from there.
    """
    paths = dict.fromkeys(row.attendance.recording for row in rows)
    same = Counter(recording.name for recording in paths)
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(COLUMNS)
        for row in rows:
            recording = row.attendance.recording
            named = recording.name if same[recording.name] == 1 else os.path.relpath(recording, folder)
            table.writerow([harmless(cell) for cell in (shown(named), *_cells(row))])


def _cells(row: Row) -> list[str]:
    if row.seen is None or row.match is None:
        return ["", "", "", "", "", "", "", "", row.note]
    seen, match = row.seen, row.match
    cells = [seen.number, row.name, f"{seen.seconds:.1f}", f"{seen.share:.3f}", f"{seen.first_seen:.1f}"]
    nearest = "" if match.next_group is None else group_name(match.next_group)
    return [*cells, _number(match.distance), nearest, _number(match.next_distance), row.note]


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def contact_sheet(rows: Sequence[Row]) -> Image.Image:
    """An image with a row for each person of the study, and in it a face for each recording; a frame marks doubtful ones.

    Raises:
        MediaError: if nobody was seen.
    """
    groups: dict[str, list[Row]] = {}
    for row in rows:
        if row.seen is not None:
            groups.setdefault(row.name, []).append(row)
    if not groups:
        raise MediaError("no face was found in any recording: there is nothing to show")
    lines = [
        (name, inside[first : first + PER_ROW]) for name, inside in groups.items() for first in range(0, len(inside), PER_ROW)
    ]
    wide, high = PORTRAIT_SIDE + GAP, PORTRAIT_SIDE + CAPTION + GAP
    longest = max(len(inside) for _, inside in lines)
    sheet = Image.new("RGB", (NAME_WIDTH + longest * wide, len(lines) * high + GAP), LIGHT["paper"])
    canvas, large, small = ImageDraw.Draw(sheet), ImageFont.load_default(24), ImageFont.load_default(11)
    for number, (name, inside) in enumerate(lines):
        top = number * high + GAP
        canvas.text((GAP, top + PORTRAIT_SIDE / 3), name, LIGHT["ink"], large)
        for place, row in enumerate(inside):
            assert row.seen is not None
            left = NAME_WIDTH + place * wide
            sheet.paste(row.seen.portrait, (left, top))
            if row.note:
                canvas.rectangle((left, top, left + PORTRAIT_SIDE - 1, top + PORTRAIT_SIDE - 1), None, LIGHT["arousal"], 4)
            text = _fitting(shown(row.attendance.recording.name), small)
            canvas.text((left, top + PORTRAIT_SIDE + 1), text, LIGHT["ink"], small)
            about = f"person {row.seen.number}" + (", doubtful" if row.note else "")
            canvas.text((left, top + PORTRAIT_SIDE + 14), about, LIGHT["arousal" if row.note else "soft"], small)
    return sheet


def _fitting(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> str:
    """A text as wide as a portrait at most; the middle of a longer one is left out."""
    kept = len(text)
    while font.getlength(text) > PORTRAIT_SIDE:
        kept -= 1
        text = f"{text[: kept // 2]}…{text[-(kept // 2) :]}"
    return text
