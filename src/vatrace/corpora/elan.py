"""Annotations of valence and arousal in ELAN documents: two tiers with these names, a number in each annotation.

    valence   |  0.2  |   0.35    |        | -0.1 |
    arousal   |    0.5    |  0.4  | 0.1 |

A number applies from the start of its annotation to its end; elsewhere, nothing is annotated. Times are those of the linked
recording: if ELAN synchronised it with others, its offset (TIME_ORIGIN) is added. In a tier that subdivides another, some
annotations have no times of their own: they are spaced evenly between those that do, as in ELAN.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from vatrace.errors import CorpusError, require
from vatrace.media.container import LONGEST
from vatrace.media.folders import key
from vatrace.names import DIMENSIONS

STEP_MS = 100
"""Milliseconds between the rows made from annotations."""


def check_readable(path: Path) -> None:
    """Raise MissingExtraError if the library that reads ELAN documents is missing or can't be imported."""
    require(f"{path} (an ELAN document)", ["pympi"], "formats")


def linked_media(path: Path) -> list[tuple[str, int]]:
    """The names of the recordings that a document is linked with, and their offsets in milliseconds; [] if it can't be read."""
    try:
        return _linked(_document(path))
    except CorpusError:
        return []


def read_elan(path: Path, recording: Collection[str] = ()) -> Iterator[tuple[str, list[str]]]:
    """Yield the place of each row, and its time (s), valence and arousal as they are written; "" without an annotation.

    Args:
        path: the document.
        recording: names of the recording's file, to find it among the linked ones.

    Raises:
        CorpusError: if it can't be read, lacks a tier, or is linked with several other recordings at different times.
    """
    document = _document(path)
    tiers = {name.strip().lower(): name for name in document.get_tier_names()}
    absent = [name for name in DIMENSIONS if name not in tiers]
    if absent:
        found = ", ".join(document.get_tier_names()) or "none"
        raise CorpusError(f"{path}: no tier {absent[0]!r} (needed: {', '.join(DIMENSIONS)}; found: {found})")
    offset = _offset(path, _linked(document), recording)
    spans = {name: _spans(path, document, tiers[name]) for name in DIMENSIONS}
    ends = [end + offset for tier in spans.values() for _, end, _ in tier]
    if max(ends, default=0) > 1000 * LONGEST:
        raise CorpusError(
            f"{path}: has an annotation that ends at {max(ends) / 1000:.0f} s; recordings last {LONGEST:.0f} s at most"
        )
    cells: dict[str, dict[int, str]] = {name: {} for name in DIMENSIONS}
    for name, tier in spans.items():
        following = [start for start, _, _ in tier[1:]] + [max(ends) - offset] if tier else []
        for (start, whole, text), limit in zip(tier, following, strict=True):
            end = min(whole, max(limit, start))  # annotations of a tier don't overlap, except in damaged files
            first = max(-(-(start + offset) // STEP_MS), 0)
            for step in range(first, max(-(-(end + offset) // STEP_MS), first + 1) if end + offset >= 0 else 0):
                cells[name][step] = text.strip()
    for step in range(max(ends, default=0) // STEP_MS + 1):
        time = step * STEP_MS / 1000
        yield f"{time:g} s", [f"{time}", *(cells[name].get(step, "") for name in DIMENSIONS)]


def _document(path: Path) -> Any:
    import pympi

    if path.exists() and not path.is_file():
        raise CorpusError(f"{path}: not a file")
    try:
        return pympi.Eaf(str(path), suppress_version_warning=True)
    except Exception as error:  # pympi raises Exception itself
        raise CorpusError(f"{path}: not a readable ELAN document ({error})") from error


def _linked(document: Any) -> list[tuple[str, int]]:
    found = []
    for media in document.media_descriptors:
        address = media.get("RELATIVE_MEDIA_URL") or media.get("MEDIA_URL") or ""
        name = unquote(address).replace("\\", "/").rpartition("/")[2]
        try:
            found.append((key(name), int(media.get("TIME_ORIGIN") or 0)))
        except ValueError:
            found.append((key(name), 0))
    return found


def _offset(path: Path, linked: Sequence[tuple[str, int]], recording: Collection[str]) -> int:
    """Milliseconds from the document's time zero to that of the recording, by its own or the only linked file."""
    names = {key(name).casefold() for name in recording}
    own = {offset for name, offset in linked if {name.casefold(), name.rpartition(".")[0].casefold()} & names}
    offsets = own or {offset for _, offset in linked} or {0}
    if len(offsets) > 1:
        listed = ", ".join(f"{name} at {offset} ms" for name, offset in linked)
        raise CorpusError(
            f"{path}: linked with recordings that start at different times ({listed}), none of which has this recording's name"
        )
    return offsets.pop()


def _spans(path: Path, document: Any, tier: str) -> list[tuple[int, int, str]]:
    """Start and end (ms) and text of a tier's annotations, ascending."""
    own, references = document.tiers[tier][:2]
    _interpolate(document.timeslots, [document.tiers[name][0] for name in document.tiers])
    try:
        found = [(document.timeslots[first], document.timeslots[last], text) for first, last, text, *_ in own.values()]
        if references:
            chains = [(_aligned(document, name), text) for name, (_, text, *_) in references.items()]
            found = [(document.timeslots[first], document.timeslots[last], text) for (first, last), text in chains]
    except KeyError as error:
        raise CorpusError(f"{path}: tier {tier!r} refers to {error}, which the document lacks, or to itself") from error
    if any(start is None or end is None for start, end, _ in found):
        raise CorpusError(f"{path}: tier {tier!r} has annotations without times; open and save the document in ELAN")
    return sorted(found)


def _aligned(document: Any, name: str) -> tuple[str, str]:
    """The slots of the annotation with times that an annotation refers to, by way of others or not.

    Raises:
        KeyError: if there is none.
    """
    passed: set[str] = set()
    while name not in passed:
        passed.add(name)
        own, references = document.tiers[document.annotations[name]][:2]
        if name in own:
            first, last = own[name][:2]
            return first, last
        name = references[name][0]
    raise KeyError(name)


def _interpolate(slots: dict[str, int | None], tiers: Sequence[dict[str, tuple[Any, ...]]]) -> None:
    """Give times to slots that have none: evenly between the slots around them in a chain of adjacent annotations."""
    for tier in tiers:
        following = {first: last for first, last, *_ in tier.values()}
        for start in following:
            if slots.get(start) is None:
                continue
            chain = [start]
            while chain[-1] in following and (len(chain) == 1 or slots.get(chain[-1]) is None) and len(chain) <= len(slots):
                chain.append(following[chain[-1]])
            begin, end = slots[chain[0]], slots.get(chain[-1])
            if len(chain) > 2 and begin is not None and end is not None:
                for place, slot in enumerate(chain[1:-1], start=1):
                    slots[slot] = begin + round((end - begin) * place / (len(chain) - 1))
