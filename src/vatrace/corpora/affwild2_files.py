"""The files of Aff-Wild2: annotations, a row for each frame, and lists of the test set."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vatrace.errors import CorpusError
from vatrace.media.folders import key

NOT_ANNOTATED = -5.0
LOCATION = re.compile(r"([^/\\,]+)[/\\](\d+)\.\w+$")


@dataclass(frozen=True)
class Listing:
    """The frames that a list of the test set, or a sample of a submission, requires.

    Attributes:
        names: recordings, in order.
        recording: (N,) the index in `names` of each frame that a submission must contain, in its order; empty if only names
            are listed: then it must contain every frame of each video.
        picture: (N,) the numbers of those frames, from 1.
    """

    names: tuple[str, ...]
    recording: NDArray[np.int64]
    picture: NDArray[np.int64]


def has_header(path: Path) -> bool:
    """Whether a file starts with the header of an annotation file; False if it can't be read."""
    try:
        with path.open(encoding="utf-8-sig", errors="replace") as file:
            return _is_header(file.readline())
    except OSError:  # reported when its rows are read
        return False


def _is_header(line: str) -> bool:
    return line.lower().replace(" ", "").strip() == "valence,arousal"


def read_rows(path: Path) -> NDArray[np.float64]:
    """Read an annotation file.

    Returns:
        (N, 2) valence and arousal in -1..1 for each row, NaN where not annotated.

    Raises:
        CorpusError: if it can't be read, or a row contains anything else.
    """
    rows = _numbers(path)
    wrong = np.argwhere(~(np.isnan(rows) | (np.abs(rows) <= 1)))
    if len(wrong):
        row, column = wrong[0]
        raise CorpusError(
            f"{path}: line {row + 2}: {rows[row, column]:g} is neither in -1..1 nor {NOT_ANNOTATED:g}; rescale it"
        )
    return rows


def _numbers(path: Path) -> NDArray[np.float64]:
    """The rows of an annotation file (N, 2), NaN where not annotated, whatever their scale."""
    try:
        header, *lines = path.read_text(encoding="utf-8-sig").rstrip().split("\n") or [""]
    except (OSError, UnicodeDecodeError) as error:
        raise CorpusError(f"{path}: can't be read ({error})") from error
    if not _is_header(header):
        raise CorpusError(f"{path}: line 1: must be 'valence,arousal', not {header[:40]!r}")
    rows = np.empty((len(lines), 2))
    for index, line in enumerate(lines):
        try:
            rows[index, 0], rows[index, 1] = map(float, line.split(","))
        except ValueError as error:
            message = f"{path}: line {index + 2}: must be two numbers, valence,arousal, not {line.strip()[:40]!r}"
            raise CorpusError(message) from error
    rows[rows == NOT_ANNOTATED] = np.nan
    return rows


def read_listing(path: Path) -> Listing:
    """Read the list of recordings to predict: one name a line, or the sample of a submission.

    The sample has the header `image_location,valence,arousal` and a line `NAME/00001.jpg,...` for each frame.

    Raises:
        CorpusError: if it can't be read or is neither.
    """
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise CorpusError(f"{path}: can't be read ({error})") from error
    if not lines:
        raise CorpusError(f"{path}: empty; it should have a recording's name in each line")
    places: dict[str, int] = {}
    if not lines[0].lower().startswith("image_location"):
        wrong = [line for line in lines if "," in line or "/" in line]
        if wrong:
            raise CorpusError(f"{path}: {wrong[0][:40]!r} is not a recording's name; a sample starts with 'image_location,...'")
        places = {key(name.removesuffix(".txt")): 0 for name in lines}
        return Listing(tuple(places), np.empty(0, np.int64), np.empty(0, np.int64))
    frames = np.empty((len(lines) - 1, 2), np.int64)
    for index, line in enumerate(lines[1:]):
        match = LOCATION.search(line.split(",", 1)[0].strip())
        if match is None:
            raise CorpusError(f"{path}: line {index + 2}: must start like 'NAME/00001.jpg', not {line[:40]!r}")
        frames[index] = places.setdefault(key(match[1]), len(places)), int(match[2])
    return Listing(tuple(places), frames[:, 0], frames[:, 1])


def raw_rows(path: Path) -> Iterator[NDArray[np.float64]]:
    """The rows of a file whatever their scale; nothing if it can't be read, which is reported elsewhere."""
    try:
        yield _numbers(path)
    except CorpusError:
        return
